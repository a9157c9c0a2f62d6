"""Files that are replaced whole, and the slots in which a run keeps its checkpoints (docs/checkpoint.md, "Slots")."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rtu_edge import checkpoint
from rtu_edge.errors import CheckpointError

__all__ = ["Disk", "Slots", "Stored", "replaced", "write"]


# What file systems answer that know no sync of a folder: Linux's CIFS and some FUSE and vendor ones (EINVAL, as fsync(2) has
# it for what cannot be synced), ENOTSUP, and EBADF where only what is open for writing is synced.
_NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF)


class Disk:
    """Every call on the file system that a writer makes; a recorder may stand in its place."""

    _told = False
    _note = ""

    def note(self) -> str:
        """What there is to tell about the file system, once; "" where there is nothing new."""
        text, self._note = self._note, ""
        return text

    def create(self, path: Path) -> int:
        """A new file, to be written."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)

    def write(self, handle: int, data: bytes) -> None:
        """All of the data."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(handle, rest) :]

    def sync(self, handle: int) -> None:
        """The file's data to the medium."""
        os.fsync(handle)

    def close(self, handle: int) -> None:
        """The file."""
        os.close(handle)

    def link(self, path: Path, other: Path) -> None:
        """A second name for a file."""
        os.link(path, other)

    def rename(self, path: Path, other: Path) -> None:
        """Another name for a file, in the place of what had it."""
        os.replace(path, other)

    def unlink(self, path: Path) -> None:
        """A name less."""
        os.unlink(path)

    def sync_folder(self, path: Path) -> None:
        """The folder's names to the medium, where its file system can; otherwise note() has it.

        Raises:
            OSError: the medium failed; it names the folder.
        """
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        except OSError as error:
            if error.errno not in _NO_FOLDER_SYNC:
                raise OSError(error.errno, error.strerror, os.fspath(path)) from error
            if not self._told:
                self._told = True
                self._note = (
                    f"{path}: its file system cannot sync a folder ({error.strerror}): after a power failure the newest"
                    " checkpoint may be the one before it; each of them is whole"
                )
        finally:
            os.close(handle)


_DISK = Disk()


def write(path: str | os.PathLike[str], data: bytes, disk: Disk = _DISK) -> None:
    """Replaces the file at `path` by `data`: written beside it, synced, renamed, the folder synced.

    At any moment the old or the new file is there in full, also when power fails.

    Raises:
        OSError: the disk is full, or the folder cannot be written; it names `path`, and the old file is as it was.
            Where the folder alone cannot be synced it names the folder, and the new file is there.
    """
    path = Path(path)
    with _written_beside(path, data, disk) as temporary:
        disk.rename(temporary, path)
    disk.sync_folder(path.parent)


@contextlib.contextmanager
def replaced(path: str | os.PathLike[str], disk: Disk = _DISK) -> Iterator[Path]:
    """The name of a file to be written in pieces, which takes the place of `path` when the block ends without an error.

    Raises:
        OSError: as write(), also one of the block's own that names no other file.
    """
    path = Path(path)
    with _beside(path, disk) as temporary:
        yield temporary
        handle = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
        try:
            disk.sync(handle)
        finally:
            disk.close(handle)
        disk.rename(temporary, path)
    disk.sync_folder(path.parent)


@contextlib.contextmanager
def _written_beside(path: Path, data: bytes, disk: Disk) -> Iterator[Path]:
    """A synced file of another name in the same folder; see _beside()."""
    with _beside(path, disk) as temporary:
        handle = disk.create(temporary)
        try:
            disk.write(handle, data)
            disk.sync(handle)
        finally:
            disk.close(handle)
        yield temporary


@contextlib.contextmanager
def _beside(path: Path, disk: Disk) -> Iterator[Path]:
    """Another name in the same folder; what has it is gone when the block fails, and no error knows it."""
    temporary = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
    try:
        yield temporary
    except BaseException as error:
        with contextlib.suppress(OSError):
            disk.unlink(temporary)
        if isinstance(error, OSError) and error.filename in (None, str(temporary), temporary):
            error.filename, error.filename2 = str(path), None
        raise


@dataclass(frozen=True)
class Stored:
    """A checkpoint that was found whole.

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
        keep: how many checkpoints in all, at least 2.
        disk: the file system.
    """

    NEWEST = "checkpoint.rtu"
    _OLDER = re.compile(r"checkpoint\.([1-9][0-9]*)\.rtu")  # one name for each number

    def __init__(self, folder: str | Path, keep: int = 2, disk: Disk = _DISK) -> None:
        self.folder = Path(folder)
        self.keep = keep
        self._disk = disk

    @property
    def current(self) -> Path:
        """Where the newest is."""
        return self.folder / self.NEWEST

    def note(self) -> str:
        """See Disk.note()."""
        return self._disk.note()

    def older(self) -> list[Path]:
        """The ones before the newest, last first."""
        numbers = [int(match[1]) for path in self.folder.iterdir() if (match := self._OLDER.fullmatch(path.name))]
        return [self._older(number) for number in sorted(numbers, reverse=True)]

    def save(self, data: bytes) -> None:
        """Makes `data` the newest checkpoint and keeps the one before.

        Raises:
            CheckpointError: newest() would not take it, for a value that is not finite; nothing has changed.
            OSError: the disk is full, or the folder cannot be written; the newest is as it was.
        """
        checkpoint.check_saved(data, self.current)
        self._sweep()
        older = self.older()
        with _written_beside(self.current, data, self._disk) as temporary:
            if self.current.exists() and not (older and self.current.samefile(older[0])):
                self._keep(self._older(self._number(older[0]) + 1 if older else 1))
            self._disk.rename(temporary, self.current)
        self._disk.sync_folder(self.folder)
        for path in self.older()[self.keep - 1 :]:
            self._disk.unlink(path)

    def newest(self) -> Stored:
        """The newest checkpoint that is whole.

        Raises:
            CheckpointError: there is none, or the newest is of a version that this build does not read.
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
        """Gives damaged checkpoints that are newer than the newest whole one another name, and deletes nothing.

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
        """Makes an older checkpoint the newest; what it replaces becomes the last of the older ones.

        Args:
            slot: the number of an older one; None takes the last that is whole.

        Returns:
            Where the checkpoint was, and where the replaced one is now.

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
            except checkpoint.DamagedError:
                if slot is not None:
                    raise
                continue
            Slots(self.folder, max(self.keep, len(older) + 2), self._disk).save(data)
            return path, self.older()[0]
        raise CheckpointError(f"{self.folder}: none of the older checkpoints ({there}) is whole")

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
        """A second name for the newest, or a copy where the file system knows no second names."""
        try:
            self._disk.link(self.current, path)
        except FileExistsError:
            raise
        except OSError:
            write(path, self.current.read_bytes(), self._disk)

    def _sweep(self) -> None:
        """Files that a writer left which was killed."""
        for path in self.folder.glob(f".{self.NEWEST}.*"):
            self._disk.unlink(path)
