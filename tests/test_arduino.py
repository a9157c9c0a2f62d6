"""The Arduino library: packed without an edit, its examples built for AVR and 32-bit processors, and run in emulation.

Each example drives the pins of an emulated Uno, one of them a motor; `python -m benchmarks.arduino` lets the host learn
on it.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from qemu import Host
from toolchain import BUILD, ROOT, locked, run, tool

from rtu_edge._base.version import __version__
from rtu_edge.device import protocol
from rtu_edge.device.boards import BOARDS, link_flags
from rtu_edge.device.protocol import DeviceState, FrameType
from rtu_edge.hil.emulated import EmulatedBoard
from rtu_edge.hil.qemu import symbol_address


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
            for seq in range(41, 161):  # no edge is lost at full speed, from one end stop to the other and back
                volts = -10.0 if 80 < seq <= 120 else 10.0
                host.send(protocol.Cmd(1, state.t_us, 95, (volts,)), seq, state.t_us)
                state = host.next(FrameType.STATE)
                seen = protocol.unpack(state)
                assert isinstance(seen, protocol.State) and seen.state == protocol.DeviceState.ARMED
                if seq in (80, 120, 160):
                    assert seen.x[0] == pytest.approx(2.5 if volts > 0.0 else -2.5, abs=0.05)
            host.send(protocol.Disarm(), 200)
            while seen.u != (0.0,):
                seen = state_of(host)
            assert seen.state == protocol.DeviceState.DISARMED


@pytest.mark.parametrize(
    ("stage", "exit_code", "text"),
    [
        ({"steps": 20_000, "mean_return": -90.0}, 0, "pass  return -90.0 after 20000 steps; goal -400"),
        ({"steps": 20_000, "mean_return": -500.0}, 0, "FAIL  return -500.0 after 20000 steps; goal -400"),
        ({"steps": 20_000, "mean_return": -90.0}, 4, "FAIL  return -90.0 after 20000 steps; goal -400"),
        (
            {"steps": 7500, "mean_return": -90.0},
            0,
            "FAIL  return -90.0 after 7500 steps: ended early, of 20000; goal -400",
        ),
        (None, 1, "FAIL  return None after 0 steps: ended early, of 20000; goal -400"),
    ],
)
def test_the_score_is_that_of_the_steps_that_were_made(
    arduino: object, stage: dict[str, Any] | None, exit_code: int, text: str
) -> None:
    from benchmarks import arduino as bench

    assert bench.verdict(stage, exit_code, 20_000, -400.0) == (text.startswith("pass"), text)


def test_an_unknown_board_is_named(arduino: object, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools/arduino.py", "build", "due"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "") and "arduino.py: due: must be one of uno" in done.stderr
    for board, example in (("due", "MotorEncoder"), ("uno", "Blink")):
        with pytest.raises(ValueError, match=r"^(due|Blink): must be one of"):
            arduino.build(board, example, tmp_path)  # type: ignore[attr-defined]


class Chip:
    """A sketch on an emulated Uno: its pins, and the host at its line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None and process.stdin is not None
        self._in, self._out = process.stdin, process.stdout
        self.host = Host(next(line.strip() for line in self._out if line.startswith("/dev/")))

    def ask(self, question: str) -> tuple[int, ...]:
        """A question of tools/simavr/pins.c."""
        self._in.write(question + "\n")
        self._in.flush()
        return tuple(int(word) for word in self._out.readline().split() if word != "ok")

    def edges(self, pin: str) -> tuple[int, int]:
        """Chip time in us, and rising edges so far."""
        at_us, _, edges = self.ask(f"pin {pin}")
        return at_us, edges

    def arm(self, session: int = 1) -> None:
        self.host.send(protocol.Arm(session), 0)
        acknowledged = protocol.unpack(self.host.next(FrameType.ACK))
        assert isinstance(acknowledged, protocol.Ack) and acknowledged.status == protocol.Status.OK

    def command(self, value: float, periods: int, first: int = 1) -> protocol.State:
        """Command for some periods; return the last STATE."""
        frame = self.host.next(FrameType.STATE)
        for seq in range(first, first + periods):
            self.host.send(protocol.Cmd(1, frame.t_us, 200, (value,)), seq, frame.t_us)
            frame = self.host.next(FrameType.STATE)
        found = protocol.unpack(frame)
        assert isinstance(found, protocol.State)
        self.t_us = frame.t_us
        return found


