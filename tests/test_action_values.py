"""StreamQ and StreamSARSA compared with the float64 oracle, as in test_learners.py; Watkins' cut, exploration, ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden_files import relative
from reference.action_values import ActionValues, ValuesConfig
from test_learners import STEPS, dense, differences, follow, same
from toolchain import ROOT

import rtu_edge as rtu
from rtu_edge.learn import LearnerWarning

OWN = (
    "activation", "credit", "previous_action", "previous_reward", "gamma", "trace_decay", "normalize_observation",
    "observation_bound", "scale_reward", "recompute",
)  # fmt: skip
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "late": {"cut": "late"},
    "relu, two layers": {"activation": "relu", "hidden": (7, 4)},
    "no layer": {"hidden": ()},
    "nonlinear": {"cell": "nonlinear"},
    "memoryless": {"cell": "none"},
    "shared poles": {"units": 6, "units_per_pole": 3},
    "lambda by group": {"trace_decay": {"recurrent": 0.97, "body": 0.6, "head": 0.3}},
    "recompute": {"recompute": True},
    "recompute, late, memoryless": {"recompute": True, "cut": "late", "cell": "none"},
    "raw numbers": {"normalize_observation": False, "scale_reward": False},
    "previous": {"previous_action": True, "previous_reward": True},
    "intentional": {"optimizer": "intentional", "step_size": 0.01},
    "intentional, gradient, late": {
        "optimizer": "intentional",
        "preconditioner": "gradient",
        "step_size": 0.01,
        "cut": "late",
    },
    "adaptive_obgd": {"optimizer": "adaptive_obgd"},
    "sgd": {"optimizer": "sgd", "step_size": 1e-3},
    "adam": {"optimizer": "adam", "step_size": 1e-3},
    "one step": {"credit": "tbptt1"},
    "frozen": {"credit": "frozen"},
    "encoder, recompute, previous": {"encoder": (9, 5), "recompute": True, "previous_action": True},
    "encoder, intentional, lru": {"encoder": 5, "optimizer": "intentional", "step_size": 0.01, "cell": "lru"},
    "wide": {"units": 33, "hidden": 17},
}
RULES = pytest.mark.parametrize("cls", [rtu.StreamQ, rtu.StreamSARSA])


def pair(cls: Any, seed: int, **settings: Any) -> tuple[Any, ActionValues]:
    """An agent that explores in three of ten steps, and its oracle."""
    small = {"units": 5, "hidden": 6, "optimizer": "obgd", "kappa": 20.0, "epsilon_start": 0.3, "epsilon_end": 0.3}
    agent = cls(3, 3, seed=seed, dtype="float64", **(small | settings))
    agent.load_parameters(dense(agent.parameters, seed))
    return agent, oracle_of(agent)


def oracle_of(agent: Any) -> ActionValues:
    c = agent.config
    optimizer = {"rule": c["optimizer"], **{k: c[k] for k in ("step_size", "kappa")}}
    if c["optimizer"] == "intentional":
        optimizer["preconditioner"] = c["preconditioner"]
    settings = ValuesConfig(
        sarsa=agent.kind == "stream_sarsa",
        cut=c.get("cut", "watkins"),
        nonlinear=c["cell"] == "nonlinear",
        optimizer=optimizer,
        **{k: c[k] for k in OWN},
    )
    return ActionValues(agent.parameters, agent.observation_size, settings)


@pytest.mark.parametrize("name", CASES)
def test_stream_q(name: str) -> None:
    check(rtu.StreamQ, CASES[name])


@pytest.mark.parametrize("name", ["plain", "nonlinear", "recompute", "adam", "previous", "intentional"])
def test_stream_sarsa(name: str) -> None:
    check(rtu.StreamSARSA, CASES[name])


def check(cls: Any, settings: dict[str, Any]) -> None:
    agent, slow = pair(cls, 1, **settings)
    start = agent.parameters
    follow(agent, slow, seed=2)
    same(agent, slow)
    stood_still = {k for k, v in agent.parameters.items() if (v == start[k]).all()}
    frozen = {k for k in start if ".cell." in k} if agent.config["credit"] == "frozen" else set()
    assert stood_still == frozen, "a parameter that stood still was not tested"


@RULES
def test_with_its_defaults(cls: Any) -> None:
    agent = cls(3, 2, seed=3, dtype="float64")
    slow = oracle_of(agent)
    follow(agent, slow, 3, 60)
    same(agent, slow)


@pytest.mark.parametrize("what", ["overridden", "dropped", "lost"])
@RULES
def test_steps_that_do_not_move_weights(cls: Any, what: str) -> None:
    """Every third action is replaced, its update dropped, or its reward lost. What something else chose is not learned
    from, and cuts the traces; epsilon does not count it."""
    agent, slow = pair(cls, 4)
    rng = np.random.default_rng(5)
    x = rng.standard_normal(3)
    action = agent.reset(x)
    slow.reset(x, action)
    for t in range(STEPS):
        x, reward = rng.standard_normal(3), float(rng.standard_normal())
        odd = t % 3 == 1
        known = None if odd and what == "lost" else reward
        update = not (odd and what != "overridden")
        other = odd and what == "overridden"
        applied = (action + 1) % 3 if other else action if t % 5 == 0 else None
        weights, steps = agent.parameters, agent.steps_learned
        action = agent.predict(x)
        agent.update(known, applied=applied, move_weights=update)
        slow.step(x, known, action, overridden=other, update=update)
        if odd:
            assert agent.steps_learned == steps
            assert all(np.array_equal(v, weights[k]) for k, v in agent.parameters.items())
    same(agent, slow)


def test_the_gradient_is_that_of_the_chosen_value() -> None:
    """The oracle's z after three greedy steps: the sum of the complex-step derivatives of q(s, a), unrolled."""
    from test_reference_learners import complex_gradient, parameters, unrolled

    p = parameters(0, ("q",), {"q": 3})
    slow = ActionValues(p, 2, ValuesConfig(
        sarsa=True, activation="tanh", optimizer={"rule": "sgd", "step_size": 0.0}, normalize_observation=False,
        scale_reward=False))  # fmt: skip
    rng = np.random.default_rng(1)
    x, a = rng.standard_normal((4, 2)), rng.integers(0, 3, 4)
    slow.reset(x[0], a[0])
    for t in range(3):
        slow.step(x[t + 1], 0.5, a[t + 1])
    wanted = {k: np.zeros_like(v) for k, v in p.items()}
    for t in range(3):
        gradient = complex_gradient(p, lambda q, t=t: unrolled(q, "q", "q", x[: t + 1], False)[a[t]], list(p))
        wanted = {k: 0.99 * 0.8 * v + gradient[k] for k, v in wanted.items()}
    assert all(relative(slow.critic.z[k], wanted[k]) < 1e-11 for k in p)


