"""rtu-edge clear."""

from __future__ import annotations

import click

from rtu_edge.cli import complete, options
from rtu_edge.cli.target import companions_of, plant_of, port_of


@click.command("clear", epilog=options.examples("rtu-edge clear robot.toml"))
@click.argument("target", shell_complete=complete.port)
@options.baud()
def command(target: str, baud: int | None) -> None:
    """Clear a latched emergency stop or fault of a device.

    TARGET is a port that no process owns, or the TOML file that names it. The device stays disarmed. Inspect the plant
    first.
    """
    from rtu_edge._base.errors import DeviceError
    from rtu_edge.device import lock
    from rtu_edge.device.ports import open_port
    from rtu_edge.loop import Link

    if plant := plant_of(target):
        _simulated(target, plant)
        return
    port, configured = port_of(target)
    ports = [(port, configured), *companions_of(target)]
    for port, _ in ports:
        if (pid := lock.owner(port)) is not None:
            raise DeviceError(
                f"{port}: not cleared: process {pid} owns this port; end it first (a service: systemctl stop NAME)"
            )
    for port, configured in ports:
        with open_port(port, baud or configured) as opened, Link(opened) as link:
            link.handshake()
            if not link.clear_fault():
                raise DeviceError(f"{port}: the device did not clear its fault: armed, or the cause is still there")
        click.echo(f"{port}: cleared; disarmed, a new session may arm it")


def _simulated(target: str, plant: str) -> None:
    """A simulated device belongs to the process of its run.

    Raises:
        DeviceError: that process still runs.
    """
    from rtu_edge._base.errors import DeviceError
    from rtu_edge.device import lock

    ends = "the simulated device ends with its run"
    if (found := lock.port_of_run(target)) and (pid := lock.owner(found)) is not None:
        raise DeviceError(f"{target}: not cleared: process {pid} runs the plant {plant}; {ends}, so end that process")
    click.echo(f"{target}: nothing to clear: {ends}, and no run with this file is active")
