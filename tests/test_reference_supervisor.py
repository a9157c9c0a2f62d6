"""The native supervisor against the reference implementation, over random sequences."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from reference import supervisor as slow

import rtu_edge as rtu
from benchmarks import faults
from rtu_edge import _testing
from rtu_edge.config import parse_config
from rtu_edge.device.schema import Limits
from rtu_edge.loop.flags import Cause, MonitorFlag
from rtu_edge.loop.supervisor import supervise

TEXT = "[device]\nplant = 'cartpole'\n[fallback]\nkind = 'hold'\n"


def small() -> Any:
    return rtu.StreamAC(observation_size=2, action_size=1, units=4, hidden=[4], seed=1)


@pytest.mark.parametrize("seed", range(20))
def test_sensor_monitor_and_change_of_drivers(seed: int) -> None:
    """Values are multiples of 1/64, so that differences are exact in float; policies and limits at random."""
    rng = np.random.default_rng(seed)
    sensors = []
    channels = []
    for name in ("x", "theta"):
        kind: dict[str, Any] = {
            "spike": float(rng.choice([0.0, 0.25])),
            "stuck_steps": int(rng.choice([0, 4])),
            "hold_steps": int(rng.integers(0, 4)),
        }
        kind |= {f"on_{what}": str(rng.choice(["hold", "clamp", "fallback"])) for what in ("dropout", "range", "spike")}
        channels.append(slow.Channel(-1.0, 1.0, **kind))
        said = ", ".join(f"{key} = {value!r}" for key, value in kind.items())
        sensors.append(f"sensor.{name}={{min = -1, max = 1, {said}}}")
    numbers = {"dwell_steps": 6, "recovery_steps": 3, "max_switches": 8, "switch_window": 200}
    made = faults.supervised(
        small(),
        *sensors,
        *(f"supervisor.{key}={value}" for key, value in numbers.items()),
        "supervisor.mode=learn",
        "learner_monitor.enabled=false",
        text=TEXT,
    )
    sensor, drivers = slow.SensorMonitor(channels), slow.Drivers(**numbers)
    causes = {"": Cause.NONE, "sensor": Cause.SENSOR, "dwell": Cause.DWELL, "locked": Cause.LOCKED}
    x = np.zeros(2)
    moved, before = 0.0, None
    seen = set()
    for step in range(600):
        if step % 150 == 0:
            made.policy.begin()
            sensor.begin()
            moved, before = 0.0, None
        trouble = rng.random(2)
        x = (
            np.round((x + rng.uniform(-0.1, 0.1, 2) * (rng.random(2) < 0.5)).clip(-1.1, 1.1) * 64) / 64 + 0.0
        )  # no -0: other bits
        given = np.where(trouble < 0.03, np.nan, np.where(trouble < 0.05, np.inf, np.where(trouble < 0.07, 50.0, x)))
        _, action = made.policy.predict(given, True)
        made.policy.update(0.0)
        info = made.policy.info()
        _, flags, first = sensor.step([float(v) for v in given], moved)
        assert (info["sensor_monitor"], info["sensor_channel"]) == (flags, first), step
        why = drivers.step("sensor" if flags & slow.FALLBACK else "")
        assert Cause.of(info["mode"]) is causes[why], step
        moved = 0.0 if before is None else abs(float(action[0]) - before)
        before = float(action[0])
        seen |= {why, flags & 31}
    assert {"", "sensor", "dwell"} <= seen and len(seen) >= 6


script: list[float | None] = []


def scripted(x: Any, first: bool) -> list[float]:
    """A fallback that outputs `script`, in N of -10..10, and fails where it is None."""
    given = script.pop(0)
    if given is None:
        raise ZeroDivisionError
    return [10.0 * given]


@pytest.mark.parametrize("mode", ["off", "residual"])
@pytest.mark.parametrize("seed", range(10))
def test_a_fallback_that_fails(mode: str, seed: int) -> None:
    """Its contribution, alone and below a correction of 1 % of the range, and the step in which it gives up."""
    rng = np.random.default_rng(seed)
    share = "supervisor.residual={force=0.01}"
    text = f"[device]\nplant = 'cartpole'\n[fallback]\nkind = 'python'\nfunction = '{__name__}:scripted'\n"
    config = parse_config(text, [f"supervisor.mode={mode}", *([share] if mode == "residual" else [])])
    learner = _testing.LinearPolicy(2, [1.0])
    limits = [Limits(-10.0, 10.0, slew_per_s=math.inf, accel_per_s2=math.inf, rest=2.5)]
    native = supervise(config, learner.policy(), faults.SHEET, limits).policy
    reference = slow.FallbackOutput(rest=0.25)
    ended = 0
    for _ in range(400):
        if rng.random() < 0.05:
            native.begin()
            reference.begin()
        # Multiples of 1/64 are exact in float; it fails in runs.
        given = float(rng.integers(-64, 65)) / 64 if reference.failed == 0 or rng.random() < 0.25 else None
        given = None if rng.random() < 0.3 else math.nan if rng.random() < 0.05 else given
        script.append(given)
        status, action = native.predict([0.0, 0.0], False)
        expected, over = reference.step(given)
        assert (status == 2) is over
        correction = 0.02 if mode == "residual" and not over else 0.0
        assert action[0] == pytest.approx(min(expected + correction, 1.0), abs=1e-7)
        native.update(0.0)
        ended += over
    assert ended > 10


@pytest.mark.parametrize("seed", range(10))
def test_command_limiter(seed: int) -> None:
    """To 2e-3 of a range of some ten: the allowed speed is the square root of the remaining distance, so that the
    reference's slack of 1e-6, and the rounding of float, become a thousandth near the end."""
    rng = np.random.default_rng(seed)
    low, high = -float(rng.uniform(1, 10)), float(rng.uniform(1, 10))
    slew, accel = float(rng.choice([math.inf, 3.0])), float(rng.choice([math.inf, 0.3, 1.0]))
    native = _testing.CommandLimiter([Limits(low, high, slew_per_s=slew, accel_per_s2=accel, rest=0.0)], 1.0)
    native.start([0.0])
    reference = slow.CommandLimiter(low, high, slew, accel)
    wanted = 0.0
    for _ in range(500):
        if rng.random() < 0.1:
            wanted = float(rng.choice([-1, 1, rng.uniform(-1, 1), np.nan]))
        u, _ = native.apply([wanted])
        expected = reference.step(low + (wanted + 1) / 2 * (high - low))
        assert float(u[0]) == pytest.approx(expected, abs=2e-3)