def watched(cls: Any, cut: dict[str, str]) -> Any:
    """Action values 1 and 0 of an agent without a body, whose z counts visits: bias (2,)."""
    agent = cls(1, 2, cell="none", hidden=(), optimizer="sgd", step_size=0.0, epsilon_start=0.5, epsilon_end=0.5,
                gamma=1.0, trace_decay=1.0, normalize_observation=False, scale_reward=False, seed=6, **cut)  # fmt: skip
    agent.load_parameters({"q.head.weight": [[0.0], [0.0]], "q.head.bias": [1.0, 0.0]})
    return agent


@pytest.mark.parametrize("cut", ["watkins", "late", "none"])
def test_slip_6_where_the_cut_falls(cut: str) -> None:
    """docs/math.md, 7.6. z of the head's bias at lambda 1 counts the actions since the last cut. Watkins: a step that
    deviates leaves only itself in z; late: it is added, and the next one starts from 0. SARSA never cuts."""
    agent = watched(rtu.StreamSARSA if cut == "none" else rtu.StreamQ, {} if cut == "none" else {"cut": cut})
    z, actions, seen = np.zeros(2), [agent.reset([0.0])], set()
    for t in range(60):
        following = agent.step([0.0], 1.0)
        acted = actions[-1]
        cause = acted if cut == "watkins" else actions[-2] if t > 0 and cut == "late" else 0
        z = (z if cause == 0 else 0 * z) + np.eye(2)[acted]
        np.testing.assert_array_equal(agent.core.get("q.head.z0.bias"), z, err_msg=f"step {t}")
        actions.append(following)
        seen.add(acted)
    assert seen == {0, 1}


def test_the_cut_keeps_the_sensitivities() -> None:
    """An action that deviates changes no RTRL trace: those of an agent that explores and of one that does not agree."""
    traces = []
    for epsilon in (0.0, 1.0):
        agent = rtu.StreamQ(2, 2, units=4, hidden=4, step_size=0.0, epsilon_start=epsilon, epsilon_end=epsilon, seed=7)
        rng = np.random.default_rng(8)
        agent.reset(rng.standard_normal(2))
        deviated = 0
        for _ in range(20):
            agent.step(rng.standard_normal(2), 1.0)
            deviated += int(agent.core.get("counters")[5])
        assert (deviated > 0) == (epsilon > 0)
        traces.append(
            [agent.core.get(row[0]) for row in agent.core.sections() if ".cell.T" in row[0] or ".N" in row[0]]
        )
    assert traces[0]
    assert all(np.array_equal(a, b) and a.any() for a, b in zip(*traces, strict=True))


