"""The cell's oracle against complex-step derivatives, against the golden trajectories and against its
equivalent forms.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from golden_files import CASES, NAMES, load, relative
from reference import init
from reference.rtu import RTU, Coefficients

KINDS = [(False, f) for f in ("relu", "tanh", "identity")] + [(True, f) for f in ("relu", "tanh", "identity")]


def problem(
    seed: int, n: int, d: int, steps: int, **ranges: float
) -> tuple[dict[str, Any], np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    dt = rng.uniform(0.5, 2.0, steps)
    return init.rtu(rng, n, d, **ranges), rng.standard_normal((steps, d)), rng.standard_normal((steps, 2 * n)), dt


def unrolled_loss(
    p: dict[str, Any], x: np.ndarray, w: np.ndarray, f: str, nonlinear: bool, dt: np.ndarray, resets: set[int]
) -> Any:
    """sum_t <w_t, y_t>; runs on complex parameters."""
    cell, total = RTU(p, f, nonlinear), 0.0
    for t in range(len(x)):
        if t in resets:
            cell.reset()
        total = total + w[t] @ cell.step(x[t], dt[t])
    return total


def traced_gradient(cell: RTU, x: np.ndarray, w: np.ndarray, dt: np.ndarray, resets: set[int]) -> dict[str, np.ndarray]:
    total = {name: np.zeros_like(v) for name, v in cell.p.items()}
    for t in range(len(x)):
        if t in resets:
            cell.reset()
        cell.step(x[t], dt[t])
        for name, g in cell.gradient(w[t]).items():
            total[name] += g
    return total


@pytest.mark.parametrize("units_per_pole", [1, 3])
@pytest.mark.parametrize("dt_varies", [False, True])
@pytest.mark.parametrize(("nonlinear", "f"), KINDS)
def test_gradient_is_the_complex_step_derivative(nonlinear: bool, f: str, dt_varies: bool, units_per_pole: int) -> None:
    """Every parameter, through 40 unrolled steps with two resets. A complex step has no cancellation: what remains is
    rounding, some 1e-15 per step; 1e-12 leaves a margin and detects any wrong formula."""
    if nonlinear and units_per_pole > 1:
        units_per_pole = 2  # the nonlinear oracle keeps all traces, so it too may share poles
    n, d, steps = 6, 3, 40
    p, x, w, dt = problem(1, n, d, steps, r_min=0.3, r_max=0.99)
    dt = dt if dt_varies else np.ones(steps)
    p = {**p, "nu_log": p["nu_log"][::units_per_pole], "theta_log": p["theta_log"][::units_per_pole]}
    resets = {13, 27}
    found = traced_gradient(RTU(p, f, nonlinear), x, w, dt, resets)
    for name in NAMES:
        wanted = np.zeros(p[name].shape)
        for index in np.ndindex(wanted.shape):
            q = {k: v.astype(complex) for k, v in p.items()}
            q[name][index] += 1e-30j
            wanted[index] = unrolled_loss(q, x, w, f, nonlinear, dt, resets).imag / 1e-30
        assert relative(found[name], wanted) < 1e-12, name


@pytest.mark.parametrize(("nonlinear", "f"), KINDS)
def test_input_gradient_is_the_complex_step_derivative(nonlinear: bool, f: str) -> None:
    """This step only: the state before the step is held. Rounding only, as above."""
    p, x, w, dt = problem(2, 4, 3, 10)
    for t in range(9):
        cell = RTU(p, f, nonlinear)
        for s in range(t + 1):
            cell.step(x[s], dt[s])
        found = cell.input_gradient(w[t], dt[t])
        for j in range(3):
            cell = RTU(p, f, nonlinear)
            for s in range(t):
                cell.step(x[s], dt[s])
            bent = x[t].astype(complex)
            bent[j] += 1e-30j
            assert abs((w[t] @ cell.step(bent, dt[t])).imag / 1e-30 - found[j]) < 1e-12


def test_halved_traces_are_the_full_ones_to_the_bit() -> None:
    """B1 = -A2 and B2 = A1 hold exactly, not approximately: the same operations on the same numbers."""
    p, x, w, dt = problem(3, 7, 5, 200)
    full, half = RTU(p), RTU(p, halved=True)
    for t in range(200):
        full.step(x[t], dt[t])
        half.step(x[t], dt[t])
        np.testing.assert_array_equal(full.B1, -full.A2)
        np.testing.assert_array_equal(full.B2, full.A1)
        for name, g in full.gradient(w[t]).items():
            np.testing.assert_array_equal(g, half.gradient(w[t])[name], err_msg=name)
    assert (full.n_traces, half.n_traces) == (4 * 35 + 28, 2 * 35 + 28)


def test_units_of_one_pole_share_the_weight_traces() -> None:
    """docs/math.md, 2, 'Units that share a pole': A of unit i depends on its pole and the input only."""
    p, x, _, dt = problem(4, 6, 4, 50)
    p = {**p, "nu_log": p["nu_log"][:2], "theta_log": p["theta_log"][:2]}
    cell = RTU(p)
    for t in range(50):
        cell.step(x[t], dt[t])
    for pole in (0, 1):
        for i in range(3 * pole, 3 * pole + 3):
            np.testing.assert_array_equal(cell.A1[i], cell.A1[3 * pole])
            np.testing.assert_array_equal(cell.A2[i], cell.A2[3 * pole])


def test_one_nominal_step_has_the_bits_of_the_plain_form() -> None:
    p, *_ = problem(5, 9, 2, 1)
    nu, theta = np.exp(p["nu_log"]), np.exp(p["theta_log"])
    r = np.exp(-nu)
    c = Coefficients.of(p, 1.0)
    np.testing.assert_array_equal(c.g, r * np.cos(theta))
    np.testing.assert_array_equal(c.gam, np.sqrt(-np.expm1(-2 * nu)) + 1e-8)
    np.testing.assert_array_equal(c.dg_dnu, -nu * c.g)


def test_two_half_steps_turn_as_one_whole_step() -> None:
    """r^k and k theta compose: without input, two steps of 1/2 are one step of 1. Rounding only."""
    p, x, *_ = problem(6, 5, 2, 1)
    whole, halves = RTU(p, "identity"), RTU(p, "identity")
    for cell in (whole, halves):
        cell.step(x[0])
    whole.step(np.zeros(2), 1.0)
    halves.step(np.zeros(2), 0.5)
    halves.step(np.zeros(2), 0.5)
    np.testing.assert_allclose(halves.y, whole.y, rtol=1e-14, atol=1e-15)


def golden_run(kind: str, f: str, reset: str) -> tuple[RTU, dict[str, Any], dict[str, np.ndarray], dict[str, float]]:
    gold = load(kind, f, reset)
    cell = RTU({k: gold[k] for k in NAMES}, f, kind == "nonlinear")
    total = {k: np.zeros_like(v) for k, v in cell.p.items()}
    y, dx = np.zeros_like(gold["y"]), np.zeros_like(gold["ref_dLdx"])
    for t, x in enumerate(gold["X"]):
        if gold["done"][t]:
            cell.reset()
        y[t] = cell.step(x)
        dx[t] = cell.input_gradient(gold["dLdy"][t])
        for k, g in cell.gradient(gold["dLdy"][t]).items():
            total[k] += g
    errors = {"y": relative(y, gold["y"]), "dLdx": relative(dx, gold["ref_dLdx"])}
    errors |= {k: relative(total[k], gold[f"exact_grad_{k}"]) for k in NAMES}
    return cell, gold, total, errors


@pytest.mark.parametrize(("kind", "f", "reset"), CASES)
def test_oracle_meets_the_golden_trajectories(kind: str, f: str, reset: str) -> None:
    """200 steps in double: 1e-12 of the largest entry, the files' own tolerance."""
    cell, gold, _, errors = golden_run(kind, f, reset)
    assert {k: e for k, e in errors.items() if not e < 1e-12} == {}
    theta = np.exp(gold["theta_log"])
    for name, found in {
        "A1_dh1_dW1": cell.A1,
        "A2_dh2_dW1": cell.A2,
        "B1_dh1_dW2": cell.B1,
        "B2_dh2_dW2": cell.B2,
    }.items():
        wanted = gold[f"trace_final_{name}"]
        assert relative(found, wanted) < 1e-12, name
    assert relative(cell.T1, gold["trace_final_T1_unscaled"] * theta) < 1e-12
    # The published derivative of gam carries 1e-8 of its own (tests/golden/README.md).
    assert relative(cell.N2, gold["trace_final_N2"]) < 1e-7


