"""rtu-edge monitor."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from rtu_edge._base.untrusted import clean, to_json
from rtu_edge.cli import complete, options
from rtu_edge.cli.common import console
from rtu_edge.cli.monitor_channels import Source, state_name, state_style
from rtu_edge.cli.target import running_port_of

if TYPE_CHECKING:
    from rich.console import RenderableType

    from rtu_edge.tools.monitor import Heard

_TICK_S = 0.1
_LINE_S = 1.0  # interval between lines without a terminal
_ONCE_S = 1.2


@click.command("monitor", epilog=options.examples("rtu-edge monitor robot.toml", "rtu-edge monitor PORT --once --json"))
@click.argument("target", shell_complete=complete.port)
@options.baud()
@click.option("--frames", is_flag=True, help="Print each decoded frame; only of a port that no process owns")
@options.as_json("a line ten times a second; with --frames a line for each frame")
@click.option("--once", is_flag=True, help="Print one status and exit")
@options.seconds(None, "until Ctrl-C")
@click.option("--silent", is_flag=True, help="Send nothing to the device, not even HELLO")
def command(
    target: str, baud: int | None, frames: bool, as_json: bool, once: bool, seconds: float | None, silent: bool
) -> None:
    """Show a link live: device state, return, rates, clocks, losses.

    TARGET is a port, or the TOML file that names it or that a run uses. If a process owns the port, it is asked for its
    status, which does not delay its loop. Otherwise the port is opened and read; only a HELLO request is sent, until it
    is answered. This command never arms, resets or stops a device.

    With an owner, the channels that have a role or limits on the device, and the companions, are shown too.
    """
    from rtu_edge._base.errors import ConfigError
    from rtu_edge.device import lock

    port, configured = running_port_of(target)
    pid = lock.owner(port)
    if pid is not None and frames:
        raise ConfigError(f"--frames: {port} is owned by process {pid}; frames are visible only without an owner")
    limit_s = seconds if seconds is not None else _ONCE_S if once else math.inf
    screen = _Screen(as_json, once)
    try:
        if pid is not None:
            _watch(port, screen, limit_s)
        else:
            _listen(port, baud or configured, screen, limit_s, frames, silent)
    except KeyboardInterrupt:
        screen.close()


class _Screen:
    """The output: live on a terminal, lines elsewhere, JSON on request."""

    def __init__(self, as_json: bool, once: bool) -> None:
        from rich.live import Live

        self._console = console()
        self.as_json = as_json
        self.once = once
        self._spoken_s = -math.inf
        moving = self._console.is_terminal and not self._console.is_dumb_terminal
        live = moving and not as_json and not once
        self._live = Live(console=self._console, refresh_per_second=10, transient=False) if live else None
        if self._live is not None:
            self._live.start()

    def show(self, plain: dict[str, Any], line: Callable[[], str], picture: Callable[[], RenderableType]) -> None:
        """Show an update in the selected form."""
        if self.as_json:
            click.echo(to_json(plain).decode())
        elif self.once:
            self._console.print(picture())
        elif self._live is not None:
            self._live.update(picture())
        elif time.monotonic() - self._spoken_s >= _LINE_S:
            self._spoken_s = time.monotonic()
            click.echo(clean(line()))

    def close(self) -> None:
        """Keep the last display."""
        if self._live is not None:
            self._live.stop()


def _watch(port: str, screen: _Screen, limit_s: float) -> None:
    """Ask the owner."""
    from rtu_edge._base.errors import DeviceError
    from rtu_edge.device import lock

    begin_s = time.monotonic()
    rates = _Rates()
    channels = Source(port)
    for status in [lock.status(port)] if screen.once else lock.monitor(port):
        try:
            per_s = {} if screen.once else rates.take(status)
            now = channels.now(status)
            screen.show(
                now.plain(status),
                lambda: _owned_line(status, per_s) + now.line(),  # noqa: B023
                lambda: _owned(port, status, per_s, now.tables()),  # noqa: B023
            )
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            screen.close()
            raise DeviceError(f"{port}: invalid reply from the process that owns the port: {error!r}") from None
        if screen.once:
            return
        if time.monotonic() - begin_s >= limit_s:
            break
    else:
        screen.close()
        click.echo(f"{port}: its owner has left")
    screen.close()


def _listen(port: str, baud: int, screen: _Screen, limit_s: float, frames: bool, silent: bool) -> None:
    """Open the port and listen."""
    from rtu_edge._base.errors import DeviceError
    from rtu_edge.tools.monitor import Listener, frame_as_json, name_of, text_of

    with Listener(port, baud, silent=silent) as listener:
        begin_s = time.monotonic()
        left_s = limit_s
        while left_s > 0:
            for frame, message in listener.listen(left_s if screen.once else min(left_s, _TICK_S)):
                if frames and screen.as_json:
                    click.echo(to_json(frame_as_json(frame, message)).decode())
                elif frames:
                    at_s = time.monotonic() - begin_s
                    kind = name_of(frame.type)
                    at = f"{at_s:9.4f}  {kind:<11} seq {frame.seq:<5}  t {frame.t_us / 1e6:11.6f}"
                    click.echo(f"{at}  {clean(text_of(message))}")
            left_s = limit_s - (time.monotonic() - begin_s)
            heard = listener.heard()
            if not frames:
                screen.show(
                    heard.plain(),
                    lambda: _heard_line(heard),  # noqa: B023
                    lambda: _heard(port, heard, silent),  # noqa: B023
                )
        screen.close()
        if not heard.frames:
            raise DeviceError(
                f"{port} at {baud} baud: nothing that speaks TickLink in {heard.seconds:.1f} s: {listener.unanswered}"
            )


class _Rates:
    """Steps and episodes a second, over the last second or so."""

    def __init__(self) -> None:
        self._seen: list[tuple[float, int]] = []

    def take(self, status: dict[str, Any]) -> dict[str, float]:
        now_s = time.monotonic()
        self._seen = [*self._seen[-10:], (now_s, int(status["steps"]))]
        (first_s, low), (_, high) = self._seen[0], self._seen[-1]
        return {"steps": (high - low) / (now_s - first_s)} if now_s > first_s else {}


# ---------------------------------------------------------------- what a person sees


def _grid(rows: list[tuple[str, str]], columns: int = 1) -> Any:
    """Names and values, in columns."""
    from rtu_edge._base.text_table import FactGrid

    return FactGrid(rows, columns)


def _group(head: Any, *parts: Any) -> Any:
    from rich.console import Group
    from rich.padding import Padding

    shown = [Padding(part, (0, 0, 0, 2), expand=False) for part in parts if part]
    return Group(head, *(each for part in shown for each in ("", part)))


def _us(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value / 1e3:,.2f} ms" if abs(value) >= 1000 else f"{value:,.0f} µs"


def _owned_line(status: dict[str, Any], per_s: dict[str, float]) -> str:
    link, counters = status["link"], status["counters"]
    return (
        f"{state_name(status['device_state'])}  step {status['steps']}  {per_s.get('steps', 0.0):.0f}/s  "
        f"episode {status['episodes']}  {_learned(status)}  round trip {_us(link['round_trip_us'])}  "
        f"command age {_us(link['command_age_us'])}  "
        f"lost {link['lost_in']}+{link['lost_out']}  crc {counters['crc_errors']}"
    )


def _learned(status: dict[str, Any]) -> str:
    """Return or reward, in one phrase."""
    return "  ".join(f"{name} {value}" for name, value in _learning(status)[:1])


def _learning(status: dict[str, Any]) -> list[tuple[str, str]]:
    """Learning signals, as far as reported."""
    from rtu_edge.learn.findings import names
    from rtu_edge.report.timeline import number

    shown = (
        ("mean_return", "mean return"),
        ("mean_reward", "reward per step"),
        ("sigma", "sigma"),
        ("entropy", "entropy"),
    )
    found = [(text, number(status[name])) for name, text in shown if status.get(name) is not None]
    found += [("learner", ", ".join(names(status["findings"])).replace("_", " "))] if status.get("findings") else []
    return found if status.get("mean_reward") is not None or status["mean_return"] is not None else [("return", "-")]


def _drivers(counters: dict[str, int]) -> list[tuple[str, str]]:
    """Who drove, over the whole run."""
    from rtu_edge.report.timeline import share

    parts = {name: counters.get(f"{name}_steps", 0) for name in ("learner", "fallback", "person")}
    whole = sum(parts.values())
    return [("driven by", ", ".join(f"{name} {share(n / whole)}" for name, n in parts.items() if n))] if whole else []


def _mode(word: int) -> str:
    """The supervisor's mode, who drives, and why that is the fallback."""
    from rtu_edge.config import Mode
    from rtu_edge.loop.flags import Cause, Driver

    modes = list(Mode)
    name = modes[(word & 15) - 1].value if 0 < word & 15 <= len(modes) else "-"
    driver, cause = Driver.of(word), Cause.of(word)
    why = f" ({cause.name.lower()})" if cause not in (Cause.NONE, Cause.MODE, Cause.PERSON) else ""
    return f"{name}, {driver.name.lower()} drives{why}" if driver is not Driver.BOTH else f"{name}, both drive{why}"


