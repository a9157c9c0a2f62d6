"""Checkpoint files: whole or not at all. The bytes are the core's (docs/checkpoint.md)."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rtu_edge import _core
from rtu_edge.errors import CheckpointError

__all__ = ["CheckpointError", "encode_config", "raise_for", "read_config", "write"]

# native/core/status.h
_REASONS = {
    -5: "not a checkpoint: it does not begin with RTUEDGE",
    -6: "a checkpoint of version {version}; this build reads version {known}",
    -7: "a checkpoint of another layout: sizes or options differ",
    -8: "cut short or too long",
    -9: "damaged: its checksum does not fit its bytes",
    -10: "{where} holds a value that is not finite",
}


def encode_config(config: Mapping[str, Any]) -> str:
    """The configuration as the text inside a checkpoint: JSON, sorted keys."""
    return json.dumps(config, sort_keys=True, separators=(",", ":"))


def raise_for(status: int, where: str, path: str | Path, version: int = 0) -> None:
    """Raises CheckpointError for a negative status of the core."""
    if status != 0:
        reason = _REASONS.get(status, f"refused with status {status}")
        raise CheckpointError(f"{path}: " + reason.format(where=where, version=version, known=_core.checkpoint_version))


def read_config(data: bytes, path: str | Path = "checkpoint") -> dict[str, Any]:
    """The configuration inside a checkpoint's bytes, after its frame was found whole.

    Raises:
        CheckpointError: cut short, damaged, of another version.
    """
    status, version, text, _ = _core.open_checkpoint(data)
    raise_for(status, "", path, version)
    try:
        config = json.loads(text)
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        raise CheckpointError(f"{path}: it holds no configuration")
    return config


def write(path: str | Path, data: bytes) -> None:
    """Replaces the file at `path` by `data`: written beside it, synced, renamed, the folder synced.

    At any moment the old or the new file is there in full, also when power fails.

    Raises:
        OSError: the folder cannot be written; the old file is as it was.
    """
    import tempfile  # a fifth of the package's import time, for writing only

    path = Path(path)
    folder = path.parent
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
