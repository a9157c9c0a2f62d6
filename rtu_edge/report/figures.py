"""Pictures of a run, drawn with matplotlib, which is imported on demand."""

from __future__ import annotations

import atexit
import io
import itertools
import math
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rtu_edge._base import files
from rtu_edge._base.packages import needed_by
from rtu_edge._base.untrusted import clean
from rtu_edge.device.schema import Channel
from rtu_edge.record import Summary
from rtu_edge.report.digest import Curve, Digest, Times

__all__ = [
    "PALETTE",
    "PANELS",
    "figure_of",
    "label_of",
    "picture",
    "signals_of",
    "tidy",
    "write_picture",
]

Array = npt.NDArray[Any]

PALETTE = {
    "ink": "#1b2733",
    "muted": "#6b7a89",
    "faint": "#dfe5ea",
    "paper": "#ffffff",
    "agent": "#0b7a75",
    "control": "#d9642c",
    "force": "#4257b2",
    "good": "#2b8a3e",
    "bad": "#c92a2a",
}

PANELS = 16  # maximum of observations, and of actuators, in the picture of an episode
_NAME = 40  # characters of a name

_STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.5,
    "text.color": PALETTE["ink"],
    "axes.edgecolor": PALETTE["muted"],
    "axes.labelcolor": PALETTE["muted"],
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 9.0,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": PALETTE["faint"],
    "grid.linewidth": 0.8,
    "xtick.color": PALETTE["muted"],
    "ytick.color": PALETTE["muted"],
    "xtick.major.size": 3.0,
    "ytick.major.size": 0.0,
    "xtick.minor.size": 0.0,
    "ytick.minor.size": 0.0,
    "legend.frameon": False,
    "lines.solid_capstyle": "round",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "svg.fonttype": "path",
    "text.usetex": False,
    "text.parse_math": False,  # a name with two $ is text, not a formula
}


def tidy(name: str) -> str:
    """A channel's name in words: pole_angle -> pole angle."""
    return clean(name[:_NAME]).replace("_", " ").strip()


def picture(summary: Summary, digests: Mapping[str, Digest], path: Path) -> None:
    """An overview of the run, for a README: learning curve, last episode, latency."""
    episode = last_episode(digests)
    timed = digests.get("realtime")
    with figure_of("picture", 12.0, 6.4) as figure:
        figure.set_facecolor(PALETTE["paper"])
        figure.get_layout_engine().set(w_pad=0.18, h_pad=0.14)
        columns = figure.add_gridspec(1, 2, width_ratios=(1.6, 1.0), wspace=0.04)
        left = columns[0].subgridspec(2, 1, height_ratios=(1.9, 1.0), hspace=0.06)
        _learning(figure.add_subplot(left[0]), summary, digests)
        if timed is not None and timed.records:
            cells = left[1].subgridspec(1, 3, wspace=0.02)
            for place, (title, measured) in enumerate(timed.times.items()):
                _histogram(figure.add_subplot(cells[place]), title, measured)
        if episode is not None and len(episode) and signals_of(summary, episode):
            signals = signals_of(summary, episode)
            rows = columns[1].subgridspec(len(signals), 1, hspace=0.02)
            axes = [figure.add_subplot(rows[0])]
            axes += [figure.add_subplot(rows[k], sharex=axes[0]) for k in range(1, len(signals))]
            _episode(axes, summary, signals, len(episode))
        write_picture(figure, path)


def last_episode(digests: Mapping[str, Digest]) -> Array | None:
    """Records of the last whole episode, in real time if there was one, else of the learning stage."""
    for stage in ("realtime", "learning"):
        if stage in digests and (found := digests[stage].last_episode) is not None:
            return found
    return None


def learning_curve(digests: Mapping[str, Digest]) -> Curve | None:
    """Of the learning stage; of a run in real time its own. None without an episode."""
    for stage in ("learning", "realtime"):
        if stage in digests and digests[stage].curve.episodes:
            return digests[stage].curve
    return None


@contextmanager
def figure_of(name: str, width: float, height: float) -> Iterator[Any]:
    """An empty figure in our style, width and height in inches; the name seeds what SVG calls its parts."""
    with needed_by("a picture"), _without_files_in_home():
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

    style: Any = {**_STYLE, "svg.hashsalt": name}
    with matplotlib.rc_context(style), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings about missing glyphs and small panels, irrelevant for users
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure


