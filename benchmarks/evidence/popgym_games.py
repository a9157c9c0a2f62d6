"""The eight tasks of POPGym, easy, in which what is seen depends on the actions; they come from the package popgym.

    pip install popgym                                                            # in an environment of its own
    python -m benchmarks.evidence popgym --games --steps 2000000 --seeds 3 --jobs 2

Observations are flattened: each whole number becomes a one-hot vector, a board of 52 cards 156 inputs. Cells of a board
are counted row by row. Scores lie between the worst and the best return that are published with the tasks; for three
tasks the best return is an estimate, so a score may exceed 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.measure import required


@dataclass(frozen=True)
class Game:
    """A task: its class in popgym.envs, worst and best return, and scores: of uniform actions, and the best published
    one of a streaming learner after 10 million steps, on another implementation of the task."""

    name: str
    worst: float
    best: float
    chance: float
    published: float | None = None


GAMES = {
    "Autoencode": Game("AutoencodeEasy", -1, 1, 0.25),
    "HigherLower": Game("HigherLowerEasy", -1, 0.507, 0.66),
    "MultiArmedBandit": Game("MultiarmedBanditEasy", -1, 0.824, 0.55, 0.63),
    "Concentration": Game("ConcentrationEasy", -1, 0.816, 0.45, 0.42),
    "Battleship": Game("BattleshipEasy", -64 / 52, 1, 0.35, 0.42),
    "MineSweeper": Game("MineSweeperEasy", -1.113, 1, 0.41),
    "PositionOnlyCartPole": Game("PositionOnlyCartPoleEasy", 0, 1, 0.11),
    "NoisyPositionOnlyCartPole": Game("NoisyPositionOnlyCartPoleEasy", 0, 1, 0.11),
}


def make(task: str) -> Any:
    """The task with flat observations and numbered actions."""
    with required():
        import gymnasium
        import popgym.envs
        from popgym.wrappers import DiscreteAction

    return gymnasium.wrappers.FlattenObservation(DiscreteAction(getattr(popgym.envs, GAMES[task].name)()))


def play(agent: Any, env: Any, seed: int, number: int) -> tuple[int, float]:
    """Steps and return of one episode of learning, which starts from its own seed."""
    x, _ = env.reset(seed=int(np.random.SeedSequence([seed, number]).generate_state(1)[0]))
    action = agent.reset(np.asarray(x, np.float32))
    steps, total, over = 0, 0.0, False
    while not over:
        x, reward, terminated, truncated, _ = env.step(action)
        action = agent.step(np.asarray(x, np.float32), float(reward), bool(terminated), bool(truncated))
        steps, total, over = steps + 1, total + float(reward), bool(terminated or truncated)
    return steps, total
