"""`encoder`: layers before the cell, which learn by the gradient of one step.

StreamAC is compared with the oracle as in test_learners.py, which has the predictor and the regressor;
test_action_values.py and test_bank.py have the others. The oracle's own gradient is compared with complex steps, the
package's with central differences (error 1e-10 of the loss, as in test_credit.py), float32 on every instruction set
with float64, and files with those of learners without an encoder.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden_files import relative
from reference.learners import Head, Trunk
from test_credit import EPS, KINDS, ROUNDING, TOLERANCE, data, loss, run
from test_credit import follow as watch
from test_learners import BY_GROUP, DISCRETE, INTENTIONAL, RATES, SHARED, pair, same
from test_learners import follow as follow_both

import rtu_edge as rtu
from rtu_edge import _core
from rtu_edge.learn import checkpoint

CELLS = (*KINDS, "none")
SETTINGS: dict[str, Any] = {"units": 4, "hidden": 5, "activation": "tanh", "sparsity": 0.0, "r_min": 0.9, "seed": 7}
LEARNERS: dict[str, Any] = {
    "stream_ac": lambda **more: rtu.StreamAC(3, 1, encoder=(5, 4), units=6, hidden=4, seed=1, **more),
    "stream_ac, separate": lambda **more: rtu.StreamAC(3, 1, encoder=4, hidden=4, body="separate", seed=1, **more),
    "stream_q": lambda **more: rtu.StreamQ(3, 2, encoder=4, units=6, recompute=True, seed=1, **more),
    "td_predictor": lambda **more: rtu.TDPredictor(3, encoder=4, units=6, seed=1, **more),
    "td_bank": lambda **more: rtu.TDBank(3, (0.9, 0.5), encoder=(4, 7), units=6, seed=1, **more),
    "online_regressor": lambda **more: rtu.OnlineRegressor(3, 1, encoder=4, units=6, seed=1, **more),
}


CASES: dict[str, dict[str, Any]] = {
    **{
        f"{cell}, {name}": {"cell": cell, "encoder": 5} | settings
        for cell in CELLS
        for name, settings in {
            "two layers, shared, discrete": SHARED | DISCRETE | {"encoder": (9, 4), "previous_action": True},
            "recompute, no layer": {"recompute": True, "hidden": ()},
        }.items()
    },
    "shared poles": {"encoder": 6, "units": 6, "units_per_pole": 3},
    "intentional, shared": {"encoder": (6, 5)} | INTENTIONAL | SHARED | BY_GROUP,
    "adam, one step": {"encoder": 5, "credit": "tbptt1", "optimizer": "adam"} | RATES,
    "frozen, recompute, shared": {"encoder": 5, "credit": "frozen", "recompute": True} | SHARED,
    "wide": {"units": 33, "hidden": 17, "encoder": (18, 19)},
}


@pytest.mark.parametrize("name", CASES)
def test_stream_ac_is_the_oracle(name: str) -> None:
    agent, slow = pair(1, **CASES[name])
    start = agent.parameters
    follow_both(agent, slow, seed=2, steps=80)
    same(agent, slow)
    assert not [k for k, v in agent.parameters.items() if ".encoder" in k and np.array_equal(v, start[k])]


def model(cell: str, **more: Any) -> rtu.OnlineRegressor:
    settings = {**SETTINGS, "encoder": (5, 6), "optimizer": "sgd", "step_size": 1.0, "dtype": "float64", **more}
    return rtu.OnlineRegressor(3, 2, cell=cell, **settings)


def at_the_last_step(made: Any, x: np.ndarray, names: list[str], value: Any) -> dict[str, np.ndarray]:
    """Complex-step derivatives of value(trunk) after x[-1] by the encoder's weights, the state before it constant."""
    trunk, p = made
    for row in x[:-1]:
        trunk.forward(row)
    found = {}
    for name in names:
        found[name] = np.zeros(p[name].shape)
        for index in np.ndindex(p[name].shape):
            twin = copy.deepcopy(trunk)
            twin.p = {**p, name: p[name].astype(complex)}
            twin.p[name][index] += 1e-30j
            twin.forward(x[-1].astype(complex))
            found[name][index] = value(twin).imag / 1e-30
    return found


@pytest.mark.parametrize("cell", CELLS)
def test_the_oracles_gradient_is_that_of_complex_steps(cell: str) -> None:
    p = {name.split(".", 1)[1]: v for name, v in model(cell).parameters.items()}
    x, weight = data()

    def trunk() -> Trunk:
        return Trunk("", dict(p), "tanh", cell == "nonlinear")

    names = [name for name in p if name.startswith("encoder")]
    assert len(names) == 4
    wanted = at_the_last_step(
        (trunk(), p), x, names, lambda each: weight @ (p["head.weight"] @ each.out + p["head.bias"])
    )
    slow = trunk()
    for row in x:
        slow.forward(row)
    found = Head("", slow.p, slow).gradient(weight)
    for name in names:
        assert relative(found[name], wanted[name]) < 1e-12, name


