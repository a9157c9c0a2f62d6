"""Serial ports: discovery, correct opening, and use by the native loop.

A tty, a pty or a `socket://` URL has a file descriptor that the loop can use directly. `loop://` and `rfc2217://` have
none: two pump threads copy their bytes through a socket pair, and the port is marked as not real-time.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import socket
import struct
import termios
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtu_edge._base.closing import Closing
from rtu_edge._base.errors import DeviceError
from rtu_edge._base.forks import leave_to_the_parent

__all__ = ["Port", "PortInfo", "list_ports", "open_port"]

DEFAULT_BAUD = 1_000_000

# Driver -> (raise DTR?, hint). Linux raises DTR at open anyway; this may reset a board behind a bridge chip.
_DRIVERS: dict[str, tuple[bool, str]] = {
    "cdc_acm": (True, "native USB; sends nothing until DTR is raised; polled every millisecond, about 500 Hz"),
    "ftdi_sio": (False, "FTDI bridge; holds bytes for 16 ms unless low latency is set"),
    "cp210x": (False, "CP210x bridge; DTR resets many boards"),
    "ch341": (False, "CH34x bridge; DTR resets many boards"),
    "ch343": (False, "CH34x bridge; DTR resets many boards"),
    "pl2303": (False, "PL2303 bridge; DTR resets many boards"),
    "pty": (False, "pseudo-terminal; no baud rate, no modem lines"),
}
_UART_HINT = "UART; no modem lines on most boards"
_PUMPED = ("loop://", "rfc2217://", "spy://", "alt://", "hwgrep://")


@dataclass(frozen=True)
class PortInfo:
    """A serial port of this host.

    Args:
        path: the name to use, under /dev/serial/by-id where there is one.
        device: the kernel's name, such as /dev/ttyACM0.
        driver: the kernel driver, or "pty", "uart", "unknown".
        description: manufacturer and product, if the device reports them.
        hint: note about this kind of port.
    """

    path: str
    device: str
    driver: str
    description: str
    hint: str


class Port(Closing):
    """An open serial port; a context manager. Closing is idempotent.

    Args:
        url: the name used to open it.
        serial: the pyserial object.
        driver: the kernel driver.
        notes: unavailable features when opening, in sentences.
        again: opens it again with the same options; None: it cannot be reopened.
    """

    def __init__(
        self, url: str, serial: Any, driver: str, notes: list[str], again: Callable[[], Port] | None = None
    ) -> None:
        self.url = url
        self.serial = serial
        self.driver = driver
        self.notes = notes
        self._again = again
        self.real_time = not url.startswith(_PUMPED)
        self._pump: _Pump | None = None if self.real_time else _Pump(serial)
        self._closed = False
        leave_to_the_parent(self)

    def forked(self) -> None:
        """In a child: closes the port, without an effect on the parent."""
        if not self._closed and "://" not in self.url:
            self.serial.close()
        self._closed = True

    def fileno(self) -> int:
        """A descriptor that carries the port's bytes; valid until close. The native Link duplicates it."""
        if self._closed:
            raise DeviceError(f"{self.url}: the port is closed")
        return self._pump.fileno() if self._pump is not None else int(self.serial.fileno())

    @property
    def gone(self) -> bool:
        """The device is unplugged, or the other end has hung up; not detected through a pump."""
        waiting = select.poll()
        waiting.register(self.fileno(), select.POLLRDHUP)
        return bool(waiting.poll(0))

    @property
    def can_reopen(self) -> bool:
        """The port has a descriptor of its own, which reopen() replaces."""
        return self._again is not None and self.real_time

    def reopen(self) -> None:
        """Open the port again by its name, after the device went away and came back; fileno() is then another one.

        Raises:
            DeviceError: it is not there (yet), or cannot be opened; another attempt may succeed.
        """
        if self._again is None or not self.real_time or self._closed:
            raise DeviceError(f"{self.url}: cannot be opened again")
        with contextlib.suppress(OSError, termios.error):
            self.serial.close()
        found = self._again()
        self.serial, self.driver = found.serial, found.driver

    def close(self) -> None:
        """Release the port."""
        if self._closed:
            return
        self._closed = True
        if self._pump is not None:
            self._pump.close()
        else:
            with contextlib.suppress(OSError, termios.error):
                fcntl.ioctl(self.serial.fileno(), termios.TIOCNXCL)
        with contextlib.suppress(OSError):
            self.serial.close()


