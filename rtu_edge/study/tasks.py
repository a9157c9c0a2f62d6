"""One task of a study: a fresh learner trains on one plant. A task is plain data and gives plain data, so that it runs
in any process and on any host.

>>> task = Task("cartpole", steps=2000)
>>> result = run_task(task)
>>> result["episodes"] > 0, result["problem"]
(True, '')
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from rtu_edge import _bridge, _core
from rtu_edge._base.errors import ConfigError
from rtu_edge._base.version import __version__
from rtu_edge.device.plants import Plant
from rtu_edge.learn import native
from rtu_edge.learn.native import Functions
from rtu_edge.learn.stream_ac import StreamAC
from rtu_edge.study import changes
from rtu_edge.study.families import Machine
from rtu_edge.study.scales import scale_of

__all__ = ["CURVES", "Task", "agent_of", "build", "environment_of", "run_task"]

# Columns of a learning curve: one row for each 1 000 steps. return: mean of the episodes that ended in these steps.
CURVES = (*native.WINDOW_COLUMNS, "return", "episodes")
_LOCKED_STEPS = 2000  # at the end of training, in which a locked policy has clipped its actions

Report = Callable[[int, float], object]


@dataclass(frozen=True)
class Task:
    """One training run.

    Attributes:
        plant: name of a plant (rtu_edge.device.plants.names()), or of a kind of machine with family=True.
        family: plant is a kind of machine, drawn by machine_seed.
        machine_seed, parameters: of the machine, as for families.Machine.
        command_range: the policy's -1 and 1 are -command_range and command_range of a machine's command, which is
            clamped to [-1, 1]; 1 or more.
        slew, accel, told: of a command limiter between learner and machine; see native.Functions.
        changes: (step, parameters) of a machine that changes at these steps, in ascending order; multiples of 1 000.
        variant: runs of different variants are compared with each other.
        agent_seed: of the learner. episode_seed: of the first episode.
        steps: of training.
        tail: share of the steps at the end over which the return is measured, above 0, at most 1.
        settings: arguments of StreamAC.from_env().
    """

    plant: str
    family: bool = False
    machine_seed: int = 0
    parameters: Mapping[str, float] = field(default_factory=dict)
    command_range: float = 1.0
    slew: float | None = None
    accel: float | None = None
    told: bool = False
    changes: tuple[tuple[int, dict[str, float]], ...] = ()
    variant: str = ""
    agent_seed: int = 0
    episode_seed: int = 0
    steps: int = 100_000
    tail: float = 0.2
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Plant and seeds in a few words."""
        machine = f" {self.machine_seed}" if self.family else ""
        variant = f", {self.variant}" if self.variant else ""
        return f"{self.plant}{machine}, seed {self.agent_seed}{variant}"

    def plain(self) -> dict[str, Any]:
        """As a mapping for JSON."""
        return asdict(self)

    def key(self) -> str:
        """A name for the result: equal tasks of the same build and processor give the same bits.

        Raises:
            ConfigError: the plant is unknown, or a setting is out of range.
        """
        config = agent_of(self, environment_of(self)).config  # with the defaults
        text = msgspec.json.encode([self.plain(), config, build()], order="deterministic")
        return hashlib.sha256(text).hexdigest()[:24]


@cache
def build() -> tuple[str, ...]:
    """Identifies the code that computes: version, instruction set, the compiled modules."""
    digests = []
    for module in (_core, _bridge):
        with open(str(module.__file__), "rb") as file:
            digests.append(hashlib.sha256(file.read()).hexdigest()[:16])
    return (__version__, _core.isa, *digests)


def environment_of(task: Task) -> Any:
    """The plant of a task.

    Raises:
        ConfigError: it is unknown, or a parameter is out of range.
    """
    if task.family:
        return _Ranged(task)
    if task.parameters or task.command_range != 1.0 or task.slew is not None or task.accel is not None:
        raise ConfigError(f"parameters, command_range, slew, accel: plant {task.plant} has fixed ones")
    return Plant(task.plant)


class _Ranged(Machine):
    """A machine whose commands are scaled by task.command_range, and limited where the native loop steps it."""

    def __init__(self, task: Task) -> None:
        super().__init__(task.plant, task.machine_seed, dict(task.parameters) or None)
        self._task, self._range = task, np.float32(task.command_range)

    def scale(self, action: Any) -> npt.NDArray[np.float32]:
        """The command of an agent's action."""
        return super().scale(super().scale(action) * self._range)

    def native_plant(self) -> Functions | None:
        """With the range, which the machine itself clamps."""
        ends = np.full(self.action_size, self._range, np.float32)
        slew, accel = (math.inf if share is None else share for share in (self._task.slew, self._task.accel))
        return Functions(**asdict(self.addresses), low=-ends, high=ends, slew=slew, accel=accel, told=self._task.told)


