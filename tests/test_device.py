"""The firmware as a process: behaves like any port, and goes safe for every failure of its host."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import serial
from rtu_edge._bridge import lib

import rtu_edge.cli
from rtu_edge._base.errors import ConfigError, DeviceError
from rtu_edge.device import protocol
from rtu_edge.device.protocol import DeviceState, FrameType, Status
from rtu_edge.device.simulated import InProcessDevice, SimulatedDevice, firmware_path

TTL_MS = 60
PERIOD_US = 20_000


class Host:
    """A minimal host: frames in, frames out."""

    def __init__(self, port: str) -> None:
        self.port = serial.Serial(port, timeout=0)
        self.decoder = protocol.Decoder()
        self.seq = 0
        self.waiting: list[protocol.Frame] = []
        self.port.write(b"\0")

    def send(self, message: protocol.Message, t_us: int = 0) -> None:
        self.port.write(protocol.encode(protocol.pack(message, self.seq, t_us)))
        self.seq += 1

    def frames(self, seconds: float = 5.0) -> Iterator[protocol.Frame]:
        """Frames as they arrive, for a given time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            while self.waiting:
                yield self.waiting.pop(0)
            if select.select([self.port], [], [], 0.05)[0]:
                self.waiting += self.decoder.feed(self.port.read(65536))

    def next(self, kind: type[protocol.Message], seconds: float = 5.0) -> protocol.Message:
        for frame in self.frames(seconds):
            message = protocol.unpack(frame)
            if isinstance(message, kind):
                return message
        raise AssertionError(f"no {kind.__name__} within {seconds} s")

    def hello(self) -> protocol.Hello:
        self.send(protocol.Hello())
        hello = self.next(protocol.Hello)
        assert isinstance(hello, protocol.Hello)
        return hello

    def ask(self, message: protocol.Message) -> Status:
        seq = self.seq
        self.send(message)
        while True:
            ack = self.next(protocol.Ack)
            assert isinstance(ack, protocol.Ack)
            if ack.seq == seq:
                return Status(ack.status)

    def counter(self, index: int) -> int:
        self.send(protocol.Param(index))
        param = self.next(protocol.Param)
        assert isinstance(param, protocol.Param)
        return param.bits


@contextmanager
def host_of(port: str) -> Iterator[Host]:
    host = Host(port)
    try:
        yield host
    finally:
        host.port.close()


def test_port_like_any_other() -> None:
    with SimulatedDevice("cartpole", boot_id=42) as device, host_of(device.port) as host:
        hello = host.hello()
        assert (hello.boot_id, hello.period_us, hello.observation_size, hello.action_size) == (42, PERIOD_US, 2, 1)
        assert hello.caps == protocol.Cap.SIMULATED | protocol.Cap.LOCKSTEP | protocol.Cap.REWARD | protocol.Cap.RESET
        assert f"{hello.fw_major}.{hello.fw_minor}.{hello.fw_patch}" == rtu_edge.__version__
        state = host.next(protocol.State)
        assert isinstance(state, protocol.State)
        assert state.state == DeviceState.DISARMED
        assert device.running


def test_closing_twice_and_reopening_the_port() -> None:
    device = SimulatedDevice("servo")
    for _ in range(3):  # the far end stays open: no end of file, no input/output error
        with host_of(device.port) as host:
            host.hello()
    pid = device.pid
    device.close()
    device.close()
    assert not device.running
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(DeviceError, match="closed"):
        _ = device.pid


def test_starts_differ() -> None:
    seen = set()
    for _ in range(3):
        with SimulatedDevice() as device, host_of(device.port) as host:
            seen.add(host.hello().boot_id)
    assert len(seen) == 3


def test_link_stays_with_its_name(tmp_path: Path) -> None:
    link = tmp_path / "robot"
    with SimulatedDevice(link=link) as device:
        assert os.readlink(link) == device.port
        with host_of(str(link)) as host:
            host.hello()
    assert not link.is_symlink()
    with SimulatedDevice(link=link), SimulatedDevice(link=link) as second:
        assert os.readlink(link) == second.port
    assert not link.is_symlink()


