"""The simulated plants in Python: the same C that runs in the firmware, without Gymnasium.

>>> plant = Plant("cartpole")
>>> plant
Plant('cartpole', max_steps=500): x, theta -> force; 50 Hz
>>> observation, info = plant.reset(seed=7)
>>> observation, reward, terminated, truncated, info = plant.step([2.5])
>>> reward, terminated, truncated, info
(1.0, False, False, {'applied': array([2.5], dtype=float32)})
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rtu_edge._base.validation import check_int, check_values
from rtu_edge._bridge import ffi, lib
from rtu_edge.device.schema import Channel, DataSheet, LimitKind, Role, Safe, SheetLimit, scale_to

if TYPE_CHECKING:
    from rtu_edge.learn.native import Functions

__all__ = ["Parameter", "Plant", "PlantSheet", "names", "sheet"]


@dataclass(frozen=True)
class Parameter:
    """One parameter of the plant and its source."""

    name: str
    unit: str
    value: float
    source: str


@dataclass(frozen=True)
class PlantSheet(DataSheet):
    """The data sheet of a plant.

    Args:
        period_s, observations, actuators: see DataSheet; an observation never leaves its range, an actuator is clamped
            to it.
        name, title: what it is called.
        max_steps: an episode is truncated after so many steps.
        parameters: its numbers, with their sources.
        reward: of one step, in words.
        source: paper, environment or manual.
        simulated: False for a plant that drives hardware.
    """

    name: str
    title: str
    max_steps: int
    parameters: tuple[Parameter, ...]
    reward: str
    source: str
    simulated: bool


def _text(pointer: Any) -> str:
    return str(ffi.string(pointer).decode("utf-8"))


def _channel(raw: Any, index: int) -> Channel:
    row, actuator = raw.rows[index], index >= raw.observation_size
    slew = math.inf if actuator else 0.0  # the device around it may have a limit
    role = Role.ANY if actuator or not raw.roles else Role(raw.roles[index])
    own = (raw.limits[i] for i in range(raw.n_limits))
    limits = tuple(_limit(each.limit) for each in own if each.observation == index and not actuator)
    name, unit, safe = _text(row.name), _text(row.unit), Safe(row.safe)
    return Channel(name, unit, row.min, row.max, index, actuator, safe, slew, row.safe_value, role, limits)


def _limit(c: Any) -> SheetLimit:
    return SheetLimit(LimitKind(c.kind), c.low, c.high, c.actuator, c.sense, c.slope)


def names() -> tuple[str, ...]:
    """The plants there are.

    >>> names()
    ('cartpole', 'cartpole-full', 'pendulum', 'pendulum-full', 'servo', 'servo-full', 'joint')
    """
    return tuple(_text(lib.tl_plant_at(i).sheet.name) for i in range(lib.tl_plant_count()))


def _address(pointer: Any) -> int:
    return int(ffi.cast("uintptr_t", pointer))


def _find(name: str) -> Any:
    if name not in names():  # compared here: in C a text ends at its first NUL
        raise ValueError(f"plant {name!r} is unknown; there are {', '.join(names())}")
    return lib.tl_plant_find(name.encode("utf-8"))


def sheet(name: str) -> PlantSheet:
    """The data sheet of one plant.

    Args:
        name: one of `names()`.

    Returns:
        Units, ranges, parameters with their source, and the reward in words.

    Raises:
        ValueError: no plant has this name.
    """
    raw = _find(name).sheet
    channels = tuple(_channel(raw, i) for i in range(raw.observation_size + raw.action_size))
    numbers = (raw.parameters[i] for i in range(raw.n_parameters))
    return PlantSheet(
        name=_text(raw.name),
        title=_text(raw.title),
        period_s=raw.period_us / 1e6,
        max_steps=raw.max_steps,
        observations=channels[: raw.observation_size],
        actuators=channels[raw.observation_size :],
        parameters=tuple(Parameter(_text(p.name), _text(p.unit), p.value, _text(p.source)) for p in numbers),
        reward=_text(raw.reward),
        source=_text(raw.source),
        simulated=bool(raw.simulated),
    )


class Plant:
    """One simulated plant, with reset() and step() as Gymnasium has them; commands in the actuators' units.

    Args:
        name: one of `names()`.
        max_steps: an episode is truncated after so many steps; 0: never; None: as in the data sheet.

    Raises:
        ValueError: no plant has this name, or max_steps is not in 0..2**32-1.
    """

    def __init__(self, name: str, max_steps: int | None = None) -> None:
        self._plant = _find(name)
        self.sheet = sheet(name)
        self.max_steps = self.sheet.max_steps if max_steps is None else check_int("max_steps", max_steps, 0, 2**32 - 1)
        self._state = ffi.new("tl_plant_state *")
        self._u = np.zeros(self.sheet.action_size, dtype=np.float32)
        self._x = np.zeros(self.sheet.observation_size, dtype=np.float32)
        self._u_pointer = ffi.from_buffer("float[]", self._u, require_writable=True)
        self._x_pointer = ffi.from_buffer("float[]", self._x, require_writable=True)
        self._low = np.array([row.min for row in self.sheet.actuators], dtype=np.float32)
        self._high = np.array([row.max for row in self.sheet.actuators], dtype=np.float32)
        self.reset(0)
        self.next_seed = 0

    def reset(self, seed: int | None = None) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start an episode; the start depends on the seed alone.

        Args:
            seed: 0..2**32-1, the number that TickLink's RESET carries; None: the seed of the last episode plus one,
                or 0 for the first one.

        Returns:
            The first observation, (observation_size,), in the units of the data sheet, a copy; and
            {"plant_seed": the seed of this episode}.

        Raises:
            ValueError: the seed is out of range; the episode continues as before.
        """
        used = self.next_seed if seed is None else check_int("seed", seed, 0, 2**32 - 1)
        self._plant.reset(self._state, used)
        lib.tl_plant_limit(self._state, self.max_steps)
        self.next_seed = (used + 1) % 2**32
        return self.observe(), {"plant_seed": used}

    def step(
        self, u: NDArray[np.floating[Any]] | Sequence[float]
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Hold the actuators at u for one period.

        Args:
            u: (action_size,), in the units of the data sheet; clamped to the actuators' ranges. `plant.step(
                plant.scale(action))` takes an agent's action.

        Returns:
            Observation (observation_size,), reward, terminated, truncated, and {"applied": u as clamped, (action_size,)
            float32}. After the episode's end the plant holds still and earns 0.

        Raises:
            ValueError: u has another shape or is not finite; the plant has not moved.
        """
        applied = np.minimum(np.maximum(check_values("u", u, self._u.shape), self._low), self._high)
        self._u[:] = applied
        result = self._plant.step(self._state, self._u_pointer)
        return self.observe(), result.reward, result.terminated, result.truncated, {"applied": applied}

    def native_plant(self) -> Functions | None:
        """For the native training loop; None for a derived class, whose own methods have to be called."""
        if type(self) is not Plant or self.__dict__.keys() & {"reset", "step", "observe", "scale"}:
            return None
        from rtu_edge.learn.native import Functions  # here: a device alone needs no learner

        plant = self._plant
        return Functions(
            reset=_address(plant.reset),
            step=_address(plant.step),
            observe=_address(plant.observe),
            state=_address(self._state),
            low=self._low,
            high=self._high,
            limit=_address(ffi.addressof(lib, "tl_plant_limit")),
            max_steps=self.max_steps,
        )

    def scale(self, action: NDArray[np.floating[Any]] | Sequence[float]) -> NDArray[np.float32]:
        """An agent's action in the units of the actuators: -1 is the lower and 1 the upper end of the range.

        >>> Plant("cartpole").scale([0.25])
        array([2.5], dtype=float32)

        Args:
            action: (action_size,) each in [-1, 1]; values beyond are clipped.

        Returns:
            (action_size,) float32, what the control loop sends for this action, to the bit.

        Raises:
            ValueError: another shape, or a value that is not finite.
        """
        return scale_to(self._low, self._high, check_values("action", action, self._u.shape))

    def __repr__(self) -> str:
        seen, acted = (", ".join(row.name for row in rows) for rows in (self.sheet.observations, self.sheet.actuators))
        rate = f"{1.0 / self.sheet.period_s:g} Hz"
        return f"Plant({self.sheet.name!r}, max_steps={self.max_steps}): {seen} -> {acted}; {rate}"

    def observe(self) -> NDArray[np.float32]:
        """The observation of the present state, (observation_size,), a copy."""
        self._plant.observe(self._state, self._x_pointer)
        x: NDArray[np.float32] = self._x.copy()
        return x

    @property
    def state_bytes(self) -> bytes:
        """The whole state as the C structure's bytes, for comparing runs bit by bit."""
        return bytes(ffi.buffer(self._state, self._plant.state_bytes))
