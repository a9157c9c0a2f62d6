"""Stop reasons that are errors: of the device and its link, or safety stops."""

from __future__ import annotations

import dataclasses
import shlex

from rtu_edge._base.errors import CheckFailed, DeviceError, SafetyStop
from rtu_edge.loop.flags import StopReason
from rtu_edge.loop.loop import LoopResult

__all__ = ["error_for", "error_of", "with_port"]

_SAFETY_REASONS = frozenset(
    {
        StopReason.ESTOP,
        StopReason.DEVICE_SAFE,
        StopReason.DEVICE_FAULT,
        StopReason.POLICY,
        StopReason.REWARD,
        StopReason.SENSOR,
        StopReason.CHECK,
        StopReason.NOT_READY,
        StopReason.HOMING,
    }
)
_DEVICE_REASONS = frozenset(
    {
        StopReason.DEVICE_RESTART,
        StopReason.HALF_OPEN,
        StopReason.LINK_LOST,
        StopReason.ARM_REFUSED,
        StopReason.RESET_TIMEOUT,
    }
)


def with_port(result: LoopResult, url: str) -> LoopResult:
    """Completes the commands in a message: to clear a latched stop, to read the observations."""
    message = result.message
    for command in ("clear", "monitor"):
        message = message.replace(f"`rtu-edge {command}`", f"`rtu-edge {command} {shlex.quote(url)}`")
    return dataclasses.replace(result, message=message)


def error_for(reason: StopReason, said: str) -> SafetyStop | DeviceError | None:
    """The error for this stop reason, or None.

    Args:
        said: its text.
    """
    if reason in _DEVICE_REASONS:
        return DeviceError(said)
    return SafetyStop(said) if reason in _SAFETY_REASONS else None


def error_of(
    result: LoopResult, fallback_error: BaseException | None = None
) -> SafetyStop | DeviceError | CheckFailed | None:
    """The error to raise after this loop, or None.

    Args:
        fallback_error: the exception of a Python fallback.
    """
    said = f"{result.reason.value}: {result.message}"
    if fallback_error is not None:
        said += f"; the fallback raised {type(fallback_error).__name__}: {fallback_error}"
    error: SafetyStop | DeviceError | CheckFailed | None = error_for(result.reason, said)
    if error is None and not result.confirmed:
        error = SafetyStop(said)
    if error is None and fallback_error is not None:
        error = CheckFailed(said)
    if error is not None:
        error.__cause__ = fallback_error
    return error
