"""connect() and Robot: units, own loops, a learner, one user at a time, real hardware only on explicit request."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import rtu_edge as rtu
from rtu_edge import _testing
from rtu_edge._base.errors import DeadlineError, SafetyStop
from rtu_edge.loop import Clock, LoopConfig, Reward, StopReason
from rtu_edge.loop.driving import Defaults
from rtu_edge.loop.supervision import Mode, Sensor, Supervisor
from rtu_edge.tools.estop import estop


@pytest.fixture
def robot() -> Iterator[rtu.Robot]:
    with rtu.connect("cartpole") as found:
        yield found


def agent(observations: int = 2, actions: int = 1) -> rtu.StreamAC:
    return rtu.StreamAC(observation_size=observations, action_size=actions, units=4, hidden=4, seed=0)


def test_a_robot_steps_the_plant_bit_for_bit(robot: rtu.Robot) -> None:
    plant = rtu.Plant("cartpole")
    first, _ = plant.reset(seed=7)
    observation, info = robot.reset(seed=7)
    assert info == {"plant_seed": 7}
    np.testing.assert_array_equal(observation, first)
    for action in (0.25, -1.0, 3.0):
        u = robot.scale([action])
        np.testing.assert_array_equal(u, plant.scale([action]))
        theirs = plant.step(u)
        ours = robot.step(u)
        np.testing.assert_array_equal(ours[0], theirs[0])
        assert ours[1:4] == theirs[1:4]
        np.testing.assert_array_equal(ours[4]["applied"], u)
    np.testing.assert_array_equal(robot.read(), theirs[0])


def test_actions_are_scaled_to_the_limits_in_force() -> None:
    with rtu.connect("cartpole", limits={"force": rtu.Limits(-2.0, 6.0)}) as robot:
        assert [float(robot.scale([a])[0]) for a in (-1.0, 0.0, 1.0, 7.0)] == [-2.0, 2.0, 6.0, 6.0]
        assert robot.limits[0].max == 6.0
        robot.reset(seed=0)
        assert robot.write(9.0) == [6.0]
        with pytest.raises(ValueError, match=r"action has shape \(2,\), expected \(1,\)"):
            robot.scale([0.0, 0.0])


@pytest.mark.parametrize("u", [[math.nan], [1.0, 2.0], "fast", np.ma.masked_array([1.0], [True])])
def test_a_command_that_is_none_is_refused_and_moves_nothing(robot: rtu.Robot, u: Any) -> None:
    robot.reset(seed=1)
    before = robot.read()
    with pytest.raises(rtu.ConfigError, match=r"^u "):
        robot.write(u)
    np.testing.assert_array_equal(robot.read(), before)


def test_the_description_is_a_table_of_channels(robot: rtu.Robot) -> None:
    lines = str(robot.describe()).splitlines()
    assert lines[0] == "cartpole: simulated, 50 Hz, lockstep, resets, reward"
    assert lines[-1].split() == ["moves", "force", "N", "-10", "to", "10", "off", "at", "0", "no", "limit"]
    assert max(map(len, lines)) <= 80
    assert robot.describe().rows[0][:3] == ("observes", "x", "m")
    assert repr(robot) == "Robot('cartpole'): x, theta -> force; 50 Hz, simulated, not armed"


def test_an_agent_learns_on_a_robot_and_is_usable_afterwards(robot: rtu.Robot) -> None:
    learner = agent()
    before = learner.state_hash()
    calls: list[int] = []
    result = robot.run(learner, steps=3000, on_progress=lambda status, records: calls.append(len(records)))
    assert (result.reason, result.steps, result.confirmed) == (StopReason.STEPS, 3000, True)
    assert sum(calls) >= 3000
    assert len(result.returns) == result.episodes > 0
    assert result.mean_reward == pytest.approx(1.0)
    assert str(result).startswith(f"3,000 steps, {result.episodes} episodes in ")
    assert "mean return" in str(result)
    assert str(result).splitlines()[0].endswith(f"; stopped: {result.message}")
    assert repr(result) == str(result)
    assert learner.state_hash() != before
    learner.reset([0.0, 0.1])
    learned = learner.state_hash()
    frozen = robot.run(learner, episodes=2, learn=False, deterministic=True)
    assert frozen.reason is StopReason.EPISODES
    assert learner.parameters["body.cell.W1"].any()
    assert robot.run(learner, steps=10).steps == 10
    assert learned != learner.state_hash()


def test_episodes_of_later_runs_have_later_seeds(robot: rtu.Robot) -> None:
    """Two runs are one longer run, as far as the plant's starts are concerned."""
    starts: list[float] = []

    def watch(status: object, records: Any) -> None:
        starts.extend(records["x"][(records["flags"] & 1) != 0][:, 1].tolist())

    for _ in range(2):
        robot.run(agent(), episodes=2, learn=False, on_progress=watch)
    assert len(set(starts)) == len(starts) >= 4


