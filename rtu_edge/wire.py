"""RTU-Link in Python: frames and messages, encoded and decoded by the C that also runs on the device.

>>> frame = pack(Cmd(session=1, obs_t_us=1_000_000, ttl_ms=50, u=(0.5, -0.25)), seq=7, t_us=1_000_000)
>>> wire = encode(frame)
>>> wire.hex(" ")[:23]
'02 10 02 07 04 40 42 0f'
>>> [unpack(frame) for frame in Decoder().feed(wire)]
[Cmd(session=1, obs_t_us=1000000, ttl_ms=50, u=(0.5, -0.25), mode=0, lockstep=False)]
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

from rtu_edge._bridge import ffi, lib

__all__ = [
    "PAYLOAD_MAX",
    "VALUES_MAX",
    "Ack",
    "Arm",
    "Cap",
    "ClearFault",
    "Cmd",
    "Decoder",
    "Describe",
    "DeviceState",
    "Disarm",
    "Episode",
    "Estop",
    "Event",
    "EventCode",
    "Fault",
    "Frame",
    "FrameType",
    "Hello",
    "Log",
    "Message",
    "Param",
    "Ping",
    "Pong",
    "Reset",
    "Row",
    "State",
    "Status",
    "crc32",
    "encode",
    "pack",
    "schema_hash",
    "schema_text",
    "unpack",
]

PAYLOAD_MAX: int = lib.RTU_PAYLOAD_MAX
VALUES_MAX: int = lib.RTU_VALUES_MAX


class FrameType(enum.IntEnum):
    """First byte of a frame."""

    HELLO = lib.RTU_TYPE_HELLO
    PING = lib.RTU_TYPE_PING
    PONG = lib.RTU_TYPE_PONG
    DESCRIBE = lib.RTU_TYPE_DESCRIBE
    ROW = lib.RTU_TYPE_ROW
    CMD = lib.RTU_TYPE_CMD
    ARM = lib.RTU_TYPE_ARM
    DISARM = lib.RTU_TYPE_DISARM
    CLEAR_FAULT = lib.RTU_TYPE_CLEAR_FAULT
    ACK = lib.RTU_TYPE_ACK
    RESET = lib.RTU_TYPE_RESET
    STATE = lib.RTU_TYPE_STATE
    EVENT = lib.RTU_TYPE_EVENT
    PARAM = lib.RTU_TYPE_PARAM
    LOG = lib.RTU_TYPE_LOG
    LEARNER = lib.RTU_TYPE_LEARNER  # its payload is no message of this module: hil.learner
    ESTOP = lib.RTU_TYPE_ESTOP


class DeviceState(enum.IntEnum):
    """What the device's safety state machine is in."""

    BOOT = lib.RTU_STATE_BOOT
    DISARMED = lib.RTU_STATE_DISARMED
    ARMED = lib.RTU_STATE_ARMED
    SAFE = lib.RTU_STATE_SAFE
    ESTOP = lib.RTU_STATE_ESTOP
    RESETTING = lib.RTU_STATE_RESETTING


class Status(enum.IntEnum):
    """Why the device refused."""

    OK = lib.RTU_STATUS_OK
    INVALID = lib.RTU_STATUS_INVALID
    STATE = lib.RTU_STATUS_STATE
    LATCHED = lib.RTU_STATUS_LATCHED
    BUSY = lib.RTU_STATUS_BUSY
    SESSION = lib.RTU_STATUS_SESSION
    UNSUPPORTED = lib.RTU_STATUS_UNSUPPORTED
    EPISODE = lib.RTU_STATUS_EPISODE
    MODE = lib.RTU_STATUS_MODE
    SEQ = lib.RTU_STATUS_SEQ
    STALE = lib.RTU_STATUS_STALE
    VALUE = lib.RTU_STATUS_VALUE


class EventCode(enum.IntEnum):
    """What an EVENT tells."""

    REFUSED = lib.RTU_EVENT_REFUSED
    OVERRUN = lib.RTU_EVENT_OVERRUN
    DAMAGED = lib.RTU_EVENT_DAMAGED


