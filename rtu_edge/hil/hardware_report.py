"""The file of `rtu-edge hil run --report`: one JSON document about a device and a run of a suite, fit to be sent.

It holds the versions, the device's HELLO and data sheet, and each case with its outcome and time to safe. It does not
hold names of the host, its users, its files and its ports; a serial number is in it only as a hash.
"""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import os
import platform
import re
import socket
from pathlib import Path

import msgspec

from rtu_edge._base.errors import ConfigError
from rtu_edge._base.untrusted import TEXT_BYTES, from_json, read_file, to_json
from rtu_edge.device.ports import list_ports, open_port
from rtu_edge.device.schema import Channel, DataSheet
from rtu_edge.hil.bridge import FaultBridge
from rtu_edge.hil.run import Report, lend
from rtu_edge.hil.suite import Suite
from rtu_edge.hil.targets import NAMES
from rtu_edge.loop.link import Link

__all__ = ["HardwareReport", "ReportedCase", "ReportedDevice", "ReportedRow", "describe", "read", "row", "write"]

FORMAT = 1
_PORT = "port"  # what every port is called in the file


class ReportedRow(msgspec.Struct, kw_only=True):
    """A row of the data sheet: name, unit, range, safe behaviour of an actuator, role and limits as a phrase."""

    name: str
    unit: str
    min: float
    max: float
    actuator: bool = False
    safe: str = ""
    slew: float = 0.0
    limits: str = ""


class ReportedDevice(msgspec.Struct, kw_only=True):
    """A device under test.

    Args:
        target: "sim", "process", "qemu", or "port".
        simulated: no real hardware moves, by its HELLO.
        protocol, firmware, period_us, ttl_max_ms, caps, schema_hash: of its HELLO.
        serial_sha256: the first 16 digits of the SHA-256 of the port's stable name, which holds the serial number of a
            USB device; "" without one. Two reports about one board have the same.
        rows: of its data sheet.
    """

    target: str
    simulated: bool
    protocol: int
    firmware: str
    period_us: int
    ttl_max_ms: int
    caps: int
    schema_hash: str
    serial_sha256: str = ""
    rows: list[ReportedRow] = []


class ReportedCase(msgspec.Struct, kw_only=True):
    """A fault and its outcome; as rtu_edge.hil.case.Result."""

    target: str
    name: str
    kind: str
    expected: str
    response: str
    passed: bool
    skipped: str = ""
    why: list[str] = []
    reason: str = ""
    detected_ms: float | None = None
    safe_ms: float | None = None
    safe_limit_ms: float | None = None
    accepted_after: int | None = None
    recovery_ms: float | None = None


class HardwareReport(msgspec.Struct, kw_only=True):
    """The whole file.

    Args:
        format: of the file. version: of the package. day: UTC.
        host: processor, cores, instruction set, system, Python, NumPy; no name.
        suite, seed, ttl_ms, seconds: of the run. limits: range and changes per second of each actuator, of the suite.
        devices: in the order of the targets. cases: in execution order. stopped: why the run ended early.
    """

    format: int = FORMAT
    version: str
    day: str
    host: dict[str, str]
    suite: str
    seed: int
    ttl_ms: float
    seconds: float
    limits: dict[str, list[float | None]] = {}
    devices: list[ReportedDevice]
    cases: list[ReportedCase]
    stopped: str = ""


def describe(report: Report, suite: Suite, firmware: str | os.PathLike[str] | None = None) -> HardwareReport:
    """Make the report of a run; reads HELLO and data sheet of each target. Nothing is armed.

    Args:
        report: of run_suite(). suite, firmware: as for run_suite().

    Raises:
        DeviceError: a device does not answer.
    """
    hide = _Hide(report.targets)
    devices = [_device(name, suite, firmware) for name in report.targets]
    keys = set(ReportedCase.__struct_fields__) - {"target", "name", "why", "skipped"}
    cases = [
        ReportedCase(
            target=_shown(result.target),
            name=hide(result.name),
            why=[hide(text) for text in result.why],
            skipped=hide(result.skipped),
            **{key: getattr(result, key) for key in keys},
        )
        for result in report.results
    ]
    limits = {
        name: [given.min, given.max, given.slew_per_s, given.accel_per_s2]
        for name, given in suite.config.limits.items()
    }
    kept = ("processor", "cores", "instruction_set", "python", "numpy")
    host = {key: hide(report.host[key]) for key in kept if key in report.host}
    return HardwareReport(
        version=report.version,
        day=report.started[:10],
        host={**host, "system": f"{platform.system()}, {platform.machine()}"},  # not the kernel's own name
        suite=hide(report.suite),
        seed=report.seed,
        ttl_ms=report.ttl_ms,
        seconds=report.seconds,
        limits=limits,
        devices=devices,
        cases=cases,
        stopped=hide(report.stopped),
    )


