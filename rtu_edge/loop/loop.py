"""One armed session, from ARM to DISARM, on a separate native thread."""

from __future__ import annotations

import math
import re
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from rtu_edge import _core
from rtu_edge._base.closing import Closing
from rtu_edge._base.errors import ConfigError
from rtu_edge._base.validation import check_bool, counted
from rtu_edge.device.limits import in_force
from rtu_edge.device.schema import Hello
from rtu_edge.learn.findings import names
from rtu_edge.loop.companions import whole_hello, whole_sheet
from rtu_edge.loop.flags import Clock, StopReason
from rtu_edge.loop.link import Link, LinkQuality, as_seconds
from rtu_edge.loop.options import LoopConfig, check, native_options
from rtu_edge.loop.person import Person
from rtu_edge.loop.plant import plant_options
from rtu_edge.loop.reconnecting import Reopener

__all__ = [
    "Loop",
    "LoopResult",
    "LoopStatus",
    "Progress",
    "Signals",
    "Snapshot",
    "clock_of",
    "episode_seed",
    "policy_of",
]


@dataclass(frozen=True)
class LoopStatus:
    """Status of the running loop; cheap, available at any time."""

    running: bool
    reason: StopReason
    steps: int
    episodes: int
    episode_steps: int  # of the episode under way
    mean_return: float  # of the last target_window finished episodes; NaN before the first
    device_state: int
    counters: dict[str, int]
    link: LinkQuality
    # Copied several times a second; NaN before the first.
    mean_reward: float = math.nan  # per step, of the last whole block of 1000 steps; before it of all so far
    sigma: float = math.nan  # standard deviation of the policy, [-1, 1] units, mean over actuators; NaN: discrete
    entropy: float = math.nan  # of the policy, nats
    check: int = 0  # finding of the plant checks under way, for checks.finding_text(); 0: none
    homing: bool = False  # the plant is being brought to its start
    findings: tuple[str, ...] = ()  # what the windows of the learner monitor show (docs/learner_monitor.md)


@dataclass(frozen=True)
class LoopResult:
    """How a run ended."""

    reason: StopReason
    message: str
    steps: int
    episodes: int
    seconds: float  # wall clock from ARM to the end
    mean_return: float
    confirmed: bool  # DISARM was acknowledged, or STATE reports ESTOP after an emergency stop; or no ARM was sent
    counters: dict[str, int]
    link: LinkQuality
    sent_hash: int  # in lockstep, of every distinct frame sent from ARM on (repeats not counted); otherwise 0
    received_hash: int  # in lockstep, of every frame accepted from ARM's answer on; otherwise 0
    privileges: list[str]  # refused privileges
    heap_calls: int | None  # of the loop's thread from step 100 on; None: fewer steps, or not counted (job/heap.py)
    page_faults: int | None  # the same

    def __str__(self) -> str:
        """Steps, episodes, mean return, stop reason; a line for each refused privilege."""
        what = f"{counted(self.steps, 'step')}, {counted(self.episodes, 'episode')} in {self.seconds:.1f} s"
        if math.isfinite(self.mean_return):
            what += f"; mean return of the last episodes {self.mean_return:.4g}"
        lines = [f"{what}; stopped: {self.message or self.reason.value}"]
        if not self.confirmed:
            lines.append("the device did not confirm the stop")
        return "\n".join([*lines, *(f"not granted: {each}" for each in self.privileges)])


@dataclass(frozen=True)
class Progress:
    """Progress of a session: with the learner, all that another session needs to resume."""

    steps: int  # of this session
    episodes: int  # finished in this session
    next_episode: int  # first_episode of the resuming session
    episode_steps: int  # of the episode under way; 0 at its end
    seconds: float  # from ARM on
    returns: list[float]  # of the last target_window episodes, oldest first


@dataclass(frozen=True)
class Snapshot:
    """A copy of the learner state, between two steps."""

    arena: bytes  # for `core.adopt` of a second instance
    beside: bytes  # for `encode` of the supervisor; b"" without one
    progress: Progress
    copy_ns: int  # its duration on the loop's thread


