"""Writes golden checkpoints and how the learner went on from them: python tests/golden/make_checkpoint.py NAME.

checkpoint_NAME_f32.rtu, and in a .npz the inputs of 300 more steps and the actions they were answered with; the same for f64. With
--supervised: float32 only, and with a supervisor's block. On ARM under emulation: see README.md.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

import rtu_edge as rtu
from rtu_edge.learn.checkpoint import encode_config

HERE = Path(__file__).resolve().parent


def main(name: str, option: str = "") -> None:
    if option == "--supervised":
        return golden(f"{name}_f32", "float32", supervised=True)
    for dtype, short in (("float32", "f32"), ("float64", "f64")):
        golden(f"{name}_{short}", dtype)


def golden(name: str, dtype: str, supervised: bool = False) -> None:
    rng = np.random.default_rng(11)
    observations = rng.standard_normal((440, 2)).astype(np.float32)
    rewards = rng.standard_normal(440)
    terminated = np.arange(1, 441) % 97 == 0
    agent = rtu.StreamAC(observation_size=2, action_size=1, units=5, hidden=3, seed=7, dt_s=0.02, dtype=dtype)
    agent.run(observations[:140], rewards[:140], terminated[:140])
    beside = watched(agent) if supervised else b""
    (HERE / f"checkpoint_{name}.rtu").write_bytes(agent.core.save(encode_config(agent.config), beside))
    rest = {"observations": observations[140:], "rewards": rewards[140:], "terminated": terminated[140:]}
    np.savez_compressed(HERE / f"checkpoint_{name}.npz", **rest, actions=agent.run(*rest.values()))


def watched(agent: Any) -> bytes:
    """State of a supervisor whose guard has returned to a snapshot, and then has two that survived and a candidate."""
    from benchmarks import faults

    made = faults.supervised(agent, "learner_monitor.snapshot_steps=100", "learner_monitor.validation_steps=50")
    rig = faults.Rig(made.policy, 1)
    for tick in range(280):
        if tick == 170:
            faults.overwrite(np.nan, "critic.head.weight")(agent)
        if rig.tick()[1]:
            rig.reset()
    state: bytes = made.supervisor.state()
    return state


if __name__ == "__main__":
    main(*sys.argv[1:])
