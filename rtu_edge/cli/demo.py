"""rtu-edge demo."""

from __future__ import annotations

import click

from rtu_edge.cli import options
from rtu_edge.cli.common import console


@click.command(
    "demo",
    epilog=options.examples("rtu-edge demo", "rtu-edge demo --seed 3 --realtime-s 5", "rtu-edge demo --bus feetech"),
)
@click.option("--memoryless", is_flag=True, help="Use a learner without the recurrent cell, for comparison")
@click.option("--discrete", is_flag=True, help="Use two discrete forces in place of a continuous one")
@click.option(
    "--bus",
    type=click.Choice(["feetech", "dynamixel"]),
    help="Emulated servos, not cart-pole",
)
@options.seed()
@options.steps(shown="100000, or 30000")
@click.option(
    "--realtime-s",
    type=options.Number(0.1),
    metavar="S",
    default=20.0,
    help="Length of the real-time stage, in seconds  [default: 20]",
)
@options.name("demo")
@options.folder("runs")
@options.overrides
def command(
    memoryless: bool,
    discrete: bool,
    bus: str | None,
    seed: int,
    steps: int | None,
    realtime_s: float,
    name: str | None,
    folder: str,
    overrides: tuple[str, ...],
) -> None:
    """Learn cart-pole over a simulated serial port; needs no hardware.

    Starts the firmware as a process behind a pseudo-terminal, learns from scratch without velocities, and drives in
    real time. Exit code 0 only if every check passes.

    With --bus two joints with position sensing learn a correction on a PD controller that a search has tuned.
    """
    if bus is not None:
        from rtu_edge._base.errors import ConfigError
        from rtu_edge.demo.bus import BusOptions, run_bus_demo

        if memoryless or discrete or overrides:
            raise ConfigError("--memoryless, --discrete, --set: only without --bus")
        run_bus_demo(BusOptions(bus, name, seed, steps, realtime_s, folder), console())
        return
    from rtu_edge.demo import Options, run_demo

    options = Options(
        name=name,
        seed=seed,
        steps=steps,
        realtime_s=realtime_s,
        memoryless=memoryless,
        discrete=discrete,
        folder=folder,
        overrides=overrides,
    )
    run_demo(options, console())
