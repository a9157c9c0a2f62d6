"""Results of a study on disk: one line of JSON per task, appended in one write, so that a killed study resumes.

A result is found again by its task's key (tasks.Task.key()). A line that is cut short, or has another form, is skipped:
its task runs again.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any, TypedDict

import msgspec

from rtu_edge._base.errors import ConfigError

__all__ = ["Store"]

_FILE = "tasks.jsonl"


class _Scale(TypedDict):
    random: float
    random_error: float
    reference: float
    per_step: bool


class _Phase(TypedDict):
    score: float | None
    recovery: float | None
    scores: list[float | None]


class _Result(msgspec.Struct):
    """The types of what tasks.run_task() returns; a line of another form is not a result."""

    mean: float | None = msgspec.field(name="return")
    return_error: float | None
    reward: float
    reward_error: float | None
    episodes: int
    steps: int
    problem: str
    clipped: float | None
    scale: _Scale | None
    curves: list[list[float | None]]
    phases: list[_Phase] | None
    hash: str
    frozen: float | None = None
    findings: dict[str, int] = {}


class _Row(msgspec.Struct):
    key: str
    result: _Result


class Store:
    """The results in a folder, which is created; a context manager. One process at a time uses it.

    Raises:
        ConfigError: another process uses the folder. OSError: it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / _FILE
        folder.mkdir(parents=True, exist_ok=True)
        self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._handle)
            raise ConfigError(f"{folder}: another study is running there; give another folder with --out") from error
        self._known: dict[str, dict[str, Any]] = {}
        text = self.path.read_bytes()
        for line in text.split(b"\n")[:-1]:
            try:
                msgspec.json.decode(line, type=_Row)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue  # cut short, or changed
            row = msgspec.json.decode(line)
            self._known[row["key"]] = row["result"]
        if text and not text.endswith(b"\n"):
            os.write(self._handle, b"\n")

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)

    def get(self, key: str) -> dict[str, Any] | None:
        """A result; None if there is none."""
        return self._known.get(key)

    def add(self, key: str, result: dict[str, Any]) -> None:
        """Appends a result."""
        data = msgspec.json.encode({"key": key, "result": result}) + b"\n"
        while data:
            data = data[os.write(self._handle, data) :]
        self._known[key] = result
