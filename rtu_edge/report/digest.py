"""The data of a report from a run's steps, in bounded memory: collected live, or from a log."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rtu_edge.config import Config
from rtu_edge.device.schema import Limits
from rtu_edge.record.reader import Batch
from rtu_edge.report.timeline import DRIVER_NAMES, Recent, Timeline, features, number, share
from rtu_edge.run.connection import Connection, limits_in_force

__all__ = ["Curve", "Digest", "Times", "digest_for", "running_mean"]

Array = npt.NDArray[Any]

POINTS = 4096  # of a curve, at most
LAST = 20_000  # records of the last episode, at most: its end
_ALONE = 0.99  # share of the learner from which on only its return is named
_WINDOW = 1000  # episodes of a mean, at most


def running_mean(values: Array, window: int) -> Array:
    """Mean of the last `window` values at each place; fewer at the start."""
    total = np.cumsum(np.concatenate([[0.0], np.asarray(values, dtype=np.float64)]))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - window, 0)
    mean: Array = (total[ends] - total[starts]) / (ends - starts)
    return mean


class Curve:
    """The return of each episode, and the mean of the last ones. Of many episodes only every second, fourth, ... is
    kept.

    Args:
        window: episodes in a mean, from 1 to 1000.
        points: maximum number of kept episodes; even.
    """

    def __init__(self, window: int = 20, points: int = POINTS) -> None:
        self.window = min(max(window, 1), _WINDOW)
        self.episodes = 0
        self.best = 0.0  # mean of `window` consecutive episodes; of all if there are fewer
        self.last = float("nan")  # mean of the last `window` episodes
        self._points, self._stride = points, 1
        self._tail = np.zeros(0)  # the returns that the next means begin with
        self._kept = np.zeros((0, 3))  # steps, return, mean

    def take(self, steps: Array, returns: Array) -> None:
        """New episodes: the run's steps at the end of each, and its return."""
        if not len(returns):
            return
        known = np.concatenate([self._tail, returns])
        means = running_mean(known, self.window)[len(self._tail) :]
        self.last = float(means[-1])
        numbers = self.episodes + np.arange(len(returns))
        full = means[numbers >= self.window - 1]
        before = self.best if self.episodes >= self.window else -np.inf
        self.best = max(before, float(full.max())) if len(full) else float(means[-1])
        here = numbers % self._stride == 0
        new = np.stack(
            [np.asarray(steps, np.float64)[here], np.asarray(returns, np.float64)[here], means[here]], axis=1
        )
        self._kept = np.concatenate([self._kept, new])
        self._tail = known[-(self.window - 1) :] if self.window > 1 else known[:0]
        self.episodes += len(returns)
        while len(self._kept) > self._points:
            self._kept, self._stride = self._kept[::2].copy(), 2 * self._stride

    @property
    def steps(self) -> Array:
        """(k,), of the kept episodes."""
        return self._kept[:, 0]

    @property
    def returns(self) -> Array:
        """(k,)."""
        return self._kept[:, 1]

    @property
    def means(self) -> Array:
        """(k,)."""
        return self._kept[:, 2]


def _edges() -> Array:
    """From 10 ns to 100 s: 1, 2, 5 and so on, and between them steps of about one percent."""
    parts = [
        np.geomspace(low, high, count, endpoint=False) * 10.0**decade
        for decade in range(-2, 8)
        for low, high, count in ((1.0, 2.0, 64), (2.0, 5.0, 84), (5.0, 10.0, 64))
    ]
    return np.concatenate([*parts, [1e8]])


class Times:
    """A histogram of times, accurate to one percent; the largest exactly."""

    EDGES = _edges()  # us
    # A bin's value, us: its middle; below the first edge 0.
    MIDDLES = np.concatenate([[0.0], np.sqrt(EDGES[:-1] * EDGES[1:]), EDGES[-1:]])

    def __init__(self) -> None:
        self.counts = np.zeros(len(self.EDGES) + 1, np.int64)
        self.largest = 0.0

    def take(self, values_us: Array) -> None:
        """New times, us; NaN is left out."""
        values = values_us[np.isfinite(values_us)]
        if len(values):
            self.counts += np.bincount(np.searchsorted(self.EDGES, values, "right"), minlength=len(self.counts))
            self.largest = max(self.largest, float(values.max()))

    def __len__(self) -> int:
        return int(self.counts.sum())

    def percentile(self, percent: float) -> float:
        """A percentile, us; 0 without measurements."""
        total = len(self)
        if not total:
            return 0.0
        place = int(np.searchsorted(np.cumsum(self.counts), max(percent / 100.0 * total, 1.0), "left"))
        return min(float(self.MIDDLES[place]), self.largest)

    def histogram(self, edges_us: Array) -> Array:
        """Counts between edges, (len(edges) - 1,) int64: each bin counts where its middle is."""
        counts: Array = np.histogram(self.MIDDLES, edges_us, weights=self.counts)[0].astype(np.int64)
        return counts


