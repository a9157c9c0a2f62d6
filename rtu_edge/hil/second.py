"""A second device in the loop of the host under test: the firmware as a process, behind a bridge of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import msgspec

from rtu_edge._base.errors import DeviceError
from rtu_edge.config import Companion, Config
from rtu_edge.device.protocol import DeviceState
from rtu_edge.hil.bridge import FaultBridge
from rtu_edge.hil.faults import Fault, Second
from rtu_edge.hil.suite import Suite
from rtu_edge.hil.targets import ProcessTarget

__all__ = ["second_device", "still_armed", "with_second"]

_REST_S = 1.0


@contextlib.contextmanager
def second_device(fault: Fault, suite: Suite, seed: int) -> Iterator[FaultBridge | None]:
    """The line to a second device of the suite's plant; None where the fault needs none."""
    if fault.second is Second.NONE:
        yield None
        return
    with ProcessTarget(suite.config.device.plant) as target, FaultBridge(target, seed=seed) as bridge:
        yield bridge


def with_second(config: Config, second: FaultBridge) -> Config:
    """The host's configuration with the second device, under its TTL."""
    given = Companion(port=second.port, ttl_ms=config.loop.ttl_ms, age=True)
    return msgspec.structs.replace(config, companion={"second": given})


def still_armed(second: FaultBridge) -> list[str]:
    """After the end of a session: why the second device does not rest; empty if it does."""
    try:
        second.wait_for(DeviceState.DISARMED, DeviceState.SAFE, DeviceState.ESTOP, timeout_s=_REST_S)
    except DeviceError as error:
        return [f"the second device does not rest: {error}"]
    return []
