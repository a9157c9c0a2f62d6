"""The host under test: the control loop on a thread of this process, or `rtu-edge run` as a separate process."""

from __future__ import annotations

import contextlib
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np

from rtu_edge import _testing
from rtu_edge._base.errors import ConfigError, DeviceError
from rtu_edge.config import Config, write_config
from rtu_edge.device import lock
from rtu_edge.hil.faults import Controller
from rtu_edge.hil.suite import Linear
from rtu_edge.loop import Cause, Loop, MonitorFlag, StopReason
from rtu_edge.run import connect, loop_config, make_agent, supervised

__all__ = ["FOUND", "Host", "HostEnd", "HostStatus", "ProcessHost", "Seen", "ThreadHost"]

FOUND = ("sensor_monitor", "learner_monitor")  # steps with a finding of the supervisor

_ASK_AGAIN_S = 0.05
_CHOSEN = (Cause.NONE, Cause.MODE)
_TRIPS = int(~(MonitorFlag.SNAPSHOT | MonitorFlag.VALIDATED)) & 0xFFFFFFFF


@dataclass(frozen=True)
class HostStatus:
    """Status of a host.

    Args:
        running: it drives.
        reason: reason why not, a value of runtime.StopReason; "" while it drives, or if unknown.
        counters: of the loop and the supervisor; empty if unknown.
        fallback: reasons for which the fallback was forced to drive so far: values of runtime.Cause.
    """

    running: bool
    reason: str = ""
    counters: dict[str, int] = field(default_factory=dict)
    fallback: tuple[str, ...] = ()


@dataclass
class Seen:
    """Observations during a case."""

    fault_s: float = 0.0
    ended_s: float = 0.0
    sign: tuple[float, str] | None = None
    baseline: dict[str, int] = field(default_factory=dict)
    at_safe: dict[str, int] | None = None
    at_safe_s: float = math.inf  # when these counters were read
    last: HostStatus = field(default_factory=lambda: HostStatus(False))
    overslept_s: float = 0.0
    skipped: int = 0


@dataclass(frozen=True)
class HostEnd:
    """Result of a host.

    Args:
        reason: a value of runtime.StopReason, "refused" if it did not arm, or "killed".
        message: the same in a sentence.
        counters: of the loop; empty for a process.
        finite: the learner state and all commands were finite.
    """

    reason: str
    message: str
    counters: dict[str, int] = field(default_factory=dict)
    finite: bool = True


class Host(Protocol):
    """A host under test; a context manager."""

    pid: int | None

    def start(self) -> None:
        """Open the port and arm; returns at once. Raises DeviceError or ConfigError when it refuses."""

    def status(self) -> HostStatus:
        """Its status."""

    def stop(self, timeout_s: float = 10.0, *, ask: bool = True) -> HostEnd:
        """Stop it like the first signal, or only wait for its end; return the result."""