def test_an_agent_of_other_sizes_is_refused_with_both(robot: rtu.Robot) -> None:
    with pytest.raises(
        rtu.ConfigError, match=r"made for 3 observations and 2 actuators; cartpole has 2 .*x, theta.* 1 "
    ):
        robot.run(agent(3, 2), steps=10)
    with pytest.raises(rtu.ConfigError, match="expected an agent that acts"):
        robot.run(object(), steps=10)
    with pytest.raises(rtu.ConfigError, match="needs learn=False"):
        robot.run(agent(), steps=10, deterministic=True)
    with pytest.raises(rtu.ConfigError, match="steps"):
        robot.run(agent(), steps=-1)
    assert robot.run(agent(), steps=10).steps == 10


def test_an_exception_of_a_callback_ends_the_run_and_is_passed_on(robot: rtu.Robot) -> None:
    def fail(status: object, records: object) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        robot.run(agent(), on_progress=fail)
    assert robot.run(agent(), steps=10).confirmed


def test_callbacks_of_learn_serve_a_run_too(robot: rtu.Robot, tmp_path: Path) -> None:
    seen: list[Any] = []

    def enough(record: Any) -> bool:
        seen.append(record)
        return len(seen) < 50

    with rtu.CSVWriter(tmp_path / "curve.csv") as writer:
        result = robot.run(agent(), callback=[writer, enough])
    assert result.reason is StopReason.REQUEST
    assert len(seen) == 50
    assert [record.step for record in seen] == list(range(1, 51))
    ends = [record for record in seen if record.ended]
    assert [record.episode_return for record in ends] == result.returns[: len(ends)].tolist()
    assert seen[10].td_error is not None
    assert (tmp_path / "curve.csv").read_text().count("\n") > 1
    with pytest.raises(rtu.ConfigError, match="callback = 7"):
        robot.run(agent(), steps=1, callback=7)  # type: ignore[arg-type]


def test_an_agent_learns_and_is_evaluated_on_a_robot_as_in_an_environment(robot: rtu.Robot) -> None:
    """The same steps as in the plant itself: learn() and evaluate() see a robot as an environment."""
    plant = rtu.Plant("cartpole")
    learners = [rtu.StreamAC.from_env(env, units=4, hidden=4, seed=0) for env in (robot, plant)]
    results = [
        learner.learn(env, steps=300, seed=5, progress=False)
        for learner, env in zip(learners, (robot, plant), strict=True)
    ]
    first = results[0].returns[0]
    assert first == results[1].returns[0] > 0
    evaluated = rtu.evaluate(learners[0], robot, episodes=2)
    assert len(evaluated.returns) == 2


def test_rewards_of_ones_own() -> None:
    form = Reward("form", bias=1.0, quadratic=(-1.0, -2.0), cosine=(0.0, 0.5), action=(-0.1,))
    with rtu.connect("cartpole", reward=form) as robot:
        robot.reset(seed=3)
        x, reward, *_ = robot.step([2.0])
        assert reward == pytest.approx(1 - x[0] ** 2 - 2 * x[1] ** 2 + 0.5 * math.cos(x[1]) - 0.1 * 4, rel=1e-5)
    with rtu.connect("cartpole", reward=lambda x, u: float(x[0] + u[0])) as robot:
        robot.reset(seed=3)
        x, reward, *_ = robot.step([2.0])
        assert reward == pytest.approx(float(x[0]) + 2.0)
    with pytest.raises(rtu.ConfigError, match="reward = 'high': expected"):
        rtu.connect("cartpole", reward="high")  # type: ignore[arg-type]


def test_a_run_is_supervised_unless_told_otherwise(robot: rtu.Robot) -> None:
    result = robot.run(agent(), steps=500)
    assert result.counters["learner_steps"] >= 500
    assert "supervisor:" not in str(result)  # it had nothing to do
    assert "learner_steps" not in robot.run(agent(), steps=500, supervisor=False).counters
    off = robot.run(agent(), steps=200, supervisor=Defaults(Supervisor(mode=Mode.OFF)))
    assert off.counters["fallback_steps"] >= 200
    assert off.counters["learner_steps"] == 0
    narrow = Defaults(sensor={"x": Sensor(min=-1e-6, max=1e-6)})
    clamped = robot.run(agent(), steps=200, supervisor=narrow)
    assert f"supervisor: {clamped.counters['sensor_clamped']} observations clamped" in str(clamped)
    with pytest.raises(rtu.ConfigError, match=r"sensor.y: the device has no such observation"):
        robot.run(agent(), steps=1, supervisor=Defaults(sensor={"y": Sensor()}))


