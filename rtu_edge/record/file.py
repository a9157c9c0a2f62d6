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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from rtu_edge._base.closing import Closing
from rtu_edge._base.untrusted import open_regular, parse_json, room, to_json
from rtu_edge.record.head import ROS, Head, fields_of, head_of, used_bytes
from rtu_edge.record.parts import (
    Damaged,
    Opcode,
    attachment,
    chunk,
    chunk_size,
    message_count,
    metadata,
    parts,
    unpacked,
)

__all__ = ["EPISODES", "STEPS", "Head", "Log", "LogFile", "build_id", "fields_of", "head_of", "read_log"]

Array = npt.NDArray[Any]

STEPS = "/rtu_edge/step"
EPISODES = "/rtu_edge/episode"
START = "start.rtu"

_CDR = b"\x00\x01\x00\x00"  # little-endian, plain
_MESSAGE = struct.Struct("<BQHIQQ")  # an MCAP message's opcode, length, channel, sequence, log time, publish time
_MESSAGE_OPCODE = 5
_IN_A_CHUNK = (3, 4, _MESSAGE_OPCODE)  # schemas, channels, messages
_TIME = 1 << 61  # ns


def _checksum(values: Mapping[str, str]) -> str:
    """Of metadata, for which MCAP itself has none."""
    return f"{zlib.crc32(json.dumps(values, sort_keys=True).encode()):08x}"


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
            lines.append(f"{ROS[kind]} {unique}")
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
        self._note("rtu_edge", {"head": to_json(head).decode()})
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
        self._step_bytes = used_bytes(head)
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
        # A black box may hold any time; MCAP has none before 1970.
        times = np.maximum(np.clip(records["t_ns"], -_TIME, _TIME) + self.head.epoch_ns, 0).tolist()
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
        nbytes: of the file; 0 where there is none.
    """

    path: Path
    head: Head
    start: bytes | None = None
    records: Array = field(default_factory=lambda: np.zeros(0))
    episodes: list[bytes] = field(default_factory=list)
    lost: list[tuple[int, int]] = field(default_factory=list)
    end: dict[str, str] | None = None
    cut: str = ""
    nbytes: int = 0


def read_log(path: str | os.PathLike[str], most: int | None = None) -> Log:
    """Read a log, also one that was cut short anywhere: all whole chunks before the cut.

    Args:
        path: a regular file.
        most: bytes that its messages may take in memory; None: 4 times the file's size and 40 MiB.

    Raises:
        ValueError: not a log of this package, cut before its first part is whole, or larger than `most`.
        OSError: it cannot be read.
    """
    path = Path(path)
    with open(open_regular(path), "rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        _check_size(stream, path, room(size) if most is None else most)
        return _Reader(path).read(stream)


def _check_size(stream: BinaryIO, path: Path, most: int) -> None:
    """What its chunks unpack to, before one of them is.

    Raises:
        ValueError: more than `most`.
    """
    total = 0
    with contextlib.suppress(Damaged):
        for opcode, length in parts(stream):
            total += chunk_size(stream, length) if opcode is Opcode.CHUNK else 0
    if total > most:
        raise ValueError(
            f"{path}: its messages unpack to {total >> 20:,} MiB; at most {most >> 20:,} MiB are taken for a file of"
            " its size; --memory allows more, where you trust the file"
        )
    stream.seek(0)


class _Reader:
    """A log under way."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log: Log | None = None
        self._parts = bytearray()
        self._records = 0
        self._start: bytes | None = None
        self._expected: int | None = None

    def read(self, stream: BinaryIO) -> Log:
        """Raises ValueError."""
        cut, whole = "", False
        try:
            for opcode, length in parts(stream):
                self._take(stream, opcode, length)
                whole = whole or opcode is Opcode.FOOTER
        except Damaged as error:
            cut = str(error)
        log = self._log
        if log is None:
            raise ValueError(f"{self._path}: not a log of rtu_edge, or cut before its head{f' ({cut})' if cut else ''}")
        found = self._records + len(log.episodes)
        if not cut and not whole:
            cut = "it ends before its index: the run was interrupted, or the file cut"
        elif not cut and self._expected != found:
            cut = f"it holds {found:,} records, and its index counts {self._expected or 0:,}: a part of it is damaged"
        log.start, log.cut, log.nbytes = self._start, cut, os.fstat(stream.fileno()).st_size
        log.records = np.frombuffer(self._parts, dtype=log.head.dtype)
        log.records.flags.writeable = False
        return log

    def _take(self, stream: BinaryIO, opcode: Opcode, length: int) -> None:
        if opcode is Opcode.METADATA:
            self._note(*metadata(stream, length))
        elif opcode is Opcode.ATTACHMENT:
            name, data = attachment(stream, length)
            self._start = data if name == START else self._start
        elif opcode is Opcode.CHUNK and self._log is not None:
            self._messages(self._log, unpacked(chunk(stream, length)))
        elif opcode is Opcode.STATISTICS:
            self._expected = message_count(stream, length)

    def _note(self, name: str, values: dict[str, str]) -> None:
        """Metadata: the head, which makes the log, or what belongs into it."""
        if name not in ("rtu_edge", "lost", "end") or (self._log is None) != (name == "rtu_edge"):
            return
        if values.pop("crc32", "") != _checksum(values):
            raise Damaged(f'its note "{name}" is damaged')
        if self._log is None:
            try:
                plain = parse_json(values.get("head", ""))
            except ValueError as error:
                raise ValueError(f"{self._path}: its head is no configuration: {error}") from None
            self._log = Log(self._path, head_of(plain, self._path))
        elif name == "end":
            self._log.end = values
        else:
            self._log.lost.append(_lost(values))

    def _messages(self, log: Log, data: bytes) -> None:
        """Payloads of a chunk's messages: steps, padded to the record's size; episodes."""
        used = used_bytes(log.head)
        padding = bytes(log.head.record_bytes - used)
        at = 0
        while at + _MESSAGE.size <= len(data):
            opcode, size, channel, *_ = _MESSAGE.unpack_from(data, at)
            if opcode not in _IN_A_CHUNK:
                raise Damaged("a chunk of it holds what belongs into none")
            if opcode == _MESSAGE_OPCODE:
                payload = data[at + _MESSAGE.size + len(_CDR) : at + 9 + size]
                if channel != 1:
                    log.episodes.append(payload)
                elif len(payload) == used:
                    self._parts += payload
                    self._parts += padding
                    self._records += 1
                else:
                    raise Damaged(f"a record of {len(payload):,} bytes, its head says {used}")
            at += 9 + size


def _lost(values: Mapping[str, str]) -> tuple[int, int]:
    """Records that were dropped: the first, and how many.

    Raises:
        Damaged: no such numbers.
    """
    try:
        first, count = int(values["first"]), int(values["count"])
    except (KeyError, ValueError):
        raise Damaged('its note "lost" gives no numbers') from None
    if not (0 <= first < 2**62 and 0 <= count < 2**62):
        raise Damaged('its note "lost" gives no numbers')
    return first, count


@functools.cache
def build_id() -> str:
    """What tells one compiled core from another: SHA-256 of its file, the first 16 digits."""
    import hashlib

    from rtu_edge import _core

    return hashlib.sha256(Path(str(_core.__file__)).read_bytes()).hexdigest()[:16]
