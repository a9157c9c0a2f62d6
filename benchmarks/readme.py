"""Generates README's section about speed and its chart from benchmarks/results: python -m benchmarks.readme."""

from __future__ import annotations

import json
import textwrap
from typing import Any

from benchmarks.measure import RESULTS, ROOT, required

README = ROOT / "README.md"
CHART = ROOT / "docs/images/speed.svg"
BEGIN, END = "<!-- speed: written by python -m benchmarks.step --write -->", "<!-- speed: end -->"
# The host named in the README.
SHOWN = "x86_64-avx512"

COLUMNS = (
    ("JAX, best of one and two jits", ("jax_one_jit", "jax_two_jits")),
    ("JAX, published form", ("jax_published",)),
    ("numpy in place", ("numpy",)),
    ("torch eager", ("torch",)),
    ("GRU, TBPTT(32)", ("gru_tbptt32",)),
    ("plain C++, tuned", ("naive_halved",)),
    ("plain C++", ("naive",)),
)


def result(what: str) -> dict[str, Any]:
    return dict(json.loads((RESULTS / f"{what}-{SHOWN}.json").read_text()))


def rows(step: dict[str, Any]) -> list[tuple[str, dict[str, float]]]:
    """(size, medians) of every size at which all contenders were measured."""
    found = []
    for row in step["sizes"]:
        ns = {name: quartiles[1] for name, quartiles in row["ns_quartiles"].items()}
        if "naive" in ns:
            found.append((f"{row['inputs']}, {row['units']}", ns))
    return found


def times(ratio: float) -> str:
    return f"{ratio:.0f}x" if ratio >= 9.95 else f"{ratio:.1f}x"


def section() -> str:
    """The text between the markers."""
    step, agent = result("step"), result("agent")
    about = step["host"]
    wide, narrow = about["isas"][-1], about["isas"][-2]
    head = ("inputs, units", "rtu_edge", f"with {narrow}", "times the memory-bandwidth floor", *(c[0] for c in COLUMNS))
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for size, ns in rows(step):
        ours = ns[f"sgd/{wide}"]
        cells = [
            size,
            f"{ours / 1e3:.2f} us",
            f"{ns[f'sgd/{narrow}'] / 1e3:.2f} us",
            times(ours / ns[f"sweep_sgd/{wide}"]),
        ]
        for _, names in COLUMNS:
            best = min((ns[name] for name in names if name in ns), default=None)
            cells.append(times(best / ours) if best else "-")
        lines.append("| " + " | ".join(cells) + " |")
    control = [
        f"{row['step_ns'][1] / 1e3:.1f} us at {row['inputs']} inputs, {row['units']} units, {row['hidden']} hidden"
        for row in agent["agents"]
        if row["body"] == "separate" and row["isa"] == wide
    ]
    where = f"{about['processor']}, one core of a shared virtual machine" if about["virtual"] else about["processor"]
    measured = (
        "Time of one step of a linear RTU with exact RTRL and SGD, every parameter learned, and how many times longer "
        f"other implementations take for the same step. {where}, {about['compiler']}, {wide}; medians of one "
        f"interleaved run, commit {about['commit']}."
    )
    whole = (
        "A whole control step of stream AC(lambda), predict and learn with separate actor and critic: "
        f"{' and '.join(control)}. `python -m benchmarks.step --check` and `python -m benchmarks.agent --check` "
        'repeat the measurements with whichever of the other libraries are installed (`pip install -e ".[bench]"`); '
        "[docs/benchmarks.md](docs/benchmarks.md) describes what is measured and what limits it."
    )
    picture = "![Time of a learning step against its size](docs/images/speed.svg)"
    return "\n\n".join([filled(measured), "\n".join(lines), picture, filled(whole)])


def filled(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def chart() -> None:
    """Time a step against the number of weights, both on logarithmic axes."""
    with required():
        import matplotlib

        matplotlib.use("svg")
        import matplotlib.pyplot as plt

    step = result("step")
    wide = step["host"]["isas"][-1]
    measured = rows(step)
    sizes = range(len(measured))
    lines: list[tuple[str, tuple[str, ...], str, str]] = [
        ("GRU, TBPTT(32)", ("gru_tbptt32",), "#b0b0b0", "-"),
        ("JAX, published form", ("jax_published",), "#d98c5f", "--"),
        ("JAX, best", ("jax_one_jit", "jax_two_jits"), "#d98c5f", "-"),
        ("torch eager", ("torch",), "#8d6bb8", "-"),
        ("numpy in place", ("numpy",), "#5f9ed1", "-"),
        ("plain C++", ("naive",), "#7a7a7a", "-"),
        ("rtu_edge", (f"sgd/{wide}",), "#1a7f4b", "-"),
        ("memory-bandwidth floor", (f"sweep_sgd/{wide}",), "#1a7f4b", ":"),
    ]
    with plt.rc_context(
        {"svg.hashsalt": "rtu_edge", "svg.fonttype": "none", "font.size": 10, "font.family": "sans-serif"}
    ):
        figure, axes = plt.subplots(figsize=(7.6, 4.6), layout="constrained")
        for label, names, colour, style in lines:
            if not all(any(name in ns for name in names) for _, ns in measured):
                continue
            us = [min(ns[name] for name in names if name in ns) / 1e3 for _, ns in measured]
            ours = label == "rtu_edge"
            axes.plot(
                sizes, us, style, color=colour, marker="o", markersize=3.5, linewidth=2.4 if ours else 1.4, label=label
            )
        axes.set_yscale("log")
        axes.set_xticks(list(sizes), [size for size, _ in measured])
        axes.set_xlabel("inputs, units")
        axes.set_ylabel("microseconds a step")
        axes.grid(axis="y", color="#e4e4e4", linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
        CHART.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(CHART, metadata={"Date": None, "Creator": None})
        plt.close(figure)
    # The SVG writer leaves trailing spaces.
    CHART.write_text("\n".join(line.rstrip() for line in CHART.read_text().splitlines()) + "\n")


def write() -> None:
    """Write section and chart."""
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    README.write_text(f"{before}{BEGIN}\n{section()}\n{END}{after}", encoding="utf-8")
    chart()


if __name__ == "__main__":
    write()
