"""A device in Python: the C bridge's rules hold, and whatever the class does wrong ends at its safe behaviour."""

from __future__ import annotations

import math
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from python_arm import LIMITS, SLEW, Arm, connect, drive, until
from rtu_edge._bridge import lib

import rtu_edge as rtu
from rtu_edge._base.errors import SafetyStop
from rtu_edge.loop import StopReason
from rtu_edge.tools.estop import estop


def test_commands_arrive_within_range_and_slew_limit() -> None:
    arm = Arm()
    with connect(arm) as robot:
        np.testing.assert_array_equal(robot.read(), np.float32([0.5, 0.0]))
        for u in (9.0, 9.0, 9.0, 9.0, 9.0, -9.0, -9.0, -9.0):
            robot.read()
            robot.write(u)
        until(lambda: arm.told[-1] != "safe" and arm.told[-1] < 0.9)
    written = [each for each in arm.told if isinstance(each, float)]
    assert max(written) <= 1.0  # the host's limit; the device's is 2
    assert all(abs(b - a) <= SLEW + 1e-6 for a, b in zip([0.0, *written], written, strict=False))
    assert arm.told[:2] == ["open", "safe"]
    assert arm.told[-2:] == ["safe", "close"]


def test_it_is_real_hardware_unless_the_class_claims_otherwise() -> None:
    arm = Arm()
    with rtu.connect(arm) as robot:
        assert not robot.simulated
        assert not (robot.hello.lockstep or robot.hello.reset or robot.hello.reward)
        with pytest.raises(rtu.ConfigError, match=r"Arm is real hardware, .*rtu.Limits\(-2, 2, slew_per_s="):
            robot.write(1.0)
    assert [each for each in arm.told if isinstance(each, float)] == []

    class Model(Arm):
        simulated = True

    with rtu.connect(Model()) as robot:
        assert robot.simulated
        assert not robot.hello.lockstep
        robot.write(0.5)


def test_a_host_that_stops_writing_leaves_it_safe() -> None:
    arm = Arm()
    with connect(arm, ttl_ms=100) as robot:
        drive(robot, arm)
        until(lambda: arm.told[-1] == "safe")
        assert arm.told[-1] == "safe"
        with pytest.raises(SafetyStop, match="device_safe"):
            for _ in range(5):
                robot.write(1.0)
                robot.read()
        robot.arm()
        drive(robot, arm)


@pytest.mark.parametrize("outside", [False, True])
def test_an_emergency_stop_is_latched_and_calls_safe(outside: bool) -> None:
    arm = Arm()
    with connect(arm) as robot:
        drive(robot, arm)
        if outside:
            estop(robot.port, timeout_s=5.0)
        else:
            assert robot.estop(5.0)
        until(lambda: arm.told[-1] == "safe")
        with pytest.raises(SafetyStop, match="emergency stop"):
            robot.write(1.0)
        with pytest.raises(rtu.DeviceError, match="latched"):
            robot.reset()
        assert robot.clear()
        robot.reset()
        drive(robot, arm)


@pytest.mark.hazard("python-device-fails")
@pytest.mark.parametrize(
    ("method", "reading", "words"),
    [
        ("write", None, r"Arm.write\(\): RuntimeError: motor 3 is hot"),
        ("read", None, r"Arm.read\(\): RuntimeError: motor 3 is hot"),
        ("", [0.1], r"Arm.read\(\): ValueError: returned \[0.1\], expected 2 numbers"),
        ("", ["0.1", "0.2"], r"Arm.read\(\): ValueError: returned \['0.1', '0.2'\], expected 2 numbers"),
        ("", [0.1, 1j], r"Arm.read\(\): ValueError: returned \[0.1, 1j\], expected 2 numbers"),
        ("", [0.1, 1e300], r"Arm.read\(\): ValueError: speed = inf: not finite"),
        ("", [0.1, math.nan], r"Arm.read\(\): ValueError: speed = nan: not finite"),
    ],
)
def test_a_fault_of_the_class_stops_the_host_with_its_text(method: str, reading: Any, words: str) -> None:
    arm = Arm()
    with connect(arm) as robot:
        drive(robot, arm)
        arm.reading = reading or arm.reading
        arm.fails[method] = RuntimeError("motor 3 is hot")
        with pytest.raises(SafetyStop, match=f"device_fault: the device went safe and reports: {words}"):
            for _ in range(100):
                robot.read()
                robot.write(0.5)
        until(lambda: arm.told[-1] == "safe")
        arm.fails.clear()
        arm.reading = [0.5, 0.0]
        until(lambda: bool(np.isfinite(robot.read()).all()))
        robot.arm()  # what has ended is only the session
        drive(robot, arm)


