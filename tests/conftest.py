"""What a test wants printed whole after the run: record_property("table", text). SIGHUP as a terminal leaves it. No telemetry."""

import signal

import pytest

from rtu_edge.export.probe import without_telemetry

without_telemetry()  # before any test imports onnxruntime itself

# A runner under nohup ignores it, every process that a test starts would inherit that, and rtu_edge keeps to it.
if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for report in terminalreporter.stats.get("passed", []) + terminalreporter.stats.get("failed", []):
        for name, text in getattr(report, "user_properties", []):
            if name == "table":
                terminalreporter.section(report.nodeid)
                terminalreporter.write_line(text)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all-cells", action="store_true", help="Run each cell of the table in docs/estop.md.")
