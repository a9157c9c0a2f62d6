"""rtu-edge device."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import click


@click.command("device")
@click.argument("plant", default="cartpole")
@click.option("--link", type=click.Path(path_type=Path), help="Symbolic link to the port, for a name that stays.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Start of episode 0.")
@click.option("--slew", type=click.FloatRange(0.0, min_open=True), help="Largest change per period.  [default: none]")
@click.option("--reset-ticks", type=click.IntRange(0, 65535), help="Extra periods that a reset takes.  [default: 0]")
def command(plant: str, link: Path | None, seed: int, slew: float | None, reset_ticks: int | None) -> None:
    """Start a simulated device and keep it: the firmware behind a port with a fixed name, until Ctrl-C.

    PLANT is the name of a simulated plant (cartpole, pendulum, servo, each also -full), or the C file of a plant of
    your own. The port behaves like a board's: any number of commands may open it, one after the other.
    """
    from rtu_edge._base.errors import ConfigError, DeviceError
    from rtu_edge.device.ports import open_port
    from rtu_edge.device.simulated import simulated
    from rtu_edge.loop import Link

    if link is not None and link.exists():
        what = (
            f"leads to {os.path.realpath(link)}, which may be another device's"
            if link.is_symlink()
            else "is no symbolic link"
        )
        raise ConfigError(f"--link {link}: exists and {what}; give another path")
    with simulated(plant, link=link, seed=seed, slew=slew, reset_ticks=reset_ticks) as device:
        port = str(link.absolute()) if link is not None else device.port
        with open_port(port) as opened, Link(opened) as line:
            hello, sheet = line.handshake(), line.describe()
        click.echo(f"{port}: {plant}, {1e6 / hello.period_us:g} Hz, process {device.pid}")
        for channel in sheet.channels:
            kind = "moves" if channel.actuator else "observes"
            click.echo(f"  {kind} {channel.name}: {channel.min:g} to {channel.max:g} {channel.unit}")
        if not hello.simulated:
            click.echo("  does not say that it is simulated: a run needs --arm, limits and a confirmation")
        click.echo("In another terminal:")
        click.echo(f"  rtu-edge monitor {port}")
        click.echo(f"  rtu-edge run FILE --set device.port={port}")
        click.echo("Ctrl-C ends it.")
        with contextlib.suppress(KeyboardInterrupt):
            while device.running:
                time.sleep(0.1)
            raise DeviceError(f"{port}: the firmware has ended")
