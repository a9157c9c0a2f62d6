"""A Python device behind a pseudo-terminal: the bridge on one thread, the device's own methods on
another, with a watchdog.
"""

from __future__ import annotations

import atexit
import contextlib
import math
import os
import secrets
import select
import threading
import time
import tty
from functools import partial
from typing import Any, Protocol

import numpy as np

from rtu_edge._base.closing import Closing
from rtu_edge._base.errors import ConfigError, DeviceError
from rtu_edge._base.forks import leave_to_the_parent
from rtu_edge._base.validation import NUMBERS, check_int, check_number, counted
from rtu_edge.device.mailbox import Mailbox
from rtu_edge.device.schema import Cap, DataSheet, Safe
from rtu_edge.device.worker import Job, Worker, words

__all__ = ["ServedDevice"]

_RAMP_S = 60.0  # a device that is closed in the middle of a ramp finishes it
_LOG_AGAIN_S = 1.0
_LINE_BYTES = 1 << 14  # limit of unsent bytes; further frames are dropped completely


def _now_us() -> int:
    return time.monotonic_ns() // 1000


class _Device(Protocol):
    """The served object: a rtu_edge.device.python_device.PythonDevice."""

    max_steps: int
    reset_timeout_s: float

    @property
    def stop_asked(self) -> threading.Event: ...
    def data_sheet(self) -> DataSheet: ...
    def capabilities(self) -> Cap: ...
    def command_life_ms(self, period_us: int) -> int: ...
    def call_limit_s(self) -> float: ...
    def open(self) -> None: ...
    def close(self) -> None: ...
    def read(self) -> Any: ...
    def write(self, u: Any) -> None: ...
    def safe(self) -> None: ...
    def reset(self, seed: int) -> None: ...
    def reward(self, x: Any, u: Any) -> float: ...
    def terminated(self, x: Any) -> bool: ...