@pytest.fixture
def chip(arduino: object) -> object:
    """`with chip("Stepper") as ...`"""

    @contextmanager
    def start(example: str) -> Iterator[Chip]:
        with locked(BUILD / "tests-arduino") as out:
            sketch = arduino.build("uno", example, arduino.pack(out), out)  # type: ignore[attr-defined]
            bench = arduino.build_bench("pins", out)  # type: ignore[attr-defined]
            with subprocess.Popen([bench, sketch], stdin=-1, stdout=-1, text=True) as process:
                try:
                    yield Chip(process)
                finally:
                    process.kill()

    return start


def test_servo_pwm_sends_the_pulse_that_is_commanded(chip: object) -> None:
    """0.5 to 2.5 ms each 20 ms on pin 9, held when the session ends; two analogue inputs."""
    with chip("ServoPwm") as board:  # type: ignore[operator]
        board.ask("adc 0 2500")
        board.ask("adc 1 3000")
        board.host.hello()
        board.arm()
        began_us, before = board.edges("B 1")
        state = board.command(0.4, 20)
        at_us, after = board.edges("B 1")
        assert state.state == DeviceState.ARMED and state.x == pytest.approx((0.0, 6.0), abs=0.02)
        assert board.ask("pwm 1 A") == (2 * 1750, 1)  # counts of 0.5 us
        assert after - before == pytest.approx((at_us - began_us) / 20_000, abs=1.5)
        board.command(-0.8, 2, 21)
        assert board.ask("pwm 1 A") == (2 * 1000, 1)
        board.host.send(protocol.Disarm(), 50)
        while state.state != DeviceState.DISARMED:
            state = state_of(board.host)
        assert board.ask("pwm 1 A") == (2 * 1000, 1)


@pytest.mark.parametrize("speed", [5.0, -10.0])
def test_stepper_steps_at_the_speed_that_is_commanded(chip: object, speed: float) -> None:
    """Edges of the step pin by the chip's own time; they end with the session."""
    with chip("Stepper") as board:  # type: ignore[operator]
        board.host.hello()
        board.arm()
        began = board.command(speed, 2)
        (began_us, before), t_us = board.edges("D 4"), board.t_us
        state = board.command(speed, 25, 3)
        at_us, after = board.edges("D 4")
        rate = (after - before) / (at_us - began_us) * 1e6
        assert rate == pytest.approx(abs(speed) * 3200 / 6.2831853, rel=0.01)
        assert state.x[0] - began.x[0] == pytest.approx((board.t_us - t_us) * 1e-6 * speed, rel=0.02)
        assert board.ask("pin D 5")[1] == (speed > 0.0) and board.ask("pin D 6")[1] == 0
        board.host.send(protocol.Disarm(), 50)
        while state.state != DeviceState.DISARMED:
            state = state_of(board.host)
        stopped = board.edges("D 4")[1]
        state_of(board.host)
        assert board.edges("D 4")[1] == stopped


def test_analog_sensor_goes_safe_when_it_is_hot(chip: object) -> None:
    """PWM on pin 3 while it is below 80 degrees; above, the device ends the session by itself."""
    with chip("AnalogSensor") as board:  # type: ignore[operator]
        board.ask("adc 0 750")
        board.host.hello()
        board.arm()
        state = board.command(0.5, 5)
        assert state.state == DeviceState.ARMED and state.x == pytest.approx((25.0,), abs=0.5)
        assert board.ask("pwm 2 B") == (127, 1)
        board.ask("adc 0 1350")
        state = board.command(0.5, 3, 6)
        assert state.state == DeviceState.SAFE and state.x == pytest.approx((85.0,), abs=0.5)
        assert state.u == (0.0,) and board.ask("pwm 2 B")[1] == 0 and board.ask("pin D 3")[1] == 0


