"""minGRU, eLSTM and LRU with real-time recurrent learning, in float64.

Sources: minGRU: Feng et al. 2024, arXiv 2410.01201, without logarithms. eLSTM: Irie et al. 2023, arXiv 2305.19044, its
state without the gate above it. LRU: Orvieto et al. 2023, arXiv 2303.06349; online: Zucchet et al. 2023, arXiv
2305.15947. docs/math_cells.md.

Each is written from its equations, a parameter at a time, and not as the package does it. Forward passes also run on
complex numbers, so that a complex-step derivative can be taken through them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .rtu import RTU, Array, Params, activate, slope


def sigmoid(v: Array) -> Array:
    result: Array = 1 / (1 + np.exp(-v))
    return result


class _Traced:
    """S = dh/dw for each parameter of units with one number each; `jump` is dh'/dw at fixed h, `K` is dh'/dh."""

    NAMES: tuple[str, ...]

    def __init__(self, p: Params, activation: str = "identity", credit: str = "rtrl") -> None:
        self.p = {name: np.array(p[name]) for name in self.NAMES}
        self.n, self.d = self.p[self.NAMES[0]].shape
        self.f, self.credit = activation, credit
        self.reset()

    def reset(self) -> None:
        self.h = np.zeros(self.n)
        self.S = {name: np.zeros_like(v) for name, v in self.p.items()}

    @property
    def y(self) -> Array:
        return activate(self.f, self.h)

    def step(self, x: Array, k: float = 1.0) -> Array:
        """Takes x (d,); a step's length k has no effect."""
        following, K, jump, self.to_x = self.move(self.h, x)
        self.jump = jump
        if not np.iscomplexobj(following):
            for name, S in self.S.items():
                K_of = K[:, None] if S.ndim == 2 else K
                self.S[name] = (K_of * S if self.credit != "tbptt1" else 0.0) + jump[name]
        self.h = following
        return self.y

    def move(self, h: Array, x: Array) -> tuple[Array, Array, Params, Array]:
        """h', K, dh'/dw at fixed h of each parameter, dh'/dx (n, d)."""
        raise NotImplementedError

    def gradient(self, dL_dy: Array) -> Params:
        e = dL_dy * slope(self.f, self.h) if self.credit != "frozen" else np.zeros(self.n)
        return {name: (e[:, None] if S.ndim == 2 else e) * S for name, S in self.S.items()}

    def input_gradient(self, dL_dy: Array, k: float = 1.0) -> Array:
        result: Array = (dL_dy * slope(self.f, self.h)) @ self.to_x
        return result

    def input_slopes(self, k: float = 1.0) -> Params:
        """dy/dv of the argument v = W x + ... of each gate at this step, (n,) each, at fixed h."""
        s = slope(self.f, self.h)
        return {weight: s * self.jump[bias] for weight, bias in zip(self.NAMES[:2], self.NAMES[2:4], strict=True)}


class MinGRU(_Traced):
    """h' = (1 - u) h + u c, u = sigmoid(Wu x + bu), c = g(Wh x + bh); g(v) = v + 1/2 from 0 up, sigmoid(v) below."""

    NAMES = ("Wu", "Wh", "bu", "bh")

    def move(self, h: Array, x: Array) -> tuple[Array, Array, Params, Array]:
        p = self.p
        u = sigmoid(p["Wu"] @ x + p["bu"])
        v = p["Wh"] @ x + p["bh"]
        c = np.where(v.real >= 0, v + 0.5, sigmoid(v))
        slope_c = np.where(v.real >= 0, 1.0, sigmoid(v) * (1 - sigmoid(v)))
        of_u, of_v = (c - h) * u * (1 - u), u * slope_c
        jump = {"Wu": np.outer(of_u, x), "Wh": np.outer(of_v, x), "bu": of_u, "bh": of_v}
        return (1 - u) * h + u * c, 1 - u, jump, of_u[:, None] * p["Wu"] + of_v[:, None] * p["Wh"]


class ELSTM(_Traced):
    """c' = f c + (1 - f) z, z = tanh(Z x + wz c + bz), f = sigmoid(F x + wf c + bf)."""

    NAMES = ("Z", "F", "bz", "bf", "wz", "wf")

    def move(self, h: Array, x: Array) -> tuple[Array, Array, Params, Array]:
        p = self.p
        z = np.tanh(p["Z"] @ x + p["wz"] * h + p["bz"])
        f = sigmoid(p["F"] @ x + p["wf"] * h + p["bf"])
        A, B = (1 - f) * (1 - z**2), (h - z) * f * (1 - f)
        jump = {"Z": np.outer(A, x), "F": np.outer(B, x), "bz": A, "bf": B, "wz": A * h, "wf": B * h}
        return (
            f * h + (1 - f) * z,
            f + A * p["wz"] + B * p["wf"],
            jump,
            A[:, None] * p["Z"] + B[:, None] * p["F"],
        )


