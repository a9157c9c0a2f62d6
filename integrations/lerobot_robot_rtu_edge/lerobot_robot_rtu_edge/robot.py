"""A device of rtu_edge as a LeRobot robot."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lerobot.robots import Robot, RobotConfig

import rtu_edge as rtu

__all__ = ["RtuEdgeRobot", "RtuEdgeRobotConfig"]


@RobotConfig.register_subclass("rtu_edge")
@dataclass(kw_only=True)
class RtuEdgeRobotConfig(RobotConfig):
    """Options of the robot type rtu_edge.

    Args:
        target: a simulated plant's name or C file, or the path of a port.
        arm: real hardware may move; needs limits of each actuator.
        limits: by the actuator's name: min, max, slew_per_s, accel_per_s2, rest (rtu_edge.Limits).
        ttl_ms: time to live of a command; 0: 3 periods, at least 20 ms.
    """

    target: str
    arm: bool = False
    limits: dict[str, dict[str, float]] = field(default_factory=dict)
    ttl_ms: int = 0


class RtuEdgeRobot(Robot):
    """A device of rtu_edge with LeRobot's interface."""

    config_class = RtuEdgeRobotConfig
    name = "rtu_edge"

    def __init__(self, config: RtuEdgeRobotConfig) -> None:
        super().__init__(config)
        self.config = config
        self._robot: Any = None
        self._sheet: Any = None

    def _channels(self) -> Any:
        """The data sheet; read from the device once if it is not connected."""
        if self._sheet is None:
            with rtu.connect(self.config.target) as robot:
                self._sheet = robot.sheet
        return self._sheet

    @property
    def observation_features(self) -> dict[str, type]:
        """Name -> float, of each observation of the data sheet, in its unit."""
        return {channel.name: float for channel in self._channels().observations}

    @property
    def action_features(self) -> dict[str, type]:
        """Name -> float, of each actuator of the data sheet, in its unit."""
        return {channel.name: float for channel in self._channels().actuators}

    @property
    def is_connected(self) -> bool:
        """connect() was called, and disconnect() was not."""
        return self._robot is not None

    @property
    def is_calibrated(self) -> bool:
        """Always: a device of rtu_edge has physical units."""
        return True

    def connect(self, calibrate: bool = True) -> None:
        """Connect; the first action arms.

        Raises:
            RuntimeError: connected already.
            rtu_edge.ConfigError, rtu_edge.DeviceError: see rtu_edge.connect().
        """
        if self.is_connected:
            raise RuntimeError(f"{self} is already connected")
        limits = {name: rtu.Limits(**given) for name, given in self.config.limits.items()}
        self._robot = rtu.connect(
            self.config.target, limits=limits or None, arm=self.config.arm, ttl_ms=self.config.ttl_ms
        )
        self._sheet = self._robot.sheet

    def calibrate(self) -> None:
        """No effect."""

    def configure(self) -> None:
        """No effect."""

    def get_observation(self) -> dict[str, float]:
        """Wait for a new observation; name -> value.

        Raises:
            RuntimeError: not connected.
            rtu_edge.DeviceError, rtu_edge.SafetyStop: the device is gone, or an armed session has ended.
        """
        values = self._connected().read()
        return {name: float(value) for name, value in zip(self.observation_features, values, strict=True)}

    def send_action(self, action: dict[str, float]) -> dict[str, float]:
        """Send commands; return those that were sent, after range, slew and acceleration limits.

        Raises:
            RuntimeError: not connected.
            ValueError: a name is missing or unknown, or a value is not finite; nothing is sent.
            rtu_edge.DeviceError, rtu_edge.SafetyStop: see get_observation().
        """
        robot, names = self._connected(), list(self.action_features)
        if set(action) != set(names):
            raise ValueError(f"action has {sorted(action)}; expected {sorted(names)}")
        sent = robot.write([float(action[name]) for name in names])
        return {name: float(value) for name, value in zip(names, sent, strict=True)}

    def disconnect(self) -> None:
        """Disarm and close; without a connection no effect."""
        robot, self._robot = self._robot, None
        if robot is not None:
            robot.close()

    def _connected(self) -> Any:
        if self._robot is None:
            raise RuntimeError(f"{self} is not connected: call connect() first")
        return self._robot
