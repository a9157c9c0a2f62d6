"""A learner that starts from a controller's log: gradients, statistics, the policy it gets, and how it learns on."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import logged
import numpy as np
import pytest

import rtu_edge as rtu
import rtu_edge.cli
from benchmarks import cloning as bench
from rtu_edge._base.errors import ConfigError
from rtu_edge.device.plants import Plant
from rtu_edge.learn import cloning
from rtu_edge.learn.demonstration import demonstration, value_targets
from rtu_edge.loop import RecordFlag
from rtu_edge.record import RunFolder
from rtu_edge.record.reader import read_log
from rtu_edge.run.cloning import demonstration_of

CELLS = ("linear", "nonlinear", "mingru", "lru", "elstm", "none")


def sine(k: int = 120, seed: int = 0, length: int = 40, discrete: bool = False) -> dict[str, Any]:
    """A controller's log on random observations: the difference of two of them, in episodes."""
    x = np.cumsum(np.random.default_rng(seed).standard_normal((k, 2)), axis=0) * 0.1
    u = np.clip(0.5 * x[:, :1] - 0.8 * np.diff(x[:, :1], axis=0, prepend=x[:1, :1]), -1.0, 1.0)
    ends = np.arange(k) % length == length - 1
    return {
        "observations": x,
        "actions": np.digitize(u[:, 0], [-0.2, 0.2]) if discrete else u,
        "rewards": np.cos(x[:, 0]),
        "terminated": ends & (np.arange(k) % 80 < 40),
        "truncated": ends & (np.arange(k) % 80 >= 40),
    }


# ---------------------------------------------------------------- gradients


def log_likelihood(network: cloning._Network, x: np.ndarray, action: Any, sigma: float | None) -> float:
    """Of the answer to the last row, after the whole sequence."""
    network.model.reset()
    for row in x:
        y = network.model.predict(row) * network.scale + network.offset
        network.model.update(None)
    if sigma is None:
        logits = y - y.max()
        return float(logits[action] - np.log(np.exp(logits).sum()))
    return float(-0.5 * np.sum((action - y) ** 2) / sigma**2)


@pytest.mark.parametrize("discrete", [False, True], ids=["continuous", "discrete"])
@pytest.mark.parametrize("cell", ["linear", "nonlinear", "elstm"])
def test_a_step_follows_the_gradient_of_the_log_likelihood_through_the_whole_history(cell: str, discrete: bool) -> None:
    """Adam's first moment after one step is 0.1 of its direction: compared with central differences, for each weight.

    A continuous output is scaled, and its likelihood has a constant sigma: the direction is sigma^2 / scale^2 of it.
    """
    actions = {"n_actions": 3} if discrete else {"action_size": 1}
    agent = rtu.StreamAC(2, units=3, hidden=4, cell=cell, body="separate", sparsity=0.0, dtype="float64", **actions)
    n = 3 if discrete else 1
    scale = np.full(n, 1.0 if discrete else 0.3)
    network = cloning._Network(agent, "actor", (("actor", n),), np.zeros(n), scale, 1e-9)
    x = np.random.default_rng(3).standard_normal((12, 2))
    answer: Any = 2 if discrete else np.array([0.4])
    weights = network.model.parameters

    network.model.reset()
    for row in x[:-1]:
        network.model.predict(row)
        network.model.update(None)
    y = network.model.predict(x[-1]) * scale
    wanted = y + cloning.likelihood_gradient(y, answer) if discrete else answer
    network.model.update(wanted / scale)
    state = network.model.state
    # (1 - beta1) of the ascent direction -dL/dw
    moments = {name: state[f"{part}.z0.m.{leaf}"] / 0.1 for name in weights for part, leaf in [name.rsplit(".", 1)]}

    h, sigma = 1e-6, None if discrete else 0.5
    factor = 1.0 if discrete else sigma**2 / 0.3**2
    for name, value in weights.items():
        for at in list(np.ndindex(value.shape))[:5]:
            found = []
            for sign in (1.0, -1.0):
                moved = value.copy()
                moved[at] += sign * h
                network.model.load_parameters({**weights, name: moved})
                found.append(log_likelihood(network, x, answer, sigma))
            assert moments[name][at] == pytest.approx(factor * (found[0] - found[1]) / (2 * h), rel=2e-5, abs=2e-8), (
                name,
                at,
            )


