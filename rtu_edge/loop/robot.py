"""A device as a robot: observations and commands in physical units, control by a learner, and one object to close.

>>> import rtu_edge as rtu
>>> with rtu.connect("cartpole") as robot:
...     observation, info = robot.reset(seed=1)
...     observation, reward, terminated, truncated, info = robot.step([2.5])
...     observation.shape, reward, terminated
((2,), 1.0, False)
"""

from __future__ import annotations

import dataclasses
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import numpy.typing as npt

from rtu_edge._base.closing import Closing
from rtu_edge._base.errors import ConfigError
from rtu_edge._base.progress import Callback, callbacks
from rtu_edge._base.validation import check_bool, check_values
from rtu_edge.device.limits import in_force
from rtu_edge.device.schema import DataSheet, Hello, Limits, scale_to
from rtu_edge.learn.findings import report
from rtu_edge.loop.access import Access
from rtu_edge.loop.checks import Findings, to_stderr
from rtu_edge.loop.demonstrated import Shown
from rtu_edge.loop.describe import Description
from rtu_edge.loop.driving import as_config_error, check_deadline, check_fit, check_reward, only_here, supervised_agent
from rtu_edge.loop.flags import Clock
from rtu_edge.loop.given import GivenReward, arming_example, reward_in_run
from rtu_edge.loop.link import Link
from rtu_edge.loop.loop import Loop, LoopStatus
from rtu_edge.loop.options import LoopConfig
from rtu_edge.loop.own_loop import OwnLoop
from rtu_edge.loop.permission import Permission
from rtu_edge.loop.result import RobotResult, Tally
from rtu_edge.loop.stops import error_of, with_port
from rtu_edge.loop.supervisor import Tables
from rtu_edge.loop.take_over import Source, TakeOver

__all__ = ["Robot"]

Array = npt.NDArray[np.float32]


