"""Prints tables of tests in full after the run: record_property("table", text). Signals as a terminal leaves them. No
telemetry.
"""

import re
import signal
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from rtu_edge.learn.onnx.probe import without_telemetry

without_telemetry()  # before any test imports onnxruntime itself

# A runner under nohup ignores the first, one started in the background by a script the others; every process that
# a test starts would inherit this, and rtu_edge respects it.
for number, action in (
    (signal.SIGHUP, signal.SIG_DFL),
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGQUIT, signal.SIG_DFL),
):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, action)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `-m timing`, skips the import of files without such a test, which would take seconds; with Python 3.15, of
    files that import onnxruntime, which has no wheels for it.
    """
    if sys.version_info >= (3, 15) and collection_path.match("test_*.py"):
        if re.search(r"^import onnxruntime$", collection_path.read_text("utf-8"), re.MULTILINE):
            return True
    asked = re.match(r"timing( and |$)", config.option.markexpr) and " or " not in config.option.markexpr
    if asked and collection_path.match("test_*.py") and "pytest.mark.timing" not in collection_path.read_text("utf-8"):
        return True
    return None


# Seconds of the files that take longest, on two cores: begun first, so that no worker ends alone with one of them.
LONG = {
    "test_arm.py": 250,
    "test_fuzz.py": 150,
    "test_native.py": 150,
    "test_wheel.py": 90,
    "test_lint.py": 60,
    "test_hil_run.py": 70,
    "test_bus_server.py": 30,
    "test_job.py": 30,
    "test_pytest_plugin.py": 20,
    "test_boards.py": 20,
    "test_upgrade.py": 15,
    "test_estop_late.py": 11,
}


def long_first(items: list[pytest.Item], workers: int) -> list[pytest.Item]:
    """Order tests so that long files begin each worker's share, which `--dist worksteal` cuts from this list."""
    files: dict[str, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path.name, []).append(item)
    shares: list[list[pytest.Item]] = [[] for _ in range(workers)]
    loads = [0] * workers
    for name in sorted(set(LONG) & set(files), key=lambda name: (-LONG[name], name)):
        least = loads.index(min(loads))
        loads[least] += LONG[name]
        shares[least] += files[name]
    rest = [item for item in items if item.path.name not in LONG]
    ordered: list[pytest.Item] = []
    for index, share in enumerate(shares):
        size = (len(items) - len(ordered)) // (workers - index)
        if len(share) > size:
            return items  # a selection of few tests
        ordered += share + rest[: size - len(share)]
        del rest[: size - len(share)]
    return ordered


@pytest.hookimpl(trylast=True)  # after `-m` and `-k`
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    if workers > 1:
        items[:] = long_first(items, workers)
    for item in items:
        if item.get_closest_marker("alone") and not item.get_closest_marker("timing"):
            raise pytest.UsageError(f"{item.nodeid} is marked `alone` and not `timing`: it would run next to others")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """onnxruntime has no wheels for Python 3.15: a test that needs it is skipped there."""
    try:
        return (yield)
    except (ModuleNotFoundError, AssertionError) as error:
        if sys.version_info < (3, 15) or not re.search("onnxruntime(, which)? is not installed", str(error)):
            raise
        pytest.skip("needs onnxruntime")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for report in terminalreporter.stats.get("passed", []) + terminalreporter.stats.get("failed", []):
        for name, text in getattr(report, "user_properties", []):
            if name == "table":
                terminalreporter.section(report.nodeid)
                terminalreporter.write_line(text)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all-cells", action="store_true", help="Run each cell of the table in docs/estop.md.")
