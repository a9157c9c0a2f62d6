"""TickLink: published vectors byte for byte, the C against a slow oracle, damage of every kind."""

from __future__ import annotations

import dataclasses
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import wire_oracle as oracle
from rtu_edge._bridge import ffi, lib

from rtu_edge.device import protocol
from rtu_edge.device.protocol import Decoder, Frame, FrameType, encode, pack, unpack
from rtu_edge.device.protocol.codec import message_to_c
from rtu_edge.device.schema import LimitKind, Role, SheetLimit

u8, u16, u32, u64 = (st.integers(0, 2**n - 1) for n in (8, 16, 32, 64))
f32 = st.floats(width=32, allow_nan=False)
values = st.lists(f32, max_size=protocol.VALUES_MAX).map(tuple)
plain = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1)
frames = st.builds(Frame, type=u8, seq=u16, t_us=u32, payload=st.binary(max_size=protocol.PAYLOAD_MAX), flags=u8)


def hexed(text: str) -> bytes:
    return bytes.fromhex(text)


# ------------------------------------------------------------------------------ vectors of docs/protocol.md

FRAMING = [
    (
        "01 00 00 00 00 00 00 00 01 00 03 00 ef be ad de",
        "02 01 01 01 01 01 01 01 02 01 02 03 09 ef be ad de f7 17 f3 33 00",
    ),
    ("7f 00 01 00 00 00 00 00", "02 7f 02 01 01 01 01 01 05 f0 8f 0e db 00"),
    (
        "10 00 07 00 40 42 0f 00 cd ab 34 12 00 42 0f 00 32 00 00 02 00 00 00 3f 00 00 80 be",
        "02 10 02 07 04 40 42 0f 05 cd ab 34 12 03 42 0f 02 32 01 02 02 01 01 02 3f 01 07 80 be c8 cb ca c2 00",
    ),
    (
        "20 00 09 00 c8 55 0f 00 07 00 01 00 00 00 01 00 02 00 03 02 00 00 80 3f 00 00 00 00 00 00 80 3f 00 00 80 bf "
        "00 00 00 3f 00 00 80 be",
        "02 20 02 09 04 c8 55 0f 02 07 02 01 01 01 02 01 02 02 03 03 02 01 03 80 3f 01 01 01 01 01 03 80 3f 01 03 80 "
        "bf 01 01 02 3f 01 07 80 be 34 db fb 54 00",
    ),
]
ESTOP_WIRE, CMD_WIRE, STATE_WIRE = (hexed(tx) for _, tx in FRAMING[1:])
COBS = [
    (b"", "01"),
    (b"\0", "01 01"),
    (hexed("11 22 00 33"), "03 11 22 02 33"),
    (hexed("11 00 00 00"), "02 11 01 01 01"),
    (bytes(range(1, 255)), "ff" + bytes(range(1, 255)).hex()),
    (bytes(range(1, 256)), "ff" + bytes(range(1, 255)).hex() + "02 ff"),
]


@pytest.mark.parametrize(("raw", "tx"), FRAMING, ids=["hello", "estop", "cmd", "state"])
def test_framing_vectors(raw: str, tx: str) -> None:
    kind, flags, seq, t_us = oracle.HEADER.unpack(hexed(raw)[:8])
    frame = Frame(kind, seq, t_us, hexed(raw)[8:], flags)
    assert encode(frame) == hexed(tx)
    assert Decoder().feed(hexed(tx)) == [frame]
    assert oracle.encode(kind, flags, seq, t_us, hexed(raw)[8:]) == hexed(tx)


