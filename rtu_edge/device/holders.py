"""Which processes hold a device, according to the kernel: the basis for the decisions of an emergency stop.

Any user can create a name, a file or a socket. An open descriptor of a device and an exclusive lock on its node require
access to the device itself.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = [
    "Device",
    "Process",
    "device_of",
    "end",
    "holders",
    "is_port",
    "is_terminal",
    "lockers",
    "process",
    "served_by",
    "speaks_for",
]

_PTMX = os.makedev(5, 2)
_PTS_MAJORS = range(136, 144)
_SERIAL_MAJORS = (4, 166, 188, 204, 216)  # ttyS, ttyACM, ttyUSB, ttyAMA, rfcomm: if the kernel hides its list


@dataclass(frozen=True)
class Device:
    """A character device, the same for each name and for each node of it.

    Args:
        number: its device number.
        instance: device number of the devpts that a pseudo-terminal belongs to, since each devpts counts from 0; else
            0.
        node: device number of the file system and inode of the node; locks are on that node.
    """

    number: int
    instance: int
    node: tuple[int, int] = field(compare=False)

    @property
    def pty(self) -> bool:
        """The device is a pseudo-terminal."""
        return os.major(self.number) in _PTS_MAJORS


@dataclass(frozen=True)
class Process:
    """A process that holds a device.

    Args:
        pid: its number.
        uid: its user.
        name: its name, as `ps -o comm` prints it.
        writes: it can write to the device.
    """

    pid: int
    uid: int
    name: str
    writes: bool = True

    def __str__(self) -> str:
        try:
            user = pwd.getpwuid(self.uid).pw_name
        except KeyError:
            user = str(self.uid)
        return f"process {self.pid} ({self.name}) of user {user}"


def device_of(place: str | int) -> Device | None:
    """The device of a path or a descriptor; None if it is not a serial port or pseudo-terminal."""
    try:
        found = _device(os.stat(place))
    except (OSError, ValueError):
        return None
    return found if found is not None and is_port(found.number) else None


def is_port(number: int) -> bool:
    """Whether a device number is one of a serial port, or of a pseudo-terminal's near end, by the kernel's list of
    drivers.

    Checked for each device whose holders may be ended, regardless of who names it: every process of the host holds
    /dev/null.
    """
    try:
        major, minor = os.major(number), os.minor(number)
    except (OverflowError, ValueError):
        return False
    if major in _PTS_MAJORS:
        return True
    try:
        with open("/proc/tty/drivers", encoding="ascii", errors="replace") as file:
            drivers = [line.split()[-3:] for line in file]
    except OSError:
        drivers = [[str(one), "64-255" if one == 4 else "0-255", "serial"] for one in _SERIAL_MAJORS]
    for driver in drivers:
        with contextlib.suppress(ValueError):
            one, minors, kind = driver
            first, _, last = minors.partition("-")
            if kind.startswith("serial") and int(one) == major and int(first) <= minor <= int(last or first):
                return True
    return False


def _device(found: os.stat_result) -> Device | None:
    if not stat.S_ISCHR(found.st_mode):
        return None
    pty = os.major(found.st_rdev) in _PTS_MAJORS
    return Device(found.st_rdev, found.st_dev if pty else 0, (found.st_dev, found.st_ino))


def status_of(pid: int) -> tuple[str, list[bytes]]:
    """Name of a process, and the fields of /proc/PID/stat after it: state, parent, group, session, terminal and so on.

    Raises:
        OSError: there is no such process.
    """
    with open(f"/proc/{pid}/stat", "rb") as file:
        head, _, tail = file.read().rpartition(b")")  # a name may contain brackets
    return head.partition(b"(")[2].decode(errors="replace"), tail.split()


def process(pid: int, *, writes: bool = True) -> Process | None:
    """Name and user of a process; None if it has ended or is a zombie, which holds nothing."""
    try:
        name, fields = status_of(pid)
        uid = os.stat(f"/proc/{pid}").st_uid
        with open(f"/proc/{pid}/status", "rb") as file:  # the folder belongs to root if a process is not dumpable
            uid = next((int(line.split()[2]) for line in file if line.startswith(b"Uid:")), uid)
    except (OSError, ValueError, IndexError):
        return None
    if fields[:1] == [b"Z"]:
        return None
    return Process(pid, uid, name, writes)


def holders(device: Device) -> list[Process]:
    """The processes that hold a device, as visible to this user: root sees all, others their own and each that holds
    the lock of the node. Of a pseudo-terminal the process at its other end, which is the device, is left out.
    """
    found: dict[int, bool] = {}
    for pid in _pids():
        writes, far_end = _held(pid, device)
        if writes is not None and not far_end:
            found[pid] = writes
    for pid in lockers(device):
        if _held(pid, device)[1] is False:
            found.setdefault(pid, True)
    known = (process(pid, writes=writes) for pid, writes in found.items())
    return [one for one in known if one is not None]


def lockers(device: Device) -> set[int]:
    """The processes that hold the exclusive lock (flock) of the device's node: at most one that follows this
    convention.
    """
    major, minor = os.major(device.node[0]), os.minor(device.node[0])
    wanted = f"{major:02x}:{minor:02x}:{device.node[1]}"
    found = set()
    with contextlib.suppress(OSError), open("/proc/locks", encoding="ascii", errors="replace") as file:
        for line in file:
            words = line.split()
            if len(words) >= 6 and words[1] == "FLOCK" and words[3] == "WRITE" and words[5] == wanted:
                with contextlib.suppress(ValueError):
                    found.add(int(words[4]))
    return {pid for pid in found if pid > 0}


def speaks_for(pid: int, device: Device) -> bool:
    """Whether a process's report about a device is trusted: it holds the lock of the device, or, if no process does,
    the device itself."""
    locked = lockers(device)
    return pid in locked if locked else _held(pid, device)[0] is not None


_BUS_SERVER = "tl_bus_server"


def served_by(pid: int, bus: Device) -> str:
    """Path of the pseudo-terminal at which a process serves the servo bus that it holds; "" if it is no such server.

    It holds the bus, so it could do anything to the servos: that it is the server is taken from its program's name.
    """
    folder = f"/proc/{pid}/fd"
    try:
        if os.path.basename(os.readlink(f"/proc/{pid}/exe")).split(" ")[0] != _BUS_SERVER:
            return ""
        targets = [os.readlink(f"{folder}/{name}") for name in os.listdir(folder)]
    except OSError:
        return ""
    ends = [one for one in targets if one.startswith("/dev/pts/")]
    return next((one for one in ends if (found := device_of(one)) is not None and found != bus), "")


def is_terminal(one: Process, device: Device) -> bool:
    """Whether a device is the controlling terminal of a session that the process leads: of a shell, for instance."""
    try:
        _, fields = status_of(one.pid)
        session, terminal = int(fields[3]), int(fields[4])
    except (OSError, ValueError, IndexError):
        return False
    minor = terminal & 0xFF | terminal >> 12 & 0xFFF00
    return session == one.pid and os.makedev(terminal >> 8 & 0xFFF, minor) == device.number


def end(ones: list[Process], term_s: float, kill_s: float) -> list[Process]:
    """SIGTERM to all, then SIGKILL; returns those that this user may not end, once the others have ended or the time
    has elapsed.
    """
    blocked: list[Process] = []
    with contextlib.ExitStack() as stack:
        handles = {one.pid: _handle(one, stack) for one in ones}
        for number, seconds in ((signal.SIGTERM, term_s), (signal.SIGKILL, kill_s)):
            for one in ones:
                try:
                    _send(one, handles[one.pid], number)
                except ProcessLookupError:
                    continue
                except PermissionError:
                    blocked.append(one)
            ones = [one for one in ones if one not in blocked]
            give_up = time.monotonic() + seconds
            while ones and time.monotonic() < give_up:
                time.sleep(0.01)
                ones = [one for one in ones if process(one.pid) is not None]
    return blocked


def _handle(one: Process, stack: contextlib.ExitStack) -> int:
    """A pidfd of the process, since its pid may be reused by the time of a signal; -1 if not available."""
    try:
        handle = os.pidfd_open(one.pid)
    except OSError:  # ended, an old kernel, or a container's system call filter
        return -1
    stack.callback(os.close, handle)
    return handle


def _send(one: Process, handle: int, number: signal.Signals) -> None:
    """Raises ProcessLookupError, PermissionError."""
    if handle >= 0:
        signal.pidfd_send_signal(handle, number)
    elif process(one.pid) is not None:
        os.kill(one.pid, number)


def _pids() -> Iterator[int]:
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc"):
            if name.isdigit():
                yield int(name)


def _held(pid: int, device: Device) -> tuple[bool | None, bool]:
    """Whether a process holds the device: None, or whether it can write to it; and whether it is a pty's other end."""
    writes: bool | None = None
    folder = f"/proc/{pid}/fd"
    try:
        names = os.listdir(folder)
    except OSError:
        return None, False
    for name in names:
        try:
            target = os.readlink(f"{folder}/{name}")
            # Only possible devices are examined further: stat() of a file on a lost server never returns.
            if not target.startswith("/dev/") and not os.path.basename(target).startswith("tty"):
                continue
            found = os.stat(f"{folder}/{name}")
            if found.st_rdev == _PTMX and device.pty and _index(pid, name) == _pts_index(device.number):
                return writes, True
            if _device(found) == device:
                writes = bool(writes) or _flags(pid, name) & os.O_ACCMODE != os.O_RDONLY
        except OSError:
            continue
    return writes, False


def _pts_index(number: int) -> int:
    return (os.major(number) - _PTS_MAJORS[0]) * 256 + os.minor(number)


def _info(pid: int, fd: str, key: str) -> str:
    """Raises OSError."""
    with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii", errors="replace") as file:
        return next((line.partition(":")[2].strip() for line in file if line.startswith(key + ":")), "")


def _index(pid: int, fd: str) -> int:
    text = _info(pid, fd, "tty-index")
    return int(text) if text.isdigit() else -1


def _flags(pid: int, fd: str) -> int:
    try:
        return int(_info(pid, fd, "flags"), 8)
    except ValueError:
        return os.O_RDWR
