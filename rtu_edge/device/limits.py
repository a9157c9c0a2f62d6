"""Validation of a device's data sheet, and the limits in force that follow from it and from the host's.

A data sheet is external input, from a board or a log. Nothing is corrected, and only +inf means "no limit": invalid
values are refused, with the channel, the value and the allowed range. Limits are checked in the form used, after
scaling to one period and rounding to float32.
"""

from __future__ import annotations

import math
import numbers
import re
import reprlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rtu_edge._base.validation import counted, scalar
from rtu_edge.device.schema import Channel, Hello, LimitKind, Limits, Role, Safe, SheetLimit

__all__ = ["as_float", "in_force", "min_ttl_ms", "sheet_problems", "too_many_values"]

_PERIOD_US = (50, 10_000_000)
_VALUES = 55  # observations and actuators together, the capacity of a STATE (docs/protocol.md)
_LIMITS = 4  # of one observation
_ALL = 255  # limit.actuator: each
_WORD = re.compile(r"[\x21-\x7e]+")


def as_float(value: Any) -> float | None:
    """A number as a float, also from numpy; None for anything else, and for an integer beyond float's range."""
    plain = scalar(value)
    if isinstance(plain, bool) or not isinstance(plain, numbers.Real):
        return None
    try:
        return float(plain)
    except OverflowError:
        return None


