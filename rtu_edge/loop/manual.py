"""A session on the link that Python drives call by call, in place of a native loop: ARM, RESET, a command, DISARM."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rtu_edge import _core
from rtu_edge._base.closing import Closing
from rtu_edge._base.errors import DeviceError
from rtu_edge.device.limits import in_force
from rtu_edge.device.protocol import Episode
from rtu_edge.loop.flags import StopReason
from rtu_edge.loop.link import Link
from rtu_edge.loop.options import LoopConfig, check, native_options
from rtu_edge.loop.plant import plant_options
from rtu_edge.loop.stops import error_for

__all__ = ["Manual", "Sample", "evaluate"]

Array = npt.NDArray[np.float32]

_PATIENCE_S = 5.0  # for an answer in lockstep: the link gives up after 2 s
_SLACK_S = 0.5


@dataclass(frozen=True)
class Sample:
    """One STATE of the device.

    Args:
        x: observation (n,), in the units of the data sheet.
        applied: what the actuators do (m,).
        reward: of the period that ends with it; None where the device sends none.
        terminated, truncated: the episode has ended.
        device_state: a number of TickLink's states.
        t_us: the device's time stamp.
    """

    x: Array
    applied: Array
    reward: float | None
    terminated: bool
    truncated: bool
    device_state: int
    t_us: int


class Manual(Closing):
    """One armed session, a call at a time. Each call releases the interpreter's lock while it waits.

    Between two calls the link is free: the control socket, and with it `rtu-edge estop`, reaches the device. In real
    time a command is valid for its TTL; without the next one in time the device goes safe, and the next call raises.

    Args:
        link: after handshake().
        config: limits, clock, ttl_ms, session; what concerns episodes and learning is not used.

    Raises:
        ValueError: configuration and device do not fit.
    """

    def __init__(self, link: Link, config: LoopConfig) -> None:
        hello = link.hello
        config = check(config, hello)
        actuators = link.sheet.actuators
        self.limits = in_force(config.limits, actuators, hello.period_s)
        self._period_s = hello.period_s
        self._reset_s = config.reset_timeout_s
        options = native_options(config, link.next_session, self.limits, actuators)
        options |= plant_options(config, hello, link.sheet, self.limits, own=True)
        self._core = _core.Manual(link._core, options)
        self._written_s = time.monotonic()
        ttl_ms = config.ttl_ms or max(3 * hello.period_us / 1e3, 20.0)
        self._ttl_ms = min(ttl_ms, float(hello.ttl_max_ms))

    @property
    def is_open(self) -> bool:
        """True from open() to close(), also where the device has ended the session."""
        return bool(self._core.is_open)

    def open(self) -> None:
        """ARM.

        Raises:
            DeviceError, SafetyStop: the device refused, has restarted, or does not answer.
        """
        self._check(self._core.open())
        self._written_s = time.monotonic()

    def reset(self, seed: int) -> Sample:
        """Begin an episode and wait for its first STATE. Raises as open()."""
        self._check(self._core.reset(seed))
        sample = self._wait(False, self._reset_s + _SLACK_S)
        self._written_s = time.monotonic()
        return sample

    def command(self, u: Array) -> Array:
        """Limit a command, send it, and return what was sent. Raises as open().

        Args:
            u: (m,), finite, in the units of the data sheet.
        """
        sent = u.copy()
        self._check(self._core.command(sent, 10 * self._period_s + _SLACK_S))
        self._written_s = time.monotonic()
        return sent

    def answer(self) -> Sample:
        """Wait for the STATE that has taken the last command, or ends the episode. Raises as open()."""
        return self._wait(True, max(_PATIENCE_S, 10 * self._period_s))

    def newest(self) -> Sample:
        """Wait for a STATE newer than the last one; in lockstep the last one. Raises as open()."""
        return self._wait(False, 10 * self._period_s + _SLACK_S)

    @property
    def check(self) -> int:
        """The finding of the plant checks under way, for checks.finding_text(); 0: none."""
        return int(self._core.check)

    def close(self) -> None:
        """The rest values and DISARM, or what remains of an emergency stop. Idempotent."""
        self._core.close()

    def _wait(self, answer: bool, timeout_s: float) -> Sample:
        found = self._core.wait(answer, timeout_s)
        if len(found) == 3:
            self._check(found)
        x, applied, reward, flags, state, _, t_us = found
        terminated, truncated = bool(flags & Episode.TERMINATED), bool(flags & Episode.TRUNCATED)
        return Sample(x, applied, reward if flags & Episode.REWARD else None, terminated, truncated, state, t_us)

    def _check(self, problem: tuple[int, str, str] | None) -> None:
        if problem is None:
            return
        _, word, text = problem
        if word in ("timeout", "busy"):
            raise DeviceError(text)
        reason = StopReason(word)
        if reason is StopReason.DEVICE_SAFE and self.is_open:
            late_ms = (time.monotonic() - self._written_s) * 1e3
            text += f"; a command is valid for {self._ttl_ms:.0f} ms, the last one left {late_ms:.0f} ms ago"
        raise error_for(reason, f"{reason.value}: {text}") or DeviceError(f"{reason.value}: {text}")


def evaluate(reward: Any, sample: Sample) -> float:
    """The reward of a sample by a Reward that is not a callable: the native loop's own arithmetic."""
    return float(_core.evaluate_reward(reward.native(), sample.reward or 0.0, sample.x, sample.applied))
