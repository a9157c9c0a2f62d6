"""Form of the records in the messages of a log (docs/log.md): topics, ROS message definitions, checksums of notes."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from rtu_edge import _core
from rtu_edge.record.head import ROS, Head, fields_of

__all__ = ["CDR", "EPISODES", "START", "STEPS", "checksum", "described", "episode_dtype", "step_names"]

STEPS = "/rtu_edge/step"
EPISODES = "/rtu_edge/episode"
START = "start.rtu"
CDR = b"\x00\x01\x00\x00"  # little-endian, plain

_EPISODE = ("episode", "total_steps", "total_return")  # fields of an episode used by readers


def checksum(values: Mapping[str, str]) -> str:
    """Checksum of metadata, which MCAP lacks."""
    return f"{zlib.crc32(json.dumps(values, sort_keys=True).encode()):08x}"


def _plain_name(text: str) -> str:
    """A name that ROS allows for a field."""
    return re.sub(r"_+", "_", re.sub(r"[^a-z0-9]", "_", text.lower())).strip("_") or "unnamed"


def _named(fields: Sequence[tuple[str, str, int]], names: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str]]:
    """Type and name of each field of a message; an array with named elements becomes one field per element."""
    taken: set[str] = set()
    for name, kind, count in fields:
        parts = [name] if count == 0 else [f"{name}_{_plain_name(part)}" for part in names[name]]
        for index, part in enumerate(parts):
            unique = part if part not in taken else f"{part}_{index}"
            taken.add(unique)
            yield ROS[kind], unique


def _schema(fields: Sequence[tuple[str, str, int]], names: Mapping[str, Sequence[str]]) -> bytes:
    """A message definition, with the bytes of a record."""
    return "\n".join(f"{kind} {name}" for kind, name in _named(fields, names)).encode() + b"\n"


def _channel_names(head: Head) -> dict[str, list[str]]:
    actuators = [row.name for row in head.actuators]
    return {"x": [row.name for row in head.observations], "u": actuators, "applied": actuators}


def step_names(head: Head) -> list[str]:
    """The names of a step's fields in the log, such as "x_theta", in the order of a record."""
    return [name for _, name in _named(head.record, _channel_names(head))]


def described(head: Head, episodes: np.dtype[Any] | None = None) -> list[Any]:
    """The schemas and channels of a log, as `mcap.records`: of its steps and of its episodes.

    Args:
        head: has the names of observations and actuators, and the fields of a step.
        episodes: dtype of the episode records; None: this version's.
    """
    from mcap.records import Channel, Schema

    step = _schema(head.record, _channel_names(head))
    episode = _schema(fields_of(_core.episode_dtype() if episodes is None else episodes), {})
    return [
        Schema(id=1, name="rtu_edge/msg/Step", encoding="ros2msg", data=step),
        Schema(id=2, name="rtu_edge/msg/Episode", encoding="ros2msg", data=episode),
        Channel(id=1, topic=STEPS, message_encoding="cdr", schema_id=1, metadata={}),
        Channel(id=2, topic=EPISODES, message_encoding="cdr", schema_id=2, metadata={}),
    ]


def episode_dtype(data: bytes) -> np.dtype[Any] | None:
    """The layout of a flat message definition; None if it is not one, or not of an episode."""
    kinds = {name: kind for kind, name in ROS.items()}
    lines = [line.split() for line in data.decode(errors="replace").splitlines() if line.strip()]
    if any(len(words) != 2 or words[0] not in kinds for words in lines):
        return None
    names = [name for _, name in lines]
    if len(set(names)) != len(names) or not set(_EPISODE) <= set(names):
        return None
    return np.dtype([(name, f"<{kinds[kind]}") for kind, name in lines])
