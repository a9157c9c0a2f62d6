"""Checks of the plant, arming, and homing, from Python: tables, robots, the log and its replay. The decisions of the
loop are tested in tests/native/test_plant_checks.cpp.
"""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from logged import Array, config_of, run

import rtu_edge as rtu
from rtu_edge import _core
from rtu_edge._base.errors import ConfigError, SafetyStop
from rtu_edge.config import parse_config
from rtu_edge.device.schema import Cap, Channel, DataSheet, LimitKind, Role, SheetLimit
from rtu_edge.loop import RecordFlag
from rtu_edge.loop.checks import (
    CheckedActuator,
    CheckedObservation,
    Findings,
    HomingKind,
    Responds,
    arming_options,
    check_options,
    finding_text,
    homing_kind,
)
from rtu_edge.loop.companions import Companion, whole_sheet
from rtu_edge.loop.options import native_options
from rtu_edge.record import RunFolder
from rtu_edge.record.reader import Batch, read_log
from rtu_edge.run.promotion import evidence
from rtu_edge.run.replay import verify

pytestmark = pytest.mark.hazard("armed-outside-limits")

SHEET = DataSheet(
    0.02,
    (Channel("angle", "rad", -3.0, 3.0), Channel("speed", "rad/s", -math.inf, math.inf)),
    (Channel("torque", "Nm", -2.0, 2.0, actuator=True),),
)
HOMING = ('homing.kind="pd"', "homing.share=0.5", "homing.pd.voltage.p.theta=6.0", "homing.pd.voltage.d.theta=0.5")
SERVO = ('device.plant="servo"', "start.theta.min=-0.2", "start.theta.max=0.2")


def words(checks: rtu.Checks, x: Array, u: Array, first: Array | None = None, usable: Array | None = None) -> list[int]:
    """The finding after each step."""
    count = len(x)
    begin = np.arange(count) == 0 if first is None else first
    good = np.ones(count, bool) if usable is None else usable
    found = _core.PlantChecks(check_options(checks, SHEET), 2, 1).run(x, u, u, begin, good)
    return [int(word) for word in found]


