"""Gymnasium environments over the plants: the same C that runs in the firmware.

Importing this module registers them; it needs gymnasium (`pip install rtu_edge[gym]`).

>>> import gymnasium
>>> import rtu_edge.envs
>>> env = gymnasium.make("rtu_edge/CartPolePosition-v0")
>>> observation, info = env.reset(seed=7)
>>> env.action_space
Box(-1.0, 1.0, (1,), float32)

An agent that fits: `rtu_edge.StreamAC(**rtu_edge.envs.sizes(env))`; a loop: `rtu_edge.envs.train(agent, env, 100_000)`.
"""

from __future__ import annotations

from typing import Any, Protocol

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from rtu_edge._base.errors import ConfigError
from rtu_edge._base.validation import check_int, check_values
from rtu_edge.device.plants import Plant
from rtu_edge.device.schema import scale_to

__all__ = ["IDS", "PlantEnv", "register", "sizes", "train"]

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

    Observations are raw, in the units of the data sheet (`env.unwrapped.plant.sheet`); an rtu_edge agent normalises
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
    """

    def __init__(
        self,
        plant: str,
        actions: str | int = "unit",
        max_steps: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        if render_mode is not None:
            raise ValueError(f"render_mode: {render_mode!r} is not supported; there is no picture, use None")
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


def sizes(env: gymnasium.Env[Any, Any]) -> dict[str, int]:
    """The keyword arguments that make an rtu_edge agent fit an environment with flat observations.

    Args:
        env: observation space Box of one dimension; action space Discrete, or Box from -1 to 1.

    Returns:
        {"observation_size", "n_actions"} or {"observation_size", "action_size"}.

    Raises:
        ValueError: other spaces.
    """
    seen, acted = env.observation_space, env.action_space
    if not isinstance(seen, spaces.Box) or len(seen.shape) != 1:
        raise ValueError(f"observation space: {seen} is not a Box of one dimension")
    if isinstance(acted, spaces.Discrete) and acted.start == 0:
        return {"observation_size": seen.shape[0], "n_actions": int(acted.n)}
    if isinstance(acted, spaces.Box) and len(acted.shape) == 1 and np.all(acted.low == -1) and np.all(acted.high == 1):
        return {"observation_size": seen.shape[0], "action_size": acted.shape[0]}
    raise ValueError(
        f"action space: {acted} is neither Discrete from 0 nor a Box from -1 to 1 (gymnasium.wrappers.RescaleAction)"
    )


class Learner(Protocol):
    """What `train` asks of an agent; rtu_edge.StreamAC has it."""

    def reset(self, observation: Any) -> Any:
        """Start an episode and return the first action."""

    def step(self, observation: Any, reward: float, terminated: bool = False, truncated: bool = False) -> Any:
        """Learn from a transition and return the next action."""


def train(agent: Learner, env: gymnasium.Env[Any, Any], steps: int, seed: int | None = None) -> list[float]:
    """Let an agent learn in an environment for a number of steps.

    Args:
        agent: has reset(observation) and step(observation, reward, terminated, truncated).
        env: any Gymnasium environment whose spaces fit (`sizes`).
        steps: environment steps in all; the last episode may be cut.
        seed: of the first episode, and through it of the following ones.

    Returns:
        The sum of rewards of each finished episode.
    """
    totals: list[float] = []
    total = 0.0
    observation, _ = env.reset(seed=seed)
    action = agent.reset(observation)
    for _ in range(steps):
        observation, reward, terminated, truncated, _ = env.step(action)
        total += float(reward)
        action = agent.step(observation, float(reward), terminated=terminated, truncated=truncated)
        if terminated or truncated:
            totals.append(total)
            total = 0.0
            observation, _ = env.reset()
            action = agent.reset(observation)
    return totals


def register() -> None:
    """Make the environments known to gymnasium.make; doing it twice is harmless."""
    for name, plant in IDS.items():
        if name not in gymnasium.registry:
            gymnasium.register(id=name, entry_point="rtu_edge.envs:PlantEnv", kwargs={"plant": plant})


register()
