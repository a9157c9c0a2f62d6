"""On a Raspberry Pi or Jetson: natively on an ARM host, elsewhere cross-compiled and emulated (cortex-a72)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from toolchain import (
    LIBRARIES,
    ON_ARM,
    ROOT,
    build,
    build_program,
    newest_symbol,
    objects,
    platform_of,
    run,
    sources,
    tool,
)

PROGRAMS = [
    p.relative_to(ROOT / "tests") for p in sources("tests/native", "tests/firmware") if p.stem.startswith("test_")
]
EMULATOR = [] if ON_ARM else ["qemu-aarch64", "-cpu", "cortex-a72", "-L", "/usr/aarch64-linux-gnu"]

# Newer than armv8-a: atomics, rounding multiplies, half precision, dot products, SVE, complex numbers, pointer signing.
BEYOND_ARMV8A = re.compile(
    r"\t(?:cas|swp|ldadd|ldclr|ldeor|ldset|ld[su](?:max|min)|st(?:add|clr|eor|set)|sqrdml[as]h|[su]dot|[us]*mmla|bf\w*mmla|"
    r"bfdot|bfcvt|fml[as]l|fcmla|fcadd|ldapr|fjcvtzs|pacia|autia|braa|blraa|retaa|ptrue|whilelo|"
    r"f\w+\t\S*(?:v\d+\.[48]h|\bh\d+), (?:v\d+\.[48]h|h\d+))"
)


def instructions(path: Path) -> str:
    return run(tool("objdump" if ON_ARM else "aarch64-linux-gnu-objdump"), "-d", "--no-show-raw-insn", path)


@pytest.mark.parametrize("program", PROGRAMS, ids=str)
def test_program(program: Path) -> None:
    executable = build_program("aarch64", program)
    print(run(*EMULATOR, executable, cwd=ROOT))


def test_objects_hold_no_instruction_beyond_armv8a() -> None:
    folder = build("aarch64", *LIBRARIES)
    found = objects(folder, *LIBRARIES)
    assert any(path.name.startswith("isa_neon") for path in found)
    assert {path.name: beyond for path in found if (beyond := BEYOND_ARMV8A.findall(instructions(path)))} == {}


def test_a_planted_instruction_is_found(tmp_path: Path) -> None:
    source, planted = tmp_path / "planted.c", tmp_path / "planted.o"
    source.write_text("int f(int *x) { return __atomic_fetch_add(x, 1, 5); }\n")
    compiler = tool("cc" if ON_ARM else "aarch64-linux-gnu-gcc")
    run(compiler, "-O2", "-march=armv8-a", "-mno-outline-atomics", "-c", source, "-o", planted)
    assert not BEYOND_ARMV8A.search(instructions(planted))
    run(compiler, "-O2", "-march=armv8.1-a", "-c", source, "-o", planted)
    assert BEYOND_ARMV8A.search(instructions(planted))


@pytest.mark.timeout(1500)
def test_python_suite() -> None:
    """The tests marked `arm`, on the wheel for aarch64; and its tag."""
    last = run(ROOT / "tools/arm.sh", "test", "-q").strip().splitlines()[-1]
    print(last)
    assert re.fullmatch(r"\d+ passed(, \d+ deselected)? in .*", last)
    if ON_ARM:
        return  # tests/test_wheel.py
    [wheel] = (ROOT / ".cache/arm/wheel").glob("*.whl")
    assert platform_of(wheel) == ("aarch64", (2, 28))
    assert newest_symbol(wheel) <= (2, 28)
