"""The command line. Commands are imported when called, so that `rtu-edge --help` is quick.

Exit codes: 0 ok, 1 check failed, 2 usage, configuration or a file that cannot be used, 3 device, 4 safety stop, 5
deadline.
"""

from __future__ import annotations

import errno
import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from rtu_edge._base.errors import (
    CheckFailed,
    CheckpointError,
    ConfigError,
    DeadlineError,
    DeviceError,
    ExitCode,
    SafetyStop,
    cause_of,
)
from rtu_edge._base.packages import missing_package
from rtu_edge._base.version import __version__

__all__ = ["cli", "main"]

# Heading -> command -> a line of help, the first of the command's own.
_GROUPS = {
    "Start": {
        "demo": "Learn cart-pole over a simulated serial port; needs no hardware.",
        "init": "Write a configuration file for a board or a simulated plant.",
        "doctor": "Check this computer: kernel, ports, Python packages, disk.",
    },
    "Run and learn": {
        "run": "Run a configuration: learn on a robot or a simulated plant.",
        "clone": "Start a learner from a controller's log.",
        "size": "Print memory, operations and time per step of a learner.",
        "promote": "Show the evidence for giving a run's learner more control.",
        "export": "Write a checkpoint's policy as ONNX, or as a C99 header.",
        "verify": "Compare an ONNX policy with its checkpoint, step by step.",
    },
    "Device and link": {
        "ports": "List serial ports by persistent name.",
        "device": "Serve a device on a pseudo-terminal: a simulated plant, or a device in Python.",
        "bus": "Servo buses: find Dynamixel and Feetech servos, calibrate joints, serve them as a device.",
        "monitor": "Show a link live: device state, return, rates, clocks, losses.",
        "watch": "Show a run live in PlotJuggler, Foxglove or Prometheus, without delaying its loop.",
        "firmware": "Build the firmware around a plant of your own.",
    },
    "Safety": {
        "estop": "Stop a device; succeeds only when the device reports ESTOP.",
        "clear": "Clear a latched emergency stop or fault of a device.",
    },
    "Service": {
        "service": "Print or install systemd and udev files for a configuration.",
        "serve": "Own a device and run each time it is armed; used by the service.",
        "arm": "Arm the device of a service that waits, disarmed.",
    },
    "Records": {
        "inspect": "Show what is in a checkpoint or in the folder of a run.",
        "log": "Repair the log of a run that was cut off.",
        "replay": "Replay a run's log through its learner and compare each step.",
        "blackbox": "Show the last seconds before a run ended, however it ended.",
        "ckpt": "List, compare and roll back the checkpoints of a run.",
    },
    "Studies": {
        "study": "Train many learners on simulated plants and compare their scores.",
        "tune": "Search settings of the learner for the best mean score in a study.",
    },
    "Development": {
        "hil": "Hardware in the loop: run the fault-injection suite.",
        "bench": "Measure this host: latency of the loop, a soak test, and drops.",
        "completion": "Print the shell completion script for bash, zsh or fish.",
    },
}
_NAME_WIDTH = 10  # as wide in each section
_COMMANDS = {name: line for group in _GROUPS.values() for name, line in group.items()}

_CODES: tuple[tuple[type[BaseException], ExitCode], ...] = (
    (ConfigError, ExitCode.USAGE),
    (CheckpointError, ExitCode.USAGE),
    (CheckFailed, ExitCode.CHECK_FAILED),
    (DeviceError, ExitCode.DEVICE),
    (SafetyStop, ExitCode.SAFETY_STOP),
    (DeadlineError, ExitCode.DEADLINE),
    (OSError, ExitCode.USAGE),
)


class _Lazy(click.Group):
    """A group that lists commands by name and help line, and imports a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command = importlib.import_module(f"rtu_edge.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            import difflib

            close = difflib.get_close_matches(args[0], list(_COMMANDS), n=1)
            hint = f'; did you mean "{close[0]}"?' if close else f"; there are {', '.join(_COMMANDS)}"
            ctx.fail(f'no command "{args[0]}"{hint}')
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, commands in _GROUPS.items():
            with formatter.section(heading):
                formatter.write_dl([(f"{name:{_NAME_WIDTH}}", line) for name, line in commands.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Without importing each command for its help."""
        return [
            CompletionItem(name, help=line) for name, line in _COMMANDS.items() if name.startswith(incomplete)
        ] or super().shell_complete(ctx, incomplete)


def _show_version(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if not wanted or context.resilient_parsing:
        return
    from rtu_edge import _core
    from rtu_edge._bridge import lib

    click.echo(f"rtu-edge {__version__}")
    click.echo(f"checkpoint format {_core.checkpoint_version}, reads {_core.oldest_checkpoint_version} and later")
    click.echo(f"TickLink protocol {lib.TL_PROTO_VERSION}")
    context.exit()


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_show_version,
    help="Show the versions of package, checkpoint format and protocol",
)  # fmt: skip
def cli() -> None:
    """On-device reinforcement learning for robots: learn inside a real-time control loop."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with its exit code."""
    _complete_streams()
    sys.exit(int(_run(arguments)))


def _complete_streams() -> None:
    """Makes all output printable, and keeps files and ports from reusing the descriptor of a closed stream."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            if (opened := os.open(os.devnull, os.O_RDWR)) != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 (until the end)
    for name in ("stdout", "stderr"):
        if getattr(sys, name).isatty():
            setattr(sys, name, _terminal(getattr(sys, name)))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a locale without a check mark


class _Terminal(io.FileIO):
    """A stream that may be closed: further output is discarded, so that a run is still stopped, saved and reported."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return len(data)


def _terminal(stream: Any) -> io.TextIOWrapper:
    stream.flush()
    raw = io.BufferedWriter(_Terminal(stream.fileno(), "w", closefd=False))
    return io.TextIOWrapper(raw, stream.encoding, stream.errors, line_buffering=True)


def _run(arguments: Sequence[str] | None) -> int:
    try:
        code = cli.main(list(arguments) if arguments is not None else None, "rtu-edge", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else ExitCode.OK
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except click.ClickException as error:
        error.show()
        return ExitCode.USAGE
    except (click.Abort, KeyboardInterrupt):
        _say("interrupted")
        return ExitCode.CHECK_FAILED
    except BrokenPipeError:
        mute()
        return ExitCode.OK
    except ModuleNotFoundError as error:
        if not (sentence := missing_package(error)):
            raise
        _say(sentence)
        return ExitCode.USAGE
    except Exception as error:
        code = _code(error)
        if code is None:
            raise
        _say(_sentence(error))
        return code


def mute() -> None:
    """The output is closed: further output is discarded."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _code(error: Exception) -> ExitCode | None:
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    # Compared by name, so that --help need import neither the runtime nor the exporter.
    return {"LinkError": ExitCode.DEVICE, "ExportError": ExitCode.CHECK_FAILED}.get(type(error).__name__)


def _sentence(error: Exception) -> str:
    """The error message; for system errors without the number, with a remedy if known."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    path = error.filename2 if error.filename2 is not None else error.filename
    return cause_of(error) if path is None else f"{path}: {cause_of(error)}"


def _say(text: str) -> None:
    from rtu_edge._base.untrusted import clean

    for line in clean(text, lines=True).split("\n"):
        click.echo(f"rtu-edge: {line}", err=True)
