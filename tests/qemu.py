"""QEMU's STM32F405 for tests: start an image, talk to it, count its instructions."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import serial
from toolchain import BUILD, ROOT, locked, run, symbols, tool

from rtu_edge.device import protocol
from rtu_edge.device.protocol import FrameType
from rtu_edge.hil.qemu import QemuBoard as Board

__all__ = ["PREFIX", "QEMU_BOARD", "Board", "Host", "address", "counting_plugin", "run_counted", "size_of"]

PREFIX = "arm-none-eabi-"
QEMU_BOARD = ("-M", "netduinoplus2", "-nographic", "-monitor", "none")


def counting_plugin(emulator: str = "qemu-system-arm") -> Path:
    """Compile tools/qemu/count.c for the interface that this QEMU has; return the plugin."""
    source = ROOT / "tools/qemu/count.c"
    version = run(tool(emulator), "--version").split("version ")[1].split()[0]
    with locked(BUILD / "tests-qemu") as folder:
        plugin = folder / f"count-{version}.so"
        if not plugin.exists() or plugin.stat().st_mtime < source.stat().st_mtime:
            flags = ["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden"]
            api = 1 if int(version.split(".")[0]) < 9 else 4
            run(tool("cc"), *flags, f"-DRTU_PLUGIN_API={api}", source, "-o", plugin)
    return plugin


def address(image: Path, name: str) -> int:
    """Return the address of a function or an object of an image."""
    for line in run(tool(PREFIX + "nm"), "--format=posix", image).splitlines():
        words = line.split()
        if words[0] == name:
            return int(words[2], 16)
    raise AssertionError(f"{image.name} has no {name}")


def size_of(image: Path, name: str) -> int:
    return next(symbol.size for symbol in symbols(image, PREFIX) if symbol.name == name)


def run_counted(image: Path, counts: Path, begin: str, end: str, seconds: float = 60) -> tuple[str, list[int]]:
    """Run an image that ends by itself; return its semihosting output, and the instructions from `begin` to
    `end`.
    """
    plugin = f"{counting_plugin()},begin={address(image, begin):#x},end={address(image, end):#x},out={counts}"
    command = [tool("qemu-system-arm"), *QEMU_BOARD, "-serial", "null", "-kernel", str(image), "-plugin", plugin]
    command += ["-semihosting-config", "enable=on,target=native"]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stderr, [int(line) for line in counts.read_text().split()]


class Host:
    """Frames over a port, read as they arrive."""

    def __init__(self, port: str) -> None:
        self.port = serial.Serial(port, timeout=0.05)
        self._decoder = protocol.Decoder()
        self._waiting: list[protocol.Frame] = []

    def send(self, message: protocol.Message, seq: int = 0, t_us: int = 0) -> None:
        self.port.write(protocol.encode(protocol.pack(message, seq, t_us)))

    def next(self, *types: int, seconds: float = 5) -> protocol.Frame:
        give_up = time.monotonic() + seconds
        while time.monotonic() < give_up:
            while self._waiting:
                frame = self._waiting.pop(0)
                if frame.type in types:
                    return frame
            self._waiting += self._decoder.feed(self.port.read(max(1, self.port.in_waiting)))
        raise AssertionError(f"no {types} within {seconds} s")

    def hello(self) -> protocol.Hello:
        """Repeat until there is an answer: the board may still be booting."""
        self.port.write(b"\0")
        for _ in range(20):
            self.send(protocol.Hello())
            try:
                found = protocol.unpack(self.next(FrameType.HELLO, seconds=0.5))
            except AssertionError:
                continue
            assert isinstance(found, protocol.Hello)
            return found
        raise AssertionError("no HELLO")
