"""The messages of TickLink and their constants (byte layout: docs/protocol.md)."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TypeAlias

from rtu_edge._bridge import lib
from rtu_edge.device.protocol.frames import FrameType
from rtu_edge.device.schema import Cap, Channel, Hello

__all__ = [
    "Ack",
    "Arm",
    "Cap",
    "Channel",
    "ClearFault",
    "Cmd",
    "Describe",
    "DeviceState",
    "Disarm",
    "Episode",
    "Estop",
    "Event",
    "EventCode",
    "Fault",
    "Hello",
    "Log",
    "Message",
    "Param",
    "Ping",
    "Pong",
    "Reset",
    "State",
    "Status",
]


class DeviceState(enum.IntEnum):
    """State of the device's safety state machine."""

    BOOT = lib.TL_STATE_BOOT
    DISARMED = lib.TL_STATE_DISARMED
    ARMED = lib.TL_STATE_ARMED
    SAFE = lib.TL_STATE_SAFE
    ESTOP = lib.TL_STATE_ESTOP
    RESETTING = lib.TL_STATE_RESETTING


class Status(enum.IntEnum):
    """Reason for a refusal."""

    OK = lib.TL_STATUS_OK
    INVALID = lib.TL_STATUS_INVALID
    STATE = lib.TL_STATUS_STATE
    LATCHED = lib.TL_STATUS_LATCHED
    BUSY = lib.TL_STATUS_BUSY
    SESSION = lib.TL_STATUS_SESSION
    UNSUPPORTED = lib.TL_STATUS_UNSUPPORTED
    EPISODE = lib.TL_STATUS_EPISODE
    MODE = lib.TL_STATUS_MODE
    SEQ = lib.TL_STATUS_SEQ
    STALE = lib.TL_STATUS_STALE
    VALUE = lib.TL_STATUS_VALUE
    LIMIT = lib.TL_STATUS_LIMIT


class EventCode(enum.IntEnum):
    """Kind of an EVENT."""

    REFUSED = lib.TL_EVENT_REFUSED
    OVERRUN = lib.TL_EVENT_OVERRUN
    DAMAGED = lib.TL_EVENT_DAMAGED
    LIMITED = lib.TL_EVENT_LIMITED


class Episode(enum.IntFlag):
    """Flags of the observation in a STATE."""

    FIRST = lib.TL_EPISODE_FIRST
    TERMINATED = lib.TL_EPISODE_TERMINATED
    TRUNCATED = lib.TL_EPISODE_TRUNCATED
    REWARD = lib.TL_EPISODE_REWARD


class Fault(enum.IntFlag):
    """Reason why the device is not armed."""

    SILENCE = lib.TL_FAULT_SILENCE
    ESTOP = lib.TL_FAULT_ESTOP
    SENSOR = lib.TL_FAULT_SENSOR
    LIMIT = lib.TL_FAULT_LIMIT


@dataclass(frozen=True)
class Ping:
    """02: requests the device's clock."""

    t0_us: int


@dataclass(frozen=True)
class Pong:
    """03: the answer."""

    t0_us: int
    t1_us: int
    t2_us: int


@dataclass(frozen=True)
class Describe:
    """04: requests a row of the data sheet, in the form of a version: 1 is without role and limits."""

    index: int
    version: int = 1


@dataclass(frozen=True)
class Cmd:
    """10: command for the actuators."""

    session: int
    obs_t_us: int
    ttl_ms: int
    u: tuple[float, ...]
    mode: int = lib.TL_MODE_VALUE
    lockstep: bool = False


@dataclass(frozen=True)
class Arm:
    """11: opens a session."""

    session: int
    lockstep: bool = False


@dataclass(frozen=True)
class Disarm:
    """12: closes it."""


@dataclass(frozen=True)
class ClearFault:
    """13: leaves ESTOP."""


@dataclass(frozen=True)
class Ack:
    """14: acknowledgement of a request."""

    type: FrameType | int
    status: Status | int
    seq: int


@dataclass(frozen=True)
class Reset:
    """15: begins an episode."""

    session: int
    episode: int
    seed: int


@dataclass(frozen=True)
class State:
    """20: observations and state of the device."""

    last_cmd_seq: int
    cmd_age_ms: int
    fault: Fault
    episode: int
    state: DeviceState | int
    epflags: Episode
    reward: float
    x: tuple[float, ...]
    u: tuple[float, ...]


@dataclass(frozen=True)
class Event:
    """21: event report of the device."""

    code: EventCode | int
    status: Status | int
    seq: int
    count: int


@dataclass(frozen=True)
class Param:
    """30: reads or writes one number."""

    index: int
    op: int = lib.TL_PARAM_READ
    kind: int = lib.TL_PARAM_U32
    bits: int = 0


@dataclass(frozen=True)
class Log:
    """31: a line of text for the operator."""

    level: int
    text: str


@dataclass(frozen=True)
class Estop:
    """7F: emergency stop, accepted from any host."""


Message: TypeAlias = (
    Hello
    | Ping
    | Pong
    | Describe
    | Channel
    | Cmd
    | Arm
    | Disarm
    | ClearFault
    | Ack
    | Reset
    | State
    | Event
    | Param
    | Log
    | Estop
)
