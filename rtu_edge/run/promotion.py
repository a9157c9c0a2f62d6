"""Statistics of a run as evidence for giving the learner more authority.

A mode is promoted on evidence, by a command, never automatically: learner and fallback are compared by blocks that one
of them drove throughout, with a bootstrap interval of the difference. Where episodes terminate, a block is an episode
and its measure the return: the mean reward of steps would hide a fall. Otherwise it is a number of steps and their mean
reward.
"""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rtu_edge.config import Mode
from rtu_edge.loop.flags import Cause, Driver, LimiterFlag, MonitorFlag, RecordFlag
from rtu_edge.record.reader import Batch

__all__ = ["Evidence", "evidence", "shortcomings"]

Array = npt.NDArray[Any]

BLOCKS = 10  # of each driver, at least
SHADOW_STEPS = 10_000  # learned from, at least
MARGIN = 0.05  # of the fallback's mean reward, allowed loss of the learner at the interval's lower end
FORCED = 0.02  # share of steps in which the fallback had to step in, at most
ROLLBACKS_PER_STEP = 1e-4  # of the learner monitor, at most
DRAWS = 2000
_DRAWN_AT_ONCE = 1 << 20  # decimated, so that memory does not grow with the number of episodes
_MODES = (None, *Mode)  # in the order of native/runtime/safety/supervisor.h
_FIELDS = ("mode", "flags", "reward", "sensor_monitor", "command_limiter", "learner_monitor")


@dataclass(frozen=True)
class Evidence:
    """The evidence of a run.

    Args:
        mode: of its records; None without a supervisor.
        steps, learned: recorded; learned from.
        unit: "episode" or "step": of the measure.
        learner, fallback: return, or mean reward per step, of each block driven by it. interval: 95 % bootstrap
        interval of mean(learner) - mean(fallback); None if a side has no block. forced: share of steps that the
        fallback was forced to drive. sensor_hits, limiter_hits: steps with a finding of the input or the command
        limiter. rollbacks: to a validated snapshot.
        frozen, locked: the fallback drives permanently.
    """

    mode: Mode | None
    steps: int
    learned: int
    unit: str
    learner: Array
    fallback: Array
    interval: tuple[float, float] | None
    forced: float
    sensor_hits: int
    limiter_hits: int
    rollbacks: int
    frozen: bool
    locked: bool


def evidence(batches: Iterable[Batch], block: int = 500, seed: int = 0) -> Evidence:
    """Compute it from a run's steps, storing only one number per block or episode.

    Args:
        batches: of the run's log, in order: `Steps.batches()`.
        block: steps; a longer turn counts as several blocks, a remainder of at least half a block as one.
        seed: of the bootstrap.

    Raises:
        ValueError: there are no records.
    """
    counts, returns, blocks = _Counts(), _Returns(), _Blocks(block)
    with np.errstate(all="ignore"):  # a log may hold any numbers
        for records, _ in batches:
            if not len(records):
                continue
            if missing := [name for name in _FIELDS if name not in (records.dtype.names or ())]:
                raise ValueError(f"its step records have no {', '.join(missing)}")
            records = records[(records["flags"] & RecordFlag.HOMING) == 0]
            if not len(records):
                continue
            words = records["mode"].astype(np.int64)
            # Steps in which the fallback was forced to drive count for the learner, and do not measure the fallback.
            driver, cause = words >> 4 & 15, words >> 8 & 15
            own = np.where((driver == Driver.FALLBACK) & (cause == Cause.MODE), _FALLBACK, _LEARNER).astype(np.int8)
            own[(driver == Driver.PERSON) | (cause == Cause.SILENT)] = _PERSON
            counts.take(records, words)
            returns.take(records, own)
            blocks.take(records, own)
        if not counts.steps:
            raise ValueError("the run has no step records")
        learner, fallback = returns.sides() if counts.terminates else blocks.sides()
        interval = _interval(learner, fallback, seed) if len(learner) and len(fallback) else None
    return Evidence(
        mode=_MODES[counts.mode] if counts.mode < len(_MODES) else None,
        steps=counts.steps,
        learned=counts.learned,
        unit="episode" if counts.terminates else "step",
        learner=learner,
        fallback=fallback,
        interval=interval,
        forced=counts.forced / counts.steps,
        sensor_hits=counts.sensor_hits,
        limiter_hits=counts.limiter_hits,
        rollbacks=counts.rollbacks,
        frozen=counts.frozen,
        locked=counts.locked,
    )


