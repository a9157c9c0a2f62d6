"""StreamAC.from_env(), StreamAC.learn() and evaluate(): with Gymnasium's environments and with plants."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import rtu_edge as rtu
from rtu_edge._base import progress as progress_line
from rtu_edge.learn import StepRecord
from rtu_edge.learn.onnx import OnnxPolicy
from rtu_edge.learn.spaces import fit


class Stub(gymnasium.Env[Any, Any]):
    """Remembers actions; the reward is 1, an episode has `length` steps."""

    def __init__(self, observation_space: Any, action_space: Any, length: int = 5) -> None:
        self.observation_space, self.action_space, self.length = observation_space, action_space, length
        self.actions: list[Any] = []
        self.resets: list[int | None] = []
        self.gives: dict[int, Any] = {}  # step: observation

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.resets.append(seed)
        return self._observation(), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), f"{action!r} is not in {self.action_space}"
        self.actions.append(action)
        ended = len(self.actions) % self.length == 0
        return self._observation(), np.float64(1.0), False, ended, {}

    def _observation(self) -> Any:
        return self.gives.get(len(self.actions), np.full(self.observation_space.shape, 0.5 + len(self.actions) % 3))


SEEN = spaces.Box(-np.inf, np.inf, (3,))

# ---------------------------------------------------------------- sizes and units


@pytest.mark.parametrize(
    ("acted", "sizes"),
    [
        (spaces.Discrete(3), {"n_actions": 3}),
        (spaces.Discrete(4, start=-2), {"n_actions": 4}),
        (spaces.Box(-1, 1, (2,)), {"action_size": 2}),
        (spaces.Box(np.array([0, -5], np.float32), np.array([1, 20], np.float32)), {"action_size": 2}),
        (spaces.Box(-2, 2, (1,), np.float64), {"action_size": 1}),
    ],
    ids=str,
)
def test_an_agent_fits_and_its_actions_are_of_the_space(acted, sizes):
    env = Stub(SEEN, acted)
    agent = rtu.StreamAC.from_env(env, seed=3, units=8)
    assert {key: agent.config[key] for key in sizes} == sizes and agent.config["observation_size"] == 3
    assert agent.config["units"] == 8
    result = agent.learn(env, 200, progress=False, seed=11)  # step() of the stub refuses what is not of the space
    assert (result.steps, result.episodes, env.resets[:2]) == (200, 40, [11, None])
    assert result.returns == (5.0,) * 40 and result.lengths == (5,) * 40
    assert agent.steps_learned == 200
    if isinstance(acted, spaces.Discrete):
        assert {int(action) for action in env.actions} == set(range(acted.start, acted.start + acted.n))
    else:
        taken = np.array(env.actions)
        assert taken.dtype == acted.dtype
        for share, at in ((-1.0, acted.low), (1.0, acted.high), (0.0, (acted.low + acted.high) / 2)):
            assert np.allclose(fit(env).to_env(np.full(acted.shape, share, np.float32)), at, rtol=1e-6)
        assert (np.ptp(taken, axis=0) > 0.5 * (acted.high - acted.low)).all()


def test_a_plant_gives_sizes_period_and_levels():
    agent = rtu.StreamAC.from_env(rtu.Plant("servo-full"))
    sizes = [agent.config[name] for name in ("observation_size", "action_size", "n_actions", "dt_s")]
    assert sizes == [4, 1, None, rtu.Plant("servo").sheet.period_s]
    plant = rtu.Plant("cartpole")
    agent = rtu.StreamAC.from_env(plant, n_actions=5, dt_s=None)
    assert agent.discrete and agent.config["n_actions"] == 5 and agent.config["dt_s"] is None
    to_env = fit(plant, 5).to_env
    assert [float(to_env(level)[0]) for level in range(5)] == [-10.0, -5.0, 0.0, 5.0, 10.0]
    assert agent.learn(plant, 300, progress=False, seed=0).steps == 300


REFUSED = [
    (spaces.Discrete(16), spaces.Discrete(2), r"observation space Discrete\(16\): expected a Box of one dimension"),
    (spaces.Dict({"a": SEEN}), spaces.Discrete(2), "FlattenObservation"),
    (spaces.Box(0, 255, (84, 84, 3), np.uint8), spaces.Discrete(2), "expected one dimension; gymnasium.wrappers.Flat"),
    (spaces.Box(-1, 1, (1025,)), spaces.Discrete(2), r"1025; StreamAC takes observation_size 1 to 1024"),
    (SEEN, spaces.MultiDiscrete([2, 3]), "several choices"),
    (SEEN, spaces.MultiBinary(3), "several choices"),
    (SEEN, spaces.Tuple((spaces.Discrete(2),)), "expected Discrete or a Box"),
    (SEEN, spaces.Box(-np.inf, np.inf, (1,)), "no bounds"),
    (SEEN, spaces.Box(0, 9, (1,), np.int64), "dtype int64"),
    (SEEN, spaces.Box(-1, 1, (2, 2)), r"shape \(2, 2\); expected one dimension"),
    (SEEN, spaces.Box(-1, 1, (33,)), "33; StreamAC takes action_size 1 to 32"),
    (SEEN, spaces.Discrete(1), "1; StreamAC takes n_actions 2 to 64"),
]


@pytest.mark.parametrize(("seen", "acted", "reason"), REFUSED, ids=lambda value: str(value)[:30])
def test_a_space_that_does_not_fit_is_refused_with_the_reason(seen, acted, reason):
    with pytest.raises(rtu.ConfigError, match=reason):
        rtu.StreamAC.from_env(Stub(seen, acted))


def test_settings_that_follow_from_the_environment_are_refused():
    env = Stub(SEEN, spaces.Discrete(2))
    for name in ("observation_size", "action_size", "n_actions"):
        with pytest.raises(rtu.ConfigError, match=rf"^{name} = 3: follows from"):
            rtu.StreamAC.from_env(env, **{name: 3})
    with pytest.raises(rtu.ConfigError, match=r"^env = 'CartPole-v1': expected a Gymnasium environment, a Plant"):
        rtu.StreamAC.from_env("CartPole-v1")
    vector = gymnasium.make_vec("CartPole-v1", num_envs=2, vectorization_mode="sync")
    with pytest.raises(rtu.ConfigError, match="a vector of environments"):
        rtu.StreamAC.from_env(vector)
    agent = rtu.StreamAC(observation_size=2, action_size=1)
    for call in (lambda: agent.learn(env, 10), lambda: rtu.evaluate(agent, env)):
        with pytest.raises(rtu.ConfigError, match="observation_size = 3, the agent has observation_size = 2"):
            call()


# ---------------------------------------------------------------- learn()


def test_learn_is_the_loop_that_one_would_write():
    plant, other = rtu.Plant("cartpole"), rtu.Plant("cartpole")
    agent, ours = (rtu.StreamAC.from_env(plant, seed=2, units=8) for _ in range(2))
    result = agent.learn(plant, 700, progress=False, seed=5)
    returns, total, episode = [], 0.0, 5
    action = ours.reset(other.reset(seed=episode)[0])
    for _ in range(700):
        observation, reward, terminated, truncated, _ = other.step(other.scale(action))
        total += reward
        action = ours.step(observation, reward, terminated, truncated)
        if terminated or truncated:
            returns.append(total)
            total, episode = 0.0, episode + 1
            action = ours.reset(other.reset(seed=episode)[0])
    assert result.returns == tuple(returns) and agent.state_hash() == ours.state_hash()
    assert str(result).startswith("700 steps in ") and f"{len(returns)} episodes finished" in str(result)
    assert repr(result) == str(result)


def test_a_learner_learns():
    plant = rtu.Plant("cartpole")
    agent = rtu.StreamAC.from_env(plant, seed=0)
    result = agent.learn(plant, 20_000, progress=False, seed=0)
    assert np.mean(result.returns[-50:]) > 3 * np.mean(result.returns[:50])
    assert rtu.evaluate(agent, plant, 5, seed=1).mean > 200


def test_callbacks_get_each_step_and_stop():
    plant = rtu.Plant("cartpole", max_steps=50)
    records: list[StepRecord] = []
    agent = rtu.StreamAC.from_env(plant, seed=0)
    others: list[int] = []
    result = agent.learn(
        plant, 1000, progress=False, callback=[records.append, lambda r: others.append(r.step) or r.step < 120]
    )
    assert result.stopped and result.steps == len(records) == others[-1] == 120
    assert "stopped by a callback" in str(result)
    assert [r.step for r in records] == list(range(1, 121))
    ends = [r for r in records if r.ended]
    assert tuple(r.episode_return for r in ends) == result.returns
    assert tuple(r.episode_length for r in ends) == result.lengths
    assert [r.episode for r in ends] == list(range(1, len(ends) + 1))
    for record in records:
        assert record.reward == 1.0 and record.sigma > 0 and 0 <= record.clipped <= 1
        assert np.isfinite([record.td_error, record.value, record.entropy]).all()
        assert record.entropy == pytest.approx(0.5 * np.log(2 * np.pi * np.e) + np.log(record.sigma), abs=1e-9)
    assert {r.clipped for r in records} == {0.0, 1.0}
    with pytest.raises(dataclasses.FrozenInstanceError):
        records[0].step = 2
    with pytest.raises(rtu.ConfigError, match="callback = 5: expected a function"):
        agent.learn(plant, 10, callback=5)


def test_discrete_actions_have_an_entropy_and_no_sigma():
    env = Stub(SEEN, spaces.Discrete(4))
    records: list[StepRecord] = []
    rtu.StreamAC.from_env(env, seed=0).learn(env, 50, progress=False, callback=records.append)
    assert all(r.sigma is None and r.clipped is None and 0 < r.entropy <= np.log(4) + 1e-6 for r in records)


@pytest.mark.parametrize("at", [0, 7])
def test_what_is_not_finite_is_named_with_its_step(at):
    env = Stub(SEEN, spaces.Box(-1, 1, (1,)))
    env.gives[at] = np.array([0.0, np.nan, 0.0])
    agent = rtu.StreamAC.from_env(env)
    with pytest.raises(ValueError, match=rf"^learn\(\), step {at}: observation\[1\] is nan: expected a finite number"):
        agent.learn(env, 20, progress=False)


def test_a_learner_that_diverges_is_an_error():
    env = Stub(spaces.Box(-np.inf, np.inf, (3,)), spaces.Box(-1, 1, (1,)))
    agent = rtu.StreamAC.from_env(
        env, optimizer="sgd", actor={"step_size": 1e6}, critic={"step_size": 1e6}, normalize_observation=False
    )
    with pytest.raises(RuntimeError, match=r"^learn\(\), step [\d,]+: the learner has diverged"):
        agent.learn(env, 5000, progress=False)
    with pytest.raises(rtu.ConfigError, match="agent: its values are not finite"):
        rtu.evaluate(agent, env)


def test_arguments_are_checked_before_anything_moves():
    plant = rtu.Plant("cartpole")
    agent = rtu.StreamAC.from_env(plant)
    before = agent.state_hash(), plant.state_bytes
    for arguments in ({"steps": 0}, {"steps": 1.5}, {"steps": 5, "seed": -1}, {"steps": 5, "progress": "no"}):
        with pytest.raises(rtu.ConfigError, match=rf"^{list(arguments)[-1]} = "):
            agent.learn(plant, **arguments)
    assert (agent.state_hash(), plant.state_bytes) == before


# ---------------------------------------------------------------- progress


class Terminal:
    """Standard error as a terminal of 80 columns."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return True


