"""The thread on which a Python device's own methods run, in sequence, with a watchdog."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Job", "Worker", "words"]


@dataclass
class Job:
    """One call.

    Args:
        name: of the job.
        run: the call.
        limit_s: its timeout.
        begun_s: start time (monotonic clock); 0: still queued.
        value, error: result or exception, once done.
        overdue: it has exceeded its timeout.
        done: set at its end.
        method: the method under way, where the job calls several; "" for that of the job's name.
    """

    name: str
    run: Callable[[], Any]
    limit_s: float
    begun_s: float = 0.0
    value: Any = None
    error: BaseException | None = None
    overdue: bool = False
    done: threading.Event = field(default_factory=threading.Event)
    method: str = ""

    @property
    def call(self) -> str:
        """The method under way, "read()"."""
        return f"{self.method or self.name}()"


class Worker:
    """A thread with a queue of jobs.

    Args:
        name: of the thread.
        wake: called from the thread after each job.
    """

    def __init__(self, name: str, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._waiting: deque[Job] = deque()
        self._finished: deque[Job] = deque()
        self._changed = threading.Condition()
        self._current: Job | None = None
        self._leaving = False
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def post(self, job: Job, *, instead_of: str = "") -> Job:
        """Queue a job; queued jobs named `instead_of` are dropped."""
        with self._changed:
            if instead_of:
                self._waiting = deque(each for each in self._waiting if each.name != instead_of)
            self._waiting.append(job)
            self._changed.notify()
        return job

    @property
    def current(self) -> Job | None:
        """The job under way."""
        return self._current

    def late(self, limit_s: float) -> Job | None:
        """The current job, if it has run for longer than this."""
        job = self._current
        return job if job is not None and time.monotonic() - job.begun_s > limit_s else None

    def overdue(self) -> Job | None:
        """The current job, if it has exceeded its timeout."""
        job = self._current
        return job if job is not None and self.late(job.limit_s) is job else None

    def has(self, name: str) -> bool:
        """A job of this name is queued or running."""
        with self._changed:
            current = self._current
            return any(each.name == name for each in self._waiting) or (current is not None and current.name == name)

    def take(self) -> list[Job]:
        """The jobs that have ended since the last call."""
        found = []
        while self._finished:
            found.append(self._finished.popleft())
        return found

    def leave(self) -> None:
        """End after the queued jobs; a hanging job keeps its thread."""
        with self._changed:
            self._leaving = True
            self._changed.notify()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._leaving:
                    self._changed.wait()
                if not self._waiting:
                    return
                job = self._waiting.popleft()
                job.begun_s = time.monotonic()
                self._current = job
            try:
                job.value = job.run()
            except (
                BaseException
            ) as error:  # any exception of the user's code is a fault of the device, including SystemExit
                job.error = error
            with self._changed:
                self._current = None
                self._finished.append(job)
            job.done.set()
            self._wake()


def words(error: BaseException) -> str:
    """Type and text of an exception of the user's code."""
    try:
        text = str(error)
    except Exception:  # it is of the user's code
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
