"""Files of strangers: each command answers with one clear line and exit code 2, within a bound of memory (docs/security.md)."""

from __future__ import annotations

import json
import os
import resource
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import zstandard

import rtu_edge as rtu
import rtu_edge.cli
from rtu_edge import checkpoint, untrusted
from rtu_edge.checkpoint import encode_config
from rtu_edge.export.check import check_model
from rtu_edge.log import RunFolder, Summary, blackbox
from rtu_edge.log.file import read_log
from rtu_edge.log.parts import MAGIC
from rtu_edge.report import write_picture, write_report

GOLDEN = Path(__file__).resolve().parent / "golden" / "formats" / "runs" / "sim"
MIB = 1 << 20

LOG, BOX, NPZ, SUMMARY = "log.mcap", "blackbox.rtubox", "telemetry.npz", "summary.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(GOLDEN, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replay starts no other process for the instruction set of the files."""
    monkeypatch.setenv("RTU_EDGE_ISA", "scalar")


def cli(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as leaving:
        rtu_edge.cli.main([str(argument) for argument in arguments])
    out, err = capfd.readouterr()
    assert isinstance(leaving.value.code, int)
    return leaving.value.code, out, err


def refused(capfd: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line with which a command leaves."""
    code, _, err = cli(capfd, *arguments)
    lines = err.splitlines()
    assert code == 2, err
    assert len(lines) == 1 and lines[0].startswith("rtu-edge: "), err
    return err


# ---------------------------------------------------------------- files as a stranger writes them


def mcap_parts(data: bytes) -> list[tuple[int, bytes]]:
    found, at = [], len(MAGIC)
    while at < len(data) - len(MAGIC):
        opcode, length = struct.unpack_from("<BQ", data, at)
        found.append((opcode, data[at + 9 : at + 9 + length]))
        at += 9 + length
    return found


def mcap_of(parts: list[tuple[int, bytes]]) -> bytes:
    return MAGIC + b"".join(struct.pack("<BQ", opcode, len(body)) + body for opcode, body in parts) + MAGIC


def string(text: str) -> bytes:
    return struct.pack("<I", len(text.encode())) + text.encode()


def note(name: str, values: dict[str, str]) -> tuple[int, bytes]:
    sealed = {**values, "crc32": f"{zlib.crc32(json.dumps(values, sort_keys=True).encode()):08x}"}
    body = b"".join(string(key) + string(value) for key, value in sealed.items())
    return 0x0C, string(name) + struct.pack("<I", len(body)) + body


def packed(data: bytes, *, size: int | None = None, compression: str = "zstd", **how: Any) -> tuple[int, bytes]:
    """A chunk of messages."""
    inside = zstandard.ZstdCompressor(**how).compress(data) if compression == "zstd" else data
    head = struct.pack("<QQQI", 0, 0, len(data) if size is None else size, zlib.crc32(data))
    return 0x06, head + string(compression) + struct.pack("<Q", len(inside)) + inside


def head_of(data: bytes) -> dict[str, Any]:
    head: dict[str, Any] = msgspec.to_builtins(read_log(data_file(data)).head)
    return head


def data_file(data: bytes) -> str:
    """A path of bytes in memory."""
    handle = os.memfd_create("data")
    os.write(handle, data)
    return f"/proc/self/fd/{handle}"


def with_head(data: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """A log whose head is another one, sealed again."""
    head = head_of(data)
    change(head)
    return mcap_of(
        [note("rtu_edge", {"head": json.dumps(head)}) if n == 1 else part for n, part in enumerate(mcap_parts(data))]
    )


def with_records(data: bytes, *chunks: tuple[int, bytes]) -> bytes:
    """A log with other chunks."""
    kept = [part for part in mcap_parts(data) if part[0] != 0x06]
    return mcap_of([*kept[:3], *chunks, *kept[3:]])


def box_with(data: bytes, **changes: Any) -> bytes:
    """A black box with another head or tail, sealed again."""
    (length,) = struct.unpack_from("<I", data, 40)
    text = json.loads(data[64 : 64 + length])
    text["tail"] = changes.pop("tail", text["tail"])
    text["head"] |= changes
    raw = json.dumps(text).encode()
    head = data[:40] + struct.pack("<II", len(raw), 0) + data[48:64] + raw
    (first,) = struct.unpack_from("<I", data, 12)
    assert len(head) <= first
    return head[:44] + struct.pack("<I", zlib.crc32(head)) + head[48:] + data[len(head) :]


def resealed(data: bytes, text: bytes | None = None) -> bytes:
    """A checkpoint with another text."""
    (length,) = struct.unpack_from("<I", data, 12)
    text = data[40 : 40 + length] if text is None else text
    body = data[:12] + struct.pack("<I", len(text)) + data[16:40] + text + data[40 + length : -4]
    return body + struct.pack("<I", zlib.crc32(body))


# ---------------------------------------------------------------- memory

MEASURE = """
import contextlib, io, json, resource, sys
import numpy, rtu_edge.cli, rtu_edge.log.replay, rtu_edge.log.arrays, zstandard
from rtu_edge.cli import blackbox, export, inspect, replay
from rtu_edge.log import RunFolder
import rtu_edge.report.page
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stderr(io.StringIO()) as err, contextlib.redirect_stdout(io.StringIO()):
        try:
            rtu_edge.cli.main(words)
        except SystemExit as leaving:
            code = leaving.code
    print(json.dumps([code, peak() - before, err.getvalue()]))
"""


def measured(*commands: list[str]) -> list[tuple[int, str]]:
    """Exit code and error of each command; the memory of each stays below 4 times its file's size and 64 MiB.

    Commands on small files come first: what is measured is the largest so far. At most 20 s and 2 GiB for all.
    """

    def limits() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
        resource.setrlimit(resource.RLIMIT_CPU, (20, 20))

    done = subprocess.run(
        [sys.executable, "-c", MEASURE, json.dumps(commands)],
        capture_output=True, text=True, timeout=120, preexec_fn=limits,
    )  # fmt: skip
    found = []
    for words, line in zip(commands, done.stdout.splitlines(), strict=False):
        code, kib, err = json.loads(line)
        path = Path(words[1])
        size = sum(file.stat().st_size for file in ([path] if path.is_file() else path.iterdir()))
        assert kib * 1024 <= 4 * size + 64 * MIB, f"{words}: {kib // 1024} MiB for a file of {size:,} bytes"
        found.append((code, err))
    assert len(found) == len(commands), f"{commands[len(found)]}: {done.stderr}"
    return found


def bomb_of_many_chunks(data: bytes) -> bytes:
    """What a 125 kB log of zeros unpacks to: 2 GiB."""
    return with_records(data, *[packed(bytes(4 * MIB), level=19)] * 512)


LOGS: dict[str, Callable[[bytes], bytes]] = {
    "many chunks": bomb_of_many_chunks,
    "one chunk that says 2 GiB": lambda data: with_records(data, packed(bytes(MIB), size=2 << 30)),
    "a chunk that unpacks to more than it says": lambda data: with_records(data, packed(bytes(256 * MIB), size=1000)),
    "a window of 128 MiB": lambda data: with_records(
        data,
        packed(
            bytes(MIB),
            compression_params=zstandard.ZstdCompressionParameters(window_log=27, write_content_size=False),
        ),
    ),
    "a learner of 17 GB": lambda data: with_head(
        data, lambda head: head["learner"].update(units=65536, hidden=[65536, 65536])
    ),
    "a head of 3 MB": lambda data: with_head(data, lambda head: head.update(machine="x" * 3_000_000)),
    "a head of empty lists": lambda data: with_head(data, lambda head: head["learner"].update(hidden=[[]] * 700_000)),
}


@pytest.mark.hazard("file-takes-memory")
def test_a_log_takes_no_more_memory_than_its_size_allows(tmp_path: Path) -> None:
    commands = []
    for name, make in LOGS.items():
        (tmp_path / f"{name}.mcap").write_bytes(make((GOLDEN / LOG).read_bytes()))
        commands.append(["replay", str(tmp_path / f"{name}.mcap"), "--verify"])
    for name, (code, err) in zip(LOGS, measured(*commands), strict=True):
        assert code in (1, 2) and len(err.splitlines()) == 1, (name, err)


def learner_of(**changes: Any) -> bytes:
    agent = rtu.StreamAC(2, 1, units=4, hidden=4, seed=0)
    return resealed(agent.core.save(encode_config(agent.config)), encode_config({**agent.config, **changes}).encode())


CHECKPOINTS: dict[str, Callable[[], bytes]] = {
    "a learner of 17 GB": lambda: learner_of(units=65536, hidden=[65536, 65536]),
    "wide layers": lambda: learner_of(hidden=[4096, 4096, 4096, 4096]),
    "a text of empty lists": lambda: learner_of(actor=[[]] * 2_000_000),
    "another kind": lambda: learner_of(kind=[1]),
    "no numbers": lambda: learner_of(units="many", hidden={"a": 1}),
    "a text of its own": lambda: resealed(learner_of(), b"[" * 100_000),
}


@pytest.mark.hazard("file-takes-memory")
def test_a_checkpoint_takes_no_more_memory_than_its_size_allows(tmp_path: Path) -> None:
    commands = []
    for name, make in CHECKPOINTS.items():
        (tmp_path / f"{name}.rtu").write_bytes(make())
        commands += [[command, str(tmp_path / f"{name}.rtu")] for command in ("inspect", "export")]
    for words, (code, err) in zip(commands, measured(*commands), strict=True):
        assert code == 2 and len(err.splitlines()) == 1, (words, err)


def npz_of(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)


def npy(shape: tuple[int, ...], data: bytes, descr: str = "<f4") -> bytes:
    head = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + data


ARRAYS: dict[str, dict[str, bytes]] = {
    "a bomb": {"learning": npy((100 * MIB,), bytes(400 * MIB))},
    "a shape of 4 TB": {"learning": npy((1 << 40,), b"abcd")},
    "negative": {"learning": npy((-4, -4), bytes(64))},
    "objects": {"learning": npy((1,), b"cos\nsystem\n(S'true'\ntR.", "|O")},
    "a single value": {"other": npy((), bytes(4))},
    "no fields": {"learning": npy((4,), bytes(16))},
    "no numbers": {"learning_episodes": npy((4,), bytes(16))},
    "no array": {"learning": b"hello"},
    "too many": {f"a{n}": npy((1,), bytes(4)) for n in range(200)},
}


@pytest.mark.hazard("file-takes-memory")
def test_arrays_take_no_more_memory_than_their_size_allows(tmp_path: Path) -> None:
    commands = []
    for name, members in ARRAYS.items():
        (tmp_path / name).mkdir()
        shutil.copy(GOLDEN / SUMMARY, tmp_path / name)
        npz_of(tmp_path / name / NPZ, members)
        commands.append(["inspect", str(tmp_path / name)])
    for words, (code, err) in zip(commands, measured(*commands), strict=True):
        assert code == 2 and len(err.splitlines()) == 1, (words, err)


def test_whole_files_fit_their_size(folder: Path) -> None:
    words = str(folder)
    (folder / BOX).write_bytes((folder / BOX).read_bytes() + bytes(30 * MIB))
    found = measured(["inspect", words], ["replay", words, "--verify"], ["blackbox", str(folder / BOX)])
    assert found == [(0, "")] * 3


def test_more_memory_is_the_user_s_to_give(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = (folder / LOG).read_bytes()
    (folder / LOG).write_bytes(with_records(data, *[packed(bytes(4 * MIB))] * 12))
    assert "unpack to 48 MiB; at most 40 MiB" in refused(capfd, "replay", folder)
    code, out, _ = cli(capfd, "replay", folder, "--memory", "64")
    assert code == 0 and "0 records" in out


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
    "limits for nothing": lambda head: head.update(limits=[]) or head.update(limits=[(0, 1, 0, 0, 0)] * 3),
    "limits turned": lambda head: head.update(limits=[(5.0, -5.0, 0, 0, 0)]),
    "no observations": lambda head: head.update(observations=[]),
    "a range that is none": lambda head: head["observations"][0].update(minimum="wide"),
    "a time far away": lambda head: head.update(epoch_ns=2**63),
    "a session far away": lambda head: head.update(session=10**30),
    "no learner": lambda head: head.update(learner={}),
    "another learner": lambda head: head["learner"].update(units=3),
    "a learner of words": lambda head: head["learner"].update(units=[1], gamma="x", hidden="abc"),
    "another start": lambda head: head.update(start_hash="[/red]"),
    "a configuration that is none": lambda head: head.update(configuration="\x1b[2J = "),
    "a configuration of another device": lambda head: head.update(configuration='[device]\nplant="servo"\n[gate.z]\n'),
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
        assert (code, err) == (0, "") and "gives no numbers" in out


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
    """Its checksums fit; times and numbers are at their ends."""
    data = bytearray((folder / BOX).read_bytes())
    first, slot = struct.unpack_from("<II", data, 12)
    for index, fill in enumerate((b"\xff", b"\x7f", b"\x80")):
        at = first + index * slot
        record = fill * (slot - 16)
        data[at + 16 : at + slot] = record
        data[at + 8 : at + 12] = struct.pack("<I", zlib.crc32(record, zlib.crc32(bytes(data[at : at + 8]))))
    (folder / BOX).write_bytes(bytes(data))
    code, _, err = cli(
        capfd, "blackbox", folder, "--last", "inf", "--export", folder / "b.mcap", "--plot", folder / "b.png"
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
    "a file beside it": b"\x3a\x07\x2a\x05\x10\x01\x42\x01c" + b"",
    "two graphs": b"\x3a\x00\x3a\x00",
}


@pytest.mark.parametrize("name", ONNX)
def test_any_onnx_is_refused_in_one_line(name: str, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "policy.onnx").write_bytes(ONNX[name])
    assert "policy.onnx: not a policy" in refused(capfd, "verify", folder)


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


# ---------------------------------------------------------------- what is shown

EVIL = "a\x1b]0;owned\x07\x1b[2Jb\r\x9bc\u202ed[/red][link=http://x]$x_{$"


@pytest.mark.hazard("escape-sequences")
def test_no_control_character_of_a_file_reaches_terminal_page_or_picture(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    summary = json.loads((folder / SUMMARY).read_bytes())
    for key in ("name", "title", "headline", "started", "config_hash"):
        summary[key] = EVIL
    for row in (*summary["observations"], *summary["actuators"]):
        row.update(name=EVIL, unit=EVIL)
    summary["stages"][EVIL] = {**summary["stages"]["learning"], "reason": EVIL, "message": EVIL}
    summary["device"][EVIL] = EVIL
    (folder / SUMMARY).write_text(json.dumps(summary))
    (folder / "config.toml").write_text(EVIL)
    head = {"started": EVIL, "isa": EVIL, "machine": EVIL, "version": EVIL, "build": EVIL, "configuration_hash": EVIL}
    log = (folder / LOG).read_bytes()
    (folder / LOG).write_bytes(with_head(log, lambda plain: plain.update(head)))
    rows = [{**row, "name": EVIL, "unit": EVIL} for row in head_of(log)["observations"]]
    (folder / BOX).write_bytes(box_with((folder / BOX).read_bytes(), **head, observations=rows))
    picture = folder / "p.png"
    for command in (
        ("inspect", folder, "--report", "--picture", picture),
        ("blackbox", folder, "--plot", picture),
        ("replay", folder),
        ("ckpt", "ls", folder),
    ):
        code, out, err = cli(capfd, *command)
        assert code == 0, err
        shown = out + err
        assert not any(letter in shown for letter in "\x1b\x07\r\x9b\u202e"), command
    page = (folder / "report.html").read_text()
    assert "owned" in page and not any(letter in page for letter in "\x1b\x07\r\x9b\u202e") and "<link" not in page


def test_clean_leaves_text_as_it_is() -> None:
    for text in ("pole_angle", "Größe, µm", "角度", "a b", "°/s²"):
        assert untrusted.clean(text) == text
    assert untrusted.clean("a\nb\tc") == "a b c" and untrusted.clean("a\nb\tc", lines=True) == "a\nb\tc"
    assert untrusted.clean("\x1b[31m\u202e\u2028\x85") == "�[31m���"
    assert len(untrusted.clean("x" * 5000)) == 1001


def test_names_with_dollars_are_drawn(tmp_path: Path) -> None:
    import fake_run

    folder = fake_run.make(tmp_path)
    summary = folder.load_summary()
    summary.observations = [
        msgspec.structs.replace(row, name="a$b$_{", unit="$\\frac$") for row in summary.observations
    ]
    folder.save_summary(summary)
    assert write_report(folder).stat().st_size > 10_000
    write_picture(folder, tmp_path / "p.svg")
    assert (tmp_path / "p.svg").stat().st_size > 10_000


# ---------------------------------------------------------------- what is touched


@pytest.mark.hazard("replay-runs-named-code")
@pytest.mark.parametrize(
    "fallback",
    [
        'kind = "python"\nfunction = "mischief:run"',
        'kind = "c"\nlibrary = "{folder}/mischief.so"\nsymbol = "run"',
        'kind = "checkpoint"\ncheckpoint = "{folder}/pipe"',
    ],
    ids=["python", "c", "checkpoint"],
)
def test_a_replay_runs_nothing_and_opens_nothing_that_a_log_names(
    fallback: str, folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "mischief.py").write_text("raise RuntimeError('this ran')\n")
    (folder / "mischief.so").write_bytes(b"not a library")
    os.mkfifo(folder / "pipe")
    monkeypatch.syspath_prepend(str(folder))
    text = f"[fallback]\n{fallback.format(folder=folder)}\n"

    def other(head: dict[str, Any]) -> None:
        config = head["configuration"]
        start, end = config.index("[fallback]"), config.index("[guard]")
        head["configuration"] = config[:start] + text + "\n" + config[end:]

    (folder / LOG).write_bytes(with_head((folder / LOG).read_bytes(), other))
    err = refused(capfd, "replay", folder, "--verify")
    assert "takes no code and no file that a log names" in err and "--config" in err
    own = folder / "own.toml"
    own.write_text('[device]\nplant = "cartpole"\n[fallback]\nkind = "rest"\n')
    assert "takes no code" in refused(capfd, "replay", folder, "--verify", "--config", own)


def test_a_replay_takes_the_code_that_the_user_names(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """And says so by other errors: what is named is not there."""
    text = '[fallback]\nkind = "python"\nfunction = "no_such_module:run"\n'

    def other(head: dict[str, Any]) -> None:
        config = head["configuration"]
        head["configuration"] = config[: config.index("[fallback]")] + text + config[config.index("[guard]") :]

    (folder / LOG).write_bytes(with_head((folder / LOG).read_bytes(), other))
    own = folder / "own.toml"
    own.write_text('[device]\nplant = "cartpole"\n' + text.replace("no_such_module", "another_module"))
    assert "cannot import another_module:run" in refused(capfd, "replay", folder, "--verify", "--config", own)


@pytest.mark.hazard("foreign-file-touched")
@pytest.mark.parametrize(
    "file", [LOG, BOX, SUMMARY, NPZ, "checkpoint.rtu", "config.toml", "events.jsonl", "policy.onnx"]
)
@pytest.mark.parametrize("what", ["pipe", "link", "folder"])
def test_only_regular_files_of_a_folder_are_touched(
    file: str, what: str, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A pipe hangs nothing; a link leads nowhere; what it names is neither read nor written."""
    precious = tmp_path / "precious"
    precious.write_bytes(b"mine")
    (folder / file).unlink(missing_ok=True)
    if what == "pipe":
        os.mkfifo(folder / file)
    elif what == "link":
        (folder / file).symlink_to(precious)
    else:
        (folder / file).mkdir()
    commands: dict[str, tuple[Any, ...]] = {
        LOG: ("replay", folder, "--verify"),
        BOX: ("blackbox", folder),
        SUMMARY: ("inspect", folder),
        NPZ: ("promote", folder),
        "checkpoint.rtu": ("export", folder),
        "config.toml": ("inspect", folder, "--report"),
        "events.jsonl": ("promote", folder, "--to", "off", "--apply", "--output", tmp_path / "new.toml"),
        "policy.onnx": ("verify", folder),
    }
    code, _, err = cli(capfd, *commands[file])
    assert code == 2 and len(err.splitlines()) == 1, err
    assert precious.read_bytes() == b"mine"


def test_a_report_replaces_a_link_and_not_what_it_names(folder: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"mine")
    for name in ("report.html", SUMMARY):
        data = (folder / name).read_bytes() if (folder / name).exists() else b""
        (folder / name).unlink(missing_ok=True)
        if name == SUMMARY:
            (folder / name).write_bytes(data)
        else:
            (folder / name).symlink_to(precious)
    write_report(RunFolder(folder))
    assert precious.read_bytes() == b"mine" and not (folder / "report.html").is_symlink()


@pytest.mark.hazard("foreign-file-touched")
def test_a_box_finds_its_tail_by_its_id_alone(folder: Path, tmp_path: Path) -> None:
    """What a box names is not opened and not removed; its own tail has to be a regular file of the same user."""
    box, shared = folder / BOX, tmp_path / "shared"
    shared.mkdir()
    data = box.read_bytes()
    named = tmp_path / "named"
    named.write_bytes(data)
    box.write_bytes(box_with(data, tail=str(named)))
    assert blackbox.settle(box, shared) == 0 and named.read_bytes() == data
    (identity,) = struct.unpack_from("<Q", data, 32)
    tail = shared / f"rtu-edge-{identity:016x}.tail"
    os.mkfifo(tail)
    assert blackbox.read(box, shared).from_tail == 0 and blackbox.settle(box, shared) == 0 and tail.is_fifo()
    tail.unlink()
    tail.symlink_to(named)
    assert blackbox.settle(box, shared) == 0 and tail.is_symlink() and named.exists()
    tail.unlink()
    whole = blackbox.read(box, shared)
    first, slot = struct.unpack_from("<II", data, 12)
    tail.write_bytes(data)
    box.write_bytes(data[: first + 50 * slot])
    assert blackbox.read(box, shared).from_tail == len(whole.records) - 50
    assert blackbox.settle(box, shared) == len(whole.records) - 50 and not tail.exists()
    assert blackbox.read(box, shared).records.tobytes() == whole.records.tobytes()


# ---------------------------------------------------------------- infinity


def test_infinity_survives_every_format(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """An observation without a bound: log, black box, summary, replay, inspect, report."""
    import dataclasses

    import logged

    from rtu_edge import job
    from rtu_edge.log import Row
    from rtu_edge.log.recording import Recording

    config = logged.config_of("run.steps=60", "log.blackbox_minutes=0.1")
    rows = [Row("x", "m", -np.inf, np.inf), Row("theta", "rad", 0.0, np.inf)]
    with RunFolder.create(tmp_path, "wide") as folder:
        with job.connect(config) as device:
            device = dataclasses.replace(device, observations=rows)
            agent = job.make_agent(config, device)
            with Recording(config, device, agent, folder) as recording:
                loop = job.loop_config(config, device)
                policy = job.supervised(config, device, agent, loop).policy
                outcome = job.run_loop(device, agent, loop, policy=policy, recording=recording)
            summary = Summary(name="wide")
            job.describe(summary, device, agent)
        folder.arrays = {"learning": outcome.records, "learning_episodes": outcome.episodes}
        folder.save_arrays()
        folder.save_summary(summary)
        assert folder.load_summary().observations == rows
        log = read_log(folder.file(LOG))
        assert log.head.observations == rows
        assert blackbox.read(folder.file(BOX)).head.observations == rows
        for text in (folder.file(SUMMARY).read_text(),):
            json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    for command in (
        ("replay", folder.path, "--verify"),
        ("inspect", folder.path, "--report"),
        ("blackbox", folder.path),
    ):
        code, _, err = cli(capfd, *command)
        assert (code, err) == (0, ""), command
    assert "-inf..inf m" in folder.file("report.html").read_text()


def test_a_log_and_a_summary_without_bounds_of_an_earlier_version_are_read(folder: Path) -> None:
    """Which wrote null."""
    plain = json.loads((folder / SUMMARY).read_bytes())
    plain["observations"][0].update(minimum=None, maximum=None)
    (folder / SUMMARY).write_text(json.dumps(plain))
    row = RunFolder(folder).load_summary().observations[0]
    assert (row.minimum, row.maximum) == (-np.inf, np.inf)
    data = with_head((folder / LOG).read_bytes(), lambda head: head["observations"][1].update(minimum=None))
    assert read_log(data_file(data)).head.observations[1].minimum == -np.inf


def test_json_keeps_what_is_not_finite() -> None:
    value = {"a": [1.5, float("inf")], "b": (float("-inf"), float("nan")), "c": 3}
    text = untrusted.to_json(value)
    assert json.loads(text) == {"a": [1.5, "inf"], "b": ["-inf", "nan"], "c": 3}
    found = untrusted.from_json(text, dict[str, Any])
    assert found["a"][1] == "inf"  # of no type: as it was written
    assert untrusted.from_json(b'["inf", "-inf", 1]', list[float]) == [np.inf, -np.inf, 1.0]


# ---------------------------------------------------------------- devices and owners


def test_text_of_a_device_is_cleaned(capfd: pytest.CaptureFixture[str]) -> None:
    """A LOG, and the rows of a data sheet, on a port that is only listened to."""
    import pty
    import threading
    import tty

    from rtu_edge import wire

    near, far = pty.openpty()
    tty.setraw(far)
    stop = threading.Event()

    def talk() -> None:
        messages = (
            wire.Log(1, "a\x1b[2Jb\x07"),
            wire.State(0, 0, wire.Fault(0), 1, 1, wire.Episode(0), 0.0, (1.0,), (0.0,)),
        )
        while not stop.wait(0.05):
            for number, message in enumerate(messages):
                os.write(near, wire.encode(wire.pack(message, number, 0)))

    thread = threading.Thread(target=talk)
    thread.start()
    try:
        for more in (("--frames",), ("--once",), ("--frames", "--json")):
            code, out, err = cli(capfd, "monitor", os.ttyname(far), "--seconds", "0.4", *more)
            assert code == 0 and "LOG" in out and "\x1b" not in out + err and "\x07" not in out + err, (more, err)
    finally:
        stop.set()
        thread.join()
        os.close(near)
        os.close(far)


ANSWERS = {
    "no status": {"event": "status"},
    "words for numbers": {"event": "status", "steps": "many", "link": [], "counters": 3},
    "a link of nothing": {"event": "status", "steps": 1, "device_state": 2, "link": {}, "counters": {}},
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_owner_that_answers_anything_is_told_in_one_line(
    name: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from rtu_edge import control

    monkeypatch.setattr(control, "owner", lambda port: 1)
    monkeypatch.setattr(control, "status", lambda port: ANSWERS[name])
    monkeypatch.setattr(control, "monitor", lambda port: iter([ANSWERS[name]]))
    for more in ((), ("--once",)):
        code, _, err = cli(capfd, "monitor", "/dev/null", *more)
        assert code == 3 and len(err.splitlines()) == 1 and "invalid reply" in err, err


def test_a_line_of_an_owner_has_an_end() -> None:
    import socket
    import threading

    from rtu_edge import control

    near, far = socket.socketpair()
    with near, far:
        threading.Thread(target=lambda: far.sendall(b"x" * 100_000), daemon=True).start()
        with pytest.raises(ValueError, match="a line of more than"):
            list(control._lines(near))


COMMANDS: tuple[tuple[str, ...], ...] = (
    ("replay",), ("blackbox",), ("inspect",), ("ckpt", "ls"), ("export",), ("verify",), ("promote",), ("run",), ("run", "--resume"),
)  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_what_is_no_file_is_refused_at_once(
    command: tuple[str, ...], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    paths = [tmp_path / "pipe", tmp_path / "empty", tmp_path / "folder", Path("/dev/zero")]
    for path in paths:
        if command == ("run",) and path.name == "empty":
            continue  # a configuration without a device: several lines
        code, _, err = cli(capfd, *command, path)
        if command == ("ckpt", "ls"):
            assert code == 0
        else:
            assert code == 2 and "Traceback" not in err and err, (path, err)


@pytest.mark.parametrize("seed", range(4))
def test_any_value_in_any_text_is_answered(seed: int, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Texts of each kind with values of any type in any place: shown, or refused in one line."""
    rng = np.random.default_rng(seed)
    log, box, checkpoints = ((folder / name).read_bytes() for name in (LOG, BOX, "checkpoint.rtu"))
    config, run = checkpoint.read_text(checkpoints)
    summary, head = json.loads((folder / SUMMARY).read_bytes()), head_of(log)
    for _ in range(8):
        changed = anyhow(head, rng)
        (folder / LOG).write_bytes(with_head(log, lambda plain: (plain.clear(), plain.update(changed))))  # noqa: B023
        (folder / SUMMARY).write_text(json.dumps(anyhow(summary, rng)))
        text = json.dumps({**anyhow(config, rng), "run": anyhow(run, rng)})
        (folder / "checkpoint.rtu").write_bytes(resealed(checkpoints, text.encode()))
        (folder / BOX).write_bytes(box_with(box, **anyhow(head, rng)))
        commands: tuple[tuple[Any, ...], ...] = (
            ("replay", folder), ("blackbox", folder), ("inspect", folder), ("ckpt", "ls", folder),
            ("inspect", folder / "checkpoint.rtu"), ("export", folder),
        )  # fmt: skip
        for command in commands:
            code, out, err = cli(capfd, *command)
            assert code in (0, 2) and len(err.splitlines()) == (code == 2), (command, err)
            assert "\x1b" not in out + err


VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 2**31, 2**64, 10**30, -0.5, 1e308, float("inf"), float("nan"), "", "x", "[/]", "\x1b[31m", "/dev/zero",
    [], {}, [[]], {"a": {}}, ["a"], "x" * 1000, 65536,
)  # fmt: skip


def anyhow(plain: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """A copy in which a value or two are something else, or gone."""
    found: dict[str, Any] = json.loads(json.dumps(plain))
    for _ in range(rng.integers(1, 3)):
        place: Any = found
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = keys[rng.integers(len(keys))]
            inner = place[key]
            if not isinstance(inner, (dict, list)) or not inner or rng.random() < 0.3:
                break
            place = inner
        if rng.random() < 0.2:
            del place[key]
        else:
            place[key] = VALUES[rng.integers(len(VALUES))]
        if not found:
            break
    return found
