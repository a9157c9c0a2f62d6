"""A run that saves itself: resuming after a kill, refused checkpoints, a full disk, `rtu-edge ckpt`."""

from __future__ import annotations

import errno
import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from toolchain import ROOT

import rtu_edge.cli
from benchmarks.kill9 import SETTINGS
from rtu_edge._base.files import Disk
from rtu_edge.config import parse_config
from rtu_edge.learn import checkpoint, decode
from rtu_edge.learn.checkpoint.slots import Slots
from rtu_edge.loop import Clock, Loop, Snapshot, StopReason
from rtu_edge.record import RunFolder
from rtu_edge.record.reader import read_log
from rtu_edge.run import Watch, connect, loop_config, make_agent, run_loop
from rtu_edge.run.replay import verify
from rtu_edge.run.saving import Position, Saver, device_facts

JOB = f"""
[device]
plant = "cartpole"
[loop]
clock = "lockstep"
[learner]
units = 4
hidden = [4]
{SETTINGS}[learner_monitor]
snapshot_steps = 100
validation_steps = 50
td_error = 8.0
td_warmup = 200
max_rollbacks = 1000
[checkpoint]
every_s = 0.0
every_steps = 100
keep = 3
[run]
name = "run"
steps = 12_000
"""


def cli(*arguments: str | Path) -> tuple[int, str, str]:
    done = CliRunner().invoke(rtu_edge.cli.cli, [str(argument) for argument in arguments], catch_exceptions=True)
    return done.exit_code, done.output, str(done.exception)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a completed run."""
    place = tmp_path_factory.mktemp("whole")
    (place / "job.toml").write_text(JOB)
    code, out, error = cli("run", place / "job.toml", "--set", f"run.folder={json.dumps(str(place))}")
    assert code == 0, out + error
    return place / "run"


def state(path: Path) -> str:
    hashed: str = decode(path.read_bytes()).state_hash()
    return hashed


# ---------------------------------------------------------------- kill -9


def test_a_killed_run_goes_on_and_ends_as_if_nothing_had_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    """20 kills, with a learner monitor that trips before and after them; `python -m benchmarks.kill9` makes 1000."""
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.kill9 import Campaign

    campaign = Campaign(tmp_path, steps=10_000, seed=2)
    assert campaign.alone["rollbacks"] >= 10
    assert campaign.alone["monitor_frozen"] == 0
    campaign.run(20)
    record_property("table", json.dumps(campaign.counts, indent=1))
    assert campaign.counts["kills"] == 20
    assert campaign.counts["runs compared, equal"] >= 1


def test_a_killed_run_that_goes_on_elsewhere_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.kill9 import Campaign, Different, command, finish

    campaign = Campaign(tmp_path, steps=1000, seed=1)
    finish(command(campaign.job, "--set", f"run.folder={json.dumps(str(tmp_path / 'other'))}", "--set", "run.seed=2"))
    with pytest.raises(Different, match="left alone"):
        campaign.compare(tmp_path / "other")


# ---------------------------------------------------------------- resuming


def test_a_run_goes_on_from_any_of_its_checkpoints(whole: Path, tmp_path: Path) -> None:
    """The oldest one kept, used in place of the newest: the same final state, the same episodes."""
    cut = tmp_path / "cut"
    cut.mkdir()
    (cut / "config.toml").write_bytes((whole / "config.toml").read_bytes())
    oldest = Slots(whole).older()[-1]
    (cut / "checkpoint.rtu").write_bytes(oldest.read_bytes())
    code, out, error = cli("run", "--resume", cut, "--set", f"run.folder={json.dumps(str(tmp_path))}")
    assert code == 0, out + error
    done = checkpoint.read_text(oldest.read_bytes())[1]
    assert f"session starts, at step {done['steps']:,}" in out
    assert state(tmp_path / "run" / "checkpoint.rtu") == state(whole / "checkpoint.rtu")
    ours, theirs = (read_log(RunFolder(folder).log()).episodes for folder in (tmp_path / "run", whole))
    assert ours["episode"][0] == done["next_episode"]
    for name in ("episode", "total_return", "seed"):
        assert ours[name].tolist() == theirs[name][-len(ours) :].tolist()
    counters = RunFolder(tmp_path / "run").load_summary().stages["learning"].counters
    assert counters["rollbacks"] >= 1
    replayed = verify(read_log(tmp_path / "run" / RunFolder.LOG))
    assert replayed.difference is None, "its log has the supervisor's state at its start"
    assert replayed.final_equal


def test_a_run_that_is_over_does_not_go_on(whole: Path, tmp_path: Path) -> None:
    code, _, error = cli("run", "--resume", whole)
    assert code != 0
    assert "run.steps = 12000: must be above the 12000 that this run has done" in error
    more = ["--set", "run.steps=12100", "--set", f"run.folder={json.dumps(str(tmp_path))}"]
    code, _, error = cli("run", "--resume", whole, *more)
    assert code == 0, error
    assert RunFolder(tmp_path / "run").load_summary().stages["learning"].steps == 100


def test_a_learner_that_was_frozen_stays_frozen_and_another_run_gives_it_another_chance(tmp_path: Path) -> None:
    job_file = tmp_path / "job.toml"
    text = JOB.replace("td_error = 8.0", "td_error = 4.0").replace("max_rollbacks = 1000", "max_rollbacks = 0")
    job_file.write_text(text.replace("steps = 12_000", "steps = 20_000"))  # frozen long before the last checkpoints
    code, _, error = cli("run", job_file, "--set", f"run.folder={json.dumps(str(tmp_path))}")
    assert code == 0, error
    whole = tmp_path / "run"

    def counters(folder: Path) -> dict[str, int]:
        return RunFolder(folder).load_summary().stages["learning"].counters

    assert counters(whole)["monitor_frozen"] == 1
    cut = tmp_path / "cut"
    cut.mkdir()
    (cut / "config.toml").write_bytes((whole / "config.toml").read_bytes())
    (cut / "checkpoint.rtu").write_bytes(Slots(whole).older()[0].read_bytes())
    code, out, error = cli("run", "--resume", cut)
    assert code == 0, error
    assert "The learner monitor has frozen this learner" in out
    assert counters(tmp_path / "run-2")["monitor_frozen"] == 1
    assert counters(tmp_path / "run-2")["learner_steps"] == 0
    assert state(tmp_path / "run-2" / "checkpoint.rtu") == state(whole / "checkpoint.rtu")
    blocks = [
        checkpoint.read_beside((folder / "checkpoint.rtu").read_bytes()) for folder in (whole, tmp_path / "run-2")
    ]
    assert blocks[0] == blocks[1]
    code, out, error = cli("run", job_file, "--resume", cut, "--set", f"run.folder={json.dumps(str(tmp_path))}")
    assert code == 0, error
    assert "has frozen" not in out
    assert counters(tmp_path / "run-3")["learner_steps"] > 0


def test_the_seconds_of_a_run_count_over_its_sessions(whole: Path, tmp_path: Path) -> None:
    done = checkpoint.read_text((whole / "checkpoint.rtu").read_bytes())[1]["seconds"]
    assert done == pytest.approx(RunFolder(whole).load_summary().stages["learning"].seconds)
    assert done > 0
    more = ["--set", "run.steps=1000000", "--set", f"run.folder={json.dumps(str(tmp_path))}"]
    code, _, error = cli("run", "--resume", whole, *more, "--set", f"run.seconds={done / 2}")
    assert code != 0
    assert f"must be above the {done:.1f} that this run has taken" in error
    code, _, error = cli("run", "--resume", whole, *more, "--set", f"run.seconds={done + 0.2}")
    assert code == 0, error
    stage = RunFolder(tmp_path / "run").load_summary().stages["learning"]
    assert stage.reason == "seconds"
    assert stage.seconds < done + 0.2
    total = checkpoint.read_text((tmp_path / "run" / "checkpoint.rtu").read_bytes())[1]["seconds"]
    assert total == pytest.approx(done + stage.seconds)


def test_without_a_configuration_there_has_to_be_a_run(whole: Path) -> None:
    assert "CONFIG is missing" in cli("run")[1]
    assert "CONFIG is missing" in cli("run", "--resume", whole / "checkpoint.rtu")[1]


def test_a_damaged_newest_is_said_and_the_one_before_it_goes_on(whole: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    cut.mkdir()
    for name in ("config.toml", "checkpoint.rtu", Slots(whole).older()[0].name):
        (cut / name).write_bytes((whole / name).read_bytes())
    (cut / "checkpoint.rtu").write_bytes(bytes(3000))
    code, out, error = cli("run", "--resume", cut, "--set", f"run.folder={json.dumps(str(tmp_path))}")
    assert code == 0, error
    assert "set aside as checkpoint.damaged-1.rtu" in out.replace("\n", "")
    assert state(tmp_path / "run" / "checkpoint.rtu") == state(whole / "checkpoint.rtu")


@pytest.mark.parametrize(
    ("device", "words"),
    [
        (
            {"schema_hash": "0badcafe", "period_s": 0.02},
            r"schema_hash = 0badcafe: .* allowed: the device's \w{8}, or --force",
        ),
        (None, r"dt_s = 0.1: .* period of 0.1 s, the device 0.02 s; allowed: within 20%, or --force"),
    ],
)
def test_a_checkpoint_of_another_device_is_refused_unless_forced(
    device: dict[str, Any] | None, words: str, whole: Path, tmp_path: Path
) -> None:
    agent = decode((whole / "checkpoint.rtu").read_bytes())
    config = {**agent.config, **({} if device else {"dt_s": 0.1})}
    path = tmp_path / "other.rtu"
    path.write_bytes(agent.core.save(checkpoint.encode_config(config, {"device": device} if device else None)))
    arguments = ["run", whole / "config.toml", "--set", f"run.folder={json.dumps(str(tmp_path))}", "--resume", path]
    code, _, error = cli(*arguments, "--set", "run.steps=50")
    assert code != 0
    assert re.fullmatch(f"{re.escape(str(path))}: {words}", error)
    code, _, error = cli(*arguments, "--set", "run.steps=50", "--force")
    assert code == 0, error


# ---------------------------------------------------------------- the snapshot


@pytest.mark.parametrize("clock", ["lockstep", "device"])
def test_a_copy_is_taken_between_two_steps(clock: str) -> None:
    """In lockstep at the end of an episode; a learner that loads it equals the learner at that time."""
    config = parse_config(JOB)
    with connect(config) as device:
        agent = make_agent(config, device.sheet)
        twin = agent.copy()
        changes = {"steps": 100_000, "snapshots": True, "clock": Clock(clock)}
        loop = Loop(device.link, agent.core.policy(), loop_config(config, device, **changes))
        taken: list[Snapshot] = []
        with loop:
            loop.start()
            assert loop.take_snapshot() is None, "no request"
            while len(taken) < 5:
                loop.ask_snapshot()
                assert not loop.wait(0.002)
                if snapshot := loop.take_snapshot():
                    taken.append(snapshot)
            loop.request_stop()
            result = loop.result()
        assert result.counters["snapshots"] in (5, 6)
        ends = {int(row["total_steps"]): int(row["episode"]) for row in loop.drain_episodes()}
    for snapshot in taken:
        progress = snapshot.progress
        twin.core.adopt(snapshot.arena)
        counters = twin.state["counters"]
        if clock == "lockstep":
            assert progress.episode_steps == 0
            assert progress.next_episode == ends[progress.steps] + 1
            assert counters[2] == progress.steps, "every transition up to there has been learned from, and none after"
        assert counters[3] == progress.next_episode - 1
    assert agent.nbytes == len(taken[0].arena)
    with pytest.raises(ValueError, match="arena: expected"):
        twin.core.adopt(taken[0].arena[:-1])


def test_a_loop_without_room_for_a_copy_hands_none_out() -> None:
    config = parse_config(JOB)
    with connect(config) as device:
        agent = make_agent(config, device.sheet)
        with Loop(device.link, agent.core.policy(), loop_config(config, device, steps=300)) as loop:
            loop.ask_snapshot()
            loop.run()
            assert loop.take_snapshot() is None


# ---------------------------------------------------------------- full disk, read-only folder


class Full(Disk):
    """Has space for a number of files."""

    def __init__(self, files: int) -> None:
        self.files = files

    def write(self, handle: int, data: bytes) -> None:
        self.files -= 1
        super().write(handle, data if self.files >= 0 else data[:100])
        if self.files < 0:
            raise OSError(errno.ENOSPC, "No space left on device")


class ReadOnly(Full):
    def create(self, path: Path) -> int:
        self.files -= 1
        if self.files < 0:
            raise OSError(errno.EROFS, "Read-only file system")
        return super().create(path)

    def write(self, handle: int, data: bytes) -> None:
        Disk.write(self, handle, data)


@pytest.mark.parametrize(("disk", "words"), [(Full(1), "No space left"), (ReadOnly(1), "Read-only")])
def test_a_disk_that_fails_does_not_end_the_run(disk: Disk, words: str, tmp_path: Path) -> None:
    config = parse_config(JOB)
    said = []
    with connect(config) as device:
        agent = make_agent(config, device.sheet)
        saver = Saver(Slots(tmp_path, 3, disk), config.checkpoint, agent, Position(), device_facts(device))
        saver.save()
        first = Slots(tmp_path).newest().data
        watch: Watch = lambda *_: said.append(saver.complaint())  # noqa: E731
        loop = loop_config(config, device, steps=20_000)
        finished = run_loop(device, agent, loop, watch, saver=saver)
        assert finished.result.reason is StopReason.STEPS
        assert saver.counters["checkpoints_failed"] >= 2
        assert saver.counters["checkpoints"] == 1
        (complaint,) = filter(None, [*said, saver.complaint()])
        assert words in complaint
        assert complaint.startswith(f"{tmp_path}/checkpoint.rtu: not saved")
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"checkpoint.rtu": first}
        with pytest.raises(OSError, match=words):
            saver.finish(finished.progress, finished.session)
        Slots(tmp_path).save(agent.core.save(checkpoint.encode_config(agent.config)))  # space again
    assert state(tmp_path / "checkpoint.rtu") == agent.state_hash()


# ---------------------------------------------------------------- ckpt


def test_ckpt_ls_names_each_slot_and_what_is_damaged(whole: Path, tmp_path: Path) -> None:
    for number, path in enumerate([Slots(whole).current, *Slots(whole).older()]):
        (tmp_path / path.name).write_bytes(path.read_bytes() if number != 1 else path.read_bytes()[:-5])
    code, out, error = cli("ckpt", "ls", tmp_path)
    assert code == 0, error
    lines = out.splitlines()
    assert re.match(rf"checkpoint\.rtu +12,000 .* {state(whole / 'checkpoint.rtu')}", lines[1])
    assert "cut short or too long" in lines[2]
    assert len(lines) == 4
    assert "12,000" in cli("ckpt", "ls", tmp_path / "checkpoint.rtu")[1]


def test_ckpt_ls_says_when_and_in_which_zone(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoint.rtu"
    path.write_bytes(Slots(whole).current.read_bytes())
    os.utime(path, (1.7e9, 1.7e9))
    try:
        for zone, said in (("XST-05:30", "2023-11-15T03:43:20+05:30"), ("UTC", "2023-11-14T22:13:20+00:00")):
            monkeypatch.setenv("TZ", zone)
            time.tzset()
            assert f" {said} " in cli("ckpt", "ls", path)[1]
    finally:
        monkeypatch.undo()
        time.tzset()


def test_ckpt_diff_tells_sections_and_configuration(whole: Path) -> None:
    older = Slots(whole).older()[0]
    code, out, error = cli("ckpt", "diff", whole, older)
    assert code == 0, error
    run = checkpoint.read_text(older.read_bytes())[1]
    assert re.search(rf"^steps +12000 +{run['steps']} *$", out, re.MULTILINE)
    assert re.search(r"^actor\.cell\.trace\.A1 +4 x 2 +\S+ +\S+ +changed", out, re.MULTILINE)
    _, same, _ = cli("ckpt", "diff", older, older)
    assert "configuration: equal" in same
    assert "changed" not in same
    assert re.search(r"^(\d+) of \1 sections equal", same, re.MULTILINE)
    other = Path(__file__).parent / "golden" / "checkpoint_v1_x86_64.rtu"
    assert re.search(r"^units +4 +5 *$", cli("ckpt", "diff", older, other)[1], re.MULTILINE)
    assert "another layout" in cli("ckpt", "diff", older, other)[1]


def test_ckpt_rollback(whole: Path, tmp_path: Path) -> None:
    for path in [Slots(whole).current, *Slots(whole).older()]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    before = Slots(tmp_path).older()[0]
    wanted, replaced = state(before), state(whole / "checkpoint.rtu")
    code, out, error = cli("ckpt", "rollback", tmp_path)
    assert code == 0, error
    assert before.name in out
    assert state(tmp_path / "checkpoint.rtu") == wanted
    assert state(Slots(tmp_path).older()[0]) == replaced
    code, _, error = cli("ckpt", "rollback", tmp_path, "--slot", "99")
    assert code != 0
    assert "slot = 99: must be one of those kept" in error
