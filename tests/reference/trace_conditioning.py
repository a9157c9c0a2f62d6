"""Trace conditioning: remember a cue over a gap, predict what follows. Source: Rafiee et al. 2020, arXiv 2011.04590.

Observation [US, CS, distractors], bits. CS is on for 4 steps; US begins ISI steps after CS did and lasts 2; the next CS
comes 80 to 120 steps after US began. Distractor i comes on for 4 steps with probability 1/(10 i). Cumulant: the US bit;
gamma = 1 - 1/ISI. What counts is the mean squared difference between prediction and realised return.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
CS_STEPS, US_STEPS, DISTRACTOR_STEPS = 4, 2, 4


def stream(rng: np.random.Generator, steps: int, isi: int, distractors: int = 0) -> Array:
    """(steps, 2 + distractors): the observations; column 0 is the cumulant too."""
    x = np.zeros((steps + 300, 2 + distractors))
    t, spread = int(rng.integers(80, 121)), isi // 3
    while t < steps:
        us = t + int(rng.integers(isi - spread, isi + spread + 1))
        x[t : t + CS_STEPS, 1] = 1
        x[us : us + US_STEPS, 0] = 1
        t = us + int(rng.integers(80, 121))
    for i in range(1, distractors + 1):
        for start in np.flatnonzero(rng.random(steps) < 1 / (10 * i)):
            x[start : start + DISTRACTOR_STEPS, 1 + i] = 1
    return x[:steps]


def returns(cumulant: Array, gamma: float) -> Array:
    """G_t = sum_k gamma^k c_(t+1+k), the last ones cut short by the end."""
    g = np.zeros(len(cumulant))
    for t in range(len(cumulant) - 2, -1, -1):
        g[t] = cumulant[t + 1] + gamma * g[t + 1]
    return g


def best_prediction(x: Array, isi: int, gamma: float | None = None) -> Array:
    """(steps,): the best function of all past observations: a function of the time since the last onset, and of which
    of the two it was. gamma: 1 - 1/isi unless given."""
    now, g = np.arange(len(x)), returns(x[:, 0], 1 - 1 / isi if gamma is None else gamma)
    us_at, cs_at = (np.maximum.accumulate(np.where(np.diff(x[:, k], prepend=0) > 0, now, -1)) for k in (0, 1))
    return _mean_of_each(np.where(cs_at > us_at, cs_at - now - 1, now - us_at), g)


def _mean_of_each(kinds: Array, values: Array) -> Array:
    _, index = np.unique(kinds, return_inverse=True)
    mean: Array = (np.bincount(index, values) / np.bincount(index))[index]
    return mean


def bounds(x: Array, isi: int) -> dict[str, float]:
    """Mean squared return error of predicting 0, the best constant, the best function of the present US and CS, and the
    best function of all past observations (the Bayes floor).
    """
    g = returns(x[:, 0], 1 - 1 / isi)
    return {
        "zero": float((g**2).mean()),
        "constant": float(g.var()),
        "memoryless": float(((g - _mean_of_each(x[:, 0] + 2 * x[:, 1], g)) ** 2).mean()),
        "floor": float(((g - best_prediction(x, isi)) ** 2).mean()),
    }
