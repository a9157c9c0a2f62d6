"""Export of real agents: every kind, trained a little, against the native policy; the documentation's code."""

from __future__ import annotations

import re
from pathlib import Path

import gymnasium
import numpy as np
import pytest

import rtu_edge as rtu
from rtu_edge.device.plants import Plant
from rtu_edge.learn.onnx import OnnxPolicy, drive
from rtu_edge.learn.onnx.verify import Evaluation, observations_like

ROOT = Path(__file__).resolve().parent.parent
# required: 1e-5 of the action range over 1000 steps
TOLERANCE = 1e-5


def trained(
    steps: int = 1500,
    actions: str | int = "unit",
    env: str = "rtu_edge.envs:rtu_edge/CartPolePosition-v0",
    **kwargs,
):
    environment = gymnasium.make(env, actions=actions)
    agent = rtu.StreamAC.from_env(environment, **{"units": 8, "hidden": 8, "seed": 1, **kwargs})
    agent.learn(environment, steps, progress=False, seed=2)
    return agent


@pytest.mark.parametrize("body", ["separate", "shared"])
@pytest.mark.parametrize("actions", ["unit", 2, 5])
@pytest.mark.parametrize(
    "kwargs",
    [
        {"cell": "linear"},
        {"cell": "linear", "activation": "tanh", "hidden": (8, 5)},
        {"cell": "linear", "units": 9, "hidden": ()},
        {"cell": "nonlinear", "activation": "tanh"},
        {"cell": "nonlinear", "activation": "identity"},
        {"cell": "none"},
        {"normalize_observation": False},
        {"dtype": "float64"},
        {"units": 32, "hidden": 32, "r_max": 0.9999},
    ],
    ids=str,
)
def test_exported_policy_is_the_agents(kwargs, actions, body, tmp_path):
    agent = trained(actions=actions, body=body, **kwargs)
    before = agent.state_hash()
    rtu.export_onnx(agent, tmp_path / "policy.onnx")
    difference = rtu.verify_onnx(tmp_path / "policy.onnx", agent, steps=1000)
    # Indices are equal; these runs have no two logits within rounding of each other.
    assert difference <= (TOLERANCE if actions == "unit" else 0.0)
    assert agent.state_hash() == before


@pytest.mark.parametrize(
    "kwargs",
    [
        {"units": 12, "units_per_pole": 4},
        {"cell": "mingru", "actions": 3},
        {"cell": "mingru", "body": "shared", "previous_action": True},
        {"cell": "elstm", "previous_reward": True},
        {"cell": "lru", "activation": "identity", "units": 12, "units_per_pole": 4},
        {"encoder": (6, 5), "body": "shared", "previous_reward": True},
        {"encoder": 5, "cell": "mingru", "actions": 3},
        {"encoder": 5, "cell": "lru", "body": "separate"},
    ],
    ids=str,
)
def test_other_cells(kwargs, tmp_path):
    agent = trained(**kwargs)
    rtu.export_onnx(agent, tmp_path / "policy.onnx")
    assert rtu.verify_onnx(tmp_path / "policy.onnx", agent) <= TOLERANCE


def test_checkpoint_exports_the_same_file(tmp_path):
    agent = trained(dt_s=0.02)
    agent.save(tmp_path / "agent.ckpt")
    rtu.export_onnx(agent, tmp_path / "a.onnx")
    rtu.export_onnx(rtu.load(tmp_path / "agent.ckpt"), tmp_path / "b.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    assert OnnxPolicy(tmp_path / "a.onnx").dt_s == 0.02


def test_more_learning_is_another_policy(tmp_path):
    environment = gymnasium.make("rtu_edge.envs:rtu_edge/ServoPosition-v0")
    agent = rtu.StreamAC.from_env(environment, units=8, hidden=8, seed=1)
    agent.learn(environment, 500, progress=False, seed=0)
    rtu.export_onnx(agent, tmp_path / "policy.onnx")
    agent.learn(environment, 500, progress=False, seed=1)
    assert rtu.verify_onnx(tmp_path / "policy.onnx", agent, steps=100) > 1e-3


def test_drives_the_plant_while_the_agent_follows(tmp_path):
    agent = trained(steps=3000)
    rtu.export_onnx(agent, tmp_path / "policy.onnx")
    driven = drive(OnnxPolicy(tmp_path / "policy.onnx"), Plant("cartpole"), 1000, follower=Evaluation(agent))
    assert driven.steps == 1000
    assert driven.largest_difference <= TOLERANCE


def test_observations_are_of_the_agents_kind():
    agent = trained()
    xs = observations_like(agent, 2000)
    mean, deviation = agent.normalizer["mean"], np.sqrt(agent.normalizer["variance"])
    assert xs.shape == (2000, 2)
    assert np.abs((xs - mean) / deviation).max() <= 3.001
    assert np.array_equal(xs, observations_like(agent, 2000))
    assert (xs.std(axis=0) / deviation) == pytest.approx([1.0, 1.0], abs=0.15)


def test_predictors_have_no_policy(tmp_path):
    with pytest.raises(ValueError, match="'td_predictor' has no policy"):
        rtu.export_onnx(rtu.TDPredictor(observation_size=2, units=4), tmp_path / "policy.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("page", ["plants.md", "export.md"])
def test_code_of_the_documentation_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / page).read_text(encoding="utf-8"), re.M | re.S)
    assert len(blocks) >= 2
    for block in blocks:
        exec(compile(block, page, "exec"), names)
