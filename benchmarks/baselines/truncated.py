"""Body with TBPTT(k) in products of small matrices: the gradient of Body(cell, "tbpttK"), without the zeros of M."""

from __future__ import annotations

from collections import deque

import numpy as np

from benchmarks.baselines.cells import Array, Cell


class TruncatedBody:
    """A cell with one state vector and its last k steps.

    Raises:
        ValueError: a cell with more state vectors.
    """

    def __init__(self, cell: Cell, k: int, batch: int, seed: int) -> None:
        if cell.states != 1:
            raise ValueError(f"cell: {type(cell).__name__}, allowed: cells with one state vector")
        self.cell, self.theta = cell, cell.initial(np.random.default_rng(seed), batch)
        self._kept: deque[tuple[Array, Array, Array, Array]] = deque(maxlen=k)
        self.begin()

    def begin(self) -> None:
        """Start an episode."""
        self.state: Array = np.zeros((len(self.theta), 1, self.cell.n))
        self._kept.clear()

    def step(self, x: Array) -> Array:
        """(B, n) from x (B, d)."""
        h, rows = self.state[:, 0], self.cell.rows(self.theta)
        parts = {"x": x, "h": h, "1": np.ones((len(x), 1))}
        features = [np.concatenate([parts[name] for name in gate], 1) for gate in self.cell.gates]
        v = np.stack([(row @ f[:, :, None])[:, :, 0] for f, row in zip(features, rows, strict=True)], 1)
        self.state, D, E = self.cell.local(v, self.state)
        D = D[:, 0]  # (B, K, n)
        J = np.zeros((len(x), self.cell.n, self.cell.n))
        for k, (gate, row) in enumerate(zip(self.cell.gates, rows, strict=True)):
            begin = self.cell.d if "x" in gate else 0
            if "h" in gate:
                J += D[:, k, :, None] * row[:, :, begin : begin + self.cell.n]
        unit = np.arange(self.cell.n)
        J[:, unit, unit] += E[:, 0, 0]
        self._kept.append((J, D, x, h))
        return self.state[:, 0]

    def gradient(self, q: Array) -> Array:
        """(B, P) from q (B, n)."""
        J, D, x, h = (np.stack(column, 1) for column in zip(*self._kept, strict=True))  # (B, k, ...)
        cotangents = np.empty((D.shape[0], D.shape[1], self.cell.n))
        q = q[:, None]
        for back in reversed(range(D.shape[1])):
            cotangents[:, back] = q[:, 0]
            q = q @ J[:, back]
        parts = {"x": x, "h": h, "1": np.ones((*x.shape[:2], 1))}
        found = []
        for k, gate in enumerate(self.cell.gates):
            f = np.concatenate([parts[name] for name in gate], 2)
            found.append(((cotangents * D[:, :, k]).transpose(0, 2, 1) @ f).reshape(len(x), -1))
        return np.concatenate(found, 1)
