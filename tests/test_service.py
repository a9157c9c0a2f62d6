"""The service: its files, systemd's protocol with a watchdog that only a running loop feeds, and arming through the
socket.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

import rtu_edge.cli
from rtu_edge import _testing
from rtu_edge._base.errors import ConfigError, DeviceError
from rtu_edge.config import load_config
from rtu_edge.device import lock
from rtu_edge.device.ports import open_port
from rtu_edge.device.protocol import DeviceState
from rtu_edge.device.simulated import SimulatedDevice
from rtu_edge.learn import checkpoint
from rtu_edge.learn.checkpoint.slots import Slots
from rtu_edge.loop import Clock, Link, Loop, LoopConfig, RecordFlag, Reward, StopReason
from rtu_edge.record import RunFolder
from rtu_edge.record.reader import read_log
from rtu_edge.record.sessions import Sessions
from rtu_edge.run import connect, make_agent, replay, service
from rtu_edge.run.saving import Position, Saver, device_facts
from rtu_edge.tools import estop as stops

LIMITS = "[limits.force]\nmin = -5.0\nmax = 5.0\nslew_per_s = 200.0\n"


def robot(tmp_path: Path, port: str, limits: str = LIMITS) -> Path:
    path = tmp_path / "robot.toml"
    ttl = "[loop]\nttl_ms = 200\n"  # the device's maximum, so that a busy test host does not end a run
    text = f'[device]\nport = "{port}"\n{ttl}[learner]\nunits = 8\nhidden = [8]\n'
    text += f'[run]\nfolder = "{tmp_path}/runs"\n{limits}'
    path.write_text(text)
    return path


def run(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as leaving:
        rtu_edge.cli.main(arguments)
    out, err = capfd.readouterr()
    assert isinstance(leaving.value.code, int)
    return leaving.value.code, out + err


class Manager:
    """Replaces systemd: the datagram socket of a service manager."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._socket.settimeout(0.05)

    def heard(self, seconds: float) -> list[str]:
        said, give_up = [], time.monotonic() + seconds
        while time.monotonic() < give_up:
            try:
                said.append(self._socket.recv(4096).decode())
            except TimeoutError:
                continue
        return said

    def until(self, wanted: str, seconds: float = 20.0) -> None:
        give_up = time.monotonic() + seconds
        while time.monotonic() < give_up:
            if any(wanted in line for line in self.heard(0.05)):
                return
        raise AssertionError(f"{wanted!r} was not reported")


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Manager:
    made = Manager(tmp_path)
    monkeypatch.setenv("NOTIFY_SOCKET", made.address)
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    return made


# ---------------------------------------------------------------- files


