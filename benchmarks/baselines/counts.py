"""Operations and bytes of one step, for each pair of cell and credit rule: the only table of them.

Counted are multiplications and additions of products of matrices, leading terms, as a plain implementation on a device
would do them: structural zeros are neither stored nor computed. Bytes are those of single precision: parameters, state,
and what the credit rule keeps. Heads, eligibilities and the step rule are the same for all and left out.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.baselines.cells import Cell


@dataclass(frozen=True)
class Counts:
    """Of one step.

    Args:
        operations: multiplications and additions.
        kept: floats that the credit rule keeps between two steps.
        floats: parameters, state and kept.
    """

    operations: int
    kept: int
    floats: int

    @property
    def bytes(self) -> int:
        """In single precision."""
        return 4 * self.floats


def count(cell: Cell, rule: str) -> Counts:
    """Of a cell with a rule as in credit.make()."""
    P, n, K = cell.size, cell.n, len(cell.gates)
    states = cell.states
    state = states * n
    jacobian = states * states * n if cell.diagonal else state * state
    reach = states if cell.diagonal else state  # states that one parameter acts on in the long run
    forward = 2 * P
    steps = int(rule[5:]) if rule.startswith("tbptt") else 0
    kept, credit = {
        "rtrl": (reach * P, 2 * reach * reach * P + 2 * reach * P),
        "snap1": (states * P, 2 * states * states * P + 2 * states * P),
        "rflo": (states * P, 2 * states * P + 2 * states * P),
        "uoro": (state + P, 2 * jacobian + 2 * states * P + 4 * P),
        # s, x, D and E of each step; J and M follow from them.
        "tbptt": (
            steps * (state + cell.d + states * K * n + states * states * n),
            steps * (2 * states * P + 2 * jacobian),
        ),
    }["tbptt" if steps else rule]
    return Counts(forward + credit, kept, P + state + kept)
