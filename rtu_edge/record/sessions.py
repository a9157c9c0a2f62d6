"""A service's folder: one subfolder per session, and a limit of their total disk usage."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rtu_edge.record import blackbox
from rtu_edge.record.folder import RunFolder

__all__ = ["Lock", "Sessions", "locked"]


class Sessions:
    """The sessions of a service: `session`, `session-2`, ...; numbering continues when old ones are removed.

    Args:
        folder: must exist; other contents are not touched. limit: bytes; 0: no limit.
    """

    _NAME = re.compile(r"session(?:-([1-9][0-9]*))?")

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.limit = limit

    def all(self) -> list[Path]:
        """Their folders, oldest first."""
        return [self._path(number) for number in self._numbers()]

    @contextlib.contextmanager
    def new(self) -> Iterator[RunFolder]:
        """The folder of the next session; marked as in use until the block ends."""
        name = self._path(max(self._numbers(), default=0) + 1).name
        with RunFolder.create(self.folder, name) as session, locked(session.path):
            yield session

    def sweep(self) -> list[str]:
        """Removes the oldest until the others fit the limit, but never the newest or one in use.

        Returns:
            A sentence for each.
        """
        said: list[str] = []
        taken = 0
        for behind, path in enumerate(reversed(self.all())):
            taken += _size(path)
            if not behind or not 0 < self.limit < taken:
                continue
            with locked(path) as lock:
                if lock.free:
                    said.append(_removed(path))
                elif lock.problem:
                    said.append(
                        f"{path}: not removed: its file system cannot determine whether it is in use: {lock.problem}"
                    )
        return said

    def _numbers(self) -> list[int]:
        found = (self._NAME.fullmatch(path.name) for path in self.folder.iterdir() if path.is_dir())
        return sorted(int(match[1] or 1) for match in found if match)

    def _path(self, number: int) -> Path:
        return self.folder / ("session" if number == 1 else f"session-{number}")


@dataclass(frozen=True)
class Lock:
    """Result of locking a folder.

    Args:
        free: it was free and is locked now.
        problem: error of the file system; "" with `free` False: it is in use by another process.
    """

    free: bool
    problem: str = ""


_FILE = ".lock"


@contextlib.contextmanager
def locked(path: Path) -> Iterator[Lock]:
    """A folder, in use by us where it was free, until it is left.

    Where a file system locks only what is open for writing (NFS: EBADF), which no folder is, the lock is on a file in
    it.
    """
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            lock = _lock(handle)
        except OSError as error:
            if error.errno != errno.EBADF:
                yield Lock(False, error.strerror or str(error))
                return
            file = os.open(_FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=handle)
            os.close(handle)
            handle = file
            try:
                lock = _lock(handle)
            except OSError as again:
                lock = Lock(False, again.strerror or str(again))
        yield lock
    finally:
        os.close(handle)


def _lock(handle: int) -> Lock:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (
        BlockingIOError,
        PermissionError,
    ):  # PermissionError: EACCES, as fcntl(2) has it, which implements flock on NFS
        return Lock(False)
    return Lock(True)


def _size(path: Path) -> int:
    return sum(file.lstat().st_size for file in path.rglob("*"))


def _removed(path: Path) -> str:
    with contextlib.suppress(OSError, ValueError):
        blackbox.settle(path / RunFolder.BLACKBOX)  # its tail left by a crash
    try:
        shutil.rmtree(path)
    except OSError as error:
        return f"{path}: cannot be removed: {error.strerror}"
    return f"{path}: removed to free space for new sessions"
