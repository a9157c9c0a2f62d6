"""Channels with a role or limits, and companions, in the output of rtu-edge monitor."""

from __future__ import annotations

import contextlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rtu_edge._base.text_table import TextTable
    from rtu_edge.device.channels import Channels, CompanionLine

__all__ = ["Now", "Source", "state_name", "state_style"]

_LIMIT_STYLES = {"near": "bold yellow", "beyond": "bold red"}


def state_style(name: str) -> str:
    """The style of a device state."""
    return {"ARMED": "bold green", "SAFE": "bold yellow", "ESTOP": "bold red", "RESETTING": "cyan"}.get(name, "bold")


def state_name(number: int) -> str:
    """The name of a device state; "-" if it is not known."""
    from rtu_edge.device.protocol import DeviceState

    return DeviceState(number).name if number in list(DeviceState) else "-"


class Source:
    """The channels that the owner of a port describes; asked at first, and when they no longer fit its status.

    Args:
        port: as of `lock.status()`.
    """

    def __init__(self, port: str) -> None:
        self._port = port
        self._found: Channels | None = None
        self._asked: tuple[Any, ...] | None = None

    def now(self, status: dict[str, Any]) -> Now:
        """Channels and companions of a status; nothing for an owner that sends none.

        Raises:
            LookupError, TypeError, ValueError: the status has them in another form.
        """
        from rtu_edge.device import channels, lock

        values, others = status.get("observations"), status.get("companions")
        form = (status["running"], len(values or ()), len(others["device_state"]) if others else 0)
        if values is not None and form != self._asked:
            from rtu_edge._base.errors import DeviceError

            self._asked = form
            with contextlib.suppress(DeviceError):  # it has just left; the status ends too
                self._found = lock.channels(self._port)
        rows = channels.rows(self._found, values) if values is not None and self._found is not None else []
        return Now(rows, channels.companions(self._found, status))


@dataclass(frozen=True)
class Now:
    """Channels and companions at this moment.

    Args:
        rows: as of `channels.rows()`.
        companions: as of `channels.companions()`.
    """

    rows: list[dict[str, Any]]
    companions: list[CompanionLine]

    def plain(self, status: dict[str, Any]) -> dict[str, Any]:
        """A status in JSON types with `channels` and `companions`, where there are any."""
        found = dict(status)
        if self.rows:
            found["channels"] = self.rows
        if self.companions:
            found["companions"] = [asdict(each) | {"state": state_name(each.device_state)} for each in self.companions]
        return found

    def line(self) -> str:
        """Brake, channels near or beyond a limit, and companions, as a phrase to append; "" without any."""
        said = [f"{row['name']} {row['brake']}" for row in self._stated() if row["brake"]]
        said += [f"{row['name']} {_limit(row)}" for row in self._stated() if row["limit"] in _LIMIT_STYLES]
        said += [
            f"{each.name} {state_name(each.device_state)} {_age(each)} lost {each.lost}" for each in self.companions
        ]
        return "".join(f"  {each}" for each in said)

    def tables(self) -> list[TextTable]:
        """The tables that have rows."""
        found = [self._channels(), self._companions()]
        return [each for each in found if each.row_count]

    def _stated(self) -> list[dict[str, Any]]:
        return [row for row in self.rows if row["role"] or row["limits"]]

    def _channels(self) -> TextTable:
        from rich.markup import escape
        from rich.text import Text

        from rtu_edge._base.text_table import TextTable
        from rtu_edge._base.untrusted import clean

        table = TextTable(
            "channel",
            "newest",
            "unit",
            "role",
            "now",
            "limits of the device",
            prose=("limits of the device",),
            left=("unit", "role", "now"),
        )
        for row in self._stated():
            table.add_row(
                escape(clean(row["name"])),
                "-" if row["value"] is None else f"{row['value']:.5g}",
                escape(clean(row["unit"])),
                "-" if row["role"] is None else row["role"].replace("_", " "),
                Text(row["brake"] or _limit(row), style=_LIMIT_STYLES.get(row["limit"], "")),
                escape(clean("; ".join(each["text"] for each in row["limits"]) or "-")),
            )
        return table

    def _companions(self) -> TextTable:
        from rich.markup import escape
        from rich.text import Text

        from rtu_edge._base.text_table import TextTable
        from rtu_edge._base.untrusted import clean

        table = TextTable("companion", "device", "newest observation", "lost", left=("device", "newest observation"))
        for each in self.companions:
            name = state_name(each.device_state)
            late = each.age_ms is not None and each.age_ms > each.ttl_ms
            table.add_row(
                escape(clean(each.name)),
                Text(name, style=state_style(name)),
                Text(_age(each), style=_LIMIT_STYLES["beyond"] if late else ""),
                f"{each.lost:,}",
            )
        return table


def _limit(row: dict[str, Any]) -> str:
    places = {"within": "within limits", "near": "near a limit", "beyond": "beyond a limit"}
    return places.get(row["limit"], "-")


def _age(each: CompanionLine) -> str:
    age = "none yet" if each.age_ms is None else f"{each.age_ms:.0f} ms old"
    return f"{age}, TTL {each.ttl_ms:.0f} ms"
