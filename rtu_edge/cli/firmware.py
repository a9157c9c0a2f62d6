"""rtu-edge firmware."""

from __future__ import annotations

from pathlib import Path

import click

from rtu_edge.cli import options


@click.command("firmware", epilog=options.examples("rtu-edge firmware tank.c -o build/tl_firmware"))
@click.argument("plant", type=click.Path(path_type=Path))
@options.out("an executable", "build/tl_firmware")
def command(plant: Path, out: Path) -> None:
    """Build the firmware around a plant of your own, as a process.

    PLANT is a C file that defines `const tl_plant tl_plant_own` (docs/hil.md). `device.firmware` of a configuration, or
    the variable RTU_EDGE_FIRMWARE, names the executable for `run` and `hil run --target process`.
    """
    from rtu_edge.device.firmware import build_firmware

    done = build_firmware(plant, out)
    click.echo(f"{done}: built around {plant}; use it with --set device.firmware={done}, or RTU_EDGE_FIRMWARE={done}")
