"""Writes golden checkpoints of learners of action values and what they did next: python tests/golden/make_values.py

values/LEARNER-CELL-DTYPE.rtu: a learner after 80 steps; values/after.npz: the inputs, and of 60 more steps the actions,
values and errors. Written with the scalar instruction set (RTU_EDGE_ISA=scalar); the files stay as they are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import rtu_edge as rtu
from rtu_edge import _core

FOLDER = Path(__file__).resolve().parent / "values"
LEARNERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "q": (rtu.StreamQ, {}),
    "sarsa": (rtu.StreamSARSA, {"optimizer": "obgd"}),
    "qrc": (rtu.StreamQRC, {"step_size": 1e-2, "h_step_size": 1e-3}),
}


def follow(agent: Any, observations: Any, rewards: Any) -> Any:
    """(k, 3): action, value and error of each step; an episode ends after each 25."""
    rows = []
    for t, (x, reward) in enumerate(zip(observations, rewards, strict=True)):
        action = agent.step(x, reward, truncated=t % 25 == 24)
        rows.append([action, agent.last_step["value"], agent.last_step["delta"]])
        if t % 25 == 24:
            agent.reset(x)
    return np.array(rows)


def main() -> None:
    assert _core.isa == "scalar"
    FOLDER.mkdir()
    rng = np.random.default_rng(19)
    observations, rewards = rng.standard_normal((141, 2)).astype(np.float32), rng.standard_normal(141)
    found: dict[str, Any] = {"observations": observations, "rewards": rewards}
    for name, (cls, settings) in LEARNERS.items():
        for cell in ("linear", "nonlinear", "mingru"):
            for dtype in ("float32", "float64"):
                agent = cls(2, 3, units=5, hidden=3, cell=cell, epsilon_start=0.3, dtype=dtype, seed=7, **settings)
                agent.reset(observations[0])
                follow(agent, observations[1:81], rewards[1:81])
                agent.save(FOLDER / f"{name}-{cell}-{dtype}.rtu")
                found[f"{name}-{cell}-{dtype}"] = follow(agent, observations[81:], rewards[81:])
    np.savez_compressed(FOLDER / "after.npz", **found)


if __name__ == "__main__":
    main()