def _owned(port: str, status: dict[str, Any], per_s: dict[str, float], tables: list[Any]) -> Any:
    from rich.text import Text

    from rtu_edge.loop.checks import finding_text

    link, counters = status["link"], status["counters"]
    name = state_name(status["device_state"])
    head = Text.assemble(
        (port, "bold"),
        "   device ",
        (name, state_style(name)),
        f"\nprocess {status['pid']} ",
        ("drives" if status["running"] else f"owns it, no loop runs ({status['reason']})", "dim"),
    )
    job = [
        ("step", f"{status['steps']:,}"),
        ("episode", f"{status['episodes']:,}, step {status['episode_steps']:,}"),
        *_learning(status),
    ]
    job += [("rate", f"{per_s['steps']:,.0f} steps/s")] if per_s else []
    job += [("mode", _mode(status["mode"]))] if status["mode"] else []
    job += _drivers(status.get("supervisor", {}))
    job += [("homing", "the plant is brought to its start")] if status.get("homing") else []
    job += [("check", finding_text(status["check"]))] if status.get("check") else []
    drift = link["drift_ppm"]
    quality = [
        (
            "round trip",
            f"{_us(link['round_trip_us'])}, least {_us(link['round_trip_min_us'])}, "
            f"most {_us(link['round_trip_max_us'])}",
        ),
        ("jitter", _us(link["jitter_us"])),
        ("device's clock", "-" if drift is None else f"{round(drift, 1) + 0.0:+.1f} ppm"),
        ("STATE takes", _us(link["state_delay_us"])),
        ("command age", f"{_us(link['command_age_us'])}, most {_us(link['command_age_max_us'])}"),
        ("in", f"{link['frames_in_per_s'] or 0:,.0f} frames/s, {(link['bytes_in_per_s'] or 0) / 1e3:,.1f} kB/s"),
        ("out", f"{link['frames_out_per_s'] or 0:,.0f} frames/s, {(link['bytes_out_per_s'] or 0) / 1e3:,.1f} kB/s"),
        ("lost", f"{link['lost_in']:,} from the device, {link['lost_out']:,} to it"),
        (
            "damaged",
            f"{counters['crc_errors'] + counters['framing_errors']:,} from the device, "
            f"{_damaged(link['device'])} to it",
        ),
        ("PING answered", f"{link['pongs']:,} of {link['pings']:,}"),
    ]
    known = {**counters, **status.get("supervisor", {})}
    shown = [name for name in known if name not in _SHOWN and known[name]]
    counts = [(name.replace("_", " "), f"{known[name]:,}") for name in shown]
    return _group(head, _grid(job, 2), *tables, _grid(quality, 2), _grid(counts, 4))