def min_ttl_ms(period_us: int) -> int:
    """The smallest usable TTL, ms.

    A command answers an observation and expires a TTL after it. The next one answers the observation one period later
    and arrives after another round trip, for which 1 ms, the unit of a TTL, is the least: the previous command must
    remain valid until then.
    """
    return -(-period_us // 1000) + 1


def too_many_values(n: int, m: int) -> str:
    """Why n observations and m actuators fit into no STATE frame, as the end of a sentence; "" if they do."""
    if n + m <= _VALUES:
        return ""
    return ": a STATE frame has a payload of 238 bytes, 16 of them before the values, and a value takes 4"


def sheet_problems(hello: Hello, channels: Sequence[Channel] = ()) -> Iterator[str]:
    """Yield one sentence for each invalid value in a HELLO and, if given, in the channels."""
    low, high = _PERIOD_US
    if not low <= hello.period_us <= high:
        yield f"period_us = {hello.period_us}, allowed: {low} to {high}"
    elif hello.ttl_max_ms < min_ttl_ms(hello.period_us):
        least = min_ttl_ms(hello.period_us)
        yield f"ttl_max_ms = {hello.ttl_max_ms}, allowed: at least {least}, a period of {hello.period_us} us and 1 ms"
    n, m = hello.observation_size, hello.action_size
    if n < 1 or m < 1 or n + m > _VALUES:
        yield (
            f"{counted(n, 'observation')} and {counted(m, 'actuator')}, allowed: at least 1 each, {_VALUES} together"
            f"{too_many_values(n, m)}"
        )
    seen: set[tuple[bool, str]] = set()
    for index, channel in enumerate(channels):
        actuator = index >= n
        where = f"{'actuator' if actuator else 'observation'} {index - n if actuator else index} {channel.name!a}"
        if channel.actuator is not actuator:
            kind = "an actuator" if channel.actuator else "an observation"
            yield f"{where}: called {kind}; the observations come first"
        for problem in _channel_problems(channel, actuator):
            yield f"{where}: {problem}"
        for problem in _limits_problems(channel, channels[n:]):
            yield f"{where}: {problem}"
        if (actuator, channel.name) in seen:
            yield f"{where}: a name given twice"
        seen.add((actuator, channel.name))


def _channel_problems(channel: Channel, actuator: bool) -> Iterator[str]:
    for key, text in (("name", channel.name), ("unit", channel.unit)):
        if not _WORD.fullmatch(text):
            yield f"{key} = {text!a}, allowed: ASCII without spaces, at least one character"
    low, high = channel.min, channel.max
    if not low < high:
        yield f"range {low:g} to {high:g}, allowed: a minimum below the maximum"
        return
    if not actuator:
        if channel.safe != Safe.NONE:
            yield f"safe = {_shown(channel.safe)}, allowed: none, as for each observation"
        return
    if (problem := _range_problem(low, high)) is not None:
        yield problem
        return
    least = _spacing(low, high)
    if not channel.slew >= least:
        yield f"slew = {channel.slew:g} per period, allowed: at least {least:g}, or inf for no limit"
    if channel.safe not in list(Safe) or channel.safe == Safe.NONE:
        allowed = ", ".join(safe.name.lower() for safe in Safe if safe != Safe.NONE)
        yield f"safe = {_shown(channel.safe)}, allowed: {allowed}"
    elif channel.safe == Safe.RAMP and not math.isfinite(channel.slew):
        yield f"slew = {channel.slew:g} per period, allowed: a finite number, as safe is ramp"
    if not low <= channel.safe_value <= high:
        yield f"safe_value = {channel.safe_value:g}, allowed: {low:g} to {high:g}"


def _limits_problems(channel: Channel, actuators: Sequence[Channel]) -> Iterator[str]:
    """Of role and limits: the rules of tl_row_valid() and of the bridge; those of a later version are not judged."""
    if channel.actuator and (channel.role is not Role.ANY or channel.limits):
        yield "role, limits: allowed for observations only"
        return
    if channel.role is Role.BRAKE and ((channel.min, channel.max) != (0.0, 1.0) or channel.limits):
        yield f"range {channel.min:g} to {channel.max:g}, allowed for a brake: 0 to 1, without limits"
    if len(channel.limits) > _LIMITS:
        yield f"{len(channel.limits)} limits, allowed: at most {_LIMITS}"
    for index, each in enumerate(channel.limits):
        for problem in _limit_problems(each, actuators):
            yield f"limits[{index}]: {problem}"


def _limit_problems(given: SheetLimit, actuators: Sequence[Channel]) -> Iterator[str]:
    kind = given.kind
    if kind is LimitKind.OTHER:
        return
    if not given.low < given.high or not (math.isfinite(given.low) or math.isfinite(given.high)):
        yield f"low {given.low:g}, high {given.high:g}, allowed: low below high, at least one finite"
    if given.sense not in ((-1, 1) if kind is LimitKind.DIRECTION else (0,)):
        yield f"sense = {given.sense}, allowed: {'1 or -1' if kind is LimitKind.DIRECTION else '0'}"
    derates = kind is LimitKind.DERATE
    if not (0.0 < given.slope < math.inf if derates else given.slope == 0.0):
        yield f"slope = {given.slope:g}, allowed: {'above 0, finite' if derates else '0'}"
    single = [given.actuator] if 0 <= given.actuator < len(actuators) else []
    acts_on = single or (range(len(actuators)) if given.actuator == _ALL and kind is not LimitKind.DIRECTION else [])
    if not acts_on or (kind is LimitKind.FAULT and single):
        some = f"0 to {len(actuators) - 1}"
        allowed = {
            LimitKind.DIRECTION: some,
            LimitKind.FAULT: f"{_ALL}",
            LimitKind.DERATE: f"{some}, or {_ALL} for all",
        }
        yield f"actuator = {given.actuator}, allowed: {allowed[kind]}"
    elif kind is not LimitKind.FAULT:
        for each in (actuators[index] for index in acts_on):
            if not each.min <= 0.0 <= each.max:
                yield f"actuator {each.name}: range {each.min:g} to {each.max:g}, allowed: one that contains 0"


def _shown(safe: int) -> str:
    """The name of a safe behaviour, or its number if unknown."""
    return safe.name.lower() if isinstance(safe, Safe) else str(safe)


def in_force(
    limits: Sequence[Limits], actuators: Sequence[Channel], period_s: float, paths: Sequence[str] = ()
) -> list[Limits]:
    """The limits in force: for each actuator the tighter of the host's and the device's.

    Args:
        limits: the host's, one per actuator; empty: those of the device.
        actuators: without sheet_problems().
        period_s: s.
        paths: names of the limits in errors; default limits[0] and so on.

    Returns:
        One per actuator, without None: inf for no limit, rest inside the range.

    Raises:
        ValueError: limits that cannot be enforced: one line each, with the value and the allowed range.
    """
    found: list[Limits] = []
    problems: list[str] = []
    for index, actuator in enumerate(actuators):
        path = paths[index] if paths else f"limits[{index}]"
        own = limits[index] if limits else None
        wrong = list(_own_problems(own, path)) if own is not None else []
        if not wrong:
            made = _tighter(own, actuator, period_s)
            wrong = list(_problems_in_use(made, own, actuator, period_s, path))
            found.append(made)
        problems += wrong
    if problems:
        raise ValueError("\n".join(problems))
    return found


def _own_problems(own: Limits, path: str) -> Iterator[str]:
    for key in Limits.__struct_fields__:
        value = getattr(own, key)
        needed = key in ("min", "max")
        if (value is not None or needed) and as_float(value) is None:
            yield f"{path}.{key}: {reprlib.repr(value)}, allowed: a number"
            return
    if not (math.isfinite(own.min) and math.isfinite(own.max) and own.min < own.max):
        yield f"{path}: min {own.min:g} must be below max {own.max:g}, both finite"
    for key in ("slew_per_s", "accel_per_s2"):
        value = getattr(own, key)
        if value is not None and not value > 0:
            yield f"{path}.{key}: {value:g}, allowed: above 0, inf for no limit"
    if own.rest is not None and not math.isfinite(own.rest):
        yield f"{path}.rest: {own.rest:g}, allowed: a finite number"


def _tighter(own: Limits | None, actuator: Channel, period_s: float) -> Limits:
    low, high, slew, rest = actuator.min, actuator.max, actuator.slew / period_s, actuator.safe_value
    accel = math.inf
    if own is not None:
        low, high = max(own.min, low), min(own.max, high)
        slew = min(own.slew_per_s if own.slew_per_s is not None else math.inf, slew)
        rest = own.rest if own.rest is not None else rest
        accel = own.accel_per_s2 if own.accel_per_s2 is not None else math.inf
    return Limits(low, high, slew_per_s=slew, accel_per_s2=accel, rest=min(max(rest, low), high))


def _problems_in_use(made: Limits, own: Limits | None, actuator: Channel, period_s: float, path: str) -> Iterator[str]:
    """Errors of limits after scaling to a period and rounding to float32."""
    low, high = made.min, made.max
    if not np.float32(low) < np.float32(high):
        given = f"{own.min:g}..{own.max:g} leaves" if own is not None else "its data sheet leaves"
        of = f"the device's {actuator.min:g}..{actuator.max:g} {actuator.unit} for {actuator.name}"
        yield f"{path}: {given} nothing of {of}"
        return
    if (problem := _range_problem(low, high)) is not None:
        yield f"{path}: {problem}"
        return
    least = _spacing(low, high)
    for key, scale in (("slew_per_s", period_s), ("accel_per_s2", period_s * period_s)):
        value = getattr(made, key)
        with np.errstate(over="ignore", under="ignore"):
            change = float(np.float32(value * scale))
        if not change >= least:
            yield (
                f"{path}.{key}: {value:g}, that is {change:g} per period, allowed: at least {least / scale:g}, as"
                f" float32 commands up to {max(abs(low), abs(high)):g} are {least:g} apart, or inf for no limit"
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
    """The smallest change that every float32 command in the range can represent."""
    # Infinite next to the largest float: only inf is valid there, as in problem_of() of the command limiter.
    with np.errstate(over="ignore"):
        spacing = float(np.spacing(np.float32(max(abs(low), abs(high)))))
    return max(spacing, float(np.finfo(np.float32).tiny))
