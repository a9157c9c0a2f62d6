"""A supervised run is replayed from its log, bit for bit, with all kinds of supervisor decisions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import logged
import numpy as np
import numpy.typing as npt
import pytest

from rtu_edge import _testing
from rtu_edge.device.plants import Plant
from rtu_edge.loop import CallFlag, Cause, Driver, MonitorFlag, RecordFlag, SensorFlag
from rtu_edge.loop.supervisor import supervise
from rtu_edge.record.head import Head
from rtu_edge.run import replay
from rtu_edge.run.replay import DifferenceFlag

Array = npt.NDArray[Any]

STEPS = 20_000
EARLY = (
    "learner_monitor={snapshot_steps=150, validation_steps=60, max_rollbacks=400, td_warmup=100, td_error=20, "
    "saturated_steps=60}",
    "supervisor.max_switches=64",
    "supervisor.switch_window=1",
    "supervisor.dwell_steps=12",
    "supervisor.recovery_steps=6",
    "sensor.x={spike=0.5, stuck_steps=10, hold_steps=2, on_spike='clamp', min=-1.5, max=1.5}",
    "sensor.theta={spike=0.3, hold_steps=2, on_dropout='hold', on_range='fallback', min=-0.15, max=0.15}",
)
PD = "fallback={kind='pd', pd={force={p={x=-1.0, theta=-60.0}, d={x=-2.0, theta=-10.0}}}}"
SHAKY = "fallback={kind='python', function='test_replay_supervised:shaky'}"


def shaky(x: Array, first: bool) -> list[float]:
    """A controller that fails for one observation in four."""
    return [math.nan if int(abs(float(x[0])) * 1e5) % 4 == 0 else float(-60 * x[1])]


def faulty(x: Array, reward: float, number: int) -> tuple[Array, float]:
    """The input at such a step; the periods are primes, so that faults occur in all combinations."""
    x = x.copy()
    if number % 97 < 2:
        x[0] = np.nan
    if number % 211 < 6:
        x[1] = np.nan
    if number % 61 == 0:
        x[0] += 1e9
    if number % 331 < 25:
        x[0] = 0.125
    if number % 401 == 0:
        x[1] = np.inf
    if number % 389 == 0:
        reward *= 1e6 if number % 2 == 0 else 1e5  # the second scenario's range refuses the first
    if number % 503 < 2:
        reward = math.nan
    return x, reward


def drive(changes: tuple[str, ...], seed: int = 0) -> Callable[[Any, Head, Plant, Array], None]:
    """The supervisor's calls as the loop makes them (native/runtime/loop/loop_step.cpp), from Python."""

    def fill(agent: Any, head: Head, plant: Plant, records: Array) -> None:
        config = logged.config_of(*changes)
        made = supervise(config, agent.core.policy(), head.sheet, head.limits_in_force, simulated=True)
        policy, rng = made.policy, np.random.default_rng(seed)
        limiter = _testing.CommandLimiter(head.limits_in_force, head.period_s, policy.n_levels)
        x, reward, terminated, truncated, first, episode = plant.reset(seed=1)[0], 0.0, False, False, True, 1
        chosen, applied = 0.0, 0.0
        for number, record in enumerate(records):
            calls, flags = CallFlag.PREDICT, RecordFlag(0)
            if first:
                limiter.start([applied])
                policy.begin()
                calls |= CallFlag.BEGIN
                flags |= RecordFlag.FIRST
            seen, reward = faulty(x, reward, number)
            learning = number // 700 % 5 != 3
            if learning:
                calls |= CallFlag.EXPLORE
            if not first:
                policy.previous(reward, logged.action_of(agent, applied))
            status, action = policy.predict(seen, learning)
            assert status >= 0
            over = terminated or truncated
            flags |= (RecordFlag.TERMINATED * terminated) | (RecordFlag.TRUNCATED * truncated)
            flags |= RecordFlag.ACTED * (not over)
            if not first and not math.isfinite(reward):
                flags |= RecordFlag.REWARD_REFUSED
                reward = 0.0
            elif learning:
                overridden = not first and applied != chosen
                update = bool(rng.random() > 0.1)
                given = logged.action_of(agent, applied) if overridden else None
                status = policy.update(reward, terminated, truncated, given, update)
                calls |= CallFlag.LEARN | CallFlag.APPLIED * overridden | CallFlag.WEIGHTS * update
                flags |= RecordFlag.UPDATE_FAILED if status < 0 else RecordFlag.LEARNED * (not first and status == 0)
            record["applied"] = applied
            chosen = float(limiter.apply(action)[0][0])
            record["sequence"], record["step"], record["x"], record["u"] = number, number, seen, chosen
            record["flags"], record["calls"], record["reward"] = int(flags), int(calls), reward
            record["episode"] = episode
            for name, value in policy.info().items():
                record[name] = value
            if number % head.hash_every == 0:
                record["state_hash"] = policy.hash()
            first = over
            if over:
                episode += 1
                x, reward, terminated, truncated, applied = plant.reset(seed=episode)[0], 0.0, False, False, 0.0
                continue
            applied = float(np.float32(rng.uniform(-10, 10))) if rng.random() < 0.02 else chosen
            x, reward, terminated, truncated, _ = plant.step([applied])
            truncated = truncated or (not terminated and bool(rng.random() < 0.002))
        assert (policy.counters()["fallback_failures"] > 100) == (SHAKY in changes)

    return fill


