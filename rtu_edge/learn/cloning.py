"""Behavioural cloning: a StreamAC learns from a log what a controller does, and what it is worth (docs/start_good.md).

The networks learn by supervised steps through the recurrent cell, with the exact gradients of the online learner
(docs/math.md, 2): an OnlineRegressor of the same layout takes the weights, passes over the log, and gives them back.
Policy: the log-likelihood of the demonstrated action. Value: TD(lambda) in its forward view, on the rewards of the log.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rtu_edge._base.errors import ConfigError
from rtu_edge._base.validation import check_int, check_number, counted
from rtu_edge.learn.demonstration import Demonstration, value_targets
from rtu_edge.learn.signals import OnlineRegressor

__all__ = ["CloneResult", "clone", "likelihood_gradient"]

Array = npt.NDArray[Any]
Float = npt.NDArray[np.float64]

_SEGMENTS = 20  # of the passes; the step size falls from each to the next, in all to _LAST_STEP of the first
_LAST_STEP = 0.01
_SIGMA_SHARE = 0.25  # of the deviation of the demonstrated actions
_LEAST_SPREAD = 1e-3  # an action with a smaller deviation, in halves of its range, counts as one that does not change
_ABOVE_FLOOR = 1.01  # the smallest sigma, as a multiple of sigma_floor
_STATISTICS = ("mean", "mean_low", "m2", "m2_low", "count")
_SHARED = ("units", "hidden", "encoder", "cell", "credit", "activation", "units_per_pole", "dtype")


@dataclass(frozen=True)
class CloneResult:
    """What clone() learned; prints as a summary.

    Attributes:
        steps, episodes: of the log.
        passes: over it.
        action_error: for each continuous action the share of its variance that the policy does not explain, in the last
            pass; for discrete actions the share of rows in which another choice is the most likely one, (1,). None for
            an action that does not change in the log: it has no variance to explain.
        value_error: root mean square of value minus TD(lambda) target, as a share of the targets' largest magnitude.
        sigma: standard deviation of each continuous action that exploration starts with; empty: discrete.
        reward_per_step: mean.
    """

    steps: int
    episodes: int
    passes: int
    action_error: tuple[float | None, ...]
    value_error: float
    sigma: tuple[float, ...]
    reward_per_step: float

    def __str__(self) -> str:
        error = ", ".join("-" if each is None else f"{each:.2%}" for each in self.action_error)
        what = "of the action's variance is not explained" if self.sigma else "of the choices differ"
        lines = [f"{counted(self.steps, 'step')}, {counted(self.episodes, 'episode')}, {self.passes} passes"]
        lines += [f"policy: {error} {what}; value: off by {self.value_error:.2%}"]
        if still := [str(number) for number, each in enumerate(self.action_error) if each is None]:
            lines += [
                f"action {', '.join(still)}: the same in all of the log, which does not show when another is due; if it"
                " should, record a log in which the commands are disturbed (docs/start_good.md, 1)"
            ]
        if self.sigma:
            lines += ["exploration starts at sigma = " + ", ".join(f"{each:.3g}" for each in self.sigma)]
        return "\n".join(lines)


# ---------------------------------------------------------------- one network


class _Network:
    """A network of the agent as a regressor: its weights, and targets in units of their own.

    Args:
        agent: has the weights.
        part: "body", "actor" or "critic": whose cell and layers.
        heads: (name, rows) of each head, stacked in this order.
        offset, scale: (outputs,) output = offset + scale * the regressor's.
        step_size: of the first segment.
    """

    def __init__(
        self,
        agent: Any,
        part: str,
        heads: tuple[tuple[str, int], ...],
        offset: Float,
        scale: Float,
        step_size: float,
    ) -> None:
        self._part, self._heads, self.offset, self.scale = part, heads, offset, scale
        given, weights = agent.config, agent.parameters
        self._own = [name for name in weights if name.startswith(f"{part}.") and not name.startswith(f"{part}.head.")]
        inputs = given["observation_size"] + previous_size(given)
        self._settings = {"observation_size": inputs, "n_outputs": len(scale), "optimizer": "adam"}
        self._settings |= {name: given[name] for name in _SHARED}
        self.model = OnlineRegressor(**self._settings, step_size=step_size)
        rows = {leaf: [weights[f"{name}.head.{leaf}"][:n] for name, n in heads] for leaf in ("weight", "bias")}
        weight, bias = (np.concatenate(rows[leaf]).astype(np.float64) for leaf in ("weight", "bias"))
        self.model.load_parameters(
            {
                **{self._renamed(name): weights[name] for name in self._own},
                "model.head.weight": weight / scale[:, np.newaxis],
                "model.head.bias": (bias - offset) / scale,
            }
        )

    def _renamed(self, name: str) -> str:
        return "model" + name[len(self._part) :]

    def slower(self, step_size: float) -> None:
        """The same learner with another step size."""
        slower = OnlineRegressor(**self._settings, step_size=step_size)
        slower.core.adopt(self.model.core.arena())
        self.model = slower

    def weights(self, agent: Any) -> dict[str, Array]:
        """For the agent's load_parameters()."""
        found, old = self.model.parameters, agent.parameters
        new = {name: found[self._renamed(name)] for name in self._own}
        weight = found["model.head.weight"].astype(np.float64) * self.scale[:, np.newaxis]
        bias = found["model.head.bias"].astype(np.float64) * self.scale + self.offset
        at = 0
        for name, rows in self._heads:
            for leaf, values in (("weight", weight), ("bias", bias)):
                new[f"{name}.head.{leaf}"] = old[f"{name}.head.{leaf}"]
                new[f"{name}.head.{leaf}"][:rows] = values[at : at + rows]
            at += rows
        return new

    def episode(self, x: Array, target: Callable[[int, Float], Float | None] | Float) -> Float:
        """Learns along one episode; its last row is an end and has no target.

        Args:
            x: (k, inputs).
            target: (k - 1, outputs), in their units; or a function of row and prediction that returns one, or None.

        Returns:
            Predictions (k, outputs), each before its target was learned from.
        """
        self.model.reset()
        found = np.empty((len(x), len(self.scale)))
        rows = range(len(x))
        if not callable(target):
            scaled = ((target - self.offset) / self.scale).astype(x.dtype)
            found[:-1] = self.model.run(x[:-1], scaled)[0] if len(x) > 1 else found[:-1]
            rows = rows[-1:]
        for row in rows:
            found[row] = self.model.predict(x[row])
            y = found[row] * self.scale + self.offset
            wanted = None if row == len(x) - 1 or not callable(target) else target(row, y)
            self.model.update(None if wanted is None else ((wanted - self.offset) / self.scale).astype(x.dtype))
        return found * self.scale + self.offset


