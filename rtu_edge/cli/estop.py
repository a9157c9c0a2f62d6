"""rtu-edge estop."""

from __future__ import annotations

import click

from rtu_edge.cli.target import port_of


@click.command("estop")
@click.argument("target")
@click.option("--baud", type=click.IntRange(1200), default=None, help="If the port has to be opened here.")
@click.option("--timeout-s", type=click.FloatRange(0.1), default=5.0, show_default=True, help="Give up after so long.")
def command(target: str, baud: int | None, timeout_s: float) -> None:
    """Stop a device: succeeds only when the device says so.

    TARGET is a port, or the TOML file that names it. The process that owns the port is asked first; if it does not
    answer within 200 ms it is ended and the port is opened here. The stop is latched: it has to be cleared before the
    device can be armed again.
    """
    from rtu_edge import control

    port, configured = port_of(target)
    done = control.estop(port, baud=baud or configured, timeout_s=timeout_s)
    how = "by the process that owns the port" if done.by == "owner" else "directly"
    ended = f"; process {done.ended_pid} did not answer and was ended" if done.ended_pid is not None else ""
    click.echo(f"{port}: stopped {how}, confirmed by the device{ended}")
