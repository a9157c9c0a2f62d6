"""rtu-edge arm."""

from __future__ import annotations

import click

from rtu_edge.cli import complete, options
from rtu_edge.cli.target import port_of


@click.command("arm", epilog=options.examples("rtu-edge arm robot.toml"))
@click.argument("target", shell_complete=complete.config)
@click.option(
    "--token", type=click.IntRange(1000, 9999), metavar="N", help="Number that the service shows  [default: asked for]"
)
def command(target: str, token: int | None) -> None:
    """Arm the device of a service that waits, disarmed.

    TARGET is a port, or the TOML file that names it. The service shows a number, which has to be typed; it changes
    after each stop.
    """
    import sys

    from rtu_edge._base.errors import ConfigError, DeviceError
    from rtu_edge.device import lock

    port, _ = port_of(target)
    if lock.owner(port) is None:
        raise DeviceError(f"{port}: no process owns this port; start `rtu-edge serve {target}` first")
    shown = lock.status(port).get("arm_token")
    if not shown:
        raise DeviceError(f"{port}: its owner does not wait for arming")
    if token is None:
        if not sys.stdin.isatty():
            raise ConfigError("arming needs a confirmation: answer on a terminal, or give --token")
        click.echo(f"{port}: a learner explores, and will try untested movements. Keep clear.")
        token = click.prompt(f"Type {shown} to arm", type=int)
    lock.arm(port, int(token or 0))
    click.echo(f"{port}: told to arm")