class LRU:
    """h' = lam h + exp(gamma_log) B x, lam = exp(-exp(nu_log) + i exp(theta_log)), y = [f(Re h); f(Im h); x].

    The next layer's weights on y are C and D: Re(C h) + D x = Cr Re h - Ci Im h + D x. A step of k periods multiplies
    by lam^k; the gain is a parameter and stays. `slip`: gamma_log in place of exp(gamma_log) in B's trace (math.md,
    7.2).
    """

    NAMES = ("nu_log", "theta_log", "gamma_log", "Br", "Bi")

    def __init__(self, p: Params, activation: str = "identity", credit: str = "rtrl", slip: bool = False) -> None:
        self.p = {name: np.array(p[name]) for name in self.NAMES}
        self.n, self.d = self.p["Br"].shape
        self.m = len(self.p["nu_log"])
        self.f, self.credit, self.slip = activation, credit, slip
        self.reset()

    def reset(self) -> None:
        self.re = self.im = np.zeros(self.n)
        self.x = np.zeros(self.d)
        self.Sn = self.St = self.Sg = np.zeros(self.n, complex)  # dh/dnu_log, dh/dtheta_log, dh/dgamma_log
        self.SB = np.zeros((self.n, self.d), complex)

    @property
    def y(self) -> Array:
        return np.concatenate([activate(self.f, self.re), activate(self.f, self.im), self.x])

    def per_unit(self, name: str) -> Array:
        return np.repeat(self.p[name], self.n // self.m)

    def step(self, x: Array, k: float = 1.0) -> Array:
        nu, theta, gain = (np.exp(self.per_unit(name)) for name in ("nu_log", "theta_log", "gamma_log"))
        r = np.exp(-k * nu)
        re_lam, im_lam = r * np.cos(k * theta), r * np.sin(k * theta)  # in parts: a complex step needs them apart
        ur, ui = self.p["Br"] @ x, self.p["Bi"] @ x
        before = (self.re, self.im)
        self.re, self.im = (
            re_lam * before[0] - im_lam * before[1] + gain * ur,
            re_lam * before[1] + im_lam * before[0] + gain * ui,
        )
        self.x = x
        if not np.iscomplexobj(self.re) and not np.iscomplexobj(x):
            lam = re_lam + 1j * im_lam
            kept = lam if self.credit != "tbptt1" else 0 * lam
            turned = lam * (before[0] + 1j * before[1])
            self.Sn = kept * self.Sn - k * nu * turned  # d lam^k / d nu_log = -k nu lam^k
            self.St = kept * self.St + 1j * k * theta * turned
            self.Sg = kept * self.Sg + gain * (ur + 1j * ui)
            into = self.per_unit("gamma_log") if self.slip else gain
            self.SB = kept[:, None] * self.SB + into[:, None] * x
        return self.y

    def gradient(self, dL_dy: Array) -> Params:
        e1 = dL_dy[: self.n] * slope(self.f, self.re)
        e2 = dL_dy[self.n : 2 * self.n] * slope(self.f, self.im)
        w = (e1 - 1j * e2) if self.credit != "frozen" else np.zeros(self.n, complex)  # dL = Re(w dh)
        per_pole = (self.m, self.n // self.m)
        return {
            "nu_log": (w * self.Sn).real.reshape(per_pole).sum(1),
            "theta_log": (w * self.St).real.reshape(per_pole).sum(1),
            "gamma_log": (w * self.Sg).real.reshape(per_pole).sum(1),
            "Br": (w[:, None] * self.SB).real,
            "Bi": -(w[:, None] * self.SB).imag,
        }

    def input_gradient(self, dL_dy: Array, k: float = 1.0) -> Array:
        slopes, halves = self.input_slopes(k), (dL_dy[: self.n], dL_dy[self.n : 2 * self.n])
        result: Array = dL_dy[2 * self.n :] + sum(
            (e * slopes[name]) @ self.p[name] for e, name in zip(halves, ("Br", "Bi"), strict=True)
        )
        return result

    def input_slopes(self, k: float = 1.0) -> Params:
        """dy/du of each half's u = B x at this step, (n,) each, with the state before it held constant."""
        gain = np.exp(self.per_unit("gamma_log"))
        return {"Br": gain * slope(self.f, self.re), "Bi": gain * slope(self.f, self.im)}


OTHERS: tuple[Any, ...] = (MinGRU, ELSTM, LRU)


def cell_names(names: Any, prefix: str) -> tuple[str, ...]:
    """The parameters of the cell under a prefix; () without a cell."""
    for cell in (RTU_NAMES, *(other.NAMES for other in OTHERS)):
        if all(f"{prefix}cell.{name}" in names for name in cell):
            return tuple(cell)
    return ()


RTU_NAMES = ("nu_log", "theta_log", "W1", "W2")


def make_cell(p: Params, activation: str, nonlinear: bool, credit: str = "rtrl") -> Any:
    """The cell that has these parameters."""
    for other in OTHERS:
        if set(p) == set(other.NAMES):
            return other(p, activation, credit)
    return RTU(p, activation, nonlinear, credit=credit)
