"""When a fault is tried again: the host, not the fault, may have caused what was seen."""

from __future__ import annotations

import time

__all__ = ["DISTURBED_S", "try_again", "wait_quiet"]

DISTURBED_S = 0.03  # s; a sleep that ends so late may have caused a stop
_ATTEMPTS = 6  # at most, while this host is seen to be disturbed
_UNCLEAR = 2  # at most, when it is not, or when the plant moves each time
_QUIET_S = 20.0  # s, at most, before a further attempt
_LOOK_S = 0.003
_WINDOW_S = 0.5


def try_again(attempt: int, *, disturbed: bool, unclear: bool, armed: bool) -> bool:
    """Decide after a failure; before a further attempt wait until this host is quiet.

    Args:
        attempt: number of this one, from 1.
        disturbed: a process of the test was seen to be late. unclear: it failed without a verdict.
        armed: real hardware moves.

    Returns:
        True if the fault is to be tried again.
    """
    most = _ATTEMPTS if disturbed and not armed else _UNCLEAR if disturbed or unclear else 1
    if attempt >= most:
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
