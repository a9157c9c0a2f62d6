"""Read and write configuration files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import Any

import msgspec
import msgspec.inspect as mi

from rtu_edge._base import old_names
from rtu_edge._base.errors import ConfigError
from rtu_edge._base.strict import emit, near_table, override, parse_toml, problems, quoted, read_text
from rtu_edge.config.tables import Companion, Config, Device, cross_check

__all__ = [
    "BUS_BAUD",
    "canonical",
    "check_config",
    "config_hash",
    "load_bus_port",
    "load_companion_ports",
    "load_config",
    "load_device",
    "parse_config",
    "write_config",
]

_SCHEMA = mi.type_info(Config)
BUS_BAUD = 1_000_000  # of a servo bus whose file gives none
_HASH_LINE = "# sha256 of the lines below, first 16 digits: "


# Keys that hold a path; a "~" or "~user" in front is replaced by the home folder.
_PATHS = (
    ("device", "port"),
    ("device", "bus"),
    ("device", "plant"),
    ("device", "sim"),
    ("device", "firmware"),
    ("fallback", "checkpoint"),
    ("fallback", "library"),
    ("run", "folder"),
)


def load_config(path: str | os.PathLike[str], overrides: Sequence[str] = (), *, user: str = "") -> Config:
    """Read a configuration file.

    Args:
        path: a TOML file.
        overrides: `a.b=c` each, as given to `--set`; c is a TOML value, or else a string.
        user: whose home folder a "~" means; "": of the user who calls.

    Returns:
        The checked configuration.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or has invalid contents.
    """
    return parse_config(read_text(path, "configuration"), overrides, source=os.fspath(path), user=user)


def load_device(path: str | os.PathLike[str]) -> Device:
    """Read only `[device]` of a configuration file, ignoring all other contents; see `load_config`."""
    source = os.fspath(path)
    data = _parse(read_text(path, "configuration"), source)
    return check_config({"device": data.get("device", {})}, source=source).device


def load_companion_ports(path: str | os.PathLike[str]) -> list[tuple[str, int]]:
    """Ports and baud rates of `[companion]` in a configuration file, without simulated ones.

    As load_device(), but a damaged table is left out: an error there must not prevent the stop of the other devices.
    """
    tables = _parse(read_text(path, "configuration"), os.fspath(path)).get("companion", {})
    found = []
    for table in tables.values() if isinstance(tables, dict) else ():
        port = table.get("port") if isinstance(table, dict) else None
        baud = table.get("baud", Companion().baud) if isinstance(table, dict) else 0
        if isinstance(port, str) and port and isinstance(baud, int):
            found.append((port, baud))
    return found


def load_bus_port(path: str | os.PathLike[str]) -> tuple[str, int]:
    """The port and baud rate of the file of a servo bus, ignoring all other contents: an error there must not prevent
    a stop; see `rtu_edge.config.bus_file.load_bus_file`.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or names no port.
    """
    source = os.fspath(path)
    data = _parse(read_text(path, "file of a servo bus"), source)
    port, baud = data.get("port"), data.get("baud", BUS_BAUD)
    if not isinstance(port, str) or not port or type(baud) is not int:
        raise ConfigError(f"port and baud: {port!r} and {baud!r}; must be text and an integer", source)
    return port, baud


def parse_config(
    text: str, overrides: Sequence[str] = (), *, source: str = "", recorded: bool = False, user: str = ""
) -> Config:
    """Check a configuration given as TOML text; see `load_config`.

    Args:
        text: TOML.
        overrides: as for `load_config`.
        source: names the text in an error.
        recorded: the text was written by this program, possibly an earlier version, whose keys are accepted. A text
            that begins with its own hash, as written by `write_config`, counts as recorded.
        user: as for `load_config`.
    """
    data = _parse(text, source)
    if recorded or _unchanged(text):
        data = old_names.configuration(data)
    near = []
    for assignment in overrides:
        near += near_table(data, assignment)
        override(data, assignment)
    try:
        return check_config(data, source=source, user=user)
    except ConfigError as error:
        if not near:
            raise
        # A table that only --set makes, with a name that is nearly that of another, lacks its other keys.
        own = tuple(f"{made}." for made, _ in near)
        others = [problem for problem in error.problems if not problem.startswith(own)]
        hints = [f'--set {made}: not in this configuration; did you mean "{known}"?' for made, known in near]
        raise ConfigError([*hints, *others], error.source) from None


def check_config(data: dict[str, Any], *, source: str = "", user: str = "") -> Config:
    """Check a configuration given as parsed TOML; see `load_config`."""
    found = list(problems(_SCHEMA, data))
    if found:
        raise ConfigError(found, source)
    config = msgspec.convert(_at_home(data, source, user), Config)
    found = list(cross_check(config))
    if found:
        raise ConfigError(found, source)
    return config


def canonical(config: Config) -> str:
    """The configuration as TOML in one fixed form: equal configurations give equal bytes."""
    return emit(msgspec.to_builtins(config))


def config_hash(config: Config) -> str:
    """SHA-256 of the canonical form, the first 16 digits."""
    return hashlib.sha256(canonical(config).encode()).hexdigest()[:16]


def write_config(config: Config, path: str | os.PathLike[str]) -> str:
    """Atomically write the canonical form, preceded by its hash; returns the hash."""
    from rtu_edge._base import files

    digest = config_hash(config)
    head = f"{_HASH_LINE}{digest}\n"
    files.write(path, (head + canonical(config)).encode())
    return digest


def _at_home(data: dict[str, Any], source: str, user: str) -> dict[str, Any]:
    """A copy with the home folders of paths that begin with "~"."""
    data = dict(data)
    for table, key in _PATHS:
        given = data.get(table, {}).get(key, "")
        if not given.startswith("~"):
            continue
        named = f"~{user}{given[1:]}" if given == "~" or given.startswith("~/") else given
        if (path := os.path.expanduser(named)) == named:
            raise ConfigError(f"{table}.{key} = {quoted(given)}: no home folder is known for it", source)
        data[table] = {**data[table], key: path}
    return data


def _unchanged(text: str) -> bool:
    """Whether the text was written by write_config(): its first line holds the hash of the others."""
    first, _, below = text.partition("\n")
    return first == _HASH_LINE + hashlib.sha256(below.encode()).hexdigest()[:16]


def _parse(text: str, source: str) -> dict[str, Any]:
    try:
        return parse_toml(text)
    except ValueError as error:
        raise ConfigError(f"not valid TOML: {error}", source) from error
