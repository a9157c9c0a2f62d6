"""A learner is replayed from its log, bit for bit."""

from __future__ import annotations

import copy
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import logged
import numpy as np
import pytest
import stranger

import rtu_edge as rtu
import rtu_edge.cli
from rtu_edge import _core, _testing
from rtu_edge._base.errors import ConfigError
from rtu_edge.loop import CallFlag, LimiterFlag, Loop, LoopStatus, RecordFlag
from rtu_edge.record import RunFolder
from rtu_edge.record.reader import Log, read_log
from rtu_edge.run import replay, what_if
from rtu_edge.run.replay import DifferenceFlag

SLEW = "limits.force={min=-8, max=9, slew_per_s=300}"


def cli(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as leaving:
        rtu_edge.cli.main([str(argument) for argument in arguments])
    out, err = capfd.readouterr()
    assert isinstance(leaving.value.code, int)
    return leaving.value.code, out, err


def altered(log: Log, at: int, field: str, value: Any) -> Log:
    other = copy.copy(log)
    other.records = log.records.copy()
    other.records[field][at] = value
    return other


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """3000 steps with slew-limited commands."""
    folder = RunFolder.create(tmp_path_factory.mktemp("runs"), "short")
    config = logged.config_of(SLEW, "run.steps=3000")
    _, agent = logged.run(folder, config)
    agent.save(folder.file(RunFolder.CHECKPOINT))
    return folder


@pytest.fixture(scope="module")
def log(short: RunFolder) -> Log:
    return read_log(short.file(RunFolder.LOG))


def test_what_stands_twice_is_the_same() -> None:
    assert {flag.name: flag.value for flag in DifferenceFlag} == _testing.difference_flags()


# ---------------------------------------------------------------- acceptance 8


# A learner that no rollback interrupts.
STEADY = ("learner.body='shared'", "learner.actor.kappa=3", "learner.sigma_floor=0.1")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "drops"),
    [((), ()), ((SLEW, *STEADY), range(5, 100_000, 7)), (('learner.actions="discrete"', "learner.body='shared'"), ())],
    ids=["plain", "limited and dropped", "discrete"],
)
def test_a_hundred_thousand_logged_steps_verify_to_the_bit(
    tmp_path: Path, changes: tuple[str, ...], drops: Sequence[int]
) -> None:
    folder = RunFolder.create(tmp_path, "long")
    config = logged.config_of(*changes, "run.steps=100_000")
    finished, agent = logged.run(folder, config, supervised=bool(changes), drop_updates=list(drops))
    counters = finished.result.counters
    # One that coincides with a rollback, which learns nothing, is repeated.
    assert 0 <= counters["updates_dropped"] - len(drops) <= counters.get("rollbacks", 0)
    log = read_log(folder.file(RunFolder.LOG))
    assert not log.cut and not log.lost and log.records.tobytes() == finished.records.tobytes()
    overridden = ((log.records["calls"] & CallFlag.APPLIED) != 0).sum()
    limited = ((log.records["command_limiter"] & LimiterFlag.SLEW) != 0).sum()
    assert (limited > 1000) == (SLEW in changes) and overridden < 10 and len(log.episodes) > 20
    found = replay.verify(log)
    assert found.difference is None and found.ended == ""
    assert found.steps == 100_000 and found.records == len(finished.records)
    assert found.hashes == (found.records + 99) // 100 >= 1000
    assert found.final_equal and found.agent.state_hash() == agent.state_hash()


@pytest.mark.parametrize(
    "changes", [(), ('learner.actions="discrete"',), ("learner.body='shared'", "learner.recompute=true")]
)
def test_dropped_updates_replaced_actions_and_pauses_replay(changes: tuple[str, ...]) -> None:
    """Driven from Python, so that the native loop does not verify itself."""
    log, _ = logged.by_hand(logged.config_of(*changes), 30_000)
    calls = log.records["calls"]
    learned = (calls & CallFlag.LEARN) != 0
    assert (learned & ((calls & CallFlag.WEIGHTS) == 0)).sum() > 1000
    assert ((calls & CallFlag.APPLIED) != 0).sum() > 300 and (~learned).sum() > 3000
    assert ((log.records["flags"] & RecordFlag.TRUNCATED) != 0).sum() > 3
    found = replay.verify(log)
    assert found.difference is None, str(found.difference)
    assert found.records == 30_000 and found.hashes == 300 and found.final_equal


