"""rtu-edge demo."""

from __future__ import annotations

import click

from rtu_edge.cli.common import console, overrides


@click.command("demo")
@click.option("--memoryless", is_flag=True, help="The same learner without its recurrent cell.")
@click.option("--discrete", is_flag=True, help="Two forces instead of a continuous one.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Of everything random.")
@click.option("--steps", type=click.IntRange(1), help="Give up learning after so many steps.  [default: 100000]")
@click.option(
    "--realtime-s", type=click.FloatRange(0.1), default=20.0, show_default=True, help="Length of the real-time part."
)
@click.option("--name", help="Of the folder under runs/.  [default: demo]")
@click.option("--folder", default="runs", show_default=True, help="Where the run's folder goes.")
@overrides
def command(
    memoryless: bool,
    discrete: bool,
    seed: int,
    steps: int | None,
    realtime_s: float,
    name: str | None,
    folder: str,
    overrides: tuple[str, ...],
) -> None:
    """Learn position-only cart-pole over a serial port, from scratch, and show the whole job.

    Starts the firmware as a process behind a pseudo-terminal; needs no hardware. Ends with 0 only if every check held.
    """
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