def episode_seed(base: int, episode: int) -> int:
    """Plant seed (uint32) of episode `episode` in a run with base seed `base`."""
    return int(_core.episode_seed(base & 0xFFFFFFFFFFFFFFFF, episode))


class Loop(Closing):
    """One armed session: from ARM to DISARM, on a separate thread.

    Args:
        link: after handshake(); used by the loop alone until the run is over.
        agent: a StreamAC, a policy from its `core.policy()`, or a controller with a `policy()`. From start() to the
            end, the agent's own methods raise RuntimeError, copy() and save() too; ask_snapshot() copies it meanwhile.
        config: see LoopConfig; None: in lockstep where the device offers it, else by the device's clock, unlimited.
            Required for real hardware, with limits.

    Raises:
        ConfigError: the agent has no policy.
        ValueError: configuration, agent and device do not fit; the message names the field.
    """

    def __init__(self, link: Link, agent: Any, config: LoopConfig | None = None) -> None:
        if not isinstance(link, Link):
            raise ConfigError(f"link = {link!r}: expected a Link")
        hello = link.hello
        config = check(config if config is not None else LoopConfig(clock=clock_of(hello)), hello)
        if config.reconnect_s > 0 and not link.can_reopen:
            raise ValueError("reconnect_s: the port of this link cannot be opened again by a name")
        policy = policy_of(agent)
        self.sheet = whole_sheet(link.sheet, config.companions)
        actuators = self.sheet.actuators
        self.limits = in_force(config.limits, actuators, hello.period_s)  # the tighter ones of host and device
        options = native_options(config, link.next_session, self.limits, actuators)
        options |= plant_options(config, whole_hello(hello, config.companions), self.sheet, self.limits)
        self._person: Person | None = None
        if config.take_over is not None and not config.dry_run:
            silence_ms, back_s = config.take_over_silence_ms, config.take_over_back_s
            self._person = Person(config.take_over, self.sheet, config.clock, silence_ms, back_s)
        options["take_over"] = None if self._person is None else self._person.core
        self.session: int = options["session"]
        self.config = config
        self._core = _core.Loop(link._core, policy, options)
        self._link = link
        self._started = False
        self._reopener: Reopener | None = None

    @property
    def dtype(self) -> np.dtype[Any]:
        """Fields of a telemetry record: those of RecordHead (native/runtime/record/telemetry.h), x (n,), u (m,),
        applied (m,).
        """
        return np.dtype(self._core.dtype())

    def start(self) -> None:
        """Arm and start the thread; returns at once.

        Raises:
            ValueError: the link is closed, or another loop runs on it, which continues.
            RuntimeError: the agent's run() is under way in another thread, or another loop drives it, which continues.
        """
        if self._person is not None:
            self._person.report(None)
        self._core.start()
        self._started = True
        if self._person is not None:
            self._person.start()
        self._link.show(self.sheet, [each.name for each in self.config.companions])
        for link in (self._link, *(each.link for each in self.config.companions)):
            link._loop = weakref.ref(self)
        if self.config.reconnect_s > 0:
            self._reopener = Reopener(self._link)

    def run(
        self,
        on_progress: Callable[[LoopStatus, npt.NDArray[Any]], None] | None = None,
        poll_s: float = 0.1,
    ) -> LoopResult:
        """Start, wait for the end of the run, return the result.

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
        """Wait with the interpreter lock released; True when the run has ended."""
        return bool(self._core.wait(as_seconds("seconds", seconds)))

    def result(self) -> LoopResult:
        """Join the thread and return the result."""
        raw = self._core.result()
        if self._reopener is not None:
            self._reopener.join()
        raw["message"] = self._named(raw["message"])
        raw["reason"] = StopReason(raw["reason"])
        raw["link"] = LinkQuality(**raw["link"])
        result = LoopResult(**raw)
        error = self._core.take_reward_error()
        if self._person is not None:
            self._person.stop()
            error = error or self._person.error()
        if error is not None:
            raise error
        return result

    def _named(self, message: str) -> str:
        """With the names of observations and companions in place of their numbers."""
        names, others = self.sheet.observations, self.config.companions
        message = re.sub(r"observation\[(\d+)\]", lambda found: names[int(found[1])].name, message)
        return re.sub(r"companion\[(\d+)\]", lambda found: others[int(found[1])].name, message)

    @property
    def steps(self) -> int:
        """Commands sent so far."""
        return int(self._core.status()["steps"])

    def status(self) -> LoopStatus:
        """A snapshot."""
        raw = self._core.status()
        raw["reason"] = StopReason(raw["reason"])
        raw["link"] = LinkQuality(**raw["link"])
        raw["findings"] = names(raw["findings"])
        return LoopStatus(**raw)

    def privileges(self) -> list[str] | None:
        """The refused privileges; None until they were requested."""
        return self._core.privileges()

    def drain(self) -> npt.NDArray[Any]:
        """Telemetry recorded since the last call, oldest first, as a structured array of `dtype`."""
        records: npt.NDArray[Any] = self._core.drain()
        return records

    def drain_episodes(self) -> npt.NDArray[Any]:
        """Episodes finished since the last call: episode, steps, total_steps, total_return, terminated, t_ns."""
        records: npt.NDArray[Any] = self._core.drain_episodes()
        return records

    def ask_snapshot(self) -> None:
        """Request a copy of the learner state between two steps; in lockstep at the end of an episode."""
        self._core.ask_snapshot()

    def take_snapshot(self) -> Snapshot | None:
        """The requested copy, once available; then another may be requested. One thread may call both."""
        taken = self._core.take_snapshot()
        return None if taken is None else Snapshot(taken[0], taken[1], Progress(**taken[2]), taken[3])

    def progress(self) -> Progress:
        """Progress of the session; only before the start and after the end."""
        return Progress(**self._core.progress())

    def request_stop(self) -> None:
        """Safe action, DISARM, stop, like the first signal. Returns at once."""
        self._core.request_stop()

    def request_estop(self) -> None:
        """ESTOP until STATE reports it, like the second signal. Returns at once."""
        self._core.request_estop()

    def set_learning(self, learn: bool, explore: bool) -> None:
        """Freeze or resume learning and exploring, from the next step on.

        Raises:
            ValueError: learn without explore.
        """
        if check_bool("learn", learn) and not check_bool("explore", explore):
            raise ValueError("learn=True needs explore=True: the learner learns from what it sampled")
        self._core.set_learning(check_bool("learn", learn), check_bool("explore", explore))

    def close(self) -> None:
        """Stop like request_stop() and wait for the end. Idempotent, also before start()."""
        if self._started:
            self._core.request_stop()
            self._core.result()
            if self._person is not None:
                self._person.stop()
            if self._reopener is not None:
                self._reopener.join()


def clock_of(hello: Hello) -> Clock:
    """The default clock of a loop: lockstep if the device supports it, else the device's."""
    return Clock.LOCKSTEP if hello.simulated and hello.lockstep and hello.reset else Clock.DEVICE


def policy_of(agent: Any) -> _core.Policy:
    """The policy of an agent for a loop.

    Raises:
        ConfigError: it has no policy.
    """
    if isinstance(agent, _core.Policy):
        return agent
    for owner in (getattr(agent, "core", None), agent):
        policy = getattr(owner, "policy", None)
        made = policy() if callable(policy) else policy
        if isinstance(made, _core.Policy):
            return made
    raise ConfigError(f"agent = {agent!r}: expected an agent that acts, such as rtu_edge.StreamAC, or its policy")


class Signals:
    """While open, SIGINT, SIGTERM and SIGHUP are counted instead of raised, also between and after loops.

    SIGHUP counts only as the first, and not if it is ignored (nohup).
    A loop with handle_signals installs its own handlers; an application that saves after a stop opens this context
    around both, so that the second signal does not interrupt saving.
    """

    def __init__(self) -> None:
        self._core = _core.Signals()

    @property
    def count(self) -> int:
        """Number of signals since the first holder started."""
        return int(self._core.count())

    def __enter__(self) -> Signals:
        self._core.enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._core.leave()
