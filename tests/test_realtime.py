"""Privileges requested by the loop's thread: granted, or reported once while the loop continues."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from toolchain import run

from rtu_edge import _testing
from rtu_edge.device.limits import in_force
from rtu_edge.device.ports import open_port
from rtu_edge.device.schema import Channel, Safe
from rtu_edge.device.simulated import SimulatedDevice
from rtu_edge.loop import Clock, Limits, Link, Loop, LoopConfig, StopReason, options

# A device in real time goes safe when its host is starved, and granted privileges disturb other tests.
pytestmark = [pytest.mark.timing, pytest.mark.alone]

UNPRIVILEGED = """
import json, os, resource
from rtu_edge import _testing, loop as runtime
from rtu_edge.device.simulated import SimulatedDevice
from rtu_edge.device.ports import open_port

with SimulatedDevice() as device, open_port(device.port) as port, runtime.Link(port) as link:
    link.handshake()
    resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))
    if os.geteuid() == 0:
        os.setresuid(65534, 65534, 0)
    config = runtime.LoopConfig(clock=runtime.Clock.DEVICE, realtime=True, cpu=1000, steps=20)
    result = runtime.Loop(link, _testing.LinearPolicy(2, [0.0]).policy(), config).run()
    print(json.dumps([result.reason.value, result.steps, result.privileges]))
    if os.getresuid()[2] == 0:
        os.setresuid(0, 0, 0)  # to end the device, which is root's
"""


def test_each_refused_privilege_is_said_once_and_the_loop_goes_on() -> None:
    reason, steps, privileges = json.loads(run(sys.executable, "-c", UNPRIVILEGED))
    assert (reason, steps) == ("steps", 20)
    assert len(privileges) == 3, privileges
    for said in ("pinning to one core: Invalid argument", "locked memory: ", "real-time priority (SCHED_FIFO): "):
        assert sum(line.startswith(said) for line in privileges) == 1, privileges


def test_what_is_granted_is_in_force() -> None:
    """Priority with reset-on-fork, one core and locked memory, or a line that reports the refusal."""
    with SimulatedDevice() as device, open_port(device.port) as port, Link(port) as link:
        link.handshake()
        core = min(os.sched_getaffinity(0))
        config = LoopConfig(clock=Clock.DEVICE, realtime=True, cpu=core)
        with Loop(link, _testing.LinearPolicy(2, [0.0]).policy(), config) as loop:
            loop.start()
            while loop.status().steps < 5:
                loop.wait(0.01)
            thread = next(
                int(task.name)
                for task in Path("/proc/self/task").iterdir()
                if (task / "comm").read_text().strip() == "rtu-loop"
            )
            policy = os.sched_getscheduler(thread)
            affinity = os.sched_getaffinity(thread)
            locked_kb = int(Path("/proc/self/status").read_text().split("VmLck:")[1].split()[0])
            loop.request_stop()
            refused = " ".join(loop.result().privileges)
    assert affinity == {core}
    assert policy == os.SCHED_FIFO | os.SCHED_RESET_ON_FORK or "SCHED_FIFO" in refused
    assert locked_kb > 1000 or "locked memory" in refused


def test_a_stop_rests_as_the_device_would(tmp_path: Path) -> None:
    """The last command before DISARM: the device's safe value unless the limits say another one."""
    with SimulatedDevice("cartpole", max_steps=100_000) as device, open_port(device.port) as port, Link(port) as link:
        link.handshake()
        for limits, rest in (([], 0.0), ([Limits(-10, 10, rest=2.0)], 2.0)):
            config = LoopConfig(clock=Clock.DEVICE, steps=10, limits=limits, learn=False, explore=False)
            loop = Loop(link, _testing.LinearPolicy(2, [0.5]).policy(), config)
            assert loop.run().reason is StopReason.STEPS
            assert loop.limits[0].rest == in_force(limits, link.sheet.actuators, 0.02)[0].rest == rest
    held = Channel("grip", "N", -1.0, 1.0, 0, True, Safe.HOLD, float("inf"), 0.5)
    assert options.holds([], [held]) == [True]
    assert options.holds([Limits(-1, 1, rest=0.0)], [held]) == [False]
