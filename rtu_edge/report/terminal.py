"""Text for a terminal: checks as a table, and the effect of a refused privilege."""

from __future__ import annotations

import os

from rich.markup import escape

from rtu_edge._base.text_table import TextTable
from rtu_edge.record import Summary

__all__ = ["advice", "checks_table"]

_LIMITS = "/etc/security/limits.d/rtu-edge.conf"


def advice(refused: str) -> str:
    """The effect of a refused privilege on a run, and the command to fix it, on one line.

    Args:
        refused: a line of Loop.privileges(); another text gives "".
    """
    if refused.startswith("locked memory"):
        return f"a page fault may delay a step; {_allow('memlock unlimited')}"
    if refused.startswith("real-time priority"):
        return f"other processes may delay a step; {_allow('rtprio 60')}"
    if refused.startswith("pinning"):
        cores = ", ".join(map(str, sorted(os.sched_getaffinity(0))))
        return f"the loop may move between cores; set loop.cpu to one of {cores}, or to -1: no pinning"
    return ""


def _allow(limit: str) -> str:
    command = f'echo "$(id -un) - {limit}" | sudo tee -a {_LIMITS}'
    return f"to allow it: {command}, then log in again; rtu-edge doctor checks the host"


def checks_table(summary: Summary) -> TextTable:
    """The checks and their results."""
    table = TextTable("check", "measured", "required", prose=("measured", "required"))
    for check in summary.checks:
        mark = "[green]✓[/]" if check.passed else "[red]✗[/]"
        table.add_row(f"{mark} {escape(check.title)}", escape(check.measured), f"[dim]{escape(check.required)}[/]")
    return table