def test_a_link_takes_the_place_of_links_to_ptys_alone(tmp_path: Path) -> None:
    """A file, a folder, or a link to another port (such as those of /dev/serial/by-id) is not replaced."""
    (tmp_path / "file").write_text("as it was")
    (tmp_path / "folder").mkdir()
    (tmp_path / "by-id").symlink_to(tmp_path / "file")
    (tmp_path / "null").symlink_to("/dev/null")
    before = sorted((each.name, each.is_symlink()) for each in tmp_path.iterdir())
    for name in ("file", "folder", "by-id", "null"):
        with pytest.raises(DeviceError, match="File exists"):
            SimulatedDevice(link=tmp_path / name)
    assert sorted((each.name, each.is_symlink()) for each in tmp_path.iterdir()) == before
    assert (tmp_path / "by-id").read_text() == "as it was"
    for target in (tmp_path / "nowhere", "/dev/pts/99999"):  # the latter left by a killed process
        (tmp_path / "gone").symlink_to(target)
        with SimulatedDevice(link=tmp_path / "gone") as device:
            assert os.readlink(tmp_path / "gone") == device.port


def test_a_link_of_a_living_device_is_not_taken_over(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with SimulatedDevice(link=tmp_path / "board") as device, pytest.raises(SystemExit) as leaving:
        rtu_edge.cli.main(["device", "servo", "--link", str(tmp_path / "board")])
    assert leaving.value.code == 2
    assert f"exists and leads to {device.port}, which may be another device's" in capfd.readouterr().err


def test_plain_process_ends_cleanly_when_asked() -> None:
    for how in (signal.SIGTERM, signal.SIGINT):
        process = subprocess.Popen([firmware_path()], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("/dev/")
        process.send_signal(how)
        assert process.wait(timeout=5) == 0
        process.stdout.close()


def test_ends_when_its_parent_is_gone() -> None:
    script = "from rtu_edge.device.simulated import SimulatedDevice as D; d = D(); print(d.pid, flush=True); input()"
    parent = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None and parent.stdin is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdin.close()
    parent.stdout.close()
    for _ in range(200):
        state = Path(f"/proc/{pid}/stat")
        if not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return
        time.sleep(0.02)
    raise AssertionError("the firmware outlived its parent")


def test_speaks_on_a_descriptor_it_is_given() -> None:
    import socket

    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = subprocess.Popen(
            [firmware_path(), "--fd", str(theirs.fileno()), "--boot-id", "5"], pass_fds=[theirs.fileno()]
        )
        theirs.close()
        hello = protocol.unpack(protocol.Decoder().feed(ours.recv(4096))[0])
        assert isinstance(hello, protocol.Hello)
        assert hello.boot_id == 5
    assert process.wait(timeout=5) == 0, "the line has ended"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--plant", "unicycle"],
        ["--seed", "-1"],
        ["--seed", ""],
        ["--ttl-max-ms", "0"],
        ["--ttl-max-ms", "60001"],
        ["--slew", "nan"],
        ["--slew", "-1"],
        ["--reset-ticks", "65536"],
        ["--frobnicate", "1"],
        ["--seed"],
    ],
)
def test_bad_options(arguments: list[str]) -> None:
    done = subprocess.run([firmware_path(), *arguments], capture_output=True, text=True, timeout=10)
    assert done.returncode == 2
    assert arguments[0] in done.stderr
    assert done.stdout == ""


def test_device_errors_name_what_is_wrong() -> None:
    with pytest.raises(ConfigError, match=r'plant "unicycle": unknown; must be one of cartpole, .*servo-full'):
        SimulatedDevice("unicycle")
    with pytest.raises(DeviceError, match="unicycle"):
        InProcessDevice("unicycle")


