"""The STM32F405 image in QEMU: build it, boot it, press its reset button."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

from rtu_edge._base.closing import Closing
from rtu_edge._base.errors import DeviceError

__all__ = ["QemuBoard", "build_image", "find_tool", "symbol_address"]

_SOURCES = Path(__file__).resolve().parents[2]


class QemuBoard(Closing):
    """An image that runs in QEMU, its serial line a pty of this host.

    Args:
        image: the ELF file.
        options: more of QEMU's.
        model: QEMU's name of the board.
        cpu: the core that QEMU is pinned to; None for any. Unpinned, its latency is bimodal, with a second mode four
            times worse.

    It ends with the thread that created it.

    Raises:
        DeviceError: QEMU is missing or does not start; the message has its output.
    """

    def __init__(
        self, image: str | os.PathLike[str], *options: str, model: str = "netduinoplus2", cpu: int | None = None
    ) -> None:
        command = [
            find_tool("qemu-system-arm"),
            "-M",
            model,
            "-display",
            "none",
            "-accel",
            "tcg,thread=single",
        ]
        command += ["-monitor", "stdio", "-serial", "pty", "-kernel", os.fspath(image), *options]
        if cpu is not None:
            command = [find_tool("taskset"), "--cpu-list", str(cpu), *command]
        # QEMU does not exit when its monitor's input ends: a killed test would leave it running.
        command = [find_tool("setpriv"), "--pdeathsig", "KILL", *command]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
        assert self._process.stdout is not None
        said = b""
        while b"(label serial0)" not in said:
            line = self._process.stdout.readline()
            if not line:
                self.close()
                raise DeviceError(f"{' '.join(command)}: {said.decode(errors='replace').strip()}")
            said += line
        self.port = said.split(b"redirected to ")[1].split()[0].decode()

    @property
    def pid(self) -> int:
        """Process id of QEMU."""
        return self._process.pid

    def reset(self) -> None:
        """Press the reset button: the processor restarts; memory that start-up does not clear is kept."""
        self._say(b"system_reset\n")

    def read_floats(self, address: int, n: int) -> tuple[float, ...]:
        """Read n binary32 values from the emulated memory while the processor runs.

        Args:
            address: physical; `symbol_address` finds that of a global variable.
            n: how many, 1 to 64.

        Raises:
            DeviceError: QEMU does not answer within 5 s.
        """
        assert self._process.stdout is not None
        self._say(f"xp /{n}wx {address:#x}\n".encode())
        give_up_s, said, words = time.monotonic() + 5.0, b"", list[bytes]()
        while len(words) < n:
            if not select.select([self._process.stdout], [], [], max(0.0, give_up_s - time.monotonic()))[0]:
                raise DeviceError(f"QEMU: no answer to xp /{n}wx {address:#x} within 5 s")
            said += os.read(self._process.stdout.fileno(), 4096)
            dump = re.findall(rb"^([0-9a-f]{16}):((?: 0x[0-9a-f]{8})+)\r?$", said, re.MULTILINE)
            words = [
                word for start, line in dump if address <= int(start, 16) < address + 4 * n for word in line.split()
            ]
        return struct.unpack(f"<{n}f", struct.pack(f"<{n}I", *(int(word, 16) for word in words[:n])))

    def quit(self) -> None:
        """End QEMU cleanly, so that plugins write their output."""
        self._say(b"quit\n")
        self._process.wait(timeout=10)

    def _say(self, line: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line)
        self._process.stdin.flush()

    def close(self) -> None:
        """End QEMU, stopped or not; a second call does nothing."""
        self._end()

    def _end(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.communicate()


def symbol_address(image: str | os.PathLike[str], name: str) -> int | None:
    """Return the address of a global variable or function of an image, None if it has none of this name.

    Args:
        image: an ELF file for a 32-bit little-endian processor.
        name: as in C.
    """
    data = Path(image).read_bytes()
    if data[:6] != b"\x7fELF\x01\x01":
        return None
    (at,), (size, n, _) = struct.unpack_from("<I", data, 32), struct.unpack_from("<3H", data, 46)
    sections = [struct.unpack_from("<10I", data, at + i * size) for i in range(n)]
    for section in sections:
        if section[1] != 2:  # SHT_SYMTAB
            continue
        names = sections[section[6]][4]
        for entry in range(section[4], section[4] + section[5], 16):
            text, value = struct.unpack_from("<II", data, entry)
            if data[names + text : data.index(b"\0", names + text)] == name.encode():
                return int(value)
    return None


def build_image(plant: str, source: str | os.PathLike[str] | None = None) -> Path:
    """Build the image with this plant; quick when nothing has changed.

    Args:
        plant: as for SimulatedDevice; with `source`, any name for the build folder.
        source: a C file that defines `const tl_plant tl_plant_own`, to use instead of the package's plants.

    Returns:
        The ELF file, under build/ of the source tree.

    Raises:
        DeviceError: there is no source tree, or the compilation fails.
    """
    if not (_SOURCES / "cmake" / "cortex-m4.cmake").is_file():
        raise DeviceError("no source tree to build the image from: give the path of an image (--firmware)")
    folder = _SOURCES / "build" / f"stm32f405-{plant}"
    folder.mkdir(parents=True, exist_ok=True)
    cmake = find_tool("cmake")
    configure = [
        cmake,
        "-G",
        "Ninja",
        f"-DCMAKE_MAKE_PROGRAM={find_tool('ninja')}",
        "-S",
        str(_SOURCES),
        "-B",
        str(folder),
    ]
    configure += [f"-DCMAKE_TOOLCHAIN_FILE={_SOURCES / 'cmake' / 'cortex-m4.cmake'}", "-DRTU_EDGE_PYTHON=OFF"]
    choice = f"TL_FIRMWARE_PLANT={plant}" if source is None else f"TL_FIRMWARE_SOURCE={Path(source).resolve()}"
    configure.append(f"-D{choice}")
    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "build.ninja").exists() or not _cached(folder, choice):
            _run(configure)
        _run([cmake, "--build", str(folder), "--target", "tl_stm32f405"])
    return folder / "tl_stm32f405.elf"


def _cached(folder: Path, choice: str) -> bool:
    """True if the build in this folder was configured with this option, NAME=VALUE."""
    name, _, value = choice.partition("=")
    with contextlib.suppress(OSError):
        for line in (folder / "CMakeCache.txt").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return line.partition("=")[2] == value
    return False


def find_tool(name: str) -> str:
    """A program next to this Python, or on PATH."""
    found = shutil.which(name, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if not found:
        raise DeviceError(f"{name} is missing: tools/setup.sh test installs it")
    return found


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        last = "\n".join(done.stdout.splitlines()[-30:])
        raise DeviceError(f"{' '.join(command)}: exit code {done.returncode}\n{last}")