@pytest.mark.parametrize(("kind", "f", "reset"), CASES)
def test_slip_1_the_published_theta_gradient_is_not_the_derivative(kind: str, f: str, reset: str) -> None:
    """docs/math.md, 7.1: without the factor theta the gradient is off by 1/theta per unit, so it fails where the
    correct form passes.
    """
    _, gold, total, _ = golden_run(kind, f, reset)
    slipped = total["theta_log"] / np.exp(gold["theta_log"])
    assert relative(slipped, gold["ref_grad_theta_log"]) < 1e-12, "the slip is what the published code computes"
    assert relative(slipped, gold["exact_grad_theta_log"]) > 0.01
    assert relative(total["theta_log"], gold["exact_grad_theta_log"]) < 1e-12


def test_initial_distributions() -> None:
    """20 000 draws: means within five standard errors of the uniform's; hard limits hold exactly."""
    rng = np.random.default_rng(0)
    p = init.rtu(rng, 20000, 3, r_min=0.5, r_max=0.95, max_phase=0.6)
    r2 = np.exp(-2 * np.exp(p["nu_log"]))
    low, high = 0.5**2, 0.95**2
    assert low - 1e-12 <= r2.min() and r2.max() <= high + 1e-12
    assert abs(r2.mean() - (low + high) / 2) < 5 * (high - low) / np.sqrt(12 * 20000)
    assert abs(np.exp(p["theta_log"]).mean() - 0.3) < 5 * 0.6 / np.sqrt(12 * 20000)
    assert abs(p["W1"].var() * 3 - 1) < 5 * np.sqrt(2 / 60000)
    assert np.abs(p["W1"]).max() <= 2 / (init.TRUNCATED_STD * np.sqrt(3))


@pytest.mark.parametrize("fan_in", range(1, 25))
def test_slip_4_sparse_init_never_kills_a_row(fan_in: int) -> None:
    """docs/math.md, 7.4: the published count zeroes whole rows of nine inputs or fewer; this one keeps at least one
    weight.
    """
    rows = init.sparse(np.random.default_rng(fan_in), 50, fan_in)
    assert ((rows != 0).sum(1) == fan_in - init.n_zeroed(fan_in)).all() and (rows != 0).any(1).all()
    assert (init.n_zeroed_slip(fan_in) == fan_in) == (fan_in <= 9)
