"""Trace patterning: TDPredictor with each rule of the last layer, between the best prediction without memory and the
best possible one.

    python -m benchmarks.trace_patterning                       # 500 000 steps, ten seeds: five minutes
    python -m benchmarks.trace_patterning --steps 50000 --seeds 1

Share: how much of the way from the error of the best memoryless prediction to that of the best prediction the learner
has gone, over the last tenth of the steps. The task and both predictions: tests/reference/trace_patterning.py.
"""

from __future__ import annotations

from typing import Any

import click
import numpy as np

import rtu_edge as rtu
from tests.reference import trace_patterning as task
from tests.reference.trace_conditioning import returns

HEADS: dict[str, dict[str, Any]] = {
    "td": {},
    "true_online": {"head": "true_online", "head_step_size": 1e-3},
    "swift": {"head": "swift", "head_step_size": 1e-3},
    "td, no recurrence": {"cell": "none"},
}
WAIT = 20  # steps from pattern to outcome, the horizon of the settings


def share(name: str, seed: int, steps: int) -> float:
    """Of one learner on one stream."""
    x, followed = task.stream(np.random.default_rng(seed), steps)
    g, best = returns(x[:, 0], task.GAMMA), task.best_predictions(x, followed)
    v = rtu.TDPredictor.for_horizon(7, WAIT, 1.0, seed, gamma=task.GAMMA, **HEADS[name]).run(x, x[:, 0])
    last = slice(int(0.9 * steps), steps - 200)  # the last returns are cut short by the end
    memoryless, floor, error = (((p - g)[last] ** 2).mean() for p in (best["memoryless"], best["floor"], v))
    return float((memoryless - error) / (memoryless - floor))


@click.command()
@click.option("--steps", default=500_000, show_default=True)
@click.option("--seeds", default=10, show_default=True, help="Seeds 0 to SEEDS - 1.")
def main(steps: int, seeds: int) -> None:
    """Print the table, in Markdown."""
    click.echo("| last layer | mean share | lowest of the seeds |\n|---|---|---|")
    for name in HEADS:
        found = [share(name, seed, steps) for seed in range(seeds)]
        click.echo(f"| {name} | {np.mean(found):.3f} | {min(found):.3f} |")


if __name__ == "__main__":
    main()
