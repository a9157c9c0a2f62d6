"""Files of every kind as an earlier version wrote them (tests/golden/formats): current readers accept them, with the
same results.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rtu_edge as rtu
from rtu_edge._base import old_names
from rtu_edge.device import lock, protocol
from rtu_edge.device.simulated import InProcessDevice
from rtu_edge.learn import checkpoint
from rtu_edge.record import RunFolder, blackbox
from rtu_edge.record.old_formats import TELEMETRY
from rtu_edge.record.stages import stages

GOLDEN = Path(__file__).resolve().parent / "golden"
FORMATS = GOLDEN / "formats"
sys.path.insert(0, str(GOLDEN))
import make_formats  # noqa: E402 (its folder is no package)

EXPECTED: dict[str, Any] = json.loads((FORMATS / "expected.json").read_text())
# Where the mathematics has changed since a file was written, expected.json names it here: {name: {"since": what
# changed, in which version, "tolerance": largest distance of an output or of a command, in ranges}}. Then only that is
# compared.
WITHIN: dict[str, dict[str, Any]] = EXPECTED["within"]
to_the_bit = pytest.mark.skipif(
    platform.machine() != EXPECTED["machine"],
    reason="another host's files: compared to the bit where they were made",
)


@functools.cache
def today() -> dict[str, Any]:
    """The learners resumed from the files, in a process with the original instruction set."""
    script = Path(__file__).with_name("golden_replay.py")
    environment = {**os.environ, "RTU_EDGE_ISA": EXPECTED["isa"]}
    process = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=120)
    assert process.returncode == 0, process.stderr
    found: dict[str, Any] = json.loads(process.stdout)
    return found


def plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def test_the_files_are_the_ones_that_were_written() -> None:
    """None is changed, lost or added without an expected result."""
    found = {name: hashlib.sha256(data).hexdigest() for name, data in make_formats.all_files().items()}
    assert found == EXPECTED["sha256"]
    assert set(WITHIN) <= {*EXPECTED["checkpoints"], *EXPECTED["runs"]}


def test_there_is_a_checkpoint_of_every_learner() -> None:
    configs = [checkpoint.read_config(path.read_bytes(), path) for path in FORMATS.glob("checkpoints/*.rtu")]
    kinds = {(c["kind"], c.get("n_actions") is not None, c["cell"], c["dtype"]) for c in configs}
    assert len(kinds) == 24 == len(configs)
    rules = {(c["kind"], c["optimizer"]) for c in configs}
    assert len(rules) == 9 and len({(c["kind"], c["normalize_observation"]) for c in configs}) == 6


# ---------------------------------------------------------------- checkpoints


@pytest.mark.arm
@pytest.mark.parametrize("name", sorted(EXPECTED["checkpoints"]))
def test_a_checkpoint_is_read(name: str) -> None:
    """The state by its hash or, if the form of the normaliser has changed, by its values."""
    agent = rtu.load(FORMATS / "checkpoints" / f"{name}.rtu")
    expected = EXPECTED["checkpoints"][name]
    if name not in WITHIN:
        assert agent.state_hash() == expected["state"]
    if expected["normalizer"] is not None:
        for key, value in expected["normalizer"].items():
            np.testing.assert_allclose(agent.normalizer[key], value, rtol=1e-6, atol=1e-6)  # float32 of a double


@to_the_bit
@pytest.mark.parametrize("name", sorted(EXPECTED["checkpoints"]))
def test_a_learner_goes_on_from_a_checkpoint(name: str) -> None:
    found, expected = today()["checkpoints"][name], EXPECTED["checkpoints"][name]
    if name in WITHIN:
        assert found["distance"] <= WITHIN[name]["tolerance"], WITHIN[name]["since"]
    else:
        assert (found["state"], found["after"], found["distance"]) == (expected["state"], expected["after"], 0.0)


# ---------------------------------------------------------------- runs


@pytest.mark.arm
@pytest.mark.parametrize("name", sorted(EXPECTED["runs"]))
def test_every_file_of_a_run_is_read(name: str) -> None:
    expected = {**EXPECTED["runs"][name]}
    if "arrays" in expected:  # fields by their former names
        expected["arrays"] = {key: [fields_today(names), n] for key, (names, n) in expected["arrays"].items()}
    assert plain(make_formats.found_in(FORMATS / "runs" / name)) == expected


def fields_today(names: str) -> str:
    return str(tuple(map(old_names.record_field, ast.literal_eval(names))))


@to_the_bit
@pytest.mark.parametrize("name", sorted(EXPECTED["runs"]))
def test_a_log_is_replayed(name: str) -> None:
    found, expected = today()["runs"][name], EXPECTED["runs"][name]
    assert (found["records"], found["hashes"]) == (expected["records"], expected["hashes"])
    if name in WITHIN:
        assert found["distance"] <= WITHIN[name]["tolerance"], WITHIN[name]["since"]
    else:
        assert (found["difference"], found["distance"], found["end"]) == ("", 0.0, expected["end"])


@pytest.mark.parametrize("name", ["sim", "realtime"])
@pytest.mark.parametrize("command", [["inspect"], ["ckpt", "ls"], ["blackbox"]], ids=" ".join)
def test_commands_take_the_folder_of_a_run(
    name: str, command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import rtu_edge.cli  # here: the ARM host of the tests has no command line

    folder = tmp_path / name
    shutil.copytree(FORMATS / "runs" / name, folder)
    with pytest.raises(SystemExit) as leaving:
        rtu_edge.cli.main([*command, str(folder)])
    assert leaving.value.code == 0, capsys.readouterr().err


@pytest.mark.parametrize("name", ["sim", "realtime"])
def test_an_old_run_without_a_log_is_reported_from_its_telemetry(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Earlier versions also, or only, wrote telemetry.npz into a run's folder."""
    from rtu_edge.cli import _run  # here: the ARM host of the tests has no command line
    from rtu_edge.report.digest import Digest

    folder = RunFolder(tmp_path / "run")
    shutil.copytree(FORMATS / "runs" / name, folder.path)
    stage = "learning" if name == "sim" else "realtime"
    by_log = stages(folder)
    one = Digest.of(by_log[stage].batches())
    folder.log().unlink()
    by_arrays = stages(folder)
    assert list(by_log) == [stage] and by_arrays[stage].path.name == TELEMETRY
    two = Digest.of(by_arrays[stage].batches())
    assert one.records == two.records > 100 and one.curve.episodes == two.curve.episodes
    assert (one.curve.returns == two.curve.returns).all() and one.curve.best == two.curve.best
    for kind, times in one.times.items():
        assert (times.counts == two.times[kind].counts).all()
    assert _run(["inspect", str(folder.path), "--report", "--plot", str(tmp_path / "run.svg")]) == 0
    assert f"{stage}: {one.records:,} records" in capfd.readouterr().out
    assert (folder.path / "report.html").stat().st_size > 10_000 and (tmp_path / "run.svg").exists()
    assert _run(["promote", str(folder.path), "--to", "shadow"]) == 0