def open_port(
    url: str, baud: int = DEFAULT_BAUD, *, dtr: bool | None = None, exclusive: bool = True, sysfs: str = "/sys"
) -> Port:
    """Open a port for one owner.

    Args:
        url: a device's path or any pyserial URL.
        baud: bits per second; ignored if the port has none.
        dtr: raise DTR (True), lower it (False), or decide by the driver (None).
        exclusive: False opens a port that another process holds, if permitted; only for an emergency stop.
        sysfs: the kernel's description of drivers (replaced in tests).

    Returns:
        The open port, with its input cleared of boot noise.

    Raises:
        DeviceError: it does not exist, permission is denied, or another process holds it.
    """
    serial = _pyserial()
    driver = port_driver(url, sysfs)
    local = "://" not in url
    notes: list[str] = []
    try:
        handle = serial.serial_for_url(url, baudrate=baud, timeout=0.05, write_timeout=1.0, do_not_open=True)
        if local:
            handle.exclusive = exclusive
            handle.dtr = _DRIVERS.get(driver, (False, ""))[0] if dtr is None else dtr
            handle.rts = handle.dtr
            _together(handle)
        handle.open()
    except (OSError, ValueError, termios.error) as error:  # pyserial 3.5 passes on termios.error, not an OSError
        raise DeviceError(_reason(url, error)) from error
    try:
        if local:
            _claim(handle, driver, exclusive, notes)
        if url.startswith("socket://"):
            _without_delay(handle)
        with contextlib.suppress(OSError, termios.error):  # the first read detects a lost device
            handle.reset_input_buffer()
    except OSError as error:
        handle.close()
        raise DeviceError(_reason(url, error)) from error
    port = Port(url, handle, driver, notes, lambda: open_port(url, baud, dtr=dtr, exclusive=exclusive, sysfs=sysfs))
    if not port.real_time:
        notes.append(f"{url.partition(':')[0]}:// goes through a pump thread: not real-time")
    return port


def _pyserial() -> Any:
    try:
        import serial
    except ImportError as error:
        raise DeviceError(f"pyserial cannot be imported ({error}): pip install pyserial") from error
    if not hasattr(serial, "serial_for_url"):
        found = getattr(serial, "__file__", None) or ", ".join(getattr(serial, "__path__", ())) or "serial"
        raise DeviceError(
            f"{found}: is imported in place of pyserial, because it is called serial too: rename it; if it is the"
            " package `serial`: pip uninstall serial, then pip install --force-reinstall pyserial"
        )
    return serial


def list_ports(dev: str = "/dev", sysfs: str = "/sys") -> list[PortInfo]:
    """The serial ports of this host, those with a stable name first."""
    stable: dict[str, str] = {}
    by_id = Path(dev, "serial", "by-id")
    if by_id.is_dir():
        for link in sorted(by_id.iterdir()):
            stable.setdefault(os.path.realpath(link), str(link))
    found = []
    for node in sorted(Path(sysfs, "class", "tty").glob("tty*")):
        device = os.path.join(dev, node.name)
        driver = port_driver(device, sysfs)
        if driver == "unknown" or not os.path.exists(device):
            continue
        if driver == "uart" and not _is_wired(node):
            continue
        path = stable.get(os.path.realpath(device), device)
        found.append(PortInfo(path, device, driver, _description(node), _DRIVERS.get(driver, (False, _UART_HINT))[1]))
    return sorted(found, key=lambda info: (info.path == info.device, info.path))


def port_driver(url: str, sysfs: str = "/sys") -> str:
    """The kernel driver behind a port: a name such as "cdc_acm", "uart", "pty", or "unknown"."""
    if "://" in url:
        return "unknown"
    real = os.path.realpath(url)
    if real.startswith("/dev/pts/"):
        return "pty"
    name = os.path.basename(real)
    link = Path(sysfs, "class", "tty", name, "device", "driver")
    driver = os.path.basename(os.path.realpath(link)) if link.exists() else ""
    if driver in _DRIVERS:
        return driver
    return "uart" if driver or name.startswith(("ttyAMA", "ttyTHS")) else "unknown"


