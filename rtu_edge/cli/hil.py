"""rtu-edge hil."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape

from rtu_edge.cli import complete, options
from rtu_edge.cli.common import ask_to_arm, changes, console, print_json

if TYPE_CHECKING:
    from rich.console import Console

    from rtu_edge.hil.case import Result
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
    help="Device under test: sim, process, qemu, or the path or URL of a port; may be repeated  [default: process]",
)
@click.option("--only", multiple=True, metavar="NAME", help="Run only faults of this name or kind; may be repeated")
@options.seed(None, "the suite's")
@options.out("a folder", "runs/hil")
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
    firmware: Path | None,
    arm: bool,
    yes: bool,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Run each fault of a suite against each target.

    SUITE is a TOML file; without it, the standard suite. Writes junit.xml, results.json, report.html and the log of
    each failure to --out. Exit code 0 only if every fault produces its expected result. Real hardware moves only with
    --arm, limits for each actuator in the suite, and a confirmation.
    """
    import msgspec

    from rtu_edge._base.errors import CheckFailed, ConfigError
    from rtu_edge.hil.report import write_report
    from rtu_edge.hil.run import check_chosen, is_simulated, run_suite
    from rtu_edge.hil.suite import load_suite
    from rtu_edge.hil.targets import NAMES

    chosen = load_suite(suite, overrides)
    console_ = console(as_json)
    for name in targets:
        if name not in NAMES and "/" not in name and "://" not in name:
            raise ConfigError(f"--target {name}: must be one of {', '.join(NAMES)}, or the path or URL of a port")
    check_chosen(chosen, targets, only, firmware)
    real = [name for name in targets if name not in NAMES or not is_simulated(name, chosen, firmware)]
    for name in real:
        _confirm(console_, chosen, name, arm, yes)
    if console_.width >= _LINE:
        console_.print(f"[dim]{_HEAD}[/]", soft_wrap=True)
    report = run_suite(
        chosen,
        targets,
        only=only,
        seed=seed,
        firmware=firmware,
        armed=real,
        logs=out / "logs",
        watch=lambda result: _say(console_, result),
    )
    page = write_report(report, out)
    run_ = [result for result in report.results if not result.skipped]
    held = sum(result.passed for result in run_)
    console_.print(
        f"{held} of {len(run_)} as expected, {report.seconds:.0f} s; [bold]{escape(str(page))}[/], junit.xml next to it"
    )
    if as_json:
        print_json({**msgspec.to_builtins(report), "report": str(page)})
    if not report.passed:
        raise CheckFailed(f"{len(run_) - held} faults did not produce the expected result; logs in {out / 'logs'}")


_HEAD = f"   {'target':14}{'fault':52}{'result':15}{'noticed':>10}{'safe':>11}{'accepted':>10}{'recovered':>12}"


_LINE = 128  # minimum terminal width for results in one line


def _say(out: Console, result: Result) -> None:
    """One line of the table, on a narrow terminal two or more; deviations below."""
    from rtu_edge._base.text_table import facts

    if result.skipped:
        out.print(f"[dim]–  {result.target:13} {result.name:52}{result.skipped}[/]", soft_wrap=out.width >= _LINE)
        return

    def ms(value: float | None) -> str:
        return "" if value is None else f"{value:.1f} ms"

    mark = "[green]✓[/]" if result.passed else "[red]✗[/]"
    after = "" if result.accepted_after is None else str(result.accepted_after)
    line = f"{result.target:13} {result.name:52}{result.response.replace('_', ' '):15}{ms(result.detected_ms):>10}"
    line += f"{ms(result.safe_ms):>11}{after:>10}{ms(result.recovery_ms):>12}"
    again = "  [dim]second attempt[/]" if result.attempts > 1 else ""
    if out.width >= _LINE:
        out.print(f"{mark}  {line}{again}", soft_wrap=True)
    else:
        out.print(f"{mark}  {escape(result.target)}  {escape(result.name)}{again}")
        measured = {"noticed": ms(result.detected_ms), "safe": ms(result.safe_ms), "accepted": after}
        measured["recovered"] = ms(result.recovery_ms)
        known = [(name, value) for name, value in measured.items() if value]
        out.print(facts([("result", result.response.replace("_", " ")), *known], out.width, indent=3))
    for reason in result.why:
        out.print(f"   [red]{escape(reason)}[/]", soft_wrap=out.width >= _LINE)


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
    ask_to_arm(out, yes)
