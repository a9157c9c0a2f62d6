"""The frames on the line under test, at each end of the bridge."""

from __future__ import annotations

import enum
import json
import math
import threading
import time
from collections import deque
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rtu_edge.device import protocol

__all__ = ["Direction", "FrameRecord", "TapPoint", "Trace"]

_KEEP = 200_000


class Direction(str, enum.Enum):
    """A direction of the line."""

    TO_DEVICE = "to_device"
    TO_HOST = "to_host"


class TapPoint(enum.Enum):
    """Where a frame was seen."""

    HOST_OUT = "host sends"
    DEVICE_IN = "device hears"
    DEVICE_OUT = "device sends"
    HOST_IN = "host hears"


@dataclass(frozen=True)
class FrameRecord:
    """A recorded frame.

    Args:
        at_s: monotonic clock of this host.
        tap: end and direction. frame: as on the wire.
    """

    at_s: float
    tap: TapPoint
    frame: protocol.Frame

    @cached_property
    def message(self) -> protocol.Message | None:
        """The decoded message."""
        return protocol.unpack(self.frame)


class Trace:
    """All frames of a test in the order in which they passed; the oldest go when there are too many.

    Between HOST_OUT and DEVICE_IN, and between DEVICE_OUT and HOST_IN, stand the faults.
    """

    def __init__(self) -> None:
        self._frames: deque[FrameRecord] = deque(maxlen=_KEEP)
        self._lock = threading.Lock()
        self.begin_s = time.monotonic()
        self.notes: list[tuple[float, str]] = []
        self.last_state: FrameRecord | None = None
        self.damaged: dict[TapPoint, int] = dict.fromkeys(TapPoint, 0)

    def add(self, passed: FrameRecord) -> None:
        """Take one more."""
        with self._lock:
            self._frames.append(passed)
        if passed.tap is TapPoint.DEVICE_OUT and passed.frame.type == protocol.FrameType.STATE:
            self.last_state = passed

    def _copy(self) -> list[FrameRecord]:
        with self._lock:
            return list(self._frames)

    def note(self, at_s: float, text: str) -> None:
        """Record an event between the frames, such as the start of a fault."""
        self.notes.append((at_s, text))

    def all(
        self, tap: TapPoint, kind: protocol.FrameType | None = None, since_s: float = -math.inf
    ) -> list[FrameRecord]:
        """Frames of one tap, of one type if given, from a time on."""
        return [
            passed
            for passed in self._copy()
            if passed.tap is tap and passed.at_s >= since_s and kind in (None, passed.frame.type)
        ]

    def states(self, since_s: float = -math.inf) -> list[tuple[FrameRecord, protocol.State]]:
        """Each STATE from the device."""
        return [
            (passed, passed.message)
            for passed in self.all(TapPoint.DEVICE_OUT, protocol.FrameType.STATE, since_s)
            if isinstance(passed.message, protocol.State)
        ]

    def sessions(self, until_s: float = math.inf) -> list[int]:
        """Sessions in which a host has sent commands before a time, in order."""
        sent = self.all(TapPoint.HOST_OUT, protocol.FrameType.CMD)
        said = (passed.message for passed in sent if passed.at_s < until_s)
        return list(dict.fromkeys(message.session for message in said if isinstance(message, protocol.Cmd)))

    def save(self, path: Path) -> None:
        """Write it as lines of JSON: time, tap, type, seq, t_us, message."""
        rows: list[tuple[float, dict[str, Any]]] = [(at_s, {"note": text}) for at_s, text in self.notes]
        for passed in self._copy():
            message = passed.message
            said = {"tap": passed.tap.value, "seq": passed.frame.seq, "t_us": passed.frame.t_us}
            kind = type(message).__name__ if message is not None else f"type {int(passed.frame.type):02x}"
            said |= {"message": kind, **(asdict(message) if message is not None else {})}
            rows.append((passed.at_s, said))
        rows.sort(key=lambda row: row[0])
        begin = rows[0][0] if rows else 0.0
        with open(path, "w", encoding="utf-8") as out:
            for at_s, said in rows:
                out.write(json.dumps({"at_ms": round((at_s - begin) * 1e3, 3), **said}, default=str) + "\n")