def test_missing_firmware(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RTU_EDGE_FIRMWARE", "/nowhere/tl_firmware")
    with pytest.raises(DeviceError, match="/nowhere/tl_firmware"):
        SimulatedDevice()
    monkeypatch.setenv("RTU_EDGE_FIRMWARE", __file__)
    with pytest.raises(DeviceError, match=f"{__file__}: cannot be started: Permission denied"):
        SimulatedDevice()


def test_firmware_may_be_named_by_its_file_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "mine").symlink_to(firmware_path())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RTU_EDGE_FIRMWARE", "mine")
    with SimulatedDevice("servo") as device:
        assert os.path.exists(device.port)


def test_process_and_in_process_say_the_same_in_lockstep() -> None:
    """The pty changes nothing: 300 steps with the same bytes."""

    def drive(exchange: object, steps: int) -> list[protocol.Frame]:
        found = exchange(protocol.Arm(1, lockstep=True), 0, 0, 2)[:1]  # type: ignore[operator]
        found += exchange(protocol.Reset(1, 1, 99), 1, 0, 2)  # type: ignore[operator]
        for step in range(steps):
            t_us = found[-1].t_us
            cmd = protocol.Cmd(1, t_us, 50, (float(step % 5 - 2),), lockstep=True)
            found += exchange(cmd, 2 + step, t_us, 1)  # type: ignore[operator]
            if protocol.unpack(found[-1]).epflags & protocol.Episode.TERMINATED:  # type: ignore[union-attr]
                break
        return found

    inside = InProcessDevice("cartpole")
    inside.tick(0)

    def exchange_inside(message: protocol.Message, seq: int, t_us: int, answers: int) -> list[protocol.Frame]:
        return protocol.Decoder().feed(inside.receive(protocol.encode(protocol.pack(message, seq, t_us)), 0))

    with SimulatedDevice("cartpole") as device, host_of(device.port) as host:
        host.hello()
        armed = False

        def exchange(message: protocol.Message, seq: int, t_us: int, answers: int) -> list[protocol.Frame]:
            nonlocal armed
            host.port.write(protocol.encode(protocol.pack(message, seq, t_us)))
            found = []
            for frame in host.frames():
                armed = armed or frame.type == FrameType.ACK
                if armed:
                    found.append(frame)
                if len(found) == answers:
                    return found
            raise AssertionError("no answer")

        assert drive(exchange, 300) == drive(exchange_inside, 300)


HOST = """
import select, sys
import serial
from rtu_edge.device import protocol as wire
port, session, ttl_ms = serial.Serial(sys.argv[1], timeout=0), int(sys.argv[2]), int(sys.argv[3])
decoder, seq = wire.Decoder(), 0
port.write(b"\\0" + wire.encode(wire.pack(wire.Arm(session), seq)))
while True:
    select.select([port], [], [])
    for frame in decoder.feed(port.read(65536)):
        if frame.type != wire.FrameType.STATE:
            continue
        seq += 1
        command = wire.Cmd(session, frame.t_us, ttl_ms, (1.0,))
        print(seq, frame.t_us, flush=True)  # before: each command that the device may know is known here
        port.write(wire.encode(wire.pack(command, seq, frame.t_us)))
"""