@dataclass
class _Counts:
    """Counters over the records so far; see Evidence."""

    mode: int = 0  # of the last record
    steps: int = 0
    learned: int = 0
    forced: int = 0
    sensor_hits: int = 0
    limiter_hits: int = 0
    rollbacks: int = 0
    frozen: bool = False
    locked: bool = False
    terminates: bool = False  # an episode has terminated

    def take(self, records: Array, words: Array) -> None:
        """Records, and their `mode` as int64."""
        driver, cause, monitor = words >> 4 & 15, words >> 8 & 15, records["learner_monitor"]
        self.mode = int(words[-1] & 15)
        self.steps += len(records)
        self.learned += _count(records["flags"] & RecordFlag.LEARNED)
        self.forced += _count((driver == Driver.FALLBACK) & (cause != Cause.MODE) & (cause != Cause.SILENT))
        self.sensor_hits += _count(records["sensor_monitor"])
        self.limiter_hits += _count(records["command_limiter"] & ~np.uint32(LimiterFlag.CLIPPED))
        self.rollbacks += _count(monitor & MonitorFlag.ROLLED_BACK)
        self.frozen = self.frozen or bool((monitor & MonitorFlag.FROZEN).any() or (cause == Cause.FROZEN).any())
        self.locked = self.locked or bool((cause == Cause.LOCKED).any())
        self.terminates = self.terminates or bool((records["flags"] & RecordFlag.TERMINATED).any())


_LEARNER, _FALLBACK, _PERSON = range(3)  # whose side a step counts for; a person's for none that is compared


def _count(values: Array) -> int:
    return int(np.count_nonzero(values))


