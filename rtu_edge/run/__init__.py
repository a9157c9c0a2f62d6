"""A run on this host: the `connection` to a device, objects made from the configuration (`build`), the native `loop`,
and a `session` that is supervised, saved and logged; its `progress`, its `heap`, and the `service`.
"""

from __future__ import annotations

from rtu_edge.loop.permission import Permission
from rtu_edge.run.build import check_deadline, check_installed, check_learner, loop_config, make_agent, supervised
from rtu_edge.run.connection import Connection, connect, limits_in_force, with_firmware
from rtu_edge.run.loop import POLL_S, RunResult, Watch, describe, error_of, run_loop, stage_of
from rtu_edge.run.session import Session, load

__all__ = [
    "POLL_S",
    "Connection",
    "Permission",
    "RunResult",
    "Session",
    "Watch",
    "check_deadline",
    "check_installed",
    "check_learner",
    "connect",
    "describe",
    "error_of",
    "limits_in_force",
    "load",
    "loop_config",
    "make_agent",
    "run_loop",
    "stage_of",
    "supervised",
    "with_firmware",
]
