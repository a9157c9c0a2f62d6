"""Hardware in the loop: one suite of faults for a simulated device, the firmware as a process, an emulated board, your own.

with make_target("process", "servo") as target, FaultBridge(target, seed=1) as bridge:
    ...                                             # a host on bridge.port, as on any port
    with bridge.inject(faults.Drop(rate=1.0)):
        bridge.wait_for(DeviceState.SAFE)
"""

from __future__ import annotations

from rtu_edge.hil import faults
from rtu_edge.hil.bridge import FaultBridge, Injection, Unit
from rtu_edge.hil.targets import NAMES, PortTarget, ProcessTarget, QemuTarget, SimTarget, Target, make_target
from rtu_edge.hil.trace import Passed, Place, Trace, Way

__all__ = [
    "NAMES",
    "FaultBridge",
    "Injection",
    "Passed",
    "Place",
    "PortTarget",
    "ProcessTarget",
    "QemuTarget",
    "SimTarget",
    "Target",
    "Trace",
    "Unit",
    "Way",
    "faults",
    "make_target",
]
