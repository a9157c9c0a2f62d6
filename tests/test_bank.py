"""TDBank against its oracle in float64, and every instruction set in float32."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden_files import relative
from reference import optim
from reference.bank import TDBank
from reference.learners import TDPredictor as Predictor
from reference.normalizers import Channels, CumulantScaler

import rtu_edge as rtu
from rtu_edge import _core
from rtu_edge.learn import LearnerWarning

GAMMAS, LAMBDAS = (0.9, 0.0, 0.95, 0.5, 0.99), (0.8, 0.9, 1.0, 0.0, 0.5)
# Small steps: learning amplifies rounding (docs/math_learners.md, 4).
RULES = {"obgd": (1.0, 20.0), "sgd": (1e-3, 2.0), "adam": (1e-2, 2.0)}  # step_size, kappa
NETS: dict[str, dict[str, Any]] = {
    "linear": {},
    "one layer": {"hidden": 5},
    "nonlinear, two layers": {"cell": "nonlinear", "hidden": (5, 4)},
    "relu": {"activation": "relu"},
    "shared poles": {"units": 6, "units_per_pole": 3},
    "memoryless": {"cell": "none", "hidden": 5},
    "one step": {"credit": "tbptt1"},
    "frozen": {"credit": "frozen", "hidden": 5},
    "encoder, mingru": {"encoder": (6, 4), "cell": "mingru", "hidden": 5},
    "encoder, lru": {"encoder": 4, "cell": "lru", "hidden": 5},
    "encoder, memoryless": {"encoder": 4, "cell": "none"},
    "plain cumulants": {"scale_cumulant": False, "normalize_observation": False},
}


def filled(bank: rtu.TDBank, seed: int) -> rtu.TDBank:
    """With small random numbers in place of the zeros of the sparse start: a zero weight would hide a wrong
    gradient."""
    rng = np.random.default_rng(seed)
    p = bank.parameters
    bank.load_parameters({k: np.where(v == 0, 0.3 * rng.standard_normal(v.shape), v) for k, v in p.items()})
    return bank


def plain(p: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {k.split(".", 1)[1]: v for k, v in p.items()}


def oracle(bank: rtu.TDBank) -> TDBank:
    c = bank.config
    normalizer = Channels(c["observation_size"], c["observation_bound"]) if c["normalize_observation"] else None
    return TDBank(
        plain(bank.parameters),
        c["gammas"],
        c["trace_decay"] if len(c["trace_decay"]) > 1 else c["trace_decay"] * len(c["gammas"]),
        c["optimizer"],
        c["step_size"],
        c["kappa"],
        c["activation"],
        c["cell"] == "nonlinear",
        normalizer,
        c["credit"],
        c["scale_cumulant"],
    )


def stream(seed: int, steps: int, heads: int = len(GAMMAS)) -> tuple[np.ndarray, np.ndarray]:
    """x (steps, 3), cumulants (steps, heads) of sizes from 0.01 to 100."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((steps, 3)), rng.standard_normal((steps, heads)) * np.logspace(-2, 2, heads)


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("rule", RULES)
def test_bank_is_the_oracle(rule: str, net: str) -> None:
    """120 steps with a new stream in the middle; values, deltas and parameters to 1e-9."""
    step_size, kappa = RULES[rule]
    settings = {"units": 5, "optimizer": rule, "step_size": step_size, "kappa": kappa, "dtype": "float64", **NETS[net]}
    bank = filled(rtu.TDBank(3, GAMMAS, trace_decay=LAMBDAS, seed=1, **settings), 1)
    slow = oracle(bank)
    xs, cumulants = stream(2, 120)
    if rule != "adam" and not bank.config["scale_cumulant"]:
        cumulants /= 100
    for t, (x, c) in enumerate(zip(xs, cumulants, strict=True)):
        if t == 60:
            bank.reset()
            slow.reset()
        np.testing.assert_allclose(bank.step(x, c), slow.step(x, c), rtol=1e-9, atol=1e-9 * np.abs(c).max())
        np.testing.assert_allclose(bank.deltas, slow.delta, rtol=1e-8, atol=1e-9)
    found = plain(bank.parameters)
    assert {k: e for k in found if not (e := relative(found[k], slow.p[k])) <= 1e-9} == {}


