"""StreamAC, for control.

Source: Elsayed et al., Streaming Deep Reinforcement Learning Finally Works, 2024 (arXiv 2410.14606); docs/math.md, 4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rtu_edge import _core
from rtu_edge._base.errors import ConfigError
from rtu_edge._base.validation import check_bool, check_choice, check_int, check_number
from rtu_edge.learn.base import (
    OBSERVATION_BOUND,
    RULES,
    Array,
    Learner,
    bound_of,
    decays_of,
    info_of,
    layers_of,
    optimizer_of,
)
from rtu_edge.learn.cells import cell_config

__all__ = ["StreamAC"]


class StreamAC(Learner):
    """Stream AC(lambda): an actor-critic that learns from each step as it comes, over recurrent trace units.

    >>> import rtu_edge as rtu
    >>> agent = rtu.StreamAC(observation_size=2, action_size=1, units=8, hidden=8, seed=0)
    >>> action = agent.reset([0.0, 0.1])
    >>> action = agent.step([0.01, 0.1], reward=1.0)
    >>> action.shape
    (1,)

    Args:
        observation_size: observations d, raw units of the device; normalising is done inside.
        action_size: continuous actions, each in [-1, 1] of its actuator's range (or n_actions).
        n_actions: choices of a discrete action (or action_size).
        units: recurrent units n of each body.
        hidden: width of the layer after the cell, or a tuple of widths (0 to 4 layers; () for none).
        seed: 0 to 2^64 - 1.
        cell: "linear", "nonlinear", or "none" for a memoryless control.
        activation: of the cell: "relu", "tanh", "identity".
        units_per_pole: units that share a pole (linear cell).
        body: "separate": actor and critic have a cell and layers each; "shared": one body, two eligibility sets on it,
            their updates summed (docs/math.md, 4, form b).
        gamma: discount per step, 0 to 1.
        trace_decay: lambda, or one for each of "recurrent", "body", "head".
        optimizer: "obgd" (bounded steps), "sgd", "adam".
        actor: {"step_size": 1.0, "kappa": 2.0} and defaults for what is missing (step_size 1e-3 for sgd and adam).
        critic: the same; kappa 3.0 (docs/math.md says why the paper's 3 and 2 are turned round).
        entropy: tau, weight of the entropy's gradient.
        r_min: smallest retention at the start.
        r_max: largest retention at the start.
        max_phase: largest phase at the start, rad per step.
        sparsity: share of zero weights in dense layers at the start; one weight of each row always lives.
        sigma_floor: added to the standard deviation of continuous actions.
        normalize_observation: running mean and variance of each channel (Welford); a channel that has not moved gives 0.
        observation_bound: deviations, 2 to 1e6: the most that a normalised observation reaches, and the most by which a
            reading counts in mean and variance. 0: no bound.
        scale_reward: rewards divided by the running deviation of the return.
        recompute: value and gradient of the last state again with the new weights, as the published code does.
        dt_s: nominal step in seconds, kept in checkpoints and exports; None if unknown.
        dtype: "float32" for work, "float64" for verification; or numpy's types of these names.

    Raises:
        ConfigError: an argument out of its range; the message names it.
    """

    kind = "stream_ac"
    _normalizer_name = "observation"

    def __init__(
        self,
        observation_size: int,
        action_size: int | None = None,
        n_actions: int | None = None,
        units: int = 32,
        hidden: int | Sequence[int] = 32,
        seed: int = 0,
        *,
        cell: str = "linear",
        activation: str = "tanh",
        units_per_pole: int = 1,
        body: str = "separate",
        gamma: float = 0.99,
        trace_decay: float | Mapping[str, float] = 0.9,
        optimizer: str = "obgd",
        actor: Mapping[str, float] | None = None,
        critic: Mapping[str, float] | None = None,
        entropy: float = 0.01,
        r_min: float = 0.7,
        r_max: float = 1.0,
        max_phase: float = 6.28,
        sparsity: float = 0.9,
        sigma_floor: float = 0.0,
        normalize_observation: bool = True,
        observation_bound: float = OBSERVATION_BOUND,
        scale_reward: bool = True,
        recompute: bool = False,
        dt_s: float | None = None,
        dtype: npt.DTypeLike = "float32",
    ) -> None:
        if (action_size is None) == (n_actions is None):
            raise ConfigError("action_size, n_actions: expected exactly one of them (continuous or discrete actions)")
        discrete = n_actions is not None
        d = check_int("observation_size", observation_size, 1, 64)
        width = None if action_size is None else check_int("action_size", action_size, 1, 32)
        choices = None if n_actions is None else check_int("n_actions", n_actions, 2, 64)
        recurrent = cell_config(
            cell, d, units, units_per_pole, activation, r_min=r_min, r_max=r_max, max_phase=max_phase
        )
        rule = check_choice("optimizer", optimizer, RULES)
        arguments: dict[str, Any] = {
            "observation_size": d,
            "action_size": width,
            "n_actions": choices,
            "units": recurrent["units"],
            "hidden": layers_of(hidden),
            "cell": recurrent["cell"],
            "activation": recurrent["activation"],
            "units_per_pole": recurrent["units_per_pole"],
            "body": check_choice("body", body, ("separate", "shared")),
            "gamma": check_number("gamma", gamma, 0.0, 1.0),
            "trace_decay": decays_of(trace_decay),
            "optimizer": rule,
            "actor": None,
            "critic": None,
            "entropy": check_number("entropy", entropy, 0.0, 1e3),
            "r_min": recurrent["r_min"],
            "r_max": recurrent["r_max"],
            "max_phase": recurrent["max_phase"],
            "sparsity": check_number("sparsity", sparsity, 0.0, 1.0),
            "sigma_floor": check_number("sigma_floor", sigma_floor, 0.0, 1e3),
            "normalize_observation": check_bool("normalize_observation", normalize_observation),
            "observation_bound": bound_of(observation_bound),
            "scale_reward": check_bool("scale_reward", scale_reward),
            "recompute": check_bool("recompute", recompute),
            "dt_s": None if dt_s is None else check_number("dt_s", dt_s, 0.0, 1e3, open_low=True),
        }
        native = {
            **arguments,
            **recurrent,
            "discrete": discrete,
            "n_outputs": choices if discrete else width,
            "actor": optimizer_of("actor", rule, actor, step_size=1.0, kappa=2.0),
            "critic": optimizer_of("critic", rule, critic, step_size=1.0, kappa=3.0),
        }
        for role in ("actor", "critic"):
            arguments[role] = {key: native[role][key] for key in ("step_size", "kappa")}
        self._start(_core.StreamAC, native, arguments, dtype, seed)

    @property
    def observation_size(self) -> int:
        """Observations d."""
        return int(self._config["observation_size"])

    @property
    def discrete(self) -> bool:
        """True: actions are indices."""
        return self._config["n_actions"] is not None

    def begin(self) -> None:
        """Starts an episode without an observation yet: state, traces and eligibilities to zero."""
        self._core.begin()

    def reset(self, observation: npt.ArrayLike) -> Any:
        """Starts an episode.

        Args:
            observation: (d,) the first observation.

        Returns:
            The first action: float array (action_size,) in [-1, 1], or an int.

        Raises:
            ValueError: shape, dtype or value of the observation; nothing has changed.
        """
        return self._core.reset(observation)

    def step(self, observation: npt.ArrayLike, reward: float, terminated: bool = False, truncated: bool = False) -> Any:
        """Learns from the transition into this observation; returns the next action.

        Args:
            observation: (d,) what followed the last action.
            reward: of the transition.
            terminated: the task ended here: nothing follows, no bootstrap. The action returned is then not to be used.
            truncated: the episode was cut here: its value is still that of the observation.

        Raises:
            ValueError: shape, dtype or value; nothing has changed.
            RuntimeError: no episode is under way; call reset().
        """
        return self._core.step(observation, reward, terminated, truncated)

    def run(
        self,
        observations: npt.ArrayLike,
        rewards: npt.ArrayLike,
        terminated: npt.ArrayLike | None = None,
        truncated: npt.ArrayLike | None = None,
        executed: npt.ArrayLike | None = None,
    ) -> Array:
        """Many steps in one call, to the bit what as many calls of step() do: for logs, replay and work off the robot.

        A row after an end, and the first row where no episode is under way, starts an episode as reset() does; its
        reward is not used. Given the observations and rewards of a run that began in this state, the actions are those
        of that run. Other threads of Python go on meanwhile, but may not use this learner.

        Args:
            observations: (k, d).
            rewards: (k,) of the transition into each row.
            terminated: (k,) bool; None: nowhere.
            truncated: (k,) bool; None: nowhere.
            executed: (k, action_size), or (k,) for discrete actions: what was really done before each row, where that
                was not this learner's choice; as for learn().

        Returns:
            Actions (k, action_size), or (k,) int64.

        Raises:
            ValueError: shape, dtype or value of an argument; nothing has changed.
            RuntimeError: learn() is due.
        """
        actions: Array = self._core.run(observations, rewards, terminated, truncated, executed)
        return actions

    def bind(self, observation_buffer: Array, action_buffer: Array) -> None:
        """Names the arrays that reset_bound() and step_bound() read and write in place; both are kept.

        Args:
            observation_buffer: (d,) of this learner's dtype, contiguous.
            action_buffer: (action_size,) of this learner's dtype, contiguous, writable; (1,) for a discrete action,
                whose index it then holds.

        Raises:
            ValueError: another dtype, shape or layout: nothing is ever converted here.
        """
        self.__dict__.update(self._core.bind(observation_buffer, action_buffer))

    # bind() puts functions of the core in the place of these two, on the instance: no Python code runs in a bound step.
    def reset_bound(self) -> None:
        """As reset(): reads the bound observation, writes the first action into the bound buffer.

        Raises:
            ValueError: the observation is not finite; nothing has changed.
            RuntimeError: bind() was not called before.
        """
        raise RuntimeError("reset_bound() before bind(): call bind(observation_buffer, action_buffer) first")

    def step_bound(self, reward: float, terminated: bool = False, truncated: bool = False) -> None:
        """As step(): learns from the transition into the bound observation, writes the next action.

        Args:
            reward: of the transition.
            terminated: as for step().
            truncated: as for step().

        Raises:
            ValueError: the observation or the reward is not finite; nothing has changed.
            RuntimeError: bind() was not called before, or no episode is under way.
        """
        raise RuntimeError("step_bound() before bind(): call bind(observation_buffer, action_buffer) first")

    def predict(self, observation: npt.ArrayLike, explore: bool = True, *, periods: float = 1.0) -> Any:
        """First half of a step: advances the state and chooses the action, which may leave at once.

        Args:
            observation: (d,).
            explore: False evaluates: the most likely action, nothing is learned, the normaliser stands still, only the
                recurrent state advances; learn() is then not called. When learning goes on without a reset, traces and
                eligibilities start anew.
            periods: time since the last observation in nominal periods (docs/math.md, 1).

        Raises:
            ValueError: shape, dtype or value; nothing has changed.
            RuntimeError: learn() is due, or no episode is under way.
        """
        return self._core.predict(observation, explore, check_number("periods", periods, 0.0, 1e3, open_low=True))

    def learn(
        self,
        reward: float | None,
        terminated: bool = False,
        truncated: bool = False,
        executed: npt.ArrayLike | int | None = None,
        *,
        update: bool = True,
    ) -> None:
        """Second half of a step: learns from the transition that ended in the observation just predicted.

        Args:
            reward: of the transition; after begin() and the first predict() there is none yet, and it is not looked at.
                None, with update=False, where it was lost.
            terminated: no bootstrap.
            truncated: bootstrap from the observation just predicted.
            executed: what the actuators really did in place of the last action, in its units. Where it differs by more
                than 1e-4 (a fallback, a stale command, a slew limit), only the critic learns from this transition.
            update: False is the deadline rule: everything is as ever but that no weight moves (docs/math.md, 4).

        Raises:
            ValueError: a value that is not finite; nothing has changed, learn() is still due.
            RuntimeError: predict() was not called before.
        """
        if executed is not None and self.discrete:
            executed = check_int("executed", executed, 0, self._config["n_actions"] - 1)
        self._core.learn(reward, terminated, truncated, executed, bool(update))

    @property
    def last_action_sample(self) -> Array:
        """The newest sampled action, unclipped: what the policy's gradient is taken of. (action_size,) or (1,)."""
        return np.asarray(self._core.last_sample)

    @property
    def last_step(self) -> dict[str, float]:
        """ "value", "delta", "step_size_actor", "step_size_critic" of the last learn()."""
        return info_of(self._core.info)
