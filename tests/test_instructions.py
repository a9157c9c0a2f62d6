"""Instructions per (unit, input) of the fused step at 64 inputs and 256 units: they do not depend on how busy a machine is.

On x86-64 callgrind counts the widest kernels that it knows, AVX2; the NEON kernels are counted under emulation, on an
ARM host by callgrind. A count moves when kernels, compiler or flags do. It is held within 3 % of what the compiler gave
that is named here; another one may need a few more or fewer, and is held within 15 %. After a wanted change, write down
the new numbers.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from toolchain import ON_ARM, build_program, run, tool

PROGRAM = Path("native/count_step.cpp")
INPUTS, UNITS, STEPS = 64, 256, 20

RECORDED_WITH = "gcc 12"
RECORDS = {("avx2", "sgd"): 3.77, ("avx2", "obgd"): 5.56, ("sse2", "sgd"): 11.05, ("sse2", "obgd"): 16.44}
RECORDS |= {("neon", "sgd"): 7.54, ("neon", "obgd"): 10.09}
LIMIT_AVX2_SGD = 3.8  # whatever the compiler


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


def callgrind(executable: Path, isa: str, work: str, folder: Path) -> float:
    """Count what happens inside counted(), per (unit, input) and step."""
    options = ("--tool=callgrind", "--toggle-collect=counted", f"--callgrind-out-file={folder / 'callgrind.out'}")
    said = run(tool("valgrind"), *options, executable, *map(str, (isa, work, INPUTS, UNITS, STEPS)))
    collected = re.search(r"Collected\s*: (\d+)", said)
    assert collected, said
    return int(collected[1]) / (STEPS * INPUTS * UNITS)


def emulated(executable: Path, isa: str, work: str) -> float:
    """The same under qemu, which logs each instruction as it runs it: the difference between three steps and one."""
    one_by_one = {"QEMU_SINGLESTEP": "1", "QEMU_ONE_INSN_PER_TB": "1"}  # its name before qemu 8.1, and since

    def instructions(steps: int) -> int:
        command = ["qemu-aarch64", "-cpu", "cortex-a72", "-L", "/usr/aarch64-linux-gnu", "-d", "exec,nochain"]
        command += [str(executable), *map(str, (isa, work, INPUTS, UNITS, steps))]
        with subprocess.Popen(command, stderr=subprocess.PIPE, env={**os.environ, **one_by_one}) as process:
            assert process.stderr is not None
            count = 0
            while chunk := process.stderr.read(1 << 20):
                count += chunk.count(b"\n")
        assert process.returncode == 0
        return count

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
    check(isa, work, compiler("c++"), callgrind(executable, isa, work, tmp_path))


if not ON_ARM:

    @pytest.mark.parametrize("work", ["sgd", "obgd"])
    def test_instructions_on_arm(work: str) -> None:
        executable = build_program("aarch64", PROGRAM)
        check("neon", work, compiler("aarch64-linux-gnu-g++"), emulated(executable, "neon", work))
