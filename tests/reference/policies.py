"""Policies in float64: cotangents of log pi(a|s) and of H(pi(.|s)) with respect to the head's output.

Source: docs/math.md, section 4.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def softplus(v: Array) -> Array:
    return np.log1p(np.exp(-np.abs(v.real))) + np.maximum(v, 0) if not np.iscomplexobj(v) else np.log(1 + np.exp(v))


def normal_policy(
    out: Array, action: Array, floor: float, correlation: float = 0.0, shift: float | Array = 0.0
) -> tuple[Array, Array, Array, Array]:
    """Normal(mu, softplus(s) + floor) per dimension; returns log pi, d log pi, H, dH. action (k,), out = [mu; s]
    (2k,). shift (k,): correlation times the noise of the step before, which the mean has and sigma has not.
    """
    k = len(action)
    mu, s = out[:k], out[k:]
    sigma, dsigma_ds = softplus(s) + floor, 1 / (1 + np.exp(-s))
    own = np.sqrt(1 - correlation**2) * sigma
    miss = (action - mu - shift) / own
    log_pi = (-0.5 * miss * miss - np.log(own) - 0.5 * np.log(2 * np.pi)).sum()
    entropy = (np.log(own) + 0.5 * np.log(2 * np.pi * np.e)).sum()
    d_log_pi = np.concatenate([miss / own, (miss * miss - 1) / sigma * dsigma_ds])
    d_entropy = np.concatenate([np.zeros(k), dsigma_ds / sigma])
    return log_pi, d_log_pi, entropy, d_entropy


def softmax_policy(out: Array, action: int) -> tuple[Array, Array, Array, Array]:
    """Softmax over logits; returns log pi, d log pi, H, dH."""
    log_p = out - out.real.max()
    log_p = log_p - np.log(np.exp(log_p).sum())
    p = np.exp(log_p)
    entropy = -(p * log_p).sum()
    return log_p[action], np.eye(len(out))[action] - p, entropy, -p * (log_p + entropy)
