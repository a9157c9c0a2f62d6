"""Python's parsers of external input: any input gives a result or the documented error.

One block per reader.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import struct
import tempfile
import zlib
from pathlib import Path
from typing import Any

import msgspec
import msgspec.inspect as mi
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import rtu_edge as rtu
from rtu_edge import record as log
from rtu_edge._base.errors import CheckpointError, ConfigError, DeviceError
from rtu_edge.config import Config, canonical, parse_config
from rtu_edge.device import lock, protocol, registry
from rtu_edge.hil.faults import KINDS
from rtu_edge.hil.suite import Linear, parse_suite
from rtu_edge.learn import checkpoint
from rtu_edge.tools import estop

fuzz = settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])

# ---------------------------------------------------------------- TOML

MINIMAL = '[device]\nplant = "cartpole"\n'

scalars = (
    st.booleans()
    | st.integers()
    | st.integers(10**300, 10**320)  # TOML has no limit in Python, and a float has
    | st.floats()
    | st.text(max_size=12)
    | st.dates()
    | st.times()
    | st.datetimes()
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
)


def toml(value: Any) -> str:
    """Any plain value as an inline TOML value."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(str(key))} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, (int, float)):
        return repr(value)
    return str(value)


def document(data: dict[str, Any]) -> str:
    return "".join(f"{toml(key)} = {toml(value)}\n" for key, value in data.items())


def fitting(kind: mi.Type) -> st.SearchStrategy[Any]:
    """Values that a schema allows, from its text."""
    if isinstance(kind, mi.Metadata):
        return fitting(kind.type)
    if isinstance(kind, mi.BoolType):
        return st.booleans()
    if isinstance(kind, mi.IntType):
        return st.integers(kind.ge, kind.le)
    if isinstance(kind, mi.FloatType):
        low, high = (kind.ge, False) if kind.ge is not None else (kind.gt, True)
        return st.floats(low, kind.le, exclude_min=high, allow_nan=False, allow_infinity=kind.le is None)
    if isinstance(kind, mi.EnumType):
        return st.sampled_from([member.value for member in kind.cls])
    if isinstance(kind, mi.UnionType):
        return st.one_of(*(fitting(part) for part in kind.types if not isinstance(part, mi.NoneType)))
    if isinstance(kind, (mi.VarTupleType, mi.ListType)):
        return st.lists(fitting(kind.item_type), max_size=3)
    if isinstance(kind, mi.DictType):
        return st.dictionaries(st.text(max_size=8), fitting(kind.value_type), max_size=3)
    if isinstance(kind, mi.StructType):
        needed = {field.encode_name: fitting(field.type) for field in kind.fields if field.required}
        rest = {field.encode_name: fitting(field.type) for field in kind.fields if not field.required}
        return st.fixed_dictionaries(needed, optional=rest)
    return st.text(max_size=12)


def spoiled(schema: mi.Type) -> st.SearchStrategy[Any]:
    """A table of the schema in which one value somewhere is anything, or one key is new."""

    @st.composite
    def draw(draw: Any) -> Any:
        data = draw(fitting(schema))
        table = data
        while True:
            below = [key for key, value in table.items() if isinstance(value, dict)]
            if not below or draw(st.booleans()):
                break
            table = table[draw(st.sampled_from(below))]
        key = draw(st.sampled_from(sorted(table)) if table and draw(st.booleans()) else st.text(max_size=8))
        table[key] = draw(anything)
        return data

    return draw()


SCHEMA = mi.type_info(Config)
KEYS = [field.encode_name for field in SCHEMA.fields]  # type: ignore[attr-defined]
NAMES_A_PATH = re.compile(r"(the file|[^ ].*?) (= |\(port = )|.*: (missing|unknown key)|not valid TOML", re.DOTALL)


def check_configuration(text: str, overrides: tuple[str, ...] = ()) -> None:
    found: list[ConfigError] = []
    try:
        config = parse_config(text, overrides)
    except ConfigError as error:
        found.append(error)
    if found:
        for problem in found[0].problems or ("none",):
            assert NAMES_A_PATH.match(problem) or problem.startswith("--set "), problem
        return
    again = parse_config(canonical(config))
    assert again == config
    assert canonical(again) == canonical(config)


@fuzz
@given(st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=8), anything))
def test_any_data_is_a_configuration_or_refused(data: dict[str, Any]) -> None:
    check_configuration(document(data))


@fuzz
@given(fitting(SCHEMA) | spoiled(SCHEMA))
def test_a_configuration_that_is_nearly_right(data: dict[str, Any]) -> None:
    check_configuration(document(data))


