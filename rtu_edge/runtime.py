"""The native control loop, from Python: open a link, describe the run, start it, look at it, stop it.

The loop itself (receive, decode, predict, gate, send, learn, record) is a C++ thread that never takes the
interpreter lock, except for a reward given as a Python callable. This module only chooses and reports.

    with Link(port, control=control.socket_path(path)) as link:         # port: an open pyserial port
        hello = link.handshake()
        loop = Loop(link, agent.core.policy(), LoopConfig(limits=[Limits(-10, 10)], seed=0, steps=100_000))
        result = loop.run(on_progress=lambda status, records: ...)
"""

from __future__ import annotations

import enum
import os
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from types import TracebackType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from rtu_edge import _core
from rtu_edge.control import PortLock
from rtu_edge.errors import DeviceError

__all__ = [
    "CallFlag",
    "Clock",
    "GateFlag",
    "Hello",
    "Limits",
    "Link",
    "LinkError",
    "Loop",
    "LoopConfig",
    "LoopResult",
    "LoopStatus",
    "RecordFlag",
    "Reward",
    "Row",
    "Signals",
    "StopReason",
    "episode_seed",
]


class LinkError(DeviceError):
    """The device did not answer, refused, or went away; the message says which."""


class Clock(enum.Enum):
    """What makes the loop's tick."""

    DEVICE = "device"  # one step per new STATE, which the device sends on its own timer; a watchdog counts missing ones
    HOST = "host"  # absolute deadlines of the host, for buses that answer when asked
    LOCKSTEP = "lockstep"  # virtual time: the plant steps once per command, as fast as the link allows


class StopReason(enum.Enum):
    """Why a run ended."""

    NONE = "none"  # still running
    STEPS = "steps"
    SECONDS = "seconds"
    EPISODES = "episodes"
    TARGET = "target"  # the mean return of the last episodes reached the target
    REQUEST = "request"  # Loop.request_stop(), or the progress callback raised
    SIGNAL = "signal"  # the first SIGINT or SIGTERM
    ESTOP = "estop"  # emergency stop asked for by this process, a second signal or the control socket
    DEVICE_SAFE = "device_safe"  # the device went to SAFE: it saw no fresh command in time
    DEVICE_FAULT = "device_fault"  # the device reports a fault or an emergency stop that was not ours
    DEVICE_RESTART = "device_restart"  # new boot_id, or DISARMED while believed armed
    HALF_OPEN = "half_open"  # STATE arrives, commands do not
    LINK_LOST = "link_lost"  # nothing arrives, or the port is gone
    ARM_REFUSED = "arm_refused"
    RESET_TIMEOUT = "reset_timeout"
    POLICY = "policy"  # the policy failed, or gave non-finite actions, several times in a row
    REWARD = "reward"  # the Python reward callable raised


class RecordFlag(enum.IntFlag):
    """Bits of a telemetry record's `flags`."""

    FIRST = 1  # first observation of an episode
    TERMINATED = 2
    TRUNCATED = 4
    ACTED = 8  # a command left (in a dry run: would have)
    LEARNED = 16  # a transition was learned from
    REPLACED = 32  # the applied command was not what the policy chose
    PREDICT_FAILED = 64
    LEARN_FAILED = 128
    REWARD_REFUSED = 256  # not finite: not learned from


class CallFlag(enum.IntFlag):
    """Bits of a telemetry record's `calls`: what the policy was asked for."""

    BEGIN = 1
    PREDICT = 2
    EXPLORE = 4
    LEARN = 8
    EXECUTED = 16  # learn was told that something else was carried out
    UPDATE = 32  # the weights moved; without it the deadline rule dropped the update


class GateFlag(enum.IntFlag):
    """Bits of a telemetry record's `gate`."""

    NON_FINITE = 1  # replaced by the last value sent
    RANGE = 2
    SLEW = 4
    HELD = 8  # no prediction: the last command was sent again
    CLIPPED = 16  # the policy's own action was outside -1..1; not a hit of the gate


@dataclass(frozen=True)
class Hello:
    """What the device says about itself."""

    protocol: int
    boot_id: int
    schema_hash: int
    period_us: int
    ttl_max_ms: int
    n_observations: int
    n_actuators: int
    simulated: bool
    lockstep: bool
    reward: bool
    reset: bool
    firmware: str
    last_session: int  # highest session number used since the device's boot


