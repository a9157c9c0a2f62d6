"""Properties of this host that affect latency: kernel, governor, isolated cores, load, limits, the adapter's timer."""

from __future__ import annotations

import os
import platform
import resource
from pathlib import Path

from rtu_edge.record import host_facts

__all__ = ["system"]


def system(port: str = "") -> dict[str, str]:
    """Facts by name, those of `rtu_edge.record.machine` included.

    Args:
        port: path of a serial port, for its adapter's latency timer.
    """
    return {
        **host_facts(),
        "kernel": platform.version(),
        "preemption": _preemption(),
        "governor": _governors(),
        "isolated_cpus": _read("/sys/devices/system/cpu/isolated") or "none",
        "nohz_full": _read("/sys/devices/system/cpu/nohz_full").replace("(null)", "") or "none",
        "load": " ".join(f"{value:.2f}" for value in os.getloadavg()),
        "rt_runtime_us": _read("/proc/sys/kernel/sched_rt_runtime_us") or "unknown",
        "limit_rtprio": _limit(resource.RLIMIT_RTPRIO),
        "limit_memlock": _limit(resource.RLIMIT_MEMLOCK),
        "virtual_machine": "yes" if " hypervisor " in _read("/proc/cpuinfo").replace("\n", " ") else "not seen",
        "usb_latency_timer_ms": _latency_timer(port),
    }


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _preemption() -> str:
    if _read("/sys/kernel/realtime") == "1" or "PREEMPT_RT" in platform.version():
        return "PREEMPT_RT"
    chosen = [word.strip("()") for word in _read("/sys/kernel/debug/sched/preempt").split() if word.startswith("(")]
    return chosen[0] if chosen else next((w for w in platform.version().split() if w.startswith("PREEMPT")), "none")


def _governors() -> str:
    places = sorted(Path("/sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor"))
    return ", ".join(sorted({_read(place) for place in places})) or "none to choose"


def _limit(which: int) -> str:
    soft = resource.getrlimit(which)[0]
    return "unlimited" if soft == resource.RLIM_INFINITY else str(soft)


def _latency_timer(port: str) -> str:
    """Of an FTDI adapter, in ms: it delays bytes by this time unless its buffer is full."""
    return _read(Path("/sys/class/tty") / Path(os.path.realpath(port)).name / "device/latency_timer") or "none"
