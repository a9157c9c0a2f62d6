"""Converts messages to frames and back, field by field; the C code (firmware_bridge/protocol) handles the bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Any

from rtu_edge._bridge import ffi, lib
from rtu_edge.device.protocol import messages
from rtu_edge.device.protocol.frames import Frame, FrameType, as_enum, crc32, from_c, to_c
from rtu_edge.device.protocol.messages import Message
from rtu_edge.device.schema import LimitKind, Role, Safe, SheetLimit

__all__ = ["VALUES_MAX", "message_to_c", "pack", "schema_hash", "schema_text", "unpack"]

VALUES_MAX: int = lib.TL_VALUES_MAX

_CLASS: dict[FrameType, type[Any]] = {
    FrameType.HELLO: messages.Hello,
    FrameType.PING: messages.Ping,
    FrameType.PONG: messages.Pong,
    FrameType.DESCRIBE: messages.Describe,
    FrameType.ROW: messages.Channel,
    FrameType.CMD: messages.Cmd,
    FrameType.ARM: messages.Arm,
    FrameType.DISARM: messages.Disarm,
    FrameType.CLEAR_FAULT: messages.ClearFault,
    FrameType.ACK: messages.Ack,
    FrameType.RESET: messages.Reset,
    FrameType.STATE: messages.State,
    FrameType.EVENT: messages.Event,
    FrameType.PARAM: messages.Param,
    FrameType.LOG: messages.Log,
    FrameType.ESTOP: messages.Estop,
}
_TYPE = {cls: number for number, cls in _CLASS.items()}

# Fields with a different name in C.
_IN_C = {"protocol": "proto_ver"}
# Fields with a special form in C, by name: values with their count, text with its size, enumerations.
_VALUES = {(messages.Cmd, "u"): "n", (messages.State, "x"): "n", (messages.State, "u"): "m"}
_TEXTS: dict[str, int] = {"name": lib.TL_NAME_MAX, "unit": lib.TL_UNIT_MAX}
_LIMIT = tuple(field.name for field in fields(SheetLimit))
_MEANING: dict[str, Callable[[Any], Any]] = {
    "actuator": bool,
    "caps": messages.Cap,
    "code": messages.EventCode,
    "epflags": messages.Episode,
    "fault": messages.Fault,
    "safe": Safe,
    "state": messages.DeviceState,
    "status": messages.Status,
    "type": FrameType,
}


def _name(cls: type) -> str:
    """Its name in C."""
    return _TYPE[cls].name.lower()


def _field_to_c(c: Any, kind: type, name: str, value: Any) -> None:
    if (kind, name) in _VALUES:
        values = tuple(value)
        if len(values) > VALUES_MAX:
            raise ValueError(f"{name} has {len(values)} values; a frame carries at most {VALUES_MAX}")
        setattr(c, _VALUES[kind, name], len(values))
        getattr(c, name)[0 : len(values)] = values
    elif name in _TEXTS:
        data = value.encode("ascii")
        if len(data) > _TEXTS[name]:
            raise ValueError(f"{name} {value!r} has {len(data)} characters; at most {_TEXTS[name]} fit")
        ffi.memmove(getattr(c, name), data, len(data))
    elif name == "limits":
        if len(value) > lib.TL_ROW_LIMITS_MAX:
            raise ValueError(f"limits has {len(value)} values; a row carries at most {lib.TL_ROW_LIMITS_MAX}")
        c.n_limits = len(value)
        for at, limit in zip(c.limits, value, strict=False):
            for key in _LIMIT:
                setattr(at, key, getattr(limit, key))
    elif name == "text":  # of a LOG, which is truncated if too long
        data = value.encode()[: lib.TL_LOG_MAX]
        c.length = len(data)
        ffi.memmove(c.text, data, len(data))
    else:
        setattr(c, _IN_C.get(name, name), value)


def _field_from_c(c: Any, kind: type, name: str) -> Any:
    value = getattr(c, _IN_C.get(name, name))
    if (kind, name) in _VALUES:
        return tuple(value[0 : getattr(c, _VALUES[kind, name])])
    if name in _TEXTS:
        return ffi.string(value).decode("ascii")
    if name == "limits":
        return tuple(_limit_from_c(each) for each in value[0 : c.n_limits])
    if (kind, name) == (messages.Channel, "role"):
        return Role(value) if value in list(Role) else Role.ANY
    if name == "text":
        return bytes(ffi.buffer(value, c.length)).decode(errors="replace")
    return as_enum(_MEANING[name], value) if name in _MEANING else value


def _limit_from_c(c: Any) -> SheetLimit:
    values = {name: getattr(c, name) for name in _LIMIT}
    return SheetLimit(**values | {"kind": LimitKind(c.kind) if c.kind in list(LimitKind) else LimitKind.OTHER})


def message_to_c(message: Message) -> Any:
    """Return the C struct of a message that has fields; raises as pack() does."""
    c = ffi.new(f"tl_{_name(type(message))} *")
    for field in fields(message):
        _field_to_c(c, type(message), field.name, getattr(message, field.name))
    if isinstance(message, messages.State) and len(message.x) + len(message.u) > VALUES_MAX:
        raise ValueError(f"x and u have {len(message.x) + len(message.u)} values; a frame carries at most {VALUES_MAX}")
    return c


def pack(message: Message, seq: int = 0, t_us: int = 0) -> Frame:
    """Return the frame of a message.

    Raises:
        ValueError: too many values, or text that is too long.
        OverflowError: a number does not fit its field.
    """
    kind = _TYPE[type(message)]
    if not fields(message):
        return Frame(kind, seq, t_us)
    c = ffi.new("tl_frame *")
    getattr(lib, f"tl_{_name(type(message))}_pack")(message_to_c(message), c)
    c.seq, c.t_us = seq, t_us
    return from_c(c)


def unpack(frame: Frame) -> Message | None:
    """Return the message of a frame; None for an unknown type, and for a payload that is invalid for its type."""
    if frame.type not in _CLASS:
        return None
    cls = _CLASS[FrameType(frame.type)]
    names = [field.name for field in fields(cls)]
    message: Message
    if not names:
        message = cls()
        return message if frame.payload == b"" else None
    c = ffi.new(f"tl_{_name(cls)} *")
    if not getattr(lib, f"tl_{_name(cls)}_unpack")(to_c(frame), c):
        return None
    message = cls(**{name: _field_from_c(c, cls, name) for name in names})
    return message


def schema_text(period_us: int, rows: Iterable[messages.Channel]) -> str:
    """Return the canonical text of a schema: the rows of the observations, then those of the actuators."""
    rows = tuple(rows)
    actuators = sum(row.actuator for row in rows)
    line = ffi.new("char[]", lib.TL_SCHEMA_LINE_MAX)
    text = ffi.buffer(line, lib.tl_schema_head(period_us, len(rows) - actuators, actuators, line))[:]
    for row in rows:
        text += ffi.buffer(line, lib.tl_schema_line(message_to_c(row), line))[:]
    return bytes(text).decode("ascii")


def schema_hash(period_us: int, rows: Iterable[messages.Channel]) -> int:
    """Return the hash that HELLO carries for such a schema."""
    return crc32(schema_text(period_us, rows).encode("ascii"))
