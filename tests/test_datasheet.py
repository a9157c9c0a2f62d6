"""Data sheets and limits are external input: limits that cannot be enforced are refused by name, and no value means "no
limit" by accident.
"""

from __future__ import annotations

import dataclasses
import math
import os
import pty
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from host import not_simulated
from hypothesis import given, settings
from hypothesis import strategies as st
from rtu_edge._bridge import lib

import rtu_edge.cli
from rtu_edge import _testing
from rtu_edge.device import protocol
from rtu_edge.device.limits import in_force, min_ttl_ms, sheet_problems
from rtu_edge.device.ports import open_port
from rtu_edge.device.protocol.codec import message_to_c
from rtu_edge.device.protocol.frames import as_enum
from rtu_edge.device.schema import Cap, Channel, Hello, Limits, Safe
from rtu_edge.device.simulated import SimulatedDevice
from rtu_edge.loop import Clock, Link, LinkError, Loop, LoopConfig, Reward, StopReason

INF, NAN = math.inf, math.nan
HELLO = Hello(
    role=1,
    caps=Cap.SIMULATED | Cap.LOCKSTEP | Cap.REWARD | Cap.RESET,
    boot_id=1,
    period_us=20_000,
    ttl_max_ms=200,
    observation_size=1,
    action_size=1,
)
SEEN = Channel("x", "m", -1.0, 1.0)
MOVES = Channel("force", "N", -10.0, 10.0, 1, True, Safe.OFF, INF)


def found(row: Channel | None = None, hello: Hello = HELLO, seen: Channel = SEEN) -> str:
    return "\n".join(sheet_problems(hello, [seen, row or MOVES]))


@pytest.mark.hazard("data-sheet-lies")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"slew": 0.0}, "slew = 0 per period, allowed: at least"),
        ({"slew": -1.0}, "slew = -1 per period"),
        ({"slew": NAN}, "slew = nan per period"),
        ({"slew": 1e-44}, "slew = 1e-44 per period"),
        ({"slew": -INF}, "slew = -inf per period"),
        ({"safe": Safe.RAMP}, "slew = inf per period, allowed: a finite number, as safe is ramp"),
        ({"min": NAN}, "range nan to 10, allowed: a minimum below the maximum"),
        ({"max": NAN}, "range -10 to nan"),
        ({"min": 10.0, "max": -10.0}, "range 10 to -10"),
        ({"min": 10.0, "safe_value": 10.0}, "range 10 to 10"),
        ({"min": -INF}, "range -inf to 10, allowed: finite ends"),
        ({"min": -3e38, "max": 3e38}, "range -3e+38 to 3e+38, allowed: finite ends"),
        ({"min": 0.0, "max": 1e-44}, "range 0 to 1e-44, allowed: finite ends"),
        ({"safe": 77}, "safe = 77, allowed: hold, damp, ramp, off"),
        ({"safe": Safe.NONE}, "safe = none, allowed: hold, damp, ramp, off"),
        ({"safe_value": NAN}, "safe_value = nan, allowed: -10 to 10"),
        ({"safe_value": 10.5}, "safe_value = 10.5, allowed: -10 to 10"),
        ({"name": ""}, "name = '', allowed: ASCII"),
        ({"name": "a b"}, "name = 'a b', allowed: ASCII"),
        ({"name": "\x1b[2J"}, r"name = '\x1b[2J', allowed: ASCII"),
        ({"unit": "N\n"}, r"unit = 'N\n', allowed: ASCII"),
        ({"unit": "°C"}, r"unit = '\xb0C', allowed: ASCII"),
        ({"actuator": False}, "called an observation; the observations come first"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(change: dict[str, Any], message: str) -> None:
    assert found() == ""
    told = found(dataclasses.replace(MOVES, **change))
    assert message in told and told.startswith("actuator 0 ")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"min": NAN}, "observation 0 'x': range nan to 1"),
        ({"max": -1.0}, "observation 0 'x': range -1 to -1"),
        ({"safe": Safe.HOLD}, "observation 0 'x': safe = hold, allowed: none"),
        ({"actuator": True}, "observation 0 'x': called an actuator"),
    ],
)
def test_so_is_an_observation(change: dict[str, Any], message: str) -> None:
    assert found(seen=dataclasses.replace(SEEN, min=-INF, max=INF)) == "", "an observation without a bound is one"
    assert message in found(seen=dataclasses.replace(SEEN, **change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"period_us": 0}, "period_us = 0, allowed: 50 to 10000000"),
        ({"period_us": 4_000_000_000}, "period_us = 4000000000, allowed"),
        ({"ttl_max_ms": 20}, "ttl_max_ms = 20, allowed: at least 21"),
        ({"action_size": 0}, "1 observation and 0 actuators, allowed: at least 1 each"),
        (
            {"observation_size": 200},
            "1 actuator, allowed: at least 1 each, 55 together: a STATE frame has a payload of 238",
        ),
    ],
)
def test_so_is_a_hello(change: dict[str, Any], message: str) -> None:
    assert message in "\n".join(sheet_problems(dataclasses.replace(HELLO, **change)))


