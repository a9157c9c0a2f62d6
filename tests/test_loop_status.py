"""What a running loop tells of learning: mean reward, sigma and entropy of the policy, counters of its supervisor."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtu_edge.config import parse_config
from rtu_edge.device import lock
from rtu_edge.loop import Loop
from rtu_edge.run import connect, loop_config, make_agent
from rtu_edge.run.build import supervised

SMALL = '[loop]\nclock = "lockstep"\n[learner]\nunits = 4\nhidden = [4]\n'


def ran(tmp_path: Path, *settings: str, plant: str = "servo") -> tuple[Any, Any, np.ndarray, dict[str, Any]]:
    """A finished loop's last status, its agent, its records, and what the control socket tells."""
    config = parse_config(f'[device]\nplant = "{plant}"\n{SMALL}', settings)
    with connect(config) as device:
        agent = make_agent(config, device.sheet)
        setup = loop_config(config, device)
        policy = supervised(config, device, agent, setup).policy
        records = []
        with Loop(device.link, policy, setup) as loop:
            assert math.isnan(loop.status().mean_reward) and math.isnan(loop.status().sigma)
            loop.run(lambda status, new: records.append(new), 0.02)
            status = loop.status()
        told = lock.status(device.url)
        return status, agent, np.concatenate(records), told


def head_of(agent: Any) -> np.ndarray:
    """The actor's outputs at its last prediction, in double."""
    (found,) = [value for name, value in agent.state.items() if name.startswith("actor.head") and name.endswith(".y")]
    return np.asarray(found, np.float64)


@pytest.mark.parametrize("steps", [300, 2345])
def test_mean_reward_sigma_and_entropy_are_those_of_records_and_agent(tmp_path: Path, steps: int) -> None:
    status, agent, records, told = ran(tmp_path, f"run.steps={steps}", "learner.sigma_floor=0.05")
    rewards = records["reward"][records["flags"] & (1 | 256) == 0].astype(float)
    block = rewards if len(rewards) < 1000 else rewards[len(rewards) // 1000 * 1000 - 1000 :][:1000]
    assert status.mean_reward == pytest.approx(block.mean(), rel=1e-6)
    sigma = math.log1p(math.exp(head_of(agent)[1])) + 0.05
    assert status.sigma == pytest.approx(sigma, rel=1e-6)
    assert status.entropy == pytest.approx(0.5 * math.log(2 * math.pi * math.e * sigma**2), rel=1e-6)
    assert told["sigma"] == pytest.approx(sigma, rel=1e-6) and told["mean_reward"] == pytest.approx(block.mean())
    assert told["supervisor"]["learner_steps"] == len(records)


def test_discrete_actions_have_an_entropy_and_no_sigma(tmp_path: Path) -> None:
    status, agent, _, told = ran(tmp_path, "run.steps=200", 'learner.actions="discrete"', "learner.levels=3")
    p = np.exp(head_of(agent) - head_of(agent).max())
    p /= p.sum()
    assert math.isnan(status.sigma) and told["sigma"] is None
    assert status.entropy == pytest.approx(float(-(p * np.log(p)).sum()), rel=1e-6)


def test_a_fallback_that_drives_alone_has_no_exploration(tmp_path: Path) -> None:
    status, _, records, told = ran(tmp_path, "run.steps=100", 'supervisor.mode="off"')
    assert math.isnan(status.sigma) and math.isnan(status.entropy)
    assert told["supervisor"]["fallback_steps"] == len(records) and "learner_steps" not in told["supervisor"]
