"""Every way to stop a plant: silence, signals, the control socket, and false confirmations."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import host
import numpy as np
import pytest

from rtu_edge import _testing
from rtu_edge._base.errors import DeviceError
from rtu_edge.device import lock
from rtu_edge.device.ports import open_port
from rtu_edge.device.protocol import DeviceState, Event, Fault, FrameType, Status
from rtu_edge.device.simulated import SimulatedDevice
from rtu_edge.hil import FaultBridge, ProcessTarget, TapPoint, faults
from rtu_edge.loop import Clock, Link, Loop, LoopConfig, StopReason
from rtu_edge.tools import estop as stops

# A device in real time goes safe when its host is starved.
pytestmark = pytest.mark.timing

PERIOD_S = 0.02
TTL_S = 0.1
MUTE = faults.Drop(direction=faults.Direction.TO_HOST, rate=1.0)  # the device's output is lost
DEAF = faults.Drop(direction=faults.Direction.TO_DEVICE, rate=1.0)
SLACK_S = 0.25  # the host that runs the tests is shared; the rule itself is tested on an injected clock


@pytest.fixture
def line() -> Iterator[FaultBridge]:
    with ProcessTarget("cartpole", {"--max-steps": 100000}) as target, FaultBridge(target) as made:
        made.wait_for(DeviceState.DISARMED)
        yield made


@pytest.mark.hazard("host-silent")
def test_a_stopped_host_leaves_the_device_safe(line: FaultBridge) -> None:
    driver = host.start(line.port, ttl_ms=int(TTL_S * 1000))
    try:
        os.kill(driver.pid, signal.SIGSTOP)
        stopped = time.monotonic()
        safe = line.wait_for(DeviceState.SAFE).at_s
        assert safe - stopped < TTL_S + PERIOD_S + SLACK_S
        assert line.state.fault & Fault.SILENCE
        assert line.state.u == (0.0,)
        # By the device's own clock: the last command answered an observation at most TTL old, plus one tick.
        armed = [state.cmd_age_ms for _, state in line.trace.states() if state.state == DeviceState.ARMED]
        last = max(age for age in armed if age < 0xFFFF)
        assert last <= (TTL_S + PERIOD_S) * 1000
        time.sleep(0.3)
        assert line.state.state == DeviceState.SAFE  # and stays there
        os.kill(driver.pid, signal.SIGCONT)
        said = host.result(driver)
        assert said["reason"] == "device_safe"
        assert line.state.state == DeviceState.SAFE
    finally:
        driver.kill()


@pytest.mark.hazard("old-command")
def test_commands_that_waited_in_a_stalled_line_are_refused(line: FaultBridge) -> None:
    driver = host.start(line.port, ttl_ms=int(TTL_S * 1000))
    try:
        stalled = line.begin(faults.Stall())
        time.sleep(2.5 * PERIOD_S)
        os.kill(driver.pid, signal.SIGSTOP)
        line.wait_for(DeviceState.SAFE)
        accepted = line.state.last_cmd_seq
        before = time.monotonic()
        os.kill(driver.pid, signal.SIGCONT)
        time.sleep(0.1)
        line.end(stalled)
        time.sleep(0.3)
        assert line.trace.all(TapPoint.DEVICE_IN, FrameType.CMD, before), "nothing was held back"
        events = [passed.message for passed in line.trace.all(TapPoint.DEVICE_OUT, FrameType.EVENT)]
        assert {event.status for event in events if isinstance(event, Event)} & {Status.STATE, Status.STALE}
        assert line.state.last_cmd_seq == accepted
        assert line.state.state == DeviceState.SAFE and line.state.u == (0.0,)
        assert host.result(driver)["reason"] in ("device_safe", "half_open")
    finally:
        driver.kill()


def test_the_first_signal_stops_safely(line: FaultBridge) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        driver = host.start(line.port)
        driver.send_signal(number)
        said = host.result(driver)
        assert said["reason"] == "signal" and said["confirmed"] is True
        assert line.wait_for(DeviceState.DISARMED)
        assert line.state.u == (0.0,)


def test_the_second_signal_is_an_emergency_stop(line: FaultBridge) -> None:
    driver = host.start(line.port)
    with line.inject(DEAF):  # DISARM is lost, so that there is time for a second request
        driver.send_signal(signal.SIGINT)
        time.sleep(0.2)
        driver.send_signal(signal.SIGINT)
        time.sleep(0.2)
    said = host.result(driver)
    assert said["reason"] == "estop" and said["confirmed"] is True
    assert line.state.state == DeviceState.ESTOP


@pytest.mark.parametrize(
    "numbers", [(signal.SIGHUP, signal.SIGHUP), (signal.SIGTERM, signal.SIGHUP), (signal.SIGHUP, signal.SIGTERM)]
)
def test_a_hang_up_is_never_the_second_signal(line: FaultBridge, numbers: tuple[signal.Signals, ...]) -> None:
    """For a closing terminal the kernel and the shell each send one; systemd may send one after its SIGTERM."""
    driver = host.start(line.port)
    with line.inject(DEAF):
        for number in numbers:
            driver.send_signal(number)
            time.sleep(0.2)
    said = host.result(driver)
    assert said["reason"] == "signal" and said["confirmed"] is True
    assert line.state.state != DeviceState.ESTOP


@pytest.mark.hazard("estop-believed-too-early")
def test_a_stop_that_the_device_does_not_confirm_is_not_called_one(line: FaultBridge) -> None:
    driver = host.start(line.port)
    with line.inject(MUTE):
        driver.send_signal(signal.SIGINT)
        said = host.result(driver)
    assert said["confirmed"] is False


@pytest.mark.hazard("second-host")
def test_a_second_host_cannot_take_over(line: FaultBridge) -> None:
    driver = host.start(line.port)
    try:
        with pytest.raises(DeviceError, match="in use"):
            open_port(line.port)
        # Past the port's own locks (possible for root), the owner's lock still holds.
        fd = os.open(line.port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            with pytest.raises(DeviceError, match=str(driver.pid)):
                Link(fd, control=lock.socket_path(line.port))
        finally:
            os.close(fd)
        driver.send_signal(signal.SIGINT)
        assert host.result(driver)["reason"] == "signal"
    finally:
        driver.kill()


OWNER_WITH_A_CHILD = """
import os, sys, time
from rtu_edge.loop import Link
from rtu_edge.device.lock import socket_path, status
from rtu_edge.device.ports import open_port
with open_port(sys.argv[1]) as opened, Link(opened, control=socket_path(sys.argv[1])) as link:
    if (child := os.fork()) == 0:
        if sys.argv[2] == "closes":
            link.close()
            opened.close()
        time.sleep(30)
        os._exit(0)
    time.sleep(0.2)
    link.handshake()  # whatever the child did
    assert status(sys.argv[1])["pid"] == os.getpid()
    print(child, flush=True)
    time.sleep(30)