def agent_of(task: Task, env: Any) -> StreamAC:
    """A new learner for the plant.

    Raises:
        ConfigError: a setting is out of range. TypeError: StreamAC does not have it.
    """
    return StreamAC.from_env(env, seed=task.agent_seed, **task.settings)


def run_task(task: Task, report: Report | None = None) -> dict[str, Any]:
    """Trains a learner.

    Args:
        report: called after each native call of about 40 ms with the steps so far and the mean reward of the newest.

    Returns:
        Of the tail: "return", the mean of the episodes that ended in it, or the last one before, or None;
        "return_error", its standard error; "reward", the mean per step; "reward_error". Of the whole run: "episodes",
        "steps", "problem" ("diverged" or ""). "clipped": share of clipped actions in the last 2 000 steps. "curves":
        rows of CURVES, None for a missing value. "scale": random and reference return of the plant, or None. "hash": of
        the learner's final state. "findings": StreamAC's. With changes, "phases" and "frozen" as in changes.py.
    """
    env = environment_of(task)
    agent = agent_of(task, env)
    agent.core.on_finding(None)  # the result has them
    found: list[native.Chunk] = []
    before, due, frozen = 0.0, list(task.changes), None
    pauses = [step for step, _ in due]
    for chunk in native.chunks(agent, env, task.steps, seed=task.episode_seed, pauses=pauses):
        found.append(chunk)
        if due and chunk.steps == due[0][0]:
            frozen = agent.copy() if frozen is None else frozen
            env.change(**due.pop(0)[1])
        if report is not None:
            taken = chunk.steps - (found[-2].steps if len(found) > 1 else 0)
            report(chunk.steps, (chunk.reward_sum - before) / max(taken, 1))
        before = chunk.reward_sum
    result = {**_result(task, found, agent.state_hash()), "findings": agent.findings}
    if frozen is not None:
        result["frozen"] = changes.frozen_score(task, frozen, environment_of(task))
    return result


def _result(task: Task, found: list[native.Chunk], state: str) -> dict[str, Any]:
    def whole(name: str) -> npt.NDArray[Any]:
        return np.concatenate([getattr(chunk, name) for chunk in found])

    returns, ended_at, windows = whole("returns"), whole("ended_at"), whole("windows")
    scale = scale_of(task.plant, task.family, task.machine_seed, task.parameters)
    begin = math.floor(task.steps * (1.0 - task.tail))
    tail = returns[ended_at > begin] if len(ended_at) and ended_at[-1] > begin else returns[-1:]
    rewards = windows[min(begin // native.WINDOW, max(len(windows) - 1, 0)) :, 0]
    last = windows[-max(1, _LOCKED_STEPS // native.WINDOW) :, native.WINDOW_COLUMNS.index("clipped")]
    return {
        "return": _mean(tail),
        "return_error": _error(tail),
        "reward": _mean(rewards) if len(rewards) else found[-1].reward_sum / max(found[-1].steps, 1),
        "reward_error": _error(rewards),
        "episodes": len(returns),
        "steps": found[-1].steps,
        "problem": found[-1].problem,
        "clipped": _mean(last),
        "scale": None if scale is None else asdict(scale),
        "curves": _curves(windows, returns, ended_at),
        "phases": changes.measure(task, returns, ended_at, windows) if task.changes else None,
        "hash": state,
    }


def _mean(values: npt.NDArray[np.float64]) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _error(values: npt.NDArray[np.float64]) -> float | None:
    """Standard error of the mean; None for fewer than two values."""
    return float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else None


def _curves(
    windows: npt.NDArray[np.float64], returns: npt.NDArray[np.float64], ended_at: npt.NDArray[np.int64]
) -> list[list[float | None]]:
    rows: list[list[float | None]] = []
    which = (ended_at - 1) // native.WINDOW
    for number, row in enumerate(windows):
        ended = returns[which == number]
        values: list[float | None] = [float(value) if math.isfinite(value) else None for value in row]
        rows.append([*values, _mean(ended), float(len(ended))])
    return rows
