"""Identity check right before ARM: a device that was restarted or exchanged since its data sheet was
read is not armed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import termios
import threading
import time
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest
from host import not_simulated

import rtu_edge.cli
from rtu_edge import _testing
from rtu_edge._base.errors import DeviceError, SafetyStop
from rtu_edge.cli import common
from rtu_edge.device.ports import open_port
from rtu_edge.device.simulated import SimulatedDevice
from rtu_edge.loop import Hello, Link, LinkError, Loop, LoopConfig, StopReason
from rtu_edge.run import service
from rtu_edge.tools import estop as stops


class Plug:
    """A port with a fixed name whose device can be exchanged, as by replugging."""

    def __init__(self, device: SimulatedDevice) -> None:
        self._far, self._near = pty.openpty()
        tty.setraw(self._near)
        self.port = os.ttyname(self._near)
        self._stop = threading.Event()
        self._device = -1
        self.plug(device)
        self._thread = threading.Thread(target=self._relay)
        self._thread.start()

    def plug(self, device: SimulatedDevice) -> None:
        before, self._device = self._device, os.open(device.port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(self._device)
        if before >= 0:
            time.sleep(0.05)  # until the thread has released it
            os.close(before)

    def _relay(self) -> None:
        while not self._stop.is_set():
            device = self._device
            for fd in select.select([self._far, device], [], [], 0.01)[0]:
                with contextlib.suppress(OSError):  # a device that has ended or was just unplugged
                    os.write(device if fd == self._far else self._far, os.read(fd, 4096))

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        for fd in (self._far, self._near, self._device):
            os.close(fd)


@pytest.fixture
def others() -> Iterator[dict[str, SimulatedDevice]]:
    """The described device, the same after a restart, and another plant with the same number."""
    with (
        SimulatedDevice("cartpole", boot_id=1) as described,
        SimulatedDevice("cartpole", boot_id=2) as restarted,
        SimulatedDevice("servo", boot_id=1) as exchanged,
    ):
        yield {"described": described, "restarted": restarted, "exchanged": exchanged}


@pytest.fixture
def plug(others: dict[str, SimulatedDevice]) -> Iterator[Plug]:
    made = Plug(others["described"])
    try:
        yield made
    finally:
        made.close()


def sessions_of(device: SimulatedDevice) -> int:
    with open_port(device.port) as port, Link(port) as link:
        return link.handshake().last_session


MESSAGES = {"restarted": "the device has restarted since", "exchanged": "another device than the one"}


@pytest.mark.hazard("device-exchanged")
@pytest.mark.parametrize("what", ["restarted", "exchanged"])
def test_a_loop_arms_only_the_device_that_was_described(
    plug: Plug, others: dict[str, SimulatedDevice], what: str
) -> None:
    with open_port(plug.port) as port, Link(port) as link:
        link.handshake()
        policy = _testing.LinearPolicy(2, [0.5]).policy()
        assert Loop(link, policy, LoopConfig(steps=5)).run().reason is StopReason.STEPS
        loop = Loop(link, policy, LoopConfig(steps=5))
        plug.plug(others[what])
        result = loop.run()
        assert result.reason is StopReason.DEVICE_RESTART and result.steps == 0 and result.confirmed
        assert MESSAGES[what] in result.message and "connect again" in result.message
        assert Loop(link, policy, LoopConfig(steps=5)).run().reason is StopReason.DEVICE_RESTART, "asked twice"
        if what == "restarted":
            link.handshake()
            assert Loop(link, policy, LoopConfig(steps=5)).run().reason is StopReason.STEPS
    assert sessions_of(others[what]) == (1 if what == "restarted" else 0)


LIMITS = "[limits.force]\nmin = -5.0\nmax = 5.0\nslew_per_s = 200.0\naccel_per_s2 = inf\n"


def robot(tmp_path: Path, port: str) -> Path:
    path = tmp_path / "robot.toml"
    path.write_text(
        f'[device]\nport = "{port}"\n[learner]\nunits = 8\nhidden = [8]\n[run]\nfolder = "{tmp_path}/runs"\n{LIMITS}'
    )
    return path


@pytest.mark.hazard("device-exchanged")
@pytest.mark.parametrize("what", ["restarted", "exchanged"])
def test_nor_does_a_run_whose_question_was_read_meanwhile(
    plug: Plug,
    others: dict[str, SimulatedDevice],
    what: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def confirm(*_: object) -> None:
        plug.plug(others[what])

    monkeypatch.setattr("rtu_edge.cli.run.ask_to_arm", confirm)
    handshake = Link.handshake

    def real(self: Link, timeout_s: float = 3.0) -> Hello:
        self._hello = not_simulated(handshake(self, timeout_s))
        return self._hello

    monkeypatch.setattr(Link, "handshake", real)
    with pytest.raises(SystemExit) as leaving:
        rtu_edge.cli.main(["run", str(robot(tmp_path, plug.port)), "--arm", "--steps", "20"])
    out, err = capfd.readouterr()
    assert leaving.value.code == 3, out + err
    assert MESSAGES[what] in err and "force: -5 to 5 N, at most 200 N/s" in out
    assert sessions_of(others[what]) == 0


# ---------------------------------------------------------------- while the host waits


def waiting_bytes(fd: int) -> int:
    return struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, struct.pack("i", 0)))[0]


@pytest.mark.hazard("device-exchanged")
def test_the_port_is_read_while_a_service_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Periodic frames of the device do not accumulate, and a lost device ends the wait."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    with (
        SimulatedDevice("cartpole", period_us=1000, boot_id=1) as device,
        open_port(device.port) as port,
        Link(port, control=False) as link,  # whose thread reads the port too
    ):
        link.handshake()
        time.sleep(0.2)
        assert waiting_bytes(port.fileno()) > 4000, "nothing reads"
        seen = []

        def leave() -> bool:
            seen.append(waiting_bytes(port.fileno()))
            if len(seen) == 20:
                device.close()
            return False

        with pytest.raises(DeviceError, match="the port is gone"):
            service.wait_until_armed(link, service.Watchdog(link), leave)
        assert sorted(seen[1:20])[9] < 4000 and len(seen) < 60, "the median: a busy host may miss a turn"


@pytest.mark.hazard("stop-reaches-the-device")
def test_an_emergency_stop_ends_the_wait_to_be_armed() -> None:
    """The displayed number is then invalid, and the port is free for `rtu-edge clear`."""
    with SimulatedDevice() as device:
        said: list[stops.Estop] = []
        with open_port(device.port) as port, Link(port) as link:
            link.handshake()
            threading.Timer(0.2, lambda: said.append(stops.estop(device.port))).start()
            give_up_s = time.monotonic() + 5
            with pytest.raises(SafetyStop, match="estop: "):
                service.wait_until_armed(link, service.Watchdog(link), lambda: time.monotonic() > give_up_s)
        until_s = time.monotonic() + 5
        while not said and time.monotonic() < until_s:
            time.sleep(0.01)
        assert said == [stops.Estop("owner", None)], "confirmed although its owner leaves"
        with open_port(device.port) as port, Link(port) as link:
            link.handshake()
            assert link.clear_fault()


@pytest.mark.hazard("device-exchanged")
def test_the_port_is_read_while_the_question_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal: no frames accumulate, and a late answer does not arm a lost device."""
    terminal, answering = pty.openpty()
    with (
        SimulatedDevice("cartpole", period_us=1000, boot_id=1) as device,
        open_port(device.port) as port,
        Link(port, control=False) as link,  # whose thread reads the port too
        os.fdopen(answering) as stdin,
    ):
        link.handshake()
        monkeypatch.setattr("sys.stdin", stdin)
        threading.Timer(0.4, lambda: os.write(terminal, b"arm\n")).start()
        common.ask_to_arm(common.console(), False, link)
        assert waiting_bytes(port.fileno()) < 4000
        threading.Timer(0.2, device.close).start()
        with pytest.raises(LinkError, match="the port is gone"):
            common.ask_to_arm(common.console(), False, link)
    os.close(terminal)


def test_after_the_largest_session_number_comes_one() -> None:
    with SimulatedDevice("cartpole", boot_id=1) as device, open_port(device.port) as port, Link(port) as link:
        link.handshake()
        policy = _testing.LinearPolicy(2, [0.5]).policy()
        for session in (0x7FFFFFFF, 0xFFFFFFFE, None, None):
            assert Loop(link, policy, LoopConfig(steps=5, session=session)).run().reason is StopReason.STEPS
        assert (link.last_session, link.next_session, link.handshake().last_session) == (1, 2, 1)