"""


@pytest.mark.parametrize("does", ["nothing", "closes"])
def test_a_forked_child_keeps_no_port_from_the_next_owner(does: str) -> None:
    with SimulatedDevice() as device:
        command = [sys.executable, "-W", "ignore", "-c", OWNER_WITH_A_CHILD, device.port, does]
        owner = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert owner.stdout is not None
        child = int(owner.stdout.readline())
        try:
            owner.kill()
            owner.wait()
            os.kill(child, 0)
            assert lock.owner(device.port) is None
            with (
                open_port(device.port) as opened,
                Link(opened, control=lock.socket_path(device.port)) as link,
            ):
                link.handshake()
        finally:
            os.kill(child, signal.SIGKILL)
            owner.stdout.close()


def test_estop_through_the_owner(line: FaultBridge) -> None:
    driver = host.start(line.port)
    assert lock.status(line.port)["running"] is True
    done = stops.estop(line.port)
    assert done == stops.Estop("owner", None)
    assert line.state.state == DeviceState.ESTOP
    said = host.result(driver)
    assert said["reason"] == "estop" and said["confirmed"] is True


def test_estop_past_an_owner_that_does_not_answer(line: FaultBridge) -> None:
    driver = host.start(line.port)
    os.kill(driver.pid, signal.SIGSTOP)
    done = stops.estop(line.port)
    assert done == stops.Estop("direct", driver.pid)
    assert line.state.state == DeviceState.ESTOP
    driver.communicate(timeout=5)
    assert driver.returncode == -signal.SIGKILL


def test_estop_without_an_owner_and_by_another_name(line: FaultBridge, tmp_path: Path) -> None:
    name = tmp_path / "robot"
    name.symlink_to(line.port)
    assert lock.socket_path(str(name)) == lock.socket_path(line.port)
    with pytest.raises(DeviceError, match="has no owner"):
        lock.status(str(name))
    assert stops.estop(str(name)) == stops.Estop("direct", None)
    assert line.state.state == DeviceState.ESTOP


@pytest.mark.hazard("estop-believed-too-early")
def test_estop_succeeds_only_when_state_says_so(line: FaultBridge) -> None:
    with line.inject(MUTE), pytest.raises(DeviceError, match="did not confirm"):
        stops.estop(line.port, timeout_s=0.5)
    line.wait_for(DeviceState.ESTOP)


@pytest.mark.hazard("estop-believed-too-early")
def test_estop_is_latched(line: FaultBridge) -> None:
    stops.estop(line.port)
    with open_port(line.port) as opened, Link(opened) as link:
        link.handshake()
        policy = _testing.LinearPolicy(2, [0.0])
        refused = Loop(link, policy.policy(), LoopConfig(clock=Clock.DEVICE)).run()
        assert refused.reason is StopReason.ARM_REFUSED and "latched" in refused.message
        assert link.clear_fault()
        config = LoopConfig(clock=Clock.DEVICE, steps=5)
        assert Loop(link, policy.policy(), config).run().reason is StopReason.STEPS


def test_estop_while_the_owner_is_between_loops() -> None:
    with SimulatedDevice() as device, open_port(device.port) as opened:
        with Link(opened, control=lock.socket_path(device.port)) as link:
            link.handshake()
            assert stops.estop(device.port) == stops.Estop("owner", None)
            status = lock.status(device.port)
            assert status["device_state"] == DeviceState.ESTOP and status["running"] is False
        with pytest.raises(DeviceError):
            lock.status(device.port)


def test_monitor(line: FaultBridge) -> None:
    driver = host.start(line.port)
    seen = []
    for status in lock.monitor(line.port):
        seen.append(status["steps"])
        assert status["counters"]["frames_received"] > 0 and status["link"]["lost_in"] == 0
        if len(seen) == 4:
            driver.send_signal(signal.SIGINT)
    assert len(seen) >= 4 and seen == sorted(seen) and seen[-1] > seen[0]
    host.result(driver)


class Flood(threading.Thread):
    """A client that requests the status as fast as possible, and reads the answers."""

    def __init__(self, port: str) -> None:
        super().__init__()
        self.connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.connection.connect(lock.socket_path(port))
        self.connection.setblocking(False)
        self.answers = 0
        self.sent = 0
        self.over = False

    def run(self) -> None:
        asked = b"status\n" * 1000
        with self.connection, contextlib.suppress(ConnectionError):  # until the owner exits
            while not self.over:
                readable, writable, _ = select.select([self.connection], [self.connection], [], 0.01)
                if writable:
                    n = self.connection.send(asked)
                    asked = asked[n:] + asked[:n]
                    self.sent += n
                if readable:
                    self.answers += self.connection.recv(65536).count(b"\n")


@pytest.mark.alone
def test_a_client_that_floods_holds_up_neither_the_others_nor_the_loop(line: FaultBridge) -> None:
    driver = host.start(line.port)
    floods = [Flood(line.port) for _ in range(2)]
    try:
        before = lock.status(line.port)
        for flood in floods:
            flood.start()
        begun = time.monotonic()
        for _ in range(20):
            asked = time.monotonic()
            after = lock.status(line.port)
            assert time.monotonic() - asked < 0.2  # what an emergency stop grants an owner
            time.sleep(0.05)
        lasted_s = time.monotonic() - begun
        for flood in floods:
            # More requests are queued than answered, and one is answered about every millisecond.
            assert flood.is_alive() and flood.sent > 2 * 7 * flood.answers
            assert 0 < flood.answers < 100 + 1500 * lasted_s
        assert (after["steps"] - before["steps"]) * PERIOD_S > 0.8 * lasted_s
        assert stops.estop(line.port) == stops.Estop("owner", None)
        said = host.result(driver)
        assert said["confirmed"] is True and said["counters"]["commands_refused"] == 0
    finally:
        for flood in floods:
            flood.over = True
            flood.join()
        driver.kill()


class Client:
    """A raw client of the control socket: sends commands, returns answers with the time since the command."""

    def __init__(self, port: str) -> None:
        self.connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.connection.settimeout(2)
        self.connection.connect(lock.socket_path(port))
        self.lines = self.connection.makefile()
        self.asked = 0.0

    def ask(self, command: bytes) -> None:
        self.asked = time.monotonic()
        self.connection.sendall(command + b"\n")

    def answers(self, until: str) -> list[tuple[float, dict[str, object]]]:
        said: list[tuple[float, dict[str, object]]] = []
        for line in self.lines:
            said.append((time.monotonic() - self.asked, json.loads(line)))
            if said[-1][1]["event"] == until:
                break
        return said


@pytest.mark.alone
def test_an_emergency_stop_that_is_not_confirmed_holds_up_nobody(line: FaultBridge) -> None:
    """Every client gets an answer within 200 ms, otherwise `rtu-edge estop` ends the owner."""
    with open_port(line.port) as opened, Link(opened, control=lock.socket_path(line.port)) as link:
        link.handshake()
        with line.inject(MUTE):
            first, second, third = (Client(line.port) for _ in range(3))
            first.ask(b"estop")
            assert first.answers("waiting")[0][1]["event"] == "accepted"
            time.sleep(0.5)
            second.ask(b"estop")
            accepted, waiting = second.answers("waiting")
            assert accepted[1]["event"] == "accepted" and accepted[0] < 0.2 and waiting[0] - accepted[0] < 0.2
            third.ask(b"status")
            assert third.answers("status")[0][0] < 0.2
        for client in (first, second):
            said = client.answers("estop")
            assert said[-1][1]["confirmed"] is True
            assert np.diff([at for at, _ in said]).max(initial=0) < 0.2
        assert line.state.state == DeviceState.ESTOP
        with line.inject(MUTE):
            time.sleep(0.2)  # what the device had sent before has been read
            first.ask(b"estop")
            time.sleep(1)
            second.ask(b"estop")
            for client in (first, second):  # three seconds each
                at, said = client.answers("estop")[-1]
                assert said["confirmed"] is False and 2.9 < at < 3.5


def test_an_emergency_stop_goes_on_when_whoever_asked_has_left(line: FaultBridge) -> None:
    with open_port(line.port) as opened, Link(opened, control=lock.socket_path(line.port)) as link:
        link.handshake()
        with line.inject(MUTE), line.inject(DEAF):
            client = Client(line.port)
            client.ask(b"estop")
            client.connection.shutdown(socket.SHUT_RDWR)
            time.sleep(0.5)
        line.wait_for(DeviceState.ESTOP)


def test_idle_clients_keep_out_no_emergency_stop() -> None:
    with (
        SimulatedDevice() as device,
        open_port(device.port) as opened,
        Link(opened, control=lock.socket_path(device.port)) as link,
    ):
        link.handshake()
        clients = [Client(device.port) for _ in range(8)]
        clients[0].ask(b"monitor")
        clients[1].ask(b"status")
        assert clients[0].answers("status") and clients[1].answers("status")
        for _ in range(3):  # more than there are slots
            clients += [Client(device.port) for _ in range(8)]
            assert stops.estop(device.port) == stops.Estop("owner", None)
        clients[0].ask(b"status")  # the reader disconnects last
        assert clients[0].answers("status")


def test_a_process_without_a_free_descriptor_does_not_spin() -> None:
    """A client that connects meanwhile is served once a slot is free."""
    with (
        SimulatedDevice() as device,
        open_port(device.port) as opened,
        Link(opened, control=lock.socket_path(device.port)),
    ):
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            lowest_free = os.dup(connection.fileno())
            os.close(lowest_free)
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, limits[1]))
            try:
                connection.connect(lock.socket_path(device.port))
                connection.sendall(b"status\n")
                begun_s = time.process_time()
                time.sleep(0.5)
                busy_s = time.process_time() - begun_s
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            assert busy_s < 0.1  # of half a second; a thread that spins takes nearly all of it
            connection.settimeout(2)
            assert json.loads(connection.recv(65536))["event"] == "status"


def test_only_the_very_number_arms() -> None:
    with (
        SimulatedDevice() as device,
        open_port(device.port) as opened,
        Link(opened, control=lock.socket_path(device.port)) as link,
    ):
        link.wait_to_arm(1234)
        for number in (b"", b"0", b"1235", b"1234x", b"1234 ", b"-1234", b"%d" % (2**32 + 1234), b"9" * 50):
            client = Client(device.port)
            client.ask(b"arm " + number)
            assert client.answers("arm")[-1][1]["accepted"] is False, number
        assert link.arm_requests == 0
        for accepted in (True, False):
            client.ask(b"arm 1234")
            assert client.answers("arm")[-1][1]["accepted"] is accepted
        assert link.arm_requests == 1


def test_a_line_too_long_is_refused_and_its_sender_dropped() -> None:
    def talk(sent: bytes) -> list[dict[str, object]]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(2)
            connection.connect(lock.socket_path(device.port))
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            received = b""
            while data := connection.recv(65536):
                received += data
        return [json.loads(said) for said in received.splitlines()]

    with (
        SimulatedDevice() as device,
        open_port(device.port) as opened,
        Link(opened, control=lock.socket_path(device.port)),
    ):
        # Everything sent before the end of the stream is processed, for any number of lines per chunk.
        assert [said["event"] for said in talk(b"status\n" * 100)] == ["status"] * 100
        (wrong,) = talk(b"x" * 63 + b"\n")
        assert "commands:" in str(wrong["message"])
        status, refused = talk(b"status\n" + b"x" * 64)
        assert status["event"] == "status"
        assert refused == {"event": "error", "message": "a line of 64 bytes or more"}
        assert talk(b"x" * 64 + b"\nstatus\n") == [refused]
        assert [said["event"] for said in talk(b"status\nstat")] == ["status"]


@pytest.mark.alone
def test_an_interpreter_that_is_busy_does_not_stop_the_loop() -> None:
    """A second inside one call that holds the interpreter lock: the loop continues to tick, the device receives no
    stale command.
    """
    import ctypes

    policy = _testing.LinearPolicy(2, [0.0], [[0.5, 6.0]])
    config = LoopConfig(clock=Clock.DEVICE, learn=False, explore=False)
    with (
        SimulatedDevice("cartpole", max_steps=100000) as device,
        open_port(device.port) as opened,
        Link(opened) as link,
    ):
        link.handshake()
        with Loop(link, policy.policy(), config) as loop:
            loop.start()
            time.sleep(0.2)
            before = loop.status().steps
            ctypes.PyDLL(None).usleep(1_000_000)
            after = loop.status()
            assert after.steps - before >= 40
            assert after.counters["commands_refused"] == 0
            assert after.device_state == DeviceState.ARMED
            records = loop.drain()
            # Of 50 ticks in that second none was more than two periods after the one before.
            assert np.diff(records["t_ns"]).max() < 2.5 * PERIOD_S * 1e9
            ages = records["command_age_us"]
            assert ages[ages != 0xFFFFFFFF].max() < 60_000  # TTL of a command: three periods
            loop.request_stop()
            assert loop.result().confirmed
