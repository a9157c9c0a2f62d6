"""Strict TOML configuration of a run (docs/configuration.md).

Every value is checked on reading. An error names the path, the value and the allowed values, suggests the nearest key
for a misspelt one, and reports all problems at once.
"""

from __future__ import annotations

from rtu_edge._base.errors import ConfigError
from rtu_edge.config.file import (
    canonical,
    check_config,
    config_hash,
    load_bus_port,
    load_companion_ports,
    load_config,
    load_device,
    parse_config,
    write_config,
)
from rtu_edge.config.tables import (
    Actions,
    Checkpoint,
    Clock,
    Companion,
    Config,
    Device,
    Learner,
    LimitsTable,
    Log,
    Loop,
    Reconnect,
    Reward,
    RewardSource,
    Run,
)
from rtu_edge.loop.checks import CheckedActuator, CheckedObservation, Checks, Homing, Start
from rtu_edge.loop.supervision import (
    Ab,
    Fallback,
    FallbackKind,
    LearnerMonitor,
    Mode,
    Pd,
    Sensor,
    Supervisor,
    TakeOverTable,
)

__all__ = [
    "Ab",
    "Actions",
    "CheckedActuator",
    "CheckedObservation",
    "Checkpoint",
    "Checks",
    "Clock",
    "Companion",
    "Config",
    "ConfigError",
    "Device",
    "Fallback",
    "FallbackKind",
    "Homing",
    "Learner",
    "LearnerMonitor",
    "LimitsTable",
    "Log",
    "Loop",
    "Mode",
    "Pd",
    "Reconnect",
    "Reward",
    "RewardSource",
    "Run",
    "Sensor",
    "Start",
    "Supervisor",
    "TakeOverTable",
    "canonical",
    "check_config",
    "config_hash",
    "load_bus_port",
    "load_companion_ports",
    "load_config",
    "load_device",
    "parse_config",
    "write_config",
]
