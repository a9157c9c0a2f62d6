"""The Gymnasium environments over the plants."""

from __future__ import annotations

import subprocess
import sys
import warnings
from importlib.metadata import entry_points

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.registration import namespace
from gymnasium.utils.env_checker import check_env

import rtu_edge as rtu
import rtu_edge.envs as envs
from rtu_edge.device.plants import Plant


@pytest.mark.parametrize("actions", ["unit", "physical", 2, 5])
@pytest.mark.parametrize("name", envs.IDS)
def test_gymnasium_checker_has_nothing_to_say(name, actions):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # A warning, not an error: physical units are available on request.
        warnings.filterwarnings("ignore", message=".*symmetric and normalized space")
        env = gymnasium.make(name, actions=actions)
        check_env(env.unwrapped)
        env.close()


@pytest.mark.parametrize("name", envs.IDS)
def test_environment_is_the_plant(name):
    env = gymnasium.make(name)
    plant = Plant(envs.IDS[name])
    observation, info = env.reset(seed=123)
    assert info == {"plant_seed": 123}
    assert np.array_equal(observation, plant.reset(123)[0])
    rng = np.random.default_rng(0)
    for _ in range(50):
        action = rng.uniform(-1.2, 1.2, 1).astype(np.float32)
        top = plant.sheet.actuators[0].max
        observation, reward, terminated, truncated, info = env.step(action)
        expected = plant.step(info["applied"])
        assert np.array_equal(observation, expected[0])
        assert (reward, terminated, truncated) == expected[1:4]
        assert info["applied"] == pytest.approx(np.clip(action * top, -top, top), rel=1e-6)
        if terminated:
            break


def test_plant_seed_starts_an_episode_again():
    env = gymnasium.make("rtu_edge/ServoPosition-v0")
    env.reset(seed=5)
    second, info = env.reset()
    third, _ = env.reset()
    assert not np.array_equal(second, third)
    again, _ = env.reset(seed=info["plant_seed"])
    assert np.array_equal(again, second)
    env.reset(seed=5)
    assert np.array_equal(env.reset()[0], second)


def test_levels_are_spaced_evenly():
    env = gymnasium.make("rtu_edge/CartPole-v0", actions=5)
    assert env.action_space == spaces.Discrete(5)
    applied = []
    for level in range(5):
        env.reset(seed=0)
        applied.append(float(env.step(level)[4]["applied"][0]))
    assert applied == [-10.0, -5.0, 0.0, 5.0, 10.0]


def test_max_steps_and_no_end():
    env = gymnasium.make("rtu_edge/PendulumPosition-v0", max_steps=7)
    env.reset(seed=0)
    assert [env.step(np.zeros(1, np.float32))[3] for _ in range(7)] == [False] * 6 + [True]
    env = gymnasium.make("rtu_edge/PendulumPosition-v0", max_steps=0)
    env.reset(seed=0)
    assert not any(env.step(np.zeros(1, np.float32))[3] for _ in range(1000))


def test_an_agent_fits_and_takes_the_period():
    agent = rtu.StreamAC.from_env(gymnasium.make("rtu_edge/ServoPosition-v0"))
    assert agent.config["dt_s"] == Plant("servo").sheet.period_s
    assert rtu.StreamAC.from_env(gymnasium.make("rtu_edge/ServoPosition-v0", actions=5)).config["n_actions"] == 5
    assert rtu.StreamAC.from_env(gymnasium.make("CartPole-v1")).config["dt_s"] is None


@pytest.mark.parametrize("actions", ["unit", "physical"])
def test_an_environment_and_its_plant_are_learned_alike(actions):
    env, plant = envs.PlantEnv("cartpole", actions=actions), Plant("cartpole")
    results = []
    for one in (env, plant):
        agent = rtu.StreamAC.from_env(one, seed=1, units=8)
        results.append((rtu.evaluate(agent, one, 1, seed=3).returns, agent.state_hash()))
    assert results[0] == results[1]


def test_arguments_are_taken_as_numpy_has_them():
    env = envs.PlantEnv("cartpole", actions=np.int64(3), max_steps=np.array(7))
    assert env.action_space == gymnasium.spaces.Discrete(3) and env.plant.max_steps == 7
    _, info = env.reset(seed=np.uint32(9))
    assert info == {"plant_seed": 9} and type(info["plant_seed"]) is int
    env.step(np.uint8(2))
    for seed in (1.5, -1, "7", np.array([7]), True):
        with pytest.raises(ValueError, match=r"^seed = "):
            env.reset(seed=seed)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"plant": "cartpole", "actions": 2.0}, "actions: 2.0 is neither"),
        ({"plant": "cartpole", "actions": 2**40}, "actions: 1099511627776 is neither"),
        ({"plant": "cartpole", "actions": 1}, "actions: 1 is neither"),
        ({"plant": "cartpole", "actions": True}, "actions: True is neither"),
        ({"plant": "cartpole", "actions": "newton"}, "actions: 'newton' is neither"),
        ({"plant": "cartpol"}, "plant 'cartpol' is unknown"),
    ],
)
def test_bad_arguments_are_named(kwargs, message):
    with pytest.raises(ValueError, match=message):
        envs.PlantEnv(**kwargs)


@pytest.mark.parametrize(
    ("actions", "action"),
    [("unit", [0.0, 0.0]), ("unit", 0.0), ("unit", [np.nan]), ("physical", [np.inf]), (2, 2), (2, -1), (2, 0.5)],
)
def test_bad_actions_leave_the_plant_alone(actions, action):
    env = envs.PlantEnv("cartpole", actions=actions)
    env.reset(seed=0)
    before = env.plant.state_bytes
    with pytest.raises(ValueError, match="action"):
        env.step(action)
    assert env.plant.state_bytes == before


WORKERS = """
import gymnasium
from gymnasium.vector import AsyncVectorEnv

def make():
    return gymnasium.make("rtu_edge.envs:rtu_edge/CartPole-v0", max_steps=5)

if __name__ == "__main__":
    vector = AsyncVectorEnv([make, make], context="spawn")
    observations, info = vector.reset(seed=1)
    print(observations.shape, *(vector.step(vector.action_space.sample())[0].shape for _ in range(2)))
    vector.close()
"""


def test_workers_that_are_spawned_know_the_ids(tmp_path):
    (tmp_path / "workers.py").write_text(WORKERS)
    command = [sys.executable, "-W", "error", tmp_path / "workers.py"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "(2, 4) (2, 4) (2, 4)\n", "")


def test_the_entry_point_registers_without_a_warning(recwarn):
    """As Gymnasium 0.29 loads it: inside of a namespace that is named like the entry point."""
    [entry] = entry_points(group="gymnasium.envs")
    assert entry.name == "rtu_edge"
    before = dict(gymnasium.registry)
    try:
        for name in envs.IDS:
            del gymnasium.registry[name]
        with namespace(entry.name):
            entry.load()()
        assert dict(gymnasium.registry).keys() == before.keys()
        assert gymnasium.make("rtu_edge/Servo-v0").unwrapped.sheet == Plant("servo-full").sheet
    finally:
        gymnasium.registry.update(before)
    assert not recwarn.list


def test_package_does_not_import_gymnasium():
    code = "import sys, rtu_edge, rtu_edge.device.plants; sys.exit('gymnasium' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
