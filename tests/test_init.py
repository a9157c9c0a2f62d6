"""rtu-edge init: a configuration from a data sheet, which run takes as it is; the device is asked and not armed."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest

import rtu_edge.cli
from rtu_edge._base.strict import parse_toml
from rtu_edge.config import load_config, parse_config
from rtu_edge.config.starter import starter
from rtu_edge.device import lock, plants
from rtu_edge.device.protocol import DeviceState
from rtu_edge.device.schema import Cap, Channel, DataSheet, Hello, Safe
from rtu_edge.device.simulated import SimulatedDevice
from rtu_edge.tools.monitor import Listener

ROOT = Path(__file__).resolve().parent.parent


def run(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as leaving:
        rtu_edge.cli.main([str(argument) for argument in arguments])
    out, err = capfd.readouterr()
    assert isinstance(leaving.value.code, int) and "Traceback" not in out + err
    return leaving.value.code, out, " ".join(err.split())


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_board_is_asked_and_stays_disarmed(capfd: pytest.CaptureFixture[str]) -> None:
    with SimulatedDevice("servo-full", link="robot") as device:
        code, out, err = run(capfd, "init", Path("robot").absolute())
        assert code == 0, err
        with Listener(device.port) as listener:
            states = [message.state for _, message in listener.listen(0.3) if hasattr(message, "last_cmd_seq")]
        assert states and set(states) == {DeviceState.DISARMED}
        config = load_config("robot.toml")
        assert config.device.port == str(Path("robot").absolute()) and config.device.sim == "servo-full"
        for options in (["--sim"], ["--dry-run"], []):
            assert f"rtu-edge run robot.toml {' '.join(options)}".rstrip() in out
            code, _, err = run(capfd, "run", "robot.toml", "--steps", "20", *options)
            assert code == 0, err
    sheet = plants.sheet("servo-full")
    limits = config.limits["voltage"]
    assert (limits.min, limits.max) == (sheet.actuators[0].min, sheet.actuators[0].max)
    assert config.loop.period_us == round(sheet.period_s * 1e6)


@pytest.mark.parametrize("plant", ["cartpole", "pendulum-full", "servo", "tank.c"])
def test_the_file_of_a_plant_is_rehearsed_as_it_is(plant: str, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.copy(ROOT / "examples" / "hil_project" / "tank.c", "tank.c")
    assert run(capfd, "init", plant, "-o", "plant.toml")[0] == 0
    text = Path("plant.toml").read_text()
    keys = [key for table in parse_toml(text).values() for key in table]
    assert 10 <= len(keys) <= 16 and max(map(len, text.splitlines())) <= 120
    if plant.endswith(".c"):  # compiled once is enough
        assert load_config("plant.toml").device.plant == plant and "[limits.pump]" in text
        return
    for options in (["--sim", "--steps", "20"], ["--dry-run", "--steps", "3"]):
        code, _, err = run(capfd, "run", "plant.toml", *options)
        assert code == 0, err


def test_a_file_that_exists_is_left_as_it_is_without_force(capfd: pytest.CaptureFixture[str]) -> None:
    Path("robot.toml").write_text("mine")
    code, _, err = run(capfd, "init", "cartpole")
    assert code == 2 and "robot.toml: exists; give another -o, or --force to overwrite it" in err
    assert Path("robot.toml").read_text() == "mine"
    assert run(capfd, "init", "cartpole", "--force")[0] == 0
    assert load_config("robot.toml").device.plant == "cartpole"


def test_a_port_that_a_process_owns_is_not_opened(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lock, "owner", lambda port: 4711)
    code, _, err = run(capfd, "init", "/dev/ttyACM0")
    assert code == 3 and "/dev/ttyACM0: process 4711 owns this port; end it first" in err
    assert not Path("robot.toml").exists()


def test_a_board_has_the_name_that_stays(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    from rtu_edge.device import ports

    with SimulatedDevice("cartpole", link="by-id") as device:
        info = ports.PortInfo(str(Path("by-id").absolute()), device.port, "cdc_acm", "", "")
        monkeypatch.setattr(ports, "list_ports", lambda: [info])
        assert run(capfd, "init", device.port)[0] == 0
    assert load_config("robot.toml").device.port == info.path


def real(observation: Channel) -> tuple[Hello, DataSheet]:
    arm = Channel("arm.left", "Nm", -4.0, 12.0, 1, True, Safe.RAMP, 0.5, 1.0)
    hello = Hello(caps=Cap(0), schema_hash=0xABCD, period_us=10_000, observation_size=1, action_size=1)
    return hello, DataSheet(0.01, (observation,), (arm,))


def test_real_hardware_gets_limits_of_each_kind_and_a_reward_with_targets() -> None:
    hello, sheet = real(Channel("angle", "rad", -2.0, 2.0))
    text = starter(Path("r.toml"), "/dev/ttyACM0", {"port": "/dev/ttyACM0"}, hello, sheet)
    config = parse_config(text)
    limits = config.limits["arm.left"]
    assert (limits.min, limits.max, limits.rest) == (-4.0, 12.0, 1.0)
    assert limits.slew_per_s == 50.0, "the device's own 0.5 per period is tighter than the range in 0.2 s"
    assert limits.accel_per_s2 == 1000.0 and "tighten all of these before --arm" in text
    reward = config.reward
    assert reward.source.value == "form" and (reward.target, reward.quadratic) == ((0.0,), (-0.25,))
    assert "horizon_s = 0.5" in text and "# sim = " in text


def test_an_observation_without_bounds_or_without_zero_has_a_target_and_a_weight() -> None:
    for low, high, target, weight in ((-math.inf, math.inf, 0.0, -1.0), (20.0, 40.0, 30.0, -0.01)):
        hello, sheet = real(Channel("heat", "K", low, high))
        reward = parse_config(starter(Path("r.toml"), "x", {"port": "/dev/x"}, hello, sheet)).reward
        assert (reward.target, reward.quadratic) == ((target,), (weight,))


@pytest.mark.parametrize(("plant", "named"), [("servo", "target"), ("cartpole", "")])
def test_an_observation_that_is_a_target_has_no_cost_of_its_own(plant: str, named: str) -> None:
    sheet = plants.sheet(plant)
    hello = Hello(caps=Cap.SIMULATED, schema_hash=0xABCD, period_us=round(sheet.period_s * 1e6))
    text = starter(Path("plant.toml"), plant, {"plant": plant}, hello, sheet)
    weights = parse_config(text).reward.quadratic
    assert [row.name for row, weight in zip(sheet.observations, weights, strict=True) if weight == 0] == named.split()
    assert (f"a distance to {named} needs a reward from the device" in text) == bool(named)