def test_value_targets_are_the_lambda_returns() -> None:
    """Against the sum of n-step returns, for a terminal and a truncated episode (Sutton and Barto 2018, 12.3)."""
    agent = rtu.StreamAC(2, 1, units=4, hidden=4)
    demo = demonstration(agent, **sine(80))
    values, gamma, decay = np.random.default_rng(1).standard_normal(80), 0.9, 0.7
    found = value_targets(demo, values, demo.rewards, gamma, decay)
    for rows in demo.episodes():
        end = rows.stop - 1
        last = 0.0 if demo.terminated[end] else values[end]
        for t in range(rows.start, end):
            steps = end - t

            def after(n: int, t: int = t, end: int = end, last: float = last) -> float:
                ahead = last if t + n == end else values[t + n]
                return float(sum(gamma**k * demo.rewards[t + 1 + k] for k in range(n)) + gamma**n * ahead)

            weighted = sum((1 - decay) * decay ** (n - 1) * after(n) for n in range(1, steps))
            assert found[t] == pytest.approx(weighted + decay ** (steps - 1) * after(steps), rel=1e-12)


# ---------------------------------------------------------------- what the agent gets


SETTINGS: list[dict[str, Any]] = [
    *({"cell": cell} for cell in CELLS),
    {"body": "separate", "optimizer": "adam"},
    {"encoder": (6,), "previous_action": True, "previous_reward": True, "units_per_pole": 2},
    {"n_actions": 3, "previous_action": True},
    {"n_actions": 3, "body": "separate", "credit": "frozen"},
    {"dtype": "float64", "scale_reward": False, "normalize_observation": False, "optimizer": "intentional"},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_the_agent_acts_as_the_network_that_cloned(settings: dict[str, Any]) -> None:
    """Inputs, weights, statistics and heads are those of the passes: the agent's forward pass gives their output."""
    discrete = "n_actions" in settings
    sizes = {} if discrete else {"action_size": 1}
    agent = rtu.StreamAC(2, units=8, hidden=8, sigma_floor=0.01, seed=4, **sizes, **settings)
    log = sine(discrete=discrete)
    demo = demonstration(agent, **log)
    made = cloning._Cloning(agent, demo, 0.003)
    made.run(2)
    made.store(np.zeros(0) if discrete else np.array([0.05]))
    network, policy, _ = made.networks[0]
    k, actions = 39, []
    network.model.reset()
    y = []
    for row in range(k):
        y.append(network.model.predict(made.x[row]) * network.scale + network.offset)
        network.model.update(None)
        x = log["observations"][row]
        before = log["actions"][row - 1]
        again = {"reward": log["rewards"][row], "applied": int(before) if discrete else before} if row else {}
        actions.append(agent.act(x, **again) if row else agent.reset(x, deterministic=True))
    shown = np.array(y)[:, policy]
    if discrete:
        assert actions == list(shown.argmax(axis=1))
    else:
        np.testing.assert_allclose(np.array(actions), np.clip(shown, -1, 1), atol=1e-5)
        agent.reset(log["observations"][0])
        assert agent.diagnostics["sigma"] == pytest.approx(0.05, rel=1e-4)


def test_statistics_are_those_of_the_log_and_learning_continues() -> None:
    agent = rtu.StreamAC(2, 1, units=8, hidden=8, sigma_floor=0.01)
    log = sine()
    result = agent.clone(**log, passes=3)
    found = agent.normalizer
    assert found["count"] == 120 and np.allclose(found["mean"], log["observations"].mean(axis=0), atol=1e-5)
    assert agent.reward_scale != 1.0 and agent.steps_learned == 0
    assert (result.steps, result.episodes, result.passes) == (120, 3, 3)
    assert "of the action's variance is not explained" in str(result)
    before = agent.parameters
    agent.run(log["observations"], log["rewards"])
    assert any(not np.array_equal(before[name], value) for name, value in agent.parameters.items())


def test_more_passes_explain_more_and_rows_of_others_are_not_imitated() -> None:
    log = sine(400)
    agents = [rtu.StreamAC(2, 1, units=8, hidden=8, sigma_floor=0.01) for _ in range(3)]
    few, many = (agents[k].clone(**log, passes=n) for k, n in ((0, 1), (1, 40)))
    assert many.action_error[0] < 0.2 < few.action_error[0]
    noise = np.random.default_rng(0).uniform(-1, 1, (400, 1))
    own = np.arange(400) % 5 != 0
    mixed = {**log, "actions": np.where(own[:, np.newaxis], log["actions"], noise)}
    assert agents[2].clone(**mixed, demonstrated=own, passes=40).action_error[0] < 0.25


@pytest.mark.parametrize("discrete", [False, True])
def test_an_action_that_never_changes_has_no_share_but_a_word(discrete: bool) -> None:
    """Of a variance of zero every share is senseless: it was 10^4 % and more."""
    log = sine(discrete=discrete)
    if discrete:
        agent, log["actions"] = rtu.StreamAC(2, n_actions=3, units=4, hidden=4), np.ones(120)
    else:
        agent, log["actions"] = (
            rtu.StreamAC(2, 2, units=4, hidden=4),
            np.hstack([log["actions"], np.full((120, 1), 0.3)]),
        )
    found = agent.clone(**log, passes=3)
    assert found.action_error[-1] is None and None not in found.action_error[:-1]
    said = str(found).splitlines()
    assert re.match(r"policy: - of the" if discrete else r"policy: [\d.]+%, - of the", said[1])
    assert said[2].startswith(f"action {0 if discrete else 1}: the same in all of the log")
    changing = str(rtu.StreamAC(2, 1, units=4, hidden=4).clone(**sine(), passes=3))
    assert "the same in all" not in changing


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"observations": np.zeros((120, 3))}, r"observations has shape \(120, 3\), expected \(k, 2\)"),
        ({"actions": np.full((120, 1), 1.5)}, r"actions\[0\] = 1.5: expected numbers from -1.0 to 1.0"),
        ({"actions": np.full((120, 1), np.nan)}, r"actions\[0\] is not finite"),
        ({"rewards": np.zeros(7)}, r"rewards has shape \(7,\), expected \(120\)"),
        ({"terminated": np.full(120, 2)}, "terminated: expected 120 values True or False"),
        ({"demonstrated": np.zeros(120, bool)}, "demonstrated: no row"),
        ({"demonstrated": np.arange(120) == 119}, "demonstrated: no row"),
        ({"observations": [[0.0], [0.0, 1.0]]}, "observations: setting an array element"),
        ({"observations": np.full((120, 2), "a", object)}, "observations: expected real numbers"),
        ({"observations": np.full((120, 2), 1e39)}, r"observations\[0\] is not finite in float32"),
        ({"rewards": np.full(120, 1e39)}, r"rewards\[0\] is not finite in float32"),
        ({"sigma": 0.001}, r"sigma = 0.001: expected 1 number from 0.0101\d* to 1000"),
        ({"passes": 0}, "passes = 0: expected an integer from 1"),
        ({"step_size": 0.0}, "step_size = 0.0: expected a number above 0"),
    ],
    ids=str,
)
def test_a_wrong_argument_is_named_and_changes_nothing(change: dict[str, Any], words: str) -> None:
    agent = rtu.StreamAC(2, 1, units=4, hidden=4, sigma_floor=0.01)
    before = agent.state_hash()
    with pytest.raises(ConfigError, match=words):
        agent.clone(**{**sine(), **change})
    assert agent.state_hash() == before