def square(count: int) -> Array:
    """(count, 1) commands from end to end, each for four steps."""
    return np.where(np.arange(count) // 4 % 2 == 0, 2.0, -2.0).astype(np.float32)[:, None]


def test_the_thresholds_are_those_of_data_sheet_and_configuration() -> None:
    found = check_options(rtu.Checks(), SHEET)
    assert (found["warn_steps"], found["stop_steps"]) == (250, 500)
    assert found["command"] == [pytest.approx(2.4)]
    assert found["moves"] == [pytest.approx(6e-4), 0.0]  # without a finite range only equal values stand still
    assert found["observations"] == [0b11]
    own = rtu.Checks(
        warn_s=1.0,
        stop_s=4.0,
        steps=10,
        observation={"angle": CheckedObservation(moves=0.5, responds=Responds.NO)},
        actuator={"torque": CheckedActuator(observations=("speed",))},
    )
    found = check_options(own, SHEET)
    assert (found["warn_steps"], found["stop_steps"], found["moves"][0]) == (50, 200, 0.5)
    assert (found["responds"], found["observations"]) == ([2, 0], [0b10])
    assert check_options(rtu.Checks(effect=False, still=False, reward=False), SHEET) == {}


def test_the_data_sheet_tells_what_an_actuator_moves() -> None:
    end = SheetLimit(LimitKind.DIRECTION, -2.0, 2.0, actuator=1, sense=1)
    seen = (
        Channel("speed", "rad/s", -9.0, 9.0),
        Channel("angle", "rad", -3.0, 3.0, role=Role.POSITION, limits=(end,)),
        Channel("heat", "C", 0.0, 90.0, role=Role.TEMPERATURE),
        Channel("imu.age", "s", 0.0, math.inf),
    )
    driven = tuple(Channel(name, "V", -1.0, 1.0, actuator=True) for name in ("fan", "motor"))
    found = check_options(rtu.Checks(), DataSheet(0.02, seen, driven))
    assert found["responds"] == [0, 0, 2, 2]
    assert found["observations"] == [0b0011, 0b0010]


def test_the_limits_of_a_second_device_act_on_its_own_actuators() -> None:
    limits = (SheetLimit(LimitKind.DIRECTION, -1.0, 1.0, actuator=0, sense=1), SheetLimit(LimitKind.FAULT, -2.0, 2.0))
    driven = (Channel("u", "V", -1.0, 1.0, actuator=True),)
    other = DataSheet(0.02, (Channel("b", "rad", -3.0, 3.0, limits=limits),), driven)
    link: Any = SimpleNamespace(sheet=other)
    whole = whole_sheet(DataSheet(0.02, (Channel("a", "rad", -3.0, 3.0),), driven), [Companion("imu", link, age=True)])
    assert [[each.actuator for each in row.limits] for row in whole.observations] == [[], [1, 255], []]
    assert check_options(rtu.Checks(), whole)["observations"] == [0b011, 0b010]


def test_a_movement_smaller_than_the_threshold_is_none() -> None:
    x = np.zeros((600, 2), np.float32)
    x[:, 0] = 1e-4 * (np.arange(600) % 2)  # noise of an encoder
    found = words(rtu.Checks(), x, square(600))
    assert found[:240] == [0] * 240
    assert finding_text(found[260], SHEET) == "actuator torque is commanded and has no effect"
    assert found[495] >> 31 == 1 and found[494] >> 31 == 0
    x[:, 0] *= 10  # above 1e-4 of the range
    assert set(words(rtu.Checks(), x, square(600))) == {0}


def test_a_reset_is_no_movement() -> None:
    x = np.zeros((600, 2), np.float32)
    x[:, 0] = np.arange(600) // 50  # another position after each reset, and none in between
    found = words(rtu.Checks(), x, square(600), np.arange(600) % 50 == 0)
    assert finding_text(found[-1] & 0x7FFFFFFF, SHEET) == "actuator torque is commanded and has no effect"


@pytest.mark.hazard("reward-not-finite")
def test_a_run_whose_reward_is_never_finite_is_stopped(capsys: pytest.CaptureFixture[str]) -> None:
    with rtu.connect("cartpole", reward=lambda x, u: math.nan) as robot:
        agent = rtu.StreamAC.from_env(robot, units=4, hidden=4, seed=0)
        with pytest.raises(SafetyStop, match=r"reward: the reward has not been finite for 10 s") as error:
            robot.run(agent, steps=5000, progress=False)
        result: Any = error.value.result  # type: ignore[attr-defined]
        assert result.steps < 600 and result.counters["check_reward"] == 1 and result.counters["learned"] == 0
        with pytest.raises(SafetyStop, match=r"not_ready: not armed: a check failed in the session before: the reward"):
            robot.run(agent, steps=10, progress=False, reward=rtu.Reward("form", bias=1.0))
        assert robot.clear()
        assert robot.run(agent, steps=10, progress=False, reward=rtu.Reward("form", bias=1.0)).steps == 10
        checks = rtu.Checks(reward=False)
        assert robot.run(agent, steps=700, progress=False, checks=checks).counters["rewards_refused"] == 700
    assert "cartpole: checks that are off: reward" in capsys.readouterr().err


@pytest.mark.hazard("reward-not-finite")
def test_the_same_in_a_script_s_own_loop(capsys: pytest.CaptureFixture[str]) -> None:
    checks = rtu.Checks(warn_s=0.2, stop_s=0.4, steps=4)
    with rtu.connect("servo", reward=lambda x, u: math.nan, checks=checks) as robot:
        robot.reset(seed=1)
        with pytest.raises(SafetyStop, match=r"reward: the reward has not been finite for 40 steps"):
            for _ in range(100):
                robot.step(1.0)
    assert "servo: warning: the reward is not finite" in capsys.readouterr().err


def test_findings_are_reported_when_they_begin() -> None:
    said: list[str] = []
    findings = Findings(rtu.Checks(still=False), SHEET, said.append)
    for word in (0, 1, 1, 0, 3, 2 | 1 << 8):
        findings.take(word)
    assert said == [
        "checks that are off: still",
        "warning: actuator torque is commanded and has no effect",
        "warning: the reward is not finite",
        "warning: observation speed stands still while the commands move",
    ]


@pytest.mark.hazard("learned-while-homing")
def test_homing_is_in_log_and_report_and_replays_to_the_bit(tmp_path: Path) -> None:
    config = config_of(*SERVO, *HOMING, "run.steps=1300")
    with RunFolder.create(tmp_path, "run") as folder:
        kept, agent = run(folder, config, supervised=True, steps=1300)
        log = folder.log("")
    flags = kept.records["flags"]
    homing = (flags & RecordFlag.HOMING) != 0
    assert kept.result.steps == 1300 and kept.result.counters["homings"] >= 2
    assert homing.sum() >= kept.result.counters["homing_steps"] > 10
    learned = (flags & RecordFlag.LEARNED) != 0
    assert not (homing & learned).any()
    # The observation after homing is the first of an episode, in the region.
    after = np.flatnonzero(homing[:-1] & ~homing[1:]) + 1
    assert len(after) and ((flags[after] & RecordFlag.FIRST) != 0).all()
    assert (np.abs(kept.records["x"][after, 0]) <= 0.2).all()
    replayed = verify(read_log(log))
    assert replayed.difference is None and replayed.final_equal
    assert replayed.agent.state_hash() == agent.state_hash()
    assert kept.records["reward"][homing].tolist() == [0.0] * int(homing.sum())
    assert evidence([Batch(kept.records, kept.episodes)]).steps == int((~homing).sum())


@pytest.mark.hazard("learned-while-homing")
def test_a_run_from_the_command_line_homes_and_reports_it(tmp_path: Path) -> None:
    file = tmp_path / "robot.toml"
    file.write_text(
        '[device]\nplant = "servo"\n[loop]\nclock = "lockstep"\n[start.theta]\nmin = -0.2\nmax = 0.2\n'
        '[homing]\nkind = "pd"\n[homing.pd.voltage]\np = { theta = 6.0 }\nd = { theta = 0.5 }\n'
        "[checks]\nstill = false\n[learner]\nunits = 4\nhidden = 4\n[run]\nsteps = 800\n"
    )
    command = [sys.executable, "-m", "rtu_edge.cli", "run", str(file), "--set", f"run.folder={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert "checks that are off: still" in done.stdout and "brought to its start" in done.stdout
    summary = json.loads((tmp_path / "robot" / "summary.json").read_text())
    assert summary["stages"]["learning"]["counters"]["homing_steps"] > 0
    assert "driven by: brought to its start" in (tmp_path / "robot" / "report.html").read_text()


def test_a_script_s_own_loop_is_brought_to_its_start() -> None:
    told: list[bool] = []

    def home(x: Any, first: bool) -> Any:
        told.append(first)
        return [-6.0 * x[0]]

    start = {"theta": rtu.Start(-0.1, 0.1)}
    with rtu.connect("servo", start=start, homing=home) as robot:
        for seed in range(4):
            x, info = robot.reset(seed=seed)
            assert abs(x[0]) <= 0.1 and info == {"plant_seed": seed}
        assert told.count(True) >= 1 and told[0]
        agent = rtu.StreamAC.from_env(robot, units=4, hidden=4, seed=0)
        assert robot.run(agent, steps=300, progress=False).counters["homings"] == 1


def test_a_pd_controller_homes_a_script_s_own_loop_too() -> None:
    config = parse_config("device.plant = 'servo'", (*SERVO[1:], *HOMING))
    with rtu.connect("servo", start=config.start, homing=config.homing) as robot:
        assert [abs(robot.reset(seed=seed)[0][0]) <= 0.2 for seed in range(4)] == [True] * 4


def test_homing_that_does_not_arrive_and_a_start_without_homing() -> None:
    start = {"theta": rtu.Start(max=-50.0)}
    with rtu.connect("servo", start=start) as robot:
        with pytest.raises(SafetyStop, match=r"not_ready: the episode does not begin: outside the start region: theta"):
            robot.reset(seed=1)
        agent = rtu.StreamAC.from_env(robot, units=4, hidden=4, seed=0)
        with pytest.raises(SafetyStop, match=r"not_ready: the episode does not begin: .*allowed -inf to -50"):
            robot.run(agent, steps=10, progress=False)
    with rtu.connect("servo", start=start, homing=lambda x, first: [0.0]) as robot:
        robot._own._start.timeout_steps = 50
        with pytest.raises(SafetyStop, match=r"homing: homing did not reach the start region in time: theta"):
            robot.reset(seed=1)
    with (
        rtu.connect("servo", start=start, homing=lambda x, first: [math.nan]) as robot,
        pytest.raises(ConfigError, match="the homing function's result"),
    ):
        robot.reset(seed=1)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (("checks.warn_s=5.0", "checks.stop_s=1.0"), "checks.stop_s = 1: must be at least checks.warn_s = 5"),
        (("start.theta.min=1.0", "start.theta.max=0.0"), "start.theta.min = 1: must be below start.theta.max = 0"),
        (('homing.kind="pd"',), 'homing.kind = "pd": needs a start region'),
        (('homing.function="a:b"',), 'homing.function: only with kind = "python"'),
        (("start.theta.min=0.0", 'homing.kind="python"', 'homing.function="home"'), "must be MODULE:NAME"),
        (("checks.command=0.0",), "checks.command = 0.0: must be a number above 0"),
    ],
)
def test_a_bad_table_is_named(changes: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said.replace("(", r"\(")):
        parse_config("device.plant = 'servo'", changes)