def test_one_head_at_lambda_0_is_the_predictor() -> None:
    """With a step so small that the weights hardly move between two inputs, to the square of the step."""
    common: dict[str, Any] = {"units": 5, "seed": 3, "optimizer": "sgd", "step_size": 1e-7, "activation": "tanh"}
    common |= {"dtype": "float64", "normalize_observation": False}
    bank = filled(rtu.TDBank(3, (0.9,), trace_decay=0.0, scale_cumulant=False, **common), 1)
    single = rtu.TDPredictor(3, gamma=0.9, trace_decay=0.0, **common)
    start = plain(bank.parameters)
    single.load_parameters({f"value.{k}": v for k, v in start.items()})
    xs, cumulants = stream(4, 50, 1)
    bank.run(xs, cumulants)
    single.run(xs, cumulants[:, 0])
    for k, v in plain(bank.parameters).items():
        moved, wanted = v - start[k], plain(single.parameters)[k] - start[k]
        assert relative(moved, wanted) < 1e-5, k


RUN = """
import json, sys
import numpy as np
import rtu_edge as rtu
settings, p, xs, cumulants = json.load(sys.stdin)
bank = rtu.TDBank(3, settings.pop("gammas"), **settings)
bank.load_parameters({k: np.array(v) for k, v in p.items()})
print(json.dumps([row.tolist() for row in bank.run(np.array(xs, "f4"), np.array(cumulants, "f4"))]))
"""


@pytest.mark.parametrize("isa", _core.available_isas())
def test_every_instruction_set_in_float32(isa: str) -> None:
    """17 heads on 9 units and a layer of 7: odd sizes around the lane width. 60 small steps; learning amplifies the
    rounding of 6e-8 per operation, hence 1e-4."""
    heads = 17
    gammas = np.linspace(0.5, 0.98, heads).tolist()
    settings: dict[str, Any] = {"gammas": gammas, "units": 9, "hidden": 7, "step_size": 1e-3}
    bank = filled(rtu.TDBank(3, dtype="float64", **settings), 1)
    xs, cumulants = (v.astype(np.float32).astype(np.float64) for v in stream(5, 60, heads))
    p = {k: v.astype(np.float32).astype(np.float64) for k, v in bank.parameters.items()}
    bank.load_parameters(p)
    given = json.dumps([settings, {k: v.tolist() for k, v in p.items()}, xs.tolist(), cumulants.tolist()])
    environment = {**os.environ, "RTU_EDGE_ISA": isa}
    done = subprocess.run(
        [sys.executable, "-c", RUN], input=given, capture_output=True, text=True, env=environment, check=True
    )
    wanted = bank.run(xs, cumulants)
    found = np.array(json.loads(done.stdout))
    assert np.abs((found - wanted) / np.abs(wanted).max(0)).max() < 1e-4


def test_run_step_and_step_bound_give_the_same_bits(tmp_path: Path) -> None:
    xs, cumulants = (v.astype(np.float32) for v in stream(6, 40))
    made = [rtu.TDBank(3, GAMMAS, units=6, seed=2) for _ in range(3)]
    by_run = made[0].run(xs, cumulants)
    by_step = np.array([made[1].step(x, c) for x, c in zip(xs, cumulants, strict=True)])
    x, c, v = np.zeros(3, "f4"), np.zeros(5, "f4"), np.zeros(5, "f4")
    made[2].bind(x, c, v)
    bound = []
    for row, cumulant in zip(xs, cumulants, strict=True):
        x[:], c[:] = row, cumulant
        made[2].step_bound()
        bound.append(v.copy())
    assert np.array_equal(by_run, by_step) and np.array_equal(by_run, np.array(bound))
    made[0].save(tmp_path / "bank.rtu")
    again = rtu.load(tmp_path / "bank.rtu")
    assert again.state_hash() == made[1].state_hash() == made[2].state_hash()
    assert np.array_equal(again.run(xs, cumulants), made[1].run(xs, cumulants))


