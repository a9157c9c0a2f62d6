"""Streaming learners in float64: stream AC(lambda), TD(lambda) prediction, online regression.

Source: Elsayed et al. 2024, arXiv 2410.14606; order of a control step: math.md, section 4.
The sampled actions are an input ("forced actions"), so that no random generator has to match.

    letter     meaning
    s, s'      the state seen before, the state seen now
    w_t        weights that the forward pass at s' uses; the update of this step makes w_{t+1}
    z          eligibility of a parameter; gamma lambda z + g, lambda by parameter group
    g          gradient of v(s), of log pi(a|s) or of H(pi(.|s)) with the weights that saw s

The package contracts the cotangents of s with the current traces, one step later; the traces do not change in between,
so the oracle contracts them at once and keeps the gradients: slower, the same numbers.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import optim
from .body import Body
from .cells import cell_names, make_cell
from .eligibility import Eligibility, add, decays, learned
from .normalizers import Channels, CumulantScaler, RewardScaler
from .policies import normal_policy, softmax_policy

Array = NDArray[np.float64]
Tree = dict[str, Array]


class Trunk:
    """Encoder, cell and body under one prefix; `forward` once per step, `gradient` for any cotangent of its output.

    Without a cell (no `<prefix>.cell.*`) the body sees the observation, or the encoder's output: the memoryless
    control. The encoder's gradient is that of one step: the state before the newest one is held constant
    (math_credit.md, Encoder).
    """

    def __init__(self, prefix: str, p: Tree, activation: str, nonlinear: bool, credit: str = "rtrl") -> None:
        self.p, self.prefix = p, prefix + "." if prefix else ""
        self.cell: Any = None
        self.names = cell_names(p, self.prefix)
        if self.names:
            cell = {k: p[f"{self.prefix}cell.{k}"] for k in self.names}
            self.cell = make_cell(cell, activation, nonlinear, credit)
        self.depth = sum(k.startswith(f"{self.prefix}layer") and k.endswith(".weight") for k in p)
        self.encoders = sum(k.startswith(f"{self.prefix}encoder") and k.endswith(".weight") for k in p)
        self.y = self.out = np.zeros(0)

    def reset(self) -> None:
        if self.cell:
            self.cell.reset()

    def forward(self, x: Array, periods: float = 1.0) -> Array:
        """Advances h and the traces with the current weights, by `periods` of the nominal time step."""
        self.x, self.encoder = x, self._layers("encoder", self.encoders)
        encoded = self.encoder.forward(x)
        if self.cell:
            self.cell.p = {k: self.p[f"{self.prefix}cell.{k}"] for k in self.names}
            self.y = self.cell.step(encoded, periods)
            self.slopes = {} if np.iscomplexobj(self.y) else self.cell.input_slopes(periods)
        else:
            self.y = encoded
        return self.evaluate()

    def evaluate(self) -> Array:
        """Body again, from the stored recurrent state, with the current weights; and the encoder's layers, for their
        gradient."""
        self.encoder = self._layers("encoder", self.encoders)
        self.encoder.forward(self.x)
        self.body = self._layers("layer", self.depth)
        self.out = self.body.forward(self.y)
        return self.out

    def _layers(self, name: str, count: int) -> Body:
        at = f"{self.prefix}{name}"
        return Body([(self.p[f"{at}{i}.weight"], self.p[f"{at}{i}.bias"]) for i in range(count)])

    def gradient(self, d_out: Array) -> Tree:
        layers, d_y = self.body.backward(d_out)
        encoders, _ = self.encoder.backward(self._to_encoder(d_y)) if self.encoders else ([], None)
        grads: Tree = {}
        for name, found in (("layer", layers), ("encoder", encoders)):
            for i, (weight, bias) in enumerate(found):
                grads[f"{self.prefix}{name}{i}.weight"], grads[f"{self.prefix}{name}{i}.bias"] = weight, bias
        if self.cell:
            grads |= {f"{self.prefix}cell.{k}": v for k, v in self.cell.gradient(d_y).items()}
        return grads

    def _to_encoder(self, d_y: Array) -> Array:
        """The cotangent of the cell's input at this step: the slopes of its step, the weights of now."""
        if not self.cell:
            return d_y
        n = len(next(iter(self.slopes.values())))
        poles = "nu_log" in self.names
        rest: Array = d_y[2 * n :] if "gamma_log" in self.names else np.zeros(len(self.encoder.pre[-1]))
        for half, (name, slopes) in enumerate(self.slopes.items()):
            own = d_y[half * n : (half + 1) * n] if poles else d_y
            rest = rest + (own * slopes) @ self.p[f"{self.prefix}cell.{name}"]
        return rest


