"""Servo buses from Python, against emulated buses behind a pty. The rules are tested in virtual time, in C:
tests/firmware/test_bus.c.
"""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rtu_edge._bridge import ffi, lib

from rtu_edge._base.errors import ConfigError, DeviceError
from rtu_edge.device.emulated_bus import EmulatedBus
from rtu_edge.device.servo_bus import BusError, BusStatus, ServoBus, ServoState, port_is_gone
from rtu_edge.device.servo_group import ServoGroup
from rtu_edge.device.servo_registers import FAMILIES, registers

pytestmark = pytest.mark.timing

# ms: for a host under load; a missing answer costs as much.
PATIENCE_US = 200_000


@pytest.fixture(params=FAMILIES)
def emulated(request: pytest.FixtureRequest) -> Iterator[EmulatedBus]:
    with EmulatedBus(request.param, servos=3) as bus:
        yield bus


def opened(emulated: EmulatedBus) -> ServoBus:
    return ServoBus(emulated.port, emulated.family, latency_us=PATIENCE_US)


def test_ping_read_write(emulated: EmulatedBus) -> None:
    with opened(emulated) as bus:
        assert not bus.echo and bus.ping(2) == 0
        assert bus.write(2, "goal_position", 1.0) == 0
        assert bus.read(2, "goal_position") == pytest.approx(1.0, abs=0.003)
        bus.write(3, "goal_position", 0.5, registered=True)
        assert bus.read(3, "goal_position") > 0.6
        bus.action()
        assert bus.read(3, "goal_position") == pytest.approx(0.5, abs=0.003)
        bus.write_steps(1, "torque_enable", 1)
        bus.torque_off()
        assert bus.read_steps(1, "torque_enable") == 0
        assert bus.counters["timeouts"] == bus.counters["damaged"] == bus.counters["strays"] == 0


def test_a_servo_that_does_not_answer(emulated: EmulatedBus) -> None:
    with ServoBus(emulated.port, emulated.family, latency_us=20_000) as bus:
        with pytest.raises(BusError, match="ping 9: no answer in time") as caught:
            bus.ping(9)
        assert caught.value.status is BusStatus.SILENT and isinstance(caught.value, DeviceError)


def test_negative_numbers_are_of_the_registers_kind() -> None:
    with EmulatedBus("feetech", servos=1) as emulated, opened(emulated) as bus:
        bus.write_steps(1, "goal_position", -100)
        assert bus.read_bytes(1, 42, 2) == b"\x64\x80"  # sign and magnitude
        assert bus.read_steps(1, "goal_position") == -100
    with EmulatedBus("dynamixel", servos=1) as emulated, opened(emulated) as bus:
        bus.write_steps(1, "goal_position", -100)
        assert bus.read_bytes(1, 116, 4) == b"\x9c\xff\xff\xff"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e7])
def test_what_is_no_position_is_not_sent(emulated: EmulatedBus, value: float) -> None:
    with opened(emulated) as bus:
        before, questions = bus.read_steps(1, "goal_position"), bus.counters["questions"]
        with pytest.raises(ConfigError, match=r"goal_position = .* rad: must be finite"):
            bus.write(1, "goal_position", value)
        with pytest.raises(ConfigError, match="goal_position"):
            bus.sync_write("goal_position", {1: 0.1, 2: value})
        assert bus.counters["questions"] == questions
        assert bus.read_steps(1, "goal_position") == before


