"""Do the learners stay finite with their defaults? Bounded streams of five kinds, inputs and signals at three scales,
many seeds.

    python -m benchmarks.finite                              # 50 seeds of 100 000 steps: half an hour
    python -m benchmarks.finite --seeds 5 --steps 20000

Seed k selects stream k modulo 5: white noise, rare ones, four sines, slow noise, steps of 100. The predictor predicts
the first input, the regressor recalls it from 7 steps before, it is the agents' reward regardless of their actions, and
their episodes end with probability 0.001 per step. `poles`: those of the class, or slow ones with retention 0.99 to
0.9999.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

import rtu_edge as rtu
from rtu_edge import _core

Array = NDArray[np.float64]
INPUTS = 4
SCALES, UNITS = (1e-3, 1.0, 1e3), (4, 16, 64)
POLES: dict[str, dict[str, float]] = {"class": {}, "slow": {"r_min": 0.99, "r_max": 0.9999}}


def stream(seed: int, steps: int, scale: float) -> Array:
    """(steps, INPUTS), none beyond -scale to scale."""
    rng = np.random.default_rng(seed)
    kind = seed % 5
    if kind == 0:
        x = rng.uniform(-1, 1, (steps, INPUTS))
    elif kind == 1:
        x = (rng.random((steps, INPUTS)) < 0.1).astype(float)
    elif kind == 2:
        x = np.sin(np.arange(steps)[:, None] * rng.uniform(0.01, 3, INPUTS) + rng.uniform(0, 6, INPUTS))
    elif kind == 3:  # a mean of white noise over the last 1000 steps, of deviation 0.5
        sums = np.cumsum(rng.uniform(-1, 1, (steps + 1000, INPUTS)), axis=0)
        x = np.clip((sums[1000:] - sums[:-1000]) * 0.5 / np.sqrt(1000 / 3), -1, 1)
    else:
        x = np.repeat(rng.uniform(-1, 1, (steps // 100 + 1, INPUTS)), 100, axis=0)[:steps]
    return scale * x


def predict(seed: int, x: Array, **settings: Any) -> rtu.TDPredictor:
    """A predictor of the first input after the stream."""
    learner = rtu.TDPredictor(INPUTS, seed=seed, **settings)
    learner.run(x, x[:, 0])
    return learner


def regress(seed: int, x: Array, **settings: Any) -> rtu.OnlineRegressor:
    """A regressor on the first input of 7 steps ago after the stream."""
    learner = rtu.OnlineRegressor(INPUTS, seed=seed, **settings)
    learner.run(x, np.roll(x[:, :1], 7, axis=0))
    return learner


def act(seed: int, x: Array, **settings: Any) -> rtu.StreamAC:
    """An agent with one continuous action, or n_actions, after the stream."""
    actions = {} if "n_actions" in settings else {"action_size": 1}
    agent = rtu.StreamAC(INPUTS, seed=seed, **actions, **settings)
    agent.run(x, x[:, 0], np.random.default_rng(seed).random(len(x)) < 1e-3)
    return agent


Run = Callable[..., Any]
LEARNERS: dict[str, tuple[Run, Mapping[str, Any]]] = {
    "TDPredictor": (predict, {}),
    "TDPredictor, gamma 0.9875": (predict, {"gamma": 0.9875}),
    "OnlineRegressor": (regress, {}),
    "StreamAC, one force": (act, {}),
    "StreamAC, three choices": (act, {"n_actions": 3}),
}


def is_finite(learner: Any) -> bool:
    """Whether all values of a checkpoint are finite."""
    return all(np.isfinite(value).all() for value in learner.state.values())


def largest_phase(learner: Any) -> float:
    """Of any pole, rad per step; NaN where one is not finite."""
    found = [value for name, value in learner.parameters.items() if name.endswith("theta_log")]
    return float(np.exp(np.max(found)))


@click.command()
@click.option("--steps", default=100_000, show_default=True)
@click.option("--seeds", default=50, show_default=True, help="Seeds 0 to SEEDS - 1.")
def main(steps: int, seeds: int) -> None:
    """Print the table, in Markdown; exit code 1 if a learner is not finite."""
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"{steps} steps, {seeds} seeds, instruction set {_core.isa}\n")
    console.print("| learner | poles | units | runs | not finite, at scale 0.001; 1; 1000 | largest phase |")
    console.print("|---|---|---|---|---|---|")
    failed = 0
    for name, (run, settings) in LEARNERS.items():
        for poles, start in POLES.items():
            for units in UNITS:
                lost, phase = [], 0.0
                for scale in SCALES:
                    learners = [run(k, stream(k, steps, scale), units=units, **settings, **start) for k in range(seeds)]
                    finite = [learner for learner in learners if is_finite(learner)]
                    lost.append(seeds - len(finite))
                    phase = max([phase, *map(largest_phase, finite)])
                failed += sum(lost)
                runs = seeds * len(SCALES)
                console.print(f"| {name} | {poles} | {units} | {runs} | {'; '.join(map(str, lost))} | {phase:.3g} |")
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
