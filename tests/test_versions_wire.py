"""TickLink between versions, by recorded bytes: a host of version 1 with recorded devices, and what a later host or
device meets here (docs/protocol.md, "Versions").
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from reference import wire_oracle as oracle
from test_unanswered import far_end

from rtu_edge import _testing
from rtu_edge.loop import Link, LinkError, Loop, LoopConfig

GOLDEN = Path(__file__).resolve().parent / "golden"
WIRE = GOLDEN / "formats" / "wire"
sys.path.insert(0, str(GOLDEN))
import make_versions  # noqa: E402 (its folder is no package)

HELLO, ROW, DESCRIBE, DISARM, STATE, ESTOP = 0x01, 0x05, 0x04, 0x12, 0x20, 0x7F
# The sheet of the recorded cart-pole, as a device of version 2 with a longer HELLO sends it.
OF_A_LATER_DEVICE = oracle.payload(HELLO, 2, 1, 15, 9, 0xBA4958C7, 20000, 200, 2, 1, 2, 0, 0, 0) + b"\x01\x02\x03\x04"
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


# ---------------------------------------------------------------- version 1 with version 1


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


def test_a_later_device_of_version_1_is_used_as_one_of_today() -> None:
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


# ---------------------------------------------------------------- this host with a device of version 2


def test_a_device_of_version_2_is_refused_by_number_and_nothing_else_is_sent() -> None:
    with link_to(lambda kind, seq, payload: oracle.encode(HELLO, 0, 1, 0, OF_A_LATER_DEVICE)) as (link, heard):
        with pytest.raises(LinkError, match="device uses TickLink 2, this host TickLink 1: bring both"):
            link.handshake(2.0)
        assert set(heard) == {HELLO}


def test_a_device_of_version_2_can_be_stopped() -> None:
    """ESTOP needs no handshake; STATE is read by its size and type alone."""
    stopped = oracle.encode(STATE, 0, 2, 0, STOPPED)
    with link_to(lambda kind, seq, payload: stopped if kind == ESTOP else b"") as (link, heard):
        assert link.estop(2.0)
        assert set(heard) == {ESTOP}


def test_a_row_of_another_size_is_refused_by_number() -> None:
    """A sheet of a later version: what it adds may change what the rest means."""

    def device(kind: int, seq: int, payload: bytes) -> bytes:
        said = of_version_1(kind, seq, payload)
        if kind != DESCRIBE or payload != b"\x01":
            return said
        (row,) = oracle.frames(said)
        return oracle.encode(ROW, 0, row[2], 0, row[4] + b"\x00\x00\x80\x3f")

    with link_to(device) as (link, _):
        link.handshake(2.0)
        with pytest.raises(LinkError, match="row 1 of the device's data sheet"):
            link.describe(2.0)


# ---------------------------------------------------------------- this device with a host of version 2

LINES = [json.loads(line) for line in (GOLDEN / "versions" / "device.jsonl").read_text().splitlines()]


def test_a_later_host_gets_the_recorded_answers() -> None:
    assert [list(line) for line in make_versions.answers()] == LINES


def kinds(bytes_of_the_device: str) -> list[tuple[int, bytes]]:
    return [(frame[0], frame[4]) for frame in oracle.frames(bytes.fromhex(bytes_of_the_device))]


def test_the_recorded_answers_keep_the_promises_of_the_document() -> None:
    """HELLO is answered with this version, unknown and longer messages change nothing, DISARM and ESTOP are obeyed."""
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
