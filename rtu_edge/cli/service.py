"""rtu-edge service."""

from __future__ import annotations

from pathlib import Path

import click

from rtu_edge.cli import complete, options


@click.command(
    "service", epilog=options.examples("rtu-edge service robot.toml", "sudo rtu-edge service robot.toml --apply")
)
@click.argument("config", type=click.Path(exists=True, dir_okay=False, path_type=Path), shell_complete=complete.config)
@click.option("--user", help="User that runs the service  [default: the caller, also through sudo]")
@click.option("--unit", default="rtu-edge", help="Name of the service: letters, digits, - _ .  [default: rtu-edge]")
@options.apply()
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    metavar="DIR",
    default=Path("/"),
    help="Root of the file system to install into  [default: /]",
)
def command(config: Path, user: str | None, unit: str, applied: bool, root: Path) -> None:
    """Print or install systemd and udev files for a configuration.

    A systemd unit, a udev rule, a tmpfiles and a limits file are printed; --apply writes them. The service starts
    disarmed and waits for `rtu-edge arm CONFIG`.
    """
    import getpass
    import os

    from rtu_edge._base.errors import ConfigError
    from rtu_edge.config import load_config
    from rtu_edge.config.bus_file import load_bus_file
    from rtu_edge.run.service import apply, parts

    if user is None:
        user = os.environ.get("SUDO_USER") or getpass.getuser()
    settings = load_config(config, user=user)
    port = settings.device.port
    if settings.device.bus and not settings.device.emulated:
        port = load_bus_file(settings.device.bus).port
    if not port:
        raise ConfigError("device.port: missing; a service is for a plant at a port", str(config))
    found = parts(config, user, unit, port=port, folder=settings.run.folder)
    if applied:
        for path in apply(found, root):
            click.echo(f"written: {path}")
    for place in (os.path.abspath(config), settings.run.folder):
        if place.startswith(("/tmp/", "/var/tmp/")):
            click.echo(f"# note: {place}: the service has a /tmp of its own and does not see it: move it", err=True)
    for part in found:
        if not applied:
            click.echo(f"# would be written: {root / part.path.relative_to('/')}\n{part.text}")
        click.echo(f"# then: {part.then}")
