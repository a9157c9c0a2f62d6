"""The checks of a host on planted trees of /proc, /sys, /etc and /dev: present, absent, malformed and unreadable."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from planted_host import (
    BY_NAME,
    FAIL,
    NOTE,
    OK,
    PI,
    PLAIN,
    RT,
    THOR,
    TRIXIE,
    WARN,
    Tree,
    cpufreq,
    elf,
    fits,
    found,
    limits,
    plant,
    process,
    status,
)

from rtu_edge.tools.doctor import CHECKS, Host, State, examine

LIMITED = {"/proc/self/status": status(), "/proc/self/limits": limits("0", "8388608")}
ALLOWED = {"/proc/self/status": status(), "/proc/self/limits": limits("60", "unlimited")}
CAPABLE = {"/proc/self/status": status(capabilities=1 << 14 | 1 << 23), "/proc/self/limits": limits("0", "65536")}
CORES = "/sys/devices/system/cpu"
THROTTLED = "/sys/devices/platform/soc/soc:firmware/get_throttled"
COOLING = "/sys/class/thermal/cooling_device0"
HWMON = "/sys/class/hwmon/hwmon2"
TIMER = "/sys/bus/usb-serial/devices/ttyUSB0/latency_timer"

CASES: list[tuple[str, Tree, State, str]] = [
    ("kernel", {"/proc/version": RT}, OK, "6.12.62+rpt-rpi-v8-rt, PREEMPT_RT"),
    ("kernel", {"/proc/version": PLAIN, "/sys/kernel/realtime": "1\n"}, OK, "PREEMPT_RT"),
    ("kernel", {**TRIXIE, "/proc/version": PLAIN}, WARN, "6.12.47+rpt-rpi-2712, PREEMPT: no PREEMPT_RT"),
    ("kernel", {"/proc/version": "Linux version 6.1 #1 SMP\n"}, WARN, "no preemption"),
    ("priority", LIMITED, WARN, "up to 0; the loop asks for 50"),
    ("priority", {**LIMITED, "/proc/self/limits": limits("49", "0")}, WARN, "up to 49; the loop asks for 50"),
    ("priority", {**LIMITED, "/proc/self/limits": limits("50", "0")}, OK, "up to 50"),
    ("priority", ALLOWED, OK, "up to 60"),
    ("priority", CAPABLE, OK, "CAP_SYS_NICE"),
    ("locked memory", LIMITED, WARN, "at most 8 MiB"),
    ("locked memory", ALLOWED, OK, "unlimited"),
    ("locked memory", CAPABLE, OK, "CAP_IPC_LOCK"),
    ("governor", cpufreq("performance", "performance"), OK, "performance"),
    ("governor", cpufreq("ondemand", "performance"), WARN, "ondemand, performance"),
    ("governor", {}, OK, "does not change"),
    ("throttling", {THROTTLED: "0\n"}, OK, "none seen"),
    ("throttling", {THROTTLED: "50005\n"}, WARN, "now: under-voltage, throttled"),
    ("throttling", {THROTTLED: "80000\n"}, NOTE, "since the start, not now: temperature limit"),
    ("throttling", {f"{HWMON}/name": "rpi_volt\n", f"{HWMON}/in0_lcrit_alarm": "1\n"}, WARN, "now: under-voltage"),
    ("throttling", {f"{HWMON}/name": "rpi_volt\n", f"{HWMON}/in0_lcrit_alarm": "0\n"}, OK, "none"),
    ("throttling", {f"{HWMON}/name": "ina\n", f"{HWMON}/in0_lcrit_alarm": "1\n"}, OK, "none"),
    ("throttling", {f"{HWMON}/name": "ina\n", f"{HWMON}/oc1_event_cnt": "3\n"}, NOTE, "over-current"),
    ("throttling", {f"{COOLING}/type": "cpufreq-cpu0\n", f"{COOLING}/cur_state": "2\n"}, WARN, "slowed down by heat"),
    ("throttling", {f"{COOLING}/type": "pwm-fan\n", f"{COOLING}/cur_state": "2\n"}, OK, "none"),
    ("throttling", {f"{CORES}/cpu0/thermal_throttle/core_throttle_count": "7\n"}, NOTE, "heat"),
    ("isolated cores", {**PI, f"{CORES}/isolated": "\n", f"{CORES}/online": "0-3\n"}, NOTE, "none of 0-3"),
    ("isolated cores", {f"{CORES}/isolated": "2-3\n"}, OK, "2-3"),
    ("isolated cores", {f"{CORES}/online": "0\n"}, OK, "one core only"),
    ("UART console", {"/proc/cmdline": "console=tty1 root=/dev/sda2\n"}, OK, "none"),
    (
        "UART console",
        {**PI, "/proc/cmdline": "console=ttyAMA0,115200 console=tty1\n", **process(7, "agetty", "agetty - ttyAMA0")},
        WARN,
        "kernel messages on ttyAMA0, login on ttyAMA0",
    ),
    ("UART console", {"/proc/cmdline": "console=ttyS0\n"}, NOTE, "kernel messages on ttyS0"),
    ("UART console", {"/proc/cmdline": "quiet\n", **process(7, "agetty", "agetty - tty1 linux")}, OK, "none"),
    ("ModemManager", process(812, "ModemManager", "/usr/sbin/ModemManager"), WARN, "running, process 812"),
    ("ModemManager", process(812, "systemd"), OK, "not running"),
    ("USB latency timer", {TIMER: "16\n"}, NOTE, "ttyUSB0: 16 ms"),
    ("USB latency timer", {TIMER: "1\n"}, OK, "1 ms"),
    ("USB latency timer", {}, OK, "no adapter"),
    ("userland", {"/proc/self/exe": elf(2, 0xB7)}, OK, "64 bits, aarch64"),
    ("userland", {"/proc/self/exe": elf(1, 0x28)}, FAIL, "32 bits, arm"),
    ("serial package", {"/modules/serial-0.0.97.dist-info/METADATA": ""}, FAIL, "the package `serial`"),
    ("serial package", {"/modules/serial.py": ""}, FAIL, "/modules/serial.py hides pyserial"),
    ("serial package", {"/here/serial/__init__.py": "x = 1"}, WARN, "/here/serial hides pyserial"),
    ("serial package", {}, FAIL, "not installed"),
    (
        "serial package",
        {"/modules/serial/__init__.py": "def serial_for_url(): ...", "/modules/serial/serialutil.py": ""},
        OK,
        "pyserial",
    ),
    ("clock", {"/proc/uptime": "9.5 9\n", "/sys/class/rtc/rtc0/name": "x"}, OK, "2033-05-18 03:33 UTC"),
    ("clock", {"/proc/uptime": "9.5 9\n"}, NOTE, "no real-time clock, and no time from the network"),
    ("clock", {"/proc/uptime": "9.5 9\n", **process(5, "chronyd")}, OK, "2033"),
    ("temporary files", {"/usr/lib/tmpfiles.d/tmp.conf": "q /tmp 1777 root root 10d\n"}, NOTE, "no /run/rtu-edge"),
    ("temporary files", {"/etc/tmpfiles.d/rtu-edge.conf": "x /tmp/rtu-edge-*\n"}, OK, "not to be cleaned"),
    ("temporary files", {}, OK, "nothing cleans /tmp"),
]


@pytest.mark.parametrize(("name", "files", "state", "text"), CASES)
def test_a_planted_host_is_found(tmp_path: Path, name: str, files: Tree, state: State, text: str) -> None:
    host = plant(tmp_path, files)
    finding = found(Host(**{**vars(host), "wall_s": 2e9}), name)
    assert (finding.state, text in finding.found) == (state, True), finding
    assert bool(finding.effect) == bool(finding.commands) == (state is not OK)


def test_each_check_has_a_case_with_the_command_of_its_table(tmp_path: Path) -> None:
    """Those that read no tree have theirs below."""
    commands: dict[str, list[str]] = {}
    for k, (name, files, _, _) in enumerate(CASES):
        commands.setdefault(name, []).extend(found(plant(tmp_path / str(k), files), name).commands)
    for check in CHECKS:
        if check.name not in ("core", "disk", "instruction set", "onnxruntime", "port in use", "port permission"):
            assert any(fits(check.command, command) for command in commands[check.name]), check.name


READS: dict[str, tuple[Tree, str]] = {
    "kernel": ({}, "/proc/version"),
    "priority": (ALLOWED, "/proc/self/limits"),
    "locked memory": (ALLOWED, "/proc/self/status"),
    "governor": ({}, f"{CORES}/cpu0/cpufreq/scaling_governor"),
    "throttling": ({}, THROTTLED),
    "isolated cores": ({}, f"{CORES}/online"),
    "clock": ({}, "/proc/uptime"),
    "UART console": ({}, "/proc/cmdline"),
    "port permission": ({}, "/proc/self/status"),
    "ModemManager": ({}, "/proc/812/comm"),
    "USB latency timer": ({}, TIMER),
    "userland": ({}, "/proc/self/exe"),
    "instruction set": ({}, "/proc/cpuinfo"),
    "temporary files": ({}, "/etc/tmpfiles.d/rtu-edge.conf"),
}
EVIL = "\x1b]0;owned\x07\x9b2J\u202e[red]99999999999999999999999 x[/red]\n"


@pytest.mark.parametrize("name", READS)
def test_an_unreadable_file_is_a_note(tmp_path: Path, name: str) -> None:
    files, path = READS[name]
    host = plant(tmp_path, files)
    (tmp_path / path.lstrip("/")).unlink(missing_ok=True)
    (tmp_path / path.lstrip("/")).mkdir(parents=True)  # as root, no permission stops reading
    finding = found(host, name)
    assert (finding.state, finding.found.startswith("not checked: ")) == (NOTE, True), finding
    assert path in finding.found


@pytest.mark.parametrize("name", READS)
def test_a_malformed_file_is_a_note_or_shown_clean(tmp_path: Path, name: str) -> None:
    files, path = READS[name]
    finding = found(plant(tmp_path, {**files, path: EVIL}), name)
    assert finding.state is NOTE or name in ("UART console", "ModemManager", "governor", "temporary files")
    for text in (finding.found, finding.effect, *finding.commands):
        assert text.isprintable()
    if name not in ("UART console", "ModemManager", "temporary files"):
        assert "\x1b" not in finding.found and ("not checked" in finding.found or "owned" in finding.found)


def test_an_empty_root_raises_nothing_and_warns_of_nothing(tmp_path: Path) -> None:
    findings = examine(plant(tmp_path, {}))
    assert [finding.check for finding in findings] == list(BY_NAME)
    worse = {finding.check for finding in findings if finding.state in (WARN, FAIL)}
    assert worse == {"core", "serial package", "onnxruntime"}  # nothing was imported, and there is no pyserial


def test_permission_to_read_is_an_error_with_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("rtu_edge.tools.doctor.host.open_regular", refused)
    finding = found(plant(tmp_path, {"/proc/version": RT}), "kernel")
    assert finding.found.startswith(f"not checked: {tmp_path}/proc/version: Permission denied")


# ---------------------------------------------------------------- kernels by system


@pytest.mark.parametrize(
    ("files", "command"),
    [
        (TRIXIE, r"printf '[all]\nkernel=kernel8_rt.img\n' | sudo tee -a /boot/firmware/config.txt"),
        ({**PI, "/etc/os-release": "ID=debian\nVERSION_CODENAME=bookworm\n"}, "from trixie on: install trixie, 64-bit"),
        (THOR, "deb https://repo.download.nvidia.com/jetson/rt-kernel r38.4 main"),
        (THOR, "nvidia-l4t-display-rt-kernel nvidia-l4t-rt-kernel-openrm"),
        ({"/etc/nv_tegra_release": "# R39 (release), REVISION: 2.0\n"}, "nvidia-l4t-rt-kernel-nvgpu"),
        ({"/etc/nv_tegra_release": "# R36 (release), REVISION: 4.3\n"}, "nvidia-l4t-display-rt-kernel"),
        (
            {"/etc/nv_tegra_release": "# R35 (release), REVISION: 4.1\n"},
            "the Jetson Linux Developer Guide of this release describes",
        ),
        ({"/etc/os-release": "ID=debian\n", "/proc/self/exe": elf(2, 0xB7)}, "linux-image-rt-arm64"),
        ({"/etc/os-release": "ID=debian\n", "/proc/self/exe": elf(2, 0x3E)}, "linux-image-rt-amd64"),
        ({"/etc/os-release": 'ID=ubuntu\nVERSION_ID="24.04"\n'}, "sudo pro enable realtime-kernel"),
        ({"/etc/os-release": 'ID=ubuntu\nVERSION_ID="26.04"\n'}, "sudo apt install linux-realtime"),
        ({"/etc/os-release": "ID=arch\n"}, "of this distribution"),
        ({}, "of this distribution"),
    ],
)
def test_the_kernel_of_each_system_is_named(tmp_path: Path, files: Tree, command: str) -> None:
    finding = found(plant(tmp_path, {**files, "/proc/version": PLAIN}), "kernel")
    assert any(line.endswith(command) or f"{command}' |" in line for line in finding.commands), finding.commands


@pytest.mark.parametrize(
    ("files", "before", "after"),
    [
        (PI, "console=serial0,115200 console=tty1 root=a", "console=tty1 root=a isolcpus=3 nohz_full=3 rcu_nocbs=3"),
        (THOR, " APPEND console=ttyAMA0,115200 root=a", " APPEND root=a isolcpus=3 nohz_full=3 rcu_nocbs=3"),
        (
            {},
            'GRUB_CMDLINE_LINUX="console=ttyAMA0,115200n8"',
            'GRUB_CMDLINE_LINUX=" isolcpus=3 nohz_full=3 rcu_nocbs=3"',
        ),
    ],
)
def test_the_commands_change_the_kernel_command_line(tmp_path: Path, files: Tree, before: str, after: str) -> None:
    """They are run, on a file of this test."""
    cores = {f"{CORES}/online": "0-3\n", "/proc/cmdline": "console=ttyAMA0,115200 root=a\n"}
    host = plant(tmp_path, {**files, **cores})
    file = tmp_path / "line"
    file.write_text(before + "\n")
    for name in ("UART console", "isolated cores"):
        (command,) = (line for line in found(host, name).commands if " sed " in line)
        words = command.removeprefix("sudo ").rpartition(" ")
        subprocess.run(f"{words[0]} '{file}'", shell=True, check=True)
    assert file.read_text() == after + "\n"
