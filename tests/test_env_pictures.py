"""Pictures of the plants, and a robot as an environment."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from real_board import Real

import rtu_edge as rtu
from rtu_edge import envs
from rtu_edge.device.schema import Channel, DataSheet
from rtu_edge.envs.picture import HEIGHT, WIDTH, picture
from rtu_edge.hil import FaultBridge, SimTarget


def frame(plant: str, **seen: float) -> np.ndarray[Any, Any]:
    sheet = rtu.Plant(plant).sheet
    return picture(sheet, [seen.get(row.name, 0.0) for row in sheet.observations])


def middle(image: np.ndarray[Any, Any], red: int, blue: int) -> float:
    """Mean column of what has about this red and blue, in pixels."""
    found = (np.abs(image[..., 0].astype(int) - red) < 20) & (np.abs(image[..., 2].astype(int) - blue) < 20)
    return float(np.nonzero(found)[1].mean())


@pytest.mark.parametrize("name", envs.IDS)
def test_each_plant_has_a_picture_that_follows_its_state(name: str) -> None:
    env = gymnasium.make(name, render_mode="rgb_array")
    env.reset(seed=1)
    first = env.render()
    assert first.shape == (HEIGHT, WIDTH, 3) and first.dtype == np.uint8
    for _ in range(8):
        env.step(np.ones(1, np.float32))
    assert not np.array_equal(env.render(), first)
    many = gymnasium.make_vec(name, num_envs=2, render_mode="rgb_array")
    many.reset(seed=1)
    assert np.array_equal(many.render()[0], first) and len(many.render()) == 2
    assert gymnasium.make_vec(name, num_envs=2).render() is None


def test_pictures_show_positions_and_angles() -> None:
    assert middle(frame("cartpole", x=1.0), 52, 94) == pytest.approx(WIDTH / 2 + WIDTH / 5.2, abs=1.0)
    assert middle(frame("cartpole", theta=0.2), 192, 48) > WIDTH / 2 > middle(frame("cartpole", theta=-0.2), 192, 48)
    left = frame("pendulum-full", cos_theta=0.0, sin_theta=1.0)
    assert middle(left, 192, 48) < WIDTH / 2
    assert middle(frame("servo", target=0.5), 26, 75) < WIDTH / 2 < middle(frame("servo", target=-0.5), 26, 75)
    assert np.array_equal(frame("servo", theta=0.3), frame("servo-full", theta=0.3, current=2.0))


def test_other_devices_are_drawn_as_bars() -> None:
    rows = (Channel("level", "m", 0.0, 2.0), Channel("flow", "l/s", -np.inf, np.inf, 1))
    sheet = DataSheet(0.1, rows, (Channel("pump", "V", 0.0, 1.0, 2, True),))
    assert middle(picture(sheet, [0.0, 0.0])[: HEIGHT // 2], 192, 48) < middle(
        picture(sheet, [2.0, 0.0])[: HEIGHT // 2], 192, 48
    )
    picture(sheet, [np.nan, np.inf])
    cart = rtu.Plant("cartpole").sheet
    picture(cart, [np.nan, 0.0])


@pytest.mark.parametrize("mode", ["human", "ansi", ""])
def test_a_render_mode_we_lack_is_a_type_error(mode: str) -> None:
    with pytest.raises(TypeError, match=r"render_mode = .*: expected None or one of rgb_array"):
        envs.PlantEnv("cartpole", render_mode=mode)


# ---------------------------------------------------------------- a robot


@pytest.fixture
def robot() -> Iterator[rtu.Robot]:
    with rtu.connect("cartpole") as found:
        yield found


def test_a_robots_environment_is_the_plants(robot: rtu.Robot) -> None:
    ours, plant = envs.RobotEnv(robot, render_mode="rgb_array"), envs.PlantEnv("cartpole", render_mode="rgb_array")
    assert ours.observation_space == plant.observation_space and ours.action_space == plant.action_space
    assert ours.metadata == plant.metadata
    assert ours.render() is None
    rng = np.random.default_rng(0)
    for seed in (5, None, None):
        first, theirs = ours.reset(seed=seed), plant.reset(seed=seed)
        assert np.array_equal(first[0], theirs[0]) and first[1] == theirs[1]
        for _ in range(200):
            action = rng.uniform(-1.2, 1.2, 1).astype(np.float32)
            a, b = ours.step(action), plant.step(action)
            assert np.array_equal(a[0], b[0]) and a[1:4] == b[1:4]
            assert np.array_equal(a[4]["applied"], b[4]["applied"])
            assert np.array_equal(ours.render(), plant.render()) if a[2] else True
            if a[2] or a[3]:
                break
    ours.close()
    assert not robot.armed
    robot.read()


def test_a_robots_actions_span_its_limits() -> None:
    with rtu.connect("cartpole", limits={"force": rtu.Limits(-2.0, 6.0)}) as robot:
        env = envs.RobotEnv(robot, actions=3)
        env.reset(seed=0)
        assert [float(env.step(level)[4]["sent"][0]) for level in range(3)] == [-2.0, 2.0, 6.0]
        physical = envs.RobotEnv(robot, actions="physical")
        assert physical.action_space == gymnasium.spaces.Box(-2.0, 6.0, (1,), np.float32)
        with pytest.raises(ValueError, match="action has shape"):
            env.robot.scale([0.0, 0.0])
        with pytest.raises(ValueError, match="is not in Discrete"):
            env.step(3)
        with pytest.raises(TypeError, match="render_mode"):
            envs.RobotEnv(robot, render_mode="human")


def test_real_hardware_does_not_move_unasked() -> None:
    """The environment adds no way around arm=True and limits."""
    with SimTarget("cartpole") as target, FaultBridge(target) as bridge, bridge.inject(Real()):
        env = gymnasium.make("rtu_edge/Robot-v0", target=bridge.port)
        with pytest.raises(ValueError, match="arm=True"):
            env.reset(seed=0)
        assert not env.unwrapped.robot.armed
        env.close()


def test_gymnasium_checks_an_environment_that_it_connects() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gymnasium.make("rtu_edge/Robot-v0", target="cartpole")
        check_env(env.unwrapped, skip_render_check=True, skip_close_check=True)
    robot = env.unwrapped.robot
    env.close()
    env.unwrapped.close()
    with pytest.raises(rtu.DeviceError, match="closed"):
        robot.read()
    with pytest.raises(ValueError, match="actions: 'newton'"):
        gymnasium.make("rtu_edge/Robot-v0", target="cartpole", actions="newton")