def previous_size(config: dict[str, Any]) -> int:
    """Inputs in addition to the observation: previous action and reward."""
    action = config["n_actions"] or config["action_size"]
    return int(int(config["previous_action"]) * action + int(config["previous_reward"]))


# ---------------------------------------------------------------- the log as the agent sees it


def _watcher(agent: Any, demo: Demonstration) -> Any:
    """A learner of the same statistics that has seen the log, without learning from it."""
    config = {key: value for key, value in agent.config.items() if key != "kind"}
    still = {"optimizer": "obgd", "actor": {"step_size": 0.0}, "critic": {"step_size": 0.0}}
    watcher = type(agent)._made({**config, **still, "recompute": False})
    watcher.core.on_finding(None)
    for name in _statistics(agent):
        watcher.core.set(name, agent.core.get(name))
    kind = agent.dtype
    watcher.run(demo.observations.astype(kind), demo.rewards.astype(kind), demo.terminated, demo.truncated)
    return watcher


def _statistics(agent: Any) -> list[str]:
    known = {row[0] for row in agent.sections}
    names = [f"{of}.{leaf}" for of in ("observation", "reward") for leaf in (*_STATISTICS, "still")]
    return [name for name in names if name in known]


def _inputs(agent: Any, watcher: Any, demo: Demonstration) -> Array:
    """(k, inputs): normalised by the statistics after the log, then previous action and reward."""
    config = agent.config
    bound = config["observation_bound"] or np.inf
    x = demo.observations
    if config["normalize_observation"]:
        found = watcher.normalizer
        x = np.clip((x - found["mean"]) * found["scale"], -bound, bound)
    parts = [x]
    starts = np.concatenate([[True], demo.ends[:-1]])
    if config["previous_action"]:
        u = demo.actions if config["n_actions"] is None else np.eye(config["n_actions"])[_indices(demo, config)]
        before = np.concatenate([np.zeros_like(u[:1]), u[:-1]])
        before[starts] = 0.0
        parts.append(np.clip(before, -1.0, 1.0))
    if config["previous_reward"]:
        scale = watcher.reward_scale
        reward = np.where(starts, 0.0, demo.rewards) * scale
        parts.append((np.clip(reward, -bound, bound) if config["scale_reward"] else reward)[:, np.newaxis])
    return np.concatenate(parts, axis=1).astype(agent.dtype)


