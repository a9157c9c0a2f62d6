"""rtu-edge init."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rtu_edge.cli import complete, options

if TYPE_CHECKING:
    from rtu_edge.device.schema import DataSheet, Hello


@click.command(
    "init",
    epilog=options.examples(
        "rtu-edge init /dev/ttyACM0 -o robot.toml", "rtu-edge init cartpole", "rtu-edge init --all -o every-key.toml"
    ),
)
@click.argument("device", metavar="[PORT|PLANT]", required=False, shell_complete=complete.device)
@options.out("the configuration", "robot.toml")
@options.force("overwrite an existing file")
@options.baud()
@click.option("--all", "every", is_flag=True, help="Write every key with its default as a comment, without a device")
@options.overrides
def command(
    device: str | None, out: Path, force: bool, baud: int | None, every: bool, overrides: tuple[str, ...]
) -> None:
    """Write a configuration file for a board or a simulated plant.

    PORT is a serial port: the board is asked for its identity and data sheet, and is not armed. PLANT is the name of a
    simulated plant or a C file. The file has about a dozen keys: the port by its persistent name, limits for each
    actuator from the data sheet, to be tightened, period, reward with targets, and the size of the learner.
    """
    from rtu_edge._base import files
    from rtu_edge._base.errors import ConfigError

    if every == (device is not None):
        raise click.UsageError("give a PORT or a PLANT, or --all without one")
    if overrides and not every:
        raise click.UsageError("--set: only with --all; edit the file that is written, or give --set to `rtu-edge run`")
    if device is not None and "/" not in device and not device.endswith(".c"):
        _check_name(device)
    if os.path.lexists(out) and not force:
        raise ConfigError(f"{out}: exists; give another -o, or --force to overwrite it")
    if device is None:
        from rtu_edge.config.first import first_file

        text, steps = first_file(overrides), ["--sim"]
    else:
        text, steps = _starter(device, out, baud)
    files.write(out, text.encode())
    click.echo(f"{out}: written; next:")
    for step in steps:
        click.echo(f"  rtu-edge run {out} {step}".rstrip())


def _check_name(plant: str) -> None:
    from rtu_edge._base.errors import ConfigError
    from rtu_edge.device import plants
    from rtu_edge.device.simulated import unknown_plant

    if plant not in plants.names():
        raise ConfigError(unknown_plant(plant, plants.names()))


def _starter(device: str, out: Path, baud: int | None) -> tuple[str, list[str]]:
    """The text, and the options of the next runs."""
    from rtu_edge.config.starter import starter

    is_port = "/" in device and not device.endswith(".c")
    with _asked(device, is_port, baud) as (name, hello, sheet):
        own: dict[str, str | int] = {"port": name} if is_port else {"plant": device}
        if is_port and baud is not None:
            own["baud"] = baud
        if is_port and (plant := _same_plant(hello, sheet)):
            own["sim"] = plant
        source = name if is_port else f"the simulated plant {device}"
        text = starter(out, source, own, hello, sheet)
    if not is_port:
        return text, ["--sim", ""]
    safe = "--sim" if "sim" in own else "--sim --plant NAME|FILE.c"
    last = "" if hello.simulated else "--arm    # after tightening the limits"
    return text, [safe, "--dry-run", last]


@contextmanager
def _asked(device: str, is_port: bool, baud: int | None) -> Iterator[tuple[str, Hello, DataSheet]]:
    """Persistent name, identity and data sheet of a device; sends no other request."""
    from rtu_edge._base.errors import DeviceError
    from rtu_edge.device import lock
    from rtu_edge.device.ports import DEFAULT_BAUD, list_ports, open_port
    from rtu_edge.device.simulated import simulated
    from rtu_edge.loop import Link, LinkError

    with ExitStack() as stack:
        if is_port:
            if (pid := lock.owner(device)) is not None:
                raise DeviceError(f"{device}: process {pid} owns this port; end it first")
            named = {os.path.realpath(port.device): port.path for port in list_ports()}
            port = name = named.get(os.path.realpath(device), device)
        else:
            port, name = stack.enter_context(simulated(device)).port, device
        opened = stack.enter_context(open_port(port, baud or DEFAULT_BAUD))
        try:
            link = stack.enter_context(Link(opened))
            yield name, link.handshake(), link.describe()
        except LinkError as error:
            raise DeviceError(f"{port}: {error}") from error


def _same_plant(hello: Hello, sheet: DataSheet) -> str:
    """The simulated plant with the channels and the period of this device, or ""."""
    from rtu_edge.device import plants

    def facts(of: DataSheet) -> list[tuple[str, str, float, float]]:
        return [(row.name, row.unit, row.min, row.max) for row in of.channels]

    for name in plants.names():
        plant = plants.sheet(name)
        if facts(plant) == facts(sheet) and round(plant.period_s * 1e6) == hello.period_us:
            return name
    return ""
