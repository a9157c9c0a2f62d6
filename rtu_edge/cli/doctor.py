"""rtu-edge doctor."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
from rich.text import Text

from rtu_edge.cli import options
from rtu_edge.cli.common import console, print_json

if TYPE_CHECKING:
    from rtu_edge.tools.doctor import Finding

_STYLES = {"ok": "green", "note": "cyan", "warn": "yellow", "fail": "red"}


@click.command("doctor", epilog=options.examples("rtu-edge doctor", "rtu-edge doctor --fix > fix.sh"))
@click.option("--fix", is_flag=True, help="Print a shell script that fixes the findings; runs nothing")
@options.as_json()
def command(fix: bool, as_json: bool) -> int:
    """Check this computer: kernel, ports, Python packages, disk.

    Each finding has its effect on the loop and the command that fixes it. Exit code: 1 if a finding is "fail" (no run
    works), else 0; "warn" and "note" do not count. Nothing is changed on this computer.
    """
    from rtu_edge._base.errors import ExitCode
    from rtu_edge.tools.doctor import Host, Imports, State, examine, script

    if as_json and fix:
        raise click.UsageError("--json and --fix: give one of them")
    with Imports() as imports:
        findings = examine(Host(environment_isa=os.environ.get("RTU_EDGE_ISA", ""), imported=imports.of))
    if as_json:
        print_json({"findings": [_plain(finding) for finding in findings]})
    elif fix:
        click.echo(script(findings), nl=False)
    else:
        _show(findings)
    failed = any(finding.state is State.FAIL for finding in findings)
    return int(ExitCode.CHECK_FAILED if failed and not fix else ExitCode.OK)


def _plain(finding: Finding) -> dict[str, str | list[str]]:
    return {
        "check": finding.check,
        "state": finding.state.value,
        "found": finding.found,
        "effect": finding.effect,
        "commands": list(finding.commands),
    }


def _show(findings: Sequence[Finding]) -> None:
    from collections import Counter

    from rtu_edge._base.text_table import TextTable

    out = console()
    table = TextTable("check", "state", "finding and effect", prose=("finding and effect",), left=("state",))
    for finding in findings:
        text = Text(finding.found)
        if finding.effect:
            text.append(f"\n{finding.effect}", style="dim")
        state = finding.state.value
        table.add_row(Text(finding.check), Text(state, style=_STYLES[state]), text)
    out.print(table)
    if any(finding.commands for finding in findings):
        out.print("\nCommands that fix the findings (rtu-edge doctor --fix prints them as a script):")
    for finding in findings:
        if finding.commands:
            out.print(Text(f"\n{finding.check}"))
            for line in finding.commands:  # not folded, so that it can be copied
                out.print(Text(f"  {line}", style="dim" if line.startswith("#") else ""), soft_wrap=True)
    counts = Counter(finding.state.value for finding in findings)
    out.print("\n" + ", ".join(f"{counts[state]} {state}" for state in _STYLES))
