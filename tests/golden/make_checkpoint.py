"""Writes golden checkpoints and how the learner went on from them: python tests/golden/make_checkpoint.py NAME.

checkpoint_NAME_f32.rtu, and in a .npz the inputs of 300 more steps, the actions they were answered with, and the state hash of
the file; the same for f64. On ARM under emulation: see README.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import rtu_edge as rtu

HERE = Path(__file__).resolve().parent


def main(name: str) -> None:
    for dtype, short in (("float32", "f32"), ("float64", "f64")):
        golden(f"{name}_{short}", dtype)


def golden(name: str, dtype: str) -> None:
    rng = np.random.default_rng(11)
    observations = rng.standard_normal((440, 2)).astype(np.float32)
    rewards = rng.standard_normal(440)
    terminated = np.arange(1, 441) % 97 == 0
    agent = rtu.StreamAC(observation_size=2, action_size=1, units=5, hidden=3, seed=7, dt_s=0.02, dtype=dtype)
    agent.run(observations[:140], rewards[:140], terminated[:140])
    agent.save(HERE / f"checkpoint_{name}.rtu")
    state_hash = agent.state_hash()
    rest = {"observations": observations[140:], "rewards": rewards[140:], "terminated": terminated[140:]}
    np.savez_compressed(
        HERE / f"checkpoint_{name}.npz", **rest, actions=agent.run(*rest.values()), state_hash=state_hash
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
