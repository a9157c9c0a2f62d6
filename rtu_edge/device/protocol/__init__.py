"""TickLink in Python: frames and messages, encoded and decoded by the C that also runs on the device.

>>> frame = pack(Cmd(session=1, obs_t_us=1_000_000, ttl_ms=50, u=(0.5, -0.25)), seq=7, t_us=1_000_000)
>>> wire = encode(frame)
>>> wire.hex(" ")[:23]
'02 10 02 07 04 40 42 0f'
>>> [unpack(frame) for frame in Decoder().feed(wire)]
[Cmd(session=1, obs_t_us=1000000, ttl_ms=50, u=(0.5, -0.25), mode=0, lockstep=False)]
"""

from __future__ import annotations

from rtu_edge.device.protocol.codec import VALUES_MAX, pack, schema_hash, schema_text, unpack
from rtu_edge.device.protocol.frames import PAYLOAD_MAX, Decoder, Frame, FrameType, crc32, encode
from rtu_edge.device.protocol.messages import (
    Ack,
    Arm,
    Cap,
    Channel,
    ClearFault,
    Cmd,
    Describe,
    DeviceState,
    Disarm,
    Episode,
    Estop,
    Event,
    EventCode,
    Fault,
    Hello,
    Log,
    Message,
    Param,
    Ping,
    Pong,
    Reset,
    State,
    Status,
)

__all__ = [
    "PAYLOAD_MAX",
    "VALUES_MAX",
    "Ack",
    "Arm",
    "Cap",
    "Channel",
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
    "State",
    "Status",
    "crc32",
    "encode",
    "pack",
    "schema_hash",
    "schema_text",
    "unpack",
]
