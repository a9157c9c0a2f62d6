"""A robot that is real hardware: read by anybody, moved only on explicit request and within explicit limits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
from real_board import Real

import rtu_edge as rtu
from rtu_edge.hil import FaultBridge, SimTarget

LIMITS = {"force": rtu.Limits(-5.0, 5.0, slew_per_s=200.0, accel_per_s2=math.inf)}


@pytest.fixture
def board() -> Iterator[str]:
    """The port of what looks like a real board."""
    with SimTarget("cartpole", ttl_max_ms=5000) as target, FaultBridge(target) as bridge, bridge.inject(Real()):
        yield bridge.port


def agent(observations: int = 2, actions: int = 1) -> rtu.StreamAC:
    return rtu.StreamAC(observation_size=observations, action_size=actions, units=4, hidden=4, seed=0)


@pytest.mark.hazard("real-hardware-unasked")
def test_real_hardware_is_read_and_nothing_else(board: str) -> None:
    with rtu.connect(board) as robot:
        assert robot.read().shape == (2,)
        assert "real hardware: moves only with arm=True and limits" in str(robot.describe())
        for call in (lambda: robot.write(1.0), lambda: robot.step(1.0), robot.reset, robot.arm):
            with pytest.raises(
                rtu.ConfigError, match=r'arm=True and explicit limits .*"force": rtu.Limits\(-10, 10, slew'
            ):
                call()
        with pytest.raises(rtu.ConfigError, match="arm=True"):
            robot.run(agent(), steps=10)
        assert not robot.armed
        assert robot.link.last_session == 0  # no ARM has ever reached it


@pytest.mark.hazard("real-hardware-unasked")
@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (None, r"limits\['force'\]: missing"),
        ({"force": rtu.Limits(-5, 5)}, r"limits\['force'\].slew_per_s: missing"),
        ({"force": rtu.Limits(-5, 5, slew_per_s=1.0)}, r"limits\['force'\].accel_per_s2: missing"),
    ],
)
def test_real_hardware_is_not_armed_without_explicit_limits(board: str, limits: Any, words: str) -> None:
    with pytest.raises(rtu.ConfigError, match=words):
        rtu.connect(board, arm=True, limits=limits)


def test_lockstep_is_refused_where_the_clock_is_given(board: str) -> None:
    with pytest.raises(rtu.ConfigError, match="clock = 'lockstep': needs a simulated device"):
        rtu.connect(board, clock="lockstep")


def test_real_hardware_moves_within_its_limits_and_is_announced_once(
    board: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with rtu.connect(board, arm=True, limits=LIMITS, ttl_ms=5000) as robot:
        assert capsys.readouterr().err == ""
        robot.reset(seed=1)
        printed = capsys.readouterr().err
        assert "arming real hardware" in printed
        assert "force: -5 to 5 N, 200 N/s; safe: off at 0" in printed
        sent = [float(robot.write(10.0)[0]) for _ in range(3)]
        assert sent == [4.0, 5.0, 5.0]  # 200 N/s are 4 N in a period of 20 ms
        result = robot.run(agent(), steps=5)
        assert result.steps == 5
        assert capsys.readouterr().err == ""


@pytest.mark.hazard("real-hardware-unasked")
@pytest.mark.parametrize("wider", [{"limits": [rtu.Limits(-10, 10)]}, {"limits": []}, {"command_limiter": False}])
def test_a_run_does_not_leave_the_limits_of_the_robot(board: str, wider: dict[str, Any]) -> None:
    with rtu.connect(board, arm=True, limits=LIMITS, ttl_ms=5000) as robot:
        with pytest.raises(rtu.ConfigError, match=r"the limits of connect\(\) hold"):
            robot.run(agent(), steps=5, **wider)
        assert robot.link.last_session == 0


def test_a_function_for_a_reward_does_not_run_in_the_loop_of_real_hardware(board: str) -> None:
    with rtu.connect(board, arm=True, limits=LIMITS, reward=lambda x, u: 1.0, ttl_ms=5000) as robot:
        robot.reset(seed=1)
        assert robot.step([1.0])[1] == 1.0
        with pytest.raises(rtu.ConfigError, match="on simulated devices only"):
            robot.run(agent(), steps=5)