def test_epsilon_falls_linearly() -> None:
    """20 000 actions at a value that favours action 1: the share of others is epsilon (2/3 of the draws), five standard
    errors; at the end it is 0, and a deterministic action never explores."""
    agent = rtu.StreamQ(1, 3, units=1, hidden=(), step_size=0.0, epsilon_end=0.0, epsilon_steps=20000, seed=9)
    agent.load_parameters({"q.head.weight": np.zeros((3, 2)), "q.head.bias": [0.0, 1.0, 0.5]})
    agent.reset([0.0])
    others = np.array([agent.step([0.0], 0.0) != 1 for _ in range(20000)])
    for part, share in enumerate((0.875, 0.625, 0.375, 0.125)):
        p = share * 2 / 3
        assert abs(others[5000 * part : 5000 * (part + 1)].mean() - p) < 5 * np.sqrt(p * (1 - p) / 5000)
    assert not any(agent.step([0.0], 0.0) != 1 for _ in range(1000))
    assert agent.diagnostics["entropy"] == 0.0
    fresh = rtu.StreamQ(1, 3, units=1, hidden=(), seed=9)
    fresh.load_parameters({"q.head.weight": np.zeros((3, 2)), "q.head.bias": [0.0, 1.0, 1.0]})
    assert fresh.reset([0.0], deterministic=True) == 1, "the first of equal values"
    assert fresh.diagnostics["entropy"] == pytest.approx(np.log(3))


def test_a_finding_names_the_learners_own_parameter() -> None:
    agent = rtu.StreamQ(1, 2, units=1, hidden=(), epsilon_start=0.0, epsilon_end=0.0)
    agent.reset([0.0])
    with pytest.warns(LearnerWarning, match="raise epsilon_end"):
        agent.run(np.zeros((2000, 1), np.float32), np.zeros(2000))


@RULES
def test_truncation_bootstraps_and_termination_does_not(cls: Any) -> None:
    """Reward 1 in each of 5 steps: values of 10 = 1 / (1 - gamma) after cuts, below 5 after ends."""
    values = {}
    for slip in (False, True):
        agent = cls(1, 2, cell="none", hidden=(), gamma=0.9, trace_decay=0.8, optimizer="sgd", step_size=0.02,
                    epsilon_start=0.5, epsilon_end=0.5, normalize_observation=False, scale_reward=False)  # fmt: skip
        for _ in range(600):
            agent.reset([1.0])
            for t in range(5):
                agent.step([1.0], 1.0, terminated=slip and t == 4, truncated=not slip and t == 4)
        values[slip] = agent.last_step["value"]
    assert values[False] == pytest.approx(10, rel=0.02)
    assert values[True] < 5


def test_sarsa_values_its_own_policy() -> None:
    """A cliff: action 1 costs 10. With epsilon 0.5 the next state is worth 0 to the greedy policy and -2.5 to the one
    that acts, discounted once."""
    values = {}
    for cls in (rtu.StreamQ, rtu.StreamSARSA):
        agent = cls(2, 2, cell="none", hidden=(), gamma=1.0, trace_decay=0.0, optimizer="sgd", step_size=0.02,
                    epsilon_start=0.5, epsilon_end=0.5, normalize_observation=False, scale_reward=False)  # fmt: skip
        for _ in range(4000):
            agent.reset([1.0, 0.0])
            action = agent.step([0.0, 1.0], 0.0)
            agent.step([0.0, 0.0], -10.0 * action, terminated=True)
        p = agent.parameters
        values[cls] = (p["q.head.weight"][:, 0] + p["q.head.bias"]).max()
    assert abs(values[rtu.StreamQ]) < 0.5
    assert values[rtu.StreamSARSA] == pytest.approx(-2.5, abs=1.0)


def test_learns_in_an_environment_and_exports(tmp_path: Path) -> None:
    """learn(), evaluate(), save, load and ONNX give the same actions; the native loop and the one in Python the same
    bits."""
    plant = rtu.Plant("cartpole")
    agent = rtu.StreamQ.from_env(plant, n_actions=3, units=8, hidden=8, seed=0)
    twin = agent.copy()
    agent.learn(plant, 1000, progress=False, seed=0)
    twin.learn(rtu.Plant("cartpole"), 1000, progress=False, seed=0, callback=lambda record: True)
    assert agent.state_hash() == twin.state_hash() and agent.steps_learned > 500
    assert rtu.evaluate(agent, plant, 2, seed=1).returns == rtu.evaluate(twin, plant, 2, seed=1).returns
    agent.save(tmp_path / "a.ckpt")
    assert type(rtu.load(tmp_path / "a.ckpt")) is rtu.StreamQ
    rtu.export_onnx(agent, tmp_path / "a.onnx")
    assert rtu.verify_onnx(tmp_path / "a.onnx", agent, 200) == 0.0
    assert differences(agent.parameters, twin.parameters) == {}