def test_a_name_given_twice() -> None:
    hello = dataclasses.replace(HELLO, action_size=2)
    assert "actuator 1 'force': a name given twice" in "\n".join(sheet_problems(hello, [SEEN, MOVES, MOVES]))
    assert found(seen=dataclasses.replace(SEEN, name="force")) == "", "an observation may have an actuator's name"


ANY = st.sampled_from([0.0, -0.0, 1.0, -1.0, 10.0, 1e-44, 1e-38, 3e38, -3e38, INF, -INF, NAN]) | st.floats(width=32)


@settings(max_examples=300, deadline=None)
@given(st.tuples(ANY, ANY, ANY, ANY), st.integers(0, 5), st.sampled_from(["a", "A b", "", "x~", "\x7f"]))
def test_what_firmware_may_not_send_is_not_taken(values: tuple[float, ...], safe: int, name: str) -> None:
    """Stricter than the check of the firmware, never laxer."""
    low, high, slew, value = values
    row = Channel(name, "N", low, high, 1, True, as_enum(Safe, safe), slew, value)
    if not lib.tl_row_valid(message_to_c(row)):
        assert found(row)


def test_next_to_the_largest_float_no_slew_can_be_followed() -> None:
    """As problem_of() has it in native/runtime/safety/command_limiter.cpp: accepted values are valid for a Loop."""
    largest = float(np.finfo(np.float32).max)
    row = dataclasses.replace(MOVES, min=-largest, max=0.0, slew=1e37)
    assert "slew = 1e+37 per period" in found(row)
    assert found(dataclasses.replace(row, slew=INF)) == ""


# ---------------------------------------------------------------- limits in force


