"""rtu-edge bench."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape

from rtu_edge.cli import complete, options
from rtu_edge.cli.common import console, print_json

if TYPE_CHECKING:
    from rich.console import Console

    from rtu_edge.bench.latency import Latencies
    from rtu_edge.config import Config
    from rtu_edge.device.simulated import SimulatedDevice


@click.group("bench", epilog=options.examples("rtu-edge bench loop", "rtu-edge bench soak --hours 1"))
def command() -> None:
    """Measure this host: latency of the loop, a soak test, and drops."""


@command.command(
    "loop",
    epilog=options.examples("rtu-edge bench loop --seconds 60 --load 4", "rtu-edge bench loop robot.toml --arm"),
)
@click.argument(
    "config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=False,
    shell_complete=complete.config,
)
@click.option(
    "--port", metavar="PORT", help="Serial port to measure  [default: a simulated device]", shell_complete=complete.port
)
@options.seconds(10.0, "10")
@click.option(
    "--hz",
    type=options.Number(0.1, 10_000.0),
    metavar="X",
    help="Rate of the simulated device, in Hz  [default: the plant's]",
)
@click.option(
    "--load", type=click.IntRange(0, 1024), metavar="N", default=0, help="Number of busy processes  [default: 0]"
)
@click.option("--realtime/--no-realtime", default=True, help="Request locked memory and SCHED_FIFO  [default: on]")
@options.cpu(-1)
@options.out_folder("a folder", "runs/bench-loop")
@options.arm()
@options.yes()
@options.overrides
@options.as_json()
def loop(
    config: Path | None,
    port: str | None,
    seconds: float,
    hz: float | None,
    load: int,
    realtime: bool,
    cpu: int,
    out: Path,
    arm: bool,
    yes: bool,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Measure the latency of each part of each step of the real loop.

    CONFIG gives device, learner and limits as for `rtu-edge run`; without one a simulated cart-pole and the default
    learner. Real hardware is armed by the same rules. Prints percentiles and the ten worst steps, and saves
    latency.json and latency.png.
    """
    from contextlib import ExitStack

    from rtu_edge import run as job
    from rtu_edge._base.errors import ConfigError
    from rtu_edge.bench import latency, picture
    from rtu_edge.cli.run import confirm
    from rtu_edge.config import Clock

    said = console(as_json)
    settings = job.with_firmware(_settings(config, port, realtime, cpu, overrides))
    if settings.loop.clock is Clock.LOCKSTEP:
        raise ConfigError('loop.clock = "lockstep": virtual time has no latency to measure; "device" or "host"')
    if hz is not None and not settings.device.plant:
        raise ConfigError(f"--hz {hz:g}: only for a simulated device; the rate of a real one is its own")
    with ExitStack() as stack:
        if settings.device.plant:
            period_us = round(1e6 / hz) if hz is not None else None
            settings = _at(settings, stack.enter_context(_simulated(settings, period_us)).port)
        connection = stack.enter_context(job.connect(settings))
        if not connection.hello.simulated:
            confirm(said, settings, connection, arm, yes)
        agent = job.make_agent(settings, connection.sheet)
        job.check_deadline(agent, connection.sheet.period_s)
        run = job.loop_config(settings, connection, seconds=seconds, steps=0, target_return=None)
        supervised = job.supervised(settings, connection, agent, run)
        facts = {
            "port": port or settings.device.port if config or port else "simulated",
            "hz": 1 / connection.sheet.period_s,
            "period_us": connection.hello.period_us,
            "clock": settings.loop.clock.value,
            "load": load,
            "realtime": settings.loop.realtime,
            "cpu": settings.loop.cpu,
            "learner_bytes": agent.nbytes,
            "mode": supervised.mode.value,
        }
        found, records, result = latency.measure(connection, agent, run, facts, load, supervised.policy)
    numbers, image, note = picture.save(found, records, out)
    _show(said, found)
    said.print(f"{escape(str(numbers))}\n[bold]{escape(note or str(image))}[/]", soft_wrap=bool(note))
    if as_json:
        print_json({**json.loads(numbers.read_bytes()), "picture": None if image is None else str(image)})
    if (trouble := job.error_of(result)) is not None:
        raise trouble


