"""Findings of checks and their severity."""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["Finding", "State", "fail", "note", "ok", "warn"]


class State(str, enum.Enum):
    """Severity of a finding."""

    OK = "ok"  # nothing to do
    NOTE = "note"  # optional, or not known
    WARN = "warn"  # a run works, with late steps or less comfort
    FAIL = "fail"  # no run works


@dataclass(frozen=True)
class Finding:
    """A finding of a check.

    Args:
        state: its severity.
        found: the facts.
        effect: effect on the loop; "" for the check's default.
        commands: shell commands that fix it; a line that begins with "#" is an instruction for the user.
        check: name of the check.
    """

    state: State
    found: str
    effect: str = ""
    commands: tuple[str, ...] = ()
    check: str = ""


def ok(found: str) -> Finding:
    """A finding without a problem."""
    return Finding(State.OK, found)


def note(found: str, *commands: str, effect: str = "") -> Finding:
    """A finding that is optional to fix."""
    return Finding(State.NOTE, found, effect, commands)


def warn(found: str, *commands: str, effect: str = "") -> Finding:
    """A finding that makes steps late or a task harder."""
    return Finding(State.WARN, found, effect, commands)


def fail(found: str, *commands: str, effect: str = "") -> Finding:
    """A finding with which no run works."""
    return Finding(State.FAIL, found, effect, commands)
