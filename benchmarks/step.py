"""One learning step of the linear RTU, compared with the memory-bandwidth floor and with other implementations, in one
interleaved run on one core.

    python -m benchmarks.step               # prints the tables, with the peers that can be imported (extra `bench`)
    python -m benchmarks.step --check       # also checks the goals of docs/benchmarks.md; exit code 1 unless all are
    met python -m benchmarks.step --write       # also writes them: benchmarks/results, README, docs/images/speed.svg
    python -m benchmarks.step --quick       # a few seconds, small sizes, no peers

docs/benchmarks.md describes each row.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks import peers, readme
from benchmarks.measure import Run, hold_one_core, host_facts, interleave, isas, summary, write_result
from rtu_edge import _testing

SIZES = ((8, 32), (16, 64), (64, 256), (128, 512), (256, 1024))
FLAT = ((64, 512), (128, 256))  # compared with two of SIZES: time per (unit, input) at one cache level
GROUPED = 8
FORMS = ("sgd", "obgd", "split", "predict", "evaluate", "four_traces", "nonlinear", "sweep_sgd", "sweep_obgd")
PEERS = ("naive", "naive_halved", "numpy", "jax_one_jit", "jax_two_jits", "jax_published", "torch", "gru_tbptt32")

Medians = dict[str, float]  # contender -> ns a step


@dataclass(frozen=True)
class Goal:
    """A ratio and its upper or lower limit."""

    text: str
    value: float
    limit: float
    at_most: bool

    @property
    def met(self) -> bool:
        return self.value <= self.limit if self.at_most else self.value >= self.limit


def contenders(d: int, n: int, with_peers: bool) -> tuple[dict[str, Run], peers.Gru | None]:
    """All contenders at one size, by name: "form/instruction set" for this package."""
    found: dict[str, Run] = {}
    for isa in isas():
        for form in FORMS:
            found[f"{form}/{isa}"] = _testing.Bench(form, d, n, 1, isa).run
        for form in ("sgd", "obgd"):
            found[f"{form}_{GROUPED}/{isa}"] = _testing.Bench(form, d, n, GROUPED, isa).run
    found["naive"] = _testing.Bench("naive", d, n, 1, "scalar").run
    found["naive_halved"] = _testing.Bench("naive_halved", d, n, 1, "scalar").run
    found["numpy"] = peers.numpy_in_place(d, n)
    gru = None
    if with_peers and peers.importable("jax"):
        found["jax_one_jit"] = peers.jax_best(d, n, 1)
        found["jax_two_jits"] = peers.jax_best(d, n, 2)
        found["jax_published"] = peers.jax_published(d, n)
    if with_peers and peers.importable("torch"):
        found["torch"] = peers.torch_eager(d, n)
        gru = peers.Gru(d, n)
        found["gru_tbptt32"] = gru.run
    return found, gru


def measure(sizes: tuple[tuple[int, int], ...], rounds: int, with_peers: bool, console: Console) -> dict[str, Any]:
    """Run everything; return the contents of benchmarks/results."""
    held = hold_one_core()
    result: dict[str, Any] = {"host": host_facts(held), "rounds": rounds, "sizes": []}
    result["host"]["peers"] = {
        name: peers.version(name) for name in ("numpy", "jax", "torch") if peers.importable(name)
    }
    every = [*sizes, *(FLAT if len(sizes) == len(SIZES) else ())]
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("measuring", total=len(every) * rounds)
        for d, n in every:
            gru = None
            if (d, n) in FLAT:
                runs = {f"sgd/{isa}": _testing.Bench("sgd", d, n, 1, isa).run for isa in isas()}
            else:
                runs, gru = contenders(d, n, with_peers)
            samples, busy = interleave(
                runs, rounds, quanta={"gru_tbptt32": peers.TBPTT}, each_round=lambda: progress.advance(task)
            )
            row: dict[str, Any] = {
                "inputs": d,
                "units": n,
                "ns_quartiles": summary(samples),
                "others_busy": round(busy, 2),
            }
            row["block_bytes"] = _testing.Bench("sgd", d, n, 1, isas()[-1]).bytes
            if gru is not None:
                worst = sorted(gru.worst_ns)
                row["gru_worst_step_ns"] = worst[len(worst) // 2]
            result["sizes"].append(row)
    return result


def medians(result: dict[str, Any], d: int, n: int) -> Medians:
    """Return contender -> ns a step at one size; empty when it was not measured."""
    for row in result["sizes"]:
        if (row["inputs"], row["units"]) == (d, n):
            return {name: quartiles[1] for name, quartiles in row["ns_quartiles"].items()}
    return {}


def goals(result: dict[str, Any], isa: str) -> list[Goal]:
    """The goals of docs/benchmarks.md for one instruction set, for the measured sizes and peers."""
    found: list[Goal] = []
    at = {(d, n): medians(result, d, n) for d, n in (*SIZES, *FLAT)}

    def want(text: str, size: tuple[int, int], over: str, under: str, limit: float, at_most: bool) -> None:
        m = at[size]
        if over in m and under in m:
            found.append(Goal(f"{size}: {text}", m[over] / m[under], limit, at_most))

    ours = f"sgd/{isa}"
    for size in ((64, 256), (128, 512)):
        want("fused step with SGD over sweep", size, ours, f"sweep_sgd/{isa}", 1.35, True)
        want("fused step with ObGD over sweep", size, f"obgd/{isa}", f"sweep_obgd/{isa}", 1.35, True)
        want("naive scalar over fused step", size, "naive", ours, 10.0, False)
    for size, limit in (((16, 64), 100.0), ((64, 256), 8.0)):
        m = at[size]
        if "jax_one_jit" in m:
            best = min(m["jax_one_jit"], m["jax_two_jits"])
            found.append(Goal(f"{size}: best JAX over fused step", best / m[ours], limit, False))
    want("ObGD over ObGD with 8 units a pole", (64, 256), f"obgd/{isa}", f"obgd_8/{isa}", 1.3, False)
    want("SGD over SGD with 8 units a pole", (64, 256), ours, f"sgd_8/{isa}", 1.6, False)
    for size in ((64, 256), (128, 512), (256, 1024)):
        want("two traces over four", size, f"split/{isa}", f"four_traces/{isa}", 0.80, True)
        want("predict over predict and learn", size, f"predict/{isa}", f"split/{isa}", 0.40, True)
    for size in ((64, 256), (128, 512)):
        want("ObGD with eligibility over SGD", size, f"obgd/{isa}", ours, 1.8, True)
    per_pair = [at[d, n][ours] / (d * n) for d, n in ((64, 256), (64, 512), (128, 256), (128, 512)) if ours in at[d, n]]
    if len(per_pair) == 4:
        found.append(
            Goal("ns per (unit, input), largest over smallest of four sizes", max(per_pair) / min(per_pair), 1.3, True)
        )
    return found


def print_forms(console: Console, result: dict[str, Any]) -> None:
    """This package per instruction set, in us."""
    for row in result["sizes"]:
        d, n = row["inputs"], row["units"]
        m = medians(result, d, n)
        if f"obgd/{isas()[-1]}" not in m:
            continue
        columns = (*FORMS[:2], f"sgd_{GROUPED}", f"obgd_{GROUPED}", *FORMS[2:])
        table = Table("us a step", *columns, title=f"{d} inputs, {n} units", title_justify="left")
        for isa in result["host"]["isas"]:
            table.add_row(isa, *(f"{m[f'{form}/{isa}'] / 1e3:.2f}" for form in columns))
        console.print(table)


def print_peers(console: Console, result: dict[str, Any]) -> None:
    isa = result["host"]["isas"][-1]
    table = Table(
        "inputs, units",
        f"ours, {isa}",
        "sweep",
        *PEERS,
        title="us a step, and how many times ours",
        title_justify="left",
    )
    for row in result["sizes"]:
        m = medians(result, row["inputs"], row["units"])
        if "naive" not in m:
            continue
        ours = m[f"sgd/{isa}"]
        cells = [m.get(name) for name in (f"sweep_sgd/{isa}", *PEERS)]
        table.add_row(
            f"{row['inputs']}, {row['units']}",
            f"{ours / 1e3:.2f}",
            *(f"{ns / 1e3:.2f} ({ns / ours:.3g}x)" if ns else "-" for ns in cells),
        )
    console.print(table)


def print_goals(console: Console, result: dict[str, Any]) -> bool:
    """Print the goals; return whether the instruction set selected at load meets all."""
    all_met = True
    for isa in reversed([isa for isa in result["host"]["isas"] if isa not in ("scalar", "sse2")]):
        table = Table("goal", "measured", "limit", "", title=isa, title_justify="left")
        met = goals(result, isa)
        for goal in met:
            sign = "<=" if goal.at_most else ">="
            table.add_row(goal.text, f"{goal.value:.3g}", f"{sign} {goal.limit:g}", "pass" if goal.met else "FAIL")
        console.print(table)
        if isa == result["host"]["isas"][-1]:
            all_met = all(goal.met for goal in met)
    return all_met


@click.command()
@click.option("--check", is_flag=True, help="Print the goals; exit code 1 unless the kernels chosen at load meet all.")
@click.option("--write", is_flag=True, help="Keep the results: benchmarks/results, README.md, docs/images/speed.svg.")
@click.option("--quick", is_flag=True, help="Two small sizes, few rounds, no peers beyond numpy.")
@click.option("--rounds", default=31, show_default=True, help="Blocks of each contender.")
def main(check: bool, write: bool, quick: bool, rounds: int) -> None:
    """Measure a learning step."""
    console = Console(width=None if sys.stdout.isatty() else 200)
    result = measure(SIZES[:2] if quick else SIZES, 5 if quick else rounds, not quick, console)
    about = result["host"]
    console.print(
        f"{about['processor']}, {about['cores']} cores, {about['compiler']}, commit {about['commit']}, "
        f"{about['held']}, "
        f"medians of {result['rounds']} blocks; other cores busy "
        f"{max(row['others_busy'] for row in result['sizes']):.0%}"
    )
    print_forms(console, result)
    print_peers(console, result)
    met = print_goals(console, result) if check else True
    if write:
        path = write_result("step", isas()[-1], result)
        readme.write()
        console.print(f"kept in {path.name}, README.md and docs/images/speed.svg")
    if not met:
        sys.exit(1)


if __name__ == "__main__":
    main()
