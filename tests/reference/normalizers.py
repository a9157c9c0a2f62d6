"""Running statistics in float64. Source: Welford 1962; math.md, section 4, 'Normalising' and 'Reward'."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
VARIANCE_EPS = 1e-8


class Welford:
    """Mean and variance per dimension; never reset between episodes."""

    def __init__(self, size: int) -> None:
        self.count = 0
        self.mean, self.m2 = np.zeros(size), np.zeros(size)

    @property
    def variance(self) -> Array:
        """(size,), M2/(n-1); 1 where there is no second sample yet."""
        return self.m2 / (self.count - 1) if self.count > 1 else np.ones_like(self.m2)

    def update(self, x: Array) -> None:
        self.count += 1
        before = x - self.mean
        self.mean = self.mean + before / self.count
        self.m2 = self.m2 + before * (x - self.mean)

    def apply(self, x: Array) -> Array:
        return (x - self.mean) / np.sqrt(self.variance + VARIANCE_EPS)

    def __call__(self, x: Array) -> Array:
        """Statistics first, then use: the first sample maps to 0."""
        self.update(x)
        return self.apply(x)


READING = 2.0**46


class Channels:
    """The observations' normaliser from its definition: each channel keeps its samples, nothing is recursive.

    A channel's samples are its last one at rest and all since. From the third on, one counts as at most `bound`
    standard deviations of those before it away from their mean; bound 0: as it is.
    """

    def __init__(self, size: int, bound: float) -> None:
        self.bound, self.count = bound, 0
        self.samples: list[list[float]] = [[] for _ in range(size)]
        self.mean, self.variance = np.zeros(size), np.zeros(size)  # of n - 1; 0 for a channel that has not moved

    @property
    def scale(self) -> Array:
        """(size,) the square of the share of the steps after the first since which a channel moves, over its
        deviation.
        """
        moved = np.array([max(len(own) - 1, 0) for own in self.samples])
        return (moved / max(self.count - 1, 1)) ** 2 / np.sqrt(self.variance + VARIANCE_EPS)

    def update(self, x: Array) -> None:
        self.count += 1
        for i, value in enumerate(np.clip(x, -READING, READING)):
            own = self.samples[i]
            if len(own) == 1 and value == own[0]:
                continue  # still at rest
            if len(own) > 1 and self.bound > 0:
                most = self.bound * np.sqrt(self.variance[i])
                value = np.clip(value, self.mean[i] - most, self.mean[i] + most)
            own.append(float(value))
            self.mean[i] = np.mean(own)
            self.variance[i] = np.var(own, ddof=1) if len(own) > 1 else 0.0

    def apply(self, x: Array) -> Array:
        out = (np.clip(x, -READING, READING) - self.mean) * self.scale
        return np.clip(out, -self.bound, self.bound) if self.bound > 0 else out

    def __call__(self, x: Array) -> Array:
        """Statistics first, then use: the first sample maps to 0."""
        self.update(x)
        return self.apply(x)


class RewardScaler:
    """u <- gamma u + r, from 0 in each episode; r over the deviation of u, the mean not subtracted."""

    def __init__(self, gamma: float) -> None:
        self.gamma, self.u = gamma, 0.0
        self.statistics = Welford(1)

    def begin(self) -> None:
        self.u = 0.0

    def __call__(self, reward: float) -> float:
        self.u = self.gamma * self.u + reward
        self.statistics.update(np.array([self.u]))
        return reward / float(np.sqrt(self.statistics.variance[0] + VARIANCE_EPS))


class CumulantScaler:
    """docs/math_bank.md: every sum is kept, the scale is the root of their mean square; 1 where all are 0."""

    def __init__(self, gammas: Array | float) -> None:
        self.gammas = np.atleast_1d(np.asarray(gammas, dtype=np.float64))
        self.sums: list[Array] = []
        self.begin()

    def begin(self) -> None:
        self.u = np.zeros(len(self.gammas))

    def observe(self, cumulants: Array) -> None:
        self.u = self.gammas * self.u + cumulants
        self.sums.append(self.u)

    @property
    def scale(self) -> Array:
        square = np.mean(np.square(self.sums), 0) if self.sums else np.zeros(len(self.gammas))
        return np.sqrt(np.where(square > 0, square, 1.0))


class SlippedRewardScaler(RewardScaler):
    """docs/math.md, 7, slip 7: the history is zeroed with the terminal step's own flag, so the terminal reward
    leaks.
    """

    def scale(self, reward: float, done: bool) -> float:
        self.u = self.gamma * self.u * (1 - done) + reward
        self.statistics.update(np.array([self.u]))
        return reward / float(np.sqrt(self.statistics.variance[0] + VARIANCE_EPS))
