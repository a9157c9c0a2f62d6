"""Output files of a suite, from synthetic results: JUnit, JSON, the page."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from rtu_edge.hil.case import Result
from rtu_edge.hil.report import write_report
from rtu_edge.hil.run import Report


@pytest.fixture
def report() -> Report:
    common = {"kind": "drop", "target": "process", "seconds": 1.25}
    good = Result(
        name="no command arrives",
        expected="goes_safe",
        response="goes_safe",
        passed=True,
        detected_ms=12.5,
        detected_by="host: missed",
        safe_ms=100.0,
        safe_limit_ms=105.0,
        accepted_after=0,
        recovery_ms=70.0,
        timeline=[(-300.0, 2, 0.5), (0.0, 2, 0.5), (100.0, 3, 0.0), (500.0, 3, 0.0)],
        fault_ms=500.0,
        settings={"direction": "to_device", "rate": 1.0},
        **common,  # type: ignore[arg-type]
    )
    bad = Result(
        name="a <false> trip & more",
        expected="rides_through",
        response="goes_safe",
        why=["goes safe, expected rides through"],
        message="output \x1b[1m<nonsense>\x00",
        log="logs/x.jsonl",
        **common,  # type: ignore[arg-type]
    )
    broken = Result(name="never ran", expected="goes_safe", why=["no answer"], **common)  # type: ignore[arg-type]
    skipped = Result(name="restart", kind="reset", target="/dev/x", expected="goes_safe", skipped="cannot reset")
    return Report(
        suite="made up",
        seed=1,
        started="today",
        ttl_ms=95.0,
        results=[good, bad, broken, skipped],
        host={"cores": "2"},
    )


def test_junit(report: Report, tmp_path: Path) -> None:
    write_report(report, tmp_path)
    root = ET.parse(tmp_path / "junit.xml").getroot()
    process, port = root.findall("testsuite")
    assert process.attrib["tests"] == "3" and process.attrib["failures"] == "1" and process.attrib["errors"] == "1"
    assert port.attrib["skipped"] == "1"
    cases = {case.attrib["name"]: case for case in root.iter("testcase")}
    failure = cases["a <false> trip & more"].find("failure")
    assert failure is not None and failure.attrib["message"] == "goes safe, expected rides through"
    assert failure.text is not None and "logs/x.jsonl" in failure.text
    measured = {p.attrib["name"]: p.attrib["value"] for p in cases["no command arrives"].iter("property")}
    assert measured["safe_ms"] == "100.0" and measured["accepted_after"] == "0"
    assert cases["never ran"].find("error") is not None
    assert cases["restart"].find("skipped") is not None


def test_json_comes_back_as_it_was(report: Report, tmp_path: Path) -> None:
    write_report(report, tmp_path)
    assert msgspec.json.decode((tmp_path / "results.json").read_bytes(), type=Report) == report


def test_the_page_stands_alone_and_escapes_everything(report: Report, tmp_path: Path) -> None:
    class Page(HTMLParser):
        open: list[str]

        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag not in ("meta",):
                self.open.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert self.open.pop() == tag

        def handle_startendtag(self, tag: str, attrs: object) -> None:
            pass

    text = write_report(report, tmp_path).read_text()
    page = Page()
    page.open = []
    page.feed(text)
    assert page.open == []
    assert re.findall(r"""(?:src|href)=["'](?!#|data:)""", text) == []
    assert "1 of 3 as expected" in text and "expected: rides through" in text
    assert "a &lt;false&gt; trip &amp; more" in text and "<nonsense>" not in text
    assert "not run: cannot reset" in text
    assert text.count('class="safe"') == 1


def test_passed_means_all_that_could_be_run(report: Report) -> None:
    assert not report.passed
    report.results = [result for result in report.results if result.passed or result.skipped]
    assert report.passed
    report.results = []
    assert not report.passed
