"""Fallback controllers and their failures; and the bounds of a residual correction."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rtu_edge as rtu
import rtu_edge.cli
from benchmarks import faults
from rtu_edge import _testing
from rtu_edge._base.errors import CheckFailed, ConfigError, SafetyStop
from rtu_edge.config import parse_config
from rtu_edge.device.ports import open_port
from rtu_edge.device.simulated import SimulatedDevice
from rtu_edge.loop import Cause, Driver, Link, Loop, LoopConfig, RecordFlag, StopReason
from rtu_edge.loop.supervisor import Supervised, supervise
from rtu_edge.run import error_of

DEVICE = "[device]\nplant = 'cartpole'\n"
SHARE = 0.02
BOUND_N = SHARE * 20.0  # of a range of -10..10 N
TRIES = 5  # consecutive failures of a fallback; native/runtime/safety/supervisor.h
ROOT = Path(__file__).resolve().parent.parent


def where_negative(x: Any, first: bool) -> list[float]:
    """Four times where the cart is; fails on the other side, or gives a NaN further out."""
    if 0.0 < x[0] < 0.5:
        raise ZeroDivisionError("mine")
    return [float("nan") if x[0] > 0.0 else 4.0 * float(x[0])]


def once(x: Any, first: bool) -> list[float]:
    """Gives 6 N at an episode's start, and then nothing."""
    if not first:
        raise ZeroDivisionError("mine")
    return [6.0]


C_FALLBACK = """
#include "native/bindings/c/rtu_edge_fallback.h"
int where_negative(const float *x, size_t n, int first, float *u, size_t m) {
    (void)n, (void)first, (void)m;
    u[0] = 4.0f * x[0];
    return x[0] > 0.0f;
}
int forgets(const float *x, size_t n, int first, float *u, size_t m) {
    (void)x, (void)n, (void)first, (void)u, (void)m;
    return 0;
}
"""


@pytest.mark.parametrize("text", ["raise RuntimeError('mine')", "import sys; sys.exit(3)", "x = = 1", "1 / 0"])
def test_a_module_that_cannot_be_imported_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    name = f"fallback_{len(text)}"
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=rf"fallback\.function: cannot import {name}:run: \w+: "):
        around(
            rtu.StreamAC(2, 1, units=4, hidden=4).core.policy(), "learn", f"kind = 'python'\nfunction = '{name}:run'"
        )


@pytest.mark.parametrize(
    ("sizes", "said"), [((3, 1), "3 observations, the device has 2"), ((2, 2), "2 actuators, the device has 1")]
)
def test_a_checkpoint_for_another_machine_is_named(tmp_path: Path, sizes: tuple[int, int], said: str) -> None:
    rtu.StreamAC(*sizes, units=4, hidden=4).save(tmp_path / "other.rtu")
    with pytest.raises(ConfigError, match=rf"fallback\.checkpoint: .*other\.rtu was made for {said}"):
        around(
            rtu.StreamAC(2, 1, units=4, hidden=4).core.policy(),
            "learn",
            f"kind = 'checkpoint'\ncheckpoint = '{tmp_path / 'other.rtu'}'",
        )


def around(learner: Any, mode: str, fallback: str) -> Supervised:
    text = f"{DEVICE}[supervisor]\nmode = '{mode}'\nresidual = {{force = {SHARE}}}\n[fallback]\n{fallback}\n"
    if mode != "residual":
        text = text.replace(f"residual = {{force = {SHARE}}}\n", "")
    return supervise(parse_config(text), learner, faults.SHEET, faults.LIMITS)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fallback")
    (folder / "where_negative.c").write_text(C_FALLBACK)
    command = [
        "cc",
        "-shared",
        "-fPIC",
        f"-I{ROOT}",
        "-o",
        str(folder / "where_negative.so"),
        str(folder / "where_negative.c"),
    ]
    subprocess.run(command, check=True)
    return folder / "where_negative.so"


def python(function: Callable[..., Any]) -> str:
    return f"kind = 'python'\nfunction = '{__name__}:{function.__name__}'"


