"""Coherent credit: the bound of low_phase(), measured on the learner's own eligibilities."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_composition import credit

import rtu_edge as rtu
from rtu_edge.learn import coherence, coherence_of, low_phase

LAG = 32


def test_the_derivation_bounds_every_pole_at_every_lag() -> None:
    """Random retentions and decays, also of poles that forget at once; the largest phase of the start."""
    rng = np.random.default_rng(0)
    for _ in range(300):
        n, least = int(rng.integers(1, 200)), float(rng.uniform(0.05, 0.99))
        r, gl = rng.uniform(1e-3, 1.0), float(rng.choice([0.0, rng.uniform(), 1.0]))
        theta = low_phase(n, least)["max_phase"]
        for lag in {1, n // 2, n}:
            assert coherence_of([r], [theta], gl, lag) >= least * (1 - 1e-12), (r, theta, gl, lag)
    assert coherence_of([0.99], [2 * low_phase(LAG)["max_phase"]], 0.99, LAG) < 0.9, "a larger phase is not covered"


@pytest.mark.parametrize("trace_decay", [0.8, 0.95, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_a_start_of_low_phases_is_coherent(seed: int, trace_decay: float) -> None:
    low = rtu.StreamQ(3, 2, seed=seed, trace_decay=trace_decay, **low_phase(LAG))
    assert coherence(low, LAG) > 0.9
    assert coherence(rtu.StreamQ(3, 2, seed=seed, trace_decay=trace_decay), LAG) < 0.5


def test_it_is_that_of_the_eligibilities() -> None:
    """sum |weight| of an input 32 steps ago in the eligibilities of single units, over the same at phase 0."""
    v = rtu.TDPredictor(1, units=6, gamma=0.99, trace_decay=0.9, seed=3, dtype="float64", **low_phase(LAG))
    p = v.parameters
    r, theta = np.exp(-np.exp(p["value.cell.nu_log"])), np.exp(p["value.cell.theta_log"])
    for phases, low in ((theta, True), (np.linspace(0.1, 3.0, 6), False)):
        turned, straight = (
            sum(abs(credit(one, angle, 0.99 * 0.9, dtype="float64")[LAG]) for one, angle in zip(r, angles, strict=True))
            for angles in (phases, np.full(6, 1e-12))
        )
        assert coherence_of(r, phases, 0.99 * 0.9, LAG) == pytest.approx(turned / straight, rel=1e-6)
        assert (turned / straight > 0.9) == low
    assert coherence(v, LAG) == pytest.approx(coherence_of(r, theta, 0.99 * 0.9, LAG), rel=1e-12)


def test_a_horizon_gives_coherent_poles_where_asked() -> None:
    plain, low = (rtu.StreamAC.for_horizon(2, 1, 0.64, 0.02, coherent=coherent) for coherent in (False, True))
    assert coherence(low, LAG) > 0.9 > 0.5 > coherence(plain, LAG)
    assert {k: v for k, v in low.config.items() if plain.config[k] != v} == low_phase(LAG)
    assert rtu.StreamAC.for_horizon(2, 1, 0.64, 0.02).state_hash() == plain.state_hash()
    assert rtu.StreamAC.for_horizon(2, 1, 0.64, 0.02, coherent=True, r_min=0.5).config["r_min"] == 0.5


def test_real_gates_are_coherent_and_other_cells_are_refused() -> None:
    assert coherence(rtu.StreamQ(3, 2, cell="mingru"), LAG) == 1.0
    for learner in (
        rtu.StreamQ(3, 2, cell="nonlinear"),
        rtu.StreamQ(3, 2, cell="none"),
        rtu.OnlineRegressor(3, 1),
        rtu.TDBank(3, (0.9,)),
    ):
        with pytest.raises(rtu.ConfigError, match=f"learner: {learner.kind} with cell"):
            coherence(learner, LAG)


@pytest.mark.parametrize(
    ("call", "arguments", "named"),
    [
        (low_phase, (0,), "lag = 0: expected"),
        (low_phase, (32, 1.0), "least = 1.0: expected a number below 1"),
        (low_phase, (32, 0.0), "least = 0.0: expected"),
        (coherence_of, ([0.9], [0.1], 1.5, 3), "decay = 1.5: expected"),
        (coherence_of, ([0.9], [0.1], 0.5, -1), "lag = -1: expected"),
        (coherence_of, ([0.9, 0.0], [0.1, 0.1], 0.5, 3), "retention, phase: expected"),
        (coherence_of, ([0.9], [0.1, 0.1], 0.5, 3), "retention, phase: expected"),
        (coherence_of, (None, [0.1], 0.5, 3), "retention, phase: expected"),
        (coherence_of, ([0.9], ["a"], 0.5, 3), "retention, phase: expected"),
        (coherence_of, ([0.9], [object()], 0.5, 3), "retention, phase: expected"),
        (coherence, (rtu.LinearRTU(2, 4), 3), "learner: a LinearRTU is none; a cell alone has no eligibilities"),
        (coherence, (None, 3), "learner: a NoneType is none"),
    ],
)
def test_an_argument_out_of_its_range_is_named(call: Any, arguments: tuple[Any, ...], named: str) -> None:
    with pytest.raises(rtu.ConfigError, match=named):
        call(*arguments)