class ThreadHost:
    """The native loop on a thread of this process.

    Args:
        config: as for `rtu-edge run`; device.port is the bridge's.
        controller: linear, or the learner that the configuration describes.
        linear: the fixed controller.
        armed: real hardware may move: requested and confirmed by the caller.
    """

    pid: int | None = None

    def __init__(self, config: Config, controller: Controller, linear: Linear, armed: bool = False) -> None:
        self._config = config
        self._armed = armed
        self._controller = controller
        self._linear = linear
        self._stack = ExitStack()
        self._loop: Loop | None = None
        self._driver: Any = None
        self._found = dict.fromkeys(FOUND, 0)
        self._causes: set[str] = set()
        self._finite = True
        self._end: HostEnd | None = None

    def start(self) -> None:
        """Open the port, shake hands, arm."""
        device = self._stack.enter_context(connect(self._config))
        if self._armed:
            device.permission.grant()
        device.permission.require()
        learns = self._controller is Controller.LEARNER
        config = loop_config(self._config, device, learn=learns, explore=learns, handle_signals=False)
        if learns:
            agent = make_agent(self._config, device.sheet)
            self._driver = supervised(self._config, device, agent, config)
            policy = self._driver.policy
        else:
            self._driver = _linear(self._linear, device.sheet.observation_size, device.sheet.action_size)
            policy = self._driver.policy()
        self._loop = self._stack.enter_context(Loop(device.link, policy, config))
        self._loop.start()

    def status(self) -> HostStatus:
        """The status of the loop."""
        if self._loop is None:
            return HostStatus(False)
        self._look()
        status = self._loop.status()
        reason = "" if status.running else status.reason.value
        return HostStatus(status.running, reason, status.counters | self._found, tuple(sorted(self._causes)))

    def _look(self) -> None:
        assert self._loop is not None
        records = self._loop.drain()
        self._loop.drain_episodes()
        for name in ("value", "u"):
            self._finite = self._finite and bool(np.isfinite(records[name]).all())
        forced = {cause for cause in map(Cause.of, set(records["mode"].tolist())) if cause not in _CHOSEN}
        self._causes |= {cause.name.lower() for cause in forced}
        self._found["sensor_monitor"] += int(np.count_nonzero(records["sensor_monitor"]))
        self._found["learner_monitor"] += int(np.count_nonzero(records["learner_monitor"] & _TRIPS))

    def stop(self, timeout_s: float = 10.0, *, ask: bool = True) -> HostEnd:
        """Stop the loop, if it still runs, and close the port."""
        if self._end is None:
            if self._loop is None:
                self._end = HostEnd("refused", "never armed")
            else:
                if ask or not self._loop.wait(timeout_s):
                    self._loop.request_stop()
                result = self._loop.result()
                self._look()
                self._end = HostEnd(result.reason.value, result.message, result.counters | self._found, self._finite)
            self._stack.close()
        return self._end

    def __enter__(self) -> ThreadHost:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class ProcessHost:
    """`rtu-edge run` with the learner, as a separate process.

    Args:
        config: as for `rtu-edge run`; run.folder is the folder of its files. armed: pass --arm and --yes, for real
            hardware.
    """

    def __init__(self, config: Config, armed: bool = False) -> None:
        self._config = config
        self._options = ["--arm", "--yes"] if armed else []
        self._process: subprocess.Popen[str] | None = None
        self._end: HostEnd | None = None
        self._killed = False
        self._said: list[str] = []
        self._causes: set[str] = set()

    @property
    def pid(self) -> int | None:
        """Process id; None before start()."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the process; it arms when it is ready."""
        folder = Path(self._config.run.folder)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "host.toml"
        write_config(self._config, path)
        command = [sys.executable, "-m", "rtu_edge.cli", "run", str(path), *self._options]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        threading.Thread(target=self._ask, args=(self._process,), daemon=True).start()

    def _ask(self, process: subprocess.Popen[str]) -> None:
        """Polls the cause of the fallback ten times a second; no answer from a stopped or starting process."""
        while process.poll() is None:
            with contextlib.suppress(DeviceError):
                for said in lock.monitor(self._config.device.port):
                    cause = Cause.of(int(said.get("mode", 0)))
                    if cause not in _CHOSEN:
                        self._causes.add(cause.name.lower())
            time.sleep(_ASK_AGAIN_S)

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._said.append(line.rstrip())

    def status(self) -> HostStatus:
        """Whether it runs, and the answers of its control socket; a fallback of less than 100 ms may be missed."""
        return HostStatus(
            self._process is not None and self._process.poll() is None, fallback=tuple(sorted(self._causes))
        )

    def freeze(self) -> None:
        """SIGSTOP."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL."""
        self._killed = True
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, number)

    def stop(self, timeout_s: float = 10.0, *, ask: bool = True) -> HostEnd:
        """Send SIGINT if it still runs, or only wait for its end; return the result."""
        if self._end is not None or self._process is None:
            return self._end or HostEnd("refused", "never started")
        self._signal(signal.SIGCONT)
        for number in (signal.SIGINT, signal.SIGKILL) if ask else (None, signal.SIGINT, signal.SIGKILL):
            if number is not None:
                self._signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout_s)
                break
        self._reader.join(timeout=2.0)
        self._end = self._how(self._process.wait())
        return self._end

    def _how(self, code: int) -> HostEnd:
        last = next((line for line in reversed(self._said) if line.startswith("rtu-edge: ")), "")
        if self._killed:
            return HostEnd("killed", "killed by the test")
        found = re.match(r"rtu-edge: (\w+): (.*)", last)
        if found and found[1] in {reason.value for reason in StopReason}:
            return HostEnd(found[1], found[2])
        if code == 0:
            return HostEnd("signal", "left with 0")
        return HostEnd(f"exit {code}", last or "\n".join(self._said[-5:]))

    @property
    def said(self) -> list[str]:
        """Lines of its output."""
        return list(self._said)

    def __enter__(self) -> ProcessHost:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _linear(linear: Linear, observation_size: int, action_size: int) -> Any:
    """The fixed controller for a device of this size."""
    bias = list(linear.bias) or [0.0] * action_size
    gain = [list(row) for row in linear.gain]
    if len(bias) != action_size or any(len(row) != observation_size for row in gain):
        raise ConfigError(
            f"controller: made for {len(gain[0]) if gain else 'any'} observations and {len(bias)} actuators, "
            f"the device has {observation_size} and {action_size}"
        )
    return _testing.LinearPolicy(observation_size, bias, gain)
