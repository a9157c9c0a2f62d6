"""The fault bridge between host and device: forwards frames, observes both ends, and applies faults.

    with make_target("process", "servo") as target, FaultBridge(target, seed=1) as bridge:
        with open_port(bridge.port) as port, Link(port) as link:        # the host connects as to any port
            ...
            with bridge.inject(faults.Drop(direction="to_device", rate=0.2)):
                ...
        assert bridge.state.state == DeviceState.SAFE                   # as reported by the device

One thread moves the bytes. A fault receives complete frames; other bytes are forwarded unchanged.
"""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import itertools
import os
import pty
import random
import select
import tempfile
import termios
import threading
import time
import tty
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rtu_edge._base.closing import Closing
from rtu_edge._base.errors import DeviceError
from rtu_edge._bridge import lib
from rtu_edge.device import protocol
from rtu_edge.hil.ends import End, Unit
from rtu_edge.hil.fence import Fence
from rtu_edge.hil.trace import Direction, FrameRecord, TapPoint, Trace

if TYPE_CHECKING:
    from rtu_edge.hil.targets import Target

__all__ = ["COUNTERS", "FaultBridge", "Injection", "Unit"]

# The device's counters, in the order of PARAM.
COUNTERS: tuple[str, ...] = tuple(
    name.removeprefix("TL_COUNTER_").lower()
    for name in sorted((n for n in dir(lib) if n.startswith("TL_COUNTER_")), key=lambda name: int(getattr(lib, name)))
    if name != "TL_COUNTER_COUNT"
)

_POLL_S = 0.002  # polling interval of time-driven faults


class Acting(Protocol):
    """The bridge's interface to a fault; implementations are in rtu_edge.hil.faults."""

    @property
    def title(self) -> str: ...
    def check(self, target: Target, host: Any) -> None: ...
    def begin(self, now: Injection) -> None: ...
    def transform(self, now: Injection, unit: Unit) -> list[Unit]: ...
    def poll(self, now: Injection, at_s: float) -> list[Unit]: ...
    def end(self, now: Injection) -> list[Unit]: ...


@dataclass
class Injection:
    """An active fault.

    Args:
        fault: which.
        bridge: where.
        host: the host under test, for faults that act on it; None for the caller's own host.
        random: its random generator.
        kept: units that it delays.
        count: number of times that it has acted.
        next_s: time of its next action.
    """

    fault: Acting
    bridge: FaultBridge
    host: Any
    random: random.Random
    kept: list[Unit] = field(default_factory=list)
    count: int = 0
    next_s: float = 0.0
    memory: dict[str, Any] = field(default_factory=dict)

    def hit(self, rate: float) -> bool:
        """Draw a random number; count a hit."""
        found = self.random.random() < rate
        self.count += found
        return found