@pytest.mark.parametrize(
    ("x", "cumulants", "named"),
    [
        ([0, np.nan, 0], np.zeros(5), r"x\[1\]"),
        ([0, 0, 0], [0, 0, 0, np.inf, 0], r"cumulants\[3\]"),
        ([0, 0, 0], np.zeros(4), "cumulants: expected"),
        ([0, 0], np.zeros(5), "x: expected"),
    ],
)
def test_bad_input_is_named_and_changes_nothing(x: Any, cumulants: Any, named: str) -> None:
    bank = rtu.TDBank(3, GAMMAS, units=4)
    bank.run(*stream(7, 5))
    before = bank.state_hash()
    with pytest.raises(ValueError, match=named):
        bank.step(x, cumulants)
    assert bank.state_hash() == before


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"gammas": "0.9"}, "gammas = '0.9'"),
        ({"gammas": ()}, "gammas: 0 numbers; expected 1 to 4096"),
        ({"gammas": (0.9, 1.1)}, r"gammas\[1\] = 1.1"),
        ({"gammas": (0.9, 0.8), "trace_decay": (0.1, 0.2, 0.3)}, "trace_decay: 3 numbers; expected 1, or 2"),
        ({"gammas": (0.9, 0.8), "trace_decay": (0.1, -0.2)}, r"trace_decay\[1\] = -0.2"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(rtu.ConfigError, match=named):
        rtu.TDBank(3, **arguments)


def test_a_head_costs_memory_of_its_features_only() -> None:
    """Adam, float32: weight, eligibility and two moments for each of 2 n features, and less than 100 bytes."""
    one, many = (rtu.footprint("td_bank", observation_size=20, gammas=[0.9] * k).nbytes for k in (1, 301))
    each = (many - one) / 300
    assert 4 * 64 * 4 <= each < 4 * 64 * 4 + 100
    assert rtu.TDBank(20, [0.9] * 301).nbytes == many


def test_cumulants_of_any_size_are_learned_alike() -> None:
    """The scale of a cumulant is a factor of its prediction, to the rounding of float64."""
    xs, _ = stream(8, 200)
    cumulants = np.repeat(xs[:, :1], 3, 1) * [1.0, 0.01, 100.0]
    values = rtu.TDBank(3, (0.9,) * 3, units=6, dtype="float64")
    p = values.parameters
    values.load_parameters({k: np.repeat(p[k][:1], 3, 0) for k in ("bank.head.weight", "bank.head.bias")})
    found = values.run(xs, cumulants)
    assert relative(found[:, 1] * 100, found[:, 0]) < 1e-9 and relative(found[:, 2] / 100, found[:, 0]) < 1e-9


@pytest.mark.parametrize("rule", RULES)
def test_a_predictor_with_a_scaled_cumulant_is_its_oracle(rule: str) -> None:
    """200 steps with a new stream in the middle; values to 1e-9."""
    step_size, kappa = RULES[rule]
    settings: dict[str, Any] = {"optimizer": rule, "step_size": step_size, "kappa": kappa, "dtype": "float64"}
    v = rtu.TDPredictor(3, units=5, gamma=0.9, trace_decay=0.8, seed=1, scale_cumulant=True, **settings)
    slow = Predictor(
        plain(v.parameters), 0.9, 0.8, optim.make(rule, step_size, kappa), scaler=CumulantScaler(np.array([0.9]))
    )
    xs, cumulants = stream(9, 200, 1)
    for t, (x, c) in enumerate(zip(xs, 50 * cumulants[:, 0], strict=True)):
        if t == 100:
            v.reset()
            slow.reset()
        assert v.step(x, c) == pytest.approx(slow.step(x, c), rel=1e-9, abs=1e-7), f"step {t}"
    found = plain(v.parameters)
    assert {k: e for k in found if not (e := relative(found[k], slow.p[k])) <= 1e-9} == {}


# ---- settings from horizons, units ----------------------------------------------------------------------------------


def test_horizons_give_what_the_predictor_has() -> None:
    """One horizon: the predictor's settings, but for half the step size and poles of three horizons; several: poles
    from the shortest to the longest."""
    one, single = rtu.TDBank.for_horizon(3, 0.4, 0.01).config, rtu.TDPredictor.for_horizon(3, 0.4, 0.01).config
    assert one["step_size"] == pytest.approx(single["step_size"] / 2) and one["r_max"] == pytest.approx(
        np.exp(-0.3 / 40)
    )
    shared = (one.keys() & single.keys()) - {"kind", "trace_decay", "step_size", "r_max"}
    assert {k: (one[k], single[k]) for k in shared if one[k] != single[k]} == {}
    assert one["gammas"] == [single["gamma"]] and one["trace_decay"] == [single["trace_decay"]["head"]]
    many = rtu.TDBank.for_horizon(3, (0.8, 0.05, 0.4), 0.01, units=8, seed=2).config
    assert np.allclose(many["gammas"], [1 - 1 / 80, 1 - 1 / 5, 1 - 1 / 40])
    assert np.allclose([many["r_min"], many["r_max"]], [np.exp(-2 / 5), np.exp(-0.3 / 80)])
    assert many["max_phase"] == pytest.approx(2 * np.pi / 5) and (many["units"], many["seed"]) == (8, 2)
    assert rtu.TDBank.for_horizon(3, 0.4, 0.01, optimizer="obgd").config["step_size"] == 1.0


@pytest.mark.parametrize(
    ("horizon_s", "named"),
    [
        (0.01, "horizon_s = 0.01: expected a number from 0.02 to 1000"),
        ((0.4, 2000.0), r"horizon_s\[1\] = 2000.0"),
        ((), "horizon_s: 0 numbers"),
        ((0.4, "1 s"), r"horizon_s\[1\] = '1 s'"),
    ],
)
def test_a_horizon_that_cannot_be_is_named(horizon_s: Any, named: str) -> None:
    with pytest.raises(rtu.ConfigError, match=named):
        rtu.TDBank.for_horizon(3, horizon_s, 0.01)


def test_errors_have_the_units_of_their_scales() -> None:
    """delta sigma = c + gamma V' - V in the cumulants' units, where the weights stand still and sigma has settled."""
    gammas = (0.9, 0.5)
    bank = rtu.TDBank(3, gammas, units=4, step_size=0.0, dtype="float64")
    assert np.array_equal(bank.scales, [1.0, 1.0])
    xs, _ = stream(9, 4000)
    cumulants = np.stack([100 * xs[:, 0], 0.01 * xs[:, 1]], 1)
    before = bank.run(xs[:-1], cumulants[:-1])[-1]
    after = bank.step(xs[-1], cumulants[-1])
    np.testing.assert_allclose(bank.deltas * bank.scales, cumulants[-1] + gammas * after - before, rtol=1e-3)
    expected = np.sqrt(1 / (1 - np.square(gammas))) * [100, 0.01]  # of a discounted sum of white noise
    np.testing.assert_allclose(bank.scales, expected, rtol=0.1)
    assert np.array_equal(rtu.TDBank(3, gammas, scale_cumulant=False).scales, [1.0, 1.0])


@pytest.mark.parametrize("scaled", [True, False])
def test_the_largest_cumulants_give_finite_numbers_and_larger_ones_are_refused(scaled: bool) -> None:
    bank = rtu.TDBank(2, (0.5, 0.99), units=4, seed=0, scale_cumulant=scaled)
    x, c, values = np.ones(2, np.float32), np.zeros(2, np.float32), np.zeros(2, np.float32)
    bank.bind(x, c, values)
    rows = np.random.default_rng(0).standard_normal((300, 2))
    # Unscaled, Adam's second moments overflow: the weights stay finite and move no more.
    told = contextlib.nullcontext() if scaled else pytest.warns(LearnerWarning, match="TDBank, update 1: a value")
    with told:
        assert np.isfinite(bank.run(rows, np.full((300, 2), 1e30))).all()
    assert all(np.isfinite(p).all() for p in bank.parameters.values())
    before = bank.state_hash()
    c[:] = 0.0, 1e37
    with pytest.raises(ValueError, match=r"^cumulants\[1\] is 1e\+37: expected a number from -1e30 to 1e30$"):
        bank.step_bound()
    for call, given in ((bank.step, c), (bank.run, c)):
        with pytest.raises(ValueError, match=r"^cumulants\[(0, )?1\] is .*: expected a number from -1e30 to 1e30$"):
            call(x if call == bank.step else x[None], given if call == bank.step else given[None])
    c[:] = np.nan
    with pytest.raises(ValueError, match="finite"):
        bank.step_bound()
    assert bank.state_hash() == before


# ---- files ----------------------------------------------------------------------------------------------------------

GOLDEN = Path(__file__).parent / "golden" / "predictors"
FILES = sorted(path.stem for path in GOLDEN.glob("*.rtu"))


@pytest.mark.arm
@pytest.mark.parametrize("name", FILES)
def test_a_golden_predictor_goes_on_as_it_did(name: str) -> None:
    """60 steps after the checkpoint. In float64 the code is the writer's; in float32 other instruction sets than the
    writer's round sums otherwise, and learning amplifies that."""
    learner = rtu.load(GOLDEN / f"{name}.rtu")
    with np.load(GOLDEN / "after.npz") as file:
        x, cumulants, wanted = file["x"][80:], file["cumulants"][80:], file[name]
    dtype = name.rsplit("-", 1)[1]
    of_bank = isinstance(learner, rtu.TDBank)
    found = learner.run(x.astype(dtype), cumulants.astype(dtype) if of_bank else cumulants[:, 0].astype(np.float64))
    assert relative(found, wanted) < {"float32": 1e-4, "float64": 1e-12}[dtype]


def test_there_is_a_golden_file_of_each_rule() -> None:
    assert len(FILES) == 5 * 2
