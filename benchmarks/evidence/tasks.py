"""The tasks of the comparison of costs: a learner of the package, or a baseline, and its score.

error    mean squared return error over the last tenth of the steps, over that of the best prediction; 1 is best
return   mean return of the last tenth of the episodes, exploration included: of a chain from -1 to 1, of a plant in
         the scale of its references, 0 for random commands and 1 for a tuned controller
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

import rtu_edge as rtu
from benchmarks import memory_chain
from benchmarks.baselines.action_values import ActionValues
from benchmarks.baselines.predictor import Predictor
from rtu_edge.learn import low_phase
from rtu_edge.study import families
from rtu_edge.study.references import reference
from tests.reference import trace_conditioning, trace_patterning

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Task:
    """One task.

    Args:
        lag: steps from an input to what it explains: of low_phase(). inputs, outputs: of a baseline; 0 outputs: none.
    """

    name: str
    lag: int
    inputs: int
    outputs: int
    score: str

    def learner(self, units: int, seed: int, settings: dict[str, Any]) -> Any:
        """A learner of the package with `units` and a hidden layer of its task's proportion."""
        raise NotImplementedError

    def run(self, learner: Any, seed: int, steps: int) -> float:
        """Learn; the score."""
        raise NotImplementedError

    def start(self) -> dict[str, float]:
        """Poles whose credit is coherent over the lag."""
        return low_phase(self.lag)

    def schedule(self, steps: int) -> dict[str, Any]:
        """Settings that depend on the steps of a run."""
        return {}


@dataclass(frozen=True)
class Prediction(Task):
    """Conditioning over a gap, or patterning."""

    pattern: bool = False

    @property
    def gamma(self) -> float:
        """Of the returns."""
        return trace_patterning.GAMMA if self.pattern else 1 - 1 / self.lag

    def learner(self, units: int, seed: int, settings: dict[str, Any]) -> Any:
        given = {"gamma": self.gamma, "hidden": max(2, units // 2), **settings}
        return rtu.TDPredictor.for_horizon(self.inputs, self.lag, 1.0, seed, units=units, **given)

    def stream(self, seed: int, steps: int) -> tuple[Array, Array, Array]:
        """(steps, inputs) observations, (steps,) returns and best prediction."""
        return _stream(self.pattern, self.lag, self.gamma, seed, steps)

    def error(self, values: Array, g: Array, best: Array) -> float:
        """Over the floor."""
        end = len(g) - 10 * self.lag  # later returns are cut short
        last = slice(max(0, min(int(0.9 * len(g)), end - 5 * self.lag)), end)
        return float(((values - g)[last] ** 2).mean() / ((best - g)[last] ** 2).mean())

    def run(self, learner: Any, seed: int, steps: int) -> float:
        x, g, best = self.stream(seed, steps)
        return self.error(learner.run(x, x[:, 0]), g, best)

    def run_baseline(self, body: Any, units: int, seeds: Sequence[int], steps: int) -> list[float]:
        """Of all seeds at once."""
        streams = [self.stream(seed, steps) for seed in seeds]
        predictor = Predictor(body, units, len(seeds), self.gamma, float(np.exp(-1 / self.lag)))
        x = np.stack([stream for stream, _, _ in streams], 1)
        values = np.array([predictor.step(row, row[:, 0]) for row in x])
        return [self.error(values[:, k], *streams[k][1:]) for k in range(len(seeds))]


@lru_cache(maxsize=4)  # rules follow each other on one stream
def _stream(pattern: bool, lag: int, gamma: float, seed: int, steps: int) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(seed)
    if pattern:
        x, followed = trace_patterning.stream(rng, steps)
        best = trace_patterning.best_predictions(x, followed)["floor"]
    else:
        x = trace_conditioning.stream(rng, steps, lag)
        best = trace_conditioning.best_prediction(x, lag)
    return x, trace_conditioning.returns(x[:, 0], gamma), best


@dataclass(frozen=True)
class Chain(Task):
    """MemoryChain."""

    def learner(self, units: int, seed: int, settings: dict[str, Any]) -> Any:
        return rtu.StreamQ(self.inputs, self.outputs, units=units, hidden=max(2, units), seed=seed, **settings)

    def schedule(self, steps: int) -> dict[str, Any]:
        return {"epsilon_steps": steps // 10}

    def run(self, learner: Any, seed: int, steps: int) -> float:
        return memory_chain.score(learner, self.lag, seed, steps)

    def run_baseline(self, body: Any, units: int, seeds: Sequence[int], steps: int) -> list[float]:
        """Of all seeds at once."""
        x, rngs = memory_chain.observations(self.lag), [np.random.default_rng(seed) for seed in seeds]
        values = ActionValues(body, units, self.outputs, rngs, **self.schedule(steps))
        returns = []
        for _ in range(max(1, steps // (self.lag + 1))):
            bits = np.array([1.0 if rng.random() < 0.5 else -1.0 for rng in rngs])
            values.begin()
            for t, row in enumerate(x[:-1]):
                seen = np.repeat(row[None].astype(float), len(seeds), 0)
                seen[:, 2] = bits * (t < 2)
                actions = values.step(seen, np.zeros(len(seeds)))
            returns.append(np.where((actions == 1) == (bits > 0), 1.0, -1.0))
            values.end(returns[-1])
        return [float(v) for v in np.mean(returns[-max(1, len(returns) // 10) :], 0)]


@dataclass(frozen=True)
class Control(Task):
    """Plants of one kind of the families, drawn from the seed."""

    def learner(self, units: int, seed: int, settings: dict[str, Any]) -> Any:
        return rtu.StreamAC.from_env(self.plant(seed), seed=seed, units=units, hidden=max(2, units), **settings)

    def plant(self, seed: int) -> families.Machine:
        """The plant of a seed."""
        return families.Machine(self.name, seed)

    def run(self, learner: Any, seed: int, steps: int) -> float:
        found = learner.learn(self.plant(seed), steps, progress=False, seed=seed)
        late = [r for r, end in zip(found.returns, np.cumsum(found.lengths), strict=True) if end > 0.9 * steps]
        return reference(self.name, seed).score(float(np.mean(late or found.returns[-1:])))


TASKS: dict[str, Task] = {
    "trace conditioning 20": Prediction("trace conditioning 20", 20, 2, 1, "error"),
    "trace conditioning 80": Prediction("trace conditioning 80", 80, 2, 1, "error"),
    "trace patterning": Prediction("trace patterning", 20, 7, 1, "error", pattern=True),
    "MemoryChain 32": Chain("MemoryChain 32", 32, 3, 2, "return"),
    "cartpole-wide": Control("cartpole-wide", 50, 2, 0, "return"),
}
