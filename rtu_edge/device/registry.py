"""Registration of a port's owner: a folder that persists across logins, a lock with a record, a control socket.

Any user can make a registration; rtu_edge.device.lock trusts it only as far as the kernel confirms it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from rtu_edge._base.errors import DeviceError
from rtu_edge._base.forks import leave_to_the_parent
from rtu_edge._base.untrusted import parse_json
from rtu_edge.device.holders import Device, device_of, is_port, process

__all__ = ["PortLock", "Record", "Registration", "absolute", "lock_port", "records", "socket_path"]

# Shared by all users and services of the host: created by tmpfiles.d at boot, or by root's first owner of a port.
_SHARED = Path("/run/rtu-edge")
_TEMPORARY = Path("/tmp")

_KEEP_S = 1.0  # interval at which an owner renews its registration
_TOUCH_S = 600.0  # interval at which it renews the time stamps, against cleaners of temporary files
_RECORD_MAX = 1 << 16  # bytes: three paths, each character up to six of JSON
_RECORDS_MAX = 256  # of a user
_STARTING_S = 0.2  # a reader holds the lock of a record briefly


@dataclass(frozen=True)
class Record:
    """The registration of an owner, unverified.

    Args:
        control: path of its socket.
        uid: the user that wrote it.
        port: the given name of the port, links not resolved.
        device: its device; None for a pyserial URL.
        path: the device's node, links resolved.
        config: path of its configuration, links resolved, or "".
        named: the given path of the configuration, links not resolved.
    """

    control: str
    uid: int
    port: str
    device: Device | None
    path: str
    config: str
    named: str = ""


def socket_path(port: str, gone: bool = False) -> str:
    """Path of the control socket of a port, the same for each name (symbolic link) of it; gone: by its name alone.

    Args:
        port: a device's path, or a pyserial URL.
    """
    real = f"{absolute(port)} gone" if gone else port if "://" in port else os.path.realpath(port)
    return str(_own_folder() / (hashlib.sha256(real.encode()).hexdigest()[:16] + ".sock"))


def absolute(port: str) -> str:
    """The registered name of a port or file: links are not resolved, so that it is the name that the user gave."""
    return port if not port or "://" in port else os.path.abspath(port)


class PortLock:
    """The exclusive lock of a port's owner; held until release() or the end of the process.

    Args:
        control: the path of the control socket; the lock is next to it.
        record: the contents of the lock file.

    Raises:
        DeviceError: another process holds it; the message names the process.
    """

    def __init__(self, control: str, record: dict[str, object] | None = None) -> None:
        self._path = _lock_path(control)
        self._fd = self._take()
        os.fchmod(self._fd, 0o644)  # regardless of the umask: operators with another user id read it
        self.write(record)
        leave_to_the_parent(self)

    def write(self, record: dict[str, object] | None) -> None:
        """Replace the contents of the lock file."""
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, json.dumps({"pid": os.getpid(), **(record or {})}).encode() + b"\n", 0)

    def _take(self) -> int:
        give_up = time.monotonic() + _STARTING_S
        while True:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _same(self._path, fd):
                    return fd
                os.close(fd)  # it was removed by the previous owner
                continue
            except BlockingIOError:
                pid = _parse(os.pread(fd, _RECORD_MAX, 0)).get("pid", "?")
                holder = (process(pid) if isinstance(pid, int) else None) or f"process {pid}"
                os.close(fd)
                if time.monotonic() > give_up:
                    raise DeviceError(
                        f"the port is owned by {holder}; end it first; `rtu-edge estop` stops its device"
                    ) from None
                time.sleep(0.01)
            except OSError:
                os.close(fd)
                raise

    @property
    def in_place(self) -> bool:
        """False after its file was removed or replaced."""
        return _same(self._path, self._fd)

    def forked(self) -> None:
        """In a child: only the parent holds the lock, and it ends with the parent."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def release(self) -> None:
        """Release the port. Idempotent."""
        if self._fd >= 0 and self.in_place:
            with contextlib.suppress(OSError):
                os.unlink(self._path)
        self.forked()

    def __enter__(self) -> PortLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def lock_port(port: str) -> PortLock:
    """Own a port without a control socket, before it is opened: an emergency stop ends this process.

    Raises:
        DeviceError: another process owns it.
    """
    return PortLock(socket_path(port), _record(port, port if "://" not in port else -1, ""))


