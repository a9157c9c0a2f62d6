"""rtu-edge firmware."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("firmware")
@click.argument("plant", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("build/tl_firmware"),
    show_default=True,
    help="The executable.",
)
def command(plant: Path, out: Path) -> None:
    """Build the firmware around a plant of your own, as a process of this computer.

    PLANT is a C file that defines `const tl_plant tl_plant_own`; docs/hil.md says how. With RTU_EDGE_FIRMWARE naming
    the executable, `hil run --target process` and simulated devices use it.
    """
    from rtu_edge.device.firmware import build_firmware

    done = build_firmware(plant, out)
    click.echo(f"{done}: built around {plant}; use it with RTU_EDGE_FIRMWARE={done}")
