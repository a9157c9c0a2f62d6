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


class SlippedRewardScaler(RewardScaler):
    """docs/math.md, 7, slip 7: the history is zeroed with the terminal step's own flag, so the terminal reward leaks."""

    def scale(self, reward: float, done: bool) -> float:
        self.u = self.gamma * self.u * (1 - done) + reward
        self.statistics.update(np.array([self.u]))
        return reward / float(np.sqrt(self.statistics.variance[0] + VARIANCE_EPS))
