"""Shared by the commands."""

from __future__ import annotations

import math
import select
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from rtu_edge._base.errors import ConfigError
from rtu_edge._base.packages import need
from rtu_edge._base.untrusted import clean, to_json
from rtu_edge.cli import mute

if TYPE_CHECKING:
    from rtu_edge.device.schema import Limits
    from rtu_edge.loop import Link

__all__ = ["ask_to_arm", "changes", "check_picture", "console", "print_json", "reading"]

_PIPE_WIDTH = 4096


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Context for reading a file given to a command.

    Raises:
        ConfigError: it cannot be read, or is of another kind.
    """
    try:
        yield
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", str(path)) from error
    except ValueError as error:
        raise ConfigError(str(error)) from error
    except MemoryError as error:
        raise ConfigError("takes more memory than there is", str(path)) from error


class _Console(Console):
    """A console that stops printing when its output is closed (`| head`): a run continues, and is saved.

    All output passes through it; it removes control characters except those of styles.
    """

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The output segments with cleaned text."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(clean(segment.text, lines=True), segment.style)

    def on_broken_pipe(self) -> None:
        mute()


def console(as_json: bool = False) -> Console:
    """The terminal, or, for a file or a pipe, a console that neither wraps nor truncates lines.

    Args:
        as_json: stdout is reserved for one JSON document: other output goes to stderr.
    """
    plain = _Console(highlight=False, stderr=as_json)
    return plain if plain.is_terminal else _Console(highlight=False, width=_PIPE_WIDTH, stderr=as_json)


def print_json(value: Any) -> None:
    """A result to stdout, as one JSON document; numbers that are not finite as "inf", "-inf" and "nan"."""
    click.echo(to_json(value, indent=2).decode())


def ask_to_arm(out: Console, yes: bool, link: Link | None = None) -> None:
    """The confirmation before real hardware moves.

    Args:
        link: to the device, if connected: it is read while waiting for the answer.

    Raises:
        ConfigError: the answer was not "arm", or there is no terminal.
        LinkError: the device has restarted meanwhile, or is lost.
    """
    out.print("Keep an emergency stop at hand that does not need this computer. Not a certified safety function.")
    if yes:
        out.print("Confirmed by --yes.")
        return
    if not sys.stdin.isatty():
        raise ConfigError("arming real hardware needs a confirmation: answer on a terminal, or give --yes")
    if _answer("Type arm to continue", link).strip() != "arm":
        raise ConfigError("not confirmed; nothing was armed")


def changes(limits: Limits, unit: str = "") -> str:
    """The slew and acceleration limits of an actuator, in words, or their absence."""
    of = f" {unit}" if unit else ""
    slew, accel = (math.inf if value is None else value for value in (limits.slew_per_s, limits.accel_per_s2))
    slewed = f"at most {slew:g}{of}/s" if math.isfinite(slew) else "no slew limit"
    return f"{slewed}, " + (f"at most {accel:g}{of}/s^2" if math.isfinite(accel) else "no acceleration limit")


def _answer(question: str, link: Link | None) -> str:
    from rtu_edge.loop.link import ATTEND_S

    click.echo(f"{question}: ", nl=False)
    while link is not None and not select.select([sys.stdin], [], [], ATTEND_S)[0]:
        link.attend()
    return sys.stdin.readline()


def check_picture(option: str, path: Path | None) -> None:
    """Check a picture's suffix in advance.

    Raises:
        ConfigError: neither PNG nor SVG.
        ModuleNotFoundError: matplotlib is not installed.
    """
    if path is None:
        return
    if path.suffix not in (".png", ".svg"):
        raise ConfigError(f"{option} {path}: must end in .png or .svg")
    need("matplotlib", by=option)
