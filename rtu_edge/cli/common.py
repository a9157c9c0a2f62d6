"""What the commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table

from rtu_edge.log import Summary

__all__ = ["checks_table", "console", "overrides"]

Function = TypeVar("Function", bound=Callable[..., Any])

overrides = click.option(
    "--set",
    "overrides",
    metavar="a.b=c",
    multiple=True,
    help="Override one value of the configuration; may be repeated.",
)


def console() -> Console:
    """The terminal, or a plain one of a fixed width when the output goes to a file."""
    plain = Console(highlight=False)
    return plain if plain.is_terminal else Console(highlight=False, width=120)


def checks_table(summary: Summary) -> Table:
    """What had to hold, and whether it did."""
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("")
    for name in ("check", "measured", "required"):
        table.add_column(name, overflow="fold")
    for check in summary.checks:
        mark = "[green]✓[/]" if check.passed else "[red]✗[/]"
        table.add_row(mark, check.title, check.measured, f"[dim]{check.required}[/]")
    return table
