"""On the device: it restarts, it hangs, it measures another value, its clock wraps."""

from __future__ import annotations

import dataclasses
import enum
import struct
from typing import TYPE_CHECKING, Annotated

import msgspec

from rtu_edge._bridge import lib
from rtu_edge.device import protocol
from rtu_edge.hil.faults.base import Fault, Seconds
from rtu_edge.hil.trace import Direction

if TYPE_CHECKING:
    from rtu_edge.hil.bridge import Injection
    from rtu_edge.hil.ends import Unit


class Reset(Fault, frozen=True, kw_only=True):
    """The device restarts in the middle of a run, with a new boot_id."""

    kind = "reset"
    acts_on = "device"
    needs = frozenset({"reset"})

    def begin(self, now: Injection) -> None:
        now.count += 1
        now.bridge.target.reset()


class PowerLoss(Reset, frozen=True, kw_only=True):
    """The port is unplugged, and the device, which it supplies, restarts when it is plugged in again."""

    kind = "power_loss"

    def begin(self, now: Injection) -> None:
        now.count += 1
        now.bridge.unplug()

    def end(self, now: Injection) -> list[Unit]:
        now.bridge.target.reset()
        now.bridge.plug()
        return []


class Freeze(Fault, frozen=True, kw_only=True):
    """The device hangs for a while, then continues."""

    kind = "freeze"
    acts_on = "device"
    needs = frozenset({"stop"})

    def begin(self, now: Injection) -> None:
        now.count += 1
        now.bridge.target.stop()

    def end(self, now: Injection) -> list[Unit]:
        now.bridge.target.go_on()
        return []


class StopBy(str, enum.Enum):
    """What stops a device."""

    ESTOP = "estop"
    DISARM = "disarm"


class Driver(Fault, frozen=True, kw_only=True):
    """The device is stopped by a frame that its host did not send; this fault tests only the drivers' registers, which
    are read after every fault if the target allows it.

    Args:
        stop: which frame.
    """

    kind = "driver"
    acts_on = "device"
    needs = frozenset({"show_driver"})
    stop: StopBy = StopBy.ESTOP

    def begin(self, now: Injection) -> None:
        now.count += 1
        frame = protocol.Estop() if self.stop is StopBy.ESTOP else protocol.Disarm()
        now.bridge.send(Direction.TO_DEVICE, b"\0" + protocol.encode(protocol.pack(frame)))


class Measured(Fault, frozen=True, kw_only=True):
    """The device measures another value of one observation, before its own rules see it; a simulated plant only.

    Unlike `sensor`, which changes what the host is told, it meets the limits of the device's data sheet.

    Args:
        index: the observation.
        value: the measured value, in its unit.
        drive: command of the first actuator in place of the host's, in its unit; it must not be let through.
    """

    kind = "measured"
    acts_on = "device"
    needs = frozenset({"measure"})
    index: Annotated[int, msgspec.Meta(ge=0, le=54)] = 0
    value: Annotated[float, msgspec.Meta(ge=-1e30, le=1e30)] = 0.0
    drive: Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)] | None = None

    def poll(self, now: Injection, at_s: float) -> list[Unit]:
        if not now.memory.get("measured") and at_s >= now.next_s:  # a damaged line may lose it
            now.next_s = at_s + 0.03
            self._write(now, lib.TL_PARAM_F32)
        return []

    def _write(self, now: Injection, kind: int) -> None:
        bits = struct.unpack("<I", struct.pack("<f", self.value))[0]
        param = protocol.Param(lib.TL_PARAM_OBSERVATION + self.index, lib.TL_PARAM_WRITE, kind, bits)
        now.bridge.send(Direction.TO_DEVICE, b"\0" + protocol.encode(protocol.pack(param)))

    def transform(self, now: Injection, unit: Unit) -> list[Unit]:
        message = protocol.unpack(unit.frame) if unit.frame is not None else None
        if isinstance(message, protocol.State) and self.index < len(message.x):
            measured = message.x[self.index] == struct.unpack("<f", struct.pack("<f", self.value))[0]
            now.memory["measured"] = measured
            driven = message.state == protocol.DeviceState.ARMED and message.u[0] == self.drive
            stopped = message.state == protocol.DeviceState.SAFE
            now.count += measured and (stopped or (self.drive is not None and not driven))
        if isinstance(message, protocol.Cmd) and self.drive is not None:
            assert unit.frame is not None
            payload = protocol.pack(dataclasses.replace(message, u=(self.drive, *message.u[1:]))).payload
            return [dataclasses.replace(unit, data=protocol.encode(dataclasses.replace(unit.frame, payload=payload)))]
        return [unit]

    def end(self, now: Injection) -> list[Unit]:
        for _ in range(3):
            self._write(now, lib.TL_PARAM_U32)
        return []


class DeviceClock(Fault, frozen=True, kw_only=True):
    """The device's own clock passes 2^32 us in the middle of a run, as it does every 71.6 minutes.

    `clock_wrap` shifts the stamps on the line; here the device restarts with such a clock before the host opens the
    port.

    Args:
        after_s: from the restart to the wrap.
    """

    kind = "device_clock"
    acts_on = "device"
    needs = frozenset({"set_clock"})
    whole = True
    after_s: Seconds = 1.0

    def begin(self, now: Injection) -> None:
        now.bridge.target.set_clock(2**32 - round(self.after_s * 1e6))

    def transform(self, now: Injection, unit: Unit) -> list[Unit]:
        if unit.frame is not None and unit.direction is Direction.TO_HOST:
            now.count += unit.frame.t_us < now.memory.get("last", 0)
            now.memory["last"] = unit.frame.t_us
        return [unit]
