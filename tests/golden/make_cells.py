"""Writes golden checkpoints of minGRU, LRU and eLSTM and what the learners did next: python tests/golden/make_cells.py

cells/CELL-CREDIT-DTYPE.rtu: an agent after 80 steps; cells/after.npz: the actions of 60 more, and the inputs. Written
with the scalar instruction set (RTU_EDGE_ISA=scalar); the files stay as they are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import rtu_edge as rtu
from rtu_edge import _core

FOLDER = Path(__file__).resolve().parent / "cells"


def main() -> None:
    assert _core.isa == "scalar"
    FOLDER.mkdir()
    rng = np.random.default_rng(17)
    observations, rewards = rng.standard_normal((140, 2)).astype(np.float32), rng.standard_normal(140)
    found: dict[str, Any] = {"observations": observations, "rewards": rewards}
    for cell in ("mingru", "lru", "elstm"):
        for credit in ("rtrl", "tbptt1", "frozen"):
            for dtype in ("float32", "float64"):
                agent = rtu.StreamAC(2, 1, units=5, hidden=3, cell=cell, credit=credit, dtype=dtype, seed=7)
                agent.run(observations[:80].astype(dtype), rewards[:80])
                name = f"{cell}-{credit}-{dtype}"
                agent.save(FOLDER / f"{name}.rtu")
                found[name] = agent.run(observations[80:].astype(dtype), rewards[80:])
    np.savez_compressed(FOLDER / "after.npz", **found)


if __name__ == "__main__":
    main()
