"""Channels with a role or limits, and companions, in the output of rtu-edge monitor and in the answers behind it."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import Any

import host
import pytest
from rich.console import Console

import rtu_edge as rtu
from rtu_edge.cli.monitor_channels import Now, Source
from rtu_edge.device import channels, lock, plants
from rtu_edge.device.channels import CompanionLine
from rtu_edge.device.ports import open_port
from rtu_edge.device.schema import Channel, DataSheet, LimitKind, Role, SheetLimit
from rtu_edge.device.simulated import SimulatedDevice
from rtu_edge.loop import Clock, Link, Loop, LoopConfig
from rtu_edge.loop.companions import Companion

JOINT = plants.sheet("joint")
SHEET = DataSheet(JOINT.period_s, JOINT.observations, JOINT.actuators)


def rtu_edge(*arguments: str) -> str:
    command = [sys.executable, "-m", "rtu_edge.cli", "monitor", *arguments]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert shown.returncode == 0, shown.stderr
    return shown.stdout


def picture(now: Now, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width)
    for table in now.tables():
        console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("low", "high", "value", "expected"),
    [
        (-2.0, 2.0, 0.0, "within"),
        (-2.0, 2.0, 1.5, "within"),
        (-2.0, 2.0, 1.7, "near"),
        (-2.0, 2.0, 2.0, "near"),
        (-2.0, 2.0, 2.1, "beyond"),
        (-2.0, 2.0, -1.7, "near"),
        (-2.0, 2.0, -2.1, "beyond"),
        (-math.inf, 70.0, 58.0, "within"),  # of the range -40 to 250 of the channel: 110 below the limit
        (-math.inf, 70.0, 60.0, "near"),
        (-math.inf, 70.0, 71.0, "beyond"),
        (-math.inf, 70.0, -200.0, "within"),
        (100.0, math.inf, 114.0, "near"),
        (100.0, math.inf, 116.0, "within"),
    ],
)
def test_near_is_the_last_tenth_of_the_range(low: float, high: float, value: float, expected: str) -> None:
    channel = Channel("x", "C", -40.0, 250.0)
    assert channels.place(SheetLimit(LimitKind.FAULT, low, high), channel, value) == expected


def test_without_a_range_near_is_a_tenth_of_the_limit() -> None:
    limit, channel = SheetLimit(LimitKind.FAULT, high=50.0), Channel("x", "C", -math.inf, math.inf)
    assert [channels.place(limit, channel, value) for value in (44.0, 46.0, 51.0)] == ["within", "near", "beyond"]


def test_an_answer_is_read_as_it_was_written() -> None:
    line = channels.answer(SHEET, ["imu"])
    assert line.count("\n") == 1 and channels.read(json.loads(line)) == channels.Channels(SHEET, ("imu",))


def test_the_longest_answer_is_within_the_bound_of_a_line() -> None:
    limit = SheetLimit(
        LimitKind.DERATE, -1.234567890123456e-100, 1.234567890123456e-100, 10, -1, 1.234567890123456e-100
    )
    each = Channel("n" * 24, "u" * 12, limit.low, limit.high, 50, role=Role.BUS_VOLTAGE, limits=(limit,) * 4)
    assert len(channels.answer(DataSheet(0.01, (each,) * 54, (each,)), ["n" * 24] * 3)) < lock._LINE_MAX


def test_answers_of_other_versions_give_no_channels() -> None:
    good = json.loads(channels.answer(SHEET))
    later = json.loads(channels.answer(SHEET)) | {"later": 1}
    assert channels.read(later) == channels.read(good)
    good["sheet"]["observations"][0]["role"] = 99
    for line in ({"event": "error", "message": "commands: estop, status, monitor, arm"}, {"event": "channels"}, good):
        assert channels.read(line) is None


def test_each_role_and_limit_with_its_newest_value() -> None:
    values = [1.9, 0.0, 201.0, None, 75.0, 24.0, 1.0]
    now = Now(channels.rows(channels.Channels(SHEET), values), [])
    by_name = {row["name"]: row for row in now.rows}
    assert {name: row["limit"] for name, row in by_name.items()} == {
        "theta": "near",
        "target": None,
        "theta_dot": "beyond",
        "current": None,
        "temperature": "beyond",
        "bus": "within",
        "brake": None,
    }
    assert by_name["brake"]["brake"] == "engaged" and by_name["brake"]["role"] == "brake"
    assert by_name["temperature"]["limits"][0] == {
        "kind": "derate",
        "low": -math.inf,
        "high": 70.0,
        "actuator": None,
        "slope": pytest.approx(0.05),
        "text": "derates above 70 C by 5 % per C",
    }
    lines = picture(now, 160).splitlines()
    assert [text.split()[0] for text in lines] == [
        "channel", "theta", "theta_dot", "current", "temperature", "bus", "brake",
    ]  # fmt: skip
    for line, texts in (
        (1, ("1.9", "rad", "position", "near a limit", "only back in on voltage outside -2 to 2 rad")),
        (2, ("201", "rad/s", "velocity", "beyond a limit", "LIMIT fault outside -200 to 200 rad/s")),
        (3, ("-", "A", "current", "LIMIT fault outside -2.2 to 2.2 A")),
        (4, ("75", "C", "temperature", "derates above 70 C by 5 % per C")),
        (5, ("24", "V", "bus voltage", "within limits", "derates below 21 V by 50 % per V")),
        (6, ("1", "brake", "engaged")),
    ):
        assert all(text in lines[line] for text in texts), lines[line]
    assert now.line() == ("  brake engaged  theta near a limit  theta_dot beyond a limit  temperature beyond a limit")
    assert all(len(text) <= 80 for text in picture(now, 80).splitlines())


def test_a_companion_is_a_line() -> None:
    now = Now([], [CompanionLine("imu", 3, 12.4, 95.0, 2), CompanionLine("leg", -1, None, 40.0, 0)])
    lines = picture(now).splitlines()
    assert "imu" in lines[1] and "12 ms old, TTL 95 ms" in lines[1] and lines[1].rstrip().endswith("2")
    assert "leg" in lines[2] and "none yet, TTL 40 ms" in lines[2]
    assert "leg - none yet, TTL 40 ms lost 0" in now.line()
    assert [each["name"] for each in now.plain({})["companions"]] == ["imu", "leg"]


def test_an_owner_that_sends_none_of_it_is_shown_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither asked for its channels nor shown with any."""
    monkeypatch.setattr(lock, "channels", lambda port: pytest.fail("asked"))
    status = {"event": "status", "running": True, "steps": 3}
    now = Source("port").now(status)
    assert now.plain(status) == status and now.line() == "" and now.tables() == []


