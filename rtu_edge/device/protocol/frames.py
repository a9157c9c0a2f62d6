"""Frames of TickLink with opaque payload: encoding to bytes, and decoding from a byte stream."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rtu_edge._bridge import ffi, lib

__all__ = ["PAYLOAD_MAX", "Decoder", "Frame", "FrameType", "as_enum", "crc32", "encode", "from_c", "to_c"]

PAYLOAD_MAX: int = lib.TL_PAYLOAD_MAX


class FrameType(enum.IntEnum):
    """First byte of a frame."""

    HELLO = lib.TL_TYPE_HELLO
    PING = lib.TL_TYPE_PING
    PONG = lib.TL_TYPE_PONG
    DESCRIBE = lib.TL_TYPE_DESCRIBE
    ROW = lib.TL_TYPE_ROW
    CMD = lib.TL_TYPE_CMD
    ARM = lib.TL_TYPE_ARM
    DISARM = lib.TL_TYPE_DISARM
    CLEAR_FAULT = lib.TL_TYPE_CLEAR_FAULT
    ACK = lib.TL_TYPE_ACK
    RESET = lib.TL_TYPE_RESET
    STATE = lib.TL_TYPE_STATE
    EVENT = lib.TL_TYPE_EVENT
    PARAM = lib.TL_TYPE_PARAM
    LOG = lib.TL_TYPE_LOG
    LEARNER = lib.TL_TYPE_LEARNER  # its payload is defined in hil.learner
    ESTOP = lib.TL_TYPE_ESTOP


@dataclass(frozen=True)
class Frame:
    """A frame as it is on the wire, its payload opaque."""

    type: FrameType | int
    seq: int = 0
    t_us: int = 0
    payload: bytes = b""
    flags: int = 0


def crc32(data: bytes, crc: int = 0) -> int:
    """Return the CRC-32 of data, continued from a previous CRC; the same as zlib's."""
    return int(lib.tl_crc32(crc, data, len(data)))


def as_enum(kind: Callable[[int], Any], value: int) -> Any:
    """Return the member with this value, or the plain number if there is none."""
    try:
        return kind(value)
    except ValueError:
        return value


def to_c(frame: Frame) -> Any:
    """Return the C struct of a frame; raises as encode() does."""
    if len(frame.payload) > PAYLOAD_MAX:
        raise ValueError(f"payload has {len(frame.payload)} bytes; a frame carries at most {PAYLOAD_MAX}")
    c = ffi.new("tl_frame *", {"type": frame.type, "flags": frame.flags, "seq": frame.seq, "t_us": frame.t_us})
    c.size = len(frame.payload)
    ffi.memmove(c.payload, frame.payload, c.size)
    return c


def from_c(c: Any) -> Frame:
    """Return the frame of a C struct."""
    payload = bytes(ffi.buffer(c.payload, c.size))
    return Frame(as_enum(FrameType, c.type), int(c.seq), int(c.t_us), payload, int(c.flags))


def encode(frame: Frame) -> bytes:
    """Return the bytes of a frame, delimiter included.

    Raises:
        ValueError: the payload is longer than PAYLOAD_MAX.
        OverflowError: a number does not fit its field.
    """
    out = ffi.new("uint8_t[]", lib.TL_WIRE_MAX)
    return bytes(ffi.buffer(out, lib.tl_frame_encode(to_c(frame), out)))


class Decoder:
    """Decodes frames from bytes with any fragmentation; damaged ones are counted and skipped."""

    def __init__(self) -> None:
        self._c = ffi.new("tl_decoder *")
        lib.tl_decoder_init(self._c)

    def feed(self, data: bytes) -> list[Frame]:
        """Process bytes; return the frames completed by them."""
        frames = []
        buffer = ffi.from_buffer(data)
        at = ffi.new("const uint8_t **", ffi.cast("const uint8_t *", buffer))
        end = at[0] + len(data)
        out = ffi.new("tl_frame *")
        while lib.tl_decoder_next(self._c, at, end, out):
            frames.append(from_c(out))
        return frames

    @property
    def frames(self) -> int:
        """Good frames so far."""
        return int(self._c.frames)

    @property
    def crc_errors(self) -> int:
        """Frames with a wrong CRC."""
        return int(self._c.crc_errors)

    @property
    def garbled(self) -> int:
        """Frames that were invalid COBS, or too short."""
        return int(self._c.garbled)

    @property
    def overlong(self) -> int:
        """Runs of bytes too long for a frame."""
        return int(self._c.overlong)

    @property
    def errors(self) -> int:
        """All damaged frames."""
        return int(lib.tl_decoder_errors(self._c))
