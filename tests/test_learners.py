"""The package's learners compared with the float64 oracles, on the same observations, rewards and sampled actions.

The package runs in float64 and starts from the oracle's parameters. Both do the same operations in another order, so
they differ by rounding, 1e-16 per step, which learning amplifies. With small steps (kappa 20) 1e-15 to 4e-11 was
measured after 300 steps; the limit is 1e-9 of the largest entry of each tensor. With the large default steps learning
is chaotic: the difference grows tenfold in some 25 steps, so those runs are compared after 60. A wrong order, sign,
flag or weight shows within a few steps at 1e-3 and more.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from golden_files import relative
from reference import learners, optim
from reference.eligibility import MAX_THETA_LOG
from reference.learners import ACConfig
from reference.normalizers import Channels

import rtu_edge as rtu

STEPS = 300
TOLERANCE = 1e-9


def dense(parameters: dict[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    """Small random numbers instead of the zeros of the sparse initialisation: a zero weight would hide a wrong
    gradient.
    """
    rng = np.random.default_rng(seed)
    return {k: np.where(v == 0, 0.3 * rng.standard_normal(v.shape), v) for k, v in parameters.items()}


def differences(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> dict[str, float]:
    assert found.keys() == wanted.keys()
    return {k: e for k in found if not (e := relative(found[k], wanted[k])) <= TOLERANCE}


def oracle_of(agent: rtu.StreamAC) -> learners.StreamAC:
    """The oracle with the agent's settings and weights."""
    c = agent.config
    return learners.StreamAC(
        agent.parameters,
        agent.observation_size,
        ACConfig(discrete=agent.discrete, nonlinear=c["cell"] == "nonlinear", **{k: c[k] for k in OWN}),
    )


OWN = (
    "activation", "credit", "previous_action", "previous_reward",
    "gamma", "trace_decay", "optimizer", "preconditioner", "actor", "critic", "entropy", "sigma_floor",
    "normalize_observation", "observation_bound", "scale_reward", "recompute", "exploration_correlation",
    "actor_warmup",
)  # fmt: skip
SMALL_STEPS = {"actor": {"kappa": 20.0}, "critic": {"kappa": 20.0}}


def pair(seed: int, **settings: Any) -> tuple[rtu.StreamAC, learners.StreamAC]:
    """A package agent and its oracle with the same settings and the same dense parameters."""
    actions = {} if "n_actions" in settings else {"action_size": 2}
    agent = rtu.StreamAC(
        3,
        seed=seed,
        dtype="float64",
        **({"units": 5, "hidden": 6, "body": "separate"} | SMALL_STEPS | actions | settings),
    )
    agent.load_parameters(dense(agent.parameters, seed))
    return agent, oracle_of(agent)


def sampled(agent: rtu.StreamAC) -> Any:
    return agent.last_action_sample.copy() if not agent.discrete else int(agent.last_action_sample[0])


def follow(agent: rtu.StreamAC, slow: learners.StreamAC, seed: int, steps: int = STEPS, ends: bool = True) -> None:
    """Transitions with both kinds of episode ends; compares value and delta."""
    rng = np.random.default_rng(seed)
    fresh = True
    for t in range(steps):
        x = 5 + np.array([1.0, 10.0, 0.1]) * rng.standard_normal(3)
        if fresh:
            action = agent.reset(x)
            slow.reset(x, sampled(agent))
            fresh = False
            continue
        reward = float(rng.standard_normal() * 3 + 1)
        terminated, truncated = ends and t % 23 == 22, ends and t % 37 == 36
        action = agent.step(x, reward, terminated, truncated)
        if not agent.discrete:
            np.testing.assert_array_equal(action, np.clip(agent.last_action_sample, -1, 1))
        slow.step(x, reward, sampled(agent), terminated, truncated)
        # telemetry is single precision
        assert agent.last_step["delta"] == pytest.approx(slow.delta, rel=1e-6, abs=1e-6), f"delta, step {t}"
        fresh = terminated or truncated