class Cap(enum.IntFlag):
    """What a device can do."""

    SIMULATED = lib.RTU_CAP_SIMULATED
    LOCKSTEP = lib.RTU_CAP_LOCKSTEP
    REWARD = lib.RTU_CAP_REWARD
    RESET = lib.RTU_CAP_RESET


class Episode(enum.IntFlag):
    """Flags of the observation in a STATE."""

    FIRST = lib.RTU_EPISODE_FIRST
    TERMINATED = lib.RTU_EPISODE_TERMINATED
    TRUNCATED = lib.RTU_EPISODE_TRUNCATED
    REWARD = lib.RTU_EPISODE_REWARD


class Fault(enum.IntFlag):
    """Why the device is not armed."""

    SILENCE = lib.RTU_FAULT_SILENCE
    ESTOP = lib.RTU_FAULT_ESTOP
    SENSOR = lib.RTU_FAULT_SENSOR


_NO_CAPS = Cap(0)


@dataclass(frozen=True)
class Hello:
    """01: who is there. From a host, a request for the device's."""

    proto_ver: int = lib.RTU_PROTO_VERSION
    role: int = lib.RTU_ROLE_HOST
    caps: Cap = _NO_CAPS
    boot_id: int = 0
    schema_hash: int = 0
    period_us: int = 0
    ttl_max_ms: int = 0
    n_obs: int = 0
    n_act: int = 0
    fw_major: int = 0
    fw_minor: int = 0
    fw_patch: int = 0
    last_session: int = 0


@dataclass(frozen=True)
class Ping:
    """02: what time is it?"""

    t0_us: int


@dataclass(frozen=True)
class Pong:
    """03: the answer."""

    t0_us: int
    t1_us: int
    t2_us: int


@dataclass(frozen=True)
class Describe:
    """04: asks for a row of the data sheet."""

    index: int


@dataclass(frozen=True)
class Row:
    """05: one observation or actuator."""

    name: str
    unit: str
    min: float
    max: float
    index: int = 0
    actuator: bool = False
    safe: int = lib.RTU_SAFE_NONE
    slew: float = 0.0
    safe_value: float = 0.0


@dataclass(frozen=True)
class Cmd:
    """10: what the actuators shall do."""

    session: int
    obs_t_us: int
    ttl_ms: int
    u: tuple[float, ...]
    mode: int = lib.RTU_MODE_VALUE
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
    """14: the answer to a frame that asks for one."""

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
    """20: what the device measures and does."""

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
    """21: what the device has noticed."""

    code: EventCode | int
    status: Status | int
    seq: int
    count: int


@dataclass(frozen=True)
class Param:
    """30: one number, read or written."""

    index: int
    op: int = lib.RTU_PARAM_READ
    kind: int = lib.RTU_PARAM_U32
    bits: int = 0


@dataclass(frozen=True)
class Log:
    """31: a line of text for people."""

    level: int
    text: str


@dataclass(frozen=True)
class Estop:
    """7F: stop, whoever says it."""