def _claim(handle: Any, driver: str, exclusive: bool, notes: list[str]) -> None:
    """Set exclusive mode in addition to pyserial's lock, and low latency if the driver's default is slow.

    A pseudo-terminal stays exclusive after its holder was killed, as long as its other end is open, and an emergency
    stop could not open it. So it has only the lock, which ends with the process.
    """
    fd = handle.fileno()
    if exclusive and driver != "pty":
        try:
            fcntl.ioctl(fd, termios.TIOCEXCL)
        except OSError as error:
            if error.errno != errno.ENOTTY:
                raise
            notes.append("the port cannot be made exclusive (TIOCEXCL)")
    if driver not in ("pty", "cdc_acm", "unknown"):
        try:
            handle.set_low_latency_mode(True)
        except (OSError, ValueError, AttributeError, NotImplementedError):
            if driver == "ftdi_sio":
                notes.append("low latency was refused: the FTDI adapter may hold bytes for 16 ms")


def _together(handle: Any) -> None:
    """Make pyserial set DTR and RTS with one call when it opens the port.

    It lowers DTR first, then RTS: the state between them is the reset of an ESP32 behind a CP210x or CH34x bridge.
    """
    if not all(hasattr(handle, name) for name in ("_update_dtr_state", "_update_rts_state", "_dtr_state")):
        return  # another pyserial: it sets them one after the other

    def both() -> None:
        del handle._update_dtr_state, handle._update_rts_state
        request = termios.TIOCMBIS if handle._dtr_state else termios.TIOCMBIC
        fcntl.ioctl(handle.fd, request, struct.pack("I", termios.TIOCM_DTR | termios.TIOCM_RTS))

    handle._update_dtr_state = lambda: None
    handle._update_rts_state = both


def _without_delay(handle: Any) -> None:
    duplicate = socket.socket(fileno=os.dup(handle.fileno()))
    try:
        duplicate.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    finally:
        duplicate.close()


def _holder(url: str) -> str:
    """The process that holds a port, as far as this user sees it."""
    from rtu_edge.device.holders import device_of, holders

    device = device_of(url) if "://" not in url else None
    found = [str(one) for one in holders(device) if one.pid != os.getpid()] if device is not None else []
    return " and ".join(found) or "another process"


def _stoppable(url: str) -> bool:
    """Whether a process that holds the port answers at its control socket."""
    from rtu_edge.device.lock import owners

    return any(one.speaks for one in owners(url))


def _reason(url: str, error: Exception) -> str:
    number = getattr(error, "errno", None)
    if number == errno.ENOENT:
        return f"{url}: no such port; `rtu-edge ports` lists them"
    if number in (errno.EACCES, errno.EPERM):
        return f"{url}: permission denied; add yourself to the port's group (dialout on Debian) and log in again"
    if number in (errno.EBUSY, errno.EAGAIN):
        # Only an owner that answers can stop a device: of a servo bus, or of another program's port, none does.
        stop = f"; `rtu-edge estop {url}` stops the device" if _stoppable(url) else ""
        return f"{url}: in use by {_holder(url)}; end that process first{stop}"
    detail = error.args[-1] if isinstance(error, termios.error) else error
    return f"{url}: cannot be opened: {detail}"


def _description(node: Path) -> str:
    """Manufacturer and product from the tty's parent USB device."""
    place = Path(os.path.realpath(node / "device"))
    for folder in (place, *place.parents[:3]):
        words = []
        for name in ("manufacturer", "product"):
            with contextlib.suppress(OSError):
                words.append((folder / name).read_text().strip())
        if words:
            return " ".join(words)
    return ""


def _is_wired(node: Path) -> bool:
    """The kernel lists four legacy UARTs that do not exist; they have type 0."""
    try:
        return (node / "type").read_text().strip() != "0"
    except OSError:
        return True


class _Pump:
    """Copies bytes between a pyserial object without a descriptor and a socket pair."""

    def __init__(self, serial: Any) -> None:
        self._serial = serial
        self._inner, self._outer = socket.socketpair()
        self._inner.settimeout(0.1)
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=work, name=f"rtu-edge pump {name}", daemon=True)
            for name, work in (("in", self._receive), ("out", self._send))
        ]
        for thread in self._threads:
            thread.start()

    def fileno(self) -> int:
        return self._outer.fileno()

    def close(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(timeout=2.0)
        self._inner.close()
        self._outer.close()

    def _receive(self) -> None:
        with contextlib.suppress(OSError):
            while not self._stopping.is_set():
                data = self._serial.read(max(1, self._serial.in_waiting))
                while data and not self._stopping.is_set():
                    with contextlib.suppress(TimeoutError):
                        data = data[self._inner.send(data) :]

    def _send(self) -> None:
        with contextlib.suppress(OSError):
            while not self._stopping.is_set():
                try:
                    data = self._inner.recv(4096)
                except TimeoutError:
                    continue
                if not data:
                    return
                self._serial.write(data)
