"""The forms in which a policy is exported: batch, steps or sequences, operator set, precision, units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtu_edge._base.validation import check_bool, check_int

__all__ = ["AXES_AS_INPUT", "IR_VERSION", "OPSET", "WEIGHTS", "Form", "int8_of"]

# An old version that all current runtimes support; onnx would use its newest.
OPSET = 17
IR_VERSION = 8
AXES_AS_INPUT = 18  # from here on ReduceMean takes its axes as an input
WEIGHTS = ("float32", "int8")


@dataclass(frozen=True)
class Form:
    """How a policy is written; arguments and errors as `export_onnx`."""

    batch: int | None = 1
    sequence: bool = False
    opset: int = OPSET
    weights: str = "float32"
    limits: tuple[tuple[float, float], ...] = ()


def checked_form(
    batch: int | None, sequence: bool, opset: int, weights: str, limits: Sequence[Sequence[float]], newest: int
) -> Form:
    """A form of these arguments. newest: the newest operator set that the onnx package knows."""
    if batch is not None:
        check_int("batch", batch, 1, 1 << 20)
    check_int("opset", opset, OPSET, newest)
    if weights not in WEIGHTS:
        raise ValueError(f"weights: {weights!r} is not one of {', '.join(WEIGHTS)}")
    try:
        pairs = [tuple(float(end) for end in pair) for pair in limits]
    except (TypeError, ValueError):
        raise ValueError(f"limits = {limits!r}: expected a pair of lowest and highest for each actuator") from None
    for i, pair in enumerate(pairs):
        with np.errstate(over="ignore"):
            ends = np.array(pair if len(pair) == 2 else (0.0, np.inf), dtype=np.float32)
            wide = ends[1] - ends[0]
        if not np.isfinite(ends).all() or not 0.0 < wide < np.inf:
            raise ValueError(
                f"limits: entry {i} is {pair}; expected two numbers of single precision, the lower one first"
            )
    return Form(batch, check_bool("sequence", sequence), opset, weights, tuple((low, high) for low, high in pairs))


def int8_of(matrix: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """A matrix (in, out) as integers in [-127, 127], (in, out), and a scale per column, (out): matrix = integers scale
    to half a scale."""
    scale = (np.abs(matrix).max(axis=0, initial=0.0) / 127.0).astype(np.float32)  # as the graph multiplies it
    scale[scale == 0.0] = 1.0
    return np.clip(np.rint(matrix / scale.astype(np.float64)), -127, 127), scale