@fuzz
@given(st.text(max_size=80))
@example("a = " + "[" * 5000)
@example("a = " + "9" * 5000)
@example("device = 0x" + "f" * 5000)
@example("[device]\nplant = 0x" + "f" * 5000)
def test_any_text_is_a_configuration_or_refused(text: str) -> None:
    check_configuration(text)
    check_configuration(MINIMAL + text)


@fuzz
@given(
    st.sampled_from(["loop.ttl_ms", "learner.units", "limits.a.min", "run.seed", ""]) | st.text(max_size=12),
    st.text(max_size=30) | anything.map(toml),
)
@example("learner.units", "[" * 5000)
@example("learner.units", "9" * 5000)
@example("learner.entropy", "1" + "0" * 400)
def test_any_override_is_taken_or_refused(path: str, value: str) -> None:
    check_configuration(MINIMAL, (f"{path}={value}",))


def test_an_override_sets_one_value() -> None:
    with pytest.raises(ConfigError, match="--set"):
        parse_config(MINIMAL, ("loop.ttl_ms=50\nx=1",))


# ---------------------------------------------------------------- suite files


@st.composite
def suites(draw: Any) -> dict[str, Any]:
    data = draw(fitting(SCHEMA) | spoiled(SCHEMA))
    if draw(st.booleans()):
        data["controller"] = draw(fitting(mi.type_info(Linear)) | spoiled(mi.type_info(Linear)))
    if draw(st.booleans()):
        data |= draw(
            st.fixed_dictionaries({"name": st.text(max_size=8) | anything, "seed": st.integers(0, 9) | anything})
        )
    kinds = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=2))
    tables = [{**draw(fitting(mi.type_info(KINDS[kind]))), "kind": kind} for kind in kinds]
    if draw(st.booleans()):
        tables[0][draw(st.sampled_from(sorted(tables[0])))] = draw(anything)
    return {**data, "fault": draw(st.just(tables) | anything) if draw(st.booleans()) else tables}


@fuzz
@given(suites())
def test_any_suite_is_taken_or_refused(data: dict[str, Any]) -> None:
    try:
        parse_suite(document(data))
    except ConfigError as error:
        problems = error.problems
    else:
        return
    assert problems
    assert all(re.match(r"[^ ].*?( = |: )", problem, re.DOTALL) for problem in problems), problems


# ---------------------------------------------------------------- checkpoints


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("saved") / "a.rtu"
    rtu.StreamAC(1, 1, units=1, hidden=1, seed=1).save(path)
    return path.read_bytes()


def with_text(data: bytes, text: bytes) -> bytes:
    """The checkpoint with another text and a valid checksum."""
    (length,) = struct.unpack_from("<I", data, 12)
    body = data[:12] + struct.pack("<I", len(text)) + data[16:40] + text + data[40 + length : -4]
    return body + struct.pack("<I", zlib.crc32(body))


def text_of(data: bytes) -> dict[str, Any]:
    (length,) = struct.unpack_from("<I", data, 12)
    found: dict[str, Any] = json.loads(data[40 : 40 + length])
    return found


@fuzz
@given(st.binary(max_size=60) | anything.map(lambda value: json.dumps(value, default=str).encode()))
@example(b"[" * 100_000)
@example(b"9" * 5000)
def test_any_text_in_a_checkpoint(saved: bytes, text: bytes) -> None:
    for data in (text, with_text(saved, text)):
        with contextlib.suppress(CheckpointError):
            assert isinstance(checkpoint.read_config(data), dict)


json_values = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8)


