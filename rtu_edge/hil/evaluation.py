"""Compares the result of a case with the expected outcome."""

from __future__ import annotations

from rtu_edge.device.protocol import DeviceState
from rtu_edge.hil.faults import By, Fault, Response
from rtu_edge.hil.result import Result

__all__ = ["check_error", "evaluate"]


def evaluate(result: Result, fault: Fault) -> None:
    """Compare with the expected outcome; one sentence per difference."""
    why = result.why
    if result.response != fault.expect.value:
        why.append(f"{result.response.replace('_', ' ')}, expected {fault.expect.value.replace('_', ' ')}")
    if not result.acted:
        why.append("the fault never acted")
    if result.response in (Response.GOES_SAFE.value, Response.RESUMES.value):
        _check_safe(result, fault)
    elif result.accepted_after:
        why.append(f"{result.accepted_after} commands of an earlier session accepted")
    if fault.reasons and result.reason not in fault.reasons:
        why.append(f"the host sends {result.reason}, expected {' or '.join(fault.reasons)}")
    if result.foreign:
        why.append(f"the device applied values that were not commanded, in {result.foreign} periods")
    check_error(result, fault)
    limit = fault.detect_within_ms
    if limit and (result.detected_ms is None or result.detected_ms > limit):
        why.append(f"noticed after {result.detected_ms} ms, allowed {limit:g} ms")
    if result.recovery_ms is None:
        if not any("no recovery" in reason for reason in why):
            why.append("no command was accepted after the fault")
    elif result.recovery_ms > fault.recover_within_s * 1e3:
        why.append(f"recovery took {result.recovery_ms:g} ms, allowed {fault.recover_within_s * 1e3:g} ms")
    result.passed = not why


def check_error(result: Result, fault: Fault) -> None:
    """The host's error has the words that the fault names."""
    wanted = fault.error
    if wanted not in result.message:
        result.why.append(f'the host\'s error does not contain "{wanted}": {result.message}')


def _check_safe(result: Result, fault: Fault) -> None:
    why = result.why
    assert result.safe_limit_ms is not None
    if result.safe_ms is None:
        why.append("time to safe could not be measured")
    elif result.safe_ms > result.safe_limit_ms:
        why.append(f"safe after {result.safe_ms:g} ms, allowed {result.safe_limit_ms:g} ms")
    if result.accepted_after is None:
        why.append("commands accepted after the end could not be counted")
    elif result.accepted_after:
        why.append(f"{result.accepted_after} commands accepted after the end")
    if fault.by is not By.ANY:
        state = next((s for t, s, _ in result.timeline if t >= 0 and s not in (2, 5)), None)
        by = By.HOST if state == DeviceState.DISARMED and result.kind != "reset" else By.DEVICE
        if by is not fault.by:
            why.append(f"the session was ended by the {by.value}, expected the {fault.by.value}")
