"""The public names: arguments, results, errors, and that an error leaves the object unchanged."""

from __future__ import annotations

import doctest
import inspect
import math
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rtu_edge as rtu
from rtu_edge import _core, footprint
from rtu_edge.learn import bank, cells, make, restore, signals, stream_ac

D = 3
KINDS: dict[str, Callable[..., Any]] = {
    "continuous": lambda **kw: rtu.StreamAC(D, 2, **({"units": 5, "hidden": 6, "body": "separate"} | kw)),
    "discrete": lambda **kw: rtu.StreamAC(D, n_actions=3, **({"units": 5, "hidden": (6, 4), "body": "shared"} | kw)),
    "nonlinear": lambda **kw: rtu.StreamAC(
        D, 1, **({"units": 5, "hidden": (), "cell": "nonlinear", "recompute": True, "body": "separate"} | kw)
    ),
    "memoryless": lambda **kw: rtu.StreamAC(
        D, 1, **({"hidden": 6, "cell": "none", "optimizer": "adam", "body": "separate"} | kw)
    ),
    "values": lambda **kw: rtu.StreamQ(D, 3, **({"units": 5, "hidden": 6, "epsilon_start": 0.3} | kw)),
    "sarsa": lambda **kw: rtu.StreamSARSA(D, 3, **({"units": 5, "hidden": (), "cell": "nonlinear"} | kw)),
    "corrected": lambda **kw: rtu.StreamQRC(D, 3, **({"units": 5, "hidden": 6, "step_size": 1e-2} | kw)),
    "predictor": lambda **kw: rtu.TDPredictor(D, **({"units": 5} | kw)),
    "regressor": lambda **kw: rtu.OnlineRegressor(D, 2, **({"units": 5, "hidden": 4} | kw)),
}
kinds = pytest.mark.parametrize("kind", KINDS)
AGENTS = ["continuous", "discrete", "nonlinear", "memoryless", "values", "sarsa", "corrected"]


def run(learner: Any, steps: int, seed: int, restart: bool = True) -> list[Any]:
    """The learner's outputs on a random stream with ends of episodes."""
    rng = np.random.default_rng(seed)
    answers: list[Any] = []
    if hasattr(learner, "act"):
        if restart:
            answers.append(learner.reset(rng.standard_normal(D)))
        for t in range(steps):
            end = t % 17 == 16
            answers.append(
                learner.step(
                    rng.standard_normal(D), float(rng.standard_normal()), end and t % 2 == 0, end and t % 2 == 1
                )
            )
            if end:
                answers.append(learner.reset(rng.standard_normal(D)))
    elif isinstance(learner, rtu.TDPredictor):
        answers += [learner.step(rng.standard_normal(D), float(rng.random())) for _ in range(steps)]
    else:
        for _ in range(steps):
            answers.append(learner.predict(rng.standard_normal(D)))
            answers.append(learner.update(rng.standard_normal(2)))
    return answers


def equal(a: list[Any], b: list[Any]) -> bool:
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


# --- names and shapes ---


def test_names_of_the_package() -> None:
    for name in (
        "LinearRTU",
        "NonlinearRTU",
        "StreamAC",
        "StreamQ",
        "StreamQRC",
        "StreamSARSA",
        "TDPredictor",
        "TDBank",
        "OnlineRegressor",
        "load",
        "footprint",
        "export_onnx",
        "verify_onnx",
    ):
        assert callable(getattr(rtu, name)) and name in rtu.__all__
    assert issubclass(rtu.CheckpointError, ValueError) and issubclass(rtu.ConfigError, ValueError)
    with pytest.raises(AttributeError):
        rtu.no_such_name  # noqa: B018


@pytest.mark.parametrize("module", [bank, cells, signals, stream_ac, footprint], ids=lambda m: m.__name__)
def test_examples_of_the_docstrings_run(module: Any) -> None:
    module = (
        inspect.getmodule(rtu.Footprint) if callable(module) else module
    )  # `footprint` is a function and its module's name
    found = doctest.testmod(module)
    assert found.failed == 0 and found.attempted > 0