@pytest.mark.hazard("no-limit-by-accident")
@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limits(-1, 1, 0.0), "limits[0].slew_per_s: 0, allowed: above 0, inf for no limit"),
        (Limits(-1, 1, -2.0), "limits[0].slew_per_s: -2"),
        (Limits(-1, 1, NAN), "limits[0].slew_per_s: nan"),
        (Limits(-1, 1, 1e-44), "limits[0].slew_per_s: 1e-44, that is 0 per period, allowed: at least"),
        (Limits(-1, 1, 1e-6), "limits[0].slew_per_s: 1e-06, that is 2e-08 per period, allowed: at least 5.96"),
        (Limits(-1, 1, accel_per_s2=NAN), "limits[0].accel_per_s2: nan"),
        (Limits(-1, 1, accel_per_s2=0.0), "limits[0].accel_per_s2: 0, allowed"),
        (Limits(-1, 1, accel_per_s2=1e-44), "limits[0].accel_per_s2: 1e-44, that is 0 per period, allowed"),
        (Limits(NAN, 1), "limits[0]: min nan must be below max 1"),
        (Limits(-1, NAN), "limits[0]: min -1 must be below max nan"),
        (Limits(-INF, 1), "limits[0]: min -inf must be below max 1, both finite"),
        (Limits(-1, 1, rest=NAN), "limits[0].rest: nan, allowed: a finite number"),
        (Limits(1.0, 1.00000001), "leaves nothing of the device's -10..10 N for force"),
        (Limits(20, 30), "limits[0]: 20..30 leaves nothing"),
    ],
)
def test_limits_that_cannot_be_kept_are_refused(limits: Limits, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        in_force([limits], [MOVES], 0.02)
    assert message in str(caught.value)


def test_the_tighter_one_holds_and_inf_is_the_only_none() -> None:
    row = dataclasses.replace(MOVES, slew=1.0, safe_value=2.0)
    assert in_force([], [MOVES], 0.02) == [Limits(-10.0, 10.0, INF, INF, 0.0)]
    assert in_force([], [row], 0.5) == [Limits(-10.0, 10.0, 2.0, INF, 2.0)]
    assert in_force([Limits(-20, 1, 10.0, accel_per_s2=3.0)], [row], 0.5) == [Limits(-10.0, 1.0, 2.0, 3.0, 1.0)]
    assert in_force([Limits(-5, 5, 1.0, rest=-9.0)], [row], 0.5) == [Limits(-5.0, 5.0, 1.0, INF, -5.0)]


@settings(max_examples=500, deadline=None)
@given(st.tuples(ANY, ANY, ANY, ANY, ANY), st.sampled_from([0.001, 0.02, 1.0]))
def test_what_is_checked_is_what_is_used(values: tuple[float, ...], period_s: float) -> None:
    """Limits accepted here also pass the native check, with the converted numbers; and its steps respect them."""
    low, high, slew, accel, rest = values
    try:
        made = in_force([Limits(low, high, slew, accel, rest)], [MOVES], period_s)
    except ValueError:
        return
    limiter = _testing.CommandLimiter(made, period_s)
    limiter.start([0.0])
    low, high, slew, last = made[0].min, made[0].max, made[0].slew_per_s, None
    assert slew is not None
    for action in (1.0, 1.0, -1.0, NAN, 1.0):
        u = float(limiter.apply([action])[0][0])
        assert np.float32(low) <= u <= np.float32(high)
        if last is not None:
            # float32 commands: the rounding of u +- slew, half their spacing
            assert abs(u - last) <= slew * period_s * (1 + 1e-6) + 0.5 * np.spacing(
                np.float32(max(abs(low), abs(high)))
            )
        last = u


# ---------------------------------------------------------------- through a port


@contextmanager
def board(*rows: protocol.Channel, **hello: Any) -> Iterator[str]:
    """A device that only describes itself, behind a pty."""
    far, near = pty.openpty()
    tty.setraw(near)
    path = os.ttyname(near)
    n = sum(not row.actuator for row in rows)
    about: dict[str, Any] = {
        "boot_id": 7,
        "period_us": 20_000,
        "ttl_max_ms": 200,
        "observation_size": n,
        "action_size": len(rows) - n,
    }
    about |= {"role": 1, "schema_hash": protocol.schema_hash(20_000, list(rows)), **hello}

    def serve() -> None:
        decoder = protocol.Decoder()
        while True:
            try:
                data = os.read(far, 4096)
            except OSError:
                return
            for frame in decoder.feed(data):
                message = protocol.unpack(frame)
                if isinstance(message, protocol.Hello):
                    os.write(far, protocol.encode(protocol.pack(protocol.Hello(**about))))
                elif isinstance(message, protocol.Describe):
                    os.write(far, protocol.encode(protocol.pack(rows[message.index])))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield path
    finally:
        os.close(near)
        thread.join(5)
        os.close(far)


@pytest.mark.hazard("data-sheet-lies")
def test_a_device_whose_rows_lie_is_neither_described_nor_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    seen = protocol.Channel("x", "m", -1.0, 1.0)
    lying = protocol.Channel("force", "N", -10.0, 10.0, 1, True, lib.TL_SAFE_OFF)
    with board(seen, lying) as path:
        with open_port(path) as port, Link(port) as link:
            link.handshake()
            with pytest.raises(LinkError, match="actuator 0 'force': slew = 0 per period, allowed: at least"):
                link.describe()
            with pytest.raises(LinkError):
                Loop(
                    link,
                    _testing.LinearPolicy(1, [0.0]).policy(),
                    LoopConfig(
                        limits=[Limits(-1, 1, 1.0, accel_per_s2=INF)], clock=Clock.DEVICE, reward=Reward("form")
                    ),
                )
        config = tmp_path / "robot.toml"
        config.write_text(f'[device]\nport = "{path}"\n[limits.force]\nmin = -1\nmax = 1\nslew_per_s = 1\n')
        with pytest.raises(SystemExit) as leaving:
            rtu_edge.cli.main(["run", str(config), "--arm", "--yes"])
        err = capfd.readouterr().err
        assert leaving.value.code == 3 and "actuator 0 'force': slew = 0 per period" in err and "Traceback" not in err


# ---------------------------------------------------------------- other numbers of a run


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (LoopConfig(seconds=NAN), "seconds = nan: expected a number from 0"),
        (LoopConfig(seconds=-1.0), "seconds = -1"),
        (LoopConfig(retry_ms=0.0), "retry_ms = 0"),
        (LoopConfig(reset_timeout_s=NAN), "reset_timeout_s = nan"),
        (LoopConfig(target_return=NAN), "target_return = nan"),
        (LoopConfig(reward=Reward("form", bias=1e39)), "reward.bias = 1e\\+39: expected a number from -3.40282"),
        (LoopConfig(reward=Reward("form", quadratic=[NAN, 0.0])), "reward.quadratic\\[0\\] = nan"),
        (LoopConfig(ttl_ms=1), "ttl_ms: 1, allowed: at least 21"),
        (LoopConfig(ttl_ms=20), "ttl_ms: 20, allowed: at least 21"),
        (LoopConfig(limits=[Limits(-1, 1, NAN)]), r"limits\[0\].slew_per_s: nan"),
        (LoopConfig(limits=[Limits("-1", 1)]), r"limits\[0\].min: '-1', allowed: a number"),
        (LoopConfig(limits=[Limits(-1, 10**400)]), r"limits\[0\].max: 1000.*, allowed: a number"),
        (LoopConfig(limits=[Limits(-1, 1, True)]), r"limits\[0\].slew_per_s: True, allowed: a number"),
        (LoopConfig(limits=[Limits(-1, 1, rest="0")]), r"limits\[0\].rest: '0', allowed: a number"),
        (LoopConfig(seconds="3"), "seconds = '3': expected a number from 0"),
        (LoopConfig(steps=-1), "steps: -1, allowed: 0"),
        (LoopConfig(steps=1.5), r"steps: 1\.5, allowed: an integer, 0"),
        (LoopConfig(seed=2**64), "seed: 18446744073709551616, allowed: 0"),
        (LoopConfig(ttl_ms=2**32), "ttl_ms: 4294967296, allowed: 0..65535"),
        (LoopConfig(session=0), "session: 0, allowed: 1..4294967295"),
        (LoopConfig(ring_records=0), "ring_records: 0, allowed: 1"),
    ],
)
def test_a_run_with_a_number_that_is_none_does_not_begin(config: LoopConfig, message: str) -> None:
    with SimulatedDevice("cartpole") as device, open_port(device.port) as port, Link(port) as link:
        link.handshake()
        with pytest.raises(ValueError, match=message):
            Loop(link, _testing.LinearPolicy(2, [0.0]).policy(), config)
        assert link.handshake().last_session == 0


