"""Boards that the firmware is ported to, and their images: firmware_bridge/boards/ports, built by the board's compiler.

An image is the bridge in front of a plant. What a board has, and how it is flashed, is in docs/boards.md.

    image = build_board("uno", "servo")           # build/boards/uno-servo/firmware.elf
    image = build_board("microbit", "winch.c")    # a plant of your own: `const tl_plant tl_plant_own`
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rtu_edge._base.errors import ConfigError, DeviceError
from rtu_edge.device import plants
from rtu_edge.device.firmware import sources
from rtu_edge.device.simulated import unknown_plant

__all__ = ["BOARDS", "Board", "build_board", "build_learner", "find_board", "link_flags"]


@dataclass(frozen=True)
class Board:
    """A board and what builds and emulates its image.

    Args:
        name: of the board, as in `--target qemu-NAME`.
        core: instruction set and processor.
        prefix: of the compiler and its tools.
        flags: of the compiler, for the processor.
        port: sources in firmware_bridge/boards/ports.
        flash, ram: origin and size in bytes; an AVR's linker knows them.
        emulator: a program of QEMU and the name of its model.
        hz: of the processor, on the real board.
        baud: of the line.
        store: bytes at the end of its flash for checkpoints of a learner; 0: it has no such firmware.
    """

    name: str
    core: str
    prefix: str
    flags: tuple[str, ...]
    port: tuple[str, ...]
    flash: tuple[int, int]
    ram: tuple[int, int]
    emulator: tuple[str, str]
    hz: int
    baud: int = 1_000_000
    store: int = 0

    @property
    def avr(self) -> bool:
        """Its program and its data have separate addresses, and the C library comes with the compiler."""
        return self.prefix == "avr-"


_AVR = (
    *("-std=gnu99", "-mcall-prologues", "-mrelax", "-mstrict-X", "-fno-inline-small-functions"),
    *("-fno-builtin-finite", "-Wno-unused-variable"),
)
_BARE = ("-std=c99", "-ffreestanding", "-nostdlib", "-fno-tree-loop-distribute-patterns")
_CORTEX = ("cortex_start.c",)
_PICOLIBC = "/usr/lib/picolibc/riscv64-unknown-elf/include"  # <string.h>; nothing of it is linked
_RISCV = ("-march=rv32imac", "-mabi=ilp32", "-msmall-data-limit=0", "-isystem", _PICOLIBC)
_K = 1024

BOARDS: dict[str, Board] = {
    board.name: board
    for board in (
        Board(
            "uno",
            "AVR, ATmega328P",
            "avr-",
            ("-mmcu=atmega328p", *_AVR),
            ("avr.c",),
            (0, 32 * _K),
            (0x800100, 2 * _K),
            ("qemu-system-avr", "uno"),
            16_000_000,
        ),
        Board(
            "mega2560",
            "AVR, ATmega2560",
            "avr-",
            ("-mmcu=atmega2560", *_AVR),
            ("avr.c",),
            (0, 256 * _K),
            (0x800200, 8 * _K),
            ("qemu-system-avr", "mega2560"),
            16_000_000,
        ),
        Board(
            "microbit",
            "Cortex-M0, nRF51822",
            "arm-none-eabi-",
            ("-mcpu=cortex-m0", "-mthumb", *_BARE),
            ("nrf51.c", *_CORTEX),
            (0, 256 * _K),
            (0x20000000, 16 * _K),
            ("qemu-system-arm", "microbit"),
            16_000_000,
            115_200,
            16 * _K,
        ),
        Board(
            "netduino2",
            "Cortex-M3, STM32F205",
            "arm-none-eabi-",
            ("-mcpu=cortex-m3", "-mthumb", *_BARE),
            ("stm32f205.c", *_CORTEX),
            (0x08000000, 1024 * _K),
            (0x20000000, 128 * _K),
            ("qemu-system-arm", "netduino2"),
            16_000_000,
        ),
        Board(
            "mps2-an500",
            "Cortex-M7",
            "arm-none-eabi-",
            ("-mcpu=cortex-m7", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv5-sp-d16", *_BARE),
            ("mps2_an500.c", *_CORTEX),
            (0, 4096 * _K),
            (0x20000000, 4096 * _K),
            ("qemu-system-arm", "mps2-an500"),
            25_000_000,
        ),
        Board(
            "riscv32",
            "RV32IMAC",
            "riscv64-unknown-elf-",
            (*_RISCV, *_BARE),
            ("riscv_virt.c",),
            (0x80000000, 4096 * _K),
            (0x80400000, 4096 * _K),
            ("qemu-system-riscv32", "virt"),
            10_000_000,
        ),
    )
}

# Size first, reproducible floating point, and the stack of each function (benchmarks/boards.py).
_FLAGS = ("-Os", "-ffp-contract=off", "-ffunction-sections", "-fdata-sections", "-fstack-usage", "-Wall", "-Wextra")
_CXX = (
    *("-std=c++17", "-nostdinc++", "-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics"),
    *("-fno-asynchronous-unwind-tables", "-fno-math-errno", "-fno-trapping-math", "-fwhole-program"),
)
_LEARNER = ("TL_LEARNER_SHARED=1", "TL_LEARNER_SIZES=2,8,8")
_DRIVERS = ("identity.c", "watchdog.c", "memory.c")
_FOR_HOSTS = ("batch.c", "plant.c")


def find_board(name: str) -> Board:
    """Return the board of this name.

    Raises:
        ConfigError: there is none.
    """
    if name not in BOARDS:
        raise ConfigError(f"board {name!r}: must be one of {', '.join(BOARDS)}")
    return BOARDS[name]


def build_board(name: str, plant: str, out: str | os.PathLike[str] | None = None, *sizes: str) -> Path:
    """Build the image of a board; quick when nothing has changed.

    Args:
        name: of BOARDS.
        plant: one of the package's, by name, or a C file that defines `const tl_plant tl_plant_own`.
        out: the build folder; default: one in build/boards/ of the source tree.
        sizes: of firmware_bridge/protocol/sizes.h, "TL_SIZE_VALUES=3" for example.

    Returns:
        The ELF file.

    Raises:
        ConfigError: no board or plant of this name, or no such file.
        DeviceError: the compiler is missing, or refuses.
    """
    board, root = find_board(name), sources()
    if not (root / "firmware_bridge" / "boards" / "ports").is_dir():
        raise DeviceError(f"{root}: no sources of the boards there")
    own = Path(plant) if plant.endswith(".c") else None
    if own is not None and not own.is_file():
        raise ConfigError(f"{plant}: no such file; must be the C file of a plant, or the name of one of the package's")
    if own is None and plant not in plants.names():
        raise ConfigError(unknown_plant(plant, plants.names()))
    given = "-".join([name, own.stem if own else plant, *(size.replace("TL_SIZE_", "").lower() for size in sizes)])
    folder = Path(out) if out is not None else root / "build" / "boards" / given.replace("=", "")
    defined = [f"-D{size}" for size in sizes]
    if own is None:
        defined.append(f"-DTL_FIRMWARE_PLANT=tl_plant_{plant.replace('-', '_')}")
    files = [*([own.resolve()] if own else []), *_files(board, root, "main.c")]
    return _build(board, root, folder, files, defined, list(own.resolve().parent.glob("*.h")) if own else [])


def build_learner(name: str, out: str | os.PathLike[str] | None = None) -> Path:
    """Build the firmware with a learner for a board of BOARDS: 8 units, 8 hidden, one shared body (docs/boards.md).

    Args:
        name: of a board with `store`.
        out: the build folder; default: one in build/boards/ of the source tree.

    Returns:
        The ELF file.

    Raises:
        ConfigError: no such board.
        DeviceError: the compiler is missing, or refuses; there is no source tree.
    """
    found, root = find_board(name), sources()
    if not found.store:
        having = ", ".join(board.name for board in BOARDS.values() if board.store)
        raise ConfigError(f"board {name!r}: it has no firmware with a learner; must be {having}")
    if not (root / "native" / "learners").is_dir():
        raise DeviceError(f"{root}: no sources of the learner there")
    board = replace(found, flash=(found.flash[0], found.flash[1] - found.store))
    folder = Path(out) if out is not None else root / "build" / "boards" / f"{name}-learner"
    files = [*_files(board, root, "learner_board.c", "soft_sqrt.c", f"{board.port[0].removesuffix('.c')}_flash.c")]
    others = ("boards/store/store.c", "boards/simulated/simulated.c", "plants/plant.c", "boards/stm32f405/learner.cpp")
    files += [root / "firmware_bridge" / name for name in others]
    defined = [f"-D{word}" for word in _LEARNER]
    return _build(board, root, folder, files, defined, [*(root / "native").rglob("*.h")])


def _build(
    board: Board, root: Path, folder: Path, files: Sequence[Path], defined: list[str], headers: Sequence[Path]
) -> Path:
    """Compile and link unless the image is of just these inputs."""
    folder.mkdir(parents=True, exist_ok=True)
    image = folder / "firmware.elf"
    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        used = [*(root / "firmware_bridge").rglob("*.h"), *headers]
        inputs = _digest([*files, *used, *_scripts(root), Path(__file__)], board.name, *defined)
        if image.is_file() and _text(folder / "inputs") == inputs:
            return image
        image.unlink(missing_ok=True)
        objects = [_compile(board, root, file, folder / f"{i}-{file.stem}.o", defined) for i, file in enumerate(files)]
        link = link_flags(board, root, folder)
        _run([_tool(f"{board.prefix}gcc"), *board.flags, *link, *objects, "-lgcc", "-o", image])
        (folder / "inputs").write_text(inputs, encoding="ascii")
    return image


def _scripts(root: Path) -> list[Path]:
    return [root / "firmware_bridge" / "boards" / "ports" / "image.ld"]


def _files(board: Board, root: Path, *more: str) -> Iterator[Path]:
    """Sources of an image; `more` of them in boards/ports."""
    device = root / "firmware_bridge"
    for room in ("protocol", "bridge", "plants"):
        yield from (path for path in sorted((device / room).glob("*.c")) if path.name not in _FOR_HOSTS)
    yield from (device / "boards" / "ports" / name for name in (*more, *board.port))
    for name in _DRIVERS:
        if not board.avr or name == "identity.c":
            yield device / "boards" / "stm32f405" / name


def _digest(files: Sequence[Path], *words: str) -> str:
    """Of what an image is made of."""
    digest = hashlib.sha256("\0".join(words).encode())
    for path in sorted(files):
        digest.update(f"\0{path}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def _text(path: Path) -> str:
    return path.read_text(encoding="ascii") if path.is_file() else ""


def _compile(board: Board, root: Path, file: Path, made: Path, defined: list[str]) -> Path:
    compiler, flags = ("gcc", board.flags) if file.suffix == ".c" else ("g++", _plus_plus(board))
    command = [_tool(board.prefix + compiler), *flags, *_FLAGS, *defined, f"-I{root}", "-c", file, "-o", made]
    _run(command)
    return made


def _plus_plus(board: Board) -> tuple[str, ...]:
    """The learner's file is C++ and compiled as a whole program, as in cmake/firmware.cmake."""
    return (*(flag for flag in board.flags if flag != "-std=c99"), *_CXX)


def link_flags(board: Board, root: Path, folder: Path) -> list[str | Path]:
    """Options of the linker for an image; writes the board's memory to `folder`. root: of the sources."""
    if board.avr:
        return ["-Wl,--gc-sections"]
    regions = zip(("flash (rx)", "ram (rw)"), (board.flash, board.ram), strict=True)
    lines = [f"  {region} : ORIGIN = {origin:#x}, LENGTH = {n}" for region, (origin, n) in regions]
    (folder / "memory.ld").write_text("MEMORY\n{\n" + "\n".join(lines) + "\n}\n", encoding="utf-8")
    return ["-Wl,--gc-sections", "-Wl,--fatal-warnings", f"-L{folder}", "-T", *_scripts(root)]


def _tool(name: str) -> str:
    found = shutil.which(name)
    if not found:
        raise DeviceError(f"{name} is missing: tools/setup.sh test installs it")
    return found


def _run(command: Sequence[object]) -> None:
    done = subprocess.run(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        last = "\n".join(done.stdout.splitlines()[-30:])
        raise DeviceError(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{last}")
