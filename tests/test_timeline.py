"""Rewards, drivers and interventions of a run: newest values and over time, compared with sums over all records."""

from __future__ import annotations

import json
import math
import tracemalloc

import numpy as np
import pytest

from rtu_edge import _core
from rtu_edge.device.schema import Limits
from rtu_edge.loop.flags import Cause, Driver, LimiterFlag, MonitorFlag, RecordFlag
from rtu_edge.report.digest import Digest
from rtu_edge.report.timeline import COLUMNS, DRIVERS, Timeline, features, number, share

LIMITS = [Limits(-1.0, 1.0)]


def made(count: int, seed: int = 0) -> np.ndarray:
    """Records of a supervised run, made up."""
    rng = np.random.default_rng(seed)
    found = np.zeros(count, _core.record_dtype(2, 1))
    found["step"] = np.arange(1, count + 1)
    found["flags"] = RecordFlag.ACTED | RecordFlag.LEARNED
    found["flags"][rng.random(count) < 0.01] = RecordFlag.ACTED | RecordFlag.FIRST
    found["reward"] = rng.normal(-1.0, 0.5, count)
    found["delta"] = rng.normal(0.0, 0.2, count)
    found["u"][:, 0] = np.clip(rng.normal(0.0, 1.0, count), -1.0, 1.0)
    fallback = rng.random(count) < 0.3
    found["mode"] = np.where(fallback, Driver.FALLBACK << 4 | Cause.SENSOR << 8, Driver.LEARNER << 4) | 4
    found["sensor_monitor"] = fallback
    found["command_limiter"][rng.random(count) < 0.2] = LimiterFlag.SLEW
    found["learner_monitor"][rng.random(count) < 0.001] = MonitorFlag.TD_ERROR | MonitorFlag.ROLLED_BACK
    return found


@pytest.mark.parametrize("size", [97, 999, 50_000])
def test_sums_are_those_of_all_records(size: int) -> None:
    records = made(50_000)
    digest = Digest(20, LIMITS)
    for at in range(0, len(records), size):
        digest.take(records[at : at + size], records[:0])
    total = digest.timeline.total
    fallback = records["mode"] >> 4 & 15 == Driver.FALLBACK
    assert total["commands"] == 50_000 == sum(total[name] for name in DRIVERS)
    assert total["fallback"] == total["forced"] == total["sensor"] == fallback.sum()
    assert total["limiter"] == (records["command_limiter"] != 0).sum()
    assert total["rollbacks"] == total["monitor"] == (records["learner_monitor"] != 0).sum()
    assert total["clipped"] == ((np.abs(records["u"][:, 0]) == 1.0) & ~fallback).sum() > 0
    rewarded = records["flags"] & RecordFlag.FIRST == 0
    assert total["reward"] == pytest.approx(records["reward"][rewarded].astype(float).sum())
    recent = digest.recent.sums
    assert recent["commands"] == 1000
    newest = records[-1000:]["reward"][rewarded[-1000:]].astype(float)
    assert recent.mean("reward", "rewards") == pytest.approx(newest.mean())
    timeline = digest.timeline
    assert 128 <= len(timeline) <= 256 and timeline.steps[-1] == 50_000 and (np.diff(timeline.steps) > 0).all()
    edges = np.searchsorted(records["step"], timeline.steps, "right")
    counted = [part.sum() for part in np.split(fallback, edges[:-1])]
    commands = np.diff(np.concatenate([[0], edges]))
    assert timeline.mean("fallback", "commands") == pytest.approx(np.array(counted) / commands)


def test_every_command_has_one_driver() -> None:
    records = made(6)
    records["mode"][:4] = [Driver.LEARNER << 4, Driver.BOTH << 4, Driver.FALLBACK << 4 | Cause.FAILED << 8, 0]
    records["command_limiter"][:4] = [0, 0, 0, LimiterFlag.HELD]
    records["flags"][5] = RecordFlag.TERMINATED  # no command leaves
    rows = features(records, LIMITS)
    named = [[name for name in DRIVERS if rows[k, COLUMNS.index(name)]] for k in range(6)]
    assert named[:4] == [["learner"], ["both"], ["rest"], ["held"]] and len(named[4]) == 1 and named[5] == []


