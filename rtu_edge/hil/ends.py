"""The two ends of the line under test: what passes there, piece by piece."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass

from rtu_edge.device import protocol
from rtu_edge.hil.trace import Direction

__all__ = ["End", "Unit"]

_FRAME_MAX = 300  # bytes without a delimiter that cannot become a frame
_FRAGMENT_S = 0.005  # a piece of a frame waits this long for the rest


@dataclass
class Unit:
    """What passes at once: a frame with its delimiter, or bytes that are none.

    Args:
        direction: which direction.
        data: the bytes.
        due_s: when they go on; the past for at once.
        frame: what they were when they came, None when they were no good frame.
    """

    direction: Direction
    data: bytes
    due_s: float = 0.0
    frame: protocol.Frame | None = None


class End:
    """One end of the line: where to write, what waits to be written, and what is heard there."""

    def __init__(self) -> None:
        self.fd = -1
        self.tail = b""
        self.buffer = b""  # read, not yet a unit
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
        """Whole frames of what has been read, and what can never become one."""
        *whole, rest = self.buffer.split(b"\0")
        pieces = [piece + b"\0" for piece in whole]
        if rest and (len(rest) > _FRAME_MAX or now_s - self.read_s > _FRAGMENT_S):
            pieces.append(rest)
            rest = b""
        self.buffer = rest
        return pieces
