"""The form reward with targets: what a file asks for is what the loop computes, and a replay has the same bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rtu_edge.cli
from rtu_edge.config import ConfigError, load_config, parse_config
from rtu_edge.record.reader import read_log
from rtu_edge.run import replay

FORM = """
[device]
plant = "servo"

[loop]
clock = "lockstep"

[reward]
source = "form"
bias = 0.5
target = [0.25, -0.125]
quadratic = [-2.0, -0.5]
action = [-0.001]

[learner]
units = 4
hidden = [8]

[run]
name = "aimed"
steps = 300
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("reward")
    path = root / "servo.toml"
    path.write_text(FORM.replace('name = "aimed"', f'name = "aimed"\nfolder = "{root}"'))
    with pytest.raises(SystemExit) as leaving:
        rtu_edge.cli.main(["run", str(path)])
    assert leaving.value.code == 0
    return root / "aimed"


def test_each_recorded_reward_is_the_form_in_float64_rounded_once(folder: Path) -> None:
    records = np.concatenate([batch for batch, _ in read_log(folder / "log.mcap").batches()])
    inside = records[1:][records["episode"][1:] == records["episode"][:-1]]
    assert len(inside) > 200
    x, u = inside["x"].astype(np.float64), inside["applied"].astype(np.float64)
    error = x - np.array([0.25, -0.125], np.float32).astype(np.float64)
    weights = np.array([-2.0, -0.5], np.float32).astype(np.float64)
    expected = 0.5 + (weights * error * error).sum(axis=1) + np.float64(np.float32(-0.001)) * u[:, 0] ** 2
    np.testing.assert_allclose(inside["reward"], expected, rtol=2e-7)


def test_a_replay_is_equal_to_the_bit(folder: Path) -> None:
    result = replay.verify(read_log(folder / "log.mcap"))
    assert result.difference is None and result.final_equal and result.records > 200


def test_the_run_s_own_configuration_has_the_target_and_is_read_again(folder: Path) -> None:
    assert load_config(folder / "config.toml").reward.target == (0.25, -0.125)


def test_a_recorded_configuration_from_before_targets_has_none() -> None:
    text = '[device]\nplant = "servo-full"\n[reward]\nsource = "form"\nquadratic = [-1.0, 0.0]\n'
    assert parse_config(text, recorded=True).reward.target == ()


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("target = [1.0]", 'reward.source = "device": must be "form" when bias, target,'),
        ('source = "form"\ntarget = [1.0]', "reward.target = [1.0]: has no effect without weights"),
        ('source = "form"\nquadratic = [1.0]\ntarget = [nan]', "reward.target[0] = nan: must be a number"),
    ],
)
def test_a_target_that_cannot_be_used_is_refused(table: str, words: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_config(f'[device]\nplant = "servo"\n[reward]\n{table}\n')
    assert words in str(error.value)


def test_targets_of_another_width_than_the_device_s_are_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "servo.toml"
    path.write_text(FORM)
    with pytest.raises(SystemExit) as leaving:
        rtu_edge.cli.main(["run", str(path), "--set", "reward.target=[1.0]"])
    assert leaving.value.code == 2
    assert "reward.target: 1 number given, the device has 2 observations (" in capfd.readouterr().err
