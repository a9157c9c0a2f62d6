"""Planted trees of /proc, /sys, /etc and /dev for the checks of `rtu-edge doctor`."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from pathlib import Path

from rtu_edge.tools.doctor import CHECKS, Finding, Host, State, examine

OK, NOTE, WARN, FAIL = State.OK, State.NOTE, State.WARN, State.FAIL
BY_NAME = {check.name: check for check in CHECKS}
Tree = Mapping[str, str | bytes]

PI = {"/proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0", "/boot/firmware/cmdline.txt": "root=/dev/sda2\n"}
TRIXIE = {**PI, "/etc/os-release": 'ID=debian\nVERSION_CODENAME="trixie"\n'}
THOR = {
    "/etc/nv_tegra_release": "# R38 (release), REVISION: 4.0, GCID: 1, BOARD: generic, EABI: aarch64\n",
    "/proc/device-tree/model": "NVIDIA Jetson AGX Thor Developer Kit\0",
}
PLAIN = "Linux version 6.12.47+rpt-rpi-2712 (serge@pi) (gcc 14) #1 SMP PREEMPT Debian 1:6.12.47-1 (2025-09-16)\n"
RT = "Linux version 6.12.62+rpt-rpi-v8-rt (serge@pi) (gcc 14) #1 SMP PREEMPT_RT Debian 1:6.12.62-1 (2025-12-18)\n"


def status(uid: int = 1000, groups: str = "1000", capabilities: int = 0) -> str:
    uids = f"{uid}\t{uid}\t{uid}\t{uid}"
    return f"Name:\tpython\nUid:\t{uids}\nGid:\t{uids}\nGroups:\t{groups} \nCapEff:\t{capabilities:016x}\n"


def limits(priority: str, memory: str) -> str:
    return (
        "Limit                     Soft Limit           Hard Limit           Units     \n"
        f"Max locked memory         {memory:21}{memory:21}bytes     \n"
        f"Max realtime priority     {priority:21}{priority:21}          \n"
    )


def elf(width: int, code: int) -> bytes:
    return b"\x7fELF" + bytes([width, 1, 1]) + bytes(9) + struct.pack("<HH", 2, code)


def process(pid: int, name: str, command: str = "") -> Tree:
    return {f"/proc/{pid}/comm": name + "\n", f"/proc/{pid}/cmdline": command.replace(" ", "\0") + "\0"}


def cpufreq(*governors: str) -> Tree:
    folder = "/sys/devices/system/cpu"
    return {f"{folder}/cpu{k}/cpufreq/scaling_governor": name + "\n" for k, name in enumerate(governors)}


def plant(root: Path, files: Tree) -> Host:
    """A host with these files."""
    for name, text in files.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Host(root, folder=root, here=root / "here", modules=(root / "modules",))


def found(host: Host, name: str) -> Finding:
    return examine(host, [BY_NAME[name]])[0]


def fits(pattern: str, command: str) -> bool:
    """Whether a command is the one of the table, whose words in capitals (CPU, TTY, PID) stand for values."""
    return re.fullmatch(re.sub(r"\b(CPU|TTY|PID)\b", r"\\S+", re.escape(pattern)), command) is not None


def port(root: Path, name: str, mode: int) -> None:
    device = root / "dev" / name
    device.parent.mkdir(exist_ok=True)
    device.touch()
    device.chmod(mode)
    driver = root / "drivers" / "cdc_acm"
    driver.mkdir(parents=True, exist_ok=True)
    node = root / "sys" / "class" / "tty" / name / "device"
    node.mkdir(parents=True)
    (node / "driver").symlink_to(driver)
