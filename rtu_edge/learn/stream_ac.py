"""StreamAC, for control.

Source: Elsayed et al., Streaming Deep Reinforcement Learning Finally Works, 2024 (arXiv 2410.14606); docs/math.md, 4.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rtu_edge import _core
from rtu_edge._base.errors import ConfigError
from rtu_edge._base.validation import check_int, check_number
from rtu_edge.learn import parameters
from rtu_edge.learn.base import Array, Learner

if TYPE_CHECKING:
    from rtu_edge._base.progress import Callback
    from rtu_edge.learn.training import LearningResult

__all__ = ["StreamAC"]


class StreamAC(Learner):
    """Stream AC(lambda): an actor-critic that learns from each step online, with recurrent trace units.

    >>> import rtu_edge as rtu
    >>> agent = rtu.StreamAC(observation_size=2, action_size=1, units=8, hidden=8, seed=0)
    >>> action = agent.reset([0.0, 0.1])
    >>> action = agent.step([0.01, 0.1], reward=1.0)
    >>> action.shape
    (1,)

    Args:
        observation_size: Width d of the observation, 1 to 64; in the device's units, normalised inside.
        action_size: Number of continuous actions, 1 to 32; each in [-1, 1] of its actuator's range; or give n_actions.
        n_actions: Number of discrete actions, 2 to 64; or give action_size.
        units: Recurrent units n of each network, 1 to 65536.
        hidden: Layers after the recurrent cell, a width of 1 to 65536, or a sequence of at most 4.
        seed: Random seed, 0 to 2^64 - 1.
        cell: Recurrent cell, one of "linear", "nonlinear", "none"; "none": memoryless baseline.
        activation: Activation function of the recurrent cell, one of "relu", "tanh", "identity".
        units_per_pole: Units that share one pole and its traces, 1 to 4096; a divisor of the number of units; 1 for the
            nonlinear cell.
        body: Network of actor and critic, one of "separate", "shared"; "shared": one network for both with summed
            updates (docs/math.md, 4).
        gamma: Discount factor per step, 0 to 1.
        trace_decay: Decay lambda of the eligibility traces per step, 0 to 1, or a mapping of "recurrent", "body",
            "head".
        optimizer: Optimizer, one of "obgd", "sgd", "adam"; "obgd": overshooting-bounded gradient descent.
        actor: A mapping with any of
            "step_size": Step size of the actor, 0 to 1e6; 0 freezes its weights; default 1 with "obgd", 0.001 with
                "sgd" and "adam".
            "kappa": Factor kappa of the step bound of "obgd", above 0, at most 1e6; larger values take smaller steps;
                default 2.
        critic: A mapping with any of
            "step_size": Step size of the critic, 0 to 1e6; 0 freezes its weights; default 1 with "obgd", 0.001 with
                "sgd" and "adam".
            "kappa": Factor kappa of the step bound of "obgd", above 0, at most 1e6; larger values take smaller steps;
                default 3.
        entropy: Entropy coefficient tau, 0 to 1000.
        r_min: Smallest retention of a pole at initialisation, 0 to 0.9999999; at most r_max.
        r_max: Largest retention of a pole at initialisation, above 0, at most 1.
        max_phase: Largest phase of a pole at initialisation, above 0, at most 1000 rad per step.
        sparsity: Share of zero weights in dense layers at initialisation, 0 to 1; each row keeps one weight.
        sigma_floor: Offset added to the standard deviation of continuous actions, 0 to 1000.
        normalize_observation: Normalise each channel by its running mean and variance; a channel that has not moved
            gives 0.
        observation_bound: Clip normalised observations and the readings in their statistics, 0, or 2 to 1e6 standard
            deviations; 0 disables clipping.
        scale_reward: Divide rewards by the running standard deviation of the return.
        recompute: Recompute value and gradient of the previous state with the new weights, as in the published code.
        dt_s: Nominal period, above 0, at most 1000 s; kept in checkpoints and exports; None if unknown.
        dtype: Number format, one of "float32", "float64"; "float32" for work; "float64" for verification (scalar code).

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
        hidden: int | Sequence[int] = (32,),
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
        observation_bound: float = 10.0,
        scale_reward: bool = True,
        recompute: bool = False,
        dt_s: float | None = None,
        dtype: npt.DTypeLike = "float32",
    ) -> None:
        self._build(locals())

    def _build(self, given: Mapping[str, Any]) -> None:
        arguments = parameters.check(self.kind, given)
        discrete = arguments["n_actions"] is not None
        if discrete == (arguments["action_size"] is not None):
            raise ConfigError("action_size, n_actions: expected exactly one of them (continuous or discrete actions)")
        native = {
            **arguments,
            "discrete": discrete,
            "n_outputs": arguments["n_actions" if discrete else "action_size"],
            **{role: {**arguments[role], "rule": arguments["optimizer"]} for role in ("actor", "critic")},
        }
        self._start(_core.StreamAC, native, arguments)

    @classmethod
    def from_env(cls, env: Any, **settings: Any) -> StreamAC:
        """A learner whose sizes fit an environment.

        >>> import rtu_edge as rtu
        >>> agent = rtu.StreamAC.from_env(rtu.Plant("cartpole"), units=16, seed=0)
        >>> agent.config["observation_size"], agent.config["action_size"], agent.config["dt_s"]
        (2, 1, 0.02)

        Args:
            env: A Gymnasium environment with observations in a Box of one dimension, at most 64, and actions in
                Discrete(2 to 64) or in a Box with finite bounds, at most 32; or a Plant or a Robot, whose data sheet
                also gives dt_s.
            settings: Arguments of the class except for the sizes. For a Plant or a Robot with one actuator, n_actions
                makes a learner with discrete actions: evenly spaced levels of the actuator's range.

        Raises:
            ConfigError: a space that does not fit, or an argument out of its range; the message names it.
            TypeError: an argument that the class does not have.
        """
        from rtu_edge.learn.spaces import fit  # here, as in learn(): the package's import stays quick

        for name in ("observation_size", "action_size"):
            if name in settings:
                raise ConfigError(f"{name} = {settings[name]!r}: follows from the environment; leave it out")
        sizes = fit(env, settings.pop("n_actions", None)).sizes
        return cls(**{**sizes, **settings})

    def learn(
        self,
        env: Any,
        steps: int,
        progress: bool = True,
        callback: Callback | Iterable[Callback] | None = None,
        seed: int | None = None,
        any_period: bool = False,
    ) -> LearningResult:
        """Learns in an environment for a number of steps; actions are scaled to its units.

        >>> import rtu_edge as rtu
        >>> plant = rtu.Plant("cartpole")
        >>> result = rtu.StreamAC.from_env(plant, seed=0).learn(plant, steps=2000, progress=False, seed=0)
        >>> result.steps, result.episodes == len(result.returns) == len(result.lengths)
        (2000, True)

        Args:
            env: A Gymnasium environment, a Plant or a Robot that fits this agent; see from_env(). It is reset first.
            steps: Environment steps, 1 or more; the last episode may be cut.
            progress: Show steps, steps/s and returns (without episodes: mean reward) on standard error: one line on a
                terminal, a line every 10 s elsewhere.
            callback: One or several functions, such as CSVWriter, called with each step's StepRecord; False stops.
            seed: Of the environment's first episode, 0 to 2^32 - 1; it sets the others too. None: not seeded.
            any_period: Accept an environment whose period differs from dt_s by more than 20 %.

        Returns:
            Steps, returns and lengths of the finished episodes; prints as a summary.

        Raises:
            ValueError: an argument out of its range, an environment that does not fit (both ConfigError), or an
                observation or a reward that is not finite.
            RuntimeError: the learner has diverged.
        """
        from rtu_edge.learn.training import learn

        return learn(self, env, steps, progress=progress, callback=callback, seed=seed, any_period=any_period)

    @property
    def observation_size(self) -> int:
        """Observations d."""
        return int(self._config["observation_size"])

    @property
    def discrete(self) -> bool:
        """True: actions are indices."""
        return self._config["n_actions"] is not None

    def begin(self) -> None:
        """Starts an episode before its first observation: zeroes state, traces and eligibilities."""
        self._core.begin()

    def reset(self, observation: npt.ArrayLike, *, deterministic: bool = False) -> Any:
        """Starts an episode.

        Args:
            observation: (d,) the first observation.
            deterministic: True evaluates; see act().

        Returns:
            The first action: float array (action_size,) in [-1, 1], or an int.

        Raises:
            ValueError: shape, dtype or value of the observation; nothing has changed.
        """
        return self._core.act(observation, True, 1.0, True) if deterministic else self._core.reset(observation)

    def step(
        self,
        observation: npt.ArrayLike,
        reward: float,
        terminated: bool = False,
        truncated: bool = False,
        *,
        deterministic: bool = False,
    ) -> Any:
        """Learns from the transition into this observation; returns the next action.

        Args:
            observation: (d,) what followed the last action.
            reward: of the transition.
            terminated: a terminal state, without bootstrap. The returned action must then not be used.
            truncated: the episode was cut here; bootstraps from the observation.
            deterministic: True evaluates: nothing is learned, reward, terminated and truncated are not used; see act().

        Raises:
            ValueError: shape, dtype or value; nothing has changed.
            RuntimeError: no episode is running; call reset().
        """
        if not deterministic:
            return self._core.step(observation, reward, terminated, truncated)
        return self.act(observation)

    def act(self, observation: npt.ArrayLike, *, deterministic: bool = True, periods: float = 1.0) -> Any:
        """The policy's action, without learning: only the recurrent state advances.

        The normaliser does not change. When learning resumes without a reset, traces and eligibilities start at zero.

        Args:
            observation: (d,).
            deterministic: True: the mean of continuous actions, the most likely discrete one; False: a sample, which
                advances the random generator too.
            periods: time since the last observation in nominal periods.

        Returns:
            Float array (action_size,) in [-1, 1], or an int.

        Raises:
            ValueError: shape, dtype or value; nothing has changed.
            RuntimeError: update() is due.
        """
        periods = check_number("periods", periods, 0.0, 1e3, open_low=True)
        return self._core.act(observation, bool(deterministic), periods, False)

    def run(
        self,
        observations: npt.ArrayLike,
        rewards: npt.ArrayLike,
        terminated: npt.ArrayLike | None = None,
        truncated: npt.ArrayLike | None = None,
        applied: npt.ArrayLike | None = None,
    ) -> Array:
        """Many steps in one call, bit-identical to as many calls of step(): for logs, replay and offline work.

        A row after an end, and the first row without a running episode, starts an episode like reset(); its reward is
        not used. Given the observations and rewards of a run that began in this state, the actions are those
        of that run. Other threads of Python continue meanwhile, but may not use this learner.

        Args:
            observations: (k, d).
            rewards: (k,) of the transition into each row.
            terminated: (k,) bool; None: nowhere.
            truncated: (k,) bool; None: nowhere.
            applied: (k, action_size), or (k,) for discrete actions: the actions applied before each row, if they were
                not this learner's choice; as for update().

        Returns:
            Actions (k, action_size), or (k,) int64.

        Raises:
            ValueError: shape, dtype or value of an argument; nothing has changed.
            RuntimeError: update() is due.
        """
        actions: Array = self._core.run(observations, rewards, terminated, truncated, applied)
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

    # bind() replaces these two methods on the instance by functions of the core: a bound step runs no Python code.
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
            RuntimeError: bind() was not called before, or no episode is running.
        """
        raise RuntimeError("step_bound() before bind(): call bind(observation_buffer, action_buffer) first")

    def predict(self, observation: npt.ArrayLike, *, deterministic: bool = False, periods: float = 1.0) -> Any:
        """First half of a step: advances the state and chooses the action, which can be sent at once.

        Args:
            observation: (d,).
            deterministic: True evaluates; see act(). update() is then not called.
            periods: time since the last observation in nominal periods (docs/math.md, 1).

        Raises:
            ValueError: shape, dtype or value; nothing has changed.
            RuntimeError: update() is due, or no episode is running.
        """
        periods = check_number("periods", periods, 0.0, 1e3, open_low=True)
        return self._core.predict(observation, not deterministic, periods)

    def update(
        self,
        reward: float | None,
        terminated: bool = False,
        truncated: bool = False,
        applied: npt.ArrayLike | int | None = None,
        *,
        move_weights: bool = True,
    ) -> None:
        """Second half of a step: learns from the transition that ended in the observation just predicted.

        Args:
            reward: of the transition; after begin() and the first predict() there is none yet, and it is ignored.
                None, with move_weights=False, if it was lost.
            terminated: no bootstrap.
            truncated: bootstrap from the observation just predicted.
            applied: the action that the actuators applied instead of the last one, in its units. If it differs by more
            than 1e-4 (a fallback, a stale command, a slew limit), only the critic learns from this transition.
            move_weights: False is the deadline rule: as True, but no weight moves (docs/math.md, 4).

        Raises:
            ValueError: a value that is not finite; nothing has changed, update() is still due.
            RuntimeError: predict() was not called before.
        """
        if applied is not None and self.discrete:
            applied = check_int("applied", applied, 0, self._config["n_actions"] - 1)
        self._core.update(reward, terminated, truncated, applied, bool(move_weights))

    @property
    def last_action_sample(self) -> Array:
        """The newest sampled action, unclipped: the one that the policy gradient refers to. (action_size,) or (1,)."""
        return np.asarray(self._core.last_sample)

    @property
    def last_step(self) -> dict[str, float]:
        """ "value", "delta", "step_size_actor", "step_size_critic" of the last update()."""
        return dict(self._core.info)

    @property
    def diagnostics(self) -> dict[str, float]:
        """Report of the last step: "value", "delta" (TD error), "entropy" in nats; for continuous actions also
        "sigma", their mean standard deviation, and "clipped", the share of samples outside of [-1, 1]."""
        return dict(self._core.diagnostics)