def _indices(demo: Demonstration, config: dict[str, Any]) -> Array:
    return np.clip(np.round(demo.actions), 0, config["n_actions"] - 1).astype(np.int64)


# ---------------------------------------------------------------- the passes


class _Cloning:
    """One call of clone(): the networks, and the targets of a pass."""

    def __init__(self, agent: Any, demo: Demonstration, step_size: float) -> None:
        self.agent, self.demo, self._step_size = agent, demo, step_size
        self.config = agent.config
        self.watcher = _watcher(agent, demo)
        self.x = _inputs(agent, self.watcher, demo)
        self.discrete = self.config["n_actions"] is not None
        self.width = self.config["n_actions"] if self.discrete else self.config["action_size"]
        self.rewards = demo.rewards * self.watcher.reward_scale
        self.used = demo.demonstrated & ~demo.ends
        starts = np.concatenate([[True], demo.ends[:-1]])
        mean = float(self.rewards[~starts].mean()) if not starts.all() else 0.0
        self.values = np.full(len(self.x), mean / max(1.0 - self.config["gamma"], 1e-3))
        self.targets = self._targets()
        self.networks = self._make()

    def _targets(self) -> Float:
        decay = self.config["critic"]["trace_decay"]["head"]
        return value_targets(self.demo, self.values, self.rewards, self.config["gamma"], decay)

    def _make(self) -> list[tuple[_Network, slice, slice]]:
        """Each network, its outputs for the policy, and for the value."""
        value = float(self.targets.mean())
        spread = max(float(self.targets.std()), 0.1 * abs(value), 1e-3)
        if self.discrete:
            low, scale = np.zeros(self.width), np.ones(self.width)
        else:
            shown = self.demo.actions[self.used]
            low, scale = np.zeros(self.width), np.maximum(shown.std(axis=0), _LEAST_SPREAD)
        step, n = self._step_size, self.width
        if self.config["body"] == "shared":
            offset, scales = np.append(low, value), np.append(scale, spread)
            both = _Network(self.agent, "body", (("actor", n), ("critic", 1)), offset, scales, step)
            return [(both, slice(0, n), slice(n, n + 1))]
        actor = _Network(self.agent, "actor", (("actor", n),), low, scale, step)
        critic = _Network(self.agent, "critic", (("critic", 1),), np.array([value]), np.array([spread]), step)
        return [(actor, slice(0, n), slice(0, 0)), (critic, slice(0, 0), slice(0, 1))]

    def _target(self, rows: slice, policy: slice, value: slice) -> Any:
        """Of one episode for a network: an array, or a function where it depends on the prediction."""
        k = rows.stop - rows.start - 1
        has_policy, used = policy.stop > policy.start, self.used[rows][:k]
        targets = self.targets[rows][:k, np.newaxis]
        actions = self.demo.actions[rows][:k]
        if not has_policy:
            return targets
        if not self.discrete and used.all():
            return np.hstack([actions, targets]) if value.stop > value.start else actions

        def wanted(row: int, y: Float) -> Float:
            found = y.copy()
            if value.stop > value.start:
                found[value] = targets[row]
            if used[row] and not self.discrete:
                found[policy] = actions[row]
            elif used[row]:
                found[policy] += likelihood_gradient(y[policy], int(actions[row]))
            return found

        return wanted

    def run(self, passes: int) -> tuple[list[float | None], float]:
        """The passes; the policy's error and the value's in the last one."""
        shown = np.zeros((len(self.x), self.width))
        for number in range(passes):
            if number and number * _SEGMENTS // passes != (number - 1) * _SEGMENTS // passes:
                for network, _, _ in self.networks:
                    network.slower(self._step_size * _LAST_STEP ** (number / passes))
            self.targets = self._targets()
            for rows in self.demo.episodes():
                for network, policy, value in self.networks:
                    y = network.episode(self.x[rows], self._target(rows, policy, value))
                    if policy.stop > policy.start:
                        shown[rows] = y[:, policy]
                    if value.stop > value.start:
                        self.values[rows] = y[:, value][:, 0]
            if not (np.isfinite(shown).all() and np.isfinite(self.values).all()):
                raise RuntimeError("clone: it has diverged; nothing has changed; give a smaller step_size")
        return self._error(shown), self._value_error()

    def _error(self, shown: Float) -> list[float | None]:
        actions, found = self.demo.actions[self.used], shown[self.used]
        if self.discrete:
            return [float(np.mean(found.argmax(axis=1) != actions)) if np.ptp(actions) else None]
        pairs = zip(((found - actions) ** 2).mean(axis=0), actions.var(axis=0), strict=True)
        return [float(error / spread) if spread > _LEAST_SPREAD**2 else None for error, spread in pairs]

    def _value_error(self) -> float:
        rows = ~self.demo.ends
        off = self.values[rows] - self.targets[rows]
        return float(np.sqrt(np.mean(off**2)) / max(float(np.abs(self.targets[rows]).max()), 1e-12))

    def store(self, sigma: Float) -> None:
        """Weights, statistics and sigma into the agent; its state and traces are those of an episode's start."""
        agent = self.agent
        new: dict[str, Array] = {}
        for network, _, _ in self.networks:
            new |= network.weights(agent)
        if not self.discrete:
            # sigma = softplus(s) + sigma_floor, with s of the bias alone: s = log(exp(x) - 1) = x + log(1 - exp(-x))
            x = sigma - self.config["sigma_floor"]
            new["actor.head.weight"][self.width :] = 0.0
            new["actor.head.bias"][self.width :] = x + np.log(-np.expm1(-x))
        agent.load_parameters(new)
        for name in _statistics(agent):
            agent.core.set(name, self.watcher.core.get(name))
        agent.begin()


