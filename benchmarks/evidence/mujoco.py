"""Masked MuJoCo: one configuration of StreamAC on four robots that see positions only, or velocities only.

    python -m benchmarks.evidence mujoco --jobs 2              # all eight, 2 million steps, three seeds
    python -m benchmarks.evidence mujoco --cell Hopper-P --seeds 1 --steps 20000
    python -m benchmarks.evidence mujoco --write               # the table from the runs that exist

Gymnasium's v4 environments with masked entries set to 0. A run saves the learner at the end of an episode, at least
every hundred thousand steps, and continues there: an episode starts from its own seed. The score is the mean return of
the episodes that ended in the last hundred thousand steps, exploration included.

Two forms of the limit of 1000 steps: "termination", as in the published runs, without bootstrap; "truncation", which
bootstraps from the last observation.
"""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import rtu_edge as rtu
from benchmarks.evidence import training
from benchmarks.measure import required
from rtu_edge.learn.stored import load

# Positions of each robot come first; the rest are velocities.
POSITIONS = {"Hopper": 5, "Walker2d": 8, "HalfCheetah": 8, "Ant": 13}
CELLS = tuple(f"{robot}-{mode}" for robot in POSITIONS for mode in "PV")
LIMIT = 1000
WINDOW = 100_000  # steps, of a logged score

# One configuration for all, chosen on Hopper-P and Walker2d-P with seed 100: traces and horizon of 100 steps, samples
# without correlation.
CONFIGURATION: dict[str, Any] = {
    "units": 192, "hidden": (128, 128), "body": "separate", "gamma": 0.99, "trace_decay": 0.99,
    "optimizer": "intentional", "exploration_correlation": 0.0,
}  # fmt: skip
LEARNERS: dict[str, dict[str, Any]] = {
    "rtrl": {},
    "tbptt1": {"credit": "tbptt1"},
    "frozen": {"credit": "frozen"},
    "memoryless": {"cell": "none"},
    "obgd": {"optimizer": "obgd", "units": 64, "body": "shared"},
}


@dataclass(frozen=True)
class Run:
    """One run.

    Args:
        cell: of CELLS. learner: of LEARNERS. limit: "termination" or "truncation". folder: of checkpoint and progress.
    """

    cell: str
    learner: str
    limit: str
    seed: int
    steps: int
    folder: str

    @property
    def path(self) -> Path:
        """Of the progress; the learner's checkpoint is next to it."""
        return Path(self.folder) / f"{self.cell}-{self.learner}-{self.limit}-{self.seed}.json"


def visible(cell: str, width: int) -> slice:
    """The entries that a learner sees."""
    robot, _, mode = cell.partition("-")
    return slice(0, POSITIONS[robot]) if mode == "P" else slice(POSITIONS[robot], width)


def _environment(cell: str) -> Any:
    with required():
        import gymnasium
        import mujoco  # noqa: F401 - gymnasium imports it later
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    # Without wrappers: the limit is handled here.
    return gymnasium.make(f"{cell.partition('-')[0]}-v4", disable_env_checker=True).unwrapped


def settings(run: Run) -> dict[str, Any]:
    """Of its learner."""
    return {**CONFIGURATION, **LEARNERS[run.learner]}


def train(run: Run) -> dict[str, Any]:
    """Continue a run to its number of steps; return its progress."""
    env = _environment(run.cell)
    seen = np.zeros(env.observation_space.shape[0], np.float32)
    part, ends = visible(run.cell, len(seen)), run.limit == "termination"
    given = settings(run)

    def episode(agent: Any, number: int) -> tuple[int, float]:
        return _episode(env, agent, seen, part, ends, run.seed * 1_000_003 + number)

    def make() -> Any:
        return rtu.StreamAC(len(seen), env.action_space.shape[0], seed=run.seed, **given)

    return training.train(run.path, {**asdict(run), "settings": given}, run.steps, WINDOW, make, load, episode)


def _episode(env: Any, agent: Any, seen: Any, part: slice, ends: bool, seed: int) -> tuple[int, float]:
    """Steps and return of one episode."""
    low, half = env.action_space.low, (env.action_space.high - env.action_space.low) / 2
    observation, _ = env.reset(seed=seed)
    seen[part] = observation[part]
    action = agent.reset(seen)
    total = 0.0
    for t in range(1, LIMIT + 1):
        observation, reward, terminated, _, _ = env.step(low + (action + 1) * half)
        seen[part] = observation[part]
        late = t == LIMIT
        action = agent.step(seen, reward, bool(terminated or (late and ends)), bool(late and not ends))
        total += reward
        if terminated:
            break
    return t, float(total)


# Published means of ten seeds at 5 million steps of the streaming learner with 192 units, and at 2 million.
PUBLISHED = {
    "Ant-P": 2944, "Ant-V": 1437, "HalfCheetah-P": 2928, "HalfCheetah-V": 2146,
    "Hopper-P": 1550, "Hopper-V": 1214, "Walker2d-P": 1073, "Walker2d-V": 1207,
}  # fmt: skip
PUBLISHED_2M = {"Hopper-P": 1255, "Walker2d-P": 925}
MARKS = (2_000_000, 5_000_000)


def rows(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a cell, learner and limit: each seed's curve of [steps, mean return, episodes], CPU seconds."""
    table: dict[tuple[str, str, str], dict[str, Any]] = {}
    for result in found:
        key = (result["cell"], result["learner"], result["limit"])
        row = table.setdefault(key, {"cell": key[0], "learner": key[1], "limit": key[2], "runs": []})
        row["runs"].append({name: result[name] for name in ("seed", "done", "episodes", "seconds", "curve")})
    return list(table.values())


def text(table: list[dict[str, Any]]) -> str:
    """In Markdown: each row at the published budgets it has reached; a shorter one at the steps of all its runs."""
    lines = ["| cell | learner | limit | steps | seeds | mean return | each | published 2 M | published 5 M |"]
    lines.append("|---" * 9 + "|")
    for row in table:
        curves = [run["curve"] for run in row["runs"] if run["curve"]]
        if not curves:
            continue
        ends = [curve[-1][0] for curve in curves]
        for steps in [mark for mark in MARKS if mark <= max(ends)] or [min(ends)]:
            each = [next(mean for at, mean, _ in curve if at >= steps) for curve in curves if curve[-1][0] >= steps]
            cells = (
                row["cell"], row["learner"], row["limit"], f"{steps:,}", len(each), f"{np.mean(each):.0f}",
                ", ".join(f"{v:.0f}" for v in each), PUBLISHED_2M.get(row["cell"], "-"), PUBLISHED[row["cell"]],
            )  # fmt: skip
            lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)
