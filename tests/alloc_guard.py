"""Code and programs under the interposed allocator (rtu_edge/run/heap.py).

A test starts a process with the guard loaded, `run_guarded(code)`; inside it, `calls(tid)` counts calls of
the allocator by any thread so far. The measured thread needs no changes: read twice, compare.

    thread = next(tid for tid, name in threads().items() if name == "rtu-loop")
    before = calls(thread)
    ...
    assert calls(thread) == before, last(thread)
"""

from __future__ import annotations

import sys
from pathlib import Path

from toolchain import ROOT, run

from rtu_edge.run import heap
from rtu_edge.run.heap import calls, last, threads

__all__ = ["calls", "last", "run_guarded", "run_program_guarded", "threads"]


def run_guarded(code: str, timeout_s: float = 240) -> str:
    """Run Python code in a guarded process; return what it printed, or fail with it."""
    environment = {**heap.environment(), "PYTHONPATH": str(ROOT / "tests")}
    return run(sys.executable, "-c", code, env=environment, timeout=timeout_s)


def run_program_guarded(program: Path, timeout_s: float = 240) -> str:
    """Run a test program in a guarded process; return what it printed, or fail with it."""
    return run(program, env=heap.environment(), timeout=timeout_s)
