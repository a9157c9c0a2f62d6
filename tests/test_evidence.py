"""benchmarks.evidence: the table of operations against callgrind, tasks against their published facts, studies that
continue where they were stopped, and a reduced study."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner
from test_instructions import callgrind
from toolchain import ROOT, build_program

import rtu_edge as rtu
from benchmarks.baselines.action_values import ActionValues
from benchmarks.baselines.cells import CELLS
from benchmarks.baselines.predictor import Body
from benchmarks.baselines.truncated import TruncatedBody
from benchmarks.evidence import costs, counts, mujoco, picture, popgym, speed, store
from benchmarks.evidence.__main__ import main
from benchmarks.evidence.tasks import TASKS
from benchmarks.measure import RESULTS
from rtu_edge.learn.stored import load

# ---------------------------------------------------------------- operations


# Instructions of the scalar kernels for each counted operation: seen are 2.9 (frozen) to 3.5 (none) at this size. Loads
# and stores come on top of the counted operations; with few units, the fixed part of a step too: 4.5 to 6.2 at 8.
LEAST, MOST = 2.2, 4.2


@pytest.mark.parametrize(
    ("cell", "credit"), [("linear", "rtrl"), ("mingru", "rtrl"), ("linear", "frozen"), ("none", "rtrl")]
)
def test_counted_operations_are_those_that_callgrind_sees(cell: str, credit: str, tmp_path: Path) -> None:
    executable = build_program("release", Path("native/count_learner.cpp"))
    d, n, hidden, steps = 8, 64, 32, 12
    seen = callgrind("counted", tmp_path, executable, "scalar", "td", cell, credit, d, n, hidden, steps) / steps
    learner = rtu.TDPredictor(d, units=n, hidden=hidden, cell=cell, credit=credit, optimizer="obgd")
    counted = counts.native(learner).operations
    print(f"{cell} {credit}: {seen:.0f} instructions, {counted} operations, {seen / counted:.2f}")
    assert LEAST < seen / counted < MOST


@pytest.mark.parametrize("budget", costs.BUDGETS)
def test_each_rule_uses_its_budget(budget: int) -> None:
    task = TASKS["trace conditioning 20"]
    for rule in costs.RULES:
        cost = costs.cost_of(task, rule)
        units = counts.largest(cost, budget)
        if 0 < units < counts.MOST_UNITS - 1:
            assert cost(units).operations <= budget < cost(units + 1).operations, rule
    assert counts.largest(costs.cost_of(task, "RTU"), 10) == 0


# ---------------------------------------------------------------- baselines


@pytest.mark.parametrize(("cell", "k"), [("gru", 1), ("gru", 6), ("rnn", 4)])
def test_a_truncated_body_has_the_gradient_of_tbptt(cell: str, k: int) -> None:
    made = CELLS[cell](4, 3)
    fast, plain = TruncatedBody(made, k, 2, 5), Body(made, f"tbptt{k}", 2, 5)
    rng = np.random.default_rng(0)
    for t in range(20):
        if t == 13:
            fast.begin()
            plain.begin()
        x, q = rng.normal(size=(2, 3)), rng.normal(size=(2, 4))
        np.testing.assert_allclose(fast.step(x), plain.step(x), rtol=1e-12)
        np.testing.assert_allclose(fast.gradient(q), plain.gradient(q), rtol=1e-10, atol=1e-13)


def test_two_state_vectors_are_refused() -> None:
    with pytest.raises(ValueError, match="one state vector"):
        TruncatedBody(CELLS["lstm"](4, 3), 2, 1, 0)


def test_the_baseline_learns_action_values() -> None:
    """One step to the reward: the right action follows the sign of the input."""
    rngs = [np.random.default_rng(seed) for seed in range(3)]
    values = ActionValues(TruncatedBody(CELLS["gru"](4, 1), 2, 3, 0), 4, 2, rngs, epsilon_steps=200)
    right = []
    for _ in range(600):
        bits = np.array([1.0 if rng.random() < 0.5 else -1.0 for rng in rngs])
        values.begin()
        actions = values.step(bits[:, None], np.zeros(3))
        right.append((actions == 1) == (bits > 0))
        values.end(np.where(right[-1], 1.0, -1.0))
    assert np.mean(right[-100:]) > 0.9


# ---------------------------------------------------------------- the peer


def test_the_lean_form_learns_the_same_numbers() -> None:
    """NumPy in place of JAX: the same formulas, in double precision as the package's."""
    assert speed.compare(np, np.float64) < 1e-11


