"""Checks of the kernel and the processor: preemption, privileges, frequency, isolated cores, the clock."""

from __future__ import annotations

import datetime
import math
import re

from rtu_edge.tools.doctor.finding import Finding, note, ok, warn
from rtu_edge.tools.doctor.host import Host

__all__ = ["boot_parameter", "clock", "governor", "isolated_cores", "kernel", "locked_memory", "priority", "throttling"]

LIMITS = "/etc/security/limits.d/rtu-edge.conf"
RESTART = "# then restart this computer"
LOGIN = "# then log in again"
_PRIORITY = 50  # of the loop's thread, SCHED_FIFO
_CAP_IPC_LOCK, _CAP_SYS_NICE = 14, 23
_PI_KERNEL = (
    "sudo apt install linux-image-rpi-v8-rt",
    r"printf '[all]\nkernel=kernel8_rt.img\n' | sudo tee -a /boot/firmware/config.txt",
)
_JETSON_SOURCES = "/etc/apt/sources.list.d/nvidia-l4t-apt-source.list"
_JETSON_KERNEL = (
    "nvidia-l4t-rt-kernel nvidia-l4t-rt-kernel-headers nvidia-l4t-rt-kernel-oot-modules nvidia-l4t-display-rt-kernel"
)
# Bits of get_throttled: the current state; sixteen bits higher, whether it occurred since the start.
_THROTTLED = ("under-voltage", "frequency capped", "throttled", "temperature limit")
_SINCE_START = 16


def kernel(host: Host) -> Finding:
    """Preemption model of the running kernel."""
    version = host.need("/proc/version")
    if not version.startswith("Linux version "):
        raise ValueError(f"/proc/version: 'Linux version ...' is expected there, found {version[:40]!r}")
    name = version.split()[2]
    if host.text("/sys/kernel/realtime") == "1" or "PREEMPT_RT" in version:
        return ok(f"{name}, PREEMPT_RT")
    model = next((word for word in version.split() if word.startswith("PREEMPT")), "no preemption")
    return warn(f"{name}, {model}: no PREEMPT_RT", *_rt_kernel(host))


def _rt_kernel(host: Host) -> tuple[str, ...]:
    """How to install a PREEMPT_RT kernel on this system."""
    jetson, release = host.jetson(), host.release()
    system, codename = release.get("ID", ""), release.get("VERSION_CODENAME", "")
    if jetson is not None:
        return _jetson_kernel(*jetson, thor="Thor" in host.model())
    if host.model().startswith("Raspberry Pi") and system in ("debian", "raspbian"):
        if codename in ("buster", "bullseye", "bookworm"):
            return ("# Raspberry Pi OS has the package linux-image-rpi-v8-rt from trixie on: install trixie, 64-bit",)
        return (*_PI_KERNEL, RESTART)
    if system == "debian":
        suffix = {"x86_64": "amd64", "aarch64": "arm64"}.get(host.program()[1])
        if suffix:
            return (f"sudo apt install linux-image-rt-{suffix}", RESTART)
    if system == "ubuntu":
        year = release.get("VERSION_ID", "").partition(".")[0]
        pro = year.isdigit() and int(year) < 26
        return ("sudo pro enable realtime-kernel" if pro else "sudo apt install linux-realtime", RESTART)
    return ("# install the PREEMPT_RT kernel of this distribution",)


def _jetson_kernel(release: int, revision: int, *, thor: bool) -> tuple[str, ...]:
    if release < 36:
        return ("# install the real-time kernel as the Jetson Linux Developer Guide of this release describes",)
    packages = _JETSON_KERNEL
    if release >= 38:  # JetPack 7
        packages += " nvidia-l4t-rt-kernel-openrm" if thor else " nvidia-l4t-rt-kernel-nvgpu"
    source = f"deb https://repo.download.nvidia.com/jetson/rt-kernel r{release}.{revision} main"
    return (
        f"echo '{source}' | sudo tee -a {_JETSON_SOURCES}",
        "sudo apt update",
        f"sudo apt install {packages}",
        RESTART,
    )


def priority(host: Host) -> Finding:
    """Whether this user may use the loop's real-time priority."""
    limit = host.limit("Max realtime priority")
    if host.capable(_CAP_SYS_NICE):
        return ok("allowed by CAP_SYS_NICE")
    if limit >= _PRIORITY:
        return ok(f"up to {limit:g}")
    line = f'echo "$(id -un) - rtprio 60" | sudo tee -a {LIMITS}'
    return warn(f"up to {limit:g}; the loop asks for {_PRIORITY}", line, LOGIN)


def locked_memory(host: Host) -> Finding:
    """Whether this user may lock all memory of the loop's process."""
    limit = host.limit("Max locked memory")
    if host.capable(_CAP_IPC_LOCK):
        return ok("allowed by CAP_IPC_LOCK")
    if math.isinf(limit):
        return ok("unlimited")
    line = f'echo "$(id -un) - memlock unlimited" | sudo tee -a {LIMITS}'
    return warn(f"at most {limit / (1 << 20):.3g} MiB; the loop locks all of its memory", line, LOGIN)


