"""Ports: exclusive, labelled, found by stable names, on ptys, sockets and a simulated sysfs."""

from __future__ import annotations

import fcntl
import os
import pty
import socket
import struct
import subprocess
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import logged
import pytest
import serial

from rtu_edge._base.errors import DeviceError
from rtu_edge.device.ports import list_ports, open_port, port_driver


@pytest.fixture
def terminal() -> Iterator[tuple[int, str]]:
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    name = os.ttyname(theirs)
    yield ours, name
    os.close(theirs)
    os.close(ours)


def read_exactly(fd: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += os.read(fd, size - len(data))
    return data


def test_a_pty_opens_and_carries_bytes_both_ways(terminal: tuple[int, str]) -> None:
    far, name = terminal
    with open_port(name) as port:
        assert port.real_time
        assert port.driver == "pty"
        os.write(far, b"\x00\x01\xff")
        assert read_exactly(port.fileno(), 3) == b"\x00\x01\xff"
        os.write(port.fileno(), b"\x11\x13\n\r")
        assert read_exactly(far, 4) == b"\x11\x13\n\r"


def test_boot_noise_is_discarded(terminal: tuple[int, str]) -> None:
    far, name = terminal
    os.write(far, b"bootloader v1.2\r\n")
    with open_port(name) as port:
        os.write(far, b"x")
        assert os.read(port.fileno(), 64) == b"x"


def test_a_device_that_vanishes_while_the_port_opens_is_a_device_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """pyserial 3.5 passes on termios.error there, which is no OSError (findings/pyserial_termios_error.sh)."""
    far, near = pty.openpty()
    name = os.ttyname(near)
    os.close(near)
    empty = serial.Serial._reset_input_buffer

    def unplugged(port: serial.Serial) -> None:
        os.close(far)
        empty(port)

    monkeypatch.setattr(serial.Serial, "_reset_input_buffer", unplugged)
    with pytest.raises(DeviceError, match=f"^{name}: cannot be opened: .*Input/output error"):
        open_port(name)


def test_a_device_that_vanishes_after_the_port_opened_is_found_by_the_first_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    far, near = pty.openpty()
    name = os.ttyname(near)
    os.close(near)
    empty = serial.Serial.reset_input_buffer

    def unplugged(port: serial.Serial) -> None:
        os.close(far)
        empty(port)

    monkeypatch.setattr(serial.Serial, "reset_input_buffer", unplugged)
    with open_port(name) as port:
        assert os.read(port.fileno(), 1) == b""  # end of file: hung up


def test_a_second_owner_is_refused_and_told_why(terminal: tuple[int, str]) -> None:
    _, name = terminal
    with open_port(name):
        with pytest.raises(DeviceError, match="in use by another process"):
            open_port(name)
        code = f"from rtu_edge.device.ports import open_port; open_port({name!r})"
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert "in use by another process" in other.stderr
    open_port(name).close()


def test_closing_twice_is_harmless(terminal: tuple[int, str]) -> None:
    port = open_port(terminal[1])
    port.close()
    port.close()
    with pytest.raises(DeviceError, match="closed"):
        port.fileno()


def test_a_port_that_is_not_there() -> None:
    with pytest.raises(DeviceError, match="no such port; `rtu-edge ports` lists them"):
        open_port("/dev/ttyNONE9")


def test_an_address_that_makes_no_sense() -> None:
    with pytest.raises(DeviceError, match="nonsense://x: cannot be opened"):
        open_port("nonsense://x")


def test_a_socket_is_used_directly() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"socket://127.0.0.1:{server.getsockname()[1]}"
        with open_port(address) as port:
            far, _ = server.accept()
            with far:
                assert port.real_time
                far.sendall(b"abc")
                assert read_exactly(port.fileno(), 3) == b"abc"
                assert os.write(port.fileno(), b"def") == 3
                assert far.recv(8) == b"def"
                assert not port.gone
            logged.wait(lambda: port.gone)


def test_a_port_without_a_descriptor_is_pumped_and_says_so() -> None:
    data = os.urandom(20_000)
    with open_port("loop://") as port:
        assert not port.real_time
        assert any("not real-time" in note for note in port.notes)
        writer = threading.Thread(
            target=lambda: [os.write(port.fileno(), data[i : i + 100]) for i in range(0, 20_000, 100)]
        )
        writer.start()
        assert read_exactly(port.fileno(), len(data)) == data
        writer.join()
    port.close()


@pytest.fixture
def host_tree(tmp_path: Path) -> tuple[str, str]:
    """A /sys and a /dev with an Arduino on native USB, an FTDI adapter, a connected UART and a missing one."""
    sysfs, dev = tmp_path / "sys", tmp_path / "dev"
    (dev / "serial" / "by-id").mkdir(parents=True)
    devices = [
        ("ttyACM0", "cdc_acm", "1"),
        ("ttyUSB0", "ftdi_sio", "1"),
        ("ttyS0", "serial8250", "4"),
        ("ttyS1", "serial8250", "0"),
    ]
    for name, driver, kind in devices:
        real = sysfs / "devices" / name
        (real / "interface" / "tty" / name).mkdir(parents=True)
        (real / "interface" / "driver_target").mkdir()
        (sysfs / "drivers" / driver).mkdir(parents=True, exist_ok=True)
        os.symlink(sysfs / "drivers" / driver, real / "interface" / "driver")
        os.symlink(real / "interface", real / "interface" / "tty" / name / "device")
        (real / "interface" / "tty" / name / "type").write_text(kind + "\n")
        (sysfs / "class" / "tty").mkdir(parents=True, exist_ok=True)
        os.symlink(real / "interface" / "tty" / name, sysfs / "class" / "tty" / name)
        (dev / name).touch()
    (sysfs / "devices" / "ttyACM0" / "manufacturer").write_text("Maker\n")
    (sysfs / "devices" / "ttyACM0" / "product").write_text("Board\n")
    os.symlink("../../ttyACM0", dev / "serial" / "by-id" / "usb-Maker_Board_1234-if00")
    return str(dev), str(sysfs)


def test_ports_are_listed_stable_names_first(host_tree: tuple[str, str]) -> None:
    dev, sysfs = host_tree
    ports = list_ports(dev, sysfs)
    assert [port.path for port in ports] == [
        f"{dev}/serial/by-id/usb-Maker_Board_1234-if00",
        f"{dev}/ttyS0",
        f"{dev}/ttyUSB0",
    ]
    assert [port.driver for port in ports] == ["cdc_acm", "uart", "ftdi_sio"]
    assert ports[0].device == f"{dev}/ttyACM0"
    assert ports[0].description == "Maker Board"
    assert "DTR" in ports[0].hint
    assert "16 ms" in ports[2].hint


def test_the_driver_is_found_through_a_stable_name(host_tree: tuple[str, str]) -> None:
    dev, sysfs = host_tree
    assert port_driver(f"{dev}/serial/by-id/usb-Maker_Board_1234-if00", sysfs) == "cdc_acm"
    assert port_driver(f"{dev}/ttyNONE", sysfs) == "unknown"
    assert port_driver("/dev/ttyAMA0", sysfs) == "uart"
    assert port_driver("socket://host:1", sysfs) == "unknown"


@pytest.mark.parametrize("level", [True, False])
def test_dtr_and_rts_change_together(terminal: tuple[int, str], monkeypatch: pytest.MonkeyPatch, level: bool) -> None:
    """One after the other resets an ESP32 behind a bridge chip."""
    calls: list[tuple[int, int]] = []
    real = fcntl.ioctl

    def recorded(fd: int, request: int, argument: Any = 0, *more: Any) -> Any:
        if request in (termios.TIOCMBIS, termios.TIOCMBIC):
            calls.append((request, struct.unpack("I", argument)[0]))
            return argument  # a pseudo-terminal has no modem lines
        return real(fd, request, argument, *more)

    monkeypatch.setattr("fcntl.ioctl", recorded)
    with open_port(terminal[1], dtr=level) as port:
        both = termios.TIOCM_DTR | termios.TIOCM_RTS
        assert calls == [(termios.TIOCMBIS if level else termios.TIOCMBIC, both)]
        port.serial.dtr = not level  # later changes are pyserial's own
        assert calls[1:] == [(termios.TIOCMBIC if level else termios.TIOCMBIS, termios.TIOCM_DTR)]


@pytest.mark.parametrize(("driver", "expected"), [("cdc_acm", True), ("cp210x", False), ("pty", False)])
@pytest.mark.parametrize("override", [None, True, False])
def test_dtr_follows_the_driver_or_the_override(
    terminal: tuple[int, str], monkeypatch: pytest.MonkeyPatch, driver: str, expected: bool, override: bool | None
) -> None:
    monkeypatch.setattr("rtu_edge.device.ports.port_driver", lambda url, sysfs: driver)
    with open_port(terminal[1], dtr=override) as port:
        assert port.serial.dtr is (expected if override is None else override)
