"""Instructions per (unit, input) of the fused step at 64 inputs and 256 units: they do not depend on how busy a host
is.

On x86-64 callgrind counts the widest kernels that it knows, AVX2; the NEON kernels are counted under emulation, on an
ARM host by callgrind. A count changes with kernels, compiler or flags. It must be within 3 % of the recorded count of
the compiler named here, and within 15 % for another one. After an intended change, record the new numbers. A whole
control step of the loop is counted too, and held within 1 %.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from qemu import counting_plugin
from toolchain import ON_ARM, build_program, run, tool

PROGRAM = Path("native/count_step.cpp")
INPUTS, UNITS, STEPS = 64, 256, 20

RECORDED_WITH = "gcc 12"
RECORDS = {("avx2", "sgd"): 3.77, ("avx2", "obgd"): 5.56, ("sse2", "sgd"): 11.05, ("sse2", "obgd"): 16.44}
RECORDS |= {("neon", "sgd"): 7.54, ("neon", "obgd"): 10.09}
LIMIT_AVX2_SGD = 3.8  # whatever the compiler

CONTROL = Path("native/count_control.cpp")
CONTROL_STEPS = 400
# Per control step of 32 units and 32 hidden. avx2: 30 544 before fixes of the limiter and the normaliser, 30 925 before
# several devices in one loop (34 more with one device), plant checks, and the learner's scales and windows.
CONTROL_RECORDS = {"avx2": 30_939, "sse2": 54_823}


def best_isa() -> str:
    """Name the widest kernels that callgrind can follow here."""
    if ON_ARM:
        return "neon"
    flags = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return "avx2" if flags and {"avx2", "fma"} <= set(flags[1].split()) else "sse2"


def compiler(program: str) -> str:
    """Name a compiler with its major version: "gcc 12"."""
    family = "clang" if "clang" in run(tool(program), "--version") else "gcc"
    return f"{family} {run(tool(program), '-dumpversion').strip().split('.')[0]}"


def callgrind(function: str, folder: Path, executable: Path, *arguments: object) -> int:
    """Count the instructions of a program inside one of its functions."""
    options = ("--tool=callgrind", f"--toggle-collect={function}", f"--callgrind-out-file={folder / 'callgrind.out'}")
    printed = run(tool("valgrind"), *options, executable, *map(str, arguments))
    collected = re.search(r"Collected\s*: (\d+)", printed)
    assert collected, printed
    return int(collected[1])


def emulated(executable: Path, folder: Path, isa: str, work: str) -> float:
    """The same under qemu, with a plugin that counts each instruction: the difference between three steps and one."""

    def instructions(steps: int) -> int:
        counts = folder / "counts"
        plugin = f"{counting_plugin('qemu-aarch64')},out={counts}"
        command = ["qemu-aarch64", "-cpu", "cortex-a72", "-L", "/usr/aarch64-linux-gnu", "-plugin", plugin]
        run(*command, executable, *map(str, (isa, work, INPUTS, UNITS, steps)))
        return int(counts.read_text())

    return (instructions(3) - instructions(1)) / (2 * INPUTS * UNITS)


def check(isa: str, work: str, built_with: str, count: float) -> None:
    print(f"{isa} {work} {built_with}: {count:.3f} instructions per (unit, input)")
    assert count == pytest.approx(RECORDS[isa, work], rel=0.03 if built_with == RECORDED_WITH else 0.15)
    if (isa, work) == ("avx2", "sgd"):
        assert count <= LIMIT_AVX2_SGD


@pytest.mark.parametrize("work", ["sgd", "obgd"])
def test_instructions_on_this_machine(work: str, tmp_path: Path) -> None:
    executable = build_program("aarch64" if ON_ARM else "release", PROGRAM)
    isa = best_isa()
    count = callgrind("counted", tmp_path, executable, isa, work, INPUTS, UNITS, STEPS)
    check(isa, work, compiler("c++"), count / (STEPS * INPUTS * UNITS))


if not ON_ARM:

    def test_instructions_of_a_control_step(tmp_path: Path) -> None:
        """From a decoded STATE to the record of the step, within 1 %: detects additions to the loop."""
        isa = best_isa()
        executable = build_program("release", CONTROL)
        function = "rtu::runtime::loop::Loop::step(rtu::runtime::loop::Arrival const&)"
        count = callgrind(function, tmp_path, executable, isa, 32, 32, CONTROL_STEPS) / CONTROL_STEPS
        print(f"{isa}: {count:.0f} instructions per control step")
        tolerance = 0.01 if compiler("c++") == RECORDED_WITH else 0.15
        assert count == pytest.approx(CONTROL_RECORDS[isa], rel=tolerance)


if not ON_ARM:

    @pytest.mark.parametrize("work", ["sgd", "obgd"])
    def test_instructions_on_arm(work: str, tmp_path: Path) -> None:
        executable = build_program("aarch64", PROGRAM)
        check("neon", work, compiler("aarch64-linux-gnu-g++"), emulated(executable, tmp_path, "neon", work))
