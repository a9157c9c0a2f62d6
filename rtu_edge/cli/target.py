"""Resolves a command's TARGET. Imports nothing heavy, because an emergency stop uses it."""

from __future__ import annotations

import os

__all__ = ["bus_of", "companions_of", "is_file", "plant_of", "port_of", "running_port_of"]


def is_file(target: str) -> bool:
    """Whether a command's argument is a configuration, with any name; a missing file is recognised by its name."""
    return target.endswith(".toml") or os.path.isfile(target)


def port_of(target: str) -> tuple[str, int]:
    """The port and baud rate of a command's argument: a port, or the TOML file that names it.

    Reads only `[device]` of the file: an error elsewhere must not prevent a stop.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or its `[device]` names no port.
    """
    from rtu_edge.device.ports import DEFAULT_BAUD

    if not is_file(target):
        return target, DEFAULT_BAUD
    from rtu_edge._base.errors import ConfigError
    from rtu_edge.config import load_device

    device = load_device(target)
    if device.bus:
        raise ConfigError(
            f"device.bus = {device.bus}: the server of a bus ends with its run, and none is active", target
        )
    if not device.port:
        raise ConfigError("device.port: missing; a simulated plant's port is what `rtu-edge run` printed", target)
    return device.port, device.baud


def bus_of(target: str) -> tuple[str, int] | None:
    """The port and baud rate of the servo bus that a configuration names; None for anything else."""
    from rtu_edge._base.errors import ConfigError
    from rtu_edge.config import load_bus_port, load_device

    if not is_file(target):
        return None
    try:
        device = load_device(target)
        if not device.bus or device.emulated:
            return None
        return load_bus_port(device.bus)
    except ConfigError:
        return None


def companions_of(target: str) -> list[tuple[str, int]]:
    """The further ports of a configuration, with baud rates; empty for a port, or a file that cannot be read."""
    from rtu_edge._base.errors import ConfigError
    from rtu_edge.config import load_companion_ports

    if not is_file(target):
        return []
    try:
        return load_companion_ports(target)
    except ConfigError:
        return []


def running_port_of(target: str) -> tuple[str, int]:
    """The port and baud rate of a command's argument, as port_of(); of a file without an owned port, those of the run
    that was started with this file.

    Raises:
        ConfigError: as port_of(), and no run with this file is found.
    """
    from rtu_edge._base.errors import ConfigError
    from rtu_edge.device import lock
    from rtu_edge.device.ports import DEFAULT_BAUD

    try:
        port, baud = port_of(target)
    except ConfigError as error:
        if found := lock.port_of_run(target):
            return found, DEFAULT_BAUD
        if not (plant := plant_of(target)):
            raise
        raise ConfigError(
            f"no run with this file is active; start `rtu-edge run {target}`: it simulates the plant {plant}", target
        ) from error
    if is_file(target) and lock.owner(port) is None:
        port = lock.port_of_run(target) or port
    return port, baud


def plant_of(target: str) -> str:
    """The simulated plant of a configuration that names no port; "" for anything else."""
    from rtu_edge._base.errors import ConfigError
    from rtu_edge.config import load_device

    if not is_file(target):
        return ""
    try:
        device = load_device(target)
    except ConfigError:
        return ""
    return "" if device.port else device.plant
