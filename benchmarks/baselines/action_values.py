"""Q(lambda) with Watkins's cut on top of a body, batched over seeds; steps as in predictor.py (RMSProp)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.baselines.cells import Array


class ActionValues:
    """q = W [h; 1], learned together with the body.

    Args:
        body: with theta, step(), gradient(), begin(). units: of h. outputs: actions. rngs: one a seed. epsilon: falls
            from 1 to 0.01 over epsilon_steps, as StreamQ's defaults do.
    """

    def __init__(
        self,
        body: Any,
        units: int,
        outputs: int,
        rngs: Sequence[np.random.Generator],
        gamma: float = 0.99,
        trace_decay: float = 0.8,
        step_size: float = 3e-3,
        epsilon_steps: int = 50_000,
    ) -> None:
        self._body, self._rngs, self._gamma, self._decay = body, rngs, gamma, gamma * trace_decay
        self._W = np.zeros((len(rngs), outputs, units + 1))
        self._step_size, self._epsilon_steps, self._steps, self._age = step_size, epsilon_steps, 0, 0
        self._moment = np.zeros((len(rngs), body.theta.shape[1] + outputs * (units + 1)))
        self.begin()

    def begin(self) -> None:
        """Start an episode."""
        self._body.begin()
        self._trace, self._last = np.zeros_like(self._moment), None

    def step(self, x: Array, reward: Array) -> Array:
        """(B,) actions after observing x (B, d), which came with reward (B,)."""
        features = np.concatenate([self._body.step(x), np.ones((len(x), 1))], 1)
        q = (self._W @ features[:, :, None])[:, :, 0]
        if self._last is not None:
            self._learn(reward + self._gamma * q.max(1) - self._last)
            q = (self._W @ features[:, :, None])[:, :, 0]
        self._steps += 1
        epsilon = max(0.01, 1 - 0.99 * self._steps / self._epsilon_steps)
        greedy, seeds = q.argmax(1), np.arange(len(x))
        actions = np.array(
            [int(rng.integers(q.shape[1])) if rng.random() < epsilon else a
             for rng, a in zip(self._rngs, greedy, strict=True)]
        )  # fmt: skip
        own = np.zeros_like(self._W)
        own[seeds, actions] = features
        gradient = np.concatenate([self._body.gradient(self._W[seeds, actions, :-1]), own.reshape(len(x), -1)], 1)
        kept = self._decay * (q[seeds, actions] == q.max(1))[:, None]
        self._trace, self._last = kept * self._trace + gradient, q[seeds, actions]
        return actions

    def end(self, reward: Array) -> None:
        """The last reward (B,) of an episode."""
        self._learn(reward - self._last)

    def _learn(self, delta: Array) -> None:
        step = delta[:, None] * self._trace
        self._moment = 0.999 * self._moment + 0.001 * step * step
        self._age += 1
        change = self._step_size * step / (np.sqrt(self._moment / (1 - 0.999**self._age)) + 1e-8)
        P = self._body.theta.shape[1]
        self._body.theta = self._body.theta + change[:, :P]
        self._W += change[:, P:].reshape(self._W.shape)
