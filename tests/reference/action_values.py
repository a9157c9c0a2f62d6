"""Stream Q(lambda) and SARSA(lambda) in float64.

Source: Watkins 1989; Rummery and Niranjan 1994; docs/math_action_values.md. Sampled actions are an input, as in
learners.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import optim
from .eligibility import Eligibility, add, decays
from .learners import ACConfig, Array, Head, StreamAC, Trunk
from .normalizers import Channels, RewardScaler


@dataclass
class ValuesConfig:
    """Settings of `StreamQ` and `StreamSARSA`; the names are the package's."""

    sarsa: bool = False
    cut: str = "watkins"
    previous_action: bool = False
    previous_reward: bool = False
    nonlinear: bool = False
    activation: str = "relu"
    credit: str = "rtrl"
    gamma: float = 0.99
    trace_decay: float | Mapping[str, float] = 0.8
    optimizer: dict[str, Any] = field(default_factory=lambda: {"rule": "obgd", "step_size": 1.0, "kappa": 2.0})
    normalize_observation: bool = True
    observation_bound: float = 10.0
    scale_reward: bool = True
    recompute: bool = False


class ActionValues(StreamAC):
    """Stream Q(lambda) and SARSA(lambda); parameters `q.*`. The inputs are StreamAC's.

    Source: Watkins 1989; Rummery and Niranjan 1994; math_learners.md, 4, Action values.
    """

    def __init__(self, parameters: Mapping[str, Array], observation_size: int, config: ValuesConfig) -> None:
        self.v, self.p = config, {k: np.array(v, dtype=np.float64) for k, v in parameters.items()}
        own = ("previous_action", "previous_reward", "gamma", "normalize_observation", "observation_bound")
        self.c = ACConfig(discrete=True, scale_reward=config.scale_reward, **{k: getattr(config, k) for k in own})
        trunk = Trunk("q", self.p, config.activation, config.nonlinear, config.credit)
        self.trunks, self.critic_head = [trunk], Head("q", self.p, trunk)
        rule = dict(config.optimizer)
        decay = decays(config.gamma, config.trace_decay)
        self.critic = Eligibility(list(self.p), self.p, decay, optim.make(rule.pop("rule"), **rule))
        self.normalizer = Channels(observation_size, config.observation_bound)
        self.reward_scaler = RewardScaler(config.gamma)
        self.delta = 0.0
        self.q: Array = np.zeros(0)
        self.g: dict[str, Array] = {}
        self.deviates = False  # the last action is not greedy
        self.width = len(self.p["q.head.bias"])

    def reset(self, observation: Array, action: Any) -> None:
        self.trunks[0].reset()
        self.critic.clear()
        self.reward_scaler.begin()
        self.last_action: Any = None
        self.deviated = False  # the action before the last one was not greedy
        self._see(observation)
        self._remember(action)

    def step(
        self,
        observation: Array,
        reward: float | None,
        action: Any,
        terminated: bool = False,
        truncated: bool = False,
        overridden: bool = False,
        update: bool = True,
        periods: float = 1.0,
        applied: Any = None,
    ) -> None:
        q_before, deviates = self.value, self.deviates
        if applied is not None:
            self.last_action = applied
        self._see(observation, periods, reward)
        follows = self.q[int(action)] if self.v.sarsa else self.q.max()
        self.delta = 0.0
        if reward is not None:
            r = self.reward_scaler(reward) if self.c.scale_reward else reward
            self.delta = r + (0.0 if terminated else self.c.gamma * float(follows)) - q_before
        if (not self.v.sarsa and (self.deviated if self.v.cut == "late" else deviates)) or overridden:
            self.critic.clear()
        self.deviated = deviates
        self.critic.advance(None if overridden else self.g)
        self.critic.observe(self.delta)
        self._remember(action)
        if update and reward is not None and not overridden:
            add(self.p, self.critic.step(self.delta))
        if terminated or truncated:
            self.trunks[0].reset()
            self.critic.clear()
        elif self.v.recompute:
            self.trunks[0].evaluate()
            greedy = self.deviates
            self._remember(action)
            self.deviates = greedy  # of the values that the action was chosen by

    def _see(self, observation: Array, periods: float = 1.0, reward: float | None = None) -> None:
        super()._see(observation, periods, reward)
        self.q = self.critic_head.forward()

    def _remember(self, action: Any, newest: bool = True) -> None:
        self.last_action = action
        self.q = self.critic_head.forward()
        self.value = float(self.q[int(action)])
        self.deviates = bool(self.q[int(action)] < self.q.max())
        self.g = self.critic_head.gradient(np.eye(self.width)[int(action)])