def test_td_errors_out_of_their_distribution() -> None:
    """The native running mean and threshold, driven by rewards of a learner that does not move."""
    agent: Any = rtu.StreamAC(
        2, 1, units=4, hidden=[4], seed=1, scale_reward=False, actor={"step_size": 1e-9}, critic={"step_size": 1e-9}
    )
    numbers = (
        "learner_monitor.td_error=20",
        "learner_monitor.td_warmup=200",
        "learner_monitor.max_rollbacks=1000",
        "supervisor.max_switches=64",
    )
    made = faults.supervised(agent, *numbers, text=TEXT)
    watch = slow.TdWatch(20.0, 200)
    rng = np.random.default_rng(0)
    made.policy.begin()
    hits = 0
    fresh = True
    for step in range(3000):
        made.policy.predict([0.1, 0.1], True)
        reward = float(rng.normal()) * (100.0 if rng.random() < 0.01 else 1.0)
        made.policy.update(reward)
        found = bool(made.policy.info()["learner_monitor"] & MonitorFlag.TD_ERROR)
        if fresh:  # nothing is learned from the first observation of the run and after each rollback
            fresh = False
            assert not found
            continue
        # The value hardly changes, so that delta equals the reward to a few hundredths: keeps clear of the threshold.
        value = float(made.policy.info()["value"])
        delta = reward + (0.99 - 1.0) * value
        expected = watch.step(delta)
        if abs(abs(delta) - 20 * watch.mean) > 0.3:
            assert found is expected, step
        hits += found
        fresh = found
    assert 5 < hits < 60
