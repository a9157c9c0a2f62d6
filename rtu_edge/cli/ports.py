"""rtu-edge ports."""

from __future__ import annotations

import click
from rich.markup import escape

from rtu_edge.cli import options
from rtu_edge.cli.common import console, print_json


@click.command("ports", epilog=options.examples("rtu-edge ports"))
@options.as_json()
def command(as_json: bool) -> None:
    """List serial ports by persistent name.

    For each port the kernel's name, the driver, the product, and what to know about such a port.
    """
    from rtu_edge._base.text_table import TextTable
    from rtu_edge.device.ports import list_ports

    found = list_ports()
    if as_json:
        print_json({"ports": found})
        return
    if not found:
        click.echo("No serial port found. A simulated one: rtu-edge demo")
        return
    columns = ("port", "device", "driver", "product", "note")
    table = TextTable(*columns, prose=columns)
    for port in found:
        device = port.device if port.device != port.path else ""
        table.add_row(*map(escape, (port.path, device, port.driver, port.description, port.hint)))
    console().print(table)
