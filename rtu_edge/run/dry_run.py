"""Display of a dry run: each observation with its unit, and the commands that would be sent."""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape

from rtu_edge._base.text_table import TextTable
from rtu_edge.device.schema import Channel, DataSheet
from rtu_edge.loop import LoopStatus, RecordFlag

__all__ = ["DryRun", "Watched"]

Array = npt.NDArray[Any]

_LINE_S = 1.0  # interval between lines without a terminal


@dataclass
class Watched:
    """The values of one channel in a dry run.

    Args:
        channel: an observation, or an actuator with the commands that would be sent.
        last: the newest value; None before the first one.
        least, largest: of the finite values; None before the first one. applied: the value that the device reports as
        applied; None for an
            observation.
    """

    channel: Channel
    last: float | None = None
    least: float | None = None
    largest: float | None = None
    applied: float | None = None

    def take(self, values: Array) -> None:
        """New values, oldest first."""
        if len(values):
            self.last = float(values[-1])
        if len(numbers := values[~np.isnan(values)]):
            self.least = min(float(numbers.min()), self.least if self.least is not None else np.inf)
            self.largest = max(float(numbers.max()), self.largest if self.largest is not None else -np.inf)

    def plain(self) -> dict[str, Any]:
        """The same in JSON types."""
        numbers = {"last": self.last, "least": self.least, "largest": self.largest}
        finite = {name: value if value is not None and np.isfinite(value) else None for name, value in numbers.items()}
        return {"name": self.channel.name, "unit": self.channel.unit, **finite}


class DryRun:
    """The display of a dry run: live on a terminal, otherwise one line per second; a context manager.

    Args:
        console: where to write.
        sheet: of the device.
    """

    def __init__(self, console: Console, sheet: DataSheet) -> None:
        self._console = console
        self.observed = [Watched(channel) for channel in sheet.observations]
        self.would_send = [Watched(channel) for channel in sheet.actuators]
        self._commands = 0
        self._state = "-"
        self._spoken_s = time.monotonic() - _LINE_S
        self._live = Live(console=console, refresh_per_second=8, transient=True) if console.is_terminal else None

    def watch(self, status: LoopStatus, records: Array, episodes: Array) -> None:
        """Process and show new records; called by run_loop()."""
        from rtu_edge.device.protocol import DeviceState

        known = status.device_state in list(DeviceState)
        self._state = DeviceState(status.device_state).name if known else "-"
        self._take(records)
        if self._live is not None:
            self._live.update(self.table())
        elif len(records) and time.monotonic() - self._spoken_s >= _LINE_S:
            self._spoken_s = time.monotonic()
            self._console.print(self._line(), markup=False, soft_wrap=True)

    def _take(self, records: Array) -> None:
        sent = records[(records["flags"] & np.uint32(RecordFlag.ACTED)) != 0]
        self._commands += len(sent)
        for index, watched in enumerate(self.observed):
            watched.take(records["x"][:, index])
        for index, watched in enumerate(self.would_send):
            watched.take(sent["u"][:, index])
            if len(records):
                watched.applied = float(records["applied"][-1, index])

    def _line(self) -> str:
        seen, sent = (
            "  ".join(f"{each.channel.name} {_number(each.last)} {each.channel.unit}" for each in channels)
            for channels in (self.observed, self.would_send)
        )
        return f"     {self._state}  {seen}  would send {sent}"

    def table(self) -> Group:
        """All channels, with their extremes."""
        title = f"device {self._state}, {self._commands:,} commands would be sent"
        table = TextTable("", "value", "unit", "least", "largest", "applied", left=("unit",), padding=3)
        for each in (*self.observed, *self.would_send):
            kind = "would send" if each.channel.actuator else "observed"
            numbers = [_number(value) for value in (each.last, each.least, each.largest, each.applied)]
            table.add_row(escape(f"{kind} {each.channel.name}"), numbers[0], escape(each.channel.unit), *numbers[1:])
        return Group(title, table)

    def plain(self) -> dict[str, Any]:
        """The results, for the run's record."""
        return {
            "commands": self._commands,
            "observed": [each.plain() for each in self.observed],
            "would_send": [each.plain() for each in self.would_send],
        }

    def __enter__(self) -> DryRun:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.5g}"
