"""Shell completion of arguments: plants, runs, ports, configurations, keys. Imports nothing heavy."""

from __future__ import annotations

import glob
import os

import click
from click.shell_completion import CompletionItem

__all__ = ["config", "device", "keys", "plant", "port", "run", "study"]

# Names of ports; /dev/serial/by-id first, since these names are persistent.
_PORTS = ("/dev/serial/by-id/*", "/dev/ttyACM*", "/dev/ttyUSB*", "/dev/ttyAMA*")


def _file(incomplete: str) -> CompletionItem:
    """Makes the shell complete files itself."""
    return CompletionItem(incomplete, type="file")


def _beginning(names: list[str], incomplete: str, help: str) -> list[CompletionItem]:
    return [CompletionItem(name, help=help) for name in names if name.startswith(incomplete)]


def plant(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of the simulated plants, and files."""
    from rtu_edge._bridge import ffi, lib

    names = [ffi.string(lib.tl_plant_at(i).sheet.name).decode() for i in range(lib.tl_plant_count())]
    return [*_beginning(names, incomplete, "simulated plant"), _file(incomplete)]


def port(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Serial ports, those with a persistent name first, and files."""
    found = [path for pattern in _PORTS for path in sorted(glob.glob(pattern))]
    return [*_beginning(found, incomplete, "serial port"), _file(incomplete)]


def device(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Serial ports and simulated plants."""
    return [*port(context, parameter, incomplete)[:-1], *plant(context, parameter, incomplete)]


def run(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Folders of runs below ./runs, the newest first, and files."""
    found = sorted(glob.glob("runs/*/config.toml"), key=_changed, reverse=True)
    return [*_beginning([os.path.dirname(path) for path in found], incomplete, "run"), _file(incomplete)]


def config(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """TOML files here, and files."""
    return [*_beginning(sorted(glob.glob("*.toml")), incomplete, "configuration"), _file(incomplete)]


def study(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of the studies."""
    from rtu_edge.study.registry import STUDIES

    return [CompletionItem(name, help=found.title) for name, found in STUDIES.items() if name.startswith(incomplete)]


def keys(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Keys of a configuration followed by "="."""
    from rtu_edge.config.describe import tables

    known = [f"{table.path}.{key.name}=" for table in tables() for key in table.keys if "NAME" not in table.path]
    return [CompletionItem(key) for key in known if key.startswith(incomplete)]


def _changed(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0
