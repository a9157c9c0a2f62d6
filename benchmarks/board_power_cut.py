"""The power of an emulated micro:bit fails at every flash write of a checkpoint; each time it restarts and learns on.

    python -m benchmarks.board_power_cut                # every write, some minutes
    python -m benchmarks.board_power_cut --every 100

The firmware with a learner runs in QEMU, whose nRF51 erases pages and clears bits as the chip does. The learner writes
two checkpoints; while it writes a third, the processor is stopped after each erased page and each word, and the flash
is read. The board then starts from each of these contents, with the word that was being written whole, and again with
half of its bits, and with nothing in memory. It must have the second checkpoint or the third. It learns for some steps,
and its memory must have the bits of the host's learner that was never interrupted. Exit code 1 if one differs.
"""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click
from rtu_edge._bridge import lib

from rtu_edge._base.errors import DeviceError
from rtu_edge.device.boards import BOARDS, build_learner
from rtu_edge.hil.learner import BoardLearner
from rtu_edge.hil.qemu import QemuBoard, symbol_address

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
import toolchain  # noqa: E402  tools of the tests

T = TypeVar("T")

BOARD = BOARDS["microbit"]
STORE = BOARD.flash[1] - BOARD.store
SEED, OLD, NEW, MORE = 3, 120, 150, 20  # control steps of the checkpoints, and after a restart
CHUNK, PAGE, TRIES = 1024, 1024, 5


class Debugger:
    """QEMU's debugger port: memory and a breakpoint, through the GDB remote serial protocol."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(30.0)
        self._socket.connect(str(path))
        self._received = b""
        self.program_counter()  # after it nothing of the stop that connecting makes is left to be read

    def read(self, address: int, n: int) -> bytes:
        chunks = (self._ask(f"m{at:x},{CHUNK:x}") for at in range(address, address + n, CHUNK))
        return b"".join(bytes.fromhex(chunk) for chunk in chunks)[:n]

    def write(self, address: int, data: bytes) -> None:
        for at in range(0, len(data), CHUNK):
            chunk = data[at : at + CHUNK]
            said = self._ask(f"M{address + at:x},{len(chunk):x}:{chunk.hex()}")
            assert said == "OK", said

    def breakpoint(self, address: int, there: bool) -> None:
        said = self._ask(f"{'Z' if there else 'z'}1,{address:x},2")
        assert said == "OK", said

    def program_counter(self) -> int:
        return int.from_bytes(bytes.fromhex(self._ask("g"))[60:64], "little")

    def resume(self) -> None:
        """By one instruction first: QEMU would stop again at a breakpoint at which it is."""
        self._send("s")
        self.wait()
        self._send("c")

    def wait(self) -> None:
        """For a stop."""
        said = self._answer()
        assert said[0] in "TS", said

    def stop(self) -> None:
        self._socket.sendall(b"\x03")
        self.wait()

    def close(self) -> None:
        self._socket.close()

    def _ask(self, text: str) -> str:
        self._send(text)
        while (said := self._answer())[:1] == "T":  # a stop
            pass
        return said

    def _send(self, text: str) -> None:
        self._socket.sendall(f"${text}#{sum(text.encode()) % 256:02x}".encode())

    def _answer(self) -> str:
        while b"#" not in self._received[:-2]:
            data = self._socket.recv(65536)
            assert data, "QEMU has closed the debugger's port"
            self._received += data
        packet, _, rest = self._received.partition(b"#")
        self._received = rest[2:]
        self._socket.sendall(b"+")
        return packet[packet.index(b"$") + 1 :].decode()


@dataclass
class Stage:
    """The emulated board, its learner and its debugger."""

    learner: BoardLearner
    debugger: Debugger
    board: QemuBoard
    image: Path

    def address(self, name: str) -> int:
        """Of a function's first instruction."""
        found = symbol_address(self.image, name)
        assert found is not None, name
        return found & ~1

    def flash(self) -> bytes:
        return self.debugger.read(STORE, BOARD.store)

    def restart(self, flash: bytes) -> int:
        """Power on with this flash and nothing in memory; the control steps of the learner that it has."""
        self.debugger.stop()
        self.debugger.write(STORE, flash)
        self.debugger.write(BOARD.ram[0], b"\xa5" * BOARD.ram[1])
        self.board.reset()
        while self.debugger.program_counter() != self.address("tl_reset"):
            pass  # QEMU resets in a thread of its own
        self.debugger.resume()
        self.learner._boot()
        return self.learner.status().steps