@pytest.mark.hazard("fallback-fails")
def test_a_fallback_that_fills_nothing_has_failed(library: Path) -> None:
    """And has not output 0, which may be any position of a plant."""
    text = f"kind = 'c'\nlibrary = '{library}'\nsymbol = 'forgets'"
    with SimulatedDevice("cartpole") as device, open_port(device.port) as port, Link(port) as link:
        link.handshake()
        made = around(rtu.StreamAC(2, 1, units=4, hidden=4).core.policy(), "off", text)
        result = Loop(link, made.policy, LoopConfig(steps=100)).run()
    assert result.reason is StopReason.POLICY and result.steps == TRIES


@pytest.mark.hazard("correction-adds-up")
@pytest.mark.parametrize("kind", ["rest", "hold", "pd", "checkpoint", "c", "python"])
@pytest.mark.parametrize("push", [-1.0, 1.0, None])
def test_a_correction_never_adds_up(kind: str, push: float | None, library: Path, tmp_path: Path) -> None:
    """Thousands of steps with the largest correction, and at random: never further from the fallback's output than its
    share of the range, for every fallback, even one that fails in two steps of three."""
    texts = {
        "pd": "kind = 'pd'\n[fallback.pd.force]\np = {x = -4.0}",
        "c": f"kind = 'c'\nlibrary = '{library}'\nsymbol = 'where_negative'",
        "python": python(where_negative),
        "checkpoint": f"kind = 'checkpoint'\ncheckpoint = '{tmp_path}/other.rtu'",
    }
    rtu.StreamAC(observation_size=2, action_size=1, units=4, hidden=[4], seed=3).save(tmp_path / "other.rtu")
    gain = [[0.0, 0.0]] if push is not None else [[1e4, 0.0]]
    learner = _testing.LinearPolicy(2, [push or 0.0], gain)
    made = around(learner.policy(), "residual", texts.get(kind, f"kind = '{kind}'"))
    alone = around(_testing.LinearPolicy(2, [0.0]).policy(), "residual", texts.get(kind, f"kind = '{kind}'"))
    rng = np.random.default_rng(0)
    made.policy.begin()
    alone.policy.begin()
    off = []
    for k in range(3000):
        x = [float(rng.uniform(-1, 0) if k % 3 == 0 else rng.uniform(0, 1)), 0.0]
        status, action = made.policy.predict(x, False)
        expected = alone.policy.predict(x, False)[1]
        assert status == 0 and Driver.of(made.policy.info()["mode"]) is Driver.BOTH
        off.append(10.0 * float(action[0] - expected[0]))
        made.policy.update(0.0)
        alone.policy.update(0.0)
    # 10 N in a unit of the action, of float32
    assert np.abs(off).max() == pytest.approx(BOUND_N, abs=2e-5)
    assert made.policy.counters()["fallback_failures"] == (2000 if kind in ("c", "python") else 0)


@pytest.mark.hazard("fallback-fails")
@pytest.mark.parametrize("mode", ["off", "shadow", "residual"])
def test_a_fallback_that_keeps_failing_rests_and_stops(mode: str) -> None:
    """Through the loop: its last output for the number of retries, then rest, DISARM, and a reason with
    an exit code.
    """
    agent: Any = rtu.StreamAC(observation_size=2, action_size=1, units=8, hidden=[8], seed=0)
    made = around(agent.core.policy(), mode, python(once))
    with SimulatedDevice("cartpole", boot_id=1) as device, open_port(device.port) as port, Link(port) as link:
        link.handshake()
        loop = Loop(link, made.policy, LoopConfig(steps=1000))
        result, records = loop.run(), loop.drain()
    assert result.reason is StopReason.POLICY and result.confirmed, result
    acted = records[(records["flags"] & RecordFlag.ACTED) != 0]
    assert len(acted) == 1 + TRIES
    near = BOUND_N + 1e-5 if mode == "residual" else 1e-5
    np.testing.assert_allclose(acted["u"][:TRIES, 0], 6.0, atol=near)
    assert acted["u"][TRIES, 0] == pytest.approx(0.0, abs=1e-6), "rest, without a correction"
    assert Cause.of(int(acted["mode"][-1])) is Cause.FAILED
    error = error_of(result, made.fallback_error())
    assert isinstance(error, SafetyStop) and "ZeroDivisionError: mine" in str(error)