@dataclass(frozen=True)
class Row:
    """One observation or actuator of the device's data sheet (DESCRIBE)."""

    index: int
    actuator: bool
    name: str
    unit: str
    minimum: float
    maximum: float
    slew: float  # largest change per period; infinite: no limit
    safe: str  # what it does when the device goes safe: "hold", "damp", "ramp", "off"; "none" for an observation
    safe_value: float


@dataclass(frozen=True)
class Limits:
    """Limits of one actuator, in its own unit; the tighter of these and the device's win.

    Args:
        low, high: range; the policy's -1 and 1 map to the two ends.
        slew_per_s: largest change per second, or None.
        rest: sent once before disarming on a stop; clamped to the range.
    """

    low: float
    high: float
    slew_per_s: float | None = None
    rest: float = 0.0


@dataclass(frozen=True)
class Reward:
    """Reward of a transition: from the device's frame, a native form, or a Python callable.

    The form is ``bias + sum quadratic_i x_i^2 + sum cosine_i cos(x_i) + sum action_k u_k^2`` with x the observation
    that ends the transition (raw units) and u the applied command (actuator units).

    Args:
        kind: "frame", "form" or "callable".
        bias, quadratic, cosine, action: the form's weights; missing ones are 0.
        function: ``function(x, u) -> float`` on float32 arrays. Slower: takes the interpreter lock once per step, so
            that anything that holds the lock stops the loop. Not for real hardware.
    """

    kind: str = "frame"
    bias: float = 0.0
    quadratic: Sequence[float] = ()
    cosine: Sequence[float] = ()
    action: Sequence[float] = ()
    function: Callable[[npt.NDArray[np.float32], npt.NDArray[np.float32]], float] | None = None


@dataclass(frozen=True)
class LoopConfig:
    """Everything a run needs to know before it arms.

    Args:
        limits: one per actuator, or empty to take the device's own (simulated devices and dry runs only).
        clock: what makes the tick.
        reward: see Reward.
        seed: base seed; episode k resets the plant with ``episode_seed(seed, k)``.
        session: session number, above all used since the device's boot; None takes the next one.
        first_episode: number of the first episode, for its seed.
        learn: learn from transitions; False freezes the policy.
        explore: sample actions; False takes the mode. Learning needs exploring.
        dry_run: after the handshake nothing is written to the device (no ARM, CMD, RESET); the loop runs on the STATE
            the device streams, and the actions that the device reports as applied count as executed.
        steps, seconds, episodes: stop after so many commands, seconds of wall clock, or finished episodes; 0 = no limit.
            The outcome of the last command is still learned from.
        target_return: stop when the mean return of the last `target_window` episodes is at least this; None = never.
        ttl_ms: life of a command; 0 takes 3 periods (at least 20 ms). The device caps it.
        gate: value gate before the wire (finite, range, slew).
        max_bad_actions: consecutive non-finite or failed actions before the run stops (until then the last is held).
        retry_ms, retries: lockstep: first wait before a command is sent again, and how often.
        ring_records, ring_episodes: telemetry that fits before records are dropped (and counted).
        realtime: ask for locked memory, SCHED_FIFO and one core (never in lockstep); what is refused is reported once.
        cpu: the core to pin the loop to, -1 for none.
        handle_signals: first SIGINT or SIGTERM: safe action, DISARM, stop; second: ESTOP.
    """

    limits: Sequence[Limits] = ()
    clock: Clock = Clock.LOCKSTEP
    reward: Reward = field(default_factory=Reward)
    seed: int = 0
    session: int | None = None
    first_episode: int = 1
    learn: bool = True
    explore: bool = True
    dry_run: bool = False
    steps: int = 0
    seconds: float = 0.0
    episodes: int = 0
    target_return: float | None = None
    target_window: int = 20
    ttl_ms: int = 0
    gate: bool = True
    max_bad_actions: int = 5
    retry_ms: float = 100.0
    retries: int = 20
    reset_timeout_s: float = 60.0
    ring_records: int = 65536
    ring_episodes: int = 16384
    realtime: bool = False
    cpu: int = -1
    handle_signals: bool = True


