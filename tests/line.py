"""A serial line that tests can listen to, hold and cut: a pty for the host on one end, the firmware on the other."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import socket
import subprocess
import threading
import time
import tty
from types import TracebackType

from rtu_edge import wire
from rtu_edge.device import firmware_path


class Line:
    """The firmware behind a line under our control.

    `states` has every STATE with the time at which it passed; `hold` keeps the host's bytes back, as a stalled adapter
    does, until `release`; `mute` and `deafen` drop what the device or the host says.
    """

    def __init__(self, plant: str = "cartpole", *options: str) -> None:
        self.master, slave = pty.openpty()
        tty.setraw(slave)
        self.port = os.ttyname(slave)
        self._slave = slave  # held open, so that the line outlives its hosts
        ours, theirs = socket.socketpair()
        self._device = ours
        self._process = subprocess.Popen(
            [str(firmware_path()), "--plant", plant, "--fd", str(theirs.fileno()), "--until-eof", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        self.states: list[tuple[float, wire.State]] = []
        self.events: list[tuple[float, wire.Event]] = []
        self.sent: list[tuple[float, wire.Message]] = []  # by the host, as it arrived at the device
        self.holding = False
        self.mute = False
        self.deafen = False
        self._held: list[bytes] = []
        self._down = wire.Decoder()
        self._up = wire.Decoder()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def _carry(self) -> None:
        while not self._stop.is_set():
            ready, _, _ = select.select([self.master, self._device], [], [], 0.02)
            with self._lock, contextlib.suppress(OSError):
                if self._device in ready:
                    self._from_device(self._device.recv(4096))
                if self.master in ready:
                    self._from_host(os.read(self.master, 4096))

    def _from_device(self, data: bytes) -> None:
        now = time.monotonic()
        for frame in self._down.feed(data):
            message = wire.unpack(frame)
            if isinstance(message, wire.State):
                self.states.append((now, message))
            if isinstance(message, wire.Event):
                self.events.append((now, message))
        # A host that does not read loses what does not fit: the line does not wait.
        if not self.mute and select.select([], [self.master], [], 0)[1]:
            os.write(self.master, data)

    def _from_host(self, data: bytes) -> None:
        if self.holding:
            self._held.append(data)
        elif not self.deafen:
            self._deliver(data)

    def _deliver(self, data: bytes) -> None:
        now = time.monotonic()
        for frame in self._up.feed(data):
            message = wire.unpack(frame)
            if message is not None:
                self.sent.append((now, message))
        self._device.sendall(data)

    def release(self) -> None:
        """Deliver what was held back, in one burst."""
        with self._lock:
            self.holding = False
            for data in self._held:
                self._deliver(data)
            self._held.clear()

    @property
    def state(self) -> wire.State:
        """The last STATE."""
        return self.states[-1][1]

    def wait_for(self, *states: wire.DeviceState, timeout_s: float = 5.0) -> float:
        """Wait until the device is in one of these states; return when that STATE passed."""
        give_up = time.monotonic() + timeout_s
        while time.monotonic() < give_up:
            if self.states and self.state.state in states:
                return self.states[-1][0]
            time.sleep(0.002)
        raise AssertionError(f"the device is {self.states[-1:]}, not {states}")

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=5)
        self._device.close()
        os.close(self.master)
        os.close(self._slave)

    def __enter__(self) -> Line:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