class _Blocks:
    """Mean reward per step of each block that one side drove throughout.

    A reward belongs to the preceding action: the first of a turn belongs to the other side.
    """

    def __init__(self, length: int) -> None:
        self._length = length
        self._found = (array("d"), array("d"), array("d"))  # of the learner, the fallback, a person
        self._side = -1  # of the last record; -1: there is none
        self._place = 0  # of the last record, in its turn
        self._sum, self._number = 0.0, 0  # rewards of the current block

    def take(self, records: Array, own: Array) -> None:
        """Records, and whose side each counts for."""
        sides = own
        # A new turn, or the continuation of the previous records' turn.
        begins = np.flatnonzero(np.diff(sides, prepend=np.int8(self._side)) != 0)
        starts = np.zeros(len(records), np.int64)
        starts[:] = -1 - self._place if not len(begins) or begins[0] else 0
        if len(begins):
            starts[begins] = begins
            starts = np.maximum.accumulate(starts)
        places = np.arange(len(records)) - starts
        fresh = places % self._length == 0
        # The reward of a record belongs to the block of the previous record.
        counts = (records["flags"] & RecordFlag.FIRST) == 0
        rewards = np.where(counts, records["reward"].astype(np.float64), 0.0)
        edges = np.flatnonzero(fresh)
        cuts = [0, *(edges + 1), len(records)]
        for number, (begin, end) in enumerate(itertools.pairwise(cuts)):
            if self._side >= 0 and begin < end:
                self._sum += float(rewards[begin:end].sum())
                self._number += int(counts[begin:end].sum())
            if number < len(edges):
                self._close()
                self._side = int(sides[edges[number]])
        self._side, self._place = int(sides[-1]), int(places[-1])

    def _close(self) -> None:
        if self._side >= 0 and self._number >= max(1, self._length // 2):
            self._found[self._side].append(self._sum / self._number)
        self._sum, self._number = 0.0, 0

    def sides(self) -> tuple[Array, Array]:
        """Results of the learner and of the fallback; ends the input."""
        self._close()
        self._side = -1
        return np.array(self._found[0]), np.array(self._found[1])


class _Returns:
    """Return of each complete episode that one side drove throughout."""

    def __init__(self) -> None:
        self._found = (array("d"), array("d"))  # of the learner, of the fallback
        self._open = False  # an episode is under way
        self._return, self._over = 0.0, False
        self._drove = [True, True]  # the learner, the fallback: throughout so far

    def take(self, records: Array, own: Array) -> None:
        """Records, and whose side each counts for."""
        first = np.flatnonzero(records["flags"] & RecordFlag.FIRST)
        over = (records["flags"] & (RecordFlag.TERMINATED | RecordFlag.TRUNCATED)) != 0
        for begin, end in itertools.pairwise([0, *first, len(records)]):
            if begin == end:
                continue
            starts = bool(records["flags"][begin] & RecordFlag.FIRST)
            if starts:
                self._close()
                self._open = True
            self._return += float(records["reward"][begin + starts : end].sum(dtype=np.float64))
            self._over = bool(over[end - 1])
            self._drove[0] = self._drove[0] and bool((own[begin:end] == _LEARNER).all())
            self._drove[1] = self._drove[1] and bool((own[begin:end] == _FALLBACK).all())

    def _close(self) -> None:
        for side, drove in enumerate(self._drove):
            if self._open and self._over and drove:
                self._found[side].append(self._return)
        self._return, self._over, self._drove = 0.0, False, [True, True]

    def sides(self) -> tuple[Array, Array]:
        """Results of the learner and of the fallback; ends the input."""
        self._close()
        self._open = False
        return np.array(self._found[0]), np.array(self._found[1])


def shortcomings(found: Evidence, to: Mode) -> list[str]:
    """Reasons why the evidence does not support a promotion to `to`; empty if it does."""
    if to in (Mode.OFF, Mode.SHADOW):
        return []
    lacks = []
    if found.frozen:
        lacks.append("the learner monitor froze the learner permanently")
    if found.locked:
        lacks.append("the fallback drives permanently: too many switches")
    most = max(1, int(found.steps * ROLLBACKS_PER_STEP))
    if found.rollbacks > most:
        lacks.append(f"the learner monitor rolled back {found.rollbacks} times; at most {most} in {found.steps} steps")
    if to in (Mode.AB, Mode.RESIDUAL):
        if found.learned < SHADOW_STEPS:
            lacks.append(f"learned from {found.learned} steps; at least {SHADOW_STEPS}")
        return lacks
    if found.forced > FORCED:
        lacks.append(f"the fallback was forced to drive {found.forced:.1%} of the steps; at most {FORCED:.0%}")
    advice = "run with mode = ab" + (" and ab.unit = episodes" if found.unit == "episode" else "")
    for name, blocks in (("learner", found.learner), ("fallback", found.fallback)):
        if len(blocks) < BLOCKS:
            lacks.append(f"{len(blocks)} blocks driven by the {name}; at least {BLOCKS} ({advice})")
    if found.interval is not None:
        allowed = -MARGIN * abs(float(found.fallback.mean()))
        if found.interval[0] < allowed:
            lacks.append(
                f"reward per {found.unit} against the fallback's may be as low as {found.interval[0]:+.4g};"
                f" at least {allowed:+.4g}"
            )
    return lacks


def _means(rng: np.random.Generator, side: Array) -> Array:
    """For DRAWS samples, in parts."""
    part = max(1, _DRAWN_AT_ONCE // len(side))
    sizes = [min(part, DRAWS - at) for at in range(0, DRAWS, part)]
    return np.concatenate([rng.choice(side, (size, len(side))).mean(axis=1) for size in sizes])


def _interval(learner: Array, fallback: Array, seed: int) -> tuple[float, float]:
    """95 % bootstrap interval (percentiles) of the difference of the means."""
    rng = np.random.default_rng(seed)
    draws = [_means(rng, side) for side in (learner, fallback)]
    low, high = np.percentile(draws[0] - draws[1], (2.5, 97.5))
    return float(low), float(high)
