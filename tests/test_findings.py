"""The learner monitor's windows: saturation, exploration and TD error in every loop, with or without a supervisor."""

from __future__ import annotations

import copy
import math
import pickle
import re
import warnings
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rtu_edge as rtu
from rtu_edge.learn import LearnerWarning, findings
from rtu_edge.learn.findings import Finding, summary_of

SMALL = {"units": 4, "hidden": 4, "seed": 0, "sigma_floor": 0.0, "exploration_correlation": 0.0}


def made(inputs: int = 1, **settings: Any) -> rtu.StreamAC:
    """A small learner of one action, whose weights do not move."""
    return rtu.StreamAC(inputs, 1, **{**SMALL, "actor": {"step_size": 0.0}, "critic": {"step_size": 0.0}, **settings})


def head(agent: rtu.StreamAC, *outputs: float) -> None:
    """Make the actor's outputs constant: mu and s of each action, or logits."""
    (bias,) = (name for name in agent.parameters if name.startswith("actor.head") and name.endswith("bias"))
    (weight,) = (name for name in agent.parameters if name.startswith("actor.head") and name.endswith("weight"))
    zeros = np.zeros_like(agent.parameters[weight])
    agent.load_parameters({weight: zeros, bias: np.array(outputs, agent.dtype)})


def steps(agent: rtu.StreamAC, count: int, reward: Any = lambda step: 0.0) -> None:
    """An own loop of predict() and update()."""
    for step in range(count):
        agent.predict([math.sin(step)], reward=reward(step))
        agent.update(reward(step))


def begun(agent: rtu.StreamAC) -> rtu.StreamAC:
    agent.begin()
    return agent


@pytest.mark.parametrize(
    ("outputs", "found"),
    [
        ((3.0, 0.0), "saturated"),
        ((-3.0, 0.0), "saturated"),
        ((0.0, -6.0), "exploration_lost"),
        ((0.0, 5.5), "exploration_large"),
        ((0.0, 0.0), None),
    ],
)
def test_an_own_loop_is_warned_once_after_two_windows(outputs: tuple[float, float], found: str | None) -> None:
    agent = begun(made())
    head(agent, *outputs)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        steps(agent, 1999)
    assert agent.findings == {} and agent.diagnostics["findings"] == ()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        steps(agent, 3001)
    told = [str(one.message) for one in caught if issubclass(one.category, LearnerWarning)]
    if found is None:
        assert not caught and agent.findings == {}
        return
    assert agent.findings[found] == 1999  # the first update has no transition
    assert len(told) == len(agent.findings) and "Nothing was changed. Next: " in told[0]
    assert found in agent.diagnostics["findings"] and caught[0].filename == __file__


def test_the_means_are_those_of_the_window() -> None:
    agent = begun(made(gamma=0.0, scale_reward=False))
    head(agent, 0.9, 0.0)
    assert math.isnan(agent.diagnostics["clipped_mean"])
    clipped, errors = [], []
    for step in range(1000):
        agent.predict([math.cos(step)])
        agent.update(0.1 * (step % 7))
        clipped.append(agent.diagnostics["clipped"])
        errors += [abs(agent.diagnostics["delta"])] if step else []
    known = agent.diagnostics
    assert 0.1 < known["clipped_mean"] == pytest.approx(np.mean(clipped))
    assert known["td_error_mean"] == pytest.approx(np.mean(errors), rel=1e-5)
    assert known["sigma_mean"] == pytest.approx(math.log(2), rel=1e-5)
    assert known["entropy_mean"] == pytest.approx(0.5 * math.log(2 * math.pi * math.e * math.log(2) ** 2), rel=1e-5)
    assert math.isnan(known["td_error_growth"])


def test_a_finding_ends_and_its_first_update_stays() -> None:
    agent = begun(made())
    head(agent, 3.0, 0.0)
    with pytest.warns(LearnerWarning, match="over 90 % of the actions of 2,000 steps were clipped"):
        steps(agent, 2000)
    head(agent, 0.0, 0.0)
    steps(agent, 1000)
    assert agent.diagnostics["findings"] == () and agent.findings == {"saturated": 1999}
    head(agent, 3.0, 0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        steps(agent, 2000)
    assert agent.diagnostics["findings"] == ("saturated",)


@pytest.mark.parametrize(("factor", "grown"), [(3.0, False), (7.0, True)])
def test_a_td_error_is_compared_with_its_history(factor: float, grown: bool) -> None:
    agent = begun(made(gamma=0.0, scale_reward=False))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        steps(agent, 8000, lambda step: 1.0 if step < 6000 else factor)
    assert agent.findings == ({"td_error": 7999} if grown else {}) and len(caught) == grown
    assert agent.diagnostics["td_error_growth"] > 1.5


@pytest.mark.parametrize(("late", "grown"), [(1.8, False), (2.3, True)])
def test_a_td_error_is_compared_with_its_first_windows(late: float, grown: bool) -> None:
    """Rare rewards: |delta| is small between them, and what was usual is not what to compare with."""
    agent = begun(made(gamma=0.0, scale_reward=False))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LearnerWarning)
        steps(agent, 60_000, lambda step: 1.0 if step < 6000 else 0.1 if step < 58_000 else late)
    assert agent.findings == ({"td_error": 59_999} if grown else {})


