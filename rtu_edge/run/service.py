"""A run as a system service: systemd and udev files, the watchdog, and an owner that waits for arming.

The service connects, completes the handshake and waits, disarmed. `rtu-edge arm` sends it the number in its status;
after the run, or after a stop, it waits again. The watchdog is fed only while the loop iterates (or, disarmed, while it
waits): systemd ends a process with a hanging loop, and the device then goes safe by its own clock. While no loop runs
and files are written, which may take seconds on a slow card, a thread feeds it: Watchdog.while_writing().
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rtu_edge._base.errors import ConfigError, SafetyStop
from rtu_edge._base.strict import quoted

if TYPE_CHECKING:
    from rtu_edge.loop import Link

__all__ = ["Part", "Watchdog", "apply", "notify", "parts", "wait_until_armed"]

_WATCHDOG_S = 2

# Maximum duration of file operations before they count as hung, s.
_WRITING_S = 60.0
# Time that each message requests beyond TimeoutStopSec, s (EXTEND_TIMEOUT_USEC, sd_notify(3)).
_EXTENSION_S = 5.0
# Timeout of a repeated message for a busy manager, s.
_BUSY_S = 0.1

# Drivers of serial ports, by their names in /proc/devices.
_TTYS = ("ttyACM", "ttyUSB", "ttyAMA", "ttyS", "ttyTHS", "pts")

# Characters that udev keeps in a name, and that are no pattern in a rule.
_SAFE = r"([A-Za-z0-9#+.:=@_-]+)"
_BY_ID = re.compile(rf"serial/by-id/usb-{_SAFE}-if([0-9a-f]{{2}})(?:-port[0-9]+)?", re.ASCII)

# Valid names for a unit, a file in /etc, a folder in /var/lib and a link in /dev.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}", re.ASCII)
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}\$?", re.ASCII)
_RULES = {
    "--unit": "1 to 200 letters, digits, '-', '_' and '.', and begin with a letter or digit",
    "--user": "1 to 32 letters, digits, '-', '_' and '.', and begin with a letter, digit or '_'",
}


@dataclass(frozen=True)
class Part:
    """A file of the service: path, contents, and the command to run after writing it."""

    path: Path
    text: str
    then: str


def _unit(config: str | os.PathLike[str], user: str, name: str, port: str, folder: str) -> str:
    """Return the text of the systemd unit; arguments as of parts()."""
    program = Path(sys.executable).with_name("rtu-edge")
    command = f"{_word(program)} serve {_word(os.path.abspath(config))}"
    read = [os.path.abspath(config), str(program), os.path.realpath(sys.executable), sys.base_prefix]
    return f"""\
[Unit]
Description=rtu_edge: a learner in a control loop; starts disarmed
Documentation=https://pypi.org/project/rtu-edge
After=systemd-udevd.service

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
User={user}
SupplementaryGroups=dialout
WatchdogSec={_WATCHDOG_S}
WatchdogSignal=SIGKILL
Restart=on-failure
RestartSec=2
# 0 ok; 2 usage and 4 safety stop need a person.
RestartPreventExitStatus=2 4
KillSignal=SIGINT
TimeoutStopSec=10
LimitRTPRIO=60
LimitMEMLOCK=infinity
StateDirectory={name}
WorkingDirectory=%S/{name}
# Where rtu-edge estop finds it; not /tmp, which is private below.
RuntimeDirectory=rtu-edge/{name}
RuntimeDirectoryMode=0755
{_sandbox(port, folder, read)}
[Install]
WantedBy=multi-user.target
"""


def parts(
    config: str | os.PathLike[str], user: str, name: str = "rtu-edge", *, port: str = "", folder: str = "runs"
) -> list[Part]:
    """The unit, the udev rule, the folder for control sockets and the limits file, not written yet.

    Args:
        config: the TOML file that the service runs.
        user: its user. name: of the service, and of the device's stable name under /dev.
        port: the device's path, or a pyserial URL, as in the configuration. folder: of its runs, as in the
            configuration.

    Raises:
        ConfigError: an invalid name for a unit or a user, or a path that a unit cannot contain.
    """
    for option, value, rule in (("--unit", name, _NAME), ("--user", user, _USER)):
        if not rule.fullmatch(value):
            raise ConfigError(f"{option} = {quoted(value)}: must be {_RULES[option]}")
    unit = _unit(config, user, name, port, folder)
    shared = """\
# Control sockets, by which rtu-edge estop finds the owner of a port: any user may register one, but only a holder of
# the device is trusted.
d /run/rtu-edge 1777 root root -
# Where there is no /run/rtu-edge: not to be cleaned.
x /tmp/rtu-edge-*
"""
    limits = f"""\
