"""The previous action and reward as inputs: against the oracle, in every loop, in files, from C (test_c.py).

Tolerances as in test_learners.py: float64, small steps, 1e-9 of a tensor's largest entry.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import logged
import numpy as np
import pytest
from test_learners import RATES, SHARED, pair, same, sampled
from test_replay_supervised import EARLY, PD, drive

import rtu_edge as rtu
from rtu_edge._base.errors import ConfigError
from rtu_edge.device.plants import Plant
from rtu_edge.learn.checkpoint import complete
from rtu_edge.learn.onnx import OnnxPolicy
from rtu_edge.learn.onnx.policy import drive as drive_onnx
from rtu_edge.learn.onnx.verify import Evaluation
from rtu_edge.record import RunFolder
from rtu_edge.record.reader import read_log
from rtu_edge.run import replay

BOTH = {"previous_action": True, "previous_reward": True}
TOML = ("learner.previous_action=true", "learner.previous_reward=true")


def newest_input(agent: rtu.StreamAC) -> np.ndarray:
    """(d + k + 1,) what the networks saw last."""
    state = agent.state
    return next(state[name] for name in ("actor.cell.step.x", "body.cell.step.x", "actor.x", "body.x") if name in state)


# ---------------------------------------------------------------- against the oracle

CASES: dict[str, dict[str, Any]] = {
    "continuous": {},
    "discrete": {"n_actions": 3},
    "action alone, shared": {"previous_reward": False} | SHARED,
    "reward alone": {"previous_action": False},
    "discrete, shared, nonlinear": {"n_actions": 3, "cell": "nonlinear"} | SHARED,
    "memoryless": {"cell": "none"},
    "memoryless, shared, discrete": {"cell": "none", "n_actions": 3} | SHARED,
    "raw numbers": {"normalize_observation": False, "scale_reward": False},
    "no bound": {"observation_bound": 0.0},
    "a bound that holds often": {"observation_bound": 2.0},
    "recompute, one step": {"recompute": True, "credit": "tbptt1"},
    "frozen, adam": {"credit": "frozen", "optimizer": "adam"} | RATES,
}


@pytest.mark.parametrize("name", CASES)
def test_as_the_oracle(name: str) -> None:
    """Overridden actions, of which some lie out of range, lost rewards, dropped updates, both ends of episodes."""
    agent, slow = pair(5, **BOTH | CASES[name])
    rng = np.random.default_rng(6)
    fresh = True
    for t in range(250):
        x = 5 + np.array([1.0, 10.0, 0.1]) * rng.standard_normal(3)
        if fresh:
            last = agent.reset(x)
            slow.reset(x, sampled(agent))
            fresh = False
            continue
        reward: float | None = float(rng.standard_normal() * 3 + 1)
        overridden, dropped, lost = t % 7 == 3, t % 5 == 1, t % 11 == 2
        applied = None if not overridden else (last + 1) % 3 if agent.discrete else last + np.array([0.5, -0.5])
        reward = None if lost else reward
        terminated, truncated = t % 23 == 22, t % 37 == 36
        last = agent.predict(x, reward=reward, applied=applied)
        agent.update(reward, terminated, truncated, applied=applied, move_weights=not (dropped or lost))
        slow.step(x, reward, sampled(agent), terminated, truncated, overridden, not dropped, applied=applied)
        assert agent.last_step["delta"] == pytest.approx(slow.delta, rel=1e-6, abs=1e-6), f"step {t}"
        fresh = terminated or truncated
    same(agent, slow)


def test_the_oracle_sees_a_wrong_input() -> None:
    """An action that was not applied, a reward of the step before: each shows at once."""
    for wrong in ("action", "reward"):
        agent, slow = pair(5, **BOTH)
        rng = np.random.default_rng(6)
        agent.reset(np.ones(3))
        slow.reset(np.ones(3), sampled(agent))
        before = 0.0
        for _ in range(20):
            x, reward, applied = rng.standard_normal(3), float(rng.standard_normal()), rng.uniform(-1, 1, 2)
            agent.predict(
                x, reward=before if wrong == "reward" else reward, applied=None if wrong == "action" else applied
            )
            agent.update(reward, applied=applied)
            slow.step(x, reward, sampled(agent), overridden=True, applied=applied)
            before = reward
        with pytest.raises(AssertionError):
            same(agent, slow)


# ---------------------------------------------------------------- what the inputs are


@pytest.mark.parametrize("cell", ["linear", "none"])
def test_the_inputs_of_each_step(cell: str) -> None:
    agent = rtu.StreamAC(2, 2, units=4, cell=cell, scale_reward=False, seed=0, **BOTH)
    agent.begin()
    agent.predict([1.0, 2.0], reward=7.0, applied=[0.3, 0.4])  # an episode's first: nothing preceded
    assert newest_input(agent)[2:].tolist() == [0.0, 0.0, 0.0]
    agent.update(7.0)
    chosen = agent.predict([1.0, 3.0], reward=2.5)
    assert newest_input(agent)[4] == 2.5
    agent.update(2.5)
    agent.predict([1.0, 2.0], reward=-1.0)
    np.testing.assert_array_equal(newest_input(agent)[2:], [*chosen, -1.0])
    agent.update(-1.0)
    agent.predict([1.0, 2.0], reward=None, applied=[0.25, -5.0])  # lost; out of range
    assert newest_input(agent)[2:].tolist() == [0.25, -1.0, 0.0]
    agent.update(None, move_weights=False, applied=[0.25, -5.0])
    agent.begin()
    agent.act([1.0, 2.0], reward=3.0)
    assert newest_input(agent)[2:].tolist() == [0.0, 0.0, 0.0]
    mean = agent.act([1.0, 2.0], reward=4.0)
    drawn = agent.act([1.0, 2.0], reward=5.0, deterministic=False)
    np.testing.assert_array_equal(newest_input(agent)[2:], [*mean, 5.0])
    agent.act([1.0, 2.0], reward=6.0)
    np.testing.assert_array_equal(newest_input(agent)[2:], [*drawn, 6.0])


def test_a_discrete_action_is_one_hot() -> None:
    agent = rtu.StreamAC(1, n_actions=4, previous_action=True, seed=0)
    agent.reset([0.0])
    assert newest_input(agent)[1:].tolist() == [0.0] * 4
    for k in range(4):
        agent.predict([float(k)], applied=k)
        assert newest_input(agent)[1:].tolist() == np.eye(4)[k].tolist()
        agent.update(0.0, applied=k)


def test_the_reward_is_the_one_in_delta() -> None:
    """With gamma 0 and v = 0, delta is the scaled reward."""
    agent = rtu.StreamAC(1, 1, gamma=0.0, previous_reward=True, observation_bound=0.0, dtype="float64", seed=0)
    agent.load_parameters(
        {name: np.zeros_like(value) for name, value in agent.parameters.items() if "critic.head" in name}
    )
    rng = np.random.default_rng(0)
    agent.reset([0.0])
    for t in range(40):
        reward = 100.0 * float(rng.standard_normal())
        agent.predict([0.0], reward=reward)
        seen, value = newest_input(agent)[1], agent.last_step["value"]
        agent.update(reward)
        assert agent.last_step["delta"] + value == pytest.approx(seen, rel=1e-5), t
    before = agent.state["reward.m2"].copy()
    agent.act([0.0], reward=50.0)
    assert newest_input(agent)[1] == pytest.approx(50.0 * agent.reward_scale, rel=1e-12)
    assert np.array_equal(agent.state["reward.m2"], before), "no statistic moves without learning"


def test_a_refused_observation_changes_nothing() -> None:
    agent = rtu.StreamAC(1, 1, seed=0, **BOTH)
    agent.reset([0.0])
    before = agent.state_hash()
    for bad in ({"observation": [np.nan], "reward": 1.0}, {"observation": [1.0], "reward": np.inf}):
        with pytest.raises(ValueError, match="finite"):
            agent.predict(**bad)
        assert agent.state_hash() == before
    with pytest.raises(ValueError, match="applied"):
        agent.predict([1.0], applied=[np.nan])
    assert agent.state_hash() == before


def test_off_by_default_and_without_effect_on_others() -> None:
    plain, given = rtu.StreamAC(2, 1, seed=0), rtu.StreamAC(2, 1, seed=0)
    assert plain.config["previous_action"] is False is plain.config["previous_reward"]
    plain.begin()
    given.begin()
    for t in range(10):
        plain.predict([t, 1.0])
        given.predict([t, 1.0], reward=3.0, applied=[0.1])
        plain.update(1.0)
        given.update(1.0)
    assert plain.state_hash() == given.state_hash()


# ---------------------------------------------------------------- loops


def test_every_own_loop_takes_the_same_steps() -> None:
    rng = np.random.default_rng(0)
    x, r = rng.standard_normal((60, 2)).astype(np.float32), rng.standard_normal(60)
    ends = np.arange(60) % 20 == 19
    agents = [rtu.StreamAC(2, 1, units=8, seed=0, **BOTH) for _ in range(4)]
    observed, acted = np.zeros(2, np.float32), np.zeros(1, np.float32)
    agents[3].bind(observed, acted)
    agents[0].run(x, r, terminated=ends)
    for t in range(60):
        first = t % 20 == 0
        observed[:] = x[t]
        if first:
            agents[1].reset(x[t])
            agents[2].begin()
            agents[3].reset_bound()
        else:
            agents[1].step(x[t], r[t], ends[t])
            agents[3].step_bound(r[t], ends[t])
        agents[2].predict(x[t], reward=float(r[t]))
        agents[2].update(float(r[t]), bool(ends[t]))
    assert len({agent.state_hash() for agent in agents}) == 1


@pytest.mark.parametrize("actions", [{}, {"n_actions": 3}])
def test_learn_and_evaluate_natively_as_in_python(actions: dict[str, int]) -> None:
    agents = [rtu.StreamAC.from_env(Plant("cartpole"), units=8, seed=0, **BOTH, **actions) for _ in range(2)]
    agents[0].learn(Plant("cartpole"), 400, progress=False, seed=1)
    agents[1].learn(Plant("cartpole"), 400, progress=False, seed=1, callback=lambda record: True)  # in Python
    assert agents[0].state_hash() == agents[1].state_hash()

    class Own(rtu.StreamAC):
        def act(self, *arguments: Any, **named: Any) -> Any:
            return super().act(*arguments, **named)

    other = Own._made(agents[0].config)
    other.core.adopt(agents[0].core.arena())
    for deterministic in (True, False):
        found = [
            rtu.evaluate(agent, Plant("cartpole"), 3, seed=4, deterministic=deterministic)
            for agent in (agents[0], other)
        ]
        assert found[0] == found[1]


@pytest.mark.parametrize("changes", [(), ('learner.actions="discrete"',), ("learner.body='shared'",)])
def test_a_loop_of_ones_own_replays_to_the_bit(changes: tuple[str, ...]) -> None:
    """Driven from Python, so that the native loop does not verify itself; actions overridden, pauses, lost updates."""
    log, _ = logged.by_hand(logged.config_of(*TOML, *changes), 4000)
    found = replay.verify(log)
    assert found.difference is None, str(found.difference)
    assert found.hashes == 40 and found.final_equal


@pytest.mark.parametrize("changes", [(), ("supervisor.mode='residual'", "supervisor.residual={force=0.3}")])
def test_a_supervised_run_replays_to_the_bit(changes: tuple[str, ...]) -> None:
    changes = (*TOML, *EARLY, PD, *changes)
    log, _ = logged.by_hand(logged.config_of(*changes), 4000, drive=drive(changes))
    found = replay.verify(log)
    assert found.difference is None, str(found.difference)
    assert found.hashes == 40 and found.final_equal


@pytest.mark.parametrize("supervised", [False, True])
def test_the_native_loop_tells_what_was_applied(supervised: bool, tmp_path: Path) -> None:
    """Over the link, with commands that the slew limit changes: the replay, and a twin in Python that is given the
    record's values, end in the same state."""
    config = logged.config_of(*TOML, "limits.force={min=-8, max=9, slew_per_s=50}", "run.steps=3000")
    folder = RunFolder.create(tmp_path, "link")
    _, agent = logged.run(folder, config, supervised=supervised)
    log = read_log(folder.file(RunFolder.LOG))
    found = replay.verify(log)
    assert found.difference is None and found.final_equal
    if supervised:
        return
    twin = rtu.StreamAC._made(agent.config)
    changed = 0
    for record in log.records:
        first = bool(record["flags"] & 1)
        share = (record["applied"] - np.float32(-8)) / np.float32(17)
        applied = np.float32(2) * share - np.float32(1)
        if first:
            twin.begin()
        last = twin.predict(record["x"], reward=float(record["reward"]), applied=applied)
        assert newest_input(twin)[2] == (0 if first else np.clip(applied, -1, 1)[0])
        changed += abs(record["u"][0] - (np.float32(-8) + (last[0] + 1) * np.float32(8.5))) > 0.1
        other = bool(record["calls"] & rtu.loop.CallFlag.APPLIED)
        flags = record["flags"]
        twin.update(
            float(record["reward"]), bool(flags & rtu.loop.RecordFlag.TERMINATED),
            bool(flags & rtu.loop.RecordFlag.TRUNCATED), applied=applied if other else None,
        )  # fmt: skip
    # 1 N a step, of 17: 2400 to 2550 of the 3000 commands of five other seeds, since sigma is several N.
    assert changed > 1500 and twin.state_hash() == agent.state_hash()


