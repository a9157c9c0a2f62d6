"""The channels that an owner describes by its control socket, with the newest values of its status, for a display.

The owner answers `channels` with its data sheet and the names of its companions; the status has the newest
observations and the state of each companion, in the same order. An owner of an earlier version sends neither.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from rtu_edge._base.untrusted import to_json
from rtu_edge.device.schema import Channel, DataSheet, Role, SheetLimit

__all__ = ["NEAR", "Channels", "CompanionLine", "answer", "companions", "place", "read", "rows"]

NEAR = 0.1  # share of a limit's range next to the limit that counts as near

_PLACES = ("within", "near", "beyond")
_BRAKE_ENGAGED = 0.5  # an observation of the role brake: 1 engaged, 0 released


@dataclass(frozen=True)
class Channels:
    """What an owner describes.

    Args:
        sheet: channels of the device and of its companions.
        companions: their names, in the order of the status.
    """

    sheet: DataSheet
    companions: tuple[str, ...] = ()


@dataclass(frozen=True)
class CompanionLine:
    """A companion at this moment.

    Args:
        name: as in `[companion.NAME]`.
        device_state: number of its state; -1: not known yet.
        age_ms: ms since its newest observation arrived; None: none of this episode yet.
        ttl_ms: ms; its observations and commands are valid for as long.
        lost: frames of the device that did not arrive.
    """

    name: str
    device_state: int
    age_ms: float | None
    ttl_ms: float
    lost: int


def answer(sheet: DataSheet, companions: Sequence[str] = ()) -> str:
    """The answer to `channels`: one line."""
    return to_json({"event": "channels", "sheet": sheet, "companions": list(companions)}).decode() + "\n"


def read(line: Mapping[str, Any]) -> Channels | None:
    """The channels in an answer; None for an owner of another version, or one that has no data sheet yet."""
    if line.get("event") != "channels" or "sheet" not in line:
        return None
    try:
        given = {name: line[name] for name in ("sheet", "companions") if name in line}
        return msgspec.convert(given, Channels, strict=False)  # not strict: "inf" is a float
    except (msgspec.ValidationError, ValueError):
        return None


def place(limit: SheetLimit, channel: Channel, value: float) -> str:
    """Where a value lies: "within" a limit, "near" it or "beyond" it; "near" does not include "beyond".

    Near is the last tenth (NEAR) of the range between both ends of the limit. Of a limit with one end, the range is
    that from the other end of the channel's range; where it has none, the limit's distance from 0.
    """
    if value < limit.low or value > limit.high:
        return "beyond"
    span = _span(limit.low, limit.high, channel)
    near = value - limit.low <= NEAR * span or limit.high - value <= NEAR * span
    return "near" if near else "within"


def _span(low: float, high: float, channel: Channel) -> float:
    found = (low if math.isfinite(low) else channel.min, high if math.isfinite(high) else channel.max)
    if all(map(math.isfinite, found)) and found[1] > found[0]:
        return found[1] - found[0]
    return abs(low if math.isfinite(low) else high)


def rows(found: Channels, values: Sequence[float | None]) -> list[dict[str, Any]]:
    """Each observation with its newest value, in JSON types.

    Args:
        values: of the status, in the order of the data sheet; missing or None: not known.

    Returns:
        name, unit, value, role, limits (kind, low, high, actuator, slope, text), limit ("within", "near", "beyond" the
        nearest of its limits; None without a limit or a value), brake ("engaged", "released"; None for other roles).
    """
    return [
        _row(channel, found.sheet.actuators, _number(values[at]) if at < len(values) else None)
        for at, channel in enumerate(found.sheet.observations)
    ]


def _row(channel: Channel, actuators: Sequence[Channel], value: float | None) -> dict[str, Any]:
    places = [] if value is None else [place(limit, channel, value) for limit in channel.limits]
    brake = None
    if channel.role is Role.BRAKE and value is not None:
        brake = "engaged" if value >= _BRAKE_ENGAGED else "released"
    limits = [
        {
            "kind": each.kind.name.lower(),
            "low": each.low,
            "high": each.high,
            "actuator": actuators[each.actuator].name if each.actuator < len(actuators) else None,
            "slope": each.slope,
            "text": each.text(channel.unit, actuators),
        }
        for each in channel.limits
    ]
    return {
        "name": channel.name,
        "unit": channel.unit,
        "value": value,
        "role": None if channel.role is Role.ANY else channel.role.name.lower(),
        "limits": limits,
        "limit": max(places, key=_PLACES.index, default=None),
        "brake": brake,
    }


def companions(found: Channels | None, status: Mapping[str, Any]) -> list[CompanionLine]:
    """The companions of a status; [] without any, and while no loop runs.

    Raises:
        LookupError, TypeError, ValueError: the status has them in another form.
    """
    given = status.get("companions")
    if not given:
        return []
    names = found.companions if found is not None else ()
    return [
        CompanionLine(
            names[at] if at < len(names) else f"companion[{at}]",
            int(state),
            _number(given["age_ms"][at]),
            float(given["ttl_ms"][at]),
            int(given["lost"][at]),
        )
        for at, state in enumerate(given["device_state"])
    ]


def _number(value: Any) -> float | None:
    return None if value is None or not math.isfinite(float(value)) else float(value)
