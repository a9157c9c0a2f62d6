"""The owner of a port, and requests to it: status, arming.

The owner of a port registers (rtu_edge.device.registry) and serves a Unix socket. docs/estop.md describes which owners
are trusted, and what `estop` does in each case.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from rtu_edge._base import old_names
from rtu_edge._base.errors import DeviceError
from rtu_edge._base.untrusted import parse_json
from rtu_edge.device.channels import Channels, read
from rtu_edge.device.holders import Device, device_of, holders, speaks_for
from rtu_edge.device.registry import PortLock, Record, absolute, records, socket_path

__all__ = [
    "Owner",
    "PortLock",
    "answers",
    "arm",
    "channels",
    "connect",
    "monitor",
    "owner",
    "owners",
    "peer",
    "port_of_run",
    "socket_path",
    "status",
]

_TALK_S = 2.0
_CONNECT_S = 0.05
_LINE_MAX = 1 << 16  # bytes; a status takes less than 8192, the channels less than 40,000
_CLAIMS_MAX = 8  # of another user, for one port


@dataclass(frozen=True)
class Owner:
    """A registered owner, with the facts that the kernel confirms.

    Args:
        record: its registration.
        device: its device; None for a pyserial URL.
        pid: the process that created its socket, or the one that holds the lock; 0 if neither is known.
        speaks: it holds the device, so that its reports are trusted.
    """

    record: Record
    device: Device | None
    pid: int
    speaks: bool


def status(port: str) -> dict[str, Any]:
    """The status of a port's owner: running, reason, steps, episodes, mean_return, device_state, pid, mode,
    learner_monitor; findings, bits of learn.findings.Finding; mean_reward, sigma and entropy as in LoopStatus, null if
    unknown; counters; supervisor: its counters that are not 0; link, as LinkQuality, null if unknown; observations, the
    newest, in the order of channels(), missing before the first; companions, while a loop with companions runs: lists
    device_state, age_ms, ttl_ms, lost.

    Raises:
        DeviceError: the port has no owner, or the owner does not answer.
    """
    for line in _talk(port, "status"):
        return old_names.status(line)
    raise DeviceError(f"{port}: its owner does not answer")


def channels(port: str) -> Channels | None:
    """The channels that a port's owner describes; None: it has not read them yet, or its version does not send them.

    Raises:
        DeviceError: the port has no owner, or its owner does not answer.
    """
    return next((read(line) for line in _talk(port, "channels")), None)


def owner(port: str) -> int | None:
    """Process id of a port's owner; None if it has none."""
    return next((one.pid for one in owners(port) if one.pid and _may_ask(one)), None)


def port_of_run(config: str) -> str:
    """The port that a running process with this configuration drives, if this user may ask it; else ""."""
    return next((one.record.path for one in owners("", config) if one.pid and one.speaks and _may_ask(one)), "")


def arm(port: str, token: int) -> None:
    """Tell the waiting owner of a port to arm.

    Args:
        port: a device's path, or a pyserial URL.
        token: the number that its status gives as "arm_token".

    Raises:
        DeviceError: the port has no owner, the owner does not wait for this command, or the number is wrong.
    """
    for answer in _talk(port, f"arm {token}"):
        if answer.get("event") == "arm" and answer.get("accepted") is True:
            return
        break
    raise DeviceError(f"{port}: not armed: its owner does not wait for arming, or the number {token} is wrong")


def monitor(port: str) -> Iterator[dict[str, Any]]:
    """The owner's status about ten times a second, until it disconnects.

    Raises:
        DeviceError: the port has no owner.
    """
    return map(old_names.status, _talk(port, "monitor"))


# ---------------------------------------------------------------- who owns it


