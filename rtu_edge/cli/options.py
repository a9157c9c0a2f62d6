"""Options that several commands have: one spelling, one type and one help text for each. Imports click only.

A command may append what is special about it with `more`, and say which default it takes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from rtu_edge.cli import complete
from rtu_edge.cli.outputs import check_file, check_folder

__all__ = [
    "Number",
    "apply",
    "arm",
    "as_json",
    "baud",
    "cpu",
    "examples",
    "firmware",
    "folder",
    "force",
    "memory",
    "out",
    "out_folder",
    "overrides",
    "plot",
    "scheduler",
    "seconds",
    "seed",
    "seeds",
    "steps",
    "tolerance",
    "workers",
    "yes",
]

Function = TypeVar("Function", bound=Callable[..., Any])
Decorator = Callable[[Function], Function]


class Number(click.FloatRange):
    """A finite number within a range: "nan" is below no limit, and "inf" above none that is missing."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number, or fail with one sentence."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number

    def _describe_range(self) -> str:
        return "" if self.min is None and self.max is None else super()._describe_range()


def _help(text: str, more: str = "", default: str = "", joint: str = ": ") -> str:
    return text + (joint + more if more else "") + (f"  [default: {default}]" if default else "")


def examples(*lines: str) -> str:
    """The epilog of a command: lines to copy."""
    title = "Example:" if len(lines) == 1 else "Examples:"
    return "\n".join(["\b", title, *(f"  {line}" for line in lines)])


def arm(more: str = "") -> Decorator[Any]:
    """--arm."""
    return click.option("--arm", is_flag=True, help=_help("Allow real hardware to move", more, joint="; "))


def yes() -> Decorator[Any]:
    """--yes."""
    return click.option("--yes", is_flag=True, help="Arm real hardware without asking, for use without a terminal")


def as_json(more: str = "") -> Decorator[Any]:
    """--json, as the argument as_json."""
    help = _help("Print JSON to stdout, all else to stderr", more, joint="; ")
    return click.option("--json", "as_json", is_flag=True, help=help)


def baud() -> Decorator[Any]:
    """--baud."""
    return click.option(
        "--baud",
        type=click.IntRange(1200, 12_000_000),
        metavar="BAUD",
        help=_help("Baud rate of the serial port", default="device.baud of the file, or 1000000"),
    )


def seed(default: int | None = 0, shown: str = "") -> Decorator[Any]:
    """--seed. With default None the argument is None unless it is given; `shown` describes the default."""
    return click.option(
        "--seed",
        type=click.IntRange(0, 2**32 - 1),
        metavar="N",
        default=default,
        help=_help("Random seed", default=shown or str(default)),
    )


def steps(default: int | None = None, shown: str = "", more: str = "") -> Decorator[Any]:
    """--steps; the default as for seed()."""
    return click.option(
        "--steps",
        type=click.IntRange(1, 1_000_000_000),
        metavar="N",
        default=default,
        help=_help("Stop after N steps", more, shown or str(default)),
    )


def seconds(default: float | None, shown: str) -> Decorator[Any]:
    """--seconds; the default as for seed()."""
    return click.option(
        "--seconds",
        type=Number(0.0, min_open=True),
        metavar="S",
        default=default,
        help=_help("Stop after S seconds", default=shown),
    )


def out(
    more: str, default: str = "", shown: str = "", *, check: Callable[[Path], None] | None = check_file
) -> Decorator[Any]:
    """-o, --out, as a path; None without a default, which `shown` describes. check: of the path, before the work."""

    def checked(_: click.Context, __: click.Parameter, path: Path | None) -> Path | None:
        if path is not None and check is not None:
            check(path)
        return path

    return click.option(
        "-o",
        "--out",
        type=click.Path(path_type=Path),
        default=Path(default) if default else None,
        callback=checked,
        help=_help("Output file or folder", more, shown or default),
    )


def out_folder(more: str, default: str = "", shown: str = "") -> Decorator[Any]:
    """-o of a command that writes several files."""
    return out(more, default, shown, check=check_folder)


def plot(more: str) -> Decorator[Any]:
    """--plot, as a path."""
    return click.option(
        "--plot", type=click.Path(path_type=Path), metavar="FILE", help=_help("Draw a PNG or SVG picture", more)
    )


def force(more: str) -> Decorator[Any]:
    """--force."""
    return click.option("--force", is_flag=True, help=_help("Skip a check", more))


def apply() -> Decorator[Any]:
    """--apply, as the argument applied."""
    return click.option("--apply", "applied", is_flag=True, help="Write the files; without it they are only shown")


def tolerance(default: float, more: str = "") -> Decorator[Any]:
    """--tolerance."""
    return click.option(
        "--tolerance",
        type=Number(0.0),
        metavar="X",
        default=default,
        help=_help("Largest difference of an action allowed, as a share of its range", more, f"{default:g}"),
    )


def folder(default: str | None, shown: str = "") -> Decorator[Any]:
    """--folder."""
    return click.option(
        "--folder", metavar="DIR", default=default, help=_help("Folder of all runs", default=shown or str(default))
    )


def name(shown: str) -> Decorator[Any]:
    """--name."""
    return click.option("--name", help=_help("Name of the run's folder", default=shown))


def cpu(default: int) -> Decorator[Any]:
    """--cpu."""
    return click.option(
        "--cpu",
        type=click.IntRange(-1, 1023),
        metavar="N",
        default=default,
        help=_help("Core to pin the loop to; -1 for none", default=str(default)),
    )


def firmware(more: str, shown: str) -> Decorator[Any]:
    """--firmware, as a path."""
    return click.option(
        "--firmware",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE",
        help=_help("Firmware to run in place of the package's", more, shown),
    )


def seeds() -> Decorator[Any]:
    """--seeds."""
    return click.option(
        "--seeds",
        type=click.IntRange(1, 1_000_000),
        metavar="N",
        help=_help("Number of runs on each plant, with seeds from 0", default="the study's"),
    )


def _workers(context: click.Context, parameter: click.Parameter, text: str) -> int | None:
    if text == "auto":
        return None
    try:
        number = int(text)
    except ValueError:
        number = 0
    if not 1 <= number <= 1024:
        raise click.BadParameter(f"{text!r}: expected auto, or a number from 1 to 1024", context, parameter)
    return number


workers = click.option(
    "--workers",
    metavar="N",
    default="auto",
    callback=_workers,
    help=_help("Number of worker processes", default="auto, one per core"),
)

scheduler = click.option(
    "--scheduler",
    metavar="ADDRESS",
    help=_help("Address of a Dask scheduler that runs the tasks", "such as tcp://host:8786"),
)

overrides = click.option(
    "--set",
    "overrides",
    metavar="a.b=c",
    multiple=True,
    help="Override one value of the configuration; may be repeated",
    shell_complete=complete.keys,
)


def training_runs(out_more: str, out_shown: str) -> Decorator[Any]:
    """Options of commands that train many learners: --seeds, --steps, --workers, --scheduler, -o, --set, --json."""

    def add(command: Any) -> Any:
        one_run = steps(shown="the study's", more="the training of each run")
        results = out_folder(out_more, shown=out_shown)
        for option in (as_json(), overrides, results, scheduler, workers, one_run, seeds()):
            command = option(command)
        return command

    return add


memory = click.option(
    "--memory",
    type=click.IntRange(1, 1 << 20),
    callback=lambda _, __, mib: None if mib is None else mib << 20,
    metavar="MIB",
    help=_help("Memory limit for the contents of a file, in MiB", default="4 times the file's size and 40 MiB"),
)
