"""evaluate() refuses what learn() refuses: rewards and flags that are none; so is a space too wide to scale to."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import rtu_edge as rtu
from rtu_edge.learn.spaces import fit


class Fixed(gymnasium.Env[Any, Any]):
    """Gives the same reward and flags at each step."""

    observation_space = spaces.Box(-1, 1, (2,))
    action_space = spaces.Box(-1, 1, (1,))

    def __init__(self, reward: Any = 1.0, terminated: Any = False, truncated: Any = True) -> None:
        self.given = reward, terminated, truncated

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> Any:
        return np.zeros(2, np.float32), *self.given, {}


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"reward": "1"}, "reward = '1'"),
        ({"reward": None}, "reward = None"),
        ({"reward": 1e300}, "reward = 1e"),
        ({"reward": float("nan")}, "reward = nan"),
        ({"terminated": "no"}, "terminated = 'no'"),
        ({"terminated": None}, "terminated = None"),
        ({"truncated": 2}, "truncated = 2"),
    ],
)
def test_what_is_no_reward_or_flag_is_refused_by_name(given: dict[str, Any], named: str) -> None:
    env = Fixed(**given)
    agent = rtu.StreamAC.from_env(env, seed=0)
    with pytest.raises(ValueError, match=f"episode 1, step 1: {named}"):
        rtu.evaluate(agent, env, 1)
    with pytest.raises(ValueError, match=next(iter(given))):
        agent.learn(env, 1, progress=False)


def test_flags_and_rewards_as_environments_have_them_are_taken() -> None:
    env = Fixed(np.float32(2), np.bool_(False), np.bool_(True))
    assert rtu.evaluate(rtu.StreamAC.from_env(env, seed=0), env, 2).returns == (2.0, 2.0)
    assert rtu.evaluate(rtu.StreamAC.from_env(env, seed=0), Fixed(1, 1, 0), 1).ends == ("terminated",)


def test_a_space_that_no_float_spans_is_refused() -> None:
    env = Fixed()
    env.action_space = spaces.Box(-1.7e308, 1.7e308, (1,), np.float64)  # type: ignore[misc]
    with pytest.raises(rtu.ConfigError, match="wider than the largest float64"):
        fit(env)
