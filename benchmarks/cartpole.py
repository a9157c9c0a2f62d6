"""Position-only cart-pole from scratch: the number of seeds that reach 475 of 500, and the steps to it.

    python -m benchmarks.cartpole                     # seeds 0 to 9, continuous, discrete, memoryless
    python -m benchmarks.cartpole --seeds 3 --steps 60000
    python -m benchmarks.cartpole --set actor='{"kappa": 3}' --set critic='{"kappa": 2}'    # other settings of StreamAC

The plant is the C code of the firmware, stepped without a link; the same learner over a port gives the same table.
Reached: the mean length of the last 20 episodes is 475 of 500 or more.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

import rtu_edge as rtu
from rtu_edge import _core
from rtu_edge.device.plants import Plant

TARGET = 475.0
WINDOW = 20


@dataclass(frozen=True)
class Result:
    """One run. `reached`: the first step at which the mean of 20 episodes was at the target; `best`,
    `last`: that mean.
    """

    reached: int | None
    best: float
    last: float


def learn(
    seed: int, steps: int, *, discrete: bool = False, cell: str = "linear", stop: bool = False, **settings: Any
) -> Result:
    """Learns from scratch for at most `steps` steps; with `stop`, until the target is reached. settings: StreamAC's."""
    plant = Plant("cartpole")
    force = plant.sheet.actuators[0].max
    kind: dict[str, Any] = {"n_actions": 2} if discrete else {}
    agent = rtu.StreamAC.from_env(plant, seed=seed, cell=cell, **{"horizon_s": 2.0, **kind, **settings})
    lengths: list[int] = []
    reached, best, length = None, 0.0, 0
    action = agent.reset(plant.reset(seed * 100_000)[0])
    for step in range(steps):
        u = (2 * action - 1) if discrete else action[0]
        observation, reward, terminated, truncated, _ = plant.step([force * u])
        length += 1
        action = agent.step(observation, reward, terminated, truncated)
        if not (terminated or truncated):
            continue
        lengths.append(length)
        length = 0
        mean = float(np.mean(lengths[-WINDOW:]))
        if len(lengths) >= WINDOW:
            best = max(best, mean)
            if mean >= TARGET and reached is None:
                reached = step
                if stop:
                    break
        action = agent.reset(plant.reset(seed * 100_000 + len(lengths))[0])
    return Result(reached, best, float(np.mean(lengths[-WINDOW:])) if lengths else float(length))


@click.command()
@click.option("--seeds", default=10, show_default=True, help="Seeds 0 to SEEDS - 1.")
@click.option("--steps", default=100_000, show_default=True, help="Steps of each run at most.")
@click.option("--set", "changes", multiple=True, metavar="KEY=JSON", help="A setting of StreamAC; may be repeated.")
def main(seeds: int, steps: int, changes: tuple[str, ...]) -> None:
    """Prints the table."""
    settings = {key: json.loads(value) for key, value in (change.split("=", 1) for change in changes)}
    console = Console()
    rows = [("continuous", False, "linear"), ("two forces", True, "linear"), ("memoryless", False, "none")]
    table = Table(title=f"Position-only cart-pole, {steps} steps at most, kernels {_core.isa}")
    for heading in (
        "actions",
        "reached",
        "median step",
        "last step",
        "best mean of 20, per seed",
        "mean of 20 at the end",
    ):
        table.add_column(heading)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("learning", total=len(rows) * seeds)
        for name, discrete, cell in rows:
            results = []
            for seed in range(seeds):
                results.append(learn(seed, steps, discrete=discrete, cell=cell, **settings))
                progress.advance(task)
            when = sorted(o.reached for o in results if o.reached is not None)
            table.add_row(
                name,
                f"{len(when)} of {seeds}",
                str(int(np.median(when))) if when else "-",
                str(when[-1]) if when else "-",
                " ".join(f"{o.best:.0f}" for o in results),
                " ".join(f"{o.last:.0f}" for o in results),
            )
    console.print(table)


if __name__ == "__main__":
    main()
