"""Error or return over counted operations and bytes of a step, for eleven rules and five tasks.

python -m benchmarks.evidence costs --jobs 2              # 300 000 steps, ten seeds, three of the baselines
python -m benchmarks.evidence costs --steps 2000 --seeds 1 --task "MemoryChain 32"
python -m benchmarks.evidence costs --write               # the table from the runs that exist
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.baselines.cells import CELLS
from benchmarks.baselines.predictor import Body
from benchmarks.baselines.truncated import TruncatedBody
from benchmarks.evidence import counts, store
from benchmarks.evidence.tasks import TASKS, Task

BUDGETS = (1_000, 10_000, 100_000)
STEPS, SEEDS, BASELINE_SEEDS = 300_000, 10, 3
ENTRIES = ("task", "rule", "budget", "units", "operations", "nbytes", "scores")  # of a result
WINDOW = 20  # steps back of the truncated baseline

NATIVE: dict[str, dict[str, Any]] = {
    "RTU": {},
    "RTU, low phase": {"start": True},
    "RTU, nonlinear": {"cell": "nonlinear"},
    "RTU, TBPTT(1)": {"credit": "tbptt1"},
    "RTU, frozen": {"credit": "frozen"},
    "minGRU": {"cell": "mingru"},
    "LRU": {"cell": "lru"},
    "eLSTM": {"cell": "elstm"},
    "memoryless": {"cell": "none"},
}
BASELINES = {f"GRU, TBPTT({WINDOW})": f"tbptt{WINDOW}", "GRU, RTRL": "rtrl"}
RULES = (*NATIVE, *BASELINES)


@dataclass(frozen=True)
class Run:
    """One rule with one budget on one task; all seeds of a baseline at once."""

    task: str
    rule: str
    operations: int
    seeds: tuple[int, ...]
    steps: int
    folder: str

    @property
    def path(self) -> Path:
        """Of the result."""
        name = f"{self.task}-{self.rule}-{self.operations}-{self.steps}-{'_'.join(map(str, self.seeds))}"
        return Path(self.folder) / f"{name.replace(' ', '_').replace(',', '')}.json"


def runs(
    folder: str,
    tasks: tuple[str, ...],
    rules: tuple[str, ...],
    budgets: tuple[int, ...],
    steps: int,
    seeds: int,
    baseline_seeds: int,
) -> Iterator[Run]:
    """The grid: one seed of every rule of the package, the baselines, the other seeds."""
    for number in range(seeds):
        for budget, task, rule in itertools.product(budgets, tasks, rules):
            if rule in NATIVE:
                yield Run(task, rule, budget, (number,), steps, folder)
        for budget, task, rule in itertools.product(budgets if number == 0 else (), tasks, rules):
            if rule in BASELINES and TASKS[task].outputs:
                yield Run(task, rule, budget, tuple(range(baseline_seeds)), steps, folder)


def settings(task: Task, rule: str) -> dict[str, Any]:
    """Of a learner of the package."""
    given = dict(NATIVE[rule])
    return {**(task.start() if given.pop("start", False) else {}), **given}


def cost_of(task: Task, rule: str) -> Callable[[int], counts.Cost]:
    """Cost over units."""
    if rule in NATIVE:
        return lambda units: counts.native(task.learner(units, 0, settings(task, rule)))
    return lambda units: counts.baseline("gru", BASELINES[rule], units, task.inputs, task.outputs)


def run(one: Run) -> dict[str, Any]:
    """The result of a run, from its file if there is one. No score: not one unit fits into the budget."""
    known = store.read(one.path, *ENTRIES)
    if known is not None:
        return known
    units, cost = _size(one.task, one.rule, one.operations)
    found = {**asdict(one), "budget": one.operations, "units": units, "scores": [], **asdict(cost)}
    if units:
        found["scores"] = _scores(one, TASKS[one.task], units)
    store.write(one.path, found)
    return found


@lru_cache
def _size(task: str, rule: str, operations: int) -> tuple[int, counts.Cost]:
    """Units within a budget and their cost."""
    cost = cost_of(TASKS[task], rule)
    units = counts.largest(cost, operations)
    return units, cost(max(1, units))


def _scores(one: Run, task: Task, units: int) -> list[float]:
    if one.rule in NATIVE:
        given = {**settings(task, one.rule), **task.schedule(one.steps)}
        return [task.run(task.learner(units, seed, given), seed, one.steps) for seed in one.seeds]
    cell, rule, batch = CELLS["gru"](units, task.inputs), BASELINES[one.rule], len(one.seeds)
    body: Any = TruncatedBody(cell, WINDOW, batch, 0) if rule.startswith("tbptt") else Body(cell, rule, batch, 0)
    scores: list[float] = task.run_baseline(body, units, one.seeds, one.steps)  # type: ignore[attr-defined]
    return scores


def rows(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a task, rule and budget, with all seeds."""
    table: dict[tuple[str, str, int], dict[str, Any]] = {}
    for result in found:
        if not result["units"]:
            continue
        key = (result["task"], result["rule"], result["budget"])
        row = table.setdefault(key, {k: result[k] for k in ENTRIES[:-1]})
        row["scores"] = [*row.get("scores", []), *result["scores"]]
    return [table[key] for key in sorted(table, key=lambda k: (list(TASKS).index(k[0]), RULES.index(k[1]), k[2]))]


def text(table: list[dict[str, Any]]) -> str:
    """In Markdown: median of the seeds, with units and number of seeds, for each budget."""
    lines, budgets = [], sorted({row["budget"] for row in table})
    for name, task in TASKS.items():
        of = [row for row in table if row["task"] == name]
        if not of:
            continue
        better = "lower is better" if task.score == "error" else "higher is better"
        what = "error over the floor" if task.score == "error" else "return"
        lines += [f"\n{name}: {what}, {better}\n", "| rule | " + " | ".join(f"{b:,}" for b in budgets) + " | bytes |"]
        lines.append("|---" * (len(budgets) + 2) + "|")
        for rule in RULES:
            mine = {row["budget"]: row for row in of if row["rule"] == rule}
            cells = [
                f"{np.median(mine[b]['scores']):.2f} ({mine[b]['units']}, {len(mine[b]['scores'])})"
                if b in mine
                else "-"
                for b in budgets
            ]
            if mine:
                sizes = " / ".join(f"{mine[b]['nbytes']:,}" if b in mine else "-" for b in budgets)
                lines.append(f"| {rule} | {' | '.join(cells)} | {sizes} |")
    return "\n".join(lines)
