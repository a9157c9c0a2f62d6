"""QRC(lambda) in float64: gradient-corrected Q(lambda) with two recurrent networks.

Source: Elelimy et al. 2025, arXiv 2507.09087; docs/math_action_values.md. Term by term, as published:

    w_q += a_q [ delta z_q - h grad q - y D ]     D = gamma grad max q(s', .) - grad q(s, a)
    w_h += a_h [ delta z_h - h grad h - beta w_h ]
    z_q <- gamma lambda z_q + grad q    z_h <- gamma lambda z_h + grad h    y <- gamma lambda y + h
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .action_values import ActionValues, ValuesConfig
from .eligibility import add, decays, group, learned
from .learners import Array, Head, Tree, Trunk

# A pole, a gain, a bias of a gate: beta does not reach them.
OF_A_UNIT = ("nu_log", "theta_log", "gamma_log", "bu", "bh", "bz", "bf", "wz", "wf")


@dataclass
class CorrectedConfig(ValuesConfig):
    """Settings of `StreamQRC`; the names are the package's."""

    step_size: float = 1e-4
    h_step_size: float = 1e-5
    beta: float = 1.0


class CorrectedValues(ActionValues):
    """QRC(lambda); parameters `q.*` and `h.*`. The inputs are StreamAC's."""

    def __init__(self, parameters: Mapping[str, Array], observation_size: int, config: CorrectedConfig) -> None:
        super().__init__(parameters, observation_size, config)
        self.r = config
        trunk = Trunk("h", self.p, config.activation, config.nonlinear, config.credit)
        self.trunks.append(trunk)
        self.h_head = Head("h", self.p, trunk)
        self.decay = decays(config.gamma, config.trace_decay)
        self.names = learned(self.p, config.credit)
        self.h = 0.0
        self.clear()

    def clear(self) -> None:
        self.z: Tree = {k: np.zeros_like(self.p[k]) for k in self.names}
        self.y = dict.fromkeys(self.decay, 0.0)

    def reset(self, observation: Array, action: Any) -> None:
        self.clear()
        self.trunks[1].reset()
        super().reset(observation, action)

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
        best = int(self.q.argmax())
        following = 0.0 if terminated else self.c.gamma
        self.delta = 0.0
        if reward is not None:
            r = self.reward_scaler(reward) if self.c.scale_reward else reward
            self.delta = r + following * float(self.q[best]) - q_before
        if (self.deviated if self.v.cut == "late" else deviates) or overridden:
            self.clear()
        self.deviated = deviates
        if not overridden:
            self.z = {k: self.decay[group(k)] * z + self.g[k] for k, z in self.z.items()}
            self.y = {part: self.decay[part] * y + self.h for part, y in self.y.items()}
        moves = self.moves(following, best) if update and reward is not None and not overridden else {}
        self._remember(action)
        add(self.p, moves)
        if terminated or truncated:
            for trunk in self.trunks:
                trunk.reset()
            self.clear()
        elif self.v.recompute:
            for trunk in self.trunks:
                trunk.evaluate()
            greedy = self.deviates
            self._remember(action)
            self.deviates = greedy

    def moves(self, following: float, best: int) -> Tree:
        """The steps of all weights; the networks hold s', and g, h belong to s."""
        ahead = self.critic_head.gradient(np.eye(self.width)[best])
        found: Tree = {}
        for k in self.names:
            if k.startswith("q."):
                D = following * ahead[k] - self.g[k]
                found[k] = self.r.step_size * (self.delta * self.z[k] - self.h * self.g[k] - self.y[group(k)] * D)
            else:
                decay = 0.0 if k.endswith(OF_A_UNIT) else self.r.beta
                found[k] = self.r.h_step_size * (self.delta * self.z[k] - self.h * self.g[k] - decay * self.p[k])
        return found

    def _remember(self, action: Any, newest: bool = True) -> None:
        super()._remember(action, newest)
        chosen = np.eye(self.width)[int(action)]
        self.h = float(self.h_head.forward()[int(action)])
        self.g = {k: v for k, v in self.g.items() if k.startswith("q.")} | self.h_head.gradient(chosen)
