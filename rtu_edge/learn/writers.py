"""Writers of learning curves: callbacks of StreamAC.learn() and Robot.run() that write CSV or TensorBoard files."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Sequence
from typing import Any

from rtu_edge._base.closing import Closing
from rtu_edge._base.packages import needed_by
from rtu_edge._base.progress import StepRecord
from rtu_edge._base.validation import check_int

__all__ = ["CSVWriter", "TensorBoardWriter"]

_MEANS = ("reward", "td_error", "sigma", "entropy", "clipped")
_COLUMNS = ("step", "episode", "return", "length", *_MEANS)


class _Window(Closing):
    """Averages the steps since the last row: a row at the end of an episode, or after `every` steps without one."""

    def __init__(self, every: int) -> None:
        self._every = check_int("every", every, 1, 10**9)
        self._clear()

    def _clear(self) -> None:
        self._steps = 0
        self._sums = dict.fromkeys(_MEANS, 0.0)
        self._counts = dict.fromkeys(_MEANS, 0)

    def __call__(self, record: StepRecord) -> None:
        """Adds one step.

        Raises:
            ValueError: the writer is closed.
            OSError: the file cannot be written.
        """
        self._steps += 1
        for name in _MEANS:
            value = getattr(record, name)
            if value is not None:
                self._sums[name] += abs(value) if name == "td_error" else value
                self._counts[name] += 1
        if record.ended or self._steps >= self._every:
            row: dict[str, float | None] = {"step": record.step, "episode": record.episode, "return": None}
            row["length"] = None
            if record.ended:
                row["return"], row["length"] = record.episode_return, record.episode_length
            row |= {name: self._sums[name] / n if (n := self._counts[name]) else None for name in _MEANS}
            self._clear()
            self._write(row)

    def _write(self, row: dict[str, float | None]) -> None:
        raise NotImplementedError


class CSVWriter(_Window):
    """Writes a learning curve as CSV, one row per episode; a callback of learn() and a context manager.

    >>> import tempfile, pathlib, rtu_edge as rtu
    >>> plant = rtu.Plant("cartpole")
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "curve.csv"
    >>> with rtu.CSVWriter(path) as curve:
    ...     result = rtu.StreamAC.from_env(plant, seed=0).learn(plant, 500, progress=False, callback=curve, seed=0)
    >>> path.read_text().splitlines()[0]
    'step,episode,return,length,reward,td_error,sigma,entropy,clipped'

    Columns: step and episode; return and length of the finished episode, or empty; over the steps since
    the last row the means of reward, absolute TD error, sigma (units of an action), entropy (nats) and share of clipped
    actions, 0 to 1. Empty: not known. Each row is flushed to the operating system.

    Args:
        path: the file; it is replaced.
        every: maximum steps between rows without the end of an episode, 1 to 1e9; 1 writes every step.

    Raises:
        ConfigError: every is out of range.
        OSError: the file cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], every: int = 1000) -> None:
        super().__init__(every)
        self._file = open(path, "w", encoding="utf-8", newline="")  # noqa: SIM115
        self._rows = csv.writer(self._file, lineterminator="\n")
        self._line(_COLUMNS)

    def _write(self, row: dict[str, float | None]) -> None:
        self._line(["" if row[name] is None else row[name] for name in _COLUMNS])

    def _line(self, cells: Sequence[object]) -> None:
        self._rows.writerow(cells)
        self._file.flush()

    def close(self) -> None:
        """Closes the file; idempotent."""
        self._file.close()


class TensorBoardWriter(_Window):
    """Writes a learning curve for TensorBoard; a callback of learn() and a context manager.

    Needs tensorboardX: `pip install "rtu_edge[tensorboard]"`; `tensorboard --logdir FOLDER` shows the curves. Tags:
    episode/return, episode/length, step/reward, learner/td_error (absolute), learner/sigma, learner/entropy,
    learner/clipped; as the columns of CSVWriter.

    Args:
        folder: of the event file.
        every: as for CSVWriter.

    Raises:
        ConfigError: every is out of range.
        ImportError: tensorboardX is not installed.
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: str | os.PathLike[str], every: int = 1000) -> None:
        super().__init__(every)
        with needed_by("TensorBoardWriter"):
            from tensorboardX import SummaryWriter
        self._writer: Any = SummaryWriter(os.fspath(folder))

    def _write(self, row: dict[str, float | None]) -> None:
        if self._writer is None:
            raise ValueError("this TensorBoardWriter is closed")
        for name, value in row.items():
            if name in ("step", "episode") or value is None or not math.isfinite(value):
                continue
            group = "episode" if name in ("return", "length") else "step" if name == "reward" else "learner"
            self._writer.add_scalar(f"{group}/{name}", value, int(row["step"] or 0))

    def close(self) -> None:
        """Writes what is left and closes the file; idempotent."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
