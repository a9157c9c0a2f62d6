"""`rtu-edge study`: the same bytes for any number of workers, resumed after kill -9, one sentence without the extra."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import rtu_edge.cli
from rtu_edge._base.errors import ConfigError, DeviceError
from rtu_edge.study import picture, registry, scales, scores, summary, tasks
from rtu_edge.study.cluster import Cluster
from rtu_edge.study.pool import LocalPool, TaskFailed
from rtu_edge.study.run import StudyResult, run_study
from rtu_edge.study.settings import learner_settings
from rtu_edge.study.store import Store
from rtu_edge.study.tasks import Task, run_task

SMALL = {"units": 4, "hidden": [4]}
FILES = ("results.parquet", "curves.parquet", "study.png")


def small(seeds: int = 3, steps: int = 2000) -> list[Task]:
    return registry.find("cartpole").tasks(seeds, steps, SMALL)


def finished(folder: Path, **arguments: Any) -> dict[str, bytes]:
    found = run_study(registry.find("cartpole"), folder, seeds=4, steps=3000, settings=SMALL, shown=False, **arguments)
    summary.save_parquet(found, folder)
    picture.draw(found, folder / "study.png")
    return {name: (folder / name).read_bytes() for name in FILES}


def test_one_worker_two_workers_and_a_dask_cluster_give_the_same_bytes(tmp_path: Path) -> None:
    from distributed import LocalCluster

    one, two = (finished(tmp_path / str(n), workers=n) for n in (1, 2))
    assert one == two
    with LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None, processes=False) as cluster:
        assert finished(tmp_path / "dask", scheduler=cluster.scheduler_address) == one


def test_a_worker_that_is_killed_costs_its_task_only() -> None:
    given = small(3, 150_000)
    expected = [run_task(task) for task in given]
    killed: list[int] = []

    def kill(number: int, steps: int, reward: float) -> None:
        if number == 1 and not killed:
            killed.append(pool.task_pids[1])
            os.kill(killed[0], signal.SIGKILL)

    with LocalPool(2) as pool:
        found = dict(pool.run(given, kill))
        assert killed
    assert [found[number] for number in range(3)] == expected


def test_a_task_that_ends_each_worker_ends_the_study(monkeypatch: pytest.MonkeyPatch) -> None:
    def kill(number: int, steps: int, reward: float) -> None:
        os.kill(pool.task_pids[0], signal.SIGKILL)

    with (
        LocalPool(1) as pool,
        pytest.raises(TaskFailed, match=r"cartpole, seed 0: its worker ended 3 times, .*SIGKILL"),
    ):
        list(pool.run(small(1, 1_000_000), kill))


def test_a_study_continues_after_kill_9(tmp_path: Path) -> None:
    options = ["cartpole", "--seeds", "5", "--steps", "150000", "--workers", "1", "-o", str(tmp_path)]
    command = [sys.executable, "-m", "rtu_edge.cli", "study", *options, "--set", "learner.units=4"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        while not (tmp_path / "tasks.jsonl").is_file() or (tmp_path / "tasks.jsonl").read_bytes().count(b"\n") < 2:
            assert child.poll() is None
            time.sleep(0.01)
        child.kill()
    log = tmp_path / "tasks.jsonl"
    done = log.read_bytes().count(b"\n")
    with open(log, "ab") as file:
        file.write(b'{"key":"cut sho')  # as a kill in the middle of a write leaves it
    again = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=60)
    assert again.returncode == 0, again.stderr
    assert f"{done} of 5 runs were done before" in again.stderr
    assert json.loads(again.stdout)["runs"] == 5
    keys = [json.loads(line)["key"] for line in log.read_bytes().splitlines() if not line.startswith(b'{"key":"cut')]
    assert len(keys) == len(set(keys)) == 5


def test_a_folder_has_one_study_at_a_time_and_keeps_other_settings_apart(tmp_path: Path) -> None:
    run = registry.find("cartpole")
    first = run_study(run, tmp_path, seeds=2, steps=1000, workers=1, shown=False)
    more = run_study(run, tmp_path, seeds=3, steps=1000, workers=1, shown=False)
    other = run_study(run, tmp_path, seeds=2, steps=1000, settings=SMALL, workers=1, shown=False)
    assert (first.done, more.done, other.done) == (2, 1, 2)
    assert more.rows[:2] == first.rows != other.rows
    with Store(tmp_path), pytest.raises(ConfigError, match="another study is running there"):
        Store(tmp_path)


@pytest.mark.parametrize("change", [(b'"return":', b'"return":[],"x":'), (b'"scale":', b'"scales":'), (b"{", b"[")])
def test_a_changed_line_is_no_result(change: tuple[bytes, bytes], tmp_path: Path) -> None:
    run, path = registry.find("cartpole"), tmp_path / "tasks.jsonl"
    first = run_study(run, tmp_path, seeds=1, steps=1000, workers=1, shown=False)
    path.write_bytes(path.read_bytes().replace(*change))
    again = run_study(run, tmp_path, seeds=1, steps=1000, workers=1, shown=False)
    assert again.done == 1 and again.rows == first.rows


@pytest.mark.parametrize("address", ["foo", "tcp://host", "host:port"])
def test_an_address_without_a_port_is_refused_at_once(address: str) -> None:
    begin = time.monotonic()
    with pytest.raises(DeviceError, match=f"^--scheduler {address}: no answer"):
        Cluster(address)
    assert time.monotonic() - begin < 9.0  # a client without an address waits for 10 s, and for 20 s when it is closed


def test_a_task_gives_what_learn_gives(tmp_path: Path) -> None:
    import rtu_edge as rtu

    plant = rtu.Plant("cartpole")
    agent = rtu.StreamAC.from_env(plant, seed=7)
    learned = agent.learn(plant, 3000, progress=False, seed=11)
    result = run_task(Task("cartpole", agent_seed=7, episode_seed=11, steps=3000, tail=1.0))
    assert result["hash"] == agent.state_hash()
    assert result["return"] == pytest.approx(sum(learned.returns) / learned.episodes)
    assert result["episodes"] == learned.episodes and result["reward"] == 1.0
    assert sum(row[-1] for row in result["curves"]) == learned.episodes


def row(**changed: Any) -> dict[str, Any]:
    scale = {"random": 20.0, "random_error": 1.0, "reference": 120.0, "per_step": False}
    result = {"return": 70.0, "return_error": 0.5, "reward": 1.0, "reward_error": 0.1, "steps": 10, "episodes": 3}
    result |= {"problem": "", "clipped": 0.95, "scale": scale, "hash": "", **changed}
    return scores.row_of(Task("cartpole"), result)


def test_scores_and_verdicts() -> None:
    assert row()["score"] == 0.5
    assert not (row()["locked"] or row()["below_random"] or row()["learned"])
    assert row(**{"return": 90.0})["learned"]
    assert row(**{"return": 29.0})["locked"] and not row(**{"return": 29.0, "clipped": 0.9})["locked"]
    assert not row(**{"return": 17.0})["below_random"] and row(**{"return": 16.0})["below_random"]
    diverged = row(problem="diverged")
    assert diverged["score"] == 0.0 and diverged["below_random"]
    per_step = {"random": 0.5, "random_error": 0.0, "reference": 1.5, "per_step": True}
    assert row(scale=per_step)["score"] == 0.5
    assert row(scale=None)["score"] is None and row(scale=None)["locked"] is None


def test_the_mean_score_and_the_lowest_return_are_told() -> None:
    rows = [row(**{"return": value}) for value in (70.0, 50.0, -500.0)] + [row(scale=None)]
    found = summary.summarise(rows)
    assert found["lowest_return"] == -500.0
    assert found["mean_score"] == summary.mean_score(rows) == pytest.approx((0.5 + 0.3 - 1.0 + 0.0) / 4)
    several = [one | {"plant": plant} for one, plant in zip(rows, ("cart", "crane", "tank", "tank"), strict=True)]
    assert "lowest return: -500\n" in summary.facts(made_of(rows)) and "mean score" not in summary.facts(made_of(rows))
    told = summary.facts(made_of(several))
    assert "mean score over all runs, each clipped to [-1, 1]: -0.050\n" in told and "lowest" not in told


def made_of(rows: list[dict[str, Any]]) -> StudyResult:
    return StudyResult(registry.find("families"), [], [], rows, 0, 1.0)


def test_variants_are_compared(tmp_path: Path) -> None:
    from rich.console import Console

    study = registry.Study("limits", "two kinds", 1000, 1, lambda *given: [
        task for task in registry.find("limits").tasks(1, 1000, SMALL) if task.plant in ("cart", "reacher")
    ])  # fmt: skip
    found = run_study(study, tmp_path, workers=1, shown=False)
    groups = summary.groups(found.rows)
    assert {name: len(rows) for name, rows in groups.items()} == {
        "unlimited": 2, "unlimited, last command": 2, "limited, told": 2, "limited, not told": 2,
        "not told, last command": 2,
    }  # fmt: skip
    assert len({row["hash"] for row in found.rows}) == 10
    assert all(row["score"] is not None for row in found.rows)
    console = Console(width=80, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(summary.table(found.rows))
    console.print(summary.paired_table(found.rows))
    text = console.export_text()
    assert text.startswith("variant") and max(map(len, text.splitlines())) <= 80
    assert summary.paired_table(found.rows).row_count == 10  # pairs of five variants
    picture.draw(found, tmp_path / "study.svg")
    assert (tmp_path / "study.svg").read_text().startswith("<?xml")


def test_a_learner_recovers_from_a_change_that_a_frozen_policy_does_not_survive() -> None:
    parameters = {"reward_scale": 1.0, "noise": 0.001, "delay": 0.0}
    there, back = {"bias": 0.2}, {"bias": 0.0}
    task = Task("cartpole", True, 1, parameters, steps=90_000, changes=((40_000, there), (65_000, back)))
    result = run_task(task)
    phases, row = result["phases"], scores.row_of(task, result)
    assert len(phases) == 3 and phases[0]["recovery"] is None
    assert phases[0]["score"] > 0.6 > result["frozen"]
    assert row["before"] == phases[0]["score"] and row["recovery_2"] == phases[2]["recovery"]
    assert row["recovery_9"] is None
    assert phases[1]["score"] > result["frozen"]
    assert summary.change_table([row | {"variant": "drift"}]).row_count == 1
    assert run_task(task) == result


def test_differences_are_those_of_pairs() -> None:
    """The same machine and seeds: a difference that is small against that between machines is found."""
    rows = [
        row() | {"plant": "cart", "machine_seed": seed, "agent_seed": 0, "variant": variant, "score": seed / 20 + gain}
        for variant, gain in (("a", 0.0), ("b", 0.02))
        for seed in range(18)
    ]
    (found,) = summary.pairs(rows)
    assert (found["variant"], found["less"], found["pairs"], found["better"]) == ("b", "a", 18, 1.0)
    assert found["difference"] == pytest.approx(0.02) and found["low"] == pytest.approx(found["high"]) == 0.02
    rows[0]["score"] = None
    assert summary.pairs(rows)[0]["pairs"] == 17


def test_a_flipped_reward_has_its_own_reference() -> None:
    scale = scales.scale_of("cart", True, 0, {"reward_scale": 1.0})
    turned = scales.scale_of("cart", True, 0, {"reward_scale": -1.0})
    assert scale is not None and turned is not None
    assert turned.random == pytest.approx(-scale.random) and turned.reference > turned.random > -scale.reference
    flips = {task.plant for task in registry.find("change").tasks(1) if task.variant.startswith("reward flips")}
    assert "cart" in flips and "cartpole" not in flips  # of which the other sign asks for an early end only


def test_changes_come_once_at_half_time_and_ten_times() -> None:
    found = registry.find("change").tasks(1)
    variants = {task.variant for task in found}
    assert variants == {
        f"{change}, {when}"
        for change in ("friction doubles", "sensor drifts", "reward flips")
        for when in ("once", "ten")
    }
    for task in found:
        starts = [step for step, _ in task.changes]
        once = task.variant.endswith("once")
        assert len(starts) == (1 if once else 10) and (not once or 2 * starts[0] == task.steps)
        assert task.steps == (120_000 if once else 360_000) and starts[0] == 60_000
        assert [changed for _, changed in task.changes[::2]] == [task.changes[0][1]] * (1 if once else 5)


def test_findings_are_counted_by_verdict() -> None:
    rows = [row(), row(**{"return": 90.0}), row(**{"return": 29.0}) | {"findings": "saturated 5000, td_error 7000"}]
    rows = [each | {"variant": ""} for each in rows]
    found = summary.verdicts(rows)
    assert found["all"]["runs"] == 3 and found["all"]["any_finding"] == 1
    assert found["locked"] == {
        "runs": 1, "any_finding": 1, "saturated": 1, "exploration_lost": 0, "exploration_large": 0, "td_error": 1,
        "not_finite": 0,
    }  # fmt: skip
    assert found["learned"]["any_finding"] == 0 and summary.verdict_table(rows).row_count == 4


def test_the_hunt_draws_by_seed_and_stays_in_range() -> None:
    drawn = registry.find("collapse").tasks(40)
    assert drawn == registry.find("collapse").tasks(50)[:40]
    assert len({task.plant for task in drawn}) > 8
    for task in drawn:
        tasks.environment_of(task)  # accepts the parameters


def test_the_table_fits_80_columns() -> None:
    from rich.console import Console

    rows = [row() | {"plant": f"a kind with a name {i}"} for i in range(3)]
    console = Console(width=80, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(summary.table(rows))
    text = console.export_text()
    assert "below random" in text and max(map(len, text.splitlines())) <= 80


def test_settings_are_those_of_the_learner() -> None:
    assert learner_settings(["learner.hidden=[8, 4]"]) == {"hidden": [8, 4]}
    for text, words in (
        ("loop.clock=host", r"a study has keys of \[learner\] only"),
        ("learner.unit=3", r"learner\..*unit"),
        ("learner.units=0", "units"),
        ("units", "expected a.b=value"),
    ):
        with pytest.raises(ConfigError, match=words):
            learner_settings([text])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing"], "study = 'nothing': expected one of cartpole"),
        (["cartpole", "--workers", "0"], "expected auto, or a number from 1 to 1024"),
        (["cartpole", "--set", "learner.gamma=2"], "gamma"),
        (["cartpole", "--seeds", "1", "--steps", "1", "--scheduler", "tcp://127.0.0.1:1"], "no answer from a Dask"),
    ],
)
def test_wrong_use_is_one_sentence(
    arguments: list[str], words: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtu_edge.study.cluster._CONNECT_S", 0.2)
    with pytest.raises(SystemExit) as leaving:
        rtu_edge.cli.main(["study", *arguments, "-o", str(tmp_path)])
    assert leaving.value.code in (2, 3)
    assert words in capfd.readouterr().err


@pytest.mark.parametrize("module", ["pyarrow", "distributed"])
def test_a_missing_package_is_one_sentence_before_any_work(
    module: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    find = __import__("importlib.util").util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == module else find(name))
    with pytest.raises(SystemExit) as leaving:
        rtu_edge.cli.main(["study", "cartpole", "--scheduler", "tcp://127.0.0.1:1", "-o", str(tmp_path / "new")])
    err = capfd.readouterr().err
    assert leaving.value.code == 2 and not (tmp_path / "new").exists()
    assert err == f'rtu-edge: {module} is not installed: pip install "rtu_edge[study]"\n'
