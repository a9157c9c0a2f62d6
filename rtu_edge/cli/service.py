"""rtu-edge service."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("service")
@click.argument("config", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--user", help="Who runs it.  [default: who calls this, also through sudo]")
@click.option("--name", default="rtu-edge", show_default=True, help="Of the service: letters, digits, - _ .")
@click.option("--apply", "install", is_flag=True, help="Write the files; without it they are only printed.")
@click.option(
    "--root", type=click.Path(path_type=Path), default=Path("/"), show_default=True, help="Below this folder."
)
def command(config: Path, user: str | None, name: str, install: bool, root: Path) -> None:
    """Print a systemd unit, a udev rule, a tmpfiles and a limits file for CONFIG; write them with --apply.

    The service starts disarmed and waits for `rtu-edge arm CONFIG`.
    """
    import getpass
    import os

    from rtu_edge._base.errors import ConfigError
    from rtu_edge.config import load_config
    from rtu_edge.run.service import apply, parts

    settings = load_config(config)
    if not settings.device.port:
        raise ConfigError("device.port: missing; a service is for a plant at a port", str(config))
    if user is None:
        user = os.environ.get("SUDO_USER") or getpass.getuser()
    found = parts(config, user, name, port=settings.device.port, folder=settings.run.folder)
    if install:
        for path in apply(found, root):
            click.echo(f"written: {path}")
    for place in (os.path.abspath(config), settings.run.folder):
        if place.startswith(("/tmp/", "/var/tmp/")):
            click.echo(f"# note: {place}: the service has a /tmp of its own and does not see it: move it", err=True)
    for part in found:
        if not install:
            click.echo(f"# would be written: {root / part.path.relative_to('/')}\n{part.text}")
        click.echo(f"# then: {part.then}")