@pytest.mark.parametrize(
    "changes",
    [
        (*EARLY, PD),
        (*EARLY, SHAKY, "reward={min=0.0, max=5e5}"),
        (*EARLY, PD, "supervisor.mode='residual'", "supervisor.residual={force=0.3}"),
        (
            *EARLY,
            PD,
            "supervisor.mode='ab'",
            "supervisor.ab={block=3, unit='episodes'}",
            "learner_monitor.rate_window=400",
        ),
        (*EARLY, PD, "supervisor.mode='shadow'"),
        (*EARLY, PD, "learner_monitor.max_rollbacks=2", "learner_monitor.validation_steps=5000"),
    ],
    ids=["learn", "shaky fallback", "residual", "ab", "shadow", "frozen in the end"],
)
def test_twenty_thousand_supervised_steps_verify_to_the_bit(changes: tuple[str, ...]) -> None:
    log, _ = logged.by_hand(logged.config_of(*changes), STEPS, hash_every=10, drive=drive(changes))
    monitor, sensor, mode = (log.records[name] for name in ("learner_monitor", "sensor_monitor", "mode"))
    frozen, rolled = "learner_monitor.max_rollbacks=2" in changes, ((monitor & MonitorFlag.ROLLED_BACK) != 0).sum()
    # 52 rewards are 1e5 or 1e6 times as large, 4 of 5 while it learns; a rollback restores the reward's scale, so that
    # each is an error again.
    assert rolled == 3 if frozen else rolled > 10, rolled
    assert bool(((monitor & MonitorFlag.FROZEN) != 0).any()) == frozen
    for flag in (SensorFlag.HELD, SensorFlag.CLAMPED, SensorFlag.FALLBACK, SensorFlag.SPIKE, SensorFlag.STUCK):
        assert ((sensor & flag) != 0).sum() > 10, flag
    causes = {Cause.of(int(word)) for word in np.unique(mode)}
    if "supervisor.mode='shadow'" not in changes:
        assert {Cause.NONE, Cause.SENSOR, Cause.DWELL} <= causes
        assert len({Driver.of(int(word)) for word in np.unique(mode)}) > 1
    # A Python function: a replay must be given it.
    found = replay.verify(log, fallback=logged.config_of(*changes).fallback)
    assert found.difference is None, str(found.difference)
    assert found.records == STEPS and found.hashes == STEPS // 10 and found.final_equal


def test_another_decision_is_found_where_it_was() -> None:
    changes = (*EARLY, PD)
    log, _ = logged.by_hand(logged.config_of(*changes), 2000, hash_every=10, drive=drive(changes))
    at = int(np.flatnonzero(log.records["learner_monitor"])[0])
    for field in ("learner_monitor", "mode", "sensor_monitor"):
        was = log.records[field][at]
        log.records[field][at] = was ^ 1
        found = replay.verify(log).difference
        assert found is not None and (found.sequence, found.what) == (at, DifferenceFlag.DECISION)
        assert field in str(found)
        log.records[field][at] = was
    assert replay.verify(log).difference is None
