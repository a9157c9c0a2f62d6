"""The optimizers' oracles: steps by hand on a few weights."""

from __future__ import annotations

import numpy as np
import pytest
from reference import optim

Z = {"a": np.array([0.5, -2.0]), "b": np.array([0.25])}


def test_obgd_by_hand() -> None:
    rule = optim.ObGD(1.0, 2.0)
    step = rule.step(3.0, Z)  # sum|z| = 2.75, bound 2 * 3 * 2.75 = 16.5
    assert rule.alpha_t == pytest.approx(1 / 16.5)
    np.testing.assert_allclose(step["a"], 3 * np.array([0.5, -2.0]) / 16.5)
    rule.step(0.01, {"a": np.array([0.1])})  # |delta| below 1 counts as 1: bound 0.2, so the full step
    assert rule.alpha_t == 1.0


@pytest.mark.parametrize("delta", [1e-3, 0.9, 5.0, -1e4])
def test_obgd_does_not_overshoot_a_linear_target(delta: float) -> None:
    """The point of the bound: with z = x and inputs within 1, one step takes back at most half of the error (kappa 2):
    alpha_t |delta| sum x^2 <= |delta| max|x| / (2 max(|delta|, 1))."""
    x = np.random.default_rng(0).uniform(-1, 1, 50)
    step = optim.ObGD(1.0, 2.0).step(delta, {"w": x})["w"]
    assert 0 < step @ x * np.sign(delta) <= abs(delta) / 2
    assert abs(delta * x @ x) > abs(delta), "the plain step would overshoot"


def test_adam_first_step_is_the_sign() -> None:
    """m/c1 = g, v/c2 = g^2: the first step is alpha g / (|g| + eps)."""
    step = optim.Adam(1e-3).step(-2.0, Z)
    np.testing.assert_allclose(step["a"], 1e-3 * np.array([-1.0, 1.0]), rtol=1e-7)


def test_adam_second_step_by_hand() -> None:
    rule = optim.Adam(0.1)
    rule.step(1.0, {"a": np.array([1.0])})
    m, v = 0.9 * 0.1 + 0.1 * 3, 0.999 * 0.001 + 0.001 * 9
    wanted = 0.1 * (m / (1 - 0.81)) / (np.sqrt(v / (1 - 0.999**2)) + 1e-8)
    assert rule.step(1.0, {"a": np.array([3.0])})["a"][0] == pytest.approx(wanted, rel=1e-12)


def test_adaptive_obgd_first_step_by_hand() -> None:
    """v/c = (delta z)^2: every entry becomes about sign(z)/|delta|; 2 * 3 * 3/3 = 6."""
    rule = optim.AdaptiveObGD(1.0, 2.0)
    rule.observe(3.0, Z, Z, dict.fromkeys(Z, 0.0))
    step = rule.step(3.0, Z)
    assert rule.alpha_t == pytest.approx(1 / 6, rel=1e-6)
    np.testing.assert_allclose(step["a"], np.array([1.0, -1.0]) / 6, rtol=1e-6)


@pytest.mark.parametrize("form", ["gradient", "trace", "larger"])
def test_intentional_removes_its_share_of_the_error(form: str) -> None:
    """Without eligibilities, z = g: the output changes by g . dw = a delta sum g^2/p = eta delta in every form."""
    rule = optim.Intentional(0.3, form)
    rng = np.random.default_rng(0)
    for _ in range(50):  # a constant gradient: the running mean of the overlap is the overlap
        g = {"a": np.array([1.0, -2.0]), "b": np.array([0.1])}
        rule.observe(delta := float(rng.standard_normal()), g, g, dict.fromkeys(g, 0.0))
        step = rule.step(delta, g)
    assert sum(float((g[k] * step[k]).sum()) for k in g) == pytest.approx(0.3 * delta, rel=1e-9)


def test_intentional_cuts_errors_and_compares_a_policy_s_with_their_usual_size() -> None:
    """|delta| is cut at 20 roots of its running square; a policy's is in units of its running mean."""
    g = {"a": np.array([1.0])}
    for relative in (False, True):
        rule = optim.Intentional(1.0, "gradient", relative)
        rule.square = rule.size = 1.0
        rule.errors = 10**6  # the means are settled at 1
        rule.observe(1e6, g, g, {"a": 0.0})
        moved = float(rule.step(1e6, g)["a"][0])
        cut = 20 * np.sqrt(0.9998 + 0.0002 * 1e12)
        size = 0.9998 + 0.0002 * min(1e6, cut) if relative else 1.0
        assert moved == pytest.approx(min(1e6, cut) / size, rel=1e-6)


def test_sgd_is_delta_times_trace() -> None:
    np.testing.assert_array_equal(optim.make("sgd", 0.5).step(-2.0, Z)["a"], -Z["a"])
