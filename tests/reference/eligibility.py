"""Eligibilities by parameter group, and how weights move. Letters: learners.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Tree = dict[str, Array]


def group(name: str) -> str:
    """Parameter group that owns a lambda: recurrent, body or head."""
    part = name.split(".")[-2]
    return "recurrent" if part == "cell" else "head" if part == "head" else "body"


class Eligibility:
    """One optimiser's traces over the parameters it moves."""

    def __init__(self, names: list[str], p: Tree, decay: Mapping[str, float], optimizer: Any) -> None:
        self.p, self.decay, self.optimizer = p, decay, optimizer
        self.z: Tree = {k: np.zeros_like(p[k]) for k in names}
        self.g = self.z

    def clear(self) -> None:
        self.z = {k: np.zeros_like(v) for k, v in self.z.items()}

    def advance(self, g: Tree | None) -> None:
        """z <- gamma lambda z + g; `decay` is gamma lambda by group."""
        self.g = {k: np.zeros_like(v) if g is None else g[k] for k, v in self.z.items()}
        self.z = {k: self.decay[group(k)] * v + self.g[k] for k, v in self.z.items()}

    def observe(self, delta: float) -> None:
        """After advance(): what an optimizer follows at each transition, whether or not the weights move."""
        if hasattr(self.optimizer, "observe"):
            self.optimizer.observe(delta, self.z, self.g, {k: self.decay[group(k)] for k in self.z})

    def step(self, delta: float) -> Tree:
        moved: Tree = self.optimizer.step(delta, self.z)
        return moved


MAX_THETA_LOG = float(np.log(4 * np.pi))


def add(p: Tree, *steps: Tree) -> None:
    """Applies the steps in sequence to the parameters, in place in the dictionary. No step raises a theta_log above
    MAX_THETA_LOG, or one that is already above it (math.md, 4, 'Phases')."""
    for step in steps:
        for k, v in step.items():
            most = np.maximum(p[k], MAX_THETA_LOG) if k.endswith("theta_log") else np.inf
            p[k] = np.minimum(p[k] + v, most)


def learned(p: Tree, credit: str) -> list[str]:
    """The parameters that have eligibilities."""
    return [k for k in p if credit != "frozen" or group(k) != "recurrent"]


def decays(gamma: float, trace_decay: float | Mapping[str, float]) -> dict[str, float]:
    groups = ("recurrent", "body", "head")
    return {k: gamma * (trace_decay[k] if isinstance(trace_decay, Mapping) else trace_decay) for k in groups}
