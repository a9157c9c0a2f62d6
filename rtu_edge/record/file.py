"""A run's log as MCAP: every record of the loop, and all data for a replay (docs/log.md).

A message is the loop's record in its memory layout after the four bytes of a CDR header: the layout is valid CDR, so
viewers show every number and a replay gets every bit. `mcap` is imported when a log is opened.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from rtu_edge._base.closing import Closing
from rtu_edge._base.untrusted import to_json
from rtu_edge.record.head import Head, used_bytes
from rtu_edge.record.index import finish
from rtu_edge.record.messages import CDR, START, checksum, described
from rtu_edge.record.parts import Damaged

__all__ = ["PROFILE", "LogFile", "build_id"]

Array = npt.NDArray[Any]

PROFILE = "ros2"  # required by rosbags; messages are CDR and schemas ros2msg, as in that profile

_TIME = 1 << 61  # ns
_RENEWED = 256  # chunks


class LogFile(Closing):
    """An MCAP file being written; a context manager. Closing is idempotent.

    Args:
        path: a new file.
        head: see Head.
        start: the learner's checkpoint at the start, or None.
        episodes: dtype of the episode records.

    Raises:
        OSError: it cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], head: Head, start: bytes | None, episodes: np.dtype[Any]) -> None:
        importlib.import_module(
            "mcap.writer"
        )  # before the file is created: it takes some 20 ms, and a reader may wait for the file

        self.head = head
        self._next = 0
        self._described = described(head, episodes)
        self._step_bytes = used_bytes(head)
        self._flushes = 0
        self._stream: BinaryIO = Path(path).open("w+b")  # noqa: SIM115 (closed by close())
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(self._stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)  # a repair skips a locked file
        try:
            self._writer: Any = self._new_writer()
            self._begin(start)
        except BaseException as error:
            self.abandon()
            if isinstance(error, OSError) and error.filename is None:
                error.filename = os.fspath(path)
            raise

    def _new_writer(self) -> Any:
        """A writer of the library. It keeps an entry for each chunk until its end: a long log takes several in turn."""
        from mcap.writer import IndexType, Writer

        writer = Writer(self._stream, chunk_size=1 << 20, index_types=IndexType.MESSAGE)
        for item in self._described:
            if hasattr(item, "topic"):
                writer.register_channel(item.topic, item.message_encoding, item.schema_id)
            else:
                writer.register_schema(item.name, item.encoding, item.data)
        return writer

    def _begin(self, start: bytes | None) -> None:
        """Data for a replay, and the layout of the records."""
        head = self.head
        self._writer.start(profile=PROFILE, library=f"rtu_edge {head.version}")
        self._note("rtu_edge", {"head": to_json(head).decode()})
        if start is not None:
            at = max(head.epoch_ns, 0)
            self._writer.add_attachment(at, at, START, "application/octet-stream", start)
        self.flush()

    def _note(self, name: str, values: Mapping[str, str]) -> None:
        self._writer.add_metadata(name, {**values, "crc32": checksum(values)})

    def steps(self, records: Array) -> None:
        """Add records of `head.dtype`, in order; a gap in their sequence is recorded as lost."""
        if not len(records):
            return
        sequence = records["sequence"].astype(np.int64)
        for at in np.flatnonzero(np.diff(sequence, prepend=self._next - 1) != 1):
            before = self._next if at == 0 else int(sequence[at - 1]) + 1
            self._note("lost", {"first": str(before), "count": str(int(sequence[at]) - before)})
        self._next = int(sequence[-1]) + 1
        self._add(1, records, self._step_bytes, sequence)

    def episodes(self, records: Array) -> None:
        """Add episodes."""
        self._add(2, records, records.dtype.itemsize, records["episode"])

    def _add(self, channel: int, records: Array, used: int, sequence: Array) -> None:
        raw, stride, add = records.tobytes(), records.dtype.itemsize, self._writer.add_message
        # A black box may hold any time; MCAP has none before 1970.
        times = np.maximum(np.clip(records["t_ns"], -_TIME, _TIME) + self.head.epoch_ns, 0).tolist()
        for index, (when, number) in enumerate(zip(times, sequence.tolist(), strict=True)):
            at = index * stride
            add(channel, when, CDR + raw[at : at + used], when, number & 0xFFFFFFFF)

    def flush(self) -> None:
        """Finish the chunk: everything up to here is readable, even after a crash."""
        self._writer.flush()
        self._flushes += 1
        if self._flushes % _RENEWED == 0:
            self._writer = self._new_writer()

    def free_bytes(self) -> int:
        """Free bytes on its disk."""
        disk = os.fstatvfs(self._stream.fileno())
        return disk.f_bavail * disk.f_frsize

    def close(self, end: Mapping[str, str] | None = None) -> None:
        """Write the result and the index, and close.

        Raises:
            OSError: it cannot be written; the file is closed nevertheless.
        """
        if self._stream.closed:
            return
        try:
            self._writer.flush()
            if end is not None:
                self._note("end", end)
            self._stream.flush()
            channels = [item for item in self._described if hasattr(item, "topic")]
            try:
                finish(self._stream, [item for item in self._described if not hasattr(item, "topic")], channels)
            except Damaged as error:  # an earlier part was not written
                raise OSError(errno.EIO, str(error)) from error
            self._stream.close()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close the file without writing pending data."""
        with contextlib.suppress(OSError):
            self._stream.close()


@functools.cache
def build_id() -> str:
    """Identifies the compiled core: SHA-256 of its file, the first 16 digits."""
    import hashlib

    from rtu_edge import _core

    return hashlib.sha256(Path(str(_core.__file__)).read_bytes()).hexdigest()[:16]
