"""Stable-Baselines3's A2C, PPO and SAC start and learn from the ids of rtu_edge.envs.

    pip install stable-baselines3
    python -m benchmarks.stable_baselines3
    python -m benchmarks.stable_baselines3 --steps 10000

Not part of the test suite, which installs no torch. Each line is a model that was made from an id alone, learned
for a while, and then drove an episode; for A2C also the picture of its environment.
"""

from __future__ import annotations

import time
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.measure import required

with required():
    import gymnasium

    from rtu_edge import envs

QUICK = {"SAC": {"learning_starts": 100}, "PPO": {"n_steps": 128}, "A2C": {}}


def episode_return(learner: Any, name: str) -> float:
    """The return of one episode by the learner's mean action."""
    env = gymnasium.make(name)
    observation, _ = env.reset(seed=0)
    total, over = 0.0, False
    while not over:
        action, _ = learner.predict(observation, deterministic=True)
        observation, reward, terminated, truncated, _ = env.step(action)
        total += float(reward)
        over = terminated or truncated
    return total


def try_one(algorithm: type[Any], name: str, steps: int) -> tuple[str, ...]:
    begun = time.monotonic()
    learner = algorithm("MlpPolicy", name, seed=0, device="cpu", **QUICK[algorithm.__name__])
    before = [p.detach().clone() for p in learner.policy.parameters()]
    learner.learn(total_timesteps=steps)
    changed = any((a != b).any() for a, b in zip(before, learner.policy.parameters(), strict=True))
    if not changed or not all(np.isfinite(p.detach().numpy()).all() for p in learner.policy.parameters()):
        raise SystemExit(f"{algorithm.__name__} on {name}: the weights did not change, or are not finite")
    picture = learner.get_env().render("rgb_array")
    return (
        algorithm.__name__,
        name,
        str(learner.num_timesteps),
        f"{episode_return(learner, name):.1f}",
        "x".join(map(str, picture.shape)),
        f"{time.monotonic() - begun:.1f}",
    )


@click.command()
@click.option("--steps", default=500, show_default=True, help="Of each model.")
def main(steps: int) -> None:
    """Print a line for each algorithm and id."""
    with required():
        import stable_baselines3 as sb3
        import torch

    torch.set_num_threads(1)
    table = Table("algorithm", "id", "steps", "return after", "picture", "seconds")
    for algorithm in (sb3.A2C, sb3.PPO, sb3.SAC):
        for name in envs.IDS:
            table.add_row(*try_one(algorithm, name, steps))
        table.add_section()
    # The module in front of the id, and levels in place of a range of commands.
    table.add_row(*try_one(sb3.A2C, "rtu_edge.envs:rtu_edge/CartPole-v0", steps))
    Console(width=110).print(
        f"stable-baselines3 {sb3.__version__}, torch {torch.__version__}, gymnasium {gymnasium.__version__}", table
    )


if __name__ == "__main__":
    main()
