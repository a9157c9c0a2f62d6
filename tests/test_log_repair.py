"""A log that was cut or damaged is closed again: whole chunks bit for bit, index and footer as at the end of a run."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import logged
import numpy as np
import pytest

import rtu_edge.cli
from rtu_edge import _core
from rtu_edge._base.errors import ConfigError
from rtu_edge.record import RunFolder
from rtu_edge.record.file import LogFile
from rtu_edge.record.index import repair
from rtu_edge.record.parts import Opcode, Part, parts
from rtu_edge.record.reader import read_log

CHUNK, CHUNKS = 3, 3  # records, chunks


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of some kilobytes, with all kinds of contents."""
    records = np.zeros(CHUNK * CHUNKS, _core.record_dtype(2, 1))
    records["sequence"] = np.arange(len(records)) + 3 * (np.arange(len(records)) >= 5)  # three are lost
    records["t_ns"] = np.arange(len(records)) * 20_000_000
    episodes = np.zeros(2, _core.episode_dtype())
    head, _ = logged.by_hand(logged.config_of(), 1)
    path = tmp_path_factory.mktemp("small") / "log.mcap"
    with LogFile(path, head.head, b"the learner", episodes.dtype) as file:
        for at in range(0, len(records), CHUNK):
            file.steps(records[at : at + CHUNK])
            file.episodes(episodes[: at == CHUNK])
            file.flush()
        file.close({"reason": "test"})
    return path