def test_what_is_not_finite_counts_for_nothing() -> None:
    records = made(10)
    records["reward"][3], records["delta"][4] = np.nan, np.inf
    rows = features(records, LIMITS)
    assert np.isfinite(rows).all() and rows[3, COLUMNS.index("rewards")] == 0 == rows[4, COLUMNS.index("learned")]


def test_records_of_an_earlier_version_have_no_timeline() -> None:
    digest = Digest()
    records = np.zeros(5, [(name, "i8") for name in ("episode", "lateness_ns", "predict_ns", "update_ns")])
    assert len(features(records)) == 0
    assert not len(digest.timeline) and digest.learned == "no reward yet"


def test_what_was_learned_in_one_phrase() -> None:
    records = made(1500)
    records["flags"], records["mode"] = RecordFlag.ACTED, Driver.LEARNER << 4
    records["reward"] = -0.013
    digest = Digest(20)
    digest.take(records[:1], records[:0])
    assert digest.learned == "reward -0.013 per step (last step)"
    digest.take(records[1:], records[:0])
    assert digest.learned == "reward -0.013 per step (last 1,000 steps)"
    episodes = np.zeros(30, _core.episode_dtype())
    episodes["total_return"] = 487.0
    digest.take(records[:0], episodes[:1])
    assert digest.learned == "return 487 (last episode)"
    digest.take(records[:0], episodes)
    assert digest.learned == "return 487 (last 20 episodes)"
    records["mode"][-250:] = Driver.FALLBACK << 4
    digest.take(records, records[:0])
    assert digest.learned == "return 487 (last 20 episodes); driven by learner 75 %, fallback 25 %"


def test_memory_does_not_grow() -> None:
    records = made(1000)
    digest = Digest(20, LIMITS)
    held = []
    tracemalloc.start()
    try:
        for turn in range(200):
            records["step"] += 1000
            digest.take(records, records[:0])
            digest.timeline.sample(turn * 1000.0, 0.5, 0.1)
            held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert held[-1] - held[99] < 100_000
    assert digest.timeline.total["commands"] == 200_000


def test_samples_survive_json() -> None:
    timeline = Timeline(8)
    for step in range(100):
        timeline.sample(step, 0.5 if step % 2 else math.nan, -0.1 * step)
    timeline.sample(50.0, 1.0, 1.0)  # an earlier step is left out
    kept = timeline.plain_samples
    assert 4 <= len(kept) <= 8
    again = Timeline(8)
    again.resume(json.loads(json.dumps(kept)))
    assert again.plain_samples == [tuple(row) for row in kept]


def test_numbers_are_readable() -> None:
    values = (487.2, -0.0130, 1234567.0, 12.5, 0.0, 1.0, -21.88, 1e-7, math.nan)
    shown = ["487", "-0.013", "1,234,567", "12.5", "0", "1", "-21.88", "1e-07", "-"]
    assert [number(value) for value in values] == shown
    shares = (0.0, 1.0, 0.5, 0.0123, 0.0001, 0.99999, 0.995, math.nan)
    assert [share(value) for value in shares] == [
        "0 %", "100 %", "50 %", "1.2 %", "< 0.1 %", "> 99.9 %", "99.5 %", "-",
    ]  # fmt: skip


def test_one_record_at_a_time_is_the_same() -> None:
    records = made(700)
    one, all_ = Digest(20, LIMITS), Digest(20, LIMITS)
    all_.take(records, records[:0])
    for at in range(len(records)):
        one.take(records[at : at + 1], records[:0])
    assert one.timeline.steps.tolist() == all_.timeline.steps.tolist()
    assert one.timeline.mean("delta", "learned") == pytest.approx(all_.timeline.mean("delta", "learned"), nan_ok=True)
