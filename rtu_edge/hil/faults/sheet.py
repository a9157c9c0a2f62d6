"""Faults of the data sheet: false rows, an exchanged device, a restart before ARM."""

from __future__ import annotations

import dataclasses
import enum
import math
from typing import TYPE_CHECKING

from rtu_edge._base.errors import DeviceError
from rtu_edge.device import protocol
from rtu_edge.hil.faults.base import Fault
from rtu_edge.hil.trace import Direction, TapPoint

if TYPE_CHECKING:
    from rtu_edge.hil.bridge import Injection
    from rtu_edge.hil.ends import Unit


class Lie(str, enum.Enum):
    """Row values that impose no limit."""

    SLEW_ZERO = "slew_zero"
    SLEW_NAN = "slew_nan"
    SLEW_NEGATIVE = "slew_negative"
    RANGE_NAN = "range_nan"
    RANGE_INVERTED = "range_inverted"
    SAFE_VALUE_NAN = "safe_value_nan"
    SAFE_UNKNOWN = "safe_unknown"


def _says(unit: Unit, message: protocol.Message) -> Unit:
    """The same frame with another message and a valid CRC."""
    assert unit.frame is not None
    frame = dataclasses.replace(unit.frame, payload=protocol.pack(message).payload)
    return dataclasses.replace(unit, data=protocol.encode(frame))


class _BeforeArm(Fault, frozen=True, kw_only=True):
    """Acts once the host has read the whole data sheet, before it arms."""

    whole = True

    def transform(self, now: Injection, unit: Unit) -> list[Unit]:
        message = (
            protocol.unpack(unit.frame) if unit.frame is not None and unit.direction is Direction.TO_HOST else None
        )
        if isinstance(message, protocol.Hello):
            now.memory["rows"] = message.observation_size + message.action_size
            if "read" in now.memory:
                return [self.hello(now, unit, message)]
        elif (
            isinstance(message, protocol.Channel)
            and message.index == now.memory.get("rows", 0) - 1
            and "read" not in now.memory
        ):
            now.memory["read"] = True
            self.read(now)
        return [unit]

    def read(self, now: Injection) -> None:
        """The last row was sent to the host."""

    def hello(self, now: Injection, unit: Unit, message: protocol.Hello) -> Unit:
        """The result for a HELLO after that."""
        return unit


class Restart(_BeforeArm, frozen=True, kw_only=True):
    """The device restarts after its data sheet was read and before it is armed, for example while a service waits to be
    armed.
    """

    kind = "restart_before_arm"
    acts_on = "device"
    needs = frozenset({"reset"})

    def read(self, now: Injection) -> None:
        now.count += 1
        now.bridge.target.reset()


class Swap(_BeforeArm, frozen=True, kw_only=True):
    """Another board answers once the data sheet was read: another schema and another start, under the same name."""

    kind = "swap"

    def hello(self, now: Injection, unit: Unit, message: protocol.Hello) -> Unit:
        now.count += 1
        other = dataclasses.replace(message, schema_hash=message.schema_hash ^ 1, boot_id=message.boot_id ^ 1)
        return _says(unit, other)


class Rows(Fault, frozen=True, kw_only=True):
    """The first actuator's row is false, with a matching hash in HELLO: a consistent but unusable data sheet.

    Args:
        lie: the contents of the row.
    """

    kind = "rows"
    whole = True
    lie: Lie = Lie.SLEW_ZERO

    def begin(self, now: Injection) -> None:
        """Reads the rows itself, before the host; no HELLO reaches the host until they are known."""
        seen = [passed.message for passed in now.bridge.trace.all(TapPoint.DEVICE_OUT, protocol.FrameType.HELLO)]
        hello = next((message for message in reversed(seen) if isinstance(message, protocol.Hello)), None)
        if hello is None:
            raise DeviceError(f"{self.title}: the device's number of rows is not known yet; call bridge.hello() first")
        now.memory.update(hello=hello, rows={})
        for index in range(hello.observation_size + hello.action_size):
            now.bridge.send(Direction.TO_DEVICE, protocol.encode(protocol.pack(protocol.Describe(index))))

    def transform(self, now: Injection, unit: Unit) -> list[Unit]:
        message = (
            protocol.unpack(unit.frame) if unit.frame is not None and unit.direction is Direction.TO_HOST else None
        )
        hello, rows = now.memory["hello"], now.memory["rows"]
        if isinstance(message, protocol.Channel):
            asked_by_host = len(rows) == hello.observation_size + hello.action_size
            rows[message.index] = self._lying(message) if message.index == hello.observation_size else message
            now.count += asked_by_host and message.index == hello.observation_size
            return [_says(unit, rows[message.index])] if asked_by_host else []
        if isinstance(message, protocol.Hello):
            if len(rows) < hello.observation_size + hello.action_size:
                return []
            schema = protocol.schema_hash(message.period_us, [rows[index] for index in sorted(rows)])
            return [_says(unit, dataclasses.replace(message, schema_hash=schema))]
        return [unit]

    def _lying(self, row: protocol.Channel) -> protocol.Channel:
        changes: dict[Lie, dict[str, float | int]] = {
            Lie.SLEW_ZERO: {"slew": 0.0},
            Lie.SLEW_NAN: {"slew": math.nan},
            Lie.SLEW_NEGATIVE: {"slew": -1.0},
            Lie.RANGE_NAN: {"max": math.nan},
            Lie.RANGE_INVERTED: {"min": row.max, "max": row.min},
            Lie.SAFE_VALUE_NAN: {"safe_value": math.nan},
            Lie.SAFE_UNKNOWN: {"safe": 77},
        }
        return dataclasses.replace(row, **changes[self.lie])  # type: ignore[arg-type]
