"""Results of runs on disk: one JSON file a run, replaced atomically, so that a killed study resumes."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import host_facts
from benchmarks.peer_programs.measured import versions
from rtu_edge._base import files

FOLDER = Path("build/evidence")  # of runs; tables are read from benchmarks/results


def read(path: Path) -> dict[str, Any] | None:
    """A result; None if there is none, or only a part of one."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found


def write(path: Path, result: Any) -> None:
    """Replace a file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, (json.dumps(result, indent=1) + "\n").encode())


def keep(path: Path, **result: Any) -> None:
    """A table's numbers with host and versions, for benchmarks/results."""
    write(path, {"host": host_facts("not pinned"), "versions": versions()} | result)


def run_all(tasks: Sequence[Any], work: Callable[[Any], Any], jobs: int) -> Iterator[Any]:
    """The results of `work` in the order in which they end, from `jobs` processes."""
    if jobs == 1 or len(tasks) < 2:
        yield from map(work, tasks)
        return
    with multiprocessing.get_context("spawn").Pool(min(jobs, len(tasks))) as pool:
        yield from pool.imap_unordered(work, tasks, chunksize=1)
