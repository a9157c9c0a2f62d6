"""Whether a device's data sheet can be used, and what limits follow from it and from the host's own.

A data sheet comes from outside: of a board, or of a log. Nothing here is corrected, and no number but +inf means "no limit":
what cannot be used is refused, with the row, the value and what is allowed. Limits are checked as they are used, that is
after scaling to one period and rounding to float32.
"""

from __future__ import annotations

import math
import numbers
import re
import reprlib
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from rtu_edge._base.validation import scalar

__all__ = ["ActuatorRange", "Sheet", "SheetRow", "as_float", "combined", "min_ttl_ms", "sheet_problems"]

# low, high, slew per s, rest, acceleration per s^2, each of one actuator in its own unit; inf: no limit.
ActuatorRange = tuple[float, float, float, float, float]

_PERIOD_US = (50, 10_000_000)
_VALUES = 55  # observations and actuators together, which is what a STATE holds
_WORD = re.compile(r"[\x21-\x7e]+")
_SAFE = ("hold", "damp", "ramp", "off")


class SheetRow(Protocol):
    """A row of the data sheet, as runtime.Row."""

    @property
    def actuator(self) -> bool: ...  # noqa: D102
    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def unit(self) -> str: ...  # noqa: D102
    @property
    def minimum(self) -> float: ...  # noqa: D102
    @property
    def maximum(self) -> float: ...  # noqa: D102
    @property
    def slew(self) -> float: ...  # noqa: D102
    @property
    def safe(self) -> str: ...  # noqa: D102
    @property
    def safe_value(self) -> float: ...  # noqa: D102


class Sheet(Protocol):
    """What goes with the rows, as runtime.Hello."""

    @property
    def period_us(self) -> int: ...  # noqa: D102
    @property
    def ttl_max_ms(self) -> int: ...  # noqa: D102
    @property
    def n_observations(self) -> int: ...  # noqa: D102
    @property
    def n_actuators(self) -> int: ...  # noqa: D102


class OwnLimits(Protocol):
    """The host's limits of one actuator, as runtime.Limits."""

    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...
    @property
    def slew_per_s(self) -> float | None: ...
    @property
    def accel_per_s2(self) -> float | None: ...
    @property
    def rest(self) -> float | None: ...


def as_float(value: Any) -> float | None:
    """A number as a float, also out of numpy; None for what is none, and for an integer that no float holds."""
    plain = scalar(value)
    if isinstance(plain, bool) or not isinstance(plain, numbers.Real):
        return None
    try:
        return float(plain)
    except OverflowError:
        return None


