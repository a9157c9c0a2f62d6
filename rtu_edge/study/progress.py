"""Progress of a study on standard error: a line that is updated on a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from rtu_edge.study.scores import row_of
from rtu_edge.study.tasks import Task

__all__ = ["StudyProgress"]

_SHOWN_S, _PRINTED_S = 0.2, 10.0
_SOON_S = 2.0  # of a study, until the rate is known


class StudyProgress:
    """Tasks and steps done, rate, remaining time, and the scores or rewards of the newest tasks. A context manager.

    Args:
        tasks: of the study.
        shown: False prints nothing.
        title: before each line.
    """

    def __init__(self, tasks: Sequence[Task], shown: bool = True, title: str = "") -> None:
        self._tasks, self._shown, self._title = tasks, shown, title
        self._begin = self._printed = time.monotonic()
        self._done = self._steps = self._kept = 0
        self._left = sum(task.steps for task in tasks)
        self._running: dict[int, int] = {}  # number of a task -> its steps so far
        self._scores: list[float] = []
        self._newest = ""
        self._terminal = shown and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._width = 0

    def __enter__(self) -> StudyProgress:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._width:
            print("\r" + " " * self._width + "\r", end="", file=sys.stderr, flush=True)
        if kind is KeyboardInterrupt and self._shown:
            kept = f"{self._done} of {len(self._tasks)} runs are kept"
            print(f"{self._title}{kept}; the same command continues", file=sys.stderr, flush=True)

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._begin

    def begin(self, known: Sequence[int], results: Sequence[dict[str, Any] | None]) -> None:
        """Tasks whose results were there."""
        self._kept = self._done = len(known)
        self._left -= sum(self._tasks[number].steps for number in known)
        for number in known:
            if (result := results[number]) is not None:
                self._note(number, result)
        if known and self._shown:
            print(f"{self._title}{self._done} of {len(self._tasks)} runs were done before", file=sys.stderr, flush=True)

    def report(self, number: int, steps: int, reward: float) -> None:
        """A task is under way."""
        self._steps += steps - self._running.get(number, 0)
        self._running[number] = steps
        self._newest = f"{self._tasks[number].label}: reward {reward:.3g}"
        self._show()

    def add(self, number: int, result: dict[str, Any]) -> None:
        """A task is done."""
        self._done += 1
        self._steps += self._tasks[number].steps - self._running.pop(number, 0)
        self._note(number, result)
        self._show()

    def _note(self, number: int, result: dict[str, Any]) -> None:
        row = row_of(self._tasks[number], result)
        if row["score"] is not None:
            self._scores.append(row["score"])
        value, score = row["return"], row["score"]
        shown = "no return" if value is None else f"return {value:.4g}"
        self._newest = f"{self._tasks[number].label}: {shown}" + ("" if score is None else f", score {score:.2f}")

    def text(self) -> str:
        """The line."""
        rate = self._steps / max(self.seconds, 1e-9)
        parts = [f"{self._done}/{len(self._tasks)} runs", f"{rate:,.0f} steps/s"]
        if self.seconds > _SOON_S and self._left > self._steps > 0:
            parts.append(f"{(self._left - self._steps) / rate:.0f} s left")
        if self._scores:
            parts.append(f"median score {sorted(self._scores)[len(self._scores) // 2]:.2f}")
        return self._title + "  ".join([*parts, self._newest])

    def _show(self) -> None:
        now = time.monotonic()
        if not self._shown or now - self._printed < (_SHOWN_S if self._terminal else _PRINTED_S):
            return
        self._printed = now
        if not self._terminal:
            print(self.text(), file=sys.stderr, flush=True)
            return
        line = self.text()[: os.get_terminal_size(sys.stderr.fileno()).columns - 1]
        print("\r" + line.ljust(self._width), end="", file=sys.stderr, flush=True)
        self._width = len(line)
