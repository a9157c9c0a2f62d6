"""benchmarks.evidence, peers and the games of POPGym: environments, programs and scores, with what is installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import rtu_edge as rtu
from benchmarks.evidence import peers, popgym, popgym_games
from benchmarks.evidence.__main__ import main


def result(peer: str, episodes: list[tuple[int, float]], **given: Any) -> dict[str, Any]:
    about = {"task": "CartPole-v1", "peer": peer, "seed": 0, "steps": 100, "versions": {"numpy": "2"}}
    return {**about, "processor_s": 2.0, "wall_s": 3.0, "peak_mb": 50.0, "episodes": episodes, **given}


def test_a_peer_runs_its_program_once(tmp_path: Path) -> None:
    arguments = ["peers", "--peer", "rtu_edge", "--task", "CartPole-v1", "--steps", "1000", "--seeds", "1"]
    done = CliRunner().invoke(main, [*arguments, "--folder", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "| CartPole-v1 | 1,000 | rtu_edge | 1 |" in done.output
    (path,) = (tmp_path / "peers").glob("*.json")
    kept = json.loads(path.read_text())
    assert 0 < sum(length for length, _ in kept["episodes"]) <= 1000 and kept["versions"]["numpy"]
    path.write_text(json.dumps(kept | {"episodes": [[1000, 77.0]]}))
    assert "| 77 |" in CliRunner().invoke(main, [*arguments, "--folder", str(tmp_path)]).output


def test_the_score_is_that_of_the_late_episodes() -> None:
    assert peers.score(result("rtu_edge", [(85, 1.0), (6, 2.0), (5, 4.0)])) == 3.0
    assert np.isnan(peers.score(result("rtu_edge", [(85, 1.0)])))


def test_the_table_names_versions_speed_and_memory() -> None:
    found = [
        result("sb3_contrib", [(95, 9.0)]),
        result("rtu_edge", [(95, 8.0)]),
        result("rtu_edge", [(95, 6.0)], seed=1),
    ]
    lines = peers.text(peers.rows(found)).splitlines()
    assert lines[2].startswith("| CartPole-v1 | 100 | rtu_edge | 2 | 7 | 8, 6 | 50 | 50 | ")
    assert lines[3].startswith("| CartPole-v1 | 100 | sb3_contrib | 1 | 9 |") and "- sb3_contrib: numpy 2" in lines


def test_each_peer_has_a_program_that_is_counted() -> None:
    assert all(5 < peers.lines_of_code(peer) < 60 for peer in peers.PEERS)


def test_an_environment_is_made_once_per_list_of_requirements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    def create(place: Path, **_: Any) -> None:
        place.mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(peers.venv, "create", create)

    def run(command: Any) -> Any:
        made.append(command)
        return peers.subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(peers.subprocess, "run", run)
    first = peers.interpreter("memorax", tmp_path)
    assert peers.interpreter("memorax", tmp_path) == first and len(made) == 1
    assert "memorax==1.0.1" in made[0] and str(made[0][0]) == first
    monkeypatch.setitem(peers.PEERS, "memorax", ("memorax==2",))
    peers.interpreter("memorax", tmp_path)
    assert len(made) == 2


@pytest.mark.parametrize("arguments", [
    ("peers", "--task", "Foo"), ("peers", "--peer", "foo"), ("peers", "--python", "foo"),
    ("peers", "--python", "streamlet"), ("popgym", "--task", "Labyrinth"),
])  # fmt: skip
def test_a_wrong_argument_is_named(arguments: tuple[str, ...]) -> None:
    done = CliRunner().invoke(main, list(arguments))
    assert done.exit_code == 2 and arguments[-2] in done.output and arguments[-1] in done.output, done.output


def test_a_peer_without_a_package_needs_an_interpreter(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["peers", "--peer", "streamlet", "--folder", str(tmp_path)])
    assert done.exit_code == 2 and "--python streamlet=PATH" in done.output, done.output


class Board:
    """Stands in for a task of POPGym: an observation of whole numbers, the reward is the action, three steps."""

    def reset(self, seed: int) -> tuple[Any, dict[str, Any]]:
        self.seed, self.t = seed, 0
        return np.array([1, 0]), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        return np.array([0, 1]), float(action), False, np.bool_(self.t == 3), {}


def test_an_episode_of_a_game_is_learned_from_its_own_seed() -> None:
    agent, env = rtu.StreamQ(2, 3, units=2, hidden=2, seed=0), Board()
    assert popgym_games.play(agent, env, 0, 0)[0] == 3
    first = env.seed
    popgym_games.play(agent, env, 0, 1)
    assert env.seed != first


def test_scores_lie_between_the_worst_and_the_best_return() -> None:
    for task, game in popgym.GAMES.items():
        assert popgym.score(task, game.worst) == 0 and popgym.score(task, game.best) == pytest.approx(1)
        assert 0 < game.chance < 1
    assert popgym.score("RepeatFirst", 0.0) == 0.5
    row = {"task": "Battleship", "learner": "rtrl", "steps": 9, "runs": [{"done": 9, "curve": [[9, 1.0, 1]]}]}
    assert "| Battleship | rtrl | 9 | 1 | 1.00 | 1.00 | 0.35 | 0.42 |" in popgym.text([row])
