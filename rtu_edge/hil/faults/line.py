"""Faults of the line: lost, late, duplicated and damaged frames; unplugging."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import msgspec

from rtu_edge.hil.faults.base import Fault, Millis, Rate
from rtu_edge.hil.trace import Direction

if TYPE_CHECKING:
    from rtu_edge.hil.bridge import Injection
    from rtu_edge.hil.ends import Unit


class _Line(Fault, frozen=True, kw_only=True):
    """A fault of the line, in one direction unless `both` is set.

    Args:
        direction: "to_device" or "to_host".
        both: both ways.
        rate: share of affected frames.
    """

    direction: Direction = Direction.TO_DEVICE
    both: bool = False
    rate: Rate = 0.1

    def hits(self, now: Injection, unit: Unit) -> bool:
        """True if it applies to this frame."""
        return (self.both or unit.direction == self.direction) and now.hit(self.rate)


class Flip(_Line, frozen=True, kw_only=True):
    """Bit flips: one bit of a frame, delimiter included."""

    kind = "flip"

    def transform(self, now: Injection, unit: Unit) -> list[Unit]:
        if self.hits(now, unit):
            data = bytearray(unit.data)
            data[now.random.randrange(len(data))] ^= 1 << now.random.randrange(8)
            unit = dataclasses.replace(unit, data=bytes(data))
        return [unit]


class Drop(_Line, frozen=True, kw_only=True):
    """Frames are lost; rate 1 loses everything, like a broken wire."""

    kind = "drop"

    def transform(self, now: Injection, unit: Unit) -> list[Unit]:
        return [] if self.hits(now, unit) else [unit]


class Duplicate(_Line, frozen=True, kw_only=True):
    """Frames arrive twice."""

    kind = "duplicate"

    def transform(self, now: Injection, unit: Unit) -> list[Unit]:
        return [unit, dataclasses.replace(unit)] if self.hits(now, unit) else [unit]


class Insert(_Line, frozen=True, kw_only=True):
    """Noise before a frame: random bytes.

    Args:
        most_bytes: maximum number.
    """

    kind = "insert"
    most_bytes: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 8

    def transform(self, now: Injection, unit: Unit) -> list[Unit]:
        if self.hits(now, unit):
            noise = now.random.randbytes(now.random.randint(1, self.most_bytes))
            unit = dataclasses.replace(unit, data=noise + unit.data)
        return [unit]


class Reorder(_Line, frozen=True, kw_only=True):
    """A frame is overtaken by the next one."""

    kind = "reorder"

    def transform(self, now: Injection, unit: Unit) -> list[Unit]:
        if now.kept and now.kept[0].direction is unit.direction:
            return [unit, now.kept.pop()]
        if not now.kept and self.hits(now, unit):
            now.kept.append(unit)
            return []
        return [unit]

    def end(self, now: Injection) -> list[Unit]:
        return now.kept


class Delay(_Line, frozen=True, kw_only=True):
    """Everything takes longer; the order stays.

    Args:
        delay_ms: delay of each frame.
        jitter_ms: maximum additional random delay.
    """

    kind = "delay"
    rate: Rate = 1.0
    delay_ms: Millis = 5.0
    jitter_ms: Millis = 0.0

    def transform(self, now: Injection, unit: Unit) -> list[Unit]:
        if self.hits(now, unit):
            late_s = (self.delay_ms + now.random.random() * self.jitter_ms) * 1e-3
            unit = dataclasses.replace(unit, due_s=unit.due_s + late_s)
        return [unit]


class Stall(_Line, frozen=True, kw_only=True):
    """Everything is delayed, and arrives in one burst at the end, as with a stalled adapter."""

    kind = "stall"
    rate: Rate = 1.0

    def transform(self, now: Injection, unit: Unit) -> list[Unit]:
        if not self.hits(now, unit):
            return [unit]
        now.kept.append(unit)
        return []

    def end(self, now: Injection) -> list[Unit]:
        return now.kept


class Half(_Line, frozen=True, kw_only=True):
    """The next frame is cut in the middle, followed by silence."""

    kind = "half"
    rate: Rate = 1.0

    def transform(self, now: Injection, unit: Unit) -> list[Unit]:
        first = now.count == 0
        if not self.hits(now, unit):
            return [unit]
        return [dataclasses.replace(unit, data=unit.data[: len(unit.data) // 2])] if first else []


class Pace(_Line, frozen=True, kw_only=True):
    """A slow line: bytes take the time of a baud rate, 10 bits each.

    Args:
        baud: bits per second.
    """

    kind = "pace"
    rate: Rate = 1.0
    baud: Annotated[int, msgspec.Meta(ge=1200, le=12_000_000)] = 115_200

    def transform(self, now: Injection, unit: Unit) -> list[Unit]:
        if self.hits(now, unit):
            free_s = max(unit.due_s, now.memory.get(unit.direction, 0.0))
            now.memory[unit.direction] = free_s + len(unit.data) * 10 / self.baud
            unit = dataclasses.replace(unit, due_s=now.memory[unit.direction])
        return [unit]


class Echo(_Line, frozen=True, kw_only=True):
    """One end's output is echoed to it, as on a half-duplex adapter."""

    kind = "echo"
    rate: Rate = 1.0

    def transform(self, now: Injection, unit: Unit) -> list[Unit]:
        if not self.hits(now, unit):
            return [unit]
        back = Direction.TO_HOST if unit.direction is Direction.TO_DEVICE else Direction.TO_DEVICE
        return [unit, dataclasses.replace(unit, direction=back)]


class Loopback(Fault, frozen=True, kw_only=True):
    """RX connected to TX: the host's own bytes are echoed, and there is no device on the line."""

    kind = "loopback"
    whole = True

    def transform(self, now: Injection, unit: Unit) -> list[Unit]:
        if unit.direction is Direction.TO_HOST:
            return []
        now.count += 1
        return [dataclasses.replace(unit, direction=Direction.TO_HOST)]


class Unplug(Fault, frozen=True, kw_only=True):
    """The port is unplugged on the host's side, and plugged in again under the same name at the end."""

    kind = "unplug"

    def begin(self, now: Injection) -> None:
        now.count += 1
        now.bridge.unplug()

    def end(self, now: Injection) -> list[Unit]:
        now.bridge.plug()
        return []
