"""Disks, locks and clocks of small computers: slow cards, network shares, full and read-only disks, a wall clock at
1970.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import logged
import pytest
from stranger import GOLDEN
from test_service import LIMITS, Manager, robot, until
from toolchain import preload

import rtu_edge as rtu
from rtu_edge import _core
from rtu_edge._base.errors import cause_of
from rtu_edge._base.files import Disk, write
from rtu_edge.device import lock as control
from rtu_edge.device.simulated import SimulatedDevice
from rtu_edge.learn import checkpoint
from rtu_edge.learn.checkpoint.slots import Slots
from rtu_edge.loop import RecordFlag
from rtu_edge.record import RunFolder
from rtu_edge.record.file import LogFile
from rtu_edge.record.messages import STEPS
from rtu_edge.record.reader import read_log
from rtu_edge.record.sessions import Sessions, locked

JOB = '[device]\nplant = "cartpole"\n[loop]\nclock = "lockstep"\n[learner]\nunits = 4\nhidden = [4]\n'


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Manager:
    made = Manager(tmp_path)
    monkeypatch.setenv("NOTIFY_SOCKET", made.address)
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    return made


def with_disk(**faults: str | int | Path) -> dict[str, str]:
    """This environment with disk_faults.c loaded."""
    return {
        **os.environ,
        "LD_PRELOAD": str(preload("disk_faults")),
        **{key: str(value) for key, value in faults.items()},
    }


def cli(*arguments: str | Path, env: dict[str, str] | None = None) -> tuple[int, str]:
    """Run `rtu-edge` in a separate process; exit code and output."""
    command = [sys.executable, "-m", "rtu_edge.cli", *map(str, arguments)]
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert "Traceback" not in done.stdout, done.stdout
    return done.returncode, re.sub(r"\s+", " ", done.stdout)


def job(tmp_path: Path, steps: int = 300) -> Path:
    path = tmp_path / "job.toml"
    path.write_text(f"{JOB}[run]\nname = 'run'\nsteps = {steps}\nfolder = '{tmp_path}'\n")
    return path


# ---------------------------------------------------------------- a card whose sync takes longer than the watchdog


class Systemd:
    """Reads what a service reports, and keeps the longest time between two messages that feed its watchdog."""

    def __init__(self, manager: Manager) -> None:
        self._manager, self._over = manager, threading.Event()
        self.longest_s, self.extended, self.ready = 0.0, 0, threading.Event()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        fed_s = 0.0
        while not self._over.is_set():
            try:
                line = self._manager._socket.recv(4096).decode()
            except TimeoutError:
                continue
            now_s = time.monotonic()
            if line == "READY=1":
                fed_s = now_s
                self.ready.set()
            elif line == "WATCHDOG=1":
                self.longest_s, fed_s = max(self.longest_s, now_s - fed_s), now_s
            self.extended += line.startswith("EXTEND_TIMEOUT_USEC=")
        self.longest_s = max(self.longest_s, time.monotonic() - fed_s)

    def close(self) -> None:
        self._over.set()
        self._thread.join()


@pytest.mark.hazard("learning-lost-to-watchdog")
@pytest.mark.timing
def test_a_card_that_is_slower_than_the_watchdog_kills_no_service_and_loses_nothing(
    manager: Manager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arming, saving and exiting each take longer than the watchdog's time, but less than the unit's timeouts."""
    watchdog_s = 0.6
    monkeypatch.setenv("WATCHDOG_USEC", str(int(watchdog_s * 1e6)))
    environment = with_disk(DISK_SYNC_MS=800, DISK_FOLDER=tmp_path)
    with SimulatedDevice("cartpole", max_steps=100_000) as device:
        config = robot(tmp_path, device.port, LIMITS)
        command = [sys.executable, "-m", "rtu_edge.cli", "serve", str(config)]
        systemd = Systemd(manager)
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            assert systemd.ready.wait(20)
            until(lambda: control.status(device.port)["arm_token"] != 0)
            control.arm(device.port, control.status(device.port)["arm_token"])
            until(lambda: control.status(device.port)["steps"] > 10)
            before = systemd.extended
            process.send_signal(signal.SIGINT)  # KillSignal of the unit
            out, _ = process.communicate(timeout=40)
            assert process.returncode == 0, out
        finally:
            process.kill()
            process.wait()
            systemd.close()
    assert systemd.longest_s < watchdog_s
    assert systemd.extended > before, "systemd is asked to wait beyond TimeoutStopSec"
    saved = tmp_path / "runs" / "robot" / "checkpoint.rtu"
    records = read_log(tmp_path / "runs" / "robot" / "session" / "log.mcap").records
    acted = int(((records["flags"] & RecordFlag.ACTED) != 0).sum())
    assert checkpoint.read_text(saved.read_bytes(), saved)[1]["steps"] == acted > 10