Message: TypeAlias = (
    Hello
    | Ping
    | Pong
    | Describe
    | Row
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

_EMPTY: dict[type, FrameType] = {
    Disarm: FrameType.DISARM,
    ClearFault: FrameType.CLEAR_FAULT,
    Estop: FrameType.ESTOP,
}
_EMPTY_CLASS = {number: cls for cls, number in _EMPTY.items()}
_CLASS: dict[FrameType, Any] = {
    FrameType.HELLO: Hello,
    FrameType.PING: Ping,
    FrameType.PONG: Pong,
    FrameType.DESCRIBE: Describe,
    FrameType.ROW: Row,
    FrameType.CMD: Cmd,
    FrameType.ARM: Arm,
    FrameType.ACK: Ack,
    FrameType.RESET: Reset,
    FrameType.STATE: State,
    FrameType.EVENT: Event,
    FrameType.PARAM: Param,
    FrameType.LOG: Log,
}
_ENUMS: dict[tuple[type, str], type[enum.Enum]] = {
    (Hello, "caps"): Cap,
    (Ack, "type"): FrameType,
    (Ack, "status"): Status,
    (State, "fault"): Fault,
    (State, "state"): DeviceState,
    (State, "epflags"): Episode,
    (Event, "code"): EventCode,
    (Event, "status"): Status,
}
_TYPE = {cls: number for number, cls in _CLASS.items()} | _EMPTY


@dataclass(frozen=True)
class Frame:
    """A frame as it is on the wire, its payload opaque."""

    type: FrameType | int
    seq: int = 0
    t_us: int = 0
    payload: bytes = b""
    flags: int = 0


def crc32(data: bytes, crc: int = 0) -> int:
    """Return the CRC-32 of data after that of what came before it; the same as zlib's."""
    return int(lib.rtu_crc32(crc, data, len(data)))


def _as_enum(kind: type[enum.Enum], value: int) -> Any:
    """Return the member of that value, or the plain number when there is none."""
    try:
        return kind(value)
    except ValueError:
        return value


def _to_c(frame: Frame) -> Any:
    if len(frame.payload) > PAYLOAD_MAX:
        raise ValueError(f"payload has {len(frame.payload)} bytes; a frame carries at most {PAYLOAD_MAX}")
    c = ffi.new("rtu_frame *", {"type": frame.type, "flags": frame.flags, "seq": frame.seq, "t_us": frame.t_us})
    c.size = len(frame.payload)
    ffi.memmove(c.payload, frame.payload, c.size)
    return c


def _from_c(c: Any) -> Frame:
    payload = bytes(ffi.buffer(c.payload, c.size))
    return Frame(_as_enum(FrameType, c.type), int(c.seq), int(c.t_us), payload, int(c.flags))


def encode(frame: Frame) -> bytes:
    """Return the bytes of a frame, delimiter included.

    Raises:
        ValueError: the payload is longer than PAYLOAD_MAX.
        OverflowError: a number does not fit its field.
    """
    out = ffi.new("uint8_t[]", lib.RTU_WIRE_MAX)
    return bytes(ffi.buffer(out, lib.rtu_frame_encode(_to_c(frame), out)))


class Decoder:
    """Frames out of bytes in whatever pieces they arrive; what is damaged is counted and skipped."""

    def __init__(self) -> None:
        self._c = ffi.new("rtu_decoder *")
        lib.rtu_decoder_init(self._c)

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes; return the frames that are complete with them."""
        frames = []
        buffer = ffi.from_buffer(data)
        at = ffi.new("const uint8_t **", ffi.cast("const uint8_t *", buffer))
        end = at[0] + len(data)
        out = ffi.new("rtu_frame *")
        while lib.rtu_decoder_next(self._c, at, end, out):
            frames.append(_from_c(out))
        return frames

    @property
    def frames(self) -> int:
        """Good frames so far."""
        return int(self._c.frames)

    @property
    def crc_errors(self) -> int:
        """Frames whose CRC did not fit."""
        return int(self._c.crc_errors)

    @property
    def garbled(self) -> int:
        """Frames that were not COBS, or too short."""
        return int(self._c.garbled)

    @property
    def overlong(self) -> int:
        """Runs of bytes too long for a frame."""
        return int(self._c.overlong)

    @property
    def errors(self) -> int:
        """All of the damaged."""
        return int(lib.rtu_decoder_errors(self._c))


def _set_values(c: Any, name: str, count: str, values: Iterable[float]) -> None:
    values = tuple(values)
    if len(values) > VALUES_MAX:
        raise ValueError(f"{name} has {len(values)} values; a frame carries at most {VALUES_MAX}")
    setattr(c, count, len(values))
    getattr(c, name)[0 : len(values)] = values


def _set_text(c: Any, name: str, text: str, room: int) -> None:
    data = text.encode("ascii")
    if len(data) > room:
        raise ValueError(f"{name} {text!r} has {len(data)} characters; at most {room} fit")
    ffi.memmove(getattr(c, name), data, len(data))


def _row_to_c(row: Row) -> Any:
    c = ffi.new("rtu_row *")
    for field in ("index", "actuator", "safe", "min", "max", "slew", "safe_value"):
        setattr(c, field, getattr(row, field))
    _set_text(c, "name", row.name, lib.RTU_NAME_MAX)
    _set_text(c, "unit", row.unit, lib.RTU_UNIT_MAX)
    return c


def _message_to_c(message: Message, name: str) -> Any:
    if isinstance(message, Row):
        return _row_to_c(message)
    c = ffi.new(f"rtu_{name} *")
    if isinstance(message, Log):
        data = message.text.encode()[: lib.RTU_LOG_MAX]
        c.level, c.length = message.level, len(data)
        ffi.memmove(c.text, data, len(data))
        return c
    for field in fields(message):
        value = getattr(message, field.name)
        if field.name == "u":
            _set_values(c, "u", "n" if isinstance(message, Cmd) else "m", value)
        elif field.name == "x":
            _set_values(c, "x", "n", value)
        else:
            setattr(c, field.name, value)
    if isinstance(message, State) and len(message.x) + len(message.u) > VALUES_MAX:
        raise ValueError(f"x and u have {len(message.x) + len(message.u)} values; a frame carries at most {VALUES_MAX}")
    return c


def pack(message: Message, seq: int = 0, t_us: int = 0) -> Frame:
    """Return the frame of a message.

    Raises:
        ValueError: too many values, or text that is too long.
        OverflowError: a number does not fit its field.
    """
    kind = _TYPE[type(message)]
    if kind in _EMPTY_CLASS:
        return Frame(kind, seq, t_us)
    name = kind.name.lower()
    c = ffi.new("rtu_frame *")
    getattr(lib, f"rtu_{name}_pack")(_message_to_c(message, name), c)
    c.seq, c.t_us = seq, t_us
    return _from_c(c)


def _field_from_c(cls: type, c: Any, name: str) -> Any:
    if cls is Log:
        return bytes(ffi.buffer(c.text, c.length)).decode(errors="replace") if name == "text" else int(c.level)
    value = getattr(c, name)
    if name == "u":
        return tuple(value[0 : c.n if cls is Cmd else c.m])
    if name == "x":
        return tuple(value[0 : c.n])
    if cls is Row and name in ("name", "unit"):
        return ffi.string(value).decode("ascii")
    if cls is Row and name == "actuator":
        return bool(value)
    kind = _ENUMS.get((cls, name))
    return value if kind is None else _as_enum(kind, value)


def unpack(frame: Frame) -> Message | None:
    """Return the message of a frame; None for an unknown type, and for a payload that does not fit its type."""
    if frame.type in _EMPTY_CLASS:
        message: Message = _EMPTY_CLASS[FrameType(frame.type)]()
        return message if frame.payload == b"" else None
    cls = _CLASS.get(FrameType(frame.type)) if frame.type in _CLASS else None
    if cls is None:
        return None
    name = FrameType(frame.type).name.lower()
    c = ffi.new(f"rtu_{name} *")
    if not getattr(lib, f"rtu_{name}_unpack")(_to_c(frame), c):
        return None
    message = cls(**{field.name: _field_from_c(cls, c, field.name) for field in fields(cls)})
    return message


def schema_text(period_us: int, rows: Iterable[Row]) -> str:
    """Return the canonical text of a schema: the rows of the observations, then those of the actuators."""
    rows = tuple(rows)
    actuators = sum(row.actuator for row in rows)
    line = ffi.new("char[]", lib.RTU_SCHEMA_LINE_MAX)
    text = ffi.buffer(line, lib.rtu_schema_head(period_us, len(rows) - actuators, actuators, line))[:]
    for row in rows:
        text += ffi.buffer(line, lib.rtu_schema_line(_row_to_c(row), line))[:]
    return bytes(text).decode("ascii")


def schema_hash(period_us: int, rows: Iterable[Row]) -> int:
    """Return the hash that HELLO carries for such a schema."""
    return crc32(schema_text(period_us, rows).encode("ascii"))
