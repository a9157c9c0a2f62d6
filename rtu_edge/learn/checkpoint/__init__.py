"""Checkpoints of a learner (docs/checkpoint.md): `text` in addition to the state in a checkpoint's bytes, `slots` on
the disk.
"""

from __future__ import annotations

from rtu_edge.learn.checkpoint.text import (
    CheckpointError,
    DamagedError,
    check_saved,
    complete,
    encode_config,
    raise_for,
    read_beside,
    read_bytes,
    read_config,
    read_text,
    read_whole,
    stored_config,
)

__all__ = [
    "CheckpointError",
    "DamagedError",
    "check_saved",
    "complete",
    "encode_config",
    "raise_for",
    "read_beside",
    "read_bytes",
    "read_config",
    "read_text",
    "read_whole",
    "stored_config",
]