@pytest.mark.parametrize(
    ("cell", "credit"), [*((cell, "rtrl") for cell in CELLS), ("lru", "tbptt1"), ("elstm", "frozen")]
)
def test_the_gradient_is_that_of_central_differences_of_one_step(cell: str, credit: str) -> None:
    x, target = data()
    learner = model(cell, credit=credit)
    watch(learner, x[:-1])
    own = learner.parameters
    wanted: dict[str, np.ndarray] = {}
    for name in (name for name in own if ".encoder" in name):
        gradient = np.zeros(own[name].size)
        for i in range(gradient.size):
            ends = []
            for side in (EPS, -EPS):
                moved, twin = own[name].copy(), learner.copy()
                moved.flat[i] += side
                twin.load_parameters({name: moved})
                ends.append(loss(twin, x[-1], target))
            gradient[i] = (ends[0] - ends[1]) / (2 * EPS)
        wanted[name] = gradient.reshape(own[name].shape)
    learner.predict(x[-1])
    learner.update(target)
    assert len(wanted) == 4
    for name, gradient in wanted.items():
        found = own[name] - learner.parameters[name]
        assert np.abs(found - gradient).max() <= TOLERANCE * np.abs(gradient).max() + ROUNDING, name


RUN = """
import json, sys
import numpy as np
import rtu_edge as rtu
cells, settings, x, rewards = json.load(sys.stdin)
for dtype in ("float32", "float64"):
    for cell in cells:
        agent = rtu.StreamAC(3, 2, cell=cell, dtype=dtype, **settings)
        start = rtu.StreamAC(3, 2, cell=cell, **settings).parameters
        agent.load_parameters({k: v.astype(dtype) for k, v in start.items()})
        print(json.dumps(agent.run(np.array(x, dtype), np.array(rewards)).tolist()))
"""


@pytest.mark.parametrize("isa", _core.available_isas())
def test_every_instruction_set_in_float32(isa: str) -> None:
    """Odd widths around the lanes; 60 small steps, whose difference to float64 was at most 2e-6."""
    rng = np.random.default_rng(5)
    settings = {"encoder": (17, 9), "units": 19, "hidden": 7, "actor": {"kappa": 50.0}, "critic": {"kappa": 50.0}}
    given = json.dumps([CELLS, settings, rng.standard_normal((60, 3)).tolist(), rng.standard_normal(60).tolist()])
    done = subprocess.run(
        [sys.executable, "-c", RUN], input=given, capture_output=True, text=True, check=True,
        env={**os.environ, "RTU_EDGE_ISA": isa},
    )  # fmt: skip
    rows = [np.array(json.loads(line)) for line in done.stdout.splitlines()]
    assert len(rows) == 2 * len(CELLS)
    for cell, found, wanted in zip(CELLS, rows[: len(CELLS)], rows[len(CELLS) :], strict=True):
        assert np.abs(found - wanted).max() < 1e-5, cell


def follow(learner: Any, rows: int, seed: int) -> None:
    if learner.kind != "td_bank":
        return run(learner, rows, seed)
    rng = np.random.default_rng(seed)
    learner.run(rng.standard_normal((rows, 3)), rng.standard_normal((rows, 2)))
    return None


@pytest.mark.parametrize("cell", ["linear", "lru", "elstm", "none"])
@pytest.mark.parametrize("kind", LEARNERS)
def test_a_checkpoint_resumes_to_the_bit(kind: str, cell: str, tmp_path: Path) -> None:
    learner = LEARNERS[kind](cell=cell)
    start = learner.parameters
    follow(learner, 47, 0)
    assert not [k for k, v in learner.parameters.items() if ".encoder" in k and np.array_equal(v, start[k])]
    learner.save(tmp_path / "a.rtu")
    twin = rtu.load(tmp_path / "a.rtu")
    assert twin.config == learner.config and twin.config["encoder"]
    for each in (learner, twin):
        follow(each, 60, 1)
    assert learner.state_hash() == twin.state_hash()
    assert rtu.footprint(learner.config).nbytes == learner.nbytes


@pytest.mark.parametrize("kind", LEARNERS)
def test_a_learner_without_an_encoder_has_no_trace_of_it(kind: str) -> None:
    """Files of earlier versions, and files for them."""
    cls = type(LEARNERS[kind]())
    arguments = {**LEARNERS[kind]().config, "encoder": []}
    learner = cls._made(arguments)
    assert '"encoder"' not in checkpoint.encode_config(learner.config)
    assert not [name for name, *_ in learner.sections if "encod" in name]
    old = {key: value for key, value in learner.config.items() if key != "encoder"}
    again = cls._made(checkpoint.complete(old))
    assert again.config["encoder"] == [] and again.state_hash() == learner.state_hash()


@pytest.mark.parametrize(
    ("encoder", "named"),
    [(0, "encoder = 0: expected"), ((4, 70000), "encoder = 70000"), ((1,) * 5, "encoder = .*at most 4 layers")],
)
def test_another_width_is_refused(encoder: Any, named: str) -> None:
    with pytest.raises(rtu.ConfigError, match=named):
        rtu.StreamAC(2, 1, encoder=encoder)