@fuzz
@given(st.data())
def test_any_configuration_in_a_checkpoint(saved: bytes, data: st.DataObject) -> None:
    """One key of the configuration is anything: a learner of the same layout, or refused."""
    config = text_of(saved)
    key = data.draw(st.sampled_from(sorted(config)) | st.text(max_size=8))
    config[key] = data.draw(
        json_values | st.lists(json_values, max_size=3) | st.dictionaries(st.text(max_size=4), json_values)
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.rtu")
        path.write_bytes(with_text(saved, json.dumps(config).encode()))
        with contextlib.suppress(CheckpointError):
            rtu.load(path)


@fuzz
@given(st.data())
def test_any_section_row_in_a_checkpoint(saved: bytes, data: st.DataObject) -> None:
    text, sections = struct.unpack_from("<I", saved, 12)[0], struct.unpack_from("<I", saved, 32)[0]
    bad = bytearray(saved)
    at = data.draw(st.integers(40 + text, 40 + text + 56 * sections - 4))
    bad[at : at + 4] = data.draw(st.binary(min_size=4, max_size=4))
    with contextlib.suppress(CheckpointError):
        checkpoint.read_config(bytes(bad[:-4]) + struct.pack("<I", zlib.crc32(bad[:-4])))


# ---------------------------------------------------------------- the wire


@fuzz
@given(st.integers(0, 255), st.integers(0, 255), st.binary(max_size=protocol.PAYLOAD_MAX))
def test_any_frame_is_a_message_or_none(kind: int, flags: int, payload: bytes) -> None:
    (frame,) = protocol.Decoder().feed(protocol.encode(protocol.Frame(kind, 1, 2, payload, flags)))
    message = protocol.unpack(frame)
    if message is None or isinstance(message, protocol.Log):  # its text may have been no UTF-8
        return
    again = protocol.pack(message, 1, 2)
    assert again.type == frame.type
    assert (
        frame.type in (protocol.FrameType.HELLO, protocol.FrameType.ROW, protocol.FrameType.RESET)
        or again.payload == payload
    )


# ---------------------------------------------------------------- the control socket


answers = st.lists(
    st.binary(max_size=20) | anything.map(lambda value: json.dumps(value, default=str).encode()), max_size=4
)


@fuzz
@given(answers, st.integers(1, 40))
def test_an_owner_that_says_anything(lines: list[bytes], piece: int) -> None:
    """`status` gives an object or DeviceError; `estop` never takes it for a confirmation."""
    data = b"".join(line + b"\n" for line in lines)
    record = registry.Record("/nowhere.sock", os.geteuid(), "port", None, "port", "")
    owner = lock.Owner(record, None, os.getpid(), True)

    def connect(path: str, timeout_s: float = 0.0) -> socket.socket:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        with contextlib.suppress(BlockingIOError):  # out of space: the rest is cut off
            for at in range(0, len(data), piece):
                theirs.send(data[at : at + piece])
        theirs.shutdown(socket.SHUT_WR)
        ours.settimeout(timeout_s)
        ends.append(theirs)  # open until the request was sent
        return ours

    ends: list[socket.socket] = []
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        patch.setattr(lock, "owners", lambda *_: [owner])
        patch.setattr(lock, "connect", connect)
        patch.setattr(lock, "peer", lambda _: (os.getpid(), os.geteuid()))
        with contextlib.suppress(DeviceError):
            assert isinstance(lock.status("port"), dict)
        with contextlib.suppress(DeviceError):
            for found in lock.monitor("port"):
                assert isinstance(found, dict)
        stop = estop._Stop("socket://port", "", 9600, 1.0)
        stop._targets = stop._find()
        stop._ask()
        assert [one.confirmed for target in stop._targets for one in target.asked] == [False]
        for end in ends:
            stack.enter_context(end)


# ---------------------------------------------------------------- a run's folder


@pytest.fixture(scope="module")
def summary() -> bytes:
    return msgspec.json.encode(log.Summary(name="run", stages={"learn": log.Stage(steps=3, message="größer")}))


@fuzz
@given(st.data())
def test_a_summary_that_is_cut_or_overwritten(summary: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(summary)))
    with tempfile.TemporaryDirectory() as name:
        folder = log.RunFolder(name)
        folder.file(log.RunFolder.SUMMARY).write_bytes(
            summary[:at] + data.draw(st.binary(max_size=8)) + summary[at + 8 :]
        )
        with contextlib.suppress(ValueError):
            assert isinstance(folder.load_summary(), log.Summary)
        folder.file(log.RunFolder.SUMMARY).write_bytes(summary[:at])
        with contextlib.suppress(ValueError):
            assert folder.load_summary() is not None and at == len(summary)


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    with log.RunFolder(tmp_path_factory.mktemp("events")) as folder:
        for number in range(5):
            folder.event("step", number=number, text="größer")
        return re.sub(rb'"t_s": [^,]*, "utc": "[^"]*"', b'"t_s": 0.5', folder.file(log.RunFolder.EVENTS).read_bytes())


@fuzz
@given(st.data())
def test_events_that_are_cut_anywhere(events: bytes, data: st.DataObject) -> None:
    """Intact entries before the damage are read; after it, only valid objects or nothing."""
    whole = events
    with tempfile.TemporaryDirectory() as name, log.RunFolder(name) as folder:
        path = folder.file(log.RunFolder.EVENTS)
        at = data.draw(st.integers(0, len(whole)))
        path.write_bytes(whole[:at] + data.draw(st.binary(max_size=12)))
        found = folder.events()
        complete = whole[:at].count(b"\n")
        assert [event["number"] for event in found[:complete]] == list(range(complete))
        assert all(isinstance(event, dict) for event in found)
