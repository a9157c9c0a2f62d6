"""The host's end of RTU-Link over an open port."""

from __future__ import annotations

import os
import weakref
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

from rtu_edge import _core
from rtu_edge.control import PortLock
from rtu_edge.errors import DeviceError

__all__ = ["Hello", "Link", "LinkError", "Row"]


class LinkError(DeviceError):
    """The device did not answer, refused, or went away; the message says which."""


@dataclass(frozen=True)
class Hello:
    """What the device says about itself."""

    protocol: int
    boot_id: int
    schema_hash: int
    period_us: int
    ttl_max_ms: int
    n_observations: int
    n_actuators: int
    simulated: bool
    lockstep: bool
    reward: bool
    reset: bool
    firmware: str
    last_session: int  # highest session number used since the device's boot


@dataclass(frozen=True)
class Row:
    """One observation or actuator of the device's data sheet (DESCRIBE)."""

    index: int
    actuator: bool
    name: str
    unit: str
    minimum: float
    maximum: float
    slew: float  # largest change per period; infinite: no limit
    safe: str  # what it does when the device goes safe: "hold", "damp", "ramp", "off"; "none" for an observation
    safe_value: float


class _Descriptor(Protocol):
    def fileno(self) -> int: ...


class _Closing(Protocol):
    def close(self) -> None: ...


class Link:
    """The host's end of RTU-Link over a duplicate of an open port's descriptor.

    Args:
        port: an open pyserial port, anything else with fileno(), or a descriptor. It stays open and belongs to the
            caller; nothing else may read or write it while the link is open.
        control: path of the Unix control socket to serve while the link is open (control.socket_path()), or None. It
            also takes the port's lock: a second owner gets a DeviceError.
        capture_bytes: keep this many of the bytes counted by `sent_hash`, for tests.
    """

    def __init__(self, port: _Descriptor | int, *, control: str | None = None, capture_bytes: int = 0) -> None:
        fd = port if isinstance(port, int) else port.fileno()
        self._hello: Hello | None = None
        self._rows: list[Row] = []
        self._loop: weakref.ref[_Closing] | None = None
        self._lock = PortLock(control) if control is not None else None
        try:
            self._core = _core.Link(os.dup(fd), capture_bytes)
            if control is not None:
                self._core.serve_control(control)
        except BaseException:
            if self._lock is not None:
                self._lock.release()
            raise

    def handshake(self, timeout_s: float = 3.0) -> Hello:
        """Ask for HELLO until it comes, discarding boot noise.

        Raises:
            LinkError: nothing that speaks RTU-Link answered in time, or another protocol version did.
        """
        raw = _checked(self._core.handshake(timeout_s))
        self._hello = Hello(**raw)
        self._rows = []
        return self._hello

    def describe(self, timeout_s: float = 3.0) -> list[Row]:
        """Read the data sheet, observations first, and check it against the schema hash of HELLO.

        Raises:
            LinkError: a row did not arrive, or the rows do not hash to what HELLO said.
        """
        self._rows = [Row(**row) for row in _checked(self._core.describe(timeout_s))]
        return list(self._rows)

    @property
    def rows(self) -> list[Row]:
        """The data sheet, asked for when it is first needed."""
        return list(self._rows) if self._rows else self.describe()

    @property
    def last_session(self) -> int:
        """Highest session number used since the device's boot, as far as this link knows."""
        return int(self._core.last_session)

    @property
    def hello(self) -> Hello:
        """The last HELLO.

        Raises:
            LinkError: before handshake().
        """
        if self._hello is None:
            raise LinkError("handshake() first")
        return self._hello

    def estop(self, timeout_s: float = 2.0) -> bool:
        """Send ESTOP until STATE says ESTOP; True only then. With a loop running, the loop does it."""
        return bool(self._core.estop(timeout_s))

    def disarm(self, timeout_s: float = 1.0) -> bool:
        """Send DISARM until the device acknowledges it; True only then."""
        return bool(self._core.disarm(timeout_s))

    def clear_fault(self, timeout_s: float = 1.0) -> bool:
        """Clear a latched fault or emergency stop; True when the device acknowledges it."""
        return bool(self._core.clear_fault(timeout_s))

    @property
    def counters(self) -> dict[str, int]:
        """Frames, bytes, CRC errors, retries, timeouts since the link was opened."""
        return dict(self._core.counters())

    @property
    def captured(self) -> tuple[bytes, bytes]:
        """The first bytes that `sent_hash` and `received_hash` counted (see capture_bytes)."""
        sent, received = self._core.captured()
        return bytes(sent), bytes(received)

    def close(self) -> None:
        """Stop a loop that still runs, and the control socket; close the descriptor. Twice is harmless."""
        loop = self._loop() if self._loop is not None else None
        if loop is not None:
            loop.close()
        self._core.close()
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> Link:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _checked(answer: Any) -> Any:
    if isinstance(answer, str):
        raise LinkError(answer)
    return answer
