"""The register of an actuator's driver holds the safe value within one period after everything that ends a command,
independent of the plant: as a process with a user's C file, and on the emulated Cortex-M4F.

The plant is tests/firmware/driver_plant.c: its step() writes two registers. tests/firmware/test_driver.c has the
property in full.
"""

from __future__ import annotations

import math
import signal
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from qemu import Board, Host
from toolchain import ROOT

from rtu_edge import _testing
from rtu_edge._base.errors import ConfigError
from rtu_edge.cli.hil import command
from rtu_edge.device import protocol
from rtu_edge.device.firmware import build_firmware
from rtu_edge.device.ports import open_port
from rtu_edge.device.protocol import DeviceState, Episode
from rtu_edge.device.simulated import SimulatedDevice
from rtu_edge.hil.qemu import build_image, symbol_address
from rtu_edge.loop import Clock, Limits, Link, Loop, LoopConfig

PLANT = ROOT / "tests" / "firmware" / "driver_plant.c"
DRIVEN = (9.5, 4.0)
SAFE = (0.0, 4.0)  # the motor is off, the valve holds
AT_POWER_ON = (0.0, 2.0)


class Device:
    """A device, its registers, and a host that commands it on request."""

    def __init__(self, host: Host, registers: Callable[[], tuple[float, ...]], process: Any = None) -> None:
        self.host, self.registers, self.process = host, registers, process
        self.seq = 1
        self.session = self.episode = 0

    def state(self, *, drive: bool = False) -> protocol.State:
        """The next STATE; answered with a command."""
        frame = self.host.next(protocol.FrameType.STATE)
        state = protocol.unpack(frame)
        assert isinstance(state, protocol.State)
        if drive:
            self.send(protocol.Cmd(self.session, frame.t_us, 150, DRIVEN[: len(state.u)]))
        return state

    def send(self, message: protocol.Message) -> None:
        self.seq += 1
        self.host.send(message, self.seq)

    def ask(self, message: protocol.Message) -> None:
        """Send a request and wait for its acknowledgement."""
        self.send(message)
        ack = protocol.unpack(self.host.next(protocol.FrameType.ACK))
        assert isinstance(ack, protocol.Ack) and ack.status == protocol.Status.OK, ack

    def reset(self, end: int = 0) -> None:
        self.episode += 1
        self.ask(protocol.Reset(self.session, self.episode, end))

    def drive(self, end: int = 0) -> None:
        """Arm, begin an episode, and command until the registers show it."""
        self.session = self.host.hello().last_session + 1
        self.ask(protocol.Arm(self.session))
        self.reset(end)
        while self.state(drive=True).u != DRIVEN:
            pass
        assert self.registers() == DRIVEN

    def until(self, found: Callable[[protocol.State], bool], *, drive: bool = False) -> protocol.State:
        give_up = time.monotonic() + 10
        while not found(state := self.state(drive=drive)):
            assert time.monotonic() < give_up, state
        return state


@contextmanager
def process(
    firmware: Path, monkeypatch: pytest.MonkeyPatch, folder: Path, plant: str = "driver", **options: float
) -> Iterator[Device]:
    page = folder / "driver"
    monkeypatch.setenv("RTU_EDGE_FIRMWARE", str(firmware))
    monkeypatch.setenv("TL_TEST_DRIVER", str(page))
    with SimulatedDevice(plant, **options) as device:
        host = Host(device.port)
        try:
            yield Device(host, lambda: struct.unpack("=2f", page.read_bytes()), device._process)
        finally:
            host.port.close()


@contextmanager
def emulated(image: Path) -> Iterator[Device]:
    address = symbol_address(image, "tl_test_driver")
    assert address is not None
    with Board(image) as board:
        host = Host(board.port)
        try:
            yield Device(host, lambda: board.read_floats(address, 2))
        finally:
            host.port.close()


@pytest.fixture(scope="module")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_firmware(PLANT, tmp_path_factory.mktemp("driver") / "tl_firmware")


def of(state: DeviceState) -> Callable[[protocol.State], bool]:
    return lambda told: told.state == state


def terminated(device: Device) -> None:
    device.drive(end=1)
    device.until(lambda state: bool(state.epflags & Episode.TERMINATED), drive=True)


def truncated(device: Device) -> None:
    device.drive(end=2)
    device.until(lambda state: bool(state.epflags & Episode.TRUNCATED), drive=True)


def reset(device: Device) -> None:
    device.drive()
    device.reset()
    device.until(lambda state: state.episode == device.episode)


def estop(device: Device) -> None:
    device.drive()
    device.send(protocol.Estop())
    device.until(of(DeviceState.ESTOP))


def estop_while_resetting(device: Device) -> None:
    reset(device)
    device.send(protocol.Estop())
    device.until(of(DeviceState.ESTOP))


def disarm(device: Device) -> None:
    device.drive()
    device.ask(protocol.Disarm())
    device.until(of(DeviceState.DISARMED))