def governor(host: Host) -> Finding:
    """Frequency governors of the cores."""
    files = host.glob("/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor")
    found = sorted({host.text(path) or "none" for path in files})
    if not found:
        return ok("this system does not change the frequency")
    if found == ["performance"]:
        return ok("performance")
    if host.jetson() is not None:
        return warn(", ".join(found), "sudo nvpmodel -m 0 && sudo jetson_clocks")
    command = "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
    return warn(", ".join(found), command, "# lasts until the next start")


def throttling(host: Host) -> Finding:
    """Whether supply or heat slows the processor down, now or since the start."""
    now, since = _pi_throttled(host)
    for path in host.glob("/sys/class/hwmon/hwmon*/name"):
        if host.text(path) == "rpi_volt" and host.number(path.parent / "in0_lcrit_alarm"):
            now.append("under-voltage")
    for path in host.glob("/sys/class/thermal/cooling_device*/type"):
        kind = host.text(path) or ""
        if re.match(r"(thermal-)?cpufreq|Processor", kind) and (host.number(path.parent / "cur_state") or 0) > 0:
            now.append("slowed down by heat")
    for pattern, name in (
        ("/sys/devices/system/cpu/cpu*/thermal_throttle/core_throttle_count", "slowed down by heat"),
        ("/sys/class/hwmon/hwmon*/oc[0-9]_event_cnt", "slowed down by over-current"),
    ):
        if sum(host.number(path) or 0 for path in host.glob(pattern)):
            since.append(name)
    advice = "# better power supply (a Raspberry Pi 5 needs 5 V, 5 A) or cooling"
    if now:
        return warn("now: " + ", ".join(dict.fromkeys(now)), advice)
    if since:
        return note("since the start, not now: " + ", ".join(dict.fromkeys(since)), advice)
    return ok("none seen")


def _pi_throttled(host: Host) -> tuple[list[str], list[str]]:
    now: list[str] = []
    since: list[str] = []
    for path in host.glob("/sys/devices/platform/soc*/soc*firmware/get_throttled"):
        bits = host.number(path, 16) or 0
        now += [name for bit, name in enumerate(_THROTTLED) if bits >> bit & 1]
        since += [name for bit, name in enumerate(_THROTTLED, _SINCE_START) if bits >> bit & 1]
    return now, since


def isolated_cores(host: Host) -> Finding:
    """Isolated cores, for the loop."""
    isolated = host.text("/sys/devices/system/cpu/isolated")
    if isolated:
        return ok(f"{isolated}; set loop.cpu to one of them")
    online = host.need("/sys/devices/system/cpu/online")
    last = re.search(r"(\d+)$", online)
    if last is None:
        raise ValueError(f"/sys/devices/system/cpu/online: cores are expected there, found {online[:40]!r}")
    if last[1] == "0":
        return ok("none: one core only")
    cpu = last[1]
    commands = boot_parameter(host, add=f"isolcpus={cpu} nohz_full={cpu} rcu_nocbs={cpu}")
    return note(f"none of {online}", *commands, f"# then loop.cpu = {cpu} in robot.toml")


def boot_parameter(host: Host, *, add: str = "", remove: str = "") -> tuple[str, ...]:
    """Commands that change the kernel's command line on this system.

    Args:
        add: parameters to add.
        remove: extended regular expression of parameters to remove.
    """
    edit = f"s/({remove}) *//g" if remove else f"s/$/ {add}/"
    pi = next((name for name in ("/boot/firmware/cmdline.txt", "/boot/cmdline.txt") if host.path(name).exists()), "")
    if host.jetson() is not None:
        return (f"sudo sed -E -i '/^ *APPEND/ {edit}' /boot/extlinux/extlinux.conf", RESTART)
    if host.model().startswith("Raspberry Pi") or pi:
        return (f"sudo sed -E -i '1 {edit}' {pi or '/boot/firmware/cmdline.txt'}", RESTART)
    if add:
        edit = f's/"$/ {add}"/'
    return (
        f"sudo sed -E -i '/^GRUB_CMDLINE_LINUX{'=' if add else ''}/ {edit}' /etc/default/grub",
        "sudo update-grub",
        RESTART,
    )


def clock(host: Host) -> Finding:
    """Wall clock against the time since the start and against dates of installed files."""
    uptime = host.need("/proc/uptime").split()[0]
    try:
        up_s = float(uptime)
    except ValueError:
        raise ValueError(f"/proc/uptime: seconds are expected there, found {uptime[:40]!r}") from None
    shown = _date(host.wall_s)
    command = "sudo timedatectl set-ntp true"
    if host.wall_s < up_s:
        return warn(f"{shown}: this computer would have started before 1970", command)
    files = ("/usr/lib/clock-epoch", "/var/lib/systemd/timesync/clock", "/usr/lib/os-release")
    newest_s = max((host.path(name).stat().st_mtime for name in files if host.path(name).exists()), default=0.0)
    if host.wall_s < newest_s:
        return warn(f"{shown}: before {_date(newest_s)}, the date of files of this system", command)
    by_network = host.path("/run/systemd/timesync/synchronized").exists() or any(
        name in ("chronyd", "ntpd", "ptp4l", "phc2sys") for _, name, _ in host.processes()
    )
    if not by_network and not host.glob("/sys/class/rtc/rtc[0-9]*"):
        return note(f"{shown}; no real-time clock, and no time from the network yet", command)
    return ok(shown)


def _date(wall_s: float) -> str:
    return datetime.datetime.fromtimestamp(wall_s, datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
