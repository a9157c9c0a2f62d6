"""Learning in an environment: the loop behind StreamAC.learn()."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rtu_edge._base.errors import ConfigError
from rtu_edge._base.progress import Callback, Progress, StepRecord, call_all, callbacks
from rtu_edge._base.validation import check_bool, check_int, counted, period_problem
from rtu_edge.learn import native
from rtu_edge.learn.spaces import Fit, fit

if TYPE_CHECKING:
    from rtu_edge.learn.base import Learner

__all__ = ["LearningResult", "StepRecord", "fit_agent", "learn"]

_MOST_STEPS = 10**15
_DIVERGED = (
    "the learner has diverged, its values are not finite. Load a checkpoint or start again; with "
    "normalize_observation=True, scale_reward=True and optimizer='obgd' (the defaults) steps are bounded"
)


@dataclass(frozen=True, repr=False)
class LearningResult:
    """Result of learn(); prints as a summary.

    Attributes:
        steps: taken.
        returns: sum of rewards of each finished episode.
        lengths: steps of each finished episode.
        mean_reward: per step, over all steps.
        seconds: wall-clock time.
        stopped: a callback returned False.
    """

    steps: int
    returns: tuple[float, ...]
    lengths: tuple[int, ...]
    mean_reward: float
    seconds: float
    stopped: bool

    @property
    def episodes(self) -> int:
        """Finished episodes."""
        return len(self.returns)

    def __str__(self) -> str:
        """Two or three lines."""
        rate = self.steps / max(self.seconds, 1e-9)
        ended = ", stopped by a callback" if self.stopped else ""
        finished = counted(self.episodes, "episode")
        lines = [f"{self.steps:,} steps in {self.seconds:.1f} s ({rate:,.0f} steps/s){ended}; {finished} finished"]
        if not self.returns:
            return f"{lines[0]}\nmean reward per step {self.mean_reward:.4g}"
        n = min(100, max(1, self.episodes // 2))
        first, last = np.mean(self.returns[:n]), np.mean(self.returns[-n:])
        lines.append(f"mean return of the first {n}: {first:.4g}, of the last {n}: {last:.4g}; best {self._best:.4g}")
        return "\n".join(lines)

    @property
    def _best(self) -> float:
        return max(self.returns)

    __repr__ = __str__


def fit_agent(agent: Learner, env: Any, *, any_period: bool = False) -> Fit:
    """The scaling of actions for an agent in an environment.

    Args:
        any_period: accept another period.

    Raises:
        ConfigError: the agent was made for other sizes, or a period that differs by more than 20 %.
    """
    config = agent.config
    levels = config["n_actions"] if hasattr(env, "sheet") and hasattr(env, "scale") else None
    found = fit(env, levels, type(agent).__name__)
    for name in ("observation_size", "action_size", "n_actions"):
        asked = found.sizes.get(name)
        if asked != config.get(name):
            raise ConfigError(f"env: it asks for {name} = {asked}, the agent has {name} = {config.get(name)}")
    if not check_bool("any_period", any_period) and (
        problem := period_problem(config["dt_s"], "the environment", found.sizes.get("dt_s", 0.0), "any_period=True")
    ):
        raise ConfigError(f"agent: {problem}")
    return found


def learn(
    agent: Any,
    env: Any,
    steps: int,
    *,
    progress: bool = True,
    callback: Callback | Iterable[Callback] | None = None,
    seed: int | None = None,
    any_period: bool = False,
) -> LearningResult:
    """See StreamAC.learn()."""
    steps = check_int("steps", steps, 1, _MOST_STEPS)
    seed = None if seed is None else check_int("seed", seed, 0, 2**32 - 1)
    called, to_env = callbacks(callback), fit_agent(agent, env, any_period=any_period).to_env
    shown = check_bool("progress", progress)
    if not called and native.drives(agent, env):
        return _learn_natively(agent, env, steps, shown, seed)
    stopped = False
    core = agent.core
    observation, _ = env.reset(seed=seed)
    with Progress(steps, shown) as run:
        action = _first(agent, 0, observation)
        while run.steps < steps and not stopped:
            observation, reward, terminated, truncated, _ = env.step(to_env(action))
            try:
                action = agent.step(observation, reward, terminated, truncated)
            except ValueError as error:
                raise _refused(run.steps + 1, error) from error
            if not core.healthy:
                raise _diverged(run.steps + 1)
            ended = bool(terminated or truncated)
            if called:
                stopped = not call_all(called, _record(agent, run, float(reward), bool(terminated), bool(truncated)))
            run.add(float(reward), ended)
            if ended and run.steps < steps and not stopped:
                observation, _ = env.reset()
                action = _first(agent, run.steps, observation)
        seconds = run.seconds
    return LearningResult(
        run.steps, tuple(run.returns), tuple(run.lengths), run.reward_sum / run.steps, seconds, stopped
    )


def _learn_natively(agent: Any, env: Any, steps: int, shown: bool, seed: int | None) -> LearningResult:
    """The same loop in the core; see rtu_edge/learn/native.py."""
    with Progress(steps, shown) as run:
        for chunk in native.chunks(agent, env, steps, seed=seed):
            run.add_chunk(chunk)
            if chunk.problem == "diverged":
                raise _diverged(run.steps + 1)
            if chunk.problem:
                raise ValueError(f"learn(), step {run.steps + 1:,}: the plant gave a value that is not finite")
        seconds = run.seconds
    return LearningResult(run.steps, tuple(run.returns), tuple(run.lengths), run.reward_sum / run.steps, seconds, False)


def _first(agent: Any, step: int, observation: Any) -> Any:
    """The first action of an episode. Calls and errors of the other steps are written out in learn(): one more call
    of a function takes as long as the rest of a step's Python."""
    try:
        action = agent.reset(observation)
    except ValueError as error:
        raise _refused(step, error) from error
    if not agent.core.healthy:
        raise _diverged(step)
    return action


def _refused(step: int, error: ValueError) -> ValueError:
    return ValueError(f"learn(), step {step:,}: {error}")


def _diverged(step: int) -> RuntimeError:
    return RuntimeError(f"learn(), step {step:,}: {_DIVERGED}")


def _record(agent: Any, run: Progress, reward: float, terminated: bool, truncated: bool) -> StepRecord:
    known = agent.core.diagnostics
    return StepRecord(
        step=run.steps + 1,
        episode=run.episodes + 1,
        reward=reward,
        episode_return=run.episode_return + reward,
        episode_length=run.episode_length + 1,
        terminated=terminated,
        truncated=truncated,
        td_error=known["delta"],
        value=known["value"],
        sigma=known.get("sigma"),
        entropy=known["entropy"],
        clipped=known.get("clipped"),
    )
