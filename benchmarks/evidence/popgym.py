"""Three recall tasks of POPGym (Morad et al. 2023), easy, over one shuffled deck of 52 cards: no observation depends on
an action.

    python -m benchmarks.evidence popgym --jobs 2             # 10 million steps, five seeds
    python -m benchmarks.evidence popgym --task RepeatFirst --steps 100000 --seeds 1

task            observation                         actions   right action
RepeatPrevious  suit, one-hot                       4         the suit three observations earlier; from step 4 on
RepeatFirst     suit, one-hot                       4         the first suit
CountRecall     colour and queried colour, one-hot  27        how many cards of the queried colour were seen

An episode has 51 steps; each is worth +-1 over the number of steps with a reward. The score is (return + 1) / 2, mean
of the episodes that ended in the last 200 000 steps, exploration included. The next input carries action and reward,
but for the learners *_alone. The other eight tasks: popgym_games.py.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import rtu_edge as rtu
from benchmarks.evidence import popgym_games, training
from benchmarks.evidence.popgym_games import GAMES
from rtu_edge.learn.stored import load

CARDS, STEPS = 52, 51
LAG = 3  # observations, of RepeatPrevious
WINDOW = 200_000

# name: observations, actions
SIZES = {"RepeatPrevious": (4, 4), "RepeatFirst": (4, 4), "CountRecall": (4, 27)}
# Chance of uniform actions; the best published score of a streaming learner at 10 million steps.
CHANCE = {"RepeatPrevious": 0.25, "RepeatFirst": 0.25, "CountRecall": 1 / 27}
PUBLISHED = {"RepeatPrevious": 0.99, "RepeatFirst": 0.48, "CountRecall": 0.23}
TASKS = (*SIZES, *GAMES)
CONFIGURATION: dict[str, Any] = {"units": 64, "hidden": (64,), "previous_action": True, "previous_reward": True}
# Horizons. In the recall tasks a reward depends on the last action alone; published runs have one for all tasks.
ONE_STEP: dict[str, Any] = {"gamma": 0.0, "trace_decay": 0.0}
PUBLISHED_HORIZON: dict[str, Any] = {"gamma": 0.99, "trace_decay": 0.8}
# With action and reward as inputs, a right action can be repeated without a memory; two learners see neither.
ALONE: dict[str, Any] = {"previous_action": False, "previous_reward": False}
LEARNERS: dict[str, dict[str, Any]] = {
    "rtrl": {},
    "tbptt1": {"credit": "tbptt1"},
    "frozen": {"credit": "frozen"},
    "memoryless": {"cell": "none"},
    "rtrl_long": PUBLISHED_HORIZON,
    "rtrl_alone": ALONE,
    "memoryless_alone": {"cell": "none", **ALONE},
}


@dataclass(frozen=True)
class Run:
    """One run: task of TASKS, learner of LEARNERS."""

    task: str
    learner: str
    seed: int
    steps: int
    folder: str

    @property
    def path(self) -> Path:
        """Of the progress; the learner's checkpoint is next to it."""
        return Path(self.folder) / f"{self.task}-{self.learner}-{self.seed}-{self.steps}.json"


def deal(task: str, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """(52, d) the observations of an episode, and (51,) the right action at each; -1: no reward."""
    cards = rng.permutation(CARDS)
    x, right = np.zeros((CARDS, SIZES[task][0]), np.float32), np.full(STEPS, -1, np.int64)
    now = np.arange(CARDS)
    if task == "CountRecall":
        colour, query = cards % 2, rng.integers(2, size=CARDS)
        x[now, colour] = 1
        x[now, 2 + query] = 1
        seen = np.cumsum(colour[:, None] == [0, 1], 0)  # (52, 2)
        right[:] = seen[now, query][:STEPS]
        return x, right
    suit = cards % 4
    x[now, suit] = 1
    if task == "RepeatFirst":
        right[:] = suit[0]
    else:
        right[LAG:] = suit[: STEPS - LAG]
    return x, right


def play(agent: Any, task: str, rng: np.random.Generator) -> tuple[int, float]:
    """Steps and return of one episode of learning."""
    x, right = deal(task, rng)
    worth = 1 / int((right >= 0).sum())
    total, action = 0.0, agent.reset(x[0])
    for t in range(STEPS):
        reward = 0.0 if right[t] < 0 else worth if action == right[t] else -worth
        action = agent.step(x[t + 1], reward, t == STEPS - 1)
        total += reward
    return STEPS, total


def settings(run: Run) -> dict[str, Any]:
    """Of its learner."""
    horizon = PUBLISHED_HORIZON if run.task in GAMES else ONE_STEP
    return {**CONFIGURATION, **horizon, "epsilon_steps": run.steps // 10, **LEARNERS[run.learner]}


def train(run: Run) -> dict[str, Any]:
    """Continue a run to its number of steps; return its progress."""
    env = popgym_games.make(run.task) if run.task in GAMES else None
    observations, actions = (env.observation_space.shape[0], int(env.action_space.n)) if env else SIZES[run.task]
    given = settings(run)

    def episode(agent: Any, number: int) -> tuple[int, float]:
        if env is not None:
            return popgym_games.play(agent, env, run.seed, number)
        return play(agent, run.task, np.random.default_rng([run.seed, number]))

    def make() -> Any:
        return rtu.StreamQ(observations, actions, seed=run.seed, **given)

    return training.train(
        run.path, {**asdict(run), "settings": given}, run.steps, min(WINDOW, run.steps), make, load, episode
    )


def rows(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a task, learner and length of runs: each seed's curve of [steps, mean return, episodes]."""
    table: dict[tuple[str, str, int], dict[str, Any]] = {}
    for result in sorted(found, key=lambda r: (TASKS.index(r["task"]), list(LEARNERS).index(r["learner"]))):
        key = (result["task"], result["learner"], result["steps"])
        row = table.setdefault(key, {"task": key[0], "learner": key[1], "steps": key[2], "runs": []})
        row["runs"].append({name: result[name] for name in ("seed", "done", "seconds", "curve")})
    return list(table.values())


def score(task: str, value: float) -> float:
    """Of a return: 0 for the worst, 1 for the best."""
    worst, best = (GAMES[task].worst, GAMES[task].best) if task in GAMES else (-1.0, 1.0)
    return (value - worst) / (best - worst)


def text(table: list[dict[str, Any]]) -> str:
    """In Markdown, of runs that have ended."""
    lines = ["| task | learner | steps | seeds | score | each | chance | published, 10 M |", "|---" * 8 + "|"]
    for row in table:
        task = row["task"]
        each = [score(task, run["curve"][-1][1]) for run in row["runs"] if run["done"] >= row["steps"]]
        chance, published = (
            (GAMES[task].chance, GAMES[task].published or "-") if task in GAMES else (CHANCE[task], PUBLISHED[task])
        )
        if each:
            cells = (
                task, row["learner"], f"{row['steps']:,}", len(each), f"{np.mean(each):.2f}",
                ", ".join(f"{v:.2f}" for v in each), f"{chance:.2f}", published,
            )  # fmt: skip
            lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)
