"""The limits of a suite for commands that a fault has changed, on real hardware."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from rtu_edge.device import protocol
from rtu_edge.device.schema import Limits
from rtu_edge.hil.trace import TapPoint, Trace

__all__ = ["Fence"]


class Fence:
    """Keeps each command that reaches the device within `[limits]`: range, and change per second.

    The host's own commands are within these limits; they pass unchanged. What a fault has put in their place is moved
    to the nearest allowed value, so a plant is never driven further by a fault than by the host.

    Args:
        limits: by actuator. period_s: s; a change is allowed for at least one period.
    """

    def __init__(self, limits: Mapping[str, Limits], period_s: float) -> None:
        self._limits = limits
        self._period_s = period_s
        self._known: list[Limits | None] | None = None
        self._before: tuple[float, ...] | None = None
        self._at_s = 0.0
        self._decoder = protocol.Decoder()
        self.moved = 0  # commands that were changed

    def pass_on(self, data: bytes, trace: Trace, at_s: float) -> bytes:
        """The bytes for the device in place of these."""
        for frame in self._decoder.feed(data):
            message = protocol.unpack(frame)
            if isinstance(message, (protocol.Arm, protocol.Reset)):
                self._before = None
            if not isinstance(message, protocol.Cmd):
                continue
            allowed = self._allowed(message.u, trace, at_s)
            self._before, self._at_s = allowed, at_s
            if allowed != message.u:
                self.moved += 1
                payload = protocol.pack(dataclasses.replace(message, u=allowed)).payload
                data = protocol.encode(dataclasses.replace(frame, payload=payload))
        return data

    def _allowed(self, u: tuple[float, ...], trace: Trace, at_s: float) -> tuple[float, ...]:
        before = self._before if self._before is not None and len(self._before) == len(u) else self._applied(trace, u)
        span_s = max(self._period_s, at_s - self._at_s if self._before is not None else 0.0)
        found = []
        for index, (value, last) in enumerate(zip(u, before, strict=True)):
            own = self._of(index, trace)
            if own is None or not math.isfinite(value):  # the device refuses a number that is not finite
                found.append(value)
                continue
            slack = 1e-5 * (own.max - own.min)  # commands and limits are float32
            slew = math.inf if own.slew_per_s is None else own.slew_per_s
            low, high = max(own.min, last - slew * span_s), min(own.max, last + slew * span_s)
            nearest = min(max(value, own.min), own.max) if low > high else min(max(value, low), high)
            found.append(value if abs(value - nearest) <= slack else nearest)
        return tuple(found)

    def _applied(self, trace: Trace, u: tuple[float, ...]) -> tuple[float, ...]:
        state = trace.last_state
        applied: tuple[float, ...] = getattr(state.message, "u", ()) if state is not None else ()
        return applied if len(applied) == len(u) else u

    def _of(self, index: int, trace: Trace) -> Limits | None:
        if self._known is None:
            rows = {
                passed.message.index: passed.message.name
                for passed in trace.all(TapPoint.DEVICE_OUT, protocol.FrameType.ROW)
                if isinstance(passed.message, protocol.Channel) and passed.message.actuator
            }
            self._known = [self._limits.get(rows[place]) for place in sorted(rows)] or None
        return self._known[index] if self._known is not None and index < len(self._known) else None