def test_the_call_of_the_documentation() -> None:
    """The keywords match the documents."""
    cell = rtu.LinearRTU(observation_size=3, n_units=5, activation="relu", dtype="float64", seed=0)
    assert cell.step(np.zeros(3)).shape == (10,)
    assert cell.input_gradient(np.zeros(10)).shape == (3,)
    agent = rtu.StreamAC(observation_size=2, action_size=1, units=32, hidden=32, seed=0)
    action = agent.reset(np.zeros(2))
    assert action.shape == (1,) and -1 <= action[0] <= 1
    action = agent.step(np.zeros(2), 1.0, terminated=False, truncated=False)
    action = agent.predict(np.zeros(2))
    agent.update(1.0, False, False, applied=None)
    assert agent.predict(np.zeros(2), deterministic=True).shape == (1,)
    assert isinstance(agent.nbytes, int) and isinstance(agent.state_hash(), str)
    v = rtu.TDPredictor(observation_size=2, units=64, gamma=0.95, trace_decay=0.95, seed=0)
    assert isinstance(v.step(np.zeros(2), 0.0), float)
    assert isinstance(rtu.StreamAC(observation_size=2, n_actions=2).reset([0, 0]), int)


@pytest.mark.parametrize("kind", AGENTS)
def test_actions_stay_in_their_range(kind: str) -> None:
    """Also with wild rewards and observations."""
    agent = KINDS[kind](seed=3)
    rng = np.random.default_rng(4)
    agent.reset(np.zeros(D))
    for _ in range(500):
        action = agent.step(
            rng.standard_normal(D) * 10 ** rng.uniform(-6, 6), float(rng.standard_normal() * 10 ** rng.uniform(-6, 6))
        )
        if agent.discrete:
            assert isinstance(action, int) and 0 <= action < 3
        else:
            assert action.dtype == np.float32 and (np.abs(action) <= 1).all()
    assert all(np.isfinite(v).all() for v in agent.parameters.values())


@kinds
def test_names_of_the_parameters(kind: str) -> None:
    learner = KINDS[kind]()
    own = {"corrected": ["q", "h"], "predictor": ["value"], "regressor": ["model"]}
    heads = own.get(kind, ["q"] if kind in ("values", "sarsa") else ["actor", "critic"])
    bodies = ["body"] if kind == "discrete" else heads
    p = learner.parameters
    assert {k.split(".")[0] for k in p} == set(heads) | set(bodies)
    for body in bodies:
        if kind != "memoryless":
            assert p[f"{body}.cell.W1"].shape == p[f"{body}.cell.W2"].shape == (5, D)
            assert p[f"{body}.cell.nu_log"].shape == p[f"{body}.cell.theta_log"].shape == (5,)
        else:
            assert not any(".cell." in k for k in p)
    if kind == "discrete":
        assert p["body.layer0.weight"].shape == (6, 10) and p["body.layer1.weight"].shape == (4, 6)
        assert p["actor.head.weight"].shape == (3, 4) and p["critic.head.bias"].shape == (1,)
    if kind == "continuous":
        assert p["actor.head.weight"].shape == (4, 6), "mu and s of both actions"


@kinds
def test_parameters_round_trip_and_are_copies(kind: str) -> None:
    one, two = KINDS[kind](seed=1), KINDS[kind](seed=2)
    two.load_parameters(one.parameters)
    for k, v in two.parameters.items():
        np.testing.assert_array_equal(v, one.parameters[k], err_msg=k)
        v[...] = 9
    assert not any((v == 9).any() for v in two.parameters.values())


@kinds
def test_config_makes_the_same_learner_again(kind: str) -> None:
    learner = KINDS[kind](seed=5)
    again = make(learner.config)
    assert again.state_hash() == learner.state_hash() and again.config == learner.config
    learner.config["seed"] = 99
    assert learner.config["seed"] == 5


# --- determinism, and halves of a step ---


@kinds
def test_same_seed_same_bits(kind: str) -> None:
    one, two, other = KINDS[kind](seed=6), KINDS[kind](seed=6), KINDS[kind](seed=7)
    assert one.state_hash() == two.state_hash() != other.state_hash()
    assert equal(run(one, 100, 8), run(two, 100, 8))
    assert one.state_hash() == two.state_hash()
    assert not equal(run(KINDS[kind](seed=6), 20, 8), run(other, 20, 8))


@pytest.mark.parametrize("kind", AGENTS)
def test_halves_equal_the_whole_step(kind: str) -> None:
    whole, halves = KINDS[kind](seed=9), KINDS[kind](seed=9)
    rng = np.random.default_rng(10)
    x = rng.standard_normal(D)
    first = whole.reset(x)
    halves.begin()
    # The form the loop uses: the first update() after begin() only observes.
    assert np.array_equal(halves._core.predict(x, True, 1.0, None, None), first)
    halves.update(123.0)
    assert whole.state_hash() == halves.state_hash()
    for t in range(50):
        x, reward = rng.standard_normal(D), float(rng.standard_normal())
        a = whole.step(x, reward, terminated=False, truncated=t == 30)
        b = halves.predict(x)
        halves.update(reward, False, t == 30, applied=None)
        assert np.array_equal(a, b) and whole.state_hash() == halves.state_hash()
        if t == 30:
            assert np.array_equal(whole.reset(x), halves.reset(x))


