"""Measurements from a trace: time to safe by the device's clock, and accepted commands."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rtu_edge._bridge import lib
from rtu_edge.device import protocol
from rtu_edge.device.protocol import DeviceState, FrameType
from rtu_edge.device.schema import LimitKind, Limits, Role, SheetLimit
from rtu_edge.hil.trace import FrameRecord, TapPoint, Trace

__all__ = [
    "WATCHED",
    "SafeEntry",
    "accepted_since",
    "beyond_limits",
    "beyond_sheet",
    "first_sign",
    "foreign",
    "largest_gaps",
    "old_accepted",
    "outputs",
    "safe_after",
    "timeline",
]

_ENDED = protocol.Episode.TERMINATED | protocol.Episode.TRUNCATED
_DRIVEN = (DeviceState.ARMED, DeviceState.RESETTING)

# Counters of the loop that indicate a detection.
WATCHED = (
    "crc_errors",
    "framing_errors",
    "write_short",
    "unexpected_frames",
    "skipped",
    "missed",
    "overruns",
    "retries",
    "timeouts",
    "duplicates",
    "limiter_non_finite",
    "limiter_held",
    "overridden",
    "predict_failures",
    "observations_refused",
    "rewards_refused",
    "commands_refused",
    "nacks",
    "sensor_monitor",
    "learner_monitor",
)


@dataclass(frozen=True)
class SafeEntry:
    """The end of a session, as the device reports it.

    Args:
        at: the first STATE without an active session. state: the reported state. restarted: the device had restarted.
            after_us: from the observation that the last accepted command answers to that STATE, by the device's clock;
            after a restart from its HELLO. None if no clock covers both: lockstep, or no command had been accepted.
    """

    at: FrameRecord
    state: protocol.State
    restarted: bool
    after_us: int | None


def safe_after(trace: Trace, since_s: float, lockstep: bool = False) -> SafeEntry | None:
    """The first STATE after a time in which the device is not driven; None if it is driven throughout."""
    for passed, state in trace.states(since_s):
        if state.state not in _DRIVEN:
            boot = _boot(trace, since_s, passed.at_s)
            if boot is not None:
                return SafeEntry(passed, state, True, (passed.frame.t_us - boot.frame.t_us) & 0xFFFFFFFF)
            answered = None if lockstep else _answered(trace, passed, state)
            after = None if answered is None else (passed.frame.t_us - answered) & 0xFFFFFFFF
            return SafeEntry(passed, state, False, after)
    return None


def _boot(trace: Trace, since_s: float, until_s: float) -> FrameRecord | None:
    """The HELLO of a restart between two times."""
    known: int | None = None
    for passed in trace.all(TapPoint.DEVICE_OUT, FrameType.HELLO):
        hello = passed.message
        if not isinstance(hello, protocol.Hello) or passed.at_s > until_s:
            continue
        if known is not None and hello.boot_id != known and passed.at_s >= since_s:
            return passed
        known = hello.boot_id
    return None


def _answered(trace: Trace, passed: FrameRecord, state: protocol.State) -> int | None:
    """The observation that led to the last accepted command."""
    for heard in reversed(trace.all(TapPoint.DEVICE_IN, FrameType.CMD)):
        if (
            heard.at_s <= passed.at_s
            and heard.frame.seq == state.last_cmd_seq
            and isinstance(heard.message, protocol.Cmd)
        ):
            return heard.message.obs_t_us
    return None


def beyond_limits(trace: Trace, limits: Mapping[str, Limits], period_s: float) -> str:
    """Describes a host command outside of the host's own limits; "" if there is none.

    Args:
        trace: of the case; its rows name the actuators. limits: of the host, by actuator.
        period_s: s; the slew limit holds from one command to the next, except after ARM and RESET, which move the
            actuators.
    """
    rows = {
        m.index: m.name for m in _messages(trace, TapPoint.DEVICE_OUT) if isinstance(m, protocol.Channel) and m.actuator
    }
    known = [limits.get(rows[index]) for index in sorted(rows)]
    before: tuple[float, ...] | None = None
    for message in _messages(trace, TapPoint.HOST_OUT):
        if isinstance(message, (protocol.Arm, protocol.Reset)):
            before = None
        if not isinstance(message, protocol.Cmd):
            continue
        for index, (u, own) in enumerate(zip(message.u, known, strict=False)):
            if own is None:
                continue
            slack = 1e-5 * (own.max - own.min)  # commands and limits are float32
            if not own.min - slack <= u <= own.max + slack:
                return f"command {u:g} out of {own.min:g} to {own.max:g}"
            slew = math.inf if own.slew_per_s is None else own.slew_per_s
            if before is not None and not abs(u - before[index]) <= slew * period_s + slack:
                return f"command {u:g} after {before[index]:g}: more than {slew:g} a second"
        before = message.u
    return ""


def outputs(trace: Trace, state: protocol.State) -> tuple[float, ...]:
    """What STATE reports of the actuators, and of the brake if the data sheet has one."""
    rows = (m for m in _messages(trace, TapPoint.DEVICE_OUT) if isinstance(m, protocol.Channel))
    brakes = {row.index for row in rows if row.role is Role.BRAKE}
    return (*state.u, *(state.x[index] for index in sorted(brakes)))


def beyond_sheet(trace: Trace) -> str:
    """Describes a STATE that breaks a limit of the device's own data sheet; "" if there is none.

    Each pair of neighbours is compared: what was measured in one bounds the outputs of the next.
    """
    found = (m for m in _messages(trace, TapPoint.DEVICE_OUT) if isinstance(m, protocol.Channel))
    rows = {m.index: m for m in found}
    observed = [rows[index] for index in sorted(rows) if not rows[index].actuator]
    ranges = [(rows[index].min, rows[index].max) for index in sorted(rows) if rows[index].actuator]
    before: protocol.State | None = None
    for _, state in trace.states():
        for index, row in enumerate(observed[: len(state.x)]):
            if row.role is Role.BRAKE and state.state != DeviceState.ARMED and state.x[index] != 1.0:
                return f"brake is released while {_name(state.state)}"
            for limit in row.limits:
                if (text := _broken(limit, index, before, state, ranges)) != "":
                    return f"{text} with {row.name} {(before or state).x[index]:g}"
        before = state
    return ""


def _broken(
    limit: SheetLimit,
    index: int,
    before: protocol.State | None,
    state: protocol.State,
    ranges: Sequence[tuple[float, float]],
) -> str:
    armed = state.state == DeviceState.ARMED and not state.epflags & _ENDED
    if limit.kind is LimitKind.FAULT and armed and not limit.low <= state.x[index] <= limit.high:
        return "session continues"
    if before is None or state.state == DeviceState.ESTOP:  # whose STATE is sent between two periods
        return ""
    x = before.x[index]
    out = x - limit.high if x > limit.high else min(0.0, x - limit.low)
    for at, (u, (low, high)) in enumerate(zip(state.u, ranges, strict=False)):
        if out == 0.0 or limit.actuator not in (at, lib.TL_LIMIT_ALL):
            continue
        if limit.kind is LimitKind.DIRECTION and u * limit.sense * out > 0.0:
            return f"output {u:g} drives further out"
        share = max(0.0, 1.0 - limit.slope * abs(out))
        slack = 1e-5 * (high - low)  # the device computes in float32
        derated = limit.kind is LimitKind.DERATE and armed and before.state == DeviceState.ARMED
        if derated and not low * share - slack <= u <= high * share + slack:
            return f"output {u:g} is beyond {100 * share:g} % of its range"
    return ""


def _messages(trace: Trace, place: TapPoint) -> Iterator[protocol.Message | None]:
    return (passed.message for passed in trace.all(place))


def accepted_since(trace: Trace, since_s: float) -> float | None:
    """Time after which the device first reports a newly accepted command."""
    before: int | None = None
    for passed, state in trace.states():
        if state.state != DeviceState.ARMED:
            before = None if passed.at_s < since_s else state.last_cmd_seq
        elif passed.at_s >= since_s and before is not None and state.last_cmd_seq != before:
            return passed.at_s
        else:
            before = state.last_cmd_seq
    return None


def foreign(trace: Trace) -> int:
    """Number of periods in which the device applied a value that neither its session's host commanded nor
    is its safe value.
    """
    commands = trace.all(TapPoint.HOST_OUT, FrameType.CMD)
    safe = {state.u for _, state in trace.states() if state.state not in _DRIVEN}
    said: set[tuple[float, ...]] = set()
    at, session, found = 0, 0, 0
    for passed, state in trace.states():
        while at < len(commands) and commands[at].at_s <= passed.at_s:
            command = commands[at].message
            at += 1
            if isinstance(command, protocol.Cmd):
                said = said if command.session == session else set()
                session = command.session
                said.add(command.u)
        zero = (0.0,) * len(state.u)
        found += state.state == DeviceState.ARMED and state.u not in said and state.u not in safe and state.u != zero
    return found


def old_accepted(trace: Trace, refused: int, since_s: float | None = None) -> int:
    """Number of commands of earlier sessions that the device received in the last one and, by its refusal counter, did
    not refuse.

    Args:
        trace: of the case.
        refused: commands that the device refused in that time.
        since_s: counts from this time on the commands of sessions from before it, instead.
    """
    earlier = set(trace.sessions()[:-1] if since_s is None else trace.sessions(since_s))
    begun, heard = since_s is not None, 0
    for passed in trace.all(TapPoint.DEVICE_IN, FrameType.CMD, -math.inf if since_s is None else since_s):
        if isinstance(passed.message, protocol.Cmd):
            begun = begun or passed.message.session not in earlier
            heard += begun and passed.message.session in earlier
    return max(0, heard - refused)


def first_sign(trace: Trace, since_s: float) -> tuple[float, str] | None:
    """Time and kind of the device's first fault report."""
    found = []
    for passed in trace.all(TapPoint.DEVICE_OUT, FrameType.EVENT, since_s):
        if isinstance(passed.message, protocol.Event):
            event = passed.message
            what = f"{_name(event.code)} {_name(event.status)}" if event.status else _name(event.code)
            found.append((passed.at_s, f"device: {what.lower()}"))
            break
    safe = safe_after(trace, since_s)
    if safe is not None:
        found.append((safe.at.at_s, f"device: {_name(safe.state.state).lower()}"))
    return min(found) if found else None


def largest_gaps(trace: Trace) -> tuple[float, float]:
    """Longest time between two STATEs in s: by the device's clock, and by the host's at its end of the bridge."""
    states = [passed for passed, _ in trace.states()]
    pairs = list(itertools.pairwise(states))
    device_us = max((((b.frame.t_us - a.frame.t_us) & 0xFFFFFFFF for a, b in pairs)), default=0)
    return device_us * 1e-6, max((b.at_s - a.at_s for a, b in pairs), default=0.0)


def timeline(trace: Trace, zero_s: float, points: int = 400) -> list[tuple[float, int, float]]:
    """Time in ms from zero_s, device state and first actuator, decimated; every change of state is kept."""
    states = trace.states()
    every = max(1, len(states) // points)
    found: list[tuple[float, int, float]] = []
    last: int | None = None
    for index, (passed, state) in enumerate(states):
        if state.state != last or index % every == 0 or index == len(states) - 1:
            found.append((round((passed.at_s - zero_s) * 1e3, 2), int(state.state), state.u[0] if state.u else 0.0))
        last = int(state.state)
    return found


def _name(value: object) -> str:
    return str(getattr(value, "name", value))
