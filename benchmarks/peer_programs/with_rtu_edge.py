"""StreamAC with its defaults."""

from __future__ import annotations

import measured

import rtu_edge as rtu


def train(task: str, steps: int, seed: int) -> measured.Episodes:
    env = measured.positions_only(task)
    agent = rtu.StreamAC.from_env(env, seed=seed)
    result = agent.learn(env, steps, seed=seed, progress=False)
    return zip(result.lengths, result.returns, strict=True)


if __name__ == "__main__":
    measured.main(train)
