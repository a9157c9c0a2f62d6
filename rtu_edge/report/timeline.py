"""Learning progress from the records of a run: rewards, drivers, interventions; newest values and over time.

Memory does not grow with the run: the newest steps are kept in a window, the course of the run in at most BINS bins.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rtu_edge.device.schema import Limits
from rtu_edge.loop.flags import Cause, Driver, LimiterFlag, MonitorFlag, RecordFlag

__all__ = ["COLUMNS", "DRIVERS", "DRIVER_NAMES", "WINDOW", "Recent", "Timeline", "features", "number", "share"]

Array = npt.NDArray[Any]

WINDOW = 1000  # window of the newest values, steps
BINS = 256  # maximum of a run's history; even

# Who drove, of the steps with a command: every such step has exactly one of them.
DRIVERS = ("learner", "fallback", "both", "person", "rest", "held", "homing")
DRIVER_NAMES = {
    "learner": "learner",
    "fallback": "fallback",
    "both": "learner and fallback",
    "person": "person",
    "rest": "actuators at rest",
    "held": "last command held",
    "homing": "brought to its start",
}
# Counters per step. In addition to the drivers: commands, rewards and their sum, steps in which a part stepped in or a
# plant check had a finding,
# steps in which the fallback was forced, clipped actions, transitions learned from and the sum of |delta|.
COLUMNS = (
    "commands",
    *DRIVERS,
    "limiter",
    "sensor",
    "check",
    "monitor",
    "rollbacks",
    "forced",
    "predicted",
    "clipped",
    "rewards",
    "reward",
    "learned",
    "delta",
)
_AT = {name: place for place, name in enumerate(COLUMNS)}
_NEEDED = ("flags", "command_limiter", "sensor_monitor", "learner_monitor", "mode", "reward", "delta", "step", "u")
_LIMITED = LimiterFlag.NON_FINITE | LimiterFlag.RANGE | LimiterFlag.SLEW | LimiterFlag.ACCEL
_NO_REWARD = RecordFlag.FIRST | RecordFlag.REWARD_REFUSED | RecordFlag.HOMING
_LOW_BITS = (1 << 16) - 1  # findings in learner_monitor


def features(records: Array, limits: Sequence[Limits] = ()) -> Array:
    """The COLUMNS of each record.

    Args:
        records: (k,) of a log of this version; empty for an earlier one.
        limits: those in force, one per actuator; a command at an end of any range counts as clipped. Empty: clipped
            actions are not counted (discrete actions, or an unknown range).

    Returns:
        (k, len(COLUMNS)) float64, all finite; (0, len(COLUMNS)) where fields are missing.
    """
    names = records.dtype.names or ()
    if not all(name in names for name in _NEEDED):
        return np.zeros((0, len(COLUMNS)))
    flags, mode, limited = (records[name].astype(np.int64) for name in ("flags", "mode", "command_limiter"))
    monitor = records["learner_monitor"].astype(np.int64)
    driver, cause = mode >> 4 & 15, mode >> 8 & 15
    acted, held = flags & RecordFlag.ACTED != 0, limited & LimiterFlag.HELD != 0
    homing = flags & RecordFlag.HOMING != 0
    rest = ~held & ~homing & (cause == Cause.FAILED)
    free = acted & ~held & ~rest & ~homing
    own = free & ((driver == Driver.LEARNER) | (driver == Driver.BOTH))
    rewarded = (flags & _NO_REWARD == 0) & np.isfinite(records["reward"])
    learned = (flags & RecordFlag.LEARNED != 0) & np.isfinite(records["delta"])
    forced = (driver == Driver.FALLBACK) & (cause != Cause.MODE) & (cause != Cause.NONE)
    found = {
        "commands": acted,
        "learner": free & (driver == Driver.LEARNER),
        "fallback": free & (driver == Driver.FALLBACK),
        "both": free & (driver == Driver.BOTH),
        "person": free & (driver == Driver.PERSON),
        "rest": acted & rest,
        "held": acted & held,
        "homing": acted & homing,
        "limiter": acted & (limited & _LIMITED != 0),
        "sensor": records["sensor_monitor"] != 0,
        "check": flags & RecordFlag.CHECK != 0,
        "monitor": monitor & (_LOW_BITS | MonitorFlag.ROLLED_BACK | MonitorFlag.FROZEN) != 0,
        "rollbacks": monitor & MonitorFlag.ROLLED_BACK != 0,
        "forced": acted & forced,
        "predicted": own & bool(limits),
        "clipped": own & _at_an_end(records["u"], limits),
        "rewards": rewarded,
        "reward": np.where(rewarded, records["reward"].astype(np.float64), 0.0),
        "learned": learned,
        "delta": np.where(learned, np.abs(records["delta"].astype(np.float64)), 0.0),
    }
    return np.stack([np.asarray(found[name], np.float64) for name in COLUMNS], axis=1)


def _at_an_end(u: Array, limits: Sequence[Limits]) -> Array:
    """(k,) whether any command (k, m) is within a millionth of an end of its range."""
    found = np.zeros(len(u), bool)
    for k, own in enumerate(limits[: u.shape[1]]):
        if math.isfinite(width := own.max - own.min) and width > 0:
            found |= (u[:, k] <= own.min + 1e-6 * width) | (u[:, k] >= own.max - 1e-6 * width)
    return found


class _Sums:
    """Sums by name, and derived values."""

    def __init__(self, sums: Array) -> None:
        self._sums = sums

    def __getitem__(self, name: str) -> float:
        return float(self._sums[_AT[name]])

    def mean(self, name: str, of: str) -> float:
        """A sum over a count; NaN where the count is 0."""
        return self[name] / self[of] if self[of] else math.nan

    @property
    def drivers(self) -> dict[str, float]:
        """Share of the commands of each driver, 0 to 1."""
        return {name: self[name] / self["commands"] for name in DRIVERS if self[name]}


class Recent:
    """The newest steps.

    Args:
        window: how many.
    """

    def __init__(self, window: int = WINDOW) -> None:
        self.window = window
        self._rows = np.zeros((0, len(COLUMNS)))

    def take(self, rows: Array) -> None:
        """New features, oldest first."""
        self._rows = np.concatenate([self._rows, rows[-self.window :]])[-self.window :]

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def sums(self) -> _Sums:
        """Over the window."""
        return _Sums(self._rows.sum(axis=0))


class Timeline:
    """The course of a run in bins of equally many records; when there are too many bins, pairs are merged."""

    def __init__(self, bins: int = BINS) -> None:
        self._bins = bins
        self._size = 1  # records of a bin
        self._count = 0
        self._sums = np.zeros((0, len(COLUMNS)))
        self._ends = np.zeros(0)
        self._samples: list[tuple[float, float, float]] = []

    def take(self, rows: Array, steps: Array) -> None:
        """New features (k, columns), and the number of each one's step (k,)."""
        if not len(rows):
            return
        while self._count + len(rows) > self._bins * self._size:
            self._halve()
        places = (self._count + np.arange(len(rows))) // self._size
        starts = np.flatnonzero(np.diff(places, prepend=places[0] - 1))
        sums = np.add.reduceat(rows, starts, axis=0)
        ends = np.asarray(steps, np.float64)[np.append(starts[1:], len(rows)) - 1]
        if places[0] < len(self._sums):
            self._sums[-1] += sums[0]
            self._ends[-1] = ends[0]
            sums, ends = sums[1:], ends[1:]
        self._sums = np.concatenate([self._sums, sums])
        self._ends = np.concatenate([self._ends, ends])
        self._count += len(rows)

    def _halve(self) -> None:
        odd = len(self._sums) % 2
        sums = np.concatenate([self._sums, np.zeros((odd, len(COLUMNS)))])
        self._sums = sums[0::2] + sums[1::2]
        self._ends = np.concatenate([self._ends[1::2], self._ends[-1:] if odd else self._ends[:0]])
        self._size *= 2

    def sample(self, step: float, sigma: float, entropy: float) -> None:
        """Exploration of the policy by step; NaN: none. Of many samples only every second, fourth, ... is kept."""
        if not (math.isfinite(sigma) or math.isfinite(entropy)) or (self._samples and self._samples[-1][0] >= step):
            return
        self._samples.append((float(step), sigma, entropy))
        if len(self._samples) > 2 * self._bins:
            self._samples = self._samples[::2]

    def resume(self, samples: Iterable[tuple[float, float | None, float | None]]) -> None:
        """Samples stored in a run's record."""
        for step, *values in samples:
            sigma, entropy = (math.nan if value is None else float(value) for value in values)
            self.sample(step, sigma, entropy)

    @property
    def samples(self) -> Array:
        """(k, 3): step, sigma, entropy; NaN where actions are discrete."""
        return np.array(self._samples, np.float64).reshape(-1, 3)

    @property
    def plain_samples(self) -> list[tuple[float, float | None, float | None]]:
        """The same for JSON, at most BINS of them."""
        kept = self._samples[:: -(-len(self._samples) // self._bins) or 1]
        return [(step, _known(sigma), _known(entropy)) for step, sigma, entropy in kept]

    def __len__(self) -> int:
        return len(self._sums)

    @property
    def size(self) -> int:
        """Records of a bin."""
        return self._size

    @property
    def steps(self) -> Array:
        """(k,) the last step of each bin."""
        return self._ends

    def mean(self, name: str, of: str) -> Array:
        """(k,) a sum over a count in each bin; NaN where the count is 0."""
        top, bottom = self._sums[:, _AT[name]], self._sums[:, _AT[of]]
        found: Array = np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom > 0)
        return found

    @property
    def total(self) -> _Sums:
        """Over the whole run."""
        return _Sums(self._sums.sum(axis=0))


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def number(value: float) -> str:
    """A return or a reward: three or more significant digits, never an exponent where it can be avoided."""
    if not math.isfinite(value):
        return "-"
    size = abs(value)
    if size >= 1e9 or 0 < size < 1e-5:
        return f"{value:.3g}"
    if size >= 100:
        return f"{value:,.0f}"
    if size >= 1:
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return f"{float(f'{value:.3g}'):f}".rstrip("0").rstrip(".") or "0"


def share(value: float) -> str:
    """A share, 0 to 1, in percent: a nonzero share is never shown as 0, and a share below 1 never as 100."""
    if not math.isfinite(value):
        return "-"
    percent = 100.0 * value
    if 0 < percent < 0.1:
        return "< 0.1 %"
    if 99.9 < percent < 100:
        return "> 99.9 %"
    return f"{percent:.1f} %" if 0 < percent < 9.95 or 90 < percent < 100 else f"{percent:.0f} %"
