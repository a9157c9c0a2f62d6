"""Weights and learners from elsewhere: arrays, statistics, and exported policies with their learner inside."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import rtu_edge as rtu
from rtu_edge._base.errors import ConfigError
from rtu_edge.device.plants import Plant
from rtu_edge.learn.onnx import export_onnx, import_onnx
from rtu_edge.learn.onnx.learner import KEY

SETTINGS: list[dict[str, Any]] = [
    {},
    {"body": "separate", "optimizer": "adam", "encoder": (6,), "cell": "lru"},
    {"n_actions": 3, "cell": "elstm", "dtype": "float64"},
    {"cell": "nonlinear", "optimizer": "intentional"},
]


def learned(steps: int = 1500, **settings: Any) -> rtu.StreamAC:
    """An agent that has learned, at an episode's start."""
    agent = rtu.StreamAC.from_env(Plant("cartpole"), units=8, hidden=8, seed=3, **settings)
    agent.learn(Plant("cartpole"), steps, progress=False, seed=0)
    agent.begin()
    return agent


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_arrays_and_normaliser_make_the_same_policy(settings: dict[str, Any]) -> None:
    agent = learned(**settings)
    other = rtu.StreamAC.from_env(Plant("cartpole"), units=8, hidden=8, seed=9, **settings)
    other.load_parameters({name: value.tolist() for name, value in agent.parameters.items()}, strict=True)
    other.load_normalizer(agent.normalizer)
    other.begin()
    x = 0.2 * np.random.default_rng(0).standard_normal((50, 2))
    assert all(np.array_equal(agent.act(row), other.act(row)) for row in x)
    assert other.reward_scale == pytest.approx(agent.reward_scale, rel=1e-6) and agent.reward_scale < 0.5
    assert all(np.allclose(agent.normalizer[key], value, rtol=1e-6) for key, value in other.normalizer.items())


def test_the_documented_layout_is_that_of_the_cell() -> None:
    """docs/import.md in numpy: rows are outputs, h1 and h2 the real and imaginary parts."""
    agent = rtu.StreamAC(2, 1, units=3, hidden=4, dtype="float64", sparsity=0.0, normalize_observation=False, seed=2)
    w = agent.parameters
    r, theta = np.exp(-np.exp(w["body.cell.nu_log"])), np.exp(w["body.cell.theta_log"])
    pole, gam, h = r * np.exp(1j * theta), np.sqrt(1.0 - r**2) + 1e-8, np.zeros(3, complex)
    for x in np.random.default_rng(1).standard_normal((6, 2)):
        h = pole * h + gam * (w["body.cell.W1"] @ x + 1j * (w["body.cell.W2"] @ x))
        a = w["body.layer0.weight"] @ np.tanh(np.concatenate([h.real, h.imag])) + w["body.layer0.bias"]
        a = (a - a.mean()) / np.sqrt(a.var() + 1e-5)
        mu, _ = w["actor.head.weight"] @ np.where(a > 0, a, 0.01 * a) + w["actor.head.bias"]
        assert agent.act(x)[0] == pytest.approx(np.clip(mu, -1.0, 1.0), abs=1e-12)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"actor.head.wight": [1.0]}, "actor.head.wight: unknown parameter"),
        ({"actor.head.bias": [1.0]}, r"actor.head.bias: expected shape \(2,\), got \(1,\)"),
        ({"actor.head.bias": [1.0, np.inf]}, "actor.head.bias: expected finite numbers"),
        ({"actor.head.bias": ["a", "b"]}, "actor.head.bias: expected real numbers"),
        ({"actor.head.bias": [[1.0], [1.0, 2.0]]}, "actor.head.bias: setting an array element"),
        ({}, "body.cell.nu_log: missing; strict=True"),
    ],
    ids=str,
)
def test_wrong_weights_are_named_and_change_nothing(change: dict[str, Any], words: str) -> None:
    agent = rtu.StreamAC(2, 1, units=4, hidden=4)
    before = agent.state_hash()
    with pytest.raises(ConfigError, match=words):
        agent.load_parameters({"critic.head.bias": [0.5], **change}, strict=True)
    assert agent.state_hash() == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"count": 1}, "count = 1: expected an integer from 2"),
        ({"mean": [0.0]}, r"mean: expected shape \(2,\)"),
        ({"variance": [1.0, -1.0]}, "variance = -1: expected 0 or more"),
        ({"variance": [1.0, np.nan]}, "variance: expected finite numbers"),
        ({"variance": [1.0, 1e37]}, "variance: too large for float32 with count = 100"),
        ({"mean": [0.0, 1e39]}, "mean: too large for float32"),
        ({"scale": [9.0, 1.0]}, "scale: expected from 0 to"),
        ({"deviation": [1.0, 1.0]}, "deviation: unknown"),
        ({"return_mean": 1.0, "return_count": 5}, "return_variance: missing; expected return_mean, return_variance"),
        ({"return_mean": 1.0, "return_variance": -1.0, "return_count": 5}, "return_variance = -1.0: expected a number"),
        ({"return_mean": 1.0, "return_variance": 1.0, "return_count": 0.5}, "return_count = 0.5: expected an integer"),
        ({"return_mean": 1e39, "return_variance": 1.0, "return_count": 5}, "return_mean = 1e.39: expected a number"),
    ],
    ids=str,
)
def test_wrong_statistics_are_named_and_change_nothing(change: dict[str, Any], words: str) -> None:
    agent = rtu.StreamAC(2, 1, units=4, hidden=4)
    before = agent.state_hash()
    with pytest.raises(ConfigError, match=words):
        agent.load_normalizer({"mean": [0.0, 1.0], "variance": [1.0, 4.0], "count": 100, **change})
    with pytest.raises(ConfigError, match="count: missing"):
        agent.load_normalizer({"mean": [0.0, 1.0], "variance": [1.0, 4.0]})
    assert agent.state_hash() == before