def test_message_vectors() -> None:
    cmd = protocol.Cmd(session=0x1234ABCD, obs_t_us=0x000F4200, ttl_ms=50, u=(0.5, -0.25))
    assert encode(pack(cmd, seq=7, t_us=1_000_000)) == CMD_WIRE
    state = protocol.State(
        7, 1, protocol.Fault(0), 1, protocol.DeviceState.ARMED, protocol.Episode(0), 1.0, (0, 1, -1), (0.5, -0.25)
    )
    assert encode(pack(state, seq=9, t_us=1_005_000)) == STATE_WIRE
    assert encode(pack(protocol.Estop(), seq=1)) == ESTOP_WIRE
    found = [unpack(frame) for frame in Decoder().feed(CMD_WIRE + STATE_WIRE + ESTOP_WIRE)]
    assert found == [cmd, state, protocol.Estop()]


def test_vectors_stand_in_the_documentation() -> None:
    text = " ".join((Path(__file__).parents[1] / "docs" / "protocol.md").read_text().split())
    for raw, tx in FRAMING:
        assert raw in text
        assert tx in text


def test_crc_check_value() -> None:
    assert protocol.crc32(b"123456789") == 0xCBF43926 == oracle.crc32(b"123456789")


@given(st.binary(max_size=300), st.integers(0, 300))
def test_crc_is_zlibs_and_chains(data: bytes, cut: int) -> None:
    assert protocol.crc32(data) == zlib.crc32(data)
    assert protocol.crc32(data[cut:], protocol.crc32(data[:cut])) == zlib.crc32(data)