@pytest.mark.filterwarnings("error")
def test_sigma_up_to_the_end_of_its_range_is_what_exploration_starts_with() -> None:
    agent = rtu.StreamAC(2, 1, units=4, hidden=4, sigma_floor=0.01)
    for sigma in (0.0102, 0.5, 1000.0):
        agent.clone(**sine(), sigma=sigma, passes=1)
        bias = agent.parameters["actor.head.bias"][1:].astype(np.float64)
        assert np.logaddexp(bias, 0.0) + 0.01 == pytest.approx(sigma, rel=1e-5)


# ---------------------------------------------------------------- logs of runs, and the command


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A PD controller with small corrections of an untrained learner: a dither."""
    place = tmp_path_factory.mktemp("clone")
    text = logged.SMALL + (
        "sigma_floor = 0.01\n"
        '[supervisor]\nmode = "residual"\nresidual = {force = 0.1}\n[fallback]\nkind = "pd"\n'
        "[fallback.pd.force]\np = {x = -1.0, theta = -35.0}\nd = {x = -2.5, theta = -6.0}\n[run]\nsteps = 1500\n"
    )
    (place / "robot.toml").write_text(text, encoding="utf-8")
    config = rtu.load_config(place / "robot.toml")
    runs = RunFolder.create(place, "pd")
    logged.run(runs, config, supervised=True)
    return place / "robot.toml", runs.path


def test_a_log_becomes_rows_with_actions_within_its_limits(folder: tuple[Path, Path]) -> None:
    config = rtu.load_config(folder[0])
    log = read_log(folder[1] / RunFolder.LOG)
    agent = rtu.StreamAC(2, 1, units=8, hidden=8, sigma_floor=0.01)
    demo = demonstration_of(log, config, agent)
    records = log.records
    assert len(demo.rewards) == len(records) and int(demo.truncated.sum()) >= 3
    acted = demo.demonstrated
    np.testing.assert_allclose(10.0 * demo.actions[acted], records["u"][acted], atol=1e-5)
    assert (records["flags"][acted] & RecordFlag.ACTED).all()
    other = log.records.copy()
    other["mode"][: len(other) // 2] = other["mode"][: len(other) // 2] & np.uint32(0xFFFFFF0F)
    other["sequence"][900:] += 5
    log.records = other
    half = demonstration_of(log, config, agent)
    assert not half.demonstrated[: len(other) // 2].any() and half.demonstrated[len(other) // 2 :].any()
    assert half.truncated[899] and not demo.truncated[899]
    narrow = rtu.load_config(folder[0], ["limits.force={min=-4, max=10, slew_per_s=1000, accel_per_s2=inf}"])
    with pytest.raises(ConfigError, match=r"limits.force.min = -4: the log was recorded with -10; allowed: that value"):
        demonstration_of(log, narrow, agent)


def test_a_log_of_another_device_is_refused_by_name(folder: tuple[Path, Path], tmp_path: Path) -> None:
    """A pendulum has two observations and an actuator too, so that sizes alone do not tell them apart."""
    text = logged.SMALL.replace('"cartpole"', '"pendulum"')
    (tmp_path / "robot.toml").write_text(text, encoding="utf-8")
    log = read_log(folder[1] / RunFolder.LOG)
    changes = ["limits.torque={min=-1, max=1, slew_per_s=9, accel_per_s2=inf}", "loop.period_us=50000"]
    with pytest.raises(ConfigError) as error:
        demonstration_of(log, rtu.load_config(tmp_path / "robot.toml", changes), None)
    for words in (
        r'device.plant = "pendulum": its observations are .*; those of the log .* are x \(m\), theta \(rad\)',
        r"its actuators are torque \(Nm\); those of the log .* are force \(N\); allowed: a device with the same",
        r"limits.torque: the log .* has no such actuator; it has force",
        r"loop.period_us = 50000: must be within 20 % of the log's 20000",
    ):
        assert re.search(words, str(error.value)), (words, str(error.value))


def test_the_command_writes_a_checkpoint_to_resume(folder: tuple[Path, Path], capfd: Any, tmp_path: Path) -> None:
    out = tmp_path / "start.rtu"
    arguments = ["clone", *map(str, folder), "-o", str(out), "--passes", "3", "--json"]
    with pytest.raises(SystemExit) as leaving:
        rtu_edge.cli.main(arguments)
    assert leaving.value.code == 0
    told = json.loads(capfd.readouterr().out)
    assert told["state_hash"] == rtu.load(out).state_hash() and told["passes"] == 3
    with pytest.raises(SystemExit) as leaving:
        rtu_edge.cli.main([*arguments[:3], "--sigma", "0.0001"])
    assert leaving.value.code == 2 and "sigma_floor" in capfd.readouterr().err
    for read in (folder[0], folder[1] / RunFolder.LOG):
        before = read.read_bytes()
        with pytest.raises(SystemExit) as leaving:
            rtu_edge.cli.main([*arguments[:3], "-o", str(read)])
        assert leaving.value.code == 2 and f"-o {read}: this command reads that file" in capfd.readouterr().err
        assert read.read_bytes() == before


# ---------------------------------------------------------------- learning on


def test_a_cloned_start_balances_and_keeps_balancing_while_it_learns() -> None:
    """The reduced form of `python -m benchmarks.cloning`: one seed, a minute of log, 4 episodes. Random starts fall
    after some 20 steps."""
    logged_pd = bench.record(bench.PD(bench.GAINS["all four"]), 3000, 11, 0.1)
    agent, cloned = bench.start(100, logged_pd)
    assert np.mean(logged_pd.returns) == 500.0 and cloned.action_error[0] < 0.05
    learned = agent.learn(Plant("cartpole"), 2000, progress=False, seed=5)
    assert learned.returns[0] >= 400.0 and min(learned.returns) >= 300.0
