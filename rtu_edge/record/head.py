"""The head of a log or black box: data for a replay, and for readers of the records."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from rtu_edge import _core
from rtu_edge._base import old_names
from rtu_edge.device.schema import Channel, DataSheet, Limits
from rtu_edge.record.old_formats import with_bounds

__all__ = ["ROS", "Head", "fields_of", "head_of", "logged_limits", "used_bytes"]

ROS = {
    "u8": "uint64",
    "i8": "int64",
    "u4": "uint32",
    "f4": "float32",
    "f8": "float64",
}  # types of a field and their names in a message definition
_FORMAT = 1  # a newer one is refused
_FIELDS = 64  # of a record
_VALUES = 256  # observations or actuators
_PADDING = 16  # bytes at a record's end, fewer than
# Fields that a replay, the black box's table or a picture takes from a record.
_READ = frozenset(
    [
        "sequence",
        "step",
        "t_ns",
        "episode",
        "episode_step",
        "flags",
        "calls",
        "command_limiter",
        "reward",
        "value",
        "delta",
        "step_size_actor",
        "step_size_critic",
        "predict_ns",
        "update_ns",
        "state_hash",
        "sensor_monitor",
        "learner_monitor",
        "mode",
        "x",
        "u",
        "applied",
    ]
)


class Head(msgspec.Struct, kw_only=True, frozen=True):
    """Data for a replay and for readers of the records."""

    format: int = _FORMAT
    version: str  # of the package
    build: str  # of the compiled core
    isa: str
    host: str
    configuration: str  # canonical TOML
    configuration_hash: str
    learner: dict[str, Any]  # its configuration; its initial state is the attachment
    checkpoint_format: int = 4  # of the version that wrote the log; 4 also for 1 to 3, which had no such field
    start_hash: str
    period_s: float
    observations: list[Channel]
    actuators: list[Channel]
    limits: list[tuple[float, float, float, float, float]]  # those in force; limits_in_force has the names
    supervised: bool  # configuration of the learner's supervisor
    simulated: bool
    command_limiter: bool
    dry_run: bool = False  # dry run: u was computed but not sent
    session: int
    clock: str
    hash_every: int
    record: list[tuple[str, str, int]]  # name, type, how many: of a step
    record_bytes: int
    epoch_ns: int  # offset from a record's t_ns to nanoseconds since 1970
    started: str

    @property
    def sheet(self) -> DataSheet:
        """The data sheet of the device."""
        return DataSheet(self.period_s, tuple(self.observations), tuple(self.actuators))

    @property
    def limits_in_force(self) -> list[Limits]:
        """The limits of the loop: in the file, 0 means no limit of slew or acceleration."""
        return [
            Limits(low, high, slew_per_s=slew or math.inf, accel_per_s2=accel or math.inf, rest=rest)
            for low, high, slew, rest, accel in self.limits
        ]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The numpy dtype of the records."""
        offsets = []
        offset = 0
        for _, kind, count in self.record:
            offsets.append(offset)
            offset += np.dtype(kind).itemsize * max(count, 1)
        formats = [kind if count == 0 else (kind, (count,)) for _, kind, count in self.record]
        names = [name for name, _, _ in self.record]
        layout = {"names": names, "formats": formats, "offsets": offsets, "itemsize": self.record_bytes}
        return np.dtype(layout)  # type: ignore[call-overload,no-any-return]


def logged_limits(limits: Sequence[Limits]) -> list[tuple[float, float, float, float, float]]:
    """Limits in force in the form of `Head.limits`."""
    return [(own.min, own.max, _finite(own.slew_per_s), _finite(own.rest), _finite(own.accel_per_s2)) for own in limits]


def _finite(value: float | None) -> float:
    return value if value is not None and math.isfinite(value) else 0.0


def head_of(plain: Any, path: Path) -> Head:
    """A head from plain, untrusted values.

    Raises:
        ValueError: of another version, or it does not describe records of this package.
    """
    if isinstance(plain, dict) and isinstance(found := plain.get("format"), int) and found > _FORMAT:
        raise ValueError(f"{path}: records of format {found}; this build reads format {_FORMAT}")
    try:
        head = msgspec.convert(with_bounds(old_names.head(plain)), Head, strict=False)
        _check_record(head)
        _check_numbers(head)
    except (ValueError, msgspec.ValidationError) as error:
        raise ValueError(f"{path}: written by another version of rtu_edge: {error}") from None
    return head


def _check_record(head: Head) -> None:
    """Check that a record has the required fields and the stated size.

    Raises:
        ValueError: it is not.
    """
    if not 1 <= len(head.observations) <= _VALUES or not 1 <= len(head.actuators) <= _VALUES:
        raise ValueError(f"observations, actuators: from 1 to {_VALUES} of each")
    if not all(0 <= channel.index < 2 * _VALUES for channel in (*head.observations, *head.actuators)):
        raise ValueError(f"observations, actuators: an index that is not from 0 to {2 * _VALUES - 1}")
    if len(head.record) > _FIELDS or any(
        kind not in ROS or not 0 <= count <= _VALUES for _, kind, count in head.record
    ):
        raise ValueError("record: a field of unknown type")
    used = used_bytes(head)
    if not used <= head.record_bytes < used + _PADDING:
        raise ValueError(f"record_bytes = {head.record_bytes}: must be from {used} to {used + _PADDING - 1}")
    there = {name: (kind, count) for name, kind, count in head.record}
    for name, kind, count in fields_of(_core.record_dtype(len(head.observations), len(head.actuators))):
        if name in _READ and there.get(name) != (kind, count):
            raise ValueError(f"record: no field {name} of type {kind}{f'[{count}]' if count else ''}")
    _ = head.dtype


def _check_numbers(head: Head) -> None:
    """Raises ValueError."""
    if not 0.0 < head.period_s < math.inf:
        raise ValueError(f"period_s = {head.period_s}: must be above 0")
    if not all(abs(number) < 2**62 for number in (head.epoch_ns, head.session, head.hash_every)):
        raise ValueError("epoch_ns, session, hash_every: must be below 2^62")
    if head.limits and len(head.limits) != len(head.actuators):
        raise ValueError(f"limits: {len(head.limits)}, for {len(head.actuators)} actuators")
    if any(math.isnan(number) for row in head.limits for number in row) or any(row[0] > row[1] for row in head.limits):
        raise ValueError("limits: an invalid range")


def used_bytes(head: Head) -> int:
    """Size of a record without padding."""
    return sum(np.dtype(kind).itemsize * max(count, 1) for _, kind, count in head.record)


def fields_of(dtype: np.dtype[Any]) -> list[tuple[str, str, int]]:
    """Fields of a record in the form of `Head.record`: a count of 0 is a scalar."""
    found = []
    for name in dtype.names or ():
        kind = dtype[name]
        found.append((name, kind.base.str.lstrip("<|"), kind.shape[0] if kind.shape else 0))
    return found
