"""Further devices of a loop: one policy over up to four links. The loop's own device ticks."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

from rtu_edge._base.errors import ConfigError
from rtu_edge._base.validation import check_bool, check_int
from rtu_edge.device.limits import min_ttl_ms
from rtu_edge.device.schema import Cap, Channel, DataSheet, Hello
from rtu_edge.loop.flags import MOST_COMPANIONS
from rtu_edge.loop.link import Link

__all__ = ["Companion", "checked", "whole_hello", "whole_sheet"]

_ALL = 255  # SheetLimit.actuator: each of the device


@dataclasses.dataclass(frozen=True)
class Companion:
    """A further device of a loop: of its observations the newest counts, and it gets its part of each command.

    Args:
        name: its channels are called `name.channel`.
        link: after handshake(); used by the loop alone until the run is over.
        ttl_ms: time to live of its commands and observations; 0: 3 of its periods, at least 20 ms. The device caps it.
        age: the time since its newest observation arrived, in seconds, is one more observation, `name.age`.
    """

    name: str
    link: Link
    ttl_ms: int = 0
    age: bool = False


def checked(companions: Sequence[Any]) -> list[Companion]:
    """The same with plain values.

    Raises:
        ConfigError, ValueError: an invalid one.
    """
    found: list[Companion] = []
    for index, given in enumerate(companions):
        where = f"companions[{index}]"
        if not isinstance(given, Companion) or not isinstance(given.link, Link):
            raise ConfigError(f"{where} = {given!r}: expected a Companion with a Link")
        if not given.name or given.name in [each.name for each in found]:
            raise ValueError(f"{where}.name: {given.name!r}, allowed: a name of its own")
        ttl_ms, least = check_int(f"{where}.ttl_ms", given.ttl_ms, 0, 2**16 - 1), min_ttl_ms(given.link.hello.period_us)
        if 0 < ttl_ms < least:
            raise ValueError(f"{where}.ttl_ms: {ttl_ms}, allowed: at least {least}, or 0 for three of its periods")
        found.append(Companion(given.name, given.link, ttl_ms, check_bool(f"{where}.age", given.age)))
    if len(found) > MOST_COMPANIONS:
        raise ValueError(f"companions: {len(found)}, allowed: at most {MOST_COMPANIONS}")
    return found


def whole_hello(hello: Hello, companions: Sequence[Companion]) -> Hello:
    """A device's HELLO with the numbers of channels of all devices; simulated only if all are."""
    if not companions:
        return hello
    others = [each.link.hello for each in companions]
    caps = hello.caps & ~Cap.LOCKSTEP
    if not all(other.simulated for other in others):
        caps &= ~Cap.SIMULATED
    return dataclasses.replace(
        hello,
        caps=caps,
        observation_size=hello.observation_size
        + sum(other.observation_size for other in others)
        + sum(each.age for each in companions),
        action_size=hello.action_size + sum(other.action_size for other in others),
    )


def whole_sheet(sheet: DataSheet, companions: Sequence[Companion]) -> DataSheet:
    """The channels of all devices, in the order of the loop's observations and commands, with the period of the first.

    Args:
        sheet: of the loop's own device.
        companions: their channels follow.
    """
    if not companions:
        return sheet
    observations, actuators = list(sheet.observations), list(sheet.actuators)
    for each in companions:
        observations += [_acting_from(row, len(actuators)) for row in _observations(each)]
        actuators += [_named(each, row) for row in each.link.sheet.actuators]
    rows = [dataclasses.replace(row, index=index) for index, row in enumerate([*observations, *actuators])]
    size = len(observations)
    return DataSheet(sheet.period_s, tuple(rows[:size]), tuple(rows[size:]))


def _observations(companion: Companion) -> Iterator[Channel]:
    for row in companion.link.sheet.observations:
        yield _named(companion, row)
    if companion.age:
        yield Channel(f"{companion.name}.age", "s", 0.0, math.inf)


def _acting_from(row: Channel, first: int) -> Channel:
    """With the numbers of the actuators that its limits act on among those of all devices."""
    limits = [
        each if each.actuator == _ALL else dataclasses.replace(each, actuator=first + each.actuator)
        for each in row.limits
    ]
    return dataclasses.replace(row, limits=tuple(limits))


def _named(companion: Companion, row: Channel) -> Channel:
    return dataclasses.replace(row, name=f"{companion.name}.{row.name}")
