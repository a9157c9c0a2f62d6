"""The registers of servos on a bus, by family (firmware_bridge/bus/servo.h)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rtu_edge._base.errors import ConfigError
from rtu_edge._bridge import ffi, lib

__all__ = ["FAMILIES", "Register", "family_of", "registers", "registers_of", "text_of"]


@dataclass(frozen=True)
class Register:
    """A register of a family of servos.

    Args:
        name: "position", "goal_position", "torque_enable" and so on.
        address: of its first byte.
        size: bytes.
        unit: of value(): "rad", "rad/s", "A", "1" (a share or a number), "V", "degC", "s", "rad/s^2".
        step: SI value of one step.
    """

    name: str
    address: int
    size: int
    unit: str
    step: float


def _families() -> dict[str, Any]:
    found: dict[str, Any] = {}
    while (family := lib.tl_servo_family_at(len(found))) != ffi.NULL:
        found[text_of(family.name)] = family
    return found


def text_of(c: Any) -> str:
    """A string of C."""
    text = ffi.string(c)
    return text.decode() if isinstance(text, bytes) else str(text)


_FAMILIES = _families()
FAMILIES = tuple(_FAMILIES)


def registers(family: str) -> dict[str, Register]:
    """The registers of a family by name.

    Raises:
        ConfigError: an unknown family.
    """
    return {name: _described(c) for name, c in registers_of(family_of(family)).items()}


def family_of(name: object) -> Any:
    """The C struct of a family.

    Raises:
        ConfigError: an unknown family.
    """
    if not isinstance(name, str) or name not in _FAMILIES:
        raise ConfigError(f'family "{name}": must be one of {", ".join(FAMILIES)}')
    return _FAMILIES[name]


def registers_of(family: Any) -> dict[str, Any]:
    """The C structs of the registers that a family has, by name."""
    return {text_of(c.name): family.registers + at for at, c in enumerate(family.registers) if c.size}


def _described(c: Any) -> Register:
    return Register(text_of(c.name), c.address, c.size, text_of(c.unit_name), c.unit)
