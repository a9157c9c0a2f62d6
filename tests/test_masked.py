"""Masked arrays, and truth values that are none: refused by name wherever a learner or a cell takes them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rtu_edge as rtu

D, K = 3, 4
ROW = np.ma.masked_array(np.ones(D, np.float32), mask=[False, True, False])
NO_MASK = np.ma.masked_array(np.ones(D, np.float32))  # a mask may be set on it at any time
ROWS = np.ma.masked_array(np.ones((K, D)), mask=np.eye(K, D, dtype=bool))
LISTED = [np.ones(D), ROW, np.ones(D), np.ones(D)]
ONE = np.ma.masked_array(np.ones(1, np.float32), mask=True)
SCALARS = np.ma.masked_array(np.ones(K), mask=True)
FLAGS = np.ma.masked_array(np.zeros(K, bool), mask=True)
REWARDS = np.ones(K)


def agent(**settings: Any) -> rtu.StreamAC:
    made = rtu.StreamAC(D, 1, units=4, hidden=4, **settings)
    made.reset(np.zeros(D))
    return made


def predicted() -> rtu.StreamAC:
    made = agent()
    made.predict(np.zeros(D))
    return made


def regressor() -> rtu.OnlineRegressor:
    made = rtu.OnlineRegressor(D, units=4)
    made.predict(np.zeros(D))
    return made


X, U, Y = np.ones(D, np.float32), np.ones(1, np.float32), np.ones(8, np.float32)
WEIGHTS = np.ma.masked_array(np.ones((4, D), np.float32), mask=True)

ENTRIES: dict[str, tuple[Callable[[], Any], Callable[[Any], object], str]] = {
    "reset": (agent, lambda a: a.reset(ROW), "observation"),
    "reset, deterministic": (agent, lambda a: a.reset(ROW, deterministic=True), "observation"),
    "step": (agent, lambda a: a.step(ROW, 1.0), "observation"),
    "step, no mask set": (agent, lambda a: a.step(NO_MASK, 1.0), "observation"),
    "step, float64": (agent, lambda a: a.step(ROW.astype(np.float64), 1.0), "observation"),
    "step, reward": (agent, lambda a: a.step(X, ONE), "reward"),
    "step, masked": (agent, lambda a: a.step(X, np.ma.masked), "reward"),
    "act": (agent, lambda a: a.act(ROW), "observation"),
    "predict": (agent, lambda a: a.predict(ROW), "observation"),
    "update, applied": (predicted, lambda a: a.update(1.0, applied=ONE), "applied"),
    "run, observations": (agent, lambda a: a.run(ROWS, REWARDS), "observations"),
    "run, rows": (agent, lambda a: a.run(LISTED, REWARDS), "observations"),
    "run, rewards": (agent, lambda a: a.run(np.ones((K, D)), SCALARS), "rewards"),
    "run, terminated": (agent, lambda a: a.run(np.ones((K, D)), REWARDS, FLAGS), "terminated"),
    "run, truncated": (agent, lambda a: a.run(np.ones((K, D)), REWARDS, None, FLAGS), "truncated"),
    "run, applied": (agent, lambda a: a.run(np.ones((K, D)), REWARDS, applied=SCALARS[:, np.newaxis]), "applied"),
    "bind, observation": (agent, lambda a: a.bind(ROW, U), "observation_buffer"),
    "bind, action": (agent, lambda a: a.bind(X, ONE), "action_buffer"),
    "parameters": (agent, lambda a: a.load_parameters({"body.cell.W1": WEIGHTS}), "body.cell.W1"),
    "predictor, step": (lambda: rtu.TDPredictor(D, units=4), lambda v: v.step(ROW, 1.0), "x"),
    "predictor, run": (lambda: rtu.TDPredictor(D, units=4), lambda v: v.run(ROWS, REWARDS), "x"),
    "predictor, bind": (lambda: rtu.TDPredictor(D, units=4), lambda v: v.bind(ROW), "x_buffer"),
    "regressor, predict": (lambda: rtu.OnlineRegressor(D, units=4), lambda m: m.predict(ROW), "x"),
    "regressor, update": (regressor, lambda m: m.update(ONE), "target"),
    "regressor, run": (
        lambda: rtu.OnlineRegressor(D, units=4),
        lambda m: m.run(np.ones((K, D)), SCALARS[:, np.newaxis]),
        "targets",
    ),
    "cell, step": (lambda: rtu.LinearRTU(D, 4), lambda c: c.step(ROW), "x"),
    "cell, gradient": (lambda: rtu.NonlinearRTU(D, 4), lambda c: c.gradient(np.ma.masked_array(Y)), "dL_dy"),
    "cell, input gradient": (lambda: rtu.LinearRTU(D, 4), lambda c: c.input_gradient(np.ma.masked_array(Y)), "dL_dy"),
    "cell, bind": (lambda: rtu.LinearRTU(D, 4), lambda c: c.bind(X, np.ma.masked_array(Y)), "y_buffer"),
    "cell, parameters": (lambda: rtu.LinearRTU(D, 4), lambda c: c.load_parameters({"W1": WEIGHTS}), "W1"),
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_masked_array_is_refused_by_name_and_nothing_changes(entry: str) -> None:
    make, call, name = ENTRIES[entry]
    learner = make()
    core = learner.core if hasattr(learner, "core") else learner._core
    before = core.arena()
    with warnings.catch_warnings(), pytest.raises(ValueError) as caught:
        warnings.simplefilter("error")
        call(learner)
    assert str(caught.value).startswith(name), str(caught.value)
    if entry not in ("step, reward", "step, masked"):
        assert "masked array" in str(caught.value)
    assert core.arena() == before


def test_subclasses_without_a_mask_and_plain_lists_are_taken() -> None:
    class Derived(np.ndarray):
        pass

    one, other = agent(), agent()
    assert (one.step(np.ones(D).view(Derived), 1.0) == other.step([1, 1.0, np.float32(1)], 1.0)).all()
    assert (one.run([np.ones(D)] * K, REWARDS) == other.run(np.ones((K, D)), REWARDS)).all()


@pytest.mark.parametrize("value", [True, np.True_, 1, np.array(True), np.bool_(False), 0])
def test_truth_values_are_taken_as_programs_have_them(value: Any) -> None:
    one, other, third = agent(), agent(), agent()
    one.step(X, 1.0, value, truncated=value)
    other.step(X, 1.0, bool(value), truncated=bool(value))
    bound(third)(1.0, value, truncated=value)
    assert one.state_hash() == other.state_hash() == third.state_hash()


def bound(learner: rtu.StreamAC) -> Any:
    learner.bind(np.array(X, np.float32), np.zeros(learner.config["action_size"], np.float32))
    return learner.step_bound


@pytest.mark.parametrize("value", [None, "False", 2, 0.5, np.array([True, False]), [], object(), np.ma.masked])
def test_what_is_no_truth_value_is_refused_by_name(value: Any) -> None:
    one = agent()
    before = one.state_hash()
    for call in (
        lambda: one.step(X, 1.0, value),
        lambda: one.step(X, 1.0, truncated=value),
        lambda: bound(one)(1.0, value),
        lambda: bound(one)(1.0, truncated=value),
    ):
        with pytest.raises(ValueError, match=r"^(terminated|truncated) = .*: expected True or False$"):
            call()
    assert one.state_hash() == before
    one.predict(X)
    with pytest.raises(ValueError, match=r"^truncated = "):
        one.update(1.0, truncated=value)
    one.update(1.0)