def test_files_are_shown_and_written_only_on_demand(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config, root = robot(tmp_path, "/dev/ttyACM0"), tmp_path / "root"
    code, said = run(capfd, "service", str(config), "--user", "robot", "--root", str(root))
    assert code == 0 and not root.exists()
    for word in ("would be written", "Type=notify", "WatchdogSec=", "User=robot", "latency_timer", "rtprio", "memlock"):
        assert word in said
    code, said = run(capfd, "service", str(config), "--user", "robot", "--root", str(root), "--apply")
    assert code == 0, said
    written = sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
    assert written == [
        "etc/security/limits.d/rtu-edge.conf",
        "etc/systemd/system/rtu-edge.service",
        "etc/tmpfiles.d/rtu-edge.conf",
        "etc/udev/rules.d/70-rtu-edge.rules",
    ]
    assert "d /run/rtu-edge 1777 root root -\n" in (root / written[2]).read_text()
    assert f"serve {config}" in (root / written[1]).read_text()


def test_a_place_that_the_service_will_not_see_is_noted(capfd: pytest.CaptureFixture[str]) -> None:
    """Its unit has PrivateTmp=yes."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, tempfile.TemporaryDirectory(dir=Path.cwd()) as seen:
        for place, noted in ((folder, True), (seen, False)):
            code, said = run(capfd, "service", str(robot(Path(place), "/dev/ttyACM0")), "--user", "robot")
            assert code == 0 and (f"# note: {place}/" in said) is noted


@pytest.mark.parametrize("option", ["--unit", "--user"])
@pytest.mark.parametrize(
    "value", ["", "a/b", "../a", ".a", "a b", "a\nb", "a\tb", "a%i", "a:b", "a@b", "*", "ä", "a" * 201]
)
def test_a_name_that_is_none_is_refused(
    option: str, value: str, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    root = tmp_path / "root"
    arguments = {"--unit": "arm-1.left", "--user": "robot", option: value}
    words = [word for pair in arguments.items() for word in pair]
    code, said = run(capfd, "service", str(robot(tmp_path, "/dev/ttyACM0")), *words, "--root", str(root), "--apply")
    assert code == 2 and f"{option} = " in said and "must be 1 to" in said
    assert not root.exists()


def test_a_path_is_one_word_of_the_unit(tmp_path: Path) -> None:
    """As systemd reads it: "%" and "$" begin something there."""
    folder = tmp_path / 'a 100% $HOME "b" \\c'
    folder.mkdir()
    path = folder / "robot.toml"
    unit = service.parts(path, "robot", "arm-1.left")[0]
    (line,) = (line for line in unit.text.splitlines() if line.startswith("ExecStart="))
    expected = str(tmp_path) + r"/a 100%% $$HOME \"b\" \\c/robot.toml"
    assert line.endswith(f' serve "{expected}"')
    with pytest.raises(ConfigError, match="printable"):
        service.parts(tmp_path / "a\nExecStartPre=b", "robot")


@pytest.mark.parametrize(
    ("port", "match"),
    [
        (
            "/dev/serial/by-id/usb-Raspberry_Pi_Pico_E6614C-if00",
            'ENV{ID_BUS}=="usb", ENV{ID_SERIAL}=="Raspberry_Pi_Pico_E6614C", ENV{ID_USB_INTERFACE_NUM}=="00"',
        ),
        (
            "/dev/serial/by-id/usb-FTDI_Quad_RS232-if02-port0",
            'ENV{ID_BUS}=="usb", ENV{ID_SERIAL}=="FTDI_Quad_RS232", ENV{ID_USB_INTERFACE_NUM}=="02"',
        ),
        ("/dev/arm-E6614C", 'ENV{ID_BUS}=="usb", ENV{ID_SERIAL_SHORT}=="E6614C"'),
        ("/dev/ttyAMA0", 'KERNEL=="ttyAMA0"'),
        ('/dev/tty*"', 'KERNEL==""'),  # would match others
        ("socket://board:5000", 'KERNEL=="board:5000"'),  # no device
    ],
)
def test_the_udev_rule_is_for_the_configured_device_alone(port: str, match: str) -> None:
    rule = service.parts("/etc/robot.toml", "robot", "arm", port=port)[1].text.splitlines()
    assert match + ', GOTO="rtu_edge_found"' in rule
    # Every other device is closed before a change.
    sets = [at for at, line in enumerate(rule) if "ID_MM" in line or "SYMLINK" in line or "latency_timer" in line]
    assert len(sets) == 3 and min(sets) > rule.index('GOTO="rtu_edge_end"') > rule.index(
        match + ', GOTO="rtu_edge_found"'
    )


def test_a_kernel_s_name_becomes_the_identity_of_what_is_plugged_in(tmp_path: Path) -> None:
    (tmp_path / "serial" / "by-id").mkdir(parents=True)
    (tmp_path / "ttyACM0").touch()
    (tmp_path / "serial" / "by-id" / "usb-Board_1234-if00").symlink_to("../../ttyACM0")
    rule = service._rule(str(tmp_path / "ttyACM0"), "arm", str(tmp_path))
    assert 'ENV{ID_SERIAL}=="Board_1234"' in rule and "KERNEL" not in rule


def test_only_root_installs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ConfigError, match="only root"):
        service.apply(service.parts(tmp_path / "robot.toml", "robot"), Path("/"))


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    folder = tmp_path / "100% $HOME"
    folder.mkdir()
    unit = service.parts(robot(folder, "/dev/ttyACM0"), "root")[0]
    path = tmp_path / "rtu-edge.service"
    path.write_text(unit.text)
    assert shutil.which("systemd-analyze"), "systemd-analyze is missing: run tools/setup.sh test"
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", path], capture_output=True, text=True)
    complaints = [line for line in (done.stdout + done.stderr).splitlines() if "rtu-edge" in line]
    assert complaints == [], complaints


def test_a_learner_belongs_to_one_service(manager: Manager, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Two plants whose files name the same folder: the second would save its learner over the first one's."""
    with SimulatedDevice() as one, SimulatedDevice() as other:
        config = robot(tmp_path, one.port)
        first = subprocess.Popen([sys.executable, "-m", "rtu_edge.cli", "serve", str(config)], cwd=tmp_path)
        try:
            manager.until("READY=1")
            code, said = run(capfd, "serve", str(config), "--set", f"device.port={other.port}")
            assert code == 2, said
            assert f"run.name: {tmp_path}/runs/robot holds the learner of another service that runs" in said
        finally:
            first.send_signal(signal.SIGINT)
            assert first.wait(20) == 0
        assert list((tmp_path / "runs" / "robot").iterdir()) == []


# ---------------------------------------------------------------- systemd's protocol


def test_a_hung_loop_is_not_fed(manager: Manager) -> None:
    """The reward function hangs the loop on its own thread; the supervising thread continues, but stops feeding."""
    hang = False

    def reward(x: Any, u: Any) -> float:
        while hang:
            time.sleep(0.01)
        return 0.0

    with SimulatedDevice() as device, open_port(device.port) as port, Link(port) as link:
        link.handshake()
        config = LoopConfig(clock=Clock.DEVICE, handle_signals=False, reward=Reward("callable", function=reward))
        watchdog = service.Watchdog(link)
        with Loop(link, _testing.LinearPolicy(2, [0.0]).policy(), config) as loop:
            loop.start()
            fed = 0
            for _ in range(40):
                loop.wait(0.01)
                fed += watchdog.look()
            assert fed >= 4
            hang = True
            loop.wait(0.1)
            watchdog.look()  # iterations before
            fed = sum(watchdog.look() for _ in range(30) if not loop.wait(0.02))
            hang = False
            assert fed == 0
            loop.wait(0.1)
            assert watchdog.look() or link.running is False
    assert set(manager.heard(0.2)) == {"WATCHDOG=1"}


def test_without_a_manager_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert service.notify("READY=1") is False
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere/at/all")
    assert service.notify("READY=1") is False


# ---------------------------------------------------------------- serve and arm


def test_serve_needs_limits(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with SimulatedDevice() as device:
        code, said = run(capfd, "serve", str(robot(tmp_path, device.port, limits="")))
    assert code == 2 and "limits.force" in said


def check_three_sessions(folder: Path) -> None:
    """One learner over three processes: each run resumes from the previous one, and the checkpoint has the total."""
    sessions = sorted(folder.glob("session*"))
    assert [{"config.toml", "log.mcap"} <= {file.name for file in path.iterdir()} for path in sessions] == [True] * 3
    logs = [read_log(path / "log.mcap") for path in sessions]
    acted = [int(((log.records["flags"] & RecordFlag.ACTED) != 0).sum()) for log in logs]
    assert min(acted[0], acted[2]) > 0 and acted[1] == 0, "the second was refused"
    assert all(replay.verify(log).difference is None for log in logs)
    saved = folder / "checkpoint.rtu"
    assert checkpoint.read_text(saved.read_bytes(), saved)[1]["steps"] == sum(acted)


@pytest.mark.timing
def test_a_service_starts_disarmed_arms_on_demand_and_stops(manager: Manager, tmp_path: Path) -> None:
    """The whole chain: READY, a wrong number, the right one, emergency stop, clear, and a new session."""
    with SimulatedDevice("cartpole", max_steps=100_000) as device:
        config = robot(tmp_path, device.port)
        command = [sys.executable, "-m", "rtu_edge.cli", "serve", str(config)]

        def start() -> subprocess.Popen[str]:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            manager.until("READY=1")
            return process

        def arm(process: subprocess.Popen[str]) -> None:
            token = lock.status(device.port)["arm_token"]
            lock.arm(device.port, token)
            until(lambda: lock.status(device.port)["running"])
            assert lock.status(device.port)["arm_token"] == 0
            with pytest.raises(DeviceError, match="not armed"):
                lock.arm(device.port, token)  # a number serves once

        process = start()
        try:
            assert lock.status(device.port)["running"] is False
            token = lock.status(device.port)["arm_token"]
            with pytest.raises(DeviceError, match="not armed"):
                lock.arm(device.port, token % 9000 + 1001 if token % 9000 + 1001 != token else 1000)
            assert lock.status(device.port)["running"] is False
            arm(process)
            manager.until("WATCHDOG=1")
            assert stops.estop(device.port).by == "owner"
            out, _ = process.communicate(timeout=20)
            assert process.returncode == 4, out
            assert stops.estop(device.port).by == "direct"  # latched for every client
            process = start()
            token = lock.status(device.port)["arm_token"]
            lock.arm(device.port, token)
            until(lambda: lock.status(device.port)["arm_token"] not in (0, token))  # refused; it waits again
            process.send_signal(signal.SIGTERM)
            out, _ = process.communicate(timeout=20)
            assert process.returncode == 0 and "latched" in out, out
        finally:
            process.kill()
            process.wait()
        cleared = subprocess.run([*command[:3], "clear", device.port], capture_output=True, text=True)
        assert cleared.returncode == 0, cleared.stderr
        process = start()
        try:
            arm(process)
            # A signal before arming is not a safety stop.
            until(lambda: lock.status(device.port)["steps"] > 0)
            process.send_signal(signal.SIGTERM)
            out, _ = process.communicate(timeout=20)
            assert process.returncode == 0, out
        finally:
            process.kill()
            process.wait()
        check_three_sessions(tmp_path / "runs" / "robot")
        with open_port(device.port) as port, Link(port) as link:
            link.handshake()
            loop = Loop(link, _testing.LinearPolicy(2, [0.0]).policy(), LoopConfig(steps=5))
            assert loop.run().reason is StopReason.STEPS
            assert loop.status().device_state == DeviceState.DISARMED


def until(condition: Any, seconds: float = 20.0) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "it did not happen in time"
        time.sleep(0.02)


def test_clear_says_when_it_could_not(capfd: pytest.CaptureFixture[str]) -> None:
    code, said = run(capfd, "clear", "/dev/nowhere")
    assert code == 3 and "/dev/nowhere" in said


def test_clear_names_the_owner_that_has_to_end_first(capfd: pytest.CaptureFixture[str]) -> None:
    with SimulatedDevice() as device, open_port(device.port) as port, Link(port):
        code, said = run(capfd, "clear", device.port)
    assert code == 3 and f"process {os.getpid()} owns this port; end it first" in said, said
    assert "estop" not in said


@pytest.mark.timing
@pytest.mark.parametrize("newest", ["damaged", "set aside"])
def test_a_service_goes_on_from_the_checkpoint_before_a_damaged_one(
    newest: str, manager: Manager, tmp_path: Path
) -> None:
    with SimulatedDevice("cartpole", max_steps=100_000) as device:
        config = robot(tmp_path, device.port)
        folder = tmp_path / "runs" / "robot"
        folder.mkdir(parents=True)
        slots = Slots(folder)
        settings = load_config(config)
        with connect(settings) as connection:
            agent = make_agent(settings, connection.sheet)
            for steps in (100, 200):
                Saver(slots, settings.checkpoint, agent, Position(steps), device_facts(connection)).save()
        damaged = bytearray(slots.current.read_bytes())
        damaged[len(damaged) // 2] ^= 1
        slots.current.write_bytes(damaged)
        if newest == "set aside":  # left by an interrupted start
            assert slots.set_aside() and not slots.current.exists()
        command = [sys.executable, "-m", "rtu_edge.cli", "serve", str(config)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            manager.until("READY=1")
            lock.arm(device.port, lock.status(device.port)["arm_token"])
            until(lambda: lock.status(device.port)["running"])
            process.send_signal(signal.SIGTERM)
            out, _ = process.communicate(timeout=20)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 0 and ("set aside as" in out) == (newest == "damaged"), out
    assert (folder / "checkpoint.damaged-1.rtu").read_bytes() == damaged
    records = read_log(folder / "session" / "log.mcap").records
    acted = int(((records["flags"] & RecordFlag.ACTED) != 0).sum())
    assert checkpoint.read_text(slots.current.read_bytes(), slots.current)[1]["steps"] == 100 + acted


# ---------------------------------------------------------------- full disk, lost device


class Serving:
    """A running `rtu-edge serve`."""

    def __init__(self, config: Path, port: str, manager: Manager) -> None:
        self.port = port
        command = [sys.executable, "-m", "rtu_edge.cli", "serve", str(config)]
        # No one reads the watchdog messages: the manager's queue would fill up.
        environment = {key: value for key, value in os.environ.items() if key != "WATCHDOG_USEC"}
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        manager.until("READY=1")

    def let_files_grow(self, to_bytes: int) -> None:
        """Limits the file size, to simulate a full disk."""
        limit = resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (limit if to_bytes < 0 else to_bytes, limit))

    def arm(self) -> int:
        """Returns the number used; a new one is valid after that run."""
        until(lambda: lock.status(self.port)["arm_token"] != 0)
        token = int(lock.status(self.port)["arm_token"])
        lock.arm(self.port, token)
        return token

    def until_disarmed(self, token: int) -> None:
        until(lambda: lock.status(self.port)["arm_token"] not in (0, token))

    def stop(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGTERM)
        return self.end()

    def end(self) -> tuple[int, str]:
        try:
            out, _ = self.process.communicate(timeout=20)
            return self.process.returncode, out
        finally:
            self.process.kill()
            self.process.wait()


@pytest.mark.timing
def test_a_full_disk_does_not_end_a_service(manager: Manager, tmp_path: Path) -> None:
    """Does not arm if nothing can be recorded; the learner state stays in memory until there is space."""
    saved = tmp_path / "runs" / "robot" / "checkpoint.rtu"
    with SimulatedDevice("cartpole", max_steps=100_000) as device:
        config = robot(tmp_path, device.port, f"steps = 60\n{LIMITS}")
        serving = Serving(config, device.port, manager)
        serving.let_files_grow(0)
        serving.until_disarmed(serving.arm())
        assert lock.status(device.port)["steps"] == 0
        serving.let_files_grow(-1)
        token = serving.arm()
        until(lambda: lock.status(device.port)["steps"] > 10)
        serving.let_files_grow(0)
        serving.until_disarmed(token)
        assert not saved.exists()
        serving.let_files_grow(-1)
        until(saved.exists)
        assert checkpoint.read_text(saved.read_bytes(), saved)[1]["steps"] == 60
        code, out = serving.stop()
    assert code == 0, out
    assert (
        "File too large: raise this user's limit for the size of a file (ulimit -f); not armed: arm again after that"
        in out
    )
    assert (
        f"{saved}: not saved: File too large: " in out
        and "; the learner is kept in memory" in out
        and "is saved" in out
    )


@pytest.mark.timing
def test_a_learner_that_is_lost_is_no_orderly_end(manager: Manager, tmp_path: Path) -> None:
    with SimulatedDevice("cartpole", max_steps=100_000) as device:
        serving = Serving(robot(tmp_path, device.port), device.port, manager)
        serving.arm()
        until(lambda: lock.status(device.port)["steps"] > 10)
        serving.let_files_grow(0)
        code, out = serving.stop()
    assert code == 1 and "what the last run has learned is lost" in out, out


@pytest.mark.timing
@pytest.mark.parametrize("armed", [True, False])
def test_a_device_that_goes_away_ends_a_service_which_systemd_starts_again(
    armed: bool, manager: Manager, tmp_path: Path
) -> None:
    with SimulatedDevice("cartpole", max_steps=100_000) as device:
        serving = Serving(robot(tmp_path, device.port), device.port, manager)
        if armed:
            serving.arm()
            until(lambda: lock.status(device.port)["steps"] > 10)
    code, out = serving.end()
    assert code == 3 and "the port is gone" in out, out
    assert (tmp_path / "runs" / "robot" / "checkpoint.rtu").exists() == armed


# ---------------------------------------------------------------- disk usage of its sessions


def sessions_of(folder: Path, kib: list[int], limit_kib: int) -> Sessions:
    """Existing sessions of these sizes, oldest first."""
    folder.mkdir(exist_ok=True)
    sessions = Sessions(folder, limit_kib * 1024)
    for size in kib:
        with sessions.new() as session:
            session.file(RunFolder.LOG).write_bytes(bytes(size * 1024))
    return sessions


@pytest.mark.parametrize(
    ("kib", "limit", "left"),
    [
        ([64] * 4, 256, [1, 2, 3, 4]),
        ([64] * 4, 255, [2, 3, 4]),
        ([64] * 4, 128, [3, 4]),
        ([64, 64, 640], 128, [3]),  # the newest is kept at any size
        ([8] * 12, 24, [10, 11, 12]),  # by number, not by name
        ([64] * 3, 0, [1, 2, 3]),  # no bound
    ],
)
def test_the_oldest_sessions_make_room(tmp_path: Path, kib: list[int], limit: int, left: list[int]) -> None:
    sessions = sessions_of(tmp_path, kib, limit)
    (tmp_path / "checkpoint.rtu").write_bytes(bytes(4096))
    (tmp_path / "sessions-of-mine").mkdir()
    said = sessions.sweep()
    assert [path.name for path in sessions.all()] == ["session" if n == 1 else f"session-{n}" for n in left]
    assert len(said) == len(kib) - len(left) and all("removed" in text for text in said)
    assert {path.name for path in tmp_path.iterdir()} >= {"checkpoint.rtu", "sessions-of-mine"}
    with sessions.new() as session:
        assert session.path.name == f"session-{left[-1] + 1}", "a number is not used twice"


def test_a_session_in_use_stays(tmp_path: Path) -> None:
    """By any process: two services may share a folder."""
    sessions = sessions_of(tmp_path, [64], 1)
    with sessions.new() as session:
        session.file(RunFolder.LOG).write_bytes(bytes(65536))
        sessions_of(tmp_path, [64], 1)
        assert len(Sessions(tmp_path, 1).sweep()) == 1
        assert [path.name for path in sessions.all()] == ["session-2", "session-3"]
    assert len(sessions.sweep()) == 1 and [path.name for path in sessions.all()] == ["session-3"]


def test_a_session_that_cannot_be_removed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = sessions_of(tmp_path, [64, 64], 1)

    def refuse(path: Path) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(shutil, "rmtree", refuse)
    assert sessions.sweep() == [f"{tmp_path}/session: cannot be removed: Read-only file system"]


def test_serve_sweeps_before_it_waits(manager: Manager, tmp_path: Path) -> None:
    with SimulatedDevice("cartpole") as device:
        config = robot(tmp_path, device.port, f"[log]\nsessions_mib = 1\n{LIMITS}")
        (tmp_path / "runs").mkdir()
        sessions = sessions_of(tmp_path / "runs" / "robot", [1024, 1024], 0)
        command = [sys.executable, "-m", "rtu_edge.cli", "serve", str(config)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            manager.until("READY=1")
            until(lambda: lock.status(device.port)["arm_token"] != 0)
            process.send_signal(signal.SIGTERM)
            out, _ = process.communicate(timeout=20)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 0 and "session: removed" in out, out
    assert [path.name for path in sessions.all()] == ["session-2"]
