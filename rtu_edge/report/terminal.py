"""Tables for a terminal."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from rtu_edge.record import Summary

__all__ = ["checks_table"]


def checks_table(summary: Summary) -> Table:
    """What had to hold, and whether it did."""
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("")
    for name in ("check", "measured", "required"):
        table.add_column(name, overflow="fold")
    for check in summary.checks:
        mark = "[green]✓[/]" if check.passed else "[red]✗[/]"
        table.add_row(mark, *map(escape, (check.title, check.measured)), f"[dim]{escape(check.required)}[/]")
    return table
