"""Recurrent trace unit with real-time recurrent learning, in float64.

Source: Elelimy et al., NeurIPS 2024, arXiv 2409.01449; docs/math.md, sections 1 and 2.

    letter          meaning                                   shape
    d, n            inputs, units
    m, G            poles, units per pole; n = m G, unit i turns with pole i // G
    nu, theta, r    exp(nu_log), exp(theta_log), exp(-nu)     (n,) gathered from (m,)
    g, phi          r cos(theta), r sin(theta)                (n,)
    gam             sqrt(1 - r^2) + 1e-8                      (n,)
    W1, W2          input weights                             (n, d)
    z1, z2          before the non-linearity                  (n,)
    h1, h2          carried state                             (n,)
    N1, N2          dh/dnu_log                                (n,)
    T1, T2          dh/dtheta_log                             (n,)
    A1, A2, B1, B2  dh1/dW1, dh2/dW1, dh1/dW2, dh2/dW2        (n, d)

Everything but the traces also runs on complex numbers, so that a complex-step derivative can be taken through it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Params = dict[str, Array]
NAMES = ("nu_log", "theta_log", "W1", "W2")
GAMMA_EPS = 1e-8


def activate(kind: str, v: Array) -> Array:
    """f(v); relu tests the real part only, as a complex-step derivative requires."""
    if kind == "relu":
        return np.where(v.real > 0, v, 0 * v)
    return np.tanh(v) if kind == "tanh" else v


def slope(kind: str, v: Array) -> Array:
    """f'(v), with relu'(0) = 0."""
    if kind == "relu":
        return (v > 0).astype(np.float64)
    return 1 - np.tanh(v) ** 2 if kind == "tanh" else np.ones_like(v)


@dataclass
class Coefficients:
    """Coefficients of a unit for one step of length k = dt / dt_native (math.md, 1, 'Time step that varies')."""

    g: Array
    phi: Array
    gam: Array
    dg_dnu: Array
    dphi_dnu: Array
    dgam_dnu: Array
    dg_dtheta: Array
    dphi_dtheta: Array

    @classmethod
    def of(cls, p: Params, k: float = 1.0) -> Coefficients:
        units_per_pole = len(p["W1"]) // len(p["nu_log"])
        nu = np.repeat(np.exp(p["nu_log"]), units_per_pole)
        theta = np.repeat(np.exp(p["theta_log"]), units_per_pole)
        r = np.exp(-k * nu)
        g, phi = r * np.cos(k * theta), r * np.sin(k * theta)
        root = np.sqrt(-np.expm1(-2 * k * nu))  # sqrt(1 - r^2) without the cancellation as r -> 1
        return cls(
            g, phi, root + GAMMA_EPS, -k * nu * g, -k * nu * phi, k * nu * r**2 / root, -phi * k * theta, g * k * theta
        )


class RTU:
    """One cell: `step` moves h and the traces; `gradient` contracts the traces with dL/dy.

    credit: "rtrl"; "tbptt1": no trace is carried, so that `gradient` is that of one step with the state before it held
    constant; "frozen": `gradient` is zero (docs/math_learners.md, 4, Credit).
    `halved` keeps A only and reads B1 = -A2, B2 = A1 (linear cell; math.md, 2, 'Half the traces').
    """

    def __init__(
        self,
        p: Params,
        activation: str = "relu",
        nonlinear: bool = False,
        halved: bool = False,
        credit: str = "rtrl",
    ) -> None:
        assert not (nonlinear and halved), "f'(z1) != f'(z2): the halved form is for the linear cell"
        self.p = {name: np.array(p[name]) for name in NAMES}
        self.n, self.d = self.p["W1"].shape
        self.m = len(self.p["nu_log"])
        self.f, self.nonlinear, self.halved, self.credit = activation, nonlinear, halved, credit
        self.reset()

    def reset(self) -> None:
        """Start of an episode: h and every trace to zero."""
        self.h1 = self.h2 = np.zeros(self.n)
        self.z1 = self.z2 = np.zeros(self.n)
        self._clear_traces()

    def _clear_traces(self) -> None:
        self.N1 = self.N2 = self.T1 = self.T2 = np.zeros(self.n)
        self.A1 = self.A2 = self.B1 = self.B2 = np.zeros((self.n, self.d))

    @property
    def n_traces(self) -> int:
        """Floats kept for RTRL, without sharing between the units of a pole."""
        return 4 * self.n + (2 if self.halved else 4) * self.n * self.d

    @property
    def y(self) -> Array:
        """(2n,), what the next layer sees: f is outside the linear cell's recurrence, inside the nonlinear one's."""
        h = np.concatenate([self.h1, self.h2])
        return h if self.nonlinear else activate(self.f, h)

    def step(self, x: Array, k: float = 1.0) -> Array:
        """Takes x (d,); advances h and traces with the same coefficients; returns y (2n,)."""
        c = Coefficients.of(self.p, k)
        h1, h2 = self.h1, self.h2
        u1, u2 = self.p["W1"] @ x, self.p["W2"] @ x
        self.z1 = c.g * h1 - c.phi * h2 + c.gam * u1
        self.z2 = c.g * h2 + c.phi * h1 + c.gam * u2
        self.h1, self.h2 = self.z1, self.z2
        if self.nonlinear:
            self.h1, self.h2 = activate(self.f, self.z1), activate(self.f, self.z2)
        if not np.iscomplexobj(self.z1) and not np.iscomplexobj(x):
            self._advance_traces(c, h1, h2, u1, u2, x)
        return self.y

    def _advance_traces(self, c: Coefficients, h1: Array, h2: Array, u1: Array, u2: Array, x: Array) -> None:
        """math.md, 2; h1, h2 are from before the step."""
        if self.credit == "tbptt1":
            self._clear_traces()
        in_w = c.gam[:, None] * x  # (n, d)
        s1 = slope(self.f, self.z1) if self.nonlinear else np.ones(self.n)
        s2 = slope(self.f, self.z2) if self.nonlinear else np.ones(self.n)

        def rot(p: Array, q: Array) -> tuple[Array, Array]:
            g, phi = (c.g, c.phi) if p.ndim == 1 else (c.g[:, None], c.phi[:, None])
            return g * p - phi * q, g * q + phi * p

        N1, N2 = rot(self.N1, self.N2)
        self.N1 = s1 * (N1 + c.dg_dnu * h1 - c.dphi_dnu * h2 + c.dgam_dnu * u1)
        self.N2 = s2 * (N2 + c.dg_dnu * h2 + c.dphi_dnu * h1 + c.dgam_dnu * u2)
        T1, T2 = rot(self.T1, self.T2)
        self.T1 = s1 * (T1 + c.dg_dtheta * h1 - c.dphi_dtheta * h2)
        self.T2 = s2 * (T2 + c.dg_dtheta * h2 + c.dphi_dtheta * h1)
        A1, A2 = rot(self.A1, self.A2)
        self.A1, self.A2 = s1[:, None] * (A1 + in_w), s2[:, None] * A2
        if self.halved:
            self.B1, self.B2 = -self.A2, self.A1
        else:
            B1, B2 = rot(self.B1, self.B2)
            self.B1, self.B2 = s1[:, None] * B1, s2[:, None] * (B2 + in_w)

    def _e(self, dL_dy: Array) -> tuple[Array, Array]:
        e1, e2 = dL_dy[: self.n], dL_dy[self.n :]
        if self.nonlinear:
            return e1, e2
        return e1 * slope(self.f, self.h1), e2 * slope(self.f, self.h2)

    def gradient(self, dL_dy: Array) -> Params:
        """dL/d(parameter) of this step's loss through the traces; dL_dy (2n,). Poles sum over their units."""
        e1, e2 = self._e(dL_dy) if self.credit != "frozen" else (np.zeros(self.n), np.zeros(self.n))
        per_pole = (self.m, self.n // self.m)
        return {
            "nu_log": (e1 * self.N1 + e2 * self.N2).reshape(per_pole).sum(1),
            "theta_log": (e1 * self.T1 + e2 * self.T2).reshape(per_pole).sum(1),
            "W1": e1[:, None] * self.A1 + e2[:, None] * self.A2,
            "W2": e1[:, None] * self.B1 + e2[:, None] * self.B2,
        }

    def input_gradient(self, dL_dy: Array, k: float = 1.0) -> Array:
        """dL/dx (d,), this step only: W1^T (gam s1 e1) + W2^T (gam s2 e2)."""
        slopes = self.input_slopes(k)
        result: Array = (dL_dy[: self.n] * slopes["W1"]) @ self.p["W1"] + (dL_dy[self.n :] * slopes["W2"]) @ self.p[
            "W2"
        ]
        return result

    def input_slopes(self, k: float = 1.0) -> Params:
        """dy/du of each half's u = W x at this step, (n,) each, with the state before it held constant."""
        gam = Coefficients.of(self.p, k).gam
        z1, z2 = (self.z1, self.z2) if self.nonlinear else (self.h1, self.h2)
        return {"W1": gam * slope(self.f, z1), "W2": gam * slope(self.f, z2)}
