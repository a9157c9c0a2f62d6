"""The picture of a study with changes: a row for each kind of change, scores over time on the left, the steps until a
learner has recovered on the right."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rtu_edge.report.figures import PALETTE, figure_of, write_picture
from rtu_edge.study import changes
from rtu_edge.study.run import StudyResult
from rtu_edge.study.scores import LEARNED

__all__ = ["draw"]

_WINDOW = 1000  # steps


def draw(found: StudyResult, path: Path) -> None:
    """Writes the picture of the runs that had learned before their first change, PNG or SVG.

    Raises:
        ModuleNotFoundError: matplotlib is not installed. OSError: the file cannot be written.
    """
    names = [name for name in dict.fromkeys(task.variant for task in found.tasks) if name.endswith(", ten")]
    chosen = {
        name: [n for n, row in enumerate(found.rows) if row["variant"] == name and _learned(row)] for name in names
    }
    with figure_of("study", 10.0, 1.0 + 2.1 * len(names)) as figure:
        figure.suptitle(f"{found.study.name}: {found.study.title}", x=0.01, ha="left", fontsize=10.5)
        rows = figure.subplots(len(names), 2, width_ratios=(2.4, 1.0), squeeze=False)
        for number, ((left, right), name) in enumerate(zip(rows, names, strict=True)):
            _course(left, found, chosen[name], name)
            _recoveries(right, [found.rows[n] for n in chosen[name]])
            if number == len(names) - 1:
                left.set_xlabel("steps / 1000")
                right.set_xlabel("change")
        write_picture(figure, path)


def _learned(row: Mapping[str, Any]) -> bool:
    return row["before"] is not None and row["before"] >= LEARNED


def _scores(result: Mapping[str, Any]) -> npt.NDArray[np.float64]:
    """(windows,) of one run, NaN where no episode ended."""
    values = [value for phase in result["phases"] for value in phase["scores"]]
    return np.array([math.nan if value is None else value for value in values], np.float64)


def _course(axes: Any, found: StudyResult, numbers: Sequence[int], name: str) -> None:
    """Median and quartiles, and the median of the frozen policies after the first change."""
    axes.set_title(f"{name}: score of {len(numbers)} runs that had learned, median and quartiles", fontsize=9)
    axes.set_ylabel("score")
    axes.set_ylim(-0.6, 1.2)
    if not numbers:
        return
    scores = np.array([_scores(found.results[n]) for n in numbers])
    steps = (np.arange(scores.shape[1]) + 1) * _WINDOW / 1e3
    known = np.isfinite(scores).any(axis=0)
    low, middle, high = np.nanpercentile(scores[:, known], (25, 50, 75), axis=0)
    axes.fill_between(steps[known], low, high, color=PALETTE["agent"], alpha=0.2, linewidth=0)
    axes.plot(steps[known], middle, color=PALETTE["agent"], linewidth=1.4, label="learner")
    starts = [step / 1e3 for step, _ in found.tasks[numbers[0]].changes]
    for at in starts:
        axes.axvline(at, color=PALETTE["muted"], linewidth=0.7, linestyle=":")
    frozen = [found.rows[n]["frozen"] for n in numbers if found.rows[n]["frozen"] is not None]
    if frozen:
        level = max(float(np.median(frozen)), -0.6)
        axes.plot(starts[:2], [level] * 2, color=PALETTE["bad"], linewidth=1.6, label="frozen policy")
    axes.legend(frameon=False, loc="lower left", fontsize=8)


def _recoveries(axes: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """Steps until recovery from changes 1, 2, 9 and 10; a cross at the top for a run that has not recovered."""
    axes.set_title("steps / 1000 until recovery", fontsize=9)
    columns = [[row[f"recovery_{number}"] for row in rows] for number in changes.RECOVERIES]
    most = max((value for column in columns for value in column if value is not None), default=1000) / 1e3
    for place, column in enumerate(columns):
        known = np.array([value / 1e3 for value in column if value is not None], np.float64)
        offsets = place + 0.16 * (np.arange(len(known)) % 5 - 2) / 2
        axes.plot(offsets, known, "o", color=PALETTE["agent"], markersize=3, alpha=0.5, linewidth=0)
        missing = len(column) - len(known)
        if missing:
            axes.annotate(f"{missing} not", (place, 1.12 * most), ha="center", fontsize=7.5, color=PALETTE["bad"])
        if len(known):
            axes.plot([place - 0.3, place + 0.3], [np.median(known)] * 2, color=PALETTE["ink"], linewidth=1.6)
    axes.set_xticks(range(len(columns)), [str(number) for number in changes.RECOVERIES])
    axes.set_ylim(0, 1.25 * most)
