"""rtu-edge firmware."""

from __future__ import annotations

from pathlib import Path

import click

from rtu_edge.cli import options
from rtu_edge.cli.outputs import check_file, check_folder, check_not_read


@click.command("firmware", epilog=options.examples("rtu-edge firmware winch.c --board uno"))
@click.argument("plant", type=click.Path(path_type=Path))
@options.out("", "", "build/tl_firmware", check=None)
@click.option("--board", metavar="NAME", help="Board, in place of a process")
def command(plant: Path, out: Path | None, board: str | None) -> None:
    """Build the firmware around a plant of your own.

    PLANT is a C file that defines `const tl_plant tl_plant_own` (docs/hil.md). `device.firmware`, or
    the variable RTU_EDGE_FIRMWARE, names the executable for `run` and `hil run --target process`.
    """
    from rtu_edge.device.boards import build_board
    from rtu_edge.device.firmware import build_firmware

    if out is not None:
        check_folder(out) if board is not None else check_file(out, made=True)
        check_not_read(out, plant)
    if board is not None:
        image = build_board(board, str(plant), out or Path("build") / "boards" / f"{board}-{plant.stem}")
        click.echo(f"{image}: for {board}, built around {plant}; docs/boards.md has the command that flashes it")
        return
    done = build_firmware(plant, out or Path("build") / "tl_firmware")
    click.echo(f"{done}: built around {plant}; use it with --set device.firmware={done}, or RTU_EDGE_FIRMWARE={done}")
