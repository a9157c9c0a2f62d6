"""rtu-edge size."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from rtu_edge.cli import complete, options
from rtu_edge.cli.common import print_json
from rtu_edge.cli.target import is_file

if TYPE_CHECKING:
    from rtu_edge.learn.footprint import Footprint
    from rtu_edge.learn.on_board import OnBoard

# Bytes of flash, without two sectors for checkpoints, and of RAM; Hz.
_STM32F405 = (768 * 1024, 128 * 1024, 168_000_000)


@click.command(
    "size", epilog=options.examples("rtu-edge size robot.toml", "rtu-edge size servo --set learner.units=64")
)
@click.argument("config", metavar="[CONFIG|PLANT]", required=False, shell_complete=complete.device)
@click.option(
    "--observations",
    type=click.IntRange(1),
    metavar="N",
    help="Number of observations  [default: those of the plant, or 2]",
)
@click.option(
    "--actuators", type=click.IntRange(1), metavar="N", help="Number of actuators  [default: those of the plant, or 1]"
)
@click.option("--board", is_flag=True, help="Size as firmware too")
@click.option("--calibrate/--no-calibrate", default=True, help="Time a step on this host  [default: on]")
@options.overrides
@options.as_json()
def command(
    config: str | None,
    observations: int | None,
    actuators: int | None,
    board: bool,
    calibrate: bool,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Print memory, operations and time per step of a learner.

    CONFIG is a TOML file with a [learner] section; PLANT is the name of a simulated plant, for a learner of that size
    with the defaults. `device.plant` or `device.sim` of the file gives the numbers of observations and actuators. The
    table has a line for each part; --json lists every section.
    """
    from rtu_edge import _core
    from rtu_edge._base.errors import ConfigError
    from rtu_edge._base.strict import quoted
    from rtu_edge.config import Actions, load_config, parse_config
    from rtu_edge.device import plants
    from rtu_edge.device.simulated import unknown_plant
    from rtu_edge.learn.footprint import footprint as size
    from rtu_edge.learn.on_board import on_board

    if config is not None and (is_file(config) or "/" in config):
        settings = load_config(config, overrides)
    else:
        settings = parse_config(f"device.plant = {quoted(config or 'cartpole')}\n", overrides, source="--set")
    if settings.companion and not (observations and actuators):
        raise ConfigError("companion: give --observations and --actuators, the numbers of all devices together")
    plant = settings.device.plant or settings.device.sim
    if plant and not plant.endswith(".c") and not settings.device.firmware:
        if plant not in plants.names():
            raise ConfigError(unknown_plant(plant, plants.names()))
        sheet = plants.sheet(plant)
        observations = observations or sheet.observation_size
        actuators = actuators or sheet.action_size
    arguments: dict[str, Any] = settings.learner.arguments()
    if settings.learner.actions is Actions.DISCRETE:
        arguments["n_actions"] = settings.learner.levels
    else:
        arguments["action_size"] = actuators or 1
    found = size("stream_ac", observation_size=observations or 2, calibrate=calibrate, **arguments)
    monitor = settings.learner_monitor
    scanned = min(monitor.scan_kib * 1024, found.nbytes) if monitor.enabled else 0
    firmware = on_board(found) if board else None
    if as_json:
        plain = {**_plain(found), "learner_monitor": {"included": False, "scan_bytes": scanned}}
        print_json({**plain, "board": asdict(firmware)} if firmware else plain)
        return
    click.echo("\n".join([*_groups(found), found.totals]))
    if firmware:
        click.echo("\n".join(_board_lines(firmware)))
    click.echo(
        f"not included: on a host, {len(found.sections) * _core.section_bytes:,} bytes for the table of the "
        f"{len(found.sections)} sections"
    )
    if scanned:
        click.echo(
            f"not included: the learner monitor, which also checks {scanned:,} bytes of the state per step "
            f"(learner_monitor.scan_kib = {monitor.scan_kib})"
        )


def _groups(found: Footprint) -> list[str]:
    """A line for each part of the learner: name, number of sections, bytes; and for the bytes between the sections."""
    groups: dict[str, list[int]] = {}
    for name, _, _, size in found.sections:
        parts = name.split(".")
        groups.setdefault(".".join(parts[:2] if len(parts) > 2 else parts[:1]), []).append(size)
    rows = [(name, f"{len(sizes)} section{'s' * (len(sizes) > 1)}", sum(sizes)) for name, sizes in groups.items()]
    rows.append(("alignment", "", found.nbytes - sum(size for _, _, size in rows)))
    width = max(len(name) for name, _, _ in rows)
    return [f"{name:{width}}  {count:>12}  {size:>9} bytes" for name, count, size in rows if size]


def _board_lines(found: OnBoard) -> list[str]:
    """The learner as firmware, and each board with what it lacks, if anything."""
    from rtu_edge.device.boards import BOARDS

    lines = [
        f"on a Cortex-M4F: {found.ram} bytes of RAM and {found.flash} of flash, without bridge and stack;"
        f" {found.instructions} instructions and {found.cycles} cycles per step without wait states,"
        f" {found.cycles / _STM32F405[2] * 1e6:.0f} us at {_STM32F405[2] // 1_000_000} MHz"
    ]
    lines.append(f"  {'stm32f405':12} {'Cortex-M4F, STM32F405':24} {_verdict(_lacks(found, *_STM32F405[:2]))}")
    for board in BOARDS.values():
        own = "its firmware has 8 units and 8 hidden only" if board.store else "no firmware with a learner"
        unit = [] if board.core.startswith("Cortex-M7") else ["no floating-point unit"]
        lacks = [own, *unit, *_lacks(found, board.flash[1], board.ram[1])]
        lines.append(f"  {board.name:12} {board.core:24} {_verdict(lacks)}")
    return lines


def _lacks(found: OnBoard, flash: int, ram: int) -> list[str]:
    """What the image has no room for; RAM with the stack that the linker reserves."""
    lacks = [f"flash {found.image_flash} of {flash}"] * (found.image_flash > flash)
    return lacks + [f"RAM {found.linked_ram} of {ram}"] * (found.linked_ram > ram)


def _verdict(lacks: list[str]) -> str:
    return f"no: {', '.join(lacks)}" if lacks else "fits"


def _plain(found: Footprint) -> dict[str, Any]:
    sections = [{"name": row[0], "type": str(row[1]), "shape": list(row[2]), "bytes": row[3]} for row in found.sections]
    return {
        "kind": found.kind,
        "bytes": found.nbytes,
        "flops": found.flops,
        "times": None if found.times is None else {**asdict(found.times), "step_us": found.times.step_us},
        "sections": sections,
    }