@pytest.mark.parametrize("kind", AGENTS)
def test_evaluation_learns_nothing(kind: str) -> None:
    agent = KINDS[kind](seed=11)
    run(agent, 100, 12)
    weights, normalizer = agent.parameters, agent.normalizer
    rng = np.random.default_rng(13)
    twin = agent.copy()
    for _ in range(50):
        x = rng.standard_normal(D)
        assert np.array_equal(agent.predict(x, deterministic=True), twin.predict(x, deterministic=True)), (
            "no dice in evaluation"
        )
    for k, v in agent.parameters.items():
        np.testing.assert_array_equal(v, weights[k])
    assert all(np.array_equal(agent.normalizer[k], normalizer[k]) for k in normalizer)


def test_evaluation_returns_the_mode() -> None:
    """Head weights zero: mu is the head's bias, clipped; the largest logit."""
    agent = rtu.StreamAC(D, 2, units=4, hidden=4)
    agent.load_parameters({"actor.head.weight": np.zeros((4, 4)), "actor.head.bias": [0.25, -3.0, 0.0, 5.0]})
    agent.reset(np.zeros(D))
    np.testing.assert_array_equal(agent.predict(np.ones(D), deterministic=True), np.float32([0.25, -1.0]))
    agent = rtu.StreamAC(D, n_actions=3, units=4, hidden=4)
    agent.load_parameters({"actor.head.weight": np.zeros((3, 4)), "actor.head.bias": [0.1, 0.2, 0.15]})
    agent.reset(np.zeros(D))
    assert agent.predict(np.ones(D), deterministic=True) == 1


def test_sampling_follows_the_policy() -> None:
    """Head weights zero, learning rate zero: samples are Normal(mu, softplus(s)) and softmax. 20 000 draws; means and
    shares within five standard errors."""
    frozen = {"actor": {"step_size": 0.0}, "critic": {"step_size": 0.0}, "units": 1, "hidden": 2}
    frozen |= {"sigma_floor": 0.0, "exploration_correlation": 0.0}
    n = 20000
    agent = rtu.StreamAC(1, 1, **frozen)
    agent.load_parameters({"actor.head.weight": np.zeros((2, 2)), "actor.head.bias": [0.3, -0.5]})
    agent.reset([0.0])
    samples = []
    for _ in range(n):
        agent.step([0.0], 0.0)
        samples.append(agent.last_action_sample[0])
    sigma = math.log1p(math.exp(-0.5))
    assert abs(np.mean(samples) - 0.3) < 5 * sigma / math.sqrt(n)
    assert abs(np.std(samples) - sigma) < 5 * sigma / math.sqrt(2 * n)
    assert abs(np.corrcoef(samples[:-1], samples[1:])[0, 1]) < 5 / math.sqrt(n)
    discrete = rtu.StreamAC(1, n_actions=3, **frozen)
    logits = np.array([0.0, 1.0, -1.0])
    discrete.load_parameters({"actor.head.weight": np.zeros((3, 2)), "actor.head.bias": logits})
    discrete.reset([0.0])
    share = np.bincount([discrete.step([0.0], 0.0) for _ in range(n)], minlength=3) / n
    p = np.exp(logits) / np.exp(logits).sum()
    assert (np.abs(share - p) < 5 * np.sqrt(p * (1 - p) / n)).all()


def test_first_normalised_sample_is_zero() -> None:
    """Whatever the first observation is, the body sees 0: then the RTU's output is 0, and the action that of zero
    input.
    """
    one, two = rtu.StreamAC(D, 1, seed=14), rtu.StreamAC(D, 1, seed=14)
    np.testing.assert_array_equal(one.reset(np.array([1e3, -5.0, 0.1])), two.reset(np.zeros(D)))
    assert one.normalizer["count"] == 1
    np.testing.assert_allclose(one.normalizer["mean"], [1e3, -5.0, 0.1], rtol=1e-6)  # through float
    np.testing.assert_array_equal(one.normalizer["variance"], np.zeros(D))
    np.testing.assert_array_equal(one.normalizer["scale"], np.zeros(D))


def test_normaliser_outlives_episodes() -> None:
    agent = KINDS["continuous"]()
    run(agent, 60, 15)
    assert agent.normalizer["count"] == 60 + 1 + 60 // 17  # steps, first reset, resets after the endings


# --- footprint ---