class Registration:
    """A registered owner, while it is open: its lock, its socket, and a thread that restores them.

    Args:
        port: the given name of the port, or "".
        fd: its descriptor.
        config: path of the running configuration, or "".
        control: path of the socket, or None for the default of this user.
        serve: starts to serve a socket at a path, replacing the previous one.

    Raises:
        DeviceError: another process owns the port.
        OSError: no folder can be written.
    """

    def __init__(self, port: str, fd: int, config: str, control: str | None, serve: Callable[[str], None]) -> None:
        self._record = _record(port, fd, config)
        self._given = (port, config, control)
        self._changing = threading.RLock()
        self._serve = serve
        self._lock: PortLock | None = None
        self._control = ""
        self._closed = threading.Event()
        self._releasing = threading.Lock()
        self._register(control or socket_path(port))
        self._thread = threading.Thread(target=self._keep, name="rtu-edge keeper", daemon=True)
        self._thread.start()

    def moved(self, fd: int = -1) -> None:
        """Register the port at another node, or, without `fd`, at none while it is gone; raises as the class."""
        port, config, given = self._given
        with self._changing:
            self._record, control = _record(port, fd, config), given or socket_path(port, gone=fd < 0)
            if control != self._control or self._lock is None:
                self._register(control)
            else:
                self._lock.write(self._record)

    def leave(self) -> None:
        """Stop renewing; the caller then closes the socket. Idempotent."""
        self._closed.set()
        self._thread.join()

    def close(self) -> None:
        """Release the port. Idempotent, also from several threads."""
        self.leave()
        with self._releasing:
            if self._lock is not None:
                self._lock.release()

    def forked(self) -> None:
        """In a child: drops the registration without an effect on the parent's."""
        self._closed.set()
        if self._lock is not None:
            self._lock.forked()

    def _register(self, control: str) -> None:
        lock = PortLock(control, self._record)
        try:
            self._serve(control)
            self._socket = os.lstat(control)
        except BaseException:
            lock.release()
            raise
        if self._lock is not None:
            self._lock.release()
        self._lock, self._control = lock, control

    def _keep(self) -> None:
        touched_s = time.monotonic()
        while not self._closed.wait(_KEEP_S):
            with contextlib.suppress(OSError, DeviceError), self._changing:
                if not self._in_place():
                    self._register(self._place())
                elif time.monotonic() - touched_s > _TOUCH_S:
                    touched_s = time.monotonic()
                    for path in (self._control, _lock_path(self._control), os.path.dirname(self._control)):
                        os.utime(path)

    def _in_place(self) -> bool:
        if self._lock is None or not self._lock.in_place:
            return False
        with contextlib.suppress(OSError):
            return os.path.samestat(os.lstat(self._control), self._socket)
        return False

    def _place(self) -> str:
        folder = os.path.dirname(self._control)
        with contextlib.suppress(OSError):  # the same place again, if available
            _make(Path(folder))
        if _ours(Path(folder)):
            return self._control
        return str(_own_folder() / os.path.basename(self._control))


def records() -> Iterator[Record]:
    """The registrations of running owners: this user's first, then root's, then others'."""
    mine = {os.geteuid(): 0, 0: 1}
    folders = [(mine.get(uid, 2), uid, folder) for uid, folder in _folders()]
    for _, uid, folder in sorted(folders):
        with contextlib.suppress(OSError):
            for lock in sorted(folder.glob("*.lock"))[:_RECORDS_MAX]:
                record = _read(lock, uid)
                if record is not None:
                    yield record


# ---------------------------------------------------------------- folders