def test_an_ended_episode_waits_for_reset(robot: rtu.Robot) -> None:
    robot.reset(seed=0)
    for _ in range(500):
        *_, terminated, truncated, _ = robot.step([10.0])
        if terminated or truncated:
            break
    assert terminated
    with pytest.raises(rtu.ConfigError, match=r"the episode has ended; reset\(\) first"):
        robot.step([0.0])
    robot.reset()
    robot.step([0.0])


def test_a_script_that_stalls_lets_the_device_go_safe_and_is_told() -> None:
    with (
        rtu.SimulatedDevice("cartpole", ttl_max_ms=5000) as device,
        rtu.connect(device, clock="device", ttl_ms=700) as robot,
    ):
        assert robot.read().shape == (2,)
        robot.reset(seed=1)
        for _ in range(3):
            robot.write(1.0)
            robot.read()
        time.sleep(1.0)
        with pytest.raises(
            SafetyStop, match=r"device_safe: .* valid for 700 ms, .* arm\(\) or reset\(\) starts a new session"
        ):
            for _ in range(5):
                robot.write(1.0)
                robot.read()
        assert not robot.armed
        with pytest.raises(SafetyStop, match="the session has ended"):
            robot.write(1.0)
        robot.read()
        observation, _ = robot.reset(seed=2)
        assert robot.step([1.0])[0].shape == observation.shape


def test_an_emergency_stop_from_outside_reaches_a_script_between_two_calls(robot: rtu.Robot) -> None:
    robot.reset(seed=1)
    robot.step([1.0])
    estop(robot.port, timeout_s=5.0)
    with pytest.raises(SafetyStop, match="estop: emergency stop"):
        robot.step([1.0])
    with pytest.raises(rtu.DeviceError, match=r"emergency stop is latched"):
        robot.reset(seed=1)
    assert robot.clear()
    robot.reset(seed=1)


def test_a_stop_ends_a_run_with_an_error_that_has_the_result(robot: rtu.Robot) -> None:
    def stop(status: Any, records: object) -> None:
        if status.steps > 100:
            threading.Thread(target=robot.estop).start()

    with pytest.raises(SafetyStop, match="estop") as caught:
        robot.run(agent(), on_progress=stop)
    assert caught.value.result.steps > 100  # type: ignore[attr-defined]


def test_one_user_at_a_time(robot: rtu.Robot) -> None:
    seen: list[str] = []

    def other(status: object, records: object) -> None:
        with pytest.raises(rtu.DeviceError) as caught:
            robot.read()
        seen.append(str(caught.value))
        assert "run()" in repr(robot)

    robot.run(agent(), steps=200, on_progress=other)
    assert seen[0].startswith("cartpole: read() while run()")
    with pytest.raises(rtu.DeviceError, match=r"owner|in use"):
        rtu.connect(robot.port)


def test_what_is_closed_stays_closed(robot: rtu.Robot) -> None:
    robot.reset(seed=1)
    robot.close()
    robot.close()
    assert "closed" in repr(robot)
    for call in (robot.read, robot.reset, lambda: robot.write(1.0), lambda: robot.run(agent(), steps=1)):
        with pytest.raises(rtu.DeviceError, match="the robot is closed"):
            call()


def test_close_in_a_callback_or_a_reward_closes_after_the_call() -> None:
    with rtu.connect("cartpole") as robot:
        result = robot.run(agent(), callback=lambda record: robot.close(), progress=False)
        assert result.reason is StopReason.REQUEST
        assert "closed" in repr(robot)
    for run in (False, True):
        robot = rtu.connect("cartpole", reward=lambda x, u: robot.close() or 1.0)  # noqa: B023
        if run:
            assert robot.run(agent(), progress=False).reason is StopReason.REQUEST
        else:
            robot.reset(seed=1)
            assert robot.step([1.0])[1] == 1.0
        assert "closed" in repr(robot)


def test_tables_of_a_supervisor_are_refused_by_name(robot: rtu.Robot) -> None:
    with pytest.raises(rtu.ConfigError, match="supervisor = None: expected True, False"):
        robot.run(agent(), steps=5, supervisor=None)  # type: ignore[arg-type]


def test_an_agent_drives_one_robot_at_a_time(robot: rtu.Robot) -> None:
    one = agent()
    with rtu.connect("cartpole") as other:

        def progress(status: Any, records: Any) -> None:
            with pytest.raises(rtu.ConfigError, match=r"drives another robot at the moment; agent.copy\(\) before"):
                other.run(one, steps=10)
            assert other.run(agent(), steps=10).steps == 10

        robot.run(one, steps=100, on_progress=progress)
        assert other.run(one, steps=10).steps == 10


