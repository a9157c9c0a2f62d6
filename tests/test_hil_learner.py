"""The host's side of a learner on a board, against a simulated board: behaviour when the port is gone."""

from __future__ import annotations

import os
import pty
import select
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from rtu_edge._bridge import lib

from rtu_edge._base.errors import ConfigError, DeviceError
from rtu_edge.device import protocol
from rtu_edge.hil.learner import BoardLearner


class Played:
    """A board that answers each request with the STATUS of a running learner, until it is unplugged."""

    def __init__(self) -> None:
        self._board, line = pty.openpty()
        self.port = os.ttyname(line)
        self._line = line
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        decoder = protocol.Decoder()
        status = bytes([lib.TL_LEARNER_STATUS, 0, 0, 0, 1]) + bytes(lib.TL_LEARNER_STATUS_BYTES - 5)
        while not self._over.is_set():
            if select.select([self._board], [], [], 0.01)[0]:
                for frame in decoder.feed(os.read(self._board, 4096)):
                    os.write(self._board, protocol.encode(protocol.Frame(frame.type, payload=status)))

    def unplug(self) -> None:
        """Idempotent."""
        if not self._over.is_set():
            self._over.set()
            self._thread.join()
            os.close(self._board)
            os.close(self._line)


@pytest.fixture
def board() -> Iterator[Played]:
    made = Played()
    yield made
    made.unplug()


def test_a_port_that_is_not_there_is_a_device_error() -> None:
    with pytest.raises(DeviceError, match="/dev/nowhere: no such port"):
        BoardLearner("/dev/nowhere")


def test_a_port_that_goes_away_is_a_device_error(board: Played) -> None:
    with BoardLearner(board.port) as learner:
        assert learner.status().running
        said = learner.run(10)
        assert next(said).running
        threading.Timer(0.2, board.unplug).start()
        begun_s = time.monotonic()
        with pytest.raises(DeviceError, match=f"{board.port}: the port is gone"):
            next(said)
        assert time.monotonic() - begun_s < 10  # at once, and not after its silence
        with pytest.raises(DeviceError, match=f"{board.port}: the port is gone"):
            learner.status()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda learner: learner.init(-1), "seed = -1: expected an integer from 0 to 4294967295"),
        (lambda learner: learner.run(2**32), "steps = 4294967296: expected an integer from 0"),
        (lambda learner: learner.run(1, silence_s=float("nan")), "silence_s = nan: expected a number above 0"),
        (lambda learner: learner.save(every=-1), "every = -1: expected an integer from 0"),
        (lambda learner: learner.drive(silence_s=0.0), "silence_s = 0.0: expected a number from 0.001 to 10"),
        (lambda learner: learner.drive(silence_s=float("nan")), "silence_s = nan: expected a number from 0.001 to 10"),
        (lambda learner: learner.drive(ttl_s=66.0), "ttl_s = 66.0: expected a number from 0 to 65.535"),
        (lambda learner: BoardLearner("/dev/nowhere", answer_s=-1.0), "answer_s = -1.0: expected a number above 0"),
    ],
)
def test_an_argument_out_of_range_is_not_sent(
    board: Played, call: Callable[[BoardLearner], object], message: str
) -> None:
    with BoardLearner(board.port) as learner, pytest.raises(ConfigError, match=message):
        call(learner)


@pytest.mark.parametrize(
    "call",
    [lambda learner: next(learner.drive()), lambda learner: learner.download(), lambda learner: learner.upload(b"")],
)
def test_while_it_runs_its_memory_and_plant_are_its_own(board: Played, call: Callable[[BoardLearner], object]) -> None:
    with BoardLearner(board.port) as learner, pytest.raises(DeviceError, match=r"is running; call stop\(\) first"):
        call(learner)