class FaultBridge(Closing):
    """A line with faults between a host and a target; a context manager.

    Args:
        target: the device; opened, and closed by its creator.
        seed: of all faults; the same seed and the same traffic give the same faults.

    Attributes:
        port: the name under which a host opens it, the same after `plug()`. trace: the recorded frames.
    """

    def __init__(self, target: Target, *, seed: int = 0) -> None:
        self.target = target
        self.trace = Trace()
        self._random = random.Random(seed)
        self._folder = tempfile.TemporaryDirectory(prefix="rtu-hil-")
        self.port = str(Path(self._folder.name) / "port")
        self._host, self._device = End(), End()
        self._device.fd = target.fileno()
        self._slave = -1
        self._queue: list[tuple[float, int, Unit]] = []
        self._order = itertools.count()
        self._acting: list[Injection] = []
        self._asked: set[int] = set()
        self._answers: dict[int, int] = {}
        self.fence: Fence | None = None  # on real hardware: the limits of what reaches it
        self._lock = threading.RLock()
        self._closing = False
        self._wake, self._waker = os.pipe()
        self.plug()
        self._thread = threading.Thread(target=self._run, name="rtu-hil bridge", daemon=True)
        self._thread.start()

    # ---------------------------------------------------------------- what a test asks

    @property
    def state(self) -> protocol.State:
        """The last STATE from the device.

        Raises:
            DeviceError: none has been received yet.
        """
        last = self.trace.last_state
        if last is None or not isinstance(last.message, protocol.State):
            raise DeviceError(f"{self.target.name}: no STATE yet")
        return last.message

    def wait_for(self, *states: protocol.DeviceState, timeout_s: float = 5.0) -> FrameRecord:
        """Wait until the device reports one of these states; return that frame.

        Raises:
            DeviceError: it does not within the time.
        """
        give_up_s = time.monotonic() + timeout_s
        while time.monotonic() < give_up_s:
            last = self.trace.last_state
            if last is not None and isinstance(last.message, protocol.State) and last.message.state in states:
                return last
            time.sleep(_POLL_S)
        last = self.trace.last_state
        wanted = " or ".join(state.name for state in states)
        raise DeviceError(
            f"{self.target.name}: not {wanted} within {timeout_s:g} s; last: {last.message if last else None}"
        )

    def counters(self, timeout_s: float = 2.0) -> dict[str, int]:
        """Request the device's counters (PARAM), invisibly to the host.

        Raises:
            DeviceError: it does not answer.
        """
        give_up_s = time.monotonic() + timeout_s
        with self._lock:
            self._answers.clear()
        while len(self._answers) < len(COUNTERS):
            if time.monotonic() > give_up_s:
                raise DeviceError(f"{self.target.name}: no answer to PARAM within {timeout_s:g} s")
            for index in range(len(COUNTERS)):
                if index not in self._answers:
                    with self._lock:
                        self._asked.add(index)
                    self.send("to_device", protocol.encode(protocol.pack(protocol.Param(index))))
            again_s = time.monotonic() + 0.1
            while len(self._answers) < len(COUNTERS) and time.monotonic() < again_s:
                time.sleep(_POLL_S)
        return {name: self._answers[index] for index, name in enumerate(COUNTERS)}

    def hello(self, timeout_s: float = 3.0) -> protocol.Hello:
        """Request the device's HELLO; the answer reaches the host too.

        Raises:
            DeviceError: it does not answer.
        """
        give_up_s = time.monotonic() + timeout_s
        since_s = time.monotonic()
        while time.monotonic() < give_up_s:
            self.send("to_device", b"\0" + protocol.encode(protocol.pack(protocol.Hello())))
            again_s = time.monotonic() + 0.2
            while time.monotonic() < again_s:
                for passed in self.trace.all(TapPoint.DEVICE_OUT, protocol.FrameType.HELLO, since_s):
                    if isinstance(passed.message, protocol.Hello) and passed.message.role == lib.TL_ROLE_DEVICE:
                        return passed.message
                time.sleep(_POLL_S)
        raise DeviceError(f"{self.target.name}: no HELLO within {timeout_s:g} s")

    def send(self, direction: Direction | str, data: bytes) -> None:
        """Put bytes on the line after all faults, as if from the other end."""
        with self._lock:
            self._deliver(Unit(Direction(direction), data))

    def end_all(self) -> None:
        """Deactivate all faults."""
        for injection in list(self._acting):
            self.end(injection)

    @contextlib.contextmanager
    def inject(self, fault: Acting, host: Any = None) -> Iterator[Injection]:
        """Activate a fault while the context is open.

        Args:
            fault: one of rtu_edge.hil.faults.
            host: the host under test (rtu_edge.hil.host), for a fault that acts on it.

        Raises:
            DeviceError: the target cannot do what the fault needs.
        """
        injection = self.begin(fault, host)
        try:
            yield injection
        finally:
            self.end(injection)

    def begin(self, fault: Acting, host: Any = None) -> Injection:
        """Activate a fault; see `inject`."""
        fault.check(self.target, host)
        with self._lock:
            injection = Injection(fault, self, host, random.Random(self._random.getrandbits(64)))
            self.trace.note(time.monotonic(), f"begins: {fault.title}")
            fault.begin(injection)
            self._acting.append(injection)
        self._prod()
        return injection

    def end(self, injection: Injection) -> None:
        """Deactivate a fault; delayed units are forwarded in one burst."""
        with self._lock:
            if injection not in self._acting:
                return
            self._acting.remove(injection)
            self.trace.note(time.monotonic(), f"ends: {injection.fault.title}")
            if not self._acting:
                self._hurry()
            for unit in injection.fault.end(injection):
                self._schedule(unit)
        self._prod()

    def unplug(self) -> None:
        """Unplug on the host's side: its descriptor fails, the port's name disappears."""
        with self._lock:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.port)
            for fd in (self._host.fd, self._slave):
                if fd >= 0:
                    os.close(fd)
            self._host.fd = self._slave = -1
            self._host.tail = self._host.buffer = b""

    def plug(self) -> None:
        """Plug it in again: a new pty under the old name."""
        with self._lock:
            self.unplug()
            self._host.fd, self._slave = pty.openpty()  # this end stays open, so that the line persists across hosts
            tty.setraw(self._slave)
            os.set_blocking(self._host.fd, False)
            os.symlink(os.ttyname(self._slave), self.port)
        self._prod()

    def clear_port(self) -> None:
        """Discard what a closed host has not read, and its exclusive mode of the port."""
        with self._lock:
            if self._slave >= 0:
                fcntl.ioctl(self._slave, termios.TIOCNXCL)
                termios.tcflush(self._slave, termios.TCIOFLUSH)
            self._host.tail = self._host.buffer = b""

    def close(self) -> None:
        """Stop forwarding; a second call does nothing."""
        if self._closing:
            return
        self._closing = True
        self._prod()
        self._thread.join()
        self.end_all()
        self.unplug()
        os.close(self._wake)
        os.close(self._waker)
        self._folder.cleanup()

    # ---------------------------------------------------------------- the thread

    def _prod(self) -> None:
        os.write(self._waker, b"x")

    def _run(self) -> None:
        while not self._closing:
            with self._lock:
                ends = {end.fd: end for end in (self._host, self._device) if end.fd >= 0}
                wait_s = self._patience()
            try:
                ready, _, _ = select.select([self._wake, *ends], [], [], wait_s)
            except OSError:  # a port that was just unplugged
                continue
            if self._wake in ready:
                os.read(self._wake, 4096)
            with self._lock:
                for fd in ready:
                    if fd in ends and ends[fd].fd == fd:
                        self._read(ends[fd])
                self._work()

    def _patience(self) -> float:
        """Time until the next action if no bytes arrive."""
        wait_s = _POLL_S if self._acting or self._host.buffer or self._device.buffer else 0.05
        if self._queue:
            wait_s = min(wait_s, self._queue[0][0] - time.monotonic())
        return max(0.0, wait_s)

    def _read(self, end: End) -> None:
        with contextlib.suppress(OSError):  # a port that was just unplugged
            end.buffer += os.read(end.fd, 65536)
        end.read_s = time.monotonic()

    def _work(self) -> None:
        now_s = time.monotonic()
        for direction, end in ((Direction.TO_DEVICE, self._host), (Direction.TO_HOST, self._device)):
            for data in end.units(now_s):
                self._transfer(Unit(direction, data, now_s), end, now_s)
        for injection in self._acting:
            for unit in injection.fault.poll(injection, now_s):
                self._schedule(unit)
        while self._queue and self._queue[0][0] <= time.monotonic():
            self._deliver(heapq.heappop(self._queue)[2])

    def _transfer(self, unit: Unit, end: End, now_s: float) -> None:
        """Read the input of one end, and apply all faults to it."""
        tap = TapPoint.HOST_OUT if unit.direction is Direction.TO_DEVICE else TapPoint.DEVICE_OUT
        for frame in end.said.feed(unit.data):
            unit.frame = frame
            passed = FrameRecord(now_s, tap, frame)
            self.trace.add(passed)
            if tap is TapPoint.DEVICE_OUT and self._is_answer(passed):
                return
        self.trace.damaged[tap] = end.said.errors
        units = [unit]
        for injection in self._acting:
            units = [out for one in units for out in injection.fault.transform(injection, one)]
        for out in units:
            self._schedule(out)

    def _is_answer(self, passed: FrameRecord) -> bool:
        """True for the answer to a request of the bridge."""
        param = passed.message if passed.frame.type == protocol.FrameType.PARAM else None
        if not isinstance(param, protocol.Param) or param.index not in self._asked:
            return False
        self._asked.discard(param.index)
        self._answers[param.index] = param.bits
        return True

    def _schedule(self, unit: Unit) -> None:
        """A line preserves order: nothing overtakes earlier bytes."""
        end = self._device if unit.direction is Direction.TO_DEVICE else self._host
        end.last_due_s = max(end.last_due_s, unit.due_s)
        if end.last_due_s <= time.monotonic() and not self._queue:
            self._deliver(unit)
        else:
            heapq.heappush(self._queue, (end.last_due_s, next(self._order), unit))

    def _hurry(self) -> None:
        """Ends the delay: bytes in transit arrive now."""
        self._queue = [(0.0, order, unit) for _, order, unit in sorted(self._queue, key=lambda entry: entry[:2])]
        self._host.last_due_s = self._device.last_due_s = 0.0

    def _deliver(self, unit: Unit) -> None:
        to_device = unit.direction is Direction.TO_DEVICE
        end = self._device if to_device else self._host
        tap = TapPoint.DEVICE_IN if to_device else TapPoint.HOST_IN
        data = unit.data
        if to_device and self.fence is not None:
            data = self.fence.pass_on(data, self.trace, time.monotonic())
        if not end.write(data):
            return
        now_s = time.monotonic()
        for frame in end.heard.feed(data):
            self.trace.add(FrameRecord(now_s, tap, frame))
        self.trace.damaged[tap] = end.heard.errors
