"""The native training loop: agent and plant step in one call of the core, without Python code between two steps.

learn() and evaluate() use it when the environment is a plant in C (it has native_plant()), the agent is a StreamAC and
there are no callbacks. Both ways give the same bits.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from rtu_edge import _core
from rtu_edge.learn.spaces import fit

__all__ = ["ENDS", "WINDOW", "WINDOW_COLUMNS", "Chunk", "DrivenNatively", "Functions", "chunks", "drives"]

WINDOW = 1000  # steps of one row of statistics
WINDOW_COLUMNS = ("mean_reward", "clipped", "mean_error", "sigma", "entropy")
ENDS = ("terminated", "truncated", "cut")  # native_plant.h, End

_AGENT = "rtu_edge.learn.acting"
_CALLED = ("reset", "step", "act", "begin")  # by the loops in Python
_CALL_S = 0.04  # of one native call: Python handles signals between two calls
_FIRST_CALL = 256  # steps


@dataclass(frozen=True)
class Functions:
    """The functions and the state of a plant in C, as addresses, with the signatures of `tl_plant`.

    Attributes:
        reset, step, observe: void (*)(void *state, uint32_t seed), tl_plant_result (*)(void *state, const float *u),
            void (*)(const void *state, float *x).
        state: of the plant, owned by the object that gives this description.
        low, high: (action_size,) float32, the commands of the actions -1 and 1; None: the actions themselves.
        limit: void (*)(void *state, uint32_t max_steps), called after each reset; 0: none.
        max_steps: for limit.
        slew, accel: of the command limiter between agent and plant: largest change per period, and of that change, as
            shares of the range from low to high; inf: no limit.
        told: False: the limiter is part of the plant, as in the control loop; True: the agent is told of each limited
            command as of one that something else has overridden.
    """

    reset: int
    step: int
    observe: int
    state: int
    low: npt.NDArray[np.float32] | None = None
    high: npt.NDArray[np.float32] | None = None
    limit: int = 0
    max_steps: int = 0
    slew: float = math.inf
    accel: float = math.inf
    told: bool = False


class DrivenNatively(Protocol):
    """An environment with a data sheet that the native loop can step.

    Attributes:
        sheet: observation_size, action_size, period_s.
        next_seed: of the next reset without a seed; each episode counts it up by one.
    """

    sheet: Any
    next_seed: int

    def native_plant(self) -> Functions | None:
        """Functions and state; None where Python code must be called at each step."""

    def scale(self, action: Any) -> npt.NDArray[np.float32]:
        """An action in [-1, 1] as a command."""


@dataclass(frozen=True)
class Chunk:
    """Results of one native call.

    Attributes:
        steps: so far, of this and the earlier calls.
        reward_sum: so far.
        returns, lengths, ends, ended_at: of the episodes that ended in this call; ended_at counts steps from 1.
        episode_return, episode_length: of the episode that has not ended.
        windows: (rows, 5) for each WINDOW steps that were completed in this call: mean reward, share of clipped
            actions, mean absolute TD error, and at the last step sigma and entropy.
        problem: why the run stopped early: "diverged", "not finite", or "".
    """

    steps: int
    reward_sum: float
    returns: npt.NDArray[np.float64]
    lengths: npt.NDArray[np.int64]
    ends: npt.NDArray[np.uint8]
    ended_at: npt.NDArray[np.int64]
    episode_return: float
    episode_length: int
    windows: npt.NDArray[np.float64]
    problem: str


def drives(agent: Any, env: Any) -> bool:
    """The native loop can run this agent in this environment, with the same results as the loop in Python."""
    describe: Callable[[], Functions | None] | None = getattr(env, "native_plant", None)
    if describe is None:
        return False
    # A derived class may have its own step(), which then has to be called.
    own = all(getattr(getattr(agent, name, None), "__module__", "") == _AGENT for name in _CALLED)
    return own and describe() is not None


def chunks(
    agent: Any,
    env: DrivenNatively,
    steps: int,
    *,
    seed: int | None = None,
    mode: str = "learn",
    episodes: int = 0,
    cut: int = 0,
    pauses: Collection[int] = (),
) -> Iterator[Chunk]:
    """Runs an agent on a plant in native calls of about 40 ms.

    Args:
        agent: it fits the environment.
        env: its state and next_seed are kept up to date. It is reset first.
        steps: 1 or more.
        seed: of the first episode; None: next_seed.
        mode: "learn"; or "mean" or "sample", which act without learning.
        episodes: end after so many; 0: any number.
        cut: end an episode after so many steps; 0: never.
        pauses: steps after which a call ends: the caller may change the plant there.
    """
    plant = _described(agent, env, env.next_seed if seed is None else seed)
    done, size = 0, _FIRST_CALL
    while done < steps:
        begin = time.perf_counter()
        end = min((pause for pause in pauses if done < pause < steps), default=steps)
        out = agent.core.train(plant, mode, min(size, end - done), episodes, cut)
        env.next_seed, finished = out.pop("next_seed"), len(out["returns"])
        taken, done = out["steps"] - done, out["steps"]
        problem = out.pop("stopped")
        yield Chunk(**out, problem=problem)
        episodes -= finished if episodes else 0
        if problem or (finished and episodes == 0 and mode != "learn"):
            return
        size = max(1, min(4 * size, int(taken * _CALL_S / max(time.perf_counter() - begin, 1e-9))))


def _described(agent: Any, env: DrivenNatively, seed: int) -> Any:
    functions = env.native_plant()
    assert functions is not None
    sheet, none = env.sheet, np.zeros(0, np.float32)
    low, high = (none if end is None else end for end in (functions.low, functions.high))
    levels = none
    if agent.discrete:
        to_env = fit(env, agent.config["n_actions"]).to_env
        levels = np.concatenate([to_env(i) for i in range(agent.config["n_actions"])])
    return _core.NativePlant(
        owner=env,
        functions=[functions.reset, functions.step, functions.observe, functions.limit],
        state=functions.state,
        observation_size=sheet.observation_size,
        action_size=sheet.action_size,
        low=low,
        high=high,
        levels=levels,
        slew=functions.slew,
        accel=functions.accel,
        told=functions.told,
        max_steps=functions.max_steps,
        next_seed=seed,
        window=WINDOW,
    )