@pytest.mark.parametrize(("name", "largest"), [("u", "largest"), ("value", "largest_value")])
def test_a_nan_is_infinitely_far(log: Log, name: str, largest: str) -> None:
    """Also if only distances are compared: on another instruction set."""
    assert getattr(replay.verify(log, stop=False), largest) == 0.0
    assert getattr(replay.verify(altered(log, 100, name, np.nan), stop=False), largest) == np.inf


def test_a_run_that_went_on_from_another_replays(tmp_path: Path) -> None:
    config = logged.config_of("run.steps=500", "run.seed=3")
    _, agent = logged.run(RunFolder.create(tmp_path, "one"), config)
    folder = RunFolder.create(tmp_path, "two")
    before = agent.state_hash()
    logged.run(folder, config, agent)
    log = read_log(folder.file(RunFolder.LOG))
    assert log.head.start_hash == before
    found = replay.verify(log)
    assert found.difference is None and found.final_equal and found.agent.state_hash() == agent.state_hash()
    log.start = None
    with pytest.raises(ConfigError, match="state at the start is not in the log"):
        replay.verify(log)


def test_learning_switched_off_and_on_in_a_running_loop_replays(tmp_path: Path) -> None:
    config = logged.config_of("run.steps=4000")
    folder = RunFolder.create(tmp_path, "switched")
    loops: list[Loop] = []
    made = Loop.start

    def start(self: Loop) -> None:
        loops.append(self)
        made(self)

    def watch(status: LoopStatus, *_: Any) -> None:
        on = status.steps // 500 % 2 == 0
        loops[0].set_learning(on, on)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loop, "start", start)
        from rtu_edge.run import connect, loop_config, make_agent, run_loop
        from rtu_edge.run.recording import Recording

        with connect(config) as device:
            agent = make_agent(config, device.sheet)
            with Recording(config, device, agent, folder) as recording:
                run_loop(device, agent, loop_config(config, device), watch, 0.005, recording=recording)
    log = read_log(folder.file(RunFolder.LOG))
    explored = (log.records["calls"] & CallFlag.EXPLORE) != 0
    assert explored.any() and not explored.all()
    found = replay.verify(log)
    assert found.difference is None and found.final_equal


# ---------------------------------------------------------------- differences


def test_a_changed_input_is_found_where_it_was(log: Log) -> None:
    at = 1234
    x = log.records["x"][at].copy()
    x[1] += np.float32(1e-5)  # its last digit alone could vanish in the rounding of x - mean
    found = replay.verify(altered(log, at, "x", x)).difference
    assert found is not None and at <= found.sequence <= at + 1
    found = replay.verify(altered(log, at, "reward", 0.5)).difference
    assert found is not None and found.sequence == at and found.what & DifferenceFlag.ESTIMATE
    assert re.match(
        rf"first difference at step [\d,]+ \(record {at:,}, episode \d+, its step \d+\): estimate", str(found)
    )


def test_a_changed_command_or_hash_is_found(log: Log) -> None:
    at = 1200
    assert log.records["state_hash"][at] != 0
    u = log.records["u"][at].copy()
    u[0] = np.nextafter(u[0], np.float32(0))
    found = replay.verify(altered(log, at, "u", u)).difference
    assert found is not None and (found.sequence, found.what) == (at, DifferenceFlag.COMMAND)
    found = replay.verify(altered(log, at, "state_hash", 1)).difference
    assert found is not None and (found.sequence, found.what) == (at, DifferenceFlag.HASH)
    assert "recorded 0000000000000001" in str(found)


@pytest.mark.parametrize("start", ["0" * 16, "[/red]", "\x1b[2J"])
def test_a_start_that_is_another_is_refused_in_one_line(
    short: RunFolder, tmp_path: Path, capfd: pytest.CaptureFixture[str], start: str
) -> None:
    path = tmp_path / RunFolder.LOG
    data = short.file(RunFolder.LOG).read_bytes()
    path.write_bytes(stranger.with_head(data, lambda head: head.update(start_hash=start)))
    err = stranger.refused(capfd, "replay", path, "--verify")
    assert f"{path}: the learner's state at the start is not in the log" in err and "\x1b" not in err


