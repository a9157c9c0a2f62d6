"""A control step of the learner on the microcontroller, counted at a commit and in this tree: ratio and goals.

    python -m benchmarks.board_step 29a58ab         # builds both with the same compiler, two minutes
    python -m benchmarks.board_step 29a58ab --seed 3

Each image runs in QEMU: 200 control steps, plant included; instructions by tools/qemu/count.c, cycles by the table of
the processor's manual without wait states, RAM and flash that the image has more than the one without a learner, and
the deepest stack of the run. Counts repeat, but for an interrupt of the line. Exit code 1 if a goal fails.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
import qemu  # noqa: E402  tools of the tests
import toolchain  # noqa: E402

STEPS = 200
BRIDGE = "tl_stm32f405"
IMAGES = {
    "2 inputs, 16 units, 16 hidden, separate": "tl_stm32f405_learner",
    "the same, one shared body": "tl_stm32f405_learner_shared",
    "8 inputs, 32 units, 32 hidden, separate": "tl_stm32f405_learner_large",
    "8, 32, 32, one shared body": "tl_stm32f405_learner_large_shared",
}
# Instructions, cycles, bytes of RAM and of flash that an image may take at most.
GOALS = {
    "tl_stm32f405_learner": (33_000, 70_000, 16_896, 26 * 1024),
    "tl_stm32f405_learner_shared": (24_000, 53_000, 12_288, 26 * 1024),
}


@dataclass(frozen=True)
class Row:
    """What one image takes."""

    instructions: int
    cycles: int
    ram: int
    flash: int
    stack: int


def checked_out(commit: str) -> Path:
    """The sources of a commit, in build/board_step."""
    sha = toolchain.run("git", "-C", ROOT, "rev-parse", "--short", f"{commit}^{{commit}}").strip()
    folder = ROOT / "build" / "board_step" / sha
    if not (folder / "CMakeLists.txt").is_file():
        archive = subprocess.run(["git", "-C", str(ROOT), "archive", sha], check=True, capture_output=True).stdout
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(folder, filter="data")
    return folder


def built(source: Path) -> Path:
    """The build folder of a tree, with those images that the tree has."""
    if source == ROOT:
        return toolchain.build("cortex-m4", BRIDGE, *IMAGES.values())
    folder = source / "build" / "cortex-m4"
    file = source / "cmake" / "cortex-m4.cmake"
    options = ["-DRTU_EDGE_PYTHON=OFF", f"-DCMAKE_TOOLCHAIN_FILE={file}"]
    options.append(f"-DCMAKE_MAKE_PROGRAM={toolchain.tool('ninja')}")
    toolchain.run(toolchain.tool("cmake"), "-G", "Ninja", "-S", source, "-B", folder, *options)
    listed = toolchain.run(toolchain.tool("ninja"), "-C", folder, "-t", "targets", "all")
    targets = [name for name in (BRIDGE, *IMAGES.values()) if f"{name}.elf:" in listed]
    toolchain.run(toolchain.tool("ninja"), "-C", folder, *targets)
    return folder


def measured(folder: Path, seed: int) -> dict[str, Row]:
    """A row for each image of a build folder."""
    rows = {}
    less = toolchain.sections(folder / f"{BRIDGE}.elf", qemu.PREFIX)
    for name in IMAGES.values():
        image = folder / f"{name}.elf"
        if not image.is_file():
            continue
        more = toolchain.sections(image, qemu.PREFIX)
        with tempfile.TemporaryDirectory() as counts:
            counted = qemu.count_learner(image, seed, STEPS, Path(counts))
        flash = sum(more[section] - less[section] for section in (".text", ".rodata"))
        rows[name] = Row(*counted.median(), more[".bss"] - less[".bss"], flash, counted.stack)
    return rows


def table(before: dict[str, Row], after: dict[str, Row], commit: str) -> Table:
    """Each quantity at the commit, in this tree, and the ratio of both."""
    out = Table("learner", "", commit, "this tree", "ratio")
    for title, name in IMAGES.items():
        old = before.get(name) or before.get(name.removesuffix("_shared"))
        for quantity in ("instructions", "cycles", "ram", "flash", "stack"):
            new, was = getattr(after[name], quantity), getattr(old, quantity, None)
            ratio = f"{was / new:.2f}" if was else "-"
            out.add_row(title, quantity, f"{was:,}" if was else "-", f"{new:,}", ratio)
            title = ""
    return out


@click.command()
@click.argument("commit", default="29a58ab")
@click.option("--seed", default=2, show_default=True, help="Of the learner.")
def main(commit: str, seed: int) -> None:
    """Count both; where the commit has no shared body, its separate bodies stand in."""
    before = measured(built(checked_out(commit)), seed)
    after = measured(built(ROOT), seed)
    Console(width=120).print(table(before, after, commit))
    good = True
    for name, most in GOALS.items():
        row = after[name]
        found = (row.instructions, row.cycles, row.ram, row.flash)
        met = all(a <= b for a, b in zip(found, most, strict=True))
        good &= met
        print(f"{'pass' if met else 'FAIL'}  {name}: instructions, cycles, RAM, flash {found}, at most {most}")
    sys.exit(not good)


if __name__ == "__main__":
    main()
