"""rtu-edge serve."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rtu_edge.cli.common import overrides

if TYPE_CHECKING:
    from rtu_edge import job
    from rtu_edge.checkpoint.saving import Start
    from rtu_edge.config import Config
    from rtu_edge.job.service import Watchdog
    from rtu_edge.log.sessions import Sessions


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
    from rtu_edge.log.sessions import locked

    settings = load_config(config, overrides)
    if settings.loop.clock is Clock.LOCKSTEP:
        raise ConfigError('loop.clock = "lockstep": a service runs in real time', str(config))
    with runtime.Signals() as signals, job.connect(settings) as device:
        missing = [row.name for row in device.actuators if row.name not in settings.limits]
        if missing:
            raise ConfigError([f"limits.{name}: missing; a service arms nothing without it" for name in missing])
        folder = Path(settings.run.folder) / (settings.run.name or config.stem)
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder) as free:
            if not free:
                raise ConfigError(f"run.name: {folder} holds the learner of another service that runs", str(config))
            _serve(settings, device, folder, lambda: signals.count > 0)


def _serve(settings: Config, device: job.Connection, folder: Path, leave: Callable[[], bool]) -> None:
    """Wait to be armed, run, and again, until told to leave."""
    from rtu_edge import job
    from rtu_edge.job.service import Watchdog, notify, wait_until_armed
    from rtu_edge.log.sessions import Sessions

    start = _start(settings, device, folder)
    for note in start.notes:
        click.echo(note)
    job.check_deadline(start.agent, device.period_s)
    watchdog = Watchdog(device.link)
    sessions = Sessions(folder, settings.log.sessions_mib << 20)

    def armed() -> bool:
        for note in sessions.sweep():
            click.echo(note)
        return wait_until_armed(device.link, watchdog, leave)

    notify("READY=1")
    while armed():
        click.echo(f"{device.url}: armed by the control socket")
        notify("STATUS=armed")
        start = _run(settings, device, start, sessions, watchdog)
    notify("STOPPING=1")


def _start(settings: Config, device: job.Connection, folder: Path) -> Start:
    """The learner as the last run left it, and what its supervisor thought of it; or a new one."""
    from rtu_edge import job
    from rtu_edge.checkpoint import saving
    from rtu_edge.checkpoint.storage import Slots

    slots = Slots(folder)
    if not slots.current.exists() and not slots.older():
        return saving.Start(job.make_agent(settings, device))
    return saving.open_start(folder, device)


def _run(settings: Config, device: job.Connection, start: Start, sessions: Sessions, watchdog: Watchdog) -> Start:
    """One run from ARM to DISARM; returns what the next one begins with."""
    import dataclasses

    from rtu_edge import job
    from rtu_edge.config import write_config
    from rtu_edge.errors import SafetyStop
    from rtu_edge.log import RunFolder

    loop = job.loop_config(settings, device, explore=True, learn=True, first_episode=start.position.next_episode)
    session = job.Session(settings, device, start, loop)
    supervised, saver = session.supervised, session.saver(sessions.folder)
    with sessions.new() as folder:
        write_config(settings, folder.file(RunFolder.CONFIG))
        outcome = session.run(folder, saver, lambda *_: watchdog.look(), click.echo, keep=_KEEP)
    for note in outcome.notes:
        click.echo(note)
    result = outcome.result
    try:
        saver.finish(outcome.progress, outcome.session)
    except OSError as error:
        click.echo(f"{saver.slots.current}: not saved: {error.strerror}; the learner stays in memory")
    click.echo(f"{result.steps} steps; the end: {result.message or result.reason.value}; its log in {folder.path}")
    if isinstance(trouble := job.error_of(result), SafetyStop):
        raise trouble
    supervised.raise_fallback_error()
    return dataclasses.replace(start, position=saver.position, notes=(), supervisor=supervised.supervisor.state())
