"""The errors that rtu_edge raises, and the exit codes of its command line."""

from __future__ import annotations

import enum
from collections.abc import Sequence

__all__ = [
    "CheckFailed",
    "CheckpointError",
    "ConfigError",
    "DeadlineError",
    "DeviceError",
    "ExitCode",
    "SafetyStop",
]


class ExitCode(enum.IntEnum):
    """What a process of `rtu-edge` ends with; the one home of these numbers."""

    OK = 0
    CHECK_FAILED = 1
    USAGE = 2
    DEVICE = 3
    SAFETY_STOP = 4
    DEADLINE = 5


class ConfigError(ValueError):
    """A configuration that is not usable.

    Args:
        problems: one sentence, or one per problem found.
        source: where the configuration came from, such as a file's path.
    """

    def __init__(self, problems: str | Sequence[str], source: str = "") -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        self.source = source
        prefix = f"{source}: " if source else ""
        super().__init__("\n".join(prefix + problem for problem in self.problems))


class CheckpointError(ValueError):
    """A checkpoint that is cut short, damaged, or of another version or layout."""


class CheckFailed(RuntimeError):
    """Something was verified and found wrong."""


class DeviceError(RuntimeError):
    """The device or its port cannot be used."""


class SafetyStop(RuntimeError):
    """The device or its operator stopped the run."""


class DeadlineError(RuntimeError):
    """The loop cannot keep its period."""
