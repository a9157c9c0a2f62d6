"""The command line. Commands are imported when they are called, so that `rtu-edge --help` answers at once.

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
from rtu_edge._base.version import __version__

__all__ = ["cli", "main"]

_COMMANDS = {
    "demo": "Learn position-only cart-pole over a serial port, from scratch, and show the whole job.",
    "run": "Run the job that a TOML file describes, against a port or a simulated plant.",
    "replay": "Run a learner again from the log of a run, and compare it with what was recorded.",
    "log": "Close the log of a run that was cut off.",
    "blackbox": "Show the last seconds before a run ended, however it ended.",
    "size": "Print sections, bytes, operations and time per step of a learner.",
    "bench": "Measure this host: how late the loop is, and whether it lasts.",
    "hil": "Hardware in the loop: a suite of faults against a simulated device, an emulated board, or your own.",
    "ports": "List serial ports, by their stable names, with what to know about each.",
    "device": "Start a simulated device and keep it: the firmware behind a port with a fixed name, until Ctrl-C.",
    "firmware": "Build the firmware around a plant of your own, as a process of this computer.",
    "monitor": "Show a link live: who drives, the device's state, rates, clocks, losses.",
    "arm": "Let a service that waits, disarmed, move its plant.",
    "clear": "Clear a latched emergency stop or fault of a device that no process owns; it stays disarmed.",
    "service": "Print a systemd unit, a udev rule, a tmpfiles and a limits file for CONFIG; write them with --apply.",
    "serve": "Own a device, disarmed, and run it each time `rtu-edge arm` says so: what the service runs.",
    "estop": "Stop a device: succeeds only when the device reports ESTOP.",
    "export": "Write a checkpoint's policy as ONNX.",
    "verify": "Compare an ONNX file with its checkpoint, step by step, in ONNX Runtime and natively.",
    "ckpt": "List, compare and roll back the checkpoints of a run.",
    "promote": "Show what a run says for and against letting its learner do more.",
    "inspect": "Show what is in a checkpoint, or in the folder of a run.",
}

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
    """Knows its commands by name and a line of help; imports one when it is called."""

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
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="rtu-edge")
def cli() -> None:
    """On-device reinforcement learning for robots: learn inside a real-time control loop."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with its exit code."""
    _complete_streams()
    sys.exit(int(_run(arguments)))


def _complete_streams() -> None:
    """Whatever there is to print can be printed, and no file or port gets the number of a stream that was closed."""
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
        sys.stdout.reconfigure(errors="replace")  # a locale that has no check mark


class _Terminal(io.FileIO):
    """One that may be closed: what is printed then goes nowhere, so that a run is stopped, saved and reported."""

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
    except Exception as error:
        code = _code(error)
        if code is None:
            raise
        _say(_sentence(error))
        return code


def mute() -> None:
    """Nobody reads the output any more: what else is printed goes nowhere."""
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
    """What is wrong; of an error of the system without its number, with what to do where that is known."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    path = error.filename2 if error.filename2 is not None else error.filename
    return cause_of(error) if path is None else f"{path}: {cause_of(error)}"


def _say(text: str) -> None:
    from rtu_edge._base.untrusted import clean

    for line in clean(text, lines=True).split("\n"):
        click.echo(f"rtu-edge: {line}", err=True)