def test_progress_on_a_terminal_fits_80_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress_line, "_SHOWN_S", 0.0)
    for max_steps, shown in ((100, "mean("), (0, "reward")):
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        plant = rtu.Plant("servo", max_steps=max_steps)
        rtu.StreamAC.from_env(plant).learn(plant, 210, seed=0)
        last = terminal.text.replace("\x1b[2K", "\n").split("\n")[-2]
        assert "210 steps 100%" in last and "/s" in last and shown in last, terminal.text[-300:]


def test_the_longest_line_fits_80_columns():
    run = progress_line.Progress(10**6, shown=False)
    run.begin -= 60
    run.steps, run.returns = 10**6, [-1234.5678] * 200
    assert len(run.text()) + 13 <= 80


def test_progress_is_quiet_on_a_pipe_except_for_a_line_now_and_then(monkeypatch, capsys):
    plant = rtu.Plant("cartpole")
    agent = rtu.StreamAC.from_env(plant)
    agent.learn(plant, 50)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(progress_line, "_SHOWN_S", 0.0)
    monkeypatch.setattr(progress_line, "_PRINTED_S", 0.0)
    agent.learn(plant, 50)
    out, err = capsys.readouterr()
    assert out == "" and "50 steps 100%" in err.splitlines()[-1]
    agent.learn(plant, 50, progress=False)
    assert capsys.readouterr() == ("", "")


