"""rtu-edge ports."""

from __future__ import annotations

import click
from rich.markup import escape

from rtu_edge.cli.common import console


@click.command("ports")
def command() -> None:
    """List serial ports, by their stable names, with what to know about each."""
    from rtu_edge._base.text_table import TextTable
    from rtu_edge.device.ports import list_ports

    found = list_ports()
    if not found:
        click.echo("No serial port found. A simulated one: rtu-edge demo")
        return
    columns = ("port", "device", "driver", "product", "note")
    table = TextTable(*columns, prose=columns)
    for port in found:
        device = port.device if port.device != port.path else ""
        table.add_row(*map(escape, (port.path, device, port.driver, port.description, port.hint)))
    console().print(table)
