"""The faults of the line, the device and the host. Only a suite or a test can inject one.

A fault is described by a table of TOML (`kind` and its parameters) or created in Python, with the same class:

    [[fault]]
    name = "one command in five is lost"
    kind = "drop"
    direction = "to_device"
    rate = 0.2
    for_s = 1.0
    expect = "rides_through"

`rate` is the share of affected frames. All random choices follow from the bridge's seed.
"""

from __future__ import annotations

from rtu_edge.hil.faults.base import By, Controller, Fault, Response, Second
from rtu_edge.hil.faults.device import DeviceClock, Driver, Freeze, Measured, PowerLoss, Reset, StopBy
from rtu_edge.hil.faults.frames import (
    Actuator,
    ClockWrap,
    Effect,
    Episodes,
    Failure,
    Flood,
    Misfit,
    OldSession,
    Pose,
    Replay,
    Schema,
    Sensor,
    Talk,
    Unrewarded,
)
from rtu_edge.hil.faults.host import DiskFull, HostKill, HostStarve, HostStop
from rtu_edge.hil.faults.line import (
    Delay,
    Drop,
    Duplicate,
    Echo,
    Flip,
    Half,
    Insert,
    Loopback,
    Pace,
    Reorder,
    Stall,
    Unplug,
)
from rtu_edge.hil.faults.sheet import Lie, Restart, Rows, Swap
from rtu_edge.hil.trace import Direction

__all__ = [
    "KINDS",
    "Actuator",
    "By",
    "ClockWrap",
    "Controller",
    "Delay",
    "DeviceClock",
    "Direction",
    "DiskFull",
    "Driver",
    "Drop",
    "Duplicate",
    "Echo",
    "Effect",
    "Episodes",
    "Failure",
    "Fault",
    "Flip",
    "Flood",
    "Freeze",
    "Half",
    "HostKill",
    "HostStarve",
    "HostStop",
    "Insert",
    "Lie",
    "Loopback",
    "Measured",
    "Misfit",
    "OldSession",
    "Pace",
    "Pose",
    "PowerLoss",
    "Reorder",
    "Replay",
    "Reset",
    "Response",
    "Restart",
    "Rows",
    "Schema",
    "Second",
    "Sensor",
    "Stall",
    "StopBy",
    "Swap",
    "Talk",
    "Unplug",
    "Unrewarded",
]


def _kinds(base: type[Fault]) -> dict[str, type[Fault]]:
    found: dict[str, type[Fault]] = {}
    for cls in base.__subclasses__():
        found |= ({cls.kind: cls} if cls.kind else {}) | _kinds(cls)
    return found


KINDS: dict[str, type[Fault]] = _kinds(Fault)