def test_a_device_that_homes_itself_has_the_time_of_homing() -> None:
    with rtu.connect("servo") as robot:
        actuators = robot.sheet.actuators
        for homing, wanted in ((rtu.Homing(kind=HomingKind.DEVICE, timeout_s=7.0), 7.0), (rtu.Homing(), 60.0)):
            config = rtu.LoopConfig(homing=homing)
            assert native_options(config, 1, robot.limits, actuators)["reset_timeout_s"] == wanted
        arming = [
            arming_options(rtu.Homing(kind=kind), {}, robot.hello, robot.sheet)["pose"]
            for kind in (HomingKind.AUTO, HomingKind.DEVICE, HomingKind.NONE, HomingKind.PD)
        ]
        assert arming == [False, False, True, True]
        real = dataclasses.replace(robot.hello, caps=robot.hello.caps & ~Cap.SIMULATED)
        assert homing_kind(rtu.Homing(), real) is HomingKind.NONE


def test_a_name_that_the_device_lacks_is_named() -> None:
    with pytest.raises(ConfigError, match=r'start.thta: the device has no observation "thta"; .*did you mean "theta"'):
        rtu.connect("servo", start={"thta": rtu.Start(0.0, 1.0)})


def test_a_short_run_of_the_false_alarms_has_none(tmp_path: Path) -> None:
    """benchmarks/false_alarms.py over every plant and family, in short; the ten hours are a kept result."""
    root = Path(__file__).resolve().parent.parent
    out = tmp_path / "out.json"
    command = [sys.executable, "-m", "benchmarks.false_alarms", "--hours", "0.05", "--out", str(out)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout
    found = json.loads(out.read_text())
    assert found["alarms"] == 0 and found["steps"] > 5000
    kept = json.loads((root / "benchmarks" / "results" / "false_alarms.json").read_text())
    assert kept["hours"] >= 9.9 and kept["alarms"] == 0
    assert {part["plant"] for part in kept["parts"]} == {part["plant"] for part in found["parts"]}
