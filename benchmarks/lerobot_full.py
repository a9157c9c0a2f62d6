"""The integration with LeRobot in a real installation of it: torch and everything, no replacement.

    python3.12 -m venv lerobot
    lerobot/bin/pip install "lerobot[feetech]==0.6.1" "numpy<2.3" . ./integrations/lerobot_robot_rtu_edge
    lerobot/bin/python benchmarks/lerobot_full.py --out benchmarks/results/lerobot.json

It takes gigabytes, so it is no part of the tests, which use LeRobot's sources alone (tests/test_lerobot.py). Emulated
Feetech servos; checked are: LeRobot finds the distribution by its name, makes the robot from its type, observes and
acts; LeRobot's own bus reads and writes what ours does; a learner's residual runs on a robot of LeRobot.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path
from typing import Any

from peer_programs.measured import versions

import rtu_edge as rtu
from rtu_edge.device.bus_server import BusServer, Joint
from rtu_edge.device.emulated_bus import EmulatedBus
from rtu_edge.device.schema import Safe

NAMES = ("shoulder", "elbow")
PACKAGES = ("lerobot", "torch", "numpy", "feetech-servo-sdk", "rtu_edge", "lerobot_robot_rtu_edge")
STEPS = 200
TRIES = 100
BOUND_RAD = 0.02
TTL_MS = 2000  # a busy host


def their_bus(port: str) -> dict[str, Any]:
    """LeRobot's bus on the emulated servos: positions are read and written as by ours."""
    from lerobot.motors import Motor, MotorNormMode
    from lerobot.motors.feetech import FeetechMotorsBus

    motors = {name: Motor(at + 1, "sts3215", MotorNormMode.RANGE_M100_100) for at, name in enumerate(NAMES)}
    bus = FeetechMotorsBus(port, motors)
    bus.connect()
    positions = bus.sync_read("Present_Position", normalize=False)
    bus.enable_torque()
    bus.sync_write("Goal_Position", dict.fromkeys(NAMES, 2300), normalize=False)
    time.sleep(1.0)
    moved = bus.sync_read("Present_Position", normalize=False)
    bus.disconnect()
    assert positions == dict.fromkeys(NAMES, 2048), positions
    assert all(abs(value - 2300) < 20 for value in moved.values()), moved
    return {"positions": positions, "moved": moved}


def made(target: str) -> Any:
    """The robot, as `lerobot-record --robot.type=rtu_edge` makes it."""
    from lerobot.robots import RobotConfig, make_robot_from_config
    from lerobot.utils.import_utils import register_third_party_plugins

    register_third_party_plugins()
    config = RobotConfig.get_choice_class("rtu_edge")(target=target, ttl_ms=TTL_MS)
    return make_robot_from_config(config)


def acted(robot: Any) -> dict[str, Any]:
    """Observes and acts through LeRobot's interface."""
    robot.connect()
    seen = robot.get_observation()
    sent = dict.fromkeys(NAMES, 0.0)
    for _ in range(STEPS):
        sent = robot.send_action(dict.fromkeys(NAMES, 0.3))
        seen = robot.get_observation()
    assert all(abs(seen[f"{name}_position"] - 0.3) < 0.05 for name in NAMES), seen
    robot.disconnect()
    return {"observed": seen, "sent": sent}


class Named:
    """A robot of LeRobot whose observations have the keys of the goals, as LeRobot's own arms have."""

    def __init__(self, robot: Any) -> None:
        self._robot = robot

    def get_observation(self) -> dict[str, float]:
        """Positions by the goal's key."""
        seen = self._robot.get_observation()
        return {name: seen[f"{name}_position"] for name in NAMES}

    def send_action(self, action: dict[str, float]) -> dict[str, float]:
        """As the robot."""
        return dict(self._robot.send_action(action))


def corrected(robot: Any) -> dict[str, Any]:
    """A learner's residual on a robot of LeRobot."""
    from lerobot_robot_rtu_edge import Residual

    robot.connect()
    agent = rtu.StreamAC(observation_size=4, action_size=2, units=16, seed=0)
    residual = Residual(
        Named(robot),
        agent,
        dict.fromkeys(NAMES, BOUND_RAD),
        dict.fromkeys(NAMES, (-1.0, 1.0)),
        lambda seen, sent: -sum((seen[name] - 0.2) ** 2 for name in NAMES),
    )
    largest = 0.0
    for step in range(STEPS):
        sent = residual.step(dict.fromkeys(NAMES, 0.2))
        if step >= STEPS // 2:  # it begins where the joints are, within the slew
            largest = max(largest, *(abs(value - 0.2) for value in sent.values()))
    assert 0.0 < largest <= BOUND_RAD + 1e-6, largest
    robot.disconnect()
    return {"steps": STEPS, "largest_correction_rad": largest}


def main() -> None:
    """Run all, print what was seen."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, help="Write versions and results as JSON")
    out = parser.parse_args().out
    found: dict[str, Any] = {"versions": {"python": platform.python_version()} | versions(PACKAGES)}
    print(json.dumps(found), flush=True)
    with EmulatedBus("feetech", servos=2) as bus:
        found["their_bus"] = their_bus(bus.port)
    print("their bus:", json.dumps(found["their_bus"]), flush=True)
    joints = [Joint(name, at + 1, -1.0, 1.0, 3.0, Safe.HOLD) for at, name in enumerate(NAMES)]
    options: dict[str, Any] = {"joints": joints, "period_s": 0.02, "ttl_max_ms": TTL_MS, "latency_us": 20_000}
    with EmulatedBus("feetech", servos=2) as bus, BusServer(bus, **options) as server:
        robot = made(server.port)
        found["robot"] = {"type": type(robot).__name__, **acted(robot)}
        print("robot:", json.dumps(found["robot"]), flush=True)
        found["residual"] = corrected(robot)
        print("residual:", json.dumps(found["residual"]), flush=True)
    if out is not None:
        out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
