"""The native control loop, from Python: open a link, configure the run, start, monitor and stop it.

The loop itself (receive, decode, predict, limit, send, update, record) is a C++ thread that never takes the
interpreter lock, except for a reward given as a Python callable. This module only configures it and reports.

    with Link(port) as link:         # port: of rtu_edge.device.ports.open_port; `rtu-edge estop` reaches this process
        hello = link.handshake()
        loop = Loop(link, agent.core.policy(), LoopConfig(limits=[Limits(-10, 10)], seed=0, steps=100_000))
        result = loop.run(on_progress=lambda status, records: ...)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtu_edge._base.lazy import lazily

if TYPE_CHECKING:
    from rtu_edge.device.schema import Channel, DataSheet, Hello, Limits
    from rtu_edge.loop.flags import (
        CallFlag,
        Cause,
        Clock,
        Driver,
        LimiterFlag,
        MonitorFlag,
        RecordFlag,
        SensorFlag,
        StopReason,
    )
    from rtu_edge.loop.link import Link, LinkError, LinkQuality
    from rtu_edge.loop.loop import Loop, LoopResult, LoopStatus, Progress, Signals, Snapshot, episode_seed
    from rtu_edge.loop.options import LoopConfig, Reward

__all__ = [
    "CallFlag",
    "Cause",
    "Channel",
    "Clock",
    "DataSheet",
    "Driver",
    "Hello",
    "LimiterFlag",
    "Limits",
    "Link",
    "LinkError",
    "LinkQuality",
    "Loop",
    "LoopConfig",
    "LoopResult",
    "LoopStatus",
    "MonitorFlag",
    "Progress",
    "RecordFlag",
    "Reward",
    "SensorFlag",
    "Signals",
    "Snapshot",
    "StopReason",
    "episode_seed",
]

__getattr__ = lazily(__name__, __all__, ("flags", "link", "loop", "options"))
