"""Every saved checkpoint can be loaded: a learner that is not finite never replaces a checkpoint, and resuming skips
invalid ones.
"""

from __future__ import annotations

import json
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import rtu_edge as rtu
import rtu_edge.cli
from rtu_edge import _core
from rtu_edge import run as job
from rtu_edge._base.errors import CheckpointError
from rtu_edge.config import parse_config
from rtu_edge.learn import KINDS, checkpoint, decode
from rtu_edge.learn.checkpoint.slots import Slots
from rtu_edge.run.saving import Position, Saver, device_facts, open_start

LARGEST = float(np.finfo(np.float32).max)
JOB = '[device]\nplant = "cartpole"\n[loop]\nclock = "lockstep"\n[learner]\nunits = 4\nhidden = [4]\n'


def cli(*arguments: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(rtu_edge.cli.cli, [str(argument) for argument in arguments], catch_exceptions=True)
    return done.exit_code, re.sub(r"\s+", " ", f"{done.output} {done.exception or ''}")


def learning(kind: str) -> Any:
    """A learner that has learned a little, without a normaliser."""
    learner: Any
    if kind == "stream_ac":
        learner = rtu.StreamAC(2, 1, units=4, hidden=4, normalize_observation=False)
        learner.reset([0.1, 0.2])
    elif kind == "td_predictor":
        learner = rtu.TDPredictor(2, units=4)
    elif kind == "td_bank":
        learner = rtu.TDBank(2, (0.5, 0.9), units=4, activation="relu", normalize_observation=False)
    else:
        learner = rtu.OnlineRegressor(2, units=4)
    for _ in range(5):
        feed(learner, 0.1)
    return learner


def feed(learner: Any, x: float) -> Any:
    if learner.kind == "online_regressor":
        learner.predict([x, 0.1])
        return learner.update([0.0])
    return learner.step([x, 0.1], [1.0, 0.5] if learner.kind == "td_bank" else 1.0)


def unfit(data: bytes, name: str = "body.cell.W1", value: float = float("nan")) -> bytes:
    """A checkpoint of the same learner with a value that is not finite and a valid checksum."""
    learner = decode(data)
    section = learner.state[name]
    section.flat[-1] = value
    learner.core.set(name, section)
    config, run = checkpoint.read_text(data)
    found: bytes = learner.core.save(checkpoint.encode_config(config, run), checkpoint.read_beside(data))
    return found


# ---------------------------------------------------------------- save() and load() use the same rule


@pytest.mark.hazard("checkpoint-not-loadable")
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_learner_that_is_not_finite_is_not_saved_over_a_good_one(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "own.rtu"
    learner = learning(kind)
    learner.save(path)
    before = path.read_bytes()
    for reading in (LARGEST, 0.1, 0.1):
        feed(learner, reading)
    with pytest.raises(CheckpointError, match=rf"{path}: not saved: \S+ holds a value that is not finite"):
        learner.save(path)
    assert path.read_bytes() == before and [file.name for file in tmp_path.iterdir()] == ["own.rtu"]
    again = rtu.load(path)
    for reading in (0.1, 0.2):
        feed(again, reading)
    again.save(path)


@pytest.mark.hazard("checkpoint-not-loadable")
def test_save_refuses_what_load_refuses_and_nothing_else() -> None:
    """Every section, the first and the last value, each value that is not finite; and the largest, which may become
    so.
    """
    good = learning("stream_ac")
    data: bytes = good.core.save(checkpoint.encode_config(good.config))
    for name, section in good.state.items():
        if section.dtype.kind != "f":
            continue
        for at in (0, section.size - 1):
            for value in (np.nan, -np.inf) if at else (np.inf, np.finfo(section.dtype).max):
                learner = decode(data)
                changed = section.copy()
                changed.flat[at] = value
                learner.core.set(name, changed)
                made = learner.core.save(checkpoint.encode_config(learner.config))
                status, where = decode(data).core.load(made)
                assert (status, where) == _core.check_checkpoint(made)
                assert bool(where) == (status != 0)
                assert status != 0 or np.isfinite(value)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_whatever_is_wrong_with_the_bytes_the_check_ends_within_them(data: st.DataObject) -> None:
    """Arbitrary section rows with a valid checksum: refused, without reads beyond the end."""
    whole = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(12, len(whole) - 5))
        whole[at : at + 4] = data.draw(st.binary(min_size=4, max_size=4))[: len(whole) - 4 - at]
    whole[-4:] = zlib.crc32(bytes(whole[:-4])).to_bytes(4, "little")
    made = bytes(whole)
    learner = decode(GOOD)
    status, _ = learner.core.load(made)
    checked, _ = _core.check_checkpoint(made)
    assert checked == 0 or status != 0, "what load() takes the check takes"
    assert status != -10 or checked == -10


GOOD: bytes = (lambda learner: learner.core.save(checkpoint.encode_config(learner.config)))(learning("stream_ac"))


# ---------------------------------------------------------------- the slots of a run


def test_slots_keep_what_can_be_loaded(tmp_path: Path) -> None:
    slots = Slots(tmp_path)
    slots.save(GOOD)
    with pytest.raises(CheckpointError, match=r"not saved: body\.cell\.W1 holds a value that is not finite"):
        slots.save(unfit(GOOD))
    assert slots.newest().data == GOOD and slots.older() == []


@pytest.mark.hazard("checkpoint-not-loadable")
def test_resuming_looks_further_back_and_tells_why(tmp_path: Path) -> None:
    """A folder of an older version: its newest checkpoint holds a NaN."""
    config = tmp_path / "job.toml"
    config.write_text(f"{JOB}[run]\nname = 'run'\nsteps = 300\nfolder = '{tmp_path}'\n")
    assert cli("run", config)[0] == 0
    folder = tmp_path / "run"
    slots = Slots(folder)
    bad = unfit(slots.current.read_bytes(), "body.cell.nu_log", float("inf"))
    slots.current.write_bytes(bad)
    stored = slots.newest()
    assert stored.path == slots.older()[0] and "body.cell.nu_log holds a value that is not finite" in stored.notes[0]
    assert "holds a value that is not finite" in cli("ckpt", "ls", folder)[1]
    code, out = cli("run", "--resume", folder)
    assert code == 0, out
    assert "holds a value that is not finite, or a count that cannot be; set aside as checkpoint.damaged-1.rtu" in out
    assert (folder / "checkpoint.damaged-1.rtu").read_bytes() == bad
    assert Slots(tmp_path / "run-2").newest().notes == ()


def test_a_rollback_passes_over_one_that_is_not_finite(tmp_path: Path) -> None:
    slots = Slots(tmp_path, 4)
    agent = learning("stream_ac")
    made = []
    for _ in range(3):
        feed(agent, 0.3)
        made.append(agent.core.save(checkpoint.encode_config(agent.config)))
        slots.save(made[-1])
    slots.older()[0].write_bytes(unfit(made[1]))
    slots.rollback()
    assert slots.newest().data == made[0]


@pytest.fixture
def saver(tmp_path: Path) -> Any:
    config = parse_config(JOB + "[learner_monitor]\nsnapshot_steps = 20\nvalidation_steps = 10\n")
    with job.connect(config) as device:
        agent = job.make_agent(config, device.sheet)
        loop = job.loop_config(config, device, steps=200)
        supervised = job.supervised(config, device, agent, loop)
        job.run_loop(device, agent, loop, policy=supervised.policy)
        made = Saver(Slots(tmp_path), config.checkpoint, agent, Position(), device_facts(device), supervised.supervisor)
        made.save()
        yield made, device


def test_a_supervisor_that_could_not_be_read_again_is_not_saved(saver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = saver
    block = made._supervisor.state()
    assert made._supervisor.check(block) == ""
    whole = bytearray(block)
    whole[-4:] = np.float32("nan").tobytes()
    wrong = {
        bytes(whole): "with a snapshot that is not finite",
        block[:100]: "cut short",
        b"\x09" + block[1:]: "of a version that this build does not support",
        block[:-4]: "of another learner",
    }
    for bad, words in wrong.items():
        assert made._supervisor.check(bad) == words
        with pytest.raises(ValueError, match=words):
            made._supervisor.restore(bad)

    class Spoiled:
        check = staticmethod(made._supervisor.check)
        state = staticmethod(lambda: bytes(whole))

    before = made.slots.newest().data
    monkeypatch.setattr(made, "_supervisor", Spoiled())
    with pytest.raises(
        CheckpointError, match="not saved: the supervisor's block is with a snapshot that is not finite"
    ):
        made.save()
    assert made.slots.newest().data == before and made._supervisor.check(block) == ""


def test_a_run_whose_learner_is_lost_writes_the_rest_and_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the loop's end and the last save: the checkpoint from before the run is kept, log and summary exist, exit
    code 1.
    """
    finish = Saver.finish

    def spoiled(self: Saver, progress: Any, session: int) -> None:
        section = self.agent.state["body.cell.W1"]
        section.flat[0] = np.nan
        self.agent.core.set("body.cell.W1", section)
        finish(self, progress, session)

    monkeypatch.setattr(Saver, "finish", spoiled)
    config = tmp_path / "job.toml"
    config.write_text(f"{JOB}[run]\nname = 'run'\nsteps = 300\nfolder = '{tmp_path}'\n")
    code, out = cli("run", config)
    assert code != 0 and "checkpoint.rtu: not saved: body.cell.W1 holds a value that is not finite" in out, out
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["stages"]["learning"]["steps"] == 300
    assert (tmp_path / "run" / "report.html").exists()
    stored = Slots(tmp_path / "run").newest()
    assert stored.notes == () and checkpoint.read_text(stored.data)[1]["steps"] == 0


# ---------------------------------------------------------------- the requested learner


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("finished")
    (place / "job.toml").write_text(f"{JOB}[run]\nname = 'run'\nsteps = 100\nfolder = '{place}'\n")
    assert cli("run", place / "job.toml")[0] == 0
    return place


@pytest.mark.hazard("resumed-another-learner")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("learner.units=32", "learner.units = 32: the checkpoint .* holds a learner with 4, which it keeps"),
        ("learner.hidden=[4, 4]", r"learner.hidden = \[4, 4\]: .* with \[4\]"),
        ("learner.cell=nonlinear", 'learner.cell = "nonlinear": .* with "linear"'),
        ("learner.trace_decay=0.5", "learner.trace_decay = .*'body': 0.5.*: .*'body': 0.95"),
        ("learner.actor={step_size=0.5}", "learner.actor = .*'step_size': 0.5"),
        ("learner.dtype=float64", 'learner.dtype = "float64": .* with "float32"'),
        ("learner.actions=discrete", r"learner.levels = 2: .* with none \(continuous actions\)"),
    ],
)
@pytest.mark.parametrize("new_run", [False, True])
def test_a_learner_that_resumes_is_the_one_that_was_asked_for(
    change: str, words: str, new_run: bool, finished: Path
) -> None:
    arguments = ["run", *([finished / "job.toml"] if new_run else []), "--resume", finished / "run"]
    before = sorted(path.name for path in finished.iterdir())
    code, out = cli(*arguments, "--set", change, "--set", "run.steps=200")
    assert code != 0 and re.search(words, out), out
    assert sorted(path.name for path in finished.iterdir()) == before, "no record of a learner that never was"


def test_a_learner_that_resumes_with_its_own_values_does(finished: Path, tmp_path: Path) -> None:
    same = [
        "learner.units=4",
        "learner.hidden=4",
        "learner.trace_decay={recurrent=0.95, body=0.95, head=0.95}",
        "learner.critic.trace_decay=0.8",
    ]
    sets = [word for change in [*same, "run.steps=150", f"run.folder='{tmp_path}'"] for word in ("--set", change)]
    code, out = cli("run", "--resume", finished / "run", *sets)
    assert code == 0, out


def test_a_start_knows_its_checkpoint(saver: Any, tmp_path: Path) -> None:
    made, device = saver
    assert open_start(tmp_path, device).source == made.slots.current
