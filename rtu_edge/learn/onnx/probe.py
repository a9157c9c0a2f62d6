"""The one place where onnx and onnxruntime are imported: first in a separate process, since the import may crash the
interpreter, and without telemetry. `rtu-edge doctor` imports onnxruntime only in a separate process.

From 1.29 on an import of onnxruntime writes an identifier of the host and a database of events into the user's cache,
and tries to send them. Its Python function to disable this can only be called afterwards; only this environment
variable prevents it.
"""

from __future__ import annotations

import functools
import importlib
import os
import signal
import subprocess
import sys
import warnings
from typing import Any

__all__ = ["ExportError", "load", "probe", "without_telemetry"]

READY = "ready"
_NO_TELEMETRY = "ORT_DISABLE_TELEMETRY"


class ExportError(RuntimeError):
    """onnx or onnxruntime cannot be used on this host."""


def _reason(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"


def without_telemetry() -> None:
    """Switch onnxruntime's telemetry off for this process and those that it starts; before onnxruntime is imported."""
    os.environ[_NO_TELEMETRY] = "1"


@functools.cache
def probe(module: str, timeout_s: float = 120.0) -> None:
    """Import a module in a fresh interpreter, once per process.

    Args:
        module: "onnx" or "onnxruntime".
        timeout_s: timeout of the import.

    Raises:
        ExportError: the import fails, hangs, or takes the interpreter down; the message names the reason.

    Warns:
        RuntimeWarning: the import works, but the interpreter dies at its exit.
    """
    code = f"import {module}; print({READY!r}, flush=True)"
    without_telemetry()
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=timeout_s, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        raise ExportError(f"importing {module} took more than {timeout_s:g} s in a process of its own") from None
    imported = done.stdout.strip().endswith(READY)
    if imported and done.returncode != 0:
        warnings.warn(
            f"{module} works, but a Python that has imported it dies at its exit ({_reason(done.returncode)}): "
            "save what matters before",
            RuntimeWarning,
            stacklevel=3,
        )
    elif not imported and done.returncode < 0:
        raise ExportError(
            f"importing {module} crashes on this host ({_reason(done.returncode)}, in a process of its own); "
            "another version may work, or export on another host from the checkpoint"
        )
    elif not imported:
        last = (done.stderr.strip().splitlines() or [_reason(done.returncode)])[-1]
        raise ExportError(f"{module} cannot be imported: {last}")


def load(module: str, *submodules: str) -> Any:
    """Probe a module, then import it here."""
    probe(module)
    without_telemetry()  # again: the probe runs once, and the variable may have been removed since
    for name in submodules:
        importlib.import_module(f"{module}.{name}")
    return importlib.import_module(module)
