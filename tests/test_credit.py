"""`credit`: what the recurrent parameters learn from, on every cell, against finite differences and by its effects.

The comparison with the oracles is in test_learners.py. Here the gradient is read from one SGD step of OnlineRegressor
in float64. Finite differences of a step of 1e-6 have an error of some 1e-10 of the loss (rounding 1e-16 / 1e-6,
curvature 1e-12); the limit is 1e-7 of a tensor's largest entry. The gradients of rtrl and tbptt1 differ by a tenth and
more.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rtu_edge as rtu
from rtu_edge.learn import checkpoint

EPS, TOLERANCE, ROUNDING, STEPS = 1e-6, 1e-7, 5e-10, 15
CELLS: dict[str, dict[str, Any]] = {
    "linear": {"cell": "linear"},
    "linear, shared poles": {"cell": "linear", "units_per_pole": 2},
    "nonlinear": {"cell": "nonlinear"},
    "mingru": {"cell": "mingru"},
    "elstm": {"cell": "elstm"},
    "lru": {"cell": "lru"},
    "lru, shared poles": {"cell": "lru", "units_per_pole": 2},
}
KINDS = ("linear", "nonlinear", "mingru", "lru", "elstm")
LEARNERS: dict[str, Any] = {
    "stream_ac": lambda **more: rtu.StreamAC(3, 1, units=6, hidden=4, seed=1, **more),
    "stream_ac, shared": lambda **more: rtu.StreamAC(3, 1, units=6, hidden=4, body="shared", seed=1, **more),
    "stream_q": lambda **more: rtu.StreamQ(3, 2, units=6, hidden=4, seed=1, **more),
    "stream_qrc": lambda **more: rtu.StreamQRC(3, 2, units=6, hidden=4, seed=1, h_step_size=1e-2, **more),
    "td_predictor": lambda **more: rtu.TDPredictor(3, units=6, seed=1, **more),
    "online_regressor": lambda **more: rtu.OnlineRegressor(3, 1, units=6, seed=1, **more),
}


def model_of(cell: str, credit: str) -> rtu.OnlineRegressor:
    return rtu.OnlineRegressor(
        3, 2, units=4, hidden=5, activation="tanh", optimizer="sgd", step_size=1.0, sparsity=0.0, r_min=0.9, seed=7,
        credit=credit, dtype="float64", **CELLS[cell],
    )  # fmt: skip


def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(8)
    return rng.standard_normal((STEPS, 3)), rng.standard_normal(2)


def follow(model: rtu.OnlineRegressor, x: np.ndarray) -> None:
    for row in x:
        model.predict(row)
        model.update(None)


def loss(model: rtu.OnlineRegressor, x: np.ndarray, target: np.ndarray) -> float:
    return float(0.5 * ((target - model.predict(x)) ** 2).sum())


def differences(cell: str, *, whole: bool) -> dict[str, np.ndarray]:
    """Central differences of the last step's loss: of all steps since the start, or of the last one alone."""
    x, target = data()
    before = model_of(cell, "rtrl")
    own = before.parameters
    if not whole:
        follow(before, x[:-1])
    found = {}
    for name, value in own.items():
        gradient = np.zeros(value.size)
        for i in range(value.size):
            ends = []
            for side in (EPS, -EPS):
                moved = value.copy()
                moved.flat[i] += side
                twin = before.copy()
                twin.load_parameters({name: moved})
                if whole:
                    follow(twin, x[:-1])
                ends.append(loss(twin, x[-1], target))
            gradient[i] = (ends[0] - ends[1]) / (2 * EPS)
        found[name] = gradient.reshape(value.shape)
    return found


def learned(cell: str, credit: str) -> dict[str, np.ndarray]:
    x, target = data()
    model = model_of(cell, credit)
    follow(model, x[:-1])
    before = model.parameters
    model.predict(x[-1])
    model.update(target)
    return {name: before[name] - value for name, value in model.parameters.items()}


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("credit", "whole"), [("rtrl", True), ("tbptt1", False)])
def test_the_gradient_is_that_of_finite_differences(cell: str, credit: str, whole: bool) -> None:
    wanted, found = differences(cell, whole=whole), learned(cell, credit)
    for name, gradient in wanted.items():
        assert np.abs(found[name] - gradient).max() <= TOLERANCE * np.abs(gradient).max() + ROUNDING, name
    other = learned(cell, "tbptt1" if credit == "rtrl" else "rtrl")
    for name in (name for name in wanted if ".cell." in name):  # the test tells the two apart
        gradient = wanted[name]
        assert np.abs(other[name] - gradient).max() > 0.01 * np.abs(gradient).max(), name


@pytest.mark.parametrize("cell", CELLS)
def test_a_frozen_cell_changes_nothing_else(cell: str) -> None:
    """The other parameters take the step of rtrl; the cell's do not move."""
    frozen, moving = learned(cell, "frozen"), learned(cell, "rtrl")
    for name, step in frozen.items():
        if ".cell." in name:
            assert not step.any() and moving[name].any(), name
        else:
            np.testing.assert_array_equal(step, moving[name], err_msg=name)


