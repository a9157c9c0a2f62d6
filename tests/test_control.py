"""The control socket: status, permissions, and numbers in a process whose locale uses a decimal comma."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rtu_edge import _testing
from rtu_edge.device import lock, protocol
from rtu_edge.device.ports import open_port
from rtu_edge.device.protocol import DeviceState
from rtu_edge.device.simulated import SimulatedDevice
from rtu_edge.hil import FaultBridge, ProcessTarget
from rtu_edge.loop import Link, Loop, LoopConfig, StopReason
from rtu_edge.tools import estop as stops

COMMAS = """
import locale, sys, time
from rtu_edge import _testing, loop as runtime
from rtu_edge.device.ports import open_port
with open_port(sys.argv[1]) as port, runtime.Link(port) as link:
    link.handshake()
    locale.setlocale(locale.LC_ALL, "de_DE.UTF-8")
    assert locale.localeconv()["decimal_point"] == ","
    policy = _testing.LinearPolicy(2, [0.0])
    runtime.Loop(link, policy.policy(), runtime.LoopConfig(clock=runtime.Clock.DEVICE, steps=30)).run()
    print("ready", flush=True)
    sys.stdin.readline()
"""


def until_state(port: str, wanted: DeviceState) -> int:
    """The state in the status, as soon as it is the expected one, or after two seconds."""
    give_up = time.monotonic() + 2
    while (state := int(lock.status(port)["device_state"])) != wanted and time.monotonic() < give_up:
        time.sleep(0.02)
    return state


def test_numbers_in_a_process_with_a_comma_locale(tmp_path: Path) -> None:
    """As Qt and GTK set it for a process."""
    made = tmp_path / "de_DE.UTF-8"
    subprocess.run(["localedef", "-i", "de_DE", "-f", "UTF-8", made], check=True)
    with SimulatedDevice() as device:
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAS, device.port],
            env={**os.environ, "LOCPATH": str(tmp_path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        with process:
            assert process.stdout is not None and process.stdout.readline() == b"ready\n"
            status = lock.status(device.port)
            assert status["pid"] == process.pid and status["steps"] == 30
            assert status["link"]["jitter_us"] % 1 != 0, "a number with a fraction is what this is about"
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(2)
                connection.connect(lock.socket_path(device.port))
                connection.sendall(b"status\n")
                assert json.loads(connection.recv(65536))["event"] == "status"
            assert stops.estop(device.port) == stops.Estop("owner", None)
            process.kill()


@pytest.mark.timing
@pytest.mark.hazard("status-shows-state")
def test_the_state_in_status_is_the_device_s(tmp_path: Path) -> None:
    """Also if the device is stopped by something other than this host, while no loop runs."""
    with (
        ProcessTarget("cartpole") as target,
        FaultBridge(target) as line,
        open_port(line.port) as port,
        Link(port) as link,
    ):
        link.handshake()
        assert until_state(line.port, DeviceState.DISARMED) == DeviceState.DISARMED
        loop = Loop(link, _testing.LinearPolicy(2, [0.0]).policy(), LoopConfig(steps=5))
        assert loop.run().reason is StopReason.STEPS
        assert loop.status().device_state == DeviceState.DISARMED
        line.send("to_device", b"\0" + protocol.encode(protocol.pack(protocol.Estop())))  # a button next to the plant
        line.wait_for(DeviceState.ESTOP)
        assert until_state(line.port, DeviceState.ESTOP) == DeviceState.ESTOP
        assert link.disarm()  # is acknowledged in each state
        time.sleep(0.1)
        assert lock.status(line.port)["device_state"] == DeviceState.ESTOP
        refused = Loop(link, _testing.LinearPolicy(2, [0.0]).policy(), LoopConfig(steps=5)).run()
        assert refused.reason is StopReason.ARM_REFUSED and "`rtu-edge clear`" in refused.message
        assert lock.status(line.port)["device_state"] == DeviceState.ESTOP
