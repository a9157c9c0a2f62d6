"""rtu-edge monitor: its output for a port with and without an owner; that it writes nothing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import host
import pytest

from rtu_edge._base.errors import DeviceError
from rtu_edge.device import lock, protocol
from rtu_edge.hil import Direction, FaultBridge, ProcessTarget, TapPoint, faults
from rtu_edge.tools import estop as stops
from rtu_edge.tools import monitor


@pytest.fixture
def line() -> Iterator[FaultBridge]:
    with ProcessTarget("cartpole") as target, FaultBridge(target) as bridge:
        yield bridge


def said(line: FaultBridge, since_s: float = 0.0) -> list[protocol.Message | None]:
    """The bytes that hosts have written."""
    return [passed.message for passed in line.trace.all(TapPoint.HOST_OUT, since_s=since_s)]


def rtu_edge(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rtu_edge.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_listening_hears_everything_and_writes_only_hello(line: FaultBridge) -> None:
    with monitor.Listener(line.port) as listener:
        frames = list(listener.listen(0.6))
        heard = listener.heard()
    assert [type(message) for message in said(line)] == [protocol.Hello]
    assert heard.hello is not None and heard.hello.observation_size == 2
    hellos = len(frames) - heard.frames["STATE"]
    assert heard.frames == {"HELLO": hellos, "STATE": len(frames) - hellos}
    assert 1 <= hellos <= 4  # the answer, and the HELLO that a device sends ten times a second until it is queried
    assert heard.frames["STATE"] >= 20  # 50 a second
    assert heard.lost == heard.repeated == heard.crc_errors == heard.framing_errors == 0
    assert heard.period_ms is not None and heard.period_ms[1] == pytest.approx(20, rel=0.2)
    assert json.loads(json.dumps(heard.plain()))["device_state"] == "DISARMED"
    with monitor.Listener(line.port, silent=True) as silent:
        assert list(silent.listen(0.2))
        assert silent.heard().hello is None
    assert len(said(line)) == 1


def test_losses_and_damage_are_counted(line: FaultBridge) -> None:
    with monitor.Listener(line.port) as listener:
        list(listener.listen(0.1))
        with line.inject(faults.Drop(direction=Direction.TO_HOST, rate=1.0)) as drop:
            time.sleep(0.1)
        list(listener.listen(0.1))
        assert listener.heard().lost == drop.count >= 3
        frame = protocol.encode(protocol.pack(protocol.Ack(protocol.FrameType.DISARM, protocol.Status.OK, 1)))
        line.send("to_host", b"\0" + frame[:8] + bytes([frame[8] ^ 4]) + frame[9:])
        list(listener.listen(0.1))
        heard = listener.heard()
    assert heard.crc_errors + heard.framing_errors == 1 and heard.lost == drop.count


def test_a_listener_owns_the_port_and_estop_takes_it(line: FaultBridge) -> None:
    command = [sys.executable, "-m", "rtu_edge.cli", "monitor", line.port, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as listener:
        assert listener.stdout is not None
        assert json.loads(listener.stdout.readline())["event"] == "heard"
        assert lock.owner(line.port) == listener.pid
        with pytest.raises(DeviceError, match=str(listener.pid)):
            monitor.Listener(line.port)
        assert stops.estop(line.port) == stops.Estop("direct", listener.pid)
    assert line.state.state == protocol.DeviceState.ESTOP


def test_each_frame_as_a_line_and_as_json(line: FaultBridge) -> None:
    shown = rtu_edge("monitor", line.port, "--frames", "--seconds", "0.3")
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert len(lines) >= 5 and any(" HELLO " in text and "SIMULATED" in text for text in lines)
    assert sum(" STATE " in text and "DISARMED  x [" in text and "no command" in text for text in lines) >= 4
    shown = rtu_edge("monitor", line.port, "--frames", "--json", "--seconds", "0.3")
    frames = [json.loads(text) for text in shown.stdout.splitlines()]
    assert {frame["type"] for frame in frames} == {"HELLO", "STATE"}
    assert all(len(frame["x"]) == 2 for frame in frames if frame["type"] == "STATE")


@pytest.mark.timing
def test_a_port_with_an_owner_is_asked_and_not_opened(line: FaultBridge) -> None:
    driver = host.start(line.port, ttl_ms=200)
    try:
        before_s = time.monotonic()
        shown = rtu_edge("monitor", line.port, "--once")
        assert shown.returncode == 0, shown.stderr
        for text in (f"process {driver.pid} drives", "ARMED", "round trip", "command age", "from the device"):
            assert text in shown.stdout
        shown = rtu_edge("monitor", line.port, "--json", "--seconds", "0.5")
        seen = [json.loads(text) for text in shown.stdout.splitlines()]
        assert len(seen) >= 3 and seen[-1]["steps"] > seen[0]["steps"]
        assert seen[-1]["counters"]["steps"] > 0 and seen[-1]["link"]["pongs"] > 0
        shown = rtu_edge("monitor", line.port, "--frames", "--seconds", "1")
        assert shown.returncode == 2 and str(driver.pid) in shown.stderr
        # Meanwhile the device received only the loop's frames.
        kinds = {type(message) for message in said(line, before_s)}
        assert kinds <= {protocol.Cmd, protocol.Ping, protocol.Param, protocol.Reset}
        assert line.state.state == protocol.DeviceState.ARMED
    finally:
        driver.send_signal(signal.SIGINT)
        driver.communicate(timeout=10)


def test_silence_is_an_error_and_says_so(line: FaultBridge) -> None:
    with line.inject(faults.Drop(direction=Direction.TO_HOST, rate=1.0)):
        shown = rtu_edge("monitor", line.port, "--once")
    assert shown.returncode == 3 and "nothing that speaks TickLink in 1.2 s" in shown.stderr
    shown = rtu_edge("monitor", "/dev/there/is/none")
    assert shown.returncode == 3 and "no such port" in shown.stderr