def test_each_example_compiles(arduino: object, tmp_path: Path) -> None:
    """For an ATmega2560; `python tools/arduino.py build` does it for each board. The core is compiled once."""
    library = arduino.pack(tmp_path)  # type: ignore[attr-defined]
    with locked(BUILD / "tests-arduino") as out:
        for example in arduino.EXAMPLES:  # type: ignore[attr-defined]
            assert arduino.build("mega2560", example, library, out).is_file()  # type: ignore[attr-defined]


# Neither Debian nor PyPI has a 32-bit core: these are built against the declarations in tests/firmware/arduino.
WARNINGS = ("-Os", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-ffunction-sections", "-fdata-sections")
CXX = ("-std=gnu++11", "-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics")


def compile_library(prefix: str, flags: Sequence[str], library: Path, out: Path, *more: Path) -> list[Path]:
    """Objects of all sources of the library, and of more files."""
    shim = ROOT / "tests" / "firmware" / "arduino"
    common = [*flags, *WARNINGS, f"-I{library / 'src'}", f"-I{shim}", f"-I{ROOT}"]
    made = []
    for number, path in enumerate([*sorted((library / "src").rglob("*.c*")), *more]):
        made.append(out / f"{number}-{path.stem}.o")
        if path.suffix == ".c":
            run(tool(f"{prefix}gcc"), "-std=gnu11", *common, "-c", path, "-o", made[-1])
        else:
            sketch = ("-x", "c++", "-include", "Arduino.h") if path.suffix == ".ino" else ()
            run(tool(f"{prefix}g++"), *CXX, *common, *sketch, "-c", path, "-o", made[-1])
    return made


class Line:
    """The serial line of an emulated board, as `Host` reads it."""

    in_waiting = 4096

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        line.settimeout(0.05)

    def read(self, n: int) -> bytes:
        try:
            return self._line.recv(n)
        except TimeoutError:
            return b""

    def write(self, data: bytes) -> None:
        self._line.sendall(data)


@pytest.mark.parametrize("name", ["microbit", "riscv32"])
def test_a_sketch_runs_on_a_32_bit_processor(arduino: object, tmp_path: Path, name: str) -> None:
    """Each example compiles for a Cortex-M0+ and for RV32, warnings as errors; MotorEncoder runs on an emulated one:
    the commands reach the pins, and end there with the session.
    """
    board, ports = BOARDS[name], ROOT / "firmware_bridge" / "boards" / "ports"
    library = arduino.pack(tmp_path)  # type: ignore[attr-defined]
    flags = [flag.replace("cortex-m0", "cortex-m0plus") for flag in board.flags if flag != "-std=c99"]
    own = [*(ports / port for port in board.port), ports.parent / "stm32f405" / "memory.c"]
    own += [ROOT / "tests/firmware/arduino/core.cpp", *sorted((library / "examples").rglob("*.ino"))]
    objects = compile_library(board.prefix, flags, library, tmp_path, *own)
    others = [path for path in objects if path.stem.endswith(("ServoPwm", "Stepper", "AnalogSensor"))]
    assert len(others) == 3
    objects = [path for path in objects if path not in others]
    image = tmp_path / "sketch.elf"
    run(tool(f"{board.prefix}gcc"), *flags, *link_flags(board, ROOT, tmp_path), *objects, "-lgcc", "-o", image)
    pins = symbol_address(image, "pins")
    assert pins is not None
    with EmulatedBoard(board, image) as chip:
        host = Host(Line(chip.line))
        assert host.hello().observation_size == 2
        host.send(protocol.Arm(1), 0)
        for seq in range(1, 1000):
            frame = host.next(FrameType.STATE)
            state = protocol.unpack(frame)
            assert isinstance(state, protocol.State)
            if state.u == (-2.5,):
                break
            host.send(protocol.Cmd(1, frame.t_us, 200, (-2.5,)), seq, frame.t_us)
        assert state.state == DeviceState.ARMED and state.u == (-2.5,)
        assert chip.read_floats(pins, 10)[7:] == (0.0, 1.0, 63.0)  # backward, a quarter of the supply
        while state.state == DeviceState.ARMED:
            state = state_of(host)
        assert state.state == DeviceState.SAFE and chip.read_floats(pins, 10)[7:] == (0.0, 0.0, 0.0)
