"""The firmware for an STM32F405, booted in QEMU: TickLink over its serial port, and the plant bit-identical to the
other builds.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from qemu import PREFIX, Board, Host
from toolchain import build, sections

import rtu_edge as rtu
from rtu_edge.device import protocol
from rtu_edge.device.ports import open_port
from rtu_edge.device.protocol import DeviceState, Episode, FrameType
from rtu_edge.device.simulated import InProcessDevice, SimulatedDevice
from rtu_edge.loop import Link, Loop, LoopConfig

FLASH_LIMIT, RAM_LIMIT = 32 * 1024, 16 * 1024  # of the image; the chip has 1 MB and 128 KB


@pytest.fixture(scope="module")
def image() -> Path:
    return build("cortex-m4", "tl_stm32f405") / "tl_stm32f405.elf"


@pytest.fixture
def board(image: Path) -> Iterator[Board]:
    with Board(image) as found:
        yield found


def lockstep(exchange: object, steps: int) -> list[protocol.Frame]:
    """ARM, then episode after episode under a fixed sequence of forces: every frame from the device."""
    seq, episode = 0, 1
    found = exchange(protocol.Arm(1, lockstep=True), seq, 0)  # type: ignore[operator]
    found += exchange(protocol.Reset(1, episode, 99), seq + 1, 0)  # type: ignore[operator]
    for step in range(steps):
        seq += 1
        last = protocol.unpack(found[-1])
        assert isinstance(last, protocol.State)
        if last.epflags & (Episode.TERMINATED | Episode.TRUNCATED):
            episode += 1
            found += exchange(protocol.Reset(1, episode, 99 + episode), seq + 1, 0)  # type: ignore[operator]
            seq += 1
        t_us = found[-1].t_us
        cmd = protocol.Cmd(1, t_us, 50, (float(step * 7 % 21 - 10) * 0.3,), lockstep=True)
        found += exchange(cmd, seq + 1, t_us)  # type: ignore[operator]
    return found


def test_sizes(image: Path, record_property: object) -> None:
    found = sections(image, PREFIX)
    flash = sum(found.get(name, 0) for name in (".vectors", ".text", ".rodata", ".data"))
    ram = sum(found.get(name, 0) for name in (".data", ".bss", ".noinit", ".stack"))
    record_property("bytes of flash, of RAM", (flash, ram))  # type: ignore[operator]
    assert 0 < flash <= FLASH_LIMIT
    assert 0 < ram <= RAM_LIMIT


def test_boot_and_handshake(board: Board) -> None:
    with open_port(board.port) as port, Link(port) as link:
        hello = link.handshake()
        assert (hello.observation_size, hello.action_size, hello.period_us) == (2, 1, 20_000)
        assert hello.simulated and hello.lockstep and hello.reward and hello.reset
        assert hello.boot_id != 0
    with SimulatedDevice("cartpole") as device, open_port(device.port) as port, Link(port) as link:
        assert link.handshake().schema_hash == hello.schema_hash


def test_each_start_has_another_boot_id(board: Board) -> None:
    host = Host(board.port)
    found = {host.hello().boot_id}
    for start in range(2, 5):
        board.reset()
        give_up = time.monotonic() + 5
        while len(found) < start and time.monotonic() < give_up:
            found.add(host.hello().boot_id)
        assert len(found) == start


def test_a_thousand_lockstep_steps_have_the_bytes_of_every_other_device(board: Board) -> None:
    host = Host(board.port)
    answers = {FrameType.ARM: 2, FrameType.RESET: 2, FrameType.CMD: 1}

    def exchange_serial(message: protocol.Message, seq: int, t_us: int) -> list[protocol.Frame]:
        frame = protocol.pack(message, seq, t_us)
        host.port.write(protocol.encode(frame))
        first = host.next(FrameType.ACK) if frame.type != FrameType.CMD else None
        rest = host.next(FrameType.STATE)
        found = [rest] if first is None else [first, rest]
        assert len(found) == answers[FrameType(frame.type)]
        return found

    inside = InProcessDevice("cartpole")
    inside.tick(0)

    def exchange_inside(message: protocol.Message, seq: int, t_us: int) -> list[protocol.Frame]:
        return protocol.Decoder().feed(inside.receive(protocol.encode(protocol.pack(message, seq, t_us)), 0))

    expected = lockstep(exchange_inside, 1000)
    # The STATE right after ARM shows the plant's current state (docs/protocol_device.md): a busy host that armed too
    # late, when the plant had moved, restarts.
    boots: set[int] = set()
    give_up = time.monotonic() + 120
    while time.monotonic() < give_up:
        boot = host.hello().boot_id
        if boot in boots:  # its answer from before the reset
            continue
        boots.add(boot)
        found = lockstep(exchange_serial, 1000)
        if found[1] == expected[1]:
            break
        board.reset()
    assert found == expected
    assert sum(frame.type == FrameType.STATE for frame in found) > 1000


def test_a_learner_in_lockstep_cannot_tell_the_board_from_the_process(board: Board) -> None:
    def learn(port: str) -> tuple[int, int]:
        agent = rtu.StreamAC(2, 1, units=4, hidden=4, seed=0)
        with open_port(port) as opened, Link(opened) as link:
            link.handshake()
            result = Loop(link, agent.core.policy(), LoopConfig(steps=300, seed=5, session=7)).run(poll_s=0.01)
        return result.steps, agent.state_hash()

    with SimulatedDevice("cartpole") as device:
        assert learn(board.port) == learn(device.port)


def test_silence_makes_it_safe_by_its_own_clock(board: Board) -> None:
    """Wall-clock time: TTL 50 ms, then silence. The device's own times are compared, so that a slow host does not
    matter.
    """
    ttl_us, period_us = 50_000, 20_000
    host = Host(board.port)
    host.hello()
    host.send(protocol.Arm(1), 0)
    host.next(FrameType.ACK)
    host.send(protocol.Reset(1, 1, 5), 1)
    state = host.next(FrameType.STATE)
    while not protocol.unpack(state).epflags & Episode.FIRST:  # type: ignore[union-attr]
        state = host.next(FrameType.STATE)
    for seq in range(2, 12):
        host.send(protocol.Cmd(1, state.t_us, 50, (1.0 if seq % 2 else -1.0,)), seq, state.t_us)
        last_answered, state = state.t_us, host.next(FrameType.STATE)
    while protocol.unpack(state).state != DeviceState.SAFE:  # type: ignore[union-attr]
        state = host.next(FrameType.STATE)
    assert 0 < state.t_us - last_answered <= ttl_us + period_us
    assert protocol.unpack(state).fault == protocol.Fault.SILENCE  # type: ignore[union-attr]
    host.send(protocol.Cmd(1, state.t_us, 50, (1.0,)), 99, state.t_us)
    refused = protocol.unpack(host.next(FrameType.EVENT))
    assert isinstance(refused, protocol.Event)


def test_the_emulator_does_not_outlive_who_started_it(image: Path) -> None:
    code = f"from rtu_edge.hil.qemu import QemuBoard\nprint(QemuBoard({str(image)!r}).pid, flush=True)\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        process = Path("/proc", owner.stdout.readline().strip())
        assert "qemu" in (process / "cmdline").read_text()
        owner.kill()
    give_up_s = time.monotonic() + 5
    while process.exists() and "\nState:\tZ" not in (process / "status").read_text():
        assert time.monotonic() < give_up_s
        time.sleep(0.01)
