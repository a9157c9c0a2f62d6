"""The Arduino library, packed from firmware_bridge, and its examples built with Debian's arduino-core-avr.

    python tools/arduino.py pack                       # build/arduino/TickLink, to copy or zip into an Arduino folder
    python tools/arduino.py build uno mega2560         # each example, from the packed library; prints flash and memory

The library has the same C99 as every other board: `pack` copies it, and nothing is edited there. Flags are those of the
core's platform.txt, without link-time optimisation.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HERE = ROOT / "firmware_bridge" / "boards" / "arduino"
CORE = Path("/usr/share/arduino/hardware/arduino/avr")
OUT = ROOT / "build" / "arduino"
EXAMPLES = tuple(sorted(path.name for path in (HERE / "examples").iterdir()))

# Sources of the library besides its own folder; a header is wherever a source includes it.
ROOMS = ("protocol", "bridge")
FILES = ("plants/plant.h", "plants/parts.h", "boards/stm32f405/identity.c", "boards/stm32f405/identity.h")
# Part, variant and macro of boards.txt.
BOARDS = {
    "uno": ("atmega328p", "standard", "ARDUINO_AVR_UNO"),
    "mega2560": ("atmega2560", "mega", "ARDUINO_AVR_MEGA2560"),
}
FLAGS = ("-Os", "-w", "-ffunction-sections", "-fdata-sections", "-DF_CPU=16000000L", "-DARDUINO=10819")
# gcc 5.4 has DECIMAL_DIG in C++ only by another name, and the core's WString.cpp uses it.
FLAGS += ("-DARDUINO_ARCH_AVR", "-DDECIMAL_DIG=__DECIMAL_DIG__")
C, CXX = ("-std=gnu11",), ("-std=gnu++11", "-fpermissive", "-fno-exceptions", "-fno-threadsafe-statics")

__all__ = ["BOARDS", "EXAMPLES", "build", "build_bench", "pack"]


def pack(out: Path = OUT) -> Path:
    """Write the library; return its folder."""
    library = out / "TickLink"
    shutil.rmtree(library, ignore_errors=True)
    sources = library / "src" / "firmware_bridge"
    device = ROOT / "firmware_bridge"
    wanted = [path.relative_to(device) for room in ROOMS for path in sorted((device / room).glob("*.[ch]"))]
    for name in [*wanted, *map(Path, FILES)]:
        (sources / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(device / name, sources / name)
    for path in HERE.glob("TickLink.*"):
        shutil.copyfile(path, library / "src" / path.name)
    shutil.copytree(HERE / "examples", library / "examples")
    for name in ("library.properties", "library.json"):
        shutil.copyfile(HERE / name, library / name)
    shutil.copyfile(ROOT / "LICENSE", library / "LICENSE")
    return library


def build(board: str, example: str, library: Path, out: Path = OUT) -> Path:
    """Build an example of a packed library; return the ELF file.

    Raises:
        ValueError: an unknown board or example.
        subprocess.CalledProcessError: the compiler refuses; its output is in the message of `run`.
    """
    for name, known in ((board, BOARDS), (example, EXAMPLES)):
        if name not in known:
            raise ValueError(f"{name}: must be one of {', '.join(known)}")
    part, variant, macro = BOARDS[board]
    folder = out / f"{board}-{example}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    flags = [f"-mmcu={part}", *FLAGS, f"-D{macro}", f"-I{CORE}/cores/arduino", f"-I{CORE}/variants/{variant}"]
    flags.append(f"-I{library}/src")
    core = core_of(board, flags, out)
    [sketch] = (library / "examples" / example).glob("*.ino")
    objects = [compile_one(sketch, [*flags, "-Wall", "-Wextra"], folder), *library_of(board, library, flags, out)]
    image = folder / "sketch.elf"
    run("avr-gcc", f"-mmcu={part}", "-Os", "-Wl,--gc-sections", *objects, core, "-lm", "-o", image)
    return image


def library_of(board: str, library: Path, flags: list[str], out: Path) -> list[Path]:
    """The objects of the library, built once for the same sources."""
    files = sorted((library / "src").rglob("*.c*"))
    digest = hashlib.sha256(" ".join(flags[:-1]).encode())
    for path in sorted((library / "src").rglob("*.*")):
        digest.update(path.name.encode() + path.read_bytes())
    folder = out / f"library-{board}-{digest.hexdigest()[:16]}"
    made = [folder / f"{path.name}.o" for path in files]
    if not (folder / "complete").is_file():
        for old in out.glob(f"library-{board}-*"):
            shutil.rmtree(old)
        folder.mkdir(parents=True)
        for path in files:
            compile_one(path, flags, folder)
        (folder / "complete").touch()
    return made


def core_of(board: str, flags: list[str], out: Path) -> Path:
    """The core as a library, built once."""
    archive = out / f"core-{board}" / "core.a"
    if not archive.is_file():
        archive.parent.mkdir(parents=True, exist_ok=True)
        files = sorted(path for path in (CORE / "cores" / "arduino").iterdir() if path.suffix in (".c", ".cpp", ".S"))
        run("avr-ar", "rcs", archive, *(compile_one(path, flags, archive.parent) for path in files))
    return archive


def compile_one(path: Path, flags: list[str], folder: Path) -> Path:
    """Compile one file, a sketch as the Arduino build does it."""
    made = folder / f"{path.name}.o"
    sketch = ("-x", "c++", "-include", "Arduino.h") if path.suffix == ".ino" else ()
    kind = {".c": C, ".S": ("-x", "assembler-with-cpp")}.get(path.suffix, CXX)
    run("avr-gcc" if path.suffix in (".c", ".S") else "avr-g++", *flags, *kind, *sketch, "-c", path, "-o", made)
    return made


def build_bench(name: str, out: Path = OUT) -> Path:
    """An emulated ATmega328P of tools/simavr, "motor" or "pins"."""
    bench = out / name
    source = ROOT / "tools" / "simavr" / f"{name}.c"
    run("cc", "-O2", "-Wall", "-Wextra", "-Werror", f"-I{ROOT}", source, "-o", bench, "-lsimavr", "-lelf")
    return bench


def run(*command: object) -> str:
    """Run a command; an error shows what it printed."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(done.stderr[-3000:], file=sys.stderr)
        raise subprocess.CalledProcessError(done.returncode, list(map(str, command)), done.stdout, done.stderr)
    return done.stdout


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in ("pack", "build"):
        sys.exit(f"usage: arduino.py pack | build [{' | '.join(BOARDS)}]...")
    boards = (sys.argv[2:] or list(BOARDS)) if sys.argv[1] == "build" else []
    if unknown := [board for board in boards if board not in BOARDS]:
        sys.exit(f"arduino.py: {', '.join(unknown)}: must be one of {', '.join(BOARDS)}")
    library = pack()
    print(library)
    for board in boards:
        for example in EXAMPLES:
            image = build(board, example, library)
            text, data, bss = (int(word) for word in run("avr-size", image).splitlines()[1].split()[:3])
            print(f"{board:9} {example:13} flash {text + data:6} B   data + bss {data + bss:5} B")


if __name__ == "__main__":
    main()
