"""Measurements from hand-written traces: time to safe by the device's clock, commands accepted,
signs.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rtu_edge.device import protocol
from rtu_edge.device.protocol import DeviceState, Fault
from rtu_edge.hil import FrameRecord, TapPoint, Trace, measure

PERIOD_US = 10_000


NONE = Fault(0)


def state(kind: DeviceState, cmd: int, u: float = 0.0, fault: Fault = NONE) -> protocol.State:
    return protocol.State(cmd, 0, fault, 1, kind, protocol.Episode(0), 0.0, (0.0, 0.0), (u,))


class Script:
    """A trace, line by line; one period between lines."""

    def __init__(self, t_us: int = 0) -> None:
        self.trace = Trace()
        self.at_s = 0.0
        self.t_us = t_us

    def device(self, message: protocol.Message) -> None:
        self.at_s += PERIOD_US * 1e-6
        self.t_us = (self.t_us + PERIOD_US) & 0xFFFFFFFF
        self.trace.add(FrameRecord(self.at_s, TapPoint.DEVICE_OUT, protocol.pack(message, 0, self.t_us)))

    def command(self, seq: int, u: float = 0.0, answers_us: int | None = None, session: int = 1) -> None:
        cmd = protocol.Cmd(session, self.t_us if answers_us is None else answers_us, 50, (u,))
        for tap in (TapPoint.HOST_OUT, TapPoint.DEVICE_IN):
            self.trace.add(FrameRecord(self.at_s, tap, protocol.pack(cmd, seq)))


@pytest.mark.parametrize("begin_us", [0, 2**32 - 5 * PERIOD_US])  # the second wraps in between
def test_time_to_safe_is_counted_from_the_observation_that_was_answered_last(begin_us: int) -> None:
    script = Script(begin_us)
    for seq in range(1, 4):
        script.device(state(DeviceState.ARMED, seq - 1))
        script.command(seq)
    answered = script.t_us
    script.command(99)  # arrives, and is not accepted
    for _ in range(4):
        script.device(state(DeviceState.ARMED, 3))
    script.device(state(DeviceState.SAFE, 3, fault=Fault.SILENCE))
    script.device(state(DeviceState.SAFE, 3, fault=Fault.SILENCE))
    safe = measure.safe_after(script.trace, 0.0)
    assert safe is not None and not safe.restarted
    assert safe.after_us == 5 * PERIOD_US == (safe.at.frame.t_us - answered) & 0xFFFFFFFF
    assert measure.safe_after(script.trace, 0.0, lockstep=True).after_us is None  # type: ignore[union-attr]
    assert measure.safe_after(script.trace, script.at_s + 1.0) is None


def test_resetting_is_no_end() -> None:
    script = Script()
    script.device(state(DeviceState.ARMED, 1))
    script.device(state(DeviceState.RESETTING, 1))
    script.device(state(DeviceState.ARMED, 1))
    assert measure.safe_after(script.trace, 0.0) is None


def test_a_restart_counts_from_its_own_hello() -> None:
    script = Script(1_000_000_000)
    script.device(protocol.Hello(boot_id=7, role=1))
    script.device(state(DeviceState.ARMED, 1))
    fault_s = script.at_s
    script.t_us = 0  # a clock that has restarted
    script.device(protocol.Hello(boot_id=8, role=1))
    script.device(state(DeviceState.DISARMED, 0))
    safe = measure.safe_after(script.trace, fault_s)
    assert safe is not None and safe.restarted and safe.after_us == PERIOD_US


def test_a_command_is_accepted_when_state_says_a_new_one() -> None:
    script = Script()
    for seq in (1, 2, 2, 2, 3):
        script.device(state(DeviceState.ARMED, seq))
    assert measure.accepted_since(script.trace, 0.025) == pytest.approx(0.05)
    assert measure.accepted_since(script.trace, 0.055) is None


def test_what_nobody_commanded_is_foreign() -> None:
    script = Script()
    script.command(1, u=0.5)
    script.device(state(DeviceState.ARMED, 1, u=0.5))
    script.device(state(DeviceState.ARMED, 1, u=0.0))  # safe: before the first command of an episode
    assert measure.foreign(script.trace) == 0
    script.device(state(DeviceState.ARMED, 1, u=0.75))
    assert measure.foreign(script.trace) == 1


def test_the_first_sign_is_an_event_or_the_end() -> None:
    script = Script()
    script.device(state(DeviceState.ARMED, 1))
    assert measure.first_sign(script.trace, 0.0) is None
    script.device(protocol.Event(protocol.EventCode.REFUSED, protocol.Status.STALE, 3, 1))
    script.device(state(DeviceState.SAFE, 1))
    assert measure.first_sign(script.trace, 0.0) == (pytest.approx(0.02), "device: refused stale")
    assert measure.first_sign(script.trace, 0.025) == (pytest.approx(0.03), "device: safe")


def test_the_longest_silence_of_the_device() -> None:
    script = Script(2**32 - 2 * PERIOD_US)
    script.device(state(DeviceState.ARMED, 1))
    script.device(state(DeviceState.ARMED, 1))
    script.t_us += 5 * PERIOD_US
    script.device(state(DeviceState.ARMED, 1))
    assert measure.largest_gaps(script.trace) == (pytest.approx(0.06), pytest.approx(0.01))


def test_the_timeline_keeps_each_change() -> None:
    script = Script()
    for index in range(5000):
        script.device(state(DeviceState.SAFE if index == 2501 else DeviceState.ARMED, 1))
    points = measure.timeline(script.trace, 0.0, points=100)
    assert len(points) < 250
    assert sum(kind == DeviceState.SAFE for _, kind, _ in points) == 1


def test_a_saved_trace_is_lines_of_json(tmp_path: Path) -> None:
    script = Script()
    script.trace.note(0.0, "begins: drop")
    script.command(1, u=0.5)
    script.device(state(DeviceState.SAFE, 1))
    script.trace.save(tmp_path / "trace.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "trace.jsonl").read_text().splitlines()]
    assert lines[0]["note"] == "begins: drop"
    assert [line["tap"] for line in lines[1:]] == ["host sends", "device hears", "device sends"]
    assert lines[1]["message"] == "Cmd" and lines[1]["u"] == [0.5]


def test_what_an_earlier_session_commanded_is_nobodys() -> None:
    script = Script()
    script.command(1, 0.25)
    script.device(state(DeviceState.ARMED, 1, 0.25))
    script.device(state(DeviceState.DISARMED, 1))
    script.command(1, 0.5, session=2)
    script.device(state(DeviceState.ARMED, 1, 0.5))
    assert measure.foreign(script.trace) == 0
    script.device(state(DeviceState.ARMED, 1, 0.25))
    assert measure.foreign(script.trace) == 1


def test_commands_of_an_earlier_session_are_counted_when_the_next_has_begun() -> None:
    script = Script()
    for session, heard in ((1, 4), (2, 3)):
        for seq in range(heard):
            script.command(seq, session=session)
    assert measure.old_accepted(script.trace, 0) == 0
    old = protocol.pack(protocol.Cmd(1, 0, 50, (0.25,)), 2)
    for _ in range(5):
        script.trace.add(FrameRecord(script.at_s, TapPoint.DEVICE_IN, old))
    assert [measure.old_accepted(script.trace, refused) for refused in (0, 4, 5, 6)] == [5, 1, 0, 0]