class ServedDevice(Closing):
    """A PythonDevice that is served; made by PythonDevice.serve(). Closing is idempotent.

    Attributes:
        port: path of the pseudo-terminal, to open as a serial port.
        error: the last fault of the device's own code, in words; "" for none.
    """

    def __init__(self, device: _Device, link: str | os.PathLike[str] | None = None) -> None:
        self.error = ""
        self._device, self._name = device, type(device).__name__
        sheet, caps = device.data_sheet(), device.capabilities()
        self._sheet = sheet
        self._limit_s = device.call_limit_s()
        self._long_s = check_number(f"{self._name}.reset_timeout_s", device.reset_timeout_s, 0.0, 3600.0, open_low=True)
        max_steps = check_int(f"{self._name}.max_steps", device.max_steps, 0, 2**32 - 1)
        ttl_ms = device.command_life_ms(round(sheet.period_s * 1e6))
        self._rewards, self._resets = bool(caps & Cap.REWARD), bool(caps & Cap.RESET)
        self._ramps = any(actuator.safe is Safe.RAMP for actuator in sheet.actuators)
        if device.__dict__.get("_served"):
            raise DeviceError(f"{self._name}: it is served already")
        device.__dict__["_served"] = True
        self._wake_out, self._wake_in = os.pipe()
        self._worker = Worker(f"rtu-edge {self._name}", self._wake)
        self._master = self._slave = -1
        self._link = ""
        self._closed = self._leaving = False
        self._thread: threading.Thread | None = None
        try:
            self._start()
            self._open_line(link)
            self._box = Mailbox(self._name, sheet, caps, ttl_ms, secrets.randbits(32), max_steps, _now_us())
            self._box.x = self._first_x
            self._box.tick(_now_us())  # it can be armed from the start
        except BaseException:
            self._give_up()
            raise
        self._unsent = b""
        self._safe_due = True  # at the start too
        self._safe_from_us = 0  # where safe() has raised, not before this
        self._failed = False  # the next tick has no observation
        self._written: list[float] | None = None  # the last values of write(), while outputs ramp
        self._reading = False
        self._logged, self._logged_s, self._logged_session = "", 0.0, -1
        leave_to_the_parent(self)
        atexit.register(self.close)
        self._thread = threading.Thread(target=self._serve, name=f"rtu-edge device {self._name}", daemon=True)
        self._thread.start()

    # ------------------------------------------------------------ start and end

    def _start(self) -> None:
        """open() and the first read(), whose errors are raised to the caller."""
        for name, run, limit_s in (
            ("open", self._device.open, self._long_s),
            ("read", self._read, max(self._limit_s, 1.0)),
        ):
            job = self._worker.post(Job(name, run, limit_s))
            if not job.done.wait(limit_s):
                raise DeviceError(f"{self._name}.{job.call} has not returned for {limit_s:g} s")
            if job.error is not None:
                raise DeviceError(f"{self._name}.{job.call}: {words(job.error)}") from job.error
        self._first_x = job.value[0]
        self._worker.take()

    def _open_line(self, link: str | os.PathLike[str] | None) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.port = os.ttyname(self._slave)
        if link is not None:
            path = os.path.abspath(os.fspath(link))
            try:
                os.symlink(self.port, path)
            except OSError as error:
                raise ConfigError(f"link {path}: {error.strerror}") from error
            self._link = path

    @property
    def running(self) -> bool:
        """The device is served."""
        return self._thread is not None and self._thread.is_alive()

    def forked(self) -> None:
        """In a child: the line and the threads are the parent's."""
        self._closed, self._link = True, ""
        self._close_files()

    def close(self) -> None:
        """Bring the outputs to their safe behaviour, call safe() and close(), end. Idempotent."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self.close)
        self._leaving = True
        self._wake()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        self._give_up()

    def _give_up(self) -> None:
        job = self._worker.post(Job("close", self._device.close, self._limit_s))
        self._worker.leave()
        job.done.wait(max(self._limit_s, 1.0))
        self._device.__dict__.pop("_served", None)
        if self._link and os.path.islink(self._link) and os.readlink(self._link) == self.port:
            os.unlink(self._link)
        self._close_files()

    def _close_files(self) -> None:
        for name in ("_master", "_slave", "_wake_out", "_wake_in"):
            fd = getattr(self, name)
            setattr(self, name, -1)
            if fd >= 0:
                os.close(fd)

    def _wake(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            os.write(self._wake_in, b"\0")

    # ------------------------------------------------------------ the bridge's thread

    def _serve(self) -> None:
        try:
            self._outputs()
            while not self._leaving:
                self._turn(reads=True)
            self._box.leave()
            self._outputs()
            give_up_s = time.monotonic() + _RAMP_S
            while self._moves() and self._worker.overdue() is None and time.monotonic() < give_up_s:
                self._turn(reads=False)
        finally:  # also where this thread has failed: nothing watches the plant any more
            self._device.stop_asked.set()
            self._call_safe()
            job = self._worker.post(Job("wait", _nothing, self._limit_s))
            if not job.done.wait(max(self._limit_s, 1.0)) and self._safe_is_kept():
                self._call_safe_aside().join(max(self._limit_s, 1.0))

    def _turn(self, *, reads: bool) -> None:
        """Wait for bytes, a job's end or the next period, and do what is due."""
        waits = self._reading or self._worker.overdue() is not None
        until_us = self._box.due_us - _now_us()
        timeout_s = 0.01 if waits else max(0.0, min(until_us / 1e6, 0.05))
        ready, _, _ = select.select(
            [self._master, self._wake_out], [self._master] if self._unsent else [], [], timeout_s
        )
        if self._wake_out in ready:
            os.read(self._wake_out, 4096)
        data = b""
        if self._master in ready:
            with contextlib.suppress(BlockingIOError):
                data = os.read(self._master, 65536)
        self._end_for_lateness()
        self._box.receive(data, _now_us())
        self._finish_jobs()
        self._watch()
        self._outputs()
        if _now_us() >= self._box.due_us:
            self._period(reads)
        self._send()

    def _period(self, reads: bool) -> None:
        """Read first, and tick with the reading; without one, tick without an observation."""
        hung = self._worker.overdue() is not None
        self._failed = self._failed or hung
        if hung or not reads or not self._box.arrived:
            self._tick()
        elif not self._reading:
            self._reading = True
            self._worker.post(Job("read", self._read, self._limit_s))

    def _tick(self, now_us: int = 0) -> None:
        if self._failed:
            if self._box.armed and self._box.session != self._logged_session:
                self._report(self.error)  # the host that has armed since does not know it
            self._box.fail()
        self._box.tick(now_us or _now_us())
        self._failed = self._failed and self._box.armed
        self._outputs()

    def _read(self) -> tuple[Any, float, bool]:
        """On the worker: observation, reward, terminated; checked."""
        found = self._device.read()
        given = np.asarray(found)
        masked = np.ma.isMaskedArray(found)
        if masked or given.dtype.kind not in NUMBERS or given.shape != (self._sheet.observation_size,):
            raise ValueError(f"returned {found!r}, expected {counted(self._sheet.observation_size, 'number')}")
        with np.errstate(over="ignore"):
            x = given.astype(np.float32)
        for channel, value in zip(self._sheet.observations, x, strict=True):
            if not np.isfinite(value):
                raise ValueError(f"{channel.name} = {value}: not finite")
        reward, terminated = 0.0, False
        box = getattr(self, "_box", None)
        if box is not None and self._rewards:
            self._calls("reward")
            earned: Any = self._device.reward(x.copy(), np.array(box.u, np.float32))
            reward = math.nan if earned is None else float(earned)
            if not math.isfinite(reward):
                raise ValueError(f"returned {earned!r}, expected a finite number")
        if box is not None and self._resets:
            self._calls("terminated")
            ends: object = self._device.terminated(x.copy())
            if ends is None:
                raise ValueError("returned None, expected True or False")
            terminated = bool(ends)
        return x, reward, terminated

    def _calls(self, method: str) -> None:
        """On the worker: this method of the device runs now, for the text of a fault."""
        if self._worker.current is not None:
            self._worker.current.method = method

    def _finish_jobs(self) -> None:
        for job in self._worker.take():
            if job.error is not None:
                self._fault(f"{job.call}: {words(job.error)}")
            if job.overdue or (job.name == "reset" and not self._box.armed):
                self._safe_due = True  # it may have moved the actuators after safe()
            if job.name == "safe" and job.error is not None:
                self._safe_due, self._safe_from_us = True, self._box.due_us
            if job.name == "read":
                self._reading = False
                if job.error is None:
                    if not self._failed:
                        self._box.x, self._box.reward, self._box.terminated = job.value
                    if self._box.resetting and not self._worker.has("reset"):
                        self._box.arrived = True
                self._tick()
            elif job.name == "reset" and job.error is None and not self._reading:
                self._reading = True
                self._worker.post(Job("read", self._read, self._limit_s))
            elif job.error is not None:
                self._box.arrived = True

    def _watch(self) -> None:
        """The watchdog of the device's own code."""
        job = self._worker.overdue()
        if job is None or job.overdue:
            return
        job.overdue = True
        self._reading = False
        held = self._box.armed or self._box.live
        self._fault(f"{job.call} has not returned for {job.limit_s:g} s")
        if not held and self._safe_is_kept():
            self._call_safe_aside()

    def _fault(self, text: str) -> None:
        """End the session, send the reason to the host, go safe."""
        self._report(f"{self._name}.{text}")
        self._failed = self._box.arrived = True
        if self._box.armed or self._box.live:
            self._call_safe()

    def _report(self, text: str) -> None:
        """Send the reason of a fault to the host; the same one at most once a second in a session."""
        self.error = text
        now_s = time.monotonic()
        again = now_s - self._logged_s > _LOG_AGAIN_S or self._box.session != self._logged_session
        if text != self._logged or again:
            self._logged, self._logged_s, self._logged_session = text, now_s, self._box.session
            self._box.log(text, _now_us())

    def _end_for_lateness(self) -> None:
        """A command expires while a call takes longer than a period: without an observation no host can send the next
        one, so the call is the fault. safe() waits for its end, or for its timeout.
        """
        job, expires_us = self._worker.late(self._sheet.period_s), self._box.expires_us
        if job is not None and expires_us is not None and _now_us() > expires_us:
            self._fault(f"{job.call} has not returned for {time.monotonic() - job.begun_s:.2g} s")
            self._tick(expires_us)

    def _outputs(self) -> None:
        """Pass the bridge's actuator commands to the device's methods."""
        box, stop_asked = self._box, self._device.stop_asked
        stop_asked.clear() if box.armed else stop_asked.set()
        if box.reset_seed is not None:
            seed, box.reset_seed = box.reset_seed, None
            self._worker.post(Job("reset", partial(self._device.reset, seed), self._long_s))
        told, box.told = box.told, False
        if box.live:
            self._safe_due, self._safe_from_us, self._written = True, 0, None
            if told:
                self._post_write(box.u)
        elif self._safe_due and self._ramps and self._moves():
            if box.u != self._written:
                self._written = list(box.u)
                self._post_write(box.u)
        elif self._safe_due and _now_us() >= self._safe_from_us:
            self._call_safe()

    def _moves(self) -> bool:
        """A ramp is in progress, or its last value is not written yet."""
        unwritten = self._written is not None and (self._box.u != self._written or self._worker.has("write"))
        return unwritten or not self._box.at_rest

    def _post_write(self, u: list[float]) -> None:
        values = np.array(u, np.float32)
        self._worker.post(Job("write", partial(self._device.write, values), self._limit_s), instead_of="write")

    def _call_safe(self) -> None:
        """On the worker, or, if that hangs, on a separate thread."""
        self._safe_due = False
        job = self._worker.current
        if job is None or job.name == "safe" or not (job.overdue or job.name == "reset"):
            if not self._worker.has("safe"):
                self._worker.post(Job("safe", self._device.safe, self._limit_s), instead_of="write")
            return
        self._call_safe_aside()

    def _safe_is_kept(self) -> bool:
        """safe() waits behind a job that hangs: the session ended before that was noticed."""
        job = self._worker.current
        return job is not None and job.name != "safe" and self._worker.has("safe")

    def _call_safe_aside(self) -> threading.Thread:
        thread = threading.Thread(target=self._safe_aside, name=f"rtu-edge safe {self._name}", daemon=True)
        thread.start()
        return thread

    def _safe_aside(self) -> None:
        try:
            self._device.safe()
        except BaseException as error:  # whatever the user's code raises
            self.error += f"; safe(): {words(error)}"

    def _send(self) -> None:
        self._unsent += self._box.take() if len(self._unsent) < _LINE_BYTES else self._box.take()[:0]
        if not self._unsent:
            return
        with contextlib.suppress(BlockingIOError):
            self._unsent = self._unsent[os.write(self._master, self._unsent) :]


def _nothing() -> None:
    pass
