"""Untrusted files: memory usage of reading one, in a separate process (docs/security.md)."""

from __future__ import annotations

import json
import resource
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from stranger import (
    BOX,
    GOLDEN,
    LOG,
    MIB,
    NPZ,
    SUMMARY,
    cli,
    learner_of,
    mcap_parts,
    npy,
    npz_of,
    packed,
    refused,
    resealed,
    with_head,
    with_records,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run's folder that may be changed."""
    shutil.copytree(GOLDEN, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replay starts no other process for the instruction set of the files."""
    monkeypatch.setenv("RTU_EDGE_ISA", "scalar")


# ---------------------------------------------------------------- memory

MEASURE = """
import contextlib, io, json, sys
import numpy, rtu_edge.cli, rtu_edge.run.replay, rtu_edge.record.old_formats, zstandard
from rtu_edge.cli import blackbox, export, inspect, replay
from rtu_edge.record import RunFolder
import rtu_edge.report.page
def kib(name):  # of this process: ru_maxrss would begin with what the parent had when it forked
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name))
for words in json.loads(sys.argv[1]):
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak begins again here
    before = kib("VmRSS")
    with contextlib.redirect_stderr(io.StringIO()) as err, contextlib.redirect_stdout(io.StringIO()):
        try:
            rtu_edge.cli.main(words)
        except SystemExit as leaving:
            code = leaving.code
    print(json.dumps([code, kib("VmHWM") - before, err.getvalue()]))
"""


def measured(*commands: list[str]) -> list[tuple[int, str]]:
    """Exit code and error of each command; the memory of each stays below 4 times its file's size and 64 MiB.

    At most 20 s and 2 GiB for all.
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


def a_step(data: bytes) -> bytes:
    """The first message of a log's steps."""
    for opcode, body in mcap_parts(data):
        messages = zstandard.ZstdDecompressor().decompressobj().decompress(body[44:]) if opcode == 0x06 else b""
        place = 0
        while place < len(messages):
            kind, size, channel = struct.unpack_from("<BQH", messages, place)
            if kind == 0x05 and channel == 1:
                return messages[place : place + 9 + size]
            place += 9 + size
    raise AssertionError("no step in it")


def bomb_of_many_chunks(data: bytes) -> bytes:
    """A step, again and again: small as a file, 1 GiB in memory."""
    step = a_step(data)
    return with_records(data, *[packed(step * (4 * MIB // len(step)), level=3)] * 256)


LOGS: dict[str, Callable[[bytes], bytes]] = {
    "many chunks": bomb_of_many_chunks,
    "one chunk that claims 2 GiB": lambda data: with_records(data, packed(bytes(MIB), size=2 << 30)),
    "a chunk that unpacks to more than it claims": lambda data: with_records(data, packed(bytes(256 * MIB), size=1000)),
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
    "a head of 3 MB": lambda data: with_head(data, lambda head: head.update(host="x" * 3_000_000)),
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


ARRAYS: dict[str, dict[str, bytes]] = {
    "a bomb": {"learning": npy((40 * MIB,), bytes(160 * MIB))},
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