@pytest.mark.filterwarnings("ignore::rtu_edge._base.errors.LearnerWarning")
def test_speed_is_measured_without_a_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "SIZES", ((2, 8, (8,), 1),))
    monkeypatch.setattr(speed, "SWEPT", (8,))
    found = speed.text(speed.measure(3, with_jax=False, hold=False, with_hopper=False))
    assert all(f"| {name} |" in found for name in ("step_bound()", "loop", "separate over its sweep"))


# ---------------------------------------------------------------- tasks


@pytest.mark.parametrize(
    ("task", "published"), [("RepeatPrevious", -0.501), ("RepeatFirst", -0.502), ("CountRecall", -0.926)]
)
def test_uniform_actions_have_the_published_return(task: str, published: float) -> None:
    rng = np.random.default_rng(0)
    actions = popgym.SIZES[task][1]

    class Uniform:
        def reset(self, x: Any) -> int:
            return int(rng.integers(actions))

        def step(self, x: Any, reward: float, terminated: bool) -> int:
            assert not terminated or x.any()
            return int(rng.integers(actions))

    returns = [popgym.play(Uniform(), task, rng)[1] for _ in range(300)]
    assert np.mean(returns) == pytest.approx(published, abs=4 * np.std(returns) / 300**0.5 + 0.002)
    assert (np.mean(returns) + 1) / 2 == pytest.approx(popgym.CHANCE[task], abs=0.02)


def test_right_actions_follow_from_what_was_seen() -> None:
    for seed in range(5):
        x, right = popgym.deal("RepeatPrevious", np.random.default_rng(seed))
        suits = x.argmax(1)
        assert (right[:3] == -1).all() and (right[3:] == suits[:48]).all()
        x, right = popgym.deal("RepeatFirst", np.random.default_rng(seed))
        assert (right == x[0].argmax()).all()
        x, right = popgym.deal("CountRecall", np.random.default_rng(seed))
        counted = [int(x[: t + 1, x[t, 2:].argmax()].sum()) for t in range(51)]
        assert (right == counted).all()


@pytest.mark.parametrize(("cell", "width", "seen"), [
    ("Hopper-P", 11, range(5)), ("Hopper-V", 11, range(5, 11)), ("Walker2d-P", 17, range(8)),
    ("HalfCheetah-V", 17, range(8, 17)), ("Ant-P", 27, range(13)), ("Ant-V", 27, range(13, 27)),
])  # fmt: skip
def test_positions_are_the_first_entries(cell: str, width: int, seen: range) -> None:
    assert list(range(width))[mujoco.visible(cell, width)] == list(seen)


# ---------------------------------------------------------------- studies


class Plant:
    """Stands in for a robot: 11 observations, 3 actions, an episode of 1000 steps unless it falls."""

    class observation_space:
        shape = (11,)

    class action_space:
        shape, low, high = (3,), -np.ones(3), np.ones(3)

    def reset(self, seed: int) -> tuple[Any, dict[str, Any]]:
        self.rng, self.t = np.random.default_rng(seed), 0
        return self.rng.normal(size=11), {}

    def step(self, u: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        return self.rng.normal(size=11), float(1 - (u**2).sum()), self.rng.random() < 0.02, False, {}


def test_a_stopped_run_continues_with_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mujoco, "_environment", lambda cell: Plant())
    monkeypatch.setattr(mujoco, "WINDOW", 300)

    def trained(folder: str, *lengths: int) -> dict[str, Any]:
        for steps in lengths:
            state = mujoco.train(mujoco.Run("Hopper-P", "rtrl", "truncation", 3, steps, str(tmp_path / folder)))
        del state["folder"], state["seconds"]
        return state

    at_once, stopped = trained("a", 900), trained("b", 300, 600, 900)
    stopped["steps"] = at_once["steps"]
    assert at_once == stopped
    agents = [load(tmp_path / folder / at_once["checkpoint"]) for folder in "ab"]
    assert agents[0].state_hash() == agents[1].state_hash()
    assert len(list((tmp_path / "b").glob("*.rtu"))) == 1
    table = mujoco.rows([store.read(path) or {} for path in (tmp_path / "a").glob("*.json")])
    assert "| Hopper-P | rtrl | truncation | 9" in mujoco.text(table)  # at its own 900 steps and the rest of an episode


