"""Imports in separate processes, started together: an import may crash, hang or take a second."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType

from rtu_edge._base.untrusted import clean

__all__ = ["CODES", "Imported", "Imports", "environment", "not_asked"]

# The program of each process. It does not search the current folder, like the installed `rtu-edge`.
CODES = {
    "core": "import numpy; from rtu_edge import _core; print(numpy.__version__, _core.isa, *_core.available_isas())",
    "onnxruntime": "import onnxruntime; print(onnxruntime.__version__)",
}
_ELSEWHERE = "import sys; sys.path[:] = [entry for entry in sys.path if entry]; "
_LIMIT_S = 20.0


@dataclass(frozen=True)
class Imported:
    """Result of an import.

    Args:
        text: what the process printed, "" where the import failed.
        reason: reason of the failure, or of an error after it; "" if none.
        missing: the package is not installed.
    """

    text: str = ""
    reason: str = ""
    missing: bool = False


def not_asked(name: str) -> Imported:
    """The result where no process is started."""
    return Imported(reason=f"{name} was not imported")


def environment() -> dict[str, str]:
    """Environment of the processes: no telemetry of onnxruntime (rtu_edge.learn.onnx.probe) and no compiled files."""
    return {**os.environ, "ORT_DISABLE_TELEMETRY": "1", "PYTHONDONTWRITEBYTECODE": "1"}


class Imports:
    """Processes that import; a context manager, which ends those that still run.

    Args:
        codes: Python code by name.
        limit_s: time for all of them together, s.
    """

    def __init__(self, codes: Mapping[str, str] = CODES, limit_s: float = _LIMIT_S) -> None:
        self._limit_s = limit_s
        self._give_up_s = time.monotonic() + limit_s
        self._done: dict[str, Imported] = {}
        self._running = {name: self._start(code) for name, code in codes.items()}

    def __enter__(self) -> Imports:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for process in self._running.values():
            if process.poll() is None:
                process.kill()
            with contextlib.suppress(OSError, ValueError):
                process.communicate()

    def of(self, name: str) -> Imported:
        """Result of an import; waits for it."""
        if name not in self._done:
            self._done[name] = self._result(name)
        return self._done[name]

    def _start(self, code: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", _ELSEWHERE + code],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=environment(),
        )

    def _result(self, name: str) -> Imported:
        process = self._running[name]
        try:
            out, err = process.communicate(timeout=max(self._give_up_s - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            return Imported(reason=f"the import took more than {self._limit_s:g} s")
        code = process.returncode
        died = f"signal {_name(-code)}" if code < 0 else f"exit code {code}"
        if out.strip():
            return Imported(clean(out.strip()), reason=f"its process dies at the end ({died})" if code else "")
        last = clean((err.strip().splitlines() or [""])[-1])
        if code < 0:
            return Imported(reason=f"the import crashes ({died})")
        missing = last.startswith("ModuleNotFoundError") and f"'{name}'" in last
        return Imported(reason=last or f"the import ends with {died}", missing=missing)


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
