"""The black box: the last minutes of a run in a file of fixed size that outlives the process (docs/log.md).

Writing is the core's business (native/runtime/blackbox.h); here a box is opened, and read again in whatever state it is.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from rtu_edge import _core
from rtu_edge._closing import Closing
from rtu_edge.log.file import Head, head_of

__all__ = ["BlackBox", "Contents", "box_of", "read", "settle"]

Array = npt.NDArray[Any]

SHARED_MEMORY = Path("/dev/shm")
TAIL_SLOTS = 8192

_MAGIC = b"RTUBBOX\0"
_HEADER = struct.Struct("<8sIIIIQQII")  # magic, version, first, slot bytes, record bytes, slots, id, text bytes, CRC
_HEADER_BYTES = 64
_SLOT_HEAD = 16


class BlackBox(Closing):
    """An open black box; a context manager. Closing twice is harmless.

    Args:
        path: the ring on disk; a file that is there is replaced.
        head: what the records are, kept in the file.
        slots: records that it holds.
        shared: a folder in a memory file system for the tail, or None: then a crash loses up to 20 ms more.

    Raises:
        OSError: no room, or no permission; it names the file.
    """

    def __init__(
        self, path: str | os.PathLike[str], head: Head, slots: int, shared: Path | None = SHARED_MEMORY
    ) -> None:
        identity = secrets.randbits(63)
        self.path = Path(path)
        self.tail = (
            shared / f"rtu-edge-{identity:016x}.tail" if shared is not None and os.access(shared, os.W_OK) else None
        )
        tail = str(self.tail) if self.tail is not None else ""
        where = os.path.abspath(path)  # so that a tail which a crash left finds its box
        text = json.dumps({"tail": tail, "box": where, "head": msgspec.to_builtins(head)})
        n, m = len(head.observations), len(head.actuators)
        self.core = _core.BlackBox(os.fspath(path), tail, identity, n, m, slots, min(slots, TAIL_SLOTS), text)

    @property
    def lost(self) -> int:
        """Records that were written over before they reached the disk, which then could not keep up."""
        return self.core.overwritten

    @property
    def problem(self) -> str:
        """Of the first write that failed, or ""."""
        return os.strerror(self.core.error) if self.core.error else ""

    def close(self) -> None:
        """Bring everything to the disk, and remove the tail."""
        self.core.close()


@dataclass(frozen=True)
class Contents:
    """What a black box holds.

    Args:
        head: what the records are.
        records: the whole ones, in order.
        torn: slots that were not whole.
        missing: records between the first and the last that are not there.
        from_tail: records that only the tail had: the process had crashed.
    """

    path: Path
    head: Head
    records: Array
    torn: int
    missing: int
    from_tail: int


def read(path: str | os.PathLike[str]) -> Contents:
    """Read a black box in any state; of what is not whole, nothing is taken.

    Raises:
        ValueError: its header is not whole: nothing says what the records are.
        OSError: it cannot be read.
    """
    path = Path(path)
    data = path.read_bytes()
    head, found, torn = _ring(data, path)
    described = head_of(head["head"], path)
    _, _, _, record_bytes, slots = _header(data, path)
    if described.record_bytes != record_bytes:
        raise ValueError(f"{path}: records of {record_bytes} bytes; its text describes {described.record_bytes}")
    newer, torn_there = _tail(head, data)
    from_tail = len(newer.keys() - found.keys())
    found |= newer
    torn += torn_there
    newest = max(found, default=0)
    kept = sorted(sequence for sequence in found if sequence > newest - slots)
    records = np.frombuffer(b"".join(found[sequence] for sequence in kept), dtype=described.dtype)
    missing = newest - kept[0] + 1 - len(kept) if kept else 0
    return Contents(path, described, records, torn, missing, from_tail)


def settle(path: str | os.PathLike[str]) -> int:
    """After a crash: bring what only the tail has into the file, and remove the tail.

    Returns:
        How many records that were; 0 also while the run that writes the box is alive.

    Raises:
        ValueError, OSError: as read().
    """
    with Path(path).open("r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return 0
        data = file.read()
        head, found, _ = _ring(data, Path(path))
        newer, _ = _tail(head, data)
        _, first, slot_bytes, _, slots = _header(data, Path(path))
        fresh = sorted(newer.keys() - found.keys())
        for sequence in fresh:
            mark = struct.pack("<Q", sequence + 1)
            file.seek(first + sequence % slots * slot_bytes)
            crc = zlib.crc32(newer[sequence], zlib.crc32(mark))
            file.write(mark + struct.pack("<Q", crc) + newer[sequence])
        file.flush()
        os.fsync(file.fileno())
        if _belongs(head["tail"], data):
            Path(head["tail"]).unlink()
    return len(fresh)


def box_of(tail: Path) -> Path | None:
    """The black box that a tail names; None where it names none that could be one."""
    try:
        box = _header(tail.read_bytes(), tail)[0].get("box")
    except (OSError, ValueError):
        return None
    return Path(box) if isinstance(box, str) and os.path.isabs(box) else None


def _belongs(tail: str, data: bytes) -> bool:
    """True when there is a tail under this name and it says that it is of this box; anything else is not ours to remove."""
    try:
        with Path(tail or "/dev/null").open("rb") as file:
            other = file.read(_HEADER_BYTES)
    except (OSError, ValueError):
        return False
    return other[:8] == _MAGIC and other[32:40] == data[32:40]


def _tail(head: Mapping[str, Any], data: bytes) -> tuple[dict[int, bytes], int]:
    """Whole and torn records of the tail that belongs to a file, where there still is one."""
    if not _belongs(head["tail"], data):
        return {}, 0
    try:
        _, found, torn = _ring(Path(head["tail"]).read_bytes(), Path(head["tail"]))
    except (OSError, ValueError):
        return {}, 0
    return found, torn


def _ring(data: bytes, path: Path) -> tuple[Mapping[str, Any], dict[int, bytes], int]:
    """A file's text, its whole records by sequence, and how many slots are torn."""
    text, first, slot_bytes, record_bytes, slots = _header(data, path)
    found = {}
    torn = 0
    view = memoryview(data)
    for index in range(min(slots, max(0, len(data) - first) // slot_bytes)):
        at = first + index * slot_bytes
        mark, crc = struct.unpack_from("<QI", view, at)
        if mark == 0 and crc == 0:
            continue
        record = view[at + _SLOT_HEAD : at + _SLOT_HEAD + record_bytes]
        if mark == 0 or (mark - 1) % slots != index or zlib.crc32(record, zlib.crc32(view[at : at + 8])) != crc:
            torn += 1
        else:
            found[mark - 1] = bytes(record)
    return text, found, torn


def _header(data: bytes, path: Path) -> tuple[Mapping[str, Any], int, int, int, int]:
    if len(data) < _HEADER_BYTES or data[:8] != _MAGIC:
        raise ValueError(f"{path}: not a black box")
    _, version, first, slot_bytes, record_bytes, slots, _, length, crc = _HEADER.unpack_from(data)
    if version != _core.black_box_version:
        raise ValueError(f"{path}: a black box of version {version}; this build reads {_core.black_box_version}")
    head = data[: _HEADER_BYTES + length]
    if zlib.crc32(head[:44] + bytes(4) + head[48:]) != crc or slot_bytes != _SLOT_HEAD + record_bytes or slots == 0:
        raise ValueError(f"{path}: the header of this black box is damaged")
    try:
        text = json.loads(head[_HEADER_BYTES:])
    except (ValueError, RecursionError):
        text = None
    if not isinstance(text, dict) or not isinstance(text.get("tail"), str) or "head" not in text:
        raise ValueError(f"{path}: the header of this black box says nothing of its records")
    return text, first, slot_bytes, record_bytes, slots
