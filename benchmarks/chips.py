"""A policy in C on processors without, and one with, a floating-point unit: instructions of a step, flash, memory.

Counted by the emulator's plugin, so equal on every host. QEMU runs the code of the Cortex-M on a core that has a user
mode, and simavr the AVR. Flash and data are those of the image less those of one that reads the same
observations and has no policy, libraries included.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tools")]
import qemu  # noqa: E402  tools of the tests
import stack  # noqa: E402
import toolchain  # noqa: E402

__all__ = ["CHIPS", "STEPS", "Chip", "Cost", "cost"]

STEPS = 20
FLAGS = ("-std=c99", "-ffunction-sections", "-fdata-sections", "-fstack-usage", "-Wl,--gc-sections")
_PICOLIBC = "/usr/lib/picolibc/riscv64-unknown-elf"


@dataclass(frozen=True)
class Chip:
    """A processor: compiler, its flags, libraries, emulator, how a program begins, and how it ends."""

    name: str
    prefix: str
    flags: tuple[str, ...]
    libraries: tuple[str, ...]
    emulator: tuple[str, ...]
    start: str
    end: str = ""


_ARM_START = 'void _start(void);\nvoid _start(void) { main(); __asm__ volatile("movs r7, #1; movs r0, #0; svc 0"); }'
_RISCV_START = """void _start(void);
void _start(void) {
    __asm__ volatile(".option push; .option norelax; la gp, __global_pointer$; .option pop");
    main();
    __asm__ volatile("li a7, 93; li a0, 0; ecall");
}"""
_ARM = ("-nostartfiles", "--specs=nosys.specs", "-lm")
_RISCV = ("-nostdlib", f"-L{_PICOLIBC}/lib/rv32im/ilp32", "-lm", "-lc", "-lgcc")

CHIPS = (
    Chip("Cortex-M0+", "arm-none-eabi-", ("-mcpu=cortex-m0plus", "-mthumb"), _ARM, ("qemu-arm", "-cpu", "cortex-a7"),
         _ARM_START),
    Chip("RV32IMC", "riscv64-unknown-elf-",
         ("-march=rv32imc", "-mabi=ilp32", "-msmall-data-limit=0", "-isystem", f"{_PICOLIBC}/include"), _RISCV,
         ("qemu-riscv32",), _RISCV_START),
    Chip("AVR, ATmega2560", "avr-", ("-mmcu=atmega2560",), ("-lm",), (), "", '__asm__ volatile("cli\\n\\tsleep");'),
    Chip("Cortex-M4F", "arm-none-eabi-",
         ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"), _ARM,
         ("qemu-arm", "-cpu", "cortex-a7"), _ARM_START),
)  # fmt: skip

_PROGRAM = """#include <stdint.h>
@include
int main(void);
@start
void count_begin(void);
void count_end(void);
__attribute__((noinline)) void count_begin(void) { __asm__ volatile(""); }
__attribute__((noinline)) void count_end(void) { __asm__ volatile(""); }
volatile @type sink;
static volatile const @type observations[@steps][@d] = {@observations};
@state
int main(void) {
    @reset
    for (int t = 0; t < @steps; t++) {
        @type x[@d];
        for (int i = 0; i < @d; i++) x[i] = observations[t][i];
        count_begin();
        @call
        count_end();
        sink = @result;
    }
    @end
    return 0;
}
"""


@dataclass(frozen=True)
class Cost:
    """Of a policy: instructions of a step (median of 20), bytes of flash, of data, and of the worst stack of a step."""

    instructions: int
    flash: int
    data: int
    stack: int

    def row(self) -> dict[str, int]:
        """By name."""
        return asdict(self)


def cost(chip: Chip, folder: Path, code: dict[str, str], observations: NDArray[Any], level: str) -> Cost | None:
    """Compile and count, at an optimisation level; None: the policy does not fit into the processor's memory.

    Args:
        code: include, state, reset, call, result of the program; `type` of an observation.
        folder: has what is included.
    """
    empty = {"include": "", "state": "", "reset": "", "call": "", "result": "x[0]", "type": code["type"]}
    images = []
    for kind, parts in (("empty", empty), ("policy", code)):
        inside = folder / kind
        inside.mkdir(exist_ok=True)
        try:
            images.append(_compiled(chip, folder, inside, parts, observations, level))
        except AssertionError as error:
            if "region" in str(error):  # the linker's word for memory
                return None
            raise
    sizes = [toolchain.sections(image, chip.prefix) for image in images]
    flash, data = (
        [sum(size for name, size in found.items() if name.startswith(kinds)) for found in sizes]
        for kinds in ((".text", ".rodata", ".data"), (".data", ".bss"))
    )
    stacks = [stack.worst_stack(image, chip.prefix).bytes for image in images]
    counts = _counted(chip, images[1], folder)
    return Cost(counts[len(counts) // 2], flash[1] - flash[0], data[1] - data[0], stacks[1] - stacks[0])


def _compiled(
    chip: Chip, folder: Path, inside: Path, parts: dict[str, str], observations: NDArray[Any], level: str
) -> Path:
    rows = ", ".join("{" + ", ".join(map(str, row)) + "}" for row in observations[:STEPS].tolist())
    text = _PROGRAM
    values = {"observations": rows, "steps": str(STEPS), "d": str(observations.shape[1]), "start": chip.start,
              "end": chip.end, **parts}  # fmt: skip
    for name in sorted(values, key=len, reverse=True):
        text = text.replace(f"@{name}", values[name])
    (inside / "program.c").write_text(text, encoding="ascii")
    image = inside / "program.elf"
    flags = (*FLAGS, level, *chip.flags, "-I", str(folder))
    compiler = toolchain.tool(f"{chip.prefix}gcc")
    toolchain.run(compiler, *flags, "-c", inside / "program.c", "-o", inside / "program.o")
    toolchain.run(compiler, *flags, inside / "program.o", "-o", image, *chip.libraries)
    return image


def _counted(chip: Chip, image: Path, folder: Path) -> list[int]:
    """Instructions of each step, sorted."""
    addresses = {}
    for line in toolchain.run(toolchain.tool(f"{chip.prefix}nm"), "--format=posix", image).splitlines():
        name, _, *numbers = line.split()
        addresses[name] = int(numbers[0], 16) if numbers else 0
    begin, end = addresses["count_begin"], addresses["count_end"]
    counts = folder / "counts"
    if not chip.emulator:
        counter = folder / "count"
        libraries = toolchain.run(toolchain.tool("pkg-config"), "--cflags", "--libs", "simavr").split()
        toolchain.run(toolchain.tool("cc"), "-O2", ROOT / "tools/simavr/count.c", "-o", counter, *libraries, "-lelf")
        text = toolchain.run(counter, image, "atmega2560", hex(begin), hex(end))
        return sorted(int(line.split()[0]) for line in text.splitlines() if line[:1].isdigit())
    plugin = f"{qemu.counting_plugin(chip.emulator[0])},begin={begin:#x},end={end:#x},out={counts}"
    program, *options = chip.emulator
    command = [toolchain.tool(program), "-plugin", plugin, *options, str(image)]
    toolchain.run(*command)
    found = sorted(int(line) for line in counts.read_text().split())
    assert len(found) == STEPS, f"{chip.name}: {len(found)} steps were counted"
    return found
