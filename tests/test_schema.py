"""One description of a device (rtu_edge/device/schema.py): no second class for a channel, a limit, a HELLO or a
clock.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from rtu_edge._bridge import lib

from rtu_edge import _testing
from rtu_edge.device import limits, plants
from rtu_edge.device.limits import in_force
from rtu_edge.device.ports import open_port
from rtu_edge.device.schema import Cap, DataSheet, Hello, LimitKind, Limits, Role, Safe, SheetLimit
from rtu_edge.device.simulated import SimulatedDevice
from rtu_edge.loop import Link, Loop, LoopConfig

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "rtu_edge"
SCHEMA = "rtu_edge/device/schema.py"
LOW, HIGH = {"min", "minimum", "low", "least"}, {"max", "maximum", "high", "most"}


def fields(node: ast.ClassDef) -> set[str]:
    """Annotated attributes, and the properties of a protocol."""
    found = {
        each.target.id for each in node.body if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
    }
    for each in node.body:
        if isinstance(each, ast.FunctionDef) and any(
            isinstance(decorator, ast.Name) and decorator.id == "property" for decorator in each.decorator_list
        ):
            stub = len(each.body) == 1 and isinstance(each.body[0], ast.Expr)
            found |= {each.name} if stub else set()
    return found


def describes(node: ast.ClassDef) -> str:
    """The subject that a class describes: "channel", "limits", "hello", "clock", "safe", "step"; "" for
    anything else.
    """
    names = fields(node)
    plain = {
        each.targets[0].id
        for each in node.body
        if isinstance(each, ast.Assign) and isinstance(each.targets[0], ast.Name)
    }
    ranged = bool(names & LOW and names & HIGH)
    if ranged and names & {"name", "unit"}:
        return "channel"
    if ranged and any("slew" in name or "accel" in name for name in names):
        return "limits"
    if "boot_id" in names and names & {"period_us", "schema_hash"}:
        return "hello"
    if {"DEVICE", "LOCKSTEP"} <= plain:
        return "clock"
    if {"HOLD", "DAMP", "RAMP"} <= plain:
        return "safe"
    if "step_size_critic" in names:
        return "step"
    return ""


def descriptions(text: str) -> Iterator[tuple[str, str]]:
    """(fact, class) for each class that describes one."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef) and (fact := describes(node)):
            yield fact, node.name


def sources() -> Iterator[tuple[str, str]]:
    for path in sorted((*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.pyi"))):
        yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


# With the words of another fact: how a parameter is drawn; what a native call takes, as addresses.
ALIKE = {
    ("rtu_edge/study/families.py", "Parameter"),
    ("rtu_edge/learn/native.py", "Functions"),
    ("rtu_edge/tools/servos.py", "Range"),  # what was seen of a joint so far
    ("rtu_edge/hil/hardware_report.py", "ReportedRow"),  # of a file, whose form does not follow Channel
}


def test_each_fact_has_one_class() -> None:
    found = sorted(
        (fact, path, name) for path, text in sources() for fact, name in descriptions(text) if (path, name) not in ALIKE
    )
    assert found == [
        ("channel", SCHEMA, "Channel"),
        ("clock", "rtu_edge/loop/flags.py", "Clock"),
        ("hello", SCHEMA, "Hello"),
        ("limits", SCHEMA, "Limits"),
        ("safe", SCHEMA, "Safe"),
    ]


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("class Row:\n    name: str\n    minimum: float\n    maximum: float\n", "channel"),
        ("class Row(Protocol):\n    @property\n    def unit(self): ...\n    low: float\n    high: float\n", "channel"),
        ("class Own:\n    low: float\n    high: float\n    slew_per_s: float\n", "limits"),
        ("class Sheet:\n    boot_id: int\n    period_us: int\n", "hello"),
        ("class Tick(enum.Enum):\n    DEVICE = 1\n    LOCKSTEP = 2\n", "clock"),
        ("class End(enum.IntEnum):\n    HOLD = 1\n    DAMP = 2\n    RAMP = 3\n", "safe"),
        ("class Info:\n    value: float\n    step_size_critic: float\n", "step"),
    ],
)
def test_a_second_one_is_found(text: str, fact: str) -> None:
    assert [found for found, _ in descriptions(text)] == [fact]


