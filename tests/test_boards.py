"""The boards that the firmware is ported to: sizes, boot and handshake, and two faults of the standard suite in QEMU.

`make hil` runs the whole suite on each of them.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner
from toolchain import ROOT, run, tool

from rtu_edge._base.errors import ConfigError, DeviceError
from rtu_edge.cli.firmware import command
from rtu_edge.device import boards, protocol
from rtu_edge.device.boards import BOARDS, build_board
from rtu_edge.device.protocol import FrameType, Hello
from rtu_edge.device.simulated import InProcessDevice
from rtu_edge.hil.emulated import EmulatedBoard
from rtu_edge.hil.run import run_suite
from rtu_edge.hil.suite import load_suite

FAULTS = ["no command arrives", "an emergency stop from elsewhere reaches the driver"]
SMALL_FLASH, SMALL_MEMORY = 24 * 1024, 1536  # of an ATmega328P with two observations and one actuator


def hello(board: EmulatedBoard) -> Hello:
    """Ask until the board answers: it may still be booting."""
    decoder, give_up_s = protocol.Decoder(), time.monotonic() + 20.0
    while time.monotonic() < give_up_s:
        board.line.send(b"\0" + protocol.encode(protocol.pack(protocol.Hello(protocol=2))))
        ask_again_s = time.monotonic() + 0.5
        while time.monotonic() < ask_again_s and select.select([board.line], [], [], 0.1)[0]:
            for frame in decoder.feed(board.line.recv(4096)):
                found = protocol.unpack(frame)
                if frame.type == FrameType.HELLO and isinstance(found, Hello) and found.protocol == 2:
                    return found
    raise AssertionError("no HELLO within 20 s")


def test_an_atmega328p_has_room(monkeypatch: pytest.MonkeyPatch, record_property: object) -> None:
    """Data, bss and the worst stack by the call graph, and flash."""
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import boards

    flash, ram, worst = boards.sizes(BOARDS["uno"], build_board("uno", boards.PLANT))
    record_property("flash, memory, stack", (flash, ram, worst.bytes, worst.main))  # type: ignore[operator]
    assert 15_000 < flash <= SMALL_FLASH
    assert ram > 500 and worst.bytes > 300 and ram + worst.bytes <= SMALL_MEMORY
    assert worst.main[0] == "main" and {"tl_bridge_receive", "tl_send_frame"} <= set(worst.main)


@pytest.mark.parametrize("name", [name for name in BOARDS if name not in ("netduino2", "mega2560")])
def test_a_board_boots_with_the_data_sheet_of_every_other_build(name: str) -> None:
    """And with another boot_id after each reset; no byte of the data sheet depends on the sizes of a build."""
    inside = InProcessDevice("servo")
    inside.tick(0)
    sent = inside.receive(protocol.encode(protocol.pack(protocol.Hello(protocol=2))), 0)
    expected = next(frame for frame in map(protocol.unpack, protocol.Decoder().feed(sent)) if isinstance(frame, Hello))
    with EmulatedBoard(BOARDS[name], build_board(name, "servo")) as board:
        found = hello(board)
        assert (found.schema_hash, found.period_us) == (expected.schema_hash, expected.period_us)
        assert found.lockstep == (name != "uno")
        board.reset()
        give_up_s = time.monotonic() + 20.0
        while hello(board).boot_id == found.boot_id:
            assert time.monotonic() < give_up_s


@pytest.mark.timing
def test_the_watchdog_restarts_a_board_that_hangs() -> None:
    """The Cortex-M7 board: no other emulated one has a watchdog. Its clock runs on while the processor is stopped."""
    with EmulatedBoard(BOARDS["mps2-an500"], build_board("mps2-an500", "servo")) as board:
        boot_id = hello(board).boot_id
        for pause_s, restarted in ((0.2, False), (0.9, True)):
            os.kill(board.pid, signal.SIGSTOP)
            time.sleep(pause_s)
            os.kill(board.pid, signal.SIGCONT)
            give_up_s = time.monotonic() + (10.0 if restarted else 0.5)
            while hello(board).boot_id == boot_id and time.monotonic() < give_up_s:
                pass
            assert (hello(board).boot_id != boot_id) == restarted


@pytest.mark.timing
@pytest.mark.parametrize("name", ["qemu-mega2560", "qemu-microbit"])
def test_two_faults_of_the_standard_suite(name: str) -> None:
    """An AVR and a Cortex-M0."""
    report = run_suite(load_suite(), [name], only=FAULTS)
    assert [result.name for result in report.results if not result.passed] == [], [r.why for r in report.results]
    assert len(report.results) == len(FAULTS)


@pytest.mark.parametrize("board", BOARDS.values(), ids=lambda board: board.name)
def test_a_port_is_one_short_file(board: object) -> None:
    port = ROOT / "firmware_bridge" / "boards" / "ports" / board.port[0]  # type: ignore[attr-defined]
    assert len(port.read_text().splitlines()) <= 150


@pytest.mark.parametrize(
    ("platform", "rooms"),
    [
        ("native", ("protocol", "bridge", "bus", "plants", "boards/ports", "boards/stm32f405")),
        ("avr8", ("protocol", "bridge")),
    ],
)
def test_cppcheck_finds_nothing(platform: str, rooms: tuple[str, ...]) -> None:
    files = [path for room in rooms for path in sorted((ROOT / "firmware_bridge" / room).glob("*.c"))]
    command = ["cppcheck", "--quiet", "--std=c99", "--error-exitcode=1", f"--platform={platform}", f"-I{ROOT}"]
    command += ["--enable=warning,portability,performance", "--suppress=missingIncludeSystem"]
    # Symbols of the linker: docs/boards.md, "Static checks".
    command += ["--suppress=comparePointers:*/firmware_bridge/boards/*", "--template={file}:{line}: {id}: {message}"]
    run(tool(command[0]), *command[1:], *files)


def test_a_planted_defect_is_found_by_cppcheck(tmp_path: Path) -> None:
    (tmp_path / "planted.c").write_text("int f(void) { int a[4]; a[4] = 1; return a[0]; }\n")
    with pytest.raises(AssertionError, match="exit code 1"):
        run(tool("cppcheck"), "--quiet", "--error-exitcode=1", tmp_path / "planted.c")


def test_what_cannot_be_built_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="board 'due': must be one of uno, mega2560, microbit"):
        build_board("due", "servo")
    with pytest.raises(ConfigError, match=r'plant "servos": unknown; must be one of cartpole.*did you mean "servo"'):
        build_board("uno", "servos")
    with pytest.raises(ConfigError, match=r"winch\.c: no such file"):
        build_board("uno", str(tmp_path / "winch.c"))
    (tmp_path / "winch.c").write_text("int broken\n")
    with pytest.raises(DeviceError, match=r"winch\.c"):
        build_board("uno", str(tmp_path / "winch.c"), tmp_path / "out")


def test_the_command_builds_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(command, [str(ROOT / "examples" / "hil_project" / "tank.c"), "--board", "uno"])
    assert done.exit_code == 0 and (tmp_path / "build" / "boards" / "uno-tank" / "firmware.elf").is_file()
    assert "docs/boards.md" in done.output


def test_an_image_is_of_what_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the times of the files say: another plant of the same name, a header next to it, another board."""
    made: list[str] = []

    def compile_nothing(command: Sequence[object]) -> None:
        out = Path(str(command[-1]))
        out.write_bytes(b"")
        made.append(out.name)

    monkeypatch.setattr(boards, "_run", compile_nothing)
    plants = [tmp_path / folder / "winch.c" for folder in ("a", "b")]
    for plant in plants:
        plant.parent.mkdir()
        plant.write_text(f"/* {plant.parent.name} */", encoding="ascii")
        os.utime(plant, (1e9, 1e9))
    header = plants[1].parent / "own.h"

    def builds(board: str, plant: Path) -> bool:
        made.clear()
        build_board(board, str(plant), tmp_path / "out")
        return bool(made)

    assert builds("microbit", plants[0]) and not builds("microbit", plants[0])
    assert builds("microbit", plants[1]) and builds("netduino2", plants[1])
    header.write_text("/* 1 */", encoding="ascii")
    os.utime(header, (1e9, 1e9))
    assert builds("netduino2", plants[1]) and not builds("netduino2", plants[1])