@pytest.mark.hazard("host-silent")
def test_stopped_host() -> None:
    """Acceptance: the host is stopped in mid-run; the device is safe within TTL and one tick of its own clock, and
    stays so.
    """
    with SimulatedDevice("servo", ttl_max_ms=TTL_MS) as device:
        host_process = subprocess.Popen(
            [sys.executable, "-c", HOST, device.port, "7", str(TTL_MS)], stdout=subprocess.PIPE
        )
        assert host_process.stdout is not None
        answered = {}  # seq of a command -> t_us of the STATE it answers
        for _ in range(50):
            seq, t_us = map(int, host_process.stdout.readline().split())
            answered[seq] = t_us
        host_process.send_signal(signal.SIGSTOP)
        time.sleep(0.3)
        os.set_blocking(host_process.stdout.fileno(), False)
        for line in (host_process.stdout.read() or b"").splitlines():
            seq, t_us = map(int, line.split())
            answered[seq] = t_us

        with open(device.port, "rb+", buffering=0) as raw:  # output of the device meanwhile, unread by the host
            decoder, states = protocol.Decoder(), []
            end = time.monotonic() + 10
            while not (states and states[-1][1].state == DeviceState.SAFE) and time.monotonic() < end:
                frames = decoder.feed(raw.read(65536))
                states += [(f.t_us, s) for f in frames if isinstance(s := protocol.unpack(f), protocol.State)]
            assert states[-1][1].state == DeviceState.SAFE
            assert states[-1][1].fault == protocol.Fault.SILENCE
            for t_us, state in states:
                if state.last_cmd_seq in answered and state.last_cmd_seq > 0:
                    late = (t_us - answered[state.last_cmd_seq]) % 2**32 > TTL_MS * 1000
                    assert (state.state == DeviceState.SAFE) == late, (
                        "armed while fresh, safe with the first tick after"
                    )

            # What a delayed buffer would deliver now: the same session, newer seq, observations of before.
            last = states[-1][1].last_cmd_seq
            assert last in answered and max(answered) - last <= 1, "it was stopped between the two, at most"
            burst = [protocol.pack(protocol.Cmd(7, answered[last], TTL_MS, (9.0,)), last + 1 + k) for k in range(100)]
            raw.write(b"\0" + b"".join(map(protocol.encode, burst)))
        host_process.send_signal(signal.SIGCONT)  # and the host itself continues
        time.sleep(0.3)
        host_process.kill()
        host_process.wait()
        host_process.stdout.close()

        with host_of(device.port) as host:
            host.seq = 40_000
            state = host.next(protocol.State)
            assert isinstance(state, protocol.State)
            assert (state.state, state.last_cmd_seq) == (DeviceState.SAFE, last), "nothing was accepted afterwards"
            assert host.counter(lib.TL_COUNTER_ACCEPTED) == last
            assert host.counter(lib.TL_COUNTER_REFUSED) >= 100
            assert host.ask(protocol.Arm(7)) == Status.SESSION
            assert host.ask(protocol.Disarm()) == Status.OK
            assert host.ask(protocol.Arm(host.hello().last_session + 1)) == Status.OK


@pytest.mark.hazard("second-host")
def test_second_host_cannot_take_over() -> None:
    with SimulatedDevice("servo") as device, host_of(device.port) as first, host_of(device.port) as second:
        assert first.ask(protocol.Arm(1)) == Status.OK
        second.seq = 100
        assert second.ask(protocol.Arm(2)) == Status.BUSY


def test_estop_is_said_at_once_and_latched() -> None:
    with SimulatedDevice("servo") as device, host_of(device.port) as host:
        host.ask(protocol.Arm(1))
        host.send(protocol.Estop())
        for frame in host.frames():
            state = protocol.unpack(frame)
            if isinstance(state, protocol.State) and state.state == DeviceState.ESTOP:
                break
        assert host.ask(protocol.Arm(2)) == Status.LATCHED
        assert host.ask(protocol.ClearFault()) == Status.OK
        assert host.ask(protocol.Arm(2)) == Status.OK


def test_a_host_that_never_reads_does_not_stop_the_device() -> None:
    """The line fills up, frames are dropped whole, and the next reader receives frames again."""
    with SimulatedDevice("servo") as device, host_of(device.port) as host:
        host.hello()
        for _ in range(3000):  # requests more than a pty holds
            host.port.write(protocol.encode(protocol.pack(protocol.Describe(0))))
        time.sleep(0.2)
        host.port.reset_input_buffer()
        host.decoder = protocol.Decoder()
        host.hello()
        assert host.decoder.errors <= 1, "at most the frame that the flush cut"
