"""`rtu-edge run` on a servo bus (device.bus), and the demo in which two joints learn to track moving targets."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from rich.console import Console
from toolchain import ROOT

from rtu_edge._base.errors import CheckFailed, ConfigError
from rtu_edge.cli import cli
from rtu_edge.cli.target import bus_of
from rtu_edge.config import load_config, parse_config
from rtu_edge.config.bus_file import load_bus_file, write_bus_file
from rtu_edge.demo import bus as demo
from rtu_edge.demo import tracking
from rtu_edge.demo.tracking import Gains, Tried, Tuned, bus_file, rms, robot_text, track
from rtu_edge.run import connect

GAINS = Gains(3.0, 0.1)


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


@pytest.fixture
def robot(tmp_path: Path) -> Path:
    """A configuration that names its bus's port."""
    write_bus_file(bus_file("feetech", 0), tmp_path / "arm.toml")
    text = robot_text(tmp_path / "arm.toml", GAINS, mode="residual", steps=300, seed=0)
    text = text.replace("emulated = true\n", "").replace('clock = "lockstep"', 'clock = "device"')
    (tmp_path / "robot.toml").write_text(text + f'folder = "{tmp_path}/runs"\n')
    return tmp_path / "robot.toml"


def test_a_bus_is_rehearsed_with_emulated_servos(robot: Path) -> None:
    done = invoke("run", str(robot), "--sim", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["steps"] == 300
    summary = json.loads((robot.parent / "runs" / "robot" / "summary.json").read_text())
    assert summary["device"]["rehearsal_of"] == str(robot.parent / "arm.toml")
    kept = load_config(robot.parent / "runs" / "robot" / "config.toml")
    assert kept.device.emulated and kept.device.bus


def test_a_run_needs_the_port_of_its_bus(robot: Path) -> None:
    done = invoke("run", str(robot))
    assert "/dev/ttyUSB0: no such port" in str(done.exception), done.exception
    assert bus_of(str(robot)) == ("/dev/ttyUSB0", 1_000_000)
    done = invoke("monitor", str(robot), "--once")
    assert "the server of a bus ends with its run" in str(done.exception)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (['device.port="/dev/ttyACM0"'], "give one of port, plant and bus"),
        (['device.bus=""', 'device.plant="cartpole"'], "device.emulated = true: must be false without device.bus"),
    ],
)
def test_what_a_bus_excludes(changes: list[str], message: str) -> None:
    text = robot_text(Path("arm.toml"), GAINS, mode="off", steps=1, seed=0)
    with pytest.raises(ConfigError, match=message):
        parse_config(text, changes)


def test_a_file_of_a_bus_that_is_missing_or_wrong(tmp_path: Path) -> None:
    config = parse_config(robot_text(tmp_path / "none.toml", GAINS, mode="off", steps=1, seed=0))
    with pytest.raises(ConfigError, match=r"none\.toml"), connect(config):
        pass
    write_bus_file(bus_file("feetech", 0), tmp_path / "arm.toml")
    text = (tmp_path / "arm.toml").read_text()
    for waves, message in (
        ("[0.1, 5.0]", "2 numbers"),
        ("[1.3, 5.0, 0.0]", r"reaches 1\.3 rad"),
        ("[0.1, 0.0, 0.0]", "target"),
    ):
        lines = [f"target = {waves}" if line.startswith("target") else line for line in text.splitlines()]
        (tmp_path / "wrong.toml").write_text("\n".join(lines))
        with pytest.raises(ConfigError, match=message):
            load_bus_file(tmp_path / "wrong.toml")


@pytest.mark.parametrize("family", ["feetech", "dynamixel"])
def test_a_target_begins_with_the_session_and_the_reward_is_its_error(family: str, tmp_path: Path) -> None:
    write_bus_file(bus_file(family, 0), tmp_path / "arm.toml")
    config = parse_config(robot_text(tmp_path / "arm.toml", GAINS, mode="off", steps=1, seed=0))
    import rtu_edge as rtu

    with connect(config) as device:
        names = [row.name for row in device.sheet.observations]
        assert names == [f"{joint}_{kind}" for joint in tracking.JOINTS for kind in ("position", "target", "error")]
        assert device.hello.reward and device.hello.lockstep
    with rtu.connect(config.device.port or _served(tmp_path)) as robot:
        x, _ = robot.reset()
        assert x[1] == 0.0 and x[4] == 0.0
        targets = []
        for _ in range(400):
            x, reward, *_ = robot.step((0.2, -0.2))
            assert reward == pytest.approx(-float(x[2] ** 2 + x[5] ** 2), abs=1e-6)
            assert x[2] == pytest.approx(x[1] - x[0], abs=1e-6)
            targets.append(abs(float(x[1])))
        assert max(targets[:10]) < 0.05 < max(targets[200:])
        robot.reset()
        assert robot.read()[1] == 0.0


