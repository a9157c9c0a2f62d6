"""The parts of an MCAP file that a log of ours has, read within bounds (https://mcap.dev/spec, docs/security.md).

The file is not trusted: a length is compared with what is left of the file, and what a chunk unpacks to with what is
allowed, before anything is allocated for it.
"""

from __future__ import annotations

import enum
import io
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from rtu_edge._base.untrusted import TEXT_BYTES

__all__ = [
    "CHUNK_BYTES",
    "Chunk",
    "Damaged",
    "Opcode",
    "attachment",
    "chunk",
    "chunk_size",
    "message_count",
    "metadata",
    "parts",
    "unpacked",
]

MAGIC = b"\x89MCAP0\r\n"
CHUNK_BYTES = 8 << 20  # unpacked; the writer closes a chunk at 4 MiB
_HEAD = struct.Struct("<BQ")  # opcode, length
_CHUNK = struct.Struct("<QQQII")  # first and last time, bytes unpacked, their CRC, bytes of the compression's name


class Opcode(enum.IntEnum):
    """Parts that are read; all others are passed over."""

    FOOTER = 0x02
    CHUNK = 0x06
    ATTACHMENT = 0x09
    STATISTICS = 0x0B
    METADATA = 0x0C


class Damaged(Exception):
    """Reading cannot go on; what was read before is whole."""


@dataclass(frozen=True)
class Chunk:
    """Messages as they are stored: bytes unpacked, their CRC-32, "zstd", "lz4" or "", and the packed bytes."""

    size: int
    crc: int
    compression: str
    packed: memoryview


def parts(stream: BinaryIO) -> Iterator[tuple[Opcode, int]]:
    """Each part that is read, with its length; the stream stands at its first byte.

    Raises:
        Damaged: a length leads out of the file, or it does not begin as an MCAP does.
    """
    end = os.fstat(stream.fileno()).st_size
    if stream.read(len(MAGIC)) != MAGIC:
        raise Damaged("it does not begin as an MCAP file does")
    at = len(MAGIC)
    while at < end:
        stream.seek(at)
        head = stream.read(_HEAD.size)
        if head == MAGIC[: len(head)] and at + len(MAGIC) == end:
            return
        if len(head) < _HEAD.size:
            raise Damaged(f"it ends inside a part of the file, near byte {at:,}")
        opcode, length = _HEAD.unpack(head)
        if length > end - at - _HEAD.size:
            raise Damaged(f"it ends inside a part of the file, near byte {at:,} ({length:,} bytes are announced there)")
        at += _HEAD.size + length
        if opcode in _READ:
            yield Opcode(opcode), length


_READ = frozenset(Opcode)


def chunk_size(stream: BinaryIO, length: int) -> int:
    """What a chunk says that it unpacks to."""
    size: int = _CHUNK.unpack(_exactly(stream, min(length, _CHUNK.size), _CHUNK.size))[2]
    if size > CHUNK_BYTES:
        raise Damaged(f"a chunk of it is of {size:,} bytes; at most {CHUNK_BYTES:,} are written")
    return size


def chunk(stream: BinaryIO, length: int) -> Chunk:
    """A chunk as it is stored."""
    if length > 2 * CHUNK_BYTES:
        raise Damaged(f"a chunk of it has {length:,} bytes")
    data = memoryview(_exactly(stream, length, length))
    try:
        _, _, size, crc, letters = _CHUNK.unpack_from(data)
        at = _CHUNK.size + letters
        (packed,) = struct.unpack_from("<Q", data, at)
        if at + 8 + packed != length or size > CHUNK_BYTES:
            raise ValueError("sizes")
        return Chunk(size, crc, bytes(data[_CHUNK.size : at]).decode(), data[at + 8 :])
    except (struct.error, ValueError):
        raise Damaged("a chunk of it is damaged: its sizes do not fit") from None


def unpacked(found: Chunk) -> bytes:
    """The bytes of its messages, as many as it says, whatever its compressed bytes hold."""
    try:
        data = _decompressed(found)
    except Damaged:
        raise
    except Exception as error:  # each compressor has errors of its own
        raise Damaged(f"a chunk of it is damaged ({error})") from None
    if len(data) != found.size or zlib.crc32(data) != found.crc:
        raise Damaged("a chunk of it is damaged: its checksum does not fit its bytes")
    return data


def metadata(stream: BinaryIO, length: int) -> tuple[str, dict[str, str]]:
    """Name and values."""
    if length > 2 * TEXT_BYTES:
        raise Damaged(f"a note of {length:,} bytes")
    reader = _Strings(_exactly(stream, length, length))
    name, size = reader.string(), reader.number()
    values: dict[str, str] = {}
    end = reader.at + size
    while reader.at < end:
        key = reader.string()
        values[key] = reader.string()
    return name, values


def attachment(stream: BinaryIO, length: int) -> tuple[str, bytes]:
    """Name and contents."""
    head = _Strings(_exactly(stream, min(length, 4096), min(length, 4096)))
    head.at = 16  # two times
    name, _ = head.string(), head.string()
    size = head.number() | head.number() << 32
    stream.seek(head.at - min(length, 4096), os.SEEK_CUR)
    if head.at + size + 4 != length:
        raise Damaged("an attachment of it is damaged: its sizes do not fit")
    return name, _exactly(stream, size, size)


def message_count(stream: BinaryIO, length: int) -> int:
    """Of the statistics."""
    return int.from_bytes(_exactly(stream, min(length, 8), 8), "little")


class _Strings:
    """Strings and numbers one after the other; out of bounds it is Damaged."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def number(self) -> int:
        if self.at + 4 > len(self._data):
            raise Damaged("a note of it is damaged")
        (value,) = struct.unpack_from("<I", self._data, self.at)
        self.at += 4
        return int(value)

    def string(self) -> str:
        size = self.number()
        if self.at + size > len(self._data):
            raise Damaged("a note of it is damaged")
        raw = self._data[self.at : self.at + size]
        self.at += size
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise Damaged("a note of it is no text") from None


def _exactly(stream: BinaryIO, size: int, wanted: int) -> bytes:
    data = stream.read(size)
    if len(data) != wanted:
        raise Damaged("a part of it is too short")
    return data


def _decompressed(found: Chunk) -> bytes:
    if found.compression == "":
        return bytes(found.packed)
    if found.compression == "zstd":
        import zstandard

        unpacker: Any = zstandard.ZstdDecompressor(max_window_size=CHUNK_BYTES)
        with unpacker.stream_reader(io.BytesIO(found.packed)) as reader:
            return bytes(reader.read(found.size + 1))
    if found.compression == "lz4":
        import lz4.frame

        return bytes(lz4.frame.LZ4FrameDecompressor().decompress(found.packed, max_length=found.size + 1))
    raise Damaged(f"a chunk of it is compressed by {found.compression[:20]!r}; zstd and lz4 are known")