def test_a_value_that_is_not_finite_is_found_at_once() -> None:
    agent = begun(made(scale_reward=False))
    steps(agent, 3)
    head(agent, 0.0, 0.0)
    (name,) = (name for name in agent.parameters if name.startswith("critic.head") and name.endswith("bias"))
    agent.core.set(name, np.full_like(agent.parameters[name], np.nan))
    with pytest.warns(LearnerWarning, match="a value of the learner is NaN or infinite"):
        steps(agent, 2)
    assert list(agent.findings) == ["not_finite"]


def test_discrete_actions_have_an_entropy() -> None:
    agent = begun(rtu.StreamAC(1, n_actions=3, actor={"step_size": 0.0}, **SMALL))
    head(agent, 12.0, 0.0, 0.0)
    with pytest.warns(LearnerWarning, match="hardly varies its actions"):
        steps(agent, 2000)
    assert list(agent.findings) == ["exploration_lost"] and "clipped_mean" not in agent.diagnostics


def test_every_way_to_step_is_watched() -> None:
    """step(), bound steps, run() and the native training loop."""

    def warned(use: Any, inputs: int = 1) -> None:
        agent = made(inputs)
        head(agent, 3.0, 0.0)
        with pytest.warns(LearnerWarning) as caught:
            use(agent)
        assert list(agent.findings) == ["saturated"] and caught[0].filename == __file__

    def whole(agent: rtu.StreamAC) -> None:
        agent.reset([0.0])
        for _ in range(2000):
            agent.step([0.5], 0.0)

    def bound(agent: rtu.StreamAC) -> None:
        x, u = np.zeros(1, np.float32), np.zeros(1, np.float32)
        agent.bind(x, u)
        agent.reset_bound()
        for _ in range(2000):
            agent.step_bound(0.0)

    warned(whole)
    warned(bound)
    warned(lambda agent: agent.run(np.zeros((2001, 1), np.float32), np.zeros(2001)))
    warned(lambda agent: agent.learn(rtu.Plant("cartpole"), 2100, progress=False, seed=0), 2)


def test_a_warning_as_an_error_ends_the_call_and_the_step_is_made() -> None:
    for use in ("step", "step_bound"):
        agent = made()
        head(agent, 3.0, 0.0)
        x = np.zeros(1, np.float32)
        agent.bind(x, np.zeros(1, np.float32))
        agent.reset([0.0])
        with warnings.catch_warnings():
            warnings.simplefilter("error", LearnerWarning)
            with pytest.raises(LearnerWarning):
                for _ in range(2000):
                    agent.step_bound(0.0) if use == "step_bound" else agent.step(x, 0.0)
        assert agent.steps_learned == 1999
        agent.step(x, 0.0)


def test_windows_are_no_part_of_the_state() -> None:
    """A copy and a pickle begin without findings, learn the same bits, and an agent without references is freed."""
    agent = begun(made())
    head(agent, 3.0, 0.0)
    with pytest.warns(LearnerWarning):
        steps(agent, 2500)
    for twin in (agent.copy(), copy.deepcopy(agent), pickle.loads(pickle.dumps(agent))):
        assert twin.findings == {} and twin.state_hash() == agent.state_hash()
        assert math.isnan(twin.diagnostics["clipped_mean"])
    freed = weakref.ref(agent)
    del agent
    assert freed() is None


def test_findings_in_one_line() -> None:
    assert summary_of({}) == "" and summary_of({"<b>": 3}) == ""
    assert summary_of({"td_error": 5, "saturated": 12000}) == (
        "learner monitor: saturated (first in update 12,000), td error (first in update 5)"
    )


