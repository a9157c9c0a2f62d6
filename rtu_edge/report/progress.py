"""What a running loop shows: a live display on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rtu_edge.loop import LoopStatus
from rtu_edge.record import resident_bytes
from rtu_edge.report.digest import Curve, Times

__all__ = ["Display", "latency_table", "sparkline"]

_POINTS = 512  # of the curve of returns
_BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: npt.NDArray[Any], width: int, top: float) -> str:
    """Values as a row of bars, averaged down to `width`; `top` is a full bar."""
    if not len(values):
        return ""
    parts = np.array_split(np.asarray(values, dtype=np.float64), min(width, len(values)))
    levels = [min(max(float(part.mean()) / top, 0.0), 1.0) if top > 0 else 0.0 for part in parts]
    return "".join(_BARS[min(int(level * len(_BARS)), len(_BARS) - 1)] for level in levels)


class Display:
    """Progress of one loop; a context manager whose `watch` is given to `run_loop`.

    Args:
        console: where to write.
        total: steps, or seconds when `by_time`.
        period_s: of the plant.
        agent_bytes: the learner's memory.
        window: episodes in a mean.
        top: a full bar of the sparkline, such as the goal; None: the largest so far.
        by_time: the bar shows wall-clock seconds.
    """

    def __init__(
        self,
        console: Console,
        total: float,
        period_s: float,
        agent_bytes: int,
        *,
        window: int = 20,
        top: float | None = None,
        by_time: bool = False,
    ) -> None:
        self._console = console
        self._total = total
        self._period_s = period_s
        self._agent_bytes = agent_bytes
        self._window = window
        self._top = top
        self._by_time = by_time
        self._curve = Curve(window, _POINTS)
        self._lengths: deque[int] = deque(maxlen=window)
        self._rates: deque[tuple[float, int]] = deque(maxlen=12)
        self._begin = time.monotonic()
        self._spoken = self._begin
        self._status: LoopStatus | None = None
        self._live = Live(console=console, refresh_per_second=8, transient=True) if console.is_terminal else None

    def watch(self, status: LoopStatus, records: npt.NDArray[Any], episodes: npt.NDArray[Any]) -> None:
        """Take in what is new and show it."""
        now = time.monotonic()
        self._status = status
        self._curve.take(episodes["total_steps"], episodes["total_return"])
        self._lengths.extend(episodes["steps"].tolist())
        self._rates.append((now, status.steps))
        if self._live is not None:
            self._live.update(self._picture(status))
        elif now - self._spoken >= 5.0:
            self._spoken = now
            self._console.print("     " + self._line(status))

    def __enter__(self) -> Display:
        self._begin = self._spoken = time.monotonic()
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    @property
    def balanced_s(self) -> float:
        """Mean length of the last episodes, in the plant's seconds."""
        return float(np.mean(self._lengths)) * self._period_s if self._lengths else 0.0

    @property
    def steps_per_s(self) -> float:
        """Rate over the last second or so."""
        (first, low), (last, high) = self._rates[0], self._rates[-1]
        return (high - low) / (last - first) if last > first else 0.0

    def _done(self, status: LoopStatus) -> float:
        return time.monotonic() - self._begin if self._by_time else float(status.steps)

    def _facts(self, status: LoopStatus) -> list[tuple[str, str]]:
        memory = f"{self._agent_bytes / 1024:.1f} KiB learner, {resident_bytes() / 2**20:.0f} MiB process"
        return [
            ("step", f"{status.steps:,}"),
            ("episode", f"{status.episodes:,}"),
            ("balanced", f"{self.balanced_s:.2f} s" if self._lengths else "-"),
            ("rate", f"{self.steps_per_s:,.0f} steps/s"),
            ("memory", memory),
        ]

    def _line(self, status: LoopStatus) -> str:
        return "   ".join(f"{name} {value}" for name, value in self._facts(status))

    def _picture(self, status: LoopStatus) -> Group:
        facts = Table.grid(padding=(0, 3, 0, 0))
        found = self._facts(status)
        facts.add_row(*(Text(name, style="dim") for name, _ in found))
        facts.add_row(*(Text(value, style="bold" if name == "balanced" else "") for name, value in found))
        bar = Table.grid(padding=(0, 2, 0, 0))
        unit = "s" if self._by_time else "steps"
        bar.add_row(
            ProgressBar(total=self._total, completed=min(self._done(status), self._total), width=48),
            Text(f"{self._done(status):,.0f} of at most {self._total:,.0f} {unit}", style="dim"),
        )
        returns = self._curve.returns
        top = self._top if self._top is not None else (float(returns.max()) if len(returns) else 1.0)
        curve = Text(sparkline(returns, 64, top), style="cyan")
        inside = Table.grid()
        inside.add_row("     ", Group(bar, facts, curve))
        return Group(inside)


def latency_table(times: Mapping[str, Times]) -> Table:
    """Lateness, step time and round trip as histograms over shared bins, with percentiles below."""
    edges = np.array([lead * 10.0**decade for decade in range(6) for lead in (1.0, 2.0, 5.0)] + [np.inf])
    edges = np.concatenate([[0.0], edges])
    counts = {name: measured.histogram(edges) for name, measured in times.items()}
    used = np.flatnonzero(sum(counts.values()))
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("µs", justify="right", style="dim")
    for name in times:
        table.add_column(name.lower(), width=17)  # the table fits 80 columns, the indent of the demo included
    for place in range(used[0], used[-1] + 1) if len(used) else ():
        cells = [_bar(int(count[place]), int(count.max())) for count in counts.values()]
        below = f"< {edges[place + 1]:,.0f}" if np.isfinite(edges[place + 1]) else f"≥ {edges[place]:,.0f}"
        table.add_row(below, *cells)
    table.add_section()
    for label, share in (("p50", 50.0), ("p99", 99.0), ("max", 100.0)):
        table.add_row(label, *(_cell(measured, share) for measured in times.values()))
    return table


def _cell(times: Times, share: float) -> str:
    if not len(times):
        return "-"
    return f"{times.largest if share == 100.0 else times.percentile(share):,.1f}"


def _bar(count: int, most: int, width: int = 10) -> str:
    if not count:
        return "[dim]·[/]"
    eighths = max(1, round(8 * width * count / most))
    text = "█" * (eighths // 8) + ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")[eighths % 8]
    return f"[cyan]{text}[/] [dim]{count}[/]"
