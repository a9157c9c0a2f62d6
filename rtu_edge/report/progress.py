"""Progress of a running loop: a live display on a terminal, occasional lines elsewhere."""

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

from rtu_edge._base.text_table import TextTable, facts
from rtu_edge.loop import LoopStatus
from rtu_edge.record import resident_bytes
from rtu_edge.report.digest import Digest, Times
from rtu_edge.report.timeline import DRIVER_NAMES, number, share

__all__ = ["Display", "latency_table", "sparkline"]

_INDENT = 5  # columns of a terminal before the display
_WIDE = 100  # columns from which on the memory is shown too
_BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: npt.NDArray[Any], width: int, top: float, low: float = 0.0) -> str:
    """Values as a row of bars, averaged down to `width`; `low` is an empty bar, `top` a full one."""
    values = np.asarray(values, dtype=np.float64)
    values = values[np.isfinite(values)]
    if not len(values):
        return ""
    span = top - low
    parts = np.array_split(values, min(width, len(values)))
    levels = [min(max((float(part.mean()) - low) / span, 0.0), 1.0) if span > 0 else 0.0 for part in parts]
    return "".join(_BARS[min(int(level * len(_BARS)), len(_BARS) - 1)] for level in levels)


class Display:
    """Progress of one loop; a context manager whose `watch` is given to `run_loop`.

    Args:
        console: where to write.
        total: steps, or seconds when `by_time`.
        period_s: of the plant.
        agent_bytes: the learner's memory.
        digest: takes all records and episodes that the display sees.
        top: a full bar of the curve of returns, such as the goal; None: the largest so far.
        by_time: the bar shows wall-clock seconds.
    """

    def __init__(
        self,
        console: Console,
        total: float,
        period_s: float,
        agent_bytes: int,
        *,
        digest: Digest | None = None,
        top: float | None = None,
        by_time: bool = False,
    ) -> None:
        self._console = console
        self._total = total
        self._period_s = period_s
        self._agent_bytes = agent_bytes
        self._digest = digest if digest is not None else Digest()
        self._top = top
        self._by_time = by_time
        self._rates: deque[tuple[float, int]] = deque(maxlen=12)
        self._begin = time.monotonic()
        self._spoken = self._begin
        self._live = Live(console=console, refresh_per_second=8, transient=True) if console.is_terminal else None

    def watch(self, status: LoopStatus, records: npt.NDArray[Any], episodes: npt.NDArray[Any]) -> None:
        """Process and show new records."""
        now = time.monotonic()
        self._digest.take(records, episodes)
        self._digest.timeline.sample(status.steps, status.sigma, status.entropy)
        self._rates.append((now, status.steps))
        if self._live is not None:
            self._live.update(self._picture(status))
        elif now - self._spoken >= 5.0:
            self._spoken = now
            self._console.print(" " * _INDENT + self._line(status), soft_wrap=True, markup=False)

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
    def steps_per_s(self) -> float:
        """Rate over the last second or so."""
        (first, low), (last, high) = self._rates[0], self._rates[-1]
        return (high - low) / (last - first) if last > first else 0.0

    def _done(self, status: LoopStatus) -> float:
        return time.monotonic() - self._begin if self._by_time else float(status.steps)

    def _learning(self) -> list[tuple[str, str]]:
        """Return and reward, each with the window of its mean."""
        digest, sums = self._digest, self._digest.recent.sums
        found = []
        if digest.curve.episodes:
            found.append((f"return (last {digest.episodes_in_mean})", number(digest.curve.last)))
        if sums["rewards"]:
            mean = sums.mean("reward", "rewards")
            found.append((f"reward per step (last {int(sums['rewards']):,})", number(mean)))
            if self._period_s > 0 and not digest.curve.episodes:
                found.append(("reward per s", number(mean / self._period_s)))
        return found or [("return", "no reward yet")]

    def _policy(self, status: LoopStatus) -> list[tuple[str, str]]:
        """Learning signals over the newest steps."""
        sums = self._digest.recent.sums
        found = [("|TD error|", number(sums.mean("delta", "learned"))), ("sigma", number(status.sigma))]
        found += [("entropy", number(status.entropy)), ("clipped", share(sums.mean("clipped", "predicted")))]
        found += [("learner", name.replace("_", " ")) for name in status.findings]
        return [(name, value) for name, value in found if value != "-"]

    def _driving(self) -> list[tuple[str, str]]:
        """Who drove, and what stepped in, over the newest steps and over the run."""
        sums, total = self._digest.recent.sums, self._digest.timeline.total
        found = [(DRIVER_NAMES[name], share(part)) for name, part in sums.drivers.items()]
        parts = {
            "limiter": "limited",
            "sensor": "sensor monitor",
            "check": "plant checks",
            "monitor": "learner monitor",
            "forced": "forced",
        }
        found += [(text, f"{total[name]:,.0f}") for name, text in parts.items() if total[name]]
        return found

    def _facts(self, status: LoopStatus) -> list[tuple[str, str]]:
        return [
            ("step", f"{status.steps:,}"),
            ("episode", f"{status.episodes:,}"),
            *self._learning(),
            ("rate", f"{self.steps_per_s:,.0f} steps/s"),
        ]

    def _memory(self) -> tuple[str, str]:
        return "memory", f"{self._agent_bytes / 1024:.1f} KiB learner, {resident_bytes() / 2**20:.0f} MiB process"

    def _line(self, status: LoopStatus) -> str:
        shown = [*self._facts(status), *self._driving(), *self._policy(status), self._memory()]
        return "   ".join(f"{name} {value}" for name, value in shown)

    def _picture(self, status: LoopStatus) -> Group:
        width = max(self._console.width - _INDENT, 20)
        bar = Table.grid(padding=(0, 2, 0, 0))
        unit = "s" if self._by_time else "steps"
        done = Text(f"{self._done(status):,.0f} of at most {self._total:,.0f} {unit}", style="dim")
        length = max(10, min(48, width - done.cell_len - 4))
        bar.add_row(
            ProgressBar(
                total=self._total, completed=min(self._done(status), self._total), width=length, complete_style="cyan"
            ),
            done,
        )
        groups = [self._facts(status), self._driving(), self._policy(status)]
        if self._console.width >= _WIDE:
            groups[-1].append(self._memory())
        inside = Table.grid()
        shown = [facts(group, width, strong="return") for group in groups if group]
        inside.add_row(" " * _INDENT, Group(bar, *shown, self._curve(width)))
        return Group(inside)

    def _curve(self, width: int) -> Text:
        """Returns over the run, or rewards per step without episodes, with a label."""
        returns = self._digest.curve.returns
        name, values, low = "return over the run ", returns, 0.0
        top = self._top
        if not len(returns):
            rewards = self._digest.timeline.mean("reward", "rewards")
            name, values, top = "reward over the run ", rewards[np.isfinite(rewards)], None
            low = float(values.min()) if len(values) else 0.0
        if not len(values):
            return Text()
        bars = sparkline(values, min(64, width - len(name)), top if top is not None else float(values.max()), low)
        return Text.assemble((name, "dim"), (bars, "cyan"))


def latency_table(times: Mapping[str, Times]) -> TextTable:
    """Lateness, step time and round trip as histograms over shared bins, with percentiles below."""
    edges = np.array([lead * 10.0**decade for decade in range(6) for lead in (1.0, 2.0, 5.0)] + [np.inf])
    edges = np.concatenate([[0.0], edges])
    counts = {name: measured.histogram(edges) for name, measured in times.items()}
    used = np.flatnonzero(sum(counts.values()))
    table = TextTable("µs", *(name.lower() for name in times), left=[name.lower() for name in times])
    for place in range(used[0], used[-1] + 1) if len(used) else ():
        cells = [_bar(int(count[place]), int(count.max())) for count in counts.values()]
        below = f"< {edges[place + 1]:,.0f}" if np.isfinite(edges[place + 1]) else f"≥ {edges[place]:,.0f}"
        table.add_row(f"[dim]{below}[/]", *cells)
    table.add_section()
    for label, part in (("p50", 50.0), ("p99", 99.0), ("max", 100.0)):
        table.add_row(f"[dim]{label}[/]", *(_cell(measured, part) for measured in times.values()))
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
