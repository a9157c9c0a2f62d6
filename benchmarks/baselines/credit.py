"""Credit rules over any cell: from J and M of each step and the cotangent q = dL/ds' to dL/dtheta.

RTRL      S <- J S + M, gradient q S                          exact while theta stands still; Williams 1989
SnAp-1    the same, only where M may be different from 0      exact if no unit reads another; Menick 2020
UORO      a rank-one estimate of S, right in the mean         Tallec 2017
RFLO      S <- (1 - a) S + M, only for the leaky RNN          Murray 2019
TBPTT(k)  k steps back; exact in an episode of at most k steps
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

import numpy as np

from benchmarks.baselines.cells import Array, Cell, DenseRNN


class Credit(Protocol):
    """What a predictor asks for."""

    def advance(self, J: Array, M: Array) -> None: ...
    def gradient(self, q: Array) -> Array: ...


class RTRL:
    """S (B, O n, P)."""

    def __init__(self, cell: Cell, batch: int) -> None:
        self.S = np.zeros((batch, cell.states * cell.n, cell.size))

    def advance(self, J: Array, M: Array) -> None:
        """One step."""
        self.S = J @ self.S + M

    def gradient(self, q: Array) -> Array:
        """(B, P) from q (B, O n)."""
        found: Array = np.einsum("bi,bip->bp", q, self.S)
        return found


class SnAp1(RTRL):
    """RTRL with the pattern of M: a weight acts on the state of its own unit only."""

    def __init__(self, cell: Cell, batch: int) -> None:
        super().__init__(cell, batch)
        own = np.concatenate([np.repeat(np.arange(cell.n), width) for width in cell.widths])
        self._mask = np.tile(np.arange(cell.n)[:, None] == own, (cell.states, 1))

    def advance(self, J: Array, M: Array) -> None:
        """One step."""
        self.S = (J @ self.S + M) * self._mask


class RFLO(RTRL):
    """Of the leaky RNN."""

    def __init__(self, cell: Cell, batch: int) -> None:
        if type(cell) is not DenseRNN:
            raise ValueError(f"cell: {type(cell).__name__}, allowed with RFLO: DenseRNN")
        super().__init__(cell, batch)
        self._keep = 1 - cell.a

    def advance(self, J: Array, M: Array) -> None:
        """One step."""
        self.S = self._keep * self.S + M


class UORO:
    """A (B, O n), Bt (B, P): A Bt is S in the mean over the signs v."""

    def __init__(self, cell: Cell, batch: int, seed: int = 0) -> None:
        self.A, self.Bt = np.zeros((batch, cell.states * cell.n)), np.zeros((batch, cell.size))
        self._rng = np.random.default_rng(seed)

    def advance(self, J: Array, M: Array) -> None:
        """One step; the norms are Euclidean, and 1e-7 keeps the first one from 0/0."""
        v = self._rng.choice([-1.0, 1.0], self.A.shape)
        JA, vM = np.einsum("bij,bj->bi", J, self.A), np.einsum("bi,bip->bp", v, M)

        def ratio(top: Array, bottom: Array) -> Array:
            size = np.linalg.norm(top, axis=1) + 1e-7, np.linalg.norm(bottom, axis=1) + 1e-7
            return np.sqrt(size[0] / size[1])[:, None]

        p0, p1 = ratio(self.Bt, JA), ratio(vM, v)
        self.A, self.Bt = p0 * JA + p1 * v, self.Bt / p0 + vM / p1

    def gradient(self, q: Array) -> Array:
        """(B, P)."""
        return (q * self.A).sum(1, keepdims=True) * self.Bt


class TBPTT:
    """The last k steps are kept."""

    def __init__(self, cell: Cell, batch: int, k: int) -> None:
        self._kept: deque[tuple[Array, Array]] = deque(maxlen=k)
        self._shape = batch, cell.size

    def advance(self, J: Array, M: Array) -> None:
        """One step."""
        self._kept.append((J, M))

    def gradient(self, q: Array) -> Array:
        """(B, P)."""
        found: Array = np.zeros(self._shape)
        for J, M in reversed(self._kept):
            found += np.einsum("bi,bip->bp", q, M)
            q = np.einsum("bi,bij->bj", q, J)
        return found


def make(rule: str, cell: Cell, batch: int, seed: int = 0) -> Credit:
    """A rule by name: rtrl, snap1, uoro, rflo, tbpttK.

    Raises:
        ValueError: another name, or a cell that the rule is not for.
    """
    if rule.startswith("tbptt") and rule[5:].isdigit() and int(rule[5:]) > 0:
        return TBPTT(cell, batch, int(rule[5:]))
    if rule == "uoro":
        return UORO(cell, batch, seed)
    known = {"rtrl": RTRL, "snap1": SnAp1, "rflo": RFLO}
    if rule not in known:
        raise ValueError(f"rule: {rule!r}, allowed: rtrl, snap1, uoro, rflo, tbptt1, tbptt2, ...")
    return known[rule](cell, batch)
