"""The recurrent learners for comparison (benchmarks/baselines), in double precision."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.baselines.cells import CELLS, Cell, DenseRNN
from benchmarks.baselines.counts import count
from benchmarks.baselines.credit import RTRL, Credit, make
from benchmarks.baselines.predictor import Body, Constructive, Predictor

ROOT = Path(__file__).resolve().parent.parent
N, D, B, T = 3, 2, 2, 7
Array = Any


def cell_of(name: str) -> Cell:
    return CELLS[name](N, D)


def inputs(cell: Cell) -> tuple[Array, Array]:
    rng = np.random.default_rng(3)
    return 1.5 * cell.initial(rng, B), rng.normal(size=(T, B, D))


def loss(cell: Cell, theta: Array, xs: Array, q: Array) -> Array:
    """(B,) q . s after all steps."""
    s: Array = np.zeros((len(theta), cell.states, cell.n), theta.dtype)
    for x in xs:
        s, _, _ = cell.step(theta, s, x)
    return (q * s.reshape(len(theta), -1)).sum(1)


def by_complex_step(cell: Cell, theta: Array, xs: Array, q: Array) -> Array:
    """The exact gradient of loss()."""
    found = np.zeros_like(theta)
    for p in range(theta.shape[1]):
        moved = theta.astype(complex)
        moved[:, p] += 1e-30j
        found[:, p] = loss(cell, moved, xs, q).imag / 1e-30
    return found


def by_rule(cell: Cell, rule: str, theta: Array, xs: Array, q: Array, seed: int = 0) -> Array:
    credit: Credit = make(rule, cell, len(theta), seed)
    s: Array = np.zeros((len(theta), cell.states, cell.n))
    for x in xs:
        s, J, M = cell.step(theta, s, x)
        credit.advance(J, M)
    return credit.gradient(q)


def cotangent(cell: Cell) -> Array:
    return np.random.default_rng(4).normal(size=(B, cell.states * cell.n))


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("rule", ["rtrl", f"tbptt{T}", f"tbptt{T + 5}"])
def test_the_exact_rules_meet_the_complex_step(name: str, rule: str) -> None:
    cell = cell_of(name)
    theta, xs = inputs(cell)
    q = cotangent(cell)
    np.testing.assert_allclose(
        by_rule(cell, rule, theta, xs, q), by_complex_step(cell, theta, xs, q), rtol=1e-11, atol=1e-13
    )


@pytest.mark.parametrize("name", CELLS)
def test_a_leak_and_the_jacobian_meet_the_complex_step(name: str) -> None:
    cell = DenseRNN(N, D, a=0.3) if name == "rnn" else cell_of(name)
    theta, xs = inputs(cell)
    s = np.random.default_rng(5).normal(size=(B, cell.states, N))
    _, J, _ = cell.step(theta, s, xs[0])
    for j in range(cell.states * N):
        moved = s.astype(complex).reshape(B, -1)
        moved[:, j] += 1e-30j
        after, _, _ = cell.step(theta.astype(complex), moved.reshape(s.shape), xs[0])
        np.testing.assert_allclose(J[:, :, j], after.reshape(B, -1).imag / 1e-30, rtol=1e-12, atol=1e-14)
    q = cotangent(cell)
    np.testing.assert_allclose(by_rule(cell, "rtrl", theta, xs, q), by_complex_step(cell, theta, xs, q), rtol=1e-11)


@pytest.mark.parametrize("name", CELLS)
def test_snap1_is_exact_where_no_unit_reads_another_and_only_there(name: str) -> None:
    cell = cell_of(name)
    theta, xs = inputs(cell)
    q = cotangent(cell)
    exact, found = by_rule(cell, "rtrl", theta, xs, q), by_rule(cell, "snap1", theta, xs, q)
    assert np.allclose(found, exact, rtol=1e-12, atol=1e-14) == cell.diagonal
    # After one step of zero state there is nothing that it could have missed.
    one = by_rule(cell, "snap1", theta, xs[:1], q)
    np.testing.assert_allclose(one, by_rule(cell, "rtrl", theta, xs[:1], q), rtol=1e-14)


def test_snap1_of_a_gru_is_its_diagonal() -> None:
    """D_i = z + (h - m) z (1 - z) Uz_ii + (1 - z)(1 - m^2)(r Un_ii + (Un h + cn)_i r (1 - r) Ur_ii)."""
    cell = cell_of("gru")
    theta, xs = inputs(cell)
    h = np.random.default_rng(6).normal(size=(B, 1, N))
    _, J, _ = cell.step(theta, h, xs[0])
    wz, wr, wn, un = cell.rows(theta)
    x, h = xs[0], h[:, 0]

    def linear(w: Array, *parts: Array) -> Array:
        return np.einsum("bif,bf->bi", w, np.concatenate([*parts, np.ones((B, 1))], 1))

    z, r = (1 / (1 + np.exp(-linear(w, x, h))) for w in (wz, wr))
    inner = linear(un, h)
    m = np.tanh(linear(wn, x) + r * inner)
    uz, ur, uu = (np.einsum("bii->bi", w[:, :, k : k + N]) for w, k in ((wz, D), (wr, D), (un, 0)))
    expected = z + (h - m) * z * (1 - z) * uz + (1 - z) * (1 - m * m) * (r * uu + inner * r * (1 - r) * ur)
    np.testing.assert_allclose(np.einsum("bii->bi", J), expected, rtol=1e-13)


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm"])
def test_uoro_is_right_in_the_mean(name: str) -> None:
    """Within five standard errors of the mean, estimated from the draws, in each of P numbers."""
    cell, draws = cell_of(name), 8_000
    theta, xs = inputs(cell)
    q = np.repeat(cotangent(cell)[:1], draws, 0)
    found = by_rule(cell, "uoro", np.repeat(theta[:1], draws, 0), np.repeat(xs[:4, :1], draws, 1), q, seed=1)
    exact = by_rule(cell, "rtrl", theta[:1], xs[:4, :1], q[:1])[0]
    error = found.std(0) / np.sqrt(draws)
    assert (np.abs(found.mean(0) - exact) <= 5 * error + 1e-12).all()
    assert np.linalg.norm(found[0] - exact) > 5 * np.linalg.norm(error)  # one draw is no gradient


def test_rflo_is_its_rule() -> None:
    """B <- (1 - a) B + a f'(v_i) x_j, from the equation; exact without a recurrent weight."""
    cell = DenseRNN(N, D, a=0.3)
    theta, xs = inputs(cell)
    q = cotangent(cell)
    h, kept = np.zeros((B, N)), np.zeros((B, N, D + N + 1))
    w = cell.rows(theta)[0]
    for x in xs:
        f = np.concatenate([x, h, np.ones((B, 1))], 1)
        m = np.tanh(np.einsum("bif,bf->bi", w, f))
        kept = 0.7 * kept + 0.3 * (1 - m * m)[:, :, None] * f[:, None]
        h = 0.7 * h + 0.3 * m
    expected = (q[:, :, None] * kept).reshape(B, -1)
    np.testing.assert_allclose(by_rule(cell, "rflo", theta, xs, q), expected, rtol=1e-13)
    theta.reshape(B, N, -1)[:, :, D : D + N] = 0
    np.testing.assert_allclose(
        by_rule(cell, "rflo", theta, xs, q), by_rule(cell, "rtrl", theta, xs, q), rtol=1e-12, atol=1e-15
    )
    with pytest.raises(ValueError, match="allowed with RFLO: DenseRNN"):
        make("rflo", cell_of("gru"), B)
    with pytest.raises(ValueError, match="allowed: rtrl"):
        make("tbptt0", cell, B)


