"""A machine of a family as an environment; with randomize, another machine in each episode."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from rtu_edge._base.validation import check_bool, check_int
from rtu_edge.envs.plant_env import LARGEST_SEED
from rtu_edge.study.families import Machine

__all__ = ["MachineEnv"]


class MachineEnv(gymnasium.Env[NDArray[np.float32], NDArray[np.float32]]):
    """A machine of a family (docs/families.md) as an environment.

    Observations are raw and have no bounds, because sensors have noise; actions are in [-1, 1].

    Args:
        kind: one of `rtu_edge.study.families.kinds()`.
        machine_seed: 0 to 2^32 - 1; the parameters follow from kind and seed.
        randomize: True: each reset draws another machine of the kind (domain randomisation), from the environment's
            seed; machine_seed is the first one.
        render_mode: None; nothing is drawn.

    Raises:
        ConfigError: an argument that is not one of these.
        TypeError: a render mode.
    """

    metadata = {"render_modes": []}  # noqa: RUF012  # as Gymnasium has it

    def __init__(
        self, kind: str, machine_seed: int = 0, randomize: bool = False, render_mode: str | None = None
    ) -> None:
        if render_mode is not None:
            raise TypeError(f"render_mode = {render_mode!r}: expected None")
        self.machine = Machine(kind, machine_seed)
        self.randomize = check_bool("randomize", randomize)
        self.render_mode = None
        self.observation_space = spaces.Box(-np.inf, np.inf, (self.machine.observation_size,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (self.machine.action_size,), np.float32)

    @property
    def sheet(self) -> Any:
        """Sizes and period; StreamAC.from_env() takes the period from here."""
        return self.machine.sheet

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start an episode.

        Args:
            seed: its lowest 32 bits are the seed of this episode; it also seeds later episodes, and with randomize
                the machines. None: the next of these.
            options: not used.

        Returns:
            The first observation, and {"machine_seed": of the parameters, "episode_seed": of this episode}.
        """
        if seed is not None:
            seed = check_int("seed", seed, 0, LARGEST_SEED)
        super().reset(seed=seed)
        if self.randomize:
            self.machine.redraw(int(self.np_random.integers(2**32)))
        episode = seed & 0xFFFFFFFF if seed is not None else int(self.np_random.integers(2**32))
        observation, info = self.machine.reset(episode)
        return observation, {"machine_seed": self.machine.seed, **info}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """One period; see Machine.step()."""
        return self.machine.step(action)
