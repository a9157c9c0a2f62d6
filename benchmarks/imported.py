"""Position-only cart-pole: the returns of an imported learner's next 10 000 steps, next to the original's.

    python -m benchmarks.imported                     # seeds 0 to 9: benchmarks/results/imported.json
    python -m benchmarks.imported --seeds 2 --before 20000

A learner learns for --before steps. Then it, and what is imported from it, learn on for --steps steps from the same
states of the plant. `file`: `export_onnx(learner=True)` and `import_onnx()`; `int8`: the same with 8-bit matrices;
`arrays`: a new learner of another seed with `load_parameters()` and `load_normalizer()`, which has weights and
statistics but other random numbers; `no return`: the same without the statistics of the return, so that the scale of
rewards restarts. Goal: `file` and `int8` within 5 % of the original's mean return on each seed, `arrays` in the mean
of the seeds.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

import rtu_edge as rtu
from benchmarks.measure import RESULTS
from rtu_edge.device.plants import Plant
from rtu_edge.learn.onnx import import_onnx

ALLOWED = 0.05
FORMS = ("file", "int8", "arrays", "no return")


def made(seed: int) -> rtu.StreamAC:
    """A new learner."""
    return rtu.StreamAC.from_env(Plant("cartpole"), seed=seed, horizon_s=2.0)


def imported(agent: rtu.StreamAC, form: str, folder: Path) -> Any:
    """What is imported from an agent in one of FORMS."""
    if form in ("arrays", "no return"):
        other, statistics = made(10_000), agent.normalizer
        other.load_parameters(agent.parameters, strict=True)
        of_return = () if form == "arrays" else [name for name in statistics if name.startswith("return")]
        other.load_normalizer({name: value for name, value in statistics.items() if name not in of_return})
        return other
    path = folder / f"{form}.onnx"
    rtu.export_onnx(agent, path, learner=True, weights="int8" if form == "int8" else "float32")
    return import_onnx(path)


def learn_on(agent: Any, steps: int, seed: int) -> float:
    """The mean return of the episodes that end within the steps."""
    return float(np.mean(agent.learn(Plant("cartpole"), steps, progress=False, seed=seed).returns))


def compare(seed: int, before: int, steps: int) -> dict[str, Any]:
    """One seed: mean returns, and whether the state at the end is that of the original to the bit."""
    agent = made(seed)
    agent.learn(Plant("cartpole"), before, progress=False, seed=100_000 * (seed + 1))
    with tempfile.TemporaryDirectory() as name:
        others = {form: imported(agent, form, Path(name)) for form in FORMS}
    start = 100_000 * (seed + 1) + 50_000
    found: dict[str, Any] = {"seed": seed, "original": learn_on(agent, steps, start)}
    for form, other in others.items():
        found[form] = learn_on(other, steps, start)
        found[f"{form} equal"] = other.state_hash() == agent.state_hash()
    return found


def passed(rows: list[dict[str, Any]]) -> bool:
    """The goal of the module's first lines."""
    apart = {form: np.array([row[form] / row["original"] - 1.0 for row in rows]) for form in FORMS}
    return bool(
        all((np.abs(apart[form]) <= ALLOWED).all() for form in ("file", "int8"))
        and abs(apart["arrays"].mean()) <= ALLOWED
    )


@click.command()
@click.option("--seeds", default=10, show_default=True, help="Number of seeds.")
@click.option("--before", default=60_000, show_default=True, help="Steps before the export.")
@click.option("--steps", default=10_000, show_default=True, help="Steps after it.")
@click.option("--save/--no-save", default=True, show_default=True, help="Keep the results as JSON.")
def main(seeds: int, before: int, steps: int, save: bool) -> None:
    """Prints a row for each seed."""
    table = Table(title=f"mean return over {steps} steps, after {before}", caption="=: the same state to the bit")
    rows = [compare(seed, before, steps) for seed in range(seeds)]
    for heading in ("seed", "original", *FORMS):
        table.add_column(heading)
    for row in rows:
        shown = [f"{row[form]:.1f}{' =' if row[f'{form} equal'] else ''}" for form in FORMS]
        table.add_row(str(row["seed"]), f"{row['original']:.1f}", *shown)
    mean = [f"{np.mean([row[name] for row in rows]):.1f}" for name in ("original", *FORMS)]
    table.add_row("mean", *mean)
    Console().print(table)
    if save:
        kept = {"before": before, "steps": steps, "rows": rows}
        (RESULTS / "imported.json").write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    sys.exit(0 if passed(rows) else 1)


if __name__ == "__main__":
    main()