@kinds
def test_plan_knows_the_bytes(kind: str) -> None:
    learner = KINDS[kind]()
    sized = rtu.footprint(learner.config)
    assert sized.nbytes == learner.nbytes
    assert sized.sections == learner.sections
    assert sum(row[3] for row in sized.sections) <= sized.nbytes
    assert sized.flops_per_step == sum(sized.flops.values()) > 0
    assert all(name in str(sized) for name in learner.parameters)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.integers(1, 20),
    st.integers(1, 40),
    st.lists(st.integers(1, 40), max_size=3),
    st.sampled_from(["separate", "shared"]),
    st.sampled_from(["linear", "nonlinear", "none"]),
    st.sampled_from(["float32", "float64"]),
)
def test_plan_knows_the_bytes_of_any_size(
    d: int, units: int, hidden: list[int], body: str, cell: str, dtype: str
) -> None:
    settings = {
        "observation_size": d,
        "action_size": 1,
        "units": units,
        "hidden": hidden,
        "body": body,
        "cell": cell,
        "dtype": dtype,
    }
    assert rtu.footprint("stream_ac", **settings).nbytes == rtu.StreamAC(**settings).nbytes


# --- refusals ---

BAD_VECTORS: list[Any] = [
    np.zeros(D + 1), np.zeros(D - 1), np.zeros((1, D)), np.zeros((D, 1)), np.zeros(0), 0.0, None, "abc", ["a"] * D,
    np.array([0, np.nan, 0]), np.array([np.inf, 0, 0]), np.array([0, 0, -np.inf]),
    np.zeros(D, complex), np.array([None] * D), np.array(["1"] * D), [[0.0] * D], {}, np.full(D, 1e39),
]  # fmt: skip
BAD_REWARDS: list[Any] = [
    math.nan,
    math.inf,
    -math.inf,
    1e39,
    -1e300,
    10**400,
    "1",
    None,
]  # 1e39 is infinite as a float


@pytest.mark.parametrize("bad", BAD_VECTORS, ids=lambda v: repr(v)[:30])
@kinds
def test_a_bad_vector_is_refused_and_changes_nothing(kind: str, bad: Any) -> None:
    learner = KINDS[kind](seed=16)
    run(learner, 20, 17)
    before = learner.state_hash()
    calls: list[Callable[[], Any]] = {
        "predictor": [lambda: learner.step(bad, 0.0)],
        "regressor": [lambda: learner.predict(bad)],
    }.get(kind, [lambda: learner.step(bad, 0.0), lambda: learner.predict(bad), lambda: learner.predict(bad,
    deterministic=True), lambda: learner.reset(bad)])  # fmt: skip
    for call in calls:
        with pytest.raises(ValueError):
            call()
        assert learner.state_hash() == before


@pytest.mark.parametrize("bad", BAD_REWARDS, ids=lambda v: repr(v)[:10])
@pytest.mark.parametrize("kind", AGENTS)
def test_a_bad_reward_is_refused_and_changes_nothing(kind: str, bad: float) -> None:
    agent = KINDS[kind](seed=18)
    run(agent, 20, 19)
    before = agent.state_hash()
    with pytest.raises(ValueError, match="reward"):
        agent.step(np.zeros(D), bad)
    assert agent.state_hash() == before
    agent.predict(np.zeros(D))
    between = agent.state_hash()
    with pytest.raises(ValueError, match="reward"):
        agent.update(bad)
    assert agent.state_hash() == between
    agent.update(0.0)  # is still pending, and succeeds


