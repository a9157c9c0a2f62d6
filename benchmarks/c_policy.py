"""Instructions and bytes of an exported policy in C on a Cortex-M4F, next to those of another generator.

    python -m benchmarks.c_policy                        # needs arm-none-eabi-gcc and qemu-arm
    python -m benchmarks.c_policy --units 32 --units 64

Counted by the emulator's plugin, so equal on every host. If the program emx-onnx-cgen is found, its C of the same
agent's ONNX file is measured too. QEMU runs the Cortex-M4's instructions on a core that has a user mode.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table

import rtu_edge as rtu
from rtu_edge.learn.c_policy import export_c

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
import qemu  # noqa: E402  tools of the tests
import toolchain  # noqa: E402

CORE = ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")
FLAGS = ("-std=c99", "-O2", "-ffunction-sections", "-fdata-sections")
GENERATOR = "emx-onnx-cgen"
STEPS = 20

START = """
volatile float sink;
int main(void);
void _start(void);
void _start(void) { (void)main(); __asm__ volatile("movs r7, #1; movs r0, #0; svc 0"); }
void count_begin(void);
void count_end(void);
__attribute__((noinline)) void count_begin(void) { __asm__ volatile(""); }
__attribute__((noinline)) void count_end(void) { __asm__ volatile(""); }
"""
OURS = """#include "policy.h"
static policy_state state;
int main(void) {
    policy_reset(&state);
    for (int t = 0; t < STEPS; t++) {
        const float x[3] = {0.1f * (float)t, 1.0f - 0.05f * (float)t, 0.3f};
        float action[1];
        count_begin();
        policy_step(&state, x, action);
        count_end();
        sink = action[0];
    }
    return 0;
}
"""
THEIRS = """#include "theirs.c"
static float h1[2][1][UNITS], h2[2][1][UNITS];
int main(void) {
    int k = 0;
    for (int t = 0; t < STEPS; t++) {
        const float x[1][3] = {{0.1f * (float)t, 1.0f - 0.05f * (float)t, 0.3f}};
        float action[1][1];
        count_begin();
        model(x, (const float(*)[UNITS])h1[k], (const float(*)[UNITS])h2[k], action, h1[!k], h2[!k]);
        count_end();
        k = !k;
        sink = action[0][0];
    }
    return 0;
}
"""


def agent_of(units: int, hidden: int) -> rtu.StreamAC:
    """After some steps, so that its normaliser has seen observations."""
    agent = rtu.StreamAC(3, 1, units=units, hidden=hidden)
    rng = np.random.default_rng(0)
    agent.reset(rng.standard_normal(3))
    for _ in range(200):
        agent.step(rng.standard_normal(3), 0.1)
    return agent


def measure(folder: Path, source: str, units: int) -> tuple[int, int, int]:
    """Instructions of a step (median), bytes of .text and of .rodata."""
    program, compiler = folder / "program.c", toolchain.tool("arm-none-eabi-gcc")
    text = source.replace("UNITS", str(units)).replace("STEPS", str(STEPS))
    head, _, body = text.partition("\n")
    program.write_text(f"{head}\n{START}{body}", encoding="ascii")
    toolchain.run(compiler, *FLAGS, *CORE, "-c", program, "-o", folder / "program.o")
    linking = ("-Wl,--gc-sections", "-nostartfiles", "--specs=nosys.specs")
    image = folder / "program.elf"
    toolchain.run(compiler, *CORE, *linking, folder / "program.o", "-o", image, "-lm")
    begin, end = qemu.address(image, "count_begin"), qemu.address(image, "count_end")
    counts = folder / "counts"
    plugin = f"{qemu.counting_plugin('qemu-arm')},begin={begin:#x},end={end:#x},out={counts}"
    toolchain.run(toolchain.tool("qemu-arm"), "-cpu", "cortex-a7", "-plugin", plugin, image)
    sizes = {".text": 0, ".rodata": 0}
    for line in toolchain.run(toolchain.tool("arm-none-eabi-size"), "-A", folder / "program.o").splitlines():
        words = line.split()
        for name in sizes:
            if len(words) == 3 and words[0].startswith(name):
                sizes[name] += int(words[1])
    steps = sorted(int(line) for line in counts.read_text().split())
    return steps[len(steps) // 2], sizes[".text"], sizes[".rodata"]


@click.command()
@click.option("--units", multiple=True, default=(32,), show_default=True, help="Units of the cell.")
@click.option("--hidden", default=32, show_default=True, help="Width of the hidden layer.")
def main(units: tuple[int, ...], hidden: int) -> None:
    """Measure."""
    table = Table("units", "C of", "instructions a step", ".text", ".rodata", title="Cortex-M4F, -O2")
    for n in units:
        agent = agent_of(n, hidden)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            rows = []
            for weights in ("float32", "int8"):
                export_c(agent, folder / "policy.h", weights=weights)
                rows.append((f"export_c, {weights}", measure(folder, OURS, n)))
            if generator := shutil.which(GENERATOR):
                rtu.export_onnx(agent, folder / "policy.onnx")
                whole = (generator, "compile", "--large-weight-threshold", "0", "--large-temp-threshold", "0")
                subprocess.run([*whole, folder / "policy.onnx", folder / "theirs.c"], check=True, capture_output=True)
                rows.append((GENERATOR, measure(folder, THEIRS, n)))
        for who, found in rows:
            table.add_row(str(n), who, *(f"{value:,}" for value in found))
    Console(width=None if sys.stdout.isatty() else 120).print(table)


if __name__ == "__main__":
    main()
