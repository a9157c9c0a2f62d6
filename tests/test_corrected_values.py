"""StreamQRC compared with the float64 oracle, the oracle with the forward view of its rule, and what it is for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden_files import relative
from reference.corrected_values import OF_A_UNIT, CorrectedConfig, CorrectedValues
from reference.eligibility import decays, group
from test_action_values import OWN
from test_learners import dense, follow, same
from test_reference_learners import complex_gradient, parameters, unrolled

import rtu_edge as rtu

CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "late": {"cut": "late"},
    "relu, two layers": {"activation": "relu", "hidden": (7, 4)},
    "no layer": {"hidden": ()},
    "nonlinear": {"cell": "nonlinear"},
    "mingru": {"cell": "mingru"},
    "elstm": {"cell": "elstm"},
    "lru": {"cell": "lru"},
    "memoryless": {"cell": "none"},
    "memoryless, no layer": {"cell": "none", "hidden": ()},
    "shared poles": {"units": 6, "units_per_pole": 3},
    "lru, shared poles": {"cell": "lru", "units": 6, "units_per_pole": 2},
    "lambda by group": {"trace_decay": {"recurrent": 0.97, "body": 0.6, "head": 0.3}},
    "lambda 0": {"trace_decay": 0.0},
    "recompute": {"recompute": True},
    "recompute, late, memoryless": {"recompute": True, "cut": "late", "cell": "none"},
    "recompute, mingru": {"recompute": True, "cell": "mingru"},
    "raw numbers": {"normalize_observation": False, "scale_reward": False, "step_size": 1e-4, "h_step_size": 1e-4},
    "previous": {"previous_action": True, "previous_reward": True},
    "no decay of h": {"beta": 0.0},
    "one step": {"credit": "tbptt1"},
    "one step, nonlinear": {"credit": "tbptt1", "cell": "nonlinear"},
    "frozen": {"credit": "frozen"},
    "wide": {"units": 33, "hidden": 17, "h_step_size": 1e-3},
}


def pair(seed: int, **settings: Any) -> tuple[rtu.StreamQRC, CorrectedValues]:
    """An agent that explores in three of ten steps, with steps that move its weights, and its oracle."""
    small = {"units": 5, "hidden": 6, "step_size": 2e-3, "h_step_size": 1e-2, "epsilon_start": 0.3, "epsilon_end": 0.3}
    agent = rtu.StreamQRC(3, 3, seed=seed, dtype="float64", **(small | settings))
    agent.load_parameters(dense(agent.parameters, seed))
    return agent, oracle_of(agent)


def oracle_of(agent: rtu.StreamQRC) -> CorrectedValues:
    c = agent.config
    settings = CorrectedConfig(
        cut=c["cut"],
        nonlinear=c["cell"] == "nonlinear",
        **{k: c[k] for k in (*OWN, "step_size", "h_step_size", "beta")},
    )
    return CorrectedValues(agent.parameters, agent.observation_size, settings)


@pytest.mark.parametrize("name", CASES)
def test_stream_qrc(name: str) -> None:
    agent, slow = pair(1, **CASES[name])
    start = agent.parameters
    follow(agent, slow, 2, 130)
    same(agent, slow)
    stood_still = {k for k, v in agent.parameters.items() if (v == start[k]).all()}
    frozen = {k for k in start if ".cell." in k} if agent.config["credit"] == "frozen" else set()
    assert stood_still == frozen, "a parameter that stood still was not tested"


def test_with_its_defaults() -> None:
    agent = rtu.StreamQRC(3, 2, seed=3, dtype="float64")
    assert not agent.parameters["h.head.weight"].any(), "no correction before something was learned"
    slow = oracle_of(agent)
    follow(agent, slow, 3, 60)
    same(agent, slow)


@pytest.mark.parametrize("what", ["overridden", "dropped", "lost"])
def test_steps_that_do_not_move_weights(what: str) -> None:
    """Every third action is replaced, its update dropped, or its reward lost."""
    agent, slow = pair(4, step_size=5e-4)
    rng = np.random.default_rng(5)
    x = rng.standard_normal(3)
    action = agent.reset(x)
    slow.reset(x, action)
    for t in range(130):
        x, reward = rng.standard_normal(3), float(rng.standard_normal())
        odd = t % 3 == 1
        known, other = None if odd and what == "lost" else reward, odd and what == "overridden"
        applied = (action + 1) % 3 if other else action if t % 5 == 0 else None
        weights = agent.parameters
        action = agent.predict(x)
        update = not (odd and what != "overridden")
        agent.update(known, applied=applied, move_weights=update)
        slow.step(x, known, action, overridden=other, update=update)
        assert not odd or all(np.array_equal(v, weights[k]) for k, v in agent.parameters.items())
    same(agent, slow)


@pytest.mark.parametrize("nonlinear", [False, True])
def test_the_rule_is_the_forward_view(nonlinear: bool) -> None:
    """With constant weights the steps of an episode add up to the gradients of the published objective:

        q: sum of  (delta^l - h) grad q - h grad delta^l        h: sum of  (delta^l - h) grad h - beta w

    delta^l = sum of (gamma lambda)^k delta, with the lambda of the parameter's group; each derivative by complex step
    through the unrolled networks, nothing of RTRL, of eligibilities or of y in it. Rounding only: 1e-11."""
    p = parameters(0, ("q", "h"), {"q": 3, "h": 3})
    config = CorrectedConfig(
        nonlinear=nonlinear, activation="tanh", trace_decay={"recurrent": 0.9, "body": 0.6, "head": 0.3}, beta=0.5,
        step_size=1.0, h_step_size=1.0, normalize_observation=False, scale_reward=False,
    )  # fmt: skip
    rng = np.random.default_rng(1)
    steps = 5
    x, r = rng.standard_normal((steps + 1, 2)), rng.standard_normal(steps)

    def values(w: Any, net: str, t: int) -> Any:
        return unrolled(w, net, net, x[: t + 1], nonlinear)

    best = [int(values(p, "q", t).argmax()) for t in range(steps + 1)]

    largest = [values(p, "q", t)[best[t]] for t in range(steps)] + [0.0]  # the last transition terminates
    deltas = [r[t] + config.gamma * largest[t + 1] - largest[t] for t in range(steps)]
    decay = decays(config.gamma, config.trace_decay)
    agent = CorrectedValues(p, 2, config)
    added = {k: np.zeros_like(v) for k, v in p.items()}
    plain = agent.moves

    def moves(following: float, action: int) -> dict[str, Any]:
        for k, v in plain(following, action).items():
            added[k] += v
        return {}

    agent.moves = moves  # type: ignore[method-assign]
    agent.reset(x[0], best[0])  # greedy actions: no cut
    for t in range(steps):
        agent.step(x[t + 1], r[t], best[t + 1], terminated=t == steps - 1)

    def slopes(net: str, t: int) -> dict[str, Any]:
        keys = [k for k in p if k.startswith(net)]
        return complex_gradient(p, lambda w: values(w, net, t)[best[t]], keys)

    slope_q, slope_h = [slopes("q", t) for t in range(steps + 1)], [slopes("h", t) for t in range(steps)]
    slope_q[steps] = {k: np.zeros_like(v) for k, v in slope_q[0].items()}  # after the end
    wanted = {k: np.zeros_like(v) for k, v in p.items()}
    for t in range(steps):
        h = values(p, "h", t)[best[t]]
        for k in p:
            weights = decay[group(k)] ** np.arange(steps - t)
            sum_of = sum(a * deltas[t + n] for n, a in enumerate(weights))
            if k.startswith("h."):
                wanted[k] += (sum_of - h) * slope_h[t][k] - (0.0 if k.endswith(OF_A_UNIT) else config.beta * p[k])
                continue
            following = [config.gamma * slope_q[n + 1][k] - slope_q[n][k] for n in range(t, steps)]
            slope_sum = sum(a * each for a, each in zip(weights, following, strict=True))
            wanted[k] += (sum_of - h) * slope_q[t][k] - h * slope_sum
    for k, v in wanted.items():
        assert relative(added[k], v) < 1e-11, k


@pytest.mark.parametrize("cut", ["watkins", "late"])
def test_the_cut_reaches_the_sums_of_both_networks(cut: str) -> None:
    """docs/math.md, 7.6. z of the biases and y at lambda 1 count the actions since the last cut; h is 1 here."""
    agent = rtu.StreamQRC(1, 2, cell="none", hidden=(), step_size=0.0, h_step_size=0.0, epsilon_start=0.5,
                          epsilon_end=0.5, gamma=1.0, trace_decay=1.0, normalize_observation=False,
                          scale_reward=False, seed=6, cut=cut)  # fmt: skip
    zeros = [[0.0], [0.0]]
    agent.load_parameters(
        {"q.head.weight": zeros, "q.head.bias": [1.0, 0.0], "h.head.weight": zeros, "h.head.bias": [1.0, 1.0]}
    )
    z, actions, seen = np.zeros(2), [agent.reset([0.0])], set()
    for t in range(60):
        following = agent.step([0.0], 1.0)
        acted = actions[-1]
        cause = acted if cut == "watkins" else actions[-2] if t > 0 else 0
        z = (z if cause == 0 else 0 * z) + np.eye(2)[acted]
        for net in ("q", "h"):
            np.testing.assert_array_equal(agent.core.get(f"{net}.head.z0.bias"), z, err_msg=f"step {t}")
        np.testing.assert_array_equal(agent.core.get("correction")[1:], z.sum(), err_msg=f"step {t}")
        actions.append(following)
        seen.add(acted)
    assert seen == {0, 1}


@pytest.mark.filterwarnings("ignore:.*hardly varies its actions")
def test_converges_where_q_learning_diverges() -> None:
    """Two states whose values are w and 2 w, only transitions from the first into the second (Tsitsiklis and Van Roy
    1997): the plain rule moves w by (2 gamma - 1) w each time, away from 0. Every episode is cut by a time limit, so
    both bootstrap, and the correction needs the gradient in the last state too."""
    found = {}
    for cls, more in ((rtu.StreamQ, {"optimizer": "sgd"}), (rtu.StreamQRC, {"h_step_size": 0.05, "beta": 0.1})):
        agent = cls(1, 2, cell="none", hidden=(), gamma=0.99, trace_decay=0.0, step_size=0.01, epsilon_start=0.0,
                    epsilon_end=0.0, normalize_observation=False, scale_reward=False, **more)  # fmt: skip
        agent.load_parameters({"q.head.weight": [[1.0], [0.0]], "q.head.bias": [0.0, -1e3]})
        for _ in range(3000):
            agent.reset([1.0])
            agent.step([2.0], 0.0, truncated=True)
        found[cls] = abs(agent.last_step["delta"])
    assert not found[rtu.StreamQ] < 1e3
    assert found[rtu.StreamQRC] < 0.05


def test_truncation_bootstraps_and_termination_does_not() -> None:
    """Reward 1 in each of 5 steps: values of 10 = 1 / (1 - gamma) after cuts, below 5 after ends."""
    values = {}
    for slip in (False, True):
        agent = rtu.StreamQRC(1, 2, cell="none", hidden=(), gamma=0.9, trace_decay=0.8, step_size=0.02,
                              h_step_size=0.002, epsilon_start=0.5, epsilon_end=0.5, normalize_observation=False,
                              scale_reward=False)  # fmt: skip
        for _ in range(1000):
            agent.reset([1.0])
            for t in range(5):
                agent.step([1.0], 1.0, terminated=slip and t == 4, truncated=not slip and t == 4)
        values[slip] = agent.last_step["value"]
    assert values[False] == pytest.approx(10, rel=0.03)
    assert values[True] < 5


@pytest.mark.parametrize("end", ["terminated", "truncated"])
@pytest.mark.parametrize("cls", [rtu.StreamQ, rtu.StreamSARSA, rtu.StreamQRC])
def test_slip_an_episode_leaves_nothing_to_the_next(cls: Any, end: str) -> None:
    """Published code keeps eligibilities where an episode was cut by a time limit. After either end the next episode
    starts with state, traces, eligibilities and y at 0: its moves are those of a learner that begins with it."""
    settings: dict[str, Any] = {"normalize_observation": False, "scale_reward": False, "epsilon_start": 0.0}
    settings |= {"epsilon_end": 0.0, "units": 4, "hidden": 3, "step_size": 1e-2, "seed": 3}
    settings |= {"h_step_size": 1e-2} if cls is rtu.StreamQRC else {"optimizer": "sgd"}
    agent = cls(2, 2, dtype="float64", **settings)
    rng = np.random.default_rng(4)
    agent.reset(rng.standard_normal(2))
    for t in range(9):
        agent.step(rng.standard_normal(2), 1.0, **{end: t == 8})
    fresh = cls(2, 2, dtype="float64", **settings)
    fresh.load_parameters(agent.parameters)
    x = rng.standard_normal((6, 2))
    for learner in (agent, fresh):
        learner.reset(x[0])
        for row in x[1:]:
            learner.step(row, -1.0)
    for name, value in fresh.parameters.items():
        np.testing.assert_array_equal(agent.parameters[name], value, err_msg=name)


def test_without_h_it_is_stream_q() -> None:
    """h of 0 that does not learn: no correction, to the bit of a step whose weights wait for nothing."""
    settings: dict[str, Any] = {"units": 6, "hidden": 5, "step_size": 1e-3, "epsilon_start": 0.3, "seed": 2}
    plain = rtu.StreamQ(3, 3, optimizer="sgd", **settings)
    agent = rtu.StreamQRC(3, 3, h_step_size=0.0, **settings)
    agent.load_parameters({**agent.parameters, **plain.parameters})
    agent.core.set("rng", plain.core.get("rng"))
    rng = np.random.default_rng(3)
    x, r = rng.standard_normal((80, 3)), rng.standard_normal(80)
    np.testing.assert_array_equal(agent.run(x.astype("f4"), r), plain.run(x.astype("f4"), r))
    for name, value in plain.parameters.items():
        np.testing.assert_array_equal(agent.parameters[name], value, err_msg=name)


@pytest.mark.parametrize(("name", "value"), [("optimizer", "intentional"), ("h_step_size", -1.0), ("beta", -1.0)])
def test_other_settings_are_refused(name: str, value: Any) -> None:
    with pytest.raises(rtu.ConfigError, match=f"{name} = {value!r}: expected"):
        rtu.StreamQRC(3, 2, **{name: value})


def test_learns_in_an_environment_and_exports(tmp_path: Path) -> None:
    """learn(), evaluate(), save, load and ONNX give the same actions; both loops and both ways of a step the same
    bits."""
    plant = rtu.Plant("cartpole")
    agent = rtu.StreamQRC.from_env(plant, n_actions=3, units=8, hidden=8, step_size=1e-2, h_step_size=1e-3, seed=0)
    twin = agent.copy()
    agent.learn(plant, 600, progress=False, seed=0)
    twin.learn(rtu.Plant("cartpole"), 600, progress=False, seed=0, callback=lambda record: True)
    assert agent.state_hash() == twin.state_hash() and agent.steps_learned > 300
    assert rtu.evaluate(agent, plant, 2, seed=1).returns == rtu.evaluate(twin, plant, 2, seed=1).returns
    agent.save(tmp_path / "a.ckpt")
    again = rtu.load(tmp_path / "a.ckpt")
    assert type(again) is rtu.StreamQRC and again.state_hash() == agent.state_hash()
    rtu.export_onnx(agent, tmp_path / "a.onnx")
    assert rtu.verify_onnx(tmp_path / "a.onnx", agent, 200) == 0.0


@pytest.mark.parametrize("cell", ["linear", "nonlinear", "elstm", "none"])
def test_the_largest_layout_is_sized_and_resumes(cell: str, tmp_path: Path) -> None:
    """Four layers, both previous inputs and recompute: the most sections; footprint() is exact."""
    agent = rtu.StreamQRC(3, 4, units=7, hidden=(5, 4, 3, 2), cell=cell, recompute=True, previous_action=True,
                          previous_reward=True, epsilon_start=0.3, step_size=1e-3, h_step_size=1e-2)  # fmt: skip
    assert rtu.footprint(agent.config).nbytes == agent.nbytes
    rng = np.random.default_rng(1)
    x, r = rng.standard_normal((60, 3)).astype("f4"), rng.standard_normal(60)
    agent.run(x[:30], r[:30])
    agent.save(tmp_path / "a.rtu")
    twin = rtu.load(tmp_path / "a.rtu")
    np.testing.assert_array_equal(agent.run(x[30:], r[30:]), twin.run(x[30:], r[30:]))
    assert agent.state_hash() == twin.state_hash() and agent.core.healthy
