"""rtu-edge serve."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rtu_edge.cli.common import overrides

if TYPE_CHECKING:
    from rtu_edge import job
    from rtu_edge.config import Config


# Step records: a service has no use for them.
_KEEP = 1000


@click.command("serve")
@click.argument("config", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@overrides
def command(config: Path, overrides: tuple[str, ...]) -> None:
    """Own a device, disarmed, and run it each time `rtu-edge arm` says so: what the service runs.

    Every actuator needs limits in the file, on a simulated device too. The learner is kept from one run to the next, in
    the folder run.folder/run.name. A safety stop ends the process.
    """
    from rtu_edge import job, runtime
    from rtu_edge.config import Clock, load_config
    from rtu_edge.errors import ConfigError
    from rtu_edge.service import Watchdog, notify, wait_until_armed

    settings = load_config(config, overrides)
    if settings.loop.clock is Clock.LOCKSTEP:
        raise ConfigError('loop.clock = "lockstep": a service runs in real time', str(config))
    with runtime.Signals() as signals, job.connect(settings) as device:
        missing = [row.name for row in device.actuators if row.name not in settings.limits]
        if missing:
            raise ConfigError([f"limits.{name}: missing; a service arms nothing without it" for name in missing])
        agent, checkpoint = _agent(settings, device, config)
        job.check_deadline(agent, device.period_s)
        watchdog = Watchdog(device.link)
        notify("READY=1")
        while wait_until_armed(device.link, watchdog, lambda: signals.count > 0):
            click.echo(f"{device.url}: armed by the control socket")
            notify("STATUS=armed")
            _run(settings, device, agent, checkpoint, watchdog)
        notify("STOPPING=1")


def _agent(settings: Config, device: job.Connection, config: Path) -> tuple[Any, Path]:
    import rtu_edge as rtu
    from rtu_edge import job

    folder = Path(settings.run.folder) / (settings.run.name or config.stem)
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / "service.rtu"
    return (rtu.load(checkpoint) if checkpoint.exists() else job.make_agent(settings, device)), checkpoint


def _run(settings: Config, device: job.Connection, agent: Any, checkpoint: Path, watchdog: Any) -> None:
    from rtu_edge import job
    from rtu_edge.errors import ExitCode, SafetyStop

    config = job.loop_config(settings, device, explore=True, learn=True)
    supervised = job.supervised(settings, device, agent, config)

    def watch(status: Any, records: Any, episodes: Any) -> None:
        watchdog.look()

    result = job.run_loop(device, agent, config, watch, keep=_KEEP, policy=supervised.policy).result
    temporary = checkpoint.with_suffix(".tmp")
    agent.save(temporary)
    temporary.replace(checkpoint)
    click.echo(f"{result.steps} steps; the end: {result.message or result.reason.value}")
    if job.exit_code(result) is ExitCode.SAFETY_STOP:
        raise SafetyStop(f"{result.reason.value}: {result.message}")
    supervised.raise_fallback_error()
