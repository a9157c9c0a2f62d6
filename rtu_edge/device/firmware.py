"""Builds the firmware with a user's plant, from the package's C sources with the host's compiler.

A plant is one C file that includes "firmware_bridge/plants/parts.h" and defines `const tl_plant tl_plant_own`
(docs/hil.md). It is combined with protocol, safety state machine and serial line, the same code as on a board.

    firmware = build_firmware("tank.c", "build/firmware")
    with ProcessTarget("tank", firmware=firmware) as target: ...
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from rtu_edge._base.errors import ConfigError, DeviceError
from rtu_edge._base.files import PACKAGE

__all__ = ["build_firmware", "sources"]

_ROOMS = ("protocol", "bridge", "plants", "boards/simulated", "boards/posix")
# As in CMakeLists.txt: reproducible floating point, and a POSIX process.
_BITS = ("-std=c99", "-O2", "-ffp-contract=off", "-D_DEFAULT_SOURCE", "-D_XOPEN_SOURCE=700")
# No warning in users' files about struct members that were added later.
_FLAGS = (*_BITS, "-Wall", "-Wextra", "-Wno-missing-field-initializers")


def sources() -> Path:
    """The include folder for a compiler (-I); it holds firmware_bridge/."""
    shipped = PACKAGE / "sources"
    return shipped if shipped.is_dir() else PACKAGE.parent


def build_firmware(plant: str | os.PathLike[str], out: str | os.PathLike[str]) -> Path:
    """Compile the firmware process with a plant; quick when nothing has changed.

    Args:
        plant: a C file that defines `const tl_plant tl_plant_own`; its folder is searched for headers too.
        out: the executable; its folder is created if missing.

    Returns:
        The executable's path, to give to ProcessTarget or to name in RTU_EDGE_FIRMWARE.

    Raises:
        ConfigError: the file does not exist.
        DeviceError: there is no compiler, or the compilation fails; the message has the compiler's output.
    """
    plant, out = Path(plant), Path(out)
    if not plant.is_file():
        raise ConfigError(f"{plant}: no such file; must be the C file of a plant")
    root = sources()
    files = [path for room in _ROOMS for path in sorted((root / "firmware_bridge" / room).glob("*.[ch]"))]
    compiler = os.environ.get("CC") or "cc"
    made_of = out.with_name(f"{out.name}.made-of")
    digest = _digest(compiler, plant, files)
    if out.is_file() and made_of.is_file() and made_of.read_text(encoding="utf-8") == digest:
        return out
    if shutil.which(compiler) is None:
        raise DeviceError(f"{compiler}: no C compiler there; on Debian: apt-get install gcc, or name one in CC")
    out.parent.mkdir(parents=True, exist_ok=True)
    aside = out.with_name(f"{out.name}.{os.getpid()}")
    command = [compiler, *_FLAGS, "-DTL_PLANT_OWN", f"-I{root}", f"-I{plant.parent}", "-o", str(aside), str(plant)]
    command += [str(path) for path in files if path.suffix == ".c"] + ["-lm"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    if done.returncode != 0:
        hint = ": it must define `const tl_plant tl_plant_own`" if "tl_plant_own" in done.stdout else ""
        raise DeviceError(f"{plant}: does not compile{hint}\n" + "\n".join(done.stdout.splitlines()[-30:]))
    made_of.unlink(missing_ok=True)  # an executable without it is rebuilt
    os.replace(aside, out)
    made_of.write_text(digest, encoding="utf-8")
    return out


def _digest(compiler: str, plant: Path, files: Sequence[Path]) -> str:
    """Hash of all inputs of an executable: compiler, flags, plant, and the bytes of each source."""
    found = hashlib.sha256("\0".join([compiler, *_FLAGS, str(plant.resolve())]).encode(errors="surrogateescape"))
    for path in [*files, *sorted(plant.resolve().parent.glob("*.[ch]"))]:
        found.update(f"\0{path.name}\0".encode(errors="surrogateescape") + path.read_bytes())
    return found.hexdigest()
