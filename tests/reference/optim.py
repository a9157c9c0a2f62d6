"""Weight updates, given the error delta and the trace z: w <- w + step(delta, z).

Source: ObGD, Elsayed et al. 2024, arXiv 2410.14606; Adam, Kingma and Ba 2015; math.md, section 4.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Tree = dict[str, Array]


class SGD:
    def __init__(self, step_size: float) -> None:
        self.alpha = step_size

    def step(self, delta: float, z: Tree) -> Tree:
        return {k: self.alpha * delta * v for k, v in z.items()}


class ObGD:
    """The step is cut so that one update cannot overshoot: alpha_t = min(alpha, 1 / (kappa max(|delta|, 1) sum|z|))."""

    def __init__(self, step_size: float = 1.0, kappa: float = 2.0) -> None:
        self.alpha, self.kappa = step_size, kappa
        self.alpha_t = step_size

    def step(self, delta: float, z: Tree) -> Tree:
        z1 = sum(float(np.abs(v).sum()) for v in z.values())
        bound = self.kappa * max(abs(delta), 1.0) * z1
        self.alpha_t = self.alpha if self.alpha * bound <= 1 else 1 / bound
        return {k: self.alpha_t * delta * v for k, v in z.items()}


class AdaptiveObGD(ObGD):
    """ObGD on z / sqrt(v + 1e-8), v the bias-corrected second moment of delta z."""

    def __init__(self, step_size: float = 1.0, kappa: float = 2.0, b2: float = 0.999) -> None:
        super().__init__(step_size, kappa)
        self.b2, self.t = b2, 0
        self.v: Tree = {}

    def step(self, delta: float, z: Tree) -> Tree:
        self.t += 1
        self.v = {k: self.b2 * self.v.get(k, 0.0) + (1 - self.b2) * (delta * g) ** 2 for k, g in z.items()}
        correction = 1 - self.b2**self.t
        return super().step(delta, {k: g / np.sqrt(self.v[k] / correction + 1e-8) for k, g in z.items()})


class Adam:
    def __init__(self, step_size: float = 1e-3, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> None:
        self.alpha, self.b1, self.b2, self.eps, self.t = step_size, b1, b2, eps, 0
        self.m: Tree = {}
        self.v: Tree = {}

    def step(self, delta: float, z: Tree) -> Tree:
        self.t += 1
        self.m = {k: self.b1 * self.m.get(k, 0.0) + (1 - self.b1) * delta * g for k, g in z.items()}
        self.v = {k: self.b2 * self.v.get(k, 0.0) + (1 - self.b2) * (delta * g) ** 2 for k, g in z.items()}
        c1, c2 = 1 - self.b1**self.t, 1 - self.b2**self.t
        return {k: self.alpha * (self.m[k] / c1) / (np.sqrt(self.v[k] / c2) + self.eps) for k in z}


def make(name: str, step_size: float, kappa: float = 2.0) -> SGD | ObGD | AdaptiveObGD | Adam:
    if name == "obgd":
        return ObGD(step_size, kappa)
    if name == "adaptive_obgd":
        return AdaptiveObGD(step_size, kappa)
    return Adam(step_size) if name == "adam" else SGD(step_size)