def check_path(path: Path) -> None:
    """Before a suite runs: a report can be written there.

    Raises:
        ConfigError: it is a folder, or a part of the path is a file.
    """
    if path.is_dir():
        raise ConfigError(f"--report {path}: is a folder; expected a file")
    first = next(parent for parent in path.absolute().parents if parent.exists())
    if not first.is_dir():
        raise ConfigError(f"--report {path}: {first} is not a folder")


def write(report: HardwareReport, path: Path) -> None:
    """Write the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(to_json(report, indent=1) + b"\n")


def read(path: str | os.PathLike[str]) -> HardwareReport:
    """Read the file.

    Raises:
        ConfigError: it is not such a file, or of a later format.
        OSError: it cannot be read.
    """
    try:
        found = from_json(read_file(path, TEXT_BYTES), HardwareReport)
        to_json(found)  # text that is not Unicode has no bytes
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f"not a report of `rtu-edge hil run --report`: {error}", os.fspath(path)) from error
    if not 1 <= found.format <= FORMAT:
        raise ConfigError(f"format = {found.format}: this version reads 1 to {FORMAT}", os.fspath(path))
    return found


def row(report: HardwareReport) -> str:
    """The row of the table "Seen on hardware" of docs/hil_hardware.md; of the first device."""
    ran = [case for case in report.cases if not case.skipped]
    slowest = max((case.safe_ms for case in ran if case.safe_ms is not None), default=None)
    device = report.devices[0] if report.devices else None
    names = ", ".join(each.name for each in device.rows if each.actuator) if device else ""
    facts = [
        report.day,
        report.version,
        f"{names}, {device.target}" if device else "-",
        f"{device.firmware}, {device.protocol}" if device else "-",
        f"{1e6 / device.period_us:g} Hz" if device and device.period_us else "-",
        f"{sum(case.passed for case in ran)} of {len(ran)}",
        "-" if slowest is None else f"{slowest:g} ms",
        (device.serial_sha256 if device else "") or "-",
    ]
    return "| " + " | ".join(fact.replace("|", "/").replace("\n", " ") for fact in facts) + " |"


def _device(name: str, suite: Suite, firmware: str | os.PathLike[str] | None) -> ReportedDevice:
    with lend(name, suite, firmware) as make, make("") as target, FaultBridge(target) as bridge:
        with open_port(bridge.port) as port, Link(port) as link:
            hello = link.handshake()
            sheet = link.sheet
        return ReportedDevice(
            target=_shown(name),
            simulated=hello.simulated,
            protocol=hello.protocol,
            firmware=hello.firmware,
            period_us=hello.period_us,
            ttl_max_ms=hello.ttl_max_ms,
            caps=int(hello.caps),
            schema_hash=f"{hello.schema_hash:08x}",
            serial_sha256=_serial_hash(name),
            rows=[_row(channel, sheet) for channel in sheet.channels],
        )


def _row(channel: Channel, sheet: DataSheet) -> ReportedRow:
    return ReportedRow(
        name=channel.name,
        unit=channel.unit,
        min=channel.min,
        max=channel.max,
        actuator=channel.actuator,
        safe=channel.safe.name.lower() if channel.actuator else "",
        slew=channel.slew,
        limits=channel.limits_text(sheet.actuators),
    )


def _shown(target: str) -> str:
    return target if target in NAMES else _PORT


def _serial_hash(url: str) -> str:
    """Of the name under /dev/serial/by-id."""
    if url in NAMES or "://" in url:
        return ""
    real = os.path.realpath(url)
    stable = [info.path for info in list_ports() if os.path.realpath(info.path) == real and "by-id" in info.path]
    return hashlib.sha256(os.path.basename(stable[0]).encode()).hexdigest()[:16] if stable else ""


class _Hide:
    """Replaces ports, paths, addresses, and the names of host and user in a text."""

    def __init__(self, targets: list[str]) -> None:
        names = {socket.gethostname(), platform.node(), os.path.basename(os.path.expanduser("~"))}
        with contextlib.suppress(KeyError, OSError):  # a user without a name
            names.add(getpass.getuser())
        self._ports = sorted((name for name in targets if name not in NAMES), key=len, reverse=True)
        known = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True) if len(name) > 1)
        self._names = re.compile(rf"(?<!\w)(?:{known})(?!\w)", re.IGNORECASE) if known else None

    def __call__(self, text: str) -> str:
        for port in self._ports:
            text = text.replace(port, "PORT")
        text = re.sub(r"\w+://[^\s'\"]+", "ADDRESS", text)
        text = re.sub(r"(?<![\w./])(?:~|\.{1,2})?/[^\s:;,'\"]+", "PATH", text)
        return self._names.sub("NAME", text) if self._names else text
