"""A learner from its configuration, or from a checkpoint."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rtu_edge._base.errors import ConfigError
from rtu_edge._base.validation import check_choice
from rtu_edge.learn import checkpoint
from rtu_edge.learn.footprint import footprint
from rtu_edge.learn.kinds import KINDS

__all__ = ["decode", "load", "make", "restore"]

# Allowance for a learner in a file beyond twice the file's size: an arena is about as large as its checkpoint, and
# small layers are padded to the vector width.
_ARENA_BYTES = 32 << 20


def make(config: Mapping[str, Any], most: int | None = None) -> Any:
    """A learner from its `config`.

    Args:
        config: a learner's `config`, possibly untrusted.
        most: limit of its arena in bytes, checked before allocation. None: no limit.

    Raises:
        ConfigError: an unknown kind, an invalid argument, or an arena larger than `most`.
    """
    settings = dict(config)
    kind = check_choice("kind", settings.pop("kind", None), tuple(KINDS))
    if unknown := sorted(set(settings) - set(inspect.signature(KINDS[kind]).parameters)):
        raise ConfigError(f"{kind}: unknown {', '.join(map(repr, unknown))}; a newer version of rtu_edge may know it")
    try:
        if most is not None:
            _check_arena({**settings, "kind": kind}, most)
        return KINDS[kind](**settings)
    except TypeError as error:
        raise ConfigError(f"{kind}: {error}") from None


def _check_arena(config: Mapping[str, Any], most: int) -> None:
    """Raises ConfigError."""
    nbytes = footprint(config).nbytes
    if nbytes > most:
        raise ConfigError(f"a learner of {nbytes:,} bytes; at most {most:,} are taken for a file of its size")


def load(path: str | Path) -> Any:
    """The learner that a checkpoint holds, ready to resume from its saved state.

    Raises:
        CheckpointError: cut short, damaged, of another version or layout; the message names the reason.
        OSError: the file cannot be read.
    """
    return decode(checkpoint.read_bytes(path), path)


def decode(data: bytes, path: str | Path = "checkpoint") -> Any:
    """The learner that a checkpoint's bytes hold; see load()."""
    config = checkpoint.read_config(data, path)
    try:
        learner = make(checkpoint.complete(config), 2 * len(data) + _ARENA_BYTES)
    except ValueError as error:
        raise checkpoint.CheckpointError(f"{path}: its configuration is refused: {error}") from None
    restore(learner, data, path)
    return learner


def restore(learner: Any, data: bytes, path: str | Path = "checkpoint") -> None:
    """Puts the state of a checkpoint's bytes into a learner of the same layout.

    Raises:
        CheckpointError: as load(); the learner is unchanged.
    """
    status, where = learner.core.load(data)
    checkpoint.raise_for(status, where, path)
