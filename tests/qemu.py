"""QEMU's STM32F405 for tests: start an image, talk to it, count its instructions."""

from __future__ import annotations

import struct
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import serial
from toolchain import BUILD, ROOT, locked, run, symbols, tool

from rtu_edge.device import protocol
from rtu_edge.device.protocol import FrameType
from rtu_edge.hil.learner import BoardLearner
from rtu_edge.hil.qemu import QemuBoard as Board

__all__ = [
    "PREFIX",
    "QEMU_BOARD",
    "Board",
    "Counted",
    "Host",
    "address",
    "count_learner",
    "counting_plugin",
    "run_counted",
    "size_of",
]

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


@dataclass(frozen=True)
class Counted:
    """The first control steps of a learner image: instructions, cycles by the manual's table, and the deepest stack of
    all that ran, in bytes.
    """

    instructions: list[int]
    cycles: list[int]
    stack: int

    def median(self) -> tuple[int, int]:
        """Of a control step: instructions, cycles."""
        return sorted(self.instructions)[len(self.instructions) // 2], sorted(self.cycles)[len(self.cycles) // 2]


def count_learner(image: Path, seed: int, steps: int, folder: Path) -> Counted:
    """Let a learner image take its first control steps under the counting plugin."""
    begin, end = address(image, "tl_count_begin"), address(image, "tl_count_end")
    plugin = f"{counting_plugin()},begin={begin:#x},end={end:#x},out={folder / 'counts'},cycles=on"
    with Board(image, "-plugin", plugin) as board:
        with BoardLearner(board.port, answer_s=30.0) as learner:
            learner.init(seed)
            list(learner.run(steps))
        stack = stack_used(board, image)
        board.quit()
    rows = [line.split() for line in (folder / "counts").read_text().splitlines()]
    return Counted([int(row[0]) for row in rows], [int(row[1]) for row in rows], stack)


def stack_used(board: Board, image: Path) -> int:
    """Bytes from the stack's top to the deepest word that was ever written: memory is 0 when the emulator starts."""
    top = deepest = address(image, "tl_stack_top")
    for at in range(top - 256, top - address(image, "tl_stack_bytes"), -256):
        words = board.read_floats(at, 64)
        used = [i for i, word in enumerate(words) if struct.pack("<f", word) != b"\0" * 4]
        if used:
            deepest = at + 4 * used[0]
    return top - deepest


class Host:
    """Frames over a port, by its path or open, read as they arrive."""

    def __init__(self, port: Any) -> None:
        self.port = serial.Serial(port, timeout=0.05) if isinstance(port, str) else port
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
