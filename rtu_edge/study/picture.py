"""The picture of a study: learning curves on the left, the runs of each plant on the right."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rtu_edge.report.figures import PALETTE, figure_of, write_picture
from rtu_edge.study import change_picture
from rtu_edge.study.run import StudyResult
from rtu_edge.study.scores import LEARNED
from rtu_edge.study.summary import groups
from rtu_edge.study.tasks import CURVES

__all__ = ["draw"]

_FEW = 5  # plants, up to which each curve is drawn
_WINDOW = 1000
_SMOOTH = 5  # windows


def draw(found: StudyResult, path: Path) -> None:
    """Writes the picture, PNG or SVG.

    Raises:
        ModuleNotFoundError: matplotlib is not installed. OSError: the file cannot be written.
    """
    if any(task.changes for task in found.tasks):
        return change_picture.draw(found, path)
    names = [name for name in groups(found.rows) if name != "all"]
    by = "variant" if names[0] == found.rows[0]["variant"] else "plant"
    scored = any(row["score"] is not None for row in found.rows)
    height = max(3.4, 0.9 + 0.26 * len(names))
    with figure_of("study", 10.0, height) as figure:
        figure.suptitle(f"{found.study.name}: {found.study.title}", x=0.01, ha="left", fontsize=10.5)
        left, right = figure.subplots(1, 2, width_ratios=(1.25, 1.0))
        _curves(left, found, names, by, scored)
        _strips(right, found.rows, names, by, scored)
        write_picture(figure, path)


def _scaled(found: StudyResult, number: int, scored: bool) -> npt.NDArray[np.float64]:
    """The curve of one run: returns, carried forward where no episode ended, or scores."""
    row, curve = found.rows[number], found.results[number]["curves"]
    column = CURVES.index("return" if found.results[number]["return"] is not None else "mean_reward")
    values, last = [], math.nan
    for point in curve:
        last = last if point[column] is None else point[column]
        values.append(last)
    array = _smooth(np.array(values, np.float64))
    if not scored or row["score"] is None or row["random"] is None:
        return array
    return np.asarray((array - row["random"]) / (row["reference"] - row["random"]))


def _smooth(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The mean of the last _SMOOTH values, or of fewer at the beginning."""
    return np.array([np.mean(values[max(0, at + 1 - _SMOOTH) : at + 1]) for at in range(len(values))])


def _curves(axes: Any, found: StudyResult, names: Sequence[str], by: str, scored: bool) -> None:
    by_name: dict[str, list[npt.NDArray[np.float64]]] = {name: [] for name in names}
    for number, row in enumerate(found.rows):
        if len(curve := _scaled(found, number, scored)):
            by_name[row[by]].append(curve)
    few, single = len(names) <= _FEW, len(names) == 1
    bundles = by_name if few else {"all runs": [curve for curves in by_name.values() for curve in curves]}
    colours = [PALETTE[name] for name in ("agent", "control", "force", "good", "bad")]
    for (name, curves), colour in zip(bundles.items(), colours, strict=False):
        if not curves:
            continue
        length = max(map(len, curves))
        rows = np.full((len(curves), length), np.nan)
        for number, curve in enumerate(curves):
            rows[number, : len(curve)] = curve
        steps = _WINDOW * (1 + np.arange(length)) / 1e3
        filled = np.where(np.isnan(rows), np.nanmin(rows), rows)
        if single:
            axes.plot(steps, rows.T, color=colour, linewidth=0.6, alpha=0.35)
        elif not few:
            axes.fill_between(steps, *np.percentile(filled, (2, 98), axis=0), color=colour, alpha=0.12, linewidth=0)
        axes.fill_between(steps, *np.percentile(filled, (25, 75), axis=0), color=colour, alpha=0.2, linewidth=0)
        axes.plot(steps, np.median(filled, axis=0), color=colour, linewidth=1.8, label=name)
    axes.set_xlabel(f"steps / 1000 (mean of {_SMOOTH * _WINDOW:,} steps)")
    axes.set_ylabel("score" if scored else "return")
    axes.set_title("median, quartiles" + (", runs" if single else "" if few else ", 2 % to 98 %"))
    if scored:
        axes.set_ylim(-0.35, 1.15)
    if len(bundles) > 1:
        axes.legend(frameon=False, loc="best")


def _strips(axes: Any, rows: Sequence[Mapping[str, Any]], names: Sequence[str], by: str, scored: bool) -> None:
    value = "score" if scored else "return"
    for place, name in enumerate(names):
        group = [row for row in rows if row[by] == name and row[value] is not None]
        points = np.array([row[value] for row in group], np.float64)
        shown = np.clip(points, -0.3, 1.1) if scored else points
        # A fixed pattern in place of random jitter: equal results give equal pictures.
        offsets = place + 0.18 * (np.arange(len(group)) % 5 - 2) / 2
        bad = np.array([bool(row["locked"] or row["below_random"]) for row in group], bool)
        axes.plot(shown[~bad], offsets[~bad], "o", color=PALETTE["agent"], markersize=3.5, alpha=0.6, linewidth=0)
        axes.plot(shown[bad], offsets[bad], "x", color=PALETTE["bad"], markersize=5, linewidth=0)
        if len(group):
            axes.plot([np.median(shown)] * 2, [place - 0.35, place + 0.35], color=PALETTE["ink"], linewidth=1.6)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"{value} at the end" + (" (x: locked or below random)" if scored else ""))
    axes.set_title("runs and median")
    if scored:
        axes.set_xlim(-0.35, 1.15)
        for at in (0.0, LEARNED, 1.0):
            axes.axvline(at, color=PALETTE["muted"], linewidth=0.8, linestyle=":")
