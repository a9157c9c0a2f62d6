"""Promotion: the statistics on series with known results, and the command on the folder of a real run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtu_edge.cli import _run
from rtu_edge.config import Mode, load_config
from rtu_edge.record import RunFolder
from rtu_edge.record.reader import Batch
from rtu_edge.run.promotion import evidence, shortcomings

FIELDS = [
    ("mode", "u4"),
    ("flags", "u4"),
    ("command_limiter", "u4"),
    ("sensor_monitor", "u4"),
    ("learner_monitor", "u4"),
    ("reward", "f4"),
]
AB, FALLBACK, BY_MODE, BY_MONITOR = 3, 1 << 4, 1 << 8, 4 << 8


def series(better: float, blocks: int = 20, length: int = 500, seed: int = 0) -> Any:
    """Alternating blocks of learner and fallback; rewards with mean 1 and deviation 1, the learner's higher by
    `better`.
    """
    records = np.zeros(blocks * 2 * length, FIELDS)
    fallback = np.arange(len(records)) // length % 2 == 1
    records["mode"] = np.where(fallback, AB | FALLBACK | BY_MODE, AB)
    # The reward of an action is in the next record.
    earned = np.random.default_rng(seed).normal(1.0, 1.0, len(records)) + np.where(fallback, 0.0, better)
    records["reward"][1:] = earned[:-1]
    records["flags"] = 16
    return records


def pieces(records: Any, cuts: Any = (1, 700, 701, 3000)) -> list[Batch]:
    """As a log gives them: in batches that end anywhere."""
    return [Batch(part, records[:0]) for part in np.split(records, cuts)]


@pytest.mark.parametrize(("better", "enough"), [(0.5, True), (0.0, True), (-0.5, False)])
def test_a_difference_is_found_and_judged(better: float, enough: bool) -> None:
    found = evidence(pieces(series(better)))
    assert found.mode is Mode.AB and len(found.learner) == len(found.fallback) == 20
    assert found.interval is not None
    # Means of 10 000 rewards each: the standard error of the difference is about 0.014, the interval about four times
    # as wide.
    assert found.interval[0] < better + 0.03 and found.interval[1] > better - 0.03
    assert 0.03 < found.interval[1] - found.interval[0] < 0.1
    assert (shortcomings(found, Mode.LEARN) == []) is enough


def test_where_episodes_terminate_returns_are_compared() -> None:
    """The reward is 1 per step, regardless of falls: the learner's episodes are half as long."""
    lengths = np.where(np.arange(40) % 2 == 0, 50, 100)
    records = np.zeros(lengths.sum(), FIELDS)
    ends = np.cumsum(lengths)
    for k, (begin, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        records["mode"][begin:end] = AB if k % 2 == 0 else AB | FALLBACK | BY_MODE
        records["flags"][begin] = 1
        records["flags"][end - 1] = 2
        records["reward"][begin + 1 : end] = 1
    found = evidence(pieces(records))
    assert found.unit == "episode"
    assert found.learner.tolist() == [49.0] * 20 and found.fallback.tolist() == [99.0] * 20
    assert found.interval == (-50.0, -50.0)
    assert any(
        "reward per episode against the fallback's may be as low as -50" in t for t in shortcomings(found, Mode.LEARN)
    )


def blocks_in_one_piece(records: Any, drove: Any, length: int) -> list[float]:
    """Mean reward per step of each block with `drove` throughout, by definition."""
    edges = np.flatnonzero(np.diff(drove.astype(np.int8), prepend=0, append=0))
    means = []
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        for at in range(begin, end, length):
            after = records[at + 1 : min(at + length, end) + 1]
            rewards = after["reward"][(after["flags"] & 1) == 0]
            if len(rewards) >= length // 2:
                means.append(float(np.mean(rewards, dtype=np.float64)))
    return means


def returns_in_one_piece(records: Any, drove: Any) -> list[float]:
    """Return of each complete episode with `drove` throughout, by definition."""
    first = np.flatnonzero(records["flags"] & 1)
    returns = []
    for begin, end in zip(first, [*first[1:], len(records)], strict=True):
        if records["flags"][end - 1] & 6 and drove[begin:end].all():
            returns.append(float(records["reward"][begin + 1 : end].sum(dtype=np.float64)))
    return returns


def test_batches_give_what_all_records_in_one_piece_do() -> None:
    rng = np.random.default_rng(0)
    for _ in range(150):
        size, length = int(rng.integers(2, 300)), int(rng.choice([2, 5, 20, 50]))
        records = np.zeros(size, FIELDS)
        fallback = np.cumsum(rng.random(size) < rng.choice([0.02, 0.2, 0.5])) % 2 == 1
        forced = rng.random(size) < 0.2 * (rng.random() < 0.3)
        records["mode"] = np.where(fallback, AB | FALLBACK | BY_MODE, AB)
        records["mode"][forced] = AB | FALLBACK | BY_MONITOR
        first = rng.random(size) < 0.05
        first[rng.integers(2)] = True
        ends = np.append(first[1:], True) & (rng.random(size) < 0.9)
        records["flags"] = first + ends * (2 if rng.random() < 0.5 else 4)
        records["reward"] = rng.normal(size=size)
        found = evidence(pieces(records, np.sort(rng.integers(0, size, 5))), length)
        own = fallback & ~forced
        for side, drove in ((found.learner, ~own), (found.fallback, own)):
            whole = found.unit == "episode"
            expected = returns_in_one_piece(records, drove) if whole else blocks_in_one_piece(records, drove, length)
            assert side == pytest.approx(expected, abs=1e-9)


def test_what_is_missing_is_said() -> None:
    short = evidence(pieces(series(0.5, blocks=3)))
    assert any("3 blocks driven by the learner" in text for text in shortcomings(short, Mode.LEARN))
    assert any("learned from 3000 steps" in text for text in shortcomings(short, Mode.AB))
    assert shortcomings(short, Mode.SHADOW) == []
    records = series(0.5)
    records["mode"][100:900] = AB | FALLBACK | BY_MONITOR
    records["learner_monitor"][100:110] = 1 | 1 << 16
    forced = evidence(pieces(records))
    texts = shortcomings(forced, Mode.LEARN)
    assert forced.forced == 800 / len(records) and forced.rollbacks == 10
    assert any("forced to drive 4.0%" in text for text in texts) and any("10 times" in text for text in texts)
    with pytest.raises(ValueError, match="no step records"):
        evidence([])


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    text = "[device]\nplant = 'cartpole'\n[loop]\nclock = 'lockstep'\n[supervisor]\nmode = 'ab'\n[run]\nsteps = 600\n"
    Path("ab.toml").write_text(text)
    assert _run(["run", "ab.toml"]) == 0
    assert "mode ab; fallback: rests" in capfd.readouterr().out
    assert _run(["promote", "runs/ab"]) == 1
    said = capfd.readouterr()
    assert (
        "blocks driven by the fallback; at least 10 (run with mode = ab and ab.unit = episodes)" in said.out
        and "does not suffice for mode learn" in said.err
    )
    assert _run(["promote", "runs/ab", "--apply"]) == 1
    assert not Path("ab-learn.toml").exists()
    assert _run(["promote", "runs/ab", "--apply", "--reason", "a test of\nthe command"]) == 0
    assert load_config("ab-learn.toml").supervisor.mode is Mode.LEARN
    assert "forced: a test of the command" in Path("ab-learn.toml").read_text().splitlines()[0]
    assert RunFolder("runs/ab").events()[-1]["forced"] == "a test of the command"
    assert _run(["promote", "runs/ab", "--apply", "--reason", "again"]) == 2
    assert _run(["promote", "runs/ab", "--to", "residual", "--apply", "--reason", "x"]) == 2
    assert "supervisor.residual: missing" in capfd.readouterr().err and not Path("ab-residual.toml").exists()
    assert _run(["promote", "runs/ab", "--to", "shadow", "--apply", "--out", "back.toml"]) == 0
    assert load_config("back.toml").supervisor.mode is Mode.SHADOW