def test_errors_name_the_class_and_the_value() -> None:
    """Not StreamAC where it is StreamQ; switches take True, False, 1 and 0."""
    from gymnasium import spaces

    class Wide:
        observation_space, action_space = spaces.Box(-1, 1, (3,)), spaces.Discrete(65)

    with pytest.raises(rtu.ConfigError, match="65; StreamQ takes n_actions 2 to 64"):
        rtu.StreamQ.from_env(Wide())
    agent = rtu.StreamQ(2, 2, units=2, hidden=())
    agent.reset(np.zeros(2))
    before = agent.state_hash()
    for call in (agent.act, agent.predict, agent.reset):
        with pytest.raises(rtu.ConfigError, match="deterministic = 2: expected True or False"):
            call(np.zeros(2), deterministic=2)
    with pytest.raises(rtu.ConfigError, match="deterministic = 'no'"):
        agent.step(np.zeros(2), 0.0, deterministic="no")
    with pytest.raises(rtu.ConfigError, match="move_weights = 'no'"):
        agent.update(0.0, move_weights="no")
    x = np.zeros((3, 2), np.float32)
    for flags, shown in (([0, 2, 1], r"\[1\] = 2"), (np.array([0, 0, -1], "i1"), r"\[2\] = -1")):
        with pytest.raises(ValueError, match=f"terminated{shown}: expected True or False"):
            agent.run(x, np.zeros(3), flags)
    assert agent.state_hash() == before
    agent.run(x, np.zeros(3), [0, 1, 0])


def test_an_environment_without_discrete_actions_is_refused() -> None:
    with pytest.raises(rtu.ConfigError, match="give n_actions"):
        rtu.StreamQ.from_env(rtu.Plant("cartpole"))
    with pytest.raises(rtu.ConfigError, match="observation_size"):
        rtu.StreamQ.from_env(rtu.Plant("cartpole"), n_actions=3, observation_size=3)


def test_oracle_of_sarsa_is_not_that_of_q() -> None:
    """The comparison can fail: with the other rule's oracle the weights differ."""
    agent, _ = pair(rtu.StreamQ, 1)
    _, slow = pair(rtu.StreamSARSA, 1)
    rng = np.random.default_rng(2)
    action = agent.reset(np.zeros(3))
    slow.reset(np.zeros(3), action)
    for _ in range(20):
        x, reward = rng.standard_normal(3), float(rng.standard_normal())
        slow.step(x, reward, agent.step(x, reward))
    assert max(relative(agent.parameters[k], slow.p[k]) for k in slow.p) > 1e-6


@pytest.fixture
def memory_chain(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import memory_chain

    return memory_chain


def test_memory_chain_is_the_published_task(memory_chain: Any) -> None:
    """length + 1 actions, the bit in the first two observations, the clock one step late, reward at the end alone."""
    env = memory_chain.MemoryChain(4)
    for seed, answer in ((0, 0), (1, 1), (2, 1)):
        first, _ = env.reset(seed=seed)
        results = [env.step(answer) for _ in range(5)]
        rows = [first, *(result[0] for result in results)]
        bit = first[2]
        np.testing.assert_allclose([row[0] for row in rows], [1, 1, 0.75, 0.5, 0.25, 0])
        assert [row[2] for row in rows] == [bit, bit, 0, 0, 0, 0] and abs(bit) == 1
        assert [result[1] for result in results] == [0, 0, 0, 0, 1.0 if (bit > 0) == (answer == 1) else -1.0]
        assert [result[2] for result in results] == [False] * 4 + [True]


def test_memory_chain_by_learn_and_by_run(memory_chain: Any) -> None:
    """The benchmark's short cut gives the score of agent.learn()."""
    agent = rtu.StreamQ(3, 2, units=8, hidden=8, seed=3)
    result = agent.learn(memory_chain.MemoryChain(8), 9 * 100, progress=False, seed=3)
    wanted = memory_chain.train(8, 3, 900, {"units": 8, "hidden": 8})
    assert result.episodes == 100 and np.mean(result.returns[-10:]) == wanted


def test_memory_chain_is_learned(memory_chain: Any) -> None:
    """Length 16 in 60 000 steps; scores of 20 seeds: 0.98 to 1. Without a cell it is chance."""
    assert memory_chain.train(16, 0, 60_000, {"epsilon_steps": 10_000}) > 0.8
    assert abs(memory_chain.train(16, 0, 60_000, {"cell": "none", "epsilon_steps": 10_000})) < 0.5
