"""Trace patterning: which of 20 patterns was it, some steps ago? Source: Rafiee et al. 2020, arXiv 2011.04590, in the
form of Javed et al. 2023, "Scalable Real-Time Recurrent Learning Using Columnar-Constructive Networks".

Observation [US, CS 1 to 6], bits. A trial shows 3 of the 6 CS bits for 1 step, one of 20 patterns; 10 of them, drawn
once, are followed by US, for 1 step, 14 to 26 steps later. The next trial comes 80 to 120 steps after US or after the
step at which it would have come. Cumulant: the US bit; gamma = 0.9. What counts is the mean squared difference between
prediction and realised return.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from .trace_conditioning import returns

Array = NDArray[np.float64]
GAMMA = 0.9
PATTERNS = np.array([[float(k in chosen) for k in range(6)] for chosen in combinations(range(6), 3)])  # (20, 6)


def stream(rng: np.random.Generator, steps: int) -> tuple[Array, NDArray[np.bool_]]:
    """(steps, 7) the observations, column 0 is the cumulant too; (20,) which patterns US follows."""
    x = np.zeros((steps + 300, 7))
    followed = np.zeros(20, bool)
    followed[rng.permutation(20)[:10]] = True
    t = int(rng.integers(80, 121))
    while t < steps:
        pattern = int(rng.integers(20))
        x[t, 1:] = PATTERNS[pattern]
        t += int(rng.integers(14, 27))
        x[t, 0] = followed[pattern]
        t += int(rng.integers(80, 121))
    return x[:steps], followed


def best_predictions(x: Array, followed: NDArray[np.bool_]) -> dict[str, Array]:
    """(steps,) each: "memoryless", the best function of the present observation, and "floor", the best function of all
    past ones: of the time since the last event, and of whether the last pattern is one that US follows."""
    g, now = returns(x[:, 0], GAMMA), np.arange(len(x))
    codes = PATTERNS @ 2.0 ** np.arange(6)
    present = x[:, 1:] @ 2.0 ** np.arange(6)
    cs = present > 0
    kind = np.isin(present, codes[followed]).astype(int)
    us_at, cs_at = (np.maximum.accumulate(np.where(on, now, -1)) for on in (x[:, 0] > 0, cs))
    waits = cs_at > us_at
    since = np.where(waits, now - cs_at, now - us_at)
    state = np.where(waits, 1 + np.where(cs_at >= 0, kind[cs_at], 0), 0)
    return {"memoryless": _mean_of_each(64 * x[:, 0] + present, g), "floor": _mean_of_each(1000 * state + since, g)}


def _mean_of_each(kinds: Array, values: Array) -> Array:
    _, index = np.unique(kinds, return_inverse=True)
    mean: Array = (np.bincount(index, values) / np.bincount(index))[index]
    return mean
