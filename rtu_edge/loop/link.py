"""The host's end of TickLink over an open port."""

from __future__ import annotations

import math
import os
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from rtu_edge import _core
from rtu_edge._base.closing import Closing
from rtu_edge._base.errors import ConfigError, DeviceError
from rtu_edge._base.forks import leave_to_the_parent
from rtu_edge.device.channels import answer
from rtu_edge.device.limits import as_float, sheet_problems
from rtu_edge.device.ports import Port
from rtu_edge.device.protocol import Frame, FrameType, unpack
from rtu_edge.device.registry import Registration
from rtu_edge.device.schema import Channel, DataSheet, Hello
from rtu_edge.device.unanswered import explanation

__all__ = ["ATTEND_S", "Channel", "DataSheet", "Hello", "Link", "LinkError", "LinkQuality", "as_seconds"]


# s, between two calls of attend(): at 1 kHz fewer bytes than the buffer of a port holds.
ATTEND_S = 0.02


class LinkError(DeviceError):
    """The device did not answer, refused, or went away; the message names the reason."""


@dataclass(frozen=True)
class LinkQuality:
    """Link quality since opening. NaN: not known (yet), like the clocks in lockstep.

    Args:
        offset_us: us; the device's clock minus the host's. drift_ppm: its excess rate over the host's; over the last 32
        s, known after about 3 s. round_trip_us, round_trip_min_us, round_trip_max_us: us; PING to PONG: the last, the
        least of 32 s, the largest. jitter_us: us; mean change from one round trip to the next, smoothed.
        state_delay_us: us; from the device's stamp of the last STATE to its arrival.
        command_age_us, command_age_max_us: us, by the device's clock; from the observation that led to the command in
        force to the STATE that reports it: the last, the largest. frames_in_per_s, frames_out_per_s, bytes_in_per_s,
        bytes_out_per_s: over the last second. pings, pongs: sent, and answered.
        lost_in: gaps in the device's sequence; repeated_in: repeated frames.
        lost_out: sent frames that the device has not counted, as of its last answer.
        device: the device's own counters since its boot, as far as requested.
    """

    offset_us: float
    drift_ppm: float
    round_trip_us: float
    round_trip_min_us: float
    round_trip_max_us: float
    jitter_us: float
    state_delay_us: float
    command_age_us: float
    command_age_max_us: float
    frames_in_per_s: float
    frames_out_per_s: float
    bytes_in_per_s: float
    bytes_out_per_s: float
    pings: int
    pongs: int
    lost_in: int
    repeated_in: int
    lost_out: int
    device: dict[str, int]

    def known(self) -> dict[str, float]:
        """All known values, the device's own as `device_...`."""
        own = {f"device_{name}": float(value) for name, value in self.device.items()}
        numbers = {name: float(value) for name, value in vars(self).items() if name != "device"}
        return {name: value for name, value in numbers.items() if not math.isnan(value)} | own


class _Descriptor(Protocol):
    def fileno(self) -> int: ...


