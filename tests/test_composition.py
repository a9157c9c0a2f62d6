"""Composition of recurrent credit and eligibility: sensitivities S <- lam S + x and z <- gl z + S are one triangular
system, so an input n steps ago enters an eligibility with the weight sum_k gl^(n-k) lam^k (docs/math_credit.md).

For a real pole that is (gl^(n+1) - r^(n+1)) / (gl - r), with the limit (n+1) r^n where both are equal. Without
sensitivities over time (tbptt1) it is gl^n.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rtu_edge as rtu

STEPS = 60


def credit(r: float, theta: float, gl: float, **settings: Any) -> np.ndarray:
    """(STEPS,) complex: the weight of an input n steps ago in the eligibilities of W1 and W2 of one linear unit, with
    gamma = 1 and lambda = gl; the readout 1 on the real part, the weights constant."""
    v = rtu.TDPredictor(
        1, units=1, gamma=1.0, trace_decay=gl, optimizer="sgd", step_size=0.0, activation="identity", **settings
    )
    one = {"nu_log": [np.log(-np.log(r))], "theta_log": [np.log(theta)]}
    v.load_parameters({f"value.cell.{k}": np.array(x) for k, x in one.items()})
    v.load_parameters({"value.head.weight": np.array([[1.0, 0.0]])})
    gain = np.sqrt(-np.expm1(2 * np.log(r))) + 1e-8
    v.step([1.0], 0.0)
    found = []
    for _ in range(STEPS):  # the eligibility takes a step's gradient when the next one arrives
        v.step([0.0], 0.0)
        state = v.state
        found.append(complex(state["value.cell.z0.W1"][0, 0], -state["value.cell.z0.W2"][0, 0]) / gain)
    return np.array(found)


def exact(pole: complex, gl: float) -> np.ndarray:
    """The sum itself."""
    return np.array([sum(gl ** (n - k) * pole**k for k in range(n + 1)) for n in range(STEPS)])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("r", "gl"), [(0.5, 0.9), (0.9, 0.5), (0.99, 0.95), (0.95, 0.0), (0.97, 1.0)])
def test_a_real_pole(r: float, gl: float, dtype: str) -> None:
    n = np.arange(1, STEPS + 1)
    wanted = (gl**n - r**n) / (gl - r)
    found = credit(r, 1e-12, gl, dtype=dtype)
    np.testing.assert_allclose(found.real / wanted, 1, atol=1e-6 if dtype == "float64" else 2e-5)
    np.testing.assert_allclose(exact(r, gl).real / wanted, 1, atol=1e-9)


def test_a_real_pole_at_the_decay_of_the_trace() -> None:
    n = np.arange(STEPS)
    np.testing.assert_allclose(credit(0.9, 1e-12, 0.9, dtype="float64").real, (n + 1) * 0.9**n, rtol=1e-6)


@pytest.mark.parametrize(("r", "theta", "gl"), [(0.95, 0.3, 0.9), (0.99, 2.0, 0.95), (0.8, 3.1, 0.99)])
def test_a_complex_pole_is_the_exact_sum(r: float, theta: float, gl: float) -> None:
    """Both parts, to 1e-6 of the bound (gl^(n+1) - r^(n+1)) / (gl - r), below which the phases can cancel."""
    found, wanted = credit(r, theta, gl, dtype="float64"), exact(r * np.exp(1j * theta), gl)
    n = np.arange(1, STEPS + 1)
    bound = (gl**n - r**n) / (gl - r)
    assert (np.abs(found - wanted) <= 1e-6 * bound).all()
    assert (np.abs(wanted) <= bound * (1 + 1e-12)).all() and (np.abs(wanted)[20:] < 0.9 * bound[20:]).all()


def test_without_sensitivities_over_time_only_the_trace_decays() -> None:
    found = credit(0.99, 0.5, 0.9, dtype="float64", credit="tbptt1")
    np.testing.assert_allclose(found.real, 0.9 ** np.arange(STEPS), rtol=1e-6)
