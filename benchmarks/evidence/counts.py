"""Operations and bytes of one step of each learner in the comparison of costs: the only table of them.

The package's learners are counted by rtu_edge.footprint(), cells and credit rules of the baselines by
benchmarks.baselines.counts. What those two leave out is added here: head, eligibilities and step rule of a baseline.
tests/test_evidence.py compares the table with callgrind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.baselines.cells import CELLS
from benchmarks.baselines.counts import count
from rtu_edge.learn.base import Learner
from rtu_edge.learn.footprint import footprint

__all__ = ["Cost", "baseline", "largest", "native"]

# Of a baseline, per learned weight: eligibility 2, second moment 3, root and quotient 2, step 3.
PER_WEIGHT = 10
KEPT_PER_WEIGHT = 2  # floats: eligibility and second moment
MOST_UNITS = 4096


@dataclass(frozen=True)
class Cost:
    """Of one step with learning.

    Args:
        operations: multiplications and additions, leading terms.
        nbytes: everything that is kept between two steps, in single precision.
    """

    operations: int
    nbytes: int


def native(learner: Learner) -> Cost:
    """Of a learner of the package."""
    sized = footprint(learner.config)
    return Cost(sized.flops_per_step, sized.nbytes)


def baseline(cell: str, credit: str, units: int, inputs: int, outputs: int = 1) -> Cost:
    """Of a cell of benchmarks.baselines with a linear head."""
    made = CELLS[cell](units, inputs)
    counted, head = count(made, credit), outputs * (units + 1)
    learned = made.size + head
    return Cost(
        counted.operations + 2 * 2 * head + PER_WEIGHT * learned,
        counted.bytes + 4 * (head + KEPT_PER_WEIGHT * learned),
    )


def largest(cost: Callable[[int], Cost], operations: int) -> int:
    """The most units with which a step takes at most so many operations; 0: not even one."""
    low, high = 0, 1
    while high < MOST_UNITS and cost(high).operations <= operations:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if cost(middle).operations <= operations:
            low = middle
        else:
            high = middle
    return low
