"""Faults that are tried again because the host was busy."""

from __future__ import annotations

import pytest

from rtu_edge.hil import attempts


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
    ("disturbed", "unclear", "armed", "most"),
    [(False, False, False, 1), (False, True, False, 2), (True, False, False, 6), (True, True, True, 2)],
)
def test_only_a_disturbed_host_excuses_many_attempts(
    clock: list[float], disturbed: bool, unclear: bool, armed: bool, most: int
) -> None:
    again = [attempts.try_again(n, disturbed=disturbed, unclear=unclear, armed=armed) for n in range(1, 8)]
    assert again == [n < most for n in range(1, 8)] and clock == []
