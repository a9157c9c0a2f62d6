"""Servo buses: Dynamixel protocol 2.0, Feetech STS, SMS and SCS.

    with ServoBus("/dev/serial/by-id/usb-...", "feetech") as bus:
        bus.scan()                                    ids that answer
        bus.read(1, "position")                       rad
        bus.sync_read([1, 2, 3], "position", "speed")

Packets, deadlines and the matching of answers are C (firmware_bridge/bus). A servo that does not answer has no value;
an alarm is a field next to the value. docs/servo_bus.md.
"""

from __future__ import annotations

import contextlib
import enum
import math
import os
import termios
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rtu_edge._base.closing import Closing
from rtu_edge._base.errors import ConfigError, DeviceError
from rtu_edge._base.validation import check_bool, check_int
from rtu_edge._bridge import ffi, lib
from rtu_edge.device.holders import device_of, holders
from rtu_edge.device.ports import DEFAULT_BAUD, Port, open_port
from rtu_edge.device.servo_registers import family_of, registers_of, text_of

__all__ = ["BusError", "BusStatus", "ServoBus", "ServoState", "ServoValue", "port_is_gone"]

ID_MAX: int = lib.TL_BUS_ID_MAX
RETURN_DELAY_US = 500
LATENCY_US = 4000


class BusStatus(enum.IntEnum):
    """Result of a transaction (firmware_bridge/bus/bus.h)."""

    OK = lib.TL_BUS_OK
    SILENT = lib.TL_BUS_SILENT
    GONE = lib.TL_BUS_GONE
    REFUSED = lib.TL_BUS_REFUSED
    INVALID = lib.TL_BUS_INVALID
    GARBLED = lib.TL_BUS_GARBLED
    ECHO = lib.TL_BUS_ECHO


_SENTENCES = {
    BusStatus.SILENT: "no answer in time",
    BusStatus.GONE: "the port is closed or unplugged",
    BusStatus.REFUSED: "refused by the servo",
    BusStatus.INVALID: "cannot be asked of this family of servos, or is out of range",
    BusStatus.GARBLED: "bytes, but no answer: noise, another baud rate, or two servos with this id",
    BusStatus.ECHO: "the adapter's echo is missing or damaged",
}


class ServoState(enum.IntEnum):
    """State of a servo after a transaction."""

    SILENT = lib.TL_SERVO_SILENT
    VALID = lib.TL_SERVO_VALID
    ALARM = lib.TL_SERVO_ALARM


class BusError(DeviceError):
    """A transaction that failed.

    Args:
        what: bus and question.
        status: the result.
        alarm: error of the servo's answer; 0 without one.
    """

    def __init__(self, what: str, status: BusStatus, alarm: int = 0) -> None:
        self.status = status
        self.alarm = alarm
        super().__init__(f"{what}: {_SENTENCES[status]}" + (f" (error {alarm:#04x})" if alarm else ""))


@dataclass(frozen=True)
class ServoValue:
    """What is known of one servo's registers.

    Args:
        id: of the servo.
        state: of the last transaction.
        values: in SI units, in the order asked for; None: this transaction has brought none.
        age_s: s since the newest values arrived; None: never.
        alarm: error bits of its newest answer.
    """

    id: int
    state: ServoState
    values: tuple[float, ...] | None
    age_s: float | None
    alarm: int