def test_a_forgotten_call_is_found(log: Log) -> None:
    at = 777
    dropped = log.records["calls"][at] & ~np.uint32(CallFlag.WEIGHTS)
    found = replay.verify(altered(log, at, "calls", dropped)).difference
    assert found is not None and at <= found.sequence <= at + 1


def test_a_changed_end_is_found(log: Log) -> None:
    other = copy.copy(log)
    other.end = {"state_hash": "0" * 16}
    assert replay.verify(other).final_equal is False and replay.verify(log).final_equal is True


def test_a_lost_record_ends_a_replay(log: Log) -> None:
    other = copy.copy(log)
    other.records = np.delete(log.records, [2000, 2001, 2500])
    found = replay.verify(other)
    assert found.records == 2000 and found.difference is None and found.final_equal is None
    assert found.ended == "2 records are lost after record 2,000: a replay cannot continue after them"


# ---------------------------------------------------------------- until, what if


def test_until_is_the_state_of_a_run_of_so_many_steps(
    tmp_path: Path, short: RunFolder, log: Log, capfd: pytest.CaptureFixture[str]
) -> None:
    _, agent = logged.run(RunFolder.create(tmp_path, "a"), logged.config_of(SLEW, "run.steps=1111"))
    saved = tmp_path / "moment.rtu"
    code, _, err = cli(capfd, "replay", short.path, "-o", tmp_path / "result")
    assert code == 2 and "only a what-if writes a result" in err
    code, out, err = cli(capfd, "replay", short.path, "--verify", "--until", 1111, "--save", saved)
    assert code == 0, err
    assert "1,111 steps" in out and "the learner after step 1,111" in out
    assert rtu.load(saved).state_hash() == agent.state_hash()
    found = replay.verify(log, until=999_999)
    assert found.ended == "the run had no step 999,999" and found.steps == 3000


def test_the_same_learner_predicts_the_same() -> None:
    """What-if without a change: values are bit-identical if every action was applied as chosen."""
    log, _ = logged.by_hand(logged.config_of(), 3000)
    applied = (log.records["calls"] & CallFlag.APPLIED) != 0
    assert applied.any()  # told in both
    found = what_if.what_if(log, [f"learner.gamma={log.head.learner['gamma']}"])
    np.testing.assert_array_equal(found.was.value, found.would.value)
    np.testing.assert_array_equal(found.was.delta, found.would.delta)
    other = what_if.what_if(log, ["learner.trace_decay=0.3"])
    assert not np.array_equal(other.was.value, other.would.value) and np.isfinite(other.would.value).all()


def test_returns_are_those_of_the_definition() -> None:
    F, T, U = RecordFlag.FIRST, RecordFlag.TERMINATED, RecordFlag.TRUNCATED
    records = np.zeros(8, _core.record_dtype(2, 1))
    records["flags"] = [F, 0, T, F, 0, U, F, 0]
    records["reward"] = [0, 1, 2, 0, 1, 1, 0, 1]
    nan = np.nan
    np.testing.assert_allclose(what_if.returns_of(records, 0.5), [2.0, 2.0, 0.0, nan, nan, nan, nan, nan])


def test_a_what_if_prints_a_comparison_and_leaves_it(
    tmp_path: Path, short: RunFolder, capfd: pytest.CaptureFixture[str]
) -> None:
    code, out, err = cli(
        capfd,
        "replay",
        short.path,
        "--set",
        "learner.trace_decay=0.5",
        "--set",
        "learner.units=4",
        "--out",
        tmp_path / "w",
    )
    assert code == 0, err
    for words in ("mean |delta|", "correlation of value and return", "was initialised again", "what-if.png"):
        assert words in out
    with np.load(tmp_path / "w" / "what-if.npz") as arrays:
        assert len(arrays["value_was"]) == len(arrays["value_would"]) == len(arrays["step"]) == 3000
    assert (tmp_path / "w" / "what-if.png").stat().st_size > 10_000


@pytest.mark.parametrize("change", ["run.steps=5", 'learner.actions="discrete"', "learner.unit=3", "learner.gamma=2"])
def test_what_a_replay_cannot_change_is_refused(log: Log, change: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(change.split("=")[0])):
        what_if.what_if(log, [change])


