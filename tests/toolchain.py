"""Compilers and builds that tests share.

Where programs are, one locked CMake build per configuration, sections and symbols of objects.
"""

from __future__ import annotations

import fcntl
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
ON_ARM = platform.machine() in ("aarch64", "arm64")

# Rooms below the waterline: docs/design.md.
DEVICE_ROOMS = tuple(f"firmware_bridge/{room}" for room in ("protocol", "plants", "bridge", "bus"))
LEARN_ROOMS = ("native/core", "native/kernels", "native/cells", "native/optim", "native/learners")

LIBRARIES_BELOW = ("tl_protocol", "tl_plants", "tl_families", "tl_bridge", "tl_bus", "rtu_learn", "rtu_instances")
LIBRARIES = (*LIBRARIES_BELOW, "rtu_runtime", "rtu_record", "rtu_link", "rtu_safety", "rtu_loop")

# What a compiler may call by itself, and <string.h>.
MEMORY_FUNCTIONS = {"memchr", "memcpy", "memmove", "memset", "memcmp", "strlen", "strcmp", "strncmp"}


def tool(name: str) -> str:
    """Return the path of a program: next to this Python first, then on PATH."""
    found = shutil.which(name, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    assert found, f"{name} is missing: run tools/setup.sh test"
    return found


def run(*command: str | Path, **options: object) -> str:
    """Run a command; return what it printed, or fail with it."""
    done = subprocess.run(
        [str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    )  # type: ignore[call-overload]
    if done.returncode != 0:
        last = "\n".join(str(done.stdout).splitlines()[-60:])
        raise AssertionError(f"{' '.join(map(str, command))}\nexit code {done.returncode}\n{last}")
    return str(done.stdout)


@contextmanager
def locked(folder: Path) -> Iterator[Path]:
    """Hold a folder for this process, so that parallel test workers do not build in it at once."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def of_the_package() -> Path | None:
    """The folder where the set-up compiled the package for this Python, with the flags of a release: its objects are
    those of the test programs too.
    """
    tag = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    for cache in sorted(BUILD.glob(f"{tag}-*/CMakeCache.txt")):
        text = cache.read_text()
        if (cache.parent / "build.ninja").exists() and f"CMAKE_HOME_DIRECTORY:INTERNAL={ROOT}\n" in text:
            return cache.parent
    return None


def configure(kind: str, folder: Path) -> Path:
    """Configure a build folder, unless it is; return the one to build in."""
    package = of_the_package() if kind == "release" else None
    if package is not None:
        if "RTU_EDGE_TESTS:BOOL=ON\n" not in (package / "CMakeCache.txt").read_text():
            run(tool("cmake"), "-DRTU_EDGE_TESTS=ON", "-DRTU_EDGE_WERROR=ON", package)
        return package
    if (folder / "build.ninja").exists():
        return folder
    options = ["-DRTU_EDGE_PYTHON=OFF", "-DRTU_EDGE_FUZZ=ON" if kind == "fuzz" else "-DRTU_EDGE_TESTS=ON"]
    options += ["-DRTU_EDGE_WERROR=ON"]
    if kind == "sanitize":
        options += ["-DRTU_EDGE_SANITIZE=ON"]
    if kind == "aarch64":
        options += ["-DRTU_EDGE_QUICK=ON"]
    if kind == "fuzz":
        options += [f"-DCMAKE_C_COMPILER={tool('clang')}", f"-DCMAKE_CXX_COMPILER={tool('clang++')}"]
    if kind == "cortex-m4" or (kind == "aarch64" and not ON_ARM):
        options += [f"-DCMAKE_TOOLCHAIN_FILE={ROOT / 'cmake' / kind}.cmake"]
    ninja = f"-DCMAKE_MAKE_PROGRAM={tool('ninja')}"
    run(tool("cmake"), "-G", "Ninja", ninja, "-S", ROOT, "-B", folder, *options)
    return folder


def build(kind: str, *targets: str) -> Path:
    """Build CMake targets in a configuration ("release", "sanitize", "fuzz", "aarch64", "cortex-m4"); return the build
    folder.
    """
    with locked(BUILD / f"tests-{kind}") as folder:
        folder = configure(kind, folder)
        run(tool("ninja"), "-C", folder, "-j", "2", *targets)
    return folder


def build_program(kind: str, program: Path) -> Path:
    """Build a test program, named by its source relative to tests/; return the executable."""
    return build(kind, f"{program.parts[0]}_{program.stem}") / "tests" / program.with_suffix("")


def preload(name: str) -> Path:
    """Compile tests/native/NAME.c, which is loaded into a process with LD_PRELOAD, if needed; return the library."""
    source = ROOT / "tests" / "native" / f"{name}.c"
    with locked(BUILD / name) as folder:
        made = folder / f"{name}.so"
        newest = max(path.stat().st_mtime for path in source.parent.glob(f"{name}.*"))
        if not made.exists() or made.stat().st_mtime < newest:
            flags = ["-std=gnu11", "-O2", "-fPIC", "-shared", "-fno-builtin", "-Wall", "-Wextra", "-Werror"]
            run(tool("cc"), *flags, source, "-o", made, "-ldl")
    return made


def sources(*rooms: str, suffixes: tuple[str, ...] = (".c", ".cpp")) -> list[Path]:
    """List the sources of rooms, in order."""
    return sorted(path for room in rooms for path in (ROOT / room).rglob("*") if path.suffix in suffixes)


def objects(folder: Path, *targets: str) -> list[Path]:
    """List the objects of CMake targets in a build folder."""
    return sorted(path for target in targets for path in (folder / f"CMakeFiles/{target}.dir").rglob("*.o*"))


@dataclass(frozen=True)
class Symbol:
    """One line of nm."""

    name: str
    kind: str
    size: int


def symbols(path: Path, prefix: str = "", dynamic: bool = False) -> list[Symbol]:
    """List the symbols of an object, or those that a library exports and needs; `prefix` names another binutils,
    "arm-none-eabi-" for instance.
    """
    found = []
    listed = run(tool(f"{prefix}nm"), "--format=posix", "--radix=d", *(["--dynamic"] if dynamic else []), path)
    for line in listed.splitlines():
        name, kind, *numbers = line.split()
        found.append(Symbol(name, kind, int(numbers[1]) if len(numbers) > 1 else 0))
    return found


def sections(path: Path, prefix: str = "") -> dict[str, int]:
    """Return section name -> bytes of an object."""
    lines = run(tool(f"{prefix}size"), "--format=sysv", path).splitlines()
    return {words[0]: int(words[1]) for words in map(str.split, lines) if len(words) == 3 and words[1].isdigit()}


def unresolved(paths: list[Path], prefix: str = "") -> dict[str, str]:
    """Return symbol -> object for each symbol that is used in these objects and defined in none of them."""
    table = [(path, symbol) for path in paths for symbol in symbols(path, prefix)]
    defined = {symbol.name for _, symbol in table if symbol.kind not in "Uwv"}
    return {symbol.name: path.name for path, symbol in table if symbol.kind in "Uwv" and symbol.name not in defined}


def mutable_globals(path: Path, prefix: str = "") -> dict[str, int]:
    """Return the sections of an object that hold writable data or start-up code, with their bytes."""
    watched = (".data", ".bss", ".tdata", ".tbss", ".init_array", ".ctors", "COMMON", ".sdata", ".sbss")
    constant = (".data.rel.ro",)
    return {
        name: size
        for name, size in sections(path, prefix).items()
        if size and name.startswith(watched) and not name.startswith(constant)
    }


def platform_of(wheel: Path) -> tuple[str, tuple[int, int]]:
    """Return the architecture of a wheel and the glibc that its tag asks for, ("aarch64", (2, 34)); its name and its
    WHEEL agree.
    """
    found = re.fullmatch(r".*-manylinux_(\d+)_(\d+)_(\w+)\.whl", wheel.name)
    assert found, wheel.name
    with zipfile.ZipFile(wheel) as archive:
        [inside] = [name for name in archive.namelist() if name.endswith(".dist-info/WHEEL")]
        tags = re.findall(r"^Tag: (.*)$", archive.read(inside).decode(), re.MULTILINE)
    assert tags == ["-".join(wheel.stem.split("-")[-3:])]
    return found[3], (int(found[1]), int(found[2]))


def newest_symbol(wheel: Path) -> tuple[int, int]:
    """Return the newest version of a glibc symbol that anything in a wheel refers to, as readelf finds it."""
    with zipfile.ZipFile(wheel) as archive, tempfile.TemporaryDirectory() as folder:
        binaries = [name for name in archive.namelist() if archive.read(name).startswith(b"\x7fELF")]
        text = "".join(run(tool("readelf"), "--version-info", archive.extract(name, folder)) for name in binaries)
    return max((int(major), int(minor)) for major, minor in re.findall(r"\bGLIBC_(\d+)\.(\d+)", text))
