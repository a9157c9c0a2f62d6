"""The black box: the last minutes of a run in a file of fixed size that survives the process (docs/blackbox.md).

The native core writes it (native/runtime/record/black_box.h); this module opens black boxes and reads them in any
state.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from rtu_edge import _core
from rtu_edge._base.closing import Closing
from rtu_edge._base.errors import cause_of
from rtu_edge._base.untrusted import open_regular, parse_json, read_file, to_json
from rtu_edge.record.head import Head, head_of

__all__ = ["BlackBox", "Contents", "Ring", "box_of", "read", "same_box", "settle", "tail_name"]

Array = npt.NDArray[Any]

SHARED_MEMORY = Path("/dev/shm")
TAIL_SLOTS = 8192
_TAIL_BYTES = 1 << 28  # larger than any tail

_MAGIC = b"RTUBBOX\0"
_HEADER = struct.Struct("<8sIIIIQQII")  # magic, version, first, slot bytes, record bytes, slots, id, text bytes, CRC
_HEADER_BYTES = 64
_SLOT_HEAD = 16
_RECORD_BYTES = 1 << 16


class BlackBox(Closing):
    """An open black box; a context manager. Closing is idempotent.

    Args:
        path: the ring on disk; an existing file is replaced.
        head: description of the records, stored in the file.
        slots: capacity in records.
        shared: a folder in a memory file system for the tail, or None: then a crash loses up to 20 ms more.

    Raises:
        OSError: no space, or no permission; it names the file.
    """

    def __init__(
        self, path: str | os.PathLike[str], head: Head, slots: int, shared: Path | None = SHARED_MEMORY
    ) -> None:
        identity = secrets.randbits(63)
        self.path = Path(path)
        self.tail = shared / tail_name(identity) if shared is not None and os.access(shared, os.W_OK) else None
        tail = str(self.tail) if self.tail is not None else ""
        where = os.path.abspath(path)  # matches a tail left by a crash with its black box
        text = to_json({"tail": tail, "box": where, "head": msgspec.to_builtins(head)}).decode()
        n, m = len(head.observations), len(head.actuators)
        self.core = _core.BlackBox(os.fspath(path), tail, identity, n, m, slots, min(slots, TAIL_SLOTS), text)

    @property
    def lost(self) -> int:
        """Records overwritten before they were flushed, because the disk was too slow."""
        return self.core.overwritten

    @property
    def problem(self) -> str:
        """Error of the first failed write, or ""."""
        return cause_of(OSError(self.core.error, os.strerror(self.core.error))) if self.core.error else ""

    def close(self) -> None:
        """Flush everything to the disk, and remove the tail."""
        self.core.close()


@dataclass(frozen=True)
class Contents:
    """The contents of a black box.

    Args:
        head: description of the records.
        records: the intact records, in order.
        torn: number of damaged slots.
        missing: number of missing records between the first and the last.
        from_tail: number of records found only in the tail, after a crash of the process.
    """

    path: Path
    head: Head
    records: Array
    torn: int
    missing: int
    from_tail: int


def read(path: str | os.PathLike[str], shared: Path = SHARED_MEMORY) -> Contents:
    """Read a black box in any state; damaged parts are skipped.

    Args:
        path: a regular file.
        shared: the folder of its tail, whose name follows from its id; paths in the file are ignored.

    Raises:
        ValueError: its header is damaged, or does not describe the records.
        OSError: it cannot be read.
    """
    path = Path(path)
    with open(open_regular(path), "rb") as file:
        ring, owner = Ring(file.read(), path), os.fstat(file.fileno()).st_uid
    head = head_of(ring.text["head"], path)
    if head.record_bytes != ring.record_bytes:
        raise ValueError(f"{path}: records of {ring.record_bytes} bytes; its text describes {head.record_bytes}")
    tail = _tail(ring, shared, owner)
    fresh = _fresh(ring, tail)
    found = np.concatenate([ring.sequences, tail.sequences[fresh] if tail is not None else ring.sequences[:0]])
    slots = np.concatenate([ring.records, tail.records[fresh]]) if tail is not None and len(fresh) else ring.records
    order = np.argsort(found, kind="stable")
    newest = int(found.max()) if len(found) else 0
    order = order[found[order] > np.uint64(newest - ring.slots)] if ring.slots <= newest else order
    missing = newest - int(found[order[0]]) + 1 - len(order) if len(order) else 0
    records = slots[order].reshape(-1).view(head.dtype)
    torn = ring.torn + (tail.torn if tail is not None else 0)
    return Contents(path, head, records, torn, missing, len(fresh))


def settle(path: str | os.PathLike[str], shared: Path = SHARED_MEMORY, *, over: bool = False) -> int:
    """After a crash: merge the tail into the file, and remove the tail.

    Args:
        path: a regular file, no link.
        shared: as for read().
        over: the run is known to have ended, even if the file system does not support locks.

    Returns:
        Number of merged records; 0 also while the writing run is alive.

    Raises:
        ValueError, OSError: as read().
    """
    with open(open_regular(path, os.O_RDWR, follow=False), "r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return 0
        except OSError:  # a file system without locks
            if not over:
                return 0
        ring = Ring(file.read(), Path(path))
        tail = _tail(ring, shared, os.fstat(file.fileno()).st_uid)
        if tail is None:
            return 0
        fresh = _fresh(ring, tail)
        for place in fresh:
            sequence, record = int(tail.sequences[place]), tail.records[place].tobytes()
            mark = struct.pack("<Q", sequence + 1)
            file.seek(ring.first + sequence % ring.slots * ring.slot_bytes)
            file.write(mark + struct.pack("<Q", zlib.crc32(record, zlib.crc32(mark))) + record)
        file.flush()
        os.fsync(file.fileno())
        tail.path.unlink(missing_ok=True)
    return len(fresh)


def box_of(tail: Path) -> Path | None:
    """The black box that a tail names; None if the name is invalid."""
    try:
        box = Ring(read_file(tail, _TAIL_BYTES, follow=False), tail).text.get("box")
    except (OSError, ValueError):
        return None
    return Path(box) if isinstance(box, str) and os.path.isabs(box) else None


class Ring:
    """The header, and the intact records of a file or of a tail.

    Args:
        data: all bytes of the file.
        path: for errors.

    Raises:
        ValueError: the header is damaged.
    """

    def __init__(self, data: bytes, path: Path) -> None:
        self.path = path
        self._header(data)
        begin = min(self.first, len(data))  # a file cut before slot 0 has none
        count = min(self.slots, (len(data) - begin) // self.slot_bytes)
        table = np.frombuffer(data, np.uint8, count * self.slot_bytes, begin).reshape(count, self.slot_bytes)
        heads = np.ascontiguousarray(table[:, :12])
        marks, crcs = heads[:, :8].copy().view("<u8")[:, 0], heads[:, 8:].copy().view("<u4")[:, 0]
        whole = np.zeros(count, bool)
        crc32, view, used = zlib.crc32, memoryview(data), _SLOT_HEAD + self.record_bytes
        at = begin
        for index, (mark, crc) in enumerate(zip(marks.tolist(), crcs.tolist(), strict=True)):
            if mark and (mark - 1) % self.slots == index:
                whole[index] = crc32(view[at + _SLOT_HEAD : at + used], crc32(view[at : at + 8])) == crc
            at += self.slot_bytes
        self.torn = int((((marks != 0) | (crcs != 0)) & ~whole).sum())
        self.sequences: Array = marks[whole] - np.uint64(1)
        self.records: Array = table[whole, _SLOT_HEAD:used]  # a copy

    def _header(self, data: bytes) -> None:
        if len(data) < _HEADER_BYTES or data[:8] != _MAGIC:
            raise ValueError(f"{self.path}: not a black box")
        _, version, first, slot_bytes, record_bytes, slots, identity, length, crc = _HEADER.unpack_from(data)
        if version != _core.black_box_version:
            raise ValueError(
                f"{self.path}: a black box of version {version}; this build reads {_core.black_box_version}"
            )
        head = data[: _HEADER_BYTES + min(length, len(data))]
        sizes = slot_bytes == _SLOT_HEAD + record_bytes and 0 < record_bytes <= _RECORD_BYTES and slots > 0
        if zlib.crc32(head[:44] + bytes(4) + head[48:]) != crc or not sizes or first < len(head):
            raise ValueError(f"{self.path}: the header of this black box is damaged")
        try:
            text = parse_json(head[_HEADER_BYTES:])
        except ValueError:
            text = None
        if not isinstance(text, dict) or not isinstance(text.get("tail"), str) or "head" not in text:
            raise ValueError(f"{self.path}: the header of this black box does not describe its records")
        self.text: dict[str, Any] = text
        self.first, self.slot_bytes, self.record_bytes, self.slots = first, slot_bytes, record_bytes, slots
        self.identity = identity


def _tail(ring: Ring, shared: Path, owner: int) -> Ring | None:
    """The tail of a box: a regular file of its id's name, with its id, of the same user. Anything else is ignored."""
    path = shared / tail_name(ring.identity)
    most = ring.first + TAIL_SLOTS * ring.slot_bytes
    try:
        with open(open_regular(path, follow=False), "rb") as file:
            found = os.fstat(file.fileno())
            if found.st_uid != owner or found.st_size > most:
                return None
            tail = Ring(file.read(most), path)
    except (OSError, ValueError):
        return None
    return tail if same_box(ring, tail) else None


def same_box(ring: Ring, tail: Ring) -> bool:
    """Whether a file is the tail of a box."""
    return (tail.identity, tail.record_bytes) == (ring.identity, ring.record_bytes)


def _fresh(ring: Ring, tail: Ring | None) -> Array:
    """Indices in the tail of records missing in the file, in order."""
    if tail is None:
        return np.zeros(0, np.int64)
    places = np.flatnonzero(~np.isin(tail.sequences, ring.sequences))
    return places[np.argsort(tail.sequences[places], kind="stable")]


def tail_name(identity: int) -> str:
    """The file of a box's tail."""
    return f"rtu-edge-{identity:016x}.tail"
