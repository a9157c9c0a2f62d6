"""Learners: StreamAC for control, TDPredictor and OnlineRegressor for signals.

Each is a thin face over one arena of the core: these classes check and name, the core computes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rtu_edge import checkpoint
from rtu_edge._check import check_choice
from rtu_edge.agents.base import Learner
from rtu_edge.agents.signals import OnlineRegressor, TDPredictor
from rtu_edge.agents.stream_ac import StreamAC
from rtu_edge.errors import ConfigError

__all__ = ["KINDS", "OnlineRegressor", "StreamAC", "TDPredictor", "decode", "load", "make", "restore"]

KINDS: dict[str, type[Learner]] = {cls.kind: cls for cls in (StreamAC, TDPredictor, OnlineRegressor)}


def make(config: Mapping[str, Any]) -> Any:
    """A learner from its `config`.

    Raises:
        ConfigError: an unknown kind, or an argument that the class refuses.
    """
    settings = dict(config)
    kind = check_choice("kind", settings.pop("kind", None), tuple(KINDS))
    try:
        return KINDS[kind](**settings)
    except TypeError as error:
        raise ConfigError(f"{kind}: {error}") from None


def load(path: str | Path) -> Any:
    """The learner that a checkpoint holds, ready to go on from where it was saved.

    Raises:
        CheckpointError: cut short, damaged, of another version or layout; the message says which.
        OSError: the file cannot be read.
    """
    return decode(Path(path).read_bytes(), path)


def decode(data: bytes, path: str | Path = "checkpoint") -> Any:
    """The learner that a checkpoint's bytes hold; see load()."""
    config = checkpoint.read_config(data, path)
    try:
        learner = make(config)
    except ValueError as error:
        raise checkpoint.CheckpointError(f"{path}: its configuration is refused: {error}") from None
    restore(learner, data, path)
    return learner


def restore(learner: Any, data: bytes, path: str | Path = "checkpoint") -> None:
    """Puts the state of a checkpoint's bytes into a learner of the same layout.

    Raises:
        CheckpointError: as load(); the learner is as it was.
    """
    status, where = learner.core.load(data)
    checkpoint.raise_for(status, where, path)
