"""A worker process of a study: reads tasks from stdin, one JSON object a line, and writes results to stdout.

python -m rtu_edge.study.worker

A line is {"steps": n, "reward": r} while a task runs, then {"result": {...}} or {"error": "...", "kind": "..."}.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import msgspec

from rtu_edge._base.errors import ConfigError
from rtu_edge.study.tasks import Task, run_task

__all__ = ["main"]

_REPORT_S = 0.5  # between two reports of progress


class _Orphaned(Exception):
    """The process that started this one has ended."""


class _Worker:
    """Serves tasks until stdin ends or the parent process is gone."""

    def __init__(self) -> None:
        self._parent = os.getppid()
        self._out = os.dup(1)
        os.dup2(2, 1)  # a print goes to stderr
        self._next = 0.0

    def serve(self) -> None:
        """Until the end of stdin."""
        for line in sys.stdin.buffer:
            task = msgspec.json.decode(line, type=Task)
            try:
                self._send({"result": run_task(task, self._report)})
            except _Orphaned:
                return
            except Exception as error:
                self._send({"error": str(error), "kind": type(error).__name__, "usage": isinstance(error, ConfigError)})

    def _report(self, steps: int, reward: float) -> None:
        if os.getppid() != self._parent:
            raise _Orphaned
        if (now := time.monotonic()) >= self._next:
            self._next = now + _REPORT_S
            self._send({"steps": steps, "reward": reward})

    def _send(self, message: dict[str, Any]) -> None:
        rest = memoryview(msgspec.json.encode(message) + b"\n")
        while rest:
            rest = rest[os.write(self._out, rest) :]


def main() -> None:
    """The process."""
    try:
        _Worker().serve()
    except BrokenPipeError:  # the parent has ended
        os._exit(1)


if __name__ == "__main__":
    main()
