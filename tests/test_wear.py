"""The benchmark of planted wear in small: alarms and thresholds, and a fault that a bank's errors show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from toolchain import ROOT


@pytest.fixture
def wear(monkeypatch: pytest.MonkeyPatch) -> Any:
    """benchmarks.wear, imported from the root of the repository."""
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import wear

    return wear


def test_an_alarm_lasts_for_three_memories(wear: Any) -> None:
    score = np.zeros(100)
    score[[10, 11, 39, 40, 41]] = 2.0
    assert wear.alarms(score, 1.0, 10.0) == [10, 40] and wear.alarms(score, 2.0, 10.0) == []


def test_the_threshold_is_the_lowest_with_the_stated_rate(wear: Any) -> None:
    """40 hours allow 4 alarms; scores 1 to 8, far apart: those above 4 raise one each."""
    rows = [np.zeros(200) for _ in range(8)]
    for k, row in enumerate(rows):
        row[100] = k + 1.0
    assert wear.threshold_for(rows, 40.0, 10.0) == 4.0
    assert wear.threshold_for(rows, 9.0, 10.0) == 8.0


def test_errors_of_a_frozen_bank_are_its_own(wear: Any) -> None:
    """The errors that a window averages are `deltas` times `scales`, and the weights stand still."""
    bank = wear.make_bank(0.02, 0)
    rng = np.random.default_rng(0)
    x, c = rng.standard_normal((600, 5)).astype(np.float32), rng.standard_normal((600, 16)).astype(np.float32)
    heads = np.repeat(c, len(wear.HORIZONS), 1)
    bank.run(x[:500], heads[:500])
    still = wear.frozen(bank)
    start, first = still.parameters, still.run(x[500:510], heads[500:510])
    found = wear.windows(wear.frozen(bank), x[500:510], c[500:510], 10)[0]
    again = wear.frozen(bank)
    deltas = []
    for row, cumulants in zip(x[500:510], heads[500:510], strict=True):
        again.step(row, cumulants)
        deltas.append(again.deltas * again.scales)
    assert np.isfinite(first).all() and all(np.array_equal(start[k], v) for k, v in still.parameters.items())
    mean = np.mean(deltas[1:], 0)  # the bank has no error for a window's first input
    np.testing.assert_allclose(found[: len(mean)], mean, rtol=0.02, atol=0.02 * np.abs(mean).max())


def test_a_fault_raises_the_score(wear: Any) -> None:
    """A dead band that grows to four times its size in six minutes: 3.8 to 7.0 against 0.4 to 0.8 over four seeds."""
    plan = wear.Plan(learn_h=0.05, healthy_h=0.12, watch_h=0.12, wear_h=0.1, window_s=4.0, memory=5.0)
    healthy = wear.watch("asymmetric", 100, plan)
    worn = wear.watch("asymmetric", 100, plan, wear.Fault("asymmetric", "dead_band", 4.0))
    assert len(worn.td) == len(healthy.td) == round(0.12 * 3600 / 4)
    assert np.isfinite(worn.td + worn.plain).all()
    assert worn.td[-1] > 2.5 * healthy.td[-1] and worn.td[-1] > 2.0
