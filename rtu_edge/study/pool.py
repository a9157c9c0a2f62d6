"""Runs tasks in worker processes of this host. A worker that ends in the middle costs its task only, which runs again.

Processes are started afresh rather than forked: no thread, lock or memory of this process can reach a result.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from rtu_edge._base.errors import CheckFailed, ConfigError
from rtu_edge.study.tasks import Task

__all__ = ["Done", "LocalPool", "TaskFailed", "usable_cores"]

Done = tuple[int, dict[str, Any]]  # number of a task and its result
Report = Callable[[int, int, float], object]  # number of a task, its steps so far, reward

_DEATHS = 3  # of the workers of one task, until the study fails
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class TaskFailed(CheckFailed):
    """A task ended in an error, or ended its worker several times."""


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0))


class _Process:
    """One worker process."""

    def __init__(self) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-m", "rtu_edge.study.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches this process, which then ends them
            env={**os.environ, **_ONE_THREAD},
        )
        assert self.child.stdin is not None and self.child.stdout is not None
        self._in, self._out = self.child.stdin, self.child.stdout
        self._rest = b""
        self.task: int | None = None
        os.set_blocking(self._out.fileno(), False)

    def fileno(self) -> int:
        """Of its output."""
        return self._out.fileno()

    def give(self, number: int, task: Task) -> None:
        """A task; that the process has ended shows when its output is read."""
        self.task = number
        with contextlib.suppress(BrokenPipeError):
            self._in.write(msgspec.json.encode(task.plain()) + b"\n")
            self._in.flush()

    def messages(self) -> tuple[list[dict[str, Any]], bool]:
        """Complete messages, and whether its output has ended."""
        try:
            data = os.read(self._out.fileno(), 1 << 20)
        except BlockingIOError:
            return [], False
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [msgspec.json.decode(line) for line in lines], not data

    def end(self) -> int:
        """Ends it; its exit code, negative for a signal."""
        with contextlib.suppress(OSError):
            self._in.close()
        self.child.kill()
        self._out.close()
        return self.child.wait()


class LocalPool:
    """Worker processes; a context manager.

    Args:
        workers: 1 or more; never more are started than there are tasks.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._processes: list[_Process] = []
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> LocalPool:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.end()
        self._processes.clear()
        self._selector.close()

    @property
    def pids(self) -> list[int]:
        """Of the workers."""
        return [process.child.pid for process in self._processes]

    @property
    def task_pids(self) -> dict[int, int]:
        """The worker of each task that is under way, by the number of the task."""
        return {process.task: process.child.pid for process in self._processes if process.task is not None}

    def run(self, tasks: Sequence[Task], report: Report | None = None) -> Iterator[Done]:
        """Results in the order in which tasks end.

        Raises:
            TaskFailed, ConfigError: a task ended in an error, or ended its worker three times.
        """
        queue, deaths, open_ = deque(range(len(tasks))), [0] * len(tasks), len(tasks)
        while open_:
            self._start(tasks, queue)
            for key, _ in self._selector.select():
                process: _Process = key.data
                messages, ended = process.messages()
                for message in messages:
                    number = process.task
                    assert number is not None
                    if "result" in message:
                        process.task, open_ = None, open_ - 1
                        self._give(process, tasks, queue)
                        yield number, message["result"]
                    elif "error" in message:
                        raise _failure(tasks[number], message)
                    elif report is not None:
                        report(number, message["steps"], message["reward"])
                if ended:
                    self._bury(process, tasks, queue, deaths)

    def _start(self, tasks: Sequence[Task], queue: deque[int]) -> None:
        """As many processes as are of use; all of them get a task."""
        idle = [process for process in self._processes if process.task is None]
        for _ in range(min(self.workers - len(self._processes), len(queue) - len(idle))):
            process = _Process()
            self._processes.append(process)
            self._selector.register(process, selectors.EVENT_READ, process)
            idle.append(process)
        for process in idle:
            self._give(process, tasks, queue)

    def _give(self, process: _Process, tasks: Sequence[Task], queue: deque[int]) -> None:
        if queue:
            number = queue.popleft()
            process.give(number, tasks[number])

    def _bury(self, process: _Process, tasks: Sequence[Task], queue: deque[int], deaths: list[int]) -> None:
        self._selector.unregister(process)
        self._processes.remove(process)
        code = process.end()
        if (number := process.task) is None:
            return
        deaths[number] += 1
        if deaths[number] >= _DEATHS:
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            raise TaskFailed(f"task {tasks[number].label}: its worker ended {_DEATHS} times, last with {how}")
        queue.appendleft(number)


def _failure(task: Task, message: dict[str, Any]) -> Exception:
    if message["usage"]:
        return ConfigError(message["error"])
    return TaskFailed(f"task {task.label}: {message['kind']}: {message['error']}")
