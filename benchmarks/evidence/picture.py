"""The picture of the comparison of costs: error or return of each rule over operations, and over bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import required

# rule: colour, marker, line
STYLE = {
    "RTU": ("#1a7f4b", "o", "-"),
    "RTU, low phase": ("#1a7f4b", "o", "--"),
    "RTU, nonlinear": ("#7fb98a", "s", "-"),
    "RTU, TBPTT(1)": ("#d98c5f", "v", "-"),
    "RTU, frozen": ("#d98c5f", "v", ":"),
    "minGRU": ("#5f9ed1", "D", "-"),
    "LRU": ("#5f9ed1", "D", "--"),
    "eLSTM": ("#8d6bb8", "^", "-"),
    "memoryless": ("#7a7a7a", "x", ":"),
    "GRU, TBPTT(20)": ("#b03a48", "P", "-"),
    "GRU, RTRL": ("#b03a48", "P", "--"),
}


def draw(path: Path, table: list[dict[str, Any]], tasks: dict[str, Any]) -> None:
    """Write the picture: SVG by the name's end, or PNG."""
    with required():
        import matplotlib

        matplotlib.use("svg" if path.suffix == ".svg" else "agg")
        import matplotlib.pyplot as plt

    style: dict[str, Any] = {"svg.hashsalt": "rtu_edge", "svg.fonttype": "none", "font.size": 8.5}
    with plt.rc_context(style):
        figure, axes = plt.subplots(2, len(tasks), figsize=(2.45 * len(tasks), 5.0), layout="constrained", sharey="col")
        for column, (name, task) in enumerate(tasks.items()):
            for row, what in enumerate(("operations", "nbytes")):
                _panel(axes[row, column], [one for one in table if one["task"] == name], what)
                axes[row, column].set_xlabel({"operations": "operations a step", "nbytes": "bytes"}[what])
            axes[0, column].set_title(name, fontsize=9)
            if task.score == "error":
                for panel in axes[:, column]:
                    panel.set_yscale("log")
                    panel.minorticks_off()
                    panel.axhline(1, color="#7a7a7a", linewidth=0.7)
                    panel.set_yticks((1, 2, 5, 10, 20), ("1", "2", "5", "10", "20"))
                    panel.set_ylim(0.9, 25)
            better = "error over the floor" if task.score == "error" else "return"
            for panel in axes[:, column]:
                panel.set_ylabel(better, fontsize=8)
        lines, labels = max((panel.get_legend_handles_labels() for panel in axes.flat), key=lambda pair: len(pair[1]))
        figure.legend(lines, labels, loc="outside lower center", ncols=6, frameon=False)
        metadata = {"Date": None, "Creator": None} if path.suffix == ".svg" else None
        figure.savefig(path, metadata=metadata, dpi=110)
        plt.close(figure)
    if path.suffix == ".svg":  # its writer leaves trailing spaces
        path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")


def _panel(panel: Any, table: list[dict[str, Any]], what: str) -> None:
    for rule, (colour, marker, line) in STYLE.items():
        mine = sorted((one for one in table if one["rule"] == rule), key=lambda one: one[what])
        if mine:
            x, y = [one[what] for one in mine], [float(np.median(one["scores"])) for one in mine]
            panel.plot(x, y, line, color=colour, marker=marker, markersize=3.5, linewidth=1.3, label=rule)
    panel.set_xscale("log")
    panel.set_xlim({"operations": (400, 2e5), "nbytes": (400, 1e6)}[what])
    panel.minorticks_off()
    panel.grid(axis="y", color="#e4e4e4", linewidth=0.6)
    panel.spines[["top", "right"]].set_visible(False)
