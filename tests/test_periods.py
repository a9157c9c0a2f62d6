"""A learner made for another period is refused, in Python as on the command line."""

from __future__ import annotations

import gymnasium
import pytest

import rtu_edge as rtu

WORDS = r"^agent: dt_s = 0.1: made for a period of 0.1 s, {} 0.02 s; allowed: within 20%, or any_period=True$"


def agent(dt_s: float | None) -> rtu.StreamAC:
    return rtu.StreamAC(observation_size=2, action_size=1, units=4, hidden=4, dt_s=dt_s, seed=0)


@pytest.fixture(scope="module")
def plant() -> rtu.Plant:
    return rtu.Plant("cartpole")


def test_learning_and_evaluation_refuse_another_period(plant: rtu.Plant) -> None:
    with pytest.raises(rtu.ConfigError, match=WORDS.format("the environment")):
        agent(0.1).learn(plant, 10, progress=False)
    with pytest.raises(rtu.ConfigError, match=WORDS.format("the environment")):
        rtu.evaluate(agent(0.1), plant, 1)
    assert agent(0.1).learn(plant, 10, progress=False, any_period=True).steps == 10
    assert rtu.evaluate(agent(0.1), plant, 1, max_steps=5, any_period=True).episodes == 1


@pytest.mark.parametrize("dt_s", [None, 0.02, 0.0167, 0.0249])
def test_a_period_within_a_fifth_or_unknown_is_taken(plant: rtu.Plant, dt_s: float | None) -> None:
    assert agent(dt_s).learn(plant, 10, progress=False).steps == 10


def test_a_robot_refuses_another_period() -> None:
    with rtu.connect("cartpole") as robot:
        with pytest.raises(rtu.ConfigError, match=WORDS.format("cartpole")):
            robot.run(agent(0.1), steps=10, progress=False)
        assert not robot.armed
        assert robot.run(agent(0.1), steps=10, progress=False, any_period=True).steps == 10
        assert robot.run(agent(None), steps=10, progress=False).steps == 10


def test_limits_are_named_as_they_were_given() -> None:
    wrong = rtu.Limits(min=4, max=-4)
    with pytest.raises(rtu.ConfigError, match=r"^limits\['force'\]: min 4 must be below max -4"):
        rtu.connect("cartpole", limits={"force": wrong})
    with pytest.raises(rtu.ConfigError, match=r"^limits\[0\]: min 4 must be below max -4"):
        rtu.connect("cartpole", limits=[wrong])


def test_an_environment_of_a_robot_needs_a_target() -> None:
    with pytest.raises(rtu.ConfigError, match=r"^target: missing; .*target="):
        gymnasium.make("rtu_edge.envs:rtu_edge/Robot-v0")