def test_a_fallback_from_a_checkpoint_gets_only_observations(tmp_path: Path) -> None:
    rtu.StreamAC(2, 1, previous_reward=True).save(tmp_path / "f.rtu")
    config = logged.config_of(f"fallback={{kind='checkpoint', checkpoint='{tmp_path / 'f.rtu'}'}}")
    with pytest.raises(ConfigError, match="a fallback gets only observations"):
        logged.run(RunFolder.create(tmp_path, "no"), config, supervised=True)


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("actions", [{"action_size": 2}, {"n_actions": 3}])
def test_a_checkpoint_resumes_to_the_bit(actions: dict[str, int], tmp_path: Path) -> None:
    """In the middle of an episode: the last action is part of the state."""
    agent = rtu.StreamAC(2, **actions, units=8, seed=0, **BOTH)
    rng = np.random.default_rng(0)
    agent.reset(rng.standard_normal(2))
    for _ in range(30):
        agent.step(rng.standard_normal(2), float(rng.standard_normal()))
    agent.save(tmp_path / "a.rtu")
    twin = rtu.load(tmp_path / "a.rtu")
    x, r = rng.standard_normal((30, 2)), rng.standard_normal(30)
    agent.run(x, r)
    twin.run(x, r)
    assert twin.config == agent.config and twin.state_hash() == agent.state_hash()


