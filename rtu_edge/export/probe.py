"""Imports that may crash the interpreter are tried in a process of their own first."""

from __future__ import annotations

import functools
import importlib
import signal
import subprocess
import sys
import warnings
from typing import Any

__all__ = ["ExportError", "probe"]

READY = "ready"


class ExportError(RuntimeError):
    """onnx or onnxruntime cannot be used on this machine."""


def _reason(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"


@functools.cache
def probe(module: str, timeout_s: float = 120.0) -> None:
    """Import a module in a fresh interpreter, once per process.

    Args:
        module: "onnx" or "onnxruntime".
        timeout_s: how long the import may take.

    Raises:
        ExportError: the import fails, hangs, or takes the interpreter down; the message says which.

    Warns:
        RuntimeWarning: the import works, but the interpreter dies at its exit.
    """
    code = f"import {module}; print({READY!r}, flush=True)"
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
            f"importing {module} crashes on this machine ({_reason(done.returncode)}, in a process of its own); "
            "another version may work, or export on another machine from the checkpoint"
        )
    elif not imported:
        last = (done.stderr.strip().splitlines() or [_reason(done.returncode)])[-1]
        raise ExportError(f"{module} cannot be imported: {last}")


def load(module: str, *submodules: str) -> Any:
    """Probe a module, then import it here."""
    probe(module)
    for name in submodules:
        importlib.import_module(f"{module}.{name}")
    return importlib.import_module(module)
