"""In lockstep equal inputs give equal bytes, also when a stall makes the host repeat frames."""

from __future__ import annotations

import os
import pty
import random
import select
import threading
import time
import tty

import pytest

import rtu_edge as rtu
from rtu_edge.device.ports import open_port
from rtu_edge.device.simulated import SimulatedDevice
from rtu_edge.loop import Link, Loop, LoopConfig, LoopResult

SESSION = 7


class Stalling:
    """A line between host and device that occasionally delays bytes beyond the host's timeout."""

    def __init__(self, device: int, seed: int, share: float) -> None:
        self.far, self.near = pty.openpty()
        tty.setraw(self.near)
        self.stalls = 0
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._relay, args=(*ends, random.Random(seed + place), share))
            for place, ends in enumerate(((self.far, device), (device, self.far)))
        ]
        for thread in self._threads:
            thread.start()

    def _relay(self, here: int, there: int, rng: random.Random, share: float) -> None:
        while not self._stop.is_set():
            if select.select([here], [], [], 0.02)[0]:
                data = os.read(here, 4096)
                if rng.random() < share:
                    self.stalls += 1
                    time.sleep(0.13)
                os.write(there, data)

    def close(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        os.close(self.near)
        os.close(self.far)


def learn(seed: int | None, *, before: int = 0) -> tuple[LoopResult, str, int]:
    """60 steps of a small learner from a known start, over a line that stalls when a seed is given."""
    with SimulatedDevice("cartpole") as device, open_port(device.port) as port:
        line = Stalling(port.fileno(), seed or 0, 0.0 if seed is None else 0.06)
        try:
            with Link(line.near) as link:
                link.handshake()
                if before:
                    other = rtu.StreamAC(2, 1, units=4, hidden=4, seed=9)
                    Loop(link, other.core.policy(), LoopConfig(steps=before, seed=3)).run(poll_s=0.01)
                agent = rtu.StreamAC(2, 1, units=4, hidden=4, seed=0)
                config = LoopConfig(steps=60, seed=5, session=SESSION)
                result = Loop(link, agent.core.policy(), config).run(poll_s=0.01)
                return result, agent.state_hash(), line.stalls
        finally:
            line.close()


@pytest.fixture(scope="module")
def undisturbed() -> tuple[LoopResult, str]:
    result, state, _ = learn(None)
    return result, state


@pytest.mark.timing  # a stall that the host's load lengthens beyond a time-out is answered by a new request
@pytest.mark.parametrize("seed", range(6))
def test_a_stalled_line_changes_no_byte_that_counts(undisturbed: tuple[LoopResult, str], seed: int) -> None:
    expected, state = undisturbed
    result, other_state, stalls = learn(seed)
    assert stalls > 0
    assert result.confirmed
    assert (result.sent_hash, result.received_hash) == (expected.sent_hash, expected.received_hash)
    assert other_state == state


@pytest.mark.parametrize("before", [3, 50])
def test_neither_does_what_the_device_did_before(undisturbed: tuple[LoopResult, str], before: int) -> None:
    """Left in its first episode, with the number that the next session will request, or in a later one."""
    expected, state = undisturbed
    result, other_state, _ = learn(None, before=before)
    assert (result.sent_hash, result.received_hash) == (expected.sent_hash, expected.received_hash)
    assert other_state == state
