"""rtu-edge tune."""

from __future__ import annotations

from pathlib import Path

import click

from rtu_edge.cli import complete, options
from rtu_edge.cli.common import console, print_json


@click.command(
    "tune",
    epilog=options.examples(
        "rtu-edge tune families --search learner.actor.kappa=1:10:log",
        "rtu-edge tune cartpole --search learner.units=8:64 --trials 20",
    ),
)
@click.argument("name", shell_complete=complete.study)
@click.option(
    "--search",
    "searched",
    metavar="a.b=RANGE",
    multiple=True,
    help="Search one setting: LOW:HIGH, LOW:HIGH:log or A,B,C; may be repeated",
    shell_complete=complete.keys,
)
@click.option(
    "--trials", type=click.IntRange(1, 1_000_000), metavar="N", default=50,
    help="Number of trials in all, earlier ones included  [default: 50]",
)  # fmt: skip
@click.option(
    "--storage",
    metavar="PLACE",
    default="",
    help="File or database URL of the search; processes may share it  [default: tune.db in the folder]",
)
@options.training_runs("a folder; a search continues with the results there", "runs/tune-NAME")
def command(
    name: str,
    searched: tuple[str, ...],
    trials: int,
    storage: str,
    seeds: int | None,
    steps: int | None,
    workers: int | None,
    scheduler: str | None,
    out: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Search settings of the learner for the best mean score in a study.

    NAME is a study of `rtu-edge study`. Each trial runs it with other settings; the same command continues after an
    interruption. Prints the best trials and draws the score over each setting (tune.png).
    """
    from rtu_edge._base.packages import need
    from rtu_edge.study import registry

    study = registry.find(name)
    need("optuna", *(["distributed"] if scheduler else []), by="rtu-edge tune")
    from rtu_edge.cli.study import picture_of
    from rtu_edge.study import tune

    said, folder = console(as_json), out or Path("runs") / f"tune-{name}"
    found = tune.tune(
        study,
        folder,
        [tune.parse_range(text) for text in searched],
        trials,
        storage=storage,
        seeds=seeds,
        steps=steps,
        fixed=overrides,
        workers=workers,
        scheduler=scheduler,
    )
    said.print(f"[bold]{study.name}[/]: the best of {len(found):,} trials")
    said.print(tune.table(found))
    path = folder / "tune.png"
    written = picture_of(lambda: tune.draw(study, found, path), path, said)
    said.print(", ".join(map(str, written)), soft_wrap=True)
    if as_json:
        rows = [{"number": t.number, "value": t.value, "settings": t.settings, **t.summary} for t in found]
        print_json({"study": study.name, "trials": rows, "files": [str(path) for path in written]})
