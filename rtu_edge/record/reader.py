"""Reads a run's log, complete or truncated, in memory independent of its length (docs/log.md)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from rtu_edge import _core
from rtu_edge._base.untrusted import allowance, open_regular, parse_json
from rtu_edge.record.head import Head, head_of, used_bytes
from rtu_edge.record.messages import CDR, EPISODES, START, STEPS, checksum, episode_dtype
from rtu_edge.record.parts import Damaged, Messages, Opcode, Part, body, check_index, chunk_size, parts, split, unpacked

__all__ = ["Batch", "Contents", "Log", "pieces", "read_log"]

Array = npt.NDArray[Any]

_BATCH = 8192  # records at a time
_SCHEMAS, _SCHEMA_BYTES = 64, 1 << 16  # kept of a file


class Batch(NamedTuple):
    """Consecutive step and episode records of a log; either may be empty."""

    records: Array
    episodes: Array


@dataclass
class Log:
    """The intact contents of a log.

    Args:
        path, head: see Head.
        start: the learner's checkpoint at the start, or None.
        lost: records that were dropped, as (first sequence, count). end: the result of the run; None if the log ends
            before. cut: reason why reading ended before the end of the file, or "".
        nbytes: of the file; 0 where there is none.
        record_count, episode_count: of the file.
    """

    path: Path
    head: Head
    start: bytes | None = None
    lost: list[tuple[int, int]] = field(default_factory=list)
    end: dict[str, str] | None = None
    cut: str = ""
    nbytes: int = 0
    record_count: int = 0
    episode_count: int = 0
    _held: Batch | None = None  # records read in one piece, or created by the caller

    def batches(self) -> Iterator[Batch]:
        """Its records and episodes in order, in batches of some thousands, read from the file on demand.

        Raises:
            ValueError: the file was changed since it was opened.
            OSError: it cannot be read.
        """
        if self._held is not None:
            yield from pieces(*self._held)
            return
        left, held = self.record_count + self.episode_count, list[Batch]()
        if not left:
            return
        with open(open_regular(self.path), "rb") as stream, contextlib.suppress(Damaged):
            for batch in Contents(self.path).batches(stream):
                left -= len(batch.records) + len(batch.episodes)
                if left < 0:
                    break
                held.append(batch)
                if left == 0 or sum(len(part.records) for part in held) >= _BATCH:
                    yield _joined(held)
                    held = []
                if left == 0:
                    return
        raise ValueError(f"{self.path}: changed while it was read")

    @property
    def records(self) -> Array:
        """All step records in one array, of `head.dtype`; read-only."""
        return self._whole().records

    @records.setter
    def records(self, records: Array) -> None:
        held = self._held.episodes if self._held is not None else np.zeros(0, _core.episode_dtype())
        self._held, self.record_count = Batch(records, held), len(records)

    @property
    def episodes(self) -> Array:
        """All episode records in one array; read-only."""
        return self._whole().episodes

    def _whole(self) -> Batch:
        if self._held is None:
            none = Batch(np.zeros(0, self.head.dtype), np.zeros(0, _core.episode_dtype()))
            self._held = _joined(list(self.batches()) or [none])
            for array in self._held:
                array.flags.writeable = False
        return self._held


def _joined(batches: list[Batch]) -> Batch:
    return Batch(*(np.concatenate(arrays) for arrays in zip(*batches, strict=True)))


def pieces(records: Array, episodes: Array) -> Iterator[Batch]:
    """Arrays as batches: the episodes with the last one."""
    for at in range(0, max(len(records), 1), _BATCH):
        last = at + _BATCH >= len(records)
        yield Batch(records[at : at + _BATCH], episodes if last else episodes[:0])


def read_log(path: str | os.PathLike[str], most: int | None = None, *, follow: bool = True) -> Log:
    """Open a log, complete or truncated: all intact chunks before the cut. Reads it completely once.

    Args:
        path: a regular file.
        most: limit of the messages' memory in bytes; None: 4 times the file's size and 40 MiB.
        follow: follow a symbolic link.

    Raises:
        ValueError: not a log of this package, truncated within its first part, or larger than `most`.
        OSError: it cannot be read.
    """
    path = Path(path)
    with open(open_regular(path, follow=follow), "rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        _check_size(stream, path, allowance(size) if most is None else most)
        return Contents(path).outline(stream)


def _check_size(stream: BinaryIO, path: Path, most: int) -> None:
    """The unpacked size of its chunks, determined before unpacking.

    Raises:
        ValueError: more than `most`.
    """
    total = 0
    with contextlib.suppress(Damaged):
        for part in parts(stream):
            total += chunk_size(stream, part) if part.opcode is Opcode.CHUNK else 0
    if total > most:
        raise ValueError(
            f"{path}: its messages unpack to {total >> 20:,} MiB; at most {most >> 20:,} MiB are "
            "allowed for a file of its size; --memory allows more, for trusted files"
        )


class Contents:
    """State of reading a log, up to the current position."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.log: Log | None = None
        self.start: bytes | None = None
        self.expected: int | None = None  # number of messages in the index
        self.whole = False  # it has a footer
        self.others = 0  # messages of other channels
        self._topics = {1: STEPS, 2: EPISODES}  # as in every log of this package
        self._schemas: dict[int, bytes] = {}
        self._episode: np.dtype[Any] | None = None

    def outline(self, stream: BinaryIO) -> Log:
        """Counts the contents and verifies checksums; stores no record. Raises ValueError."""
        cut = ""
        records = episodes = 0
        try:
            for batch in self.batches(stream):
                records += len(batch.records)
                episodes += len(batch.episodes)
        except Damaged as error:
            cut = str(error)
        log, found = self.log, records + episodes + self.others
        if log is None:
            why = f" ({cut})" if cut else ""
            raise ValueError(f"{self._path}: not a log of rtu_edge, or truncated within its head{why}")
        if not cut and not self.whole:
            cut = "it ends before its index: the run was interrupted, or the file truncated"
        elif not cut and self.expected != found:
            cut = f"it holds {found:,} records, and its index counts {self.expected or 0:,}: a part of it is damaged"
        log.start, log.cut, log.nbytes = self.start, cut, os.fstat(stream.fileno()).st_size
        log.record_count, log.episode_count = records, episodes
        return log

    def batches(self, stream: BinaryIO) -> Iterator[Batch]:
        """The records of each intact chunk after the head; also collects the notes.

        Raises:
            Damaged: at the first damaged part.
            ValueError: the head is not of this version.
        """
        before: Part | None = None
        for part in parts(stream):
            if part.opcode is Opcode.MESSAGE_INDEX:
                check_index(stream, part, before)
            before = part
            if part.opcode is Opcode.METADATA:
                note = body(stream, part)
                self.note(note.name, note.metadata)
            elif part.opcode is Opcode.ATTACHMENT:
                attached = body(stream, part)
                self.start = attached.data if attached.name == START else self.start
            elif part.opcode is Opcode.CHUNK and self.log is not None:
                yield self.messages(unpacked(body(stream, part)))
            elif part.opcode is Opcode.STATISTICS:
                self.expected = body(stream, part).message_count
            self.whole = self.whole or part.opcode is Opcode.FOOTER

    def note(self, name: str, values: dict[str, str]) -> None:
        """Metadata: the head, or the contents of a note. Raises Damaged, ValueError."""
        if name not in ("rtu_edge", "lost", "end") or (self.log is None) != (name == "rtu_edge"):
            return
        if values.pop("crc32", "") != checksum(values):
            raise Damaged(f'its note "{name}" is damaged')
        if self.log is None:
            try:
                plain = parse_json(values.get("head", ""))
            except ValueError as error:
                raise ValueError(f"{self._path}: its head has an invalid configuration: {error}") from None
            self.log = Log(self._path, head_of(plain, self._path))
        elif name == "end":
            self.log.end = values
        else:
            self.log.lost.append(_lost(values))

    def messages(self, data: bytes) -> Batch:
        """A chunk's messages: all of them, or none if one is damaged. Raises Damaged."""
        assert self.log is not None
        steps, episodes, others = bytearray(), bytearray(), 0
        used = used_bytes(self.log.head)
        for part in split(data):
            if not isinstance(part, Messages):
                self._describe(part)
            elif (topic := self._topics.get(part.channel)) == STEPS:
                steps += _payload(part, used, "a record")
            elif topic == EPISODES and self._episode is not None:
                episodes += _payload(part, self._episode.itemsize, "an episode")
            else:
                others += len(part.payload)
        self.others += others
        dtype = self.log.head.dtype
        records = np.zeros(len(steps) // used, dtype)
        rows = np.frombuffer(steps, np.uint8).reshape(len(records), used)
        records.view(np.uint8).reshape(len(records), dtype.itemsize)[:, :used] = rows
        return Batch(records, np.frombuffer(bytes(episodes), self._episode or _core.episode_dtype()))

    def _describe(self, part: Any) -> None:
        """A schema or a channel; keeps only what this package's readers need."""
        if not hasattr(part, "topic"):
            if part.encoding == "ros2msg" and len(part.data) <= _SCHEMA_BYTES and len(self._schemas) < _SCHEMAS:
                self._schemas[part.id] = part.data
            return
        self._topics[part.id] = part.topic if part.topic in (STEPS, EPISODES) else ""
        if part.topic == EPISODES and part.schema_id in self._schemas:
            self._episode = episode_dtype(self._schemas[part.schema_id])


def _payload(part: Messages, used: int, what: str) -> bytes:
    """The bytes after the CDR header of each message. Raises Damaged."""
    found = part.payload[:, len(CDR) :]
    if found.shape[1] != used:
        raise Damaged(f"{what} of {found.shape[1]:,} bytes; {used} are described")
    return found.tobytes()


def _lost(values: dict[str, str]) -> tuple[int, int]:
    """Dropped records: the first, and their number.

    Raises:
        Damaged: invalid numbers.
    """
    try:
        first, count = int(values["first"]), int(values["count"])
    except (KeyError, ValueError):
        raise Damaged('its note "lost" has no numbers') from None
    if not (0 <= first < 2**62 and 0 <= count < 2**62):
        raise Damaged('its note "lost" has no numbers')
    return first, count
