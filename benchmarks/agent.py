"""Time of a control step of stream AC(lambda), predict and update, by part; native, without Python in between.

    python -m benchmarks.agent              # prints the table
    python -m benchmarks.agent --check      # check the goals: 3 us and 60 us, heads and optimiser at most the recurrent
    part python -m benchmarks.agent --write      # also writes it to benchmarks/results and README.md

Parts are measured in separate runs, with a clock around every kernel; "other" is what remains of the undisturbed
step: heads, normaliser, random numbers, cotangents.
"""

from __future__ import annotations

import sys
from typing import Any

import click
from rich.console import Console
from rich.table import Table

import rtu_edge as rtu
from benchmarks import readme
from benchmarks.measure import hold_one_core, host_facts, interleave, isas, result_path, summary, write_result
from rtu_edge import _testing

# inputs, units, hidden -> target in us with separate bodies
GOALS_US = {(2, 32, 32): 3.0, (64, 256, 64): 60.0}
PARTS = ("recurrent", "coefficients", "units", "dense", "optimizer")


def measure(rounds: int) -> dict[str, Any]:
    """Run everything; return the contents of benchmarks/results."""
    result: dict[str, Any] = {"host": host_facts(hold_one_core()), "rounds": rounds, "agents": []}
    for d, n, hidden in GOALS_US:
        runs, benches = {}, {}
        for body in ("separate", "shared"):
            agent = rtu.StreamAC(observation_size=d, action_size=1, units=n, hidden=hidden, body=body)
            for isa in isas():
                bench = benches[body, isa] = _testing.BenchAgent(agent._native_config, isa)
                runs[f"step/{body}/{isa}"] = bench.run
                runs[f"predict/{body}/{isa}"] = bench.predict
        parts: dict[tuple[str, str], list[dict[str, float]]] = {key: [] for key in benches}
        for _ in range(rounds):
            for key, bench in benches.items():
                parts[key].append(bench.parts(max(10, 2_000_000 // (d * n + 2000))))
        samples, busy = interleave(runs, rounds)
        ns = summary(samples)
        for body, isa in benches:
            halves = parts[body, isa]
            row: dict[str, Any] = {
                "inputs": d,
                "units": n,
                "hidden": hidden,
                "body": body,
                "isa": isa,
                "others_busy": round(busy, 2),
            }
            row["step_ns"] = ns[f"step/{body}/{isa}"]
            row["predict_ns"] = ns[f"predict/{body}/{isa}"]
            row["parts_ns"] = {part: round(sorted(h[part] for h in halves)[rounds // 2], 1) for part in PARTS}
            result["agents"].append(row)
    return result


def show(console: Console, result: dict[str, Any]) -> None:
    for d, n, hidden in GOALS_US:
        title = f"{d} inputs, {n} units, {hidden} hidden: us"
        table = Table("body", "kernels", "step", "predict", *PARTS, "other", title=title, title_justify="left")
        for row in result["agents"]:
            if (row["inputs"], row["units"], row["hidden"]) != (d, n, hidden):
                continue
            step, parts = row["step_ns"][1], row["parts_ns"]
            values = (step, row["predict_ns"][1], *parts.values(), max(0.0, step - sum(parts.values())))
            table.add_row(row["body"], row["isa"], *(f"{ns / 1e3:.2f}" for ns in values))
        console.print(table)


def check(console: Console, result: dict[str, Any]) -> bool:
    """Print the goals; return whether the kernels selected at load meet them."""
    table = Table("goal", "kernels", "measured", "limit", "")
    met = True
    for row in result["agents"]:
        if row["body"] != "separate" or row["isa"] in ("scalar", "sse2"):
            continue
        size = (row["inputs"], row["units"], row["hidden"])
        parts = row["parts_ns"]
        recurrent = parts["recurrent"] + parts["coefficients"] + parts["units"]
        lines = [(f"{size}: us a step", row["step_ns"][1] / 1e3, GOALS_US[size])]
        if size == (64, 256, 64):
            share = (row["step_ns"][1] - recurrent) / recurrent
            lines.append((f"{size}: all but the recurrent part, over it", share, 1.0))
        for text, value, limit in lines:
            table.add_row(text, row["isa"], f"{value:.3g}", f"<= {limit:g}", "pass" if value <= limit else "FAIL")
            met &= value <= limit or row["isa"] != isas()[-1]
    console.print(table)
    return met


@click.command()
@click.option("--check", "checks", is_flag=True, help="Print the goals; exit code 1 unless all are met.")
@click.option("--write", is_flag=True, help="Keep the results in benchmarks/results and README.md.")
@click.option("--rounds", default=21, show_default=True, help="Blocks of each contender.")
def main(checks: bool, write: bool, rounds: int) -> None:
    """Measure a control step."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    result = measure(rounds)
    about = result["host"]
    console.print(f"{about['processor']}, {about['compiler']}, commit {about['commit']}, {about['held']}")
    show(console, result)
    met = check(console, result) if checks else True
    if write:
        write_result("agent", isas()[-1], result)
        if result_path("step", isas()[-1]).exists():
            readme.write()
    if not met:
        sys.exit(1)


if __name__ == "__main__":
    main()
