"""Two joints of an emulated servo bus that track moving targets: a residual learned on PD, over seeds.

    python -m benchmarks.bus_tracking

`rtu-edge demo --bus` over seeds, in virtual time: the gains of PD come from its search, on targets of a seed of their
own; each seed draws its targets and its learner. The settings were chosen on seeds 0 and 1; the seeds of this command
begin at 10.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from rtu_edge.config.bus_file import write_bus_file
from rtu_edge.demo.bus import MINUTE_STEPS, compare
from rtu_edge.demo.tracking import bus_file, tune


def measured(family: str, seeds: range, minutes: int) -> dict[str, Any]:
    """The gains, and for each seed the error of each minute under each controller, mrad."""
    with tempfile.TemporaryDirectory(prefix="rtu-edge-") as place:
        folder = Path(place)
        tuned = tune(family, folder)
        click.echo(f"{family}: {tuned.pd}; with feed-forward: {tuned.forward}")
        found = {}
        for seed in seeds:
            bus = folder / f"arm{seed}.toml"
            write_bus_file(bus_file(family, seed), bus)
            compared = compare(tuned, bus, minutes * MINUTE_STEPS, seed)
            names = ("pd", "forward", "learner")
            rows = {name: (compared.minutes(getattr(compared, name)) * 1e3).round(3).tolist() for name in names}
            ratios = compared.ratios.round(3).tolist()
            found[seed] = {**rows, "ratios": ratios, "less": compared.less, "never_worse": compared.never_worse}
            click.echo(
                f"  seed {seed}: PD {rows['pd'][-1]:.2f}, feed-forward {rows['forward'][-1]:.2f}, learner"
                f" {rows['learner'][-1]:.2f} mrad; share of PD by minute {' '.join(f'{one:.2f}' for one in ratios)}"
            )
    return {"pd": str(tuned.pd), "forward": str(tuned.forward), "seeds": found}


@click.command()
@click.option("--seeds", type=click.IntRange(1), default=5, show_default=True, help="Number of seeds")
@click.option("--first-seed", type=click.IntRange(0), default=10, show_default=True, help="The first of them")
@click.option("--minutes", type=click.IntRange(1), default=5, show_default=True, help="Robot time of each run")
@click.option("--family", type=click.Choice(["feetech", "dynamixel"]), multiple=True, default=["feetech", "dynamixel"])
@click.option("--out", type=click.Path(path_type=Path), help="Write the results as JSON")
def main(seeds: int, first_seed: int, minutes: int, family: tuple[str, ...], out: Path | None) -> None:
    """Measure the tracking error with and without the learner. Exit code 0 if each seed holds both bounds."""
    results = {one: measured(one, range(first_seed, first_seed + seeds), minutes) for one in family}
    rows = [row for result in results.values() for row in result["seeds"].values()]
    less, kept = sum(row["less"] for row in rows), sum(row["never_worse"] for row in rows)
    click.echo(f"at most 80 % of PD's error in the last minute: {less} of {len(rows)}")
    click.echo(f"no minute above 105 % of it: {kept} of {len(rows)}")
    if out is not None:
        out.write_text(json.dumps(results, indent=1) + "\n")
    sys.exit(not less == kept == len(rows))


if __name__ == "__main__":
    main()
