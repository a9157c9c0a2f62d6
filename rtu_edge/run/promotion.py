"""Whether a run's telemetry speaks for letting the learner do more, in numbers.

A mode is promoted on evidence, by a command, never by itself: learner and fallback are compared by blocks which one of them
drove throughout, with a bootstrap interval of the difference. Where episodes terminate, a block is an episode and its
measure the return: the mean reward of steps would hide a fall. Otherwise it is so many steps and their mean reward.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rtu_edge.config import Mode
from rtu_edge.loop.flags import Cause, Driver, GateFlag, GuardFlag, RecordFlag

__all__ = ["Evidence", "evidence", "shortcomings"]

Array = npt.NDArray[Any]

BLOCKS = 10  # of each driver, at least
SHADOW_STEPS = 10_000  # learned from, at least
MARGIN = 0.05  # of the fallback's mean reward, that the learner may lose at the interval's lower end
FORCED = 0.02  # share of steps in which the fallback had to step in, at most
RETURNS_PER_STEP = 1e-4  # of the guard, at most
DRAWS = 2000
_DRAWN_AT_ONCE = 1 << 20  # numbers, so that a run of many episodes takes no more memory
_FIELDS = ("mode", "flags", "reward", "input_gate", "gate", "guard")


@dataclass(frozen=True)
class Evidence:
    """What a run showed.

    Args:
        mode: of its records; None without a supervisor.
        steps, learned: recorded; learned from.
        unit: "episode" or "step": of the measure.
        learner, fallback: return, or mean reward per step, of each block that one of them drove.
        interval: 95 % bootstrap interval of mean(learner) - mean(fallback); None where a side has no block.
        forced: share of steps that the fallback was forced to drive.
        input_hits, gate_hits: steps with a finding of the input or the output gate.
        returns: of the guard to a snapshot.
        frozen, locked: the fallback came to stay.
    """

    mode: Mode | None
    steps: int
    learned: int
    unit: str
    learner: Array
    fallback: Array
    interval: tuple[float, float] | None
    forced: float
    input_hits: int
    gate_hits: int
    returns: int
    frozen: bool
    locked: bool


@np.errstate(all="ignore")  # telemetry may hold any numbers
def evidence(arrays: Mapping[str, Array], block: int = 500, seed: int = 0) -> Evidence:
    """Read it out of a run's telemetry.

    Args:
        arrays: of RunFolder.load_arrays(): the records of "learning" or "realtime".
        block: steps; a longer turn counts as several blocks, the rest of one that is at least half as long as one.
        seed: of the bootstrap.

    Raises:
        ValueError: there are no records.
    """
    records = next((arrays[name] for name in ("realtime", "learning") if name in arrays), None)
    if records is None or not len(records):
        raise ValueError("the run has no step records")
    missing = [name for name in _FIELDS if name not in (records.dtype.names or ())]
    if missing:
        raise ValueError(f"its step records have no {', '.join(missing)}")
    words = records["mode"].astype(np.int64)
    driver, cause = words >> 4 & 15, words >> 8 & 15
    modes = (None, *Mode)  # in the order of native/runtime/safety/supervisor.h
    forced = (driver == Driver.FALLBACK) & (cause != Cause.MODE)
    terminates = bool(((records["flags"] & RecordFlag.TERMINATED) != 0).any())
    measure = _returns if terminates else _blocks
    # What the fallback was forced to drive is the learner's own: it counts for it, and is no measure of the fallback.
    own = (driver == Driver.FALLBACK) & (cause == Cause.MODE)
    learner, fallback = measure(records, ~own, block), measure(records, own, block)
    return Evidence(
        mode=modes[int(words[-1] & 15)] if int(words[-1] & 15) < len(modes) else None,
        steps=len(records),
        learned=int(((records["flags"] & RecordFlag.LEARNED) != 0).sum()),
        unit="episode" if terminates else "step",
        learner=learner,
        fallback=fallback,
        interval=_interval(learner, fallback, seed) if len(learner) and len(fallback) else None,
        forced=float(forced.mean()),
        input_hits=int((records["input_gate"] != 0).sum()),
        gate_hits=int((records["gate"] & ~np.uint32(GateFlag.CLIPPED) != 0).sum()),
        returns=int(((records["guard"] & GuardFlag.ROLLED_BACK) != 0).sum()),
        frozen=bool(((records["guard"] & GuardFlag.FROZEN) != 0).any() or (cause == Cause.FROZEN).any()),
        locked=bool((cause == Cause.LOCKED).any()),
    )


def shortcomings(found: Evidence, to: Mode) -> list[str]:
    """Why the evidence does not carry a promotion to `to`; empty when it does."""
    if to in (Mode.OFF, Mode.SHADOW):
        return []
    lacks = []
    if found.frozen:
        lacks.append("the guard gave up: the learner stayed frozen")
    if found.locked:
        lacks.append("the fallback came to stay: too many switches")
    most = max(1, int(found.steps * RETURNS_PER_STEP))
    if found.returns > most:
        lacks.append(f"the guard returned to a snapshot {found.returns} times; at most {most} in {found.steps} steps")
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


def _blocks(records: Array, drove: Array, length: int) -> Array:
    """Mean reward per step of each block in which `drove` holds throughout."""
    edges = np.flatnonzero(np.diff(drove.astype(np.int8), prepend=0, append=0))
    means = []
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        for at in range(begin, end, length):
            # A reward belongs to the action before it: the first of a turn is still the other's.
            after = records[at + 1 : min(at + length, end) + 1]
            rewards = after["reward"][(after["flags"] & RecordFlag.FIRST) == 0]
            if len(rewards) >= length // 2:
                means.append(float(np.mean(rewards, dtype=np.float64)))
    return np.array(means)


def _returns(records: Array, drove: Array, length: int) -> Array:
    """Return of each whole episode in which `drove` holds throughout."""
    first = np.flatnonzero((records["flags"] & RecordFlag.FIRST) != 0)
    over = (records["flags"] & (RecordFlag.TERMINATED | RecordFlag.TRUNCATED)) != 0
    returns = []
    for begin, end in zip(first, [*first[1:], len(records)], strict=True):
        if over[end - 1] and drove[begin:end].all():
            returns.append(float(records["reward"][begin + 1 : end].sum(dtype=np.float64)))
    return np.array(returns)


def _means(rng: np.random.Generator, side: Array) -> Array:
    """Of DRAWS samples, a part of them at a time."""
    part = max(1, _DRAWN_AT_ONCE // len(side))
    sizes = [min(part, DRAWS - at) for at in range(0, DRAWS, part)]
    return np.concatenate([rng.choice(side, (size, len(side))).mean(axis=1) for size in sizes])


def _interval(learner: Array, fallback: Array, seed: int) -> tuple[float, float]:
    """95 % bootstrap interval (percentiles) of the difference of the means."""
    rng = np.random.default_rng(seed)
    draws = [_means(rng, side) for side in (learner, fallback)]
    low, high = np.percentile(draws[0] - draws[1], (2.5, 97.5))
    return float(low), float(high)
