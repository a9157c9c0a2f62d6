"""Studies behind docs/evidence_{costs,mujoco,peers}.md; each continues where it was stopped.

    python -m benchmarks.evidence costs --jobs 2     # error or return over operations and bytes
    python -m benchmarks.evidence mujoco --jobs 2    # masked MuJoCo; needs the extra mujoco
    python -m benchmarks.evidence popgym --jobs 2    # three recall tasks; --games: the other eight
    python -m benchmarks.evidence peers              # other libraries, in environments that it makes
    python -m benchmarks.evidence speed              # next to the same step in JAX; needs jax

--write prints the table of all runs that have ended and keeps it in benchmarks/results; `show costs` prints that one.
"""

from __future__ import annotations

import importlib
import os
import shutil
import warnings
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from benchmarks.evidence import store, training
from benchmarks.measure import RESULTS
from rtu_edge._base.errors import LearnerWarning
from rtu_edge._base.packages import need


def common(function: Any) -> Any:
    """Options of every study."""
    for option in (
        click.option("--jobs", type=click.IntRange(1), default=1, help="Processes at the same time."),
        click.option("--folder", type=click.Path(path_type=Path), default=store.FOLDER, help="Folder of the runs."),
        click.option("--write", is_flag=True, help="Run nothing; print and keep the table of the runs that exist."),
    ):
        function = option(function)
    return function


def known(option: str, given: Iterable[str], names: Iterable[str]) -> None:
    """Refuse what is not a name of the study."""
    allowed = tuple(names)
    for name in given:
        if name not in allowed:
            raise click.BadParameter(f"{name!r} is not one of {'; '.join(allowed)}", param_hint=option)


def keep(place: Path, file: str, table: list[dict[str, Any]], **about: Any) -> None:
    """Keep a table in benchmarks/results; none is kept of no runs, so that what is there stays."""
    if not table:
        raise click.ClickException(f"{place}: no run of these has ended, {file} is left as it is")
    store.keep(RESULTS / file, **about, rows=table)


