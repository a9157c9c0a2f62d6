"""The metadata in a checkpoint's bytes: text, version, device (docs/checkpoint.md)."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rtu_edge import _core
from rtu_edge._base import old_names
from rtu_edge._base.errors import CheckpointError
from rtu_edge._base.untrusted import parse_json, read_file
from rtu_edge.learn import parameters

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

# native/core/status.h
_REASONS = {
    -5: "not a checkpoint: it does not begin with RTUEDGE",
    -6: "a checkpoint of version {version}; this build reads version {oldest} to {known}",
    -7: "a checkpoint of another layout: sizes or options differ",
    -8: "cut short or too long",
    -9: "damaged: wrong checksum",
    -10: "{where} holds a value that is not finite, or a count that cannot be",
}
_VERSION, _CRC, _VALUE = -6, -9, -10
_DAMAGED = (-5, -8, _CRC, _VALUE)

# The key of the run's data in the text; no learner has an argument of this name.
_RUN = "run"

# Arguments added in later versions, and their value in older configurations. Format 4: normalised observations
# are bounded; a learner of an older file continues without a bound.
_BEFORE = {"observation_bound": 0.0}

# Arguments added since format 4, and the value that is the former behaviour: a file has one only where its value is
# another, so that the version before reads the learners that it knows.
_SINCE = {
    "credit": "rtrl",
    "encoder": [],
    "previous_action": False,
    "previous_reward": False,
    "exploration_correlation": 0.0,
    "actor_warmup": 0,
    "preconditioner": "larger",
    "scale_cumulant": False,
    "beta2": 0.999,
    "head": "td",
    "head_step_size": 0.01,
    "head_bound": 1.0,
    "meta_step_size": 1e-3,
    "step_size_decay": 0.999,
}


class DamagedError(CheckpointError):
    """Damaged bytes, or invalid values: an older checkpoint may be valid."""


def encode_config(config: Mapping[str, Any], run: Mapping[str, Any] | None = None) -> str:
    """The text inside a checkpoint: JSON, sorted keys; the configuration as stored_config() gives it.

    Args:
        config: the learner's.
        run: data for resuming a run, or None.
    """
    told = stored_config(config)
    return json.dumps({**told, _RUN: run} if run else told, sort_keys=True, separators=(",", ":"))


def stored_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """A learner's configuration as files have it: without later arguments at their former behaviour."""
    told = {key: value for key, value in config.items() if key not in _SINCE or value != _SINCE[key]}
    critic = told.get("critic")
    if isinstance(critic, Mapping) and critic.get("trace_decay") == told.get("trace_decay"):
        told["critic"] = {key: value for key, value in critic.items() if key != "trace_decay"}
    return told


def raise_for(status: int, where: str, path: str | Path, version: int = 0) -> None:
    """Raises CheckpointError for a negative status of the core."""
    if status != 0:
        reason = _REASONS.get(status, f"refused with status {status}")
        known, oldest = _core.checkpoint_version, _core.oldest_checkpoint_version
        text = reason.format(where=where, version=version, known=known, oldest=oldest)
        raise (DamagedError if status in _DAMAGED else CheckpointError)(f"{path}: {text}")


def read_bytes(path: str | Path, follow: bool = True) -> bytes:
    """The bytes of a supposed checkpoint file.

    Args:
        path: the file.
        follow: a symbolic link is followed.

    Raises:
        CheckpointError: not a regular file.
        OSError: it cannot be read.
    """
    try:
        return read_file(path, follow=follow)
    except ValueError as error:
        raise CheckpointError(str(error)) from None


def read_text(data: bytes, path: str | Path = "checkpoint") -> tuple[dict[str, Any], dict[str, Any]]:
    """The learner's configuration and the run's part inside a checkpoint's bytes, after a check of its frame.

    Returns:
        Configuration, and the `run` argument of encode_config(), or {}.

    Raises:
        DamagedError: cut short, or damaged.
        CheckpointError: of another version.
    """
    status, version, text, _, _ = _core.open_checkpoint(data)
    if status == _VERSION and zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "little"):
        status = _CRC  # the checksum is at the end in every version
    raise_for(status, "", path, version)
    try:
        config = parse_json(text)
    except ValueError:
        config = None
    run = config.pop(_RUN, {}) if isinstance(config, dict) else None
    if not isinstance(config, dict) or not isinstance(run, dict):
        raise CheckpointError(f"{path}: it holds no configuration")
    return old_names.learner(config), run


def read_whole(data: bytes, path: str | Path = "checkpoint") -> tuple[dict[str, Any], dict[str, Any]]:
    """As read_text(), and also checks that the values are valid for a learner.

    Raises:
        DamagedError: cut short, damaged, or with a value that is not finite.
        CheckpointError: of another version.
    """
    texts = read_text(data, path)
    status, where = _core.check_checkpoint(data)
    raise_for(status, where, path)
    return texts


def check_saved(data: bytes, path: str | Path) -> None:
    """Check, before a checkpoint replaces another one, that it can be loaded.

    Raises:
        CheckpointError: load() would refuse them; nothing has been written.
    """
    status, where = _core.check_checkpoint(data)
    if status == _VALUE:
        raise CheckpointError(
            f"{path}: not saved: {where} holds a value that is not finite, and what was saved before stays as it is."
            " Resume from there; normalise or bound the observations to prevent it"
        )
    raise_for(status, where, path)


def complete(config: Mapping[str, Any]) -> dict[str, Any]:
    """A learner's configuration from a file of any version, for the current constructor."""
    known = {row.name for row in parameters.of(str(config.get("kind")))}
    later = {key: value for key, value in _SINCE.items() if key in known}
    return {**_BEFORE, **later, **config}


def read_config(data: bytes, path: str | Path = "checkpoint") -> dict[str, Any]:
    """The learner's configuration alone; see read_text()."""
    return read_text(data, path)[0]


def read_beside(data: bytes) -> bytes:
    """The extra bytes of a complete checkpoint, the supervisor's state; b"" if there are none."""
    return _core.open_checkpoint(data)[4]