def test_an_older_configuration_has_them_off() -> None:
    old = {key: value for key, value in rtu.StreamAC(2, 1).config.items() if key not in BOTH}
    made = rtu.StreamAC._made(complete(old))
    assert (made.config["previous_action"], made.config["previous_reward"]) == (False, False)
    assert made.nbytes == rtu.StreamAC(2, 1).nbytes


EXPORTED = [
    {"action_size": 2, **BOTH},
    {"n_actions": 3, **BOTH, "body": "shared"},
    {"action_size": 1, "previous_reward": True, "scale_reward": False},
    {"n_actions": 4, "previous_action": True, "cell": "none"},
]


@pytest.mark.parametrize("settings", EXPORTED, ids=str)
def test_an_export_has_the_inputs(settings: dict[str, Any], tmp_path: Path) -> None:
    agent = rtu.StreamAC(2, units=8, seed=0, sparsity=0.0, **settings)
    rng = np.random.default_rng(0)
    agent.reset(rng.standard_normal(2))
    for _ in range(200):
        agent.step(rng.standard_normal(2), 10 * float(rng.standard_normal()))
    path = tmp_path / "policy.onnx"
    rtu.export_onnx(agent, path)
    assert rtu.verify_onnx(path, agent, steps=300) <= 1e-4
    policy = OnnxPolicy(path)
    assert (policy.previous_action, policy.previous_reward) == (
        agent.config["previous_action"], agent.config["previous_reward"],
    )  # fmt: skip
    x = np.array([0.3, -0.2], np.float32)
    policy.predict(x)
    before = policy.state
    with pytest.raises(ValueError, match="expected finite"):
        policy.predict(x, reward=np.nan) if policy.previous_reward else policy.predict(x, applied=np.nan)
    for now, then in zip(policy.state, before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_an_exported_policy_drives_a_plant(tmp_path: Path) -> None:
    plant = Plant("cartpole")
    agent = rtu.StreamAC.from_env(plant, units=8, seed=0, **BOTH)
    agent.learn(plant, 500, progress=False, seed=0)
    rtu.export_onnx(agent, tmp_path / "p.onnx")
    driven = drive_onnx(OnnxPolicy(tmp_path / "p.onnx"), plant, 200, follower=Evaluation(agent))
    assert len(driven.episodes) > 1 and driven.largest_difference < 1e-4
    found = [rtu.evaluate(each, plant, 2, seed=3).lengths for each in (agent, OnnxPolicy(tmp_path / "p.onnx"))]
    assert found[0] == found[1]


def test_footprint_counts_the_inputs() -> None:
    plain = rtu.footprint(observation_size=3, n_actions=4)
    more = rtu.footprint(observation_size=3, n_actions=4, **BOTH)
    assert more.nbytes == rtu.StreamAC(3, n_actions=4, **BOTH).nbytes > plain.nbytes
    assert more.flops == rtu.footprint(observation_size=8, n_actions=4).flops