def disarm_after_the_end(device: Device) -> None:
    terminated(device)
    device.send(protocol.Estop())
    device.until(of(DeviceState.ESTOP))
    device.ask(protocol.ClearFault())
    device.ask(protocol.Disarm())
    device.until(of(DeviceState.DISARMED))


def silence(device: Device) -> None:
    device.drive()
    device.until(of(DeviceState.SAFE))


ENDS = (terminated, truncated, reset, estop, estop_while_resetting, disarm, disarm_after_the_end, silence)


def check(device: Device, end: Callable[[Device], None]) -> None:
    end(device)
    state = device.state()  # of the period after the report
    assert state.u == SAFE
    assert device.registers() == SAFE, f"STATE reports {state.u}"


@pytest.mark.hazard("driver-not-told")
@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
def test_a_process_tells_the_driver(
    firmware: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, end: Callable[[Device], None]
) -> None:
    with process(firmware, monkeypatch, tmp_path, reset_ticks=3) as device:
        device.host.hello()
        device.state()
        assert device.registers() == AT_POWER_ON
        check(device, end)


@pytest.mark.hazard("driver-not-told")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, None], ids=str)
@pytest.mark.parametrize("safe", ["OFF", "RAMP"])
def test_a_process_that_ends_leaves_its_driver_safe(
    firmware: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: signal.Signals | None, safe: str
) -> None:
    """step() is no longer called, so the last command would stay in the register. None: its parent has ended."""
    options: dict[str, float] = {}
    if safe == "RAMP":
        source = tmp_path / "ramp.c"
        source.write_text(PLANT.read_text().replace("TL_SAFE_OFF", "TL_SAFE_RAMP"))
        firmware, options = build_firmware(source, tmp_path / "firmware"), {"slew": 1}
    with process(firmware, monkeypatch, tmp_path, **options) as device:
        device.drive()
        if number is None:
            device.process.stdin.close()
        else:
            device.process.send_signal(number)
        assert device.process.wait(5) == 0
        assert device.registers() == SAFE