def test_a_row_stands_at_each_published_budget_that_was_reached() -> None:
    curves = [[[2_000_100, 10.0, 4], [5_000_200, 30.0, 3]], [[2_000_300, 20.0, 5]]]
    row = {"cell": "Hopper-P", "learner": "rtrl", "limit": "termination", "runs": [{"curve": c} for c in curves]}
    lines = [line.split(" | ")[3:7] for line in mujoco.text([row]).splitlines()[2:]]
    assert lines == [["2,000,000", "2", "15", "10, 20"], ["5,000,000", "1", "30", "30"]]


def test_a_reduced_study_of_costs(tmp_path: Path) -> None:
    """Two rules of the package and a baseline on a task of each kind; then the table from the files alone."""
    tasks = ("trace conditioning 20", "MemoryChain 32", "cartpole-wide")
    arguments = [
        "costs",
        "--steps",
        "2500",
        "--budget",
        "10000",
        "--seeds",
        "1",
        "--baseline-seeds",
        "2",
        "--folder",
        str(tmp_path),
    ]
    for rule in ("RTU", "memoryless", "GRU, TBPTT(20)"):
        arguments += ["--rule", rule]
    for task in tasks:
        arguments += ["--task", task]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert all(f"\n{task}: " in done.output for task in tasks)
    results = [store.read(path) or {} for path in (tmp_path / "costs").glob("*.json")]
    assert len(results) == 3 * 2 + 2
    assert all(result["operations"] <= result["budget"] for result in results if result["units"])
    assert all(np.isfinite(result["scores"]).all() for result in results)
    again = CliRunner().invoke(main, arguments)
    assert "0 of 8 runs to do" in again.output
    assert again.output.split("\n", 1)[1] == done.output.split("\n", 1)[1]
    picture.draw(tmp_path / "costs.svg", costs.rows(results), {task: TASKS[task] for task in tasks})
    assert (tmp_path / "costs.svg").read_text().count("MemoryChain 32") == 1


