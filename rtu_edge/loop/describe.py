"""A robot's channels as a table: name, unit, range, limits in force, safe behaviour."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rtu_edge.device.schema import Channel, DataSheet, Hello, Limits, Safe

__all__ = ["Description"]

_HEAD = ("", "channel", "unit", "range", "safe", "largest change")


@dataclass(frozen=True)
class Description:
    """Observations and actuators of a robot; prints as a table.

    Args:
        name: the plant, or the port.
        hello: identity and capabilities.
        sheet: period and channels.
        limits: in force, one per actuator: the tighter ones of host and device.
    """

    name: str
    hello: Hello
    sheet: DataSheet
    limits: Sequence[Limits]

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """The table without its head: kind, channel, unit, range, safe behaviour, largest change."""
        observed: list[tuple[str, ...]] = [
            ("observes", each.name, each.unit, _range(each.min, each.max), "", "") for each in self.sheet.observations
        ]
        moved: list[tuple[str, ...]] = [
            ("moves", each.name, each.unit, _range(own.min, own.max), _safe(each), _change(own, each))
            for each, own in zip(self.sheet.actuators, self.limits, strict=True)
        ]
        return observed + moved

    def __str__(self) -> str:
        """The table, at most 80 columns with short names; then roles and the device's own limits, a line each."""
        hello = self.hello
        kind = "simulated" if hello.simulated else "real hardware: moves only with arm=True and limits"
        able = [
            word
            for word, has in (("lockstep", hello.lockstep), ("resets", hello.reset), ("reward", hello.reward))
            if has
        ]
        title = f"{self.name}: {', '.join([kind, f'{1 / self.sheet.period_s:g} Hz', *able])}"
        table = [_HEAD, *self.rows]
        widths = [max(len(row[column]) for row in table) for column in range(len(_HEAD))]
        lines = [
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in table
        ]
        own = [(each.name, each.limits_text(self.sheet.actuators)) for each in self.sheet.observations]
        lines += [f"  {name}: {text}" for name, text in own if text]
        return "\n".join([title, *lines])

    __repr__ = __str__

    @property
    def notice(self) -> str:
        """What may move, for a person, before real hardware is armed."""
        lines = [f"{self.name}: arming real hardware. A learner explores. These limits hold:"]
        lines += [f"  {row[1]}: {row[3]} {row[2]}, {row[5]}; safe: {row[4]}" for row in self.rows if row[4]]
        lines += ["Keep an emergency stop at hand that does not need this computer. Not a certified safety function."]
        return "\n".join(lines)


def _range(low: float, high: float) -> str:
    return f"{low:g} to {high:g}"


def _safe(actuator: Channel) -> str:
    if actuator.safe in (Safe.OFF, Safe.RAMP):
        return f"{actuator.safe.name.lower()} at {actuator.safe_value:g}"
    return actuator.safe.name.lower()


def _change(own: Limits, actuator: Channel) -> str:
    words = [
        f"{value:g} {actuator.unit}/{per}"
        for value, per in ((own.slew_per_s, "s"), (own.accel_per_s2, "s^2"))
        if value is not None and math.isfinite(value)
    ]
    return ", ".join(words) or "no limit"
