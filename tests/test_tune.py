"""`rtu-edge tune`: resumed, fails trials of dead processes, refuses what cannot be searched before any work."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import optuna
import pytest

from rtu_edge._base.errors import ConfigError
from rtu_edge.study import registry, tune

SEARCH = [tune.parse_range("learner.units=2:6"), tune.parse_range("learner.body=shared,separate")]


def found(folder: Path, trials: int, **arguments: Any) -> list[tune.Trial]:
    settings = {"seeds": 2, "steps": 1000, "workers": 1, "shown": False, **arguments}
    return tune.tune(registry.find("cartpole"), folder, SEARCH, trials, **settings)


def test_a_search_continues_and_repeats_no_run(tmp_path: Path) -> None:
    first = found(tmp_path, 2)
    runs = (tmp_path / "tasks.jsonl").read_bytes()
    assert len(first) == 2 and found(tmp_path, 2) == first
    assert (tmp_path / "tasks.jsonl").read_bytes() == runs
    more = found(tmp_path, 4)
    assert len(more) == 4 and {trial.number for trial in more} == {0, 1, 2, 3}
    assert [trial.value for trial in more] == sorted((trial.value for trial in more), reverse=True)
    assert all(2 <= trial.settings["learner.units"] <= 6 for trial in more)
    tune.draw(registry.find("cartpole"), more, tmp_path / "tune.png")
    assert (tmp_path / "tune.png").read_bytes().startswith(b"\x89PNG")


def test_a_trial_of_a_process_that_has_ended_fails_and_a_running_one_continues(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'search.db'}"
    search = optuna.create_study(storage=storage, study_name="rtu_edge cartpole", direction="maximize")
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    me = tune._me()
    for owner in (me | {"pid": ended.pid}, me | {"start": 1}, me, me | {"host": "another"}):
        search.ask().set_user_attr("process", owner)
    assert len(found(tmp_path, 1, storage=storage)) == 1
    states = [trial.state.name for trial in search.get_trials()]
    assert states == ["FAIL", "FAIL", "RUNNING", "RUNNING", "COMPLETE"]
    assert me["pid"] == os.getpid() and me["start"] > 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("learner.units", "expected KEY=LOW:HIGH"),
        ("learner.units=8:4", "expected KEY=LOW:HIGH"),
        ("learner.units=nan:4", "expected KEY=LOW:HIGH"),
        ("learner.entropy=0:1:log", "a logarithmic range begins above 0"),
        ("learner.body=shared", "expected KEY=LOW:HIGH"),
    ],
)
def test_a_bad_range_is_refused(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        tune.parse_range(text)


@pytest.mark.parametrize("text", ["learner.unit=2:6", "learner.gamma=0.5:2.0", "learner.body=shared,double"])
def test_values_that_the_learner_refuses_are_refused_before_any_work(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"learner\."):
        tune.tune(registry.find("cartpole"), tmp_path / "new", [tune.parse_range(text)], 3)
    assert not (tmp_path / "new").exists()


def test_whole_numbers_where_the_setting_is_whole() -> None:
    assert tune.parse_range("learner.units=16:64").integer
    assert not tune.parse_range("learner.actor.kappa=1:10:log").integer


def test_a_setting_has_one_range(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"learner\.units: more than one range"):
        tune.tune(registry.find("cartpole"), tmp_path, [SEARCH[0], SEARCH[0]], 1)


@pytest.mark.parametrize("storage", ["/nonexistent/tune.db", "nosuchdatabase://host/name", "://"])
def test_a_storage_that_cannot_be_opened_is_one_sentence(storage: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^--storage .*: cannot be opened: [^\n]+$"):
        found(tmp_path, 1, storage=storage)


def test_trials_of_other_runs_are_not_compared(tmp_path: Path) -> None:
    found(tmp_path, 1)
    for changed, words in (
        ({"steps": 2000}, "had --steps 1000;"),
        ({"seeds": 1}, "had --seeds 2;"),
        ({"fixed": ["learner.gamma=0.9"]}, "had no --set;"),
    ):
        with pytest.raises(ConfigError, match=words):
            found(tmp_path, 2, **changed)
    assert len(found(tmp_path, 2)) == 2
