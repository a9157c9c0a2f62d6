"""Untrusted files: each command reports one clear line and exit code 2 (docs/security.md)."""

from __future__ import annotations

import json
import shutil
import struct
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stranger import (
    BOX,
    GOLDEN,
    LOG,
    MIB,
    SUMMARY,
    box_with,
    cli,
    mcap_of,
    mcap_parts,
    note,
    refused,
    resealed,
    with_head,
)

import rtu_edge as rtu
from rtu_edge.learn import checkpoint
from rtu_edge.learn.onnx.check import check_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run's folder that may be changed."""
    shutil.copytree(GOLDEN, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replay starts no other process for the instruction set of the files."""
    monkeypatch.setenv("RTU_EDGE_ISA", "scalar")


# ---------------------------------------------------------------- tracebacks

HEADS: dict[str, Callable[[dict[str, Any]], object]] = {
    "no fields": lambda head: head.update(record=[], record_bytes=8),
    "a field of another type": lambda head: head["record"].__setitem__(0, ("step", "f4", 0)),
    "no x": lambda head: head.update(record=[row for row in head["record"] if row[0] != "x"]),
    "a field twice": lambda head: head["record"].append(("x", "f4", 2)),
    "a negative count": lambda head: head["record"].append(("more", "f4", -3)),
    "records of 64 kB": lambda head: head.update(record_bytes=65536),
    "a period of 0": lambda head: head.update(period_s=0.0),
    "no period": lambda head: head.update(period_s="nan"),
    "limits for nothing": lambda head: head.update(limits=[(0, 1, 0, 0, 0)] * 3),
    "no limits": lambda head: head.update(limits=[]),
    "limits turned": lambda head: head.update(limits=[(5.0, -5.0, 0, 0, 0)]),
    "no observations": lambda head: head.update(observations=[]),
    "a range that is none": lambda head: head["observations"][0].update(min="wide"),
    "an index far away": lambda head: head["observations"][0].update(index=2**70),
    "a safe behaviour that is none": lambda head: head["actuators"][0].update(safe=77),
    "a time far away": lambda head: head.update(epoch_ns=2**63),
    "a session far away": lambda head: head.update(session=10**30),
    "no learner": lambda head: head.update(learner={}),
    "another learner": lambda head: head["learner"].update(units=3),
    "a learner of words": lambda head: head["learner"].update(units=[1], gamma="x", hidden="abc"),
    "a configuration that is none": lambda head: head.update(configuration="\x1b[2J = "),
    "a configuration of another device": lambda head: head.update(
        configuration='[device]\nplant="servo"\n[sensor.z]\n'
    ),
}


@pytest.mark.parametrize("name", HEADS)
def test_a_log_with_any_head_is_refused_in_one_line(name: str, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = folder / LOG
    path.write_bytes(with_head(path.read_bytes(), HEADS[name]))
    err = refused(capfd, "replay", folder, "--verify")
    assert str(path) in err and "\x1b" not in err
    code, _, err = cli(capfd, "replay", folder, "--set", "learner.trace_decay=0.5", "--out", folder / "w")
    assert code in (0, 2) and (code == 0) == (err == "")


def test_notes_without_numbers_end_a_log_there(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    parts = mcap_parts((folder / LOG).read_bytes())
    for values in (
        {},
        {"first": "x", "count": "1"},
        {"first": "1", "count": "9" * 5000},
        {"first": "-1", "count": "1"},
    ):
        (folder / LOG).write_bytes(mcap_of([*parts[:3], note("lost", values), *parts[3:]]))
        code, out, err = cli(capfd, "replay", folder)
        assert (code, err) == (0, "") and "has no numbers" in out


BOXES: dict[str, dict[str, Any]] = {
    "no record": {"record": [], "record_bytes": 8},
    "a time far away": {"epoch_ns": 2**63},
    "a period of 0": {"period_s": 0},
    "rows of another number": {"observations": []},
    "a row of another form": {"observations": [1, 2]},
    "not a number of bytes": {"record_bytes": "[/]"},
}


@pytest.mark.parametrize("name", BOXES)
def test_a_box_with_any_head_is_refused_in_one_line(name: str, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / BOX).write_bytes(box_with((folder / BOX).read_bytes(), **BOXES[name]))
    assert str(folder / BOX) in refused(capfd, "blackbox", folder)


def test_a_box_of_any_record_is_shown_and_exported(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Valid checksums; times and numbers at their extremes."""
    data = bytearray((folder / BOX).read_bytes())
    first, slot = struct.unpack_from("<II", data, 12)
    for index, fill in enumerate((b"\xff", b"\x7f", b"\x80")):
        at = first + index * slot
        record = fill * (slot - 16)
        data[at + 16 : at + slot] = record
        data[at + 8 : at + 12] = struct.pack("<I", zlib.crc32(record, zlib.crc32(bytes(data[at : at + 8]))))
    (folder / BOX).write_bytes(bytes(data))
    code, _, err = cli(
        capfd, "blackbox", folder, "--last", "1e300", "--export", folder / "b.mcap", "--plot", folder / "b.png"
    )
    assert (code, err) == (0, "")


SUMMARIES: dict[str, Callable[[dict[str, Any]], object]] = {
    "an endless period": lambda plain: plain.update(period_s="inf"),
    "episodes without end": lambda plain: plain.update(target_episodes=10**17),
    "no number": lambda plain: plain.update(seconds="nan"),
    "more rows than values": lambda plain: plain.update(observations=plain["observations"] * 9),
    "a stage of words": lambda plain: plain.update(stages={"learning": 7}),
    "a step far away": lambda plain: plain.update(reached_after_steps=-(2**70)),
}


@pytest.mark.parametrize("name", SUMMARIES)
def test_any_summary_is_refused_in_one_line(name: str, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    plain = json.loads((folder / SUMMARY).read_bytes())
    SUMMARIES[name](plain)
    (folder / SUMMARY).write_text(json.dumps(plain))
    assert str(folder) in refused(capfd, "inspect", folder, "--report")


RUNS: tuple[Any, ...] = (
    {"steps": "x", "returns": 3},
    {"device": 7},
    {"steps": -1, "episodes": [1]},
    {"seconds": "nan"},
)


@pytest.mark.parametrize("run", RUNS)
def test_a_checkpoint_of_any_run_is_listed(run: Any, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = (folder / "checkpoint.rtu").read_bytes()
    config = checkpoint.read_config(data)
    (folder / "checkpoint.rtu").write_bytes(
        resealed(data, json.dumps({**config, "run": {**run, "[/]": "[/]"}}).encode())
    )
    assert cli(capfd, "ckpt", "ls", folder)[::2] == (0, "")
    assert cli(capfd, "ckpt", "diff", folder, GOLDEN / "checkpoint.rtu")[::2] == (0, "")


ONNX = {
    "empty": b"",
    "no model": b"\xff" * 64,
    "a cut one": bytes([0x3A, 0xFF, 0xFF, 0x03]) + b"abc",
    "an operator of its own": b"\x3a\x0a\x0a\x08\x0a\x01x\x22\x03Foo",
    "a loop": b"\x3a\x0b\x0a\x09\x0a\x01x\x22\x04Loop",
    "an external file": b"\x3a\x07\x2a\x05\x10\x01\x42\x01c" + b"",
    "two graphs": b"\x3a\x00\x3a\x00",
}


@pytest.mark.parametrize("name", ONNX)
def test_any_onnx_is_refused_in_one_line(name: str, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "policy.onnx").write_bytes(ONNX[name])
    assert "policy.onnx: not a policy" in refused(capfd, "verify", folder)


def spoiled(change: str) -> bytes:
    """An exported policy with one change."""
    import onnx

    with tempfile.TemporaryDirectory() as place:
        rtu.export_onnx(rtu.StreamAC(2, 1, units=4, hidden=4, seed=0), Path(place) / "a.onnx")
        model = onnx.load(Path(place) / "a.onnx")
    if change == "no state given back":
        model.graph.output.pop()
    elif change == "no output":
        model.graph.ClearField("output")
    elif change == "an unknown opset":
        model.opset_import[0].version = 99
    elif change == "an old opset":
        model.opset_import[0].version = -1
    elif change == "shapes that do not fit":
        node = next(node for node in model.graph.node if node.op_type == "MatMul")
        node.name, node.input[0] = "\x1b[31m", "h1"
    else:
        next(entry for entry in model.metadata_props if entry.key == "rtu_edge.choices").value = "5"
    data: bytes = model.SerializeToString()
    return data


SPOILED = (
    "no state given back", "no output", "an unknown opset", "an old opset", "shapes that do not fit",
    "another kind of action",
)  # fmt: skip


@pytest.mark.parametrize("change", SPOILED)
def test_an_onnx_that_is_nearly_a_policy_is_refused_in_one_line(
    change: str, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Also by onnxruntime itself, which would print messages with unescaped names from the file."""
    (folder / "policy.onnx").write_bytes(spoiled(change))
    err = refused(capfd, "verify", folder)
    assert "policy.onnx: not a " in err and "\x1b" not in err


def test_a_constant_of_an_onnx_has_the_bytes_of_its_shape() -> None:
    def field(number: int, body: bytes) -> bytes:
        return bytes([number << 3 | 2, len(body)]) + body

    def model(dims: bytes, raw: int) -> bytes:
        return field(7, field(5, dims + b"\x10\x01" + field(8, b"w") + field(9, bytes(raw))))

    check_model(model(b"\x08\x01\x08\x03", 12))
    for dims, raw in ((b"\x08\x01\x08\x7f", 12), (b"\x08\x03\x08\x01", 12), (b"\x08\x01\x08\x03\x70\x01", 12)):
        with pytest.raises(ValueError, match="constant"):
            check_model(model(dims, raw))


TOMLS = {
    "deep": "a = " + "[" * 5000 + "]" * 5000,
    "many parts": ".".join(["a"] * 20_000) + " = 1",
    "long": "# " + "x" * (2 * MIB),
    "a line of escapes": "\x1b]0;title\x07 = 1",
    "not UTF-8": b"\xff\xfe",
}


@pytest.mark.parametrize("name", TOMLS)
def test_any_toml_is_refused_in_one_line(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.toml"
    text = TOMLS[name]
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    err = refused(capfd, "run", path)
    assert str(path) in err and "\x1b" not in err