def likelihood_gradient(logits: Float, choice: int) -> Float:
    """d log pi(choice) / d logits = onehot(choice) - p (docs/math.md, 3)."""
    p = np.exp(logits - logits.max())
    found = -p / p.sum()
    found[choice] += 1.0
    return np.asarray(found)


def _sigma(agent: Any, demo: Demonstration, sigma: npt.ArrayLike | None) -> Float:
    """(action_size,) what exploration starts with; () for discrete actions. Raises ConfigError."""
    config = agent.config
    if config["n_actions"] is not None:
        if sigma is not None:
            raise ConfigError(f"sigma = {sigma!r}: discrete actions have none; leave it out")
        return np.zeros(0)
    least = _ABOVE_FLOOR * config["sigma_floor"] + 1e-6
    if sigma is None:
        spread = demo.actions[demo.demonstrated & ~demo.ends].std(axis=0)
        return np.asarray(np.maximum(_SIGMA_SHARE * spread, least))
    try:
        wanted = np.asarray(sigma, np.float64)
    except (TypeError, ValueError):
        raise ConfigError(f"sigma = {sigma!r}: expected real numbers") from None
    wanted = wanted if wanted.ndim else np.full(config["action_size"], float(wanted))
    if wanted.shape != (config["action_size"],) or not ((wanted >= least) & (wanted <= 1e3)).all():
        raise ConfigError(
            f"sigma = {sigma!r}: expected {counted(config['action_size'], 'number')} from {least:g} to 1000; at least"
            f" {_ABOVE_FLOOR} times the agent's sigma_floor = {config['sigma_floor']:g}, an argument of StreamAC"
        )
    return np.asarray(wanted)


def clone(
    agent: Any,
    demo: Demonstration,
    *,
    sigma: npt.ArrayLike | None = None,
    passes: int = 60,
    step_size: float = 0.003,
) -> CloneResult:
    """StreamAC.clone() for a Demonstration; arguments and errors are described there."""
    passes = check_int("passes", passes, 1, 100_000)
    step_size = check_number("step_size", step_size, 0.0, 1.0, open_low=True)
    chosen = _sigma(agent, demo, sigma)
    cloning = _Cloning(agent, demo, step_size)
    error, value_error = cloning.run(passes)
    cloning.store(chosen)
    return CloneResult(
        steps=len(demo.rewards),
        episodes=int(demo.ends.sum()),
        passes=passes,
        action_error=tuple(error),
        value_error=value_error,
        sigma=tuple(map(float, chosen)),
        reward_per_step=float(demo.rewards.mean()),
    )
