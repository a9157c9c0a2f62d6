"""rtu-edge study."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rtu_edge.cli import complete, options
from rtu_edge.cli.common import console, print_json

if TYPE_CHECKING:
    from rich.console import Console


@click.command(
    "study",
    epilog=options.examples(
        "rtu-edge study cartpole",
        "rtu-edge study families --seeds 20 --set learner.units=64",
        "rtu-edge study families --scheduler tcp://10.0.0.5:8786",
    ),
)
@click.argument("name", required=False, shell_complete=complete.study)
@options.training_runs("a folder; a study continues with the results there", "runs/study-NAME")
def command(
    name: str | None,
    seeds: int | None,
    steps: int | None,
    workers: int | None,
    scheduler: str | None,
    out: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Train many learners on simulated plants and compare their scores.

    NAME is one of the studies; without it they are listed. Each run has its own plant, learner and seed. Finished runs
    are kept: the same command continues after an interruption. Writes results.parquet, curves.parquet and study.png,
    whose bytes do not depend on the number of workers. Score: 0 is random, 1 a tuned controller.
    """
    from rtu_edge._base.packages import need
    from rtu_edge.study import registry
    from rtu_edge.study.settings import learner_settings

    said = console(as_json)
    if name is None:
        _list(as_json)
        return
    study = registry.find(name)
    settings = learner_settings(overrides)
    need("pyarrow", *(["distributed"] if scheduler else []), by="rtu-edge study")
    from rtu_edge.study import picture, run, summary

    folder = out or Path("runs") / f"study-{name}"
    found = run.run_study(
        study, folder, seeds=seeds, steps=steps, settings=settings, workers=workers, scheduler=scheduler
    )
    said.print(f"[bold]{study.name}[/]: {study.title}")
    said.print(summary.table(found.rows))
    if any(row["score"] is not None for row in found.rows):
        said.print(summary.verdict_table(found.rows))
    if any(task.changes for task in found.tasks):
        said.print(summary.change_table(found.rows))
    elif any(task.variant for task in found.tasks):
        said.print(summary.paired_table(found.rows))
    path = folder / "study.png"
    written = [*summary.save_parquet(found, folder), *picture_of(lambda: picture.draw(found, path), path, said)]
    said.print(f"{summary.facts(found)}\n{', '.join(map(str, written))}", soft_wrap=True)
    if as_json:
        print_json(summary.document(found, written))


def _list(as_json: bool) -> None:
    from rtu_edge._base.text_table import TextTable
    from rtu_edge.study.registry import STUDIES

    if as_json:
        print_json({"studies": [{"name": s.name, "title": s.title, "steps": s.steps} for s in STUDIES.values()]})
        return
    table = TextTable("study", "steps", "seeds", "trains on", prose=("trains on",))
    for study in STUDIES.values():
        table.add_row(study.name, f"{study.steps:,}", f"{study.seeds:,}", study.title)
    console().print(table)


def picture_of(draw: Callable[[], None], path: Path, said: Console) -> list[Path]:
    """Draws; the path of the picture, or, without matplotlib, a note and nothing."""
    from rtu_edge._base.packages import note_of

    try:
        draw()
    except ModuleNotFoundError as error:
        said.print(note_of(error))
        return []
    return [path]