DISCRETE, SHARED = {"n_actions": 3}, {"body": "shared"}
RATES = {"actor": {"step_size": 1e-3}, "critic": {"step_size": 2e-3}}
INTENTIONAL = {"optimizer": "intentional", "actor": {"step_size": 0.002}, "critic": {"step_size": 0.02}}
ADAPTIVE = {"optimizer": "adaptive_obgd"}
BY_GROUP = {"trace_decay": {"recurrent": 0.97, "body": 0.6, "head": 0.3}}
OF_THE_CRITIC = {"trace_decay": 0.95, "critic": {"trace_decay": {"recurrent": 0.5, "body": 0.3, "head": 0.0}}}
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "discrete": DISCRETE,
    "relu": {"activation": "relu"},
    "identity": {"activation": "identity"},
    "two layers": {"hidden": (7, 4)},
    "no layer": {"hidden": ()},
    "shared": SHARED,
    "shared, discrete": SHARED | DISCRETE | {"hidden": (4, 4)},
    "nonlinear": {"cell": "nonlinear"},
    "nonlinear relu, shared": SHARED | {"cell": "nonlinear", "activation": "relu"},
    "memoryless": {"cell": "none"},
    "memoryless, shared": SHARED | DISCRETE | {"cell": "none"},
    "shared poles": {"units": 6, "units_per_pole": 3},
    "lambda by group": BY_GROUP,
    "lambda by group, shared": BY_GROUP | SHARED,
    "lambda of the critic": OF_THE_CRITIC,
    "lambda of the critic, shared, discrete": OF_THE_CRITIC | SHARED | DISCRETE,
    "recompute": {"recompute": True},
    "recompute, shared, discrete": {"recompute": True} | SHARED | DISCRETE,
    "recompute, memoryless": {"recompute": True, "cell": "none"},
    "raw numbers": {"normalize_observation": False, "scale_reward": False},
    "no bound": {"observation_bound": 0.0},
    "a bound that holds often": {"observation_bound": 2.0},
    "entropy": {"entropy": 0.5, "sigma_floor": 0.1},
    "entropy, discrete, shared": {"entropy": 0.5} | DISCRETE | SHARED,
    "correlated": {"exploration_correlation": 0.7},
    "correlated, shared": {"exploration_correlation": 0.5, "sigma_floor": 0.1} | SHARED,
    "correlated, recompute": {"exploration_correlation": 0.7, "recompute": True},
    "correlated, discrete": {"exploration_correlation": 0.7} | DISCRETE,
    "warm-up": {"actor_warmup": 40},
    "warm-up, shared": {"actor_warmup": 1000} | SHARED,
    "sgd": {"optimizer": "sgd"} | RATES,
    "sgd, shared": {"optimizer": "sgd"} | RATES | SHARED,
    "adam": {"optimizer": "adam"} | RATES,
    "adam, shared": {"optimizer": "adam"} | RATES | SHARED,
    "adaptive": ADAPTIVE,
    "adaptive, shared": ADAPTIVE | SHARED,
    "intentional": INTENTIONAL,
    "intentional, shared": INTENTIONAL | SHARED | BY_GROUP,
    "intentional, gradient": INTENTIONAL | {"preconditioner": "gradient"},
    "intentional, trace, discrete": INTENTIONAL | {"preconditioner": "trace"} | DISCRETE,
    "intentional, nonlinear": INTENTIONAL | {"cell": "nonlinear"},
    "intentional, shared poles": INTENTIONAL | {"units": 6, "units_per_pole": 3},
    "intentional, memoryless": INTENTIONAL | {"cell": "none"},
    "intentional, one step, recompute": INTENTIONAL | {"credit": "tbptt1", "recompute": True},
    "intentional, frozen, no layer": INTENTIONAL | {"credit": "frozen", "hidden": ()},
    "intentional, no discount": INTENTIONAL | {"gamma": 0.0},
    "intentional, no decay": INTENTIONAL | {"gamma": 1.0, "trace_decay": {"recurrent": 1.0, "body": 0.9, "head": 0.9}},
    "one step": {"credit": "tbptt1"},
    "one step, shared poles, shared": SHARED | {"credit": "tbptt1", "units": 6, "units_per_pole": 3},
    "one step, nonlinear, adam": {"credit": "tbptt1", "cell": "nonlinear", "optimizer": "adam"} | RATES,
    "one step, recompute": {"credit": "tbptt1", "recompute": True},
    **{
        f"{cell}, {name}": {"cell": cell} | settings
        for cell in ("mingru", "elstm", "lru")
        for name, settings in {
            "plain": {},
            "shared, discrete, relu": SHARED | DISCRETE | {"activation": "relu"},
            "shared, adam, identity": SHARED | {"optimizer": "adam", "activation": "identity"} | RATES,
            "sgd, recompute, no layer": {"optimizer": "sgd", "recompute": True, "hidden": ()} | RATES,
            "one step": {"credit": "tbptt1"},
            "one step, shared, sgd": SHARED | {"credit": "tbptt1", "optimizer": "sgd"} | RATES,
            "one step, adam": {"credit": "tbptt1", "optimizer": "adam"} | RATES,
            "intentional": INTENTIONAL,
            "adaptive, shared": ADAPTIVE | SHARED,
            "frozen": {"credit": "frozen"},
            "frozen, shared, adam": SHARED | {"credit": "frozen", "optimizer": "adam"} | RATES,
            "frozen, sgd": {"credit": "frozen", "optimizer": "sgd"} | RATES,
            "wide": {"units": 33, "hidden": 17},
        }.items()
    },
    "lru, shared poles": {"cell": "lru", "units": 6, "units_per_pole": 3},
    "frozen": {"credit": "frozen"},
    "frozen, nonlinear, shared": SHARED | {"credit": "frozen", "cell": "nonlinear"},
    "frozen, adam, no layer": {"credit": "frozen", "optimizer": "adam", "hidden": ()} | RATES,
    "frozen, recompute": {"credit": "frozen", "recompute": True},
    "step size below the bound": {"actor": {"step_size": 0.0005}, "critic": {"step_size": 0.001}},
    "no discount": {"gamma": 0.0, "trace_decay": 0.0},
    "wide": {"units": 33, "hidden": 17},
}


