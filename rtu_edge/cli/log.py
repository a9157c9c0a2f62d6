"""rtu-edge log."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape

from rtu_edge._base.validation import counted
from rtu_edge.cli import complete, options
from rtu_edge.cli.common import console, print_json, reading
from rtu_edge.cli.outputs import check_not_read

if TYPE_CHECKING:
    from rtu_edge.record.index import Repaired


@click.group("log", epilog=options.examples("rtu-edge log repair runs/robot"))
def command() -> None:
    """Repair the log of a run that was cut off."""


@command.command("repair", epilog=options.examples("rtu-edge log repair runs/robot", "rtu-edge log repair x.mcap"))
@click.argument("log", type=click.Path(exists=True, path_type=Path), shell_complete=complete.run)
@options.out("the repaired log", shown="NAME.repaired.mcap in the log's folder")
@click.option("--in-place", is_flag=True, help="Replace the log itself once the new file is complete")
@options.as_json()
def repair_command(log: Path, out: Path | None, in_place: bool, as_json: bool) -> None:
    """Write all complete chunks of a cut log, an index and a footer to a new file.

    LOG is a log.mcap, or the folder of a run. Every MCAP reader opens the new file. The log itself is left as it is,
    unless --in-place is given. Exit code 0 also for a complete log: then nothing is written.
    """
    from rtu_edge._base.errors import ConfigError
    from rtu_edge.record.index import repair

    if out is not None and in_place:
        raise click.UsageError("--out and --in-place exclude each other")
    found = _logs(log) if log.is_dir() else [log]
    if out is not None and len(found) > 1:
        raise ConfigError(f"--out: {log} has {len(found)} logs; name one of them")
    if out is not None:
        check_not_read(out, *found)
    done: list[dict[str, Any]] = []
    for path in found:
        target = path if in_place else out or path.with_name(f"{path.stem}.repaired.mcap")
        with reading(path):
            repaired = repair(path, target)
        if not as_json:
            _show(path, repaired)
        done.append({"log": str(path), **asdict(repaired), "path": repaired.path and str(repaired.path)})
    if as_json:
        print_json({"logs": done})


def _logs(folder: Path) -> list[Path]:
    """The logs of a run's folder. Raises ConfigError."""
    from rtu_edge._base.errors import ConfigError
    from rtu_edge.record import RunFolder
    from rtu_edge.record.stages import STAGES

    run = RunFolder(folder)
    found = [path for path in map(run.log, ("", *STAGES)) if path.exists()]
    if not found:
        raise ConfigError(f"no {RunFolder.LOG} in it", str(folder))
    return found


def _show(path: Path, repaired: Repaired) -> None:
    out = console()
    if repaired.path is None:
        out.print(f"{escape(str(path))}: complete; nothing to repair", soft_wrap=True)
        return
    records, episodes = counted(repaired.records, "record"), counted(repaired.episodes, "episode")
    kept = f"{records} and {episodes} in {counted(repaired.chunks, 'chunk')}"
    out.print(f"{escape(str(repaired.path))}: {kept} kept, of {escape(str(path))}", soft_wrap=True)
    for what in repaired.left_out:
        out.print(f"[yellow]left out:[/] {escape(what)}", soft_wrap=True)
    if not repaired.left_out:
        out.print("left out: nothing; index and footer were missing", soft_wrap=True)
