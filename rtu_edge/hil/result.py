"""Result of a fault, as stored in the report."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["Result"]


class Result(msgspec.Struct, kw_only=True):
    """Result of a fault.

    Args:
        name, kind, target, expected: identify the case.
        response: a value of Response, or "error" if the case could not be run.
        passed: as expected, within all bounds.
        why: the deviations; empty if passed.
        skipped: reason why it was not run; "" if it was.
        detected_ms, detected_by: from the fault's beginning until host or device noticed, and how; None: not noticed.
        safe_ms, safe_limit_ms: time to safe by the device's clock (lockstep: by the host's, at its end of the bridge),
        and its bound. accepted_after: commands that the device accepted after that, or of an earlier session; must be
        0. foreign: periods in which it applied values that were not commanded; must be 0.
        recovery_ms: from the fault's end until it accepted commands again.
        fallback: reason why the fallback drove, if it did.
        reason, message: result of the host.
        acted: number of times that the fault acted.
        attempts: more than 1 when the host was disturbed at first.
        fault_ms: when the fault ended, from its beginning.
        timeline: ms from the fault's beginning, device state, first actuator.
        log: path of the trace, for a failure.
    """

    name: str
    kind: str
    target: str
    expected: str
    response: str = "error"
    passed: bool = False
    why: list[str] = []
    skipped: str = ""
    detected_ms: float | None = None
    detected_by: str = ""
    safe_ms: float | None = None
    safe_limit_ms: float | None = None
    accepted_after: int | None = None
    foreign: int = 0
    recovery_ms: float | None = None
    fallback: list[str] = []
    reason: str = ""
    message: str = ""
    acted: int = 0
    attempts: int = 1
    seconds: float = 0.0
    fault_ms: float = 0.0
    timeline: list[tuple[float, int, float]] = []
    device_counters: dict[str, int] = {}
    host_counters: dict[str, int] = {}
    settings: dict[str, Any] = {}
    log: str = ""

    def __repr__(self) -> str:
        return f"<{self.name} on {self.target}: {self.response.replace('_', ' ')}>"
