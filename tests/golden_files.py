"""The reference trajectories of tests/golden, with W turned to (n, d)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent / "golden"
CASES = [
    (kind, f, reset) for kind in ("linear", "nonlinear") for f in ("relu", "tanh") for reset in ("noreset", "reset")
]
NAMES = ("nu_log", "theta_log", "W1", "W2")


def load(kind: str, f: str, reset: str, precision: str = "f64") -> dict[str, Any]:
    with np.load(FOLDER / f"rtu_{kind}_{f}_d3_n5_{reset}_{precision}.npz") as file:
        return {name: turned(name, file[name]) for name in file.files}


def turned(name: str, value: np.ndarray) -> np.ndarray:
    """Arrays that belong to a weight are stored input by unit."""
    return np.swapaxes(value, -1, -2) if name.endswith(("W1", "W2")) else value


def relative(found: np.ndarray, wanted: np.ndarray) -> float:
    """Largest difference over the largest entry: single entries may be near zero by cancellation."""
    return float(np.abs(np.asarray(found, np.float64) - wanted).max() / max(np.abs(wanted).max(), 1e-300))
