"""A robot as an environment: a board, a firmware process or a device in Python behind Gymnasium's interface."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from rtu_edge._base.errors import ConfigError
from rtu_edge._base.validation import check_int
from rtu_edge.device.schema import DataSheet
from rtu_edge.envs.actions import Actions
from rtu_edge.envs.picture import picture
from rtu_edge.envs.plant_env import LARGEST_SEED, RENDER_MODES, check_render_mode, metadata_of, observation_space
from rtu_edge.loop.connecting import connect
from rtu_edge.loop.robot import Robot

__all__ = ["RobotEnv", "connected"]


class RobotEnv(gymnasium.Env[NDArray[np.float32], Any]):
    """A robot as an environment; its rules hold: real hardware needs connect(..., arm=True, limits=...).

    A step takes one period of the device (lockstep: as long as the plant computes). A learner that is slower than the
    command's TTL lets the device go safe, and the next step raises SafetyStop; reset() arms again.

    Args:
        robot: from rtu_edge.connect(). It belongs to the caller: close() disarms and leaves it open.
        actions: see PlantEnv; "unit" and levels span the limits in force, `robot.limits`.
        render_mode: None, or "rgb_array": render() draws the last observation, uint8 (200, 300, 3).

    Raises:
        ValueError: actions is not one of these.
        TypeError: another render mode.
    """

    metadata = {"render_modes": list(RENDER_MODES), "render_fps": 50}  # noqa: RUF012  # as Gymnasium has it

    def __init__(self, robot: Robot, actions: str | int = "unit", render_mode: str | None = None) -> None:
        self.render_mode = check_render_mode(render_mode)
        self.robot = robot
        self.metadata = metadata_of(robot.sheet)
        self.observation_space = observation_space(robot.sheet)
        self._actions = Actions(actions, robot.limits)
        self.action_space = self._actions.space
        self._seen: NDArray[np.float32] | None = None
        self._owned = False

    @property
    def sheet(self) -> DataSheet:
        """Units, ranges and period; StreamAC.from_env() takes the period from here."""
        return self.robot.sheet

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start an episode; arms where needed.

        Args:
            seed: as of PlantEnv: a simulated plant gives the same episodes. Real hardware starts at its current
            position. options: not used.

        Returns:
            The first observation, and {"plant_seed": the number that RESET carried}.

        Raises:
            ConfigError, DeviceError, SafetyStop: see Robot.reset.
        """
        if seed is not None:
            seed = check_int("seed", seed, 0, LARGEST_SEED)
        super().reset(seed=seed)
        plant_seed = seed & 0xFFFFFFFF if seed is not None else int(self.np_random.integers(2**32))
        self._seen, info = self.robot.reset(seed=plant_seed)
        return self._seen, info

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """One period of the device.

        Args:
            action: of the action space; values beyond the limits are clipped.

        Returns:
            observation, reward, terminated, truncated, {"applied", "sent"}: commands in the actuators' units.

        Raises:
            ValueError: another shape, not finite, or no such level; the device sends no reward; the episode has ended.
            DeviceError, SafetyStop: see Robot.step.
        """
        five = self.robot.step(self._actions.physical(action))
        self._seen = five[0]
        return five

    def render(self) -> NDArray[np.uint8] | None:
        """The picture of the last observation, uint8 (200, 300, 3); None without a render mode or before reset()."""
        if self.render_mode is None or self._seen is None:
            return None
        return picture(self.robot.sheet, self._seen)

    def close(self) -> None:
        """Rest values and DISARM; an environment of gymnasium.make also closes the robot. Idempotent."""
        if self._owned:
            self.robot.close()
        elif self.robot.armed:
            self.robot.disarm()


def connected(
    target: Any = None, actions: str | int = "unit", render_mode: str | None = None, **connecting: Any
) -> RobotEnv:
    """Connect, and return an environment that closes the robot.

    Its id is for gymnasium.make("rtu_edge.envs:rtu_edge/Robot-v0", target=...).

    Args:
        target, connecting: as for rtu_edge.connect(), such as "/dev/ttyACM0", arm=True, limits=...
        actions, render_mode: see RobotEnv.

    Raises:
        ConfigError, DeviceError: no target, or see rtu_edge.connect().
    """
    if target is None:
        raise ConfigError(
            "target: missing; the plant, port or device to connect to: "
            'gymnasium.make("rtu_edge.envs:rtu_edge/Robot-v0", target="/dev/ttyACM0")'
        )
    check_render_mode(render_mode)
    robot = connect(target, **connecting)
    try:
        env = RobotEnv(robot, actions, render_mode)
    except BaseException:
        robot.close()
        raise
    env._owned = True
    return env
