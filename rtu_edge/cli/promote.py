"""rtu-edge promote."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.markup import escape

from rtu_edge.cli.common import console, memory

if TYPE_CHECKING:
    from rtu_edge.run.promotion import Evidence

_MODES = ("off", "shadow", "ab", "learn", "frozen", "residual")


@click.command("promote")
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--to", "to", type=click.Choice(_MODES), default="learn", show_default=True, help="The mode to go to.")
@click.option("--apply", "applied", is_flag=True, help="Write the promoted configuration; without it only look.")
@click.option("--output", type=click.Path(path_type=Path), help="Where.  [default: NAME-MODE.toml]")
@click.option("--force", metavar="REASON", help="Although the evidence does not suffice; the reason is recorded.")
@memory
def command(run: Path, to: str, applied: bool, output: Path | None, force: str | None, memory: int | None) -> None:
    """Show what a run says for and against letting its learner do more.

    With --apply, write the run's configuration with the new mode to a file. Exit code 1 when the evidence does not
    suffice.
    """
    import msgspec

    from rtu_edge._base.errors import CheckFailed, ConfigError
    from rtu_edge.config import Mode, load_config, parse_config, write_config
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
    out = console()
    out.print(f"[bold]{escape(str(run))}[/] to mode {to}")
    _show(found)
    lacks = shortcomings(found, Mode(to))
    for lack in lacks:
        out.print(f"[red]against:[/] {lack}")
    if not lacks:
        out.print("[green]The evidence suffices.[/]")
    if lacks and not (applied and force):
        raise CheckFailed(f"the evidence does not suffice for mode {to}; --apply --force REASON does it all the same")
    if not applied:
        return
    settings = load_config(folder.file(RunFolder.CONFIG))
    promoted = msgspec.structs.replace(settings, supervisor=msgspec.structs.replace(settings.supervisor, mode=Mode(to)))
    path = output or Path(f"{run.resolve().name}-{to}.toml")
    if path.exists():
        raise ConfigError(f"{path} exists: give another --output")
    digest = write_config(promoted, path)
    try:
        parse_config(path.read_text(encoding="utf-8"), source=str(path))
    except ConfigError:
        path.unlink()
        raise
    reason = " ".join(force.split()) if force and lacks else ""
    note = f"# promoted from {run} to {to}" + (f", forced: {reason}" if reason else "") + "\n"
    path.write_text(note + path.read_text(encoding="utf-8"), encoding="utf-8")
    with folder:
        folder.event("promote", to=to, configuration=digest, output=str(path), against=lacks, forced=reason)
    out.print(f"{escape(str(path))} written, configuration {digest}")


def _show(found: Evidence) -> None:
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
    console().print(table)
