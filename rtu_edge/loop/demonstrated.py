"""What a person or a controller demonstrated in the records of a loop: arguments of StreamAC.clone()."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rtu_edge._base.errors import ConfigError
from rtu_edge.device.schema import Limits
from rtu_edge.loop.flags import Driver, RecordFlag

__all__ = ["Shown", "rows_of", "shares"]

Array = npt.NDArray[Any]

_COLUMNS = ("sequence", "flags", "mode", "reward", "x", "u")
_END = RecordFlag.TERMINATED | RecordFlag.TRUNCATED


def shares(u: Array, limits: Sequence[Limits], levels: int | None) -> Array:
    """Commands (k, m) as actions: (k, m) in [-1, 1] of the limits, or (k,) indices of that many levels."""
    low, high = (np.array([getattr(own, end) for own in limits], np.float64) for end in ("min", "max"))
    found = np.clip((u.astype(np.float64) - low) / (high - low), 0.0, 1.0)
    return 2.0 * found - 1.0 if levels is None else np.round(found[:, 0] * (levels - 1))


def rows_of(records: Any, limits: Sequence[Limits], levels: int | None, supervised: bool) -> dict[str, Array]:
    """The arguments of clone(). Where a person drove in any step, only that is demonstrated; otherwise, where the
    fallback drove in any step, alone or with a correction, that; otherwise every step.

    Commands are actions within the limits. Homing is left out; a gap, and a reading or a reward that is not finite, cut
    the episode.

    Args:
        records: of a log or a loop, by the names of their fields.
        limits: those in force.
        levels: of a learner with discrete actions.
        supervised: `mode` tells who drove.

    Raises:
        ConfigError: no step with observation and reward.
    """
    flags = records["flags"]
    kept = (flags & RecordFlag.HOMING) == 0
    finite = np.isfinite(records["x"]).all(axis=1) & np.isfinite(records["reward"])
    whole = np.concatenate([[True], np.diff(records["sequence"].astype(np.int64)) == 1])
    first = (flags & RecordFlag.FIRST) != 0
    starts = first | ~whole | np.concatenate([[True], ~(kept & finite)[:-1]])
    kept &= finite
    if not kept.any():
        raise ConfigError("no step with observation and reward")
    starts, flags = starts[kept], flags[kept]
    x, u, reward, mode = (records[name][kept] for name in ("x", "u", "reward", "mode"))
    terminated = (flags & RecordFlag.TERMINATED) != 0
    truncated = ((flags & RecordFlag.TRUNCATED) != 0) | np.concatenate([starts[1:], [True]]) & ~terminated
    acted = ((flags & RecordFlag.ACTED) != 0) & np.isfinite(u).all(axis=1)
    driver = mode >> 4 & 15
    for drivers in ((Driver.PERSON,), (Driver.FALLBACK, Driver.BOTH)):
        by_these = np.isin(driver, drivers)
        if supervised and (acted & by_these).any():
            acted &= by_these
            break
    middle = np.array([0.5 * (own.min + own.max) for own in limits], np.float64)
    actions = shares(np.where(acted[:, np.newaxis], u, middle), limits, levels)
    return {
        "observations": x,
        "actions": actions,
        "rewards": reward,
        "terminated": terminated,
        "truncated": truncated,
        "demonstrated": acted,
    }


class Shown:
    """The records of the episodes in which a person drove, while a loop runs; as rows_of()."""

    def __init__(self, limits: Sequence[Limits], levels: int | None) -> None:
        self._limits, self._levels = limits, levels
        self._kept: list[dict[str, Array]] = []
        self._open: list[dict[str, Array]] = []  # of the episode under way

    def take(self, records: Array) -> None:
        """The records since the last call."""
        cuts = np.flatnonzero(records["flags"] & _END) + 1
        edges = [0, *cuts.tolist(), len(records)]
        for start, end in itertools.pairwise(edges):
            if end > start:
                self._open.append({name: records[name][start:end].copy() for name in _COLUMNS})
            if end in cuts:
                self._close()

    def _close(self) -> None:
        if any((part["mode"] >> 4 & 15 == Driver.PERSON).any() for part in self._open):
            self._kept += self._open
        self._open = []

    def arguments(self) -> dict[str, Array] | None:
        """For clone(); None if no person drove."""
        self._close()
        if not self._kept:
            return None
        whole = {name: np.concatenate([part[name] for part in self._kept]) for name in _COLUMNS}
        return rows_of(whole, self._limits, self._levels, supervised=True)
