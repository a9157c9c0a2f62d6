"""Gymnasium environments over the plants: the same C that runs in the firmware.

Importing this module registers them; it needs gymnasium (`pip install "rtu_edge[gym]"`). An id that names this module
needs no import, also in the workers of a vector environment.

>>> import gymnasium
>>> env = gymnasium.make("rtu_edge.envs:rtu_edge/CartPolePosition-v0")
>>> observation, info = env.reset(seed=7)
>>> env.action_space
Box(-1.0, 1.0, (1,), float32)

An agent that fits: `rtu_edge.StreamAC.from_env(env)`; `agent.learn(env, 100_000)` lets it learn.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs import registration
from numpy.typing import NDArray

from rtu_edge._base.errors import ConfigError
from rtu_edge._base.validation import check_int, check_values
from rtu_edge.device.plants import Plant
from rtu_edge.device.schema import DataSheet, scale_to

__all__ = ["IDS", "PlantEnv", "register"]

IDS = {
    "rtu_edge/CartPolePosition-v0": "cartpole",
    "rtu_edge/CartPole-v0": "cartpole-full",
    "rtu_edge/PendulumPosition-v0": "pendulum",
    "rtu_edge/Pendulum-v0": "pendulum-full",
    "rtu_edge/ServoPosition-v0": "servo",
    "rtu_edge/Servo-v0": "servo-full",
}


_LARGEST_SEED = 2**128 - 1
_LARGEST_LEVELS = 1 << 20


def _levels_of(actions: object) -> int | None:
    """How many levels that are; None where it is no number of levels."""
    try:
        return check_int("actions", actions, 2, _LARGEST_LEVELS)
    except ConfigError:
        return None


class PlantEnv(gymnasium.Env[NDArray[np.float32], Any]):
    """One plant as an environment.

    Observations are raw, in the units of the data sheet (`env.unwrapped.sheet`); an rtu_edge agent normalises
    for itself. terminated and truncated come from the plant; there is no TimeLimit wrapper.

    Args:
        plant: the plant's name (`rtu_edge.device.plants.names()`).
        actions: "unit": each actuator in [-1, 1] of its range, as rtu_edge agents and the control loop have it;
            "physical": in the actuator's unit; an int n from 2 to 2^20: Discrete(n), evenly spaced levels from the
            lowest to the highest value.
        max_steps: an episode is truncated after so many steps; 0: never; None: as the data sheet says.
        render_mode: None; there is no picture.

    Raises:
        ValueError: an argument that is not one of these.
        TypeError: a render_mode.
    """

    def __init__(
        self,
        plant: str,
        actions: str | int = "unit",
        max_steps: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        if render_mode is not None:
            # A TypeError, as of an environment without this argument: Stable-Baselines3 asks for "rgb_array" first, and
            # tries without it after a TypeError.
            raise TypeError(f"render_mode = {render_mode!r}: not supported, there is no picture; expected None")
        self.plant = Plant(plant, max_steps)
        self.metadata = {"render_modes": [], "render_fps": round(1.0 / self.plant.sheet.period_s)}
        rows = self.plant.sheet.observations
        self.observation_space = spaces.Box(
            np.array([row.min for row in rows], dtype=np.float32), np.array([row.max for row in rows], dtype=np.float32)
        )
        self._low = np.array([row.min for row in self.plant.sheet.actuators], dtype=np.float32)
        self._high = np.array([row.max for row in self.plant.sheet.actuators], dtype=np.float32)
        self._actions = actions
        self._levels: NDArray[np.float32] | None = None
        if actions == "unit":
            self.action_space = spaces.Box(-1.0, 1.0, self._low.shape, np.float32)
        elif actions == "physical":
            self.action_space = spaces.Box(self._low, self._high)
        elif (levels := _levels_of(actions)) is not None:
            self.action_space = spaces.Discrete(levels)
            self._levels = np.linspace(self._low, self._high, levels, dtype=np.float32)
        else:
            raise ValueError(
                f'actions: {actions!r} is neither "unit" nor "physical" '
                f"nor a number of levels from 2 to {_LARGEST_LEVELS}"
            )

    @property
    def sheet(self) -> DataSheet:
        """Units, ranges and period; StreamAC.from_env() takes the period from here."""
        return self.plant.sheet

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start an episode.

        Args:
            seed: the plant's seed (its lowest 32 bits: the number that TickLink's RESET carries), and the seed of the
                seeds of later episodes; None: the next of these.
            options: not used.

        Returns:
            The first observation, and {"plant_seed": the number that starts this episode again}.
        """
        if seed is not None:  # gymnasium takes no numpy integer
            seed = check_int("seed", seed, 0, _LARGEST_SEED)
        super().reset(seed=seed)
        plant_seed = seed & 0xFFFFFFFF if seed is not None else int(self.np_random.integers(2**32))
        return self.plant.reset(plant_seed)

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """One period of the plant.

        Args:
            action: of the action space; values beyond the range are clipped, as the actuator does.

        Returns:
            observation, reward, terminated, truncated, {"applied": what the actuators did, in their units}.

        Raises:
            ValueError: another shape, not finite, or no such level.
        """
        if self._levels is not None:
            if not self.action_space.contains(action):
                raise ValueError(f"action: {action!r} is not in {self.action_space}")
            u = self._levels[int(action)]
        else:
            values = check_values("action", action, self._low.shape)
            if self._actions == "unit":
                values = scale_to(self._low, self._high, values)
            u = values
        return self.plant.step(u)


def register() -> None:
    """Make the environments known to gymnasium.make; doing it twice is harmless."""
    for name, plant in IDS.items():
        if name not in registration.registry:
            registration.register(id=name, entry_point="rtu_edge.envs:PlantEnv", kwargs={"plant": plant})


register()
