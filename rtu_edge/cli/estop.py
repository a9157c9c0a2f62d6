"""rtu-edge estop."""

from __future__ import annotations

import json
import os

import click

from rtu_edge.cli import complete, options
from rtu_edge.cli.target import bus_of, companions_of, is_file, plant_of, port_of
from rtu_edge.tools import estop as stops


@click.command("estop", epilog=options.examples("rtu-edge estop robot.toml", "rtu-edge estop /dev/ttyACM0"))
@click.argument("target", shell_complete=complete.port)
@options.baud()
@click.option(
    "--timeout-s",
    type=options.Number(0.1),
    metavar="S",
    default=5.0,
    help="Time limit for the whole stop, in seconds  [default: 5]",
)
@options.as_json()
def command(target: str, baud: int | None, timeout_s: float, as_json: bool) -> None:
    """Stop a device; succeeds only when the device reports ESTOP.

    TARGET is a port, or the configuration file of a run. Stopped are the device at the port, and each device that a run
    with this port or this file drives. The process that drives it is asked first; if it does not answer within 200 ms
    it is ended and the device is asked directly. The stop is latched until `rtu-edge clear`.
    """
    from rtu_edge._base.errors import ConfigError
    from rtu_edge.device import lock
    from rtu_edge.device.ports import DEFAULT_BAUD

    # A missing file may have existed when its run started.
    port, configured, config = "", DEFAULT_BAUD, "" if "://" in target or os.path.exists(target) else target
    try:
        if is_file(target):
            config = target
        port, configured = port_of(target)
    except ConfigError:
        # A run may drive nevertheless: the file was changed since, or is not for this user to read.
        bus = bus_of(target)
        if bus is not None:
            port, configured = bus
        elif not lock.owners("", config):
            raise
    also = [(other, baud or theirs) for other, theirs in companions_of(target)]
    done = stops.estop(port, config=config, baud=baud or configured, timeout_s=timeout_s, also=also)
    if as_json:
        click.echo(json.dumps({"stopped": list(done.stopped), "by": done.by, "ended_pid": done.ended_pid}))
        return
    how = "by the process that owns the port" if done.by == "owner" else "directly"
    ended = f"; process {done.ended_pid} was ended" if done.ended_pid is not None else ""
    click.echo(f"{', '.join(done.stopped)}: stopped {how}, confirmed by the device{ended}")
    if plant_of(target):
        click.echo("The device is simulated and ends with its run: nothing is to be cleared.")
        return
    click.echo(f"The stop is latched: when the plant may move again, run `rtu-edge clear {target}`.")
