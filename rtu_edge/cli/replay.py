"""rtu-edge replay."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape

from rtu_edge.cli import complete, options
from rtu_edge.cli.common import console, print_json, reading

if TYPE_CHECKING:
    from rich.console import Console

    from rtu_edge.record.reader import Log
    from rtu_edge.run.replay import Replayed

_LONG = 200_000  # minimum records for a progress bar


@click.command(
    "replay",
    epilog=options.examples(
        "rtu-edge replay runs/robot --verify",
        "rtu-edge replay runs/robot --until 5000 --save at-5000.rtu",
        "rtu-edge replay runs/robot --set learner.gamma=0.95",
    ),
)
@click.argument("log", type=click.Path(exists=True, path_type=Path), shell_complete=complete.run)
@click.option("--verify", is_flag=True, help="Exit with code 1 on a difference")
@click.option("--until", type=click.IntRange(1), metavar="STEP", help="Replay up to the result of this control step")
@click.option("--save", type=click.Path(path_type=Path), metavar="FILE", help="Save the learner as a checkpoint")
@options.overrides
@click.option(
    "--config",
    "configured",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Configuration with the fallback controller, where the log's names code or a file, which is not used",
)
@options.memory
@options.out_folder("a folder for the result of --set", shown="what-if in the log's folder")
@options.tolerance(1e-3, "on another instruction set than the recorded one")
@options.as_json()
def command(
    log: Path,
    verify: bool,
    until: int | None,
    save: Path | None,
    overrides: tuple[str, ...],
    configured: Path | None,
    memory: int | None,
    out: Path | None,
    tolerance: float,
    as_json: bool,
) -> None:
    """Replay a run's log through its learner and compare each step.

    LOG is a log.mcap, or the folder of a run. With the same build and instruction set, each command and each state hash
    is equal to the bit. A log that was cut off is replayed up to the cut. With --set: a what-if, the predictions of
    another learner over the recorded actions.
    """
    from rtu_edge._base.errors import CheckFailed, ConfigError
    from rtu_edge.config import load_config
    from rtu_edge.record import RunFolder
    from rtu_edge.record.reader import read_log

    if overrides and (verify or save is not None):
        raise ConfigError("--set: a what-if has nothing to verify and no moment to save; leave --verify and --save out")
    if out is not None and not overrides:
        raise ConfigError(f"-o {out}: only a what-if writes a result; give --set, or leave -o out")
    path = log / RunFolder.LOG if log.is_dir() else log
    with reading(path):
        found = read_log(path, memory)
    if _elsewhere(found, overrides):
        return
    screen = console(as_json)
    _introduce(screen, found)
    if overrides:
        plain, problem = _what_if(screen, found, overrides, until, out or path.parent / "what-if"), ""
    else:
        fallback = load_config(configured).fallback if configured is not None else None
        plain, problem = _verify(screen, found, until, save, tolerance, fallback=fallback, most=memory)
    if as_json:
        print_json({"log": str(path), "session": found.head.session, "cut": found.cut, **plain})
    if problem and (verify or (save is not None and plain["records"] == 0)):
        raise CheckFailed(problem)
    if problem:
        screen.print(f"[red]{escape(problem)}[/]", soft_wrap=True)


def _elsewhere(found: Log, changes: tuple[str, ...]) -> bool:
    """Replay in a separate process with the recorded instruction set, if this host supports it; that process prints the
    result.
    """
    import os
    import subprocess
    import sys

    from rtu_edge import _core

    here = found.head.isa == _core.isa or found.head.isa not in _core.available_isas()
    if changes or here or "RTU_EDGE_ISA" in os.environ:
        return False
    sys.stdout.flush()
    environment = {**os.environ, "RTU_EDGE_ISA": found.head.isa}
    code = subprocess.run([sys.executable, "-m", "rtu_edge.cli", *_arguments()], env=environment).returncode
    if code != 0:
        raise click.exceptions.Exit(code)
    return True


def _arguments() -> list[str]:
    """The command line of this call again."""
    context = click.get_current_context()
    arguments = ["replay", str(context.params["log"]), "--tolerance", repr(context.params["tolerance"])]
    arguments += ["--verify"] if context.params["verify"] else []
    arguments += ["--json"] if context.params["as_json"] else []
    for name, option in (("until", "until"), ("save", "save"), ("configured", "config")):
        if context.params[name] is not None:
            arguments += [f"--{option}", str(context.params[name])]
    if context.params["memory"] is not None:
        arguments += ["--memory", str(context.params["memory"] >> 20)]
    return arguments


def _introduce(screen: Console, found: Log) -> None:
    from rtu_edge.record.file import build_id

    head = found.head
    screen.print(
        f"{escape(str(found.path))}: {found.record_count:,} records, {found.episode_count:,} episodes, session "
        f"{head.session} "
        f"at {1 / head.period_s:g} Hz, started {escape(head.started)}",
        soft_wrap=True,
    )
    build = "this build" if head.build == build_id() else f"another build ({head.version}, {head.build})"
    screen.print(escape(f"written by {build} with {head.isa}, {head.host}"), soft_wrap=True)
    if found.cut:
        screen.print(f"[yellow]the log is cut:[/] {escape(found.cut)}", soft_wrap=True)
    for first, count in found.lost:
        screen.print(f"[yellow]lost:[/] {count:,} records from {first:,} on")


def _verify(
    screen: Console, found: Log, until: int | None, save: Path | None, tolerance: float, **how: Any
) -> tuple[dict[str, Any], str]:
    """Replay and show the result; return the facts, and the error or ""."""
    import time

    from rtu_edge import _core
    from rtu_edge.run import replay

    exact = found.head.isa == _core.isa and replay.to_the_bit(found)
    begin = time.perf_counter()
    with _progress(screen, found.record_count) as progress:
        result = replay.verify(found, until=until, stop=exact, progress=progress, **how)
    seconds = time.perf_counter() - begin
    screen.print(
        f"replayed {result.records:,} records, {result.steps:,} steps, in {seconds:.2f} s; state "
        f"{result.agent.state_hash()}"
    )
    if result.ended:
        screen.print(f"[yellow]ended there:[/] {escape(result.ended)}", soft_wrap=True)
    if save is not None and result.records > 0:
        result.agent.save(save)
        screen.print(f"{escape(str(save))}: the learner after step {result.steps:,}")
    if result.records == 0:
        problem = "nothing to compare: the log holds no record"
    else:
        problem = _exact(screen, result) if exact else _near(screen, found, result, tolerance)
    facts = ("records", "steps", "hashes", "largest", "largest_value", "final_equal", "ended")
    plain = {name: getattr(result, name) for name in facts}
    state = result.agent.state_hash()
    return {**plain, "exact": exact, "equal": not problem, "problem": problem, "state_hash": state}, problem


def _exact(screen: Console, result: Replayed) -> str:
    """Print what was equal; return the differences."""
    if result.difference is not None:
        return str(result.difference)
    if result.final_equal is False:
        return "every record is equal, but not the state at the end"
    final = ", and so is the state at the end" if result.final_equal else ""
    screen.print(f"[green]equal to the bit:[/] every command and estimate, {result.hashes:,} state hashes{final}")
    return ""


def _near(screen: Console, found: Log, result: Replayed, tolerance: float) -> str:
    """Another instruction set, or changed arithmetic: deviations, and those beyond the tolerance."""
    from rtu_edge import _core
    from rtu_edge.run import replay

    if not replay.to_the_bit(found):
        reason = f"recorded by a version ({escape(found.head.version)}) whose normalisers or scalars round otherwise"
    else:
        reason = (
            f"recorded with {escape(found.head.isa)}, which this host has not or RTU_EDGE_ISA overrules; "
            f"replayed with {_core.isa}"
        )
    screen.print(f"not a bit-for-bit check: {reason}", soft_wrap=True)
    screen.print(
        f"largest distance of a command {result.largest:.3g} of its range, of a value estimate "
        f"{result.largest_value:.3g}"
    )
    if result.largest <= tolerance:
        return ""
    return f"a command is {result.largest:.3g} of its range away; allowed --tolerance {tolerance:g}"


def _what_if(screen: Console, found: Log, changes: tuple[str, ...], until: int | None, folder: Path) -> dict[str, Any]:
    from rtu_edge._base import files
    from rtu_edge._base.packages import note_of
    from rtu_edge._base.text_table import TextTable
    from rtu_edge.record.npz import packed
    from rtu_edge.run import what_if

    with _progress(screen, found.record_count) as progress:
        result = what_if.what_if(found, changes, until=until, progress=progress)
    if result.fresh:
        screen.print(
            "[yellow]the state at the start does not fit this learner:[/] it was initialised again from its seed"
        )
    if result.ended:
        screen.print(f"[yellow]ended there:[/] {escape(result.ended)}", soft_wrap=True)
    changed = escape(", ".join(changes))
    table = TextTable(f"predictions over {len(result.step):,} transitions", "as recorded", changed)
    compared = what_if.comparison(result)
    for name, was, would in compared:
        table.add_row(name, f"{was:.4g}", f"{would:.4g}")
    screen.print(table)
    screen.print("The actions are the recorded ones: what this learner would have driven the plant to is unknown.")
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {
        "step": result.step,
        "returns": result.returns,
        "value_was": result.was.value,
        "delta_was": result.was.delta,
        "value_would": result.would.value,
        "delta_would": result.would.delta,
    }
    files.write(folder / "what-if.npz", packed(arrays))
    from rtu_edge.report.logs import what_if_picture

    try:
        what_if_picture(result, folder / "what-if.png")
        picture = "what-if.png"
    except ModuleNotFoundError as error:
        picture = note_of(error)
    screen.print(f"{escape(str(folder))}: what-if.npz, {escape(picture)}", soft_wrap=True)
    rows = [{"name": name, "recorded": was, "changed": would} for name, was, would in compared]
    return {"set": list(changes), "transitions": len(result.step), "comparison": rows, "folder": str(folder)}


@contextmanager
def _progress(screen: Console, total: int) -> Iterator[Callable[[int], None] | None]:
    """A bar for long logs on a terminal."""
    if total < _LONG or not screen.is_terminal:
        yield None
        return
    from rich.progress import Progress

    with Progress(console=screen, transient=True) as bar:
        task: Any = bar.add_task("replay", total=total)
        yield lambda done: bar.update(task, completed=done)
