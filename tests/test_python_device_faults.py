"""What a Python device's own code does wrong is named on the host: the method, and that it was late."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from python_arm import Arm, connect, drive, until

import rtu_edge as rtu
from rtu_edge._base.errors import ExitCode, SafetyStop
from rtu_edge.cli import main

TTL_MS = 600
HANG = r"device_fault: the device went safe and reports: Slow.{}\(\) has not returned for 0\.\d+ s"


class Slow(Arm):
    """A method named in `hangs` waits until `go_on`; its timeout is far beyond the TTL."""

    reset_timeout_s = 20.0

    def __init__(self) -> None:
        super().__init__()
        self.hangs = ""

    def _maybe(self, what: str) -> None:
        if what == self.hangs:
            self.go_on.wait(30)

    def write(self, u: Any) -> None:
        self._maybe("write")
        super().write(u)


@pytest.fixture
def slow() -> Iterator[Slow]:
    arm = Slow()
    yield arm
    arm.go_on.set()


@pytest.mark.hazard("python-device-fails")
@pytest.mark.parametrize("method", ["read", "write"])
def test_a_call_that_outlasts_the_command_is_named_before_its_timeout(slow: Slow, method: str) -> None:
    with connect(slow, ttl_ms=TTL_MS) as robot:
        drive(robot, slow)
        slow.hangs = method
        with pytest.raises(SafetyStop, match=HANG.format(method)):
            for _ in range(100):
                robot.read()
                robot.write(0.5)
        before = slow.told.count("safe")
        slow.go_on.set()
        until(lambda: slow.told.count("safe") > before)


def test_a_run_names_the_call_that_outlasts_the_command(slow: Slow) -> None:
    def hang(status: Any, records: Any) -> None:
        slow.hangs = "read" if status.steps > 3 else ""

    with connect(slow, ttl_ms=TTL_MS, reward=rtu.Reward("form", quadratic=(-1.0, 0.0))) as robot:
        agent = rtu.StreamAC.from_env(robot, units=4, hidden=4, seed=0)
        with pytest.raises(SafetyStop, match=HANG.format("read")):
            robot.run(agent, progress=False, on_progress=hang)
        slow.go_on.set()


def test_a_host_that_arms_while_a_call_hangs_is_told_why(slow: Slow) -> None:
    slow.timeout_s = 0.25
    with connect(slow) as robot:
        drive(robot, slow)
        slow.hangs = "read"
        for again in (False, True):
            with pytest.raises(SafetyStop, match=r"Slow.read\(\) has not returned for 0.25 s"):
                if again:
                    robot.arm()
                for _ in range(100):
                    robot.read()
                    robot.write(0.5)
        slow.go_on.set()


def rewarding(**methods: Any) -> Any:
    return type("Own", (Arm,), {"reset": lambda self, seed: None, **methods})()


@pytest.mark.hazard("python-device-fails")
@pytest.mark.parametrize(
    ("methods", "words"),
    [
        ({"reward": lambda self, x, u: None}, r"Own.reward\(\): ValueError: returned None, expected a finite number"),
        ({"reward": lambda self, x: 0.0}, r"Own.reward\(\): TypeError: .*positional argument"),
        ({"terminated": lambda self, x: None}, r"Own.terminated\(\): ValueError: returned None, expected True or"),
        ({"terminated": lambda self: True}, r"Own.terminated\(\): TypeError: .*positional argument"),
        ({"reward": lambda self, x, u: 1.0, "read": lambda self: [0.0]}, r"Own.read\(\): ValueError: .*2 numbers"),
    ],
)
def test_a_fault_names_the_method(methods: dict[str, Any], words: str) -> None:
    with pytest.raises((SafetyStop, rtu.DeviceError), match=words), connect(rewarding(**methods)) as robot:
        robot.reset()
        for _ in range(100):
            robot.write(0.0)
            robot.read()


def test_one_value_is_a_number() -> None:
    one = type("One", (Arm,), {"observations": Arm.observations[:1], "read": lambda self: [0.0, 0.0]})
    with pytest.raises(rtu.DeviceError, match=r"expected 1 number$"):
        rtu.connect(one())


def test_a_class_in_place_of_a_device_is_refused() -> None:
    with pytest.raises(rtu.ConfigError, match=r"target = Arm: a class; give an instance: Arm\(\)"):
        rtu.connect(Arm)


def test_the_error_about_real_hardware_has_the_call_that_works() -> None:
    with rtu.connect(Arm()) as robot, pytest.raises(rtu.ConfigError, match=r"rtu.connect\(Arm\(\), arm=True, limits"):
        robot.write(0.0)


def test_a_problem_of_the_data_sheet_is_reported_once() -> None:
    with pytest.raises(rtu.ConfigError) as caught:
        type("Idle", (Arm,), {"actuators": ()})().serve()
    assert str(caught.value) == "Idle: 2 observations and 0 actuators, allowed: at least 1 each, 55 together"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (("angle", 3, -1.0, 1.0), "channel 'angle': unit = 3: expected text"),
        ((None, "rad", -1.0, 1.0), "channel None: name = None: expected text"),
        (("angle", "rad", "-1", 1.0), "channel 'angle': min = '-1': expected a number"),
        (("angle", "rad", -1.0, None), "channel 'angle': max = None: expected a number"),
    ],
)
def test_a_channel_of_other_types_is_refused_when_made(row: Any, words: str) -> None:
    with pytest.raises(rtu.ConfigError, match=f"^{words}$"):
        rtu.Channel(*row)


def test_a_range_without_a_width_is_refused_when_served() -> None:
    rows = (rtu.Channel("angle", "rad", 1.0, -1.0), Arm.observations[1])
    with pytest.raises(rtu.ConfigError, match="observation 0 'angle': range 1 to -1, allowed: a minimum below"):
        type("Turned", (Arm,), {"observations": rows})().serve()


@pytest.mark.parametrize("kind", ["forn", None])
def test_a_reward_of_another_kind_is_refused_when_made(kind: Any) -> None:
    with pytest.raises(rtu.ConfigError, match=f"^reward.kind = {kind!r}: expected one of frame, form, callable"):
        rtu.Reward(kind)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("{}/arm.py", r"arm.py: a device in Python is named FILE.py:CLASS, here .*/arm.py:CLASS"),
        ("{}/none.py:Arm", r"none.py:Arm: no such file: .*/none.py$"),
        ("{}/arm.py:Am", r"arm.py:Am: no class 'Am' in .*/arm.py; it has Own$"),
    ],
)
def test_a_device_that_is_not_there_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, words: str
) -> None:
    (tmp_path / "arm.py").write_text("import rtu_edge as rtu\nclass Own(rtu.PythonDevice): pass\n")
    with pytest.raises(SystemExit) as ended:
        main(["device", name.format(tmp_path)])
    assert ended.value.code == ExitCode.USAGE
    said = " ".join(capsys.readouterr().err.split())
    assert re.search(words, said.replace("- ", "-")), said