def min_ttl_ms(period_us: int) -> int:
    """The shortest life of a command that can be kept, ms.

    A command answers an observation and expires a TTL after it. The next one answers the observation one period later and
    arrives after another round trip, for which 1 ms, the unit of a TTL, is the least: until then this one has to live.
    """
    return -(-period_us // 1000) + 1


def sheet_problems(sheet: Sheet, rows: Sequence[SheetRow] = ()) -> Iterator[str]:
    """Yield one sentence for each thing in a device's HELLO, and in its rows where they are given, that cannot be used."""
    low, high = _PERIOD_US
    if not low <= sheet.period_us <= high:
        yield f"period_us = {sheet.period_us}, allowed: {low} to {high}"
    elif sheet.ttl_max_ms < min_ttl_ms(sheet.period_us):
        least = min_ttl_ms(sheet.period_us)
        yield f"ttl_max_ms = {sheet.ttl_max_ms}, allowed: at least {least}, a period of {sheet.period_us} us and 1 ms"
    n, m = sheet.n_observations, sheet.n_actuators
    if n < 1 or m < 1 or n + m > _VALUES:
        yield f"{n} observations and {m} actuators, allowed: at least 1 each, {_VALUES} together"
    seen: set[tuple[bool, str]] = set()
    for index, row in enumerate(rows):
        actuator = index >= n
        where = f"{'actuator' if actuator else 'observation'} {index - n if actuator else index} {row.name!a}"
        if row.actuator is not actuator:
            yield f"{where}: called {'an actuator' if row.actuator else 'an observation'}; the observations come first"
        for problem in _row_problems(row, actuator):
            yield f"{where}: {problem}"
        if (actuator, row.name) in seen:
            yield f"{where}: a name given twice"
        seen.add((actuator, row.name))


def _row_problems(row: SheetRow, actuator: bool) -> Iterator[str]:
    for key, text in (("name", row.name), ("unit", row.unit)):
        if not _WORD.fullmatch(text):
            yield f"{key} = {text!a}, allowed: ASCII without spaces, at least one character"
    low, high = row.minimum, row.maximum
    if not low < high:
        yield f"range {low:g} to {high:g}, allowed: a minimum below the maximum"
        return
    if not actuator:
        if row.safe != "none":
            yield f"safe = {row.safe!a}, allowed: none, as for each observation"
        return
    if (problem := _range_problem(low, high)) is not None:
        yield problem
        return
    least = _spacing(low, high)
    if not row.slew >= least:
        yield f"slew = {row.slew:g} per period, allowed: at least {least:g}, or inf for no limit"
    if row.safe not in _SAFE:
        yield f"safe = {row.safe!a}, allowed: {', '.join(_SAFE)}"
    elif row.safe == "ramp" and not math.isfinite(row.slew):
        yield f"slew = {row.slew:g} per period, allowed: a finite number, as safe is ramp"
    if not low <= row.safe_value <= high:
        yield f"safe_value = {row.safe_value:g}, allowed: {low:g} to {high:g}"


def combined(
    limits: Sequence[OwnLimits], rows: Sequence[SheetRow], period_s: float, paths: Sequence[str] = ()
) -> list[ActuatorRange]:
    """The limits in force: of each actuator the tighter ones of the host and of the device's row.

    Args:
        limits: the host's, one per row; empty takes the rows as they are.
        rows: of the actuators, without sheet_problems().
        period_s: s.
        paths: what errors call the limits; limits[0] and so on unless given.

    Raises:
        ValueError: limits that cannot be kept: one line each, with the value and what is allowed.
    """
    found: list[ActuatorRange] = []
    problems: list[str] = []
    for index, row in enumerate(rows):
        path = paths[index] if paths else f"limits[{index}]"
        own = limits[index] if limits else None
        wrong = list(_own_problems(own, path)) if own is not None else []
        if not wrong:
            made = _tighter(own, row, period_s)
            wrong = list(_problems_in_use(made, own, row, period_s, path))
            found.append(made)
        problems += wrong
    if problems:
        raise ValueError("\n".join(problems))
    return found


def _own_problems(own: OwnLimits, path: str) -> Iterator[str]:
    for key in ("low", "high", "slew_per_s", "accel_per_s2", "rest"):
        value = getattr(own, key)
        needed = key in ("low", "high")
        if (value is not None or needed) and as_float(value) is None:
            yield f"{path}.{key}: {reprlib.repr(value)}, allowed: a number"
            return
    if not (math.isfinite(own.low) and math.isfinite(own.high) and own.low < own.high):
        yield f"{path}: low {own.low:g} must be below high {own.high:g}, both finite"
    for key in ("slew_per_s", "accel_per_s2"):
        value = getattr(own, key)
        if value is not None and not value > 0:
            yield f"{path}.{key}: {value:g}, allowed: above 0, inf for no limit"
    if own.rest is not None and not math.isfinite(own.rest):
        yield f"{path}.rest: {own.rest:g}, allowed: a finite number"


def _tighter(own: OwnLimits | None, row: SheetRow, period_s: float) -> ActuatorRange:
    low, high, slew, rest = row.minimum, row.maximum, row.slew / period_s, row.safe_value
    accel = math.inf
    if own is not None:
        low, high = max(own.low, low), min(own.high, high)
        slew = min(own.slew_per_s if own.slew_per_s is not None else math.inf, slew)
        rest = own.rest if own.rest is not None else rest
        accel = own.accel_per_s2 if own.accel_per_s2 is not None else math.inf
    return low, high, slew, min(max(rest, low), high), accel


def _problems_in_use(
    made: ActuatorRange, own: OwnLimits | None, row: SheetRow, period_s: float, path: str
) -> Iterator[str]:
    """What is wrong with limits after scaling to a period and rounding to float32."""
    low, high, slew, _, accel = made
    if not np.float32(low) < np.float32(high):
        given = f"{own.low:g}..{own.high:g} leaves" if own is not None else "its row leaves"
        yield f"{path}: {given} nothing of the device's {row.minimum:g}..{row.maximum:g} {row.unit} for {row.name}"
        return
    if (problem := _range_problem(low, high)) is not None:
        yield f"{path}: {problem}"
        return
    least = _spacing(low, high)
    for key, value, scale in (("slew_per_s", slew, period_s), ("accel_per_s2", accel, period_s * period_s)):
        with np.errstate(over="ignore", under="ignore"):
            change = float(np.float32(value * scale))
        if not change >= least:
            yield (
                f"{path}.{key}: {value:g}, that is {change:g} per period, allowed: at least {least / scale:g}, as float32"
                f" commands up to {max(abs(low), abs(high)):g} are {least:g} apart, or inf for no limit"
            )


def _range_problem(low: float, high: float) -> str | None:
    """Finite ends, and a width that is a float32: the policy's -1..1 is spread over it."""
    smallest, largest = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)
    with np.errstate(over="ignore", under="ignore"):
        width = float(np.float32(high) - np.float32(low))
    if math.isfinite(low) and math.isfinite(high) and smallest <= width <= largest:
        return None
    return f"range {low:g} to {high:g}, allowed: finite ends, {smallest:.3g} to {largest:.3g} apart"


def _spacing(low: float, high: float) -> float:
    """The least change that each float32 command in the range can follow."""
    with np.errstate(
        over="ignore"
    ):  # infinite above the largest float: only inf will do there, as in problem_of() (gate.cpp)
        spacing = float(np.spacing(np.float32(max(abs(low), abs(high)))))
    return max(spacing, float(np.finfo(np.float32).tiny))
