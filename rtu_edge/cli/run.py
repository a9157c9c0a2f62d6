"""rtu-edge run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rtu_edge.cli.common import console, overrides

if TYPE_CHECKING:
    from rich.console import Console

    from rtu_edge import job
    from rtu_edge.config import Config


@click.command("run")
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--arm", is_flag=True, help="Let real hardware move. Without it a real device is only looked at.")
@click.option("--yes", is_flag=True, help="Do not ask before arming real hardware; for use without a terminal.")
@click.option("--dry-run", is_flag=True, help="Run the whole loop and write nothing to the device after the handshake.")
@click.option(
    "--resume", type=click.Path(exists=True, path_type=Path), help="Go on from a checkpoint or a run's folder."
)
@click.option("--force", is_flag=True, help="Resume although the checkpoint was made for another period.")
@click.option("--name", help="Of the run's folder.  [default: run.name, or the file's name]")
@overrides
def command(
    config: Path,
    arm: bool,
    yes: bool,
    dry_run: bool,
    resume: Path | None,
    force: bool,
    name: str | None,
    overrides: tuple[str, ...],
) -> None:
    """Run the job that a TOML file describes, against a port or a simulated plant.

    Real hardware (a device that does not call itself simulated) is armed only with --arm, explicit limits for each
    actuator in the file, and a confirmation. The first Ctrl-C: safe action, disarm, save, leave. The second: emergency
    stop. `rtu-edge estop` works all the while.
    """
    from rtu_edge import job
    from rtu_edge.config import Clock, load_config
    from rtu_edge.errors import ConfigError

    settings = load_config(config, overrides)
    out = console()
    if dry_run and settings.loop.clock is not Clock.DEVICE:
        raise ConfigError('--dry-run: only with loop.clock = "device"; nothing answers a command that is not sent')
    with job.connect(settings) as device:
        real = not device.hello.simulated
        for note in device.port.notes:
            out.print(f"[dim]{note}[/]")
        if real and not dry_run:
            _confirm(out, settings, device, arm, yes)
        agent = _agent(settings, device, resume, force)
        _run(out, settings, device, agent, name or settings.run.name or config.stem, dry_run)


def _confirm(out: Console, settings: Config, device: job.Connection, arm: bool, yes: bool) -> None:
    """Say what will move, within which limits, and ask."""
    import sys

    from rtu_edge.errors import ConfigError

    if not arm:
        raise ConfigError(f"{device.url} is real hardware: give --arm to let it move, or --dry-run to only watch")
    out.print(f"[bold]About to arm real hardware at {device.url}[/] (firmware {device.hello.firmware}).")
    out.print("A learner explores: it will try movements that nobody has tried. These limits hold:")
    for row in device.actuators:
        limits = settings.limits[row.name]
        out.print(
            f"  {row.name}: {limits.min:g} to {limits.max:g} {row.unit}, at most {limits.slew_per_s:g} {row.unit}/s; "
            f"the device itself allows {row.minimum:g} to {row.maximum:g}"
        )
    out.print("Keep an emergency stop at hand that does not need this computer. Not a certified safety function.")
    if yes:
        out.print("Confirmed by --yes.")
        return
    if not sys.stdin.isatty():
        raise ConfigError("arming real hardware needs a confirmation: answer on a terminal, or give --yes")
    if click.prompt("Type arm to go on", default="", show_default=False).strip() != "arm":
        raise ConfigError("not confirmed; nothing was armed")


def _run(out: Console, settings: Config, device: job.Connection, agent: Any, name: str, dry_run: bool) -> None:
    import time

    from rtu_edge import job, runtime
    from rtu_edge.config import Clock, write_config
    from rtu_edge.errors import DeviceError, ExitCode, SafetyStop
    from rtu_edge.log import RunFolder, Summary, machine
    from rtu_edge.progress import Display, latency_table
    from rtu_edge.report import write_report

    summary = Summary(
        name=name,
        title=f"{device.plant or device.url}{', dry run' if dry_run else ''}",
        started=time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        seed=settings.run.seed,
        target_return=settings.run.stop_return,
        target_episodes=settings.run.stop_episodes,
        machine=machine(),
    )
    job.describe(summary, device, agent)
    if settings.loop.clock is not Clock.LOCKSTEP:
        job.check_deadline(agent, device.period_s)
    with RunFolder.create(settings.run.folder, name) as folder:
        summary.config_hash = write_config(settings, folder.file(RunFolder.CONFIG))
        folder.event("start", configuration=summary.config_hash, dry_run=dry_run, **summary.device)
        out.print(f"{device.url}: {1 / device.period_s:g} Hz, session starts; results in {folder.path}")
        config = job.loop_config(settings, device, dry_run=dry_run, explore=True, learn=True)
        display = Display(
            out,
            config.steps,
            device.period_s,
            agent.nbytes,
            window=settings.run.stop_episodes,
            top=settings.run.stop_return,
        )
        begin = time.monotonic()
        with display:
            outcome = job.run_loop(device, agent, config, display.watch)
        result = outcome.result
        agent.save(folder.file(RunFolder.CHECKPOINT))
        state: Any = agent.state_hash()
        summary.state_hash = f"{state:016x}" if isinstance(state, int) else str(state)
        stage = "learning" if config.clock is runtime.Clock.LOCKSTEP else "realtime"
        summary.stages[stage] = job.stage_of(result)
        folder.arrays[stage] = outcome.records
        folder.arrays[f"{stage}_episodes"] = outcome.episodes
        if stage == "realtime":
            folder.arrays["learning_episodes"] = outcome.episodes
        summary.seconds = time.monotonic() - begin
        summary.headline = (
            f"{result.steps:,} steps, {result.episodes:,} episodes; the end: {result.message or result.reason.value}."
        )
        folder.save_arrays()
        folder.save_summary(summary)
        folder.event("end", reason=result.reason.value, steps=result.steps, counters=result.counters)
        if stage == "realtime" and len(outcome.records):
            out.print(latency_table(outcome.records))
        out.print(f"{summary.headline.strip()}\n[bold]{write_report(folder)}[/]")
    code = job.exit_code(result)
    if code is ExitCode.SAFETY_STOP:
        raise SafetyStop(f"{result.reason.value}: {result.message}")
    if code is ExitCode.DEVICE:
        raise DeviceError(f"{result.reason.value}: {result.message}")


def _agent(settings: Config, device: job.Connection, resume: Path | None, force: bool) -> Any:
    """A new learner, or the one in a checkpoint if it was made for such a device."""
    import rtu_edge as rtu
    from rtu_edge import job
    from rtu_edge.errors import CheckpointError
    from rtu_edge.log import RunFolder

    if resume is None:
        return job.make_agent(settings, device)
    path = resume / RunFolder.CHECKPOINT if resume.is_dir() else resume
    agent: Any = rtu.load(path)
    made_for = (agent.config.get("observation_size"), agent.config.get("dt_s"))
    if made_for[0] != len(device.observations):
        raise CheckpointError(f"{path}: made for {made_for[0]} observations, the device has {len(device.observations)}")
    if not force and made_for[1] and abs(made_for[1] - device.period_s) > 0.2 * made_for[1]:
        raise CheckpointError(
            f"{path}: made for a period of {made_for[1]:g} s, the device {device.period_s:g} s (--force)"
        )
    return agent
