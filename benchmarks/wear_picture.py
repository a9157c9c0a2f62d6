"""The picture of benchmarks.wear: scores of healthy and worn plants against hours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import required
from benchmarks.wear import FAULTS, Plan, Watched


def draw(path: Path, reported: list[Watched], found: dict[str, Any], plan: Plan) -> None:
    """Scores of every run against hours, one panel for each fault; healthy plants in grey."""
    with required():
        import matplotlib

        matplotlib.use("svg")
        import matplotlib.pyplot as plt

    style: dict[str, Any] = {"svg.hashsalt": "rtu_edge", "svg.fonttype": "none", "font.size": 9}
    with plt.rc_context(style):
        figure, axes = plt.subplots(1, len(FAULTS), figsize=(9.6, 3.2), layout="constrained", sharey=True)
        for panel, fault in zip(axes, FAULTS, strict=True):
            for run in reported:
                if run.kind != fault.kind or run.parameter not in ("", fault.parameter):
                    continue
                hours = (np.arange(len(run.td)) + 1) * plan.window_s / 3600 - (plan.watch_h - plan.wear_h)
                worn = bool(run.parameter)
                panel.plot(hours, run.td, color="#c44e38" if worn else "#a9a9a9", linewidth=1.1 if worn else 0.7)
            panel.axhline(found["td"]["threshold"], color="#222222", linewidth=0.9, linestyle="--")
            panel.axvline(0, color="#222222", linewidth=0.5, linestyle=":")
            panel.set(
                title=f"{fault.kind}\n{fault.parameter} to {fault.factor:g}x", xlabel="hours of wear", yscale="log"
            )
            panel.spines[["top", "right"]].set_visible(False)
        axes[0].set_ylabel("score of the TD errors")
        figure.savefig(path, metadata={"Date": None, "Creator": None})
        plt.close(figure)
    path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")
