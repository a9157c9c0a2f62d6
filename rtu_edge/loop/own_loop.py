"""A script's own loop over a link: read, write, step, reset. Arms when it first has to, and reports why it ended."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from rtu_edge._base.closing import Closing
from rtu_edge._base.errors import ConfigError, DeviceError, SafetyStop
from rtu_edge._base.validation import check_int, check_values
from rtu_edge.device.limits import in_force
from rtu_edge.loop.checks import Findings, check_options, to_stderr
from rtu_edge.loop.flags import Clock
from rtu_edge.loop.link import Link
from rtu_edge.loop.loop import episode_seed
from rtu_edge.loop.manual import Manual, Sample, evaluate
from rtu_edge.loop.options import LoopConfig
from rtu_edge.loop.permission import Permission
from rtu_edge.loop.plant import OwnStart

__all__ = ["OwnLoop"]

Array = npt.NDArray[np.float32]


class OwnLoop(Closing):
    """One caller's session with a device, opened when it is needed.

    Args:
        name: of the device, for errors.
        link: after handshake() and describe().
        config: limits, clock, reward, ttl_ms, seed.
        permission: asked before each ARM.
        notice: called before each ARM.
    """

    def __init__(
        self, name: str, link: Link, config: LoopConfig, permission: Permission, notice: Callable[[], None]
    ) -> None:
        self.name, self.link, self.config = name, link, config
        self._permission, self._notice = permission, notice
        self._lockstep = config.clock is Clock.LOCKSTEP
        # Reads a device that is not armed from here. It is never opened, so its limits concern nothing.
        self._reader = Manual(link, dataclasses.replace(config, dry_run=True, clock=Clock.DEVICE))
        self._manual: Manual | None = None
        self.sample: Sample | None = None  # the newest of the session
        self._ended = False  # the episode has, and reset() has not been called
        self._stopped = ""  # why the last session ended by itself
        self.next_episode = 1
        self._start = OwnStart(
            config, link.hello, link.sheet, in_force(config.limits, link.sheet.actuators, link.sheet.period_s)
        )
        self._bad_rewards = 0  # in a row
        self._findings: Findings | None = None  # of the session

    @property
    def armed(self) -> bool:
        """A session is open, as far as this end knows."""
        return self._manual is not None

    def read(self) -> Sample:
        """The newest observation; armed or not."""
        with self._ending():
            return self._take((self._manual or self._reader).newest())

    def write(self, u: Any) -> Array:
        """Send a command; return what was applied (lockstep) or sent."""
        with self._ending():
            manual, values = self._ready("write()", u)
            sent = self._send(manual, values)
            return self._take(manual.answer()).applied if self._lockstep else sent

    def step(self, u: Any) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Send a command and wait for the observation that follows it."""
        with self._ending():
            manual, values = self._ready("step()", u)
            sent = self._send(manual, values)
            sample = self._take(manual.answer())
            info = {"applied": sample.applied, "sent": sent}
            return sample.x, self._checked(self._reward(sample)), sample.terminated, sample.truncated, info

    def reset(self, seed: int | None) -> tuple[Array, dict[str, Any]]:
        """Begin an episode, in a new session where there is none."""
        given = self._next_seed() if seed is None else check_int("seed", seed, 0, 2**32 - 1)
        with self._ending():
            self._stopped = ""
            manual = self._armed("reset()")
            sample = self._take(self._begin(manual, given))
            return sample.x, {"plant_seed": given}

    def arm(self) -> None:
        """Open a session where there is none, also after a stop."""
        with self._ending():
            self._stopped = ""
            self._armed("arm()")

    def close(self) -> None:
        """The rest values and DISARM, where a session is open."""
        manual, self._manual = self._manual, None
        self.sample, self._ended = None, False
        if manual is not None:
            manual.close()

    def forget(self) -> None:
        """Another loop has had the link since: nothing of an ended session holds any more."""
        self.close()
        self._stopped = ""

    @contextlib.contextmanager
    def _ending(self) -> Iterator[None]:
        """Leave a session that the device, the link or a stop has ended."""
        try:
            yield
        except (DeviceError, SafetyStop) as error:
            if self._manual is None:
                raise
            self._stopped = str(error)
            self.close()
            hint = "" if "emergency stop" in self._stopped else "; arm() or reset() starts a new session"
            raise type(error)(f"{self.name}: {self._stopped}{hint}") from None
        except KeyboardInterrupt:
            self.close()
            raise

    def _armed(self, what: str) -> Manual:
        """The session, opened where there is none."""
        if self._stopped:
            raise SafetyStop(f"{self.name}: {what}: the session has ended ({self._stopped}); arm() or reset() first")
        if self._manual is None:
            self._permission.require()
            self._notice()
            self._manual = Manual(self.link, self.config)
            self.sample, self._ended = None, False
            self._bad_rewards = 0
            self._findings = Findings(self.config.checks, self.link.sheet, to_stderr(self.name))
            self._manual.open()
        return self._manual

    def _ready(self, what: str, u: Any) -> tuple[Manual, Array]:
        """The session in an episode that has not ended, and the checked command."""
        size = self.link.hello.action_size
        if np.ndim(u) == 0 and size == 1 and not isinstance(u, np.ma.MaskedArray):
            u = [u]
        values = check_values("u", u, (size,))
        if self._ended:
            raise ConfigError(f"{self.name}: {what}: the episode has ended; reset() first")
        manual = self._armed(what)
        if self.sample is None and (self.link.hello.reset or self._start.checked):
            self._take(self._begin(manual, self._next_seed()))
        return manual, values

    def _next_seed(self) -> int:
        return episode_seed(self.config.seed, self.next_episode)

    def _begin(self, manual: Manual, seed: int) -> Sample:
        self.next_episode += 1
        sample = manual.reset(seed) if self.link.hello.reset else manual.newest()
        return self._bring(manual, sample, seed) if self._start.checked else sample

    def _bring(self, manual: Manual, sample: Sample, seed: int) -> Sample:
        """The first sample of an episode in the start region; drives there with the homing controller."""
        start, steps, inside = self._start, 0, 0
        while True:
            where = start.outside(sample.x)
            inside = 0 if where else inside + 1
            if not where and (steps == 0 or inside >= start.settle_steps):
                return sample
            if not start.homes:
                raise SafetyStop(f"not_ready: the episode does not begin: outside the start region: {where}")
            if steps >= start.timeout_steps:
                raise SafetyStop(f"homing: homing did not reach the start region in time: {where}")
            try:
                u = start.command(sample.x, steps == 0)
            except BaseException:
                self.close()
                raise
            steps += 1
            if sample.terminated or sample.truncated:
                sample = manual.reset(seed) if self.link.hello.reset else manual.newest()
            else:
                manual.command(u)
                sample = manual.answer()

    def _send(self, manual: Manual, u: Array) -> Array:
        """A command; what the plant checks find is reported."""
        sent = manual.command(u)
        if self._findings is not None:
            self._findings.take(manual.check)
        return sent

    def _checked(self, reward: float) -> float:
        """A reward that is never finite is reported, then ends the session."""
        checks = check_options(self.config.checks, self.link.sheet) if not math.isfinite(reward) else {}
        self._bad_rewards = self._bad_rewards + 1 if checks.get("reward") else 0
        if checks.get("reward") and self._bad_rewards == checks["warn_steps"]:
            to_stderr(self.name)("warning: the reward is not finite")
        if checks.get("reward") and self._bad_rewards >= checks["stop_steps"]:
            raise SafetyStop(f"reward: the reward has not been finite for {self._bad_rewards} steps")
        return reward

    def _take(self, sample: Sample) -> Sample:
        if self._manual is not None:
            self.sample = sample
            self._ended = self.link.hello.reset and (sample.terminated or sample.truncated)
        return sample

    def _reward(self, sample: Sample) -> float:
        reward = self.config.reward
        if reward.function is not None and reward.kind == "callable":
            return float(reward.function(sample.x.copy(), sample.applied.copy()))
        if reward.kind == "frame":
            return sample.reward if sample.reward is not None else 0.0
        return evaluate(reward, sample)
