"""A configuration of about a dozen keys for one device, made from its data sheet."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from rtu_edge._base.strict import quoted, quoted_key
from rtu_edge._base.untrusted import clean
from rtu_edge.config.file import parse_config
from rtu_edge.device.schema import Channel, DataSheet, Hello
from rtu_edge.learn import horizon, parameters
from rtu_edge.learn.parameters import AC

__all__ = ["starter"]

_ACROSS_S = 0.2  # s; the proposed slew limit crosses the actuator's range in this time
_RISE_S = 0.05  # s; the proposed acceleration limit reaches that slew in this time
_COST = 0.1  # cost of a command at the end of its range; a distance of half an observation's range costs 1
_DIGITS = 3
_TARGETS = ("target", "setpoint", "reference")  # names of observations that are targets themselves
_COLUMN = 30  # of the comments


def starter(path: Path, source: str, device: dict[str, str | int], hello: Hello, sheet: DataSheet) -> str:
    """TOML that load_config() accepts for this device; the limits are proposals inside the data sheet's.

    Args:
        path: of the file to be written, for its comments.
        source: origin of the data sheet, as text.
        device: keys of [device]: port or plant, and other known keys.
        hello, sheet: identity and data sheet of the device.

    Raises:
        ConfigError: the data sheet has values that a configuration cannot express.
    """
    lines = [
        f"# Configuration for `rtu-edge run {path}`. Every key: docs/configuration.md.",
        f"# Made from the data sheet of {source}",
        f"# (firmware {hello.firmware}, schema {hello.schema_hash:08x}).",
        "",
        "[device]",
        *(f"{key} = {quoted(value)}" for key, value in device.items()),
        *_required(sheet),
        *(
            []
            if "plant" in device or "sim" in device
            else ['# sim = "plant.c"    # what --sim simulates: name or C file']
        ),
        "",
        "[loop]",
        _line(
            "period_us",
            hello.period_us,
            f"{1e6 / hello.period_us:g} Hz; a device that differs by more than 20 % is refused",
        ),
        "",
    ]
    for actuator in sheet.actuators:
        lines += [*_limits(actuator, sheet.period_s, hello.simulated), ""]
    lines += [*_reward(hello, sheet), ""]
    lines += [*_learner(sheet.period_s), ""]
    lines += [
        "[run]",
        _line("steps", 100_000, f"{100_000 * sheet.period_s:,.0f} s at this rate"),
        _line("seed", 0, "random seed"),
        _line("folder", "runs", "folder of all runs"),
    ]
    text = "\n".join(lines) + "\n"
    parse_config(text, source=str(path))
    return text


def _required(sheet: DataSheet) -> Iterator[str]:
    """The limits that the device enforces: another one without them is refused."""
    limited = [row.name for row in sheet.observations if row.limits]
    if limited:
        yield _line("limits", limited, "the device's own limits; one without them is refused")


def _line(key: str, value: object, comment: str) -> str:
    return f"{f'{key} = {quoted(value)}':{_COLUMN}}  # {comment}"


def _limits(actuator: Channel, period_s: float, simulated: bool) -> Iterator[str]:
    """A table of limits: the device's range, and on real hardware moderate slew and acceleration limits."""
    unit, width = actuator.unit, actuator.max - actuator.min
    slew, accel = actuator.slew / period_s, math.inf
    if not simulated:
        slew = _rounded(min(width / _ACROSS_S, slew))
        accel = _rounded(slew / _RISE_S)
    rest = min(max(0.0, actuator.min), actuator.max)
    if actuator.safe_value and actuator.min <= actuator.safe_value <= actuator.max:
        rest = actuator.safe_value
    yield f"[limits.{quoted_key(actuator.name)}]"
    yield _line("min", actuator.min, f"{unit}, the data sheet's; tighten all of these before --arm")
    yield f"max = {quoted(actuator.max)}"
    yield _line("slew_per_s", slew, f"{unit}/s; largest change per second; inf: no limit")
    yield _line("accel_per_s2", accel, f"{unit}/s^2; largest change of that")
    yield _line("rest", rest, "sent once before disarming")


def _reward(hello: Hello, sheet: DataSheet) -> Iterator[str]:
    """The form with a target for each observation; a comment if the device sends a reward."""
    mark = "# " if hello.reward else ""
    targets = [_middle(row) for row in sheet.observations]
    moving = [row.name for row in sheet.observations if any(word in row.name.lower() for word in _TARGETS)]
    weights = [0.0 if row.name in moving else -_rounded(1.0 / _half(row) ** 2) for row in sheet.observations]
    action = [-_rounded(_COST / max(abs(row.min), abs(row.max)) ** 2) for row in sheet.actuators]
    yield "[reward]"
    if hello.reward:
        yield _line("source", "device", "the reward in the device's frame; or:")
    yield mark + _line("source", "form", "sum quadratic_i (x_i - target_i)^2 + sum action_k u_k^2")
    yield mark + _line("target", targets, ", ".join(f"{row.name} [{row.unit}]" for row in sheet.observations))
    yield mark + _line("quadratic", weights, "cost of the distance from each target; 0.0 for none")
    yield mark + _line("action", action, "cost of " + ", ".join(f"{row.name} [{row.unit}]" for row in sheet.actuators))
    if moving:
        names = ", ".join(map(clean, moving))
        yield f"# The form's targets are constants; a distance to {names} needs a reward from the device."


def _learner(period_s: float) -> Iterator[str]:
    units, hidden = (parameters.find(AC, name).defaults[AC] for name in ("units", "hidden"))
    yield "[learner]"
    yield _line("units", units, "recurrent units; `rtu-edge size` prints memory and time")
    yield _line("hidden", list(hidden), "widths of the layers above them")
    yield _line("horizon_s", _rounded(horizon.DEFAULT * period_s), "a command matters for the reward for so long [s]")


def _half(row: Channel) -> float:
    """Half the range of an observation; 1 if unbounded."""
    half = (row.max - row.min) / 2
    return half if math.isfinite(half) and half > 0 else 1.0


def _middle(row: Channel) -> float:
    """0 if it is in the range, else the middle."""
    return 0.0 if row.min <= 0 <= row.max else _rounded((row.min + row.max) / 2)


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
