"""Reports of a suite: JUnit XML for CI servers, JSON for programs, an HTML page."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec

from rtu_edge.hil.case import Result
from rtu_edge.hil.run import Report

__all__ = ["write_json", "write_junit", "write_report"]


def write_report(report: Report, folder: Path) -> Path:
    """Write junit.xml, results.json and report.html into a folder; return the page's path."""
    from rtu_edge.hil.page import page

    folder.mkdir(parents=True, exist_ok=True)
    write_junit(report, folder / "junit.xml")
    write_json(report, folder / "results.json")
    path = folder / "report.html"
    path.write_text(page(report), encoding="utf-8")
    return path


def write_json(report: Report, path: Path) -> None:
    """Write all measurements; `msgspec.json.decode(text, type=Report)` reads it."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")


def write_junit(report: Report, path: Path) -> None:
    """Write JUnit XML: a test suite for each target, a test case for each fault."""
    root = ET.Element("testsuites", name=report.suite, time=f"{report.seconds:.3f}")
    for target in report.targets:
        results = report.of(target)
        suite = ET.SubElement(
            root,
            "testsuite",
            name=f"{report.suite} on {target}",
            tests=str(len(results)),
            failures=str(sum(not r.passed and not r.skipped and r.response != "error" for r in results)),
            errors=str(sum(not r.skipped and r.response == "error" for r in results)),
            skipped=str(sum(bool(r.skipped) for r in results)),
            time=f"{math.fsum(r.seconds for r in results):.3f}",
        )
        for result in results:
            _case(suite, result)
    ET.indent(root)
    ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def _case(suite: ET.Element, result: Result) -> None:
    case = ET.SubElement(
        suite, "testcase", classname=f"hil.{result.target}", name=result.name, time=f"{result.seconds:.3f}"
    )
    properties = ET.SubElement(case, "properties")
    for name in _MEASURED:
        value = getattr(result, name)
        if value not in (None, ""):
            ET.SubElement(properties, "property", name=name, value=_plain(str(value)))
    if result.skipped:
        ET.SubElement(case, "skipped", message=result.skipped)
    elif not result.passed:
        kind = "error" if result.response == "error" else "failure"
        failed = ET.SubElement(case, kind, message=_plain("; ".join(result.why)))
        failed.text = _plain("\n".join(part for part in (result.message, result.log and f"log: {result.log}") if part))


def _plain(text: str) -> str:
    """Text without characters that XML forbids."""
    return "".join(c for c in text if c in "\t\n" or " " <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd")


_MEASURED = (
    "kind",
    "expected",
    "response",
    "detected_ms",
    "detected_by",
    "safe_ms",
    "safe_limit_ms",
    "accepted_after",
    "foreign",
    "recovery_ms",
    "reason",
    "acted",
    "attempts",
)
