"""The end of a log: its index and its footer, written at the end of a run, or by `rtu-edge log repair` for a cut file.

The index is built from the file itself, so that a run of weeks does not hold it in memory (the writer of the `mcap`
library keeps some 750 bytes per chunk, 60 MiB a day), and the same code closes the file of a killed run.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from rtu_edge._base.errors import ConfigError
from rtu_edge._base.untrusted import open_regular
from rtu_edge.record.messages import described
from rtu_edge.record.parts import CHUNK, HEAD, MAGIC, Damaged, Messages, Opcode, Part, body, parts, split, unpacked
from rtu_edge.record.reader import Contents, read_log

__all__ = ["Repaired", "finish", "repair"]

_CHUNK_INDEX, _ATTACHMENT_INDEX, _METADATA_INDEX = 0x08, 0x0A, 0x0D
_ENTRY = 16  # bytes of a message index for each message
_KEPT = 256  # schemas or channels of a file


@dataclass
class _Counts:
    """Statistics of a file, and the offsets of its other parts."""

    attachments: list[Part] = field(default_factory=list)
    notes: list[Part] = field(default_factory=list)
    chunks: int = 0
    begin: int = 0  # ns, of the messages
    end: int = 0
    messages: dict[int, int] = field(default_factory=dict)  # by channel


class _Summary:
    """Writes the summary section in the order of its groups, in small pieces; computes its CRC."""

    def __init__(self, stream: BinaryIO) -> None:
        from mcap.data_stream import RecordBuilder

        self._stream = stream
        self._builder: Any = RecordBuilder()
        self.start = stream.tell()
        self.crc = 0
        self.offsets: list[tuple[int, int, int]] = []  # opcode, begin, bytes

    def group(self, opcode: int, records: Iterable[Any]) -> None:
        """Records of one kind."""
        begin = self._stream.tell()
        for record in records:
            record.write(self._builder)
            if self._builder.count > 1 << 16:
                self.flush()
        self.flush()
        self.offsets.append((opcode, begin, self._stream.tell() - begin))

    def flush(self) -> None:
        """Write the buffer to the file."""
        data = self._builder.end()
        self.crc = zlib.crc32(data, self.crc)
        self._stream.write(data)

    def close(self) -> None:
        """The offsets of the groups, and the footer."""
        from mcap import records

        begin = self._stream.tell()
        for opcode, at, size in self.offsets:
            records.SummaryOffset(group_opcode=opcode, group_start=at, group_length=size).write(self._builder)
        self.flush()
        footer = records.Footer(summary_start=self.start, summary_offset_start=begin, summary_crc=0)
        footer.write(self._builder)
        self.crc = zlib.crc32(self._builder.end()[:-4], self.crc)  # of all before the checksum itself
        footer.summary_crc = self.crc
        footer.write(self._builder)
        self._stream.write(self._builder.end() + MAGIC)


def finish(stream: BinaryIO, schemas: Iterable[Any], channels: Iterable[Any]) -> None:
    """Append the end of the data section, the summary and the footer to a file.

    Args:
        stream: open for writing; it holds complete parts of an MCAP, and after each chunk the index of its messages.
        schemas, channels: of `mcap.records`.

    Raises:
        OSError: it cannot be written.
        Damaged: it holds other data.
    """
    from mcap import records
    from mcap.data_stream import RecordBuilder

    stream.flush()
    schemas, channels = list(schemas), list(channels)
    with open(f"/proc/self/fd/{stream.fileno()}", "rb") as source:
        counts = _count(source)
        stream.seek(0, os.SEEK_END)
        data_end = stream.tell()
        builder: Any = RecordBuilder()
        records.DataEnd(data_section_crc=0).write(builder)
        stream.write(builder.end())
        statistics = records.Statistics(
            attachment_count=len(counts.attachments),
            channel_count=len(channels),
            channel_message_counts=counts.messages,
            chunk_count=counts.chunks,
            message_count=sum(counts.messages.values()),
            message_end_time=counts.end,
            message_start_time=counts.begin,
            metadata_count=len(counts.notes),
            schema_count=len(schemas),
        )
        summary = _Summary(stream)
        summary.group(Opcode.SCHEMA, schemas)
        summary.group(Opcode.CHANNEL, channels)
        summary.group(Opcode.STATISTICS, [statistics])
        summary.group(_CHUNK_INDEX, _chunk_indexes(source, data_end))
        summary.group(_ATTACHMENT_INDEX, (_attachment_index(source, part) for part in counts.attachments))
        summary.group(_METADATA_INDEX, (_metadata_index(source, part) for part in counts.notes))
        summary.close()
    stream.flush()


def _count(source: BinaryIO) -> _Counts:
    """Raises Damaged."""
    counts = _Counts()
    for part in parts(source):
        if part.opcode is Opcode.CHUNK:
            begin, end, *_ = CHUNK.unpack(source.read(CHUNK.size))
            counts.begin = min(begin, counts.begin) if counts.chunks else begin
            counts.end = max(end, counts.end)
            counts.chunks += 1
        elif part.opcode is Opcode.MESSAGE_INDEX:
            (channel,) = struct.unpack("<H", source.read(2))
            counts.messages[channel] = counts.messages.get(channel, 0) + (part.length - 6) // _ENTRY
        elif part.opcode is Opcode.ATTACHMENT:
            counts.attachments.append(part)
        elif part.opcode is Opcode.METADATA:
            counts.notes.append(part)
    return counts


def _chunk_indexes(source: BinaryIO, data_end: int) -> Iterator[Any]:
    """The index entry of each chunk: its offset, and those of its message indexes."""
    from mcap import records

    entry: Any = None
    for part in parts(source):
        if part.at >= data_end:
            break
        if part.opcode is Opcode.MESSAGE_INDEX and entry is not None:
            (channel,) = struct.unpack("<H", source.read(2))
            entry.message_index_offsets[channel] = part.at
            entry.message_index_length += part.end - part.at
            continue
        if entry is not None:
            yield entry
            entry = None
        if part.opcode is Opcode.CHUNK:
            begin, end, size, _, letters = CHUNK.unpack(source.read(CHUNK.size))
            entry = records.ChunkIndex(
                message_start_time=begin,
                message_end_time=end,
                chunk_start_offset=part.at,
                chunk_length=part.end - part.at,
                message_index_offsets={},
                message_index_length=0,
                compression=source.read(letters).decode(),
                compressed_size=part.length - CHUNK.size - letters - 8,
                uncompressed_size=size,
            )
    if entry is not None:
        yield entry


def _attachment_index(source: BinaryIO, part: Part) -> Any:
    from mcap import records

    found = body(source, part)
    return records.AttachmentIndex(
        offset=part.at,
        length=part.end - part.at,
        create_time=found.create_time,
        log_time=found.log_time,
        data_size=len(found.data),
        name=found.name,
        media_type=found.media_type,
    )


def _metadata_index(source: BinaryIO, part: Part) -> Any:
    from mcap import records

    return records.MetadataIndex(offset=part.at, length=part.end - part.at, name=body(source, part).name)


# ---------------------------------------------------------------- repair


@dataclass
class Repaired:
    """Result of a repair.

    Args:
        path: the written file; None: the log is intact, and nothing was written.
        records, episodes, chunks: numbers kept. left_out: parts missing in the new file, with the reason.
    """

    path: Path | None = None
    records: int = 0
    episodes: int = 0
    chunks: int = 0
    left_out: list[str] = field(default_factory=list)


def repair(source: Path, target: Path) -> Repaired:
    """Close a truncated or damaged log: all intact chunks, notes and attachments bit for bit, then index and footer.

    The new file is written next to `target` and renamed when complete; `source` is only read, unless it is `target`.

    Args:
        source: a log of this package, truncated anywhere after its head.
        target: a new path, or the source itself, which is replaced.

    Raises:
        ConfigError: `target` exists, or a run still writes to the source that is to be replaced.
        ValueError: not a log of this package, or truncated within its head.
        OSError: it cannot be read or written.
    """
    same = target.exists() and source.exists() and os.path.samefile(source, target)
    if not read_log(source, 1 << 62).cut:
        return Repaired()
    if target.exists() and not same:
        raise ConfigError("exists: give another --out", str(target))
    with open(open_regular(source), "rb") as stream, contextlib.ExitStack() as undo:
        if same:
            _check_writer(stream, source)
        else:
            target.open("xb").close()  # reserves the name
            undo.callback(target.unlink)
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        out = undo.enter_context(open(temporary, "x+b"))
        undo.callback(temporary.unlink)
        found = _Repair(source, stream, out).run()
        os.fsync(out.fileno())
        os.fchmod(out.fileno(), os.fstat(stream.fileno()).st_mode & 0o777)
        os.replace(temporary, target)
        undo.pop_all()
        out.close()
    found.path = target
    return found


def _check_writer(stream: BinaryIO, path: Path) -> None:
    """Raises ConfigError if a run still writes to the file."""
    try:
        fcntl.flock(stream.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigError("a run is still writing to it: repair a copy, with --out", str(path)) from None
    except OSError:
        return  # its file system has no locks


class _Repair:
    """A repair: copies intact parts from one file to the other."""

    def __init__(self, path: Path, stream: BinaryIO, out: BinaryIO) -> None:
        self._path, self._stream, self._out = path, stream, out
        self._contents = Contents(path)
        self._found = Repaired()
        self._schemas: dict[int, Any] = {}
        self._channels: dict[int, Any] = {}

    def run(self) -> Repaired:
        """Raises ValueError, OSError."""
        size, reached = os.fstat(self._stream.fileno()).st_size, len(MAGIC)
        self._out.write(MAGIC)
        try:
            for part in parts(self._stream):
                if part.opcode in (Opcode.DATA_END, Opcode.FOOTER):
                    break
                self._take(part)
                reached = part.end
        except Damaged as error:
            self._found.left_out.append(f"the last {size - reached:,} bytes: {error}")
        finish(self._out, self._schemas.values(), self._channels.values())
        return self._found

    def _take(self, part: Part) -> None:
        """Copy a part if it is intact, else record that it is left out."""
        if part.opcode in (Opcode.MESSAGE_INDEX, Opcode.STATISTICS, Opcode.MESSAGE):
            return  # rebuilt; messages of this package are in chunks
        try:
            if part.opcode is Opcode.CHUNK:
                self._chunk(part)
                return
            if part.opcode is Opcode.ATTACHMENT:
                self._check_attachment(part)
            elif part.opcode is Opcode.METADATA:
                note = body(self._stream, part)
                self._contents.note(note.name, dict(note.metadata))
        except Damaged as error:
            what = part.opcode.name.lower()
            self._found.left_out.append(f"a {what} of {part.length:,} bytes at byte {part.at:,}: {error}")
            return
        self._copy(part)

    def _chunk(self, part: Part) -> None:
        """A chunk, followed by the indexes of its messages. Raises Damaged."""
        from mcap import records
        from mcap.data_stream import RecordBuilder

        if self._contents.log is None:
            raise Damaged("it precedes the head")
        data = unpacked(body(self._stream, part))
        batch = self._contents.messages(data)
        indexes: dict[int, Any] = {}
        for item in split(data):
            if isinstance(item, Messages):
                index = indexes.setdefault(item.channel, records.MessageIndex(item.channel, []))
                places = range(item.offset, item.offset + item.stride * len(item.payload), item.stride)
                index.records.extend(zip(item.times.tolist(), places, strict=True))
            else:
                self._describe(item)
        builder: Any = RecordBuilder()
        for made in self._missing(indexes):
            made.write(builder)
        self._out.write(builder.end())
        self._copy(part)
        for index in indexes.values():
            index.write(builder)
        self._out.write(builder.end())
        self._found.records += len(batch.records)
        self._found.episodes += len(batch.episodes)
        self._found.chunks += 1

    def _describe(self, item: Any) -> None:
        known = self._channels if hasattr(item, "topic") else self._schemas
        if item.id in known or len(known) < _KEPT:
            known[item.id] = item

    def _missing(self, channels: Iterable[int]) -> list[Any]:
        """Schemas and channels of this package that a chunk needs and that were in one that is left out."""
        assert self._contents.log is not None
        if all(channel in self._channels for channel in channels):
            return []
        made = [
            item for item in described(self._contents.log.head) if not hasattr(item, "topic") or item.id in channels
        ]
        for item in made:
            self._describe(item)
        return made

    def _check_attachment(self, part: Part) -> None:
        """Raises Damaged."""
        self._stream.seek(part.at + HEAD.size)
        data = self._stream.read(part.length)
        if len(data) < 4 or zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "little"):
            raise Damaged("wrong checksum")

    def _copy(self, part: Part) -> None:
        self._stream.seek(part.at)
        left = part.end - part.at
        while left:
            piece = self._stream.read(min(left, 1 << 20))
            if not piece:
                raise OSError(errno.EIO, "became shorter while it was read", os.fspath(self._path))
            self._out.write(piece)
            left -= len(piece)