@pytest.mark.parametrize("scale_reward", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_largest_reward_leaves_finite_weights(dtype: str, scale_reward: bool) -> None:
    agent = rtu.StreamAC(D, 1, units=4, hidden=4, dtype=dtype, scale_reward=scale_reward)
    agent.reset(np.zeros(D))
    for t in range(20):
        agent.step(np.full(D, float(t)), float(np.finfo(np.float32).max) * (-1) ** t)
    assert all(np.isfinite(v).all() for v in agent.parameters.values())


def test_bad_signals_are_refused() -> None:
    v, model = KINDS["predictor"](), KINDS["regressor"]()
    hashes = v.state_hash()
    for bad in BAD_REWARDS:
        with pytest.raises(ValueError, match="cumulant"):
            v.step(np.zeros(D), bad)
    assert v.state_hash() == hashes
    model.predict(np.ones(D))
    hashes = model.state_hash()
    for target in ([0.0], [0.0, math.nan], np.zeros((2, 1)), "ab"):
        with pytest.raises(ValueError):
            model.update(target)
        assert model.state_hash() == hashes
    assert model.update([0.0, 0.0]) >= 0


def test_bad_executed_actions_are_refused() -> None:
    agent = KINDS["continuous"]()
    agent.reset(np.zeros(D))
    agent.predict(np.zeros(D))
    before = agent.state_hash()
    for bad in ([0.0], [math.nan, 0.0], "no", np.zeros((2, 1))):
        with pytest.raises(ValueError):
            agent.update(0.0, applied=bad)
        assert agent.state_hash() == before
    agent.update(0.0, applied=[0.0, 0.0])
    discrete = KINDS["discrete"]()
    discrete.reset(np.zeros(D))
    discrete.predict(np.zeros(D))
    before = discrete.state_hash()
    for bad in (3, -1, 0.5, [0]):
        with pytest.raises(ValueError):
            discrete.update(0.0, applied=bad)
        assert discrete.state_hash() == before


def test_the_order_of_halves_is_kept() -> None:
    agent = KINDS["continuous"]()
    for call in (lambda: agent.step(np.zeros(D), 0.0), lambda: agent.predict(np.zeros(D)), lambda: agent.update(0.0)):
        before = agent.state_hash()
        with pytest.raises(RuntimeError):
            call()
        assert agent.state_hash() == before
    agent.reset(np.zeros(D))
    agent.predict(np.zeros(D))
    before = agent.state_hash()
    with pytest.raises(RuntimeError):
        agent.predict(np.zeros(D))
    assert agent.state_hash() == before
    agent.update(0.0, terminated=True)
    with pytest.raises(RuntimeError):
        agent.step(np.zeros(D), 0.0)
    model = KINDS["regressor"]()
    with pytest.raises(RuntimeError):
        model.update([0.0, 0.0])
    model.predict(np.zeros(D))
    with pytest.raises(RuntimeError):
        model.predict(np.zeros(D))


@pytest.mark.parametrize("bad", [v for v in BAD_VECTORS if not isinstance(v, str)], ids=lambda v: repr(v)[:30])
@pytest.mark.parametrize("kind", [rtu.LinearRTU, rtu.NonlinearRTU])
def test_cells_refuse_bad_vectors(kind: Any, bad: Any) -> None:
    cell, twin = (kind(observation_size=D, n_units=4, seed=20) for _ in range(2))
    for each in (cell, twin):
        each.step(np.ones(D))
    with pytest.raises(ValueError):
        cell.step(bad)
    for call in (cell.gradient, cell.input_gradient):
        with pytest.raises(ValueError):
            call(np.full(8, np.nan))
        with pytest.raises(ValueError):
            call(bad)
    np.testing.assert_array_equal(cell.step(np.ones(D)), twin.step(np.ones(D)))
    for k, g in cell.gradient(np.ones(8)).items():
        np.testing.assert_array_equal(g, twin.gradient(np.ones(8))[k])


BAD_PARAMETERS: list[dict[str, Any]] = [
    {"W3": np.zeros((4, D))}, {"W1": np.zeros((D, 4))}, {"W1": np.zeros(4 * D)}, {"nu_log": np.zeros(5)},
    {"nu_log": np.full(4, np.nan)},
    {"W1": np.full((4, D), np.inf)}, {"W1": np.zeros((4, D), complex)}, {"W1": "x"}, {"W1": None}, {"W1": np.full((4,
    D), 1e39)},
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD_PARAMETERS, ids=lambda v: repr(v)[:40])
def test_load_parameters_takes_all_or_nothing(bad: dict[str, Any]) -> None:
    """A good entry before the bad one is not stored either."""
    cell = rtu.LinearRTU(observation_size=D, n_units=4)
    before = cell.parameters
    with pytest.raises(ValueError, match=next(iter(bad))):
        cell.load_parameters({"theta_log": np.ones(4), **bad})
    for k, v in cell.parameters.items():
        np.testing.assert_array_equal(v, before[k])
    agent = rtu.StreamAC(D, 1, units=4)
    hashes = agent.state_hash()
    with pytest.raises(ValueError):
        agent.load_parameters({"critic.cell.theta_log": np.ones(4), **{f"actor.cell.{k}": v for k, v in bad.items()}})
    assert agent.state_hash() == hashes


@pytest.mark.parametrize(
    ("cls", "arguments", "names"),
    [
        (rtu.LinearRTU, {"observation_size": 0, "n_units": 5}, "observation_size"),
        (rtu.LinearRTU, {"observation_size": 3, "n_units": 2.5}, "units"),
        (rtu.LinearRTU, {"observation_size": 3, "n_units": 5, "activation": "rleu"}, "relu"),
        (rtu.LinearRTU, {"observation_size": 3, "n_units": 5, "dtype": "float16"}, "float32"),
        (rtu.LinearRTU, {"observation_size": 3, "n_units": 5, "seed": -1}, "seed"),
        (rtu.LinearRTU, {"observation_size": 3, "n_units": 5, "r_max": 1.5}, "r_max"),
        (rtu.LinearRTU, {"observation_size": 3, "n_units": 5, "r_min": 0.9, "r_max": 0.5}, "r_min"),
        (rtu.LinearRTU, {"observation_size": 3, "n_units": 5, "max_phase": math.nan}, "max_phase"),
        (rtu.LinearRTU, {"observation_size": 3, "n_units": 5, "units_per_pole": 2}, "units_per_pole"),
        (rtu.NonlinearRTU, {"observation_size": 3, "n_units": 4, "units_per_pole": 2}, "units_per_pole"),
        (rtu.StreamAC, {"observation_size": 2}, "n_actions"),
        (rtu.StreamAC, {"observation_size": 2, "action_size": 1, "n_actions": 2}, "n_actions"),
        (rtu.StreamAC, {"observation_size": 2, "n_actions": 1}, "n_actions"),
        (rtu.StreamAC, {"observation_size": 2, "action_size": 0}, "action_size"),
        (rtu.StreamAC, {"observation_size": 2, "action_size": 1, "gamma": 1.5}, "gamma"),
        (rtu.StreamAC, {"observation_size": 2, "action_size": 1, "trace_decay": {"recurent": 0.9}}, "recurrent"),
        (rtu.StreamAC, {"observation_size": 2, "action_size": 1, "trace_decay": {"recurrent": 0.9}}, "body"),
        (rtu.StreamAC, {"observation_size": 2, "action_size": 1, "actor": {"kapa": 3}}, "kappa"),
        (rtu.StreamAC, {"observation_size": 2, "action_size": 1, "critic": {"kappa": 0}}, "critic.kappa"),
        (rtu.StreamAC, {"observation_size": 2, "action_size": 1, "optimizer": "adams"}, "adam"),
        (rtu.StreamAC, {"observation_size": 2, "action_size": 1, "body": "common"}, "shared"),
        (rtu.StreamAC, {"observation_size": 2, "action_size": 1, "hidden": (4, 0)}, "hidden"),
        (rtu.StreamAC, {"observation_size": 2, "action_size": 1, "hidden": (4,) * 99}, "hidden"),
        (rtu.StreamAC, {"observation_size": 2, "action_size": 1, "cell": "gru"}, "linear"),
        (rtu.StreamAC, {"observation_size": 2, "action_size": 1, "dt_s": 0}, "dt_s"),
        (rtu.StreamQ, {"observation_size": 2, "n_actions": 1}, "n_actions"),
        (rtu.StreamQ, {"observation_size": 2, "n_actions": 2, "epsilon_end": 1.5}, "epsilon_end"),
        (rtu.StreamQ, {"observation_size": 2, "n_actions": 2, "cut": "soon"}, "watkins"),
        (rtu.StreamSARSA, {"observation_size": 2, "n_actions": 2, "epsilon_steps": -1}, "epsilon_steps"),
        (rtu.TDPredictor, {"observation_size": 2, "gamma": -0.1}, "gamma"),
        (rtu.OnlineRegressor, {"observation_size": 2, "n_outputs": 0}, "n_outputs"),
    ],
)  # fmt: skip
def test_bad_settings_are_named_with_their_range(cls: Any, arguments: dict[str, Any], names: str) -> None:
    with pytest.raises(rtu.ConfigError, match=names):
        cls(**arguments)


@pytest.mark.parametrize(
    "cls", [rtu.LinearRTU, rtu.StreamAC, rtu.StreamQ, rtu.StreamQRC, rtu.TDPredictor, rtu.OnlineRegressor]
)
def test_unknown_arguments_are_refused(cls: Any) -> None:
    with pytest.raises(TypeError, match="no_such"):
        cls(3, 4, no_such=1)


def test_unknown_keys_of_a_config_are_a_value_error() -> None:
    config = KINDS["continuous"]().config
    with pytest.raises(ValueError, match="no_such"):
        make({**config, "no_such": 1})
    with pytest.raises(ValueError, match="no_such"):
        rtu.footprint({**config, "no_such": 1})
    with pytest.raises(ValueError, match="kind"):
        make({**config, "kind": "no_such"})


# --- checkpoints ---


@kinds
def test_a_loaded_learner_goes_on_to_the_bit(kind: str, tmp_path: Path) -> None:
    learner = KINDS[kind](seed=21)
    run(learner, 100, 22)
    learner.save(tmp_path / "a.ckpt")
    loaded = rtu.load(tmp_path / "a.ckpt")
    assert type(loaded) is type(learner) and loaded.config == learner.config
    assert loaded.state_hash() == learner.state_hash()
    loaded.save(tmp_path / "b.ckpt")
    assert (tmp_path / "a.ckpt").read_bytes() == (tmp_path / "b.ckpt").read_bytes()
    assert equal(run(learner, 300, 23, restart=False), run(loaded, 300, 23, restart=False)), (
        "in the middle of an episode"
    )
    assert loaded.state_hash() == learner.state_hash()


@pytest.mark.parametrize("kind", AGENTS)
def test_saved_between_the_halves(kind: str, tmp_path: Path) -> None:
    """A checkpoint taken after predict() resumes with update()."""
    agent = KINDS[kind](seed=24)
    run(agent, 30, 25)
    agent.predict(np.ones(D))
    agent.save(tmp_path / "a.ckpt")
    loaded = rtu.load(tmp_path / "a.ckpt")
    for each in (agent, loaded):
        each.update(0.5)
    assert loaded.state_hash() == agent.state_hash()
    assert equal(run(agent, 50, 26, restart=False), run(loaded, 50, 26, restart=False))


@kinds
def test_a_copy_is_the_same_and_apart(kind: str) -> None:
    learner = KINDS[kind](seed=27)
    run(learner, 50, 28)
    twin = learner.copy()
    before = learner.state_hash()
    assert twin.state_hash() == before
    answers = run(twin, 50, 29, restart=False)
    assert learner.state_hash() == before
    assert equal(run(learner, 50, 29, restart=False), answers)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    agent = rtu.StreamAC(1, 1, units=1, hidden=1, seed=30)
    agent.reset([0.5])
    agent.step([0.25], 1.0)
    path = tmp_path_factory.mktemp("checkpoint") / "small.ckpt"
    agent.save(path)
    return path.read_bytes()


def refused(data: bytes, path: Path) -> str:
    """The message of rtu.load, and of a restore into an existing agent, which must not change."""
    path.write_bytes(data)
    agent = rtu.StreamAC(1, 1, units=1, hidden=1, seed=31)
    agent.reset([0.1])
    before = agent.state_hash()
    with pytest.raises(rtu.CheckpointError):
        restore(agent, data, path)
    assert agent.state_hash() == before
    with pytest.raises(rtu.CheckpointError) as error:
        rtu.load(path)
    assert str(path) in str(error.value)
    return str(error.value)


def sealed(data: bytes) -> bytes:
    """With a valid checksum: damage that only the inner checks can detect."""
    return data[:-4] + struct.pack("<I", zlib.crc32(data[:-4]))


def test_a_whole_checkpoint_is_taken(checkpoint: bytes, tmp_path: Path) -> None:
    assert sealed(checkpoint) == checkpoint, "the checksum is CRC-32 over all before it"
    (tmp_path / "a").write_bytes(checkpoint)
    assert rtu.load(tmp_path / "a").config["units"] == 1


def test_cut_at_each_byte(checkpoint: bytes, tmp_path: Path) -> None:
    agent = rtu.StreamAC(1, 1, units=1, hidden=1, seed=31)
    before = agent.state_hash()
    for n in range(len(checkpoint)):
        with pytest.raises(rtu.CheckpointError):
            restore(agent, checkpoint[:n])
    assert agent.state_hash() == before
    for n in (0, 1, 7, 39, 40, len(checkpoint) // 2, len(checkpoint) - 1):
        refused(checkpoint[:n], tmp_path / "cut")
    assert "cut short" in refused(checkpoint[:-1], tmp_path / "cut")
    refused(checkpoint + b"\0", tmp_path / "long")


def test_flipped_at_each_byte(checkpoint: bytes, tmp_path: Path) -> None:
    agent = rtu.StreamAC(1, 1, units=1, hidden=1, seed=31)
    before = agent.state_hash()
    for i in range(len(checkpoint)):
        flipped = bytearray(checkpoint)
        flipped[i] ^= 1 << i % 8
        with pytest.raises(rtu.CheckpointError):
            restore(agent, bytes(flipped))
    assert agent.state_hash() == before
    flipped = bytearray(checkpoint)
    flipped[-5] ^= 0x80
    assert "damaged" in refused(bytes(flipped), tmp_path / "flipped")


def test_another_version_is_said_so(checkpoint: bytes, tmp_path: Path) -> None:
    newer = bytearray(checkpoint)
    newer[8:12] = struct.pack("<I", 6)
    message = refused(sealed(bytes(newer)), tmp_path / "newer")
    assert "version 6" in message and "version 1 to 5" in message


def test_another_layout_is_said_so(tmp_path: Path) -> None:
    wide = rtu.StreamAC(1, 1, units=2, hidden=1)
    wide.save(tmp_path / "wide")
    small = rtu.StreamAC(1, 1, units=1, hidden=1)
    before = small.state_hash()
    with pytest.raises(rtu.CheckpointError, match="layout"):
        restore(small, (tmp_path / "wide").read_bytes())
    assert small.state_hash() == before


def test_values_that_are_not_finite_are_refused(checkpoint: bytes, tmp_path: Path) -> None:
    """A NaN in each float section in turn, with a valid checksum, as from a foreign writer. The message names the
    section.
    """
    _, _, text, sections, _ = _core.open_checkpoint(checkpoint)
    offset = 40 + len(text) + 56 * len(sections)  # native/core/checkpoint.h
    for name, dtype, shape in sections:
        if dtype.kind == "f":
            bad = bytearray(checkpoint)
            bad[offset : offset + dtype.itemsize] = dtype.type(np.nan).tobytes()
            assert f"{name} holds a value that is not finite" in refused(sealed(bytes(bad)), tmp_path / "nan")
        offset += math.prod(shape) * dtype.itemsize
    assert offset == len(checkpoint) - 4


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.binary(max_size=400))
def test_garbage_is_refused(data: bytes) -> None:
    agent = rtu.StreamAC(1, 1, units=1, hidden=1, seed=31)
    for each in (data, b"RTUEDGE\0" + data):
        with pytest.raises(rtu.CheckpointError):
            restore(agent, each)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.data())
