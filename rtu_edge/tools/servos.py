"""What the commands of a servo bus do: look for servos, change an id, record the ranges of joints."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rtu_edge._base.errors import ConfigError, DeviceError
from rtu_edge.device.bus_server import Joint
from rtu_edge.device.schema import Safe
from rtu_edge.device.servo_bus import BusError, BusStatus, ServoBus
from rtu_edge.device.servo_group import ServoGroup

__all__ = ["Found", "Range", "Ranges", "look", "set_id"]

# rad/s: of the goal, for a first try.
SLEW_RAD_S = 1.0
# Smallest range, rad, of a joint that was moved through it by hand.
MOVED_RAD = 0.1


@dataclass(frozen=True)
class Found:
    """A servo that answers.

    Args:
        id: of the servo.
        status: "ok", or "garbled": noise, or two servos with this id; then nothing else is known.
        model, firmware: numbers.
        position_rad, voltage_v, temperature_c: measured; None: not known.
        torque: enabled.
        alarm: error bits of its answer.
    """

    id: int
    status: str
    model: int | None = None
    firmware: int | None = None
    position_rad: float | None = None
    voltage_v: float | None = None
    temperature_c: float | None = None
    torque: bool | None = None
    alarm: int = 0


def look(bus: ServoBus, first: int, last: int) -> Iterator[Found]:
    """The servos with these ids, in order, each as soon as it is found.

    Raises:
        BusError: the port is gone.
    """
    for id in range(first, last + 1):
        status = bus.scan(id, id).get(id)
        if status is BusStatus.GARBLED:
            yield Found(id, "garbled")
        elif status is BusStatus.OK:
            with contextlib.suppress(BusError):
                yield _described(bus, id)


def _described(bus: ServoBus, id: int) -> Found:
    return Found(
        id,
        "ok",
        bus.read_steps(id, "model"),
        bus.read_steps(id, "firmware"),
        bus.read(id, "position"),
        bus.read(id, "voltage"),
        bus.read(id, "temperature"),
        bool(bus.read_steps(id, "torque_enable")),
        bus.ping(id),
    )


def set_id(bus: ServoBus, old: int, new: int) -> None:
    """Change the id of one servo, whose torque is switched off first, and check that it answers by the new one.

    Raises:
        ConfigError: old and new are equal.
        DeviceError: not exactly one servo answers by the old id, one answers by the new id, or it does not take it.
    """
    if old == new:
        raise ConfigError(f"id {old}: the servo has it already")
    found = bus.scan(old, old).get(old)
    if found is not BusStatus.OK:
        what = "two servos have it, or there is noise: connect one alone" if found else "no servo answers by it"
        raise DeviceError(f"{bus.port.url}: id {old}: {what}")
    if bus.scan(new, new):
        raise DeviceError(f"{bus.port.url}: id {new}: a servo has it already; choose a free one")
    bus.write_steps(old, "torque_enable", 0)
    locks = bus.family in ("feetech", "scs")
    if locks:
        bus.write_steps(old, "lock", 0)
    with contextlib.suppress(BusError):  # it may answer by either id
        bus.write_steps(old, "id", new)
    try:
        bus.ping(new)
        if locks:
            bus.write_steps(new, "lock", 1)
    except BusError as error:
        raise DeviceError(f"{bus.port.url}: the servo with id {old} does not answer by id {new}") from error


@dataclass
class Range:
    """What was seen of a joint while it was moved by hand, rad of the servo; None: nothing yet."""

    name: str
    id: int
    now: float | None = None
    low: float = math.inf
    high: float = -math.inf
    alarm: int = 0

    def joint(self) -> Joint:
        """The joint, 0 in the middle of its range; it holds without a command, and moves slowly.

        Raises:
            DeviceError: it was not moved.
        """
        if not self.high - self.low >= MOVED_RAD:
            raise DeviceError(f"{self.name} (servo {self.id}): was not moved by hand: at least {MOVED_RAD} rad")
        half = (self.high - self.low) / 2
        zero = (self.high + self.low) / 2
        return Joint(self.name, self.id, -half, half, SLEW_RAD_S, Safe.HOLD, zero_rad=zero)


class Ranges:
    """Records the range of each joint while a person moves it; torque is off.

    Args:
        bus: open.
        joints: name -> id.

    Raises:
        BusError: the port is gone.
    """

    def __init__(self, bus: ServoBus, joints: dict[str, int]) -> None:
        bus.torque_off()
        ids = list(joints.values())
        self.ranges = [Range(name, id) for name, id in joints.items()]
        self._group = ServoGroup(bus, ids, "position")

    def poll(self) -> Sequence[Range]:
        """Read all positions once."""
        self._group.poll()
        for seen, value in zip(self.ranges, self._group.values(), strict=True):
            seen.alarm = value.alarm
            seen.now = value.values[0] if value.values is not None else None
            if seen.now is not None:
                seen.low, seen.high = min(seen.low, seen.now), max(seen.high, seen.now)
        return self.ranges