def test_a_run_ends_with_the_text_of_the_fault() -> None:
    arm = Arm()
    agent = rtu.StreamAC(observation_size=2, action_size=1, units=4, hidden=4, seed=0)

    def fail(status: Any, records: Any) -> None:
        if status.steps > 3:
            arm.fails["write"] = RuntimeError("motor 3 is hot")

    with connect(arm, reward=rtu.Reward("form", quadratic=(-1.0, 0.0))) as robot:
        with pytest.raises(SafetyStop, match=r"reports: Arm.write\(\): RuntimeError: motor 3 is hot") as caught:
            robot.run(agent, on_progress=fail)
        assert caught.value.result.reason is StopReason.DEVICE_FAULT  # type: ignore[attr-defined]
    with pytest.raises(rtu.ConfigError, match="Arm sends no reward: give reward="), connect(Arm()) as robot:
        robot.run(agent, steps=5)


@pytest.mark.hazard("python-device-fails")
def test_a_read_that_hangs_is_a_fault_and_safe_is_called_meanwhile() -> None:
    arm = Arm()
    arm.timeout_s = 0.25
    with connect(arm) as robot:
        drive(robot, arm)
        arm.hang.set()
        with pytest.raises(SafetyStop, match=r"reports: Arm.read\(\) has not returned for 0.25 s"):
            for _ in range(100):
                robot.read()
                robot.write(0.5)
        until(lambda: arm.told[-1] == "safe")
        assert not arm.go_on.is_set()
        before = arm.told.count("safe")
        arm.hang.clear()
        arm.go_on.set()
        until(lambda: arm.told.count("safe") > before)  # again, as what hung may have moved something
        until(lambda: bool(np.isfinite(robot.read()).all()))
        robot.arm()
        drive(robot, arm)


class Hanging(Arm):
    """Tells when a read() has begun to hang."""

    timeout_s = 0.5

    def __init__(self) -> None:
        super().__init__()
        self.hangs = threading.Event()

    def read(self) -> Any:
        if self.hang.is_set():
            self.hangs.set()
        return super().read()


@pytest.mark.hazard("python-device-fails")
@pytest.mark.parametrize("end", ["disarm", "estop", "ttl", "close"])
def test_safe_is_called_where_the_session_ends_before_a_hanging_read_is_overdue(end: str) -> None:
    arm = Hanging()
    robot = connect(arm, ttl_ms=200 if end == "ttl" else 5000)
    drive(robot, arm)
    arm.hang.set()
    assert arm.hangs.wait(20)
    before = arm.told.count("safe")
    if end != "ttl":
        getattr(robot, end)()
    until(lambda: arm.told.count("safe") > before)
    assert not arm.go_on.is_set()
    arm.go_on.set()
    robot.close()


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError


