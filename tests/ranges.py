"""Values around the ends of a parameter's range, and whether they are valid: an oracle for code that accepts them."""

from __future__ import annotations

import math
from typing import Any

import pytest

from rtu_edge.learn import parameters
from rtu_edge.learn.ranges import Integer, Number


def edges(kind: Integer | Number) -> list[float]:
    """Values at both ends of a range, next to them, and far out."""
    if isinstance(kind, Integer):
        return [kind.low - 1, kind.low, kind.high, kind.high + 1, -(10**6), 10**12]
    ends = (kind.low, kind.high)
    near = [math.nextafter(end, to) for end in ends for to in (-math.inf, math.inf)]
    return [*ends, *near, 0.0, -1.0, 1e12, math.nan, math.inf, -math.inf]


def allowed(kind: Integer | Number, value: float) -> bool:
    """A second implementation of the range: an oracle for the values that classes and files accept."""
    if isinstance(kind, Integer):
        return kind.low <= value <= kind.high
    if value == 0.0 and kind.zero:
        return True
    return (value > kind.low if kind.open_low else value >= kind.low) and value <= kind.high


def numbers(learner: str) -> list[Any]:
    """The rows that are a number, or several with one range."""
    found = []
    for row in parameters.of(learner):
        kind = getattr(row.kind, "each", row.kind)
        if isinstance(kind, (Integer, Number)):
            found.append(pytest.param(row, kind, id=row.name))
    return found
