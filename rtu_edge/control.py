"""Who owns a port, and how to reach the owner: the lock, the control socket, the emergency stop.

The owner of a port holds a lock and serves a Unix socket, both in a folder that only its user may enter. `estop` speaks to
the owner; when that falls silent for 200 ms, or cannot do it, it is ended and the device is asked directly. Success is only
what the device's STATE says.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import signal
import socket
import stat
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from rtu_edge._forks import leave_to_the_parent
from rtu_edge.errors import DeviceError
from rtu_edge.untrusted import parse_json

__all__ = ["Estop", "PortLock", "arm", "estop", "monitor", "owner", "socket_path", "status"]

_ANSWER_S = 0.2  # an owner that takes longer is not in control of anything
_LINE_BYTES = 1 << 16  # of an answer; an owner's are at most 4096
_GRACE_S = 0.5  # between SIGTERM and SIGKILL


@dataclass(frozen=True)
class Estop:
    """How an emergency stop was reached; it exists only after the device's STATE said ESTOP.

    Args:
        by: "owner" when the process that owns the port did it, "direct" when the port was opened here.
        ended_pid: the process that was ended because it did not answer or could not do it, or None.
    """

    by: str
    ended_pid: int | None


def socket_path(port: str) -> str:
    """Path of the control socket of a port, the same for every name (symbolic link) of it.

    Args:
        port: a device's path, or a pyserial URL.
    """
    return str(_folder() / (_name(port) + ".sock"))


class PortLock:
    """The lock of the one owner of a port; held until release() or the end of the process.

    Args:
        control: the path of the control socket; the lock lies beside it.

    Raises:
        DeviceError: somebody else holds it; the message names the process.
    """

    def __init__(self, control: str) -> None:
        path = _lock_path(control)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(fd, 32, 0).decode(errors="replace").strip()
            os.close(fd)
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            raise DeviceError(f"the port is owned by process {holder or '?'}; `rtu-edge estop` reaches it") from error
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self._fd = fd
        leave_to_the_parent(self)

    def forked(self) -> None:
        """In a child: the lock is the parent's alone, and ends with it."""
        self.release()

    def release(self) -> None:
        """Give the port up. Twice is harmless."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def __enter__(self) -> PortLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def estop(port: str, *, baud: int = 1_000_000, timeout_s: float = 5.0) -> Estop:
    """Emergency stop of the device on a port, whoever owns it; returns only when the device's STATE says ESTOP.

    Args:
        port: a device's path, or a pyserial URL.
        baud: for opening the port here, if the owner is gone or does not answer.
        timeout_s: s; how long to ask the device directly.

    Raises:
        DeviceError: the device did not confirm. Take the power away.
    """
    ended = None
    for control in _candidates(port):
        pid, confirmed = _ask_owner(control)
        if confirmed:
            return Estop("owner", None)
        if pid is not None and _alive(pid) and _is_of_the_user(control, pid):
            _end(pid)
            ended = pid
    _open_and_stop(port, baud, timeout_s)
    return Estop("direct", ended)


def status(port: str) -> dict[str, Any]:
    """What the owner of a port is doing: running, reason, steps, episodes, mean_return, device_state, pid,
    mode, guard; counters; link, as runtime.LinkQuality, null where it is not known.

    Raises:
        DeviceError: nobody owns the port, or the owner does not answer.
    """
    for line in _talk(port, "status"):
        return line
    raise DeviceError(f"{port}: its owner does not answer")


def owner(port: str) -> int | None:
    """Number of the process that owns a port; None when nobody does."""
    return next((_holder(control) for control in _candidates(port)), None)


def arm(port: str, token: int) -> None:
    """Tell the owner of a port, which waits for it, to arm.

    Args:
        port: a device's path, or a pyserial URL.
        token: the number that its status gives as "arm_token".

    Raises:
        DeviceError: nobody owns the port, or the owner does not wait to be told, or not by this number.
    """
    for answer in _talk(port, f"arm {token}"):
        if answer.get("event") == "arm" and answer.get("accepted") is True:
            return
        break
    raise DeviceError(f"{port}: not armed: its owner does not wait to be told to arm, or not by the number {token}")


def monitor(port: str) -> Iterator[dict[str, Any]]:
    """The owner's status about ten times a second, until it leaves.

    Raises:
        DeviceError: nobody owns the port.
    """
    return _talk(port, "monitor")


# ---------------------------------------------------------------- places


def _name(port: str) -> str:
    real = port if "://" in port else os.path.realpath(port)
    return hashlib.sha256(real.encode()).hexdigest()[:16]


def _folder() -> Path:
    """The folder of this user, made if it is not there.

    Not from $XDG_RUNTIME_DIR alone: a service and a login shell of one user differ in it, and an emergency stop must find
    the owner from either.
    """
    folder = _folders(os.getuid())[0]
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    if not _trusted(folder):
        raise DeviceError(f"{folder}: must be a folder that belongs to this user and that nobody else may enter")
    return folder


def _folders(uid: int) -> list[Path]:
    private = Path(f"/run/user/{uid}")
    places = [Path("/tmp") / f"rtu-edge-{uid}"]
    if private.is_dir():
        places.insert(0, private / "rtu-edge")
    return places


def _trusted(folder: Path) -> bool:
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid in (os.getuid(), 0) and not found.st_mode & 0o077


def _candidates(port: str) -> list[str]:
    """Where an owner's socket may be: ours first; root looks at everybody's."""
    uids = [os.getuid()]
    if uids == [0]:
        for place in [*Path("/run/user").glob("*"), *Path("/tmp").glob("rtu-edge-*")]:
            uid = place.name.removeprefix("rtu-edge-")
            if uid.isdigit() and int(uid) not in uids:
                uids.append(int(uid))
    names = [(folder / (_name(port) + ".sock"), uid) for uid in uids for folder in _folders(uid)]
    return [str(name) for name, uid in names if _owned(name, uid)]


def _owned(path: Path, uid: int) -> bool:
    """True when a living process holds the lock beside the socket, in a folder of this user's: nobody speaks for another."""
    try:
        fd = _open_lock(path)
    except OSError:
        return False
    try:
        folder = path.parent.lstat()
        if not stat.S_ISDIR(folder.st_mode) or {folder.st_uid, os.fstat(fd).st_uid} != {uid}:
            return False
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


