"""The model of `rtu-edge size --board`, fitted to counts: images of many sizes, one half fitted, the other predicted.

    python -m benchmarks.board_size           # builds and counts what is not kept yet, fits; 15 minutes
    python -m benchmarks.board_size --kept    # fits to the counts of benchmarks/results/board_size.json, a second
    python -m benchmarks.board_size --again   # counts all of them, after a change of the firmware

Counted as by benchmarks.board_step: 200 control steps of each image in QEMU, simulated plant included. A size belongs
to the half that is fitted or to the half that is predicted by its place in the list, whatever its counts are. The fit
is least squares of relative errors over the terms of rtu_edge.learn.on_board.work(), which needs its result as _MODEL
and _FLASH. Exit code 1 if a predicted count is off by more than 5 %.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from rtu_edge.learn import on_board

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
import qemu  # noqa: E402  tools of the tests
import toolchain  # noqa: E402

KEPT = ROOT / "benchmarks/results/board_size.json"
FOLDER = ROOT / "build/board_size"
STEPS, SEED, LIMIT = 200, 2, 0.05
BODIES = ("separate", "shared")
Size = tuple[int, int, int]

# Observations, units, hidden; in pairs of similar extremes, the first of each is fitted, the second predicted.
SIZES: tuple[Size, ...] = (
    (2, 16, 16), (2, 12, 16), (8, 32, 32), (6, 32, 24), (1, 4, 4), (1, 5, 5), (54, 4, 4), (50, 4, 5),
    (1, 64, 8), (1, 60, 8), (2, 8, 64), (2, 8, 60), (16, 16, 16), (14, 16, 16), (3, 5, 7), (3, 7, 6),
    (4, 24, 8), (4, 20, 8), (32, 8, 8), (28, 8, 8), (12, 4, 32), (10, 4, 30), (5, 9, 16), (5, 11, 16),
    (54, 16, 16), (40, 16, 12), (24, 5, 16), (20, 6, 16), (1, 8, 8), (1, 12, 8), (2, 2, 8), (2, 3, 8),
    (6, 48, 16), (7, 44, 16), (2, 4, 128), (2, 4, 96), (1, 16, 100), (1, 18, 80), (8, 1, 1), (9, 1, 2),
    (3, 32, 3), (3, 30, 4), (16, 33, 9), (18, 31, 9), (2, 64, 2), (2, 50, 2), (12, 13, 14), (11, 12, 13),
)  # fmt: skip


def named(size: Size, body: str) -> str:
    return "x".join(map(str, size)) + ("" if body == "separate" else " shared")


def count(sizes: list[Size], console: Console) -> dict[str, dict[str, int]]:
    """Build the images of these sizes and count them."""
    options = [f"-DCMAKE_TOOLCHAIN_FILE={ROOT}/cmake/cortex-m4.cmake", "-DRTU_EDGE_PYTHON=OFF"]
    options += [f"-DCMAKE_MAKE_PROGRAM={toolchain.tool('ninja')}"]
    options += ["-DTL_LEARNER_GRID=" + ";".join("x".join(map(str, size)) for size in sizes)]
    toolchain.run(toolchain.tool("cmake"), "-G", "Ninja", "-S", ROOT, "-B", FOLDER, *options)
    bridge = "tl_stm32f405.elf"
    images = {named(size, body): f"tl_learner_{named(size, body).replace(' ', '_')}.elf"
              for size in sizes for body in BODIES}  # fmt: skip
    toolchain.run(toolchain.tool("ninja"), "-C", FOLDER, "-j", "2", bridge, *images.values())
    less, out = toolchain.sections(FOLDER / bridge, qemu.PREFIX), {}
    for name, file in images.items():
        more = toolchain.sections(FOLDER / file, qemu.PREFIX)
        with tempfile.TemporaryDirectory() as counts:
            instructions, cycles = qemu.count_learner(FOLDER / file, SEED, STEPS, Path(counts)).median()
        flash = sum(more[section] - less[section] for section in (".text", ".rodata"))
        ram = more[".bss"] - less[".bss"]
        out[name] = {"instructions": instructions, "cycles": cycles, "ram": ram, "flash": flash}
        console.print(f"{name}: {out[name]}")
    return out


def fit(counts: dict[str, dict[str, int]], sizes: tuple[Size, ...], body: str, quantity: str) -> NDArray[np.float64]:
    """Coefficients with the least squares of relative errors."""
    terms = np.array([on_board.work(*size) for size in sizes], float)
    counted = np.array([counts[named(size, body)][quantity] for size in sizes], float)
    found, _, rank, _ = np.linalg.lstsq(terms / counted[:, None], np.ones(len(sizes)), rcond=None)
    assert rank == terms.shape[1]
    return found


def errors(
    counts: dict[str, dict[str, int]], sizes: tuple[Size, ...], body: str, quantity: str, model: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Predicted over counted, less one."""
    predicted = np.array([on_board.work(*size) for size in sizes], float) @ model
    return predicted / np.array([counts[named(size, body)][quantity] for size in sizes], float) - 1


def by_inputs(counts: dict[str, dict[str, int]], sizes: tuple[Size, ...], body: str) -> list[list[int]]:
    """Bytes of flash of those sizes that have the same unrolled loops."""
    found: list[list[int]] = [[] for _ in range(on_board.UNROLLED)]
    for size in sizes:
        found[on_board.unrolled(size[0])].append(counts[named(size, body)]["flash"])
    return found


@click.command()
@click.option("--kept", is_flag=True, help="Count nothing.")
@click.option("--again", is_flag=True, help="Count all sizes, kept or not.")
def main(kept: bool, again: bool) -> None:
    """Count, fit, compare; print the coefficients."""
    console = Console(width=120, highlight=False)
    counts: dict[str, dict[str, int]] = {} if again or not KEPT.exists() else json.loads(KEPT.read_text())
    missing = [size for size in SIZES if any(named(size, body) not in counts for body in BODIES)]
    if missing and not kept:
        counts |= count(missing, console)
        KEPT.write_text(json.dumps(counts, indent=1) + "\n")
    fitted, predicted = SIZES[::2], SIZES[1::2]
    table, worst = Table("counted", "body", "fitted: worst", "predicted: worst", "of", "rms"), 0.0
    for body in BODIES:
        models: list[Any] = []
        for quantity in ("instructions", "cycles"):
            model = fit(counts, fitted, body, quantity)
            inside, outside = (errors(counts, half, body, quantity, model) for half in (fitted, predicted))
            at = int(np.argmax(np.abs(outside)))
            table.add_row(quantity, body, f"{np.max(np.abs(inside)):.1%}", f"{outside[at]:+.1%}",
                          named(predicted[at], body), f"{np.sqrt(np.mean(outside**2)):.1%}")  # fmt: skip
            worst = max(worst, float(np.max(np.abs(outside))))
            models.append(np.round(model, 2).tolist())
        console.print(f"{body}: {tuple(zip(*models, strict=True))}")
        flash = [round(float(np.median(found)), -1) for found in by_inputs(counts, fitted, body)]
        off = [abs(one / flash[kind] - 1) for kind, all in enumerate(by_inputs(counts, predicted, body)) for one in all]
        console.print(f"{body}, flash by inputs: {flash}; predicted: {max(off):.1%} off at most")
    console.print(table)
    sys.exit(worst > LIMIT)


if __name__ == "__main__":
    main()
