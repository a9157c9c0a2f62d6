"""Coherence: how much of a recurrent cell's credit for an input some steps ago is left after its phases have
turned (docs/math_credit.md, Coherence).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from rtu_edge._base.errors import ConfigError
from rtu_edge._base.validation import check_int, check_number
from rtu_edge.learn.horizon import MOST_LAG

__all__ = ["coherence", "coherence_of"]


def coherence_of(retention: npt.ArrayLike, phase: npt.ArrayLike, decay: float, lag: int) -> float:
    """The share of the credit of poles that their phases leave.

    Args:
        retention: (m,) r of each pole, above 0, at most 1.
        phase: (m,) rad per step.
        decay: gamma lambda of the eligibilities, 0 to 1.
        lag: n, steps since the input, 0 to 100 000.

    Returns:
        sum |c| / sum b over the poles, 0 to 1: c the sum over k from 0 to n of decay^(n-k) r^k exp(i k phase), b the
        same sum at phase 0.

    Raises:
        ConfigError: an argument out of its range.
    """
    n, gl = check_int("lag", lag, 0, MOST_LAG), check_number("decay", decay, 0.0, 1.0)
    try:
        r, theta = (np.atleast_1d(np.asarray(value, np.float64)) for value in (retention, phase))
    except (TypeError, ValueError):  # no numbers
        r = theta = np.zeros(1)
    if r.ndim != 1 or r.shape != theta.shape or not ((r > 0) & (r <= 1)).all() or not np.isfinite(theta).all():
        raise ConfigError("retention, phase: expected one row of finite numbers each, retention above 0, at most 1")
    k = np.arange(n + 1)[:, None]
    carried = k * np.log(r)  # logarithms: the powers of a long lag leave the range of a double
    held = (n - k) * math.log(gl) if gl > 0 else np.where(k == n, 0.0, -np.inf)
    size = np.exp(carried + held - (carried + held).max())
    return float(np.abs((size * np.exp(1j * k * theta)).sum(0)).sum() / size.sum())


def coherence(learner: Any, lag: int) -> float:
    """The share of the credit of a learner's recurrent cells that their phases leave at a lag, with its weights of now.

    >>> import rtu_edge as rtu
    >>> from rtu_edge.learn import coherence, low_phase
    >>> round(coherence(rtu.StreamQ(3, 2, seed=0), 32), 1)
    0.2
    >>> round(coherence(rtu.StreamQ(3, 2, seed=0, **low_phase(32)), 32), 2)
    0.99

    Args:
        learner: one with an eligibility trace and the cell "linear" or "lru"; a StreamAC's decay is its trace_decay.
        lag: steps since the input, 0 to 100 000.

    Returns:
        As coherence_of(), over the poles of all its cells; 1 for "mingru", whose traces never change sign.

    Raises:
        ConfigError: lag out of its range, or a learner without such poles.
    """
    config = getattr(learner, "config", None)
    if not isinstance(config, dict) or "cell" not in config:
        raise ConfigError(f"learner: a {type(learner).__name__} is none; a cell alone has no eligibilities")
    kind = config["cell"]
    if kind == "mingru":
        check_int("lag", lag, 0, MOST_LAG)
        return 1.0
    decay = config.get("trace_decay")
    if kind not in ("linear", "lru") or not isinstance(decay, dict):
        raise ConfigError(f"learner: {learner.kind} with cell {kind!r} has no poles and eligibilities to compare")
    p = learner.parameters
    nu, theta = (
        np.exp(np.concatenate([np.asarray(p[key], np.float64) for key in p if key.endswith(f".{name}")]))
        for name in ("nu_log", "theta_log")
    )
    return coherence_of(np.exp(-nu), theta, config["gamma"] * decay["recurrent"], lag)
