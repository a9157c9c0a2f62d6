"""A run's log as MCAP: every record of the loop as it happened, and all that a replay needs (docs/log.md).

A message is the loop's record as it stands in memory behind the four bytes of a CDR header: its layout is one that CDR
has, so viewers show every number and a replay gets every bit. `mcap` is imported when a log is opened.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from rtu_edge._closing import Closing
from rtu_edge.log import Row

__all__ = ["EPISODES", "STEPS", "Head", "Log", "LogFile", "head_of", "read_log"]

Array = npt.NDArray[Any]

STEPS = "/rtu_edge/step"
EPISODES = "/rtu_edge/episode"
START = "start.rtu"

_CDR = b"\x00\x01\x00\x00"  # little-endian, plain
_ROS = {"u8": "uint64", "i8": "int64", "u4": "uint32", "f4": "float32", "f8": "float64"}
_MESSAGE = struct.Struct("<BQHIQQ")  # an MCAP message's opcode, length, channel, sequence, log time, publish time
_MESSAGE_OPCODE = 5


class Head(msgspec.Struct, kw_only=True, frozen=True):
    """What a replay needs to know, and what a reader of the numbers does."""

    format: int = 1
    version: str  # of the package
    build: str  # of the compiled core
    isa: str
    machine: str
    configuration: str  # canonical TOML
    configuration_hash: str
    learner: dict[str, Any]  # what makes it again; its state at the start is the attachment
    start_hash: str
    period_s: float
    observations: list[Row]
    actuators: list[Row]
    limits: list[tuple[float, float, float, float, float]]  # after tightening, as the loop had them
    supervised: bool  # a supervisor of this configuration was around the learner
    simulated: bool
    gate: bool
    dry_run: bool = False  # nothing was sent: u is what would have been
    session: int
    clock: str
    hash_every: int
    record: list[tuple[str, str, int]]  # name, type, how many: of a step
    record_bytes: int
    epoch_ns: int  # what to add to a record's t_ns for nanoseconds since 1970
    started: str

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the records, as numpy sees them."""
        offsets = []
        offset = 0
        for _, kind, count in self.record:
            offsets.append(offset)
            offset += np.dtype(kind).itemsize * max(count, 1)
        formats = [kind if count == 0 else (kind, (count,)) for _, kind, count in self.record]
        names = [name for name, _, _ in self.record]
        layout = {"names": names, "formats": formats, "offsets": offsets, "itemsize": self.record_bytes}
        return np.dtype(layout)  # type: ignore[call-overload,no-any-return]


def head_of(plain: Any, path: Path) -> Head:
    """A head from plain values.

    Raises:
        ValueError: another version's, or one that describes no record.
    """
    try:
        head = msgspec.convert(plain, Head)
        if any(kind not in _ROS or not 0 <= count <= 256 for _, kind, count in head.record):
            raise ValueError("record: a field of no known type")
        if not 0 < _used_bytes(head) <= head.record_bytes <= 65_536:
            raise ValueError(f"record_bytes = {head.record_bytes}: must be from {_used_bytes(head)} to 65536")
        _ = head.dtype
    except (ValueError, msgspec.ValidationError) as error:
        raise ValueError(f"{path}: written by another version of rtu_edge: {error}") from None
    return head


def _used_bytes(head: Head) -> int:
    """Of a record, without what pads it."""
    return sum(np.dtype(kind).itemsize * max(count, 1) for _, kind, count in head.record)


def _checksum(values: Mapping[str, str]) -> str:
    """Of metadata, for which MCAP itself has none."""
    return f"{zlib.crc32(json.dumps(values, sort_keys=True).encode()):08x}"


def fields_of(dtype: np.dtype[Any]) -> list[tuple[str, str, int]]:
    """Fields of a record as `Head.record` keeps them: a count of 0 is a plain number."""
    found = []
    for name in dtype.names or ():
        kind = dtype[name]
        found.append((name, kind.base.str.lstrip("<|"), kind.shape[0] if kind.shape else 0))
    return found


def _plain_name(text: str) -> str:
    """A name that ROS allows for a field."""
    return re.sub(r"_+", "_", re.sub(r"[^a-z0-9]", "_", text.lower())).strip("_") or "unnamed"


def _schema(fields: Sequence[tuple[str, str, int]], names: Mapping[str, Sequence[str]]) -> bytes:
    """A message definition; an array whose parts have names becomes one field for each, which takes the same bytes."""
    lines = []
    taken: set[str] = set()
    for name, kind, count in fields:
        parts = [name] if count == 0 else [f"{name}_{_plain_name(part)}" for part in names[name]]
        for index, part in enumerate(parts):
            unique = part if part not in taken else f"{part}_{index}"
            taken.add(unique)
            lines.append(f"{_ROS[kind]} {unique}")
    return "\n".join(lines).encode() + b"\n"