def same(agent: rtu.StreamAC, slow: learners.StreamAC) -> None:
    assert differences(agent.parameters, slow.p) == {}
    if agent.config["normalize_observation"]:
        assert agent.normalizer["count"] == slow.normalizer.count
        np.testing.assert_allclose(agent.normalizer["mean"], slow.normalizer.mean, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(agent.normalizer["variance"], slow.normalizer.variance, rtol=1e-12)
        np.testing.assert_allclose(agent.normalizer["scale"], slow.normalizer.scale, rtol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_stream_ac(name: str) -> None:
    agent, slow = pair(1, **CASES[name])
    start = agent.parameters
    follow(agent, slow, seed=2)
    same(agent, slow)
    stood_still = {k for k, v in agent.parameters.items() if (v == start[k]).all()}
    frozen = {k for k in start if ".cell." in k} if agent.config["credit"] == "frozen" else set()
    assert stood_still == frozen, "a parameter that stood still was not tested"


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize("body", ["separate", "shared"])
@pytest.mark.parametrize("seed", range(3, 6))
def test_stream_ac_with_its_defaults(seed: int, body: str, ends: bool) -> None:
    """Default settings and the unchanged sparse initialisation."""
    agent = rtu.StreamAC(3, 2, seed=seed, body=body, dtype="float64")
    slow = oracle_of(agent)
    follow(agent, slow, seed, 60, ends)
    same(agent, slow)


def drive(agent: rtu.StreamAC, slow: learners.StreamAC, seed: int, learn: Any) -> None:
    """STEPS transitions, cut every 40; `learn(t, rng, action, observation, reward, truncated)` does one in both."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(3)
    action = agent.reset(x)
    slow.reset(x, sampled(agent))
    for t in range(STEPS):
        x = rng.standard_normal(3)
        action = learn(t, rng, action, x, float(rng.standard_normal()), t % 40 == 39)
        if t % 40 == 39:
            action = agent.reset(x)
            slow.reset(x, sampled(agent))
    same(agent, slow)


@pytest.mark.parametrize("body", ["separate", "shared"])
@pytest.mark.parametrize("actions", [{}, DISCRETE])
def test_replaced_actions(actions: dict[str, int], body: str) -> None:
    """Every seventh action is overridden by something else; every fifth is reported as chosen."""
    agent, slow = pair(11, body=body, **actions)

    def learn(t: int, rng: Any, action: Any, x: Any, reward: float, truncated: bool) -> Any:
        overridden = t % 7 == 3
        applied = (action + 1) % 3 if actions else action + 0.01
        if not overridden:
            applied = action if t % 5 == 0 else None
        following = agent.predict(x)
        agent.update(reward, False, truncated, applied=applied)
        slow.step(x, reward, sampled(agent), truncated=truncated, overridden=overridden)
        return following

    drive(agent, slow, 12, learn)


@pytest.mark.parametrize("kind", ["dropped", "lost"])
@pytest.mark.parametrize(
    "settings",
    [{}, {"recompute": True}, SHARED, {"optimizer": "adam"} | RATES, INTENTIONAL, ADAPTIVE | SHARED],
    ids=str,
)
def test_transitions_without_an_update(settings: dict[str, Any], kind: str) -> None:
    """Every third update is dropped, or its reward lost: no weight moves, traces and eligibilities advance."""
    agent, slow = pair(13, **({"entropy": 0.3} | settings))

    def learn(t: int, rng: Any, action: Any, x: Any, reward: float, truncated: bool) -> None:
        update = t % 3 != 0
        known = None if kind == "lost" and not update else reward
        agent.predict(x)
        agent.update(known, False, truncated, move_weights=update)
        slow.step(x, known, sampled(agent), truncated=truncated, update=update)
        assert agent.last_step["delta"] == pytest.approx(slow.delta, rel=1e-6, abs=1e-6)

    drive(agent, slow, 14, learn)


@pytest.mark.parametrize("settings", [{}, {"optimizer": "adam"} | RATES, INTENTIONAL, ADAPTIVE], ids=str)
def test_a_dropped_update_is_a_step_of_size_0(settings: dict[str, Any]) -> None:
    """Everything except the weights and Adam's state is bit-identical to the result with the update."""
    agents = [rtu.StreamAC(3, 2, units=5, hidden=6, body="separate", seed=21, **settings) for _ in range(2)]
    rng = np.random.default_rng(22)
    for t in range(41):
        x, reward = rng.standard_normal(3), float(rng.standard_normal())
        for agent, update in zip(agents, (True, t < 40), strict=True):
            agent.begin() if t == 0 else None
            agent.predict(x)
            agent.update(reward, move_weights=update)
    with_update, without = (agent.state for agent in agents)
    moved = {name for name in with_update if not np.array_equal(with_update[name], without[name])}
    assert moved, "the update moved nothing"
    own = {"critic.updates", "actor.updates", "critic.rule", "actor.rule", "counters"}  # the optimizers'; updates made
    assert {n for n in moved if n not in agents[0].parameters and ".m." not in n and ".v." not in n} <= own


@pytest.mark.parametrize(
    "settings", [{}, {"cell": "nonlinear"}, {"cell": "lru"}, {"cell": "mingru"}, {"cell": "elstm"}, SHARED], ids=str
)
def test_varying_time_step(settings: dict[str, Any]) -> None:
    """`periods` is k = dt / dt_native of docs/math.md, 1: over skipped periods, state and traces rotate accordingly."""
    agent, slow = pair(15, **settings)

    def learn(t: int, rng: Any, action: Any, x: Any, reward: float, truncated: bool) -> None:
        periods = float(rng.choice([0.9, 1.0, 1.3, 3.0]))
        agent.predict(x, periods=periods)
        agent.update(reward, False, truncated)
        slow.step(x, reward, sampled(agent), truncated=truncated, periods=periods)

    drive(agent, slow, 16, learn)


def test_slip_4_truncation_bootstraps() -> None:
    """docs/math.md, 7.4: the oracle that treats truncation as termination differs; the package matches
    the correct one.
    """
    errors = {}
    for slip in (False, True):
        agent, slow = pair(17)
        rng = np.random.default_rng(18)
        for _ in range(20):
            x = rng.standard_normal(3)
            agent.reset(x)
            slow.reset(x, sampled(agent))
            for t in range(10):
                x = rng.standard_normal(3)
                agent.step(x, 1.0, False, t == 9)
                slow.step(x, 1.0, sampled(agent), slip and t == 9, not slip and t == 9)
        errors[slip] = max(relative(agent.parameters[k], slow.p[k]) for k in slow.p)
    assert errors[False] <= TOLERANCE
    assert errors[True] > 1e-3


def test_slip_4_no_unit_starts_dead() -> None:
    """docs/math.md, 7.4, on the package: no row of a layer or head is all zero, for every width up to 24; the share of
    zeros is the sparse one."""
    for n in range(1, 25):
        for name, w in rtu.StreamAC(n, 2, cell="none", hidden=(n, 5), seed=n).parameters.items():
            if name.endswith("weight"):
                fan_in = w.shape[1]
                assert ((w == 0).sum(1) == min(np.ceil(0.9 * fan_in), fan_in - 1)).all(), name
                assert np.abs(w).max() <= 1 / np.sqrt(fan_in) * (1 + 1e-6), name  # rounded to float
            else:
                assert not w.any(), name


@pytest.mark.parametrize("ending", ["terminated", "truncated"])
def test_slip_7_reward_history_starts_anew(ending: str) -> None:
    """docs/math.md, 7.7, on the package: after a terminal reward of 100 the next episode's history starts from 0."""
    agent, slow = pair(19)
    rng = np.random.default_rng(20)
    for _ in range(10):
        x = rng.standard_normal(3)
        agent.reset(x)
        slow.reset(x, sampled(agent))
        for t in range(4):
            x, last = rng.standard_normal(3), t == 3
            agent.step(x, 100.0 * last, **{ending: last})
            slow.step(x, 100.0 * last, sampled(agent), **{ending: last})
    assert agent.state["reward.mean"][0] == pytest.approx(25, rel=1e-12), "u is 0, 0, 0, 100 in every episode"
    same(agent, slow)


# --- prediction and regression ---

OPTIMIZERS = {
    "obgd": ({"optimizer": "obgd"}, lambda: optim.ObGD(1.0, 2.0)),
    "obgd, kappa 3": ({"optimizer": "obgd", "step_size": 0.1, "kappa": 3.0}, lambda: optim.ObGD(0.1, 3.0)),
    "sgd": ({"optimizer": "sgd", "step_size": 1e-3}, lambda: optim.SGD(1e-3)),
    "adam": ({"optimizer": "adam", "step_size": 1e-2}, lambda: optim.Adam(1e-2)),
    "adaptive": ({"optimizer": "adaptive_obgd", "kappa": 20.0}, lambda: optim.AdaptiveObGD(1.0, 20.0)),
    **{
        f"intentional, {form}": (
            {"optimizer": "intentional", "preconditioner": form, "step_size": 0.02},
            lambda form=form: optim.Intentional(0.02, form),
        )
        for form in ("gradient", "trace", "larger")
    },
}
NETS = {
    "linear": {},
    "one layer": {"hidden": 5},
    "nonlinear, two layers": {"cell": "nonlinear", "activation": "tanh", "hidden": (5, 4)},
    "memoryless": {"cell": "none", "hidden": 5},
    "mingru": {"cell": "mingru", "hidden": 5},
    "elstm": {"cell": "elstm", "activation": "identity"},
    "lru": {"cell": "lru", "activation": "identity"},
    "one step": {"credit": "tbptt1"},
    "one step, mingru": {"credit": "tbptt1", "cell": "mingru"},
    "one step, elstm": {"credit": "tbptt1", "cell": "elstm", "activation": "identity"},
    "one step, lru": {"credit": "tbptt1", "cell": "lru", "hidden": 5, "activation": "tanh"},
    "one step, nonlinear": {"credit": "tbptt1", "cell": "nonlinear", "hidden": 5},
    "frozen": {"credit": "frozen", "hidden": 5},
    "encoder, mingru": {"encoder": (6, 4), "cell": "mingru", "hidden": 5, "normalize_observation": True},
    "encoder, lru": {"encoder": 4, "cell": "lru", "activation": "identity"},
    "normalised": {"normalize_observation": True},
    "normalised, bounded": {"normalize_observation": True, "observation_bound": 2.0},
}


def without_root(p: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {k.split(".", 1)[1]: v for k, v in p.items()}


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("rule", OPTIMIZERS)
def test_td_predictor(rule: str, net: str) -> None:
    """300 steps with a new stream in the middle; values to 1e-9."""
    settings, slow_rule = OPTIMIZERS[rule]
    decay = {"recurrent": 0.95, "body": 0.9, "head": 0.8}
    v = rtu.TDPredictor(3, units=5, gamma=0.9, trace_decay=decay, seed=1, dtype="float64", **settings, **NETS[net])
    v.load_parameters(dense(v.parameters, 1))
    normalizer = Channels(3, NETS[net].get("observation_bound", 10.0)) if "normalize_observation" in NETS[net] else None
    slow = learners.TDPredictor(
        without_root(v.parameters),
        0.9,
        decay,
        slow_rule(),
        NETS[net].get("activation", "relu"),
        NETS[net].get("cell") == "nonlinear",
        normalizer,
        credit=NETS[net].get("credit", "rtrl"),
    )
    rng = np.random.default_rng(2)
    for t in range(STEPS):
        if t == 150:
            v.reset()
            slow.reset()
        x, cumulant = rng.standard_normal(3), float(rng.random() < 0.3)
        assert v.step(x, cumulant) == pytest.approx(slow.step(x, cumulant), rel=1e-9, abs=1e-9), f"step {t}"
    assert differences(without_root(v.parameters), slow.p) == {}


PHASES = np.array([2.5, 2.53, 2.0, 3.0, 0.1])  # log(4 pi) is 2.531; learning amplifies rounding by theta: 30 steps


@pytest.mark.parametrize("rule", OPTIMIZERS)
def test_no_step_lifts_a_phase_above_two_turns(rule: str) -> None:
    """As the oracle, which takes the smaller of two numbers. A pole that a file has above the bound goes down alone."""
    settings, slow_rule = OPTIMIZERS[rule]
    v = rtu.TDPredictor(3, units=5, gamma=0.9, trace_decay=0.9, seed=1, dtype="float64", **settings)
    v.load_parameters(dense(v.parameters, 1) | {"value.cell.theta_log": PHASES})
    slow = learners.TDPredictor(without_root(v.parameters), 0.9, 0.9, slow_rule())
    rng = np.random.default_rng(2)
    seen = [PHASES]
    for t in range(30):
        x, cumulant = rng.standard_normal(3), float(rng.random() < 0.3)
        assert v.step(x, cumulant) == pytest.approx(slow.step(x, cumulant), rel=1e-9, abs=1e-9), f"step {t}"
        seen.append(v.parameters["value.cell.theta_log"])
    assert differences(without_root(v.parameters), slow.p) == {}
    phases = np.array(seen)  # (steps, poles)
    assert phases.max(0)[:3].max() == MAX_THETA_LOG  # it was held
    above = phases[:-1, 3] > MAX_THETA_LOG
    assert above.any() and (np.diff(phases[:, 3])[above] <= 0).all() and phases[-1, 3] < 3.0


@pytest.mark.parametrize("settings", [{}, SHARED, {"optimizer": "adam"} | RATES], ids=str)
def test_phases_of_an_actor_and_a_critic_are_held(settings: dict[str, Any]) -> None:
    agent, _ = pair(3, **settings)
    high = {k: PHASES for k in agent.parameters if k.endswith("theta_log")}
    agent.load_parameters(high)
    slow = oracle_of(agent)
    follow(agent, slow, 3, steps=60)
    same(agent, slow)
    assert all(max(agent.parameters[k][[0, 1, 2, 4]]) <= MAX_THETA_LOG for k in high)


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("rule", ["obgd", "obgd, kappa 3", "sgd", "adam"])
def test_online_regressor(rule: str, net: str, outputs: int) -> None:
    """300 steps, a new sequence in the middle."""
    settings, slow_rule = OPTIMIZERS[rule]
    model = rtu.OnlineRegressor(3, outputs, units=5, seed=3, dtype="float64", **settings, **NETS[net])
    model.load_parameters(dense(model.parameters, 3))
    normalizer = Channels(3, NETS[net].get("observation_bound", 10.0)) if "normalize_observation" in NETS[net] else None
    slow = learners.OnlineRegressor(
        without_root(model.parameters),
        slow_rule(),
        NETS[net].get("activation", "relu"),
        NETS[net].get("cell") == "nonlinear",
        normalizer,
        credit=NETS[net].get("credit", "rtrl"),
    )
    rng = np.random.default_rng(4)
    for t in range(STEPS):
        if t == 150:
            model.reset()
            slow.reset()
        x, target = rng.standard_normal(3), rng.standard_normal(outputs)
        np.testing.assert_allclose(model.predict(x), slow.predict(x), rtol=1e-9, atol=1e-9, err_msg=f"step {t}")
        assert model.update(target) == pytest.approx(slow.update(target), rel=1e-6), f"step {t}"
    assert differences(without_root(model.parameters), slow.p) == {}


def test_regressor_without_a_target_only_watches() -> None:
    """update(None) advances the traces: the next target's gradient still reaches through the gap."""
    model = rtu.OnlineRegressor(3, 1, units=5, seed=5, dtype="float64", optimizer="sgd", step_size=1e-2)
    slow = learners.OnlineRegressor(without_root(model.parameters), optim.SGD(1e-2))
    rng = np.random.default_rng(6)
    for t in range(STEPS):
        x, target = rng.standard_normal(3), rng.standard_normal(1)
        model.predict(x)
        slow.predict(x)
        model.update(target if t % 4 == 0 else None)
        if t % 4 == 0:
            slow.update(target)
    assert differences(without_root(model.parameters), slow.p) == {}


@pytest.mark.parametrize("rule", ["obgd", "sgd", "adaptive_obgd", "intentional"])
def test_a_step_size_of_0_freezes_the_weights_whatever_comes(rule: str) -> None:
    v = rtu.TDPredictor(2, units=4, step_size=0.0, optimizer=rule, seed=0)
    start = v.parameters
    for t in range(200):
        v.step([1.0, 0.5], (-1.0) ** t * 1e20)
    assert all((value == start[name]).all() for name, value in v.parameters.items())


def test_adaptive_obgd_survives_errors_whose_square_no_float_holds() -> None:
    v = rtu.TDPredictor(2, units=4, optimizer="adaptive_obgd", seed=0)
    for t in range(200):
        v.step([1.0, 0.5], 1e20 if t == 100 else 1.0)
    assert all(np.isfinite(value).all() for value in v.parameters.values())
