"""Weight updates, given the error delta and the trace z: w <- w + step(delta, z).

Source: ObGD, Elsayed et al. 2024, arXiv 2410.14606; Adam, Kingma and Ba 2015; math.md, section 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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

    def observe(self, delta: float, z: Tree, g: Tree, decay: Mapping[str, float]) -> None:
        """Each transition, whether or not a weight step follows."""
        self.t += 1
        self.v = {k: self.b2 * self.v.get(k, 0.0) + (1 - self.b2) * (delta * e) ** 2 for k, e in z.items()}

    def step(self, delta: float, z: Tree) -> Tree:
        correction = 1 - self.b2**self.t
        return super().step(delta, {k: e / np.sqrt(self.v[k] / correction + 1e-8) for k, e in z.items()})


class Intentional:
    """Sharifnassab et al. 2026, arXiv 2604.19033: w <- w + a d z / p, where the step a removes the share `step_size` of
    the error d as far as gradients and eligibilities keep their usual overlap.

    preconditioner: what p^2 is the second moment of: "gradient" g (published), "trace" z, or "larger": the larger of
    |g| and |z| sqrt(1 - (gamma lambda)^2). relative: a policy's; the error is divided by its usual size.
    """

    def __init__(
        self, step_size: float, preconditioner: str = "gradient", relative: bool = False, kappa: float = 0.0
    ) -> None:
        self.eta, self.form, self.relative = step_size, preconditioner, relative
        self.b2, self.memory, self.cap = 0.999, 0.9998, 20.0
        self.t = self.errors = 0
        self.v: Tree = {}
        self.sigma, self.square, self.size, self.left = 0.0, 1.0, 0.0, 1.0

    def observe(self, delta: float, z: Tree, g: Tree, decay: Mapping[str, float]) -> None:
        """Each transition: z holds g already; decay is gamma lambda by parameter."""
        self.t += 1
        for k in z:
            of_trace = {"gradient": 0.0, "trace": 1.0, "larger": 1 - decay[k] ** 2}[self.form]
            squares = np.maximum((self.form != "trace") * g[k] ** 2, of_trace * z[k] ** 2)
            self.v[k] = self.b2 * self.v.get(k, 0.0) + (1 - self.b2) * squares
        self.p = {k: np.sqrt(v / (1 - self.b2**self.t) + 1e-16) for k, v in self.v.items()}
        gl = min(max(decay.values(), default=0.0), 0.9999)
        self.sigma += (1 - gl) * (sum(float((g[k] ** 2 / self.p[k]).sum()) for k in z) - self.sigma)
        self.left *= gl

    def step(self, delta: float, z: Tree) -> Tree:
        self.errors += 1
        seen = 1 - self.memory**self.errors
        self.square = self.memory * self.square + (1 - self.memory) * delta**2
        d = float(np.sign(delta)) * min(abs(delta), self.cap * np.sqrt(self.square / seen))
        if self.relative:
            self.size = self.memory * self.size + (1 - self.memory) * abs(d)
            d /= max(self.size / seen, 1e-12)
        n_z = sum(float((z[k] ** 2 / self.p[k]).sum()) for k in z)
        sigma = self.sigma / (1 - self.left) if self.left < 1 else 0.0
        a = self.eta / max(np.sqrt(sigma * n_z), 1e-8)
        return {k: a * d * z[k] / self.p[k] for k in z}


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


def make(
    name: str, step_size: float, kappa: float = 2.0, **settings: Any
) -> SGD | ObGD | AdaptiveObGD | Adam | Intentional:
    if name == "intentional":
        return Intentional(step_size, **settings)
    if name == "obgd":
        return ObGD(step_size, kappa)
    if name == "adaptive_obgd":
        return AdaptiveObGD(step_size, kappa)
    return Adam(step_size) if name == "adam" else SGD(step_size)
