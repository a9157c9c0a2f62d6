"""Files between versions. A run of the version before (tests/golden/versions) is read and resumed; files of a later one
are refused by name, nothing is changed, and the service does not begin with a new learner.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import logged
import msgspec
import numpy as np
import pytest
from mcap.reader import make_reader
from test_service import robot
from toolchain import run

import rtu_edge as rtu
from rtu_edge.cli import _run
from rtu_edge.device.simulated import SimulatedDevice
from rtu_edge.learn import checkpoint
from rtu_edge.learn.checkpoint.slots import Slots
from rtu_edge.record import RunFolder, blackbox
from rtu_edge.record.blackbox import BlackBox
from rtu_edge.record.file import LogFile
from rtu_edge.record.reader import read_log

GOLDEN = Path(__file__).resolve().parent / "golden"
sys.path.insert(0, str(GOLDEN))
import make_versions  # noqa: E402 (its folder is no package)

VERSIONS = GOLDEN / "versions"


# ---------------------------------------------------------------- the version before


def head_in(log: Path) -> Any:
    """The head of a log as it is written."""
    with log.open("rb") as stream:
        notes = {note.name: note.metadata for note in make_reader(stream).iter_metadata()}
    return json.loads(notes["rtu_edge"]["head"])


def test_a_run_of_the_version_before_is_read_replayed_and_resumed(tmp_path: Path) -> None:
    """Its learner is in float32, whose scalars were doubles before checkpoint format 5: within 1e-3 of a range."""
    states = json.loads((VERSIONS / "run.json").read_text())
    shutil.copytree(VERSIONS / "run", tmp_path / "runs" / "own")
    command = (sys.executable, "-m", "rtu_edge.cli")
    same = platform.machine() == "x86_64"
    where: dict[str, Any] = {
        "cwd": tmp_path, "env": {**os.environ, **({"RTU_EDGE_ISA": make_versions.ISA} if same else {})},
    }  # fmt: skip
    replayed = run(*command, "replay", "runs/own", "--verify", **where)
    assert f"{make_versions.STEPS} steps" in replayed and "whose normalisers or scalars round otherwise" in replayed
    assert "150 records" in run(*command, "blackbox", "runs/own", **where)
    listed = run(*command, "ckpt", "ls", "runs/own", **where)
    assert rtu.load(VERSIONS / "run" / "checkpoint.rtu").state_hash() in listed and states["end"] not in listed
    run(*command, "run", "--resume", "runs/own", "--set", f"run.steps={make_versions.RESUMED}", **where)
    found = RunFolder(tmp_path / "runs" / "own-2").load_summary()
    assert found.stages["learning"].steps == make_versions.RESUMED - make_versions.STEPS


def test_the_version_before_finds_all_its_facts_in_todays_files(tmp_path: Path) -> None:
    """And back: the head of a log has what its reader asks for, and the learner no argument that it does not know."""
    former = ("trace_decay=0.9", "exploration_correlation=0", "actor_warmup=0")
    logged.run(RunFolder(tmp_path), logged.config_of(*(f"learner.{change}" for change in former)), steps=20)
    now, before = (head_in(folder / RunFolder.LOG) for folder in (tmp_path, VERSIONS / "run"))
    assert set(before) <= set(now) and before["format"] == now["format"]
    assert set(now["learner"]) == set(before["learner"])
    assert {tuple(field) for field in before["record"]} <= {tuple(field) for field in now["record"]}
    for kind in ("observations", "actuators"):
        assert set(before[kind][0]) <= set(now[kind][0])


# ---------------------------------------------------------------- a later version


def of_a_later_format(data: bytes) -> bytes:
    """A checkpoint with the format number 9, whole."""
    data = data[:8] + struct.pack("<I", 9) + data[12:-4]
    return data + struct.pack("<I", zlib.crc32(data))


def saved(agent: Any, **more: Any) -> bytes:
    data: bytes = agent.core.save(checkpoint.encode_config({**agent.config, **more}))
    return data


def test_a_log_and_a_black_box_of_a_later_format_are_refused_by_number(tmp_path: Path) -> None:
    """They could be read as if nothing had changed; what a later format means is not known here."""
    log, _ = logged.by_hand(logged.config_of(), 10)
    later = msgspec.structs.replace(log.head, format=2)
    with LogFile(tmp_path / "log.mcap", later, None, np.dtype([("episode", "<u4")])):
        pass
    with BlackBox(tmp_path / "a.rtubox", later, 10, shared=tmp_path):
        pass
    for read, name in ((read_log, "log.mcap"), (blackbox.read, "a.rtubox")):
        with pytest.raises(ValueError, match=rf"{name}: records of format 2; this build reads format 1"):
            read(tmp_path / name)


def test_a_learner_with_an_argument_of_a_later_version_is_refused_by_its_name() -> None:
    with pytest.raises(rtu.CheckpointError, match="stream_ac: unknown 'foresight'; a newer version of rtu_edge"):
        rtu.learn.decode(saved(rtu.StreamAC(1, 1, units=1, hidden=1), foresight=2))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a service: one checkpoint of this version, and a newer one of a later."""
    path = tmp_path / "runs" / "robot"
    path.mkdir(parents=True)
    slots = Slots(path)
    for seed in (1, 2):
        slots.save(saved(rtu.StreamAC(2, 1, units=8, hidden=8, seed=seed)))
    slots.current.write_bytes(of_a_later_format(slots.current.read_bytes()))
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_service_of_the_version_before_stops_and_changes_nothing(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2: systemd leaves it off. `ckpt rollback` is the way back."""
    was = contents(folder)
    with SimulatedDevice() as device:
        config = robot(tmp_path, device.port, "[limits.force]\nmin = -5.0\nmax = 5.0\nslew_per_s = 200.0\n")
        assert _run(["serve", str(config)]) == 2
    assert "checkpoint.rtu: a checkpoint of version 9; this build reads version 1 to 5" in capfd.readouterr().err
    assert contents(folder) == was
    assert _run(["ckpt", "ls", str(folder)]) == 0
    assert "a checkpoint of version 9" in capfd.readouterr().out
    assert _run(["ckpt", "rollback", str(folder)]) == 0
    assert Slots(folder).newest().data == was["checkpoint.1.rtu"]
    assert was["checkpoint.rtu"] in contents(folder).values(), "kept for the way forward"


def test_a_rollback_passes_over_older_ones_of_a_later_version(folder: Path) -> None:
    older = folder / "checkpoint.2.rtu"
    older.write_bytes(of_a_later_format((folder / "checkpoint.1.rtu").read_bytes()))
    assert Slots(folder).rollback()[0].name == "checkpoint.1.rtu"


def test_the_folder_of_a_run_with_unknown_facts_is_shown(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later version may add to summary.json and events.jsonl; a key of a configuration is refused with its name."""
    monkeypatch.chdir(tmp_path)
    assert _run(["run", "--sim", "--steps", "100", "--set", "learner.units=4", "--set", "learner.hidden=4"]) == 0
    run = RunFolder(tmp_path / "runs" / "sim")
    summary = json.loads(run.file(run.SUMMARY).read_text())
    summary["foresight"] = {"steps": 3}
    summary["stages"]["learning"]["foresight"] = 1.0
    run.file(run.SUMMARY).write_text(json.dumps(summary))
    with run.file(run.EVENTS).open("a") as events:
        events.write('{"event": "foresight", "steps": 3}\n')
    assert _run(["inspect", str(run.path)]) == 0
    config = run.file(run.CONFIG)
    config.write_text(config.read_text() + "[foresight]\nsteps = 3\n")
    capfd.readouterr()
    assert _run(["run", "--resume", str(run.path)]) == 2
    assert "config.toml" in (found := capfd.readouterr().err) and "foresight" in found


def test_a_later_argument_is_in_a_file_only_where_it_changes_the_learner() -> None:
    """The version before refuses an argument that it does not know, and reads all other learners of this version."""
    for credit, there in (("rtrl", False), ("frozen", True)):
        agent = rtu.StreamAC(1, 1, units=1, hidden=1, credit=credit)
        assert ("credit" in checkpoint.read_config(saved(agent))) is there
        assert rtu.learn.decode(saved(agent)).config == agent.config
