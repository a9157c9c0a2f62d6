"""Hyper-parameters as numpy scalars, 0-d arrays and numpy types. A learner that can be created can be saved."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rtu_edge as rtu
from rtu_edge.learn import KINDS

INTEGERS = {
    "stream_ac": {"observation_size": 3, "action_size": 2, "units": 8, "units_per_pole": 2, "hidden": 4, "seed": 5},
    "td_predictor": {"observation_size": 3, "units": 8, "units_per_pole": 2, "hidden": 4, "seed": 5},
    "stream_q": {"observation_size": 3, "n_actions": 2, "units": 8, "epsilon_steps": 9, "seed": 5},
    "stream_sarsa": {"observation_size": 3, "n_actions": 2, "units": 8, "hidden": 4},
    "stream_qrc": {"observation_size": 3, "n_actions": 2, "units": 8, "hidden": 4},
    "td_bank": {"observation_size": 3, "units": 8, "units_per_pole": 2, "hidden": 4, "seed": 5},
    "online_regressor": {
        "observation_size": 3,
        "n_outputs": 2,
        "units": 8,
        "units_per_pole": 2,
        "hidden": 4,
        "seed": 5,
    },
}
# Numbers that float16 holds exactly, so that each type has the same value.
NUMBERS = {
    "stream_ac": {
        "gamma": 0.75, "trace_decay": 0.5, "entropy": 0.25, "r_min": 0.5, "r_max": 0.75, "max_phase": 2.0,
        "sparsity": 0.5, "sigma_floor": 0.125, "exploration_correlation": 0.5, "dt_s": 0.25,
    },
    "stream_q": {"gamma": 0.75, "trace_decay": 0.5, "epsilon_start": 0.5, "epsilon_end": 0.25, "kappa": 2.5},
    "stream_sarsa": {"r_max": 0.9375, "r_min": 0.5, "max_phase": 2.0, "step_size": 0.5},
    "stream_qrc": {"step_size": 0.5, "h_step_size": 0.25, "beta": 0.5},
    "td_predictor": {"gamma": 0.75, "trace_decay": 0.5, "step_size": 0.5, "kappa": 2.5, "r_min": 0.5, "max_phase": 2.0},
    "td_bank": {"trace_decay": 0.5, "step_size": 0.5, "kappa": 2.5, "r_min": 0.5, "max_phase": 2.0},
    "online_regressor": {"step_size": 0.5, "kappa": 2.5, "r_min": 0.5, "r_max": 0.75, "sparsity": 0.5},
}  # fmt: skip
SWITCHES = {
    "stream_ac": {"normalize_observation": False, "scale_reward": True, "recompute": False},
    "stream_q": {"previous_action": True, "previous_reward": False},
    "stream_sarsa": {"normalize_observation": False, "recompute": True},
    "stream_qrc": {"scale_reward": False, "previous_reward": True},
    "td_predictor": {"normalize_observation": True},
    "td_bank": {"normalize_observation": False, "scale_cumulant": False},
    "online_regressor": {"normalize_observation": True},
}
NAMES = {
    "stream_ac": {"cell": "linear", "activation": "relu", "body": "shared", "optimizer": "adam"},
    "stream_q": {"cell": "linear", "cut": "late", "optimizer": "adam"},
    "stream_sarsa": {"cell": "nonlinear", "activation": "relu"},
    "stream_qrc": {"cell": "linear", "cut": "late"},
    "td_predictor": {"cell": "linear", "activation": "tanh", "optimizer": "sgd"},
    "td_bank": {"cell": "linear", "activation": "relu", "optimizer": "obgd"},
    "online_regressor": {"cell": "linear", "activation": "identity", "optimizer": "obgd"},
}
AS_INTEGER = (int, np.int8, np.uint8, np.int16, np.uint32, np.int64, np.uint64, np.array, lambda x: np.array(x, "i2"))
AS_NUMBER = (float, np.float16, np.float32, np.float64, np.longdouble, np.array, lambda x: np.array(x, "f4"), Fraction)
AS_SWITCH = (bool, np.bool_, np.array, int)
AS_NAME = (str, np.str_)
AS_DTYPE = ("float32", np.str_("float32"), np.float32, np.dtype("float32"))


def plain(value: Any) -> bool:
    """Of the types that JSON knows, and none that is only derived from them."""
    if type(value) is dict:
        return all(type(key) is str and plain(item) for key, item in value.items())
    if type(value) is list:
        return all(map(plain, value))
    return value is None or type(value) in (int, float, str, bool)


@st.composite
def arguments(draw: st.DrawFn) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """A kind, its arguments as plain values, and the same as other types."""
    kind = draw(st.sampled_from(sorted(KINDS)))
    asked: dict[str, Any] = {}
    given_as: dict[str, Any] = {}
    for table, types in ((INTEGERS, AS_INTEGER), (NUMBERS, AS_NUMBER), (SWITCHES, AS_SWITCH), (NAMES, AS_NAME)):
        for name, value in table[kind].items():
            asked[name] = value
            given_as[name] = draw(st.sampled_from(types))(value)  # type: ignore[operator]
    if draw(st.booleans()):
        asked["hidden"], given_as["hidden"] = (4, 4), np.array([4, 4])
    if kind == "td_bank":
        asked["gammas"], given_as["gammas"] = (0.5, 0.75), np.array([0.5, 0.75], "f4")
    if kind == "stream_ac":
        asked["actor"], given_as["actor"] = {"step_size": 0.5}, {"step_size": draw(st.sampled_from(AS_NUMBER))(0.5)}
    given_as["dtype"] = draw(st.sampled_from(AS_DTYPE))
    return kind, asked, given_as


@settings(max_examples=60, deadline=None)
@given(made=arguments())
def test_a_learner_is_what_its_plain_arguments_make_it_and_can_be_saved(
    tmp_path_factory: pytest.TempPathFactory, made: tuple[str, dict[str, Any], dict[str, Any]]
) -> None:
    kind, asked, given_as = made
    learner, like = KINDS[kind](**given_as), KINDS[kind](**asked)
    assert plain(learner.config), learner.config
    assert learner.config == like.config
    assert learner.state_hash() == like.state_hash()
    assert json.loads(json.dumps(learner.config)) == learner.config
    path = tmp_path_factory.mktemp("saved") / "a.rtu"
    learner.save(path)
    assert rtu.load(path).state_hash() == learner.state_hash()


@pytest.mark.parametrize("dtype", ["float64", np.float64, np.dtype("float64"), float, np.str_("float64")])
def test_one_number_format_by_any_name(dtype: Any, tmp_path: Path) -> None:
    agent = rtu.StreamAC(2, 1, units=4, hidden=4, dtype=dtype)
    assert agent.config["dtype"] == "float64" and agent.dtype == np.float64
    agent.save(tmp_path / "a.rtu")
    assert rtu.load(tmp_path / "a.rtu").dtype == np.float64
    assert rtu.LinearRTU(2, 4, dtype=dtype).step(np.ones(2)).dtype == np.float64
    assert rtu.footprint(observation_size=2, action_size=1, dtype=dtype).sections[0][1] == "float64"


@pytest.mark.parametrize("cell", [rtu.LinearRTU, rtu.NonlinearRTU])
def test_a_cell_takes_them_too(cell: Any) -> None:
    made = cell(
        np.int64(3), np.array(8), r_min=np.float32(0.5), r_max=np.float64(0.75), dtype=np.float32, seed=np.uint64(1)
    )
    like = cell(3, 8, r_min=0.5, r_max=0.75, seed=1)
    assert made.step(np.ones(3, "f4")).tobytes() == like.step(np.ones(3, "f4")).tobytes()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("units", 16.0, "an integer from 1 to 65536"),
        ("units", np.float64(16), "an integer"),
        ("units", np.array([16]), "an integer"),
        ("units", np.bool_(True), "an integer"),
        ("units", np.ma.masked_array(16, mask=True), "an integer"),
        ("units", np.timedelta64(16, "s"), "an integer"),
        ("hidden", "32", "an integer"),
        ("hidden", np.array([[4, 4]]), "an integer"),
        ("gamma", np.array([0.9]), "a number from 0 to 1"),
        ("gamma", np.complex128(0.5), "a number"),
        ("gamma", b"0.5", "a number"),
        ("gamma", np.bool_(True), "a number"),
        ("gamma", np.float32("nan"), "a number"),
        ("gamma", np.ma.masked, "a number"),
        ("seed", np.int64(-1), "an integer from 0"),
        ("scale_reward", "false", "True or False"),
        ("scale_reward", np.array([True, False]), "True or False"),
        ("scale_reward", 0.0, "True or False"),
        ("recompute", None, "True or False"),
        ("dtype", np.float16, "one of float32, float64"),
        ("dtype", int, "one of float32, float64"),
        ("dtype", np.dtype("int32"), "one of float32, float64"),
        ("cell", np.str_("lineer"), "did you mean 'linear'"),
    ],
)  # fmt: skip
def test_what_is_no_such_value_is_refused_by_name(name: str, value: Any, words: str) -> None:
    with pytest.raises(rtu.ConfigError, match=words) as refused:
        rtu.StreamAC(observation_size=2, action_size=1, **{name: value})
    assert str(refused.value).startswith(f"{name} = ")


@pytest.mark.hazard("checkpoint-not-loadable")
def test_nothing_is_made_that_cannot_be_saved() -> None:
    """A user's class whose argument is not converted: refused at construction, not after hours."""

    class Mine(rtu.OnlineRegressor):
        def _start(self, native: type, native_config: Any, arguments: Any) -> None:
            super()._start(native, native_config, {**arguments, "mine": np.float32(1)})

    with pytest.raises(rtu.ConfigError, match="no checkpoint can hold"):
        Mine(2)