@command.command("soak", epilog=options.examples("rtu-edge bench soak --hours 1"))
@click.option(
    "--hours",
    type=options.Number(0.001, 10_000.0),
    metavar="X",
    default=10.0,
    help="Length of the test in virtual time, in hours  [default: 10]",
)
@options.seed()
@options.out_folder("a folder", "runs/soak")
@options.as_json()
def soak_command(hours: float, seed: int, out: Path, as_json: bool) -> None:
    """Learn for hours of virtual time over a link with faults.

    Frames are lost, damaged and repeated, the host stalls, the device restarts. It passes when these explain each stop,
    memory does not grow and the learner's state is finite.
    """
    import time

    from rtu_edge.bench import soak

    said = console(as_json)
    spoken_s = time.monotonic()

    def watch(steps: int, total: int) -> None:
        nonlocal spoken_s
        if time.monotonic() - spoken_s > 15.0:
            spoken_s = time.monotonic()
            said.print(f"  {steps:,} of {total:,} steps")

    done = soak.soak(hours, seed=seed, watch=watch)
    said.print(soak.text(done))
    soak.save(done, out)
    said.print(f"[bold]{escape(str(out / 'soak.html'))}[/]")
    if as_json:
        print_json({**asdict(done), "report": str(out / "soak.html")})


@command.command("drops", epilog=options.examples("rtu-edge bench drops --away 1"))
@click.option(
    "--count", type=click.IntRange(1, 100_000), metavar="N", default=100, help="Number of drops  [default: 100]"
)
@click.option(
    "--away",
    type=options.Number(0.01, 500.0),
    metavar="SECONDS",
    default=0.2,
    help="Length of a drop  [default: 0.2]",
)
@options.out_folder("a folder", "runs/drops")
def drops_command(count: int, away: float, out: Path) -> None:
    """Drop the plug of a simulated device while a run learns on it (docs/reconnect.md)."""
    from rtu_edge.bench import drops

    said = console()

    def watch(done: int) -> None:
        if done % 10 == 0:
            said.print(f"  {done:,} of {count:,} drops")

    found = drops.drops(count, away, watch=watch)
    said.print(drops.text(found))
    drops.save(found, out)
    said.print(f"[bold]{escape(str(out / 'drops.txt'))}[/]")


def _settings(config: Path | None, port: str | None, realtime: bool, cpu: int, overrides: tuple[str, ...]) -> Config:
    from rtu_edge.config import load_config, parse_config

    given: tuple[str, ...] = (f"loop.realtime={'true' if realtime else 'false'}", f"loop.cpu={cpu}")
    if port is not None:
        given = (*given, 'device.plant=""', f"device.port={port}")
    if config is not None:
        return load_config(config, (*given, *overrides))
    return parse_config('device.plant = "cartpole"\n', (*given, *overrides), source="--set")


def _simulated(settings: Config, period_us: int | None) -> SimulatedDevice:
    from rtu_edge.device.simulated import simulated

    own: dict[str, Any] = {"firmware": settings.device.firmware} if settings.device.firmware else {}
    return simulated(settings.device.plant, period_us=period_us, **own)


def _at(settings: Config, port: str) -> Config:
    import msgspec

    device = msgspec.structs.replace(settings.device, plant="", port=port)
    return msgspec.structs.replace(settings, device=device)


def _show(said: Console, found: Latencies) -> None:
    from rtu_edge._base.text_table import TextTable

    columns = ("p50", "p99", "p99.9", "max")
    table = TextTable("µs", *columns, padding=3)
    for name, numbers in found.parts.items():
        table.add_row(name, *(f"{numbers[key]:,.1f}" if numbers["count"] else "-" for key in columns))
    said.print(table)
    said.print(
        f"{found.steps:,} steps in {found.seconds:.1f} s; {found.overruns} overruns, {found.skipped} periods skipped,"
        f" {found.missed} missed, {found.dropped} updates dropped; stopped: {found.reason}"
    )
    keys = ("at", "step", "total_us", "lateness_us", "receive_us", "predict_us", "send_us", "update_us")
    worst = TextTable(*(f"the worst, {key}" if key == "at" else key.replace("_us", "") for key in keys))
    for step in found.worst:
        worst.add_row(*(str(step[key]) for key in keys))
    said.print(worst)
    facts: dict[str, Any] = dict(found.system)
    said.print("; ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.items()), style="dim")
    for line in found.privileges:
        said.print(f"refused: {line}")