class LogFile(Closing):
    """An MCAP file under way; a context manager. Closing twice is harmless.

    Args:
        path: a new file.
        head: see Head.
        start: the learner's checkpoint at the start, or None.
        episodes: dtype of the episode records.

    Raises:
        OSError: it cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], head: Head, start: bytes | None, episodes: np.dtype[Any]) -> None:
        from mcap.writer import Writer

        self.head = head
        self._next = 0
        self._stream = Path(path).open("wb")  # noqa: SIM115 (closed by close())
        self._writer: Any = Writer(self._stream, chunk_size=4 << 20)
        try:
            self._begin(start, episodes)
        except BaseException as error:
            self.abandon()
            if isinstance(error, OSError) and error.filename is None:
                error.filename = os.fspath(path)
            raise

    def _begin(self, start: bytes | None, episodes: np.dtype[Any]) -> None:
        """The first chunk: what a replay needs, and the layout of the records."""
        head = self.head
        self._writer.start(profile="", library=f"rtu_edge {head.version}")
        self._note("rtu_edge", {"head": msgspec.json.encode(head).decode()})
        if start is not None:
            at = max(head.epoch_ns, 0)
            self._writer.add_attachment(at, at, START, "application/octet-stream", start)
        actuators = [row.name for row in head.actuators]
        names = {"x": [row.name for row in head.observations], "u": actuators, "executed": actuators}
        step = self._writer.register_schema("rtu_edge/msg/Step", "ros2msg", _schema(head.record, names))
        fields = fields_of(episodes)
        episode = self._writer.register_schema("rtu_edge/msg/Episode", "ros2msg", _schema(fields, {}))
        self._steps = self._writer.register_channel(STEPS, "cdr", step)
        self._episodes = self._writer.register_channel(EPISODES, "cdr", episode)
        self._step_bytes = _used_bytes(head)
        self.flush()

    def _note(self, name: str, values: Mapping[str, str]) -> None:
        self._writer.add_metadata(name, {**values, "crc32": _checksum(values)})

    def steps(self, records: Array) -> None:
        """Add records of `head.dtype`, in order; a gap in their sequence is written down as lost."""
        if not len(records):
            return
        sequence = records["sequence"].astype(np.int64)
        for at in np.flatnonzero(np.diff(sequence, prepend=self._next - 1) != 1):
            before = self._next if at == 0 else int(sequence[at - 1]) + 1
            self._note("lost", {"first": str(before), "count": str(int(sequence[at]) - before)})
        self._next = int(sequence[-1]) + 1
        self._add(self._steps, records, self._step_bytes, sequence)

    def episodes(self, records: Array) -> None:
        """Add episodes."""
        self._add(self._episodes, records, records.dtype.itemsize, records["episode"])

    def _add(self, channel: int, records: Array, used: int, sequence: Array) -> None:
        raw, stride, add = records.tobytes(), records.dtype.itemsize, self._writer.add_message
        times = np.maximum(records["t_ns"] + self.head.epoch_ns, 0).tolist()  # MCAP has no time before 1970
        for index, (when, number) in enumerate(zip(times, sequence.tolist(), strict=True)):
            at = index * stride
            add(channel, when, _CDR + raw[at : at + used], when, number & 0xFFFFFFFF)

    def flush(self) -> None:
        """Finish the chunk: all up to here can be read, whatever comes."""
        self._writer.flush()

    def room(self) -> int:
        """Bytes that are free on its disk."""
        disk = os.fstatvfs(self._stream.fileno())
        return disk.f_bavail * disk.f_frsize

    def close(self, end: Mapping[str, str] | None = None) -> None:
        """Write how it ended, the index, and close.

        Raises:
            OSError: it cannot be written; the file is closed all the same.
        """
        if self._stream.closed:
            return
        try:
            if end is not None:
                self._writer.flush()
                self._note("end", end)
            self._writer.finish()
            self._stream.close()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close the file as it is, without what is not written yet."""
        with contextlib.suppress(OSError):
            self._stream.close()


@dataclass
class Log:
    """What is in a log, as far as it is whole.

    Args:
        head: see Head.
        start: the learner's checkpoint at the start, or None.
        records, episodes: in order.
        lost: records that were dropped on the way, as (first sequence, count).
        end: how the run ended; None when the log ends before.
        cut: why reading ended before the file's own end, or "".
    """

    path: Path
    head: Head
    start: bytes | None = None
    records: Array = field(default_factory=lambda: np.zeros(0))
    episodes: list[bytes] = field(default_factory=list)
    lost: list[tuple[int, int]] = field(default_factory=list)
    end: dict[str, str] | None = None
    cut: str = ""


