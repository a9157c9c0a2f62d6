"""The learners stay finite with their defaults, on bounded streams with slow poles: a short run of
benchmarks/finite.py.

Without a bound on the phases, NaN ended 4 (StreamAC, three choices) to 14 (TDPredictor, gamma 0.9875) of each case's 20
seeds, and none of the regressor's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from reference import trace_conditioning as task
from reference.eligibility import MAX_THETA_LOG

import rtu_edge as rtu
from benchmarks import finite

SEEDS, STEPS = 20, 50_000
CASES = {
    "TDPredictor": 16,
    "TDPredictor, gamma 0.9875": 16,
    "OnlineRegressor": 16,
    "StreamAC, one force": 4,
    "StreamAC, three choices": 4,
}


@pytest.mark.parametrize("name", CASES)
def test_slow_poles_on_bounded_streams(name: str) -> None:
    run, settings = finite.LEARNERS[name]
    for seed in range(SEEDS):
        learner = run(seed, finite.stream(seed, STEPS, 1.0), units=CASES[name], **settings, **finite.POLES["slow"])
        assert finite.is_finite(learner), f"seed {seed}"
        assert finite.largest_phase(learner) <= np.exp(MAX_THETA_LOG) * (1 + 1e-6), f"seed {seed}"


def test_a_long_gap_with_few_units() -> None:
    """Trace conditioning, ISI 80: without a bound on the phases, seeds 9 and 19 of 20 reached NaN before
    step 190 000.
    """
    for seed in (9, 19):
        x = task.stream(np.random.default_rng(seed), 200_000, 80)
        values = rtu.TDPredictor(x.shape[1], units=16, gamma=1 - 1 / 80, seed=seed).run(x, x[:, 0])
        assert np.abs(values).max() < 10  # returns stay below 2


def test_the_command_counts_what_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row for each learner, poles and size; exit code 1 where one is not finite."""
    assert finite.LEARNERS.keys() == CASES.keys()
    done = CliRunner().invoke(finite.main, ["--seeds", "1", "--steps", "50"])
    assert done.exit_code == 0, done.output
    assert sum("0; 0; 0" in line for line in done.output.splitlines()) == len(CASES) * 2 * 3

    def lose(*_: Any, **__: Any) -> rtu.TDPredictor:
        learner = rtu.TDPredictor(1, units=4, dtype="float32", step_size=1e6, optimizer="sgd")
        learner.run(np.full((2000, 1), 1e3), np.full(2000, 1e3))
        return learner

    monkeypatch.setattr(finite, "LEARNERS", {"lost": (lose, {})})
    done = CliRunner().invoke(finite.main, ["--seeds", "1", "--steps", "50"])
    assert done.exit_code == 1
    assert done.output.count("| 1; 1; 1 |") == 6
