"""The parts of an MCAP file, read within bounds (https://mcap.dev/spec, docs/security.md).

The file is not trusted: a length is compared with the rest of the file and with the maximum for this kind of part, and
the unpacked size of a chunk with its limit, before anything is allocated. The `mcap` library parses the
bodies of parts; it has no such bounds: it allocates the size that a chunk announces, and with lz4 any size. The
messages of a chunk are split here, many at once: the library takes some 3 us per message.
"""

from __future__ import annotations

import enum
import io
import os
import struct
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from rtu_edge._base.untrusted import TEXT_BYTES

__all__ = [
    "CHUNK_BYTES",
    "MAGIC",
    "Damaged",
    "Messages",
    "Opcode",
    "Part",
    "body",
    "chunk_size",
    "parts",
    "split",
    "unpacked",
]

MAGIC = b"\x89MCAP0\r\n"
CHUNK_BYTES = 8 << 20  # unpacked; the writer closes a chunk at 1 MiB
HEAD = struct.Struct("<BQ")  # opcode, length
CHUNK = struct.Struct("<QQQII")  # first and last time, bytes unpacked, their CRC, bytes of the compression's name
MESSAGE = struct.Struct("<BQHIQQ")  # opcode, length, channel, sequence, log time, publish time
_SAME = 11  # first bytes of a message, equal for one channel and size
_ENTRY = 16  # bytes of a message index for each message; the shortest message has MESSAGE.size


class Opcode(enum.IntEnum):
    """Kinds of parts that are read; others are skipped."""

    HEADER = 0x01
    FOOTER = 0x02
    SCHEMA = 0x03
    CHANNEL = 0x04
    MESSAGE = 0x05
    CHUNK = 0x06
    MESSAGE_INDEX = 0x07
    ATTACHMENT = 0x09
    STATISTICS = 0x0B
    METADATA = 0x0C
    DATA_END = 0x0F


_KNOWN = frozenset(Opcode)
_INDEX_HEAD = 6  # bytes of an index before its entries: channel, bytes of the entries
_IN_A_CHUNK = (Opcode.SCHEMA, Opcode.CHANNEL, Opcode.MESSAGE)
_MOST = {  # bytes of a part's body
    Opcode.CHUNK: 2 * CHUNK_BYTES,
    Opcode.ATTACHMENT: 1 << 62,  # up to the file's size
    Opcode.MESSAGE_INDEX: CHUNK_BYTES // MESSAGE.size * _ENTRY + 6,
}


class Damaged(Exception):
    """Reading cannot continue; everything read before is intact."""


class Part(NamedTuple):
    """A part of the file: its kind, the offset of its opcode, bytes of its body, offset of its end."""

    opcode: Opcode
    at: int
    length: int
    end: int


class Messages(NamedTuple):
    """Consecutive messages of one channel and one size.

    Args:
        channel: its number.
        payload: (k, bytes) uint8.
        offset: of the first, in the chunk's unpacked bytes.
        stride: bytes from one to the next.
        times: log times in ns, (k,) uint64.
    """

    channel: int
    payload: npt.NDArray[np.uint8]
    offset: int
    stride: int
    times: npt.NDArray[np.uint64]


def parts(stream: BinaryIO) -> Iterator[Part]:
    """Each part that is read, in the file's order; the stream is at the first byte of its body.

    Raises:
        Damaged: a length exceeds the file, or the file does not begin like an MCAP.
    """
    end = os.fstat(stream.fileno()).st_size
    stream.seek(0)
    if stream.read(len(MAGIC)) != MAGIC:
        raise Damaged("it does not begin as an MCAP file does")
    at, opcode = len(MAGIC), 0
    while at < end:
        stream.seek(at)
        head = stream.read(HEAD.size)
        if head == MAGIC[: len(head)] and at + len(MAGIC) == end:
            return
        if len(head) < HEAD.size:
            raise Damaged(f"it ends inside a part of the file, near byte {at:,}")
        opcode, length = HEAD.unpack(head)
        if opcode == 0:
            raise Damaged(f"no part of the file begins with a zero, as at byte {at:,}")
        if length > end - at - HEAD.size:
            raise Damaged(f"it ends inside a part of the file, near byte {at:,} ({length:,} bytes are announced there)")
        if opcode in _KNOWN:
            yield Part(Opcode(opcode), at, length, at + HEAD.size + length)
        at += HEAD.size + length
    if opcode == Opcode.FOOTER:
        raise Damaged("its last bytes after the footer are missing")


def check_index(stream: BinaryIO, part: Part, before: Part | None) -> None:
    """Check that a chunk's index follows the chunk, or another index of it; the stream is at its body.

    Raises:
        Damaged: it does not: the chunk is there, but no longer marked as one.
    """
    head = stream.read(_INDEX_HEAD)
    follows = before is not None and before.end == part.at and before.opcode in (Opcode.CHUNK, Opcode.MESSAGE_INDEX)
    if not follows or int.from_bytes(head[2:], "little") != part.length - _INDEX_HEAD:
        raise Damaged(f"a chunk of it is damaged, near byte {part.at:,}")


def chunk_size(stream: BinaryIO, part: Part) -> int:
    """The unpacked size that a chunk announces, bytes; the stream is at its body.

    Raises:
        Damaged: more than any writer of this package makes.
    """
    head = stream.read(min(part.length, CHUNK.size))
    if len(head) < CHUNK.size:
        raise Damaged("a chunk of it is too short")
    size: int = CHUNK.unpack(head)[2]
    if size > CHUNK_BYTES:
        raise Damaged(f"a chunk of it is of {size:,} bytes; at most {CHUNK_BYTES:,} are written")
    return size


