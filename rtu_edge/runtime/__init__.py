"""The native control loop, from Python: open a link, describe the run, start it, look at it, stop it.

The loop itself (receive, decode, predict, gate, send, learn, record) is a C++ thread that never takes the
interpreter lock, except for a reward given as a Python callable. This module only chooses and reports.

    with Link(port) as link:         # port: of rtu_edge.ports.open_port; `rtu-edge estop` reaches this process
        hello = link.handshake()
        loop = Loop(link, agent.core.policy(), LoopConfig(limits=[Limits(-10, 10)], seed=0, steps=100_000))
        result = loop.run(on_progress=lambda status, records: ...)
"""

from __future__ import annotations

from rtu_edge.runtime.config import Clock, Limits, LoopConfig, Reward
from rtu_edge.runtime.flags import CallFlag, Cause, Driver, GateFlag, GuardFlag, InputFlag, RecordFlag, StopReason
from rtu_edge.runtime.link import Hello, Link, LinkError, LinkQuality, Row
from rtu_edge.runtime.loop import Loop, LoopResult, LoopStatus, Progress, Signals, Snapshot, episode_seed

__all__ = [
    "CallFlag",
    "Cause",
    "Clock",
    "Driver",
    "GateFlag",
    "GuardFlag",
    "Hello",
    "InputFlag",
    "Limits",
    "Link",
    "LinkError",
    "LinkQuality",
    "Loop",
    "LoopConfig",
    "LoopResult",
    "LoopStatus",
    "Progress",
    "RecordFlag",
    "Reward",
    "Row",
    "Signals",
    "Snapshot",
    "StopReason",
    "episode_seed",
]
