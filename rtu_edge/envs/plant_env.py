"""One plant as an environment."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from rtu_edge._base.validation import check_int
from rtu_edge.device.plants import Plant
from rtu_edge.device.schema import DataSheet
from rtu_edge.envs.actions import Actions
from rtu_edge.envs.picture import picture

__all__ = ["LARGEST_SEED", "RENDER_MODES", "PlantEnv", "check_render_mode", "metadata_of", "observation_space"]

LARGEST_SEED = 2**128 - 1
RENDER_MODES = ("rgb_array",)


def check_render_mode(mode: str | None) -> str | None:
    """A supported render mode, or None; TypeError for another one, after which libraries retry without one."""
    if mode is not None and mode not in RENDER_MODES:
        raise TypeError(f"render_mode = {mode!r}: expected None or one of {', '.join(RENDER_MODES)}")
    return mode


def metadata_of(sheet: DataSheet) -> dict[str, Any]:
    """Render modes, and frames per second at the plant's own speed."""
    return {"render_modes": list(RENDER_MODES), "render_fps": round(1.0 / sheet.period_s)}


def observation_space(sheet: DataSheet) -> Any:
    """A Box of the ranges of the data sheet."""
    low, high = (np.array([getattr(row, end) for row in sheet.observations], np.float32) for end in ("min", "max"))
    return spaces.Box(low, high)


class PlantEnv(gymnasium.Env[NDArray[np.float32], Any]):
    """One plant as an environment.

    Observations are raw, in the units of the data sheet (`env.unwrapped.sheet`); an rtu_edge agent normalises
    for itself. terminated and truncated come from the plant; there is no TimeLimit wrapper.

    Args:
        plant: the plant's name (`rtu_edge.device.plants.names()`).
        actions: "unit": each actuator in [-1, 1] of its range, as rtu_edge agents and the control loop have it;
            "physical": in the actuator's unit; an int n from 2 to 2^20: Discrete(n), evenly spaced levels from the
            lowest to the highest value.
        max_steps: an episode is truncated after so many steps; 0: never; None: as in the data sheet.
        render_mode: None, or "rgb_array": render() returns a picture, uint8 (200, 300, 3).

    Raises:
        ValueError: an argument that is not one of these.
        TypeError: another render mode.
    """

    metadata = {"render_modes": list(RENDER_MODES), "render_fps": 50}  # noqa: RUF012  # as Gymnasium has it

    def __init__(
        self,
        plant: str,
        actions: str | int = "unit",
        max_steps: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        self.render_mode = check_render_mode(render_mode)
        self.plant = Plant(plant, max_steps)
        self.metadata = metadata_of(self.plant.sheet)
        self.observation_space = observation_space(self.plant.sheet)
        self._actions = Actions(actions, self.plant.sheet.actuators)
        self.action_space = self._actions.space

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
            seed = check_int("seed", seed, 0, LARGEST_SEED)
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
        return self.plant.step(self._actions.physical(action))

    def render(self) -> NDArray[np.uint8] | None:
        """The picture of the present state, uint8 (200, 300, 3); None without a render mode."""
        return None if self.render_mode is None else picture(self.plant.sheet, self.plant.observe())