@pytest.mark.parametrize(("family", "fast"), [("feetech", False), ("dynamixel", False), ("dynamixel", True)])
def test_sync_read_with_a_dead_servo_and_an_alarm(family: str, fast: bool) -> None:
    with EmulatedBus(family, servos=4) as emulated, opened(emulated) as bus:
        emulated.servos[0].wakes = emulated.servos[1].wakes = 0
        bus.sync_write("goal_position", {1: 1.0, 2: 2.0})
        assert bus.read(2, "goal_position") == pytest.approx(2.0, abs=0.002)
        emulated.servos[1].alarm = 4
        emulated.servos[3].dead = 1
        values = bus.sync_read([1, 2, 3, 4], "position", "speed", fast=fast)
        states = [value.state for value in values]
        assert states == [ServoState.VALID, ServoState.ALARM, ServoState.VALID, ServoState.SILENT]
        assert [value.values is None for value in values] == [False, False, False, True]
        assert values[0].values == pytest.approx((math.pi, 0.0), abs=1e-3)
        assert values[1].alarm != 0 and values[3].age_s is None and values[0].age_s < PATIENCE_US * 2e-6


def test_what_a_family_cannot_do_is_said() -> None:
    with EmulatedBus("scs", servos=2) as emulated, opened(emulated) as bus:
        with pytest.raises(BusError, match="sync read: cannot be asked"):
            bus.sync_read([1, 2], "position")
        with pytest.raises(BusError, match="reboot 1: cannot be asked"):
            bus.reboot(1)
        with pytest.raises(ConfigError, match='register "homing_offset": scs has model'):
            bus.read(1, "homing_offset")
        with pytest.raises(ValueError, match="id"):
            bus.ping(253)
    with pytest.raises(ConfigError, match='family "xl320": must be one of dynamixel, feetech, scs'):
        registers("xl320")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"port": None}, "port = None: expected a path or an open Port"),
        ({"port": 3}, "port = 3: expected a path"),
        ({"family": None}, 'family "None": must be one of'),
        ({"family": ["feetech"]}, "must be one of dynamixel"),
        ({"baud": "1M"}, "baud = '1M': expected an integer"),
        ({"latency_us": 1.5}, "latency_us = 1.5: expected an integer"),
        ({"return_delay_us": None}, "return_delay_us = None: expected an integer"),
        ({"echo": "no"}, "echo = 'no': expected True or False"),
    ],
)
def test_an_argument_of_another_type_is_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ServoBus(**{"port": "/dev/null", **wrong})
    assert message in str(caught.value)


def test_arguments_of_a_call_are_named() -> None:
    with EmulatedBus("feetech", servos=2) as emulated, opened(emulated) as bus:
        calls: list[tuple[Callable[..., Any], tuple[Any, ...], str]] = [
            (bus.read, (1, None), 'register "None"'),
            (bus.read, (1, []), 'register "[]"'),
            (bus.write, (1, "goal_position", None), "goal_position = None rad: must be finite"),
            (bus.write, (1, "goal_position", "1"), "goal_position = 1 rad: must be finite"),
            (bus.write_steps, (1, "goal_position", 1.5), "goal_position = 1.5: expected an integer"),
            (bus.write_bytes, (1, 42, "ab"), "data = 'ab': expected bytes"),
            (bus.write_bytes, (1, 42, 2), "data = 2: expected bytes"),
            (bus.sync_read, (1, "position"), "ids = 1: expected a sequence of ids"),
            (bus.sync_read, ([], "position"), "1 to 32 different ids"),
            (bus.sync_read, ([1, 1], "position"), "1 to 32 different ids"),
            (bus.sync_write, ("goal_position", [1.0]), "values = [1.0]: expected a value for each id"),
            (lambda *given: ServoGroup(bus, *given), ("12", "position"), "ids = '12': expected a sequence"),
        ]
        for call, given, message in calls:
            with pytest.raises(ConfigError) as caught:
                call(*given)
            assert message in str(caught.value)


def test_scan_finds_servos_and_two_of_one_id(emulated: EmulatedBus) -> None:
    with ServoBus(emulated.port, emulated.family, latency_us=20_000) as bus:
        emulated.servos[2].id = 2
        assert bus.scan(1, 4) == {1: BusStatus.OK, 2: BusStatus.GARBLED}


