"""Checks of serial ports: consoles, permissions, other programs that use them, adapters that delay bytes."""

from __future__ import annotations

import os
import re
import shlex
import stat
from pathlib import Path

from rtu_edge._base.untrusted import clean
from rtu_edge.device.ports import PortInfo, list_ports
from rtu_edge.tools.doctor.finding import Finding, note, ok, warn
from rtu_edge.tools.doctor.host import Host
from rtu_edge.tools.doctor.system import LOGIN, boot_parameter

__all__ = ["latency_timers", "modem_manager", "permission", "port_users", "uart_console"]

_UART = r"(?:tty(?:AMA|S|THS|TCU|mxc|PS)|serial)\d+"
_GROUP = "dialout"
_USB_LATENCY_MS = 1


def uart_console(host: Host) -> Finding:
    """Kernel messages or a login on a UART."""
    uarts = re.findall(rf"\bconsole=({_UART})\b", host.need("/proc/cmdline"))
    logins = [
        found[1]
        for _, name, line in host.processes()
        if name in ("agetty", "getty", "login") and (found := re.search(rf"\b({_UART})\b", line))
    ]
    if not uarts and not logins:
        return ok("none")
    shown = [f"kernel messages on {name}" for name in dict.fromkeys(uarts)]
    shown += [f"login on {name}" for name in dict.fromkeys(logins)]
    commands = [f"sudo systemctl disable --now serial-getty@{name}.service" for name in dict.fromkeys(logins)]
    if logins and host.jetson() is not None:
        commands = ["sudo systemctl disable --now nvgetty"]
    if uarts:  # the firmware of a Raspberry Pi replaces serial0 by the name of the UART
        names = "|".join(dict.fromkeys([*uarts, "serial0"] if host.model().startswith("Raspberry Pi") else uarts))
        commands += boot_parameter(host, remove=rf"console=({names})[^ \"]*")
    # A PC has its devices on USB; a board often has one on the UART.
    return (warn if host.model() else note)(", ".join(shown), *commands)


def permission(host: Host) -> Finding:
    """Whether this user may open each serial port."""
    uid = int((host.status("Uid").split() or [""])[-1])
    groups = {int(word) for line in ("Gid", "Groups") for word in host.status(line).split()}
    known = _groups(host)
    refused = [port for port in _ports(host) if not _may_open(host, Path(port.device), uid, groups)]
    if refused:
        number = os.stat(refused[0].device).st_gid
        group = next((name for name, gid in known.items() if gid == number), _GROUP)
        shown = ", ".join(clean(port.device) for port in refused)
        return warn(f"no permission: {shown}", f'sudo usermod -aG {shlex.quote(group)} "$(id -un)"', LOGIN)
    if uid == 0 or _GROUP not in known or known[_GROUP] in groups:
        return ok("root" if uid == 0 else f"member of {_GROUP}" if _GROUP in known else f"no group {_GROUP} here")
    ports = "every port can be opened" if _ports(host) else "no port is there now"
    return note(f"not a member of {_GROUP}; {ports}", f'sudo usermod -aG {_GROUP} "$(id -un)"', LOGIN)


def _may_open(host: Host, device: Path, uid: int, groups: set[int]) -> bool:
    found = os.stat(device)
    mode = stat.S_IMODE(found.st_mode)
    needed = 0o600 if found.st_uid == uid else 0o060 if found.st_gid in groups else 0o006
    # Access control lists are not in the mode; of the running host, the kernel knows.
    return uid == 0 or mode & needed == needed or (host.root == Path("/") and os.access(device, os.R_OK | os.W_OK))


def _groups(host: Host) -> dict[str, int]:
    """Numbers of the groups in /etc/group, by name."""
    lines = [line.split(":") for line in (host.text("/etc/group") or "").splitlines()]
    return {words[0]: int(words[2]) for words in lines if len(words) == 4 and words[2].isdigit()}


def _ports(host: Host) -> list[PortInfo]:
    return list_ports(str(host.path("/dev")), str(host.path("/sys")))


def modem_manager(host: Host) -> Finding:
    """Whether ModemManager runs."""
    pids = [str(pid) for pid, name, _ in host.processes() if name == "ModemManager"]
    if not pids:
        return ok("not running")
    return warn(f"running, process {', '.join(pids)}", "sudo systemctl disable --now ModemManager")


def latency_timers(host: Host) -> Finding:
    """Latency timers of USB serial adapters."""
    slow = []
    files = host.glob("/sys/bus/usb-serial/devices/*/latency_timer")
    for path in files:
        timer_ms = host.number(path)
        if timer_ms is not None and timer_ms > _USB_LATENCY_MS:
            slow.append((path.parent.name, timer_ms))
    if not files:
        return ok("no adapter with a latency timer")
    if not slow:
        return ok(f"{_USB_LATENCY_MS} ms")
    commands = [
        f"echo {_USB_LATENCY_MS} | sudo tee /sys/bus/usb-serial/devices/{shlex.quote(clean(name))}/latency_timer"
        for name, _ in slow
    ]
    shown = ", ".join(f"{clean(name)}: {timer_ms} ms" for name, timer_ms in slow)
    return note(shown, *commands, "# permanent: the udev rule that `rtu-edge service robot.toml` prints")


def port_users(host: Host) -> Finding:
    """Processes that hold a serial port, as far as this user may see them."""
    found, commands = [], []
    ports = _ports(host)
    for port in ports:
        for process in host.holders(port.device):
            found.append(f"{port.device}: {process}")
            commands.append(f"# end it, or use another port: kill {process.pid}")
    if found:
        return warn("; ".join(found), *commands)
    return ok(f"none of {len(ports)} ports is in use" if ports else "no serial port")
