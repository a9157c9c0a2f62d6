"""The demo's task with the scalar kernels, without a link: benchmarks/cartpole.py over a few seeds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

PROGRAM = """
import json, sys
from benchmarks.cartpole import learn
from rtu_edge import _core
assert _core.isa == "scalar"
discrete, cell, steps = json.loads(sys.argv[1])
runs = [learn(s, steps, discrete=discrete, cell=cell, stop=True) for s in range(3)]
print(json.dumps([(o.reached, o.best) for o in runs]))
"""


def outcomes(*, discrete: bool, cell: str, steps: int) -> list[tuple[int | None, float]]:
    arguments = json.dumps([discrete, cell, steps])
    environment = {**os.environ, "RTU_EDGE_ISA": "scalar"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, arguments], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return [(reached, best) for reached, best in json.loads(done.stdout)]


# The full table (10 seeds, AVX-512) reached 475 with 10 of 10 at 51 000 and 74 000 steps at the latest, and 28 to 30 of
# 30 in the study behind the defaults: only a broken learner fails two of three seeds.
@pytest.mark.slow
@pytest.mark.parametrize("discrete", [False, True], ids=["continuous", "two forces"])
def test_it_learns_to_balance_from_positions_alone(discrete: bool) -> None:
    runs = outcomes(discrete=discrete, cell="linear", steps=100_000)
    assert sum(reached is not None for reached, _ in runs) >= 2, runs


@pytest.mark.slow
def test_without_memory_it_does_not() -> None:
    """The best mean of 20 episodes, ever, stays far from 200 (at most 68 of 500 over ten seeds)."""
    assert all(best < 200 for _, best in outcomes(discrete=False, cell="none", steps=40_000))