_SERVERS: list[object] = []


def _served(folder: Path) -> str:
    from rtu_edge.config.bus_file import serve
    from rtu_edge.device.emulated_bus import VirtualServos

    given = load_bus_file(folder / "arm.toml")
    _SERVERS.append(server := serve(given, bus=VirtualServos(given.family.value, given.emulated_load)))
    return server.port


@pytest.fixture(autouse=True)
def _ended() -> object:
    yield
    while _SERVERS:
        _SERVERS.pop().close()  # type: ignore[attr-defined]


def test_a_learner_leaves_less_error_than_pd(tmp_path: Path) -> None:
    """Two of the five minutes; the whole, over seeds: python -m benchmarks.bus_tracking. Exact, in virtual time."""
    bus = tmp_path / "arm.toml"
    write_bus_file(bus_file("feetech", 10), bus)
    minute = demo.MINUTE_STEPS
    pd = rms(track(robot_text(bus, GAINS, mode="off", steps=2 * minute, seed=10)), minute)
    learner = rms(track(robot_text(bus, GAINS, mode="residual", steps=2 * minute, seed=10)), minute)
    assert learner[0] < 1.05 * pd[0] and learner[1] < 0.92 * pd[1]  # .97 and .84


def test_the_search_takes_the_smallest_error_with_a_margin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = {(0, 0): 40.0, (1, 0): 20.0, (2, 0): 10.0, (4, 0): 60.0}
    monkeypatch.setattr(tracking, "KP", (0.0, 1.0, 2.0, 4.0))
    monkeypatch.setattr(tracking, "KD_S", (0.0,))
    monkeypatch.setattr(tracking, "_left", lambda bus, gains, steps: left[gains.kp, gains.kd] + abs(gains.kv - 0.04))
    found = tracking.tune("feetech", tmp_path)
    assert found.pd == Gains(1.0, 0.0)  # 2 leaves less, but twice 2 more than 0 does
    assert found.forward == Gains(1.0, 0.0, 0.04)
    assert [one.gains.kp for one in found.tried] == [0.0, 1.0, 2.0]


def test_the_errors_are_those_of_whole_windows() -> None:
    errors = np.array([[3.0, 4.0]] * 3 + [[0.0, 0.0]], np.float32)
    assert rms(errors, 3) == pytest.approx([12.5**0.5])
    assert rms(errors, 9) == pytest.approx([(75 / 8) ** 0.5])


@pytest.mark.timing
def test_a_short_demo_fails_its_learning_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tuned = Tuned(GAINS, Gains(3.0, 0.1, 0.08), (Tried(Gains(0.0, 0.0), 0.04, 0.04), Tried(GAINS, 0.01, 0.02)))
    monkeypatch.setattr(demo, "tune", lambda family, folder: tuned)
    console = Console(record=True, width=100, file=open("/dev/null", "w"))  # noqa: SIM115
    options = demo.BusOptions("dynamixel", steps=300, realtime_s=0.5, folder=str(tmp_path))
    with pytest.raises(CheckFailed, match="did not hold: learns"):
        demo.run_bus_demo(options, console)
    said = console.export_text()
    assert "share of PD" in said and "kp 3, kd 0.1 s, kv 0.08 s" in said
    folder = tmp_path / "demo-dynamixel"
    found = json.loads((folder / "tracking.json").read_text())
    assert set(found["rms_mrad"]) == {"pd", "forward", "learner"} and len(found["ratios"]) == 1
    assert (folder / "tracking.png").stat().st_size > 10_000 and (folder / "checkpoint.rtu").exists()
    assert load_config(folder / "config.toml").device.bus == str(folder / "arm.toml")


def test_the_folder_of_the_demo_may_have_any_name() -> None:
    bus = Path('a "b" \\c') / "arm.toml"
    text = robot_text(bus, GAINS, mode="off", steps=1, seed=0)
    assert parse_config(text, source="demo").device.bus == str(bus)


def test_the_files_of_the_documentation_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "servo_bus.md").read_text(encoding="utf-8")
    blocks = [textwrap.dedent(each) for each in re.findall(r"^ *```ini\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)]
    (tmp_path / "arm.toml").write_text(blocks[0])
    (tmp_path / "robot.toml").write_text(blocks[1])
    monkeypatch.chdir(tmp_path)
    done = invoke("run", "robot.toml", "--sim", "--steps", "200", "--json")
    assert done.exit_code == 0 and json.loads(done.stdout)["steps"] == 200, done.output


def test_the_demo_of_a_bus_takes_no_options_of_the_other() -> None:
    done = invoke("demo", "--bus", "feetech", "--memoryless")
    assert "only without --bus" in str(done.exception)
