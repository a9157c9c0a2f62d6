"""Time of a control step of stream AC(lambda) with each optimizer, over a sweep of the agent's own memory.

    python -m benchmarks.rules              # prints the table
    python -m benchmarks.rules --check      # also checks the goal: at most 1.4 times the sweep; exit code 1 unless met
    python -m benchmarks.rules --write      # also writes it to benchmarks/results

The sweep reads, changes and writes each number of the agent once, with the same instruction set, alternating with the
agents in one run on one core.
"""

from __future__ import annotations

import sys
from typing import Any

import click
from rich.console import Console
from rich.table import Table

import rtu_edge as rtu
from benchmarks.measure import hold_one_core, host_facts, interleave, isas, summary, write_result
from rtu_edge import _testing
from rtu_edge.learn import parameters

GOAL = 1.4
# inputs, units, hidden, actions: a cart-pole, Walker2d as published, a wide cell
SIZES = ((2, 32, (32,), 1), (17, 192, (128, 128), 6), (64, 256, (64,), 1))
RULES = parameters.find("stream_ac", "optimizer").kind.choices  # type: ignore[union-attr]


def measure(rounds: int) -> dict[str, Any]:
    """Run everything; return the contents of benchmarks/results."""
    isa = isas()[-1]
    result: dict[str, Any] = {"host": host_facts(hold_one_core()), "rounds": rounds, "isa": isa, "rules": []}
    for d, n, hidden, actions in SIZES:
        runs, sizes = {}, {}
        for rule in RULES:
            agent = rtu.StreamAC(d, actions, units=n, hidden=hidden, optimizer=rule)
            sizes[rule] = agent.nbytes
            bench = _testing.BenchAgent(agent._native_config, isa)
            runs[rule], runs[f"sweep/{rule}"] = bench.run, bench.sweep
        ns = summary(interleave(runs, rounds)[0])
        for rule in RULES:
            step, sweep = ns[rule][1], ns[f"sweep/{rule}"][1]
            row = {"inputs": d, "units": n, "hidden": hidden, "rule": rule, "nbytes": sizes[rule]}
            result["rules"].append({**row, "step_ns": step, "sweep_ns": sweep, "ratio": round(step / sweep, 3)})
    return result


def show(console: Console, result: dict[str, Any]) -> None:
    """One table."""
    table = Table("size", "optimizer", "bytes", "step, us", "sweep, us", "step / sweep", title=result["isa"])
    for row in result["rules"]:
        size = f"{row['inputs']}, {row['units']}, {'x'.join(map(str, row['hidden']))}"
        times = (f"{row['step_ns'] / 1e3:.2f}", f"{row['sweep_ns'] / 1e3:.2f}", f"{row['ratio']:.2f}")
        table.add_row(size, row["rule"], f"{row['nbytes']:,}", *times)
    console.print(table)


@click.command()
@click.option("--check", "checks", is_flag=True, help="Exit code 1 unless the goal is met at the larger sizes.")
@click.option("--write", is_flag=True, help="Keep the results in benchmarks/results.")
@click.option("--rounds", default=21, show_default=True, help="Blocks of each contender.")
def main(checks: bool, write: bool, rounds: int) -> None:
    """Measure the optimizers."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    result = measure(rounds)
    about = result["host"]
    console.print(f"{about['processor']}, {about['compiler']}, commit {about['commit']}, {about['held']}")
    show(console, result)
    if write:
        write_result("rules", result["isa"], result)
    late = [row for row in result["rules"] if row["units"] > 32 and row["ratio"] > GOAL]
    if checks and late:
        sys.exit(1)


if __name__ == "__main__":
    main()