@contextmanager
def _without_files_in_home() -> Iterator[None]:
    """Around the first import of matplotlib, which writes a list of fonts: into a temporary folder, removed at the end
    of the process, unless MPLCONFIGDIR names one or the user has one.
    """
    home = os.path.expanduser("~")
    roots = [
        os.environ.get("XDG_CONFIG_HOME") or f"{home}/.config",
        os.environ.get("XDG_CACHE_HOME") or f"{home}/.cache",
    ]
    of_the_user = any(os.path.exists(f"{root}/matplotlib") for root in roots)
    if of_the_user or os.environ.get("MPLCONFIGDIR") or "matplotlib" in sys.modules:
        yield
        return
    folder = tempfile.mkdtemp(prefix="rtu-edge-matplotlib-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["MPLCONFIGDIR"] = folder
    try:
        import matplotlib
        import matplotlib.font_manager  # writes the list

        matplotlib.get_configdir(), matplotlib.get_cachedir()  # both keep their result
        yield
    finally:
        del os.environ["MPLCONFIGDIR"]


def write_picture(figure: Any, path: Path) -> None:
    """Atomically write a PNG or SVG, replacing an existing file.

    Raises:
        OSError: it cannot be written; it names `path`, and the old file is unchanged.
    """
    stream = io.BytesIO()
    figure.savefig(stream, format=path.suffix[1:].lower(), dpi=150, facecolor=PALETTE["paper"])
    files.write(path, stream.getvalue())


def _learning(axes: Any, summary: Summary, digests: Mapping[str, Digest]) -> None:
    window = summary.target_episodes
    ends = []
    control = digests["control"].curve if "control" in digests else None
    for curve, label, colour in (
        (control, "memoryless", "control"),
        (learning_curve(digests), label_of(summary), "agent"),
    ):
        if curve is None or not curve.episodes:
            continue
        steps, mean = curve.steps / 1e3, curve.means
        axes.plot(
            steps,
            curve.returns,
            ".",
            color=PALETTE[colour],
            alpha=0.32,
            markersize=4.0,
            markeredgewidth=0,
            rasterized=len(steps) > 4000,
        )
        axes.plot(steps, mean, color=PALETTE[colour], linewidth=2.2)
        ends.append((float(mean[-1]), label, colour, float(steps[-1])))
    if summary.target_return is not None:
        axes.axhline(summary.target_return, color=PALETTE["muted"], linewidth=1.0, linestyle=(0, (4, 3)))
        axes.annotate(
            f"goal {summary.target_return:g}",
            (0.0, summary.target_return),
            xycoords=("axes fraction", "data"),
            xytext=(4, -11),
            textcoords="offset points",
            color=PALETTE["muted"],
            fontsize=8.5,
        )
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    last = max((end[3] for end in ends), default=1.0)
    axes.set_xlim(0.0, max(last, 1e-3) * 1.02)  # a dry run may end before its first step
    span = axes.get_ylim()[1] - axes.get_ylim()[0]
    heights = _apart([end[0] for end in ends], 0.07 * span)
    for (_, label, colour, _), height in zip(ends, heights, strict=True):
        axes.annotate(
            label,
            (1.0, height),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            color=PALETTE[colour],
            fontweight="bold",
            va="center",
            annotation_clip=False,
        )
    axes.set_title(f"Return of each episode, and the mean of {window}")
    axes.set_xlabel("thousand steps")


def label_of(summary: Summary) -> str:
    """The cell of a run's learner, in words."""
    return {"none": "memoryless", "nonlinear": "nonlinear RTU", "mingru": "minGRU", "lru": "LRU", "elstm": "eLSTM"}.get(
        str(summary.learner.get("cell", "")), "linear RTU"
    )


def _apart(values: Sequence[float], least: float) -> list[float]:
    """The same heights, moved so that labels at them do not touch."""
    order = sorted(range(len(values)), key=lambda k: values[k])
    placed = list(values)
    for lower, upper in itertools.pairwise(order):
        placed[upper] = max(placed[upper], placed[lower] + least)
    return placed


def signals_of(summary: Summary, records: Array) -> list[tuple[Channel, Array, str]]:
    """The panels of an episode, the first ones if there are many: row, values, colour.

    Raises:
        ValueError: the records have fewer values than the summary has rows.
    """
    found: list[tuple[Channel, Array, str]] = []
    for field, rows, colour in (("x", summary.observations, "agent"), ("applied", summary.actuators, "force")):
        if records[field].shape[1] < len(rows):
            raise ValueError(
                f"its records have {records[field].shape[1]} values {field}, its summary names {len(rows)}"
            )
        found += [(row, records[field][:, k], colour) for k, row in enumerate(rows[:PANELS])]
    return found


def _episode(axes: Sequence[Any], summary: Summary, signals: Sequence[tuple[Channel, Array, str]], steps: int) -> None:
    time_s = np.arange(steps) * (summary.period_s or 1.0)
    for panel, (row, values, colour) in zip(axes, signals, strict=True):
        _signal(panel, time_s, row, values, colour)
    for panel in axes[:-1]:
        panel.tick_params(labelbottom=False)
    axes[-1].set_xlabel("seconds" if summary.period_s else "steps")
    axes[-1].set_xlim(0.0, max(float(time_s[-1]), 1e-6))


def _signal(axes: Any, time_s: Array, row: Channel, values: Array, colour: str) -> None:
    scale, unit = (180.0 / math.pi, "°") if row.unit == "rad" else (1.0, clean(row.unit[:_NAME]))
    shown = values.astype(np.float64) * scale
    if colour == "force":
        axes.fill_between(time_s, shown, step="post", color=PALETTE[colour], alpha=0.22, linewidth=0)
        axes.step(time_s, shown, where="post", color=PALETTE[colour], linewidth=0.8)
    else:
        axes.plot(time_s, shown, color=PALETTE[colour], linewidth=1.4)
    low, high = row.min * scale, row.max * scale
    reach = float(np.max(np.abs(shown), initial=0.0))
    if math.isfinite(low) and math.isfinite(high) and reach > 0.6 * max(abs(low), abs(high)):
        for limit in (low, high):
            axes.axhline(limit, color=PALETTE["bad"], linewidth=0.9, linestyle=(0, (2, 3)), alpha=0.8)
    axes.axhline(0.0, color=PALETTE["muted"], linewidth=0.6)
    axes.set_title(f"{tidy(row.name)}  [{unit}]" if unit and unit != "1" else tidy(row.name), fontsize=9.5, pad=4.0)


def _histogram(axes: Any, title: str, times: Times) -> None:
    axes.set_title(title, fontsize=9.5, pad=4.0)
    if not len(times):
        axes.text(0.5, 0.5, "nothing measured", transform=axes.transAxes, ha="center", color=PALETTE["muted"])
        axes.set_axis_off()
        return
    low = max(times.percentile(1.0), 0.5)
    high = max(times.largest * 1.05, 2.0 * low)
    bins = np.geomspace(low, high, 44)
    values = np.clip(times.MIDDLES, low, high)
    axes.hist(values, bins=bins, weights=times.counts, color=PALETTE["agent"], alpha=0.85, log=True)
    axes.set_xscale("log")
    middle, tail = times.percentile(50.0), times.percentile(99.0)
    for value, style in ((middle, "-"), (tail, (0, (3, 2)))):
        axes.axvline(value, color=PALETTE["control"], linewidth=1.1, linestyle=style)
    ticks = _ticks(low, high)
    axes.set_xticks(ticks, [f"{tick / 1000:g}k" if tick >= 1000 else f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlim(low, high)
    axes.grid(False)
    axes.tick_params(labelleft=False)
    axes.spines["left"].set_visible(False)
    numbers = f"p50 {_short(middle)}   p99 {_short(tail)}   max {_short(times.largest)}  µs"
    axes.set_xlabel(numbers, fontsize=8.5, labelpad=2.0)


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers for a logarithmic axis: 1, 2, 5 or only 1, so that about four fall inside."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for leads in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 6, 8)):
        ticks = [lead * 10.0**decade for decade in decades for lead in leads]
        inside = [tick for tick in ticks if low <= tick <= high]
        if len(inside) >= 3:
            return inside
    return inside


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"