# Real-time priority and locked memory for {user} on a terminal; the service has its own limits in its unit.
{user} - rtprio 60
{user} - memlock unlimited
"""
    return [
        Part(Path(f"/etc/systemd/system/{name}.service"), unit, f"systemctl daemon-reload && systemctl enable {name}"),
        Part(
            Path(f"/etc/udev/rules.d/70-{name}.rules"),
            _rule(port, name),
            "udevadm control --reload && udevadm trigger",
        ),
        Part(Path("/etc/tmpfiles.d/rtu-edge.conf"), shared, "systemd-tmpfiles --create /etc/tmpfiles.d/rtu-edge.conf"),
        Part(Path(f"/etc/security/limits.d/{name}.conf"), limits, "log in again"),
    ]


def _sandbox(port: str, folder: str, read: list[str]) -> str:
    """Restrictions of the service, without access to its device, files and socket (systemd.exec(5))."""
    remote = "://" in port
    homes = ("/home", "/root", "/run/user")
    lines = [
        "# Realtime priority is needed, and the device below; PrivateUsers= would hide from it who asks for a stop.",
        "RestrictRealtime=no",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=",
        "AmbientCapabilities=",
        "UMask=0027",
        "ProtectSystem=strict",
        f"ProtectHome={'read-only' if any(path.startswith(homes) for path in [*read, folder]) else 'yes'}",
        "PrivateTmp=yes",
        "PrivateIPC=yes",
        f"PrivateNetwork={'no' if remote else 'yes'}",
        f"RestrictAddressFamilies=AF_UNIX{' AF_INET AF_INET6' if remote else ''}",
        *([] if remote else ["IPAddressDeny=any"]),
        "DevicePolicy=closed",
        *([] if remote else [f"DeviceAllow=char-{kind} rw" for kind in _TTYS]),
        "ProtectClock=yes",
        "ProtectControlGroups=yes",
        "ProtectHostname=yes",
        "ProtectKernelLogs=yes",
        "ProtectKernelModules=yes",
        "ProtectKernelTunables=yes",
        "ProtectProc=invisible",
        "RemoveIPC=yes",
        "RestrictNamespaces=yes",
        "RestrictSUIDSGID=yes",
        "LockPersonality=yes",
        "MemoryDenyWriteExecute=yes",
        "SystemCallArchitectures=native",
        "SystemCallErrorNumber=EPERM",
        "SystemCallFilter=@system-service",
        "SystemCallFilter=~@privileged",
    ]
    if os.path.isabs(folder):
        lines.append(f"# run.folder: it has to be there before the service starts.\nReadWritePaths=-{_word(folder)}")
    return "".join(line + "\n" for line in lines)


def _rule(port: str, name: str, dev: str = "/dev") -> str:
    """The udev rule for the device of a configuration only."""
    return f"""\
# The device of the service {name}: for the group dialout, without a modem manager that talks to it, and a stable name.
ACTION=="remove", GOTO="rtu_edge_end"
SUBSYSTEM!="tty", GOTO="rtu_edge_end"
{_match(port, name, dev)}, GOTO="rtu_edge_found"
GOTO="rtu_edge_end"
LABEL="rtu_edge_found"
ENV{{ID_MM_DEVICE_IGNORE}}="1", ENV{{ID_MM_PORT_IGNORE}}="1", GROUP="dialout", MODE="0660"
SUBSYSTEMS=="usb", ENV{{ID_SERIAL_SHORT}}=="?*", SYMLINK+="{name}-$env{{ID_SERIAL_SHORT}}"
# FTDI: hand bytes over after 1 ms and not after 16.
DRIVERS=="ftdi_sio", ATTR{{device/latency_timer}}="1"
LABEL="rtu_edge_end"
"""


def _match(port: str, name: str, dev: str) -> str:
    """The key of a port in udev: the identity in its persistent name, if it has one, or the kernel's name."""
    by_id = Path(dev, "serial", "by-id")
    links = [port] if port else []
    if by_id.is_dir():  # a current kernel name has the identity of the connected board
        links += [str(link) for link in sorted(by_id.iterdir()) if os.path.realpath(link) == os.path.realpath(port)]
    for link in links:
        if found := _BY_ID.fullmatch(os.path.relpath(link, dev)):
            return f'ENV{{ID_BUS}}=="usb", ENV{{ID_SERIAL}}=="{found[1]}", ENV{{ID_USB_INTERFACE_NUM}}=="{found[2]}"'
        if found := re.fullmatch(re.escape(name) + "-" + _SAFE, os.path.relpath(link, dev)):
            return f'ENV{{ID_BUS}}=="usb", ENV{{ID_SERIAL_SHORT}}=="{found[1]}"'
    kernel = os.path.basename(port)
    return f'KERNEL=="{kernel if re.fullmatch(_SAFE, kernel) else ""}"'