def run(learner: Any, rows: int = 60, seed: int = 0) -> None:
    """Steps of any learner; rows of NumPy's generator."""
    rng = np.random.default_rng(seed)
    for t in range(rows):
        x, number = rng.standard_normal(3), float(rng.standard_normal())
        if hasattr(learner, "act"):
            learner.reset(x) if t % 20 == 0 else learner.step(x, number, truncated=t % 20 == 19)
        elif learner.kind == "td_predictor":
            learner.step(x, number)
        else:
            learner.predict(x)
            learner.update([number])


@pytest.mark.parametrize("cell", KINDS)
@pytest.mark.parametrize("kind", LEARNERS)
def test_a_frozen_learner_keeps_its_cell_and_needs_less_memory(kind: str, cell: str) -> None:
    learner, whole = (LEARNERS[kind](credit=credit, cell=cell) for credit in ("frozen", "rtrl"))
    start = learner.parameters
    run(learner)
    for name, value in learner.parameters.items():
        assert np.array_equal(value, start[name]) == (".cell." in name), name
    assert learner.nbytes < whole.nbytes
    flops = [rtu.footprint(each.config).flops for each in (learner, whole)]
    assert flops[0]["traces"] == 0 < flops[1]["traces"] and flops[0]["update"] < flops[1]["update"]
    assert not [name for name, *_ in learner.sections if ".trace." in name or ".cell.z0." in name]


@pytest.mark.parametrize("credit", ["rtrl", "tbptt1", "frozen"])
@pytest.mark.parametrize("cell", [*KINDS, "none"])
@pytest.mark.parametrize("kind", LEARNERS)
def test_a_checkpoint_resumes_to_the_bit(kind: str, cell: str, credit: str, tmp_path: Path) -> None:
    learner = LEARNERS[kind](credit=credit, cell=cell)
    run(learner, 47)
    learner.save(tmp_path / "a.rtu")
    twin = rtu.load(tmp_path / "a.rtu")
    assert twin.config["credit"] == credit
    run(learner, 60, 1)
    run(twin, 60, 1)
    assert learner.state_hash() == twin.state_hash()
    if cell == "none":
        other = LEARNERS[kind](cell="none")
        run(other, 47)
        run(other, 60, 1)
        assert other.state_hash() == learner.state_hash(), "without a cell, credit has no effect"


def test_a_configuration_without_credit_is_exact() -> None:
    """What a checkpoint of an earlier version holds."""
    old = {key: value for key, value in rtu.StreamAC(2, 1).config.items() if key != "credit"}
    assert rtu.StreamAC._made(checkpoint.complete(old)).config["credit"] == "rtrl"


def test_another_name_is_refused() -> None:
    with pytest.raises(rtu.ConfigError, match="credit = 'bptt': expected one of"):
        rtu.StreamAC(2, 1, credit="bptt")


CELL_FILES = sorted(path.stem for path in (Path(__file__).parent / "golden" / "cells").glob("*.rtu"))


@pytest.mark.arm
@pytest.mark.parametrize("name", CELL_FILES)
def test_a_golden_learner_goes_on_as_it_did(name: str) -> None:
    """tests/golden/cells: 60 steps after the checkpoint. Other instruction sets than the writer's round sums otherwise:
    3e-7 was measured in float32; in float64 the code is the writer's."""
    folder = Path(__file__).parent / "golden" / "cells"
    agent = rtu.load(folder / f"{name}.rtu")
    with np.load(folder / "after.npz") as file:
        x, rewards, wanted = file["observations"][80:], file["rewards"][80:], file[name]
    dtype = name.rsplit("-", 1)[1]
    found = agent.run(x.astype(dtype), rewards)
    assert np.abs(found - wanted).max() < {"float32": 1e-5, "float64": 1e-12}[dtype]


def test_there_is_a_golden_learner_of_each_cell_and_credit() -> None:
    assert len(CELL_FILES) == 3 * 3 * 2


RULES = Path(__file__).parent / "golden" / "rules"
RULE_FILES = sorted(path.stem for path in RULES.glob("*.rtu"))


@pytest.mark.arm
@pytest.mark.parametrize("name", RULE_FILES)
def test_a_golden_learner_of_each_rule_and_encoder_goes_on_as_it_did(name: str) -> None:
    """tests/golden/rules, from x86-64 and from aarch64, both read on both."""
    writer, _, learner = name.partition("-")
    agent = rtu.load(RULES / f"{name}.rtu")
    with np.load(RULES / f"{writer}.npz") as file:
        x, rewards, wanted = file["observations"][80:], file["rewards"][80:], file[learner]
    dtype = name.rsplit("-", 1)[1]
    found = agent.run(x.astype(dtype), rewards)
    assert np.abs(found - wanted).max() < {"float32": 2e-5, "float64": 1e-11}[dtype]


def test_there_is_a_golden_learner_of_each_rule_on_both_computers() -> None:
    assert len(RULE_FILES) == 2 * 9 * 2
    configs = [checkpoint.read_config((RULES / f"{name}.rtu").read_bytes(), name) for name in RULE_FILES]
    found = {(c["optimizer"], c.get("preconditioner", "larger")) for c in configs}
    rules = {("adaptive_obgd", "larger"), *(("intentional", form) for form in ("gradient", "trace", "larger"))}
    assert found >= rules and sum(bool(c.get("encoder")) for c in configs) == 2 * 3 * 2
