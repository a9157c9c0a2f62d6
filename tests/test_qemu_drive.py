"""The board's learner drives the plant behind the bridge (docs/firmware_learner.md): limits, stops, late steps.

The emulator's clock follows its instructions (-icount), so that a busy computer makes no command late.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from qemu import Board
from rtu_edge._bridge import lib
from test_qemu_learner import SEED, assert_replayed
from toolchain import build

from rtu_edge._base.errors import DeviceError
from rtu_edge.device import protocol
from rtu_edge.device.protocol import DeviceState, Episode, Fault
from rtu_edge.hil.learner import BoardLearner, LearnerStatus

SLEW_N, RANGE_N = 4.0, 10.0
PLAIN, SLEWED, JOINT = (f"tl_stm32f405_learner_{name}" for name in ("shared", "slewed", "joint"))
QUICK = ("-icount", "shift=4")  # 16 ns an instruction: a step takes 0.4 ms
SLOW = ("-icount", "shift=10")  # 1 us: a step takes longer than the plant's period of 20 ms


@pytest.fixture(scope="module")
def images() -> Path:
    return build("cortex-m4", PLAIN, SLEWED, JOINT)


class Watched(BoardLearner):
    """Keeps the STATE frames of the bridge, and what was reported of updates."""

    def __init__(self, port: str) -> None:
        self.states: list[protocol.State] = []
        self.records: list[bytes] = []
        self._spy = protocol.Decoder()
        super().__init__(port)

    def _read(self) -> bytes:
        data = super()._read()
        for frame in self._spy.feed(data):
            message = protocol.unpack(frame)
            if isinstance(message, protocol.State):
                self.states.append(message)
            if frame.type == protocol.FrameType.LEARNER and frame.payload[0] == lib.TL_LEARNER_RECORD:
                self.records.append(frame.payload)
        return data

    def begin(self) -> None:
        """A new learner, whose updates are reported."""
        self.record(True)
        self.init(SEED)
        self.updates.clear()
        self.states.clear()

    def until(self, statuses: Iterator[LearnerStatus], updates: int) -> None:
        """Drive until so many updates have been reported."""
        while len(self.updates) < updates:
            assert next(statuses).driving

    def next_states(self, n: int) -> list[protocol.State]:
        """The next n STATEs of the bridge."""
        self.states.clear()
        give_up = time.monotonic() + 30
        while len(self.states) < n:
            assert time.monotonic() < give_up
            with contextlib.suppress(DeviceError):
                self._next(lib.TL_LEARNER_BYTES, 0.05)  # there is none
        return self.states


@pytest.fixture
def slewed(images: Path) -> Iterator[Watched]:
    with Board(images / f"{SLEWED}.elf", *QUICK) as board, Watched(board.port) as learner:
        learner.begin()
        yield learner


def at_rest(states: list[protocol.State]) -> bool:
    """The driver has been given the safe output, a period after the stop at the latest."""
    return len(states) > 1 and all(state.u == (0.0,) for state in states[1:])


def test_the_bridge_bounds_it_and_the_host_replays_what_was_applied(slewed: Watched, tmp_path: Path) -> None:
    with contextlib.closing(slewed.drive(silence_s=2.0)) as statuses:
        slewed.until(statuses, 120)
    (tmp_path / "arena").write_bytes(slewed.download())
    states = [state for state in slewed.states if state.state == DeviceState.ARMED]
    forces = {np.float32(state.u[0]) for state in states}
    moves = [b.u[0] - a.u[0] for a, b in itertools.pairwise(states) if not b.epflags & Episode.FIRST]
    assert max(map(abs, moves)) == pytest.approx(SLEW_N, abs=1e-5)  # an end of an episode, at FIRST, does not wait
    limited = [update for update in slewed.updates if update.applied is not None]
    assert len(limited) > 20 and not any(update.first for update in limited)
    for update in limited:
        assert update.applied is not None
        assert min(abs(update.applied * RANGE_N - force) for force in forces) < 1e-5
    assert_replayed(slewed.records, tmp_path)


def test_an_emergency_stop_while_it_learns(slewed: Watched) -> None:
    statuses = slewed.drive(silence_s=2.0)
    slewed.until(statuses, 40)
    assert any(state.u != (0.0,) for state in slewed.states)
    slewed._write(protocol.encode(protocol.pack(protocol.Estop())))
    assert not list(statuses)[-1].driving
    learned = len(slewed.updates)
    after = slewed.next_states(10)
    assert at_rest(after) and {(state.state, state.fault) for state in after} == {(DeviceState.ESTOP, Fault.ESTOP)}
    assert len(slewed.updates) == learned
    with pytest.raises(DeviceError, match="does not arm: LATCHED"):
        next(slewed.drive())
    assert list(slewed.run(slewed.status().steps + 5))[-1].steps > 0  # in virtual time, where nothing moves


def test_without_its_host_it_stops(slewed: Watched) -> None:
    statuses = slewed.drive(silence_s=0.3)
    slewed.until(statuses, 10)
    assert slewed.states[-1].state == DeviceState.ARMED
    assert any(slewed.next_states(1)[0].state == DeviceState.SAFE for _ in range(100))  # 2 s
    after = slewed.next_states(5)
    assert at_rest(after) and {(state.state, state.fault) for state in after} == {(DeviceState.SAFE, Fault.SILENCE)}
    assert not slewed.status().driving


def test_a_command_of_the_host_ends_it(slewed: Watched) -> None:
    statuses = slewed.drive(silence_s=2.0)
    slewed.until(statuses, 10)
    slewed._write(protocol.encode(protocol.pack(protocol.Cmd(1, 0, 200, (1.0,)), seq=9000)))  # stale: refused
    assert next(statuses).driving
    ping = slewed._tell(protocol.Ping(0), protocol.Pong)
    slewed._write(protocol.encode(protocol.pack(protocol.Cmd(1, ping.t1_us, 200, (1.0,)), seq=9000)))
    assert not list(statuses)[-1].driving
    assert slewed.status().late == 0


def test_a_late_command_moves_nothing(images: Path) -> None:
    """Each step takes 24 ms: longer than the period of 20 ms, so that periods are left out, and shorter than 100 ms."""
    with Board(images / f"{PLAIN}.elf", *SLOW) as board, Watched(board.port) as learner:
        learner.begin()
        with contextlib.closing(learner.drive(silence_s=10.0, ttl_s=0.1)) as statuses:
            while len(learner.updates) < 5:  # the emulator is ahead of the host's clock: it may have ended meanwhile
                next(statuses)
        assert learner.status().late >= 5
        assert any(state.u != (0.0,) for state in learner.states)
        learner.begin()
        assert not list(learner.drive(silence_s=10.0, ttl_s=0.02))[-1].driving
        assert [update.first for update in learner.updates] == [True]
        assert learner.status().late == 1 and at_rest(learner.states[1:] + learner.next_states(5))


def test_limits_of_the_data_sheet_bound_it_and_stop_it(images: Path) -> None:
    """A joint, which a learner's first commands drive beyond its end; then a winding that is too hot."""
    with Board(images / f"{JOINT}.elf", *QUICK) as board, Watched(board.port) as learner:
        learner.begin()
        statuses = learner.drive(silence_s=2.0)
        learner.until(statuses, 120)
        outside = [(a.x[0], b.u[0]) for a, b in itertools.pairwise(learner.states) if abs(a.x[0]) > 2.0]
        assert len(outside) > 10 and all(x * u <= 0 for x, u in outside)
        assert sum(update.applied == 0.0 for update in learner.updates) > 5
        hot = np.float32(95.0).view(np.uint32)
        param = protocol.Param(lib.TL_PARAM_OBSERVATION + 4, lib.TL_PARAM_WRITE, lib.TL_PARAM_F32, int(hot))
        learner._write(protocol.encode(protocol.pack(param)))
        assert not list(statuses)[-1].driving
        after = learner.next_states(5)
        assert at_rest(after) and after[-1].fault == Fault.LIMIT
