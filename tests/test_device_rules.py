"""Two rules of the device against the oracle (tests/reference/wire_oracle.py): valid session numbers of ARM, valid rows
of a data sheet.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from reference import wire_oracle as oracle
from rtu_edge._bridge import ffi, lib

from rtu_edge.device import protocol
from rtu_edge.device.simulated import InProcessDevice

NUMBERS = st.integers(0, 2**32 - 1)
NEAR = st.sampled_from([0, 1, 2, 2**31 - 1, 2**31, 2**31 + 1, 2**32 - 2, 2**32 - 1])


def arm(device: InProcessDevice, session: int, seq: int) -> protocol.Status:
    """Open a session and close it at once."""
    said = device.receive(protocol.encode(protocol.pack(protocol.Arm(session), seq, 0)), 0)
    ack = protocol.unpack(protocol.Decoder().feed(said)[0])
    assert isinstance(ack, protocol.Ack)
    device.receive(protocol.encode(protocol.pack(protocol.Disarm(), seq, 0)), 0)
    return protocol.Status(ack.status)


def device_with(last: int) -> InProcessDevice:
    """A device whose last session is this one, reached by small enough steps."""
    device = InProcessDevice("cartpole")
    device.tick(0)
    for part in (last // 3, last // 3 * 2, last):
        if part != device.bridge.last_session:
            assert arm(device, part, 0) == protocol.Status.OK
    assert device.bridge.last_session == last
    return device


@pytest.mark.hazard("session-exhausted")
@settings(max_examples=100, deadline=None)
@given(st.one_of(NUMBERS, NEAR), st.one_of(NUMBERS, NEAR, st.integers(-3, 3)))
@example(0, 2**32 - 1)
@example(2**32 - 1, 0)
@example(2**32 - 1, 1)
def test_a_session_is_newer_by_serial_arithmetic(last: int, session: int) -> None:
    session = (last + session) % 2**32 if session < 4 else session
    device = device_with(last)
    status = arm(device, session, 1)
    assert status == (protocol.Status.OK if oracle.newer_session(session, last) else protocol.Status.SESSION)
    assert device.bridge.last_session == (session if status == protocol.Status.OK else last)


@pytest.mark.hazard("session-exhausted")
def test_the_largest_session_blocks_nothing() -> None:
    """An ARM with FFFFFFFF is refused at first; once it is the valid next session, 1 follows."""
    device = InProcessDevice("cartpole")
    device.tick(0)
    assert arm(device, 2**32 - 1, 0) == protocol.Status.SESSION
    assert arm(device, 1, 1) == protocol.Status.OK
    device = device_with(2**32 - 1)
    assert [arm(device, session, 2) for session in (0, 2**32 - 1, 1, 2)] == [
        protocol.Status.SESSION,
        protocol.Status.SESSION,
        protocol.Status.OK,
        protocol.Status.OK,
    ]


FLOATS = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, 3.0e38, -3.0e38, 1e-44, 1e-9]),
    st.floats(width=32),
    st.integers(-8, 8).map(float),
)
TEXT = st.one_of(st.just("x"), st.text(st.characters(min_codepoint=1, max_codepoint=126), max_size=26))


@pytest.mark.hazard("device-sheet-invalid")
@settings(max_examples=400, deadline=None)
@given(st.booleans(), st.one_of(st.just(4), st.integers(0, 6)), FLOATS, FLOATS, FLOATS, FLOATS, TEXT, TEXT)
@example(True, 4, -1.0, 1.0, math.inf, 0.0, "u", "V")
@example(True, 3, -1.0, 1.0, 0.25, 0.0, "u", "V")
@example(True, 3, -1.0, 1.0, 1e-9, 0.0, "u", "V")
@example(True, 3, 0.0, 1.5 + 2**-23, 2**-24, 0.0, "u", "V")
@example(True, 3, -1.5 - 2**-23, 0.0, 2**-24, 0.0, "u", "V")
@example(True, 3, 0.0, 1.0, 2**-24, 0.0, "u", "V")
@example(True, 4, -1.0, 1.0, math.nan, 0.0, "u", "V")
@example(False, 0, -math.inf, math.inf, 0.0, 0.0, "x", "m")
def test_a_row_is_valid_where_the_protocol_says_so(
    actuator: bool, safe: int, low: float, high: float, slew: float, safe_value: float, name: str, unit: str
) -> None:
    low, high, slew, safe_value = map(oracle.float32, (low, high, slew, safe_value))
    row = ffi.new("tl_row *")
    row.actuator, row.safe = actuator, safe
    row.min, row.max, row.slew, row.safe_value = low, high, slew, safe_value
    texts = [name.encode()[:24], unit.encode()[:12]]
    row.name, row.unit = texts
    fields = {"actuator": actuator, "safe": safe, "min": low, "max": high, "slew": slew, "safe_value": safe_value}
    named = {"name": texts[0].decode(), "unit": texts[1].decode()}
    assert lib.tl_row_valid(row) == oracle.row_valid({**fields, **named})


SMALL = st.sampled_from([-math.inf, -1.0, 0.0, 0.5, 1.0, math.inf, math.nan])
LIMIT = st.tuples(
    st.integers(0, 4), st.sampled_from([0, 1, 254, 255]), st.sampled_from([-1, 0, 1]), SMALL, SMALL, SMALL
)


@pytest.mark.hazard("device-sheet-invalid")
@settings(max_examples=400, deadline=None)
@given(st.booleans(), st.integers(0, 8), st.lists(LIMIT, max_size=3), st.booleans())
@example(False, 4, [(2, 255, 0, -math.inf, 80.0, 0.0)], False)
@example(False, 1, [(1, 0, 1, -1.0, 1.0, 0.0), (3, 255, 0, -1.0, math.inf, 0.5)], False)
@example(False, 6, [], True)
@example(False, 6, [(2, 255, 0, 0.0, 1.0, 0.0)], True)
@example(True, 4, [], False)
def test_a_role_and_limits_are_valid_where_the_protocol_says_so(
    actuator: bool, role: int, limits: list[tuple[int, int, int, float, float, float]], unit_range: bool
) -> None:
    low, high = (0.0, 1.0) if unit_range else (-1.0, 1.0)
    row = ffi.new("tl_row *")
    row.actuator, row.safe, row.role, row.n_limits = actuator, 4 * actuator, role, len(limits)
    row.min, row.max, row.slew = low, high, 1.0
    row.name, row.unit = b"x", b"m"
    for at, limit in zip(row.limits, limits, strict=False):
        at.kind, at.actuator, at.sense, at.low, at.high, at.slope = limit
    fields = {"actuator": actuator, "safe": 4 * actuator, "min": low, "max": high, "slew": 1.0, "safe_value": 0.0}
    wanted = oracle.row_valid({**fields, "name": "x", "unit": "m", "role": role, "limits": limits})
    assert lib.tl_row_valid(row) == wanted


@pytest.mark.hazard("device-sheet-invalid")
@settings(max_examples=300, deadline=None)
@given(st.floats(0.5, 2.0, width=32), st.integers(-30, 30), st.floats(0.4, 2.5), st.booleans())
@example(1.5 + 2**-23, 0, 0.5, False)
def test_a_ramp_of_a_valid_row_never_stops_on_its_way(end: float, exponent: int, spacings: float, down: bool) -> None:
    """Slews around the spacing of floats: if the row is accepted, a thousand periods make a thousand steps."""
    end = math.ldexp(end, exponent)
    slew = oracle.float32(spacings * float(np.spacing(np.float32(end))))
    row = ffi.new("tl_row *")
    row.actuator, row.safe, row.slew, row.safe_value = True, 3, slew, 0.0
    row.min, row.max = (-end, 0.0) if down else (0.0, end)
    row.name, row.unit = b"u", b"V"
    at = np.float32(end)
    for _ in range(1000 if lib.tl_row_valid(row) else 0):
        before, at = at, np.float32(at - np.float32(slew))
        assert at < before
