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
    "SafetyStop",
    "cause_of",
    "missing_package",
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
    """A checkpoint that is cut short, damaged, of another version or layout, or of a learner that is not finite."""


class CheckFailed(RuntimeError):
    """Something was verified and found wrong."""


class DeviceError(RuntimeError):
    """The device or its port cannot be used."""


class SafetyStop(RuntimeError):
    """The device or its operator stopped the run."""


class DeadlineError(RuntimeError):
    """The loop cannot keep its period."""


# What a person can do about an error of the file system.
_ADVICE = {
    errno.ENOSPC: "make room on this disk",
    errno.EDQUOT: "make room within this user's quota",
    errno.EFBIG: "raise this user's limit for the size of a file (ulimit -f)",
    errno.EROFS: "mount it writable, or name another folder",
    errno.EACCES: "give this user the right to write there, or name another folder",
    errno.EIO: "the medium has failed: check it, and copy what can still be read",
}


# Package on PyPI -> modules of it that the commands need.
_PACKAGES = {
    "pyserial": "serial",
    "gymnasium": "gymnasium",
    **{name: name for name in ("lz4", "matplotlib", "mcap", "msgspec", "numpy", "onnx", "onnxruntime", "rich")},
}


def missing_package(error: ImportError) -> str:
    """A sentence with the command that installs what could not be imported; "" where that is no known package."""
    module = (error.name or "").partition(".")[0]
    for package, name in _PACKAGES.items():
        if name == module:
            return f"{module} is not installed: pip install {package}"
    return ""


def cause_of(error: OSError) -> str:
    """What an error of the system is, without its number and path, and what to do about it where that is known."""
    reason = error.strerror or str(error)
    advice = _ADVICE.get(error.errno or 0)
    return f"{reason}: {advice}" if advice else reason
