"""The log of a run: intact chunks in all cases, numbers as read by a viewer, lost records."""

from __future__ import annotations

import io
import os
import random
import re
import tracemalloc
from pathlib import Path
from typing import Any

import logged
import numpy as np
import pytest

from rtu_edge import _core
from rtu_edge.record import RunFolder
from rtu_edge.record.file import LogFile
from rtu_edge.record.messages import EPISODES, STEPS
from rtu_edge.record.parts import parts
from rtu_edge.record.reader import Log, read_log
from rtu_edge.run import replay
from rtu_edge.run.recording import Recording, Writer

ROOT = Path(__file__).parents[1]
CHUNK = 100  # records


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, Any]:
    folder = RunFolder.create(tmp_path_factory.mktemp("runs"), "run")
    finished, _ = logged.run(folder, logged.config_of("run.steps=1500"))
    return folder, finished


@pytest.fixture(scope="module")
def chunks(run: tuple[RunFolder, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same log in many small chunks, with an end."""
    folder, finished = run
    log = read_log(folder.file(RunFolder.LOG))
    path = tmp_path_factory.mktemp("chunks") / "log.mcap"
    with LogFile(path, log.head, log.start, finished.episodes.dtype) as file:
        for at in range(0, len(finished.records), CHUNK):
            file.steps(finished.records[at : at + CHUNK])
            if at == 5 * CHUNK:
                file.episodes(finished.episodes)
            file.flush()
        assert log.end is not None
        file.close(log.end)
    return path


def test_a_viewer_reads_every_number(run: tuple[RunFolder, Any]) -> None:
    """Decoded by an independent reader from the schema in the file."""
    from mcap.reader import make_reader
    from mcap_ros2.decoder import DecoderFactory

    folder, finished = run
    with folder.file(RunFolder.LOG).open("rb") as stream:
        reader = make_reader(stream, validate_crcs=True, decoder_factories=[DecoderFactory()])
        summary = reader.get_summary()
        assert summary is not None and summary.statistics is not None
        assert summary.statistics.message_count == len(finished.records) + len(finished.episodes)
        decoded = [(channel.topic, message, numbers) for _, channel, message, numbers in reader.iter_decoded_messages()]
    steps = [numbers for topic, _, numbers in decoded if topic == STEPS]
    for record, numbers in zip(finished.records, steps, strict=True):
        assert (numbers.x_x, numbers.x_theta) == tuple(record["x"])
        assert (numbers.u_force, numbers.applied_force) == (record["u"][0], record["applied"][0])
        for name in ("step", "sequence", "t_ns", "state_hash", "calls", "reward", "value", "delta"):
            assert getattr(numbers, name) == record[name], name
    episodes = [numbers for topic, _, numbers in decoded if topic == EPISODES]
    assert [numbers.total_return for numbers in episodes] == finished.episodes["total_return"].tolist()
    times = [message.log_time for topic, message, _ in decoded if topic == STEPS]
    assert np.diff(times).min() > 0 and times[0] > 1.7e18  # nanoseconds since 1970


def snippets() -> list[str]:
    """The code of docs/log.md: for a finished log, for one after a crash, for a log of any size."""
    text = (ROOT / "docs" / "log.md").read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)


def lines_of(snippet: str, path: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    exec(snippet.replace("runs/pole/log.mcap", str(path)), {})
    return capsys.readouterr().out.splitlines()


def test_the_readers_of_the_documentation_run(
    run: tuple[RunFolder, Any], chunks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finished, after_a_crash, in_batches = snippets()
    for path in (run[0].file(RunFolder.LOG), chunks):
        lines = lines_of(finished, path, capsys)
        assert len(lines) == read_log(path).record_count == len(run[1].records)
        assert lines_of(after_a_crash, path, capsys) == lines
        assert lines_of(in_batches, path, capsys)


def test_the_reader_of_the_documentation_reads_a_cut_log(
    chunks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Everywhere around the ends of its parts, and inside of them."""
    _, after_a_crash, in_batches = snippets()
    data, cut, seen = chunks.read_bytes(), tmp_path / "cut.mcap", set()
    with chunks.open("rb") as stream:
        edges = [
            place for part in parts(stream) for place in (part.at, part.at + 5, part.at + 40, part.end - 1, part.end)
        ]
    for at in sorted({place for place in edges if 9 < place < len(data)})[::5]:
        cut.write_bytes(data[:at])
        log = readable(cut)
        if log is None:
            continue
        assert len(lines_of(after_a_crash, cut, capsys)) == log.record_count
        assert lines_of(in_batches, cut, capsys) or not log.record_count
        seen.add(log.record_count)
    assert len(seen) > 10


def test_a_tool_for_ros_2_reads_it(run: tuple[RunFolder, Any]) -> None:
    """The profile, the encoding and the definitions are those that rosbags asks for."""
    from rosbags.highlevel import AnyReader

    folder, finished = run
    with AnyReader([folder.file(RunFolder.LOG)]) as reader:
        counts = {connection.topic: connection.msgcount for connection in reader.connections}
        assert counts == {STEPS: len(finished.records), EPISODES: len(finished.episodes)}
        steps = [connection for connection in reader.connections if connection.topic == STEPS]
        found = [reader.deserialize(raw, connection.msgtype) for connection, _, raw in reader.messages(steps)]
    for name in ("step", "t_ns", "reward", "value", "state_hash"):
        assert [getattr(step, name) for step in found] == finished.records[name].tolist(), name
    assert [step.x_theta for step in found] == finished.records["x"][:, 1].tolist()


def test_a_log_of_many_chunks_keeps_nothing_of_them_in_memory(run: tuple[RunFolder, Any], tmp_path: Path) -> None:
    """Thousands of chunks are an hour; each has to be in the index nevertheless."""
    from mcap.reader import make_reader

    head, record = read_log(run[0].file(RunFolder.LOG)).head, run[1].records[:1].copy()
    path, held = tmp_path / "log.mcap", []
    tracemalloc.start()
    try:
        with LogFile(path, head, None, run[1].episodes.dtype) as file:
            for number in range(2048):
                if number in (512, 2047):
                    held.append(tracemalloc.get_traced_memory()[0])
                record["sequence"] = number
                file.steps(record)
                file.flush()
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            file.close()
            assert tracemalloc.get_traced_memory()[1] - before < 1 << 20  # the index is written piece by piece
    finally:
        tracemalloc.stop()
    assert held[1] - held[0] < 300_000, held  # the library's entries of 1500 chunks take 1.1 MB
    with path.open("rb") as stream:
        summary = make_reader(stream).get_summary()
        assert summary is not None and summary.statistics is not None and len(summary.chunk_indexes) == 2048
        assert summary.statistics.message_count == 2048
    assert read_log(path).records["sequence"].tolist() == list(range(2048))


def test_the_end_of_a_log_is_that_of_the_library(run: tuple[RunFolder, Any], tmp_path: Path) -> None:
    """Byte for byte what mcap's own writer makes, which keeps its index in memory."""
    from mcap.writer import Writer as Library

    folder, finished = run
    log, ours, its = read_log(folder.file(RunFolder.LOG)), tmp_path / "ours.mcap", tmp_path / "its.mcap"
    for path in (ours, its):
        file = LogFile(path, log.head, log.start, finished.episodes.dtype)
        if path == its:
            file._stream.seek(0)
            file._stream.truncate()
            file._writer = Library(file._stream, chunk_size=4 << 20)
            for item in file._described:
                if hasattr(item, "topic"):
                    file._writer.register_channel(item.topic, item.message_encoding, item.schema_id)
                else:
                    file._writer.register_schema(item.name, item.encoding, item.data)
            file._begin(log.start)
        for at in range(0, 1000, 200):
            file.steps(finished.records[at : at + 200])
            file.episodes(finished.episodes[at // 100 : at // 100 + 1])
            file.flush()
        if path == its:
            file._note("end", {"reason": "test"})
            file._writer.finish()
            file.abandon()
        else:
            file.close({"reason": "test"})
    assert ours.read_bytes() == its.read_bytes()


def test_the_log_says_what_a_replay_needs(run: tuple[RunFolder, Any]) -> None:
    folder, finished = run
    log = read_log(folder.file(RunFolder.LOG))
    assert log.head.isa == _core.isa and len(log.head.build) == 16
    assert [row.name for row in log.head.observations] == ["x", "theta"]
    assert log.head.limits == [(-10.0, 10.0, 0.0, 0.0, 0.0)] and log.head.dtype == finished.records.dtype
    assert log.end is not None and log.end["reason"] == "steps" and log.end["dropped"] == "0"
    assert not log.cut and log.start is not None


@pytest.mark.parametrize("part", range(4))
def test_a_log_cut_at_any_byte_replays_to_the_cut(chunks: Path, tmp_path: Path, part: int) -> None:
    data = chunks.read_bytes()
    whole = read_log(chunks)
    ends = _chunk_ends(data)
    assert len(ends) >= 15 and not whole.cut
    # At all positions around the boundaries of the file's parts, and at a sample of the rest.
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
        assert log.cut, "an undetected cut"
        assert len(log.records) == expected
        assert log.records.tobytes() == whole.records[:expected].tobytes()
        if expected in seen or log.start is None:
            continue
        seen.add(expected)
        found = replay.verify(log)
        assert found.difference is None and found.records == expected and found.ended
    assert len(seen) > 3


def test_a_flipped_bit_in_the_head_of_a_chunk_never_gives_another_record(chunks: Path, tmp_path: Path) -> None:
    """All of the first 42 bytes, opcode to compression: a chunk that is no longer one leaves no hole."""
    data = chunks.read_bytes()
    whole = read_log(chunks).records
    ends = _chunk_ends(data)
    begin = ends[2][1]
    while data[begin] != 6:  # over the index of the chunk before
        begin += 9 + int.from_bytes(data[begin + 1 : begin + 9], "little")
    damaged = tmp_path / "damaged.mcap"
    for bit in range(8 * 42):
        other = bytearray(data)
        other[begin + bit // 8] ^= 1 << bit % 8
        damaged.write_bytes(other)
        log = read_log(damaged)
        assert log.records.tobytes() == whole[: len(log.records)].tobytes(), (bit // 8, bit % 8)
        assert log.cut or len(log.records) == len(whole)


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
    folder, finished = run
    head = read_log(folder.file(RunFolder.LOG)).head
    path = tmp_path / "log.mcap"
    records = finished.records
    with LogFile(path, head, None, finished.episodes.dtype) as file:
        file.steps(np.delete(records[:50], [10, 11, 12]))
        file.steps(records[:0])
        file.steps(records[60:70])
    log = read_log(path)
    assert log.lost == [(10, 3), (50, 10)] and len(log.records) == 57
    assert replay.usable(log)[1] == "3 records are lost after record 10: a replay cannot continue after them"


def test_a_writer_that_cannot_keep_up_drops_and_counts(run: tuple[RunFolder, Any], tmp_path: Path) -> None:
    folder, finished = run
    head = read_log(folder.file(RunFolder.LOG)).head
    path = tmp_path / "log.mcap"
    writer = Writer(LogFile(path, head, None, finished.episodes.dtype), waiting=100)
    writer.add(finished.records[:150], finished.episodes[:0])  # more than the queue holds
    writer.add(finished.records[150:200], finished.episodes[:0])
    writer.close({"reason": "test"})
    log = read_log(path)
    assert writer.dropped == 150 and len(log.records) == 50
    assert log.lost == [(0, 150)] and log.end == {"reason": "test", "dropped": "150"}


class _Full(io.BytesIO):
    def write(self, data: Any) -> int:
        raise OSError(28, "No space left on device")


def test_a_full_disk_ends_the_log_and_not_the_run(run: tuple[RunFolder, Any], tmp_path: Path) -> None:
    folder, finished = run
    head = read_log(folder.file(RunFolder.LOG)).head
    file = LogFile(tmp_path / "log.mcap", head, None, finished.episodes.dtype)
    writer = Writer(file, chunk_s=0.01)
    file._writer._Writer__stream = _Full()
    for at in range(0, 300, 100):
        writer.add(finished.records[at : at + 100], finished.episodes[:0])
        logged.wait(lambda: bool(writer.problem))
    writer.close(None)
    assert "No space left" in writer.problem and writer.dropped > 0
    assert file._stream.closed


def test_a_log_leaves_room_for_checkpoints(
    run: tuple[RunFolder, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, finished = run
    head = read_log(folder.file(RunFolder.LOG)).head
    path = tmp_path / "log.mcap"
    free = 5000
    monkeypatch.setattr(LogFile, "free_bytes", lambda _: free)
    writer = Writer(LogFile(path, head, None, finished.episodes.dtype), chunk_s=0.01, reserve=4096)
    writer.add(finished.records[:100], finished.episodes[:0])
    logged.wait(lambda: len(read_log(path).records) == 100)
    assert writer.problem == ""
    free = 4000
    logged.wait(lambda: bool(writer.problem))
    writer.add(finished.records[100:200], finished.episodes[:0])
    writer.close({"reason": "test"})
    assert "the last 4 KiB of the disk are for checkpoints" in writer.problem and writer.dropped == 100
    assert len(read_log(path).records) == 100


def test_a_log_that_cannot_be_begun_holds_no_file(run: tuple[RunFolder, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, finished = run
    head = read_log(folder.file(RunFolder.LOG)).head

    def held() -> list[str]:
        return [
            os.readlink(f"/proc/self/fd/{fd}")
            for fd in os.listdir("/proc/self/fd")
            if os.path.exists(f"/proc/self/fd/{fd}")
        ]

    with pytest.raises(OSError, match="No space left"):
        LogFile("/dev/full", head, bytes(100_000), finished.episodes.dtype)
    assert "/dev/full" not in held()
    file = LogFile("/dev/null", head, None, finished.episodes.dtype)
    file._writer._Writer__stream = _Full()
    with pytest.raises(OSError, match="No space left"):
        file.close({"reason": "test"})
    assert file._stream.closed


def test_a_run_without_log_and_black_box_leaves_neither(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "bare")
    finished, _ = logged.run(
        folder, logged.config_of("run.steps=50", "log={mcap=false, blackbox_minutes=0, hash_every=0}")
    )
    assert list(folder.path.iterdir()) == [] and not finished.records["state_hash"].any()


def test_names_that_no_schema_allows_are_made_fit() -> None:
    from rtu_edge.record.messages import _schema

    names = {"x": ["Angle 1", "angle_1", "θ"], "u": [], "applied": []}
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
        recording = Recording(config, device, make_agent(config, device.sheet), RunFolder.create(tmp_path, "x"))
        with recording:
            recording.prepare(loop_config(config, device))
        recording.close()


def readable(path: Path) -> Log | None:
    """None if the head is cut off."""
    try:
        return read_log(path)
    except ValueError as error:
        if "truncated within its head" not in str(error):
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
