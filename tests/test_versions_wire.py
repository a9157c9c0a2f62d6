"""TickLink between versions, by recorded bytes: this host with devices of version 1 and of a later one, this device
with hosts of version 1 and of a later one (docs/protocol_versions.md).
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from reference import wire_oracle as oracle
from test_unanswered import far_end

from rtu_edge import _testing
from rtu_edge.device import protocol
from rtu_edge.device.schema import LimitKind, Role, SheetLimit
from rtu_edge.device.simulated import InProcessDevice
from rtu_edge.loop import Link, LinkError, Loop, LoopConfig

GOLDEN = Path(__file__).resolve().parent / "golden"
WIRE = GOLDEN / "formats" / "wire"
sys.path.insert(0, str(GOLDEN))
import make_versions  # noqa: E402 (its folder is no package)

HELLO, ROW, DESCRIBE, DISARM, STATE, ESTOP = 0x01, 0x05, 0x04, 0x12, 0x20, 0x7F
# The sheet of the recorded cart-pole, as a device of version 3 with a longer HELLO sends it.
OF_A_LATER_DEVICE = oracle.payload(HELLO, 3, 1, 15, 9, 0xBA4958C7, 20000, 200, 2, 1, 2, 0, 0, 0) + b"\x01\x02\x03\x04"
STOPPED = oracle.payload(STATE, 0, 0xFFFF, 2, 0, 4, 0, 2, 1, 0.0, values=(0.0, 0.0, 0.0))


def recorded() -> dict[int, dict[bytes, bytes]]:
    """Answers of the recorded device to HELLO and DESCRIBE: type -> payload of the question -> bytes."""
    found: dict[int, dict[bytes, bytes]] = {HELLO: {}, DESCRIBE: {}}
    for line in (WIRE / "cartpole-lockstep.jsonl").read_text().splitlines():
        _, given, answer = json.loads(line)
        for kind, _, _, _, payload in oracle.frames(bytes.fromhex(given or "")):
            if kind in found:
                found[kind].setdefault(b"" if kind == HELLO else payload, bytes.fromhex(answer))
    return found


@contextmanager
def link_to(answer: Callable[[int, int, bytes], bytes]) -> Iterator[tuple[Link, list[int]]]:
    """A link to a device that answers each frame by a function of type, seq and payload; the types of all frames."""
    heard: list[int] = []
    rest = b""

    def device(data: bytes) -> bytes:
        nonlocal rest
        *whole, rest = (rest + data).split(b"\0")
        said = b""
        for kind, _, seq, _, payload in oracle.frames(b"\0".join([*whole, b""])):
            heard.append(kind)
            said += answer(kind, seq, payload)
        return said

    with far_end(device) as (path, _):
        fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            with Link(fd, capture_bytes=1 << 20) as link:
                yield link, heard
        finally:
            os.close(fd)


def of_version_1(kind: int, seq: int, payload: bytes) -> bytes:
    return recorded().get(kind, {}).get(b"" if kind == HELLO else payload, b"")


# ---------------------------------------------------------------- this host with a device of version 1


def test_todays_host_exchanges_the_recorded_bytes_with_a_recorded_device() -> None:
    """Each frame of a session in lockstep is answered from the file, by an end that computes nothing."""
    sent = (WIRE / "sent.bin").read_bytes()
    answers = (WIRE / "received.bin").read_bytes().split(b"\0")[:-1]
    first = {frame[2]: answer + b"\0" for frame, answer in zip(oracle.frames(sent), answers, strict=True)}

    def device(kind: int, seq: int, payload: bytes) -> bytes:
        if kind == DISARM:
            return oracle.encode(0x14, 0, 999, 0, oracle.payload(0x14, DISARM, 0, seq))
        return of_version_1(kind, seq, payload) if kind in (HELLO, DESCRIBE) else first[seq]

    with link_to(device) as (link, _):
        link.handshake()
        policy = _testing.LinearPolicy(2, [0.0], [[0.5, 6.0]])
        config = LoopConfig(steps=60, seed=5, session=7, learn=False, explore=False)
        result = Loop(link, policy.policy(), config).run(poll_s=0.01)
        assert result.steps == 60
        assert link.captured == (sent, (WIRE / "received.bin").read_bytes())


def test_a_device_of_version_1_with_more_than_this_host_knows_is_used() -> None:
    """A longer HELLO, messages, events and levels that this host does not have, between its answers."""
    unknown = oracle.encode(0x50, 0xF0, 1, 0, b"later") + oracle.encode(0x31, 0, 2, 0, b"\x09text")
    unknown += oracle.encode(0x21, 0, 3, 0, oracle.payload(0x21, 200, 99, 1, 1))

    def device(kind: int, seq: int, payload: bytes) -> bytes:
        if kind == HELLO:
            return unknown + oracle.encode(HELLO, 0, 4, 0, b"\x01" + OF_A_LATER_DEVICE[1:])
        return unknown + of_version_1(kind, seq, payload) + unknown

    with link_to(device) as (link, heard):
        assert link.handshake(2.0).protocol == 1
        assert [channel.name for channel in link.describe(2.0).channels] == ["x", "theta", "force"]
        assert set(heard) == {HELLO, DESCRIBE}


def test_a_device_of_version_1_is_asked_twice_and_in_its_own_form() -> None:
    """What a device sends at boot is of version 1 too: only the second answer tells."""
    with link_to(of_version_1) as (link, heard):
        assert link.handshake(2.0).protocol == 1
        assert heard == [HELLO, HELLO]
        sheet = link.describe(2.0)
        assert heard == [HELLO, HELLO, *[DESCRIBE] * 3]
        assert not any(channel.role or channel.limits for channel in sheet.channels)


def test_a_device_of_version_2_is_not_taken_for_one_of_version_1_at_its_boot() -> None:
    device = InProcessDevice("joint", now_us=1000, boot_id=9)
    boot = [device.tick(device.due_us)]  # HELLO of version 1, STATE

    def answer(kind: int, seq: int, payload: bytes) -> bytes:
        return (boot.pop() if boot else b"") + device.receive(oracle.encode(kind, 0, seq, 0, payload), 2000)

    with link_to(answer) as (link, _):
        assert link.handshake(2.0).protocol == 2
        assert sum(len(channel.limits) for channel in link.describe(2.0).channels) == 8


def test_a_device_of_version_1_can_be_stopped() -> None:
    stopped = oracle.encode(STATE, 0, 2, 0, STOPPED)
    with link_to(lambda kind, seq, payload: stopped if kind == ESTOP else of_version_1(kind, seq, payload)) as (
        link,
        _,
    ):
        link.handshake(2.0)
        assert link.estop(2.0)


# ---------------------------------------------------------------- this host with a device of a later version


def test_a_device_of_version_3_is_refused_by_number_and_nothing_else_is_sent() -> None:
    with link_to(lambda kind, seq, payload: oracle.encode(HELLO, 0, 1, 0, OF_A_LATER_DEVICE)) as (link, heard):
        with pytest.raises(LinkError, match="device uses TickLink 3, this host TickLink 2: bring both"):
            link.handshake(2.0)
        assert set(heard) == {HELLO}


def test_a_device_of_version_3_can_be_stopped() -> None:
    """ESTOP needs no handshake; STATE is read by its size and type alone."""
    stopped = oracle.encode(STATE, 0, 2, 0, STOPPED)
    with link_to(lambda kind, seq, payload: stopped if kind == ESTOP else b"") as (link, heard):
        assert link.estop(2.0)
        assert set(heard) == {ESTOP}


def test_fields_of_a_later_version_in_a_row_are_ignored() -> None:
    """A device of version 2.1, so to speak: another field in each row, which the hash of version 2 does not cover."""
    device = InProcessDevice("joint", now_us=1000, boot_id=9)

    def answer(kind: int, seq: int, payload: bytes) -> bytes:
        said = device.receive(oracle.encode(kind, 0, seq, 0, payload), 2000)
        if kind != DESCRIBE:
            return said
        (row,) = oracle.frames(said)
        return oracle.encode(ROW, 0, row[2], 0, row[4][:56] + b"\x63\x02??" + row[4][56:])

    with link_to(answer) as (link, _):
        assert link.handshake(2.0).protocol == 2
        assert sum(len(channel.limits) for channel in link.describe(2.0).channels) == 8


@pytest.mark.parametrize("more", [b"\x00\x00\x80\x3f", b"\x63\x02??"], ids=["no field", "a field"])
def test_a_longer_row_of_version_1_is_refused_by_number(more: bytes) -> None:
    """In version 1 what a row adds may change what the rest means."""

    def device(kind: int, seq: int, payload: bytes) -> bytes:
        said = of_version_1(kind, seq, payload)
        if kind != DESCRIBE or payload != b"\x01":
            return said
        (row,) = oracle.frames(said)
        return oracle.encode(ROW, 0, row[2], 0, row[4] + more)

    with link_to(device) as (link, _):
        link.handshake(2.0)
        with pytest.raises(LinkError, match="row 1 of the device's data sheet"):
            link.describe(2.0)


def test_fields_of_a_row_that_a_receiver_does_not_know_are_skipped() -> None:
    limit = SheetLimit(LimitKind.FAULT, high=80.0)
    channel = protocol.Channel("heat", "C", 0.0, 100.0, role=Role.TEMPERATURE, limits=(limit,))
    row = protocol.pack(channel)
    later = b"\x09\x03abc" + row.payload[56:59] + b"\xff\x00" + b"\x02\x14" + row.payload[61:77] + b"more"
    assert protocol.unpack(dataclasses.replace(row, payload=row.payload[:56] + later)) == channel
    other = row.payload[:58] + b"\xc8" + row.payload[59:61] + b"\x63" + row.payload[62:]
    found = protocol.unpack(dataclasses.replace(row, payload=other))
    assert isinstance(found, protocol.Channel)
    assert (found.role, found.limits[0].kind) == (Role.ANY, LimitKind.OTHER)


def test_fields_of_a_row_that_cannot_be_are_refused() -> None:
    row = protocol.pack(protocol.Channel("heat", "C", 0.0, 100.0))
    limit = oracle.row_fields(0, [(2, 255, 0, 0.0, 80.0, 0.0)])
    for fields in (b"\0", b"\x01", b"\x01\x02\x04", b"\0\0", b"\x01\0", b"\x02\x0f" + limit[2:17], limit * 5):
        assert protocol.unpack(dataclasses.replace(row, payload=row.payload + fields)) is None
    assert protocol.unpack(dataclasses.replace(row, payload=row.payload + limit * 4)) is not None


# ---------------------------------------------------------------- this device with other hosts


def recording(name: str) -> list[list[str]]:
    return [json.loads(line) for line in (GOLDEN / "versions" / name).read_text().splitlines()]


LINES, LINES_2 = recording("device.jsonl"), recording("device-2.jsonl")


def test_the_answers_of_version_1_are_given_still() -> None:
    """To each recorded question; but HELLO of version 2 is now answered with version 2."""
    found = [list(line) for line in make_versions.answers()]
    for (subject, given, answer), recorded in zip(found, LINES, strict=True):
        if subject.startswith("HELLO"):
            ((_, now),), ((_, then),) = kinds(answer), kinds(recorded[2])
            assert (now[0], then[0], now[1:]) == (2, 1, then[1:])
        else:
            assert [subject, given, answer] == recorded


def test_a_later_host_gets_the_recorded_answers() -> None:
    assert [list(line) for line in make_versions.answers("joint", make_versions.QUESTIONS_2)] == LINES_2


def kinds(bytes_of_the_device: str) -> list[tuple[int, bytes]]:
    return [(frame[0], frame[4]) for frame in oracle.frames(bytes.fromhex(bytes_of_the_device))]


def test_the_recorded_answers_of_version_2_keep_the_promises_of_the_document() -> None:
    found = {subject: kinds(answer) for subject, _, answer in LINES_2}
    answered = {subject: payload[0] for subject, ((kind, payload), *_) in found.items() if kind == HELLO}
    assert answered == {
        "HELLO of version 3, 12 bytes longer": 2,
        "HELLO of version 2": 2,
        "HELLO of version 1": 1,
        "HELLO of no version": 1,
    }
    assert all(len(found[subject][0][1]) == 28 for subject in answered)
    rows = {version: found[f"DESCRIBE of version {version}"][0] for version in (1, 2, 3)}
    assert rows[1] == (ROW, rows[2][1][:56])
    fields = oracle.row_fields(4, [(3, 255, 0, -math.inf, 70.0, 0.05), (2, 255, 0, -math.inf, 90.0, 0.0)])
    assert rows[2] == rows[3] == (ROW, rows[1][1] + fields)
    statuses = {subject: payload[1] for subject, ((kind, payload), *_) in found.items() if kind == 0x14}
    assert statuses == {"DESCRIBE, longer": 1, "PARAM of an observation that is not there": 6, "ARM": 0}
    ((kind, payload),) = found["ESTOP with a payload and flags"]
    assert (kind, payload[8]) == (STATE, 4)


def host_of_version_1(device: InProcessDevice, now_us: int) -> list[dict[str, object]]:
    """What a host of version 1 reads: HELLO with its version, rows of 56 bytes with that hash."""

    def ask(kind: int, payload: bytes) -> bytes:
        (frame,) = oracle.frames(device.receive(oracle.encode(kind, 0, 0, 0, payload), now_us))
        return frame[4]

    hello = struct.unpack("<BBHIIIHBBBBHI", ask(HELLO, b"\x01" + bytes(27)))
    assert hello[0] == 1
    rows = []
    for index in range(hello[7] + hello[8]):
        payload = ask(DESCRIBE, bytes([index]))
        assert len(payload) == 56
        _, actuator, safe, low, high, slew, value, name, unit = struct.unpack("<BBBxffff24s12s", payload)
        named = {"name": name.rstrip(b"\0").decode(), "unit": unit.rstrip(b"\0").decode()}
        rows.append({"actuator": actuator, "safe": safe, "min": low, "max": high, "slew": slew, "safe_value": value})
        rows[-1] |= named
    assert oracle.crc32(oracle.schema_text(hello[5], rows).encode()) == hello[4]
    return rows


@pytest.mark.hazard("sheet-limit")
def test_a_host_of_version_1_drives_within_limits_that_it_cannot_see() -> None:
    """It commands 10 V without end; the device holds the joint inside, and switches off when it is too hot."""
    device = InProcessDevice("joint", now_us=1000)
    now = device.due_us
    device.tick(now)
    assert [row["name"] for row in host_of_version_1(device, now)][-1] == "voltage"
    device.receive(oracle.encode(0x11, 0, 0, 0, oracle.payload(0x11, 1)), now)
    states = []
    for seq in range(1, 100):
        if seq == 80:  # the winding reaches 95 C
            device.receive(oracle.encode(0x30, 0, 0, 0, oracle.payload(0x30, 0x1004, 1, 1, 0x42BE0000)), now)
        command = oracle.payload(0x10, 1, now & 0xFFFFFFFF, 95, 0, 1, values=(10.0,))
        device.receive(oracle.encode(0x10, 0, seq, 0, command), now)
        now = device.due_us
        states += [frame[4] for frame in oracle.frames(device.tick(now)) if frame[0] == STATE]
    seen = [(state[8], *struct.unpack_from("<8f", state, 16)) for state in states]
    outside = [before[1] > 2.0 for before in seen]
    assert any(outside[:79]) and all(
        after[8] <= 0.0 for before, after, out in zip(seen, seen[1:], outside, strict=False) if out
    )
    assert {state[0] for state in seen[:79]} == {2} and {state[0] for state in seen[79:]} == {3}
    assert struct.unpack_from("<H", states[-1], 4)[0] == 8


def test_the_recorded_answers_keep_the_promises_of_the_document() -> None:
    """Of version 1: unknown and longer messages change nothing, DISARM and ESTOP are obeyed."""
    ack, hello = 0x14, 0x01
    found = {subject: kinds(answer) for subject, _, answer in LINES}
    for subject in ("HELLO of version 2, 12 bytes longer", "HELLO again"):
        ((kind, payload),) = found[subject]
        assert (kind, payload[0], len(payload)) == (hello, 1, 28)
    for subject in ("a message that version 1 does not have", "LOG of a level that version 1 does not have"):
        assert found[subject] == []
    assert found["CMD, longer"] == [], "its EVENT comes with the next STATE, here with ARM"
    statuses = {subject: payload[1] for subject, answers in found.items() for kind, payload in answers if kind == ack}
    assert statuses == {
        "DESCRIBE, longer": 1,
        "ARM, longer": 1,
        "ARM": 0,
        "DISARM with a payload and flags": 0,
        "ARM with flags that version 1 does not have": 0,
        "PARAM with an operation that version 1 does not have": 6,
        "CLEAR_FAULT, longer": 1,
        "CLEAR_FAULT": 0,
    }
    ((kind, payload),) = found["ESTOP with a payload and flags"]
    assert (kind, payload[8]) == (STATE, 4)
    (event, _) = found["ARM"]
    assert (event[0], event[1][:2]) == (0x21, b"\x01\x02")
