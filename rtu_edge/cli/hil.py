"""rtu-edge hil."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape

from rtu_edge.cli import complete, options
from rtu_edge.cli.common import ask_to_arm, changes, console, print_json, reading

if TYPE_CHECKING:
    from rich.console import Console

    from rtu_edge.hil.case import Result
    from rtu_edge.hil.run import Report
    from rtu_edge.hil.suite import Suite

_SUITE = click.argument("suite", required=False, type=click.Path(path_type=Path), shell_complete=complete.config)


@click.group("hil", epilog=options.examples("rtu-edge hil run", "rtu-edge hil run --target /dev/ttyACM0 --arm"))
def command() -> None:
    """Hardware in the loop: run the fault-injection suite.

    Targets are a simulated device, an emulated board, or a board of your own.
    """


@command.command("list", epilog=options.examples("rtu-edge hil list"))
@_SUITE
@options.as_json()
def list_faults(suite: Path | None, as_json: bool) -> None:
    """List the faults of a suite and the expected result of each.

    SUITE is a TOML file; without it, the standard suite.
    """
    from rtu_edge._base.text_table import TextTable
    from rtu_edge.hil.suite import load_suite

    faults = load_suite(suite).faults
    if as_json:
        print_json({"faults": [{"name": f.title, "kind": f.kind, "expect": f.expect.value} for f in faults]})
        return
    table = TextTable("fault", "kind", "expected", prose=("kind", "expected"))
    for fault in faults:
        table.add_row(fault.title, fault.kind, fault.expect.value.replace("_", " "))
    console().print(table)


@command.command("kinds", epilog=options.examples("rtu-edge hil kinds"))
@options.as_json()
def list_kinds(as_json: bool) -> None:
    """List the kinds of faults with their parameters and defaults."""
    from rtu_edge._base.text_table import TextTable
    from rtu_edge.hil.faults import KINDS, Fault

    common = set(Fault.__struct_fields__)
    kinds: list[dict[str, Any]] = []
    for kind, cls in sorted(KINDS.items()):
        made, own = cls(), [name for name in cls.__struct_fields__ if name not in common]
        values = {name: getattr(getattr(made, name), "value", getattr(made, name)) for name in own}
        kinds.append({"kind": kind, "help": (cls.__doc__ or "").splitlines()[0], "parameters": values})
    if as_json:
        print_json({"kinds": kinds})
        return
    table = TextTable("kind", "effect", "parameters", prose=("effect", "parameters"))
    for row in kinds:
        shown = ", ".join(f"{name} = {str(value).lower()}" for name, value in row["parameters"].items())
        table.add_row(row["kind"], row["help"], shown)
    console().print(table)


@command.command(
    "run", epilog=options.examples("rtu-edge hil run", "rtu-edge hil run suite.toml --target sim --only drop")
)
@_SUITE
@click.option(
    "--target",
    "targets",
    multiple=True,
    default=("process",),
    help="Device under test: sim, process, qemu, qemu-BOARD, or a port's path or URL; repeatable  [default: process]",
)
@click.option("--only", multiple=True, metavar="NAME", help="Run only faults of this name or kind; may be repeated")
@options.seed(None, "the suite's")
@options.out_folder("a folder", "runs/hil")
@click.option(
    "--report",
    "sent",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a report to send, without names",
)
@options.firmware("an image for qemu", "built here")
@options.arm()
@options.yes()
@options.overrides
@options.as_json()
def run(
    suite: Path | None,
    targets: tuple[str, ...],
    only: tuple[str, ...],
    seed: int | None,
    out: Path,
    sent: Path | None,
    firmware: Path | None,
    arm: bool,
    yes: bool,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Run each fault of a suite against each target.

    SUITE is a TOML file; without it, the standard suite. Writes junit.xml, results.json, report.html and the log of
    each failure to --out. Exit code 0 only if every fault produces its expected result. Real hardware moves only with
    --arm, limits for each actuator in the suite, and a confirmation; the limits hold for faults too, any key sends
    ESTOP and ends the suite, and the device is disarmed after each fault.
    """
    import msgspec

    from rtu_edge._base.errors import CheckFailed, SafetyStop
    from rtu_edge._base.validation import counted
    from rtu_edge.hil.abort import Abort, AbortKey
    from rtu_edge.hil.report import write_report
    from rtu_edge.hil.run import check_chosen, is_simulated, run_suite
    from rtu_edge.hil.suite import load_suite
    from rtu_edge.hil.targets import NAMES

    chosen = load_suite(suite, overrides)
    console_ = console(as_json)
    _check(targets, sent)
    check_chosen(chosen, targets, only, firmware)
    real = [name for name in targets if name not in NAMES or not is_simulated(name, chosen, firmware)]
    for name in real:
        _confirm(console_, chosen, name, arm, yes)
    if console_.width >= _LINE:
        console_.print(f"[dim]{_HEAD}[/]", soft_wrap=True)
    abort = Abort()
    with AbortKey(abort) if real else contextlib.nullcontext():
        report = run_suite(
            chosen,
            targets,
            only=only,
            seed=seed,
            firmware=firmware,
            armed=real,
            abort=abort,
            logs=out / "logs",
            watch=lambda result: _say(console_, result),
        )
    page = write_report(report, out)
    run_ = [result for result in report.results if not result.skipped]
    held = sum(result.passed for result in run_)
    console_.print(
        f"{held} of {len(run_)} as expected, {report.seconds:.0f} s; [bold]{escape(str(page))}[/], junit.xml next to it"
    )
    if sent is not None:
        _send(console_, report, chosen, firmware, sent)
    if as_json:
        print_json({**msgspec.to_builtins(report), "report": str(page)})
    if report.stopped:
        raise SafetyStop(report.stopped)
    if not report.passed:
        failed = counted(len(run_) - held, "fault")
        raise CheckFailed(f"{failed} did not produce the expected result; logs in {out / 'logs'}")


