"""Prediction over a gap: the error of TDPredictor on trace conditioning beside what is possible without memory and at all.

    python -m benchmarks.trace_conditioning
    python -m benchmarks.trace_conditioning --steps 1000000 --seeds 5 --isi 20

Error: mean squared difference between prediction and realised return over the last tenth of the steps; mean over the seeds and,
in brackets, interquartile mean with a 95 % bootstrap interval. The task and its bounds: tests/reference/trace_conditioning.py.
Settings are the class's defaults but for gamma = 1 - 1/ISI; the same for every ISI.
"""

from __future__ import annotations

import click
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

import rtu_edge as rtu
from rtu_edge import _core
from tests.reference import trace_conditioning as task


def error(isi: int, distractors: int, seed: int, steps: int, units: int, cell: str) -> float:
    """Of one run."""
    x = task.stream(np.random.default_rng(seed), steps, isi, distractors)
    gamma = 1 - 1 / isi
    predictor = rtu.TDPredictor(x.shape[1], units, gamma, trace_decay=0.95, seed=seed, cell=cell)
    found = np.array([predictor.step(row, row[0]) for row in x])
    known = slice(steps - steps // 10, steps - 10 * isi)  # the last returns are cut short by the end
    return float(((found - task.returns(x[:, 0], gamma))[known] ** 2).mean())


def interquartile_mean(values: np.ndarray) -> float:
    """Mean of the middle half."""
    ordered = np.sort(values)
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())


def summary(values: list[float]) -> str:
    """Mean (interquartile mean, low to high)."""
    array, rng = np.array(values), np.random.default_rng(0)
    draws = [interquartile_mean(rng.choice(array, len(array))) for _ in range(2000)]
    low, high = np.percentile(draws, [2.5, 97.5])
    return f"{array.mean():.4f} ({interquartile_mean(array):.4f}, {low:.4f} to {high:.4f})"


@click.command()
@click.option("--isi", multiple=True, default=[10, 20, 40, 80], show_default=True, help="Steps from cue to outcome.")
@click.option("--steps", default=200_000, show_default=True)
@click.option("--seeds", default=10, show_default=True)
@click.option("--units", default=64, show_default=True)
def main(isi: tuple[int, ...], steps: int, seeds: int, units: int) -> None:
    """Print the table."""
    bounds = ("zero", "constant", "memoryless", "floor")
    table = Table("ISI", *bounds, "no recurrence", "RTU, 0 distractors", "RTU, 10 distractors")
    for gap in isi:
        limits = task.bounds(task.stream(np.random.default_rng(0), 2_000_000, gap), gap)
        columns = []
        for distractors, cell in ((0, "none"), (0, "linear"), (10, "linear")):
            runs = track(range(seeds), f"ISI {gap}, {cell}, {distractors} distractors", transient=True)
            columns.append(summary([error(gap, distractors, seed, steps, units, cell) for seed in runs]))
        table.add_row(str(gap), *(f"{limits[name]:.4f}" for name in bounds), *columns)
    Console().print(f"linear RTU, {units} units, {steps} steps, {seeds} seeds, instruction set {_core.isa}")
    Console().print(table)


if __name__ == "__main__":
    main()