def test_garbage_under_a_checksum_that_fits(checkpoint: bytes, data: st.DataObject) -> None:
    """Header and section list overwritten anywhere, with a valid checksum: refused without change, or accepted; never a
    crash.
    """
    text = struct.unpack_from("<I", checkpoint, 12)[0]
    sections = struct.unpack_from("<I", checkpoint, 32)[0]
    end = 40 + text + 56 * sections
    where = data.draw(st.integers(0, end - 8))
    bad = bytearray(checkpoint)
    bad[where : where + 8] = data.draw(st.binary(min_size=8, max_size=8))
    agent = rtu.StreamAC(1, 1, units=1, hidden=1, seed=31)
    before = agent.state_hash()
    try:
        restore(agent, sealed(bytes(bad)))
    except rtu.CheckpointError:
        assert agent.state_hash() == before


def test_a_list_of_sections_that_lies_is_refused(checkpoint: bytes) -> None:
    """Each byte before the text or in the section list, changed with a valid checksum."""
    text, sections = struct.unpack_from("<I", checkpoint, 12)[0], struct.unpack_from("<I", checkpoint, 32)[0]
    rows = range(40 + text, 40 + text + 56 * sections)
    agent = rtu.StreamAC(1, 1, units=1, hidden=1, seed=31)
    before = agent.state_hash()
    for i in (*range(40), *rows):
        lying = bytearray(checkpoint)
        lying[i] ^= 1 << i % 8
        with pytest.raises(rtu.CheckpointError):
            restore(agent, sealed(bytes(lying)))
    fewer = bytearray(checkpoint)  # the last rows as a part of the text: the sizes still fit together
    fewer[12:16], fewer[32:36] = struct.pack("<I", text + 56), struct.pack("<I", sections - 1)
    with pytest.raises(rtu.CheckpointError, match="layout"):
        restore(agent, sealed(bytes(fewer)))
    assert agent.state_hash() == before


def test_no_file_and_no_folder(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        rtu.load(tmp_path / "none")
    agent = KINDS["continuous"]()
    with pytest.raises(OSError):
        agent.save(tmp_path / "no folder" / "a.ckpt")


@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace"])
def test_a_writer_that_is_stopped_leaves_the_old_file(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped at each file system call: the old checkpoint remains, and no other file."""
    agent = KINDS["continuous"](seed=32)
    path = tmp_path / "a.ckpt"
    agent.save(path)
    old = path.read_bytes()
    run(agent, 10, 33)

    def stop(*arguments: Any, **keywords: Any) -> Any:
        raise OSError("no space left")

    monkeypatch.setattr(os, call, stop)
    with pytest.raises(OSError):
        agent.save(path)
    monkeypatch.undo()
    assert path.read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["a.ckpt"]
    agent.save(path)
    assert path.read_bytes() != old
    assert rtu.load(path).state_hash() == agent.state_hash()
