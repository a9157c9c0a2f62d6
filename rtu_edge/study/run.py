"""Runs a study: the tasks that are not done yet, on local worker processes or a Dask scheduler; writes the results.

>>> import tempfile
>>> from pathlib import Path
>>> found = run_study(find("cartpole"), Path(tempfile.mkdtemp()), seeds=1, steps=2000, workers=1, shown=False)
>>> len(found.rows), found.rows[0]["plant"]
(1, 'cartpole')
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rtu_edge.study.pool import Done, LocalPool, Report, usable_cores
from rtu_edge.study.progress import StudyProgress
from rtu_edge.study.registry import Study, find
from rtu_edge.study.scores import row_of
from rtu_edge.study.store import Store
from rtu_edge.study.tasks import Task

__all__ = ["Executor", "StudyResult", "executor", "find", "run_study", "run_tasks"]


class Executor(Protocol):
    """Runs tasks somewhere."""

    def __enter__(self) -> Any: ...

    def __exit__(self, *_: object) -> None: ...

    def run(self, tasks: Sequence[Task], report: Report | None = None) -> Iterator[Done]:
        """Results in the order in which tasks end."""


@dataclass(frozen=True)
class StudyResult:
    """The results of a study, in the order of its tasks.

    Attributes:
        study: which.
        tasks, results: as run_task() takes and gives them.
        rows: one per task, for the table.
        done: tasks that ran now; the others were there.
        seconds: wall-clock time.
    """

    study: Study
    tasks: list[Task]
    results: list[dict[str, Any]]
    rows: list[dict[str, Any]]
    done: int
    seconds: float


def executor(workers: int | None = None, scheduler: str | None = None) -> Executor:
    """Where tasks run: worker processes (None: one per core), or the Dask scheduler at an address.

    Raises:
        ModuleNotFoundError: distributed is not installed. OSError: the scheduler cannot be reached.
    """
    if scheduler is not None:
        from rtu_edge.study.cluster import Cluster

        return Cluster(scheduler)
    return LocalPool(workers or usable_cores())


def run_study(
    study: Study,
    folder: Path,
    *,
    seeds: int | None = None,
    steps: int | None = None,
    settings: Mapping[str, Any] | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    shown: bool = True,
) -> StudyResult:
    """Runs the tasks of a study whose results are not in the folder yet.

    Args:
        folder: of the results; created.
        seeds, steps: None: the study's defaults.
        settings: arguments of StreamAC for every task.
        workers: processes; None: one per core that this process may use.
        scheduler: address of a Dask scheduler, such as "tcp://host:8786"; no local process then runs tasks.
        shown: print progress on standard error.

    Raises:
        ConfigError: an argument out of its range. TaskFailed: a task ended in an error.
    """
    tasks = study.tasks(seeds, steps, settings)
    keys = [task.key() for task in tasks]  # refuses invalid settings before any work
    with Store(folder) as store, executor(workers, scheduler) as run_on, StudyProgress(tasks, shown) as progress:
        results, done = run_tasks(tasks, keys, store, run_on, progress)
        seconds = progress.seconds
    rows = [row_of(task, result) for task, result in zip(tasks, results, strict=True)]
    return StudyResult(study, tasks, results, rows, done, seconds)


def run_tasks(
    tasks: Sequence[Task], keys: Sequence[str], store: Store, run_on: Executor, progress: StudyProgress
) -> tuple[list[dict[str, Any]], int]:
    """The results in the order of the tasks, and how many ran now."""
    results = [store.get(key) for key in keys]
    missing = [number for number, result in enumerate(results) if result is None]
    progress.begin([number for number, result in enumerate(results) if result is not None], results)
    for at, result in run_on.run([tasks[n] for n in missing], lambda at, *rest: progress.report(missing[at], *rest)):
        number = missing[at]
        store.add(keys[number], result)
        results[number] = result
        progress.add(number, result)
    return [result for result in results if result is not None], len(missing)
