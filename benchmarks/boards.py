"""The boards of the firmware in one table: flash, memory, worst stack, instructions of a tick, highest rate.

    python -m benchmarks.boards                 # every board, a plant of two observations and one actuator
    python -m benchmarks.boards uno --plant joint

Memory is data, bss and the worst stack by the call graph (tools/stack.py). Instructions are those of a period of an
armed device with a fresh command, counted in QEMU: median of 100. The highest rate is an estimate: the processor at two
cycles an instruction, and the line with one STATE and one CMD a period; the smaller of both. Cycles are not emulated.
Exit code 1 if the ATmega328P is beyond its goal.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from rtu_edge.device import protocol
from rtu_edge.device.boards import BOARDS, Board, build_board
from rtu_edge.hil.emulated import EmulatedBoard

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tools")]
import qemu  # noqa: E402  tools of the tests
import stack  # noqa: E402
import toolchain  # noqa: E402

PLANT = str(ROOT / "tests" / "firmware" / "two_and_one.c")
CYCLES, PERIODS = 2, 100
SMALL = ("uno", 24 * 1024, 1536)  # goal: flash, and data, bss and stack
FRAMES = (16 + 4 * 3 + 14) + (12 + 4 + 14)  # bytes of STATE and CMD on the wire


def sizes(board: Board, image: Path) -> tuple[int, int, stack.Stack]:
    """Flash, data and bss, stack; without the room that a linker script reserves for the stack."""
    found = toolchain.sections(image, board.prefix)
    flash = sum(found.get(name, 0) for name in (".vectors", ".text", ".rodata", ".data"))
    ram = sum(found.get(name, 0) for name in (".data", ".bss", ".noinit"))
    return flash, ram, stack.worst_stack(image, board.prefix)


def instructions(board: Board, image: Path) -> int:
    """Of a period in which a command is in force."""
    program = board.emulator[0]
    begin, end = (address(board, image, name) for name in ("tl_bridge_tick", "tl_port_feed"))
    with tempfile.TemporaryDirectory() as folder:
        counts = Path(folder) / "counts"
        plugin = f"{qemu.counting_plugin(program)},begin={begin:#x},end={end:#x},out={counts}"
        with EmulatedBoard(board, image, options=("-plugin", plugin)) as found:
            drive(found)
            found.quit()
        counted = [int(line) for line in counts.read_text().split()]
    return int(statistics.median(sorted(counted)[-PERIODS:]))


def address(board: Board, image: Path, name: str) -> int:
    """Of a function."""
    for line in toolchain.run(toolchain.tool(board.prefix + "nm"), "--format=posix", image).splitlines():
        words = line.split()
        if words[0] == name:
            return int(words[2], 16)
    raise AssertionError(f"{image} has no {name}")


def drive(board: EmulatedBoard) -> None:
    """Arm, and command for some periods: a command as soon as the last one is accepted, for an emulator on a busy host
    reads slowly, and sends nothing while it is not read.
    """
    decoder, session, seq, periods = protocol.Decoder(), 0, 0, 0
    board.line.setblocking(True)
    board.line.settimeout(30.0)
    give_up_s = time.monotonic() + 60.0
    while periods < 2 * PERIODS and time.monotonic() < give_up_s:
        for frame in decoder.feed(board.line.recv(4096)):
            state = protocol.unpack(frame)
            if not isinstance(state, protocol.State):
                continue
            armed = state.state == protocol.DeviceState.ARMED
            periods += armed
            if not armed and frame.seq % 10 == 0:
                session += 1
                seq = 0
                board.line.send(protocol.encode(protocol.pack(protocol.Arm(session), seq, 0)))
            elif armed and state.last_cmd_seq == seq:
                seq += 1
                command = protocol.pack(protocol.Cmd(session, frame.t_us, 200, (0.5,)), seq, 0)
                board.line.send(protocol.encode(command))


@click.command()
@click.argument("names", nargs=-1)
@click.option("--plant", default=PLANT, show_default=True, help="A plant of the package, or a C file")
def main(names: tuple[str, ...], plant: str) -> None:
    """Print the table."""
    table = Table("board", "core", "flash", "data + bss", "stack", "memory", "instructions of a tick", "highest rate")
    good = True
    for name in names or BOARDS:
        board = BOARDS[name]
        image = build_board(name, plant)
        flash, ram, worst = sizes(board, image)
        tick = instructions(board, image)
        rate = min(board.hz / CYCLES / tick, board.baud / 10 / FRAMES)
        numbers = (flash, ram, worst.bytes, ram + worst.bytes, tick)
        table.add_row(name, board.core, *(f"{n:,}".replace(",", " ") for n in numbers), f"{rate:.0f} Hz")
        if name == SMALL[0]:
            good = flash <= SMALL[1] and ram + worst.bytes <= SMALL[2]
    Console(width=140).print(table)
    print(f"{'pass' if good else 'FAIL'}  {SMALL[0]}: flash <= {SMALL[1]}, data, bss and stack <= {SMALL[2]}")
    sys.exit(not good)


if __name__ == "__main__":
    main()