class Link(Closing):
    """The host's end of TickLink over a duplicate of an open port's descriptor.

    Args:
        port: an open pyserial port, anything else with fileno(), or a descriptor. The caller keeps and closes it;
        nothing else may read or write it while the link is open. control: the Unix control socket to serve while the
        link is open, by which `rtu-edge estop` and others reach
            this process: None for the one of this port (control.socket_path()), where it is an open_port() port that
            other processes can open too; a path; or False for none. It also takes the port's lock: a second owner
            gets a DeviceError.
        config: path of the running configuration: `rtu-edge estop` finds this process by it too.
        capture_bytes: keep this many of the bytes counted by `sent_hash` (lockstep only), for tests.
        through: a function of the descriptor that returns the native wire which all bytes pass, for fault injection;
            None for the descriptor itself.
    """

    def __init__(
        self,
        port: _Descriptor | int,
        *,
        control: str | Literal[False] | None = None,
        config: str | os.PathLike[str] = "",
        capture_bytes: int = 0,
        through: Callable[[int], _core.Wire] | None = None,
    ) -> None:
        fd = _descriptor(port)
        self._port = port if isinstance(port, Port) else None
        self._hello: Hello | None = None
        self._sheet: DataSheet | None = None
        self._loop: weakref.ref[Closing] | None = None
        self._core = _core.Link(os.dup(fd), capture_bytes, through(fd) if through is not None else None)
        self._registration: Registration | None = None
        name = port.url if isinstance(port, Port) else ""
        if control or (control is None and name and not name.startswith("loop://")):
            try:
                self._registration = Registration(name, fd, os.fspath(config), control, self._core.serve_control)
            except BaseException as error:
                self._core.close()
                if isinstance(error, OSError):
                    raise DeviceError(f"{name or control}: no control socket can be served: {error}") from error
                raise
        leave_to_the_parent(self)

    def forked(self) -> None:
        """In a child: closes the link, without an effect on the parent."""
        self._loop = None
        if self._registration is not None:
            self._registration.forked()
        self._core.forked()

    def handshake(self, timeout_s: float = 3.0) -> Hello:
        """Request HELLO until it arrives, discarding boot noise; at most ten times a second.

        Raises:
            LinkError: no device answered in time (the message tells silence, an echo, text and damaged bytes apart), or
                one with another protocol version did.
        """
        payload = self._core.handshake(as_seconds("timeout_s", timeout_s))
        if payload is None:
            raise LinkError(f"HELLO: the device did not answer in time: {explanation(self._core.hello_input())}")
        hello = unpack(Frame(FrameType.HELLO, payload=_checked(payload)))
        assert isinstance(hello, Hello)  # the same C code has unpacked it before
        self._hello, self._sheet = hello, None
        self._core.answer_channels("")
        return hello

    def describe(self, timeout_s: float = 3.0) -> DataSheet:
        """Read the data sheet and check it: against the schema hash of HELLO, and each channel by itself.

        Raises:
            LinkError: a row did not arrive, the rows do not match the hash in HELLO, or one is invalid.
        """
        hello = self.hello
        _usable(sheet_problems(hello))
        found = (
            unpack(Frame(FrameType.ROW, payload=payload))
            for payload in _checked(self._core.describe(as_seconds("timeout_s", timeout_s)))
        )
        channels = tuple(channel for channel in found if isinstance(channel, Channel))
        _usable(sheet_problems(hello, channels))
        n = hello.observation_size
        self._sheet = DataSheet(hello.period_s, channels[:n], channels[n:])
        self.show(self._sheet)
        return self._sheet

    def show(self, sheet: DataSheet, companions: Sequence[str] = ()) -> None:
        """Give the control socket its answer to `channels`: a data sheet, and the names of companions."""
        self._core.answer_channels(answer(sheet, companions))

    @property
    def sheet(self) -> DataSheet:
        """The data sheet, requested on first use."""
        return self._sheet if self._sheet is not None else self.describe()

    @property
    def last_session(self) -> int:
        """Newest session number used since the device's boot, as far as this link knows; 0: none."""
        return int(self._core.last_session)

    @property
    def next_session(self) -> int:
        """The number after it: they are serial numbers of 32 bits without 0, so 1 comes after 4294967295."""
        return int(self._core.next_session)

    def attend(self) -> None:
        """Read and drop what the device has sent, without waiting: each ATTEND_S where this end waits for a person.

        A device that restarted meanwhile, or is gone, is noticed at once; the buffers on the way do not fill.

        Raises:
            LinkError: the device has restarted, or the port is gone.
        """
        _checked(self._core.attend())

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
        """Send ESTOP until STATE reports ESTOP; True only then. With a loop running, the loop does it."""
        return bool(self._core.estop(as_seconds("timeout_s", timeout_s)))

    def disarm(self, timeout_s: float = 1.0) -> bool:
        """Send DISARM until the device acknowledges it; True only then."""
        return bool(self._core.disarm(as_seconds("timeout_s", timeout_s)))

    def clear_fault(self, timeout_s: float = 1.0) -> bool:
        """Clear a latched fault or emergency stop; True when the device acknowledges it."""
        return bool(self._core.clear_fault(as_seconds("timeout_s", timeout_s)))

    @property
    def url(self) -> str:
        """The name of its port, or "" where it was made from a descriptor."""
        return self._port.url if self._port is not None else ""

    @property
    def can_reopen(self) -> bool:
        """reopen() is possible: the port has a name and a descriptor of its own."""
        return self._port is not None and self._port.can_reopen

    @property
    def wants_port(self) -> bool:
        """A loop waits for its port, which is gone, to be opened again."""
        return bool(self._core.wants_port)

    def reopen(self) -> None:
        """Open the port again by its name, for a loop that waits for it; its registration follows.

        Raises:
            DeviceError: it is not there yet; another attempt may succeed.
            OSError: it cannot be registered.
        """
        if self._port is None:
            raise DeviceError("the link was made from a descriptor: its port cannot be opened again")
        self._core.drop_port()
        if self._registration is not None:
            self._registration.moved()
        self._port.reopen()
        if self._registration is not None:
            self._registration.moved(self._port.fileno())
        self._core.replace_port(self._port.fileno())

    def wait_to_arm(self, token: int) -> None:
        """Publish in the status that this owner waits for arming with this number; 0: it no longer waits."""
        self._core.wait_to_arm(token)

    @property
    def arm_requests(self) -> int:
        """Number of arm commands with the right number."""
        return int(self._core.arm_requests)

    @property
    def estop_requests(self) -> int:
        """Number of emergency stop requests."""
        return int(self._core.estop_requests)

    @property
    def turns(self) -> int:
        """Iterations of all loops so far, with or without a step: constant while a loop hangs, or none runs."""
        return int(self._core.turns)

    @property
    def running(self) -> bool:
        """True while a loop runs."""
        return bool(self._core.running)

    @property
    def counters(self) -> dict[str, int]:
        """Frames, bytes, CRC errors, retries, timeouts since the link was opened."""
        return dict(self._core.counters())

    @property
    def quality(self) -> LinkQuality:
        """Clocks, delays, losses, rates; measured while a loop runs."""
        return LinkQuality(**self._core.quality())

    @property
    def captured(self) -> tuple[bytes, bytes]:
        """The first bytes that `sent_hash` and `received_hash` counted (see capture_bytes)."""
        sent, received = self._core.captured()
        return bytes(sent), bytes(received)

    def close(self) -> None:
        """Stop a loop that still runs, and the control socket; close the descriptor. Idempotent."""
        loop = self._loop() if self._loop is not None else None
        if loop is not None:
            loop.close()
        if self._registration is not None:
            self._registration.leave()
        self._core.close()
        if self._registration is not None:
            self._registration.close()


def as_seconds(name: str, value: object) -> float:
    """A timeout as a float; negative and NaN mean 0.

    Raises:
        ConfigError: it is no number.
    """
    number = as_float(value)
    if number is None:
        raise ConfigError(f"{name} = {value!r}: expected a number of seconds")
    return number


def _descriptor(port: Any) -> int:
    if isinstance(port, int) and not isinstance(port, bool):
        return port
    if not hasattr(port, "fileno"):
        raise ConfigError(f"port = {port!r}: expected an open port, such as open_port() returns, or a descriptor")
    return int(port.fileno())


def _usable(problems: Iterator[str]) -> None:
    if found := list(problems):
        raise LinkError("\n".join(f"the device's data sheet cannot be used: {problem}" for problem in found))


def _checked(answer: Any) -> Any:
    if isinstance(answer, str):
        raise LinkError(answer)
    return answer
