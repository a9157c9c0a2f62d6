"""The server of a servo bus: what it lets through, and what servos do when the control process is stopped or killed.

How soon they do it is measured by `python -m benchmarks.bus_kills`: here a busy host may take its time.
"""

from __future__ import annotations

import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import bus_control
import pytest
from bus_control import PERIOD_S, RAMP_END, TARGETS, ZERO, joints, served
from toolchain import ROOT

import rtu_edge as rtu
from rtu_edge._base.errors import ConfigError, DeviceError
from rtu_edge.device.bus_server import BusServer, Joint
from rtu_edge.device.emulated_bus import EmulatedBus, VirtualServos
from rtu_edge.device.schema import Safe
from rtu_edge.loop.robot import Robot

pytestmark = pytest.mark.timing

FAMILIES = ("feetech", "dynamixel", "scs")
HOLD, OFF, RAMP = range(3)


def until(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    give_up = time.monotonic() + seconds
    while not condition() and time.monotonic() < give_up:
        time.sleep(0.005)
    return condition()


def angle(bus: EmulatedBus, at: int) -> float:
    return float(bus.servos[at].position_rad) - ZERO[bus.family]


def is_safe(bus: EmulatedBus) -> bool:
    """Each servo in its safe behaviour: holds where it was, without torque, at the end of its ramp."""
    return (
        bus.register(HOLD, "TORQUE") == 1
        and abs(angle(bus, HOLD) - TARGETS[HOLD]) < 0.05
        and bus.register(OFF, "TORQUE") == 0
        and bus.register(RAMP, "TORQUE") == 1
        and abs(angle(bus, RAMP) - RAMP_END) < 0.05
    )


@contextmanager
def connected(server: BusServer) -> Iterator[Robot]:
    with rtu.connect(server, reward=lambda x, u: 0.0, ttl_ms=bus_control.TTL_MS) as robot:
        yield robot


def drive(robot: Robot, targets: tuple[float, ...] = TARGETS) -> None:
    for _ in range(400):
        x = robot.step(targets)[0]
        if max(abs(a - b) for a, b in zip(x, targets, strict=True)) < 0.05:
            return
    raise AssertionError(f"the joints are at {x}")


@pytest.mark.parametrize("family", FAMILIES)
def test_joints_move_and_go_safe_at_the_end(family: str) -> None:
    with EmulatedBus(family, servos=3) as bus:
        with served(bus) as server, connected(server) as robot:
            assert bus.register(HOLD, "TORQUE") == 0
            drive(robot)
            assert [bus.register(at, "TORQUE") for at in range(3)] == [1, 1, 1]
        assert until(lambda: is_safe(bus))


@pytest.mark.hazard("bus-host-silent")
@pytest.mark.parametrize("owner", ["own", "given"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("family", ["feetech", "dynamixel"])
def test_a_control_process_that_is_killed_or_stopped(family: str, number: signal.Signals, owner: str) -> None:
    """Owner of the server or not; of a Feetech bus nothing but the server knows that the host is silent."""
    with EmulatedBus(family, servos=3) as bus:
        server = served(bus) if owner == "given" else None
        port = server.port if server is not None else bus.port
        command = [sys.executable, str(ROOT / "tests/bus_control.py"), port, family, owner]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            try:
                assert child.stdout.readline() and child.stdout.readline()
                assert bus.register(OFF, "TORQUE") == 1
                os.kill(child.pid, number)
                assert until(lambda: is_safe(bus))
                goals = int(bus.servos[OFF].goals)
                time.sleep(5 * PERIOD_S)
                assert is_safe(bus) and int(bus.servos[OFF].goals) == goals  # none after torque-off
            finally:
                child.kill()
        if server is not None:
            server.close()
        assert is_safe(bus)


@pytest.mark.hazard("bus-server-killed")
def test_a_server_that_is_killed_leaves_dynamixels_to_their_watchdog() -> None:
    with EmulatedBus("dynamixel", servos=3) as bus, served(bus) as server, connected(server) as robot:
        drive(robot)
        assert bus.register(HOLD, "WATCHDOG") == bus_control.TTL_MS // 20
        os.kill(server.pid, signal.SIGKILL)
        assert until(lambda: [bus.register(at, "WATCHDOG") for at in range(3)] == [-1, -1, -1])
        with pytest.raises(DeviceError, match="link_lost"):
            drive(robot, (0.0, 0.0, 0.0))


@pytest.mark.hazard("bus-server-killed")
def test_a_server_that_is_killed_leaves_feetech_servos_at_their_last_goal() -> None:
    """They have no watchdog: also a joint whose safe behaviour is off keeps its torque, until a server is started."""
    with EmulatedBus("feetech", servos=3) as bus, served(bus) as server:
        with connected(server) as robot:
            drive(robot)
            os.kill(server.pid, signal.SIGKILL)
            time.sleep(3e-3 * bus_control.TTL_MS)
            assert [bus.register(at, "TORQUE") for at in range(3)] == [1, 1, 1]
            assert all(abs(angle(bus, at) - TARGETS[at]) < 0.1 for at in range(3))
        with served(bus):
            assert until(lambda: bus.register(OFF, "TORQUE") == 0)


@pytest.mark.hazard("bus-other-program")
def test_another_program_at_the_port_is_looked_for_at_each_arm() -> None:
    hold = "import os, sys, time; os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY); print(1, flush=True); time.sleep(60)"
    with EmulatedBus("feetech", servos=3) as bus, served(bus) as server, connected(server) as robot:
        drive(robot)
        robot.disarm()
        assert until(lambda: bus.register(OFF, "TORQUE") == 0)
        with subprocess.Popen([sys.executable, "-c", hold, bus.port], stdout=subprocess.PIPE) as other:
            assert other.stdout is not None and other.stdout.readline()
            with pytest.raises(Exception, match=rf"another program holds the port too: process {other.pid} \("):
                for _ in range(50):
                    robot.step((0.0, 0.0, 0.0))
            assert bus.register(OFF, "TORQUE") == 0 and abs(angle(bus, HOLD) - TARGETS[HOLD]) < 0.2
            other.kill()
        robot.arm()
        drive(robot)


@pytest.mark.hazard("bus-first-command")
@pytest.mark.parametrize("family", FAMILIES)
def test_the_first_command_begins_where_the_joints_are(family: str) -> None:
    """Joints that were moved by hand, without torque, since the server was started."""
    with EmulatedBus(family, servos=3) as bus, served(bus) as server, connected(server) as robot:
        for at, target in enumerate(TARGETS):
            bus.servos[at].position_rad = ZERO[family] + target
        assert until(lambda: abs(robot.read()[RAMP] - TARGETS[RAMP]) < 0.01)
        for _ in range(20):
            x = robot.step(TARGETS)[0]
            assert all(abs(a - b) < 0.05 for a, b in zip(x, TARGETS, strict=True))


@pytest.mark.hazard("bus-servo-silent")
def test_a_servo_that_falls_silent_or_reports_an_alarm_ends_the_session() -> None:
    for change in ("dead", "alarm"):
        with EmulatedBus("feetech", servos=3) as bus, served(bus) as server, connected(server) as robot:
            drive(robot)
            setattr(bus.servos[HOLD], change, 4)
            with pytest.raises(Exception, match="hold"):
                for _ in range(200):
                    robot.step(TARGETS)
            assert until(lambda bus=bus: bus.register(OFF, "TORQUE") == 0)  # the others go safe


def test_an_alarm_that_is_ignored_ends_nothing() -> None:
    options = {"joints": joints("feetech"), "period_s": PERIOD_S, "latency_us": 20_000}
    with EmulatedBus("feetech", servos=3) as bus, BusServer(bus, **options, ignore_alarms=4) as server:
        bus.servos[HOLD].alarm = 4
        with connected(server) as robot:
            drive(robot)


def test_an_emergency_stop_through_the_server() -> None:
    from click.testing import CliRunner

    from rtu_edge.cli import cli

    with EmulatedBus("feetech", servos=3) as bus, served(bus) as server:
        with connected(server) as robot:
            drive(robot)
        done = CliRunner().invoke(cli, ["estop", server.port])
        assert done.exit_code == 0, done.output
        assert bus.register(OFF, "TORQUE") == 0


def test_what_a_server_does_not_begin_with() -> None:
    with EmulatedBus("feetech", servos=3) as bus:
        bus.servos[1].dead = 1
        with pytest.raises(DeviceError, match=r"off \(servo 2\): no answer"):
            served(bus)
        bus.servos[1].dead = 0
        bus.servos[2].table[33] = 1
        with pytest.raises(DeviceError, match=r"ramp \(servo 3\): in another mode than these goals need: 0x01"):
            served(bus)
        bus.servos[2].table[33] = 0
        with served(bus), pytest.raises(DeviceError, match="in use by"):
            served(bus)


@pytest.mark.parametrize(
    ("joint", "message"),
    [
        (Joint("a b", 1, -1.0, 1.0, 1.0, Safe.HOLD), 'joints[0].name = "a b"'),
        (Joint("a", 253, -1.0, 1.0, 1.0, Safe.HOLD), "joints[0].id"),
        (Joint("a", 1, 1.0, -1.0, 1.0, Safe.HOLD), "joints[0].max_rad = -1.0: must be above min_rad, 1.0"),
        (Joint("a", 1, -1.0, math.nan, 1.0, Safe.HOLD), "joints[0].max_rad"),
        (Joint("a", 1, -1.0, 1.0, 0.0, Safe.HOLD), "joints[0].slew_rad_s"),
        (Joint("a", 1, -1.0, 1.0, 1.0, Safe.DAMP), "must be one of HOLD, RAMP, OFF"),
        (Joint("a", 1, -1.0, 1.0, 1.0, Safe.RAMP, 1.5), "joints[0].safe_rad = 1.5: must be within -1.0 to 1.0"),
        (Joint("a", 1, -1.0, 1.0, 1.0, Safe.HOLD, reverse="no"), "joints[0].reverse = 'no': expected True or False"),
        (Joint("a", 1, -1.0, 1.0, 1.0, Safe.HOLD, target=None), "joints[0].target = None: expected amplitude, period"),
    ],
)
def test_an_invalid_joint_is_named(joint: Joint, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        BusServer("/dev/null", joints=[joint])
    assert message in str(caught.value)


ONE = Joint("a", 1, -1.0, 1.0, 1.0, Safe.HOLD)


def test_joints_are_different() -> None:
    with pytest.raises(ConfigError, match=r"joints\[1\].id = 1: joints\[0\] has the same id"):
        BusServer("/dev/null", joints=[ONE, Joint("b", 1, -1.0, 1.0, 1.0, Safe.HOLD)])
    with pytest.raises(ConfigError, match="joints: 0 joints; must be 1 to 18"):
        BusServer("/dev/null")


@pytest.mark.parametrize(
    ("bus", "family", "joints", "message"),
    [
        (None, "feetech", [ONE], "bus = None: expected a path, an EmulatedBus or VirtualServos"),
        (VirtualServos("nix"), "feetech", [ONE], "family = 'nix': expected one of"),
        ("/dev/null", None, [ONE], "family = None: expected one of"),
        ("/dev/null", "feetech", 5, "joints = 5: expected a sequence of Joint"),
        ("/dev/null", "feetech", ["elbow"], r"joints = ['elbow']: expected a sequence of Joint"),
    ],
)
def test_an_argument_of_another_type_is_named(bus: Any, family: Any, joints: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        BusServer(bus, family, joints)


MODES = {"speed": {"feetech": 1, "dynamixel": 1}, "current": {"dynamixel": 0}}
MODES["torque"] = {"feetech": 2, "dynamixel": 16}
UNITS = {"speed": "rad/s", "current": "A", "torque": "1"}
LARGEST = {"speed": 1.0, "current": 1.0, "torque": 0.3}
AT_MODE = {"feetech": 33, "dynamixel": 11}


@pytest.mark.parametrize(("family", "goal"), [(family, goal) for goal in MODES for family in MODES[goal]])
def test_goals_that_are_no_positions(family: str, goal: str) -> None:
    """The server keeps the joint's range itself; without a command the goal goes to 0, or the torque goes."""
    ends = [
        Joint(name, id, -0.5, 0.5, 1.0, safe, zero_rad=ZERO[family], goal_max=LARGEST[goal], goal_slew=20.0)
        for name, id, safe in (("ramp", 1, Safe.RAMP), ("off", 2, Safe.OFF))
    ]
    options = {"joints": ends, "goal": goal, "period_s": PERIOD_S, "ttl_max_ms": 400, "latency_us": 20_000}
    with EmulatedBus(family, servos=2) as bus:
        with pytest.raises(DeviceError, match="in another mode than these goals need"):
            BusServer(bus, **options)
        for servo in range(2):
            bus.servos[servo].table[AT_MODE[family]] = MODES[goal][family]
        with BusServer(bus, **options) as server, connected(server) as robot:
            assert [row.unit for row in robot.sheet.actuators] == [UNITS[goal]] * 2
            furthest = 0.0
            for _ in range(150):
                x = robot.step((1.0, -1.0))[0]
                furthest = max(furthest, *map(abs, x))
            assert 0.5 < furthest < 0.9  # it leaves the range by what it moves within a period
            assert all(abs(a) < 1e-6 for a in robot.step((1.0, -1.0))[4]["applied"])
            for _ in range(150):
                x = robot.step((-1.0, 1.0))[0]
                if abs(x[0]) < 0.3 and abs(x[1]) < 0.3:
                    break
            else:
                raise AssertionError(f"did not come back: {x}")
        role = f"GOAL_{goal.upper()}"
        assert until(lambda: bus.register(0, role) == 0 and bus.register(1, "TORQUE") == 0)
        assert bus.register(0, "TORQUE") == 1


def test_goals_that_a_family_does_not_take() -> None:
    joint = Joint("a", 1, -0.5, 0.5, 1.0, Safe.OFF, goal_max=1.0, goal_slew=1.0)
    with EmulatedBus("feetech", servos=1) as bus, pytest.raises(DeviceError, match="feetech servos take no such goals"):
        BusServer(bus, joints=[joint], goal="current")
    with pytest.raises(ConfigError, match="must be RAMP, to 0, or OFF: a held speed drives on"):
        BusServer(
            "/dev/null", joints=[Joint("a", 1, -0.5, 0.5, 1.0, Safe.HOLD, goal_max=1.0, goal_slew=1.0)], goal="speed"
        )
    with pytest.raises(ValueError, match="goal_max"):
        BusServer("/dev/null", joints=[Joint("a", 1, -0.5, 0.5, 1.0, Safe.OFF)], goal="speed")
    with pytest.raises(ValueError, match="goal"):
        BusServer("/dev/null", joints=[joint], goal="power")