class Digest:
    """The steps of one stage, in numbers.

    Args:
        window: episodes in a mean of returns.
        limits: those in force, one per actuator, for the share of clipped actions; empty: it is not counted.
    """

    def __init__(self, window: int = 20, limits: Sequence[Limits] = ()) -> None:
        self.records = 0
        self.watched = False  # a dry run
        self._limits = list(limits)
        self.notes: list[str] = []  # missing steps, and the reason
        self.curve = Curve(window)
        self.times = {"Lateness": Times(), "Step time": Times(), "Round trip": Times()}
        self.recent = Recent()
        self.timeline = Timeline()
        self._finished: int | None = None  # number of the last episode that ended
        self._episodes: list[tuple[int, list[Array]]] = []  # the last ones: number, records

    @classmethod
    def of(cls, batches: Iterable[Batch], window: int = 20, limits: Sequence[Limits] = ()) -> Digest:
        """Of a whole log."""
        found = cls(window, limits)
        with np.errstate(all="ignore"):  # a log may hold any numbers
            for batch in batches:
                found.take(batch.records, batch.episodes)
        return found

    def take(self, records: Array, episodes: Array) -> None:
        """New records of steps, and of episodes that ended."""
        if len(records):
            self.records += len(records)
            for name, values in latencies(records).items():
                self.times[name].take(values)
            self._split(records)
            rows = features(records, self._limits)
            self.recent.take(rows)
            if len(rows):
                self.timeline.take(rows, records["step"])
        if len(episodes):
            self.curve.take(episodes["total_steps"], episodes["total_return"])
            self._finished = int(episodes["episode"][-1])

    @property
    def learned(self) -> str:
        """The learning progress in one phrase: the return with episodes, else the reward per step."""
        if self.watched:
            return "dry run: no command was sent, so no return or reward is the learner's"
        if self.curve.episodes:
            what = f"return {number(self.curve.last)} (last {_count(self.episodes_in_mean, 'episode')})"
            return what + self._driven
        sums = self.recent.sums
        if not sums["rewards"]:
            return "no reward yet"
        mean = number(sums.mean("reward", "rewards"))
        return f"reward {mean} per step (last {_count(int(sums['rewards']), 'step')}){self._driven}"

    @property
    def _driven(self) -> str:
        """Who drove the newest steps, if not the learner alone: the return is then not only the learner's."""
        drivers = self.recent.sums.drivers
        if not drivers or drivers.get("learner", 0.0) > _ALONE:
            return ""
        parts = [f"{DRIVER_NAMES[name]} {share(part)}" for name, part in drivers.items()]
        return f"; driven by {', '.join(parts)}"

    @property
    def episodes_in_mean(self) -> int:
        """Number of episodes in the newest mean return."""
        return min(self.curve.window, self.curve.episodes)

    def _split(self, records: Array) -> None:
        numbers = records["episode"]
        ends = [*(np.flatnonzero(numbers[1:] != numbers[:-1]) + 1), len(records)]
        for begin, end in zip([0, *ends[:-1]][-3:], ends[-3:], strict=True):
            number, part = int(numbers[begin]), records[max(begin, end - LAST) : end].copy()
            if self._episodes and self._episodes[-1][0] == number:
                self._episodes[-1][1].append(part)
            else:
                self._episodes.append((number, [part]))
        del self._episodes[:-2]
        kept = self._episodes[-1][1]
        while sum(map(len, kept)) - len(kept[0]) >= LAST:
            del kept[0]

    @property
    def last_episode(self) -> Array | None:
        """Records of the last complete episode, else of an incomplete one; None without records. At most LAST."""
        if not self._episodes:
            return None
        whole = [parts for number, parts in self._episodes if number == self._finished and sum(map(len, parts)) > 1]
        return np.concatenate(whole[-1] if whole else self._episodes[-1][1])[-LAST:]


def _count(count: int, noun: str) -> str:
    return noun if count == 1 else f"{count:,} {noun}s"


def digest_for(settings: Config, device: Connection, agent: Any) -> Digest:
    """Of a run that has not begun. The actions of a discrete policy are never counted as clipped."""
    limits = [] if agent.discrete else limits_in_force(settings, device.sheet)
    return Digest(settings.run.stop_episodes, limits)


def latencies(records: Array) -> dict[str, Array]:
    """Lateness, step time and round trip, us; a round trip of 0 was not measured."""
    trips = records["round_trip_ns"].astype(np.float64)
    step_ns = records["predict_ns"].astype(np.float64) + records["update_ns"]
    return {
        "Lateness": records["lateness_ns"].astype(np.float64) / 1e3,
        "Step time": step_ns / 1e3,
        "Round trip": trips[trips > 0] / 1e3,
    }
