"""TD(lambda) prediction over a recurrent body; each step is divided by the root of its second moment (RMSProp)."""

from __future__ import annotations

import numpy as np

from benchmarks.baselines import credit
from benchmarks.baselines.cells import Array, Cell, Columns


class Body:
    """A cell with a credit rule: h of each step, and dL/dtheta for a cotangent of h."""

    def __init__(self, cell: Cell, rule: str, batch: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.cell, self._made = cell, (rule, cell, batch, seed)
        self.theta = cell.initial(rng, batch)
        self.begin()

    def begin(self) -> None:
        """Start an episode."""
        self.credit = credit.make(*self._made)
        self.state: Array = np.zeros((self._made[2], self.cell.states, self.cell.n))

    def step(self, x: Array) -> Array:
        """(B, n)."""
        self.state, J, M = self.cell.step(self.theta, self.state, x)
        self.credit.advance(J, M)
        return self.state[:, 0]

    def gradient(self, q: Array) -> Array:
        """(B, P) from q (B, n)."""
        whole = np.zeros_like(self.state)
        whole[:, 0] = q
        return self.credit.gradient(whole.reshape(len(q), -1))


class Constructive:
    """Constructive network (Javed 2023): columns in stages; a stage learns for `every` steps, then it is frozen, and
    the next one reads the inputs and the units of all stages before. Exact RTRL, since a frozen unit has no gradient.
    """

    def __init__(self, d: int, units: int, stages: int, every: int, batch: int, seed: int) -> None:
        self._stages = [Body(Columns(units, d + units * k), "rtrl", batch, seed + k) for k in range(stages)]
        self._units, self._every, self._steps = units, every, 0

    @property
    def _now(self) -> int:
        return min(self._steps // self._every, len(self._stages) - 1)

    @property
    def theta(self) -> Array:
        """Of the stage that learns."""
        return self._stages[self._now].theta

    @theta.setter
    def theta(self, value: Array) -> None:
        self._stages[self._now].theta = value

    def step(self, x: Array) -> Array:
        """(B, units stages), zero for stages to come."""
        self._steps += 1
        found = []
        for body in self._stages[: self._now + 1]:
            h = body.step(x)
            x = np.concatenate([x, h], 1)
            found.append(h)
        missing = len(self._stages) - len(found)
        return np.concatenate([*found, *[np.zeros_like(h)] * missing], 1)

    def gradient(self, q: Array) -> Array:
        """Of the stage that learns."""
        begin = self._now * self._units
        return self._stages[self._now].gradient(q[:, begin : begin + self._units])


class Predictor:
    """v = w h + b, learned together with the body.

    Args:
        body: Body or Constructive. units: of h. gamma, trace_decay: of TD(lambda). step_size: of a weight.
    """

    def __init__(
        self,
        body: Body | Constructive,
        units: int,
        batch: int,
        gamma: float,
        trace_decay: float,
        step_size: float = 3e-3,
    ) -> None:
        self._body, self._decay, self._gamma, self._step_size = body, gamma * trace_decay, gamma, step_size
        self._w = np.zeros((batch, units + 1))
        self._trace, self._last = np.zeros((batch, 0)), np.zeros(batch)
        self._moment, self._age = self._trace, 0

    def step(self, x: Array, cumulant: Array) -> Array:
        """(B,) the prediction after observing x (B, d), which comes with cumulant (B,)."""
        h = self._body.step(x)
        features = np.concatenate([h, np.ones((len(h), 1))], 1)
        value: Array = (self._w * features).sum(1)
        if self._trace.size:
            self._learn(cumulant + self._gamma * value - self._last)
            value = (self._w * features).sum(1)
        gradient = np.concatenate([self._body.gradient(self._w[:, :-1]), features], 1)
        if gradient.shape != self._trace.shape:  # the first step, or a new stage
            self._trace, self._moment, self._age = np.zeros_like(gradient), np.zeros_like(gradient), 0
        self._trace = self._decay * self._trace + gradient
        self._last = value
        return value

    def _learn(self, delta: Array) -> None:
        step = delta[:, None] * self._trace
        self._moment = 0.999 * self._moment + 0.001 * step * step
        self._age += 1
        change = self._step_size * step / (np.sqrt(self._moment / (1 - 0.999**self._age)) + 1e-8)
        P = change.shape[1] - self._w.shape[1]
        if self._body.theta.shape[1] == P:  # not across the beginning of a stage
            self._body.theta = self._body.theta + change[:, :P]
        self._w += change[:, P:]
