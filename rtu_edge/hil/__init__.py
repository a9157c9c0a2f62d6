"""Hardware in the loop: one fault-injection suite for a simulated device, the firmware process, an emulated board, or
your board.

with make_target("process", "servo") as target, FaultBridge(target, seed=1) as bridge:
    ...                                             # a host on bridge.port, as on any port
    with bridge.inject(faults.Drop(rate=1.0)):
        bridge.wait_for(DeviceState.SAFE)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rtu_edge.hil import faults
    from rtu_edge.hil.bridge import FaultBridge, Injection, Unit
    from rtu_edge.hil.targets import NAMES, PortTarget, ProcessTarget, QemuTarget, SimTarget, Target, make_target
    from rtu_edge.hil.trace import Direction, FrameRecord, TapPoint, Trace

__all__ = [
    "NAMES",
    "Direction",
    "FaultBridge",
    "FrameRecord",
    "Injection",
    "PortTarget",
    "ProcessTarget",
    "QemuTarget",
    "SimTarget",
    "TapPoint",
    "Target",
    "Trace",
    "Unit",
    "faults",
    "make_target",
]

# The module of each name. Loaded on first access, because pytest loads the plugin in this package in every environment.
_HOMES = {
    "bridge": ("FaultBridge", "Injection", "Unit"),
    "targets": ("NAMES", "PortTarget", "ProcessTarget", "QemuTarget", "SimTarget", "Target", "make_target"),
    "trace": ("FrameRecord", "TapPoint", "Trace", "Direction"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "faults":
        return importlib.import_module(f"{__name__}.faults")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value