@contextlib.contextmanager
def stage(image: Path) -> Iterator[Stage]:
    """A freshly started emulator."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "debugger"
        options = ("-chardev", f"socket,path={path},server=on,wait=off,id=debugger", "-gdb", "chardev:debugger")
        with (
            QemuBoard(image, *options, model=BOARD.emulator[1]) as board,
            contextlib.closing(Debugger(path)) as debugger,
        ):
            debugger.resume()
            with BoardLearner(board.port, answer_s=10.0) as learner:
                yield Stage(learner, debugger, board, image)


def interrupted(found: Stage, every: int) -> dict[int, bytes]:
    """The flash after each operation that writes the third checkpoint, by its number; 0: before the first one. Of every
    n-th one and the one before it, of the first and of the last ten.
    """
    learner, debugger = found.learner, found.debugger
    learner.init(SEED)
    for steps in (OLD - 1, OLD):
        list(learner.run(steps))
        assert learner.save().saved == steps - OLD + 2, "no checkpoint was written"
    list(learner.run(NEW))
    debugger.stop()
    flashes = {0: found.flash()}
    (data_bytes,) = struct.unpack_from("<I", flashes[0], 12)  # in the head of a slot: firmware_bridge/boards/store
    last = BOARD.store // 2 // PAGE + data_bytes // 4 + 6
    at = found.address("tl_nrf51_ready")
    debugger.breakpoint(at, True)
    debugger.resume()
    learner._send(lib.TL_LEARNER_SAVE, bytes(4))
    for n in range(1, last + 1):
        debugger.wait()
        if n == 1 or n % every in (0, every - 1) or n > last - 10:
            flashes[n] = found.flash()
        if n == last:
            debugger.breakpoint(at, False)
        debugger.resume()
    assert learner._status(10.0).saved == 3
    return flashes


def half_done(before: bytes, after: bytes, chance: random.Random) -> bytes:
    """Flash in which a random half of the bits of an operation has changed."""
    old, new = (int.from_bytes(flash, "little") for flash in (before, after))
    changed = old ^ new
    return (old ^ changed & chance.getrandbits(8 * len(before))).to_bytes(len(before), "little")


def contents(flashes: dict[int, bytes]) -> Iterator[tuple[str, bytes]]:
    """What the flash may hold after a power cut, with a name."""
    chance = random.Random(1)
    for n, flash in flashes.items():
        if n - 1 in flashes:
            yield f"in operation {n}", half_done(flashes[n - 1], flash, chance)
        yield f"after operation {n}", flash


def expected(folder: Path) -> dict[int, bytes]:
    """The learner's memory on the host, some steps after each checkpoint, never interrupted."""
    host = toolchain.build("release", "cortex_learner_host_small") / "cortex_learner_host_small"
    for steps in (OLD, NEW):
        toolchain.run(host, "run", str(SEED), str(steps + MORE), folder / str(steps))
    return {steps: (folder / str(steps)).read_bytes() for steps in (OLD, NEW)}


def again(attempt: Callable[[], T]) -> T:
    """Repeat where this host was too busy for the emulator to answer in time; each attempt begins from the start."""
    for _ in range(TRIES - 1):
        with contextlib.suppress(DeviceError):
            return attempt()
    return attempt()


def captured(every: int) -> dict[int, bytes]:
    """interrupted() of a fresh emulator."""
    with stage(build_learner(BOARD.name)) as found:
        return interrupted(found, every)


def cut(every: int) -> tuple[int, Counter[int], list[str]]:
    """Operations of a checkpoint; restarts by the checkpoint that was found, and those that went wrong."""
    ends, wrong = Counter[int](), list[str]()
    flashes = again(lambda: captured(every))
    with tempfile.TemporaryDirectory() as folder, stage(build_learner(BOARD.name)) as found:
        memory = expected(Path(folder))
        for name, flash in contents(flashes):
            steps, learned = again(lambda flash=flash: learn_on(found, flash))  # type: ignore[misc]
            ends[steps] += 1
            if learned != memory.get(steps):
                wrong.append(f"{name}: checkpoint of {steps} steps, other bits {MORE} steps later")
    return max(flashes), ends, wrong


def learn_on(found: Stage, flash: bytes) -> tuple[int, bytes]:
    """Restart and learn; the control steps of the checkpoint, and the memory after some more."""
    steps = found.restart(flash)
    list(found.learner.run(steps + MORE))
    return steps, found.learner.download()


@click.command()
@click.option("--every", default=1, show_default=True, help="Only every n-th operation.")
def main(every: int) -> None:
    """Cut and restart."""
    operations, ends, wrong = cut(every)
    print("\n".join(wrong))
    print(
        f"{operations} erased pages and words in a checkpoint; {sum(ends.values())} restarts:"
        f" {ends[OLD]} with the old checkpoint, {ends[NEW]} with the new one, {len(wrong)} wrong"
    )
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