def _open_lock(control: str | Path) -> int:
    """Raises OSError."""
    return os.open(_lock_path(str(control)), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)


def _lock_path(control: str) -> str:
    return control.removesuffix(".sock") + ".lock"


# ---------------------------------------------------------------- talking


def _connect(control: str) -> socket.socket:
    """Raises OSError."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(_ANSWER_S)
        connection.connect(control)
    except OSError:
        connection.close()
        raise
    return connection


def _lines(connection: socket.socket) -> Iterator[dict[str, Any]]:
    """JSON lines until the other end closes or the time-out of the socket passes. Raises ValueError for any other line."""
    buffer = b""
    while True:
        try:
            data = connection.recv(4096)
        except OSError:
            return
        if not data:
            return
        *lines, buffer = (buffer + data).split(b"\n")
        if len(buffer) > _LINE_BYTES:
            raise ValueError(f"a line of more than {_LINE_BYTES:,} bytes")
        for line in lines:
            try:
                answer = parse_json(line)
            except ValueError:
                answer = None
            if not isinstance(answer, dict):
                raise ValueError(f"not a JSON object: {line[:40]!r}")
            yield answer


def _talk(port: str, command: str) -> Iterator[dict[str, Any]]:
    for control in _candidates(port):
        try:
            connection = _connect(control)
        except OSError as error:
            raise DeviceError(f"{port}: its owner does not answer: {error}") from error
        with connection:
            connection.settimeout(2.0)
            connection.sendall(command.encode() + b"\n")
            try:
                yield from _lines(connection)
            except ValueError as error:
                raise DeviceError(f"{port}: its owner answers nonsense: {error}") from None
        return
    raise DeviceError(f"{port}: nobody owns this port")


def _ask_owner(control: str) -> tuple[int | None, bool]:
    """Asks an owner to stop the device; it has to show life each 200 ms. Returns its pid and whether the device confirmed."""
    pid = _holder(control)
    with contextlib.suppress(OSError, ValueError), _connect(control) as connection:
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        pid = struct.unpack("3i", credentials)[0] or pid
        connection.sendall(b"estop\n")
        for answer in _lines(connection):
            if answer.get("event") == "estop":
                return pid, answer.get("confirmed") is True
    return pid, False


def _holder(control: str) -> int | None:
    """As the lock's file says, which its user can have say anything."""
    try:
        with open(_open_lock(control), "rb") as file:
            return int(file.read(32))
    except (OSError, ValueError):
        return None


def _end(pid: int) -> None:
    """SIGTERM, and SIGKILL when that does not help; returns when the process is gone."""
    if pid == os.getpid():
        raise DeviceError("this very process owns the port and does not answer")
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        give_up = time.monotonic() + _GRACE_S
        while time.monotonic() < give_up:
            if not _alive(pid):
                return
            time.sleep(0.01)


def _alive(pid: int) -> bool:
    """A zombie holds no port."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def _is_of_the_user(control: str, pid: int) -> bool:
    """A process runs as the user of this socket's folder: root ends nobody else's because a file says so."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("Uid:"):
                return int(line.split()[1]) == Path(control).parent.lstat().st_uid
    return False


def _open_and_stop(port: str, baud: int, timeout_s: float) -> None:
    from rtu_edge import runtime
    from rtu_edge.ports import open_port

    give_up = time.monotonic() + timeout_s
    while True:
        try:
            opened = open_port(port, baud)
            break
        except DeviceError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.05)
    with opened, runtime.Link(opened) as link:
        if not link.estop(max(0.2, give_up - time.monotonic())):
            raise DeviceError(f"{port}: the device did not confirm the emergency stop: take its power away")