def _word(path: str | os.PathLike[str]) -> str:
    """A path as one word of a command line in a unit: no specifier, no variable (systemd.service(5),
    systemd.syntax(7)).
    """
    text = os.fspath(path)
    if not text.isprintable():
        raise ConfigError(f"{text!r}: must be a path of printable characters, as required in a unit")
    if re.fullmatch(r"[\w/.:@+,=-]+", text):
        return text
    return '"' + text.replace("\\", r"\\").replace('"', r"\"").replace("%", "%%").replace("$", "$$") + '"'


def apply(found: list[Part], root: Path) -> list[Path]:
    """Write the files below a root folder; returns the paths.

    Raises:
        ConfigError: the root is "/" and the user is not root, or a file cannot be written.
    """
    if root == Path("/") and os.geteuid() != 0:
        raise ConfigError("--apply: only root may write below /; `sudo rtu-edge service ... --apply`, or give --root")
    written = []
    for part in found:
        path = root / part.path.relative_to("/")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(path.name + ".tmp")
            temporary.write_text(part.text, encoding="utf-8")
            temporary.chmod(0o644)
            temporary.replace(path)
        except OSError as error:
            raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error
        written.append(path)
    return written


# ---------------------------------------------------------------- systemd's protocol


def notify(state: str, wait_s: float = 1.0) -> bool:
    """Notify the service manager, for example with `READY=1` (sd_notify(3)); False if there is none.

    Args:
        wait_s: timeout for a busy manager, s; then the message is dropped.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
        connection.settimeout(wait_s)
        try:
            connection.connect("\0" + address[1:] if address[0] == "@" else address)
            connection.sendall(state.encode())
        except OSError:
            return False
    return True


class Watchdog:
    """Feeds systemd's watchdog if the loop has iterated since the last call; at most four times per period.

    Args:
        link: the link of the loops.
    """

    def __init__(self, link: Link) -> None:
        wanted = os.environ.get("WATCHDOG_USEC", "")
        for_us = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._every_s = int(wanted) / 4e6 if wanted.isdigit() and for_us else 0.0
        self._link = link
        self._turns = link.turns
        self._fed_s = 0.0
        self._extended_s = 0.0

    def look(self) -> bool:
        """Feed it if the loop has iterated, or none runs; returns whether it was fed."""
        now_s, turns = time.monotonic(), self._link.turns
        if not self._every_s or now_s - self._fed_s < self._every_s:
            return False
        if self._link.running and turns == self._turns:
            return False
        self._turns, self._fed_s = turns, now_s
        return notify("WATCHDOG=1", _BUSY_S)

    @contextmanager
    def while_writing(self) -> Iterator[None]:
        """While files are written, feed the watchdog from a thread, and extend systemd's stop timeout.

        Only between loops: look() feeds for a running one. For at most a minute; then the disk counts as hung.
        """
        if not os.environ.get("NOTIFY_SOCKET"):
            yield
            return
        over = threading.Event()
        thread = threading.Thread(target=self._feed, args=(over,), name="rtu-watchdog", daemon=True)
        self._look_idle()
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _feed(self, over: threading.Event) -> None:
        every_s = self._every_s or 1.0
        give_up_s = time.monotonic() + _WRITING_S
        while not over.wait(every_s / 2) and time.monotonic() < give_up_s:
            if self._link.running:
                give_up_s = time.monotonic() + _WRITING_S
            else:
                self._look_idle()

    def _look_idle(self) -> None:
        self.look()
        if time.monotonic() - self._extended_s >= _EXTENSION_S / 5:
            self._extended_s = time.monotonic()
            notify(f"EXTEND_TIMEOUT_USEC={int(_EXTENSION_S * 1e6)}", _BUSY_S)


def wait_until_armed(link: Link, watchdog: Watchdog, leave: Callable[[], bool], others: Sequence[Link] = ()) -> bool:
    """Wait, disarmed, for the command to arm; False if `leave` returns True first.

    Uses a new number each time: a number from before a stop is invalid afterwards. An emergency stop ends the wait like
    a run: the port is free for `rtu-edge clear`.

    Raises:
        LinkError: the device has restarted, or is gone.
        SafetyStop: an emergency stop was requested.
    """
    from rtu_edge.loop.link import ATTEND_S

    token, before, stops = (
        1000 + secrets.randbelow(9000),
        link.arm_requests,
        sum(each.estop_requests for each in (link, *others)),
    )
    link.wait_to_arm(token)
    notify(f"STATUS=disarmed: waits for rtu-edge arm ({token})")
    try:
        while link.arm_requests == before:
            if sum(each.estop_requests for each in (link, *others)) != stops:
                raise SafetyStop("estop: emergency stop while waiting to be armed")
            if leave():
                return False
            for each in (link, *others):
                each.attend()
            watchdog.look()
            time.sleep(ATTEND_S)
    finally:
        link.wait_to_arm(0)
    return True
