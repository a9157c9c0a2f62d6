"""Errors that users catch. Each is a ValueError: the arguments or a file are wrong, and nothing has changed."""

from __future__ import annotations

__all__ = ["CheckpointError", "ConfigError"]


class ConfigError(ValueError):
    """A configuration cannot be used: the message names the path, the value and what is allowed."""


class CheckpointError(ValueError):
    """A checkpoint cannot be read: cut short, damaged, of another version or of another layout."""
