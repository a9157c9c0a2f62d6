"""The records of a run while it runs, read by another process: it opens the black box's tail read-only and copies what
is new (docs/blackbox.md, docs/watch.md).

It takes no lock and asks the run for nothing, so that it cannot delay or stop the loop that writes.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rtu_edge._base.closing import Closing
from rtu_edge._base.untrusted import TEXT_BYTES, open_regular
from rtu_edge.record.blackbox import SHARED_MEMORY, Ring, same_box, tail_name
from rtu_edge.record.head import Head, head_of

__all__ = ["Follower"]

Array = npt.NDArray[Any]

_HEADER_MAX = 2 * TEXT_BYTES
_READ = 256  # slots
_TAKEN_MAX = 4096


class Follower(Closing):
    """Reads a black box while it is written; a context manager. Starts after the records that are there already.

    Args:
        path: the box, of a run that is under way or about to start: take() opens it as soon as there is one, and again
            when a new session has replaced it.
        shared: the folder of its tail; without a tail the box itself is read, up to 20 ms later.
    """

    def __init__(self, path: str | os.PathLike[str], shared: Path = SHARED_MEMORY) -> None:
        self.path = Path(path)
        self.head: Head | None = None
        self.dropped = 0  # records that were overwritten before take() came
        self._shared = shared
        self._identity = 0
        self._handle = -1
        self._damaged = False
        self._next = 0  # sequence

    def look(self) -> bool:
        """Open the box if a session has started since; True if one has: `head` is that of the new session.

        Raises:
            ValueError: the box is of another version.
            OSError: it cannot be read; not because it is missing.
        """
        try:
            with open(open_regular(self.path), "rb") as file:
                header = _header(file.fileno(), self.path)
                if header is None or header.identity == self._identity:
                    return False
                head = head_of(header.text["head"], self.path)
                found = self._source(header, file.fileno())
        except FileNotFoundError:
            return False
        except ValueError:
            if self._damaged:  # twice in a row: it is not just being written
                raise
            self._damaged = True
            return False
        self._damaged = False
        if found is None:
            return False
        ring, handle = found
        if head.record_bytes != ring.record_bytes:
            os.close(handle)
            raise ValueError(f"{self.path}: its text describes records of another size")
        self.close()
        self._handle, self._ring = handle, ring
        first, self.head, self._identity = self._identity == 0, head, header.identity
        self._next = self._newest() if first else 0  # of a later session, from its first record
        return True

    def _source(self, header: Ring, box: int) -> tuple[Ring, int] | None:
        """What to read, with a descriptor: the tail, or the box if it has none; None: the run has ended."""
        if not header.text["tail"]:
            return header, os.dup(box)
        path = self._shared / tail_name(header.identity)
        try:
            handle = open_regular(path, follow=False)
        except (OSError, ValueError):
            return None
        try:
            ring = _header(handle, path)
            if ring is not None and same_box(header, ring) and os.fstat(handle).st_uid == os.fstat(box).st_uid:
                return ring, handle
        except ValueError:
            pass
        os.close(handle)
        return None

    def take(self) -> Array:
        """The records since the last call, in order, at most some thousands; empty while there are none. Those that
        were overwritten meanwhile are counted in `dropped`.
        """
        found: list[bytes] = []
        while self._handle >= 0 and len(found) < _TAKEN_MAX:
            slots = self._slots(self._next, _READ)
            before = len(found)
            for mark, record in slots:
                if mark != self._next + 1 or record is None:
                    break
                found.append(record)
                self._next = mark
            if len(found) - before < len(slots) and not self._skip(slots[len(found) - before :]):
                break
        data = np.frombuffer(b"".join(found), np.uint8)
        return data.view(self.head.dtype) if self.head is not None else data

    def _skip(self, slots: list[tuple[int, bytes | None]]) -> bool:
        """Go past records that will not come: overwritten, or damaged with newer ones behind; False: nothing is new."""
        mark = max((mark for mark, _ in slots[:2]), default=0)
        if mark <= self._next + 1:
            return False
        begin = self._next
        self._next = max(begin + 1, self._newest() - self._ring.slots // 2) if slots[0][0] > begin + 1 else begin + 1
        self.dropped += self._next - begin
        return True

    def _newest(self) -> int:
        """The largest mark in the ring: the sequence of its newest record + 1."""
        newest = 0
        for sequence in range(0, self._ring.slots, _READ):
            newest = max([newest, *(mark for mark, _ in self._slots(sequence, _READ))])
        return newest

    def _slots(self, sequence: int, count: int) -> list[tuple[int, bytes | None]]:
        """Mark and record of the slots from a sequence's on, to the end of the ring at most; None for a record that is
        being written, or is damaged.
        """
        ring = self._ring
        place = sequence % ring.slots
        size = min(count, ring.slots - place) * ring.slot_bytes
        data = os.pread(self._handle, size, ring.first + place * ring.slot_bytes)
        found: list[tuple[int, bytes | None]] = []
        for at in range(0, len(data) - ring.slot_bytes + 1, ring.slot_bytes):
            record = data[at + 16 : at + 16 + ring.record_bytes]
            whole = zlib.crc32(record, zlib.crc32(data[at : at + 8])) == int.from_bytes(
                data[at + 8 : at + 12], "little"
            )
            found.append((int.from_bytes(data[at : at + 8], "little"), record if whole else None))
        return found

    def close(self) -> None:
        """Close the file; `head` and `dropped` stay."""
        if self._handle >= 0:
            os.close(self._handle)
        self._handle = -1


def _header(handle: int, path: Path) -> Ring | None:
    """The header alone; None while a new box is being made. Raises ValueError: of another version."""
    data = os.pread(handle, 64, 0)
    if len(data) < 64 or data == bytes(64):
        return None
    first = min(int.from_bytes(data[12:16], "little"), _HEADER_MAX)
    return Ring(os.pread(handle, first, 0), path)