# Counters shown elsewhere.
_SHOWN = {
    "steps",
    "episodes",
    "crc_errors",
    "framing_errors",
    "bytes_sent",
    "bytes_received",
    "boot_noise_bytes",
    "learner_steps",
}


def _damaged(device: dict[str, float | None]) -> str:
    known = [device[name] for name in ("crc_errors", "garbled", "overlong")]
    return "-" if None in known else f"{sum(value or 0 for value in known):,.0f}"


def _heard_line(heard: Heard) -> str:
    from rtu_edge.tools.monitor import text_of

    rates = "  ".join(f"{kind} {rate:.0f}/s" for kind, rate in heard.frames_per_s.items())
    state = "-" if heard.state is None else text_of(heard.state)
    damaged = heard.crc_errors + heard.framing_errors
    return f"{state}  {rates}  {heard.bytes_per_s / 1e3:.1f} kB/s  lost {heard.lost}  damaged {damaged}"


def _heard(port: str, heard: Heard, silent: bool) -> Any:
    from rich.markup import escape
    from rich.text import Text

    from rtu_edge._base.text_table import TextTable
    from rtu_edge.tools.monitor import name_of, text_of

    name = "-" if heard.state is None else name_of(heard.state.state)
    promise = "read only; nothing is sent" if silent else "read only; only HELLO is sent"
    head = Text.assemble(
        (port, "bold"), "   device ", (name, state_style(name)), (f"\nno process drives it; {promise}", "dim")
    )
    table = TextTable("frame", "count", "/s", "seq", "t", "the last one", prose=("the last one",))
    for kind, (frame, message, _) in heard.last.items():
        rate = f"{heard.frames_per_s[kind]:,.1f}"
        table.add_row(
            escape(kind),
            f"{heard.frames[kind]:,}",
            rate,
            str(frame.seq),
            f"{frame.t_us / 1e6:.3f}",
            escape(text_of(message)),
        )
    link = [
        ("in", f"{sum(heard.frames_per_s.values()):,.0f} frames/s, {heard.bytes_per_s / 1e3:,.1f} kB/s"),
        ("lost", f"{heard.lost:,}"),
        ("damaged", f"{heard.crc_errors:,} by CRC, {heard.framing_errors:,} by framing"),
        ("period, the device's clock", _spread_text(heard.period_ms)),
        ("period, on arrival", _spread_text(heard.arrival_ms)),
        ("repeated or late", f"{heard.repeated:,}"),
    ]
    return _group(head, table, _grid(link, 2))


def _spread_text(spread: tuple[float, float, float] | None) -> str:
    return "-" if spread is None else f"{spread[1]:.2f} ms ({spread[0]:.2f} to {spread[2]:.2f})"
