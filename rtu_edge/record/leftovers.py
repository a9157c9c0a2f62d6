"""Tails of crashed runs in the memory file system: merged into their black boxes, and removed (docs/blackbox.md)."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from rtu_edge.record import blackbox

__all__ = ["clear"]

_TAIL = re.compile(r"rtu-edge-[0-9a-f]{16}\.tail")


def clear(shared: Path = blackbox.SHARED_MEMORY) -> int:
    """Merges tails without a running process into their black boxes, and removes them.

    Affects only regular files of this user with a tail's name, one link, no lock and no process that maps them. A tail
    whose black box cannot be written now (a full disk) is kept.

    Args:
        shared: the folder in a memory file system.

    Returns:
        Number of removed tails.
    """
    try:
        found = [entry for entry in os.listdir(shared) if _TAIL.fullmatch(entry)]
    except OSError:
        return 0
    return sum(_cleared(shared / name) for name in sorted(found))


def _cleared(tail: Path) -> bool:
    with contextlib.suppress(OSError), _left(tail) as handle:
        if handle < 0 or _mapped(tail):
            return False
        box = blackbox.box_of(tail)
        if box is not None and _own_file(box):
            with contextlib.suppress(ValueError, FileNotFoundError, NotADirectoryError):
                blackbox.settle(box, tail.parent, over=True)  # removes the tail if it belongs to the black box
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), os.lstat(tail)):
                tail.unlink()
        return True
    return False


@contextlib.contextmanager
def _left(tail: Path) -> Iterator[int]:
    """Opens and locks an unused tail, so that no other process clears it too; -1 if it does not qualify."""
    handle = os.open(tail, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(handle)
        ours = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and status.st_nlink == 1
        if ours:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield handle if ours else -1
    finally:
        os.close(handle)


def _own_file(path: Path) -> bool:
    with contextlib.suppress(OSError):
        status = os.lstat(path)
        return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
    return False


def _mapped(tail: Path) -> bool:
    """Whether a process maps it: one of a version that does not lock it."""
    name = os.fsencode(os.path.realpath(tail))
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):
            if name in maps.read_bytes():
                return True
    return False
