"""The RTU cell on an emulated Cortex-M4F at 8 inputs and 16 units: its size, its memory, its instructions, its
results.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from qemu import PREFIX, run_counted, size_of
from toolchain import MEMORY_FUNCTIONS, build, objects, run, sections, symbols

TEXT_LIMIT = 4096
INSTRUCTIONS_LIMIT = 10_000
STEPS, OUTPUTS = 300, 32


@pytest.fixture(scope="module")
def folder() -> Path:
    return build("cortex-m4", "cortex_cell", "cortex_cell_alone")


@pytest.fixture(scope="module")
def host() -> tuple[int, list[list[float]]]:
    """The computed bytes and the outputs of each step, from the library's scalar table on this host."""
    first, *lines = run(build("release", "cortex_cell_host") / "cortex_cell_host").splitlines()
    return int(first), outputs(lines)


def outputs(lines: list[str]) -> list[list[float]]:
    return [[struct.unpack(">f", bytes.fromhex(word))[0] for word in line.split()] for line in lines]


def test_text_of_the_step_alone(folder: Path, record_property: Callable[[str, object], None]) -> None:
    """Everything linked for a program with only the step: code, constants, kernel table, memory functions."""
    found = sections(folder / "cortex_cell_alone.elf", PREFIX)
    loaded = sum(size for name, size in found.items() if name.startswith((".text", ".rodata", ".data", ".bss")))
    record_property("bytes of text", loaded)
    assert 0 < loaded <= TEXT_LIMIT


def test_no_double_no_heap_no_library(folder: Path) -> None:
    """The unit of the cell refers to memory functions alone: no soft-double helper, no malloc, no libm."""
    (unit,) = [path for path in objects(folder, "cortex_cell_alone") if path.name.startswith("cell.")]
    foreign = {symbol.name for symbol in symbols(unit, PREFIX) if symbol.kind == "U"}
    assert foreign <= MEMORY_FUNCTIONS
    linked = {symbol.name for symbol in symbols(folder / "cortex_cell_alone.elf", PREFIX)}
    assert {name for name in linked if name.startswith(("__aeabi_", "malloc", "free", "_Zn", "_Zd", "_sbrk"))} == set()


def test_memory_is_exactly_what_was_planned(folder: Path, host: tuple[int, list[list[float]]]) -> None:
    image = folder / "cortex_cell.elf"
    assert size_of(image, "rtu_cell_arena") == host[0]
    found = sections(image, PREFIX)
    assert found[".bss"] == host[0]
    assert found.get(".data", 0) == 0


def test_instructions_and_results(
    folder: Path, host: tuple[int, list[list[float]]], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    said, counts = run_counted(folder / "cortex_cell.elf", tmp_path / "a", "tl_count_begin", "tl_count_end")
    again, counts_again = run_counted(folder / "cortex_cell.elf", tmp_path / "b", "tl_count_begin", "tl_count_end")
    assert (said, counts) == (again, counts_again)
    record_property("instructions per step, highest", max(counts))
    ours, theirs = outputs(said.splitlines()), host[1]
    assert len(counts) == len(ours) == len(theirs) == STEPS
    assert all(len(line) == OUTPUTS for line in ours)
    worst = max(
        abs(a - b) / max(1.0, abs(b)) for x, y in zip(ours, theirs, strict=True) for a, b in zip(x, y, strict=True)
    )
    record_property("largest difference from the host", worst)
    assert worst <= 1e-6
    assert max(max(map(abs, line)) for line in theirs) > 0.1  # it is alive
    assert max(counts) <= INSTRUCTIONS_LIMIT
