"""The oracles of minGRU, eLSTM and LRU against complex-step derivatives, the LRU's against golden trajectories too.

A complex step has no cancellation: what remains is rounding, some 1e-15 a step; 1e-12 finds any wrong formula.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from golden_files import FOLDER, relative
from reference.cells import ELSTM, LRU, MinGRU

CELLS = {"mingru": MinGRU, "elstm": ELSTM, "lru": LRU}
N, D, STEPS = 5, 3, 30
RESETS = {0, 17}


def parameters(cell: Any, rng: np.random.Generator) -> dict[str, np.ndarray]:
    shapes = {name: (N, D) if name in ("Wu", "Wh", "Z", "F", "Br", "Bi") else (N,) for name in cell.NAMES}
    found = {name: 0.7 * rng.standard_normal(shape) for name, shape in shapes.items()}
    return found | ({"nu_log": rng.uniform(-3, -1, N)} if cell is LRU else {})


def run(cell: Any, x: np.ndarray, w: np.ndarray, dt: np.ndarray, total: Any) -> None:
    for t in range(STEPS):
        if t in RESETS:
            cell.reset()
        cell.step(x[t], dt[t])
        total(t, cell, w[t])


def derivative(cell: Any, p: dict[str, np.ndarray], name: str, index: Any, *rest: Any) -> float:
    q = {key: value.astype(complex) for key, value in p.items()}
    q[name][index] += 1e-30j
    sums: list[Any] = []
    activation, x, w, dt = rest
    run(cell(q, activation), x, w, dt, lambda _, own, w: sums.append(w @ own.y))
    return float(np.sum(sums).imag / 1e-30)


@pytest.mark.parametrize("activation", ["relu", "tanh", "identity"])
@pytest.mark.parametrize("kind", CELLS)
def test_gradient_is_the_complex_step_derivative(kind: str, activation: str) -> None:
    """Every parameter, through 30 steps with a reset, steps of varying length."""
    cell, rng = CELLS[kind], np.random.default_rng(1)
    p = parameters(cell, rng)
    x, dt = rng.standard_normal((STEPS, D)), rng.uniform(0.5, 2, STEPS)
    w = rng.standard_normal((STEPS, len(cell(p).y)))
    found = {name: np.zeros_like(value) for name, value in p.items()}

    def add(_: int, own: Any, w: np.ndarray) -> None:
        for name, gradient in own.gradient(w).items():
            found[name] += gradient

    run(cell(p, activation), x, w, dt, add)
    for name, value in p.items():
        wanted = np.zeros_like(value)
        for index in np.ndindex(value.shape):
            wanted[index] = derivative(cell, p, name, index, activation, x, w, dt)
        assert relative(found[name], wanted) < 1e-12, name


@pytest.mark.parametrize("kind", CELLS)
def test_input_gradient_is_that_of_one_step(kind: str) -> None:
    cell, rng = CELLS[kind], np.random.default_rng(2)
    p = parameters(cell, rng)
    x, w = rng.standard_normal((STEPS, D)), rng.standard_normal(len(cell(p).y))
    for t in (0, 1, STEPS - 1):
        own = cell(p, "tanh")
        for s in range(t + 1):
            own.step(x[s])
        found = own.input_gradient(w)
        for j in range(D):
            moved = x.astype(complex)
            moved[t, j] += 1e-30j
            twin = cell(p, "tanh")
            for s in range(t + 1):
                twin.step(x[s] if s < t else moved[s])
            assert found[j] == pytest.approx((w @ twin.y).imag / 1e-30, rel=1e-11, abs=1e-13)


@pytest.mark.parametrize("kind", CELLS)
def test_one_step_credit_holds_the_state_before(kind: str) -> None:
    cell, rng = CELLS[kind], np.random.default_rng(3)
    p = parameters(cell, rng)
    x = rng.standard_normal((STEPS, D))
    one, exact = cell(p, "identity", "tbptt1"), cell(p, "identity")
    for t in range(STEPS):
        before = {key: value for key, value in vars(one).items() if key in ("h", "re", "im")}
        one.step(x[t])
        exact.step(x[t])
    w = rng.standard_normal(len(one.y))
    for name, gradient in one.gradient(w).items():
        for index in np.ndindex(p[name].shape):
            q = {key: value.astype(complex) for key, value in p.items()}
            q[name][index] += 1e-30j
            twin = cell(q, "identity")
            vars(twin).update(before)
            assert gradient[index] == pytest.approx((w @ twin.step(x[-1])).imag / 1e-30, rel=1e-11, abs=1e-13)
        assert relative(gradient, exact.gradient(w)[name]) > 0.01, name


def projected(precision: str, slip: bool) -> dict[str, float]:
    """The golden LRU: y = Re(C h). Errors of output and gradients of an oracle run."""
    with np.load(FOLDER / f"lru_proj_d3_n5_{precision}.npz") as file:
        gold = {name: file[name].astype(np.float64) for name in file.files if name != "h"}
    cell = LRU({name: gold[name] for name in LRU.NAMES}, slip=slip)
    C = np.concatenate([gold["Cr"], -gold["Ci"], np.zeros((len(gold["Cr"]), cell.d))], axis=1)
    total = {name: np.zeros_like(value) for name, value in cell.p.items()}
    errors = {"y": 0.0}
    for t, (x, dy) in enumerate(zip(gold["X"], gold["dLdy"], strict=True)):
        y = cell.step(x)
        errors["y"] = max(errors["y"], relative(C @ y, gold["y"][t]))
        for name, gradient in cell.gradient(dy @ C).items():
            total[name] += gradient
    return errors | {name: relative(value, gold[f"exact_grad_{name}"]) for name, value in total.items()}


@pytest.mark.parametrize("precision", ["f64", "f32"])
def test_golden_lru(precision: str) -> None:
    tolerance = {"f64": 1e-12, "f32": 1e-5}[precision]
    errors = projected(precision, slip=False)
    assert {name: error for name, error in errors.items() if not error <= tolerance} == {}


def test_slip_2_the_gain_is_an_exponential() -> None:
    """docs/math.md, 7.2: gamma_log in place of exp(gamma_log) in B's trace turns its sign at initialisation."""
    errors = projected("f64", slip=True)
    assert min(errors["Br"], errors["Bi"]) > 1
    assert max(errors[name] for name in ("y", "nu_log", "theta_log", "gamma_log")) < 1e-12
