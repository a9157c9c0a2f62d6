"""rtu-edge size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rtu_edge.cli.common import overrides


@click.command("size")
@click.argument("config", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False)
@click.option("--observations", type=click.IntRange(1), default=2, show_default=True, help="Width of the observation.")
@click.option("--actuators", type=click.IntRange(1), default=1, show_default=True, help="Number of actuators.")
@click.option(
    "--calibrate/--no-calibrate", default=True, show_default=True, help="Measure a step's time on this host, 0.2 s."
)
@overrides
def command(
    config: Path | None, observations: int, actuators: int, calibrate: bool, overrides: tuple[str, ...]
) -> None:
    """Print sections, bytes, operations and time per step of a learner.

    CONFIG is a TOML file with a [learner] section; without one the defaults are used.
    """
    from rtu_edge.config import Actions, load_config, parse_config
    from rtu_edge.learn.footprint import footprint as size

    if config is not None:
        settings = load_config(config, overrides)
    else:
        settings = parse_config('[device]\nplant = "cartpole"\n', overrides, source="--set")
    arguments: dict[str, Any] = settings.learner.arguments()
    if settings.learner.actions is Actions.DISCRETE:
        arguments["n_actions"] = settings.learner.levels
    else:
        arguments["action_size"] = actuators
    click.echo(str(size("stream_ac", observation_size=observations, calibrate=calibrate, **arguments)))
