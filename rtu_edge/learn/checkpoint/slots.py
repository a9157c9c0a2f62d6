"""The slots in which a run keeps its checkpoints (docs/checkpoint_run.md, "Slots")."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from rtu_edge._base.errors import CheckpointError
from rtu_edge._base.files import DISK, Disk, write, written_beside
from rtu_edge.learn import checkpoint

__all__ = ["Slots", "Stored"]


@dataclass(frozen=True)
class Stored:
    """A valid checkpoint.

    Args:
        path: the file.
        data: its bytes.
        notes: a sentence for each newer one that is damaged or not finite.
    """

    path: Path
    data: bytes
    notes: tuple[str, ...] = ()


class Slots:
    """A folder's checkpoints: `checkpoint.rtu` is the newest, `checkpoint.N.rtu` the ones before, N counting up.

    One process writes at a time; any may read meanwhile.

    Args:
        folder: exists.
        keep: total number of checkpoints, at least 2.
        disk: the file system.
    """

    NEWEST = "checkpoint.rtu"
    _OLDER = re.compile(r"checkpoint\.([1-9][0-9]*)\.rtu")  # one name for each number

    def __init__(self, folder: str | Path, keep: int = 2, disk: Disk = DISK) -> None:
        self.folder = Path(folder)
        self.keep = keep
        self._disk = disk

    @property
    def current(self) -> Path:
        """Path of the newest."""
        return self.folder / self.NEWEST

    def note(self) -> str:
        """See Disk.note()."""
        return self._disk.note()

    def older(self) -> list[Path]:
        """The older ones, newest first."""
        numbers = [int(match[1]) for path in self.folder.iterdir() if (match := self._OLDER.fullmatch(path.name))]
        return [self._older(number) for number in sorted(numbers, reverse=True)]

    def save(self, data: bytes) -> None:
        """Makes `data` the newest checkpoint and keeps the one before.

        Raises:
            CheckpointError: newest() would refuse it because of a value that is not finite; nothing has changed.
            OSError: the disk is full, or the folder cannot be written; the newest is unchanged.
        """
        checkpoint.check_saved(data, self.current)
        self._sweep()
        older = self.older()
        with written_beside(self.current, data, self._disk) as temporary:
            if self.current.exists() and not (older and self.current.samefile(older[0])):
                self._keep(self._older(self._number(older[0]) + 1 if older else 1))
            self._disk.rename(temporary, self.current)
        self._disk.sync_folder(self.folder)
        for path in self.older()[self.keep - 1 :]:
            self._disk.unlink(path)

    def newest(self) -> Stored:
        """The newest valid checkpoint.

        Raises:
            CheckpointError: there is none, or the newest is of a version that this build does not support.
            OSError: a file cannot be read.
        """
        notes: list[str] = []
        for path in [self.current, *self.older()]:
            if not path.exists():
                continue
            data = checkpoint.read_bytes(path, follow=False)
            try:
                checkpoint.read_whole(data, path)
            except checkpoint.DamagedError as error:
                notes.append(str(error))
                continue
            return Stored(path, data, tuple(notes))
        raise CheckpointError("\n".join([*notes, f"{self.folder}: no whole checkpoint there"]))

    def set_aside(self) -> list[str]:
        """Renames damaged checkpoints that are newer than the newest valid one; deletes nothing.

        Returns:
            A sentence for each.
        """
        said = []
        for path in [self.current, *self.older()]:
            if not path.exists():
                continue
            try:
                checkpoint.read_whole(checkpoint.read_bytes(path, follow=False), path)
                break
            except checkpoint.DamagedError as error:
                aside = self._aside()
                self._disk.rename(path, aside)
                said.append(f"{error}; set aside as {aside.name}")
        if said:
            self._disk.sync_folder(self.folder)
        return said

    def rollback(self, slot: str | None = None) -> tuple[Path, Path]:
        """Makes an older checkpoint the newest; the replaced one becomes the first of the older ones.

        Args:
            slot: the number of an older one; None: the last one that is valid and of a supported version.

        Returns:
            Former path of the checkpoint, and path of the replaced one.

        Raises:
            CheckpointError: no such slot, or a damaged one; nothing has changed.
            OSError: as save().
        """
        older = self.older()
        chosen = [path for path in older if slot is None or path.name == f"checkpoint.{slot}.rtu"]
        there = ", ".join(str(self._number(path)) for path in older) or "none"
        if not chosen:
            raise CheckpointError(f"{self.folder}: slot = {slot or 'last'}: must be one of those kept: {there}")
        for path in chosen:
            data = checkpoint.read_bytes(path, follow=False)
            try:
                checkpoint.read_whole(data, path)
            except CheckpointError:
                if slot is not None:
                    raise
                continue
            Slots(self.folder, max(self.keep, len(older) + 2), self._disk).save(data)
            return path, self.older()[0]
        raise CheckpointError(f"{self.folder}: none of the older checkpoints ({there}) can be read")

    def _older(self, number: int) -> Path:
        return self.folder / f"checkpoint.{number}.rtu"

    def _number(self, path: Path) -> int:
        match = self._OLDER.fullmatch(path.name)
        assert match is not None
        return int(match[1])

    def _aside(self) -> Path:
        taken = {path.name for path in self.folder.iterdir()}
        return next(
            self.folder / name for n in range(1, len(taken) + 2) if (name := f"checkpoint.damaged-{n}.rtu") not in taken
        )

    def _keep(self, path: Path) -> None:
        """A hard link to the newest, or a copy if the file system does not support links."""
        try:
            self._disk.link(self.current, path)
        except FileExistsError:
            raise
        except OSError:
            write(path, self.current.read_bytes(), self._disk)

    def _sweep(self) -> None:
        """Temporary files of a killed writer."""
        for path in self.folder.glob(f".{self.NEWEST}.*"):
            self._disk.unlink(path)