def owners(port: str, config: str = "") -> list[Owner]:
    """The registered owners of a port, by any name of it, or of a configuration: those whose registration the kernel
    confirms.
    """
    here = device_of(port) if port and "://" not in port else None
    me, claims, found = os.geteuid(), dict[int, int](), []
    for record in records():
        if not _matches(record, port, config, here):
            continue
        if record.uid not in (me, 0):
            claims[record.uid] = claims.get(record.uid, 0) + 1
            if claims[record.uid] > _CLAIMS_MAX:
                continue
        one = _confirmed(record, here)
        if one is not None:
            found.append(one)
    return found


def _matches(record: Record, port: str, config: str, here: Device | None) -> bool:
    # By the name too: the target of a link may have changed since, for example by an update.
    if config and (record.config == os.path.realpath(config) or record.named == absolute(config)):
        return True
    if not port:
        return False
    if here is not None and record.device == here:
        return True
    return absolute(port) in (record.port, record.path) or ("://" not in port and record.path == os.path.realpath(port))


def _confirmed(record: Record, here: Device | None) -> Owner | None:
    """The owner behind a record; None if no process of its user holds the registered device."""
    pid = 0
    with contextlib.suppress(OSError), connect(record.control) as connection:
        pid, uid = peer(connection)
        pid = pid if uid == record.uid else 0
    if record.device is None:
        return Owner(record, None, pid, record.uid in (os.geteuid(), 0)) if pid else None
    device = record.device
    # Uses the node found here only: a record could name any file that its user has locked.
    known = here if here == device else device_of(record.path)
    device = known if known is not None and known == device else replace(device, node=(0, 0))
    speaks = bool(pid) and speaks_for(pid, device)
    if not speaks:
        held = [one.pid for one in holders(device) if one.uid == record.uid]
        if not held:
            return None
        pid = pid if pid in held else held[0]
    return Owner(record, device, pid, speaks)


def _may_ask(one: Owner) -> bool:
    """Whether this user may send it commands other than an emergency stop, and its answer is trusted."""
    return os.geteuid() in (0, one.record.uid) or one.record.uid == 0


# ---------------------------------------------------------------- talking


def connect(control: str, timeout_s: float = 0.0) -> socket.socket:
    """A connection to a control socket; waits only briefly for a busy one. Raises OSError."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(_CONNECT_S)
        connection.connect(control)
        connection.settimeout(timeout_s)
    except OSError:
        connection.close()
        raise
    return connection


def peer(connection: socket.socket) -> tuple[int, int]:
    """Process and user at the other end: of a server, those that created its socket. Raises OSError."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _ = struct.unpack("3i", credentials)
    return pid, uid


def answers(text: bytes) -> list[dict[str, Any]]:
    """JSON objects, one a line. Raises ValueError for any other line."""
    found = []
    for line in text.splitlines():
        answer = parse_json(line)
        if not isinstance(answer, dict):
            raise ValueError(f"not a JSON object: {line[:40]!r}")
        found.append(answer)
    return found


def _lines(connection: socket.socket) -> Iterator[dict[str, Any]]:
    """JSON lines until the other end closes or the time-out of the socket passes. Raises ValueError for any other
    line.
    """
    buffer = b""
    while True:
        try:
            data = connection.recv(4096)
        except OSError:
            return
        if not data:
            return
        whole, end, rest = (buffer + data).rpartition(b"\n")
        buffer = rest
        yield from answers(whole + end)
        if len(buffer) > _LINE_MAX:
            raise ValueError(f"a line of more than {_LINE_MAX} bytes")


def _talk(port: str, command: str) -> Iterator[dict[str, Any]]:
    for one in owners(port):
        if not _may_ask(one) or not one.speaks:
            continue
        try:
            connection = connect(one.record.control, _TALK_S)
        except OSError as error:
            raise DeviceError(f"{port}: its owner does not answer: {error}") from error
        with connection:
            connection.sendall(command.encode() + b"\n")
            try:
                yield from _lines(connection)
            except ValueError as error:
                raise DeviceError(f"{port}: invalid reply from the process that owns the port: {error}") from None
        return
    raise DeviceError(f"{port}: this port has no owner")
