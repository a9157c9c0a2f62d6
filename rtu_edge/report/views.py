"""The charts of a run's report: learning, drivers, interventions, the last episode, times."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from rtu_edge.device.schema import Channel
from rtu_edge.record import Summary
from rtu_edge.report.charts import Axis, Mark, Series, chart, grid, stacked
from rtu_edge.report.digest import Digest, Times, running_mean
from rtu_edge.report.figures import label_of, learning_curve, signals_of, tidy
from rtu_edge.report.html import table
from rtu_edge.report.timeline import DRIVER_NAMES, DRIVERS, Timeline, share

__all__ = ["driving", "episode", "latencies", "learning", "signals"]

Array = npt.NDArray[Any]

_DRIVER_COLOURS = {
    "learner": "agent",
    "fallback": "control",
    "both": "force",
    "person": "good",
    "rest": "bad",
    "held": "muted",
    "homing": "ink",
}
_PARTS = {
    "limiter": ("command limiter", "control"),
    "sensor": ("sensor monitor", "force"),
    "check": ("plant checks", "bad"),
    "monitor": ("learner monitor", "bad"),
    "forced": ("fallback forced", "ink"),
}
_STEPS = " steps"
_SMOOTH = 8  # bins in a mean of interventions


def learning(summary: Summary, digests: Mapping[str, Digest], shown: Digest | None) -> str:
    """Return of each episode against steps, with the memoryless control if there is one; the reward per step.

    Args:
        shown: the stage whose rewards are drawn.
    """
    parts = []
    curve = learning_curve(digests)
    if curve is not None:
        control = digests["control"].curve if "control" in digests else None
        series = []
        for one, label, colour in ((control, "memoryless", "control"), (curve, label_of(summary), "agent")):
            if one is not None and one.episodes:
                series.append(Series(one.steps, one.returns, colour, dots=True))
                series.append(Series(one.steps, one.means, colour, label, width=2.2))
        goal = summary.target_return
        marks = [] if goal is None else [Mark(goal, f"goal {goal:g}")]
        low = min(0.0, *(float(np.nanmin(one.y)) for one in series))
        title = f"Return of each episode, and the mean of {curve.window}"
        known = curve.steps if shown is None or not len(shown.timeline) else shown.timeline.steps
        parts.append(
            chart(
                title,
                series,
                x=_steps(np.concatenate([curve.steps, known])),
                y=Axis(low=low if low >= 0 else None),
                marks=marks,
                height=220,
            )
        )
    if shown is not None and len(shown.timeline):
        rewards = shown.timeline.mean("reward", "rewards")
        known = rewards[np.isfinite(rewards)]
        if len(known) and (curve is None or float(np.ptp(known)) > 1e-9 * float(np.abs(known).max())):
            title = f"Reward per step, mean of each {_bin(shown.timeline)}"
            line = Series(shown.timeline.steps, rewards, "agent", width=2.0)
            parts.append(chart(title, [line], x=_steps(shown.timeline.steps), height=160 if curve is not None else 220))
    return "".join(parts)


def driving(timeline: Timeline) -> str:
    """Drivers and interventions, over time and in total; "" if unknown."""
    total = timeline.total
    if not total["commands"]:
        return ""
    who = [(name, DRIVER_NAMES[name], _DRIVER_COLOURS[name]) for name in DRIVERS if total[name]]
    shares = [(label, colour, timeline.mean(name, "commands")) for name, label, colour in who]
    parts = [stacked("Who drove, share of the commands", timeline.steps, shares, axis=_steps(timeline.steps))]
    rows = [
        [f"driven by: {label}", f"{total[name]:,.0f}", share(total[name] / total["commands"])] for name, label, _ in who
    ]
    acted = [(name, *_PARTS[name]) for name in _PARTS if total[name]]
    if acted:
        lines = [
            Series(timeline.steps, _smooth(timeline.mean(name, "commands")), colour, label)
            for name, label, colour in acted
        ]
        percent = Axis(low=0.0, words=lambda value: f"{100 * value:.3g} %")
        parts.append(chart("Steps in which a part stepped in", lines, x=_steps(timeline.steps), y=percent, height=130))
    for name, (label, _) in _PARTS.items():
        rows.append([label, f"{total[name]:,.0f}", share(total[name] / total["commands"])])
    rows.append(["learner monitor: rollbacks", f"{total['rollbacks']:,.0f}", ""])
    return grid(parts, large=True) + table(["", "steps", "share"], rows)


def signals(timeline: Timeline) -> str:
    """The known ones of TD error, sigma, entropy and clipped actions over the run."""
    x = _steps(timeline.steps)
    parts = []
    for name, of, title in (
        ("delta", "learned", "|TD error|, mean"),
        ("clipped", "predicted", "Clipped actions, share"),
    ):
        values = timeline.mean(name, of)
        if np.isfinite(values).any():
            ends = Axis(low=0.0, words=(lambda value: f"{100 * value:.3g} %") if name == "clipped" else None)
            parts.append(chart(title, [Series(timeline.steps, values)], x=x, y=ends, height=110))
    samples = timeline.samples
    for column, title in ((1, "Sigma of the policy, in [-1, 1]"), (2, "Entropy of the policy, nats")):
        if len(samples) and np.isfinite(samples[:, column]).any():
            low = 0.0 if column == 1 else None
            line = Series(samples[:, 0], samples[:, column], "force")
            parts.append(chart(title, [line], x=x, y=Axis(low=low), height=110))
    return grid(parts, large=True)


def episode(summary: Summary, records: Array) -> str:
    """Observations and actions over one episode, a chart each.

    Raises:
        ValueError: the records have fewer values than the summary has rows.
    """
    time_s = np.arange(len(records)) * (summary.period_s or 1.0)
    end = max(float(time_s[-1]), 1e-6)
    ends = Axis(0.0, end, label=" s" if summary.period_s else _STEPS)
    return grid([_signal(time_s, ends, *signal) for signal in signals_of(summary, records)])


def _signal(time_s: Array, ends: Axis, row: Channel, values: Array, colour: str) -> str:
    scale, unit = (180.0 / math.pi, "°") if row.unit == "rad" else (1.0, row.unit)
    shown = values.astype(np.float64) * scale
    marks = [Mark(0.0)]
    low, high = row.min * scale, row.max * scale
    reach = float(np.max(np.abs(shown[np.isfinite(shown)]), initial=0.0))
    if math.isfinite(low) and math.isfinite(high) and reach > 0.6 * max(abs(low), abs(high)):
        marks += [Mark(limit, colour="bad") for limit in (low, high)]
    title = f"{tidy(row.name)} [{tidy(unit)}]" if unit and unit != "1" else tidy(row.name)
    force = colour == "force"
    line = Series(time_s, shown, colour, filled=force, stepped=force, width=1.0 if force else 1.6)
    return chart(title, [line], x=ends, marks=marks, height=100)


def latencies(times: Mapping[str, Times]) -> str:
    """Histograms of lateness, step time and round trip, logarithmic both ways."""
    parts = []
    for title, measured in times.items():
        if not len(measured):
            continue
        low = max(measured.percentile(1.0), 0.5)
        high = max(measured.largest * 1.05, 2.0 * low)
        edges = np.geomspace(low, high, 45)
        counts = np.histogram(np.clip(measured.MIDDLES, low, high), edges, weights=measured.counts)[0]
        heights = np.where(counts > 0, np.log10(np.maximum(counts, 1.0)) + 0.3, 0.0)
        bars = Series(np.repeat(edges, 2)[1:-1], np.repeat(heights, 2), filled=True, width=1.0)
        numbers = f"p50 {_us(measured.percentile(50.0))}, p99 {_us(measured.percentile(99.0))}"
        parts.append(
            chart(
                f"{title}: {numbers}, max {_us(measured.largest)} µs",
                [bars],
                x=Axis(low, high, log=True, label=" µs"),
                y=Axis(low=0.0, words=lambda value: ""),
                height=110,
            )
        )
    return grid(parts)


def _smooth(values: Array) -> Array:
    """The mean of the last bins."""
    return running_mean(np.nan_to_num(values), _SMOOTH)


def _us(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _steps(steps: Array) -> Axis:
    last = float(steps.max()) if len(steps) else 1.0
    return Axis(0.0, max(last, 1.0), label=_STEPS)


def _bin(timeline: Timeline) -> str:
    return "step" if timeline.size == 1 else f"{timeline.size:,} steps"
