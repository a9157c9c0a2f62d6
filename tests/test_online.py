"""Last layers with a rule of their own, true-online TD(lambda) and SwiftTD: the forward view, the oracle in float64,
every instruction set in float32, and slips of published code (docs/math_online.md)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden_files import relative
from reference import online, optim
from reference.normalizers import Channels, CumulantScaler

import rtu_edge as rtu
from rtu_edge import _core
from rtu_edge.learn import checkpoint

HEADS: dict[str, dict[str, Any]] = {
    "true_online": {"head_step_size": 0.02},
    "true_online, bounded": {"head_step_size": 0.5, "head_bound": 0.2},
    "swift": {"head_step_size": 1e-3, "meta_step_size": 1e-3},
    "swift, at its bound": {"head_step_size": 0.05, "head_bound": 0.05, "step_size_decay": 0.9},
}
NETS: dict[str, dict[str, Any]] = {
    "linear": {"activation": "tanh"},
    "one layer": {"hidden": 5},
    "nonlinear, two layers": {"cell": "nonlinear", "hidden": (5, 4)},
    "memoryless": {"cell": "none", "hidden": 5},
    "no layer below": {"cell": "none"},
    "frozen": {"credit": "frozen", "hidden": 5},
    "scaled": {"normalize_observation": True, "scale_cumulant": True, "hidden": 5},
}
RULES = {"obgd": (1.0, 20.0), "adam": (1e-3, 2.0), "intentional": (0.01, 2.0)}  # step_size, kappa


def named(head: str) -> dict[str, Any]:
    return {"head": head.partition(",")[0], **HEADS[head]}


def filled(v: rtu.TDPredictor, seed: int) -> rtu.TDPredictor:
    """With small random numbers in place of the zeros of the sparse start."""
    rng = np.random.default_rng(seed)
    v.load_parameters({k: np.where(w == 0, 0.3 * rng.standard_normal(w.shape), w) for k, w in v.parameters.items()})
    return v


def plain(p: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {k.split(".", 1)[1]: v for k, v in p.items()}


def oracle(v: rtu.TDPredictor) -> online.Predictor:
    c = v.config
    of_head = {"alpha": c["head_step_size"], "bound": c["head_bound"]}
    if c["head"] == "swift":
        of_head |= {"meta": c["meta_step_size"], "decay": c["step_size_decay"]}
    extra = {"preconditioner": c["preconditioner"]} if c["optimizer"] == "intentional" else {}
    return online.Predictor(
        plain(v.parameters),
        c["gamma"],
        c["trace_decay"],
        optim.make(c["optimizer"], c["step_size"], c["kappa"], **extra),
        head=c["head"],
        of_head=of_head,
        activation=c["activation"],
        nonlinear=c["cell"] == "nonlinear",
        normalizer=Channels(c["observation_size"], c["observation_bound"]) if c["normalize_observation"] else None,
        credit=c["credit"],
        scaler=CumulantScaler(np.array([c["gamma"]])) if c["scale_cumulant"] else None,
    )


def stream(seed: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((steps, 3)), rng.standard_normal(steps)


@pytest.mark.parametrize("lam", [0.0, 0.8, 1.0])
@pytest.mark.parametrize(("alpha", "bound"), [(0.02, 1.0), (0.5, 0.3)])
@pytest.mark.parametrize("head", ["true_online", "swift"])
def test_the_weights_are_those_of_the_forward_view(head: str, alpha: float, bound: float, lam: float) -> None:
    """The online lambda-return algorithm at each step, whose returns are written out; SwiftTD with a meta step size of
    0 keeps its step sizes and is the same. 30 inputs; doubles of the order of 1."""
    settings: dict[str, Any] = {"cell": "none", "dtype": "float64", "meta_step_size": 0.0, "step_size_decay": 1.0}
    v = rtu.TDPredictor(
        3, gamma=0.9, trace_decay=lam, head=head, head_step_size=alpha, head_bound=bound, seed=1, **settings
    )
    start = plain(v.parameters)
    xs, cs = stream(1, 30)
    with_bias = np.c_[xs, np.ones(len(xs))]
    w = np.append(start["head.weight"][0], start["head.bias"])
    wanted = online.forward_view(w, with_bias, cs, 0.9, lam, alpha, bound)
    values = []
    for x, c, after in zip(xs, cs, wanted, strict=True):
        values.append(v.step(x, c))
        p = plain(v.parameters)
        np.testing.assert_allclose(np.append(p["head.weight"][0], p["head.bias"]), after, rtol=0, atol=1e-12)
    before = np.vstack([w, wanted[:-1]])
    np.testing.assert_allclose(values, (before * with_bias).sum(1), rtol=0, atol=1e-12)


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("rule", RULES)
def test_predictor_is_the_oracle(rule: str, head: str, net: str) -> None:
    """120 steps with a new stream in the middle; values and parameters to 1e-9, step sizes to 1e-8."""
    step_size, kappa = RULES[rule]
    settings: dict[str, Any] = {"units": 5, "optimizer": rule, "step_size": step_size, "kappa": kappa}
    settings |= {"gamma": 0.9, "trace_decay": 0.8, "seed": 1, "dtype": "float64", **named(head), **NETS[net]}
    v = filled(rtu.TDPredictor(3, **settings), 1)
    slow = oracle(v)
    xs, cs = stream(2, 120)
    for t, (x, c) in enumerate(zip(xs, cs, strict=True)):
        if t == 60:
            v.reset()
            slow.reset()
        assert v.step(x, c) == pytest.approx(slow.step(x, c), rel=1e-9, abs=1e-9), f"step {t}"
    found = plain(v.parameters)
    assert {k: e for k in found if not (e := relative(found[k], slow.p[k])) <= 1e-9} == {}
    if isinstance(slow.rule, online.Swift):
        sizes = np.append(v.state["value.online.weight.step_size"], v.state["value.online.bias.step_size"])
        np.testing.assert_allclose(sizes, np.exp(slow.rule.beta), rtol=1e-8)
        assert sizes.std() > 0


RUN = """
import json, sys
import numpy as np
import rtu_edge as rtu
settings, p, xs, cs = json.load(sys.stdin)
v = rtu.TDPredictor(3, **settings)
v.load_parameters({k: np.array(w) for k, w in p.items()})
print(json.dumps(v.run(np.array(xs, "f4"), np.array(cs)).tolist()))
"""


@pytest.mark.parametrize("isa", _core.available_isas())
def test_every_instruction_set_in_float32(isa: str) -> None:
    """Both rules on 17 features, an odd size above each lane width; 60 steps. Learning amplifies the rounding of 6e-8
    per operation, hence 1e-4."""
    for head in ("true_online", "swift"):
        settings: dict[str, Any] = {"units": 9, "hidden": 17, "optimizer": "adam", "step_size": 1e-4, **named(head)}
        v = filled(rtu.TDPredictor(3, dtype="float64", **settings), 1)
        xs, cs = (np.asarray(row, np.float32).astype(np.float64) for row in stream(5, 60))
        p = {k: w.astype(np.float32).astype(np.float64) for k, w in v.parameters.items()}
        v.load_parameters(p)
        given = json.dumps([settings, {k: w.tolist() for k, w in p.items()}, xs.tolist(), cs.tolist()])
        environment = {**os.environ, "RTU_EDGE_ISA": isa}
        done = subprocess.run(
            [sys.executable, "-c", RUN], input=given, capture_output=True, text=True, env=environment, check=True
        )
        assert relative(np.array(json.loads(done.stdout)), v.run(xs, cs)) < 1e-4, head


@pytest.mark.parametrize("head", HEADS)
def test_a_checkpoint_continues_to_the_bit(head: str, tmp_path: Path) -> None:
    """Also step by step and with bound arrays; float32."""
    xs, cs = stream(6, 80)
    xs = xs.astype(np.float32)
    v = rtu.TDPredictor(3, units=6, hidden=5, seed=2, **named(head))
    v.run(xs[:40], cs[:40])
    v.save(tmp_path / "v.rtu")
    again = rtu.load(tmp_path / "v.rtu")
    assert again.config == v.config and again.state_hash() == v.state_hash()
    by_run = v.run(xs[40:], cs[40:])
    x = np.zeros(3, np.float32)
    again.bind(x)
    for row, c, value in zip(xs[40:], cs[40:], by_run, strict=True):
        x[:] = row
        assert again.step_bound(c) == value
    assert again.state_hash() == v.state_hash()


def test_the_default_is_written_as_before(tmp_path: Path) -> None:
    """A file of a learner without such a layer has none of the new arguments, so that older versions read it."""
    v = rtu.TDPredictor(3, units=4)
    v.save(tmp_path / "v.rtu")
    stored = checkpoint.read_config((tmp_path / "v.rtu").read_bytes())
    assert not stored.keys() & {"head", "head_step_size", "head_bound", "meta_step_size", "step_size_decay", "beta2"}
    assert rtu.load(tmp_path / "v.rtu").config == v.config


def test_memory_of_a_rule_is_in_the_footprint() -> None:
    """float32 on 64 features: 2 or 7 numbers for each besides the weight, in place of one eligibility."""
    sizes = {
        head: rtu.footprint("td_predictor", observation_size=3, units=32, head=head)
        for head in ("td", "true_online", "swift")
    }
    assert 4 * 64 <= sizes["true_online"].nbytes - sizes["td"].nbytes <= 4 * 64 + 512
    assert 4 * 64 * 6 <= sizes["swift"].nbytes - sizes["td"].nbytes <= 4 * 64 * 6 + 1024
    assert sizes["swift"].flops_per_step > sizes["true_online"].flops_per_step > sizes["td"].flops_per_step
    made = rtu.TDPredictor(3, units=32, head="swift")
    assert made.nbytes == sizes["swift"].nbytes


# ---- slips of published code ----------------------------------------------------------------------------------------


def swift(**settings: Any) -> rtu.TDPredictor:
    return rtu.TDPredictor(2, cell="none", head="swift", gamma=0.9, trace_decay=0.9, dtype="float64", **settings)


def sizes_of(v: rtu.TDPredictor) -> np.ndarray:
    return np.asarray(v.state["value.online.weight.step_size"])


def test_step_sizes_stay_within_their_bounds() -> None:
    """Large meta steps on noise drive step sizes to both ends, in 2000 steps; a lower bound that is compared with a
    logarithm never acts, and step sizes become 0."""
    v = swift(meta_step_size=1.0, step_size_decay=0.01)
    rng = np.random.default_rng(3)
    lowest, highest = 1.0, 0.0
    for _ in range(2000):
        v.step(rng.standard_normal(2), rng.standard_normal())
        lowest, highest = min(lowest, sizes_of(v).min()), max(highest, sizes_of(v).max())
    assert lowest == 1e-10 and 0.05 < highest <= 0.1
    assert np.isfinite(next(iter(v.parameters.values()))).all()


def test_negative_features_learn_like_positive_ones() -> None:
    """A feature with the other sign gets the weight with the other sign, to the bit; where negative traces are dropped,
    it learns nothing over more than a step."""
    xs, cs = stream(4, 300)
    runs = []
    for sign in (1.0, -1.0):
        v = swift(meta_step_size=1e-2)
        v.load_parameters({"value.head.weight": np.zeros((1, 2))})
        runs.append((v.run(np.abs(xs[:, :2]) * [sign, 1.0], cs), v.parameters["value.head.weight"][0], sizes_of(v)))
    (values, w, sizes), (other_values, other_w, other_sizes) = runs
    assert np.array_equal(values, other_values) and np.array_equal(sizes, other_sizes)
    assert np.array_equal(w, other_w * [-1.0, 1.0]) and abs(w[0]) > 1e-3


def test_nothing_overshoots() -> None:
    """Features of 1000 without normalisation: a step removes at most head_bound of an error, so values stay of the
    order of the returns, which are at most 10."""
    for head in ("true_online", "swift"):
        v = rtu.TDPredictor(2, cell="none", head=head, head_step_size=1.0, gamma=0.9, trace_decay=0.9)
        xs, _ = stream(5, 3000)
        values = v.run((1000 * np.sign(xs[:, :2])).astype(np.float32), np.sign(xs[:, 2]))
        assert np.abs(values).max() < 100, head


@pytest.mark.parametrize(
    ("arguments", "named_in"),
    [
        ({"head": "lstd"}, "head = 'lstd'"),
        ({"head": "swift", "head_step_size": 0.0}, "head_step_size = 0.0"),
        ({"head": "swift", "head_bound": 1.5}, "head_bound = 1.5"),
        ({"head": "swift", "meta_step_size": -1.0}, "meta_step_size = -1.0"),
        ({"head": "swift", "step_size_decay": 0.0}, "step_size_decay = 0.0"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], named_in: str) -> None:
    with pytest.raises(rtu.ConfigError, match=named_in):
        rtu.TDPredictor(3, **arguments)


def test_the_bound_follows_the_rule() -> None:
    bounds = {head: rtu.TDPredictor(3, head=head).config["head_bound"] for head in ("td", "true_online", "swift")}
    assert bounds == {"td": 1.0, "true_online": 1.0, "swift": 0.1}


@pytest.mark.parametrize("head", ["true_online", "swift"])
@pytest.mark.parametrize("cell", ["linear", "nonlinear", "mingru", "lru"])
@pytest.mark.parametrize("activation", ["relu", "identity"])
def test_intentional_steps_need_bounded_features(head: str, cell: str, activation: str) -> None:
    settings: dict[str, Any] = {"units": 8, "optimizer": "intentional", "activation": activation, "cell": cell}
    settings["head"] = head
    with pytest.raises(rtu.ConfigError, match=f"optimizer = 'intentional': diverges with head = '{head}'"):
        rtu.TDPredictor(2, **settings)
    xs = 3 * np.random.default_rng(0).standard_normal((400, 2))
    for bounded in ({"activation": "tanh"}, {"hidden": 8}, {"cell": "elstm"}, {"credit": "frozen"}, {"head": "td"}):
        v = rtu.TDPredictor(2, **{**settings, **bounded}, seed=1)
        assert max(abs(v.step(x, x[0])) for x in xs) < 1e3