class Head:
    """Linear: (out, in) weight and (out,) bias."""

    def __init__(self, prefix: str, p: Tree, trunk: Trunk) -> None:
        self.p, self.name, self.trunk = p, (prefix + "." if prefix else "") + "head", trunk

    def forward(self) -> Array:
        return self.p[f"{self.name}.weight"] @ self.trunk.out + self.p[f"{self.name}.bias"]

    def gradient(self, d_head: Array) -> Tree:
        """Gradient for the head and everything under it; d_head (out,)."""
        own = {f"{self.name}.weight": np.outer(d_head, self.trunk.out), f"{self.name}.bias": d_head}
        return own | self.trunk.gradient(self.p[f"{self.name}.weight"].T @ d_head)


@dataclass
class ACConfig:
    """Settings of `StreamAC`; the names are the package's."""

    discrete: bool = False
    previous_action: bool = False
    previous_reward: bool = False
    nonlinear: bool = False
    activation: str = "relu"
    credit: str = "rtrl"
    gamma: float = 0.99
    trace_decay: float | Mapping[str, float] = 0.8
    optimizer: str = "obgd"
    preconditioner: str = "larger"
    actor: dict[str, float] = field(default_factory=lambda: {"step_size": 1.0, "kappa": 3.0})
    critic: dict[str, Any] = field(default_factory=lambda: {"step_size": 1.0, "kappa": 2.0})
    entropy: float = 0.01
    sigma_floor: float = 0.0
    exploration_correlation: float = 0.0
    actor_warmup: int = 0
    normalize_observation: bool = True
    observation_bound: float = 10.0
    scale_reward: bool = True
    recompute: bool = False


