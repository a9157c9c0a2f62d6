"""The picture of `rtu-edge bench loop`: each part of a step on one time axis, and the whole run."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rtu_edge._base.packages import note_of
from rtu_edge.bench.latency import Latencies, reaction_us
from rtu_edge.report.figures import PALETTE, figure_of, write_picture

__all__ = ["picture", "save"]

Array = npt.NDArray[Any]

_MARKS = (
    ("p50", "good", "median"),
    ("p99", "force", "99 %"),
    ("p99.9", "control", "99.9 %"),
    ("max", "bad", "largest"),
)


def picture(latencies: Latencies, records: Array, path: Path) -> None:
    """Write the picture as PNG."""
    names = [name for name, numbers in latencies.parts.items() if numbers["count"]]
    with figure_of("latency", 11.5, 2.6 + 0.62 * len(names)) as figure:
        figure.set_facecolor(PALETTE["paper"])
        figure.get_layout_engine().set(w_pad=0.15, h_pad=0.1)
        ridges, line = figure.subplots(2, 1, height_ratios=(0.62 * len(names), 1.5))
        _ridges(ridges, latencies, names)
        _line(line, latencies, records)
        figure.supxlabel(_facts(latencies), fontsize=7.5, color=PALETTE["muted"])
        write_picture(figure, path)


def _ridges(axes: Any, latencies: Latencies, names: list[str]) -> None:
    edges = np.array(latencies.edges_us)
    used = [0, 0]
    filled = np.flatnonzero(np.sum([latencies.histograms[name] for name in names], axis=0))
    if len(filled):
        used = [int(filled[0]), int(filled[-1]) + 1]
    low, high = edges[max(used[0] - 1, 0)], edges[min(used[1] + 1, len(edges) - 1)]
    for row, name in enumerate(reversed(names)):
        counts = np.array(latencies.histograms[name], dtype=np.float64)
        # Logarithmic, so that a single late step among a million is visible.
        height = 0.82 * np.log1p(counts) / max(float(np.log1p(counts.max())), 1e-9)
        axes.fill_between(edges[:-1], row, row + height, step="post", color=PALETTE["agent"], alpha=0.28, linewidth=0)
        axes.step(edges[:-1], row + height, where="post", color=PALETTE["agent"], linewidth=0.7)
        for key, colour, _ in _MARKS:
            value = latencies.parts[name][key]
            axes.plot([value] * 2, [row, row + 0.55], color=PALETTE[colour], linewidth=1.6, solid_capstyle="butt")
        for column, (key, _, _) in enumerate(_MARKS):
            _beside(axes, column, row + 0.1, _short(latencies.parts[name][key]), "ink")
    for column, (key, _, _) in enumerate(_MARKS):
        _beside(axes, column, len(names) - 0.12, key, "muted")
    period = latencies.settings.get("period_us")
    if period and low < period < high:
        axes.axvline(period, color=PALETTE["muted"], linewidth=1.0, linestyle=(0, (4, 3)))
        axes.annotate(
            "period", (period, 1.0), xycoords=("data", "axes fraction"), xytext=(3, -9), textcoords="offset points",
            fontsize=8, color=PALETTE["muted"],
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.set_ylim(-0.05, len(names) + 0.05)
    axes.set_yticks(np.arange(len(names)) + 0.3, list(reversed(names)))
    axes.tick_params(axis="y", labelcolor=PALETTE["ink"])
    decades = [10.0**power for power in range(-1, 7) if low <= 10.0**power <= high]
    axes.set_xticks(decades, [_short(tick) for tick in decades])
    axes.minorticks_off()
    axes.grid(True, axis="x")
    axes.grid(False, axis="y")
    axes.spines["left"].set_visible(False)
    handles = [_handle(colour) for _, colour, _ in _MARKS]
    axes.legend(
        handles, [label for *_, label in _MARKS], loc="lower left", bbox_to_anchor=(0.5, 1.0), ncols=4, fontsize=8
    )
    axes.set_title("Time of each part of a step, µs")


def _beside(axes: Any, column: int, height: float, text: str, colour: str) -> None:
    """A number in a column to the right of the axes."""
    axes.annotate(
        text,
        (1.0, height),
        xycoords=("axes fraction", "data"),
        xytext=(42 + 40 * column, 0),
        textcoords="offset points",
        color=PALETTE[colour],
        fontsize=8.5,
        ha="right",
        va="bottom",
        annotation_clip=False,
    )


def _handle(colour: str) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=PALETTE[colour], linewidth=2)


def _line(axes: Any, latencies: Latencies, records: Array) -> None:
    """From the STATE's due time to the command, one dot per step: periodic interruptions appear as a comb."""
    time_s, total = reaction_us(records)
    axes.plot(time_s, total, ".", color=PALETTE["agent"], markersize=2.2, alpha=0.5, markeredgewidth=0, rasterized=True)
    for worst in latencies.worst[:3]:
        axes.plot([worst["after_s"]], [worst["total_us"]], "o", color=PALETTE["bad"], markersize=3.5)
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    ticks = [10.0**power for power in range(-1, 7) if low <= 10.0**power <= high]
    axes.set_yticks(ticks, [_short(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_xlim(0, max(latencies.seconds, 1e-3))
    axes.set_xlabel("seconds")
    axes.set_title("From a STATE's due time to its command, µs")


def _facts(latencies: Latencies) -> str:
    facts, settings = latencies.system, latencies.settings
    refused = f"refused: {'; '.join(latencies.privileges)}" if latencies.privileges else "all privileges granted"
    if not settings.get("realtime"):
        refused = "no privileges requested"
    return (
        f"{latencies.steps:,} steps at {settings.get('hz', 0):g} Hz, clock {settings.get('clock')},"
        f" {settings.get('load')} loading;"
        f" {latencies.overruns} overruns, {latencies.skipped} skipped, {latencies.missed} missed,"
        f" {latencies.dropped} updates dropped\n"
        f"{facts['processor']}, {facts['cores']} cores, {facts['system']}, {facts['preemption']};"
        f" governor {facts['governor']};"
        f" isolated {facts['isolated_cpus']}; {refused}\n{latencies.started}"
    )


def _short(value: float) -> str:
    if value >= 10_000:
        return f"{value / 1000:.0f}k"
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def save(latencies: Latencies, records: Array, folder: Path) -> tuple[Path, Path | None, str]:
    """Write latency.json and latency.png into a folder.

    Returns:
        Both paths and a note: without matplotlib there is no picture, and the note has the command to install it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    numbers, image = folder / "latency.json", folder / "latency.png"
    numbers.write_text(json.dumps(asdict(latencies), indent=1) + "\n", encoding="utf-8")
    try:
        picture(latencies, records, image)
    except ModuleNotFoundError as error:
        return numbers, None, note_of(error)
    return numbers, image, ""
