"""rtu-edge device."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rtu_edge.cli import complete, options
from rtu_edge.cli.common import print_json

if TYPE_CHECKING:
    from rtu_edge.device.schema import DataSheet, Hello
    from rtu_edge.device.served import ServedDevice


@click.command(
    "device",
    epilog=options.examples(
        "rtu-edge device cartpole --link /tmp/robot", "rtu-edge device tank.c", "rtu-edge device arm.py:Arm"
    ),
)
@click.argument("plant", default="cartpole", shell_complete=complete.plant)
@click.option("--link", type=click.Path(path_type=Path), metavar="PATH", help="Symbolic link to the port")
@options.seed()
@click.option(
    "--slew",
    type=options.Number(0.0, min_open=True),
    metavar="X",
    help="Largest change of an actuator per period  [default: none]",
)
@click.option(
    "--reset-ticks", type=click.IntRange(0, 65535), metavar="N", help="Extra periods that a reset takes  [default: 0]"
)
@options.firmware("an executable that has PLANT", "RTU_EDGE_FIRMWARE, or the package's")
@options.as_json("one document when the device is ready")
def command(
    plant: str,
    link: Path | None,
    seed: int,
    slew: float | None,
    reset_ticks: int | None,
    firmware: Path | None,
    as_json: bool,
) -> None:
    """Serve a device on a pseudo-terminal: a simulated plant, or a device in Python.

    It runs the firmware as a process until Ctrl-C. PLANT is the name of a simulated plant (cartpole, pendulum, servo,
    each also -full; joint), or the C file of a plant of your own. FILE.py:CLASS is a device in Python
    (docs/python_device.md), which runs in this process; at Ctrl-C and SIGTERM it goes safe. The port behaves like that
    of a board: any number of commands may open it, one after the other.
    """
    from rtu_edge._base.errors import ConfigError, DeviceError
    from rtu_edge.device.ports import open_port
    from rtu_edge.device.simulated import firmware_path, simulated
    from rtu_edge.loop import Link

    if link is not None and link.exists():
        what = (
            f"leads to {os.path.realpath(link)}, which may be another device's"
            if link.is_symlink()
            else "is no symbolic link"
        )
        raise ConfigError(f"--link {link}: exists and {what}; give another path")
    if plant.endswith(".py"):
        raise ConfigError(f"{plant}: a device in Python is named FILE.py:CLASS, here {plant}:CLASS")
    own: dict[str, Any] = {"firmware": firmware_path(str(firmware))} if firmware is not None else {}
    if own and plant.endswith(".c"):
        raise ConfigError(f"--firmware {firmware}: not with a C file; {plant} is built")
    own |= {"seed": seed, "slew": slew, "reset_ticks": reset_ticks}
    if ":" in plant and any(own.values()):
        raise ConfigError(f"{plant}: --seed, --slew, --reset-ticks and --firmware are for simulated plants")
    with _python(plant, link) if ":" in plant else simulated(plant, link=link, **own) as device:
        pid = getattr(device, "pid", os.getpid())
        port = str(link.absolute()) if link is not None else device.port
        with open_port(port) as opened, Link(opened) as line:
            hello, sheet = line.handshake(), line.describe()
        if as_json:
            facts = {"port": port, "plant": plant, "pid": pid, "hello": hello, "channels": sheet.channels}
            print_json(facts)
            sys.stdout.flush()
        else:
            _introduce(port, plant, pid, hello, sheet)
        with contextlib.suppress(KeyboardInterrupt):
            said = ""
            while device.running:
                time.sleep(0.1)
                if (error := getattr(device, "error", "")) != said:
                    click.echo(f"{port}: {error}", err=True)
                    said = error
            raise DeviceError(f"{port}: the device has ended")


@contextlib.contextmanager
def _python(name: str, link: Path | None) -> Iterator[ServedDevice]:
    """The device; SIGTERM also brings it to its safe behaviour."""
    import signal
    from types import FrameType

    from rtu_edge.device.python_device import load_device

    def end(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    with load_device(name).serve(link) as device:
        yield device


def _introduce(port: str, plant: str, pid: int, hello: Hello, sheet: DataSheet) -> None:
    click.echo(f"{port}: {plant}, {1e6 / hello.period_us:g} Hz, process {pid}")
    for channel in sheet.channels:
        kind = "actuator" if channel.actuator else "observation"
        own = f"; {text}" if (text := channel.limits_text(sheet.actuators)) else ""
        click.echo(f"  {kind} {channel.name}: {channel.min:g} to {channel.max:g} {channel.unit}{own}")
    if not hello.simulated:
        click.echo("  does not report that it is simulated: a run needs --arm, limits and a confirmation")
    click.echo("In another terminal:")
    click.echo(f"  rtu-edge monitor {port}")
    click.echo(f"  rtu-edge init {port} -o robot.toml")
    click.echo("Ctrl-C stops it.")