class StreamAC:
    """Stream AC(lambda). Parameters: `actor.*`, `critic.*`, and `body.*` where the two share one body.

    A shared body carries two eligibility sets and takes the sum of the two updates (math.md, 4, 'Shared bodies', b).
    """

    def __init__(self, parameters: Mapping[str, Array], observation_size: int, config: ACConfig) -> None:
        self.c, self.p = config, {k: np.array(v, dtype=np.float64) for k, v in parameters.items()}
        shared = any(k.startswith("body.") for k in self.p)
        if shared:
            body = Trunk("body", self.p, config.activation, config.nonlinear, config.credit)
            self.trunks, actor_trunk, critic_trunk = [body], body, body
        else:
            actor_trunk = Trunk("actor", self.p, config.activation, config.nonlinear, config.credit)
            critic_trunk = Trunk("critic", self.p, config.activation, config.nonlinear, config.credit)
            self.trunks = [actor_trunk, critic_trunk]
        self.actor_head, self.critic_head = Head("actor", self.p, actor_trunk), Head("critic", self.p, critic_trunk)

        def eligibility(name: str, settings: dict[str, Any]) -> Eligibility:
            own = [k for k in learned(self.p, config.credit) if k.startswith((f"{name}.", "body."))]
            decay = decays(config.gamma, settings.get("trace_decay", config.trace_decay))
            rule = {key: value for key, value in settings.items() if key != "trace_decay"}
            if config.optimizer == "intentional":
                rule |= {"preconditioner": config.preconditioner, "relative": name == "actor"}
            return Eligibility(own, self.p, decay, optim.make(config.optimizer, **rule))

        self.actor, self.critic = eligibility("actor", config.actor), eligibility("critic", config.critic)
        self.normalizer = Channels(observation_size, config.observation_bound)
        self.reward_scaler = RewardScaler(config.gamma)
        self.value = self.delta = 0.0
        self.steps = 0
        self.width = len(self.p["actor.head.bias"]) // (1 if config.discrete else 2)  # of an action as an input

    def reset(self, observation: Array, action: Any) -> None:
        """Start of an episode: h, traces and eligibilities to zero, the first observation consumed; `action` was
        sampled.
        """
        for trunk in self.trunks:
            trunk.reset()
        self.actor.clear()
        self.critic.clear()
        self.reward_scaler.begin()
        self.last_action: Any = None
        self.next_shift: float | Array = 0.0
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
        """One transition into `observation`, at which `action` was sampled.

        overridden: an action other than the last sample was applied: the actor's traces decay, its weights do not
            change.
            reward: None if it was lost: delta and the entropy term are 0, and the reward's statistics do not change.
            update: False is the deadline rule: weights and the optimisers' state do not change, all else is updated.
        periods: time since the last observation in nominal time steps.
        applied: the action that was applied after the last observation, where known; an input under previous_action.
        """
        v = self.value
        if applied is not None:
            self.last_action = applied
        self._see(observation, periods, reward)  # h, traces and v(s') with w_t
        self.delta = 0.0
        if reward is not None:
            r = self.reward_scaler(reward) if self.c.scale_reward else reward
            self.delta = r + (0.0 if terminated else self.c.gamma * self.value) - v
        self.critic.advance(self.g_value)
        bonus = self.c.entropy * float(np.sign(self.delta))
        self.actor.advance(None if overridden else {k: g + bonus * self.g_entropy[k] for k, g in self.g_log_pi.items()})
        self.critic.observe(self.delta)
        self.actor.observe(self.delta)
        self._remember(action)  # cotangents with w_t, the weights that saw s'
        moving = [] if not update or reward is None else [self.critic] if overridden else [self.critic, self.actor]
        updates = [each.step(self.delta) for each in moving]
        if self.actor in moving and self.steps + 1 < self.c.actor_warmup:
            share = (self.steps + 1) / self.c.actor_warmup
            updates[-1] = {k: share * u for k, u in updates[-1].items()}
        self.steps += len(moving) > 0
        add(self.p, *updates)
        if terminated or truncated:
            for trunk in self.trunks:
                trunk.reset()
            self.actor.clear()
            self.critic.clear()
        elif self.c.recompute:
            for trunk in self.trunks:
                trunk.evaluate()
            self.value = float(self.critic_head.forward()[0])
            self._remember(action, newest=False)

    def previous(self, reward: float | None) -> Array:
        """The inputs after the observation (math.md, 4, Previous action and reward); 0 at an episode's first step."""
        tail: list[float] = []
        if self.c.previous_action:
            if self.last_action is None:
                tail += [0.0] * self.width
            elif self.c.discrete:
                nearest = min(range(self.width), key=lambda k: abs(k - float(self.last_action)))
                tail += [float(k == nearest) for k in range(self.width)]
            else:
                tail += [float(a) for a in np.clip(self.last_action, -1.0, 1.0)]
        if self.c.previous_reward:
            r = 0.0 if reward is None else float(reward)
            if self.c.scale_reward and r != 0.0:
                r = copy.deepcopy(self.reward_scaler)(r)  # the number that delta will use; its statistics move later
                r = float(np.clip(r, -self.c.observation_bound, self.c.observation_bound)) if self.bounded else r
            tail.append(r)
        return np.array(tail)

    @property
    def bounded(self) -> bool:
        return self.c.observation_bound > 0

    def _see(self, observation: Array, periods: float = 1.0, reward: float | None = None) -> None:
        x = self.normalizer(observation) if self.c.normalize_observation else observation
        x = np.concatenate([x, self.previous(reward)])
        for trunk in self.trunks:
            trunk.forward(x, periods)
        self.value = float(self.critic_head.forward()[0])

    def _remember(self, action: Any, newest: bool = True) -> None:
        self.last_action = action
        out = self.actor_head.forward()
        rho = self.c.exploration_correlation
        if self.c.discrete:
            _, d_log_pi, _, d_entropy = softmax_policy(out, int(action))
        else:
            a = np.asarray(action, dtype=np.float64)
            if newest:
                self.shift, self.next_shift = self.next_shift, rho * (a - out[: len(a)])
            _, d_log_pi, _, d_entropy = normal_policy(out, a, self.c.sigma_floor, rho, self.shift)
        self.g_value = self.critic_head.gradient(np.ones(1))
        self.g_log_pi = self.actor_head.gradient(d_log_pi)
        self.g_entropy = self.actor_head.gradient(d_entropy)


