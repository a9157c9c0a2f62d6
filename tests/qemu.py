"""QEMU's STM32F405 for tests: start an image, talk to it, count its instructions."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from types import TracebackType

import serial
from toolchain import BUILD, ROOT, locked, run, symbols, tool

from rtu_edge import wire
from rtu_edge.wire import FrameType

PREFIX = "arm-none-eabi-"
MACHINE = ("-M", "netduinoplus2", "-nographic", "-monitor", "none")


def counting_plugin() -> Path:
    """Compile tools/qemu/count.c for the interface that this QEMU has; return the plugin."""
    source = ROOT / "tools/qemu/count.c"
    version = run(tool("qemu-system-arm"), "--version").split("version ")[1].split()[0]
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
    """Run an image that ends by itself; return what it said through semihosting, and the instructions from `begin` to `end`."""
    plugin = f"{counting_plugin()},begin={address(image, begin):#x},end={address(image, end):#x},out={counts}"
    command = [tool("qemu-system-arm"), *MACHINE, "-serial", "null", "-kernel", str(image), "-plugin", plugin]
    command += ["-semihosting-config", "enable=on,target=native"]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stderr, [int(line) for line in counts.read_text().split()]


class Board:
    """An image that runs in QEMU, its USART1 a pty of this machine. `reset` is the button."""

    def __init__(self, image: Path, *options: str) -> None:
        command = [tool("qemu-system-arm"), "-M", "netduinoplus2", "-display", "none", "-accel", "tcg,thread=single"]
        command += ["-monitor", "stdio", "-serial", "pty", "-kernel", str(image), *options]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert self._process.stdout is not None
        said = b""
        while b"(label serial0)" not in said:
            line = self._process.stdout.readline()
            assert line, said
            said += line
        self.port = said.split(b"redirected to ")[1].split()[0].decode()

    def reset(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(b"system_reset\n")
        self._process.stdin.flush()

    def quit(self) -> None:
        """Ends QEMU in order, so that plugins write what they have."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"quit\n")
        self._process.stdin.flush()
        self._process.wait(timeout=10)

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> Board:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Host:
    """Frames over a port, read as they come."""

    def __init__(self, port: str) -> None:
        self.port = serial.Serial(port, timeout=0.05)
        self._decoder = wire.Decoder()
        self._waiting: list[wire.Frame] = []

    def send(self, message: wire.Message, seq: int = 0, t_us: int = 0) -> None:
        self.port.write(wire.encode(wire.pack(message, seq, t_us)))

    def next(self, *types: int, seconds: float = 5) -> wire.Frame:
        give_up = time.monotonic() + seconds
        while time.monotonic() < give_up:
            while self._waiting:
                frame = self._waiting.pop(0)
                if frame.type in types:
                    return frame
            self._waiting += self._decoder.feed(self.port.read(max(1, self.port.in_waiting)))
        raise AssertionError(f"no {types} within {seconds} s")

    def hello(self) -> wire.Hello:
        """Ask until somebody answers: the first bytes may meet a board that still boots."""
        self.port.write(b"\0")
        for _ in range(20):
            self.send(wire.Hello())
            try:
                found = wire.unpack(self.next(FrameType.HELLO, seconds=0.5))
            except AssertionError:
                continue
            assert isinstance(found, wire.Hello)
            return found
        raise AssertionError("no HELLO")