def test_a_shorter_tbptt_is_the_sum_of_its_last_terms() -> None:
    cell = cell_of("lstm")
    theta, xs = inputs(cell)
    q, two = cotangent(cell), RTRL(cell, B)
    s: Array = np.zeros((B, cell.states, N))
    for t, x in enumerate(xs):
        s, J, M = cell.step(theta, s, x)
        if t == T - 2:
            two.S[:] = 0
        if t >= T - 2:
            two.advance(J, M)
    np.testing.assert_allclose(by_rule(cell, "tbptt2", theta, xs, q), two.gradient(q), rtol=1e-12)


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("rule", ["rtrl", "snap1"])
def test_the_floats_that_are_kept_are_counted(name: str, rule: str) -> None:
    """Those that are not structurally zero, after enough steps."""
    cell = cell_of(name)
    theta, xs = inputs(cell)
    credit = make(rule, cell, B)
    s: Array = np.zeros((B, cell.states, N))
    for x in xs:
        s, J, M = cell.step(theta, s, x)
        credit.advance(J, M)
    assert isinstance(credit, RTRL)
    filled = int(np.count_nonzero(credit.S[0]))
    assert filled == count(cell, rule).kept


def test_the_counts_by_hand() -> None:
    rnn, columns = CELLS["rnn"](4, 3), CELLS["columns"](4, 3)
    assert (rnn.size, columns.size) == (4 * (3 + 4 + 1), 4 * 4 * (3 + 1 + 1))
    assert count(rnn, "rtrl").kept == 4 * 32 and count(rnn, "rtrl").operations == 2 * 32 + 2 * 16 * 32 + 2 * 4 * 32
    assert count(rnn, "uoro").kept == 4 + 32 and count(rnn, "rflo").kept == 32
    assert count(columns, "rtrl").kept == 2 * 80 and count(columns, "rtrl").bytes == 4 * (80 + 8 + 160)
    assert count(rnn, "tbptt10").kept == 10 * (4 + 3 + 4 + 4)
    assert count(rnn, "tbptt20").operations - count(rnn, "tbptt10").operations == 10 * (2 * 32 + 2 * 16)


def test_a_stage_of_a_constructive_network_is_frozen_after_its_time() -> None:
    body = Constructive(D, 2, 2, 5, B, 0)
    predictor = Predictor(body, 4, B, 0.9, 0.9)
    rng, before = np.random.default_rng(0), [each.theta.copy() for each in body._stages]
    for _ in range(4):
        predictor.step(rng.normal(size=(B, D)), rng.normal(size=B))
    moved = [not np.array_equal(a, each.theta) for a, each in zip(before, body._stages, strict=True)]
    assert moved == [True, False]
    for _ in range(2):
        predictor.step(rng.normal(size=(B, D)), rng.normal(size=B))
    first = body._stages[0].theta.copy()
    for _ in range(10):
        predictor.step(rng.normal(size=(B, D)), rng.normal(size=B))
    assert np.array_equal(first, body._stages[0].theta) and not np.array_equal(before[1], body._stages[1].theta)


def test_a_predictor_learns_a_constant() -> None:
    predictor = Predictor(Body(cell_of("gru"), "snap1", B, 0), N, B, 0.5, 0.9)
    for _ in range(2000):
        value = predictor.step(np.ones((B, D)), np.ones(B))
    np.testing.assert_allclose(value, 2.0, atol=1e-2)  # 1 / (1 - gamma)


def test_the_command_prints_each_pair() -> None:
    command = [sys.executable, "-m", "benchmarks.baselines", "--steps", "1200", "--seeds", "2", "--units", "4"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 14 and "gru tbptt20" in done.stdout and "TDPredictor" in lines[2]
    assert all(np.isfinite(float(line[22:31])) for line in lines[1:])
