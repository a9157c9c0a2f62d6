"""Recurrent cells as gates: v = theta . features, a local function of v and the state, and its derivatives.

    letter  meaning                                        shape
    B       seeds                                          -
    n, d    units, inputs                                  -
    K, O    gates; state vectors (2 for an LSTM: h, c)     -
    s       state                                          (B, O, n)
    v       pre-activations                                (B, K, n)
    D       d s'_o,i / d v_k,i                             (B, O, K, n)
    E       d s'_o,i / d s_q,i at fixed v                  (B, O, O, n)
    J       d s' / d s                                     (B, O n, O n)
    M       d s' / d theta at fixed s                      (B, O n, P)

A gate of unit i reads "x" (inputs), "h" (all units), "i" (its own unit only), "1" (a bias), in this order.
Sources: GRU, Cho 2014, with the reset gate after the product; LSTM, Hochreiter 1997 and Gers 2000; IndRNN, Li 2018;
dense RNN, Williams and Zipser 1989; columns, Javed 2023 (arXiv 2302.05326).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = Any  # float64, and complex128 in the tests of the derivatives


def sigmoid(v: Array) -> Array:
    """Of real and complex arguments."""
    return 1.0 / (1.0 + np.exp(-v))


@dataclass(frozen=True)
class Cell:
    """A cell with `n` units and `d` inputs; subclasses have the gates and local()."""

    n: int
    d: int
    gates: tuple[str, ...] = ()
    states: int = 1

    @property
    def widths(self) -> list[int]:
        """Numbers of features of each gate."""
        size = {"x": self.d, "h": self.n, "i": 1, "1": 1}
        return [sum(size[part] for part in gate) for gate in self.gates]

    @property
    def size(self) -> int:
        """P, the number of parameters."""
        return self.n * sum(self.widths)

    @property
    def diagonal(self) -> bool:
        """No unit reads another one."""
        return not any("h" in gate for gate in self.gates)

    def features(self, x: Array, h: Array) -> list[Array]:
        """For each gate (B, n, width): what each unit reads."""
        n, found = self.n, []
        parts = {
            "x": np.repeat(x[:, None, :], n, 1),
            "h": np.repeat(h[:, None, :], n, 1),
            "i": h[:, :, None],
            "1": np.ones((*h.shape, 1)),
        }
        for gate in self.gates:
            found.append(np.concatenate([parts[part] for part in gate], -1))
        return found

    def rows(self, theta: Array) -> list[Array]:
        """For each gate (B, n, width): theta (B, P) cut into gates."""
        ends = np.cumsum([self.n * width for width in self.widths])
        return [
            part.reshape(len(theta), self.n, width)
            for part, width in zip(np.split(theta, ends[:-1], 1), self.widths, strict=True)
        ]

    def local(self, v: Array, s: Array) -> tuple[Array, Array, Array]:
        """s', D, E."""
        raise NotImplementedError

    def step(self, theta: Array, s: Array, x: Array) -> tuple[Array, Array, Array]:
        """s' (B, O, n), J, M."""
        features, rows = self.features(x, s[:, 0]), self.rows(theta)
        v = np.stack([(f * row).sum(-1) for f, row in zip(features, rows, strict=True)], 1)
        after, D, E = self.local(v, s)
        return after, self._jacobian(rows, D, E), self._direct(features, D)

    def _jacobian(self, rows: list[Array], D: Array, E: Array) -> Array:
        batch, states, _, n = E.shape
        J = np.zeros((batch, states, n, states, n), E.dtype)
        unit = np.arange(n)
        J[:, :, unit, :, unit] = np.moveaxis(E, 3, 0)
        for k, (gate, row) in enumerate(zip(self.gates, rows, strict=True)):
            begin = self.d if "x" in gate else 0
            if "h" in gate:
                J[:, :, :, 0, :] += D[:, :, k, :, None] * row[:, None, :, begin : begin + n]
            elif "i" in gate:
                J[:, :, unit, 0, unit] += D[:, :, k] * row[:, None, :, begin]
        return J.reshape(batch, states * n, states * n)

    def _direct(self, features: list[Array], D: Array) -> Array:
        batch, states, _, n = D.shape
        unit, found = np.arange(n), []
        for k, f in enumerate(features):
            M = np.zeros((batch, states, n, n, f.shape[-1]), D.dtype)
            M[:, :, unit, unit] = D[:, :, k, :, None] * f[:, None]
            found.append(M.reshape(batch, states * n, -1))
        return np.concatenate(found, -1)

    def initial(self, rng: np.random.Generator, batch: int) -> Array:
        """(B, P): uniform within 1 / sqrt(features)."""
        parts = [rng.uniform(-1, 1, (batch, self.n * width)) / np.sqrt(width) for width in self.widths]
        return np.concatenate(parts, 1)


@dataclass(frozen=True)
class DenseRNN(Cell):
    """h' = (1 - a) h + a tanh(W x + U h + b)."""

    gates: tuple[str, ...] = ("xh1",)
    a: float = 1.0

    def local(self, v: Array, s: Array) -> tuple[Array, Array, Array]:
        m = np.tanh(v)
        return (1 - self.a) * s + self.a * m, self.a * (1 - m * m)[:, None], np.full_like(m, 1 - self.a)[:, None]


@dataclass(frozen=True)
class IndRNN(DenseRNN):
    """h' = tanh(W x + u h + b), element by element in h."""

    gates: tuple[str, ...] = ("xi1",)


@dataclass(frozen=True)
class GRU(Cell):
    """z, r, m = tanh(Wn x + bn + r (Un h + cn)), h' = (1 - z) m + z h."""

    gates: tuple[str, ...] = ("xh1", "xh1", "x1", "h1")

    def local(self, v: Array, s: Array) -> tuple[Array, Array, Array]:
        z, r, h, inner = sigmoid(v[:, 0]), sigmoid(v[:, 1]), s[:, 0], v[:, 3]
        m = np.tanh(v[:, 2] + r * inner)
        slope = (1 - z) * (1 - m * m)
        D = np.stack([(h - m) * z * (1 - z), slope * inner * r * (1 - r), slope, slope * r], 1)
        return ((1 - z) * m + z * h)[:, None], D[:, None], z[:, None, None]


@dataclass(frozen=True)
class LSTM(Cell):
    """c' = f c + i g, h' = o tanh(c'); the state is (h, c)."""

    gates: tuple[str, ...] = ("xh1",) * 4
    states: int = 2

    def local(self, v: Array, s: Array) -> tuple[Array, Array, Array]:
        i, f, o, g = sigmoid(v[:, 0]), sigmoid(v[:, 1]), sigmoid(v[:, 2]), np.tanh(v[:, 3])
        c = f * s[:, 1] + i * g
        y = np.tanh(c)
        through = o * (1 - y * y)
        dc = np.stack([g * i * (1 - i), s[:, 1] * f * (1 - f), np.zeros_like(c), i * (1 - g * g)], 1)
        dh = through[:, None] * dc
        dh[:, 2] += y * o * (1 - o)
        zero = np.zeros_like(c)
        E = np.stack([np.stack([zero, through * f], 1), np.stack([zero, f], 1)], 1)
        return np.stack([o * y, c], 1), np.stack([dh, dc], 1), E


@dataclass(frozen=True)
class Columns(LSTM):
    """Columnar network: each unit is an LSTM of its own, which reads the inputs and itself."""

    gates: tuple[str, ...] = ("xi1",) * 4


CELLS: dict[str, type[Cell]] = {
    "rnn": DenseRNN,
    "indrnn": IndRNN,
    "gru": GRU,
    "lstm": LSTM,
    "columns": Columns,
}
