"""Learning curves as CSV and for TensorBoard."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rtu_edge as rtu
from rtu_edge.learn import StepRecord


def records() -> list[StepRecord]:
    """An episode of 3 steps, and 5 steps of one that has not ended."""
    rows = [StepRecord(1, 1, 1.0, 1.0, 1, td_error=-2.0, sigma=0.5, entropy=1.0, clipped=0.0)]
    rows.append(StepRecord(2, 1, 1.0, 2.0, 2, td_error=4.0, sigma=1.5, entropy=2.0, clipped=1.0))
    rows.append(StepRecord(3, 1, -4.0, -2.0, 3, terminated=True))
    return rows + [StepRecord(3 + k, 2, 0.25, 0.25 * k, k, td_error=0.0, clipped=0.5) for k in range(1, 6)]


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_is_an_episode_or_so_many_steps(tmp_path: Path) -> None:
    with rtu.CSVWriter(tmp_path / "curve.csv", every=4) as writer:
        for number, record in enumerate(records()):
            assert writer(record) is None
            assert len(rows_of(tmp_path / "curve.csv")) == (number >= 2) + (number >= 6), "rows are written at once"
    writer.close()
    first, second = rows_of(tmp_path / "curve.csv")
    assert first == {
        "step": "3", "episode": "1", "return": "-2.0", "length": "3", "reward": str(-2.0 / 3), "td_error": "3.0",
        "sigma": "1.0", "entropy": "1.5", "clipped": "0.5",
    }  # fmt: skip
    assert second == {
        "step": "7", "episode": "2", "return": "", "length": "", "reward": "0.25", "td_error": "0.0",
        "sigma": "", "entropy": "", "clipped": "0.5",
    }  # fmt: skip
    with pytest.raises(ValueError, match="closed"):
        for record in records():
            writer(record)


def test_learn_writes_the_returns_that_it_gives_back(tmp_path: Path) -> None:
    plant = rtu.Plant("cartpole")
    agent = rtu.StreamAC.from_env(plant, seed=1)
    with rtu.CSVWriter(tmp_path / "curve.csv") as curve, rtu.TensorBoardWriter(tmp_path / "board") as board:
        result = agent.learn(plant, 700, progress=False, callback=[curve, board], seed=2)
    rows = rows_of(tmp_path / "curve.csv")
    assert [float(row["return"]) for row in rows] == list(result.returns)
    assert [int(row["length"]) for row in rows] == list(result.lengths)
    assert [int(row["step"]) for row in rows] == np.cumsum(result.lengths).tolist()
    tags = events_of(tmp_path / "board")
    assert tags["episode/return"] == list(zip(np.cumsum(result.lengths), result.returns, strict=True))
    for name in ("step/reward", "learner/td_error", "learner/sigma", "learner/entropy", "learner/clipped"):
        column = name.rpartition("/")[2]
        assert [value for _, value in tags[name]] == pytest.approx([float(row[column]) for row in rows], rel=1e-6)


def events_of(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Scalars of an event file: a length, its checksum, an Event, its checksum."""
    from tensorboardX.proto.event_pb2 import Event

    [path] = folder.glob("events.out.tfevents.*")
    data, tags = path.read_bytes(), {}
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 8], "little")
        event = Event.FromString(data[at + 12 : at + 12 + size])
        at += size + 16
        for value in event.summary.value:
            tags.setdefault(value.tag, []).append((event.step, value.simple_value))
    return tags


def test_a_closed_tensorboard_writer_refuses(tmp_path: Path) -> None:
    writer = rtu.TensorBoardWriter(tmp_path, every=1)
    writer.close()
    writer.close()
    with pytest.raises(ValueError, match="closed"):
        writer(records()[0])


def test_without_tensorboardx_the_command_is_named(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    command = r'pip install "rtu_edge\[tensorboard\]"'
    with pytest.raises(
        ImportError, match=rf"^TensorBoardWriter needs tensorboardX, which is not installed: {command}$"
    ):
        rtu.TensorBoardWriter(tmp_path)


def test_arguments_are_checked(tmp_path: Path) -> None:
    for every in (0, 1.5, True):
        with pytest.raises(rtu.ConfigError, match=r"^every = "):
            rtu.CSVWriter(tmp_path / "curve.csv", every=every)
    assert not (tmp_path / "curve.csv").exists()
    with pytest.raises(OSError, match="missing"):
        rtu.CSVWriter(tmp_path / "missing" / "curve.csv")