class TDPredictor:
    """TD(lambda) prediction of the discounted sum of the cumulant; parameters `cell.*`, `layer*.*`, `head.*`."""

    def __init__(
        self,
        parameters: Mapping[str, Array],
        gamma: float,
        trace_decay: float | Mapping[str, float],
        optimizer: Any,
        activation: str = "relu",
        nonlinear: bool = False,
        normalizer: Channels | None = None,
        recompute: bool = False,
        credit: str = "rtrl",
        scaler: CumulantScaler | None = None,
    ) -> None:
        self.p = {k: np.array(v, dtype=np.float64) for k, v in parameters.items()}
        self.gamma, self.recompute, self.normalizer = gamma, recompute, normalizer
        self.trunk = Trunk("", self.p, activation, nonlinear, credit)
        self.head = Head("", self.p, self.trunk)
        self.eligibility = Eligibility(learned(self.p, credit), self.p, decays(gamma, trace_decay), optimizer)
        self.value, self.delta, self.scaler = 0.0, 0.0, scaler
        self.g: Tree | None = None

    def reset(self) -> None:
        """Start of a sequence: the next step has no transition to learn from."""
        self.trunk.reset()
        self.eligibility.clear()
        self.g = None
        if self.scaler:
            self.scaler.begin()

    def step(self, x: Array, cumulant: float) -> float:
        """x (d,) and the cumulant received with it; returns v(x) with the weights that saw it."""
        x = self.normalizer(x) if self.normalizer else x
        v = self.value
        self.trunk.forward(x)
        self.value = seen = float(self.head.forward()[0])
        g = self.head.gradient(np.ones(1))
        if self.g is not None:
            if self.scaler:
                self.scaler.observe(np.array([cumulant]))
                cumulant /= float(self.scaler.scale[0])
            self.delta = cumulant + self.gamma * self.value - v
            self.eligibility.advance(self.g)
            self.eligibility.observe(self.delta)
            add(self.p, self.eligibility.step(self.delta))
            if self.recompute:
                self.trunk.evaluate()
                self.value = float(self.head.forward()[0])
                g = self.head.gradient(np.ones(1))
        self.g = g
        return seen * float(self.scaler.scale[0]) if self.scaler else seen


class OnlineRegressor:
    """Squared error, one target per step: y = predict(x); learn(target). Loss is half the sum of squares.

    The traces advance to the current step, then the contraction, then the update. The step is delta z with delta the
    largest error of the outputs and z the gradient of sum_k (error_k / delta) y_k: with one output ObGD's own form.
    """

    def __init__(
        self,
        parameters: Mapping[str, Array],
        optimizer: Any,
        activation: str = "relu",
        nonlinear: bool = False,
        normalizer: Channels | None = None,
        credit: str = "rtrl",
    ) -> None:
        self.p = {k: np.array(v, dtype=np.float64) for k, v in parameters.items()}
        self.optimizer, self.normalizer = optimizer, normalizer
        self.trunk = Trunk("", self.p, activation, nonlinear, credit)
        self.head = Head("", self.p, self.trunk)
        self.y = np.zeros(0)

    def reset(self) -> None:
        self.trunk.reset()

    def predict(self, x: Array) -> Array:
        self.trunk.forward(self.normalizer(x) if self.normalizer else x)
        self.y = self.head.forward()
        return self.y

    def update(self, target: Array) -> float:
        error = target - self.y
        delta = float(np.abs(error).max())
        add(self.p, self.optimizer.step(delta, self.head.gradient(error / delta if delta else error)))
        return 0.5 * float(error @ error)
