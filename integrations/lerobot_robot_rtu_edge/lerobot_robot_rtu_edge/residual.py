"""A learner of rtu_edge as a bounded correction on a LeRobot robot."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["Residual"]


class Residual:
    """Adds a learned correction to the goals of a base policy, and learns from what the robot has sent.

    Args:
        robot: a connected LeRobot robot whose observation contains each goal's key.
        agent: a StreamAC with len(bound) actions and 2 len(bound) observations: positions, then the base's goals.
        bound: key of a goal -> largest correction, above 0, in the robot's unit.
        limits: key -> (lowest, highest) goal, in the robot's unit; each goal that is sent is clamped to it.
        reward: of an observation and the sent action.

    Raises:
        ValueError: a bound or limit that is not finite, not above 0, or missing.
    """

    def __init__(
        self,
        robot: Any,
        agent: Any,
        bound: Mapping[str, float],
        limits: Mapping[str, tuple[float, float]],
        reward: Callable[[dict[str, Any], dict[str, float]], float],
    ) -> None:
        for key, value in bound.items():
            if not 0.0 < value < math.inf:
                raise ValueError(f"bound[{key!r}] = {value}: must be finite and above 0")
            low, high = limits.get(key, (math.nan, math.nan))
            if not -math.inf < low < high < math.inf:
                raise ValueError(
                    f"limits[{key!r}] = {limits.get(key)}: must be two finite numbers, the lower one first"
                )
        self._robot = robot
        self._agent = agent
        self._bound = dict(bound)
        self._limits = dict(limits)
        self._reward = reward
        self._applied: list[float] | None = None  # of the last step, in [-1, 1]; None: the next step begins an episode
        self._sent: dict[str, float] = {}

    def begin(self) -> None:
        """The next step begins an episode."""
        self._applied = None

    def step(self, base: Mapping[str, float]) -> dict[str, float]:
        """Observe, correct, send, learn; returns what the robot has sent.

        Args:
            base: the goals of the base policy; those without a bound are sent as they are.

        Raises:
            ValueError: a goal is missing or not finite; nothing is sent.
        """
        for key, value in base.items():
            if not math.isfinite(value):
                raise ValueError(f"base[{key!r}] = {value}: must be finite")
        if missing := set(self._bound) - set(base):
            raise ValueError(f"base has no {', '.join(sorted(missing))}")
        seen = self._robot.get_observation()
        inputs = [float(seen[key]) for key in self._bound] + [float(base[key]) for key in self._bound]
        begins = self._applied is None
        action = self._agent.reset(inputs) if begins else self._agent.predict(inputs, applied=self._applied)
        try:
            sent = self._robot.send_action(self._goals(base, action))  # before the weights move
        except BaseException:
            self._applied = None  # the transition is not known: the next step begins an episode
            raise
        if not begins:
            self._agent.update(self._reward(seen, self._sent), applied=self._applied)
        self._sent = {key: float(value) for key, value in sent.items()}
        # What the robot has clipped counts as applied.
        self._applied = [
            min(1.0, max(-1.0, (self._sent[key] - base[key]) / bound)) for key, bound in self._bound.items()
        ]
        return self._sent

    def _goals(self, base: Mapping[str, float], action: Any) -> dict[str, float]:
        goals = {key: float(value) for key, value in base.items()}
        for (key, bound), part in zip(self._bound.items(), action, strict=True):
            low, high = self._limits[key]
            goals[key] = min(high, max(low, goals[key] + bound * float(part)))
        return goals
