"""Distributions of the initial weights, for a numpy Generator. The package has its own generator, so only
distributions compare.

Source: math.md, section 1 (RTU) and section 4 (sparse init; Elsayed et al. 2024).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
# Standard deviation of a standard normal cut at two deviations: sqrt(1 - 4 pdf(2) / (2 cdf(2) - 1)).
TRUNCATED_STD = math.sqrt(1 - 4 * math.exp(-2) / math.sqrt(2 * math.pi) / math.erf(math.sqrt(2)))


def rtu(
    rng: np.random.Generator, n: int, d: int, r_min: float = 0.0, r_max: float = 1.0, max_phase: float = 6.28
) -> dict[str, Array]:
    """nu_log, theta_log (n,), W1, W2 (n, d). r^2 is uniform in (r_min^2, r_max^2), theta uniform in (0, max_phase)."""
    u, u_phase = 1 - rng.random(n), 1 - rng.random(n)  # never 0: log(0) would freeze a pole permanently
    return {
        "nu_log": np.log(-0.5 * np.log(np.minimum(u * (r_max**2 - r_min**2) + r_min**2, 1 - 1e-16))),
        "theta_log": np.log(max_phase * u_phase),
        "W1": lecun_normal(rng, n, d),
        "W2": lecun_normal(rng, n, d),
    }


def lecun_normal(rng: np.random.Generator, n: int, d: int) -> Array:
    """(n, d), variance 1/d after the cut at two deviations of the underlying normal."""
    w = rng.standard_normal((n, d))
    while (far := np.abs(w) > 2).any():
        w[far] = rng.standard_normal(far.sum())
    return w / (TRUNCATED_STD * math.sqrt(d))


def n_zeroed(fan_in: int) -> int:
    """Inputs of each output row that start at zero: never all of them (docs/math.md, 7, slip 4)."""
    return min(math.ceil(0.9 * fan_in), fan_in - 1)


def n_zeroed_slip(fan_in: int) -> int:
    """The published code's count: the whole row for nine inputs or fewer."""
    return math.ceil(0.9 * fan_in)


def sparse(rng: np.random.Generator, fan_out: int, fan_in: int) -> Array:
    """(fan_out, fan_in), uniform in +-1/sqrt(fan_in), all but a few inputs of each row zero."""
    w = rng.uniform(-1, 1, (fan_out, fan_in)) / math.sqrt(fan_in)
    for row in w:
        row[rng.permutation(fan_in)[: n_zeroed(fan_in)]] = 0
    return w