# ---------------------------------------------------------------- the command


def test_the_command_verifies_and_fails_on_a_difference(
    tmp_path: Path, short: RunFolder, capfd: pytest.CaptureFixture[str]
) -> None:
    code, out, err = cli(capfd, "replay", short.path, "--verify")
    assert code == 0, err
    equal = r"equal to the bit: every command and estimate, 3\d state hashes, and so is the state at the end"
    assert re.search(equal, out)
    log = read_log(short.file(RunFolder.LOG))
    record = log.records[1500]
    data = bytearray(_uncompressed(short.file(RunFolder.LOG), tmp_path / "plain.mcap").read_bytes())
    at = data.index(record.tobytes()[:160])
    data[at + log.head.dtype.fields["x"][1] + 1] ^= 1  # type: ignore[index]  # a bit that no rounding hides
    broken = tmp_path / "broken.mcap"
    broken.write_bytes(_recounted(data))
    code, out, err = cli(capfd, "replay", broken, "--verify")
    assert code == 1
    assert "first difference at step" in err
    assert cli(capfd, "replay", broken)[0] == 0


def test_another_instruction_set_is_forced_or_said(
    short: RunFolder, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import subprocess
    import sys

    here = [sys.executable, "-m", "rtu_edge.cli", "replay", str(short.path), "--verify", "--tolerance", "0.9"]
    said = subprocess.run(here, env={"RTU_EDGE_ISA": "scalar"}, capture_output=True, text=True)
    if _core.isa != "scalar":
        assert "not a bit-for-bit check: recorded with" in said.stdout and said.returncode == 0, (
            said.stdout + said.stderr
        )
    # A process that would have chosen another one: the log's own is forced in a process of its own.
    code = f"from rtu_edge import _core, cli\n_core.isa = 'another'\ncli.main({here[3:]!r})\n"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert said.returncode == 0 and "equal to the bit" in said.stdout, said.stdout + said.stderr


def test_what_is_not_a_log_is_refused(tmp_path: Path, short: RunFolder, capfd: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.mcap"
    other.write_bytes(b"something else entirely")
    for path in (other, tmp_path):
        code, _, err = cli(capfd, "replay", path)
        assert code == 2 and "Traceback" not in err
    assert cli(capfd, "replay", short.path, "--set", "learner.gamma=0.9", "--verify")[0] == 2


def _uncompressed(source: Path, target: Path) -> Path:
    """The same log without compression, so that a test can modify it."""
    from mcap.reader import make_reader
    from mcap.records import Attachment, Metadata
    from mcap.stream_reader import StreamReader
    from mcap.writer import CompressionType, Writer

    with source.open("rb") as stream, target.open("wb") as out:
        writer = Writer(out, compression=CompressionType.NONE, chunk_size=1 << 30)
        writer.start()
        for record in StreamReader(stream, emit_chunks=True).records:
            if isinstance(record, Metadata):
                writer.add_metadata(record.name, record.metadata)
            elif isinstance(record, Attachment):
                writer.add_attachment(0, 0, record.name, record.media_type, record.data)
        stream.seek(0)
        channels: dict[int, int] = {}
        for schema, channel, message in make_reader(stream).iter_messages(log_time_order=False):
            assert schema is not None
            if channel.id not in channels:
                made = writer.register_schema(schema.name, schema.encoding, schema.data)
                channels[channel.id] = writer.register_channel(channel.topic, channel.message_encoding, made)
            writer.add_message(channels[channel.id], message.log_time, message.data, message.publish_time)
        writer.finish()
    return target


def _recounted(data: bytearray) -> bytes:
    """With the chunk's CRC corrected: a deliberately modified log."""

    def length_of(at: int) -> int:
        return int.from_bytes(data[at + 1 : at + 9], "little")

    at = 8
    while data[at] != 6:  # to the chunk
        at += 9 + length_of(at)
    body = at + 9 + 28 + 4 + 8  # past times, size, CRC, no compression's name, length
    data[at + 9 + 24 : at + 9 + 28] = zlib.crc32(data[body : at + 9 + length_of(at)]).to_bytes(4, "little")
    return bytes(data)