@pytest.mark.hazard("driver-not-told")
def test_a_ramp_longer_than_patience_is_not_cut_short(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = tmp_path / "ramp.c"
    source.write_text(PLANT.read_text().replace("TL_SAFE_OFF", "TL_SAFE_RAMP"))
    with process(build_firmware(source, tmp_path / "firmware"), monkeypatch, tmp_path, slew=0.0625) as device:
        device.drive()
        begin_s = time.monotonic()
    assert time.monotonic() - begin_s > 2.5 and device.registers() == SAFE


@pytest.mark.hazard("driver-not-told")
def test_the_emulated_board_tells_the_driver() -> None:
    """One board for all: each end is followed by a new start."""
    image = build_image("driver", PLANT)
    with emulated(image) as device:
        device.host.hello()
        device.state()
        assert device.registers() == AT_POWER_ON
        for end in ENDS:
            check(device, end)
            device.send(protocol.ClearFault())
            device.send(protocol.Disarm())
            device.until(lambda state: state.state in (DeviceState.DISARMED, DeviceState.SAFE))


@pytest.mark.hazard("real-plant-called-simulated")
def test_a_machine_that_does_not_say_simulated_needs_limits_and_has_no_lockstep(
    firmware: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with process(firmware, monkeypatch, tmp_path) as device:
        port = device.host.port.port
        device.host.port.close()
        with open_port(port) as opened, Link(opened) as link:
            hello = link.handshake()
            assert (hello.simulated, hello.lockstep, hello.reset) == (False, False, True)
            policy = _testing.LinearPolicy(1, [0.5, 0.5], [])
            with pytest.raises(ValueError, match="limits"):
                Loop(link, policy.policy(), LoopConfig(steps=10, clock=Clock.DEVICE))
            limits = (
                Limits(-12.0, 12.0, math.inf, accel_per_s2=math.inf),
                Limits(0.0, 5.0, math.inf, accel_per_s2=math.inf),
            )
            with pytest.raises(ValueError, match="lockstep"):
                Loop(link, policy.policy(), LoopConfig(steps=10, clock=Clock.LOCKSTEP, limits=limits))
            config = LoopConfig(steps=10, clock=Clock.DEVICE, limits=limits, learn=False, explore=False)
            with Loop(link, policy.policy(), config) as loop:
                loop.start()
                seen = set()
                while not loop.wait(0.005):
                    seen.add(device.registers())
                assert loop.result().steps == 10
        assert (6.0, 3.75) in seen, "it was driven"
        time.sleep(0.1)
        assert device.registers() == (0.0, 3.75)


SUITE = """
[device]
plant = "driver"
[loop]
ttl_ms = 190
[controller]
gain = [[0.0], [0.0]]
[[fault]]
kind = "driver"
stop = "disarm"
for_s = 0.1
expect = "goes_safe"
"""
LIMITS = """
[limits.motor]
min = -12.0
max = 12.0
slew_per_s = inf
accel_per_s2 = inf
[limits.valve]
min = 0.0
max = 5.0
slew_per_s = inf
accel_per_s2 = inf
"""


@pytest.mark.hazard("real-plant-called-simulated")
def test_a_suite_moves_a_machine_that_is_real_only_when_asked_to(
    firmware: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A process with it is not a simulation: --arm, limits, a confirmation; then its driver is compared with STATE as
    well.
    """
    monkeypatch.setenv("RTU_EDGE_FIRMWARE", str(firmware))
    monkeypatch.setenv("TL_TEST_DRIVER", str(tmp_path / "driver"))

    def hil(text: str, *options: str) -> Result:
        suite = tmp_path / "suite.toml"
        suite.write_text(text)
        return CliRunner().invoke(command, ["run", str(suite), "--out", str(tmp_path / "out"), *options])

    refused = hil(SUITE + LIMITS)
    assert isinstance(refused.exception, ConfigError) and "give --arm" in str(refused.exception)
    unlimited = hil(SUITE, "--arm", "--yes")
    assert isinstance(unlimited.exception, ConfigError) and "limits: missing" in str(unlimited.exception)
    assert struct.unpack("=2f", (tmp_path / "driver").read_bytes()) == AT_POWER_ON, "nothing has moved so far"
    moved = hil(SUITE + LIMITS, "--arm", "--yes")
    assert moved.exit_code == 0, moved.output
    assert "About to arm what is at process" in moved.output and "1 of 1 as expected" in moved.output


@pytest.mark.hazard("real-plant-called-simulated")
def test_a_machine_that_says_simulated_is_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And in lockstep too its driver is told at once: at the end of an episode, and at RESET."""
    source = tmp_path / "driver.c"
    source.write_text(PLANT.read_text().replace('.title = "two', '.simulated = true, .title = "two'))
    with process(build_firmware(source, tmp_path / "firmware"), monkeypatch, tmp_path) as device:
        session = device.host.hello().last_session + 1
        device.seq = 0
        device.send(protocol.Arm(session, lockstep=True))
        device.send(protocol.Reset(session, 1, 2))
        state = device.until(lambda state: bool(state.epflags & Episode.FIRST) and state.episode == 1)
        assert state.u == AT_POWER_ON
        t_us = 20000
        while not state.epflags & Episode.TRUNCATED:
            device.send(protocol.Cmd(session, t_us, 50, DRIVEN, lockstep=True))
            state = device.state()
            t_us += 20000
        assert state.u == DRIVEN, "what was applied in the last step"
        device.host.hello()  # an answer: the step is complete
        assert device.registers() == SAFE
        device.ask(protocol.Disarm())


WINCH_DRIVER = """
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
static volatile float *page(void) {
  static volatile float *mapped;
  const int fd = mapped == NULL ? open(getenv("TL_TEST_DRIVER"), O_RDWR | O_CREAT, 0600) : -1;
  if (fd != -1 && ftruncate(fd, 8) == 0) mapped = mmap(NULL, 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  return mapped;
}
static void winch_motor_volt(float u) { page()[0] = u; }
static void winch_brake(bool on) { page()[1] = on; }
static bool winch_slack(void) { return false; }
static float winch_position_m(void) { return 0.5f; }
"""


@pytest.mark.hazard("driver-not-told")
def test_the_winch_of_the_documents_brakes_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """docs/hil.md: a plant with apply() receives its safe output, and the brake, before the STATE that answers ESTOP is
    sent.
    """
    text = (ROOT / "docs" / "hil.md").read_text(encoding="utf-8")
    (tmp_path / "winch.c").write_text(text.split("```c\n")[1].split("```")[0])
    (tmp_path / "winch_driver.h").write_text(WINCH_DRIVER)
    with process(
        build_firmware(tmp_path / "winch.c", tmp_path / "firmware"), monkeypatch, tmp_path, plant="winch"
    ) as device:
        device.session = device.host.hello().last_session + 1
        assert device.registers() == (0.0, 1.0)
        device.ask(protocol.Arm(device.session))
        while device.state(drive=True).u != (9.5,):
            pass
        assert device.registers() == (9.5, 0.0)
        device.send(protocol.Estop())
        assert device.until(of(DeviceState.ESTOP)).u == (0.0,)
        assert device.registers() == (0.0, 1.0)


def test_a_sheet_that_does_not_fit_is_named(tmp_path: Path) -> None:
    source = tmp_path / "driver.c"
    source.write_text(PLANT.read_text().replace("12.0f, TL_SAFE_OFF, 0.0f", "12.0f, TL_SAFE_OFF, 13.0f"))
    command = [build_firmware(source, tmp_path / "firmware"), "--plant", "driver"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    assert (done.returncode, done.stdout) == (2, "")
    assert "row 1, motor: min -12, max 12, slew inf, safe off, safe value 13" in done.stderr
    assert "schema.h" in done.stderr
