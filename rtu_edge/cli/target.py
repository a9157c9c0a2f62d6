"""What a command's TARGET is. Imports nothing heavy: an emergency stop goes through here."""

from __future__ import annotations

__all__ = ["port_of"]


def port_of(target: str) -> tuple[str, int]:
    """The port and the baud rate that a command's argument means: a port itself, or the TOML file that names it.

    Of the file only `[device]` is looked at: a mistake elsewhere must not keep a machine from being stopped.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or its `[device]` names no port.
    """
    from rtu_edge.ports import DEFAULT_BAUD

    if not target.endswith(".toml"):
        return target, DEFAULT_BAUD
    from rtu_edge.config import load_device
    from rtu_edge.errors import ConfigError

    device = load_device(target)
    if not device.port:
        raise ConfigError("device.port: missing; a simulated plant's port is what `rtu-edge run` printed", target)
    return device.port, device.baud