def test_numbers_of_the_wire_are_those_of_the_c_code() -> None:
    assert {safe.value: f"TL_SAFE_{safe.name}" for safe in Safe} == {
        getattr(lib, n): n for n in dir(lib) if n[:8] == "TL_SAFE_"
    }
    assert {cap.value: f"TL_CAP_{cap.name}" for cap in Cap} == {
        getattr(lib, n): n for n in dir(lib) if n[:7] == "TL_CAP_"
    }
    for kinds, prefix in ((Role, "TL_ROW_"), (LimitKind, "TL_LIMIT_")):
        named = {f"{prefix}{each.name}": each.value for each in kinds if each is not LimitKind.OTHER}
        found = {n: getattr(lib, n) for n in dir(lib) if n.startswith(prefix)}
        not_kinds = {"TL_ROW_COUNT", "TL_ROW_LIMITS_MAX", "TL_LIMIT_ALL"}
        assert named == {name: value for name, value in found.items() if name not in not_kinds}
    assert (SheetLimit(LimitKind.FAULT).actuator, limits._LIMITS) == (lib.TL_LIMIT_ALL, lib.TL_ROW_LIMITS_MAX)
    assert (Hello().protocol, Hello().role) == (lib.TL_PROTO_VERSION, lib.TL_ROLE_HOST)


def test_who_holds_channels_holds_those_of_the_schema() -> None:
    """A data sheet, the head of a log, the summary of a run: no lists of other items under these names."""
    holders = {}
    for path, text in sources():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef):
                for each in node.body:
                    if isinstance(each, ast.AnnAssign) and ast.unparse(each.target) == "actuators":
                        holders[f"{path}:{node.name}"] = ast.unparse(each.annotation)
    assert holders.pop(f"{SCHEMA}:DataSheet") == "tuple[Channel, ...]"
    assert set(holders.values()) <= {"list[Channel]", "Sequence[Channel]"}, holders


def test_limits_are_no_tuple() -> None:
    """Five numbers without names are what a file of the log holds (record/head.py), and nothing else."""
    bare = re.compile(r"tuple\[float, float, float, float, float\]")
    assert [path for path, text in sources() if bare.search(text)] == ["rtu_edge/record/head.py"]


def test_limits_become_native_in_one_place() -> None:
    """native/bindings/python/schema.h: per second in doubles to per period in floats; HELLO and rows are payloads."""
    bindings = {path.name: path.read_text() for path in (ROOT / "native/bindings/python").glob("*.*")}
    assert [name for name, text in bindings.items() if "accel_per_s2" in text] == ["schema.h"]
    assert [
        name for name, text in bindings.items() if re.search(r'arg\("(period_us|minimum|observation_size)"\) =', text)
    ] == []


def test_a_period_has_one_value_in_seconds() -> None:
    """period_us / 1e6 and period_us * 1e-6 are two doubles for 29 % of all periods."""
    native = ((path.name, path.read_text()) for path in (ROOT / "native/bindings").rglob("*.*"))
    times = re.compile(r"period_us\)?\s*\*\s*1e-0?6")
    assert [path for path, text in (*sources(), *native) if times.search(text)] == []


def test_what_the_loop_limits_is_what_a_replay_limits() -> None:
    """At 20 001 us and this slew the two differ in the last bit of the change per period."""
    period_us, slew = 20_001, 49.99750906524345
    assert np.float32(slew * (period_us * 1e-6)) != np.float32(slew * (period_us / 1e6))
    with SimulatedDevice("cartpole", period_us=period_us) as device, open_port(device.port) as port, Link(port) as link:
        hello = link.handshake()
        assert hello.period_us == period_us
        limits = [Limits(-10.0, 10.0, slew_per_s=slew)]
        loop = Loop(link, _testing.LinearPolicy(2, [1.0]).policy(), LoopConfig(steps=5, limits=limits))
        loop.run()
        sent = loop.drain()["u"][:5, 0]
    limiter = _testing.CommandLimiter(loop.limits, link.sheet.period_s)
    limiter.start([0.0])
    assert [float(u) for u in sent] == [float(limiter.apply([1.0])[0][0]) for _ in range(5)]


def test_limits_in_force_are_limits() -> None:
    """They can be passed again, unchanged."""
    sheet = plants.sheet("cartpole")
    once = in_force([Limits(-3, 20, slew_per_s=50.0)], sheet.actuators, sheet.period_s)
    assert once == [Limits(-3.0, 10.0, slew_per_s=50.0, accel_per_s2=np.inf, rest=0.0)]
    assert in_force(once, sheet.actuators, sheet.period_s) == once


def test_a_data_sheet_counts_its_channels() -> None:
    sheet = plants.sheet("pendulum-full")
    assert isinstance(sheet, DataSheet)
    assert (sheet.observation_size, sheet.action_size) == (len(sheet.observations), 1)
    assert [channel.index for channel in sheet.channels] == list(range(len(sheet.channels)))
    assert [channel.actuator for channel in sheet.channels] == [False] * sheet.observation_size + [True]
