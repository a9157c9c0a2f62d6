"""Many predictions on one body, in float64. Source: docs/math_bank.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reference import optim
from reference.eligibility import add, group
from reference.learners import Trunk
from reference.normalizers import Channels, CumulantScaler

Array = NDArray[np.float64]
Tree = dict[str, Array]


class TDBank:
    """Parameters `cell.*`, `layer*.*`, `head.*`; one row of the head for each gamma."""

    def __init__(
        self,
        parameters: Mapping[str, Array],
        gammas: Sequence[float],
        lambdas: Sequence[float],
        rule: str,
        step_size: float,
        kappa: float = 2.0,
        activation: str = "tanh",
        nonlinear: bool = False,
        normalizer: Channels | None = None,
        credit: str = "rtrl",
        scale_cumulant: bool = True,
    ) -> None:
        self.p = {k: np.array(v, dtype=np.float64) for k, v in parameters.items()}
        self.gammas, self.decay = np.array(gammas), np.array(gammas) * np.array(lambdas)
        self.rule, self.normalizer, self.credit = rule, normalizer, credit
        self.trunk = Trunk("", self.p, activation, nonlinear, credit)
        self.of_head = [optim.make(rule, step_size, kappa) for _ in gammas]
        self.of_body = optim.make(rule, step_size, kappa)
        self.scaler = CumulantScaler(self.gammas) if scale_cumulant else None
        self.value = self.delta = np.zeros(len(gammas))
        self.reset()

    def reset(self) -> None:
        self.trunk.reset()
        self.first = True
        if self.scaler:
            self.scaler.begin()
        self.z = [{"weight": np.zeros(self.p["head.weight"].shape[1]), "bias": np.zeros(1)} for _ in self.gammas]

    def step(self, x: Array, cumulants: Array) -> Array:
        """x (d,), cumulants (heads,); values (heads,) at x with the weights that saw it."""
        x = self.normalizer(x) if self.normalizer else x
        gradients: list[Tree] = []
        seen = np.zeros(0)
        if not self.first:  # at the last input, before the sensitivities advance
            seen = self.trunk.evaluate()
            gradients = [self.trunk.gradient(row) for row in self.p["head.weight"]]
        self.trunk.forward(x)
        v: Array = self.p["head.weight"] @ self.trunk.out + self.p["head.bias"]
        if not self.first and self.scaler:
            self.scaler.observe(cumulants)
        scale: Any = self.scaler.scale if self.scaler else 1.0
        self.delta = np.zeros(len(v))
        if not self.first:
            self.delta = cumulants / scale + self.gammas * v - self.value
            self._learn(seen, gradients)
        self.value, self.first = v, False
        return np.asarray(v * scale)

    def _learn(self, seen: Array, gradients: list[Tree]) -> None:
        body = [k for k in gradients[0] if self.credit != "frozen" or group(k) != "recurrent"]
        total: Tree = {k: np.sum([d * g[k] for d, g in zip(self.delta, gradients, strict=True)], 0) for k in body}
        largest = float(np.abs(self.delta).max())
        if self.rule == "obgd" and largest > 0:  # |step| as for an error `largest` and the gradient over it
            moved = self.of_body.step(largest, {k: g / largest for k, g in total.items()})
        else:
            moved = self.of_body.step(1.0, total)
        for k, d in enumerate(self.delta):
            self.z[k] = {
                "weight": self.decay[k] * self.z[k]["weight"] + seen,
                "bias": self.decay[k] * self.z[k]["bias"] + 1,
            }
            own = self.of_head[k].step(float(d), self.z[k])
            self.p["head.weight"][k] += own["weight"]
            self.p["head.bias"][k] += own["bias"][0]
        add(self.p, moved)
