"""The description of a device: HELLO, channels, data sheet, limits of the actuators; the only definition of each.

    Hello       identity: protocol, capabilities, period, sizes (the HELLO message)
    Channel    one observation or actuator: name, unit, range, safe behaviour, role, limits of its own (the ROW message)
    SheetLimit  a limit of an observation that the device enforces
    DataSheet  period and channels, of a device, a simulated plant or a log
    Limits     range, slew and acceleration of one actuator: in a file, for a loop, and in force

`limits` validates a data sheet and derives the limits in force. Constants of the wire format are repeated here, because
a configuration is read without the protocol's C code; a test compares them.
"""

from __future__ import annotations

import enum
import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import msgspec

from rtu_edge._base.errors import ConfigError
from rtu_edge._base.strict import Number, Section
from rtu_edge._base.validation import check_values, scalar

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = [
    "PROTOCOL",
    "Cap",
    "Channel",
    "DataSheet",
    "Hello",
    "LimitKind",
    "Limits",
    "Role",
    "Safe",
    "SheetLimit",
    "scale_to",
]

PROTOCOL = 2  # of TickLink, the newest that this package has; it uses devices of version 1 too


class Safe(enum.IntEnum):
    """Safe behaviour of an actuator (firmware_bridge/protocol/safe.h)."""

    NONE = 0  # an observation
    HOLD = 1  # keeps the last applied value
    DAMP = 2  # brakes against motion, no drive
    RAMP = 3  # moves to safe_value at the channel's slew limit
    OFF = 4  # safe_value at once; for a force, torque or voltage that is 0


class Cap(enum.IntFlag):
    """Abilities of a device."""

    SIMULATED = 1
    LOCKSTEP = 2
    REWARD = 4
    RESET = 8


class Role(enum.IntEnum):
    """What an observation measures (firmware_bridge/protocol/limit.h)."""

    ANY = 0  # not stated
    POSITION = 1
    VELOCITY = 2
    CURRENT = 3
    TEMPERATURE = 4
    BUS_VOLTAGE = 5
    BRAKE = 6  # the device's brake output: 1 engaged, 0 released; released only while armed


class LimitKind(enum.IntEnum):
    """What a device does while an observation is outside its limit."""

    OTHER = 0  # of a later version of the device
    DIRECTION = 1  # an output that drives further out becomes 0: only back in is let through
    FAULT = 2  # it goes SAFE with fault LIMIT, and does not arm
    DERATE = 3  # the range of a command shrinks, by the share `slope` per unit outside


_ALL = 255
_NO_CAPS = Cap(0)


@dataclass(frozen=True)
class SheetLimit:
    """A limit of an observation that the device itself enforces, whatever a host commands.

    Args:
        kind: what happens outside `low` to `high`.
        low, high: in the observation's unit; one of them may be infinite.
        actuator: index of the actuator that it acts on, among the actuators; 255: all (FAULT always, DERATE also).
        sense: DIRECTION: 1 where a positive output raises the observation, -1 where it lowers it; 0 for other kinds.
        slope: DERATE: share of the range per unit outside, above 0; 0 for other kinds.
    """

    kind: LimitKind
    low: float = -math.inf
    high: float = math.inf
    actuator: int = _ALL
    sense: int = 0
    slope: float = 0.0

    def text(self, unit: str, actuators: Sequence[Channel] = ()) -> str:
        """A phrase such as "LIMIT fault above 80 C".

        Args:
            unit: of the observation.
            actuators: of the data sheet, for the name of the one that it acts on.
        """
        known = self.actuator < len(actuators)
        acts_on = f" on {actuators[self.actuator].name}" if known else "" if self.actuator == _ALL else " on one"
        place = f"outside {self.low:g} to {self.high:g} {unit}"
        if math.isinf(self.low) or math.isinf(self.high):
            place = f"above {self.high:g} {unit}" if math.isinf(self.low) else f"below {self.low:g} {unit}"
        if self.kind is LimitKind.DIRECTION:
            return f"only back in{acts_on} {place}"
        if self.kind is LimitKind.DERATE:
            return f"derates{acts_on} {place} by {100 * self.slope:g} % per {unit}"
        return f"LIMIT fault {place}" if self.kind is LimitKind.FAULT else f"a limit of a later version {place}"


@dataclass(frozen=True)
class Hello:
    """01: identity of a device. From a host: the request for it.

    Args:
        protocol: version of the protocol; of a device the newest that both ends have.
        role: 0 host, 1 device.
        caps: capabilities. boot_id: random number of this start of the device.
        schema_hash: CRC-32 of the data sheet's canonical text.
        period_us: us; the device's control period.
        ttl_max_ms: ms; upper limit of a command's TTL. observation_size, action_size: numbers of observations and of
        actuators. fw_major, fw_minor, fw_patch: version of the firmware.
        last_session: newest session number used since the device's boot; 0: none.
    """

    protocol: int = PROTOCOL
    role: int = 0
    caps: Cap = _NO_CAPS
    boot_id: int = 0
    schema_hash: int = 0
    period_us: int = 0
    ttl_max_ms: int = 0
    observation_size: int = 0
    action_size: int = 0
    fw_major: int = 0
    fw_minor: int = 0
    fw_patch: int = 0
    last_session: int = 0

    @property
    def period_s(self) -> float:
        """S; the double nearest to the period. A product with 1e-6 gives a different double for 29 % of all periods."""
        return self.period_us / 1e6

    @property
    def firmware(self) -> str:
        """Version of the firmware, "1.0.0"."""
        return f"{self.fw_major}.{self.fw_minor}.{self.fw_patch}"

    @property
    def simulated(self) -> bool:
        """It may be armed without permission: no real hardware moves."""
        return bool(self.caps & Cap.SIMULATED)

    @property
    def lockstep(self) -> bool:
        """It can wait for each command, in virtual time."""
        return bool(self.caps & Cap.LOCKSTEP)

    @property
    def reward(self) -> bool:
        """Its STATE carries a reward."""
        return bool(self.caps & Cap.REWARD)

    @property
    def reset(self) -> bool:
        """It starts episodes on RESET."""
        return bool(self.caps & Cap.RESET)


