"""The benchmark commands run, and README matches benchmarks/results. No test depends on durations."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from toolchain import ROOT

from rtu_edge import _core, _testing

pytestmark = [pytest.mark.timing, pytest.mark.alone]


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The benchmarks, imported from the root of the repository; they do not reserve a core."""
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import agent, measure, peers, readme, rules, step

    for module in (agent, rules, step):
        monkeypatch.setattr(module, "hold_one_core", lambda: "not pinned")
    return {"agent": agent, "measure": measure, "peers": peers, "readme": readme, "rules": rules, "step": step}


def test_a_step_is_measured(modules: Any, record_property: Callable[[str, object], None]) -> None:
    done = CliRunner().invoke(modules["step"].main, ["--quick"])
    assert done.exit_code == 0, done.output
    for isa in _core.available_isas():
        assert isa in done.output
    record_property("table", done.output)


def test_a_control_step_is_measured_with_each_optimizer(modules: Any) -> None:
    done = CliRunner().invoke(modules["rules"].main, ["--rounds", "3"])
    assert done.exit_code == 0, done.output
    assert all(done.output.count(f" {rule} ") == len(modules["rules"].SIZES) for rule in modules["rules"].RULES)


def test_a_control_step_is_measured(modules: Any, record_property: Callable[[str, object], None]) -> None:
    done = CliRunner().invoke(modules["agent"].main, ["--rounds", "3"])
    assert done.exit_code == 0, done.output
    record_property("table", done.output)


@pytest.mark.parametrize("form", ["sgd", "obgd", "split", "predict", "evaluate", "nonlinear", "four_traces"])
def test_every_form_runs_on_every_instruction_set(form: str) -> None:
    for isa in _core.available_isas():
        for units, members in ((5, 1), (24, 8)):
            if members > 1 and form in ("nonlinear", "four_traces"):
                continue
            bench = _testing.Bench(form, 3, units, members, isa)
            assert bench.run(20) > 0
            assert bench.bytes >= 4 * 3 * units * 2
            assert _testing.Bench(f"sweep_{form}", 3, units, members, isa).run(1) > 0


def test_the_door() -> None:
    for arguments in (("sgd", 0, 4, 1), ("sgd", 3, 4, 3), ("sgd", 3, 4, 0), ("walk", 3, 4, 1), ("nonlinear", 3, 8, 8)):
        with pytest.raises(ValueError):
            _testing.Bench(*arguments, "scalar")
    with pytest.raises(ValueError, match="unknown"):
        _testing.Bench("sgd", 3, 4, 1, "abacus")


def test_numpy_learns_the_same_cell(modules: Any) -> None:
    """The peer is correct: its traces are the derivative of its state."""
    start = modules["peers"]._start(3, 4)
    nu, theta, g, phi, gam, dgam = modules["peers"]._coefficients(np, {k: v.astype(float) for k, v in start.items()})
    r = np.exp(-nu)
    np.testing.assert_allclose(g**2 + phi**2, r**2)
    np.testing.assert_allclose(gam, np.sqrt(1 - r**2), atol=2e-8)
    np.testing.assert_allclose(dgam, nu * r**2 / np.sqrt(1 - r**2))
    assert np.all(theta > 0)
    assert modules["peers"].numpy_in_place(3, 4)(5) > 0


def test_readme_says_what_was_measured(modules: Any) -> None:
    readme = modules["readme"]
    text = readme.README.read_text(encoding="utf-8")
    assert text.split(readme.BEGIN)[1].split(readme.END)[0].strip() == readme.section().strip()


def test_results_say_where_they_come_from(modules: Any) -> None:
    files = sorted(modules["measure"].RESULTS.glob("*.json"))
    assert files
    for path in files:
        result = json.loads(path.read_text())
        if "host" not in result:
            continue
        assert {"processor", "architecture", "compiler", "isas", "commit"} <= set(result["host"]), path.name