# ---------------------------------------------------------------- evaluate()


def test_evaluation_leaves_the_agent_as_it_is_to_the_bit():
    plant = rtu.Plant("cartpole")
    agent = rtu.StreamAC.from_env(plant, seed=1)
    agent.learn(plant, 777, progress=False, seed=3)
    x = plant.reset(seed=5)[0]
    agent.reset(x)  # in the middle of an episode
    agent.step(x, 1.0)
    before, twin = agent.core.arena(), agent.copy()
    results = [rtu.evaluate(agent, plant, 4, seed=9, deterministic=flag) for flag in (True, False, True, False)]
    assert agent.core.arena() == before
    assert results[0] == results[2] and results[1] == results[3] and results[0] != results[1]
    x = plant.reset(seed=4)[0]
    assert [float(a.step(x, 1.0)[0]) for a in (agent,) * 20] == [float(a.step(x, 1.0)[0]) for a in (twin,) * 20]


def test_evaluation_is_the_mean_of_the_policy_without_learning():
    plant = rtu.Plant("cartpole")
    agent = rtu.StreamAC.from_env(plant, seed=1)
    agent.learn(plant, 500, progress=False, seed=0)
    result = rtu.evaluate(agent, plant, 2, seed=9)
    twin, returns = agent.copy(), []
    for seed in (9, 10):
        action, total = twin.reset(plant.reset(seed=seed)[0], deterministic=True), 0.0
        while True:
            x, reward, terminated, truncated, _ = plant.step(plant.scale(action))
            total += reward
            if terminated or truncated:
                break
            action = twin.step(x, reward, deterministic=True)
        returns.append(total)
    assert result.returns == tuple(returns)
    assert twin.normalizer["count"] == agent.normalizer["count"]


