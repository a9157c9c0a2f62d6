"""Last layers with a rule of their own, in float64: true-online TD(lambda), SwiftTD, and the forward view of the first.

Source: van Seijen et al. 2016, "True Online Temporal-Difference Learning" (JMLR 17(145)), algorithm 1 and section 4;
Javed et al. 2024, "SwiftTD", algorithm 1; docs/math_online.md.

    letter     meaning
    x          features of an input, the last one 1 for the bias
    c          the cumulant that arrived with x
    gl         gamma lambda
    beta       logarithm of the step size of each weight (SwiftTD)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .eligibility import Eligibility, decays, group, learned
from .learners import TDPredictor, Tree

Array = NDArray[np.float64]
LOWEST = 1e-10  # of a step size


class TrueOnline:
    """The backward view as published, with a step size for each input: alpha, but at most bound / |x|^2."""

    def __init__(self, w: Array, gl: float, alpha: float, bound: float = 1.0) -> None:
        self.w, self.gl, self.alpha, self.bound = w.astype(np.float64), gl, alpha, bound
        self.begin()

    def begin(self) -> None:
        self.z = np.zeros_like(self.w)
        self.x: Array | None = None

    def step(self, x: Array, delta: float) -> None:
        """x: of the newest input; delta = c + gamma v(x) - v of the input before, as it was predicted there."""
        if self.x is not None:
            before, shift = self.x, float(self.w @ self.x) - self.value  # v(x) with the weights since - as predicted
            a = min(self.alpha, self.bound / float(before @ before))
            self.z = self.gl * self.z + (1 - self.gl * float(self.z @ before)) * a * before
            self.value = float(self.w @ x)
            self.w = self.w + delta * self.z - a * shift * before
        else:
            self.value = float(self.w @ x)
        self.x = x


class Swift:
    """SwiftTD with beta, as published, but for the bounds of e^beta: at each step, from LOWEST to the bound."""

    def __init__(
        self, w: Array, gl: float, alpha: float, bound: float = 0.1, meta: float = 1e-3, decay: float = 0.999
    ) -> None:
        self.w, self.gl, self.bound, self.meta, self.log_decay = w.astype(np.float64), gl, bound, meta, np.log(decay)
        self.beta = np.full_like(self.w, np.log(alpha))
        self.h, self.ht = np.zeros_like(self.w), np.zeros_like(self.w)
        self.begin()

    def begin(self) -> None:
        self.z, self.zd, self.p, self.zb = (np.zeros_like(self.w) for _ in range(4))
        self.vd = 0.0

    def step(self, x: Array, delta: float) -> None:
        """As TrueOnline.step(); delta 0 for the first input of a stream."""
        d, vd, zd = delta, self.vd, self.zd
        moved = d * self.z - zd * vd
        self.w = self.w + moved
        self.beta = self.beta + self.meta / np.exp(self.beta) * (d - vd) * self.p
        self.beta = np.clip(self.beta, np.log(LOWEST), np.log(self.bound))  # logarithms on both sides
        h_old, h = self.h, self.ht + d * self.zb - zd * vd
        z, p, zb = self.gl * self.z, self.gl * self.p, self.gl * self.zb
        vd = float(moved @ x)
        rate = np.exp(self.beta)
        tau, overlap = float(rate @ x**2), float(z @ x)
        zd = min(1.0, self.bound / tau) * rate * x
        z = z + zd * (1 - overlap)
        p = p + h_old * x
        zb = zb + zd * (1 - overlap - zb * x)
        ht = h - h_old * x * (z - zd) - h * zd * x
        if tau > self.bound:
            h, ht, zb = np.zeros_like(h), np.zeros_like(h), np.zeros_like(h)
            self.beta = np.maximum(self.beta + self.log_decay * x**2, np.log(LOWEST))
        self.z, self.zd, self.p, self.zb, self.h, self.ht, self.vd = z, zd, p, zb, h, ht, vd


def forward_view(w: Array, xs: Array, cs: Array, gamma: float, lam: float, alpha: float, bound: float) -> Array:
    """(steps, weights): after each input t, the weights of the online lambda-return algorithm (section 4).

    All inputs before t are updated again in sequence, from the first weights, each towards its lambda-return cut off at
    t; the predictions in the returns are those of the weights that saw them.
    """
    first, found, values = w.astype(np.float64), [], []
    seen = first
    for t in range(len(xs)):
        values.append(float(seen @ xs[t]))  # with the weights at its arrival
        weights = first
        for k in range(t):
            n_step, discounted, total = 0.0, 1.0, 0.0
            for n in range(1, t - k + 1):
                n_step += discounted * cs[k + n]
                discounted *= gamma
                share = (1 - lam) * lam ** (n - 1) if n < t - k else lam ** (n - 1)
                total += share * (n_step + discounted * values[k + n])
            a = min(alpha, bound / float(xs[k] @ xs[k]))
            weights = weights + a * (total - float(weights @ xs[k])) * xs[k]
        seen = weights
        found.append(seen)
    return np.array(found)


class Predictor(TDPredictor):
    """TDPredictor whose last layer has a rule of its own."""

    def __init__(
        self, parameters: Mapping[str, Array], gamma: float, trace_decay: Any, optimizer: Any, **settings: Any
    ):
        rule, of_head = settings.pop("head"), settings.pop("of_head")
        super().__init__(parameters, gamma, trace_decay, optimizer, **settings)
        decay = decays(gamma, trace_decay)
        names = [k for k in learned(self.p, settings.get("credit", "rtrl")) if group(k) != "head"]
        self.eligibility = Eligibility(names, self.p, decay, optimizer)
        weights = np.append(self.p["head.weight"][0], self.p["head.bias"])
        self.rule = {"true_online": TrueOnline, "swift": Swift}[rule](weights, decay["head"], **of_head)

    def reset(self) -> None:
        super().reset()
        self.rule.begin()

    def step(self, x: Array, cumulant: float) -> float:
        learns = self.g is not None
        value = super().step(x, cumulant)  # the layers below; out is still that of x
        self.rule.step(np.append(self.trunk.out, 1.0), self.delta if learns else 0.0)
        self.p["head.weight"], self.p["head.bias"] = self.rule.w[None, :-1], self.rule.w[-1:]
        return value


__all__ = ["LOWEST", "Predictor", "Swift", "Tree", "TrueOnline", "forward_view"]
