"""Rules of a suite on real hardware: the limits stay, a key ends it, afterwards the device is not armed."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import threading
import time
import tty
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rtu_edge._base.closing import Closing
from rtu_edge._base.errors import SafetyStop
from rtu_edge.device import protocol
from rtu_edge.device.protocol import DeviceState
from rtu_edge.hil.fence import Fence

if TYPE_CHECKING:
    from rtu_edge.hil.bridge import FaultBridge
    from rtu_edge.hil.result import Result
    from rtu_edge.hil.suite import Suite

__all__ = ["Abort", "AbortKey", "RealRules"]

_MOVING = (DeviceState.ARMED, DeviceState.RESETTING)


def _send(bridge: FaultBridge, message: protocol.Message) -> None:
    bridge.send("to_device", b"\0" + protocol.encode(protocol.pack(message)))


def send_estop(bridge: FaultBridge) -> None:
    """Send ESTOP to the device, three times, after all faults."""
    for _ in range(3):
        _send(bridge, protocol.Estop())


def disarm(bridge: FaultBridge, timeout_s: float = 1.0) -> bool:
    """End all faults and send DISARM until the device reports that it is not armed; False if it never does."""
    bridge.end_all()
    give_up_s = time.monotonic() + timeout_s
    while time.monotonic() < give_up_s:
        sent_s = time.monotonic()
        _send(bridge, protocol.Disarm())
        while time.monotonic() < sent_s + 0.1:
            last = bridge.trace.last_state
            state = last.message if last is not None and last.at_s > sent_s else None
            if isinstance(state, protocol.State) and state.state not in _MOVING:
                return True
            time.sleep(0.002)
    return False


class Abort:
    """A request to end the suite; from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bridge: FaultBridge | None = None
        self._why = ""

    @property
    def why(self) -> str:
        """What asked for it; "" if nothing did."""
        return self._why

    def ask(self, why: str) -> None:
        """End the suite: ESTOP goes to the device at once, behind all faults; the first reason counts."""
        with self._lock:
            self._why = self._why or why
            if self._bridge is not None:
                send_estop(self._bridge)

    @contextlib.contextmanager
    def over(self, bridge: FaultBridge) -> Iterator[None]:
        """While the context is open, ESTOP goes to the device of this bridge."""
        with self._lock:
            self._bridge = bridge
        try:
            yield
        finally:
            with self._lock:
                self._bridge = None

    def check(self, bridge: FaultBridge) -> None:
        """Whether the suite may continue.

        Raises:
            SafetyStop: it was asked to end, or the device is in ESTOP, which only a person clears.
        """
        if self._why:
            raise SafetyStop(f"{self._why}: ESTOP was sent to the device, and the suite has ended")
        last = bridge.trace.last_state
        if last is not None and getattr(last.message, "state", None) == DeviceState.ESTOP:
            raise SafetyStop("the device is in ESTOP: the suite has ended; `rtu-edge clear` once the plant is safe")


class RealRules:
    """The rules for one case; without `abort` (a simulated device) there are none.

    Args:
        abort: a request to end. suite: has the limits. result: of the case.
    """

    def __init__(self, abort: Abort | None, suite: Suite, result: Result) -> None:
        self._abort = abort
        self._limits = suite.config.limits
        self._result = result

    @contextlib.contextmanager
    def over(self, bridge: FaultBridge) -> Iterator[None]:
        """Afterwards the device is not armed, whatever happened; refuses one that is in ESTOP before."""
        if self._abort is None:
            yield
            return
        with self._abort.over(bridge):
            try:
                hello = bridge.hello()
                self.check(bridge)
                bridge.fence = Fence(self._limits, hello.period_s)
                yield
            finally:
                if not disarm(bridge):
                    self._result.passed = False
                    self._result.why.append("the device does not report that it is disarmed")

    @contextlib.contextmanager
    def stoppable(self, bridge: FaultBridge) -> Iterator[None]:
        """Within the host's context: ESTOP before the host is asked to end, when the case is interrupted."""
        try:
            yield
        except (KeyboardInterrupt, SafetyStop):
            if self._abort is not None:
                send_estop(bridge)
            raise

    def check(self, bridge: FaultBridge) -> None:
        """Raises SafetyStop if the suite has to end."""
        if self._abort is not None:
            self._abort.check(bridge)


class AbortKey(Closing):
    """Any key of a terminal asks for the end; a context manager. Without a terminal it does nothing.

    Args:
        abort: is asked.
        fd: the terminal; default: stdin.
    """

    def __init__(self, abort: Abort, fd: int | None = None) -> None:
        self._abort = abort
        self._fd = fd if fd is not None else sys.stdin.fileno() if sys.stdin.isatty() else -1
        self.active = self._fd >= 0 and os.isatty(self._fd)
        self._end, self._ending = os.pipe()
        self._closed = False
        if not self.active:
            return
        self._before = termios.tcgetattr(self._fd)
        tty.setcbreak(self._fd)  # Ctrl-C still is a signal
        self._thread = threading.Thread(target=self._run, name="rtu-hil abort", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            ready, _, _ = select.select([self._fd, self._end], [], [])
            if self._end in ready or not os.read(self._fd, 64):
                return
            self._abort.ask("a key was pressed")

    def close(self) -> None:
        """Give the terminal back; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        if self.active:
            os.write(self._ending, b"x")
            self._thread.join()
            termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)
        os.close(self._end)
        os.close(self._ending)