def test_what_is_no_mapping_is_named_and_changes_nothing() -> None:
    agent: Any = rtu.StreamAC(2, 1, units=4, hidden=4)
    before = agent.state_hash()
    for load in (agent.load_parameters, agent.load_normalizer):
        with pytest.raises(ConfigError, match="such as a dict, got list"):
            load([1.0])
    assert agent.state_hash() == before


@pytest.mark.parametrize("form", [{"sequence": True}, {"batch": 2}], ids=str)
def test_a_learner_is_not_exported_in_a_form_that_cannot_be_imported(form: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="learner = True: import_onnx"):
        export_onnx(rtu.StreamAC(2, 1, units=4, hidden=4), tmp_path / "policy.onnx", learner=True, **form)


def test_statistics_without_scale_are_of_channels_that_moved_from_the_first_sample() -> None:
    agent = rtu.StreamAC(2, 1, units=4, hidden=4)
    agent.load_normalizer({"mean": [1.0, 2.0], "variance": [4.0, 0.0], "count": 1000})
    found = agent.normalizer
    assert found["count"] == 1000 and np.allclose(found["scale"], [0.5, 0.0]) and np.allclose(found["mean"], [1.0, 2.0])
    assert found["return_count"] == 0 and agent.reward_scale == pytest.approx(1.0)
    unscaled = rtu.StreamAC(2, 1, units=4, hidden=4, scale_reward=False)
    assert set(unscaled.normalizer) == {"mean", "variance", "scale", "count"}
    with pytest.raises(ConfigError, match="return_mean: unknown"):
        unscaled.load_normalizer(found)


@pytest.mark.parametrize("settings", SETTINGS[:3], ids=str)
def test_a_learner_from_onnx_learns_on_as_the_original(settings: dict[str, Any], tmp_path: Path) -> None:
    """The goal is 5 % of the return over the next steps; from an episode's start it is the same to the bit."""
    agent, path = learned(**settings), tmp_path / "policy.onnx"
    export_onnx(agent, path, learner=True)
    other = import_onnx(path)
    assert other.state_hash() == agent.state_hash()
    one, two = (each.learn(Plant("cartpole"), 2000, progress=False, seed=7) for each in (agent, other))
    assert sum(two.returns) == pytest.approx(sum(one.returns), rel=0.05) and one.returns == two.returns


def test_weights_that_were_changed_in_the_graph_are_taken_from_there(tmp_path: Path) -> None:
    agent, path = learned(), tmp_path / "policy.onnx"
    export_onnx(agent, path, learner=True)
    model = onnx.load(path)
    for item in model.graph.initializer:
        if item.name == "body.layer0.weight":
            item.CopyFrom(onnx.numpy_helper.from_array(2.0 * onnx.numpy_helper.to_array(item), item.name))
    onnx.save(model, path)
    found, own = import_onnx(path).parameters, agent.parameters
    assert [name for name in own if not np.array_equal(own[name], found[name])] == ["body.layer0.weight"]
    np.testing.assert_array_equal(found["body.layer0.weight"], 2.0 * own["body.layer0.weight"])


def test_files_without_a_learner_or_with_a_damaged_one_are_refused(tmp_path: Path) -> None:
    agent, path = rtu.StreamAC(2, 1, units=4, hidden=4), tmp_path / "policy.onnx"
    export_onnx(agent, path)
    with pytest.raises(ConfigError, match=r"policy alone.*learner=True"):
        import_onnx(path)
    export_onnx(agent, path, learner=True)
    model = onnx.load(path)
    text = next(item for item in model.metadata_props if item.key == KEY)
    whole = text.value
    data = bytearray(base64.b64decode(whole))
    data[len(data) // 2] ^= 1
    for damaged, kind in ((whole[:-5] + "!", ValueError), (base64.b64encode(data).decode(), rtu.CheckpointError)):
        text.value = damaged
        onnx.save(model, path)
        with pytest.raises(kind, match="damaged"):
            import_onnx(path)
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="not a policy"):
        import_onnx(path)
    q = rtu.StreamQ(2, 3, units=4, hidden=4)
    export_onnx(q, path, learner=True)
    assert import_onnx(path).state_hash() == q.state_hash()
