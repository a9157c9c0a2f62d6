"""rtu-edge blackbox."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape

from rtu_edge.cli import complete, options
from rtu_edge.cli.common import check_picture, console, print_json, reading

if TYPE_CHECKING:
    from rtu_edge._base.text_table import TextTable
    from rtu_edge.record.blackbox import Contents

_LONGEST_S = 1e9  # of --last


@click.command("blackbox", epilog=options.examples("rtu-edge blackbox runs/robot --last 2 --plot end.png"))
@click.argument("file", type=click.Path(exists=True, path_type=Path), shell_complete=complete.run)
@click.option(
    "--last",
    type=options.Number(0.0, min_open=True),
    metavar="S",
    default=10.0,
    help="Show the last S seconds  [default: 10]",
)
@click.option("--rows", type=click.IntRange(1), metavar="N", default=25, help="Rows of the table  [default: 25]")
@options.plot("the seconds shown")
@click.option("--export", type=click.Path(path_type=Path), metavar="FILE", help="Write all records as .mcap or .npz")
@options.as_json()
def command(file: Path, last: float, rows: int, plot: Path | None, export: Path | None, as_json: bool) -> None:
    """Show the last seconds before a run ended, however it ended.

    FILE is a blackbox.rtubox, or the folder of a run. After a crash the last records are in the memory of the host
    until it restarts; this command writes them to the file.
    """
    from rtu_edge._base.errors import ConfigError
    from rtu_edge.record import RunFolder, blackbox, leftovers

    path = file / RunFolder.BLACKBOX if file.is_dir() else file
    if export is not None and export.suffix not in (".mcap", ".npz"):
        raise ConfigError(f"--export {export}: must end in .mcap or .npz")
    check_picture("--plot", plot)
    with reading(path):
        found = blackbox.read(path)
        settled = blackbox.settle(path) if found.from_tail else 0
    leftovers.clear()
    out = console(as_json)
    head, records = found.head, found.records
    seconds = (int(records["t_ns"][-1]) - int(records["t_ns"][0])) / 1e9 if len(records) else 0.0
    out.print(
        f"{escape(str(path))}: {len(records):,} records over {seconds:,.1f} s; {found.torn:,} torn, {found.missing:,} "
        "missing",
        soft_wrap=True,
    )
    if settled:
        out.print(f"the run crashed: {settled:,} records were still in memory only; they are in the file now")
    out.print(
        escape(f"session {head.session}, started {head.started}, configuration {head.configuration_hash}, {head.isa}")
    )
    if not len(records):
        if as_json:
            print_json(_plain(path, found, settled, records))
        return
    since = max(int(records["t_ns"][-1]) - int(min(last, _LONGEST_S) * 1e9), -(2**63))
    recent = records[records["t_ns"] > since]
    if as_json:
        print_json(_plain(path, found, settled, recent))
    else:
        out.print(_table(found, len(recent), rows))
    if plot is not None:
        from rtu_edge.report.logs import records_picture

        records_picture(recent, head.observations, head.actuators, plot)
        out.print(f"{escape(str(plot))}: the last {last:g} s")
    if export is not None:
        _export(found, export)
        out.print(f"{escape(str(export))}: {len(records):,} records")


def _plain(path: Path, found: Contents, settled: int, recent: Any) -> dict[str, Any]:
    """The facts and the recent records."""
    head = found.head
    return {
        "file": str(path),
        "records": len(found.records),
        "torn": found.torn,
        "missing": found.missing,
        "recovered": settled,
        "session": head.session,
        "started": head.started,
        "configuration": head.configuration_hash,
        "observations": [row.name for row in head.observations],
        "actuators": [row.name for row in head.actuators],
        "last": [{name: record[name].tolist() for name in recent.dtype.names} for record in recent],
    }


def _table(found: Contents, recent: int, rows: int) -> TextTable:
    """Rows evenly spaced over the recent records, always including the last."""
    import numpy as np

    from rtu_edge._base.text_table import TextTable
    from rtu_edge.loop import LimiterFlag, RecordFlag

    head, records = found.head, found.records
    names = [escape(f"{row.name} [{row.unit}]") for row in (*head.observations, *head.actuators)]
    columns = ("s", "step", "episode", *names, "reward", "value", "predict us", "learn us", "what")
    table = TextTable(*columns, prose=("what",))
    shown = np.unique(np.linspace(len(records) - recent, len(records) - 1, min(rows, recent)).round().astype(int))
    usual = RecordFlag.ACTED | RecordFlag.LEARNED
    for record in records[shown]:
        marks = [flag.name for flag in RecordFlag if flag & int(record["flags"]) & ~usual]
        marks += [f"limiter {flag.name}" for flag in LimiterFlag if flag & int(record["command_limiter"])]
        table.add_row(
            f"{(int(record['t_ns']) - int(records['t_ns'][-1])) / 1e9:.3f}",
            f"{record['step']:,}",
            str(record["episode"]),
            *(f"{value:.4g}" for value in (*record["x"], *record["u"], record["reward"], record["value"])),
            f"{record['predict_ns'] / 1e3:.1f}",
            f"{record['update_ns'] / 1e3:.1f}",
            ", ".join(mark.lower().replace("_", " ") for mark in marks if mark is not None),
        )
    return table


def _export(found: Contents, target: Path) -> None:
    from rtu_edge._base import files

    if target.suffix == ".npz":
        from rtu_edge.record.npz import packed

        files.write(target, packed({"records": found.records}))
        return
    from rtu_edge import _core
    from rtu_edge.record.file import LogFile

    with files.replaced(target) as path, LogFile(path, found.head, None, _core.episode_dtype()) as log:
        log.steps(found.records)