def _own_folder() -> Path:
    """The folder of this user, created if missing. Not $XDG_RUNTIME_DIR: it is removed at logout, and differs between a
    service and a login shell.

    Raises:
        OSError: none can be created.
    """
    uid = os.geteuid()
    given = Path(os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0])  # a service's own, systemd.exec(5)
    if given.parent == _SHARED and _ours(given):
        return given
    bases = [(_SHARED, str(uid)), (_TEMPORARY, f"rtu-edge-{uid}")]
    if uid == 0:
        with contextlib.suppress(OSError):  # FileExistsError too
            _SHARED.mkdir()
            _SHARED.chmod(0o1777)
    for base, name in bases:
        with contextlib.suppress(OSError):
            _make(base / name)
        if _ours(base / name):
            return base / name
        with contextlib.suppress(OSError):
            if os.access(base, os.W_OK):  # another user has taken the name
                mine = [folder for folder in sorted(base.glob(f"{name}-*")) if _ours(folder)]
                folder = mine[0] if mine else Path(tempfile.mkdtemp(prefix=f"{name}-", dir=base))
                folder.chmod(0o755)
                return folder
    raise OSError(f"{_SHARED} and {_TEMPORARY}: no folder for a control socket can be made in either")


def _make(folder: Path) -> None:
    """Raises OSError."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o755)
        folder.chmod(0o755)  # regardless of the umask


def _ours(folder: Path) -> bool:
    """A folder of this user's that others may search and only this user may write."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        return False
    if found.st_mode & 0o055 != 0o055:  # of a version with stricter permissions
        with contextlib.suppress(OSError):
            folder.chmod(0o755)
    return os.access(folder, os.W_OK | os.X_OK)


def _folders() -> Iterator[tuple[int, Path]]:
    """Folders of registrations and their users; folders that others may write to are ignored."""
    for base, pattern in ((_SHARED, re.compile(r".+")), (_TEMPORARY, re.compile(r"rtu-edge-\d+(-.*)?"))):
        try:
            entries = list(os.scandir(base))
        except OSError:
            continue
        for entry in entries:
            with contextlib.suppress(OSError):
                if pattern.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                    found = entry.stat(follow_symlinks=False)
                    if not found.st_mode & 0o022:
                        yield found.st_uid, Path(entry.path)


# ---------------------------------------------------------------- records


def _record(port: str, place: str | int, config: str) -> dict[str, object]:
    """The record of an owner; place: its descriptor, or the device's path."""
    device = device_of(place)
    path = os.path.realpath(f"/proc/self/fd/{place}" if isinstance(place, int) else place) if device else port
    record: dict[str, object] = {
        "port": absolute(port),
        "path": path,
        "config": os.path.realpath(config) if config else "",
        "named": absolute(config),
    }
    if device is not None:
        record["device"] = [device.number, device.instance, *device.node]
    return record


def _lock_path(control: str) -> str:
    return control.removesuffix(".sock") + ".lock"


def _read(lock: Path, uid: int) -> Record | None:
    """The record of a lock that is held and was written by the folder's user."""
    try:
        fd = os.open(lock, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != uid:
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None  # its owner has ended
        except BlockingIOError:
            said = _parse(os.pread(fd, _RECORD_MAX, 0))
    except OSError:
        return None
    finally:
        os.close(fd)
    port, path, config, named = (str(said.get(name, "")) for name in ("port", "path", "config", "named"))
    device = said.get("device")
    numbers = isinstance(device, list) and len(device) == 4 and all(isinstance(n, int) for n in device)
    known = Device(device[0], device[1], (device[2], device[3])) if isinstance(device, list) and numbers else None
    if device is not None and (known is None or not is_port(known.number)):
        return None  # not a port: its holders are unrelated to any plant
    return Record(str(lock.with_suffix(".sock")), uid, port, known, path, config, named)


def _same(path: str, fd: int) -> bool:
    """Whether an open file is the one at a path."""
    try:
        return os.path.samestat(os.lstat(path), os.fstat(fd))
    except OSError:
        return False


def _parse(text: bytes) -> dict[str, object]:
    try:
        said = parse_json(text)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
