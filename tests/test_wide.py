"""More than 64 observations: in own loops, environments, checkpoints and exports; refused over a serial link."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import rtu_edge as rtu
from rtu_edge.device.limits import sheet_problems
from rtu_edge.device.schema import Hello

MOST = 1024


class Wide(gymnasium.Env[Any, Any]):
    """The reward asks for the sign of the last observation."""

    observation_space = spaces.Box(-1, 1, (MOST,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return self._observed(), {}

    def step(self, action: Any) -> Any:
        reward = 1.0 if action == (self._x[-1] > 0) else 0.0
        return self._observed(), reward, False, False, {}

    def _observed(self) -> Any:
        self._x = self.np_random.uniform(-1, 1, MOST).astype(np.float32)
        return self._x


def agent_of(**settings: Any) -> rtu.StreamAC:
    return rtu.StreamAC(MOST, 2, **{"units": 4, "hidden": 4, "seed": 1, **settings})


def driven(agent: rtu.StreamAC, steps: int, seed: int) -> list[Any]:
    rng = np.random.default_rng(seed)
    agent.reset(rng.standard_normal(MOST))
    return [agent.step(rng.standard_normal(MOST), float(rng.standard_normal())) for _ in range(steps)]


def test_an_environment_of_1024_observations() -> None:
    env = Wide()
    agent = rtu.StreamAC.from_env(env, units=4, hidden=4, seed=0)
    assert agent.observation_size == MOST
    assert agent.learn(env, 40, progress=False, seed=0).steps == 40
    assert rtu.evaluate(agent, env, episodes=1, max_steps=5, seed=1).lengths == (5,)


def test_every_observation_reaches_the_action() -> None:
    agent = agent_of(cell="none", hidden=(), sparsity=0.0, normalize_observation=False)
    for i in (0, 63, 64, 65, MOST - 1):
        x = np.zeros(MOST)
        x[i] = 1.0
        agent.begin()
        weight = agent.parameters["actor.head.weight"][:2, i]
        np.testing.assert_allclose(agent.act(x), np.clip(weight, -1, 1), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_policy_takes_all_of_them(dtype: str) -> None:
    """The table of functions that the native loop calls, also for a learner in float64, which converts the rows."""
    agent, twin = agent_of(dtype=dtype), agent_of(dtype=dtype)
    policy = agent.core.policy()
    x = np.random.default_rng(0).standard_normal(MOST).astype(np.float32)
    policy.begin()
    twin.begin()
    status, action = policy.predict(x, False)
    assert status == 0
    np.testing.assert_array_equal(action, twin.predict(x, deterministic=True).astype(np.float32))


def test_a_checkpoint_and_an_export(tmp_path: Path) -> None:
    agent = agent_of()
    driven(agent, 20, 0)
    agent.save(tmp_path / "wide.rtu")
    twin = rtu.load(tmp_path / "wide.rtu")
    driven(agent, 20, 1)
    driven(twin, 20, 1)
    assert agent.state_hash() == twin.state_hash()
    rtu.export_onnx(agent, tmp_path / "wide.onnx")
    assert rtu.verify_onnx(tmp_path / "wide.onnx", agent, steps=50) < 1e-4


def test_one_more_is_refused() -> None:
    with pytest.raises(rtu.ConfigError, match=r"observation_size = 1025: expected an integer from 1 to 1024"):
        rtu.StreamAC(MOST + 1, 1)


FRAME = "a STATE frame has a payload of 238 bytes, 16 of them before the values, and a value takes 4"


def test_a_link_refuses_what_no_frame_holds() -> None:
    (problem,) = sheet_problems(Hello(period_us=20_000, ttl_max_ms=100, observation_size=54, action_size=2))
    assert problem == f"54 observations and 2 actuators, allowed: at least 1 each, 55 together: {FRAME}"
    with rtu.connect("cartpole") as robot, pytest.raises(rtu.ConfigError) as refused:
        robot.run(rtu.StreamAC(100, 1), steps=1)
    assert FRAME in str(refused.value) and "100 observations and 1 actuator" in str(refused.value)