@pytest.mark.parametrize("u", ["1", b"1", ["1"], 1j, np.array([1j]), np.array([1], "M8[s]"), np.array([1], "m8[s]")])
def test_a_command_that_is_no_number_is_refused(robot: rtu.Robot, u: Any) -> None:
    for call in (robot.write, robot.step, robot.scale):
        with pytest.raises(rtu.ConfigError, match=r"expected real numbers|has shape \(\)"):
            call(u)
    assert not robot.armed


def test_what_can_be_connected() -> None:
    with rtu.SimulatedDevice("servo") as device, rtu.connect(device) as robot:
        assert robot.sheet.action_size == 1
    with rtu.connect(rtu.Plant("pendulum", max_steps=3)) as robot:
        robot.reset(seed=0)
        assert [robot.step([0.0])[3] for _ in range(3)] == [False, False, True]
    for target, words in (
        ("cartpol", 'did you mean "cartpole"'),
        ("/dev/none", "no such port"),
        (7, "expected a plant's name"),
    ):
        with pytest.raises((rtu.ConfigError, rtu.DeviceError), match=words):
            rtu.connect(target)
    with pytest.raises(rtu.ConfigError, match="clock = 'wall': expected one of device, host, lockstep"):
        rtu.connect("cartpole", clock="wall")
    with pytest.raises(rtu.ConfigError, match=r"limits\['force_n'\]: the device has no such actuator; it has force"):
        rtu.connect("cartpole", limits={"force_n": rtu.Limits(-1, 1)})
    with pytest.raises(rtu.ConfigError, match=r"limits\[0\]: min 1 must be below max -1"):
        rtu.connect("cartpole", limits=[rtu.Limits(1, -1)])


def test_an_agent_that_is_too_slow_for_the_period_is_not_armed(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = SimpleNamespace(predict_us=15_000.0, traces_us=6_000.0, isa="scalar")
    calibrated = SimpleNamespace(calibrate=lambda: SimpleNamespace(times=slow))
    monkeypatch.setattr("rtu_edge.loop.driving.footprint", lambda config: calibrated)
    with rtu.connect("cartpole", clock="device") as robot:
        with pytest.raises(DeadlineError, match=r"take 2.1e\+04 us .* the device's period is 2e\+04 us"):
            robot.run(agent(), steps=5)
        assert not robot.armed


# ---------------------------------------------------------------- your own loop


def test_a_loop_takes_an_agent_and_needs_no_configuration() -> None:
    with rtu.SimulatedDevice("cartpole") as device, rtu.open_port(device.port) as port, rtu.Link(port) as link:
        link.handshake()
        with rtu.Loop(link, agent()) as loop:
            assert loop.config.clock is Clock.LOCKSTEP
            loop.start()
            while loop.steps < 100:
                time.sleep(0.01)
        assert loop.result().reason is StopReason.REQUEST
        linear = _testing.LinearPolicy(2, [0.0], [[0.0, 0.0]])
        for driver in (agent().core.policy(), linear):
            assert rtu.Loop(link, driver, LoopConfig(steps=5)).run().steps == 5
        with pytest.raises(rtu.ConfigError, match="agent = 7: expected an agent that acts"):
            rtu.Loop(link, 7)


@pytest.mark.parametrize("wrong", ["soon", None, np.ma.masked, True, [1.0]])
def test_a_time_that_is_none_is_refused_by_name(robot: rtu.Robot, wrong: Any) -> None:
    """And not by the binding, whose errors show C++ types."""
    link = robot.link
    calls: list[Any] = [link.handshake, link.describe, link.estop, link.disarm, link.clear_fault]
    calls.append(rtu.Loop(link, agent()).wait)
    for call in calls:
        with pytest.raises(rtu.ConfigError, match=r"(timeout_s|seconds) = .*: expected a number of seconds"):
            call(wrong)
    assert link.hello.period_us == 20_000


def test_a_port_that_is_none_is_refused_by_name(robot: rtu.Robot) -> None:
    for wrong in ("/dev/ttyACM0", 1.5, True):
        with pytest.raises(rtu.ConfigError, match=r"port = .*: expected an open port"):
            rtu.Link(wrong)  # type: ignore[arg-type]
    with pytest.raises(rtu.ConfigError, match=r"link = 'x': expected a Link"):
        rtu.Loop("x", agent())  # type: ignore[arg-type]
    with pytest.raises(rtu.ConfigError, match="learn = 'yes': expected True or False"):
        rtu.Loop(robot.link, agent()).set_learning("yes", True)  # type: ignore[arg-type]
