"""copy(), copy.copy(), copy.deepcopy(), pickle and repr of learners and cells."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rtu_edge as rtu

D = 3


def inputs(seed: int, n: int = 40) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, D))


def drive(learner: Any, seed: int) -> list[Any]:
    """Outputs of some steps, whatever the learner."""
    rows = inputs(seed)
    if isinstance(learner, rtu.StreamAC):
        return [np.asarray(learner.step(x, x[0])).tolist() for x in rows]
    if isinstance(learner, rtu.TDPredictor):
        return [learner.step(x, x[0]) for x in rows]
    if isinstance(learner, rtu.TDBank):
        return [learner.step(x, x[:2]).tolist() for x in rows]
    if isinstance(learner, rtu.OnlineRegressor):
        return [(learner.predict(x).tolist(), learner.update([x[0]])) for x in rows]
    return [learner.step(x).tolist() for x in rows]


def state(learner: Any) -> Any:
    return learner.core.arena() if hasattr(learner, "core") else learner._core.arena()


class Derived(rtu.StreamAC):
    """Another constructor, an attribute of its own."""

    def __init__(self, name: str) -> None:
        super().__init__(observation_size=D, action_size=1, units=8, seed=4)
        self.name, self.notes = name, ["a"]


MAKE: dict[str, Callable[[], Any]] = {
    "continuous": lambda: rtu.StreamAC(D, 2, units=8, seed=1),
    "discrete": lambda: rtu.StreamAC(D, n_actions=3, units=8, seed=1, body="shared", recompute=True),
    "adam": lambda: rtu.StreamAC(D, 1, units=8, seed=1, optimizer="adam", dtype="float64"),
    "derived": lambda: Derived("robot"),
    "predictor": lambda: rtu.TDPredictor(D, units=8, seed=1),
    "bank": lambda: rtu.TDBank(D, (0.5, 0.9), units=8, hidden=4, seed=1),
    "regressor": lambda: rtu.OnlineRegressor(D, units=8, seed=1),
    "linear": lambda: rtu.LinearRTU(D, 8, seed=1),
    "nonlinear": lambda: rtu.NonlinearRTU(D, 8, dtype="float64", seed=1),
}
WAYS: dict[str, Callable[[Any], Any]] = {
    "copy()": lambda learner: learner.copy(),
    "copy.copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda learner: pickle.loads(pickle.dumps(learner)),
}


def made(name: str) -> Any:
    learner = MAKE[name]()
    if isinstance(learner, rtu.StreamAC):
        learner.reset(inputs(0)[0])
    drive(learner, 2)
    return learner


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", MAKE)
def test_a_copy_is_independent_and_goes_on_to_the_same_bits(name: str, way: str) -> None:
    learner = made(name)
    before = state(learner)
    twin = WAYS[way](learner)
    assert type(twin) is type(learner) and repr(twin) == repr(learner)
    assert {key: value.tolist() for key, value in twin.parameters.items()} == {
        key: value.tolist() for key, value in learner.parameters.items()
    }
    ahead = drive(twin, 5)
    assert state(learner) == before, "the original has moved with its copy"
    assert drive(learner, 5) == ahead
    if hasattr(learner, "state_hash"):
        assert twin.state_hash() == learner.state_hash() and twin.config == learner.config
    else:
        cotangent = np.ones(16)
        for key, value in learner.gradient(cotangent).items():
            assert (twin.gradient(cotangent)[key] == value).all()


@pytest.mark.parametrize("way", WAYS)
def test_between_predict_and_update(way: str) -> None:
    agent = made("continuous")
    agent.predict(inputs(3)[0])
    twin = WAYS[way](agent)
    for one in (agent, twin):
        one.update(0.5)
    assert drive(agent, 6) == drive(twin, 6)


def test_attributes_of_ones_own_follow_and_bindings_do_not() -> None:
    agent = made("derived")
    agent.bind(np.zeros(D, np.float32), np.zeros(1, np.float32))
    for way, make in WAYS.items():
        twin = make(agent)
        assert twin.name == "robot" and twin.notes == ["a"], way
        assert (twin.notes is agent.notes) == (way in ("copy()", "copy.copy")), way
        with pytest.raises(RuntimeError, match="bind"):
            twin.step_bound(0.0)
    agent.step_bound(0.0)
    holder = {"agent": agent, "again": agent}
    twins = copy.deepcopy(holder)
    assert twins["agent"] is twins["again"] is not agent


def test_a_pickle_carries_a_checkpoint_and_opens_in_another_process(tmp_path: Any) -> None:
    agent = made("continuous")
    data = pickle.dumps(agent)
    agent.save(tmp_path / "agent.rtu")
    assert (tmp_path / "agent.rtu").read_bytes() in data
    (tmp_path / "agent.pickle").write_bytes(data)
    code = f"import pickle; print(pickle.load(open({str(tmp_path / 'agent.pickle')!r}, 'rb')).state_hash())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == agent.state_hash()


def test_a_learner_that_is_not_finite_is_copied_but_not_pickled() -> None:
    agent = made("continuous")
    name = next(name for name in agent.state if name.endswith("W1"))
    agent.core.set(name, np.full_like(agent.core.get(name), np.nan))
    assert copy.deepcopy(agent).core.arena() == agent.core.arena()
    with pytest.raises(rtu.CheckpointError, match=rf"^pickle: .*{name} holds a value that is not finite"):
        pickle.dumps(agent)
    cell = made("linear")
    cell._core.set("W1", np.full((8, D), np.inf, np.float32))
    with pytest.raises(rtu.CheckpointError, match="W1 holds a value that is not finite"):
        pickle.dumps(cell)


def test_repr_names_sizes_seed_and_steps() -> None:
    agent = rtu.StreamAC(2, n_actions=3, units=8, seed=7, gamma=0.9, actor={"kappa": 4.0})
    shown = (
        "StreamAC(observation_size=2, n_actions=3, units=8, hidden=(32,), gamma=0.9, "
        "actor={'step_size': 1.0, 'kappa': 4.0}, seed=7): 0 steps learned, "
    )
    assert repr(agent).startswith(shown) and repr(agent).endswith(f"{agent.nbytes:,} bytes")
    agent.run(np.zeros((1301, 2)), np.zeros(1301))
    assert "): 1,300 steps learned, " in repr(agent) and agent.steps_learned == 1300
    assert repr(rtu.TDPredictor(3, seed=2)).startswith(
        "TDPredictor(observation_size=3, units=64, hidden=(), seed=2): 0"
    )
    assert repr(made("regressor")).split("): ")[1].startswith("40 steps learned, ")
    cell = repr(rtu.LinearRTU(3, 5, seed=9))
    assert cell.startswith("LinearRTU(observation_size=3, n_units=5, seed=9): 10 outputs, ")
    small = rtu.footprint(observation_size=2, action_size=1)
    assert repr(small) == f"Footprint(stream_ac: {small.nbytes:,} bytes, {small.flops_per_step:,} operations per step)"
    with rtu.SimulatedDevice("servo") as device:
        assert repr(device) == f"SimulatedDevice('servo'): {device.port}, pid {device.pid}"
    assert repr(device) == f"SimulatedDevice('servo'): {device.port}, ended"
    assert repr(rtu.Plant("servo", max_steps=0)) == "Plant('servo', max_steps=0): theta, target -> voltage; 100 Hz"
