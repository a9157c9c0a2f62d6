"""The calls of an agent in a control loop: act, learn, and both in one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rtu_edge._base.validation import check_bool, check_int, check_number
from rtu_edge.learn import findings
from rtu_edge.learn.base import VARIANCE_EPS, Array, Learner

if TYPE_CHECKING:
    from rtu_edge._base.progress import Callback
    from rtu_edge.learn.training import LearningResult

__all__ = ["Actor"]


class Actor(Learner):
    """A learner that acts: StreamAC, StreamQ, StreamSARSA, StreamQRC."""

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
            ValueError: shape, dtype or value of an argument; nothing has changed.
        """
        if deterministic is False or not check_bool("deterministic", deterministic):
            return self._core.reset(observation)
        return self._core.act(observation, True, 1.0, True, None, None)

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
            deterministic: True evaluates: nothing is learned, terminated and truncated are not used; see act().

        Raises:
            ValueError: shape, dtype or value; nothing has changed.
            RuntimeError: no episode is running; call reset().
        """
        if deterministic is False or not check_bool("deterministic", deterministic):
            return self._core.step(observation, reward, terminated, truncated)
        return self.act(observation, reward=reward)

    def act(
        self,
        observation: npt.ArrayLike,
        *,
        deterministic: bool = True,
        periods: float = 1.0,
        reward: float | None = None,
        applied: npt.ArrayLike | int | None = None,
    ) -> Any:
        """The policy's action, without learning: only the recurrent state advances.

        The normaliser does not change. When learning resumes without a reset, traces and eligibilities start at zero.

        Args:
            observation: (d,).
            deterministic: True: the mean of continuous actions, the most likely discrete one; False: a sample, which
                advances the random generator too.
            periods: time since the last observation in nominal periods.
            reward, applied: as for predict().

        Returns:
            Float array (action_size,) in [-1, 1], or an int.

        Raises:
            ValueError: shape, dtype or value; nothing has changed.
            RuntimeError: update() is due.
        """
        periods = check_number("periods", periods, 0.0, 1e3, open_low=True)
        mode = check_bool("deterministic", deterministic)
        return self._core.act(observation, mode, periods, False, reward, self._applied(applied))

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

    def predict(
        self,
        observation: npt.ArrayLike,
        *,
        deterministic: bool = False,
        periods: float = 1.0,
        reward: float | None = None,
        applied: npt.ArrayLike | int | None = None,
    ) -> Any:
        """First half of a step: advances the state and chooses the action, which can be sent at once.

        Args:
            observation: (d,).
            deterministic: True evaluates; see act(). update() is then not called.
            periods: time since the last observation in nominal periods (docs/math.md, 1).
            reward: of the transition into this observation, an input under `previous_reward`; None: lost, the input is
                0. Not used at the first step of an episode and by other learners; update() takes it as well.
            applied: the action applied before this observation, an input under `previous_action`; None: the last one
                returned. Continuous values are clipped to [-1, 1].

        Raises:
            ValueError: shape, dtype or value; nothing has changed.
            RuntimeError: update() is due, or no episode is running.
        """
        periods = check_number("periods", periods, 0.0, 1e3, open_low=True)
        explore = not check_bool("deterministic", deterministic)
        return self._core.predict(observation, explore, periods, reward, self._applied(applied))

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
            applied: the action that something else chose instead of the last one (a fallback, a stale command, another
                host), in its units. If it differs by more than 1e-4, only the critic learns from this transition. What
                limits of range, slew or acceleration make of the last action is part of the plant: leave it out
                (docs/math_learners.md, 4).
            move_weights: False is the deadline rule: as True, but no weight moves (docs/math.md, 4).

        Raises:
            ValueError: a value that is not finite; nothing has changed, update() is still due.
            RuntimeError: predict() was not called before.
        """
        moves = check_bool("move_weights", move_weights)
        self._core.update(reward, terminated, truncated, self._applied(applied), moves)

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

    def _applied(self, applied: Any) -> Any:
        if applied is None or not self.discrete:
            return applied
        return check_int("applied", applied, 0, self._config["n_actions"] - 1)

    @property
    def reward_scale(self) -> float:
        """What a reward is multiplied by at present: 1 over the running standard deviation of the return, or 1 without
        `scale_reward`."""
        if not self._config["scale_reward"]:
            return 1.0
        count, m2 = int(self._core.get("reward.count")[0]), float(self._core.get("reward.m2")[0])
        return float(1.0 / np.sqrt((m2 / (count - 1) if count > 1 else 1.0) + VARIANCE_EPS))

    @property
    def last_action_sample(self) -> Array:
        """The newest sampled action, unclipped: the one that the policy gradient refers to. (action_size,) or (1,)."""
        return np.asarray(self._core.last_sample)

    @property
    def last_step(self) -> dict[str, float]:
        """ "value", "delta", "step_size_actor", "step_size_critic" of the last update(); the step sizes are of the last
        that moved weights. Action values: "value" is that of the newest action, their only step size the critic's.
        """
        return dict(self._core.info)

    @property
    def diagnostics(self) -> dict[str, Any]:
        """Report of the last step: "value", "delta" (TD error), "entropy" in nats; for continuous actions also
        "sigma", their mean standard deviation, and "clipped", the share of samples outside of [-1, 1].

        Means over the last complete window of 1 000 updates, NaN before its end: "entropy_mean", "td_error_mean" of
        |delta|, "sigma_mean", "clipped_mean"; "td_error_growth", the mean |delta| as a multiple of that of the windows
        before, NaN in the first five. "findings": names of what the windows show at present, such as "saturated"
        (docs/learner_monitor.md).
        """
        found = dict(self._core.diagnostics)
        return {**found, "findings": findings.names(found["findings"])}

    @property
    def findings(self) -> dict[str, int]:
        """What the learner monitor's windows have shown since this object was made: names, and the update
        (`steps_learned`) in which each was found first. Each is also a LearnerWarning, once (docs/learner_monitor.md).
        """
        return findings.firsts(self._core.findings)
