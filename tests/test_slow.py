"""tools/slow.py: the monotonic clock of a process and its waits, at a fraction of their speed."""

from __future__ import annotations

import sys

import pytest
from toolchain import ROOT, run

# Each wait takes 20 ms of the slowed clock; the other clock is the host's.
WAITS = """
import select, threading, time
lock = threading.Lock()
lock.acquire()
waits = {
    "sleep": lambda: time.sleep(0.02),
    "select": lambda: select.select([], [], [], 0.02),
    "poll": lambda: select.poll().poll(20),
    "epoll": lambda: select.epoll().poll(0.02),
    "lock": lambda: lock.acquire(timeout=0.02),
    "event": lambda: threading.Event().wait(0.02),
}
for name, wait in waits.items():
    host_s, slow_s = time.time(), time.monotonic()
    wait()
    print(name, time.time() - host_s, time.monotonic() - slow_s)
"""


@pytest.mark.parametrize("factor", [1, 4])
def test_each_wait_is_longer_by_the_factor(factor: int) -> None:
    said = run(sys.executable, ROOT / "tools" / "slow.py", str(factor), sys.executable, "-c", WAITS)
    rows = [line.split() for line in said.splitlines()]
    assert len(rows) == 6
    for name, host_s, slow_s in rows:
        assert float(host_s) > 0.019 * factor, name  # no upper bound: the host may be busy
        assert float(host_s) / float(slow_s) == pytest.approx(factor, rel=0.15), name


def test_a_wrong_factor_is_refused() -> None:
    with pytest.raises(AssertionError, match="usage"):
        run(sys.executable, ROOT / "tools" / "slow.py", "0.5", "true")