@dataclass(frozen=True)
class LoopStatus:
    """A snapshot of the running loop; cheap, may be taken at any time."""

    running: bool
    reason: StopReason
    steps: int
    episodes: int
    episode_steps: int  # of the episode under way
    mean_return: float  # of the last target_window finished episodes; NaN before the first
    device_state: int
    counters: dict[str, int]


@dataclass(frozen=True)
class LoopResult:
    """How a run ended."""

    reason: StopReason
    message: str
    steps: int
    episodes: int
    seconds: float  # wall clock from ARM to the end
    mean_return: float
    confirmed: bool  # the device's STATE confirmed the stop: DISARMED, SAFE, or ESTOP after an emergency stop
    counters: dict[str, int]
    sent_hash: int  # of every distinct frame sent from ARM on (repeats not counted): equal bytes, equal hash
    received_hash: int  # of every frame accepted from ARM's answer on
    privileges: list[str]  # what the loop asked the system for and did not get


class _Descriptor(Protocol):
    def fileno(self) -> int: ...


def episode_seed(base: int, episode: int) -> int:
    """Seed (uint32) with which episode `episode` of a run with base seed `base` resets the plant."""
    return int(_core.episode_seed(base & 0xFFFFFFFFFFFFFFFF, episode))


class Link:
    """The host's end of RTU-Link over a duplicate of an open port's descriptor.

    Args:
        port: an open pyserial port, anything else with fileno(), or a descriptor. It stays open and belongs to the
            caller; nothing else may read or write it while the link is open.
        control: path of the Unix control socket to serve while the link is open (control.socket_path()), or None. It
            also takes the port's lock: a second owner gets a DeviceError.
        capture_bytes: keep this many of the bytes counted by `sent_hash`, for tests.
    """

    def __init__(self, port: _Descriptor | int, *, control: str | None = None, capture_bytes: int = 0) -> None:
        fd = port if isinstance(port, int) else port.fileno()
        self._hello: Hello | None = None
        self._rows: list[Row] = []
        self._loop: weakref.ref[Loop] | None = None
        self._lock = PortLock(control) if control is not None else None
        try:
            self._core = _core.Link(os.dup(fd), capture_bytes)
            if control is not None:
                self._core.serve_control(control)
        except BaseException:
            if self._lock is not None:
                self._lock.release()
            raise

    def handshake(self, timeout_s: float = 3.0) -> Hello:
        """Ask for HELLO until it comes, discarding boot noise.

        Raises:
            LinkError: nothing that speaks RTU-Link answered in time, or another protocol version did.
        """
        raw = _checked(self._core.handshake(timeout_s))
        self._hello = Hello(**raw)
        self._rows = []
        return self._hello

    def describe(self, timeout_s: float = 3.0) -> list[Row]:
        """Read the data sheet, observations first, and check it against the schema hash of HELLO.

        Raises:
            LinkError: a row did not arrive, or the rows do not hash to what HELLO said.
        """
        self._rows = [Row(**row) for row in _checked(self._core.describe(timeout_s))]
        return list(self._rows)

    @property
    def rows(self) -> list[Row]:
        """The data sheet, asked for when it is first needed."""
        return list(self._rows) if self._rows else self.describe()

    @property
    def last_session(self) -> int:
        """Highest session number used since the device's boot, as far as this link knows."""
        return int(self._core.last_session)

    @property
    def hello(self) -> Hello:
        """The last HELLO.

        Raises:
            LinkError: before handshake().
        """
        if self._hello is None:
            raise LinkError("handshake() first")
        return self._hello

    def estop(self, timeout_s: float = 2.0) -> bool:
        """Send ESTOP until STATE says ESTOP; True only then. With a loop running, the loop does it."""
        return bool(self._core.estop(timeout_s))

    def disarm(self, timeout_s: float = 1.0) -> bool:
        """Send DISARM until the device acknowledges it; True only then."""
        return bool(self._core.disarm(timeout_s))

    def clear_fault(self, timeout_s: float = 1.0) -> bool:
        """Clear a latched fault or emergency stop; True when the device acknowledges it."""
        return bool(self._core.clear_fault(timeout_s))

    @property
    def counters(self) -> dict[str, int]:
        """Frames, bytes, CRC errors, retries, timeouts since the link was opened."""
        return dict(self._core.counters())

    @property
    def captured(self) -> tuple[bytes, bytes]:
        """The first bytes that `sent_hash` and `received_hash` counted (see capture_bytes)."""
        sent, received = self._core.captured()
        return bytes(sent), bytes(received)

    def close(self) -> None:
        """Stop a loop that still runs, and the control socket; close the descriptor. Twice is harmless."""
        loop = self._loop() if self._loop is not None else None
        if loop is not None:
            loop.close()
        self._core.close()
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> Link:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Loop:
    """One armed session: from ARM to DISARM, on a thread of its own.

    Args:
        link: after handshake(); used by the loop alone until the run is over.
        policy: `agent.core.policy()`, or `_core.LinearPolicy(...).policy()`. The agent must not be used by
            anybody else while the loop runs.
        config: see LoopConfig.

    Raises:
        ValueError: configuration, policy and device do not fit; the message names the field.
    """

    def __init__(self, link: Link, policy: Any, config: LoopConfig) -> None:
        hello = link.hello
        _check(config, hello)
        options: dict[str, Any] = {entry.name: getattr(config, entry.name) for entry in fields(config)}
        options["clock"] = config.clock.value
        options["session"] = config.session if config.session is not None else link.last_session + 1
        options["limits"] = _tighter(config.limits, link.rows[hello.n_observations :], hello.period_us * 1e-6)
        options["reward"] = {
            "kind": config.reward.kind,
            "bias": config.reward.bias,
            "quadratic": list(config.reward.quadratic),
            "cosine": list(config.reward.cosine),
            "action": list(config.reward.action),
            "function": config.reward.function,
        }
        self.session: int = options["session"]
        self.config = config
        self._core = _core.Loop(link._core, policy, options)
        self._started = False
        link._loop = weakref.ref(self)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Fields of a telemetry record: those of RecordHead (native/runtime/telemetry.h), x (n,), u (m,), executed (m,)."""
        return np.dtype(self._core.dtype())

    def start(self) -> None:
        """Arm and start the thread; returns at once."""
        self._core.start()
        self._started = True

    def run(
        self,
        on_progress: Callable[[LoopStatus, npt.NDArray[Any]], None] | None = None,
        poll_s: float = 0.1,
    ) -> LoopResult:
        """Start, wait until the run is over, return how it ended.

        Args:
            on_progress: called about each poll_s with a status and the telemetry since the last call (also once at the
                end). If it raises, the loop is stopped as by the first signal and the exception passed on.
            poll_s: s; between calls the interpreter lock is released.
        """
        self.start()
        try:
            while not self.wait(poll_s):
                if on_progress is not None:
                    on_progress(self.status(), self.drain())
        except BaseException:
            self.request_stop()
            self.result()
            raise
        if on_progress is not None:
            on_progress(self.status(), self.drain())
        return self.result()

    def wait(self, seconds: float) -> bool:
        """Wait with the interpreter lock released; True when the run is over."""
        return bool(self._core.wait(seconds))

    def result(self) -> LoopResult:
        """Join the thread and say how the run ended."""
        raw = self._core.result()
        raw["reason"] = StopReason(raw["reason"])
        result = LoopResult(**raw)
        error = self._core.take_reward_error()
        if error is not None:
            raise error
        return result

    def status(self) -> LoopStatus:
        """A snapshot."""
        raw = self._core.status()
        raw["reason"] = StopReason(raw["reason"])
        return LoopStatus(**raw)

    def drain(self) -> npt.NDArray[Any]:
        """Telemetry recorded since the last call, oldest first, as a structured array of `dtype`."""
        records: npt.NDArray[Any] = self._core.drain()
        return records

    def drain_episodes(self) -> npt.NDArray[Any]:
        """Episodes finished since the last call: episode, steps, total_steps, total_return, terminated, t_ns."""
        records: npt.NDArray[Any] = self._core.drain_episodes()
        return records

    def request_stop(self) -> None:
        """Safe action, DISARM, stop: what the first signal does. Returns at once."""
        self._core.request_stop()

    def request_estop(self) -> None:
        """ESTOP until STATE says so: what the second signal does. Returns at once."""
        self._core.request_estop()

    def set_learning(self, learn: bool, explore: bool) -> None:
        """Freeze or resume learning and exploring, from the next step on.

        Raises:
            ValueError: learn without explore.
        """
        if learn and not explore:
            raise ValueError("learn=True needs explore=True: the learner learns from what it sampled")
        self._core.set_learning(learn, explore)

    def __enter__(self) -> Loop:
        return self

    def close(self) -> None:
        """Stop as by request_stop() and wait for the end. Twice, or before start(), is harmless."""
        if self._started:
            self._core.request_stop()
            self._core.result()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Signals:
    """While open, SIGINT and SIGTERM are counted instead of raised, also between and after loops.

    A loop with handle_signals takes the two signals over by itself; an application that saves after a stop opens this
    around both, so that the second signal does not interrupt the saving.
    """

    def __init__(self) -> None:
        self._core = _core.Signals()

    @property
    def count(self) -> int:
        """Signals that have come since the first holder began."""
        return int(self._core.count())

    def __enter__(self) -> Signals:
        self._core.enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._core.leave()


def _checked(answer: Any) -> Any:
    if isinstance(answer, str):
        raise LinkError(answer)
    return answer


def _tighter(limits: Sequence[Limits], rows: Sequence[Row], period_s: float) -> list[tuple[float, float, float, float]]:
    """Low, high, slew per second (0: none) and rest of each actuator: the tighter of host and device wins."""
    out = []
    for index, row in enumerate(rows):
        own = limits[index] if limits else Limits(row.minimum, row.maximum)
        low, high = max(own.low, row.minimum), min(own.high, row.maximum)
        if not low < high:
            raise ValueError(
                f"limits[{index}]: {own.low}..{own.high} leaves nothing of the device's {row.minimum}..{row.maximum}"
                f" {row.unit} for {row.name}"
            )
        slew = min(own.slew_per_s if own.slew_per_s is not None else np.inf, row.slew / period_s)
        out.append((low, high, float(slew) if np.isfinite(slew) else 0.0, own.rest))
    return out


def _check(config: LoopConfig, hello: Hello) -> None:
    if config.limits and len(config.limits) != hello.n_actuators:
        raise ValueError(f"limits: {len(config.limits)} given, the device has {hello.n_actuators} actuators")
    if not config.limits and not hello.simulated and not config.dry_run:
        raise ValueError("limits: a device that is not simulated needs one entry per actuator")
    for index, limits in enumerate(config.limits):
        if not (np.isfinite(limits.low) and np.isfinite(limits.high) and limits.low < limits.high):
            raise ValueError(f"limits[{index}]: low {limits.low} must be below high {limits.high}, both finite")
        if limits.slew_per_s is not None and not limits.slew_per_s > 0:
            raise ValueError(f"limits[{index}].slew_per_s: {limits.slew_per_s}, allowed: above 0, or None")
    if config.clock is Clock.LOCKSTEP and not (hello.lockstep and hello.simulated and hello.reset):
        raise ValueError("clock: lockstep needs a simulated device that offers lockstep and RESET")
    if config.clock is Clock.LOCKSTEP and config.realtime:
        raise ValueError("realtime: never together with lockstep")
    if config.learn and not config.explore:
        raise ValueError("learn: True needs explore=True")
    if config.session is not None and not 0 < config.session < 2**32:
        raise ValueError(f"session: {config.session}, allowed: 1..4294967295")
    if not 0 <= config.first_episode <= 0xFFFF:
        raise ValueError(f"first_episode: {config.first_episode}, allowed: 0..65535")
    if not 1 <= config.target_window <= 1024:
        raise ValueError(f"target_window: {config.target_window}, allowed: 1..1024")
    reward = config.reward
    if reward.kind not in ("frame", "form", "callable"):
        raise ValueError(f"reward.kind: {reward.kind!r}, allowed: 'frame', 'form', 'callable'")
    if reward.kind == "frame" and not hello.reward:
        raise ValueError("reward.kind: 'frame', but the device sends no reward; give a form")
    if reward.kind == "callable" and not callable(reward.function):
        raise ValueError("reward.function: needed for kind 'callable'")
    widths = {"quadratic": hello.n_observations, "cosine": hello.n_observations, "action": hello.n_actuators}
    for name, width in widths.items():
        if len(getattr(reward, name)) not in (0, width):
            raise ValueError(f"reward.{name}: {len(getattr(reward, name))} weights given, the device has {width}")
