"""rtu-edge clone."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click
from rich.markup import escape

from rtu_edge.cli import complete, options
from rtu_edge.cli.common import console, print_json, reading
from rtu_edge.cli.outputs import check_not_read


@click.command("clone", epilog=options.examples("rtu-edge clone robot.toml runs/pd -o start.rtu"))
@click.argument("config", type=click.Path(exists=True, dir_okay=False, path_type=Path), shell_complete=complete.config)
@click.argument("log", type=click.Path(exists=True, path_type=Path), shell_complete=complete.run)
@click.option("--sigma", type=options.Number(0.0, 1e3, min_open=True), metavar="S",
    help="Standard deviation of actions at the start  [default: a quarter of the log's]",
)  # fmt: skip
@click.option("--passes", type=click.IntRange(1, 100_000), metavar="N", default=60,
    help="Passes over the log  [default: 60]",
)  # fmt: skip
@options.overrides
@options.memory
@options.out("a checkpoint", "start.rtu")
@options.as_json()
def command(
    config: Path,
    log: Path,
    sigma: float | None,
    passes: int,
    overrides: tuple[str, ...],
    memory: int | None,
    out: Path,
    as_json: bool,
) -> None:
    """Start a learner from a controller's log.

    CONFIG has the learner, LOG is a log.mcap or the folder of a run.
    """
    from rtu_edge._base.errors import ConfigError
    from rtu_edge.config import load_config
    from rtu_edge.learn import cloning
    from rtu_edge.record import RunFolder
    from rtu_edge.record.reader import read_log
    from rtu_edge.run import make_agent
    from rtu_edge.run.cloning import demonstration_of

    settings = load_config(config, overrides)
    path = log / RunFolder.LOG if log.is_dir() else log
    check_not_read(out, config, path)
    with reading(path):
        found = read_log(path, memory)
        agent = make_agent(settings, found.head.sheet)
        demo = demonstration_of(found, settings, agent)
    try:
        result = cloning.clone(agent, demo, sigma=sigma, passes=passes)
    except RuntimeError as error:
        raise ConfigError(str(error)) from error
    agent.save(out)
    if as_json:
        facts = {"state_hash": agent.state_hash(), "cut": found.cut, **dataclasses.asdict(result)}
        print_json({"log": str(path), "checkpoint": str(out), **facts})
        return
    screen = console()
    if found.cut:
        screen.print(escape(f"{path}: {found.cut}"), soft_wrap=True)
    screen.print(escape(str(result)), soft_wrap=True)
    screen.print(escape(f"{out}. Learn on: rtu-edge run {config} --resume {out}"), soft_wrap=True)
