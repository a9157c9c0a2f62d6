"""What a test wants printed whole after the run: record_property("table", text)."""

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for report in terminalreporter.stats.get("passed", []) + terminalreporter.stats.get("failed", []):
        for name, text in getattr(report, "user_properties", []):
            if name == "table":
                terminalreporter.section(report.nodeid)
                terminalreporter.write_line(text)
