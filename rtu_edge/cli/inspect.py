"""rtu-edge inspect."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape

from rtu_edge.cli import complete, options
from rtu_edge.cli.common import check_picture, console, print_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rtu_edge.record import Stage, Summary
    from rtu_edge.record.stages import Steps
    from rtu_edge.record.unfinished import Known


RUN_FILES = ("config.toml", "log.mcap", "summary.json", "events.jsonl", "blackbox.rtubox", "policy.onnx", "report.html")


@click.command("inspect", epilog=options.examples("rtu-edge inspect runs/robot", "rtu-edge inspect checkpoint.rtu"))
@click.argument("path", type=click.Path(exists=True, path_type=Path), shell_complete=complete.run)
@click.option("--report", is_flag=True, help="Write the run's report.html again")
@options.memory
@options.plot("the run at a glance")
@options.as_json()
def command(path: Path, report: bool, memory: int | None, plot: Path | None, as_json: bool) -> None:
    """Show what is in a checkpoint or in the folder of a run.

    PATH is a checkpoint, the folder of a run (also of one that was interrupted), or the folder of a service.
    """
    check_picture("--plot", plot)
    if path.is_dir():
        _folder(path, report, plot, memory, as_json)
    elif report or plot is not None:
        raise click.UsageError("--report and --plot need the folder of a run")
    else:
        _checkpoint(path, as_json)


def _checkpoint(path: Path, as_json: bool) -> None:
    from rtu_edge._base.errors import CheckpointError
    from rtu_edge.learn import load

    try:
        agent: Any = load(path)
    except CheckpointError as error:
        raise CheckpointError(f"{error}{_instead(path)}") from error
    if as_json:
        sections = [
            {"name": name, "type": str(dtype), "shape": list(shape), "bytes": size}
            for name, dtype, shape, size in agent.sections
        ]
        facts = {"bytes": path.stat().st_size, "state_hash": agent.state_hash(), "learner": agent.config}
        print_json({"kind": "checkpoint", "path": str(path), **facts, "sections": sections})
        return
    out = console()
    out.print(f"[bold]{escape(str(path))}[/]   {path.stat().st_size:,} bytes")
    state = agent.state_hash()
    out.print(_facts({**agent.config, "state hash": f"{state:016x}" if isinstance(state, int) else state}))
    table = _table("section", "type", "shape", "bytes")
    for name, dtype, shape, size in agent.sections:
        table.add_row(name, str(dtype), " x ".join(str(n) for n in shape) or "1", f"{size:,}")
    table.add_section()
    table.add_row("in all", "", "", f"{agent.nbytes:,}")
    out.print(table)


def _instead(path: Path) -> str:
    """What to inspect in place of a file that is no checkpoint."""
    folder = path.absolute().parent
    if (folder / RUN_FILES[0]).is_file() and path.name in RUN_FILES:
        return f"; `rtu-edge inspect {path.parent}` shows the run of this file"
    return "; give a checkpoint, or the folder that `rtu-edge run` printed" if path.suffix in (".toml", ".mcap") else ""


def _folder(path: Path, report: bool, plot: Path | None, memory: int | None, as_json: bool) -> None:
    from rtu_edge._base.errors import ConfigError
    from rtu_edge.record import RunFolder
    from rtu_edge.record.stages import stages
    from rtu_edge.record.unfinished import what_it_is
    from rtu_edge.report import digests_of, write_picture, write_report

    folder, out = RunFolder(path), console(as_json)
    try:
        if not folder.file(folder.SUMMARY).exists() and (known := what_it_is(folder)) is not None:
            if report or plot is not None:
                raise ConfigError(f"{known.title}: it has no {folder.SUMMARY} to make a report from", str(path))
            _unfinished(known, as_json)
            return
        summary, steps = folder.load_summary(), stages(folder, memory)
        if as_json:
            cut = {found.path.name: found.cut for found in steps.values() if found.cut}
            counters = {name: counted(stage) for name, stage in summary.stages.items()}
            print_json({"kind": "run", "path": str(path), "summary": summary, "counters": counters, "cut": cut})
        else:
            _show(path, steps, summary)
        digests = digests_of(steps, summary) if report or plot is not None else {}
        if report:
            out.print(f"wrote {escape(str(write_report(folder, digests)))}")
        if plot is not None:
            write_picture(folder, plot, digests)
            out.print(f"wrote {escape(str(plot))}")
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(str(error), "" if str(path) in str(error) else str(path)) from error


def _unfinished(known: Known, as_json: bool) -> None:
    """A folder without a summary: kind, contents, next steps."""
    if as_json:
        print_json({"kind": known.kind, "path": str(known.path), **known.facts, "files": known.files})
        return
    out = console()
    out.print(f"[bold]{escape(str(known.path))}[/]   {escape(known.title)}")
    out.print(_facts(known.facts))
    files = _table("file", "bytes", "holds")
    for name, size in known.files.items():
        files.add_row(escape(name), f"{size:,}", escape(known.holds.get(name, "")))
    out.print(files)
    for line in known.next:
        out.print(escape(line), soft_wrap=True)


_ALWAYS = ("steps", "learned")


def counted(stage: Stage) -> dict[str, int]:
    """The counters of a stage that are not 0, and steps and learned in any case; {} if it has none."""
    return {name: value for name, value in stage.counters.items() if value or name in _ALWAYS}


def _show(path: Path, steps: Mapping[str, Steps], summary: Summary) -> None:
    from rtu_edge._base.text_table import FactGrid

    out = console()
    out.print(f"[bold]{escape(str(path))}[/]   {escape(summary.title)}")
    if summary.headline:
        out.print(escape(phrases(summary.headline, out.width)), soft_wrap=True)
    out.print(
        _facts(
            {
                "started": summary.started,
                "seed": summary.seed,
                "configuration": summary.config_hash,
                "state hash": summary.state_hash,
                **summary.device,
                "limits of the device": limits_of(summary),
            }
        )
    )
    stages = _table("stage", "steps", "episodes", "seconds", "ended by")
    for name, stage in summary.stages.items():
        numbers = (f"{stage.steps:,}", f"{stage.episodes:,}", f"{stage.seconds:.1f}")
        stages.add_row(escape(name), *numbers, escape(stage.reason))
    out.print()
    out.print(stages)
    out.print()
    for name, stage in summary.stages.items():
        if counters := counted(stage):
            out.print(f"[dim]counters of {escape(name)}, those that are not 0[/]")
            out.print(FactGrid([(key, f"{value:,}") for key, value in counters.items()], 3))
            out.print()
    if summary.checks:
        from rtu_edge.report.terminal import checks_table

        out.print(checks_table(summary))
        out.print()
    files = _table("file", "bytes", "holds")
    for file in sorted(entry for entry in path.iterdir() if entry.is_file()):
        holds = "; ".join(_holds(found) for found in steps.values() if found.path == file)
        files.add_row(escape(file.name), f"{file.stat().st_size:,}", escape(holds))
    out.print(files)
    for found in steps.values():
        if found.cut:
            out.print(
                f"[yellow]{escape(str(found.path))} is cut:[/] {escape(found.cut)}; rtu-edge log repair closes it"
            )


def limits_of(summary: Summary) -> str:
    """Roles and limits of the data sheet, in words."""
    rows = ((row.name, row.limits_text(summary.actuators)) for row in summary.observations)
    return "; ".join(f"{name}: {text}" for name, text in rows if text)


def phrases(text: str, width: int) -> str:
    """Lines of at most `width` columns that break after a semicolon only."""
    lines: list[str] = []
    for part in text.split("; "):
        if lines and len(lines[-1]) + len(part) + 3 <= width:
            lines[-1] += f"; {part}"
        else:
            lines.append(part)
    return ";\n".join(lines)


def _holds(steps: Steps) -> str:
    """Contents of a file of steps, in words."""
    return f"{steps.stage}: {steps.record_count:,} records, {steps.episode_count:,} episodes"


def _facts(facts: dict[str, Any]) -> Any:
    from rtu_edge._base.text_table import TextTable

    table = TextTable("", "value", prose=("value",), header=False, padding=3)
    for key, value in facts.items():
        if value not in (None, ""):
            table.add_row(f"[dim]{escape(key.replace('_', ' '))}[/]", escape(str(value)))
    return table


def _table(*names: str) -> Any:
    from rtu_edge._base.text_table import TextTable

    return TextTable(*names, prose=("ended by", "holds"), left=("type",), padding=3)
