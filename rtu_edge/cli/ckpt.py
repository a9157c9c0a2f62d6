"""rtu-edge ckpt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape

from rtu_edge.cli.common import console

if TYPE_CHECKING:
    from rtu_edge.learn.checkpoint.slots import Stored

_PATH = click.Path(exists=True, path_type=Path)


@click.group("ckpt")
def command() -> None:
    """List, compare and roll back the checkpoints of a run."""


@command.command("ls")
@click.argument("path", type=_PATH)
def ls(path: Path) -> None:
    """List the checkpoints of a run's folder, newest first, or say what is in one file."""
    from rtu_edge.learn.checkpoint.slots import Slots

    files = [path]
    if path.is_dir():
        slots = Slots(path)
        files = [file for file in (slots.current, *slots.older()) if file.exists() or file.is_symlink()]
        files += sorted(path.glob("checkpoint.damaged-*.rtu"))
    table = _table("file", "steps", "episodes", "saved", "bytes", "state")
    for file in files:
        table.add_row(escape(file.name), *_facts(file))
    console().print(table)


def _facts(file: Path) -> tuple[str, ...]:
    import datetime

    from rtu_edge._base.errors import CheckpointError
    from rtu_edge.learn import checkpoint, decode

    status = file.lstat()
    try:
        saved = datetime.datetime.fromtimestamp(status.st_mtime).astimezone().isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):  # a wall clock that was far from any year
        saved = f"{status.st_mtime:.0f} s from 1970"
    try:
        data = checkpoint.read_bytes(file)
        run = checkpoint.read_text(data, file)[1]
        state = decode(data, file).state_hash()
    except CheckpointError as error:
        return "", "", saved, f"{status.st_size:,}", f"[red]{escape(str(error).removeprefix(f'{file}: '))}[/]"
    steps, episodes = (f"{run[name]:,}" if isinstance(run.get(name), int) else "" for name in ("steps", "episodes"))
    return steps, episodes, saved, f"{status.st_size:,}", state


@command.command("diff")
@click.argument("a", type=_PATH)
@click.argument("b", type=_PATH)
def diff(a: Path, b: Path) -> None:
    """Compare two checkpoints: configuration, and each section's largest difference.

    A and B are files, or folders of runs: then the newest whole checkpoint. The relative difference is that of the
    largest entry of the section.
    """
    from rtu_edge.learn import checkpoint, decode

    found = [_open(path) for path in (a, b)]
    texts = [checkpoint.read_text(stored.data, stored.path) for stored in found]
    out = console()
    for name, stored in zip(("a", "b"), found, strict=True):
        out.print(f"[dim]{name}[/]  {escape(str(stored.path))}")
    table = _table("configuration", "a", "b")
    ours, theirs = ({**_flat(config), **_flat(run), "returns": None} for config, run in texts)  # a row of numbers
    for key in [*ours, *(key for key in theirs if key not in ours)]:
        if ours.get(key) != theirs.get(key):
            table.add_row(escape(key), escape(str(ours.get(key, ""))), escape(str(theirs.get(key, ""))))
    out.print(table if table.row_count else "[dim]configuration: equal[/]")
    states = [decode(stored.data, stored.path).state for stored in found]
    out.print(_sections(*states))


def _sections(ours: dict[str, Any], theirs: dict[str, Any]) -> Any:
    import numpy as np

    table = _table("section", "shape", "largest difference", "relative", "")
    equal = 0
    for name in [*ours, *(name for name in theirs if name not in ours)]:
        one, two = ours.get(name), theirs.get(name)
        if one is None or two is None or one.shape != two.shape:
            shapes = " and ".join("none" if each is None else _shape(each) for each in (one, two))
            table.add_row(name, shapes, "", "", "[red]another layout[/]")
        elif np.array_equal(one, two):
            equal += 1
            table.add_row(name, _shape(one), "0", "0", "[dim]equal[/]")
        else:
            wide = [each.astype(np.float64) for each in (one, two)]
            largest, scale = float(np.abs(wide[0] - wide[1]).max()), float(np.abs(wide).max())
            table.add_row(name, _shape(one), f"{largest:.3g}", f"{largest / scale:.3g}", "[yellow]changed[/]")
    table.add_section()
    table.add_row(f"{equal} of {table.row_count} sections equal", "", "", "", "")
    return table


@command.command("rollback")
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--to", "slot", metavar="SLOT", help="Number N of a checkpoint.N.rtu.  [default: the last whole one]")
def rollback(run: Path, slot: str | None) -> None:
    """Make an older checkpoint of a run the newest; the one it replaces is kept."""
    from rtu_edge.learn.checkpoint.slots import Slots

    was, now = Slots(run).rollback(slot)
    console().print(f"{escape(str(run))}: {Slots.NEWEST} is what {was.name} was; what it was is kept as {now.name}")


def _open(path: Path) -> Stored:
    from rtu_edge.learn import checkpoint
    from rtu_edge.learn.checkpoint.slots import Slots, Stored

    return Slots(path).newest() if path.is_dir() else Stored(path, checkpoint.read_bytes(path))


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def _shape(array: Any) -> str:
    return " x ".join(str(n) for n in array.shape)


def _table(*names: str) -> Any:
    from rtu_edge._base.text_table import TextTable

    return TextTable(*names, prose=("state", "a", "b"), left=("",), padding=3)
