"""Exploration noise that continues from step to step, and the actor's warm-up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rtu_edge as rtu

STILL = {"actor": {"step_size": 0.0}, "critic": {"step_size": 0.0}, "units": 2, "hidden": 2}


def noise(agent: rtu.StreamAC, steps: int) -> np.ndarray:
    """(steps, action_size) samples less their mean, of a policy that does not change: the observation is constant."""
    rows = [agent.last_action_sample.copy() for _ in range(steps) if agent.step([0.0], 1.0) is not None]
    return np.array(rows)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_noise_has_the_correlation_and_the_deviation(rho: float) -> None:
    agent = rtu.StreamAC(1, action_size=2, seed=3, exploration_correlation=rho, **STILL)
    agent.reset([0.0])
    n = 20_000
    drawn = noise(agent, n)[100:]  # from 0; 0.9^100 is nothing
    sigma = agent.diagnostics["sigma"]
    effective = n * (1 - rho) / (1 + rho)
    for column in drawn.T:
        centred = column - column.mean()
        # The standard error of a correlation of an AR(1) is sqrt((1 - rho^2) / n), of its deviation about
        # sigma / sqrt(2 n (1 - rho^2) / (1 + rho^2)); five of them.
        found = float(centred[1:] @ centred[:-1] / (centred @ centred))
        assert abs(found - rho) < 5 * np.sqrt((1 - rho**2) / n) + 1 / effective
        assert abs(centred.std() / sigma - 1) < 5 * np.sqrt((1 + rho**2) / (2 * n * (1 - rho**2)))
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 5 / np.sqrt(effective)


def test_an_episode_starts_without_the_noise_of_the_last() -> None:
    agent = rtu.StreamAC(1, action_size=1, seed=3, exploration_correlation=0.99, **STILL)
    firsts = []
    for _ in range(2000):
        agent.reset([0.0])
        firsts.append(float(agent.last_action_sample[0]))
        agent.step([0.0], 0.0, True)
    sigma = agent.diagnostics["sigma"]
    share = np.sqrt(1 - 0.99**2)  # of sigma, five standard errors
    assert abs(np.std(firsts) / (share * sigma) - 1) < 5 / np.sqrt(2 * 2000)
    assert abs(np.corrcoef(firsts[1:], firsts[:-1])[0, 1]) < 5 / np.sqrt(2000)


def test_evaluation_draws_from_the_whole_distribution() -> None:
    agent = rtu.StreamAC(1, action_size=1, seed=3, exploration_correlation=0.99, **STILL)
    agent.reset([0.0], deterministic=True)
    drawn = [float(agent.act([0.0], deterministic=False)[0]) for _ in range(2000)]
    assert abs(np.corrcoef(drawn[1:], drawn[:-1])[0, 1]) < 5 / np.sqrt(2000)


def test_noise_is_in_a_checkpoint(tmp_path: Path) -> None:
    agent = rtu.StreamAC(1, action_size=1, seed=3, exploration_correlation=0.9, actor_warmup=50)
    agent.reset([0.0])
    for t in range(30):
        agent.step([np.sin(t)], np.cos(t))
    agent.save(tmp_path / "agent.rtu")
    again = rtu.load(tmp_path / "agent.rtu")
    assert again.config == agent.config
    for t in range(30, 60):
        np.testing.assert_array_equal(again.step([np.sin(t)], np.cos(t)), agent.step([np.sin(t)], np.cos(t)))
    assert again.state_hash() == agent.state_hash()


def test_a_file_from_before_has_neither(tmp_path: Path) -> None:
    from rtu_edge.learn.checkpoint.text import stored_config

    before = rtu.StreamAC(1, action_size=1, exploration_correlation=0.0, actor_warmup=0)
    assert not {"exploration_correlation", "actor_warmup"} & set(stored_config(before.config))
    before.save(tmp_path / "agent.rtu")
    assert rtu.load(tmp_path / "agent.rtu").config == before.config


def test_warm_up_scales_the_actors_step_alone() -> None:
    def moved(warmup: int) -> dict[str, np.ndarray]:
        agent = rtu.StreamAC(1, action_size=1, seed=3, dtype="float64", body="separate", actor_warmup=warmup)
        agent.reset([0.0])
        before = {name: value.copy() for name, value in agent.parameters.items()}
        for t in range(1, 4):
            agent.step([float(t)], 1.0)
        return {name: value - before[name] for name, value in agent.parameters.items()}

    plain, slow = moved(0), moved(10**6)
    for name in plain:
        if name.startswith("critic."):
            np.testing.assert_array_equal(slow[name], plain[name])
        else:
            assert np.abs(slow[name]).max() < 1e-5 * max(np.abs(plain[name]).max(), 1e-3), name


@pytest.mark.parametrize(("name", "value"), [("exploration_correlation", 1.0), ("exploration_correlation", -0.1),
                                             ("actor_warmup", -1), ("actor_warmup", 2**31)])  # fmt: skip
def test_ranges(name: str, value: float) -> None:
    with pytest.raises(rtu.ConfigError, match=name):
        rtu.StreamAC(1, action_size=1, **{name: value})
