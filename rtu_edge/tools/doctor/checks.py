"""The checks in order, with their effect on the loop; the shell script that fixes the findings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rtu_edge._base.errors import cause_of
from rtu_edge._base.untrusted import clean
from rtu_edge.tools.doctor import serial_ports, software, storage, system
from rtu_edge.tools.doctor.finding import Finding, State, note
from rtu_edge.tools.doctor.host import Host

__all__ = ["CHECKS", "Check", "examine", "script"]


@dataclass(frozen=True)
class Check:
    """A check of a host.

    Args:
        name: its name in table, JSON and docs/doctor.md.
        find: function that makes the finding.
        effect: effect on the loop of a finding other than ok.
        command: a command that fixes it, as in docs/doctor.md; words in capitals stand for values.
    """

    name: str
    find: Callable[[Host], Finding]
    effect: str
    command: str


CHECKS = (
    Check(
        "kernel",
        system.kernel,
        "other work of the kernel delays a step by milliseconds under load; the median stays",
        "sudo apt install linux-image-rpi-v8-rt",
    ),
    Check(
        "priority",
        system.priority,
        "the loop runs without real-time priority: other processes delay its steps",
        'echo "$(id -un) - rtprio 60" | sudo tee -a /etc/security/limits.d/rtu-edge.conf',
    ),
    Check(
        "locked memory",
        system.locked_memory,
        "a page fault delays a step by milliseconds when memory is short",
        'echo "$(id -un) - memlock unlimited" | sudo tee -a /etc/security/limits.d/rtu-edge.conf',
    ),
    Check(
        "governor",
        system.governor,
        "cores slow down while the loop waits, so that a step takes longer and varies",
        "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor",
    ),
    Check(
        "throttling",
        system.throttling,
        "steps take longer than measured before, and a bad supply restarts boards on USB",
        "# better power supply (a Raspberry Pi 5 needs 5 V, 5 A) or cooling",
    ),
    Check(
        "isolated cores",
        system.isolated_cores,
        "other processes share the loop's core; the worst case under load is higher",
        "sudo sed -E -i '1 s/$/ isolcpus=CPU nohz_full=CPU rcu_nocbs=CPU/' /boot/firmware/cmdline.txt",
    ),
    Check(
        "clock",
        system.clock,
        "logs and reports have wrong dates; downloads fail. The loop and the order of logs do not depend on it",
        "sudo timedatectl set-ntp true",
    ),
    Check(
        "UART console",
        serial_ports.uart_console,
        "kernel messages and the login's text go to the device on this port, and its bytes to the login",
        "sudo systemctl disable --now serial-getty@TTY.service",
    ),
    Check(
        "port permission",
        serial_ports.permission,
        "a serial port cannot be opened",
        'sudo usermod -aG dialout "$(id -un)"',
    ),
    Check(
        "ModemManager",
        serial_ports.modem_manager,
        "it opens each new port and sends modem commands to the device for up to a minute",
        "sudo systemctl disable --now ModemManager",
    ),
    Check(
        "USB latency timer",
        serial_ports.latency_timers,
        "the adapter holds bytes back for so long, unless it takes the low latency that rtu_edge asks for",
        "echo 1 | sudo tee /sys/bus/usb-serial/devices/TTY/latency_timer",
    ),
    Check(
        "port in use",
        serial_ports.port_users,
        "the port cannot be opened, or another program takes part of the device's bytes",
        "# end it, or use another port: kill PID",
    ),
    Check(
        "userland",
        software.userland,
        "no wheels of rtu_edge, numpy and onnxruntime; the core is neither built nor tested for 32 bits",
        "# install the 64-bit image of the operating system; a 64-bit kernel alone is not enough",
    ),
    Check(
        "core",
        software.core,
        "no learner and no loop can start",
        "pip install --force-reinstall numpy rtu_edge",
    ),
    Check(
        "instruction set",
        software.instruction_set,
        "a step of the learner takes up to twice as long, or longer",
        "pip install --force-reinstall --no-binary rtu_edge rtu_edge",
    ),
    Check(
        "serial package",
        software.serial_package,
        "`import serial` finds another package than pyserial: no port can be opened",
        "pip uninstall -y serial pyserial",
    ),
    Check(
        "onnxruntime",
        software.onnx_runtime,
        "`rtu-edge verify` and `rtu-edge demo` cannot run; learning and the loop do not need it",
        'pip install "rtu_edge[onnx]"',
    ),
    Check(
        "disk",
        storage.disk,
        "a power failure loses more of the log; above 1 s the log falls behind. The loop does not wait for the disk",
        "# put run.folder on a faster medium: rtu-edge run robot.toml --set run.folder=FOLDER",
    ),
    Check(
        "temporary files",
        storage.temporary_files,
        "`rtu-edge estop` and `monitor` find the owner of a port by its socket, which a cleaner may remove",
        "sudo systemd-tmpfiles --create /etc/tmpfiles.d/rtu-edge.conf",
    ),
)


def examine(host: Host, checks: Sequence[Check] = CHECKS) -> list[Finding]:
    """The findings of all checks, in order. Unreadable or invalid input becomes a note of its check."""
    return [_examined(check, host) for check in checks]


def _examined(check: Check, host: Host) -> Finding:
    try:
        found = check.find(host)
    except OSError as error:
        where = f"{error.filename}: " if error.filename is not None else ""
        found = note(f"not checked: {where}{cause_of(error)}")
    except ValueError as error:
        found = note(f"not checked: {error}")
    else:
        if found.state is not State.OK:
            found = dataclasses.replace(found, effect=found.effect or check.effect)
    return dataclasses.replace(found, check=check.name, found=clean(found.found))


def script(findings: Sequence[Finding]) -> str:
    """A POSIX shell script of the commands that fix the findings, each with its reason.

    Commands of notes are optional and written as comments, "#? ...".
    """
    lines = [
        "#!/bin/sh",
        "# Commands that fix what rtu-edge doctor found on this computer. Read it, remove what you do not want, and",
        "# run it as the user of the loop: it calls sudo where root is needed. Optional commands begin with #?",
    ]
    for finding in findings:
        if not finding.commands:
            continue
        lines += ["", f"# {finding.check} ({finding.state.value}): {finding.found}"]
        lines += [f"# effect: {finding.effect}"] if finding.effect else []
        optional = finding.state is State.NOTE
        lines += [f"#? {line}" if optional and not line.startswith("#") else line for line in finding.commands]
    if not any(finding.commands for finding in findings):
        lines += ["", "# Nothing to fix."]
    return "\n".join(lines) + "\n"
