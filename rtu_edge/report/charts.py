"""Charts for a page: SVG that scales to the available width, with labels in HTML of constant size.

A drawing has the coordinates 0 to 1000 both ways and is stretched; lines and dots keep their width in pixels
(`vector-effect`). So a chart is as readable at 390 pixels as at 1280, and its colours follow the page's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rtu_edge.report.html import text

__all__ = ["CSS", "Axis", "Mark", "Series", "chart", "grid", "short", "stacked", "ticks"]

Array = npt.NDArray[Any]

CSS = """
.chart { margin: 14px 0 2px }
.chart figcaption { font-size: 13px; font-weight: 650; margin-bottom: 10px }
.chart figcaption span { font-weight: 400; color: var(--muted); margin-left: 10px; white-space: nowrap }
.chart figcaption span i { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin-right: 5px }
.plot { position: relative; margin: 0 6px 20px 46px }
.plot svg { display: block; width: 100%; height: 100%; margin: 0; overflow: visible }
.plot em { position: absolute; font-style: normal; font-size: 11.5px; line-height: 1; color: var(--muted);
  white-space: nowrap; font-variant-numeric: tabular-nums }
.plot em.y { right: 100%; margin-right: 7px; transform: translateY(50%) }
.plot em.x { top: 100%; margin-top: 7px; transform: translateX(-50%) }
.plot em.first { transform: translateX(-3px) } .plot em.last { transform: translateX(calc(4px - 100%)) }
.plot em.mark { background: var(--paper); padding: 1px 3px; left: 4px; transform: translateY(50%) }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(260px, 100%), 1fr)); gap: 0 22px }
.charts.large { grid-template-columns: repeat(auto-fit, minmax(min(380px, 100%), 1fr)) }
.chart path, .chart line { fill: none; vector-effect: non-scaling-stroke }
"""

_SIZE = 1000.0
_HIGH = 150  # pixels; a chart as high as this has room for one more interval of the y axis
_COLUMNS = 700  # maximum of a line: the smallest and the largest value of each column are kept


@dataclass(frozen=True)
class Series:
    """Values over an axis.

    Args:
        x, y: (k,); non-finite values leave a gap.
        colour: name in the page's palette. label: for the legend; "": no entry.
        dots: points instead of a line.
        filled: the area down to zero too.
        stepped: each value holds until the next one.
    """

    x: Array
    y: Array
    colour: str = "agent"
    label: str = ""
    dots: bool = False
    filled: bool = False
    stepped: bool = False
    width: float = 1.8


@dataclass(frozen=True)
class Mark:
    """A dashed line at a height, with its name."""

    at: float
    label: str = ""
    colour: str = "muted"


@dataclass(frozen=True)
class Axis:
    """Range and labels; None: from the values."""

    low: float | None = None
    high: float | None = None
    log: bool = False
    label: str = ""  # suffix of the last number, such as " s"
    words: Callable[[float], str] | None = None  # of a number


def short(value: float) -> str:
    """A number for an axis: 12k, 1.5M, 0.02."""
    size = abs(value)
    for least, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if size >= least:
            scale = 1e3 if unit == "k" else least
            return f"{value / scale:.4g}{unit}"
    return f"{value:.4g}" if size >= 1e-4 or size == 0 else f"{value:.1e}"


def _alike(values: Sequence[float], log: bool) -> list[str]:
    """The numbers of one axis with one unit: 5k, 10k. A logarithmic axis has one only from 1000 on."""
    largest = max(map(abs, values), default=0.0)
    for scale, least, unit in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e3, 1e4, "k")):
        if largest >= least and not log:
            return [f"{value / scale:.4g}{unit}" if value else "0" for value in values]
    thousands = [log and largest >= 1e4 and 1e3 <= abs(value) < 1e4 for value in values]
    return [f"{value / 1e3:.4g}k" if k else short(value) for value, k in zip(values, thousands, strict=True)]


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers inside a range: steps of 1, 2 or 5 times a power of ten."""
    if not (math.isfinite(low) and math.isfinite(high) and high > low) or not math.isfinite(high - low):
        return []
    decade = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next((lead * decade for lead in (1, 2, 5, 10) if (high - low) / (lead * decade) <= most), 10 * decade)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 5e-3)
    return [round(k * step, 12) for k in range(first, min(last, first + 2 * most) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for leads in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 6, 8)):
        inside = [lead * 10.0**decade for decade in decades for lead in leads if low <= lead * 10.0**decade <= high]
        if len(inside) >= 3:
            break
    return inside[:: -(-len(inside) // 5) or 1]


class _Scale:
    """From values to 0 to 1000."""

    def __init__(self, axis: Axis, values: Sequence[Array], margin: float) -> None:
        self.log, self.axis = axis.log, axis
        known = np.concatenate([np.asarray(part, np.float64) for part in values] or [np.zeros(0)])
        known = known[np.isfinite(known) & ((known > 0) | (not axis.log))]
        low = axis.low if axis.low is not None else float(known.min()) if len(known) else 0.0
        high = axis.high if axis.high is not None else float(known.max()) if len(known) else 1.0
        if axis.log:
            low = low if low > 0 else 1.0
        low, high = max(low, -1e300), min(high, 1e300)
        if not high > low:
            low, high = (low - (abs(low) or 1.0) * 0.5 if axis.low is None else low), low + (abs(low) or 1.0) * 0.5
        elif not axis.log:
            spare = margin * (high - low)
            low, high = low - spare * (axis.low is None), high + spare * (axis.high is None)
        self.low, self.high = low, high
        self._ends = (math.log10(low), math.log10(high)) if axis.log else (low, high)

    def __call__(self, values: Array) -> Array:
        known = np.asarray(values, np.float64)
        if self.log:
            known = np.log10(np.maximum(known, self.low))
        low, high = self._ends
        scaled: Array = (known / (high - low) - low / (high - low)) * _SIZE
        return np.where(np.isfinite(scaled), np.clip(scaled, -0.2 * _SIZE, 1.2 * _SIZE), np.nan)

    def labels(self, most: int = 5) -> list[tuple[float, str]]:
        found = _log_ticks(self.low, self.high) if self.log else ticks(self.low, self.high, most)
        words = [self.axis.words(at) for at in found] if self.axis.words else _alike(found, self.log)
        named = [(float(self(np.array([at]))[0]) / 10, word) for at, word in zip(found, words, strict=True)]
        if named and self.axis.label:
            named[-1] = (named[-1][0], named[-1][1] + self.axis.label)
        return named


def chart(
    title: str,
    series: Sequence[Series],
    *,
    x: Axis | None = None,
    y: Axis | None = None,
    marks: Sequence[Mark] = (),
    height: int = 150,
    inside: str = "",
) -> str:
    """A figure of HTML.

    Args:
        title: plain text.
        series: the series, the last one on top.
        x, y: axes.
        marks: heights with a name.
        height: of the plot, pixels.
        inside: pieces of SVG below the series, in coordinates 0 to 1000.
    """
    x_scale = _Scale(x or Axis(), [one.x for one in series], 0.0)
    heights = [one.y for one in series] + [np.array([mark.at]) for mark in marks]
    y_scale = _Scale(y or Axis(), heights, 0.06)
    labels = y_scale.labels(6 if height >= _HIGH else 5)
    parts = [_line(0, 1000, at * 10, "faint", 1.0) for at, _ in labels]
    parts.append(inside)
    parts += [_drawn(one, x_scale, y_scale) for one in series]
    parts += [_line(0, 1000, float(y_scale(np.array([mark.at]))[0]), mark.colour, 1.2, "5 4") for mark in marks]
    names = [f'<em class="x{_end_of(at)}" style="left:{at:.2f}%">{text(name)}</em>' for at, name in x_scale.labels()]
    names += [f'<em class="y" style="bottom:{at:.2f}%">{text(name)}</em>' for at, name in labels]
    names += [
        f'<em class="mark" style="bottom:{float(y_scale(np.array([mark.at]))[0]) / 10:.2f}%">{text(mark.label)}</em>'
        for mark in marks
        if mark.label
    ]
    legend = "".join(
        f'<span><i style="background:var(--{one.colour})"></i>{text(one.label)}</span>' for one in series if one.label
    )
    return (
        f'<figure class="chart"><figcaption>{text(title)}{legend}</figcaption>'
        f'<div class="plot" style="height:{height}px">'
        '<svg viewBox="0 0 1000 1000" preserveAspectRatio="none" role="img"'
        f' aria-label="{text(title)}">{"".join(parts)}</svg>{"".join(names)}</div></figure>'
    )


def stacked(title: str, x: Array, shares: Sequence[tuple[str, str, Array]], *, axis: Axis, height: int = 110) -> str:
    """Stacked shares over an axis.

    Args:
        x: (k,) end of each bin; the first begins at 0. shares: name, colour, (k,) 0 to 1; NaN counts as 0.
    """
    scale = _Scale(axis, [x, np.zeros(1)], 0.0)
    edges = scale(np.concatenate([[0.0], x]))
    below, parts = np.zeros(len(x)), []
    for _, colour, share in shares:
        above = below + np.nan_to_num(np.asarray(share, np.float64))
        outline = [*_stairs(edges, above), *reversed(_stairs(edges, below))]
        points = " ".join(f"{at:.1f},{1000 - 1000 * height_:.1f}" for at, height_ in outline)
        parts.append(f'<polygon points="{points}" style="fill:var(--{colour});opacity:.8"/>')
        below = above
    names = [Series(x[:0], x[:0], colour, name) for name, colour, _ in shares]
    ends = Axis(low=scale.low, high=scale.high, label=axis.label, words=axis.words)
    percent = Axis(low=0.0, high=1.0, words=lambda value: f"{100 * value:.0f} %")
    return chart(title, names, x=ends, y=percent, height=height, inside="".join(parts))


def _stairs(edges: Array, values: Array) -> list[tuple[float, float]]:
    return [(float(edges[k + side]), float(value)) for k, value in enumerate(values) for side in (0, 1)]


def grid(charts: Sequence[str], *, large: bool = False) -> str:
    """Charts in as many columns as fit the page, large ones in at most two; "" if there are none."""
    shown = [one for one in charts if one]
    return f'<div class="charts{" large" if large else ""}">{"".join(shown)}</div>' if shown else ""


def _line(left: float, right: float, at: float, colour: str, width: float, dashes: str = "") -> str:
    dashed = f";stroke-dasharray:{dashes}" if dashes else ""
    ends = f'x1="{left:g}" x2="{right:g}" y1="{1000 - at:.1f}" y2="{1000 - at:.1f}"'
    return f'<line {ends} style="stroke:var(--{colour});stroke-width:{width:g}{dashed}"/>'


def _end_of(at: float) -> str:
    """The class of a label near an end of its axis, which must not reach beyond the chart."""
    return " first" if at < 4 else " last" if at > 88 else ""


def _drawn(one: Series, x_scale: _Scale, y_scale: _Scale) -> str:
    x, y = x_scale(one.x), 1000 - y_scale(one.y)
    if one.dots:
        points = "".join(f"M{a:.1f} {b:.1f}h0" for a, b in zip(x, y, strict=True) if math.isfinite(a + b))
        style = f"stroke:var(--{one.colour});stroke-width:4;stroke-linecap:round;opacity:.35"
        return f'<path d="{points}" style="{style}"/>' if points else ""
    x, y = _thinned(x, y)
    path = _path(x, y, one.stepped)
    if not path:
        return ""
    drawn = f'<path d="{path}" style="stroke:var(--{one.colour});stroke-width:{one.width:g}"/>'
    if one.filled and np.isfinite(y).all():
        base = 1000 - float(y_scale(np.array([min(max(0.0, y_scale.low), y_scale.high)]))[0])
        area = f"{path}L{x[-1]:.1f} {base:.1f}L{x[0]:.1f} {base:.1f}Z"
        drawn = f'<path d="{area}" style="fill:var(--{one.colour});opacity:.22"/>' + drawn
    return drawn


def _path(x: Array, y: Array, stepped: bool) -> str:
    parts, pen = [], False
    for a, b in zip(x, y, strict=True):
        if not math.isfinite(a + b):
            pen = False
            continue
        parts.append((f"H{a:.1f}V{b:.1f}" if stepped else f"L{a:.1f} {b:.1f}") if pen else f"M{a:.1f} {b:.1f}")
        pen = True
    return "".join(parts)


def _thinned(x: Array, y: Array) -> tuple[Array, Array]:
    """At most two points for each column: its smallest and its largest value, in order."""
    if len(x) <= 2 * _COLUMNS:
        return x, y
    kept = []
    for part in np.array_split(np.arange(len(x)), _COLUMNS):
        values = y[part]
        if np.isfinite(values).any():
            kept += sorted({int(part[np.nanargmin(values)]), int(part[np.nanargmax(values)])})
        else:
            kept.append(int(part[0]))
    return x[kept], y[kept]