def body(stream: BinaryIO, part: Part) -> Any:
    """A part as a record of `mcap.records`.

    Raises:
        Damaged: larger than allowed for its kind, or invalid bytes.
    """
    from mcap import records

    kind = {
        Opcode.SCHEMA: records.Schema,
        Opcode.CHANNEL: records.Channel,
        Opcode.CHUNK: records.Chunk,
        Opcode.MESSAGE_INDEX: records.MessageIndex,
        Opcode.ATTACHMENT: records.Attachment,
        Opcode.STATISTICS: records.Statistics,
        Opcode.METADATA: records.Metadata,
    }[part.opcode]
    most = _MOST.get(part.opcode, 2 * TEXT_BYTES)
    if part.length > most:
        raise Damaged(f"a part of it ({part.opcode.name.lower()}) has {part.length:,} bytes; at most {most:,} are read")
    stream.seek(part.at + HEAD.size)
    return _parsed(kind, stream.read(part.length))


def _parsed(kind: Any, data: bytes) -> Any:
    """A complete record of the library. Raises Damaged."""
    from mcap.data_stream import ReadDataStream
    from mcap.exceptions import McapError

    stream = ReadDataStream(io.BytesIO(data))
    try:
        found = kind.read(stream)
    except (McapError, struct.error, ValueError, OverflowError) as error:
        raise Damaged(f"a part of it ({kind.__name__.lower()}) is damaged ({str(error) or 'too short'})") from None
    if stream.count != len(data):  # the library ignores short reads and surplus bytes
        raise Damaged(f"a part of it ({kind.__name__.lower()}) is damaged: its sizes do not fit")
    return found


def unpacked(chunk: Any) -> bytes:
    """The bytes of a chunk's messages, at most as many as it announces, for any compressed data.

    Args:
        chunk: an `mcap.records.Chunk`.

    Raises:
        Damaged: it announces too many, or its bytes or its checksum differ.
    """
    if chunk.uncompressed_size > CHUNK_BYTES:
        raise Damaged(f"a chunk of it is of {chunk.uncompressed_size:,} bytes; at most {CHUNK_BYTES:,} are written")
    try:
        data = _decompressed(chunk)
    except Damaged:
        raise
    except Exception as error:  # each compressor has errors of its own
        raise Damaged(f"a chunk of it is damaged ({error})") from None
    if len(data) != chunk.uncompressed_size or zlib.crc32(data) != chunk.uncompressed_crc:
        raise Damaged("a chunk of it is damaged: wrong checksum")
    return data


def _decompressed(chunk: Any) -> bytes:
    if chunk.compression == "":
        return bytes(chunk.data)
    if chunk.compression == "zstd":
        import zstandard

        unpacker: Any = zstandard.ZstdDecompressor(max_window_size=CHUNK_BYTES)
        with unpacker.stream_reader(io.BytesIO(chunk.data)) as reader:
            return bytes(reader.read(chunk.uncompressed_size + 1))
    if chunk.compression == "lz4":
        import lz4.frame

        unpack = lz4.frame.LZ4FrameDecompressor().decompress
        return bytes(unpack(chunk.data, max_length=chunk.uncompressed_size + 1))
    raise Damaged(f"a chunk of it is compressed by {chunk.compression[:20]!r}; supported: zstd and lz4")


def split(data: bytes) -> Iterator[Messages | Any]:
    """The contents of a chunk: messages, and the schemas and channels (of `mcap.records`) between them.

    Args:
        data: from unpacked().

    Raises:
        Damaged: it has other contents, or a length exceeds it.
    """
    from mcap import records

    at = 0
    while at < len(data):
        if at + HEAD.size > len(data):
            raise Damaged("a chunk of it ends inside a message")
        opcode, size = HEAD.unpack_from(data, at)
        if opcode not in _IN_A_CHUNK:
            raise Damaged("a chunk of it has invalid contents")
        end = at + HEAD.size + size
        if end > len(data):
            raise Damaged("a chunk of it ends inside a message")
        if opcode == Opcode.MESSAGE:
            if size < MESSAGE.size - HEAD.size:
                raise Damaged("a message of it is too short")
            found = _alike(data, at, HEAD.size + size)
            yield found
            at += len(found.payload) * found.stride
            continue
        if size > 2 * TEXT_BYTES:
            raise Damaged(f"a schema or channel of {size:,} bytes")
        yield _parsed(records.Schema if opcode == Opcode.SCHEMA else records.Channel, data[at + HEAD.size : end])
        at = end


def _alike(data: bytes, at: int, stride: int) -> Messages:
    """The message at an offset, and those after it of the same channel and size."""
    first, most = data[at : at + _SAME], (len(data) - at) // stride
    count, step = 1, 1
    while count < most and data[at + count * stride : at + count * stride + _SAME] == first:
        step = min(4 * step, most - count)
        ahead = np.frombuffer(data, np.uint8, step * stride, at + count * stride).reshape(step, stride)
        same = (ahead[:, :_SAME] == np.frombuffer(first, np.uint8)).all(axis=1)
        found = step if same.all() else int(same.argmin())
        count += found
        if found < step:
            break
    rows = np.frombuffer(data, np.uint8, count * stride, at).reshape(count, stride)
    times = np.ascontiguousarray(rows[:, 15:23]).view("<u8")[:, 0]
    (channel,) = struct.unpack_from("<H", first, 9)
    return Messages(channel, rows[:, MESSAGE.size :], at, stride, times)