@click.group(context_settings={"show_default": True})
def main() -> None:
    """Studies that continue where they were stopped."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # of the processes to come


def have(study: str, *modules: str) -> None:
    """Check the packages of a study before the work."""
    try:
        need(*modules, by=study)
    except ModuleNotFoundError as error:
        raise click.ClickException(str(error)) from None


def report(study: Any, place: Path, name: str, write: bool, entries: Iterable[str]) -> None:
    """Show the runs of a study that are in a folder, and keep their table in benchmarks/results."""
    found = []
    for path in sorted(place.glob("*.json")):
        state = store.read(path, *(field.name for field in fields(study.Run)), *entries)
        if state is None:
            continue
        if "settings" in state and not training.is_current(state, study.Run, study.settings):
            click.echo(f"{path}: left out of the table: its learner has {state['settings']}", err=True)
        else:
            found.append(state)
    table = study.rows(found)
    click.echo(study.text(table))
    if write:
        keep(place, name, table, configuration=study.CONFIGURATION)


@main.command()
@common
@click.option("--steps", type=click.IntRange(100), default=300_000, help="Steps of a run.")
@click.option("--seeds", type=click.IntRange(1), default=10, help="Seeds of the package's learners.")
@click.option("--baseline-seeds", type=click.IntRange(1), default=3, help="Seeds of the baselines.")
@click.option("--task", "tasks", multiple=True, help="Tasks; all unless given.")
@click.option("--rule", "rules", multiple=True, help="Rules; all unless given.")
@click.option(
    "--budget",
    "budgets",
    type=click.IntRange(1),
    multiple=True,
    help="Operations a step; 1000, 10000, 100000 unless given.",
)
def costs(
    jobs: int, folder: Path, write: bool, steps: int, seeds: int, baseline_seeds: int,
    tasks: tuple[str, ...], rules: tuple[str, ...], budgets: tuple[int, ...],
) -> None:  # fmt: skip
    """Error or return over operations and bytes of a step."""
    from benchmarks.evidence import costs as study

    known("--task", tasks, study.TASKS)
    known("--rule", rules, study.RULES)
    place = folder / "costs"
    shape = (tasks or tuple(study.TASKS), rules or study.RULES, budgets or study.BUDGETS)
    grid = list(study.runs(str(place), *shape, steps, seeds, baseline_seeds))
    if write:
        found = [result for one in grid if (result := store.read(one.path, *study.ENTRIES)) is not None]
    else:
        todo = [one for one in grid if store.read(one.path, *study.ENTRIES) is None]
        click.echo(f"{len(todo)} of {len(grid)} runs to do", err=True)
        for _ in store.run_all(todo, study.run, jobs):
            pass
        found = [study.run(one) for one in grid]
    table = study.rows(found)
    click.echo(study.text(table))
    if write:
        keep(place, "costs.json", table, steps=steps)


@main.command()
@common
@click.option("--steps", type=click.IntRange(1000), default=2_000_000, help="Steps of a run.")
@click.option("--seeds", type=click.IntRange(1), default=3, help="Number of seeds.")
@click.option("--cell", "cells", multiple=True, help="Robot and mask, such as Hopper-P; all eight unless given.")
@click.option("--learner", "learners", multiple=True, default=("rtrl",), help="Of mujoco.LEARNERS.")
@click.option("--limit", "limits", type=click.Choice(["termination", "truncation"]), multiple=True,
              default=("termination",), help="What the limit of 1000 steps is to the learner.")  # fmt: skip
def mujoco(
    jobs: int, folder: Path, write: bool, steps: int, seeds: int, cells: tuple[str, ...],
    learners: tuple[str, ...], limits: tuple[str, ...],
) -> None:  # fmt: skip
    """Masked MuJoCo."""
    from benchmarks.evidence import mujoco as study

    known("--cell", cells, study.CELLS)
    known("--learner", learners, study.LEARNERS)
    place = folder / "mujoco"
    grid = [
        study.Run(cell, learner, limit, seed, steps, str(place))
        for seed in range(seeds)
        for learner in learners
        for limit in limits
        for cell in cells or study.CELLS
    ]
    if not write:
        have("mujoco", "gymnasium", "mujoco")
        for state in store.run_all(grid, study.train, jobs):
            last = state["curve"][-1]
            click.echo(f"{state['cell']} {state['learner']} {state['limit']} seed {state['seed']}: {last}", err=True)
    report(study, place, "masked_mujoco.json", write, training.ENTRIES)


@main.command()
@common
@click.option("--steps", type=click.IntRange(1000), default=10_000_000, help="Steps of a run.")
@click.option("--seeds", type=click.IntRange(1), default=5, help="Number of seeds.")
@click.option("--task", "tasks", multiple=True, help="Tasks; the three of recall unless given.")
@click.option("--games", is_flag=True, help="The other eight tasks; needs the package popgym.")
@click.option("--learner", "learners", multiple=True, help="Of popgym.LEARNERS; all unless given.")
def popgym(
    jobs: int, folder: Path, write: bool, steps: int, seeds: int, tasks: tuple[str, ...], games: bool,
    learners: tuple[str, ...],
) -> None:  # fmt: skip
    """POPGym: three recall tasks, and eight more."""
    from benchmarks.evidence import popgym as study

    known("--task", tasks, study.TASKS)
    known("--learner", learners, study.LEARNERS)
    place = folder / ("popgym_games" if games else "popgym")
    grid = [
        study.Run(task, learner, seed, steps, str(place))
        for seed in range(seeds)
        for task in tasks or (study.GAMES if games else study.SIZES)
        for learner in learners or study.LEARNERS
        if not (games and learner == "rtrl_long")  # the same there as rtrl
    ]
    if not write:
        if any(run.task in study.GAMES for run in grid):
            have("popgym", "gymnasium", "popgym")
        for state in store.run_all(grid, study.train, jobs):
            click.echo(f"{state['task']} {state['learner']} seed {state['seed']}: {state['curve'][-1]}", err=True)
    report(study, place, "popgym_games.json" if games else "popgym.json", write, training.ENTRIES)


@main.command()
@common
@click.option("--steps", type=click.IntRange(1000), default=100_000, help="Steps of a run.")
@click.option("--seeds", type=click.IntRange(1), default=3, help="Number of seeds.")
@click.option("--task", "tasks", multiple=True, help="Gymnasium's name; both unless given.")
@click.option("--peer", "chosen", multiple=True, help="Of peers.PEERS; all that can be had unless given.")
@click.option("--python", "pythons", multiple=True, metavar="PEER=PATH", help="An interpreter that has the peer.")
def peers(
    jobs: int, folder: Path, write: bool, steps: int, seeds: int, tasks: tuple[str, ...], chosen: tuple[str, ...],
    pythons: tuple[str, ...],
) -> None:  # fmt: skip
    """Position-only cart-pole and pendulum next to other libraries."""
    from benchmarks.evidence import peers as study

    given = {peer: path for peer, _, path in (pair.partition("=") for pair in pythons)}
    known("--task", tasks, study.TASKS)
    known("--python", given, study.PEERS)
    known("--peer", chosen, study.PEERS)
    for peer, path in given.items():
        if not path:
            raise click.BadParameter(f"{peer!r}: no path; give {peer}=PATH", param_hint="--python")
        if shutil.which(path) is None:
            raise click.BadParameter(f"{path}: no program", param_hint="--python")
    place = folder / "peers"
    if not write:
        wanted = chosen or [peer for peer in study.PEERS if peer != "streamlet" or peer in given]
        if "streamlet" in wanted and "streamlet" not in given:
            raise click.UsageError("streamlet is in no package index: give --python streamlet=PATH")
        found = {peer: given.get(peer) or study.interpreter(peer, folder) for peer in wanted}
        grid = [
            study.Run(task, peer, seed, steps, str(place), python)
            for seed in range(seeds)
            for task in tasks or study.TASKS
            for peer, python in found.items()
        ]
        for result in store.run_all(grid, study.train, jobs):
            click.echo(f"{result['peer']} {result['task']} seed {result['seed']}: {study.score(result):.1f}", err=True)
    report(study, place, "peers.json", write, study.ENTRIES)


@main.command()
@click.option("--rounds", type=click.IntRange(3), default=21, help="Blocks of each contender.")
@click.option("--write", is_flag=True, help="Keep the numbers in benchmarks/results.")
@click.option("--compare", is_flag=True, help="Only compare the numbers of 100 steps with the package's.")
@click.option("--jax/--no-jax", "with_jax", default=True, help="With the peer, or the package alone.")
@click.option("--hopper/--no-hopper", "with_hopper", default=True, help="With learning on Hopper; needs mujoco.")
@click.option("--hold/--no-hold", default=True, help="Keep a core for this process, or share it with all others.")
def speed(rounds: int, write: bool, compare: bool, with_jax: bool, with_hopper: bool, hold: bool) -> None:
    """The package's control step and the same in JAX."""
    from benchmarks.evidence import speed as study

    have("speed", *(["jax"] if with_jax or compare else []), *(["mujoco"] if with_hopper and not compare else []))
    if compare:
        import jax.numpy as jnp

        difference = study.compare(jnp, jnp.float32, to=jnp.asarray)
        click.echo(f"largest difference of a weight after 100 steps, single precision: {difference:.1e}")
        return
    warnings.filterwarnings("ignore", category=LearnerWarning)  # of rewards that do not depend on the actions
    result = study.measure(rounds, with_jax, hold, with_hopper)
    click.echo(study.text(result))
    if write:
        store.keep(RESULTS / "speed.json", **result)


@main.command()
@click.argument("study", type=click.Choice(["costs", "mujoco", "popgym", "popgym_games", "peers", "speed"]))
@click.option("--chart", type=click.Path(path_type=Path), help="Draw the picture of costs, as SVG or PNG.")
def show(study: str, chart: Path | None) -> None:
    """Print the table of the results that are kept in benchmarks/results."""
    if chart is not None and (study != "costs" or chart.suffix not in (".svg", ".png")):
        raise click.BadParameter(f"{chart}: a picture of costs, .svg or .png", param_hint="--chart")
    kept = store.read(RESULTS / f"{'masked_mujoco' if study == 'mujoco' else study}.json")
    if kept is None:
        raise click.ClickException(f"no results of {study} are kept: run it with --write")
    module = importlib.import_module(f"benchmarks.evidence.{study.removesuffix('_games')}")
    click.echo(module.text(kept if study == "speed" else kept["rows"]))
    if chart is not None:
        from benchmarks.evidence import picture

        picture.draw(chart, kept["rows"], module.TASKS)


if __name__ == "__main__":
    main()