class ServoBus(Closing):
    """A servo bus on a serial port, for one owner; a context manager. Used by one thread at a time.

    Args:
        port: path of the port, or an open Port, which then is the caller's to close.
        family: "feetech" (STS, SMS), "scs", or "dynamixel" (X series, protocol 2.0).
        baud: bits per second.
        return_delay_us: us, 0 to 100000; the longest return delay of any servo.
        latency_us: us, 0 to 1000000; of adapter and host, added to each deadline.
        echo: the adapter returns what is sent; None: find out with one question.

    Raises:
        ConfigError: an unknown family, or a number out of range.
        DeviceError: the port cannot be opened.
    """

    def __init__(
        self,
        port: str | os.PathLike[str] | Port,
        family: str = "feetech",
        baud: int = DEFAULT_BAUD,
        *,
        return_delay_us: int = RETURN_DELAY_US,
        latency_us: int = LATENCY_US,
        echo: bool | None = None,
    ) -> None:
        self.family = family
        self._family = family_of(family)
        self._registers = registers_of(self._family)
        check_int("baud", baud, 1200, 12_000_000)
        check_int("return_delay_us", return_delay_us, 0, 100_000)
        check_int("latency_us", latency_us, 0, 1_000_000)
        if not isinstance(port, (str, os.PathLike, Port)):
            raise ConfigError(f"port = {port!r}: expected a path or an open Port")
        known = None if echo is None else check_bool("echo", echo)
        self._own = not isinstance(port, Port)
        self.port = port if isinstance(port, Port) else open_port(os.fspath(port), baud)
        self._fd = ffi.new("int *", self.port.fileno())
        self._bus = ffi.new("tl_bus *")
        lib.tl_bus_init(self._bus, lib.tl_bus_port(self._fd), self._family, baud)
        try:
            self._bus.return_delay_us = return_delay_us
            self._bus.latency_us = latency_us
            if known is None:
                self._check("echo of the adapter", lib.tl_bus_detect_echo(self._bus))
            else:
                self._bus.echo = known
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the port; torque stays as it is."""
        if self._own:
            self._fd[0] = -1  # a later call finds the port gone, also when another file has its number
            self.port.close()

    def reopen(self) -> None:
        """Open the port again by its name, after the adapter went away and came back.

        Raises:
            DeviceError: it is not there (yet).
        """
        self.port.reopen()
        self._fd[0] = self.port.fileno()
        lib.tl_bus_port(self._fd)

    @property
    def handle(self) -> Any:
        """The tl_bus, for calls of rtu_edge._bridge.lib."""
        return self._bus

    @property
    def echo(self) -> bool:
        """The adapter returns what is sent."""
        return bool(self._bus.echo)

    @property
    def counters(self) -> dict[str, int]:
        """Questions, answers, timeouts, damaged and stray packets, discarded bytes."""
        names = ("questions", "answers", "timeouts", "damaged", "strays", "discarded")
        return {name: int(getattr(self._bus.counters, name)) for name in names}

    def other_holders(self) -> list[str]:
        """Other processes that hold the port: root is not kept out by exclusive mode. Look before torque is enabled."""
        device = device_of(self.port.fileno())
        return [str(one) for one in holders(device) if one.pid != os.getpid()] if device is not None else []

    def ping(self, id: int) -> int:
        """Return the alarm bits of a servo.

        Raises:
            BusError: it does not answer.
        """
        alarm = ffi.new("uint8_t *")
        self._check(f"ping {id}", lib.tl_bus_ping(self._bus, self.checked_id(id), alarm), alarm[0])
        return int(alarm[0])

    def scan(self, first: int = 0, last: int = ID_MAX) -> dict[int, BusStatus]:
        """Ping ids; return those from which bytes came: OK, or GARBLED (noise, or two servos with this id).

        Raises:
            ConfigError: an id out of range, or first above last.
            BusError: the port is gone.
        """
        found = ffi.new(f"int8_t[{lib.TL_BUS_BROADCAST}]")
        first, last = self.checked_id(first), self.checked_id(last)
        if first > last:
            raise ConfigError(f"first = {first}: is above last, {last}")
        self._check(f"scan {first} to {last}", lib.tl_bus_scan(self._bus, first, last, found))
        states = {id: BusStatus(found[id]) for id in range(first, last + 1)}
        return {id: status for id, status in states.items() if status in (BusStatus.OK, BusStatus.GARBLED)}

    def read_bytes(self, id: int, address: int, size: int) -> bytes:
        """Return bytes of a servo's control table: size 1 to 32.

        Raises:
            BusError: no answer, or refused.
        """
        out, alarm = ffi.new("uint8_t[32]"), ffi.new("uint8_t *")
        size = check_int("size", size, 1, 32)
        status = lib.tl_bus_read(
            self._bus, self.checked_id(id), check_int("address", address, 0, 65535), size, out, alarm
        )
        self._check(f"read {address} of {id}", status, alarm[0])
        return bytes(ffi.buffer(out, size))

    def write_bytes(self, id: int, address: int, data: bytes, *, registered: bool = False) -> int:
        """Write bytes to a servo's control table, or register them for action(); return its alarm bits.

        Raises:
            BusError: no answer, or refused.
        """
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise ConfigError(f"data = {data!r}: expected bytes")
        alarm = ffi.new("uint8_t *")
        call = lib.tl_bus_reg_write if registered else lib.tl_bus_write
        address = check_int("address", address, 0, 65535)
        status = call(self._bus, self.checked_id(id), address, bytes(data), len(data), alarm)
        self._check(f"write {address} of {id}", status, alarm[0])
        return int(alarm[0])

    def read(self, id: int, register: str) -> float:
        """Return a register of a servo in SI units; raises as read_bytes() does."""
        reg = self._register(register)
        return self._value(reg, self.read_bytes(id, reg.address, reg.size))

    def read_steps(self, id: int, register: str) -> int:
        """Return a register of a servo as the number it holds; raises as read_bytes() does."""
        reg = self._register(register)
        return int(lib.tl_register_get(reg, self._family.big_endian, self.read_bytes(id, reg.address, reg.size)))

    def write(self, id: int, register: str, value: float, *, registered: bool = False) -> int:
        """Write a value in SI units to a register; return the servo's alarm bits.

        Raises:
            ConfigError: not finite, or out of the register's range; nothing is sent.
            BusError: no answer, or refused.
        """
        reg = self._register(register)
        return self.write_bytes(id, reg.address, self._coded(register, value), registered=registered)

    def write_steps(self, id: int, register: str, steps: int) -> int:
        """Write a register as the number it holds; raises as write() does."""
        reg = self._register(register)
        return self.write_bytes(id, reg.address, self._put(register, steps))

    def action(self) -> None:
        """Execute the registered writes of all servos; there is no answer."""
        self._check("action", lib.tl_bus_action(self._bus))

    def reboot(self, id: int) -> None:
        """Restart a Dynamixel; clears its hardware error.

        Raises:
            BusError: no answer, or another family.
        """
        self._check(f"reboot {id}", lib.tl_bus_reboot(self._bus, self.checked_id(id), ffi.NULL))

    def sync_read(self, ids: Sequence[int], *names: str, fast: bool = False) -> list[ServoValue]:
        """Read registers of several servos with one question.

        Args:
            ids: 1 to 32 ids.
            names: registers; all bytes from the first to the last of them are read, at most 32.
            fast: with the fast instruction of Dynamixel.

        Returns:
            One result per id, in order. A servo without an answer has values None.

        Raises:
            BusError: the port is gone, or this family cannot.
        """
        begin, size = self.span(names)
        ids = self.checked_ids(ids)
        servos = ffi.new(f"tl_bus_servo[{len(ids)}]")
        pointers = ffi.new(f"tl_bus_servo *[{len(ids)}]", [servos + at for at in range(len(ids))])
        for at, id in enumerate(ids):
            servos[at].id = id
        call = lib.tl_bus_fast_sync_read if fast else lib.tl_bus_sync_read
        status = BusStatus(call(self._bus, begin, size, pointers, len(ids)))
        if status in (BusStatus.GONE, BusStatus.INVALID, BusStatus.ECHO):
            raise BusError(f"{self.port.url}: sync read", status)
        return [self.value_of(servo, begin, names) for servo in servos]

    def sync_write(self, register: str, values: dict[int, float]) -> None:
        """Write a register of several servos, in SI units, with one packet; there is no answer.

        Raises:
            ConfigError: a value is not finite or out of the register's range; nothing is sent.
            BusError: the port is gone.
        """
        reg = self._register(register)
        if not isinstance(values, Mapping):
            raise ConfigError(f"values = {values!r}: expected a value for each id")
        ids = bytes(self.checked_ids(list(values)))
        data = b"".join(self._coded(register, value) for value in values.values())
        self._check("sync write", lib.tl_bus_sync_write(self._bus, reg.address, reg.size, ids, data, len(ids)))

    def torque_off(self) -> None:
        """Switch off the torque of every servo of the bus, without waiting for any answer.

        Raises:
            BusError: the port is gone.
        """
        self._check("torque off", lib.tl_bus_torque_off(self._bus))

    # ------------------------------------------------------------ inside

    def _check(self, what: str, status: int, alarm: int = 0) -> None:
        if status != BusStatus.OK:
            raise BusError(f"{self.port.url}: {what}", BusStatus(status), alarm)

    def checked_id(self, id: int) -> int:
        """An id, checked to be 0 to 252."""
        return check_int("id", id, 0, ID_MAX)

    def checked_ids(self, ids: object) -> list[int]:
        """1 to 32 different ids."""
        if not isinstance(ids, Iterable) or isinstance(ids, (str, bytes)):
            raise ConfigError(f"ids = {ids!r}: expected a sequence of ids")
        found = [self.checked_id(id) for id in ids]
        if not 1 <= len(found) <= lib.TL_BUS_SERVOS_MAX or len(set(found)) != len(found):
            raise ConfigError(f"ids = {found}: 1 to {lib.TL_BUS_SERVOS_MAX} different ids")
        return found

    def _register(self, name: object) -> Any:
        if not isinstance(name, str) or name not in self._registers:
            raise ConfigError(f'register "{name}": {self.family} has {", ".join(self._registers)}')
        return self._registers[name]

    def _value(self, reg: Any, data: bytes) -> float:
        return float(lib.tl_register_get(reg, self._family.big_endian, data) * reg.unit)

    def _put(self, name: str, steps: int) -> bytes:
        reg, out = self._register(name), ffi.new("uint8_t[4]")
        steps = check_int(name, steps, 1 - 2**62, 2**62 - 1)
        if not lib.tl_register_put(reg, steps, self._family.big_endian, out):
            raise ConfigError(f"{name} = {steps} steps: out of the range of the register")
        return bytes(ffi.buffer(out, reg.size))

    def _coded(self, name: str, value: float) -> bytes:
        reg, steps = self._register(name), ffi.new("int64_t *")
        try:
            number = math.nan if isinstance(value, (bool, str, bytes)) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not lib.tl_register_steps(reg, number, steps):
            unit = text_of(reg.unit_name)
            raise ConfigError(f"{name} = {value} {unit}: must be finite, and within the range of the register")
        return self._put(name, steps[0])

    def span(self, names: Sequence[str]) -> tuple[int, int]:
        """Address and number of the bytes from the first to the last of some registers."""
        regs = [self._register(name) for name in names]
        if not regs:
            raise ConfigError("names: at least one register")
        begin = min(reg.address for reg in regs)
        size = max(reg.address + reg.size for reg in regs) - begin
        return begin, check_int("bytes from the first to the last register", size, 1, 32)

    def value_of(self, servo: Any, begin: int, names: Sequence[str]) -> ServoValue:
        """What a tl_bus_servo holds, whose data begin at an address."""
        values = None
        if servo.fresh:
            data = bytes(ffi.buffer(servo.data, servo.size))
            regs = [self._register(name) for name in names]
            values = tuple(self._value(reg, data[reg.address - begin :][: reg.size]) for reg in regs)
        now_us = self._bus.wire.now_us(self._bus.wire.self)
        age_s = (now_us - servo.at_us) * 1e-6 if servo.at_us else None
        return ServoValue(servo.id, ServoState(servo.state), values, age_s, servo.alarm)


def port_is_gone(port: Port) -> bool:
    """Whether a port is unplugged; the first error after that may be termios.error, which is no OSError."""
    with contextlib.suppress(OSError, termios.error, DeviceError):
        return port.gone
    return True
