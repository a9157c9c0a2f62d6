"""Time of a whole control step of stream AC(lambda) with each cell, at equal numbers of parameters, over that with the
linear RTU; native, without Python in between.

    python -m benchmarks.cells              # prints the table
    python -m benchmarks.cells --check      # exit code 1 unless every cell takes at most 1.2 times the linear step

The units of a cell are the number at which actor and critic have the parameters of the linear RTU, to a unit.
"""

from __future__ import annotations

import sys

import click
from rich.console import Console
from rich.table import Table

import rtu_edge as rtu
from benchmarks.measure import hold_one_core, interleave, isas, summary
from rtu_edge import _testing

SIZES = ((8, 32, 32), (64, 256, 64))  # inputs, units of the linear RTU, hidden
LIMIT = 1.2
CELLS = ("linear", "mingru", "lru", "elstm")


def parameters(cell: str, d: int, n: int, hidden: int) -> int:
    """Parameters of a cell and of the first layer's weights on it: all that differs between cells."""
    own = {"linear": 2, "mingru": 2, "lru": 3, "elstm": 4}[cell]
    width = n if cell in ("mingru", "elstm") else 2 * n + d * (cell == "lru")
    return 2 * n * d + own * n + hidden * width


def units(cell: str, d: int, n: int, hidden: int) -> int:
    """Units at which a cell has about as many parameters as the linear RTU with n."""
    wanted = parameters("linear", d, n, hidden)
    return min(range(1, 4 * n), key=lambda m: abs(parameters(cell, d, m, hidden) - wanted))


def measure(d: int, n: int, hidden: int, rounds: int) -> list[tuple[str, str, int, int, float, float]]:
    """(cell, kernels, units, parameters, us a step, times the linear RTU's) for one size."""
    runs, rows = {}, []
    for cell in CELLS:
        agent = rtu.StreamAC(d, 1, units=units(cell, d, n, hidden), hidden=hidden, cell=cell)
        for isa in isas():
            runs[cell, isa] = _testing.BenchAgent(agent._native_config, isa).run
        rows.append((cell, agent.config["units"], sum(value.size for value in agent.parameters.values())))
    samples, _ = interleave({f"{cell}/{isa}": run for (cell, isa), run in runs.items()}, rounds)
    ns = {name: times[1] for name, times in summary(samples).items()}
    return [
        (cell, isa, m, count, ns[f"{cell}/{isa}"] / 1e3, ns[f"{cell}/{isa}"] / ns[f"linear/{isa}"])
        for isa in isas()
        for cell, m, count in rows
    ]


@click.command()
@click.option("--check", "checks", is_flag=True, help="Exit code 1 unless every cell is within the limit.")
@click.option("--rounds", default=21, show_default=True, help="Blocks of each contender.")
def main(checks: bool, rounds: int) -> None:
    """Measure a control step with each cell."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    hold_one_core()
    worst = 0.0
    for d, n, hidden in SIZES:
        title = f"{d} inputs, {n} units of the linear RTU, {hidden} hidden"
        table = Table("cell", "kernels", "units", "parameters", "us a step", "times linear", title=title)
        for cell, isa, m, count, us, times in measure(d, n, hidden, rounds):
            table.add_row(cell, isa, str(m), str(count), f"{us:.2f}", f"{times:.2f}")
            worst = max(worst, times)
        console.print(table)
    console.print(f"largest: {worst:.2f} times the linear RTU's step, limit {LIMIT:g}")
    if checks and worst > LIMIT:
        sys.exit(1)


if __name__ == "__main__":
    main()