@pytest.mark.hazard("python-device-fails")
def test_an_error_without_a_text_is_a_fault_too() -> None:
    arm = Arm()
    with connect(arm) as robot:
        drive(robot, arm)
        arm.fails["read"] = Unprintable()
        with pytest.raises(SafetyStop, match=r"Arm.read\(\): Unprintable"):
            for _ in range(100):
                robot.read()
        until(lambda: arm.told[-1] == "safe")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_safe_is_called_where_the_bridge_fails() -> None:
    arm = Arm()
    with arm.serve() as served, rtu.connect(served.port, arm=True, limits=LIMITS, ttl_ms=5000) as robot:
        drive(robot, arm)

        def fail(now_us: int) -> None:
            raise MemoryError

        served._box.tick = fail  # type: ignore[method-assign]
        until(lambda: arm.told[-1] == "safe")
        until(lambda: not served.running)


@pytest.mark.hazard("python-device-fails")
def test_safe_is_tried_again_where_it_raises() -> None:
    arm = Arm()
    with connect(arm) as robot:
        drive(robot, arm)
        arm.fails["safe"] = OSError("bus off")
        robot.disarm()
        until(lambda: arm.told[-2:] == ["safe", "safe"])
        arm.fails.clear()
        drive(robot, arm)


def test_it_can_be_served_again_and_only_once_at_a_time() -> None:
    arm = Arm()
    boots = set()
    for _ in range(2):
        with connect(arm) as robot:
            boots.add(robot.hello.boot_id)
            drive(robot, arm)
            with pytest.raises(rtu.DeviceError, match="Arm: it is served already"):
                arm.serve()
    assert len(boots) == 2
    assert arm.told.count("close") == 2


def test_it_can_be_armed_from_the_start() -> None:
    with Arm().serve() as served:
        assert served._box._c.state == lib.TL_STATE_DISARMED


def test_what_fails_at_the_start_is_the_callers() -> None:
    arm = Arm()
    arm.fails["open"] = OSError("no such bus")
    with pytest.raises(rtu.DeviceError, match=r"Arm.open\(\): OSError: no such bus"):
        connect(arm)
    arm.fails = {"read": OSError("no answer")}
    with pytest.raises(rtu.DeviceError, match=r"Arm.read\(\): OSError: no answer"):
        connect(arm)
    arm.fails = {}
    with connect(arm) as robot:
        robot.read()


def test_a_port_with_a_fixed_name(tmp_path: Path) -> None:
    link = tmp_path / "arm"
    with Arm().serve(link) as device:
        assert os.path.realpath(link) == device.port
        with rtu.connect(str(link)) as robot:
            robot.read()
        with pytest.raises(rtu.ConfigError, match="File exists"):
            Arm().serve(link)
    assert not link.is_symlink()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("period_s", 0.001, r"Wrong.period_s = 0.001: expected a number from 0.02 to 10"),
        ("observations", ("angle",), r"Wrong.observations\[0\] = 'angle': expected a Channel"),
        ("observations", (), r"Wrong: 0 observations and 1 actuator, allowed: at least 1 each"),
        ("actuators", (rtu.Channel("torque", "Nm", -2, 2),), r"torque.*slew = 0 per period, allowed: at least .* inf"),
        ("actuators", (rtu.Channel("torque", "Nm", -2, 2, slew=1.0),), r"torque.*safe = none, allowed: hold, damp"),
        ("simulated", "no", "Wrong.simulated = 'no': expected True or False"),
        ("max_steps", 10, r"Wrong: terminated\(\) and max_steps need reset\(\)"),
        ("timeout_s", -1, "Wrong.timeout_s = -1: expected a number from 0 to 60"),
        ("ttl_max_ms", 70_000, "Wrong.ttl_max_ms = 70000: expected an integer from 0 to 60000"),
        ("ttl_max_ms", 5, "ttl_max_ms = 5, allowed: at least 21"),
    ],
)
def test_a_data_sheet_that_cannot_be_used_is_refused(name: str, value: Any, words: str) -> None:
    wrong = type("Wrong", (Arm,), {name: value})()
    with pytest.raises(rtu.ConfigError, match=words):
        wrong.serve()
    assert wrong.told == []