class Robot(Closing):
    """An open device; made by connect(). Closing is idempotent. One call at a time, estop() excepted.

    In your own loop a command is valid for its TTL (default: 3 periods). If a script stalls longer, the device goes
    safe; the next write() or step() then raises SafetyStop, and reset() or arm() starts a new session. In lockstep the
    simulated plant waits.

    Args:
        name: of the plant, or the port.
        link: after handshake() and describe(); belongs to the caller.
        config: of its sessions.
        port: its name for other processes.
        arm: real hardware may move.
        has_reward: a reward is available for step() and run().
        given: first argument of the connect() call that made it, as text; "": the name, in quotes.
    """

    def __init__(
        self,
        name: str,
        link: Link,
        config: LoopConfig,
        *,
        port: str = "",
        arm: bool = False,
        has_reward: bool = True,
        given: str = "",
    ) -> None:
        self.name = name
        self.port = port
        self._link = link
        self._config = config
        self._has_reward = has_reward
        self._stack = ExitStack()
        hello, sheet = link.hello, link.sheet
        self._limits = in_force(config.limits, sheet.actuators, sheet.period_s)
        self._permission = Permission(name, hello.simulated, arming_example(given or f'"{name}"', sheet.actuators))
        if arm:
            self._permission.grant()
        self._own = OwnLoop(name, link, config, self._permission, self._notice)
        self._loop: Loop | None = None
        self._noticed = hello.simulated
        self._access = Access(name, self._end)

    # ------------------------------------------------------------ what it is

    @property
    def sheet(self) -> DataSheet:
        """Period and channels."""
        return self._link.sheet

    @property
    def hello(self) -> Hello:
        """Identity and capabilities of the device."""
        return self._link.hello

    @property
    def link(self) -> Link:
        """The link, for your own Loop; not while this robot is armed."""
        return self._link

    @property
    def limits(self) -> list[Limits]:
        """In force, one per actuator: the tighter ones of host and device."""
        return list(self._limits)

    @property
    def simulated(self) -> bool:
        """Nothing real moves."""
        return self.hello.simulated

    @property
    def armed(self) -> bool:
        """A session of write(), step() or reset() is open, as far as the host knows."""
        return self._own.armed

    @property
    def applied(self) -> Array | None:
        """Applied actuator values in the last observation (m,), in their units; None before the first."""
        return None if self._own.sample is None else self._own.sample.applied.copy()

    def describe(self) -> Description:
        """Channels with unit, range, limits in force and safe behaviour; prints as a table."""
        return Description(self.name, self.hello, self.sheet, self.limits)

    def scale(self, action: Any) -> Array:
        """Actions in [-1, 1], clipped to it, as commands in the units of the actuators, within the limits in force.

        Args:
            action: (m,), finite.

        Raises:
            ConfigError: another shape, or not finite.
        """
        values = check_values("action", action, (self.sheet.action_size,))
        low, high = (np.array([getattr(own, end) for own in self._limits], np.float32) for end in ("min", "max"))
        return scale_to(low, high, values)

    def __repr__(self) -> str:
        state = "closed" if self._access.closed else self._access.user or ("armed" if self.armed else "not armed")
        seen, acted = (", ".join(row.name for row in rows) for rows in (self.sheet.observations, self.sheet.actuators))
        kind = "simulated" if self.simulated else "real hardware"
        return f"Robot({self.name!r}): {seen} -> {acted}; {1 / self.sheet.period_s:g} Hz, {kind}, {state}"

    # ------------------------------------------------------------ own loops

    def read(self) -> Array:
        """The newest observation, float32 (n,), in the units of the data sheet.

        By the device's clock it waits for one that is newer than the last (at most about a period), so a loop of read()
        and write() runs at the device's rate. In lockstep it is the answer to the last command.

        Raises:
            DeviceError: the device is silent, restarted, or gone.
            SafetyStop: an armed session has ended: TTL, fault or emergency stop.
        """
        with self._access.using("read()"):
            return self._own.read().x

    def write(self, u: Any) -> Array:
        """Command the actuators; arms at the first call.

        The command is valid for its TTL: if a script stalls longer, the device goes safe, and the next write()
        raises.

        Args:
            u: (m,), or one number for one actuator; in the units of the data sheet. Range, slew and acceleration limits
                hold.

        Returns:
            What the device applied (lockstep), or the command sent after the limits (m,); the device's own limits are
            visible in `applied` after the next read().

        Raises:
            ConfigError: u has another shape or is not finite; real hardware without arm=True and limits.
            DeviceError, SafetyStop: see read().
        """
        with self._access.using("write()"):
            return self._own.write(u)

    def step(self, u: Any) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Command the actuators, and wait for the observation that follows.

        Args:
            u: as for write().

        Returns:
            Gymnasium's five: observation (n,), reward, terminated, truncated, {"applied": (m,), "sent": (m,)}.

        Raises:
            ConfigError: as write(); there is no reward; the episode has ended.
            DeviceError, SafetyStop: see read().
        """
        with self._access.using("step()"):
            if not self._has_reward:
                raise ConfigError(f"{self.name} sends no reward: connect(..., reward=...) with a Reward or a function")
            return self._own.step(u)

    def reset(self, seed: int | None = None, options: Any = None) -> tuple[Array, dict[str, Any]]:
        """Begin an episode; arms if necessary, also after a stop.

        Args:
            seed: 0 to 2^32 - 1, of a simulated plant's start; None: the next one. A device without RESET ignores it.
            options: ignored, for Gymnasium.

        Returns:
            The first observation (n,), {"plant_seed": seed}.

        Raises:
            ConfigError: the seed is out of range; real hardware without arm=True and limits.
            DeviceError, SafetyStop: see read().
        """
        with self._access.using("reset()"):
            return self._own.reset(seed)

    def arm(self) -> None:
        """Start a session, like the first write(); also after a stop by the device. Raises as write()."""
        with self._access.using("arm()"):
            self._own.arm()

    def disarm(self) -> None:
        """End the session of write() and step(): the rest values, then DISARM. No effect without a session."""
        with self._access.using("disarm()"):
            self._own.close()

    def estop(self, timeout_s: float = 2.0) -> bool:
        """Emergency stop; from any thread. True once the device's STATE reports ESTOP, which is latched (see clear()).

        Software, not a certified safety function.
        """
        loop = self._loop
        if loop is not None:
            loop.request_estop()
        return self._link.estop(timeout_s)

    def clear(self) -> bool:
        """Unlatch an emergency stop or a fault, after the plant was inspected; True when the device acknowledges."""
        with self._access.using("clear()"):
            self._own.close()
            return self._link.clear_fault()

    # ------------------------------------------------------------ a learner

    def run(
        self,
        agent: Any,
        steps: int = 0,
        *,
        seconds: float = 0.0,
        episodes: int = 0,
        target_return: float | None = None,
        learn: bool = True,
        deterministic: bool = False,
        reward: GivenReward = None,
        seed: int = 0,
        progress: bool = True,
        callback: Callback | Sequence[Callback] | None = None,
        on_progress: Callable[[LoopStatus, npt.NDArray[Any]], object] | None = None,
        supervisor: Tables | bool = True,
        any_period: bool = False,
        **loop: Any,
    ) -> RobotResult:
        """Run an agent in the native loop, without the interpreter lock; the agent can be used afterwards.

        Ctrl-C: rest values, DISARM, and the result so far; a second one: emergency stop. `rtu-edge estop` works.

        Args:
            agent: a StreamAC for this many observations and actuators, or a policy. Its actions in [-1, 1] span the
                limits in force.
            steps, seconds, episodes: limits; 0: no limit.
            target_return: stop when the mean return of the last 20 episodes is at least this.
            learn: False freezes the weights.
            deterministic: no exploration; needs learn=False.
            reward: in place of that of connect().
            seed: base seed of the episodes' starts; a later run continues their numbers.
            progress: steps, rate and returns on standard error.
            callback: of agent.learn(): one or several functions of a StepRecord, such as a CSVWriter, called for each
                transition, up to 0.1 s later. One that returns False stops the run.
            on_progress: called about ten times a second with a LoopStatus and the new records (docs/log.md). An
                exception of this or of a callback ends the run and is passed on.
            supervisor: True: sensor monitor and learner monitor with rollback, as `rtu-edge run` has by default
                (docs/safety.md); a configuration with these tables, as load_config() returns; False: none.
            any_period: accept an agent made for a period that differs by more than 20 %.
            loop: further fields of LoopConfig, such as realtime=True or take_over=FUNCTION; not limits.

        Returns:
            How it ended; prints as a summary.

        Raises:
            ConfigError: agent or options do not fit; real hardware without arm=True and limits.
            DeadlineError: in real time the agent's step does not fit the period on this host.
            DeviceError, SafetyStop: the run ended by the device, its link or a stop; `.result` has the RobotResult.
        """
        if check_bool("learn", learn) and check_bool("deterministic", deterministic):
            raise ConfigError("deterministic = True: needs learn=False, as learning needs exploration")
        if "limits" in loop or not (self.simulated or loop.get("command_limiter", True)):
            raise ConfigError("limits, command_limiter: the limits of connect() hold in run() too; connect with others")
        called = callbacks(callback)
        if callable(person := loop.get("take_over")):
            loop["take_over"] = self._access.inside(person)
        with self._access.using("run()"), only_here(agent):
            self._permission.require()
            check_fit(agent, self.name, self.sheet, any_period=any_period)
            config = dataclasses.replace(
                self._config,
                reward=reward_in_run(reward, self._config.reward, self.hello, self._access.inside),
                steps=steps,
                seconds=seconds,
                episodes=episodes,
                target_return=target_return,
                learn=learn,
                explore=not deterministic,
                seed=seed,
                first_episode=self._own.next_episode,
                **{"handle_signals": threading.current_thread() is threading.main_thread(), **loop},
            )
            sent = self._has_reward or reward is not None
            check_reward(config.reward.kind, self.name, sent=sent or not learn, simulated=self.simulated)
            if config.clock is not Clock.LOCKSTEP and hasattr(agent, "config"):
                check_deadline(agent, self.sheet.period_s)
            watched = supervised_agent(agent, self.sheet, self._limits, self.simulated, supervisor)
            self._own.close()
            with as_config_error():
                made = Loop(self._link, agent if watched is None else watched.policy, config)
            self._notice()
            shown = Shown(self._limits, agent.config["n_actions"]) if config.take_over is not None else None
            tally = Tally(steps, progress, called, made.request_stop, self.sheet.action_size == 1, shown)
            result = self._drive(made, tally, on_progress)
        trouble = error_of(result, watched.fallback_error() if watched is not None else None)
        if trouble is not None:
            trouble.result = result  # type: ignore[union-attr]
            raise trouble
        report(agent)
        return result

    def take_over(self, agent: Any, source: Source, *, back_s: float = 1.0) -> TakeOver:
        """An agent that a person may take over from, for your own loop; in run(): take_over=source.

        Args:
            agent: a learner for this many observations and actuators.
            source: called with each observation (n,); returns commands (m,), or None while hands are off.
            back_s: time of the way back from the person's last command, 0 to 60 s.
        """
        check_fit(agent, self.name, self.sheet)
        return TakeOver(agent, source, self.sheet, self._limits, back_s)

    def _drive(self, loop: Loop, tally: Tally, told: Callable[[LoopStatus, Any], object] | None) -> RobotResult:
        findings = Findings(loop.config.checks, self.sheet, to_stderr(self.name))

        def watch(status: LoopStatus, records: npt.NDArray[Any]) -> None:
            findings.take(status.check)
            tally.take(records)
            loop.drain_episodes()
            if told is not None:
                told(status, records)

        self._loop = loop
        try:
            with loop, tally:
                result = with_port(loop.run(watch), self.port or self.name)
        finally:
            self._loop = None
            self._own.next_episode = loop.progress().next_episode
            self._own.forget()
        return tally.result(result)

    # ------------------------------------------------------------ the session

    def _notice(self) -> None:
        """Printed once before real hardware moves: what may move, as by `rtu-edge run --arm --yes`."""
        if self._noticed:
            return
        self._noticed = True
        print(self.describe().notice, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Rest values and DISARM, end what connect() started, close the port. Idempotent.

        From a callback or a reward of this robot: once the call that it belongs to has ended; run() stops.
        """
        if self._access.closed:
            return
        if self._loop is not None:
            self._loop.request_stop()
        self._access.close()

    def _end(self) -> None:
        self._own.close()
        self._stack.close()
