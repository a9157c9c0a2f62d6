"""Prediction over a gap: the error of TDPredictor on trace conditioning, compared with the best possible predictor with
and without memory.

    python -m benchmarks.trace_conditioning                         # 2 million steps, ten seeds: five minutes
    python -m benchmarks.trace_conditioning --steps 200000 --isi 20
    python -m benchmarks.trace_conditioning --chart docs/images/prediction.svg

Error: mean squared difference between prediction and realised return over the last tenth of the steps; mean over the
seeds and, in brackets, interquartile mean with a 95 % bootstrap interval. Then its ratio to the floor: the error of the
best prediction on the same steps, all seeds together. The task and its bounds: tests/reference/trace_conditioning.py.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

import rtu_edge as rtu
from benchmarks.measure import required
from rtu_edge import _core
from tests.reference import trace_conditioning as task

Array = NDArray[np.float64]
PREDICTORS = ("no recurrence", "class", "horizon")
# Step numbers; errors are averaged between consecutive ones.
SHARES = np.array([0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.45, 0.9, 1.0])


def predictor(name: str, isi: int, inputs: int, seed: int) -> rtu.TDPredictor:
    """The class's defaults, where only gamma depends on the gap; or the gap as horizon, in a loop of one step per
    second, with recurrence and without."""
    if name == "class":
        return rtu.TDPredictor(inputs, gamma=1 - 1 / isi, seed=seed)
    return rtu.TDPredictor.for_horizon(inputs, isi, 1.0, seed, cell="linear" if name == "horizon" else "none")


def errors(isi: int, distractors: int, seed: int, steps: int) -> dict[str, Array]:
    """(windows,) mean squared return error of each predictor on one stream, and of the best prediction ("floor")."""
    x = task.stream(np.random.default_rng(seed), steps, isi, distractors)
    g = task.returns(x[:, 0], 1 - 1 / isi)
    values = {name: predictor(name, isi, x.shape[1], seed).run(x, x[:, 0]) for name in PREDICTORS}
    values["floor"] = task.best_prediction(x, isi)
    edges = np.minimum(SHARES * steps, steps - 10 * isi).astype(int)  # the last returns are truncated by the end
    windows = [slice(*pair) for pair in pairwise(edges)]
    return {name: np.array([((v - g)[w] ** 2).mean() for w in windows]) for name, v in values.items()}


def bank_ratios(isi: int, distractors: int, seed: int, steps: int, horizons: tuple[int, ...]) -> list[float]:
    """(heads,) error over the floor of its own gamma in the last tenth, of each head of a bank that predicts the pulse
    over these horizons in steps."""
    x = task.stream(np.random.default_rng(seed), steps, isi, distractors)
    bank = rtu.TDBank.for_horizon(x.shape[1], horizons, 1.0, seed)
    values = np.concatenate(
        [
            bank.run(x[t : t + 50_000], np.repeat(x[t : t + 50_000, :1], len(horizons), 1))
            for t in range(0, steps, 50_000)
        ]
    )
    last = slice(int(0.9 * steps), steps - 10 * max(isi, *horizons))
    found = []
    for head, horizon in enumerate(horizons):
        g, best = (
            f(x[:, 0], 1 - 1 / horizon) if f is task.returns else f(x, isi, 1 - 1 / horizon)
            for f in (task.returns, task.best_prediction)
        )
        found.append(float(((values[:, head] - g)[last] ** 2).mean() / ((best - g)[last] ** 2).mean()))
    return found


def interquartile_mean(values: Array) -> float:
    """Mean of the middle half."""
    ordered = np.sort(values)
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())


def summary(values: Array, floor: Array) -> str:
    """Mean (interquartile mean, low to high), times the floor."""
    rng = np.random.default_rng(0)
    draws = [interquartile_mean(rng.choice(values, len(values))) for _ in range(2000)]
    low, high = np.percentile(draws, [2.5, 97.5])
    spread = f"{interquartile_mean(values):.4f}, {low:.4f} to {high:.4f}"
    return f"{values.mean():.4f} ({spread}), {values.sum() / floor.sum():.2f}x"


def chart(path: Path, curves: dict[int, dict[str, Array]], steps: int) -> None:
    """Error over floor against steps, of the class's defaults and the horizon's, for each gap."""
    with required():
        import matplotlib

        matplotlib.use("svg")
        import matplotlib.pyplot as plt

    at = np.sqrt(SHARES[:-1] * SHARES[1:]) * steps
    style: dict[str, Any] = {"svg.hashsalt": "rtu_edge", "svg.fonttype": "none", "font.size": 10}
    with plt.rc_context(style):
        figure, axes = plt.subplots(figsize=(7.6, 4.2), layout="constrained")
        for (isi, curve), colour in zip(curves.items(), ("#5f9ed1", "#1a7f4b", "#d98c5f", "#8d6bb8"), strict=False):
            axes.plot(at, curve["class"], ":", color=colour, linewidth=1.4, label=f"gap {isi}, class")
            axes.plot(at, curve["horizon"], color=colour, linewidth=2.2, label=f"gap {isi}, horizon")
        axes.axhline(1, color="#7a7a7a", linewidth=0.8)
        axes.set(xscale="log", yscale="log", xlabel="steps", ylabel="error over the floor, ten distractors")
        ticks = (1, 1.5, 2, 3, 5, 10, 20)
        axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.grid(axis="y", color="#e4e4e4", linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
        figure.savefig(path, metadata={"Date": None, "Creator": None})
        plt.close(figure)
    # The SVG writer leaves trailing spaces.
    path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")


def print_bank(horizons: tuple[int, ...], steps: int, seeds: int) -> None:
    """Mean over the seeds, and the worst of them, of each head on each gap with ten distractors."""
    click.echo("| gap | " + " | ".join(f"head of {horizon}" for horizon in horizons) + " |")
    click.echo("|---" * (len(horizons) + 1) + "|")
    for gap in horizons:
        found = np.array([bank_ratios(gap, 10, seed, steps, horizons) for seed in range(seeds)])
        cells = (f"{mean:.2f}x ({worst:.2f}x)" for mean, worst in zip(found.mean(0), found.max(0), strict=True))
        click.echo(f"| {gap} | {' | '.join(cells)} |")


@click.command()
@click.option("--isi", multiple=True, default=[10, 20, 40, 80], show_default=True, help="Steps from cue to outcome.")
@click.option("--steps", default=2_000_000, show_default=True)
@click.option("--seeds", default=10, show_default=True, help="Seeds 0 to SEEDS - 1.")
@click.option("--bank", is_flag=True, help="The heads of a TDBank over all gaps as horizons, alone.")
@click.option("--chart", "picture", type=click.Path(path_type=Path), help="Draws the learning curves, as SVG.")
def main(isi: tuple[int, ...], steps: int, seeds: int, bank: bool, picture: Path | None) -> None:
    """Print the tables, in Markdown."""
    if bank:
        print_bank(isi, steps, seeds)
        return
    bounds = ["| gap | zero | constant | memoryless | floor |", "|---|---|---|---|---|"]
    table = [f"| gap | distractors | {' | '.join(PREDICTORS)} | worst seed |", "|---|---|---|---|---|---|"]
    curves = {}
    with Progress(transient=True) as progress:
        work = progress.add_task("", total=len(isi) * 2 * seeds)
        for gap in isi:
            limits = task.bounds(task.stream(np.random.default_rng(0), 2_000_000, gap), gap)
            bounds.append(f"| {gap} | {' | '.join(f'{limit:.4f}' for limit in limits.values())} |")
            for distractors in (0, 10):
                runs = []
                for seed in range(seeds):
                    progress.update(work, description=f"gap {gap}, {distractors} distractors, seed {seed}")
                    runs.append(errors(gap, distractors, seed, steps))
                    progress.advance(work)
                of = {name: np.array([run[name] for run in runs]) for name in runs[0]}  # (seeds, windows)
                last = {name: values[:, -1] for name, values in of.items()}
                columns = [summary(last[name], last["floor"]) for name in PREDICTORS]
                worst = (last["horizon"] / last["floor"]).max()
                table.append(f"| {gap} | {distractors} | {' | '.join(columns)} | {worst:.2f}x |")
                curves[gap] = {name: of[name].sum(0) / of["floor"].sum(0) for name in PREDICTORS}
    if picture is not None:
        chart(picture, curves, steps)
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"bounds on 2000000 steps; {steps} steps of learning, {seeds} seeds, instruction set {_core.isa}\n")
    console.print("\n".join([*bounds, "", *table]))


if __name__ == "__main__":
    main()
