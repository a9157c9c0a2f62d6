"""MemoryChain: a bit is shown at the start of an episode, and the last action has to name it.

    python -m benchmarks.memory_chain --length 64 --seeds 16 --jobs 2

bsuite's memory length (Osband et al. 2020) with one bit, as gymnax runs it: an episode has length + 1 actions; the last
one gets reward 1 if it names the bit, else -1; all others get 0, and chance is 0. The observation is [1 - t / length,
0, bit], the bit as -1 or 1 at t = 0 and 0 later. A step returns the observation of the state before it, so the
bit is in the first two observations, the clock is one step late, and the action that counts sees t = length - 1.

The score of a run is the mean return of the last tenth of its episodes, exploration included. A run has solved the
chain if it is above 0.5.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt

import rtu_edge as rtu
from rtu_edge.learn import low_phase

__all__ = ["INTENTIONAL", "MemoryChain", "main", "observations", "score", "train"]

# The settings for chains of 256: each step removes a tenth of the error; slow phases and long retention from the start.
INTENTIONAL = {"optimizer": "intentional", "step_size": 0.1, "gamma": 0.999, "max_phase": 0.06, "r_min": 0.9}
# Steps for StreamQRC, which has no step size that fits every task.
SGD = {"step_size": 1e-3, "h_step_size": 1e-4}
# The arguments of low_phase() that a start takes.
STARTS = {None: (), "coherent": ("r_min", "max_phase"), "phase": ("max_phase",), "retention": ("r_min",)}
RULES: dict[str, dict[str, Any]] = {"default": {}, "intentional": INTENTIONAL, "sgd": SGD}


def observations(length: int) -> npt.NDArray[np.float32]:
    """(length + 2, 3) of one episode, the last one after its end; the bit, in column 2 of the first two rows, is 0."""
    x = np.zeros((length + 2, 3), np.float32)
    x[:, 0] = 1 - np.concatenate([[0], np.arange(length + 1)]) / length
    return x


class MemoryChain:
    """The task as a Gymnasium environment; needs gymnasium.

    Args:
        length: of the chain, 1 or more.
    """

    def __init__(self, length: int) -> None:
        from gymnasium import spaces

        self.observation_space = spaces.Box(-1.0, 1.0, (3,), np.float32)
        self.action_space = spaces.Discrete(2)
        self._x, self._t, self._bit = observations(length), 0, 1.0
        self._rng = np.random.default_rng()

    def reset(self, *, seed: int | None = None) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        """Draws a bit; returns the first observation."""
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        self._t, self._bit = 0, 1.0 if self._rng.random() < 0.5 else -1.0
        self._x[:2, 2] = self._bit
        return self._x[0].copy(), {}

    def step(self, action: int) -> tuple[npt.NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """One step; the last one of an episode is rewarded."""
        self._t += 1
        over = self._t == len(self._x) - 1
        reward = (1.0 if (action == 1) == (self._bit > 0) else -1.0) if over else 0.0
        return self._x[self._t].copy(), reward, over, False, {}


def train(length: int, seed: int, steps: int, settings: dict[str, Any], learner: str = "StreamQ") -> float:
    """The score of one run of a learner of action values."""
    return score(getattr(rtu, learner)(3, 2, seed=seed, **settings), length, seed, steps)


def score(agent: Any, length: int, seed: int, steps: int) -> float:
    """Mean return of the last tenth of the episodes of a new learner of action values. The same steps as agent.learn()
    on MemoryChain, an episode in two calls: no observation depends on an action."""
    rng = np.random.default_rng(seed)
    x, nothing, end = observations(length), np.zeros(length + 1), np.ones(1, bool)
    returns = []
    for _ in range(max(1, steps // (length + 1))):
        bit = 1.0 if rng.random() < 0.5 else -1.0
        x[:2, 2] = bit
        last = agent.run(x[:-1], nothing)[-1]
        returns.append(1.0 if (last == 1) == (bit > 0) else -1.0)
        agent.run(x[-1:], returns[-1:], end)
    return float(np.mean(returns[-max(1, len(returns) // 10) :]))


def _train(task: tuple[int, int, int, dict[str, Any], str]) -> float:
    return train(*task)


def _table(rows: list[dict[str, Any]]) -> str:
    lines = [f"{'length':>6}  {'lambda':>6}  {'learner':32}  {'solved':>7}  {'mean':>5}"]
    for row in rows:
        solved = f"{sum(score > 0.5 for score in row['scores'])}/{len(row['scores'])}"
        mean = float(np.mean(row["scores"]))
        lines.append(f"{row['length']:6}  {row['trace_decay']:6}  {row['learner']:32}  {solved:>7}  {mean:5.2f}")
    return "\n".join(lines)


@click.command(context_settings={"show_default": True})
@click.option("--length", "lengths", type=click.IntRange(1), multiple=True, default=(64,), help="Length of the chain.")
@click.option("--trace-decay", "decays", type=click.FloatRange(0, 1), multiple=True, default=(0.8,), help="Lambda.")
@click.option("--learner", type=click.Choice(["StreamQ", "StreamSARSA", "StreamQRC"]), default="StreamQ",
              help="Class of the learner.")  # fmt: skip
@click.option("--rule", type=click.Choice(list(RULES)), default="default", help="Settings of the learner.")
@click.option("--start", type=click.Choice(["coherent", "phase", "retention"]),
              help="Start of the poles: low_phase() of the length, or half of it.")  # fmt: skip
@click.option("--credit", "credits", type=click.Choice(["rtrl", "tbptt1", "frozen"]), multiple=True,
              default=("rtrl", "tbptt1", "frozen"), help="How the recurrent cell learns.")  # fmt: skip
@click.option("--cell", default="linear", help="Recurrent cell.")
@click.option("--seeds", type=click.IntRange(1), default=16, help="Number of seeds.")
@click.option("--first-seed", type=click.IntRange(0), default=0, help="First seed.")
@click.option("--steps", type=click.IntRange(1), default=500_000, help="Steps of a run.")
@click.option("--jobs", type=click.IntRange(1), default=os.cpu_count() or 1, help="Processes at the same time.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the scores to this file, as JSON.")
def main(
    lengths: tuple[int, ...], decays: tuple[float, ...], learner: str, rule: str, start: str | None,
    credits: tuple[str, ...], cell: str, seeds: int, first_seed: int, steps: int, jobs: int, out: Path | None,
) -> None:  # fmt: skip
    """Learners of action values on MemoryChain: the share of seeds that solve it."""
    rows: list[dict[str, Any]] = []
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        for length in lengths:
            for decay in decays:
                for credit in credits:
                    given = {"trace_decay": decay, "credit": credit, "cell": cell}
                    given |= {**RULES[rule], **{k: v for k, v in low_phase(length).items() if k in STARTS[start]}}
                    tasks = [(length, seed, steps, given, learner) for seed in range(first_seed, first_seed + seeds)]
                    parts = [learner] if learner != "StreamQ" else []
                    name = ", ".join([*parts, rule, cell, credit, *([start] if start else [])])
                    rows.append({"length": length, "trace_decay": decay, "learner": name,
                                 "scores": pool.map(_train, tasks, chunksize=1)})  # fmt: skip
                    click.echo(_table(rows[-1:]).splitlines()[1] if len(rows) > 1 else _table(rows))
    if out is not None:
        out.write_text(json.dumps({"steps": steps, "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