# ------------------------------------------------------------ folders that cannot be synced, unsupported locks


class Answers(Disk):
    """A file system with this result of syncing a folder."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
        real = os.fsync

        def fsync(handle: int) -> None:
            if os.path.isdir(f"/proc/self/fd/{handle}"):
                raise OSError(number, os.strerror(number))
            real(handle)

        monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.hazard("disk-unusual")
@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.ENOSYS])
def test_a_folder_that_cannot_be_synced_is_told_once(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Answers(monkeypatch, number)
    agent = rtu.StreamAC(2, 1, units=4, hidden=4)
    data = agent.core.save(checkpoint.encode_config(agent.config))
    slots = Slots(tmp_path, 2, disk)
    slots.save(data)
    slots.save(data)
    write(tmp_path / "other", b"x", disk)
    note = slots.note()
    assert f"{tmp_path}: its file system cannot sync a folder ({os.strerror(number)})" in note
    assert slots.note() == ""
    assert slots.newest().data == data and (tmp_path / "other").read_bytes() == b"x"


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EROFS])
def test_a_folder_whose_sync_fails_is_named(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Answers(monkeypatch, number)
    with pytest.raises(OSError, match=os.strerror(number)) as failed:
        write(tmp_path / "a", b"x", disk)
    assert failed.value.filename == str(tmp_path) and failed.value.errno == number
    assert disk.note() == ""


def test_a_run_on_a_share_that_syncs_no_folder(tmp_path: Path) -> None:
    """CIFS: EINVAL. Reported once, and the run completes."""
    code, out = cli("run", job(tmp_path), env=with_disk(DISK_FOLDER_SYNC=errno.EINVAL, DISK_FOLDER=tmp_path))
    assert code == 0, out
    assert out.count("cannot sync a folder (Invalid argument)") == 1
    assert Slots(tmp_path / "run").newest()


def test_a_medium_that_fails_is_an_error_with_its_path(tmp_path: Path) -> None:
    code, out = cli("run", job(tmp_path), env=with_disk(DISK_FOLDER_SYNC=errno.EIO, DISK_FOLDER=tmp_path))
    assert code == 2 and f"{tmp_path}/run: Input/output error: the medium has failed" in out, out


@pytest.fixture
def lock_fails(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[bool, int]], None]:
    """Behaviour of flock on a file system: an errno for folders (True) and files (False)."""
    import fcntl

    def set_up(answers: dict[bool, int]) -> None:
        real = fcntl.flock

        def flock(handle: Any, operation: int) -> None:
            number = answers.get(
                os.path.isdir(f"/proc/self/fd/{handle if isinstance(handle, int) else handle.fileno()}")
            )
            if number:
                raise OSError(number, os.strerror(number))
            real(handle, operation)

        monkeypatch.setattr(fcntl, "flock", flock)

    return set_up


def test_nfs_locks_a_file_in_the_folder(tmp_path: Path, lock_fails: Any) -> None:
    lock_fails({True: errno.EBADF})
    with locked(tmp_path) as ours:
        assert ours.free and not ours.problem
        with locked(tmp_path) as theirs:
            assert not theirs.free and not theirs.problem, "in use by another, and that is known"
    with locked(tmp_path) as again:
        assert again.free


@pytest.mark.hazard("disk-unusual")
@pytest.mark.parametrize("answers", [{True: errno.ENOLCK}, {True: errno.EBADF, False: errno.ENOLCK}])
def test_a_file_system_without_locks_is_not_taken_for_another_service(
    answers: dict[bool, int], tmp_path: Path, lock_fails: Any
) -> None:
    lock_fails(answers)
    with locked(tmp_path) as lock:
        assert not lock.free and lock.problem == "No locks available"
    sessions = Sessions(tmp_path, 1)
    for _ in range(2):
        with sessions.new() as session:
            session.file(RunFolder.LOG).write_bytes(bytes(4096))
    (said,) = sessions.sweep()
    assert said.startswith(f"{tmp_path}/session: not removed") and "No locks available" in said
    assert len(sessions.all()) == 2


def test_a_service_on_nfs_without_locks_runs_and_tells(manager: Manager, tmp_path: Path) -> None:
    with SimulatedDevice("cartpole") as device:
        config = robot(tmp_path, device.port, LIMITS)
        command = [sys.executable, "-m", "rtu_edge.cli", "serve", str(config)]
        environment = with_disk(DISK_LOCK=errno.ENOLCK, DISK_FOLDER=tmp_path)
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            manager.until("READY=1")
            process.send_signal(signal.SIGTERM)
            out, _ = process.communicate(timeout=20)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 0 and "cannot be locked (No locks available)" in out, out
    assert "another service" not in out


# ---------------------------------------------------------------- full and read-only


@pytest.mark.hazard("disk-unusual")
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_fills_while_a_run_goes_is_named_and_the_good_checkpoint_stays(number: int, tmp_path: Path) -> None:
    """From its second save on. The run completes with exit code 1: not everything could be written."""
    environment = with_disk(DISK_WRITE=number, DISK_WHEN=tmp_path / "run" / "checkpoint.1.rtu", DISK_FOLDER=tmp_path)
    saves = ("--set", "checkpoint.every_steps=100")
    code, out = cli("run", job(tmp_path, 4000), *saves, env=environment)
    assert code == 1, out
    assert f"{tmp_path}/run/checkpoint.rtu: {cause_of(OSError(number, os.strerror(number)))}" in out
    assert f"log: {tmp_path}/run/log.mcap: {os.strerror(number)}" in out
    stored = Slots(tmp_path / "run").newest()
    assert stored.notes == () and 0 < checkpoint.read_text(stored.data)[1]["steps"] < 4000


@pytest.mark.parametrize(
    ("file", "number"),
    [
        ("checkpoint.rtu", errno.EROFS),
        ("config.toml", errno.ENOSPC),
        ("events.jsonl", errno.ENOSPC),
        ("blackbox.rtubox", errno.EDQUOT),
        ("log.mcap", errno.ENOSPC),
    ],
)
def test_a_disk_that_is_full_before_a_run_moves_nothing(file: str, number: int, tmp_path: Path) -> None:
    """Any file without space: an error with its path, exit code 2, no step."""
    # Atomically replaced files have their name only after writing: faults start when the previous version exists.
    since = {"checkpoint.rtu": "", "config.toml": "checkpoint.rtu"}.get(file, file)
    when = {"DISK_WHEN": tmp_path / "run" / since} if since else {}
    code, out = cli("run", job(tmp_path), env=with_disk(DISK_WRITE=number, DISK_FOLDER=tmp_path / "run", **when))
    assert code == 2 and f"{tmp_path}/run/{file}: {cause_of(OSError(number, os.strerror(number)))}" in out, out
    assert "300 steps" not in out


OUTPUTS: dict[str, list[str]] = {
    "moment.rtu": ["replay", "RUN", "--save", "OUT"],
    "what-if.npz": ["replay", "RUN", "--set", "learner.trace_decay=0.5", "--out", "FOLDER"],
    "box.npz": ["blackbox", "RUN", "--export", "OUT"],
    "box.mcap": ["blackbox", "RUN", "--export", "OUT"],
    "box.png": ["blackbox", "RUN", "--plot", "OUT"],
    "run.png": ["inspect", "RUN", "--plot", "OUT"],
    "run.svg": ["inspect", "RUN", "--plot", "OUT"],
    "policy.onnx": ["export", "RUN", "--out", "OUT"],
}


@pytest.mark.hazard("disk-unusual")
@pytest.mark.parametrize("name", OUTPUTS)
def test_a_file_that_finds_no_room_is_named_and_the_old_one_stays(name: str, tmp_path: Path) -> None:
    """For every file that a command writes: the old or the new version, and no other file."""
    folder, path = tmp_path / "out", tmp_path / "out" / name
    shutil.copytree(GOLDEN, tmp_path / "run")
    folder.mkdir()
    path.write_bytes(b"as it was")
    places = {"RUN": tmp_path / "run", "OUT": path, "FOLDER": folder}
    code, out = cli(
        *(places.get(word, word) for word in OUTPUTS[name]),
        env={**with_disk(DISK_WRITE=errno.ENOSPC, DISK_FOLDER=folder), "RTU_EDGE_ISA": "scalar"},
    )
    assert code == 2 and f"rtu-edge: {path}: {os.strerror(errno.ENOSPC)}" in out, out
    assert path.read_bytes() == b"as it was" and [each.name for each in folder.iterdir()] == [name]


def test_what_to_do_is_known_for_what_a_person_can_mend() -> None:
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO, errno.EFBIG):
        assert cause_of(OSError(number, os.strerror(number))).startswith(f"{os.strerror(number)}: ")
    assert cause_of(OSError("odd")) == "odd"


# ---------------------------------------------------------------- wall clocks


@pytest.mark.hazard("wall-clock-wrong")
@pytest.mark.parametrize(
    ("clock", "jumps", "commands"),
    [
        (5, 0, ["inspect"]),
        (-86_400, 0, ["replay"]),
        (20, -10_000_000, ["blackbox", "resume"]),
    ],
    ids=["behind the uptime", "before 1970", "jumps back and forth"],
)
def test_a_run_whatever_the_wall_clock_shows(clock: int, jumps: int, commands: list[str], tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "LD_PRELOAD": str(preload("wall_clock")),
        "WALL_CLOCK": str(clock),
        "WALL_CLOCK_JUMPS": str(jumps),
    }
    code, out = cli("run", job(tmp_path), env=environment)
    assert code == 0, out
    folder = RunFolder(tmp_path / "run")
    times = message_times(folder.file(RunFolder.LOG))
    assert len(times) >= 300 and times == sorted(set(times)) and times[0] >= 0
    assert times[-1] - times[0] < 60e9, "they follow the monotonic clock, whatever the other one does"
    events = [event["t_s"] for event in folder.events()]
    assert events == sorted(events) and events[0] >= 0
    assert folder.load_summary().stages["learning"].steps == 300
    for command in commands:
        more = (
            ["run", "--resume", folder.path, "--set", "run.steps=400"]
            if command == "resume"
            else [command, folder.path]
        )
        code, out = cli(*more, env=environment)
        assert code == 0, (command, out)


def message_times(path: Path) -> list[int]:
    """log_time of all steps, in the order of the file, by an independent reader."""
    from mcap.reader import NonSeekingReader

    found: list[int] = []
    with path.open("rb") as stream:
        for _, _, message in NonSeekingReader(stream).iter_messages(topics=[STEPS], log_time_order=False):
            assert message.log_time == message.publish_time
            found.append(message.log_time)
    return found


def test_a_log_of_times_before_1970_has_none(tmp_path: Path) -> None:
    """For example from a black box of an older version with such a clock."""
    log, _ = logged.by_hand(logged.config_of(), 20)
    head = type(log.head)(**{**{n: getattr(log.head, n) for n in log.head.__struct_fields__}, "epoch_ns": -(10**18)})
    with LogFile(tmp_path / "log.mcap", head, log.start, _core.episode_dtype()) as file:
        file.steps(log.records)
        file.close({})
    assert set(message_times(tmp_path / "log.mcap")) == {0}
    assert read_log(tmp_path / "log.mcap").records.tobytes() == log.records.tobytes()


@pytest.mark.parametrize("when_s", [-1.7e9, 0.0, 1e13])
def test_ckpt_ls_shows_any_time(when_s: float) -> None:
    """On a memory file system, which stores the year 318857."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        path = Path(folder) / "checkpoint.rtu"
        rtu.StreamAC(2, 1, units=4, hidden=4).save(path)
        os.utime(path, (when_s, when_s))
        assert path.stat().st_mtime == when_s
        code, out = cli("ckpt", "ls", folder)
    assert code == 0 and "checkpoint.rtu" in out, out
