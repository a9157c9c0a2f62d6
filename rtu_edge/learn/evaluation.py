"""Evaluation of a policy: episodes without learning, and a result that prints and plots."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rtu_edge._base.errors import ConfigError
from rtu_edge._base.packages import needed_by
from rtu_edge._base.validation import check_bool, check_int, check_number
from rtu_edge.learn import native
from rtu_edge.learn.acting import Actor
from rtu_edge.learn.spaces import fit
from rtu_edge.learn.training import fit_agent

__all__ = ["EvaluationResult", "evaluate"]

_MOST_REWARD = float(np.finfo(np.float32).max)  # the range of a learner's reward


@dataclass(frozen=True, repr=False)
class EvaluationResult:
    """Returns and lengths of evaluated episodes; prints as a table.

    Attributes:
        returns: sum of rewards of each episode.
        lengths: steps of each episode.
        ends: how each ended: "terminated", "truncated" by the environment, or "cut" after max_steps.
        deterministic: the mean of the policy was used, not samples.
        max_steps: the limit of an episode.
    """

    returns: tuple[float, ...]
    lengths: tuple[int, ...]
    ends: tuple[str, ...]
    deterministic: bool
    max_steps: int

    @property
    def episodes(self) -> int:
        """Number of episodes."""
        return len(self.returns)

    @property
    def mean(self) -> float:
        """Mean return."""
        return float(np.mean(self.returns))

    @property
    def std(self) -> float:
        """Standard deviation of the returns over these episodes (divided by their number)."""
        return float(np.std(self.returns))

    @property
    def min(self) -> float:
        """Smallest return."""
        return float(np.min(self.returns))

    @property
    def max(self) -> float:
        """Largest return."""
        return float(np.max(self.returns))

    def __str__(self) -> str:
        """A table of at most 80 columns."""
        rewards = [total / steps for total, steps in zip(self.returns, self.lengths, strict=True)]
        policy = "deterministic" if self.deterministic else "sampled"
        many = "" if self.episodes == 1 else "s"
        ends = ", ".join(
            f"{self.ends.count(end)} {text}"
            for end, text in (
                ("terminated", "terminated"),
                ("truncated", "truncated"),
                ("cut", f"cut at {self.max_steps:,} steps"),
            )
            if end in self.ends
        )
        return "\n".join(
            [
                f"{self.episodes} episode{many}, {policy} actions: {ends}",
                f"{'':8}{'mean':>11}{'std':>11}{'min':>11}{'max':>11}",
                _row("return", self.returns),
                _row("length", self.lengths),
                _row("reward", rewards) + "  per step",
            ]
        )

    __repr__ = __str__

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """The return of each episode, with mean and standard deviation.

        Args:
            path: path of the picture; the suffix selects the format (.png, .svg, .pdf). None: not saved.

        Returns:
            The matplotlib Figure.

        Raises:
            ImportError: matplotlib is not installed.
            OSError, ValueError: the file cannot be written, or its format is unknown.
        """
        with needed_by("plot()"):
            from matplotlib.figure import Figure
            from matplotlib.ticker import MaxNLocator
        figure = Figure(figsize=(6.4, 3.6), layout="constrained")
        axes = figure.add_subplot(xlabel="episode", ylabel="return", title=str(self).partition("\n")[0])
        numbers = np.arange(1, self.episodes + 1)
        axes.axhspan(self.mean - self.std, self.mean + self.std, color="tab:blue", alpha=0.12, linewidth=0)
        axes.axhline(self.mean, color="tab:blue", label=f"mean {self.mean:.4g}, std {self.std:.3g}")
        axes.plot(numbers, self.returns, "o", color="tab:blue", markersize=4)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(loc="best")
        axes.grid(alpha=0.3)
        if path is not None:
            figure.savefig(path, dpi=150)
        return figure


def _row(name: str, values: Any) -> str:
    numbers = (np.mean(values), np.std(values), np.min(values), np.max(values))
    return f"{name:8}" + "".join(f"{number:>11.4g}" for number in numbers)


def evaluate(
    agent: Any,
    env: Any,
    episodes: int = 10,
    *,
    seed: int | None = None,
    deterministic: bool = True,
    max_steps: int = 10_000,
    any_period: bool = False,
) -> EvaluationResult:
    """Runs a policy for some episodes without learning; the agent's state does not change.

    A copy of the agent acts, so normaliser, recurrent state and random generator of the agent do not change.

    >>> import rtu_edge as rtu
    >>> plant = rtu.Plant("cartpole")
    >>> result = rtu.evaluate(rtu.StreamAC.from_env(plant, seed=0), plant, episodes=3, seed=0)
    >>> result.episodes, result.deterministic
    (3, True)

    Args:
        agent: a StreamAC, StreamQ, StreamSARSA or StreamQRC, or a policy with reset() and predict(observation), such as
            OnnxPolicy.
        env: a Gymnasium environment, a Plant or a Robot whose sizes the agent fits. It is reset for each episode; the
            last one is left at its end.
        episodes: 1 to 1e6.
        seed: of the first episode, 0 to 2^32 - 1; the environment makes those of the others from it.
        deterministic: True: the mean of continuous actions, the most likely or most valuable discrete one; False:
            samples, the same at each call.
        max_steps: steps after which an episode is cut, 1 to 1e9; a continuing task has no other end.
        any_period: accept an environment whose period differs from the agent's dt_s by more than 20 %.

    Raises:
        ConfigError: an argument out of its range, or an agent that does not fit the environment.
        ValueError: the environment gave an observation or a reward that is not finite, or a flag that is no truth
            value.
    """
    episodes = check_int("episodes", episodes, 1, 10**6)
    seed = None if seed is None else check_int("seed", seed, 0, 2**32 - 1)
    deterministic = check_bool("deterministic", deterministic)
    max_steps = check_int("max_steps", max_steps, 1, 10**9)
    begin, act, to_env = _player(agent, env, deterministic, any_period)
    if native.drives(agent, env):
        return _evaluate_natively(agent, env, episodes, seed, deterministic, max_steps)
    returns, lengths, ends = [], [], []
    for episode in range(episodes):
        observation, _ = env.reset(seed=seed) if episode == 0 else env.reset()
        begin()
        total, length, end, reward = 0.0, 0, "", None
        while not end:
            observation, reward, terminated, truncated, _ = env.step(to_env(act(observation, reward)))
            length += 1
            try:
                reward = check_number("reward", reward, -_MOST_REWARD, _MOST_REWARD)
                total += reward
                terminated, truncated = check_bool("terminated", terminated), check_bool("truncated", truncated)
            except ConfigError as error:
                raise ValueError(f"evaluate(), episode {episode + 1}, step {length:,}: {error}") from error
            end = "terminated" if terminated else "truncated" if truncated else "cut" if length >= max_steps else ""
        returns.append(total)
        lengths.append(length)
        ends.append(end)
    return EvaluationResult(tuple(returns), tuple(lengths), tuple(ends), deterministic, max_steps)


def _evaluate_natively(
    agent: Actor, env: Any, episodes: int, seed: int | None, deterministic: bool, max_steps: int
) -> EvaluationResult:
    """The same loop in the core; see rtu_edge/learn/native.py."""
    returns: list[float] = []
    lengths: list[int] = []
    ends: list[str] = []
    mode = "mean" if deterministic else "sample"
    for chunk in native.chunks(
        agent.copy(), env, episodes * max_steps, seed=seed, mode=mode, episodes=episodes, cut=max_steps
    ):
        returns += chunk.returns.tolist()
        lengths += chunk.lengths.tolist()
        ends += [native.ENDS[end] for end in chunk.ends]
        if chunk.problem:
            at = f"episode {len(returns) + 1}, step {chunk.episode_length + 1:,}"
            raise ValueError(f"evaluate(), {at}: the plant gave a value that is not finite")
    return EvaluationResult(tuple(returns), tuple(lengths), tuple(ends), deterministic, max_steps)


def _player(
    agent: Any, env: Any, deterministic: bool, any_period: bool
) -> tuple[Callable[[], object], Callable[[npt.ArrayLike, float | None], Any], Callable[[Any], Any]]:
    """Functions to begin an episode, to act on an observation and the reward before it (None: at the first step), and
    to scale the action for the environment.
    """
    if isinstance(agent, Actor):
        fitted = fit_agent(agent, env, any_period=any_period)
        if not agent.core.healthy:
            raise ConfigError("agent: its values are not finite, it has diverged; load a checkpoint")
        twin = agent.copy()

        def act(observation: npt.ArrayLike, reward: float | None) -> Any:
            return twin.act(observation, deterministic=deterministic, reward=reward)

        return twin.begin, act, fitted.to_env
    if not (callable(getattr(agent, "reset", None)) and callable(getattr(agent, "predict", None))):
        raise ConfigError(
            f"agent = {agent!r}: expected a StreamAC, StreamQ, StreamSARSA or StreamQRC, or a policy with reset() and "
            "predict(observation)"
        )
    if not deterministic:
        raise ConfigError(f"deterministic = False: {type(agent).__name__} gives deterministic actions only")
    choices = getattr(agent, "choices", 0)
    to_env = fit(env, choices if choices and hasattr(env, "sheet") else None).to_env
    if getattr(agent, "previous_reward", False):
        return agent.reset, lambda observation, reward: agent.predict(observation, reward=reward), to_env
    return agent.reset, lambda observation, reward: agent.predict(observation), to_env
