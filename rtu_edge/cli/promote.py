"""rtu-edge promote."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape

from rtu_edge.cli import complete, options
from rtu_edge.cli.common import console, print_json

if TYPE_CHECKING:
    from rich.console import Console

    from rtu_edge.config import Mode
    from rtu_edge.record import RunFolder
    from rtu_edge.run.promotion import Evidence

_MODES = ("off", "shadow", "ab", "learn", "frozen", "residual")


@click.command("promote", epilog=options.examples("rtu-edge promote runs/robot --to learn --apply"))
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path), shell_complete=complete.run)
@click.option("--to", "to", type=click.Choice(_MODES), default="learn", help="New supervisor mode  [default: learn]")
@options.apply()
@options.out("a configuration", shown="NAME-MODE.toml")
@click.option(
    "--reason", metavar="TEXT", help="Promote against the evidence, with --apply; the run's events record the reason"
)
@options.memory
@options.as_json()
def command(
    run: Path, to: str, applied: bool, out: Path | None, reason: str | None, memory: int | None, as_json: bool
) -> None:
    """Show the evidence for giving a run's learner more control.

    With --apply, write the run's configuration with the new mode to a file. Exit code 1 when the evidence does not
    suffice.
    """
    from rtu_edge._base.errors import CheckFailed, ConfigError
    from rtu_edge.config import Mode
    from rtu_edge.record import RunFolder
    from rtu_edge.record.stages import stages
    from rtu_edge.run.promotion import evidence, shortcomings

    folder = RunFolder(run)
    try:
        steps = stages(folder, memory)
        stage = next((name for name in ("realtime", "learning") if name in steps), "")
        found = evidence(steps[stage].batches() if stage else ())
    except ValueError as error:
        raise ConfigError(str(error), "" if str(run) in str(error) else str(run)) from error
    except OSError as error:
        raise ConfigError(f"{error.filename or run}: cannot be read: {error.strerror}") from error
    screen = console(as_json)
    screen.print(f"[bold]{escape(str(run))}[/] to mode {to}")
    _show(screen, found)
    lacks = shortcomings(found, Mode(to))
    for lack in lacks:
        screen.print(f"[red]against:[/] {lack}")
    if not lacks:
        screen.print("[green]The evidence suffices.[/]")
    written: Path | None = None
    if applied and (reason or not lacks):
        forced = " ".join(reason.split()) if reason and lacks else ""
        written, digest = _apply(folder, Mode(to), out, forced, lacks)
        screen.print(f"{escape(str(written))} written, configuration {digest}")
    if as_json:
        facts = {"run": str(run), "mode": to, "sufficient": not lacks, "against": lacks, "evidence": _plain(found)}
        print_json({**facts, "output": written and str(written)})
    if lacks and not (applied and reason):
        raise CheckFailed(
            f"the evidence does not suffice for mode {to}; --apply --reason TEXT promotes it nevertheless"
        )


def _apply(folder: RunFolder, to: Mode, out: Path | None, forced: str, lacks: list[str]) -> tuple[Path, str]:
    """Write the configuration with the new mode; return its path and hash."""
    import msgspec

    from rtu_edge._base.errors import ConfigError
    from rtu_edge.config import load_config, parse_config, write_config

    settings = load_config(folder.file(folder.CONFIG))
    promoted = msgspec.structs.replace(settings, supervisor=msgspec.structs.replace(settings.supervisor, mode=to))
    path = out or Path(f"{folder.path.resolve().name}-{to.value}.toml")
    if path.exists():
        raise ConfigError(f"{path} exists: give another --out")
    digest = write_config(promoted, path)
    try:
        parse_config(path.read_text(encoding="utf-8"), source=str(path))
    except ConfigError:
        path.unlink()
        raise
    note = f"# promoted from {folder.path} to {to.value}" + (f", forced: {forced}" if forced else "") + "\n"
    path.write_text(note + path.read_text(encoding="utf-8"), encoding="utf-8")
    with folder:
        folder.event("promote", to=to.value, configuration=digest, output=str(path), against=lacks, forced=forced)
    return path, digest


def _plain(found: Evidence) -> dict[str, Any]:
    plain = {**vars(found), "mode": found.mode and found.mode.value, "interval": found.interval}
    for name in ("learner", "fallback"):
        plain[name] = [float(value) for value in plain[name]]
    return plain


def _show(screen: Console, found: Evidence) -> None:
    """The evidence as a table."""
    from rtu_edge._base.text_table import TextTable

    table = TextTable("", "value", prose=("value",), header=False)
    rows = {
        "mode of the run": "no supervisor" if found.mode is None else found.mode.value,
        "steps": f"{found.steps:,}, learned from {found.learned:,}",
        "forced into the fallback": f"{found.forced:.2%} of the steps",
        "findings": f"sensor monitor {found.sensor_hits:,}, command limiter {found.limiter_hits:,} steps",
        "learner_monitor": f"{found.rollbacks} rollbacks{', stayed frozen' if found.frozen else ''}"
        f"{', too many switches' if found.locked else ''}",
    }
    for name, blocks in (("learner", found.learner), ("fallback", found.fallback)):
        rows[f"reward per {found.unit}, {name}"] = (
            f"{blocks.mean():.5g} in {len(blocks)} blocks" if len(blocks) else "no block"
        )
    if found.interval is not None:
        rows["difference"] = f"{found.interval[0]:+.4g} to {found.interval[1]:+.4g} (95 %, bootstrap)"
    for name, value in rows.items():
        table.add_row(name, value)
    screen.print(table)