@dataclass(frozen=True)
class Channel:
    """05: one observation or actuator.

    Args:
        name, unit: ASCII without spaces, at most 24 and 12 characters.
        min, max: range in `unit`; infinite where an observation has no bound.
        index: position in the data sheet, observations first.
        actuator: False for an observation.
        safe: what an actuator does when the device goes safe; NONE for an observation. An unknown number is kept until
        sheet_problems() refuses it. slew: largest change per period; inf: no limit; 0 for an observation.
        safe_value: final value of RAMP and OFF.
        role: what an observation measures; ANY for an actuator.
        limits: of an observation, enforced by the device; at most four.
    """

    name: str
    unit: str
    min: float
    max: float
    index: int = 0
    actuator: bool = False
    safe: Safe = Safe.NONE
    slew: float = 0.0
    safe_value: float = 0.0
    role: Role = Role.ANY
    limits: tuple[SheetLimit, ...] = ()

    def __post_init__(self) -> None:
        """Raises ConfigError for a value of another type; sheet_problems() checks the values, as for a device."""
        for key in ("name", "unit"):
            if not isinstance(given := getattr(self, key), str):
                raise ConfigError(f"channel {self.name!r}: {key} = {given!r}: expected text")
        for key in ("min", "max", "slew", "safe_value"):
            if isinstance(given := scalar(getattr(self, key)), bool) or not isinstance(given, numbers.Real):
                raise ConfigError(f"channel {self.name!r}: {key} = {given!r}: expected a number")
        for each in self.limits:
            if not isinstance(each, SheetLimit):
                raise ConfigError(f"channel {self.name!r}: limits: {each!r}: expected a SheetLimit")

    def limits_text(self, actuators: Sequence[Channel] = ()) -> str:
        """Role and limits as a phrase; "" without either. `actuators`: of the data sheet, for their names."""
        role = [] if self.role is Role.ANY else [self.role.name.lower().replace("_", " ")]
        return "; ".join([*role, *(each.text(self.unit, actuators) for each in self.limits)])


@dataclass(frozen=True)
class DataSheet:
    """Channels and period of a device, a simulated plant or a log.

    Args:
        period_s: s; one control period.
        observations, actuators: in the order of STATE and CMD.
    """

    period_s: float
    observations: tuple[Channel, ...]
    actuators: tuple[Channel, ...]

    @property
    def observation_size(self) -> int:
        """Number of observations."""
        return len(self.observations)

    @property
    def action_size(self) -> int:
        """Number of actuators."""
        return len(self.actuators)

    @property
    def channels(self) -> tuple[Channel, ...]:
        """All, observations first."""
        return self.observations + self.actuators

    def scale(self, action: object) -> npt.NDArray[np.float32]:
        """Commands in the actuators' units: -1 is the lower and 1 the upper end of an actuator's range.

        Bit-identical to the arithmetic of the native loop.

        Args:
            action: (action_size,) each in [-1, 1]; values beyond are clipped.

        Returns:
            (action_size,) float32, in the units of `actuators`.

        Raises:
            ConfigError: another shape, or a value that is not finite.
        """
        import numpy as np  # here: a configuration is read without numpy

        low = np.array([row.min for row in self.actuators], dtype=np.float32)
        high = np.array([row.max for row in self.actuators], dtype=np.float32)
        return scale_to(low, high, check_values("action", action, (self.action_size,)))


def scale_to(
    low: npt.NDArray[np.float32], high: npt.NDArray[np.float32], action: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Actions in [-1, 1] as commands from low to high, in the float32 arithmetic of the native loop (map_action)."""
    import numpy as np

    one, half = np.float32(1.0), np.float32(0.5)
    u = low + (np.minimum(np.maximum(action, -one), one) + one) * half * (high - low)
    return np.minimum(np.maximum(u, low), high)


class Limits(Section, frozen=True, kw_only=False):
    """Limits of one actuator, in its own unit; the tighter of these and the device's hold.

    Args:
        min, max: range; the policy's -1 and 1 map to the two ends.
        slew_per_s: largest change per second; inf: no limit by the host. None means the same, but is refused on real
            hardware, which requires a value.
        accel_per_s2: largest change of that per second; as slew_per_s.
        rest: sent once before disarming on a stop; clamped to the range. None: as the device's safe behaviour: its safe
            value, or the last command for HOLD.
    """

    min: Number
    max: Number
    slew_per_s: Annotated[float, msgspec.Meta(gt=0.0)] | None = None
    accel_per_s2: Annotated[float, msgspec.Meta(gt=0.0)] | None = None
    rest: Number | None = None