def test_a_reduced_recall_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["popgym", "--steps", "2000", "--seeds", "1", "--task", "RepeatFirst", "--learner", "rtrl"]
    done = CliRunner().invoke(main, [*arguments, "--folder", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "| RepeatFirst | rtrl | 2,000 | 1 |" in done.output
    place = tmp_path / "popgym"
    path = place / "RepeatFirst-rtrl-0-2000.json"
    with store.held(path):
        second = CliRunner().invoke(main, [*arguments, "--folder", str(tmp_path)])
    assert second.exit_code == 1 and f"{path}: another process" in second.output
    longer = dict(store.read(path) or {}, done=1000)
    store.write(path, longer)
    next(place.glob("*.rtu")).unlink()
    lost = CliRunner().invoke(main, [*arguments, "--folder", str(tmp_path)])
    assert lost.exit_code == 1 and f"remove {path} to begin again" in lost.output
    monkeypatch.setitem(popgym.CONFIGURATION, "units", 65)
    other = CliRunner().invoke(main, [*arguments, "--folder", str(tmp_path)])
    assert other.exit_code == 1 and str(path) in other.output and "'units': 65" in other.output
    monkeypatch.setattr("benchmarks.evidence.__main__.RESULTS", tmp_path)
    table = CliRunner().invoke(main, ["popgym", "--write", "--folder", str(tmp_path)])
    assert table.exit_code == 1 and f"{path}: left out" in table.output and "no run of these" in table.output


@pytest.mark.parametrize("study", ["popgym", "peers", "costs"])
@pytest.mark.parametrize("contents", ['{"task": "Repeat', "[]", '{"done": 9}'])
def test_a_file_that_is_no_result_is_named_and_left(study: str, contents: str, tmp_path: Path) -> None:
    name = {
        "popgym": "RepeatFirst-rtrl-0-2000.json",
        "peers": "rtu_edge-CartPole-v1-0-2000.json",
        "costs": "MemoryChain_32-RTU-1000-2000-0.json",
    }[study]
    path = tmp_path / study / name
    path.parent.mkdir()
    path.write_text(contents)
    for more in ([], ["--write"]):
        arguments = [study, "--steps", "2000", "--seeds", "1", "--folder", str(tmp_path), *more]
        arguments += {"peers": ["--peer", "rtu_edge"], "popgym": ["--task", "RepeatFirst"], "costs": []}[study]
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 1 and str(path) in done.output and "--folder" in done.output, done.output
    assert path.read_text() == contents


@pytest.mark.parametrize(("arguments", "missing", "command"), [
    (("mujoco", "--jobs", "2"), "mujoco", 'pip install "rtu_edge[mujoco]"'),
    (("popgym", "--games"), "popgym", "pip install popgym"),
    (("speed", "--no-hopper"), "jax", 'pip install "rtu_edge[bench]"'),
    (("speed", "--compare"), "jax", 'pip install "rtu_edge[bench]"'),
    (("speed", "--no-jax"), "mujoco", 'pip install "rtu_edge[mujoco]"'),
])  # fmt: skip
def test_a_missing_package_is_one_sentence_before_the_work(
    arguments: tuple[str, ...], missing: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    done = CliRunner().invoke(main, list(arguments))
    assert done.exit_code == 1 and f"needs {missing}, which is not installed: {command}" in done.output, done.output


def _end(path: str) -> str:
    if not path:
        os._exit(9)
    Path(path).touch()
    return path


def test_a_process_that_is_killed_does_not_hang_the_study(tmp_path: Path) -> None:
    with pytest.raises(click.ClickException, match="a process was killed"):
        list(store.run_all(["", str(tmp_path / "a")], _end, 2))


def test_the_readme_has_the_error_of_the_results() -> None:
    rows = json.loads((RESULTS / "costs.json").read_text())["rows"]
    worst = max(
        float(np.median(row["scores"]))
        for row in rows
        if row["rule"] == "RTU" and row["budget"] == 1000 and row["task"].startswith("trace conditioning")
    )
    assert f" {worst:.2f} times that of the best" in " ".join((ROOT / "README.md").read_text().split())


@pytest.mark.parametrize("study", ["costs", "popgym", "popgym_games", "peers", "speed"])
def test_results_that_are_kept_name_host_and_versions_and_are_shown(study: str, tmp_path: Path) -> None:
    kept = json.loads((RESULTS / f"{study}.json").read_text())
    assert kept["sizes" if study == "speed" else "rows"] and kept["versions"]["numpy"] and kept["host"]["processor"]
    done = CliRunner().invoke(main, ["show", study])
    assert done.exit_code == 0, done.output
    pages = "".join((ROOT / f"docs/evidence_{page}.md").read_text() for page in ("costs", "peers"))
    assert [line for line in done.output.splitlines() if line and line not in pages] == []


@pytest.mark.parametrize("arguments", [
    ("costs", "--task", "chain"), ("costs", "--rule", "rtu"), ("costs", "--budget", "0"), ("mujoco", "--cell", "Foo"),
    ("mujoco", "--learner", "gru"), ("popgym", "--task", "Foo"), ("popgym", "--learner", "gru"),
    ("show", "popgym", "--chart", "a.svg"), ("show", "costs", "--chart", "a.gif"),
])  # fmt: skip
def test_a_wrong_argument_is_named(arguments: tuple[str, ...]) -> None:
    done = CliRunner().invoke(main, list(arguments))
    assert done.exit_code == 2 and arguments[-2] in done.output and arguments[-1] in done.output, done.output


@pytest.mark.parametrize("study", ["costs", "mujoco", "popgym"])
def test_results_that_are_kept_stay_where_no_run_has_ended(
    study: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.evidence.__main__.RESULTS", tmp_path)
    done = CliRunner().invoke(main, [study, "--write", "--folder", str(tmp_path)])
    assert done.exit_code == 1 and "no run" in done.output
    assert not list(tmp_path.iterdir())


def test_the_table_has_the_budgets_of_its_runs() -> None:
    row = {"task": "MemoryChain 32", "rule": "RTU", "budget": 5000, "units": 9, "nbytes": 64, "scores": [0.5]}
    assert "| rule | 5,000 | bytes |\n|---|---|---|\n| RTU | 0.50 (9, 1) | 64 |" in costs.text([row])
