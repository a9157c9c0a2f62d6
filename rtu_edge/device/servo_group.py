"""Servos that are read in each cycle: a dead one costs the others little (tl_bus_poll, firmware_bridge/bus/poll.c)."""

from __future__ import annotations

from collections.abc import Sequence

from rtu_edge._bridge import ffi, lib
from rtu_edge.device.servo_bus import BusError, BusStatus, ServoBus, ServoValue

__all__ = ["ServoGroup"]


class ServoGroup:
    """The same registers of several servos.

    Args:
        bus: open; used by one thread at a time.
        ids: 1 to 32 ids.
        names: registers; all bytes from the first to the last of them are read, at most 32.
        fast: with the fast instruction of Dynamixel.

    Raises:
        ConfigError: no or too many ids, one of them twice, or an unknown register.
    """

    def __init__(self, bus: ServoBus, ids: Sequence[int], *names: str, fast: bool = False) -> None:
        ids = bus.checked_ids(ids)
        self._bus = bus
        self._names = names
        self._fast = fast
        self._begin, self._size = bus.span(names)
        self._servos = ffi.new(f"tl_bus_servo[{len(ids)}]")
        for servo, id in zip(self._servos, ids, strict=True):
            servo.id = id
        self._cycle = 0

    def poll(self) -> BusStatus:
        """Read once: servos that did not answer are asked last, after three misses only each 16th time.

        Raises:
            BusError: the port is gone.
        """
        bus, count = self._bus.handle, len(self._servos)
        status = lib.tl_bus_poll(bus, self._begin, self._size, self._fast, self._servos, count, self._cycle)
        self._cycle = (self._cycle + 1) % 2**32
        if status in (BusStatus.GONE, BusStatus.INVALID, BusStatus.ECHO):
            raise BusError(f"{self._bus.port.url}: poll", BusStatus(status))
        return BusStatus(status)

    def values(self) -> list[ServoValue]:
        """What the last poll has found, in the order of ids."""
        return [self._bus.value_of(servo, self._begin, self._names) for servo in self._servos]