@pytest.mark.parametrize(("period_us", "least"), [(20_000, 21), (1_000, 2), (250, 2), (1_001, 3), (10_000_000, 10_001)])
def test_a_command_lives_until_the_next_can_be_there(period_us: int, least: int) -> None:
    assert min_ttl_ms(period_us) == least and (least - 1) * 1000 >= period_us > (least - 2) * 1000


def test_the_shortest_life_of_a_command_is_long_enough() -> None:
    with SimulatedDevice("cartpole") as device, open_port(device.port) as port, Link(port) as link:
        hello = link.handshake()
        least = min_ttl_ms(hello.period_us)
        result = Loop(link, _testing.LinearPolicy(2, [0.0]).policy(), LoopConfig(steps=50, ttl_ms=least)).run()
        assert result.reason is StopReason.STEPS and result.confirmed


def test_on_real_hardware_no_limit_has_to_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with SimulatedDevice("cartpole") as device, open_port(device.port) as port, Link(port) as link:
        link._hello = not_simulated(link.handshake())
        policy = _testing.LinearPolicy(2, [0.0]).policy()
        for limits, missing in ((Limits(-1, 1), "slew_per_s"), (Limits(-1, 1, 5.0), "accel_per_s2")):
            config = LoopConfig(limits=[limits], clock=Clock.DEVICE)
            with pytest.raises(ValueError, match=rf"limits\[0\].{missing}: missing; on real hardware"):
                Loop(link, policy, config)
        Loop(link, policy, LoopConfig(limits=[Limits(-1, 1, INF, accel_per_s2=INF)], clock=Clock.DEVICE))
