"""rtu-edge serve."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rtu_edge.cli.common import overrides

if TYPE_CHECKING:
    from rtu_edge import job
    from rtu_edge.checkpoint.saving import Start
    from rtu_edge.config import Config
    from rtu_edge.job.service import Watchdog


# Step records: a service has no use for them.
_KEEP = 1000


@click.command("serve")
@click.argument("config", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@overrides
def command(config: Path, overrides: tuple[str, ...]) -> None:
    """Own a device, disarmed, and run it each time `rtu-edge arm` says so: what the service runs.

    Every actuator needs limits in the file, on a simulated device too. The learner, saved while it runs, goes on from one
    run to the next and over restarts, in the folder run.folder/run.name; each run leaves its log there. A safety stop ends
    the process.
    """
    from rtu_edge import job, runtime
    from rtu_edge.config import Clock, load_config
    from rtu_edge.errors import ConfigError
    from rtu_edge.job.service import Watchdog, notify, wait_until_armed

    settings = load_config(config, overrides)
    if settings.loop.clock is Clock.LOCKSTEP:
        raise ConfigError('loop.clock = "lockstep": a service runs in real time', str(config))
    with runtime.Signals() as signals, job.connect(settings) as device:
        missing = [row.name for row in device.actuators if row.name not in settings.limits]
        if missing:
            raise ConfigError([f"limits.{name}: missing; a service arms nothing without it" for name in missing])
        folder = Path(settings.run.folder) / (settings.run.name or config.stem)
        start = _start(settings, device, folder)
        for note in start.notes:
            click.echo(note)
        job.check_deadline(start.agent, device.period_s)
        watchdog = Watchdog(device.link)
        notify("READY=1")
        while wait_until_armed(device.link, watchdog, lambda: signals.count > 0):
            click.echo(f"{device.url}: armed by the control socket")
            notify("STATUS=armed")
            start = _run(settings, device, start, folder, watchdog)
        notify("STOPPING=1")


def _start(settings: Config, device: job.Connection, folder: Path) -> Start:
    """The learner as the last run left it, and what its supervisor thought of it; or a new one."""
    from rtu_edge import job
    from rtu_edge.checkpoint import saving
    from rtu_edge.checkpoint.storage import Slots

    folder.mkdir(parents=True, exist_ok=True)
    slots = Slots(folder)
    if not slots.current.exists() and not slots.older():
        return saving.Start(job.make_agent(settings, device))
    return saving.open_start(folder, device)


def _run(settings: Config, device: job.Connection, start: Start, folder: Path, watchdog: Watchdog) -> Start:
    """One run from ARM to DISARM, saved and recorded as that of `rtu-edge run`; returns what the next one begins with."""
    import dataclasses

    from rtu_edge import job
    from rtu_edge.checkpoint.saving import Saver, device_facts
    from rtu_edge.checkpoint.storage import Slots
    from rtu_edge.config import write_config
    from rtu_edge.errors import ExitCode, SafetyStop
    from rtu_edge.log import RunFolder
    from rtu_edge.log.recording import Recording

    config = job.loop_config(settings, device, explore=True, learn=True, first_episode=start.position.next_episode)
    supervised = job.supervised(settings, device, start.agent, config, start.supervisor)
    slots = Slots(folder, settings.checkpoint.keep)
    saver = Saver(slots, settings.checkpoint, start.agent, start.position, device_facts(device), supervised.supervisor)

    def watch(status: Any, records: Any, episodes: Any) -> None:
        watchdog.look()
        if complaint := saver.complaint():
            click.echo(complaint)

    with RunFolder.create(folder, "session") as session:
        write_config(settings, session.file(RunFolder.CONFIG))
        with Recording(settings, device, start.agent, session, start.supervisor) as recording:
            outcome = job.run_loop(
                device,
                start.agent,
                config,
                watch,
                saver=saver,
                keep=_KEEP,
                policy=supervised.policy,
                recording=recording,
            )
        for note in recording.notes:
            click.echo(note)
    result = outcome.result
    try:
        saver.finish(outcome.progress, outcome.session)
    except OSError as error:
        click.echo(f"{slots.current}: not saved: {error.strerror}; the learner stays in memory")
    click.echo(f"{result.steps} steps; the end: {result.message or result.reason.value}; its log in {session.path}")
    if job.exit_code(result) is ExitCode.SAFETY_STOP:
        raise SafetyStop(f"{result.reason.value}: {result.message}")
    supervised.raise_fallback_error()
    return dataclasses.replace(start, position=saver.position, notes=(), supervisor=supervised.supervisor.state())