@pytest.mark.parametrize("name", ["sim", "realtime"])
def test_a_black_box_without_its_tail_is_settled_as_it_is(name: str, tmp_path: Path) -> None:
    path = tmp_path / "blackbox.rtubox"
    shutil.copy(FORMATS / "runs" / name / path.name, path)
    assert blackbox.settle(path) == 0
    assert path.read_bytes() == (FORMATS / "runs" / name / path.name).read_bytes()


# ---------------------------------------------------------------- wire

TRANSCRIPTS = sorted(FORMATS.glob("wire/*.jsonl"))


def lines_of(path: Path) -> list[tuple[int, str | None, str]]:
    return [tuple(json.loads(line)) for line in path.read_text().splitlines()]


@pytest.mark.arm
@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_todays_firmware_gives_the_recorded_bytes(path: Path) -> None:
    plant = path.stem.rpartition("-")[0]
    device = InProcessDevice(plant, now_us=5_000_000, boot_id=9, seed=1)
    for number, (now, given, answer) in enumerate(lines_of(path)):
        found = device.tick(now) if given is None else device.receive(bytes.fromhex(given), now)
        assert found.hex() == answer, f"line {number + 1}"


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_a_transcript_goes_through_the_states_of_a_device(path: Path) -> None:
    """Makes the comparison of bytes meaningful."""
    heard = [
        protocol.unpack(frame)
        for *_, answer in lines_of(path)
        for frame in protocol.Decoder().feed(bytes.fromhex(answer))
    ]
    assert {type(message) for message in heard} >= {
        protocol.Hello,
        protocol.Channel,
        protocol.Pong,
        protocol.Ack,
        protocol.State,
        protocol.Event,
    }
    states = {message.state for message in heard if isinstance(message, protocol.State)}
    assert states >= {protocol.DeviceState.DISARMED, protocol.DeviceState.ARMED, protocol.DeviceState.ESTOP}
    assert len({message.x for message in heard if isinstance(message, protocol.State)}) > 5


def test_todays_loop_and_firmware_exchange_the_recorded_bytes() -> None:
    sent, received = make_formats.lockstep_session()
    assert sent == (FORMATS / "wire" / "sent.bin").read_bytes()
    assert received == (FORMATS / "wire" / "received.bin").read_bytes()


# ---------------------------------------------------------------- control socket


def shape(value: Any) -> Any:
    """Keys of what a control socket answers, of all levels."""
    return {key: shape(item) for key, item in value.items()} if isinstance(value, dict) else None


def contains(wide: Any, narrow: Any) -> bool:
    if not isinstance(narrow, dict):
        return True
    return all(key in wide and contains(wide[key], item) for key, item in narrow.items())


def test_todays_owner_answers_with_what_there_was() -> None:
    found = make_formats.control_answers()
    for command, lines in EXPECTED["control"].items():
        was = [json.loads(line) for line in lines]
        now = [json.loads(line) for line in found[command]]
        assert [line["event"] for line in now] == [line["event"] for line in was]
        assert all(contains(shape(new), shape(old_names.status(old))) for new, old in zip(now, was, strict=True))


def test_todays_reader_takes_the_answers_of_an_older_owner() -> None:
    near, far = socket.socketpair()
    lines = [line for command in sorted(EXPECTED["control"]) for line in EXPECTED["control"][command]]

    def answer() -> None:
        with far:
            far.sendall("".join(line + "\n" for line in lines).encode())

    thread = threading.Thread(target=answer)
    thread.start()
    with near:
        assert list(lock._lines(near)) == [json.loads(line) for line in lines]
    thread.join()
