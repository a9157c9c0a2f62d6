"""When a fault is tried again: the host, not the fault, may have caused what was seen.

Only the host is evidence of that: sleeps of the test, and the kernel's count of how long each of its threads was ready
and had no processor. What the device reports is none, since faulty firmware would excuse itself.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time

from rtu_edge._base.closing import Closing

__all__ = ["DISTURBED_S", "LATE_S", "HostWatch", "descendants", "try_again", "wait_quiet"]

DISTURBED_S = 0.03  # s; a sleep that ends so late, or such a wait for a processor, may have caused a stop
LATE_S = 0.003  # s; a wait for a processor that explains a late or skipped period
_ATTEMPTS = 6  # at most, while this host is seen to be disturbed
_ARMED = 2  # the same, when the plant moves each time
_QUIET_S = 20.0  # s, at most, before a further attempt
_LOOK_S = 0.003
_WINDOW_S = 0.5
_EVERY_S = 0.02  # s, between two samples
_FAMILY_EVERY = 25  # samples, until new processes are found


class HostWatch(Closing):
    """Measures how long threads of this process and of its descendants wait for a processor.

    By /proc/PID/task/TID/schedstat (Linux): a thread that sleeps, computes or is stopped does not wait. Where the
    kernel does not count, nothing is seen.

    Attributes:
        longest_s: s, the longest wait of a thread so far, summed between two samples.
    """

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._known: dict[tuple[int, str], int] = {}
        self._pids: list[int] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hil host watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread; again is harmless."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        count = 0
        while True:
            if count % _FAMILY_EVERY == 0:
                self._pids = descendants(os.getpid())
            self._sample()
            count += 1
            if self._ended.wait(_EVERY_S):
                self._sample()
                return

    def _sample(self) -> None:
        found = {}
        for pid in self._pids:
            with contextlib.suppress(OSError):
                for thread in os.listdir(f"/proc/{pid}/task"):
                    with open(f"/proc/{pid}/task/{thread}/schedstat", "rb") as file:
                        found[pid, thread] = int(file.read().split()[1])
        self.take(found)

    def take(self, waited_ns: dict[tuple[int, str], int]) -> None:
        """Compare with the sample before: ns that each thread, by process and number, has waited since it began."""
        for thread, now_ns in waited_ns.items():
            self.longest_s = max(self.longest_s, (now_ns - self._known.get(thread, now_ns)) * 1e-9)
        self._known = waited_ns


def descendants(pid: int) -> list[int]:
    """This process, its children, theirs and so on."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            number = int(name)
            with open(f"/proc/{name}/stat", "rb") as file:
                parent = int(file.read().rpartition(b")")[2].split()[1])
            children.setdefault(parent, []).append(number)
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def try_again(attempt: int, *, disturbed: bool, armed: bool) -> bool:
    """Decide after a failure; before a further attempt wait until this host is quiet.

    Args:
        attempt: number of this one, from 1.
        disturbed: a process of the test was seen to be late, by the host.
        armed: real hardware moves.

    Returns:
        True if the fault is to be tried again.
    """
    if not disturbed or attempt >= (_ARMED if armed else _ATTEMPTS):
        return False
    wait_quiet(DISTURBED_S / 3, _QUIET_S)
    return True


def wait_quiet(late_s: float, timeout_s: float) -> bool:
    """Wait for half a second in which no short sleep ended late.

    Args:
        late_s: s, lateness of a sleep that begins the half second again.
        timeout_s: s, returns after this time at the latest.

    Returns:
        False if the host was never quiet.
    """
    begin_s = quiet_s = now_s = time.monotonic()
    while now_s < begin_s + timeout_s:
        time.sleep(_LOOK_S)
        woke_s = time.monotonic()
        if woke_s - now_s - _LOOK_S > late_s:
            quiet_s = woke_s
        elif woke_s - quiet_s >= _WINDOW_S:
            return True
        now_s = woke_s
    return False
