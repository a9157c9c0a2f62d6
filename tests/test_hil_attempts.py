"""Faults that are tried again because the host was busy."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from rtu_edge._base.errors import ConfigError, DeviceError
from rtu_edge.hil import attempts
from rtu_edge.hil import case as case_module
from rtu_edge.hil.case import Result, run_case
from rtu_edge.hil.suite import load_suite


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Sleeps that end late, one after the other; then they end in time."""
    late_s: list[float] = []
    now_s = [0.0]

    def sleep(seconds: float) -> None:
        now_s[0] += seconds + (late_s.pop(0) if late_s else 0.0)

    monkeypatch.setattr(attempts.time, "monotonic", lambda: now_s[0])
    monkeypatch.setattr(attempts.time, "sleep", sleep)
    return late_s


def test_it_waits_for_half_a_second_without_a_late_sleep(clock: list[float]) -> None:
    begin_s = attempts.time.monotonic()
    assert attempts.wait_quiet(0.01, 20.0)
    assert attempts.time.monotonic() - begin_s == pytest.approx(0.5, abs=0.005)
    clock += [0.0] * 100 + [0.02]
    begin_s = attempts.time.monotonic()
    assert attempts.wait_quiet(0.01, 20.0)
    assert attempts.time.monotonic() - begin_s == pytest.approx(101 * 0.003 + 0.02 + 0.5, abs=0.005)
    clock += [0.02] * 10_000
    assert not attempts.wait_quiet(0.01, 20.0)


@pytest.mark.parametrize(
    ("disturbed", "armed", "most"), [(False, False, 1), (True, False, 6), (False, True, 1), (True, True, 2)]
)
def test_only_a_disturbed_host_excuses_further_attempts(
    clock: list[float], disturbed: bool, armed: bool, most: int
) -> None:
    again = [attempts.try_again(n, disturbed=disturbed, armed=armed) for n in range(1, 8)]
    assert again == [n < most for n in range(1, 8)] and clock == []


def test_the_longest_wait_of_a_thread_between_two_samples_counts() -> None:
    count = {"a": 10**12, "b": 0}
    with attempts.HostWatch() as watch:
        pass  # its thread has ended: samples of the test only
    watch.longest_s = 0.0
    watch.take({})
    waits = [{"a": 0, "b": 0}, {"a": 4_000_000, "b": 3_000_000}, {"a": 1_000_000, "b": 45_000_000}, {"a": 0, "b": 0}]
    seen = []
    for wait in waits:
        count = {name: count[name] + wait[name] for name in count}
        watch.take({(1, name): value for name, value in count.items()})
        seen.append(watch.longest_s)
    assert seen == pytest.approx([0.0, 0.004, 0.045, 0.045])


def test_children_of_children_are_watched() -> None:
    code = "import subprocess, sys; subprocess.run(['sleep', '20'])"
    with subprocess.Popen([sys.executable, "-c", code], start_new_session=True) as child:
        try:
            until = time.monotonic() + 10
            while len(found := attempts.descendants(child.pid)) < 2 and time.monotonic() < until:
                time.sleep(0.02)
            assert found[0] == child.pid and len(found) == 2
            assert set(found) < set(attempts.descendants(os.getpid()))
        finally:
            os.killpg(child.pid, signal.SIGKILL)


@pytest.mark.parametrize(("waited_s", "attempted"), [(0.0, 1), (0.002, 1), (0.004, 6)])
def test_firmware_that_reports_skipped_periods_excuses_itself_only_on_a_late_host(
    monkeypatch: pytest.MonkeyPatch, waited_s: float, attempted: int
) -> None:
    def run(case: Any, target: object) -> Result:
        case.host.close()
        case.host.longest_s, case.late = waited_s, True
        case.result.why.append("not safe")
        return case.result

    monkeypatch.setattr(case_module._Case, "run", run)
    monkeypatch.setattr(attempts, "wait_quiet", lambda *_: True)
    suite = load_suite()
    result = run_case(suite, suite.faults[0], lambda: contextlib.nullcontext(None))  # type: ignore[arg-type]
    assert result.attempts == attempted
    assert any("no verdict" in why for why in result.why) == (attempted > 1)


@pytest.mark.parametrize(
    ("waited_s", "kind", "attempted"), [(0.02, DeviceError, 1), (0.04, DeviceError, 6), (0.04, ConfigError, 1)]
)
def test_a_device_that_does_not_start_is_tried_once_on_a_quiet_host(
    monkeypatch: pytest.MonkeyPatch, waited_s: float, kind: type[Exception], attempted: int
) -> None:
    def run(case: Any, target: object) -> Result:
        case.host.close()
        case.host.longest_s = waited_s
        raise kind("no HELLO")

    monkeypatch.setattr(case_module._Case, "run", run)
    monkeypatch.setattr(attempts, "wait_quiet", lambda *_: True)
    suite = load_suite()
    result = run_case(suite, suite.faults[0], lambda: contextlib.nullcontext(None))  # type: ignore[arg-type]
    assert (result.attempts, result.why[0]) == (attempted, "no HELLO")
