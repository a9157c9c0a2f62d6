"""The file of `rtu-edge hil run --report`: complete, read back, without names; its table and its row."""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import re
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from rtu_edge._base.errors import ConfigError
from rtu_edge.cli.hil import command
from rtu_edge.device.ports import PortInfo
from rtu_edge.hil import hardware_report
from rtu_edge.hil.case import Result
from rtu_edge.hil.hardware_report import HardwareReport
from rtu_edge.hil.run import Report
from rtu_edge.hil.suite import load_suite

DOCS = Path(__file__).resolve().parent.parent / "docs"


def made(*results: Result, stopped: str = "") -> HardwareReport:
    host = {"processor": "a", "cores": "2", "system": "Linux 6.1.0-bobs-laptop, x86_64", "python": "3.11"}
    report = Report(
        suite="mine", seed=1, started="2026-11-30 06:00:00 UTC", ttl_ms=95.0, host=host, results=list(results)
    )
    report.stopped = stopped
    return hardware_report.describe(report, load_suite())


def test_a_run_is_written_read_back_and_printed(tmp_path: Path) -> None:
    path = tmp_path / "sent" / "report.json"
    runner = CliRunner()
    given = ["run", "--target", "sim", "--only", "schema", "--out", str(tmp_path), "--report", str(path)]
    runner.invoke(command, given, catch_exceptions=False)
    report = hardware_report.read(path)
    (device,), (case,) = report.devices, report.cases
    assert (device.target, device.simulated, device.protocol, device.period_us) == ("sim", True, 2, 10000)
    assert [each.name for each in device.rows] == ["theta", "target", "voltage"]
    assert (device.rows[2].safe, device.rows[2].min, device.rows[2].max) == ("off", -10.0, 10.0)
    assert case.passed and case.expected == case.response == "refuses" and case.target == "sim"
    assert report.limits == {"voltage": [-10.0, 10.0, float("inf"), float("inf")]}
    hardware_report.write(report, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()
    shown = runner.invoke(command, ["show", str(path)], catch_exceptions=False)
    assert shown.exit_code == 0
    assert all(text in shown.output for text in ("voltage", case.name, "refuses", hardware_report.row(report)))
    plain = json.loads(runner.invoke(command, ["show", str(path), "--json"], catch_exceptions=False).output)
    assert plain["row"] == hardware_report.row(report) and plain["cases"][0]["passed"]


def test_no_names_are_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "bobs-laptop")
    monkeypatch.setattr(getpass, "getuser", lambda: "bob")
    monkeypatch.setattr(hardware_report, "_device", lambda name, suite, firmware: _device("0123456789abcdef"))
    url = "/dev/serial/by-id/usb-Acme_Arm_SN4711-if00"
    result = Result(
        name="drop of bob's",
        kind="drop",
        target=url,
        expected="goes_safe",
        why=[f"{url}: gone; see /home/bob/x.log, ~/y.log and tcp://bobs-laptop:5 (0.5 m/s, 3 / 4)"],
        log="/home/bob/logs/x.jsonl",
        message="/home/bob",
    )
    report = made(result, stopped=f"{url} on BOBS-LAPTOP")
    hardware_report.write(report, tmp_path / "r.json")
    text = (tmp_path / "r.json").read_text()
    assert not re.search(r"bob|SN4711|/dev|/home|laptop", text, re.IGNORECASE), text
    assert "PORT: gone; see PATH, PATH and ADDRESS (0.5 m/s, 3 / 4)" in text
    assert report.cases[0].target == "port" and report.stopped == "PORT on NAME"


def _device(serial: str) -> hardware_report.ReportedDevice:
    return hardware_report.ReportedDevice(
        target="port",
        simulated=False,
        protocol=2,
        firmware="1.2.3",
        period_us=10000,
        ttl_max_ms=200,
        caps=8,
        schema_hash="00000000",
        serial_sha256=serial,
    )


def test_a_serial_number_is_hashed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = tmp_path / "by-id" / "usb-Acme_SN4711"
    name.parent.mkdir()
    os.symlink("/dev/null", name)
    monkeypatch.setattr(hardware_report, "list_ports", lambda: [PortInfo(str(name), "/dev/null", "", "", "")])
    expected = hashlib.sha256(b"usb-Acme_SN4711").hexdigest()[:16]
    assert hardware_report._serial_hash(str(name)) == hardware_report._serial_hash("/dev/null") == expected
    assert [hardware_report._serial_hash(url) for url in ("/dev/zero", "socket://a:1", "sim")] == ["", "", ""]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not a report"),
        ("[]", "not a report"),
        ('{"format": 1}', "not a report"),
        ("NEW", "format = 2: this version reads 1 to 1"),
        ("[" * 100_000, "not a report"),
    ],
    ids=["cut", "array", "missing", "later", "deep"],
)
def test_another_file_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "r.json"
    report = made()
    report.format = 2
    hardware_report.write(report, path)
    if text != "NEW":
        path.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(words)) as error:
        hardware_report.read(path)
    assert str(path) in str(error.value)
    path.write_text("x" * (1 << 21))
    with pytest.raises(ConfigError, match="at most"):
        hardware_report.read(path)


def test_the_table_in_the_documentation_has_the_columns_of_a_row() -> None:
    text = (DOCS / "hil_hardware.md").read_text(encoding="utf-8")
    (head,) = re.findall(r"^\| day \|.*$", text, re.MULTILINE)
    assert head.count("|") == hardware_report.row(made()).count("|")
    rows = re.findall(r"^\| 20\d\d-.*$", text, re.MULTILINE)
    assert all(line.count("|") == head.count("|") and "sim" not in line.split("|")[3] for line in rows)


def test_hostile_text_is_shown_as_it_is_or_refused(tmp_path: Path) -> None:
    """No markup of a file acts on the terminal, and text without bytes is refused."""
    path = tmp_path / "report.json"
    report = made()
    device = _device("")
    device.rows = [hardware_report.ReportedRow(name="[/red]", unit="N", min=0.0, max=1.0, safe="[/red][bold]x")]
    report.devices = [device]
    hardware_report.write(report, path)
    done = CliRunner().invoke(command, ["show", str(path)])
    assert done.exit_code == 0 and "[/red][bold]x" in done.output
    path.write_text(path.read_text().replace('"stopped": ""', '"stopped": "\\ud800"'), encoding="utf-8")
    with pytest.raises(ConfigError, match="not a report"):
        hardware_report.read(path)


def test_a_report_that_cannot_be_written_is_refused_before_a_suite_runs(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    given = ["run", "--target", "sim", "--only", "drop", "--report"]
    with pytest.raises(ConfigError, match="is not a folder"):
        CliRunner().invoke(command, [*given, str(tmp_path / "file" / "a.json")], catch_exceptions=False)
    with pytest.raises(ConfigError, match="is a folder"):
        CliRunner().invoke(command, [*given, ""], catch_exceptions=False)
