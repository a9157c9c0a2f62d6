"""The learners' oracles against derivatives of an unrolled forward pass, hand-computed updates and the slips of
docs/math.md, 7.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from golden_files import relative
from reference import body, init, learners, optim
from reference.eligibility import decays, group
from reference.learners import ACConfig, StreamAC, TDPredictor
from reference.normalizers import RewardScaler, SlippedRewardScaler, Welford
from reference.policies import normal_policy, softmax_policy

D, UNITS, HIDDEN = 2, 4, (5, 3)


def parameters(
    seed: int, prefixes: tuple[str, ...], heads: dict[str, int], d: int = D, cell: bool = True
) -> dict[str, Any]:
    """Dense random weights: a zero weight would hide a wrong gradient."""
    rng = np.random.default_rng(seed)
    p: dict[str, Any] = {}
    for prefix in prefixes:
        dot = prefix + "." if prefix else ""
        if cell:
            p |= {f"{dot}cell.{k}": v for k, v in init.rtu(rng, UNITS, d, r_min=0.5, r_max=0.95).items()}
        width = 2 * UNITS if cell else d
        for i, above in enumerate(HIDDEN):
            p[f"{dot}layer{i}.weight"] = rng.standard_normal((above, width)) / np.sqrt(width)
            p[f"{dot}layer{i}.bias"] = 0.1 * rng.standard_normal(above)
            width = above
    for name, size in heads.items():
        dot = name + "." if name else ""
        p[f"{dot}head.weight"], p[f"{dot}head.bias"] = (
            rng.standard_normal((size, width)),
            0.1 * rng.standard_normal(size),
        )
    return p


def complex_gradient(p: dict[str, Any], f: Any, keys: list[str]) -> dict[str, Any]:
    found = {k: np.zeros(p[k].shape) for k in keys}
    for k in keys:
        for index in np.ndindex(p[k].shape):
            q = {name: v.astype(complex) for name, v in p.items()}
            q[k][index] += 1e-30j
            found[k][index] = f(q).imag / 1e-30
    return found


def unrolled(p: dict[str, Any], prefix: str, head: str, x: np.ndarray, nonlinear: bool) -> Any:
    """Head output after the inputs x, with constant weights."""
    trunk = learners.Trunk(prefix, p, "tanh", nonlinear)
    for row in x:
        trunk.forward(row)
    return learners.Head(head, p, trunk).forward()


@pytest.mark.parametrize("nonlinear", [False, True])
@pytest.mark.parametrize("discrete", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_eligibility_is_the_discounted_sum_of_derivatives(shared: bool, discrete: bool, nonlinear: bool) -> None:
    """With constant weights, z_t = sum_k (gamma lambda)^(t-k) d[log pi + tau sign(delta_(k+1)) H](s_k): each
    derivative by complex step through the unrolled forward pass, nothing of RTRL in it. Rounding only: 1e-11."""
    p = parameters(0, ("body",) if shared else ("actor", "critic"), {"actor": 4 if not discrete else 3, "critic": 1})
    config = ACConfig(
        discrete=discrete, nonlinear=nonlinear, activation="tanh", trace_decay={"recurrent": 0.95, "body": 0.8,
        "head": 0.5},
        optimizer="sgd", actor={"step_size": 0.0}, critic={"step_size": 0.0}, entropy=0.3,
        normalize_observation=False, scale_reward=False, sigma_floor=0.1,
    )  # fmt: skip
    rng = np.random.default_rng(1)
    steps = 6
    x, r = rng.standard_normal((steps + 1, D)), rng.standard_normal(steps)
    a = rng.integers(0, 3, steps + 1) if discrete else rng.standard_normal((steps + 1, 2))
    agent = StreamAC(p, D, config)
    agent.reset(x[0], a[0])
    signs, keys = [], list(agent.actor.z)
    for t in range(steps):
        agent.step(x[t + 1], r[t], a[t + 1])
        signs.append(np.sign(agent.delta))
    assert {-1.0, 1.0} <= set(signs), "both signs of delta are needed to see the entropy term"

    actor_prefix, critic_prefix = ("body", "body") if shared else ("actor", "critic")

    def objective(q: dict[str, Any], k: int) -> Any:
        out = unrolled(q, actor_prefix, "actor", x[: k + 1], nonlinear)
        policy = softmax_policy(out, int(a[k])) if discrete else normal_policy(out, a[k], config.sigma_floor)
        return policy[0] + config.entropy * signs[k] * policy[2]

    decay = decays(config.gamma, config.trace_decay)
    actor = {k: np.zeros_like(p[k]) for k in keys}
    critic = {k: np.zeros_like(p[k]) for k in agent.critic.z}
    for t in range(steps):
        for k, g in complex_gradient(p, lambda q, t=t: objective(q, t), keys).items():
            actor[k] = decay[group(k)] * actor[k] + g

        def value(q: dict[str, Any], t: int = t) -> Any:
            return unrolled(q, critic_prefix, "critic", x[: t + 1], nonlinear)[0]

        for k, g in complex_gradient(p, value, list(critic)).items():
            critic[k] = decay[group(k)] * critic[k] + g
    for k in keys:
        assert relative(agent.actor.z[k], actor[k]) < 1e-11, k
    for k in critic:
        assert relative(agent.critic.z[k], critic[k]) < 1e-11, k


def test_policies_against_numbers() -> None:
    """Densities against textbook values: probabilities sum to one, entropy is the mean of -log pi (20-point
    Gauss-Hermite, exact for these polynomials)."""
    logits = np.array([0.3, -1.2, 2.0])
    log_p = np.array([softmax_policy(logits, a)[0] for a in range(3)])
    assert np.exp(log_p).sum() == pytest.approx(1, abs=1e-15)
    assert softmax_policy(logits, 0)[2] == pytest.approx(-(np.exp(log_p) * log_p).sum(), abs=1e-15)
    out, floor = np.array([0.4, -0.7]), 0.05
    sigma = np.log1p(np.exp(-0.7)) + floor
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    mean = sum(
        w * -normal_policy(out, np.array([0.4 + sigma * u]), floor)[0] for u, w in zip(nodes, weights, strict=True)
    )
    assert normal_policy(out, np.array([0.0]), floor)[2] == pytest.approx(mean / np.sqrt(2 * np.pi), abs=1e-12)


def config(**changes: Any) -> ACConfig:
    """Plain semi-gradient steps on raw numbers, so that a test can follow by hand."""
    plain = {
        "optimizer": "sgd",
        "actor": {"step_size": 0.01},
        "critic": {"step_size": 0.01},
        "normalize_observation": False,
        "scale_reward": False,
    }
    return ACConfig(**(plain | changes))


def agent_after_first_step(**changes: Any) -> tuple[StreamAC, dict[str, Any]]:
    p = parameters(3, ("actor", "critic"), {"actor": 2, "critic": 1})
    agent = StreamAC(p, D, config(**changes))
    agent.reset(np.array([0.5, -1.0]), np.array([0.2]))
    return agent, p


@pytest.mark.parametrize("ending", ["none", "terminated", "truncated"])
def test_delta_by_hand(ending: str) -> None:
    """First transition: delta = r + gamma v(s') - v(s) with the starting weights for both; terminated: no bootstrap."""
    agent, p = agent_after_first_step()
    x = np.array([[0.5, -1.0], [1.5, 0.25]])
    v = [float(unrolled(p, "critic", "critic", x[: k + 1], False)[0]) for k in (0, 1)]  # tanh
    agent = StreamAC(p, D, config(activation="tanh"))
    agent.reset(x[0], np.array([0.2]))
    agent.step(x[1], 0.7, np.array([0.1]), ending == "terminated", ending == "truncated")
    assert agent.delta == pytest.approx(0.7 + (0 if ending == "terminated" else 0.99 * v[1]) - v[0], abs=1e-14)
    assert (ending != "none") == (not any(z.any() for z in agent.critic.z.values()))


def test_slip_4_truncation_is_not_termination() -> None:
    """docs/math.md, 7.4. Constant reward 1, truncated every 5 steps: the value is 1/(1 - gamma) = 10 if a cut
    bootstraps, and below 5, the most that five rewards make, if it is taken for an end. A constant input and a linear
    head: TD converges well within 1 %."""
    p = {
        "actor.head.weight": np.zeros((2, 1)),
        "actor.head.bias": np.zeros(2),
        "critic.head.weight": np.zeros((1, 1)),
        "critic.head.bias": np.zeros(1),
    }
    values = {}
    for slip in (False, True):
        agent = StreamAC(p, 1, config(gamma=0.9, actor={"step_size": 0.0}, critic={"step_size": 0.05}))
        for _ in range(400):
            agent.reset(np.ones(1), np.zeros(1))
            for t in range(5):
                agent.step(np.ones(1), 1.0, np.zeros(1), terminated=slip and t == 4, truncated=not slip and t == 4)
        values[slip] = agent.value
    assert values[False] == pytest.approx(10, rel=0.01)
    assert values[True] < 5


def test_slip_7_a_terminal_reward_stays_in_its_episode() -> None:
    """docs/math.md, 7.7. Episodes of one reward 0 after a terminal reward of 100: u of a new episode starts from 0, so
    it is 0; the slip carries gamma 100 into it, and its deviation differs permanently."""
    ours, slipped = RewardScaler(0.9), SlippedRewardScaler(0.9)
    for _ in range(3):
        ours.begin()
        for reward, done in ((0.0, False), (100.0, True)):
            ours(reward)
            slipped.scale(reward, done)
    history = np.array([0.0, 100.0] * 3)  # u by hand
    assert ours.statistics.mean[0] == pytest.approx(history.mean(), abs=1e-12)
    assert ours.statistics.variance[0] == pytest.approx(history.var(ddof=1), rel=1e-12)
    assert abs(slipped.statistics.variance[0] / history.var(ddof=1) - 1) > 0.1


def test_first_transition_of_an_episode_forgets_the_last_one() -> None:
    agent, _ = agent_after_first_step()
    agent.step(np.array([1.0, 1.0]), 1.0, np.array([0.3]), truncated=True)
    fresh = StreamAC(agent.p, D, agent.c)
    for each in (agent, fresh):
        each.reset(np.array([0.1, 0.2]), np.array([0.0]))
        each.step(np.array([0.3, 0.1]), -0.5, np.array([0.5]))
    assert agent.delta == fresh.delta
    for k in agent.p:
        np.testing.assert_array_equal(agent.p[k], fresh.p[k], err_msg=k)


def test_replaced_action_teaches_the_critic_only() -> None:
    one, p = agent_after_first_step()
    one.step(np.array([1.0, 1.0]), 1.0, np.array([0.3]))
    z, weights = {k: v.copy() for k, v in one.actor.z.items()}, dict(one.p)
    one.step(np.array([0.0, 0.4]), 2.0, np.array([0.1]), overridden=True)
    for k in z:
        np.testing.assert_array_equal(one.p[k], weights[k])
        np.testing.assert_array_equal(one.actor.z[k], 0.99 * 0.8 * z[k])
    assert all((one.p[k] != weights[k]).any() for k in ("critic.head.weight", "critic.layer0.weight", "critic.cell.W1"))
    assert p.keys() == one.p.keys()


def test_recompute_evaluates_s_with_the_weights_of_the_update() -> None:
    """`recompute`: v(s) in the next delta uses the updated weights and the stored recurrent state; without it, to
    the weights that saw s."""
    deltas = {}
    for recompute in (False, True):
        agent, _ = agent_after_first_step(recompute=recompute)
        before = agent.value
        agent.step(np.array([1.0, 1.0]), 1.0, np.array([0.3]))
        assert agent.critic_head.forward()[0] != before
        stale = float(learners.Head("critic", agent.p, agent.trunks[1]).forward()[0])
        if recompute:
            assert agent.value == stale
        else:
            agent.trunks[1].evaluate()
            assert agent.value != float(agent.critic_head.forward()[0])
        agent.step(np.array([-1.0, 0.5]), 0.0, np.array([0.3]))
        deltas[recompute] = agent.delta
    assert deltas[True] != deltas[False]


def test_shared_body_takes_the_sum_of_both_updates() -> None:
    """One step from the same weights with one of the two step sizes at zero, added, is the step with both."""
    p = parameters(4, ("body",), {"actor": 2, "critic": 1})
    moved = {}
    for actor, critic in ((0.01, 0.0), (0.0, 0.01), (0.01, 0.01)):
        agent = StreamAC(p, D, config(actor={"step_size": actor}, critic={"step_size": critic}))
        agent.reset(np.array([0.5, -1.0]), np.array([0.2]))
        agent.step(np.array([1.0, 1.0]), 1.0, np.array([0.3]))
        moved[actor, critic] = {k: agent.p[k] - p[k] for k in p if k.startswith("body.")}
    for k, both in moved[0.01, 0.01].items():
        np.testing.assert_allclose(moved[0.01, 0.0][k] + moved[0.0, 0.01][k], both, atol=1e-15)
        if k != "body.cell.theta_log":  # h was 0 before the first input: the phase has had no effect yet
            assert moved[0.01, 0.0][k].any() and moved[0.0, 0.01][k].any(), k


def test_td_predictor_finds_a_discounted_sum() -> None:
    """Constant cumulant 1: v = 1/(1 - gamma). Also the first step has nothing to learn from."""
    p = {"head.weight": np.zeros((1, 1)), "head.bias": np.zeros(1)}
    v = TDPredictor(p, 0.9, 0.8, optim.ObGD())
    v.reset()
    v.step(np.ones(1), 1.0)
    assert not v.p["head.weight"].any()
    for _ in range(3000):
        found = v.step(np.ones(1), 1.0)
    assert found == pytest.approx(10, rel=1e-3)


def test_regressor_gradient_is_the_derivative_of_its_loss() -> None:
    """One SGD step after five inputs moves the weights by the complex-step derivative of 1/2 |y - target|^2. The step
    is a small one, which lifts no phase to its bound."""
    p = parameters(5, ("",), {"": 2})
    rng = np.random.default_rng(6)
    x, target = rng.standard_normal((5, D)), rng.standard_normal(2)
    step = 2**-5
    model = learners.OnlineRegressor(p, optim.SGD(step), "tanh")
    for row in x:
        y = model.predict(row)
    assert model.update(target) == pytest.approx(0.5 * ((y - target) ** 2).sum())

    def loss(q: dict[str, Any]) -> Any:
        error = unrolled(q, "", "", x, False) - target
        return 0.5 * (error * error).sum()

    for k, g in complex_gradient(p, loss, list(p)).items():
        assert relative((p[k] - model.p[k]) / step, g) < 1e-11, k


def test_body_backward_is_the_derivative() -> None:
    rng = np.random.default_rng(7)
    weights = [
        (rng.standard_normal((6, 5)), rng.standard_normal(6)),
        (rng.standard_normal((3, 6)), rng.standard_normal(3)),
    ]
    x, d_out = rng.standard_normal(5), rng.standard_normal(3)
    net = body.Body(weights)
    net.forward(x)
    _, found = net.backward(d_out)
    wanted = [(d_out @ body.Body(weights).forward(x + 1e-30j * np.eye(5)[j])).imag / 1e-30 for j in range(5)]
    assert relative(found, np.array(wanted)) < 1e-12


def test_layer_by_hand() -> None:
    """Weights (1, -1) of input 3: mean 0, variance 9; the negative half is leaked."""
    out = body.Body([(np.array([[1.0], [-1.0]]), np.zeros(2))]).forward(np.array([3.0]))
    np.testing.assert_allclose(out, np.array([3.0, -0.03]) / np.sqrt(9 + 1e-5), rtol=1e-14)


# --- normalisers ---


def test_welford_meets_the_two_pass_formula() -> None:
    """1000 samples around 1e6: the two-pass variance in longdouble to 1e-9; a sum of squares would lose all digits."""
    x = 1e6 + np.random.default_rng(8).standard_normal((1000, 3))
    w = Welford(3)
    for row in x:
        out = w(row)
    exact = x.astype(np.longdouble)
    np.testing.assert_allclose(w.variance, exact.var(0, ddof=1).astype(float), rtol=1e-9)
    np.testing.assert_allclose(
        out, ((exact[-1] - exact.mean(0)) / np.sqrt(exact.var(0, ddof=1) + 1e-8)).astype(float), rtol=1e-6
    )


def test_first_sample_is_zero_and_its_variance_one() -> None:
    w = Welford(2)
    np.testing.assert_array_equal(w(np.array([3.0, -4.0])), np.zeros(2))
    np.testing.assert_array_equal(w.variance, np.ones(2))


def test_reward_scaling_keeps_the_mean() -> None:
    """Constant rewards keep their sign and are not centred: only divided."""
    scale = RewardScaler(0.99)
    assert all(scale(1.0) > 0 for _ in range(100))
