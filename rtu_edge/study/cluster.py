"""Runs tasks on the workers of a Dask scheduler (`dask scheduler`, `dask worker`).

Each worker process needs this package in the same version; a task's result is plain data.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from rtu_edge._base.errors import DeviceError
from rtu_edge._base.packages import needed_by
from rtu_edge.study.pool import Done, Report, TaskFailed
from rtu_edge.study.tasks import Task, build, run_task

__all__ = ["Cluster", "run_plain"]

_CONNECT_S = 10.0
_DEATHS = 3  # of workers of one task, until the study fails
_AHEAD = 4  # tasks given per thread of a worker: few results are lost with a worker, and none waits


class Cluster:
    """The workers of a scheduler; a context manager.

    Args:
        address: such as "tcp://10.0.0.5:8786".

    Raises:
        ModuleNotFoundError: distributed is not installed. DeviceError: the scheduler does not answer.
    """

    def __init__(self, address: str) -> None:
        with needed_by("--scheduler"):
            import distributed
        self._dask: Any = distributed
        try:
            if not address.startswith("inproc:"):  # first: a client without an address leaves threads that wait for it
                self._dask.comm.get_address_host_port(address if "://" in address else f"tcp://{address}", strict=True)
            self._client = self._dask.Client(address, timeout=_CONNECT_S, set_as_default=False)
        except (OSError, ValueError) as error:
            raise DeviceError(f"--scheduler {address}: no answer from a Dask scheduler: {error}") from error

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def run(self, tasks: Sequence[Task], report: Report | None = None) -> Iterator[Done]:
        """Results in the order in which tasks end; a task whose worker was lost runs again.

        Raises:
            TaskFailed: a task ended in an error, or its workers were lost three times.
        """
        waiting, deaths, numbers = list(range(len(tasks)))[::-1], [0] * len(tasks), {}
        threads = max(1, sum(self._client.nthreads().values()))
        pending = self._dask.as_completed(loop=self._client.loop, raise_errors=False)

        def submit() -> None:
            number = waiting.pop()
            # Equal arguments would be merged, and a repeated call would run nothing: a key of its own.
            key = f"rtu_edge-{id(self)}-{number}-{deaths[number]}"
            future = self._client.submit(run_plain, tasks[number].plain(), build(), key=key, pure=False)
            numbers[future.key] = number
            pending.add(future)

        for _ in range(min(len(tasks), _AHEAD * threads)):
            submit()
        for future in pending:
            number = numbers.pop(future.key)
            error = future.exception()
            if error is None:
                result: dict[str, Any] = future.result()
                future.release()  # a lost worker would otherwise run again what it has delivered
                yield number, result
            elif isinstance(error, self._dask.KilledWorker) and deaths[number] < _DEATHS - 1:
                deaths[number] += 1
                waiting.append(number)
            else:
                raise TaskFailed(f"task {tasks[number].label}: {type(error).__name__}: {error}")
            if waiting:
                submit()


def run_plain(task: dict[str, Any], expected: tuple[str, ...]) -> dict[str, Any]:
    """One task, on a worker.

    Raises:
        RuntimeError: another version or instruction set than that of the host that asks; results would not be the same.
    """
    if (own := build()) != tuple(expected):
        raise RuntimeError(f"this worker has rtu_edge {' '.join(own)}, the study {' '.join(expected)}")
    return run_task(msgspec.convert(task, Task))
