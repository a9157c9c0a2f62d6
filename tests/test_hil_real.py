"""A suite on real hardware: the limits stay, a key ends it, afterwards the device is not armed."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from rtu_edge._base.errors import SafetyStop
from rtu_edge.device import protocol
from rtu_edge.device.protocol import DeviceState
from rtu_edge.device.schema import Limits
from rtu_edge.hil import FaultBridge, SimTarget, TapPoint, Target, faults
from rtu_edge.hil.abort import Abort, AbortKey, RealRules
from rtu_edge.hil.case import Result, run_case
from rtu_edge.hil.fence import Fence
from rtu_edge.hil.run import run_suite
from rtu_edge.hil.suite import Suite, load_suite, parse_suite
from rtu_edge.hil.trace import FrameRecord, Trace

pytestmark = pytest.mark.timing

# A servo in place of a plant: the suite of a user, with limits that are narrower than the device's.
TEXT = """
[loop]
ttl_ms = 95
[controller]
gain = [[-0.2, -0.05]]
[limits.voltage]
min = -4.0
max = 4.0
slew_per_s = 40.0
accel_per_s2 = inf
[[fault]]
kind = "flip"
"""
SHORT: dict[str, Any] = {"start_s": 0.1, "for_s": 0.4, "watch_s": 0.1}


@pytest.fixture
def servo() -> Iterator[SimTarget]:
    with SimTarget("servo") as target:
        yield target


def case(target: Target, fault: faults.Fault, abort: Abort | None = None) -> Result:
    return run_case(parse_suite(TEXT), fault, lambda: contextlib.nullcontext(target), armed=True, abort=abort)


def state(target: Target) -> DeviceState:
    with FaultBridge(target) as bridge:
        bridge.hello()
        since_s = time.monotonic()
        while not bridge.trace.states(since_s):
            time.sleep(0.002)
        return DeviceState(bridge.state.state)


@pytest.mark.parametrize(
    "fault",
    [
        faults.Sensor(how=faults.Failure.BIAS, size=0.1, **SHORT),
        faults.Sensor(how=faults.Failure.NOISE, size=0.05, **SHORT),
        faults.Sensor(how=faults.Failure.DROPOUT, expect=faults.Response.GOES_SAFE, **SHORT),
        faults.Actuator(how=faults.Effect.REDUCED, share=0.3, **SHORT),
        faults.Actuator(how=faults.Effect.OFF, **SHORT),
        faults.Drop(rate=1.0, both=True, expect=faults.Response.GOES_SAFE, by=faults.By.DEVICE, **SHORT),
    ],
    ids=lambda fault: f"{fault.kind} {getattr(getattr(fault, 'how', None), 'value', '')}",
)
def test_each_fault_of_a_real_plant(servo: SimTarget, fault: faults.Fault) -> None:
    result = case(servo, fault)
    assert result.passed, (result.why, result.message)
    if fault.expect is faults.Response.GOES_SAFE:
        assert result.accepted_after == 0
        assert result.safe_ms is not None and result.safe_limit_ms is not None
        assert result.safe_ms <= result.safe_limit_ms
    assert state(servo) not in (DeviceState.ARMED, DeviceState.RESETTING)


def test_the_limits_stay_under_a_fault(servo: SimTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[float, float]] = []
    fence = Fence.pass_on

    def listen(self: Fence, data: bytes, trace: Trace, at_s: float) -> bytes:
        out = fence(self, data, trace, at_s)
        for frame in protocol.Decoder().feed(out):
            message = protocol.unpack(frame)
            if isinstance(message, protocol.Cmd):
                seen.append((at_s, message.u[0]))
        return out

    monkeypatch.setattr(Fence, "pass_on", listen)
    result = case(servo, faults.Actuator(value=1000.0, **SHORT))
    assert result.passed, result.why
    assert result.acted > 10 and max(u for _, u in seen) == pytest.approx(4.0)
    assert all(abs(u) <= 4.0 + 1e-3 for _, u in seen)
    steps = [(b[0] - a[0], abs(b[1] - a[1])) for a, b in itertools.pairwise(seen)]
    assert all(change <= 40.0 * max(span, 0.01) + 1e-3 for span, change in steps)


def test_a_host_within_its_limits_is_passed_on_to_the_byte() -> None:
    trace = Trace()
    row = protocol.Channel("voltage", "V", -10.0, 10.0, index=2, actuator=True)
    trace.add(FrameRecord(0.0, TapPoint.DEVICE_OUT, protocol.pack(row)))
    fence = Fence({"voltage": Limits(-4.0, 4.0, 40.0, None)}, 0.01)
    for k, u in enumerate((0.0, 0.4, 0.8, 0.4, 0.0, -0.4)):
        data = protocol.encode(protocol.pack(protocol.Cmd(1, 0, 50, (u,)), k))
        assert fence.pass_on(data, trace, 0.01 * k) == data
    assert fence.moved == 0
    noise = b"\x01\x02\x00"
    assert fence.pass_on(noise, trace, 1.0) == noise
    data = protocol.encode(protocol.pack(protocol.Cmd(1, 0, 50, (-9.0,)), 9))
    (frame,) = protocol.Decoder().feed(fence.pass_on(data, trace, 0.07))
    message = protocol.unpack(frame)
    assert isinstance(message, protocol.Cmd) and frame.seq == 9
    assert message.u[0] == pytest.approx(-0.4 - 40.0 * 0.02) and fence.moved == 1


def test_a_key_ends_the_suite_with_an_estop(servo: SimTarget) -> None:
    abort = Abort()
    ours, theirs = os.openpty()
    sent: list[float] = []

    def press() -> None:
        sent.append(time.monotonic())
        os.write(ours, b" ")

    try:
        with AbortKey(abort, theirs) as key:
            assert key.active
            threading.Timer(0.5, press).start()
            with pytest.raises(SafetyStop, match="a key was pressed: ESTOP was sent"):
                case(servo, faults.Drop(rate=1.0, both=True, start_s=0.2, for_s=10.0), abort)
            assert time.monotonic() - sent[0] < 5.0
    finally:
        os.close(ours)
        os.close(theirs)
    assert state(servo) == DeviceState.ESTOP
    with pytest.raises(SafetyStop, match="a key was pressed"):
        case(servo, faults.Flip(), abort)
    with pytest.raises(SafetyStop, match="the device is in ESTOP"):
        case(servo, faults.Flip())


def test_ctrl_c_ends_with_an_estop(servo: SimTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(self: RealRules, bridge: FaultBridge) -> None:
        if bridge.trace.last_state is not None and bridge.state.state == DeviceState.ARMED:
            raise KeyboardInterrupt

    monkeypatch.setattr(RealRules, "check", interrupt)
    with pytest.raises(KeyboardInterrupt):
        case(servo, faults.Drop(rate=1.0))
    assert state(servo) == DeviceState.ESTOP


def test_a_suite_that_was_stopped_has_not_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    abort = Abort()
    suite: Suite = load_suite()
    results: list[Result] = []

    def first(result: Result) -> None:
        results.append(result)
        abort.ask("asked")

    names = ["one command in five is lost", "frames arrive twice"]
    known = {fault.title for fault in suite.faults}
    only = [name for name in names if name in known] or [suite.faults[0].title, suite.faults[1].title]
    report = run_suite(suite, ["sim"], only=only, armed=["sim"], abort=abort, watch=first)
    assert len(report.results) == 1 and results[0].passed and not report.passed
    assert report.stopped.startswith("asked: ESTOP was sent")


def test_without_a_terminal_there_is_no_key() -> None:
    read, write = os.pipe()
    try:
        with AbortKey(Abort(), read) as key:
            assert not key.active
    finally:
        os.close(read)
        os.close(write)
