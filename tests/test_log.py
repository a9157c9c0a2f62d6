"""The log of a run: whole chunks whatever happens, the numbers as a viewer reads them, what is lost."""

from __future__ import annotations

import io
import os
import random
import re
from pathlib import Path
from typing import Any

import logged
import numpy as np
import pytest

from rtu_edge import _core
from rtu_edge.record import RunFolder
from rtu_edge.record.file import EPISODES, STEPS, Log, LogFile, read_log
from rtu_edge.run import replay
from rtu_edge.run.recording import Recording, Writer

ROOT = Path(__file__).parents[1]
CHUNK = 100  # records


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, Any]:
    folder = RunFolder.create(tmp_path_factory.mktemp("runs"), "run")
    outcome, _ = logged.run(folder, logged.config_of("run.steps=1500"))
    return folder, outcome


@pytest.fixture(scope="module")
def chunks(run: tuple[RunFolder, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same log in many small chunks, with an end."""
    folder, outcome = run
    log = read_log(folder.file(RunFolder.LOG))
    path = tmp_path_factory.mktemp("chunks") / "log.mcap"
    with LogFile(path, log.head, log.start, outcome.episodes.dtype) as file:
        for at in range(0, len(outcome.records), CHUNK):
            file.steps(outcome.records[at : at + CHUNK])
            if at == 5 * CHUNK:
                file.episodes(outcome.episodes)
            file.flush()
        assert log.end is not None
        file.close(log.end)
    return path


def test_a_viewer_reads_every_number(run: tuple[RunFolder, Any]) -> None:
    """Decoded by an independent reader of the schema that stands in the file."""
    from mcap.reader import make_reader
    from mcap_ros2.decoder import DecoderFactory

    folder, outcome = run
    with folder.file(RunFolder.LOG).open("rb") as stream:
        reader = make_reader(stream, validate_crcs=True, decoder_factories=[DecoderFactory()])
        summary = reader.get_summary()
        assert summary is not None and summary.statistics is not None
        assert summary.statistics.message_count == len(outcome.records) + len(outcome.episodes)
        decoded = [(channel.topic, message, numbers) for _, channel, message, numbers in reader.iter_decoded_messages()]
    steps = [numbers for topic, _, numbers in decoded if topic == STEPS]
    for record, numbers in zip(outcome.records, steps, strict=True):
        assert (numbers.x_x, numbers.x_theta) == tuple(record["x"])
        assert (numbers.u_force, numbers.executed_force) == (record["u"][0], record["executed"][0])
        for name in ("step", "sequence", "t_ns", "state_hash", "calls", "reward", "value", "delta"):
            assert getattr(numbers, name) == record[name], name
    episodes = [numbers for topic, _, numbers in decoded if topic == EPISODES]
    assert [numbers.total_return for numbers in episodes] == outcome.episodes["total_return"].tolist()
    times = [message.log_time for topic, message, _ in decoded if topic == STEPS]
    assert np.diff(times).min() > 0 and times[0] > 1.7e18  # nanoseconds since 1970


def test_the_reader_of_the_documentation_runs(run: tuple[RunFolder, Any], capsys: pytest.CaptureFixture[str]) -> None:
    folder, outcome = run
    [block] = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "log.md").read_text(encoding="utf-8"), re.M | re.S)
    exec(block.replace("runs/pole/log.mcap", str(folder.file(RunFolder.LOG))), {})
    assert len(capsys.readouterr().out.splitlines()) == len(outcome.records)


def test_the_log_says_what_a_replay_needs(run: tuple[RunFolder, Any]) -> None:
    folder, outcome = run
    log = read_log(folder.file(RunFolder.LOG))
    assert log.head.isa == _core.isa and len(log.head.build) == 16
    assert [row.name for row in log.head.observations] == ["x", "theta"]
    assert log.head.limits == [(-10.0, 10.0, 0.0, 0.0, 0.0)] and log.head.dtype == outcome.records.dtype
    assert log.end is not None and log.end["reason"] == "steps" and log.end["dropped"] == "0"
    assert not log.cut and log.start is not None


@pytest.mark.parametrize("part", range(4))
def test_a_log_cut_at_any_byte_replays_to_the_cut(chunks: Path, tmp_path: Path, part: int) -> None:
    data = chunks.read_bytes()
    whole = read_log(chunks)
    ends = _chunk_ends(data)
    assert len(ends) >= 15 and not whole.cut
    # Everywhere around what separates the parts of the file, and a sample of the rest.
    cuts = {at + off for _, at in ends for off in (-1, 0, 1)} | set(random.Random(1).sample(range(len(data)), 200))
    cut = tmp_path / "cut.mcap"
    seen = set()
    for at in sorted(cuts)[part::4]:
        cut.write_bytes(data[:at])
        expected = max((count for count, end in ends if end <= at), default=0)
        log = readable(cut)
        if log is None:
            assert expected == 0
            continue
        assert log.cut, "a cut that nobody noticed"
        assert len(log.records) == expected
        assert log.records.tobytes() == whole.records[:expected].tobytes()
        if expected in seen or log.start is None:
            continue
        seen.add(expected)
        found = replay.verify(log)
        assert found.difference is None and found.records == expected and found.ended
    assert len(seen) > 3


def test_a_flipped_bit_in_a_chunk_never_gives_another_record(chunks: Path, tmp_path: Path) -> None:
    data = chunks.read_bytes()
    whole = read_log(chunks).records
    ends = _chunk_ends(data)
    rng = random.Random(2)
    damaged = tmp_path / "damaged.mcap"
    shorter = 0
    for _ in range(150):
        other = bytearray(data)
        other[rng.randrange(ends[0][1], ends[-1][1])] ^= 1 << rng.randrange(8)
        damaged.write_bytes(other)
        log = read_log(damaged)
        assert log.records.tobytes() == whole[: len(log.records)].tobytes()
        shorter += len(log.records) < len(whole)
    assert shorter > 100


def test_what_is_lost_is_written_down(run: tuple[RunFolder, Any], tmp_path: Path) -> None:
    folder, outcome = run
    head = read_log(folder.file(RunFolder.LOG)).head
    path = tmp_path / "log.mcap"
    records = outcome.records
    with LogFile(path, head, None, outcome.episodes.dtype) as file:
        file.steps(np.delete(records[:50], [10, 11, 12]))
        file.steps(records[:0])
        file.steps(records[60:70])
    log = read_log(path)
    assert log.lost == [(10, 3), (50, 10)] and len(log.records) == 57
    assert replay.usable(log)[1] == "3 records are lost after record 10: a replay cannot go on past them"


def test_a_writer_that_cannot_keep_up_drops_and_counts(run: tuple[RunFolder, Any], tmp_path: Path) -> None:
    folder, outcome = run
    head = read_log(folder.file(RunFolder.LOG)).head
    path = tmp_path / "log.mcap"
    writer = Writer(LogFile(path, head, None, outcome.episodes.dtype), waiting=100)
    writer.add(outcome.records[:150], outcome.episodes[:0])  # more than may wait
    writer.add(outcome.records[150:200], outcome.episodes[:0])
    writer.close({"reason": "test"})
    log = read_log(path)
    assert writer.dropped == 150 and len(log.records) == 50
    assert log.lost == [(0, 150)] and log.end == {"reason": "test", "dropped": "150"}


class _Full(io.BytesIO):
    def write(self, data: Any) -> int:
        raise OSError(28, "No space left on device")


def test_a_full_disk_ends_the_log_and_not_the_run(run: tuple[RunFolder, Any], tmp_path: Path) -> None:
    folder, outcome = run
    head = read_log(folder.file(RunFolder.LOG)).head
    file = LogFile(tmp_path / "log.mcap", head, None, outcome.episodes.dtype)
    writer = Writer(file, chunk_s=0.01)
    file._writer._Writer__stream = _Full()
    for at in range(0, 300, 100):
        writer.add(outcome.records[at : at + 100], outcome.episodes[:0])
        logged.wait(lambda: bool(writer.problem))
    writer.close(None)
    assert "No space left" in writer.problem and writer.dropped > 0
    assert file._stream.closed


def test_a_log_leaves_room_for_checkpoints(
    run: tuple[RunFolder, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, outcome = run
    head = read_log(folder.file(RunFolder.LOG)).head
    path = tmp_path / "log.mcap"
    free = 5000
    monkeypatch.setattr(LogFile, "room", lambda _: free)
    writer = Writer(LogFile(path, head, None, outcome.episodes.dtype), chunk_s=0.01, reserve=4096)
    writer.add(outcome.records[:100], outcome.episodes[:0])
    logged.wait(lambda: len(read_log(path).records) == 100)
    assert writer.problem == ""
    free = 4000
    logged.wait(lambda: bool(writer.problem))
    writer.add(outcome.records[100:200], outcome.episodes[:0])
    writer.close({"reason": "test"})
    assert "the last 4 KiB of the disk are for checkpoints" in writer.problem and writer.dropped == 100
    assert len(read_log(path).records) == 100


def test_a_log_that_cannot_be_begun_holds_no_file(run: tuple[RunFolder, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, outcome = run
    head = read_log(folder.file(RunFolder.LOG)).head

    def held() -> list[str]:
        return [
            os.readlink(f"/proc/self/fd/{fd}")
            for fd in os.listdir("/proc/self/fd")
            if os.path.exists(f"/proc/self/fd/{fd}")
        ]

    with pytest.raises(OSError, match="No space left"):
        LogFile("/dev/full", head, bytes(100_000), outcome.episodes.dtype)
    assert "/dev/full" not in held()
    file = LogFile("/dev/null", head, None, outcome.episodes.dtype)
    file._writer._Writer__stream = _Full()
    with pytest.raises(OSError, match="No space left"):
        file.close({"reason": "test"})
    assert file._stream.closed


def test_a_run_without_log_and_black_box_leaves_neither(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "bare")
    outcome, _ = logged.run(
        folder, logged.config_of("run.steps=50", "log={mcap=false, blackbox_minutes=0, hash_every=0}")
    )
    assert list(folder.path.iterdir()) == [] and not outcome.records["state_hash"].any()


def test_names_that_no_schema_allows_are_made_fit() -> None:
    from rtu_edge.record.file import _schema

    names = {"x": ["Angle 1", "angle_1", "θ"], "u": [], "executed": []}
    assert _schema([("x", "f4", 3), ("step", "u8", 0)], names).decode().split("\n") == [
        "float32 x_angle_1",
        "float32 x_angle_1_1",
        "float32 x_unnamed",
        "uint64 step",
        "",
    ]


def test_a_recording_closes_twice(tmp_path: Path) -> None:
    config = logged.config_of()
    from rtu_edge.run import connect, loop_config, make_agent

    with connect(config) as device:
        recording = Recording(config, device, make_agent(config, device), RunFolder.create(tmp_path, "x"))
        with recording:
            recording.prepare(loop_config(config, device))
        recording.close()


def readable(path: Path) -> Log | None:
    """None where the cut left no head."""
    try:
        return read_log(path)
    except ValueError as error:
        if "cut before its head" not in str(error):
            raise
        return None


def _chunk_ends(data: bytes) -> list[tuple[int, int]]:
    """(records up to there, offset of its end) of each chunk with steps."""
    found = []
    at, count = 8, 0
    while at < len(data) - 8:
        opcode, length = data[at], int.from_bytes(data[at + 1 : at + 9], "little")
        at += 9 + length
        if opcode == 6:
            count += CHUNK
            found.append((count, at))
    total = len(read_log_bytes(data))
    return [(min(count, total), end) for count, end in found]


def read_log_bytes(data: bytes) -> Any:
    import tempfile

    with tempfile.NamedTemporaryFile(suffix=".mcap") as file:
        file.write(data)
        file.flush()
        return read_log(file.name).records
