"""What every demo tells: numbered steps on the console, and checks in its summary and folder."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from rtu_edge.demo.text import hanging
from rtu_edge.record import Check, RunFolder, Summary

__all__ = ["Steps"]


class Steps:
    """A demo's console, folder and summary; the subclass sets them."""

    console: Console
    folder: RunFolder
    summary: Summary

    def check(self, title: str, passed: bool, measured: str, required: str) -> None:
        """Add a check: what it is of, whether it holds, and both values as text."""
        self.summary.checks.append(Check(title, bool(passed), measured, required))
        self.folder.event("check", title=title, passed=bool(passed), measured=measured)

    def announce(self, number: int, title: str, text: str) -> None:
        """Print the head of a step; its text is not markup."""
        self.console.print()
        self.console.print(hanging(f"[bold cyan]{number}[/]  [bold]{title}[/]", escape(text)))
