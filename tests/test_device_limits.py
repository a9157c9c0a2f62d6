"""Roles and limits of a device's own data sheet, seen from Python: checks, configuration, commands, devices in Python,
and the check of the suite. tests/firmware/test_sheet_limits.c has the rules of the device.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rtu_edge as rtu
from rtu_edge._base.errors import ConfigError, DeviceError
from rtu_edge.cli import _run
from rtu_edge.device import plants, protocol
from rtu_edge.device.limits import sheet_problems
from rtu_edge.device.mailbox import Mailbox
from rtu_edge.device.protocol import DeviceState
from rtu_edge.device.schema import Cap, Channel, DataSheet, Hello, LimitKind, Role, Safe, SheetLimit
from rtu_edge.hil import measure
from rtu_edge.hil.trace import FrameRecord, TapPoint, Trace
from rtu_edge.loop.checks import Checks, check_options

JOINT = plants.sheet("joint")
OFF = Channel("u", "V", -1.0, 1.0, 1, True, Safe.OFF, math.inf)
BOUNDS = st.sampled_from([-math.inf, -1.0, 0.0, 1.0, math.inf])


def sheet(*limits: SheetLimit, actuator: Channel = OFF, role: Role = Role.ANY) -> DataSheet:
    return DataSheet(0.01, (Channel("x", "m", -2.0, 2.0, role=role, limits=limits),), (actuator,))


def problems(own: DataSheet) -> list[str]:
    return list(
        sheet_problems(Hello(period_us=10_000, ttl_max_ms=200, observation_size=1, action_size=1), own.channels)
    )


@pytest.mark.hazard("device-sheet-invalid")
@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([LimitKind.DIRECTION, LimitKind.FAULT, LimitKind.DERATE]),
    BOUNDS,
    BOUNDS,
    st.sampled_from([0, 1, 255]),
    st.sampled_from([-1, 0, 1]),
    st.sampled_from([0.0, 0.5, -1.0, math.inf]),
    st.sampled_from([-1.0, 0.0, 0.5]),
)
def test_host_and_device_refuse_the_same_limits(
    kind: LimitKind, low: float, high: float, actuator: int, sense: int, slope: float, least: float
) -> None:
    own = sheet(SheetLimit(kind, low, high, actuator, sense, slope))
    own = dataclasses.replace(own, actuators=(dataclasses.replace(OFF, min=least, safe_value=0.75),))
    try:
        Mailbox("own", own, Cap.SIMULATED, 200, 1, 0, 0)
        taken = True
    except DeviceError:
        taken = False
    assert (problems(own) == []) == taken


def test_what_is_said_of_a_limit_that_cannot_be() -> None:
    wrong = SheetLimit(LimitKind.DIRECTION, 1.0, 0.0, 3, 0, 0.5)
    assert [text.split(": ", 1)[1] for text in problems(sheet(wrong))] == [
        "limits[0]: low 1, high 0, allowed: low below high, at least one finite",
        "limits[0]: sense = 0, allowed: 1 or -1",
        "limits[0]: slope = 0.5, allowed: 0",
        "limits[0]: actuator = 3, allowed: 0 to 0",
    ]
    assert problems(sheet(role=Role.BRAKE)) == [
        "observation 0 'x': range -2 to 2, allowed for a brake: 0 to 1, without limits"
    ]
    assert problems(sheet(actuator=dataclasses.replace(OFF, role=Role.CURRENT))) == [
        "actuator 0 'u': role, limits: allowed for observations only"
    ]
    with pytest.raises(ConfigError, match="limits: 3: expected a SheetLimit"):
        Channel("x", "m", 0.0, 1.0, limits=(3,))  # type: ignore[arg-type]


def test_the_rules_of_the_device_hold_for_one_in_python() -> None:
    own = sheet(SheetLimit(LimitKind.FAULT, high=80.0), role=Role.TEMPERATURE)
    box = Mailbox("winch", own, Cap.SIMULATED, 200, 1, 0, 0)
    bridge = box._c
    box.tick(0)
    box.receive(protocol.encode(protocol.pack(protocol.Arm(1))), 0)
    assert box.armed
    box.x[0] = 81.0
    box.tick(box.due_us)
    assert (bridge.state, bridge.fault) == (DeviceState.SAFE, protocol.Fault.LIMIT)


def test_a_configuration_that_relies_on_limits_refuses_a_device_without_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    text = '[device]\nplant = "PLANT"\nlimits = ["theta", "temperature"]\n[loop]\nclock = "lockstep"\n'
    text += "[run]\nsteps = 20\n[log]\nmcap = false\nblackbox_minutes = 0.0\n[learner]\nunits = 2\nhidden = [2]\n"
    Path("own.toml").write_text(text.replace("PLANT", "servo"))
    assert _run(["run", "own.toml"]) == 2
    said = capsys.readouterr().err
    assert 'device.limits: "theta": plant "servo" enforces no limit of it (TickLink 2); it does of nothing' in said
    Path("own.toml").write_text(text.replace("PLANT", "joint"))
    assert _run(["run", "own.toml"]) == 0
    capsys.readouterr()
    assert _run(["inspect", "runs/own"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "limits of the device" in shown and "only back in on voltage outside -2 to 2 rad" in shown


def test_a_starter_file_names_the_limits_of_the_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert _run(["init", "joint", "-o", "own.toml"]) == 0
    limits = rtu.load_config("own.toml").device.limits
    assert limits == ("theta", "theta_dot", "current", "temperature", "bus")


def test_a_robot_describes_its_limits() -> None:
    with rtu.connect("joint") as robot:
        said = str(robot.describe())
    assert "  temperature: temperature; derates above 70 C by 5 % per C; LIMIT fault above 90 C" in said
    assert "  brake: brake" in said


# ---------------------------------------------------------------- the check of the suite


def trace_of(*states: tuple[DeviceState, dict[str, float], float]) -> Trace:
    """STATEs of a joint: state, observations that differ from a calm one, output."""
    trace = Trace()
    for row in JOINT.channels:
        trace.add(FrameRecord(0.0, TapPoint.DEVICE_OUT, protocol.pack(row)))
    for at, (state, changed, u) in enumerate(states):
        calm = dict.fromkeys((row.name for row in JOINT.observations), 0.0) | {"bus": 24.0}
        x = tuple({**calm, "brake": float(state != DeviceState.ARMED), **changed}.values())
        said = protocol.State(0, 0, protocol.Fault(0), 0, state, protocol.Episode(0), 0.0, x, (u,))
        trace.add(FrameRecord(0.01 * at, TapPoint.DEVICE_OUT, protocol.pack(said, at)))
    return trace


ARMED, SAFE = DeviceState.ARMED, DeviceState.SAFE


@pytest.mark.parametrize(
    ("states", "said"),
    [
        ([(ARMED, {"theta": 2.25}, 5.0), (ARMED, {"theta": 2.25}, 0.0), (ARMED, {}, -5.0)], ""),
        ([(ARMED, {"theta": 2.25}, 0.0), (ARMED, {}, 1.0)], "output 1 drives further out with theta 2.25"),
        ([(ARMED, {"theta": -2.25}, 0.0), (SAFE, {}, -1.0)], "output -1 drives further out with theta -2.25"),
        ([(ARMED, {"temperature": 80.0}, 0.0), (ARMED, {}, 5.0)], ""),
        ([(ARMED, {"temperature": 80.0}, 0.0), (ARMED, {}, 5.5)], "output 5.5 is beyond 50 % of its range"),
        ([(ARMED, {"temperature": 95.0}, 0.0)], "session continues with temperature 95"),
        ([(SAFE, {"temperature": 95.0}, 0.0), (SAFE, {}, 0.0)], ""),
        ([(SAFE, {"brake": 0.0}, 0.0)], "brake is released while SAFE"),
    ],
)
def test_a_state_that_breaks_a_limit_is_found(
    states: list[tuple[DeviceState, dict[str, float], float]], said: str
) -> None:
    found = measure.beyond_sheet(trace_of(*states))
    assert found.startswith(said) if said else found == ""


def test_no_answer_to_a_command_is_expected_of_a_slow_observation_or_a_brake() -> None:
    """A brake is released with the first command, and then stands still for as long as the device is driven."""
    options = check_options(Checks(), JOINT)
    expected = {"theta": 1, "target": 0, "theta_dot": 1, "current": 0, "temperature": 0, "bus": 0, "brake": 0}
    names = [row.name for row in JOINT.observations]
    assert {name: options["observations"][0] >> at & 1 for at, name in enumerate(names)} == expected
