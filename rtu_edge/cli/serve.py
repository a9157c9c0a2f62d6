"""rtu-edge serve."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rtu_edge._base.errors import cause_of
from rtu_edge.cli import complete, options

if TYPE_CHECKING:
    from rtu_edge.config import Config
    from rtu_edge.record.sessions import Sessions
    from rtu_edge.run import Connection, RunResult
    from rtu_edge.run.saving import Saver, Start
    from rtu_edge.run.service import Watchdog


# s, between attempts to save a learner after a disk error.
_AGAIN_S = 5.0


@click.command("serve", epilog=options.examples("rtu-edge serve robot.toml"))
@click.argument("config", type=click.Path(exists=True, dir_okay=False, path_type=Path), shell_complete=complete.config)
@options.overrides
def command(config: Path, overrides: tuple[str, ...]) -> None:
    """Own a device and run each time it is armed; used by the service.

    It waits, disarmed, for `rtu-edge arm`. Every actuator needs limits in the file, on a simulated device too. The
    learner, saved while it runs, continues from one run to the next and over restarts, in the folder
    run.folder/run.name; each run leaves its log there. A safety stop ends the process, and so does a device that
    goes away; a disk that is full does not.
    """
    from rtu_edge._base.errors import ConfigError
    from rtu_edge.config import Clock, load_config
    from rtu_edge.loop import Signals
    from rtu_edge.record.sessions import locked
    from rtu_edge.run import check_installed, connect, with_firmware

    settings = with_firmware(load_config(config, overrides))
    check_installed(settings)
    if settings.loop.clock is Clock.LOCKSTEP:
        raise ConfigError('loop.clock = "lockstep": a service runs in real time', str(config))
    with Signals() as signals, connect(settings, config) as device:
        missing = [row.name for row in device.sheet.actuators if row.name not in settings.limits]
        if missing:
            raise ConfigError([f"limits.{name}: missing; a service arms nothing without it" for name in missing])
        folder = Path(settings.run.folder) / (settings.run.name or config.stem)
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder) as lock:
            if lock.problem:
                click.echo(
                    f"{folder}: cannot be locked ({lock.problem}): give no other service this folder, nothing would "
                    "stop"
                    " it from saving its learner over this one's"
                )
            elif not lock.free:
                raise ConfigError(f"run.name: {folder} holds the learner of another service that runs", str(config))
            _serve(settings, device, folder, lambda: signals.count > 0)


@dataclass
class _Learner:
    """The learner from one run to the next.

    Args:
        start: initial state of the next run. watchdog: fed while files are written.
    """

    start: Start
    watchdog: Watchdog
    _unsaved: Callable[[], None] | None = None  # saves a learner that could not be saved at the end of its run
    _tried_s: float = 0.0

    def ended(self, saver: Saver, finished: RunResult) -> None:
        """After a run: save its learner."""
        self._unsaved = None
        try:
            saver.finish(finished.progress, finished.session)
        except OSError as error:
            click.echo(
                f"{saver.slots.current}: not saved: {cause_of(error)}; the learner is kept in memory until it can be"
            )
            self._unsaved, self._tried_s = partial(saver.save, finished.session), time.monotonic()
        if text := saver.complaint():
            click.echo(text)

    def save(self, every_s: float = 0.0) -> str:
        """Retry pending saving; returns the error, or ""."""
        if self._unsaved is None or time.monotonic() - self._tried_s < every_s:
            return ""
        self._tried_s = time.monotonic()
        try:
            with self.watchdog.while_writing():
                self._unsaved()
        except OSError as error:
            return cause_of(error)
        self._unsaved = None
        click.echo("the learner is saved")
        return ""


def _serve(settings: Config, device: Connection, folder: Path, leave: Callable[[], bool]) -> None:
    """Wait for arming and run, repeatedly, until told to exit."""
    from rtu_edge._base.errors import CheckFailed, DeviceError
    from rtu_edge.record import leftovers
    from rtu_edge.record.sessions import Sessions
    from rtu_edge.run import check_deadline, load
    from rtu_edge.run.service import Watchdog, notify, wait_until_armed

    load()  # a service runs for months, also while pip replaces the package
    leftovers.clear()
    start = _start(settings, device, folder)
    for note in start.notes:
        click.echo(note)
    check_deadline(start.agent, device.sheet.period_s)
    watchdog = Watchdog(device.link)
    learner = _Learner(start, watchdog)
    sessions = Sessions(folder, settings.log.sessions_mib << 20)

    def over() -> bool:
        learner.save(_AGAIN_S)
        if device.port.gone:
            raise DeviceError(f"{device.url}: the port is gone")
        return leave()

    def sweep() -> None:
        for note in sessions.sweep():
            click.echo(note)

    sweep()
    notify("READY=1")
    try:
        while wait_until_armed(device.link, watchdog, over, [each.link for each in device.companions]):
            click.echo(f"{device.url}: armed by the control socket")
            device.permission.grant()  # the typed number is the confirmation
            notify("STATUS=armed")
            with watchdog.while_writing():
                _run(settings, device, learner, sessions, watchdog)
                sweep()
        notify("STOPPING=1")
    finally:
        lost = learner.save()
        if lost:
            click.echo(f"{folder}: {lost}: what the last run has learned is lost")
    if lost:
        raise CheckFailed(f"{folder}: {lost}: not saved")


def _start(settings: Config, device: Connection, folder: Path) -> Start:
    """The learner and supervisor state of the last run, or a new one."""
    from rtu_edge.learn.checkpoint.slots import Slots
    from rtu_edge.run import check_learner, make_agent, saving

    slots = Slots(folder)
    if not slots.current.exists() and not slots.older():
        return saving.Start(make_agent(settings, device.sheet))
    start = saving.open_start(folder, device)
    check_learner(settings, device.sheet, start.agent, start.source)
    return start


def _run(settings: Config, device: Connection, learner: _Learner, sessions: Sessions, watchdog: Watchdog) -> None:
    """One run from ARM to DISARM, or none if the disk has no space for its log.

    Raises:
        SafetyStop: it ended by one.
        DeviceError: the device has to be opened again.
    """
    from rtu_edge._base.errors import CheckpointError, DeviceError, SafetyStop
    from rtu_edge.config import write_config
    from rtu_edge.loop import StopReason
    from rtu_edge.record import RunFolder
    from rtu_edge.run import Session, error_of, loop_config

    start, turns = learner.start, device.link.turns
    loop = loop_config(settings, device, explore=True, learn=True, first_episode=start.position.next_episode)
    session = Session(settings, device, start, loop)
    supervised, saver = session.supervised, session.saver(sessions.folder)
    try:
        with sessions.new() as folder:
            write_config(settings, folder.file(RunFolder.CONFIG))
            finished = session.run(folder, saver, lambda *_: watchdog.look(), click.echo)
    except OSError as error:
        if device.link.turns != turns:
            raise
        click.echo(f"{error.filename or sessions.folder}: {cause_of(error)}; not armed: arm again after that")
        return
    for note in finished.notes:
        click.echo(note)
    result, lost = finished.result, False
    try:
        learner.ended(saver, finished)
    except CheckpointError as error:
        click.echo(str(error))
        lost = True
    click.echo(f"{result.steps} steps; stopped: {result.message or result.reason.value}; its log in {folder.path}")
    trouble = error_of(result, supervised.fallback_error())
    gone = result.reason in (StopReason.LINK_LOST, StopReason.DEVICE_RESTART, StopReason.HALF_OPEN)
    if isinstance(trouble, SafetyStop) or (gone and isinstance(trouble, DeviceError)):
        raise trouble
    if trouble is not None:
        click.echo(str(trouble))
    if lost:
        learner.start = _start(settings, device, sessions.folder)
        click.echo(f"the next run begins with {learner.start.source or 'a new learner'}")
        return
    learner.start = dataclasses.replace(
        start, position=saver.position, notes=(), supervisor=supervised.supervisor.state()
    )
