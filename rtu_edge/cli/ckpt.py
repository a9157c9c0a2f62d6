"""rtu-edge ckpt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape

from rtu_edge.cli import complete, options
from rtu_edge.cli.common import console, print_json

if TYPE_CHECKING:
    from rtu_edge.learn.checkpoint.slots import Stored

_PATH = click.Path(exists=True, path_type=Path)


@click.group("ckpt", epilog=options.examples("rtu-edge ckpt ls runs/robot", "rtu-edge ckpt rollback runs/robot"))
def command() -> None:
    """List, compare and roll back the checkpoints of a run."""


@command.command("ls", epilog=options.examples("rtu-edge ckpt ls runs/robot"))
@click.argument("path", type=_PATH, shell_complete=complete.run)
@options.as_json()
def ls(path: Path, as_json: bool) -> None:
    """List the checkpoints of a run's folder, newest first.

    PATH is the folder of a run, or one checkpoint.
    """
    from rtu_edge._base.errors import CheckpointError
    from rtu_edge.learn.checkpoint.slots import Slots

    files = [path]
    if path.is_dir():
        slots = Slots(path)
        files = [file for file in (slots.current, *slots.older()) if file.exists() or file.is_symlink()]
        files += sorted(path.glob("checkpoint.damaged-*.rtu"))
    found = [_facts(file) for file in files]
    if not path.is_dir() and found[0]["problem"]:
        raise CheckpointError(f"{path}: {found[0]['problem']}; give a checkpoint, or the folder of a run")
    if not found:
        raise CheckpointError(f"{path}: no checkpoint in this folder; give the folder of a run")
    if as_json:
        print_json({"checkpoints": found})
        return
    table = _table("file", "steps", "episodes", "saved", "bytes", "state")
    for facts in found:
        numbers = ("" if facts[name] is None else f"{facts[name]:,}" for name in ("steps", "episodes"))
        state = facts["state_hash"] or f"[red]{escape(facts['problem'])}[/]"
        table.add_row(escape(facts["file"]), *numbers, facts["saved"], f"{facts['bytes']:,}", state)
    console().print(table)


def _facts(file: Path) -> dict[str, Any]:
    import datetime

    from rtu_edge._base.errors import CheckpointError
    from rtu_edge.learn import checkpoint, decode

    status = file.lstat()
    try:
        saved = datetime.datetime.fromtimestamp(status.st_mtime).astimezone().isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):  # an invalid wall clock
        saved = f"{status.st_mtime:.0f} s from 1970"
    try:
        data = checkpoint.read_bytes(file)
        run = checkpoint.read_text(data, file)[1]
        state = decode(data, file).state_hash()
        problem = ""
    except CheckpointError as error:
        run, state, problem = {}, "", str(error).removeprefix(f"{file}: ")
    steps, episodes = (run[name] if isinstance(run.get(name), int) else None for name in ("steps", "episodes"))
    return {
        "file": file.name,
        "steps": steps,
        "episodes": episodes,
        "saved": saved,
        "bytes": status.st_size,
        "state_hash": state,
        "problem": problem,
    }


@command.command("diff", epilog=options.examples("rtu-edge ckpt diff runs/a runs/b"))
@click.argument("a", type=_PATH, shell_complete=complete.run)
@click.argument("b", type=_PATH, shell_complete=complete.run)
@options.as_json()
def diff(a: Path, b: Path, as_json: bool) -> None:
    """Compare two checkpoints: configuration, and the largest difference of each section.

    A and B are files, or folders of runs: then the newest complete checkpoint. The relative difference is that of the
    largest entry of the section. Equal sections are only counted; --json lists them too.
    """
    from rtu_edge.learn import checkpoint, decode

    found = [_open(path) for path in (a, b)]
    texts = [checkpoint.read_text(stored.data, stored.path) for stored in found]
    ours, theirs = ({**_flat(config), **_flat(run), "returns": None} for config, run in texts)  # a row of numbers
    keys = [*ours, *(key for key in theirs if key not in ours)]
    changed = {key: (ours.get(key), theirs.get(key)) for key in keys if ours.get(key) != theirs.get(key)}
    sections = _sections(*(decode(stored.data, stored.path).state for stored in found))
    if as_json:
        paths = {name: str(stored.path) for name, stored in zip(("a", "b"), found, strict=True)}
        print_json({**paths, "configuration": changed, "sections": sections})
        return
    out = console()
    for name, stored in zip(("a", "b"), found, strict=True):
        out.print(f"[dim]{name}[/]  {escape(str(stored.path))}")
    table = _table("configuration", "a", "b")
    for key, values in changed.items():
        table.add_row(escape(key), *(escape("" if value is None else str(value)) for value in values))
    out.print(table if table.row_count else "[dim]configuration: equal[/]")
    out.print(_sections_table(sections))


_STYLES = {"changed": "[yellow]changed[/]", "layout": "[red]another layout[/]"}


def _sections(ours: dict[str, Any], theirs: dict[str, Any]) -> list[dict[str, Any]]:
    """Each section: name, shape in words, result ("equal", "changed", "layout"), largest difference, relative."""
    import numpy as np

    found: list[dict[str, Any]] = []
    for name in [*ours, *(name for name in theirs if name not in ours)]:
        one, two = ours.get(name), theirs.get(name)
        largest, relative = 0.0, 0.0
        if one is None or two is None or one.shape != two.shape:
            shape = " and ".join("none" if each is None else _shape(each) for each in (one, two))
            found.append({"name": name, "shape": shape, "result": "layout", "largest": None, "relative": None})
            continue
        equal = np.array_equal(one, two)
        if not equal:
            wide = [each.astype(np.float64) for each in (one, two)]
            largest = float(np.abs(wide[0] - wide[1]).max())
            relative = largest / float(np.abs(wide).max())
        result = "equal" if equal else "changed"
        found.append({"name": name, "shape": _shape(one), "result": result, "largest": largest, "relative": relative})
    return found


def _sections_table(sections: list[dict[str, Any]]) -> Any:
    table = _table("section", "shape", "difference", "relative", "")
    for row in sections:
        if row["result"] == "equal":
            continue
        numbers = ("" if row[key] is None else f"{row[key]:.3g}" for key in ("largest", "relative"))
        table.add_row(row["name"], row["shape"], *numbers, _STYLES[row["result"]])
    equal = sum(row["result"] == "equal" for row in sections)
    table.add_section()
    table.add_row(f"{equal} of {len(sections)} sections equal", "", "", "", "")
    return table


@command.command("rollback", epilog=options.examples("rtu-edge ckpt rollback runs/robot --slot 1"))
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path), shell_complete=complete.run)
@click.option("--slot", metavar="N", help="Number N of a checkpoint.N.rtu  [default: the newest complete one]")
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