def read_log(path: str | os.PathLike[str]) -> Log:
    """Read a log, also one that was cut short anywhere: all whole chunks before the cut.

    Raises:
        ValueError: not a log of this package, or cut before its first part is whole.
        OSError: it cannot be read.
    """
    from mcap.records import Attachment, Chunk, Footer, Metadata, Statistics

    path = Path(path)
    log: Log | None = None
    parts: list[bytes] = []
    start: bytes | None = None
    cut = ""
    whole = False
    expected: int | None = None
    with path.open("rb") as stream:
        try:
            for record in _records(stream):
                if isinstance(record, Metadata):
                    log = _take_note(record, log, path)
                elif isinstance(record, Attachment) and record.name == START:
                    start = record.data
                elif isinstance(record, Chunk) and log is not None:
                    _unpack(record, log, parts)
                elif isinstance(record, Statistics):
                    expected = record.message_count
                whole = whole or isinstance(record, Footer)
        except _Damaged as error:
            cut = str(error)
    if log is None:
        raise ValueError(f"{path}: not a log of rtu_edge, or cut before its head{f' ({cut})' if cut else ''}")
    found = len(parts) + len(log.episodes)
    if not cut and not whole:
        cut = "it ends before its index: the run was interrupted, or the file cut"
    elif not cut and expected != found:
        cut = f"it holds {found:,} records, and its index counts {expected or 0:,}: a part of it is damaged"
    log.start, log.cut = start, cut
    log.records = np.frombuffer(b"".join(parts), dtype=log.head.dtype)
    return log


def _take_note(record: Any, log: Log | None, path: Path) -> Log | None:
    """Metadata: the head, which makes the log, or what belongs into it."""
    if record.name not in ("rtu_edge", "lost", "end") or (log is None) != (record.name == "rtu_edge"):
        return log
    values = dict(record.metadata)
    if values.pop("crc32", "") != _checksum(values):
        raise _Damaged(f'its note "{record.name}" is damaged')
    if log is None:
        try:
            return Log(path, head_of(json.loads(values.get("head", "")), path))
        except RecursionError:
            raise ValueError(f"{path}: its head is no configuration") from None
    if record.name == "end":
        log.end = values
    else:
        log.lost.append((int(values["first"]), int(values["count"])))
    return log


class _Damaged(Exception):
    """Reading cannot go on."""


def _records(stream: Any) -> Iterator[Any]:
    from mcap.exceptions import McapError
    from mcap.stream_reader import StreamReader

    try:
        size = os.fstat(stream.fileno()).st_size
        yield from StreamReader(stream, emit_chunks=True, record_size_limit=size).records
    except (McapError, ValueError, EOFError, struct.error, UnicodeDecodeError, OverflowError, MemoryError) as error:
        reason = str(error) or type(error).__name__
        raise _Damaged(f"it ends inside a part of the file, near byte {stream.tell():,} ({reason})") from None


def _unpack(chunk: Any, log: Log, parts: list[bytes]) -> None:
    """Payloads of a chunk's messages: steps, padded to the record's size, into parts; episodes into the log."""
    from mcap.stream_reader import get_chunk_data_stream

    try:
        stream, length = get_chunk_data_stream(chunk)
    except Exception as error:  # each compressor has errors of its own
        raise _Damaged(f"a chunk of it is damaged ({error})") from None
    data = stream.read(length)
    if zlib.crc32(data) != chunk.uncompressed_crc:
        raise _Damaged("a chunk of it is damaged: its checksum does not fit its bytes")
    used = _used_bytes(log.head)
    padding = bytes(log.head.record_bytes - used)
    at = 0
    while at + _MESSAGE.size <= length:
        opcode, size, channel, *_ = _MESSAGE.unpack_from(data, at)
        if opcode == _MESSAGE_OPCODE:
            payload = data[at + _MESSAGE.size + len(_CDR) : at + 9 + size]
            if channel != 1:
                log.episodes.append(payload)
            elif len(payload) == used:
                parts.append(payload + padding)
            else:
                raise _Damaged(f"a record of {len(payload)} bytes, its head says {used}")
        at += 9 + size


@functools.cache
def build_id() -> str:
    """What tells one compiled core from another: SHA-256 of its file, the first 16 digits."""
    import hashlib

    from rtu_edge import _core

    return hashlib.sha256(Path(str(_core.__file__)).read_bytes()).hexdigest()[:16]
