"""Writes golden checkpoints of TDBank and of TDPredictor with each head, and what they did next:

    RTU_EDGE_ISA=scalar python tests/golden/make_predictors.py

predictors/NAME-DTYPE.rtu: a learner after 80 steps; predictors/after.npz: its values in 60 more, and the inputs. The
files stay as they are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import rtu_edge as rtu
from rtu_edge import _core

FOLDER = Path(__file__).resolve().parent / "predictors"
BANKS: dict[str, dict[str, Any]] = {
    "bank-adam": {"hidden": 4},
    "bank-obgd": {"optimizer": "obgd", "scale_cumulant": False},
    "bank-nonlinear": {"cell": "nonlinear", "normalize_observation": False},
}
PREDICTORS: dict[str, dict[str, Any]] = {
    "true_online": {"head": "true_online", "hidden": 4, "activation": "tanh"},
    "swift": {"head": "swift", "hidden": 4, "optimizer": "adam", "scale_cumulant": True},
}


def main() -> None:
    assert _core.isa == "scalar"
    FOLDER.mkdir()
    rng = np.random.default_rng(23)
    x, cumulants = rng.standard_normal((140, 3)).astype(np.float32), rng.standard_normal((140, 4)).astype(np.float32)
    found: dict[str, Any] = {"x": x, "cumulants": cumulants}
    for dtype in ("float32", "float64"):
        made: dict[str, tuple[Any, Any]] = {
            name: (rtu.TDBank(3, (0.9, 0.5, 0.95, 0.0), units=5, dtype=dtype, seed=7, **settings), cumulants)
            for name, settings in BANKS.items()
        }
        made |= {
            name: (rtu.TDPredictor(3, units=5, dtype=dtype, seed=7, **settings), cumulants[:, 0].astype(np.float64))
            for name, settings in PREDICTORS.items()
        }
        for name, (learner, c) in made.items():
            c = c.astype(dtype) if c.ndim == 2 else c
            learner.run(x[:80].astype(dtype), c[:80])
            learner.save(FOLDER / f"{name}-{dtype}.rtu")
            found[f"{name}-{dtype}"] = learner.run(x[80:].astype(dtype), c[80:])
    np.savez_compressed(FOLDER / "after.npz", **found)


if __name__ == "__main__":
    main()