def test_the_result_prints_as_a_table_and_plots(tmp_path):
    plant = rtu.Plant("servo", max_steps=0)
    agent = rtu.StreamAC.from_env(plant, seed=1)
    result = rtu.evaluate(agent, plant, 3, seed=2, max_steps=40)
    assert (result.ends, result.lengths) == (("cut",) * 3, (40,) * 3)
    assert result.mean == pytest.approx(np.mean(result.returns)) and result.min <= result.mean <= result.max
    assert result.std == pytest.approx(np.std(result.returns))
    lines = str(result).splitlines()
    assert lines[0] == "3 episodes, deterministic actions: 3 cut at 40 steps"
    assert lines[1].split() == ["mean", "std", "min", "max"] and max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines[2:]] == ["return", "length", "reward"]
    assert lines[2].split()[1] == f"{result.mean:.4g}"
    figure = result.plot(tmp_path / "returns.png")
    assert (tmp_path / "returns.png").read_bytes().startswith(b"\x89PNG")
    assert list(figure.axes[0].lines[-1].get_ydata()) == list(result.returns)


def test_a_plot_without_matplotlib_names_the_command(monkeypatch):
    plant = rtu.Plant("servo", max_steps=9)
    result = rtu.evaluate(rtu.StreamAC.from_env(plant), plant, 1)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(
        ImportError, match=r'^plot\(\) needs matplotlib, which is not installed: pip install "rtu_edge\[report\]"$'
    ):
        result.plot()