def cobs(data: bytes) -> bytes:
    out = ffi.new("uint8_t[]", len(data) + len(data) // 254 + 2)
    return bytes(ffi.buffer(out, lib.tl_cobs_encode(data, len(data), out)))


def uncobs(data: bytes) -> bytes | None:
    out = ffi.new("uint8_t[]", len(data) + 1)
    n = lib.tl_cobs_decode(data, len(data), out)
    assert out[len(data)] == 0, "wrote beyond its room"
    return None if n > len(data) else bytes(ffi.buffer(out, n))


@pytest.mark.parametrize(("raw", "stuffed"), COBS)
def test_cobs_vectors(raw: bytes, stuffed: str) -> None:
    assert cobs(raw) == hexed(stuffed) == oracle.cobs_encode(raw)
    assert uncobs(hexed(stuffed)) == raw


@given(st.binary(max_size=1100) | st.lists(st.integers(252, 257).map(lambda n: b"\1" * n)).map(b"\0".join))
def test_cobs_round_trip(data: bytes) -> None:
    stuffed = cobs(data)
    assert 0 not in stuffed
    assert stuffed == oracle.cobs_encode(data)
    assert uncobs(stuffed) == data


@given(st.binary(max_size=300))
def test_cobs_decodes_what_the_oracle_does(data: bytes) -> None:
    assert uncobs(data) == oracle.cobs_decode(data)


# ------------------------------------------------------------------------------------------- frames and messages


@given(frames)
def test_frame_round_trip(frame: Frame) -> None:
    tx = encode(frame)
    assert tx == oracle.encode(frame.type, frame.flags, frame.seq, frame.t_us, frame.payload)
    assert tx.index(0) == len(tx) - 1 <= 251
    assert Decoder().feed(tx) == [frame]


LIMITS = st.lists(
    st.builds(SheetLimit, st.sampled_from(LimitKind), f32, f32, u8, st.sampled_from([-1, 0, 1]), f32), max_size=4
).map(tuple)
MESSAGES = st.one_of(
    st.builds(
        protocol.Hello,
        *[u8, u8, st.integers(0, 15).map(protocol.Cap), u32, u32, u32, u16, u8, u8, u8, u8, u16, u32],
    ),
    st.builds(protocol.Ping, u64),
    st.builds(protocol.Pong, u64, u64, u64),
    st.builds(protocol.Describe, u8, st.integers(1, 255)),
    st.builds(
        protocol.Channel,
        name=plain.map(lambda t: t[:24]),
        unit=plain.map(lambda t: t[:12]),
        min=f32,
        max=f32,
        index=u8,
        actuator=st.booleans(),
        safe=u8,
        slew=f32,
        safe_value=f32,
        role=st.sampled_from(Role),
        limits=LIMITS,
    ),
    st.builds(protocol.Cmd, u32, u32, u16, values, u8, st.booleans()),
    st.builds(protocol.Arm, u32, st.booleans()),
    st.builds(protocol.Disarm),
    st.builds(protocol.ClearFault),
    st.builds(protocol.Ack, u8, u8, u16),
    st.builds(protocol.Reset, u32, u16, u32),
    st.integers(0, 55).flatmap(
        lambda n: st.builds(
            protocol.State,
            *[u16, u16, st.integers(0, 7).map(protocol.Fault), u16, u8, st.integers(0, 15).map(protocol.Episode), f32],
            st.lists(f32, min_size=n, max_size=n).map(tuple),
            st.lists(f32, max_size=55 - n).map(tuple),
        )
    ),
    st.builds(protocol.Event, u8, u8, u16, u32),
    st.builds(protocol.Param, u16, u8, u8, u32),
    st.builds(protocol.Log, u8, st.text(max_size=50)),
    st.builds(protocol.Estop),
)


def plain_limit(each: SheetLimit) -> tuple[float, ...]:
    return each.kind, each.actuator, each.sense, each.low, each.high, each.slope


def oracle_payload(message: protocol.Message, kind: int) -> bytes:
    """The payload by the oracle; the fields of the dataclasses need some order first."""
    if isinstance(message, protocol.Channel):
        m = message
        text = (m.name.encode(), m.unit.encode())
        fields = oracle.row_fields(m.role, [plain_limit(each) for each in m.limits])
        return oracle.payload(kind, m.index, m.actuator, m.safe, m.min, m.max, m.slew, m.safe_value, *text) + fields
    if isinstance(message, protocol.Describe):
        return bytes([message.index] + [message.version] * (message.version > 1))
    if isinstance(message, protocol.Cmd):
        m = message
        return oracle.payload(kind, m.session, m.obs_t_us, m.ttl_ms, m.mode, len(m.u), values=m.u)
    if isinstance(message, protocol.State):
        m = message
        fixed = (m.last_cmd_seq, m.cmd_age_ms, m.fault, m.episode, m.state, m.epflags, len(m.x), len(m.u), m.reward)
        return oracle.payload(kind, *fixed, values=m.x + m.u)
    if isinstance(message, protocol.Arm):
        return oracle.payload(kind, message.session)
    if isinstance(message, protocol.Log):
        return oracle.payload(kind, message.level, text=message.text.encode())
    return oracle.payload(kind, *(getattr(message, field.name) for field in dataclasses.fields(message)))


@given(MESSAGES, u16, u32)
@settings(max_examples=500)
def test_message_round_trip(message: protocol.Message, seq: int, t_us: int) -> None:
    frame = pack(message, seq, t_us)
    assert unpack(frame) == message
    assert (frame.seq, frame.t_us, frame.flags) == (seq, t_us, int(vars(message).get("lockstep", False)))
    assert frame.payload == oracle_payload(message, frame.type)


@given(MESSAGES, st.integers(0, 238))
def test_payload_of_another_size_is_refused(message: protocol.Message, size: int) -> None:
    frame = pack(message)
    other = dataclasses.replace(frame, payload=(frame.payload + b"\0" * 238)[:size])
    longer_is_fine = isinstance(message, protocol.Hello | protocol.Log)
    if size != len(frame.payload) and not (longer_is_fine and size > len(frame.payload)):
        assert unpack(other) is None or isinstance(message, protocol.Log)


def test_counts_that_lie_are_refused() -> None:
    cmd = pack(protocol.Cmd(1, 0, 50, (1.0, 2.0)))
    for n in (0, 1, 3, 55, 56, 255):
        payload = bytearray(cmd.payload)
        payload[11] = n
        assert unpack(dataclasses.replace(cmd, payload=bytes(payload))) is None
    state = pack(protocol.State(0, 0, protocol.Fault(0), 0, 2, protocol.Episode(0), 0.0, (1.0, 2.0), (3.0,)))
    for n, m in ((2, 2), (255, 4), (3, 1), (56, 0), (0, 56), (200, 200)):
        payload = bytearray(state.payload)
        payload[10:12] = bytes((n, m))
        assert unpack(dataclasses.replace(state, payload=bytes(payload))) is None


def test_row_text_must_be_plain() -> None:
    row = pack(protocol.Channel("force", "N", -10.0, 10.0))
    for at, byte in ((20, 0x20), (20, 0), (21, 0x7F), (44, 0), (44, 0x0A), (50, ord("x")), (1, 2)):
        payload = bytearray(row.payload)
        payload[at] = byte
        assert unpack(dataclasses.replace(row, payload=bytes(payload))) is None


def test_too_much_for_a_frame_is_an_error() -> None:
    with pytest.raises(ValueError, match="at most 55"):
        pack(protocol.Cmd(1, 0, 50, (0.0,) * 56))
    with pytest.raises(ValueError, match="at most 55"):
        pack(protocol.State(0, 0, protocol.Fault(0), 0, 2, protocol.Episode(0), 0.0, (0.0,) * 30, (0.0,) * 26))
    with pytest.raises(ValueError, match="at most 238"):
        encode(Frame(FrameType.LOG, payload=b"x" * 239))
    with pytest.raises(ValueError, match="at most 24"):
        pack(protocol.Channel("n" * 25, "N", 0.0, 1.0))
    with pytest.raises(ValueError, match="at most 4"):
        pack(protocol.Channel("n", "N", 0.0, 1.0, limits=(SheetLimit(LimitKind.FAULT, high=1.0),) * 5))
    with pytest.raises(OverflowError):
        pack(protocol.Arm(2**32))


def test_nan_keeps_its_bits() -> None:
    """Whether a value is finite is judged by the device, not lost on the way."""
    payload = pack(protocol.Cmd(1, 0, 50, (0.0,))).payload[:12]
    for pattern in (0x7FC00001, 0xFF800000, 0x7F800001, 0x00000001):
        frame = Frame(FrameType.CMD, payload=payload + struct.pack("<I", pattern))
        (back,) = Decoder().feed(encode(frame))
        assert back == frame


# ------------------------------------------------------------------------------------------- damage


@pytest.mark.parametrize("tx", [ESTOP_WIRE, CMD_WIRE, STATE_WIRE], ids=["estop", "cmd", "state"])
def test_truncated_at_each_byte(tx: bytes) -> None:
    for n in range(len(tx) - 1):
        decoder = Decoder()
        assert decoder.feed(tx[:n]) == []
        assert decoder.errors == 0, "it may still come"
        assert [f.type for f in decoder.feed(b"\0" + CMD_WIRE)] == [FrameType.CMD], "back in step within one frame"
        assert decoder.errors == (n > 0)


@pytest.mark.parametrize("tx", [ESTOP_WIRE, CMD_WIRE, STATE_WIRE], ids=["estop", "cmd", "state"])
def test_each_bit_flipped(tx: bytes) -> None:
    for bit in range(8 * len(tx)):
        damaged = bytearray(tx)
        damaged[bit // 8] ^= 1 << bit % 8
        decoder = Decoder()
        found = decoder.feed(bytes(damaged) + CMD_WIRE + STATE_WIRE)
        # Without its delimiter the damaged frame takes the next one along; the one after that is always whole.
        lost = bit // 8 == len(tx) - 1
        assert [f.type for f in found] == ([] if lost else [FrameType.CMD]) + [FrameType.STATE]
        assert decoder.errors >= 1


@given(st.lists(frames, max_size=5), st.data())
def test_any_cut_of_the_stream_gives_the_same_frames(sent: list[Frame], data: st.DataObject) -> None:
    stream = b"".join(map(encode, sent))
    decoder, found = Decoder(), []
    while stream:
        n = data.draw(st.integers(1, len(stream)))
        found += decoder.feed(stream[:n])
        stream = stream[n:]
    assert found == sent
    assert decoder.frames == len(sent)
    assert decoder.errors == 0


@given(st.lists(st.binary(max_size=300) | frames.map(encode), max_size=8), st.data())
def test_garbage_between_frames_costs_what_it_touches(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts)
    decoder, found, left = Decoder(), [], stream
    while left:
        n = data.draw(st.integers(1, len(left)))
        found += decoder.feed(left[:n])
        left = left[n:]
    assert [(f.type, f.flags, f.seq, f.t_us, f.payload) for f in found] == oracle.frames(stream)
    pieces = [piece for piece in stream.split(b"\0")[:-1] if piece]
    verdicts = [oracle.decode(piece) for piece in pieces]
    assert decoder.crc_errors == verdicts.count("crc")
    assert decoder.garbled == verdicts.count("garbled")
    assert decoder.overlong == verdicts.count("overlong")


def test_overlong_is_skipped_and_counted() -> None:
    decoder = Decoder()
    assert decoder.feed(b"\1" * 100_000) == []
    assert [f.type for f in decoder.feed(b"\0" + CMD_WIRE)] == [FrameType.CMD]
    assert (decoder.overlong, decoder.errors) == (1, 1)


def test_idle_fill_is_no_error() -> None:
    decoder = Decoder()
    assert len(decoder.feed(b"\0\0\0" + CMD_WIRE + b"\0\0" + CMD_WIRE)) == 2
    assert decoder.errors == 0


# ------------------------------------------------------------------------------------------- schema


ROWS = st.lists(
    st.builds(
        protocol.Channel,
        name=plain.map(lambda t: t[:24]),
        unit=plain.map(lambda t: t[:12]),
        min=f32,
        max=f32,
        actuator=st.booleans(),
        safe=st.integers(0, 4),
        slew=f32,
        safe_value=f32,
    ),
    min_size=1,
    max_size=10,
)


@given(u32, ROWS)
def test_schema_text(period_us: int, rows: list[protocol.Channel]) -> None:
    text = protocol.schema_text(period_us, rows)
    assert text == oracle.schema_text(period_us, [dataclasses.asdict(row) for row in rows])
    c_rows = ffi.new("tl_row[]", len(rows))
    for i, row in enumerate(rows):
        c_rows[i] = message_to_c(row)[0]
    actuators = sum(row.actuator for row in rows)
    assert lib.tl_schema_hash(period_us, len(rows) - actuators, actuators, c_rows) == zlib.crc32(text.encode())
    assert protocol.schema_hash(period_us, rows) == zlib.crc32(text.encode())


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"unit": ""},
        {"min": 10.0},
        {"min": float("nan")},
        {"max": float("inf")},
        {"slew": 0.0},
        {"slew": float("nan")},
        {"safe": 0},
        {"safe": 5},
        {"safe_value": 10.5},
        {"safe_value": float("nan")},
        {"safe": 3, "slew": float("inf")},
        {"name": "with space"},
    ],
)
def test_rows_that_may_not_go_on_the_wire(change: dict[str, object]) -> None:
    good = protocol.Channel("force", "N", -10.0, 10.0, actuator=True, safe=4, slew=float("inf"))
    assert lib.tl_row_valid(message_to_c(good))
    assert not lib.tl_row_valid(message_to_c(dataclasses.replace(good, **change)))


# ------------------------------------------------------------------------------------------- one home for each number


def test_enums_are_those_of_the_headers() -> None:
    for prefix, kind in {
        "TL_TYPE_": protocol.FrameType,
        "TL_STATE_": protocol.DeviceState,
        "TL_STATUS_": protocol.Status,
        "TL_EVENT_": protocol.EventCode,
        "TL_CAP_": protocol.Cap,
        "TL_EPISODE_": protocol.Episode,
        "TL_FAULT_": protocol.Fault,
    }.items():
        names = {n.removeprefix(prefix): getattr(lib, n) for n in dir(lib) if n.startswith(prefix)}
        names.pop("COUNT", None)
        assert {member.name: member.value for member in kind} == names
