"""The two ends of the line under test, and the units that pass there."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass

from rtu_edge.device import protocol
from rtu_edge.hil.trace import Direction

__all__ = ["End", "Unit"]

_FRAME_MAX = 300  # maximum bytes without a delimiter; more cannot become a frame
_FRAGMENT_S = 0.005  # a partial frame waits this long for the rest


@dataclass
class Unit:
    """A unit on the line: a frame with its delimiter, or other bytes.

    Args:
        direction: the direction.
        data: the bytes.
        due_s: when to forward them; in the past: at once.
        frame: the received frame; None if it was not valid.
    """

    direction: Direction
    data: bytes
    due_s: float = 0.0
    frame: protocol.Frame | None = None


class End:
    """One end of the line: its descriptor, pending output, and input."""

    def __init__(self) -> None:
        self.fd = -1
        self.tail = b""
        self.buffer = b""  # input that is not yet a unit
        self.read_s = 0.0
        self.last_due_s = 0.0
        self.said = protocol.Decoder()
        self.heard = protocol.Decoder()

    def write(self, data: bytes) -> bool:
        """Write what fits; False when it was dropped because the reader does not read."""
        if self.fd < 0:
            return False
        with contextlib.suppress(OSError):
            if self.tail:
                self.tail = self.tail[os.write(self.fd, self.tail) :]
            if not self.tail:
                self.tail = data[os.write(self.fd, data) :]
                return True
        return False

    def units(self, now_s: float) -> list[bytes]:
        """Complete frames of the input, and bytes that can never become one."""
        *whole, rest = self.buffer.split(b"\0")
        pieces = [piece + b"\0" for piece in whole]
        if rest and (len(rest) > _FRAME_MAX or now_s - self.read_s > _FRAGMENT_S):
            pieces.append(rest)
            rest = b""
        self.buffer = rest
        return pieces
