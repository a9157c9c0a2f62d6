"""The errors that rtu_edge raises, and the exit codes of its command line."""

from __future__ import annotations

import enum
import errno
from collections.abc import Sequence

__all__ = [
    "CheckFailed",
    "CheckpointError",
    "ConfigError",
    "DeadlineError",
    "DeviceError",
    "ExitCode",
    "LearnerWarning",
    "SafetyStop",
    "cause_of",
]


class ExitCode(enum.IntEnum):
    """Exit codes of `rtu-edge`; the only definition of these numbers."""

    OK = 0
    CHECK_FAILED = 1
    USAGE = 2
    DEVICE = 3
    SAFETY_STOP = 4
    DEADLINE = 5


class ConfigError(ValueError):
    """An invalid configuration.

    Args:
        problems: one sentence, or one per problem found.
        source: origin of the configuration, such as a file's path.
    """

    def __init__(self, problems: str | Sequence[str], source: str = "") -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        self.source = source
        prefix = f"{source}: " if source else ""
        super().__init__("\n".join(prefix + problem for problem in self.problems))


class CheckpointError(ValueError):
    """A checkpoint that is truncated, damaged, of another version or layout, or of a learner that is not finite."""


class LearnerWarning(UserWarning):
    """The learner monitor's windows show a learner that may be locked, has lost its exploration, or diverges."""


class CheckFailed(RuntimeError):
    """A verification failed."""


class DeviceError(RuntimeError):
    """The device or its port cannot be used."""


class SafetyStop(RuntimeError):
    """The device or its operator stopped the run."""


class DeadlineError(RuntimeError):
    """The loop cannot keep its period."""


# Remedies for file system errors.
_ADVICE = {
    errno.ENOSPC: "free space on this disk",
    errno.EDQUOT: "free space within this user's quota",
    errno.EFBIG: "raise this user's limit for the size of a file (ulimit -f)",
    errno.EROFS: "mount it writable, or name another folder",
    errno.EACCES: "give this user the right to write there, or name another folder",
    errno.EIO: "the medium has failed: check it, and copy what can still be read",
}


def cause_of(error: OSError) -> str:
    """The message of a system error, without its number and path, with a remedy if known."""
    reason = error.strerror or str(error)
    advice = _ADVICE.get(error.errno or 0)
    return f"{reason}: {advice}" if advice else reason