def test_an_exported_policy_is_evaluated_too(tmp_path):
    plant = rtu.Plant("cartpole")
    agent = rtu.StreamAC.from_env(plant, seed=1)
    agent.learn(plant, 500, progress=False, seed=0)
    rtu.export_onnx(agent, tmp_path / "policy.onnx")
    policy = OnnxPolicy(tmp_path / "policy.onnx")
    assert rtu.evaluate(policy, plant, 2, seed=3).returns == rtu.evaluate(agent, plant, 2, seed=3).returns
    with pytest.raises(rtu.ConfigError, match="deterministic = False"):
        rtu.evaluate(policy, plant, deterministic=False)
    with pytest.raises(rtu.ConfigError, match="expected a StreamAC"):
        rtu.evaluate(object(), plant)


# ---------------------------------------------------------------- deterministic=


def test_act_takes_the_mean_or_samples_and_learns_nothing():
    plant = rtu.Plant("cartpole")
    agent = rtu.StreamAC.from_env(plant, seed=1)
    agent.learn(plant, 300, progress=False, seed=0)
    x = plant.reset(seed=0)[0]
    weights = agent.parameters
    means = [agent.copy().act(x) for _ in range(2)]
    assert (means[0] == means[1]).all() and (means[0] == agent.copy().predict(x, deterministic=True)).all()
    spread = []
    for seed in range(300):
        one = agent.copy()
        one.core.set("rng", np.random.default_rng(seed).integers(1, 2**63, 2, dtype=np.uint64))
        spread.append(float(one.act(x, deterministic=False)[0]))
        assert -1 <= spread[-1] <= 1
    assert len(set(spread)) > 50 and min(spread) < float(means[0][0]) < max(spread)
    assert all((weights[name] == value).all() for name, value in agent.parameters.items())


def test_a_first_observation_that_is_refused_changes_nothing():
    agent = rtu.StreamAC(observation_size=2, action_size=1)
    agent.reset([0.0, 0.1])
    before = agent.state_hash()
    for deterministic in (True, False):
        with pytest.raises(ValueError, match="observation"):
            agent.reset([np.nan, 0.0], deterministic=deterministic)
        assert agent.state_hash() == before


# ---------------------------------------------------------------- a robot


def test_an_agent_learns_and_is_evaluated_on_a_robot_as_on_its_plant(tmp_path):
    plant, ours = rtu.Plant("cartpole"), rtu.StreamAC.from_env(rtu.Plant("cartpole"), seed=4, units=8)
    expected = ours.learn(plant, 300, progress=False, seed=3), rtu.evaluate(ours, plant, 2, seed=3)
    with rtu.connect("cartpole") as robot:
        agent = rtu.StreamAC.from_env(robot, seed=4, units=8)
        assert agent.config == ours.config
        found = agent.learn(robot, 300, progress=False, seed=3), rtu.evaluate(agent, robot, 2, seed=3)
        assert found[0].lengths[0] == expected[0].lengths[0] and len(found[1].returns) == 2
        with rtu.CSVWriter(tmp_path / "curve.csv", every=50) as curve:
            result = robot.run(agent, steps=200, progress=False, callback=curve)
        assert len((tmp_path / "curve.csv").read_text().splitlines()) > len(result.returns) >= 1
