"""The Arduino library: packed without an edit, its examples built, and one of them driven in an emulated Uno with a
motor on its pins. `python -m benchmarks.arduino` lets the host learn on it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from qemu import Host
from toolchain import BUILD, ROOT, locked, run, tool

from rtu_edge._base.version import __version__
from rtu_edge.device import protocol
from rtu_edge.device.protocol import FrameType


def state_of(host: Host) -> protocol.State:
    """The next one."""
    found = protocol.unpack(host.next(FrameType.STATE))
    assert isinstance(found, protocol.State)
    return found


@pytest.fixture
def arduino(monkeypatch: pytest.MonkeyPatch) -> object:
    """The command that packs and builds."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    monkeypatch.syspath_prepend(str(ROOT))
    import arduino

    return arduino


def test_the_library_is_the_sources_themselves(arduino: object, tmp_path: Path) -> None:
    library = arduino.pack(tmp_path)  # type: ignore[attr-defined]
    packed = [path for path in (library / "src" / "firmware_bridge").rglob("*") if path.is_file()]
    assert {path.suffix for path in packed} == {".c", ".h"} and len(packed) > 20
    for path in packed:
        assert path.read_bytes() == (ROOT / path.relative_to(library / "src")).read_bytes()
    properties = dict(line.split("=", 1) for line in (library / "library.properties").read_text().splitlines())
    described = json.loads((library / "library.json").read_text())
    assert properties["version"] == described["version"] == __version__
    assert properties["name"] == described["name"] == "TickLink"
    for example in arduino.EXAMPLES:  # type: ignore[attr-defined]
        assert (library / "examples" / example / f"{example}.ino").is_file()


def test_the_host_drives_a_motor_on_an_emulated_uno(arduino: object) -> None:
    """PWM turns the motor, the encoder counts, the direction follows the sign, and the motor stops with the session."""
    from benchmarks import arduino as bench

    with locked(BUILD / "tests-arduino") as out:
        sketch, motor = bench.build_bench(out)
        text, data, bss = arduino.run("avr-size", sketch).split()[6:9]  # type: ignore[attr-defined]
        assert int(text) + int(data) <= 32 * 1024 - 512 and int(data) + int(bss) <= 1024
        with bench.running(sketch, motor) as port:
            host = Host(port)
            found = host.hello()
            assert (found.observation_size, found.action_size, found.period_us) == (2, 1, 10_000)
            assert found.reset and found.reward and not found.simulated and found.boot_id != 0
            host.send(protocol.Arm(1), 0)
            host.next(FrameType.ACK)
            state = host.next(FrameType.STATE)
            angles = []
            for seq in range(1, 41):
                volts = 2.0 if seq <= 20 else -2.0
                host.send(protocol.Cmd(1, state.t_us, 95, (volts,)), seq, state.t_us)
                state = host.next(FrameType.STATE)
                seen = protocol.unpack(state)
                assert isinstance(seen, protocol.State)
                assert seen.state == protocol.DeviceState.ARMED
                angles.append(seen.x[0])
            assert angles[19] > 1.0 and angles[39] < angles[22] - 0.5
            assert seen.u == (-2.0,) and seen.reward < 0.0
            host.send(protocol.Disarm(), 50)
            while seen.u != (0.0,):
                seen = state_of(host)
            assert seen.state == protocol.DeviceState.DISARMED


def test_an_unknown_board_is_named(arduino: object, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools/arduino.py", "build", "due"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "") and "arduino.py: due: must be one of uno" in done.stderr
    for board, example in (("due", "MotorEncoder"), ("uno", "Blink")):
        with pytest.raises(ValueError, match=r"^(due|Blink): must be one of"):
            arduino.build(board, example, tmp_path)  # type: ignore[attr-defined]


def test_each_example_compiles(arduino: object, tmp_path: Path) -> None:
    """For an ATmega2560; `python tools/arduino.py build` does it for each board. The core is compiled once."""
    library = arduino.pack(tmp_path)  # type: ignore[attr-defined]
    with locked(BUILD / "tests-arduino") as out:
        for example in arduino.EXAMPLES:  # type: ignore[attr-defined]
            assert arduino.build("mega2560", example, library, out).is_file()  # type: ignore[attr-defined]


def test_the_library_compiles_for_a_32_bit_processor(arduino: object, tmp_path: Path) -> None:
    """A Cortex-M4, with warnings as errors, against the declarations that the library takes from a core: neither Debian
    nor PyPI has a 32-bit core.
    """
    library = arduino.pack(tmp_path) / "src"  # type: ignore[attr-defined]
    flags = ["-mcpu=cortex-m4", "-mthumb", "-Os", "-Wall", "-Wextra", "-Werror", f"-I{library}", "-ffreestanding"]
    flags += [f"-I{ROOT / 'tests' / 'firmware' / 'arduino'}", "-c", "-o", str(tmp_path / "made.o")]
    for path in sorted(library.rglob("*.c")):
        run(tool("arm-none-eabi-gcc"), "-std=gnu11", *flags, path)
    for path in sorted(library.rglob("*.cpp")):
        run(tool("arm-none-eabi-g++"), "-std=gnu++11", "-fno-exceptions", "-fno-rtti", *flags, path)