@pytest.fixture
def in_memory() -> Iterator[Path]:
    """A folder for thousands of files."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        yield Path(name)


def parts_of(path: Path) -> list[Part]:
    with path.open("rb") as stream:
        return list(parts(stream))


def ends_of(path: Path) -> list[int]:
    """Offsets after each chunk."""
    return [part.end for part in parts_of(path) if part.opcode is Opcode.CHUNK]


def library(path: Path) -> Iterator[Any]:
    """The messages as the library reads them through the index."""
    from mcap.reader import make_reader

    with path.open("rb") as stream:
        reader = make_reader(stream, validate_crcs=True)
        summary = reader.get_summary()
        assert summary is not None and summary.statistics is not None
        found = list(reader.iter_messages(log_time_order=False))
        assert summary.statistics.message_count == len(found)
        assert summary.statistics.chunk_count == len(summary.chunk_indexes)
        yield from found


def test_a_log_cut_at_every_byte_is_closed_with_all_its_whole_chunks(
    small: Path, in_memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)  # thousands of files
    data, ends, whole = small.read_bytes(), ends_of(small), read_log(small)
    head = next(part.end for part in parts_of(small) if part.opcode is Opcode.METADATA)
    data_end = next(part.at for part in parts_of(small) if part.opcode is Opcode.DATA_END)
    whole_parts = [part.end for part in parts_of(small)]
    counts = [0, 0]
    seen: set[tuple[int, ...]] = set()
    last: tuple[bytes, int] = b"", 0
    cut, target = in_memory / "cut.mcap", in_memory / "repaired.mcap"
    for at in range(len(data)):
        cut.write_bytes(data[:at])
        if at < head:
            with pytest.raises(ValueError, match="not a log of rtu_edge"):
                repair(cut, target)
            assert not target.exists()
            counts[0] += 1
            continue
        done = repair(cut, target)
        chunks = sum(end <= at for end in ends)
        assert (done.chunks, done.records) == (chunks, chunks * CHUNK) and cut.read_bytes() == data[:at]
        kept = target.read_bytes()
        same = max(end for end in whole_parts if end <= min(at, data_end))
        assert kept[:same] == data[:same], "what is kept is kept bit for bit"
        if at >= data_end:
            assert kept == data, "the end is the one that the run would have written"
        elif (kept, chunks) != last:  # the same bytes are read once
            last = kept, chunks
            log = read_log(target)
            assert log.cut == "" and log.records.tobytes() == whole.records[: chunks * CHUNK].tobytes()
            stage = (chunks, log.end is not None, len(log.lost))
            if stage not in seen:
                seen.add(stage)
                assert len(list(library(target))) == chunks * CHUNK + (chunks > 1)
        target.unlink()
        counts[1] += 1
    assert counts[0] > 1000 and counts[1] > 2000 and len(seen) >= CHUNKS + 2


def test_a_whole_log_is_left_alone(small: Path, tmp_path: Path) -> None:
    assert repair(small, tmp_path / "new.mcap").path is None and not (tmp_path / "new.mcap").exists()


def test_the_chunks_behind_a_damaged_one_are_kept(small: Path, tmp_path: Path) -> None:
    """Also behind the first, which has the schemas."""
    for number, damaged in enumerate(part for part in parts_of(small) if part.opcode is Opcode.CHUNK):
        data = bytearray(small.read_bytes())
        data[damaged.end - 5] ^= 4
        bad, target = tmp_path / f"{number}.mcap", tmp_path / f"{number}.repaired.mcap"
        bad.write_bytes(data)
        done = repair(bad, target)
        assert done.chunks == CHUNKS - 1 and len(done.left_out) == 1 and "a chunk of" in done.left_out[0]
        log = read_log(target)
        expected = np.delete(read_log(small).records, np.arange(number * CHUNK, (number + 1) * CHUNK))
        assert log.cut == "" and log.records.tobytes() == expected.tobytes() and log.end == {"reason": "test"}
        assert sum(channel.topic == "/rtu_edge/step" for _, channel, _ in library(target)) == (CHUNKS - 1) * CHUNK


def test_random_damage_gives_a_whole_file_or_none(small: Path, tmp_path: Path) -> None:
    data, known = small.read_bytes(), {record.tobytes() for record in read_log(small).records}
    rng = random.Random(1)
    for _ in range(150):
        other = bytearray(data)
        for _ in range(rng.randrange(1, 4)):
            other[rng.randrange(len(other))] = rng.randrange(256)
        bad, target = tmp_path / "bad.mcap", tmp_path / "new.mcap"
        bad.write_bytes(other)
        target.unlink(missing_ok=True)
        try:
            done = repair(bad, target)
        except ValueError:
            assert not target.exists()
            continue
        log = read_log(target if done.path else bad)
        assert log.cut == "" and {record.tobytes() for record in log.records} <= known
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_nothing_is_written_over(small: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(small.read_bytes()[:-100])
    (tmp_path / "there.mcap").write_bytes(b"precious")
    with pytest.raises(ConfigError, match="exists"):
        repair(cut, tmp_path / "there.mcap")
    assert (tmp_path / "there.mcap").read_bytes() == b"precious"
    done = repair(cut, cut)
    assert done.path == cut and cut.read_bytes() == small.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut.mcap", "there.mcap"]


def test_the_log_of_a_run_that_is_under_way_is_not_replaced(small: Path, tmp_path: Path) -> None:
    head = read_log(small).head
    path = tmp_path / "log.mcap"
    with LogFile(path, head, None, _core.episode_dtype()) as file:
        file.steps(read_log(small).records)
        file.flush()
        with pytest.raises(ConfigError, match="a run is still writing to it"):
            repair(path, path)
        assert repair(path, tmp_path / "copy.mcap").records == CHUNK * CHUNKS
    assert read_log(path).cut == "" and repair(path, path).path is None


def test_the_command(small: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: object) -> tuple[int, str]:
        with pytest.raises(SystemExit) as leaving:
            rtu_edge.cli.main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return int(str(leaving.value.code)), "".join(out) + err

    log = RunFolder(tmp_path).log()
    log.write_bytes(small.read_bytes()[: ends_of(small)[1] + 20])
    code, said = run("log", "repair", tmp_path)
    assert code == 0 and "6 records and 1 episode in 2 chunks kept" in said and "left out: the last" in said, said
    assert read_log(tmp_path / "log.repaired.mcap").record_count == 6
    assert run("log", "repair", log)[0] == 2  # it is there
    assert run("log", "repair", log, "--out", tmp_path / "other.mcap", "--in-place")[0] == 2
    assert run("log", "repair", log, "--out", tmp_path / "other.mcap")[0] == 0
    assert (tmp_path / "other.mcap").read_bytes() == (tmp_path / "log.repaired.mcap").read_bytes()
    code, said = run("log", "repair", log, "--in-place")
    assert code == 0 and read_log(log).cut == ""
    code, said = run("log", "repair", log)
    assert code == 0 and "complete; nothing to repair" in said
    (tmp_path / "none").mkdir()
    code, said = run("log", "repair", tmp_path / "none")
    assert code == 2 and "no log.mcap in it" in said
    (tmp_path / "text").write_text("no log")
    code, said = run("log", "repair", tmp_path / "text")
    assert code == 2 and "not a log of rtu_edge" in said and len(said.splitlines()) == 1


KILLED = """
import os, sys, threading, time
from rtu_edge import cli
def die():
    path = "runs/sim/log.mcap"
    while not os.path.exists(path) or os.path.getsize(path) < 1_000_000:
        time.sleep(0.01)
    os.kill(os.getpid(), 9)
threading.Thread(target=die, daemon=True).start()
cli.main(["run", "--sim", "--steps", "1000000", "--set", "log.blackbox_minutes=0"])
"""


def test_the_log_of_a_killed_run_is_closed_and_replayed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED], cwd=tmp_path, capture_output=True, timeout=120)
    assert done.returncode == -9
    log = tmp_path / "runs" / "sim" / "log.mcap"
    before = read_log(log)
    assert before.cut and before.record_count > 100 and before.end is None
    assert repair(log, log).records == before.record_count
    after = read_log(log)
    assert after.cut == "" and after.record_count == before.record_count
    with pytest.raises(SystemExit) as leaving:
        rtu_edge.cli.main(["replay", str(log), "--verify"])
    assert leaving.value.code == 0 and "equal to the bit" in capfd.readouterr().out
    assert len(list(library(log))) == after.record_count + after.episode_count
    assert os.stat(log).st_mode & 0o777 == 0o644 & ~_umask()


def _umask() -> int:
    now = os.umask(0)
    os.umask(now)
    return now