@pytest.mark.hazard("fallback-fails")
def test_a_fallback_that_failed_unasked_has_no_tries_left() -> None:
    """It failed while the learner drove; when it has to drive, the learner's last command is not held."""
    learner = _testing.LinearPolicy(2, [-1.0])
    made = around(learner.policy(), "learn", python(once))
    made.policy.begin()
    for _ in range(50):
        status, action = made.policy.predict([0.1, 0.0], False)
        assert status == 0 and action[0] == -1.0
    results = [made.policy.predict([np.nan, 0.0], False) for _ in range(6)]
    driven = [(status, float(action[0])) for status, action in results if action[0] != -1.0]
    # Five steps bridge the missing value (sensor.NAME.hold_steps), in the sixth the fallback has to drive: 2 is
    # kPolicyFailed.
    assert driven == [(2, 0.0)]


def test_a_fallback_that_recovers_costs_a_step_and_is_told() -> None:
    class Ended:
        reason, message, confirmed = StopReason.STEPS, "step limit reached", True

    assert error_of(Ended()) is None  # type: ignore[arg-type]
    error = error_of(Ended(), ZeroDivisionError("mine"))  # type: ignore[arg-type]
    assert isinstance(error, CheckFailed) and "ZeroDivisionError: mine" in str(error)


@pytest.mark.hazard("fallback-fails")
def test_the_command_ends_with_4_and_no_traceback(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "robot.toml"
    path.write_text(
        f"{DEVICE}[loop]\nclock = 'lockstep'\n[learner]\nunits = 8\nhidden = [8]\n[run]\nfolder = '{tmp_path}'\n"
        f"[supervisor]\nmode = 'off'\n[fallback]\n{python(once)}\n"
    )
    with pytest.raises(SystemExit) as leaving:
        rtu_edge.cli.main(["run", str(path), "--steps", "1000"])
    out, err = capfd.readouterr()
    assert leaving.value.code == 4, err
    assert "policy: the fallback controller failed repeatedly" in err and "ZeroDivisionError: mine" in err
    assert "the fallback failed in 5 steps" in out and "Traceback" not in err


@pytest.mark.hazard("policy-fails")
@pytest.mark.parametrize("steps_held", [1, 5])
def test_a_policy_without_a_supervisor_has_as_many_tries(steps_held: int) -> None:
    """Non-finite from the start: repeats the previous command, then rest and the end."""
    policy = _testing.LinearPolicy(2, [float("nan")])
    with SimulatedDevice("cartpole", boot_id=1) as device, open_port(device.port) as port, Link(port) as link:
        link.handshake()
        result = Loop(link, policy.policy(), LoopConfig(steps=1000, max_bad_actions=steps_held)).run()
        assert result.reason is StopReason.POLICY and result.confirmed and result.steps == steps_held
        assert isinstance(error_of(result), SafetyStop)
        for tries in (0, 1001):
            with pytest.raises(ValueError, match=r"max_bad_actions: \d+, allowed: 1..1000"):
                Loop(link, policy.policy(), LoopConfig(max_bad_actions=tries))


def test_a_masked_command_of_a_python_fallback_is_an_error() -> None:
    """Under a mask there is no value; the number that lies there is not sent."""
    from rtu_edge.loop.supervisor import _unmasked

    masked = _unmasked("mine:pd", lambda x, first: np.ma.masked_array([9.0], [True]))
    with pytest.raises(ValueError, match="mine:pd returned a masked array"):
        masked(np.zeros(2), True)
    assert _unmasked("mine:pd", lambda x, first: [1.0])(np.zeros(2), True) == [1.0]
