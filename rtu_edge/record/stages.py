"""The steps of a run by stage: from the logs in its folder, or from files of earlier versions."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rtu_edge import _core
from rtu_edge.device.schema import Limits
from rtu_edge.record.folder import RunFolder
from rtu_edge.record.old_formats import TELEMETRY, load_arrays
from rtu_edge.record.reader import Batch, Log, pieces, read_log

__all__ = ["STAGES", "Steps", "stages"]

Array = npt.NDArray[Any]

STAGES = ("learning", "realtime", "control")
_LOCKSTEP = "lockstep"  # a head's clock


@dataclass(frozen=True)
class Steps:
    """The steps of one stage.

    Args:
        stage: its name.
        path: the file.
        record_count, episode_count: in it.
        source: a log, or arrays of records and of episodes.
    """

    stage: str
    path: Path
    record_count: int
    episode_count: int
    source: Log | Batch

    @property
    def cut(self) -> str:
        """Reason why they end before the file does, or ""."""
        return self.source.cut if isinstance(self.source, Log) else ""

    @property
    def limits(self) -> list[Limits]:
        """Those in force, one per actuator; empty if unknown, or if the actions are discrete."""
        if not isinstance(self.source, Log) or self.source.head.learner.get("n_actions") is not None:
            return []
        return self.source.head.limits_in_force

    @property
    def missing(self) -> list[str]:
        """Description of the records missing in the file."""
        lost = sum(count for _, count in self.source.lost) if isinstance(self.source, Log) else 0
        notes = [f"{self.path.name} is cut: {self.cut}"] if self.cut else []
        return notes + ([f"{self.path.name}: {lost:,} records were lost before it was written"] if lost else [])

    def batches(self) -> Iterator[Batch]:
        """Batches of some thousand records, in order. Raises ValueError, OSError."""
        return self.source.batches() if isinstance(self.source, Log) else pieces(*self.source)


def stages(folder: RunFolder, most: int | None = None) -> dict[str, Steps]:
    """The data of a folder by stage: its logs or, without any, the telemetry.npz of an earlier version.

    Args:
        folder: of a run.
        most: memory limit of a file's contents in bytes; None: 4 times its size and 40 MiB.

    Raises:
        ValueError: a file is damaged, or larger than `most`.
        OSError: a file cannot be read.
    """
    found = {}
    for stage in ("", *STAGES):
        path = folder.log(stage)
        if os.path.lexists(path):
            log = read_log(path, most, follow=False)
            name = stage or ("learning" if log.head.clock == _LOCKSTEP else "realtime")
            found[name] = Steps(name, path, log.record_count, log.episode_count, log)
    if found:
        return found
    path = folder.file(TELEMETRY)
    return _of_arrays(path, load_arrays(path, most)) if os.path.lexists(path) else {}


def _of_arrays(path: Path, arrays: Mapping[str, Array]) -> dict[str, Steps]:
    """The stages of a telemetry.npz."""
    found = {}
    for name in STAGES:
        records, episodes = arrays.get(name), arrays.get(f"{name}_episodes")
        if records is None and episodes is None:
            continue
        parts = Batch(
            np.zeros(0, _core.record_dtype(1, 1)) if records is None else records,
            np.zeros(0, _core.episode_dtype()) if episodes is None else episodes,
        )
        found[name] = Steps(name, path, len(parts.records), len(parts.episodes), parts)
    return found