def test_an_adapter_that_echoes() -> None:
    with EmulatedBus("feetech", servos=2, echo=True) as emulated, opened(emulated) as bus:
        assert bus.echo
        bus.write(1, "goal_position", 1.25)
        assert bus.read(1, "goal_position") == pytest.approx(1.25, abs=0.002)
        assert [value.state for value in bus.sync_read([1, 2], "position")] == [ServoState.VALID] * 2


def test_an_adapter_that_goes_and_comes_back(tmp_path: object) -> None:
    link = os.path.join(str(tmp_path), "bus")
    with EmulatedBus("feetech", servos=1, link=link):
        bus = ServoBus(link, "feetech", latency_us=PATIENCE_US)
        bus.ping(1)
        assert not port_is_gone(bus.port)
    with pytest.raises(BusError, match="closed or unplugged") as caught:
        bus.ping(1)
    assert caught.value.status is BusStatus.GONE and port_is_gone(bus.port)
    with EmulatedBus("feetech", servos=1, link=link):
        bus.reopen()
        assert bus.ping(1) == 0
        bus.close()
        bus.close()


def test_another_program_at_the_port_is_seen(emulated: EmulatedBus) -> None:
    """The lock of the port keeps out our own commands, and is no obstacle to a program without it."""
    with opened(emulated) as bus:
        assert bus.other_holders() == []
        with pytest.raises(DeviceError, match="in use by"):
            opened(emulated)
        child = os.fork()
        if child == 0:
            os.open(emulated.port, os.O_RDWR | os.O_NOCTTY)
            signal.pause()
        try:
            give_up = time.monotonic() + 10
            while not bus.other_holders() and time.monotonic() < give_up:
                time.sleep(0.01)
            assert str(child) in bus.other_holders()[0]
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def test_the_emulated_bus_is_paced() -> None:
    """At 9600 baud a question of 8 and an answer of 8 bytes take 16.7 ms."""
    with (
        EmulatedBus("feetech", servos=1, baud=9600) as emulated,
        ServoBus(emulated.port, "feetech", 9600, latency_us=PATIENCE_US) as bus,
    ):
        begin_s = time.monotonic()
        for _ in range(5):
            bus.read(1, "position")
        assert time.monotonic() - begin_s > 5 * 0.016


def test_arguments_of_the_emulated_bus() -> None:
    with pytest.raises(ConfigError, match="family"):
        EmulatedBus("ax12")
    with pytest.raises(ValueError, match="servos"):
        EmulatedBus("feetech", servos=17)
    emulated = EmulatedBus("feetech", servos=1)
    emulated.close()
    emulated.close()
    with pytest.raises(DeviceError, match="closed"):
        _ = emulated.pid


def test_packets_from_python() -> None:
    """The codec itself, for tools that make packets of their own."""
    out = ffi.new("uint8_t[64]")
    n = lib.tl_dynamixel_encode(1, lib.TL_BUS_PING, ffi.NULL, 0, out, 64)
    assert bytes(ffi.buffer(out, n)) == bytes.fromhex("FFFFFD00010300 01194E".replace(" ", ""))
    n = lib.tl_feetech_encode(1, lib.TL_BUS_READ, b"\x38\x02", 2, out, 64)
    assert bytes(ffi.buffer(out, n)) == bytes.fromhex("FFFF0104023802BE")


def test_a_closed_bus_writes_to_no_other_file(tmp_path: Path) -> None:
    with EmulatedBus("feetech") as emulated:
        bus = ServoBus(emulated.port, "feetech", latency_us=PATIENCE_US)
        bus.close()
        with open(tmp_path / "other", "w+b", buffering=0) as other:  # likely to get the port's number
            for call in (bus.torque_off, lambda: bus.ping(1)):
                with pytest.raises(BusError, match="closed or unplugged"):
                    call()
            assert other.seek(0, os.SEEK_END) == 0


def test_a_register_of_a_servo_that_is_not_there() -> None:
    with EmulatedBus("feetech", servos=2) as emulated:
        for servo in (-1, 2, 10**8):
            with pytest.raises(ConfigError, match="servo ="):
                emulated.register(servo, "TORQUE")