def test_what_stands_twice_is_the_same() -> None:
    """The bits in C++, C and Python, and the bounds in the texts of the warnings."""
    core = Path("native/learners/monitor_windows.h").read_text()
    header = Path("native/bindings/c/rtu_edge.h").read_text()
    words = {"kFindingSaturated": 1, "kFindingExplorationLost": 2, "kFindingExplorationLarge": 4}
    words |= {"kFindingTdError": 8, "kFindingNonFinite": 16}
    assert {name: int(value) for name, value in re.findall(r"(kFinding[A-Z]\w*) = (\d+)[,;]", core)} == words
    assert [one.value for one in Finding] == list(words.values())
    for one in Finding:
        assert f"RTU_{one.name} = {one.value}" in header
    bounds = dict(re.findall(r"(k[A-Z]\w+) = ([\d.]+)", core))
    texts = {one: text for one, (text, _) in findings._TEXTS.items()}
    assert f"{100 * float(bounds['kClippedMost']):.0f} %" in texts[Finding.SATURATED]
    assert bounds["kSigmaLeast"] in texts[Finding.EXPLORATION_LOST]
    assert f"{100 * float(bounds['kEntropyLeast']):.0f} %" in texts[Finding.EXPLORATION_LOST]
    assert f"above {bounds['kSigmaMost']} " in texts[Finding.EXPLORATION_LARGE]
    assert f"over {bounds['kErrorGrowth']} times" in texts[Finding.TD_ERROR] and bounds["kWindowSteps"] == "1000"


SIGNALS: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "TDBank": (rtu.TDBank, {"gammas": (0.9, 0.95), "scale_cumulant": False}),
    "TDPredictor": (rtu.TDPredictor, {"scale_cumulant": False, "activation": "tanh"}),
    "OnlineRegressor": (rtu.OnlineRegressor, {"n_outputs": 1, "activation": "tanh"}),
}


@pytest.mark.parametrize("how", ["step", "run", "bound"])
@pytest.mark.parametrize(("optimizer", "size"), [("sgd", 1e18), ("adam", 1e25)])
@pytest.mark.parametrize("kind", SIGNALS)
def test_a_learner_without_a_policy_warns_once_when_a_value_is_not_finite(
    kind: str, optimizer: str, size: float, how: str
) -> None:
    """With sgd weights become NaN, which tanh hides from the predictions; with Adam second moments overflow, and the
    weights just stop."""
    made, settings = SIGNALS[kind]
    learner = made(3, units=8, optimizer=optimizer, **settings)
    x = np.random.default_rng(0).standard_normal((40, 3)).astype(np.float32)
    width = 2 if kind == "TDBank" else 1
    signal = (size * np.sin(np.arange(40.0 * width))).astype(np.float32).reshape(40, width)
    rows = signal[:, 0] if kind == "TDPredictor" else signal
    buffers = [np.zeros(3, np.float32)]
    if how == "bound":
        count = {"TDBank": 2, "TDPredictor": 0, "OnlineRegressor": 2}[kind]
        buffers += [np.zeros(width, np.float32) for _ in range(count)]
        learner.bind(*buffers)

    def learn() -> None:
        if how == "run":
            learner.run(x, rows)
            return
        for row, wanted in zip(x, rows, strict=True):
            if how == "step" and kind == "OnlineRegressor":
                learner.predict(row)
                learner.update(wanted)
            elif how == "step":
                learner.step(row, wanted)
            else:
                buffers[0][:] = row
                if kind != "TDPredictor":
                    buffers[1 if kind == "TDBank" else 2][:] = wanted
                learner.step_bound(*([float(wanted)] if kind == "TDPredictor" else []))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        learn()
        learn()
    (told,) = [one for one in caught if issubclass(one.category, LearnerWarning)]
    assert re.match(
        rf"{kind}, update \d+: a value of the learner is NaN or infinite\. .* start again; with", str(told.message)
    )
    assert told.filename == __file__
    with pytest.raises(rtu.CheckpointError, match="not finite"):
        learner.save("/dev/null")


@pytest.mark.parametrize("kind", SIGNALS)
def test_large_signals_that_a_learner_bears_are_no_finding(kind: str) -> None:
    """Bounded steps stay finite up to the end of the range; above 1e12 the whole state is checked in each step."""
    made, settings = SIGNALS[kind]
    learner = made(3, units=8, optimizer="obgd", **settings)
    x = np.random.default_rng(0).standard_normal((40, 3)).astype(np.float32)
    signal = np.full((40, 2 if kind == "TDBank" else 1), 1e15, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        learner.run(x, signal[:, 0] if kind == "TDPredictor" else signal)