def test_a_device_without_roles_is_shown_as_before() -> None:
    plain = dataclasses.replace(SHEET, observations=tuple(Channel(f"x{i}", "m", -1.0, 1.0, i) for i in range(3)))
    now = Now(channels.rows(channels.Channels(plain), [0.0, 1.0, 2.0]), [])
    assert now.line() == "" and now.tables() == [] and len(now.plain({})["channels"]) == 3


@pytest.mark.timing
def test_the_monitor_of_a_run_shows_them() -> None:
    with SimulatedDevice("joint") as device:
        driver = host.start(device.port)
        try:
            shown = rtu_edge(device.port, "--once")
            for text in ("ARMED", "bus voltage", "derates above 70 C by 5 % per C", "released", "limits of the device"):
                assert text in " ".join(shown.split()), shown
            seen = [json.loads(text) for text in rtu_edge(device.port, "--json", "--seconds", "0.4").splitlines()]
            rows = {row["name"]: row for row in seen[-1]["channels"]}
            assert rows["temperature"]["limits"][0]["low"] == "-inf" and 20 < rows["temperature"]["value"] < 90
            assert rows["brake"]["brake"] == "released" and rows["bus"]["limit"] in ("within", "near")
            assert "companions" not in seen[-1]
            assert "brake released" in rtu_edge(device.port, "--seconds", "0.3")
        finally:
            driver.send_signal(signal.SIGINT)
            driver.communicate(timeout=10)


def status_of(port: str, source: Source, wanted: Any) -> Now:
    """The first status for which a condition holds."""
    give_up = time.monotonic() + 10
    while time.monotonic() < give_up:
        now = source.now(lock.status(port))
        if wanted(now):
            return now
        time.sleep(0.02)
    raise AssertionError(now)


@pytest.mark.timing
def test_a_companion_is_in_the_status_of_the_first_device() -> None:
    """With its name and channels, while the loop runs; afterwards the device's own are left."""
    with ExitStack() as stack:
        devices = [stack.enter_context(SimulatedDevice(name)) for name in ("servo", "joint")]
        links = [stack.enter_context(Link(stack.enter_context(open_port(each.port)))) for each in devices]
        for each in links:
            each.handshake()
        source, port = Source(devices[0].port), devices[0].port
        assert status_of(port, source, lambda now: True).companions == []
        agent = rtu.StreamAC(observation_size=10, action_size=2, units=4, hidden=4, seed=0, dt_s=0.01)
        own = LoopConfig(
            clock=Clock.DEVICE, handle_signals=False, ttl_ms=200, companions=[Companion("arm", links[1], 200, age=True)]
        )
        with Loop(links[0], agent, own) as loop:
            loop.start()
            now = status_of(port, source, lambda now: now.companions and len(now.rows) == 10 and now.rows[8]["brake"])
            (arm,) = now.companions
            assert (arm.name, arm.ttl_ms, arm.lost) == ("arm", 200.0, 0) and arm.age_ms is not None
            assert 0 <= arm.age_ms < 400
            assert now.rows[6]["name"] == "arm.temperature" and now.rows[8]["name"] == "arm.brake"
            assert now.rows[9]["name"] == "arm.age" and "derates above 70 C" in now.rows[6]["limits"][0]["text"]
            assert now.plain({})["companions"][0]["state"] in ("ARMED", "RESETTING", "SAFE")
            assert "arm" in picture(now).splitlines()[-1]
        assert status_of(port, source, lambda now: not now.companions).companions == []