_HEAD = f"   {'target':14}{'fault':52}{'result':15}{'noticed':>10}{'safe':>11}{'accepted':>10}{'recovered':>12}"


_LINE = 128  # minimum terminal width for results in one line


def _say(out: Console, result: Result) -> None:
    """One line of the table, on a narrow terminal two or more; deviations below."""
    from rtu_edge._base.text_table import facts

    if result.skipped:
        out.print(f"[dim]–  {result.target:13} {result.name:52}{result.skipped}[/]", soft_wrap=out.width >= _LINE)
        return

    mark = "[green]✓[/]" if result.passed else "[red]✗[/]"
    after = "" if result.accepted_after is None else str(result.accepted_after)
    line = f"{result.target:13} {result.name:52}{result.response.replace('_', ' '):15}{_ms(result.detected_ms):>10}"
    line += f"{_ms(result.safe_ms):>11}{after:>10}{_ms(result.recovery_ms):>12}"
    again = f"  [dim]attempt {result.attempts}[/]" if result.attempts > 1 else ""
    if out.width >= _LINE:
        out.print(f"{mark}  {line}{again}", soft_wrap=True)
    else:
        out.print(f"{mark}  {escape(result.target)}  {escape(result.name)}{again}")
        measured = {"noticed": _ms(result.detected_ms), "safe": _ms(result.safe_ms), "accepted": after}
        measured["recovered"] = _ms(result.recovery_ms)
        known = [(name, value) for name, value in measured.items() if value]
        out.print(facts([("result", result.response.replace("_", " ")), *known], out.width, indent=3))
    for reason in result.why:
        out.print(f"   [red]{escape(reason)}[/]", soft_wrap=out.width >= _LINE)


def _check(targets: tuple[str, ...], sent: Path | None) -> None:
    from rtu_edge._base.errors import ConfigError
    from rtu_edge.hil import hardware_report
    from rtu_edge.hil.targets import NAMES

    for name in targets:
        if name not in NAMES and "/" not in name and "://" not in name:
            raise ConfigError(f"--target {name}: must be one of {', '.join(NAMES)}, or the path or URL of a port")
    if sent is not None:
        hardware_report.check_path(sent)


def _send(out: Console, report: Report, suite: Suite, firmware: Path | None, path: Path) -> None:
    from rtu_edge.hil import hardware_report

    hardware_report.write(hardware_report.describe(report, suite, firmware), path)
    out.print(f"[bold]{escape(str(path))}[/]: fit to be sent; `rtu-edge hil show {escape(str(path))}` prints it")


@command.command("show", epilog=options.examples("rtu-edge hil show report.json"))
@click.argument("file", type=click.Path(path_type=Path))
@options.as_json()
def show(file: Path, as_json: bool) -> None:
    """Print a report of hil run."""
    import msgspec

    from rtu_edge._base.text_table import TextTable, facts
    from rtu_edge.hil import hardware_report

    with reading(file):
        report = hardware_report.read(file)
    if as_json:
        print_json({**msgspec.to_builtins(report), "row": hardware_report.row(report)})
        return
    out = console()
    out.print(facts([("version", report.version), ("day", report.day), *report.host.items()], out.width))
    for device in report.devices:
        known = [
            ("device", device.target + (", simulated" if device.simulated else "")),
            ("protocol", str(device.protocol)),
            ("firmware", device.firmware),
            ("period", f"{device.period_us / 1e3:g} ms"),
            ("serial", device.serial_sha256 or "-"),
        ]
        out.print()
        out.print(facts(known, out.width))
        sheet = TextTable("channel", "unit", "min", "max", "safe", "role and limits", prose=("role and limits",))
        for each in device.rows:
            sheet.add_row(
                escape(each.name),
                escape(each.unit),
                f"{each.min:g}",
                f"{each.max:g}",
                escape(each.safe),
                escape(each.limits),
            )
        out.print(sheet)
    cases = TextTable("fault", "on", "expected", "result", "safe", "allowed", "", prose=("fault",))
    for case in report.cases:
        mark = "skipped" if case.skipped else "ok" if case.passed else "FAILED"
        said = [escape(text.replace("_", " ")) for text in (case.name, case.target, case.expected, case.response)]
        cases.add_row(*said, _ms(case.safe_ms), _ms(case.safe_limit_ms), mark)
    out.print()
    out.print(cases)
    if report.stopped:
        out.print(f"[red]stopped: {escape(report.stopped)}[/]")
    out.print()
    out.print(escape(hardware_report.row(report)), soft_wrap=True)


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} ms"


def _confirm(out: Console, suite: Suite, url: str, arm: bool, yes: bool) -> None:
    """The same conditions as for `rtu-edge run`, with one confirmation for the whole suite."""
    from rtu_edge._base.errors import ConfigError

    if not arm:
        raise ConfigError(f"{url} may be real hardware: give --arm to let it move")
    if not suite.config.limits:
        raise ConfigError("limits: missing; real hardware needs explicit min, max and slew_per_s for each actuator")
    out.print(
        f"[bold]About to arm what is at {escape(url)}, once for each fault, and to disturb it.[/] These limits hold:"
    )
    for name, limits in suite.config.limits.items():
        out.print(f"  {name}: {limits.min:g} to {limits.max:g}, {changes(limits)}")
    out.print("They hold for faults too. [bold]Any key sends ESTOP and ends the suite.[/] Afterwards it is disarmed.")
    ask_to_arm(out, yes)
