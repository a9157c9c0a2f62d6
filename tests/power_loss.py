"""Possible disk states after a power failure: the writer's calls are recorded, and every state that they allow is
generated.

The model is harsher than any journalling file system:
- data that was not synced is present, absent, cut anywhere, or zeros from or up to anywhere, independently of its name;
- a name that was created, moved or removed after the folder was last synced has changed or not, each independently (a
  rename counts as two changes), so that later ones may be on the disk without earlier ones.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rtu_edge._base.files import Disk

Operation = tuple[str | int, ...]
SECTOR = 512


class Recorder(Disk):
    """Executes operations and logs them in the format of disk_log.c."""

    def __init__(self) -> None:
        self.log: list[Operation] = []
        self.data: dict[str, bytes] = {}  # as written to the file that was made under this name
        self._names: dict[int, str] = {}

    def create(self, path: Path) -> int:
        handle = super().create(path)
        self._names[handle] = path.name
        self.data[path.name] = b""
        self.log.append(("create", path.name))
        return handle

    def write(self, handle: int, data: bytes) -> None:
        super().write(handle, data)
        self.data[self._names[handle]] += data
        self.log.append(("write", self._names[handle], len(data)))

    def sync(self, handle: int) -> None:
        super().sync(handle)
        self.log.append(("sync", self._names[handle]))

    def link(self, path: Path, other: Path) -> None:
        super().link(path, other)
        self.log.append(("link", path.name, other.name))

    def rename(self, path: Path, other: Path) -> None:
        super().rename(path, other)
        self.log.append(("rename", path.name, other.name))

    def unlink(self, path: Path) -> None:
        super().unlink(path)
        self.log.append(("unlink", path.name))

    def sync_folder(self, path: Path) -> None:
        super().sync_folder(path)
        self.log.append(("sync_folder",))


@dataclass
class _Medium:
    """Files by number; names as the program sees them, as they are on the disk, and what has changed since."""

    files: list[bytes] = field(default_factory=list)
    synced: list[int] = field(default_factory=list)  # bytes
    seen: dict[str, int] = field(default_factory=dict)
    durable: dict[str, int] = field(default_factory=dict)
    changes: list[tuple[str, int | None]] = field(default_factory=list)

    def add(self, data: bytes, synced: int) -> int:
        self.files.append(data)
        self.synced.append(synced)
        return len(self.files) - 1

    def name(self, name: str, file: int | None) -> None:
        if file is None:
            del self.seen[name]
        else:
            self.seen[name] = file
        self.changes.append((name, file))

    def apply(self, operation: Operation, data: dict[str, bytes]) -> None:
        kind, *names = operation
        first = str(names[0]) if names else ""
        if kind == "create":
            self.name(first, self.add(b"", 0))
        elif kind == "write":
            file = self.seen[first]
            self.files[file] += data[first][len(self.files[file]) :][: int(names[1])]
        elif kind == "sync":
            self.synced[self.seen[first]] = len(self.files[self.seen[first]])
        elif kind == "unlink":
            self.name(first, None)
        elif kind in ("link", "rename"):
            self.name(str(names[1]), self.seen[first])
            if kind == "rename":
                self.name(first, None)
        else:
            self.durable, self.changes = dict(self.seen), []

    def states(self) -> Iterator[dict[str, bytes]]:
        """Every folder state that a power failure may leave."""
        for kept in itertools.product((False, True), repeat=len(self.changes)):
            names = dict(self.durable)
            for (name, file), happened in zip(self.changes, kept, strict=True):
                if happened and file is None:
                    names.pop(name, None)
                elif happened and file is not None:
                    names[name] = file
            files = sorted(set(names.values()))
            for contents in itertools.product(*(self._contents(file) for file in files)):
                of = dict(zip(files, contents, strict=True))
                yield {name: of[file] for name, file in names.items()}

    def _contents(self, file: int) -> list[bytes]:
        data, safe = self.files[file], self.synced[file]
        if safe == len(data):
            return [data]
        cuts = {safe, safe + 1, 8, 12, 40, len(data) // 2, len(data) - 4, len(data) - 1}
        cuts |= set(range(0, len(data), SECTOR))
        found = {data, bytes(len(data))}
        for cut in cuts:
            if safe <= cut < len(data):
                found |= {data[:cut], data[:cut] + bytes(len(data) - cut), bytes(cut) + data[cut:]}
        return sorted(found)


def after_power_loss(
    before: dict[str, bytes], log: list[Operation], data: dict[str, bytes]
) -> Iterator[tuple[int, dict[str, bytes]]]:
    """Every folder state that may exist after a power failure, each once per position.

    Args:
        before: a folder all of which is on the disk.
        log, data: a recorder's.

    Yields:
        Number of requested operations, and name -> bytes.
    """
    for done in range(len(log) + 1):
        medium = _Medium()
        for name, content in before.items():
            medium.seen[name] = medium.add(content, len(content))
        medium.durable = dict(medium.seen)
        for operation in log[:done]:
            medium.apply(operation, data)
        found: set[tuple[tuple[str, bytes], ...]] = set()
        for state in medium.states():
            key = tuple(sorted(state.items()))
            if key not in found:
                found.add(key)
                yield done, state
