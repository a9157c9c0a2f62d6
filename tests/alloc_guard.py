"""The interposed allocator (tests/native/alloc_guard.c) from Python.

A test starts a process with the guard loaded, `run_guarded(code)`; inside it, `calls(tid)` counts calls of
the allocator by any thread so far. The thread that is measured needs to do nothing: read twice, compare.

    thread = next(tid for tid, name in threads().items() if name == "rtu-loop")
    before = calls(thread)
    ...
    assert calls(thread) == before, last(thread)
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

from toolchain import BUILD, ROOT, locked, run, tool

SOURCE = ROOT / "tests" / "native" / "alloc_guard.c"


def library() -> Path:
    """Compile the interposer if needed; return its path."""
    with locked(BUILD / "alloc_guard") as folder:
        made = folder / "alloc_guard.so"
        newest = max(SOURCE.stat().st_mtime, SOURCE.with_suffix(".h").stat().st_mtime)
        if not made.exists() or made.stat().st_mtime < newest:
            flags = ["-std=gnu11", "-O2", "-fPIC", "-shared", "-fno-builtin", "-Wall", "-Wextra", "-Werror"]
            run(tool("cc"), *flags, SOURCE, "-o", made, "-ldl")
    return made


def environment() -> dict[str, str]:
    """Return the environment of a process that is to be guarded."""
    return {**os.environ, "LD_PRELOAD": str(library()), "PYTHONPATH": str(ROOT / "tests")}


def run_guarded(code: str, timeout_s: float = 240) -> str:
    """Run Python code in a guarded process; return what it printed, or fail with it."""
    return run(sys.executable, "-c", code, env=environment(), timeout=timeout_s)


def run_program_guarded(program: Path, timeout_s: float = 240) -> str:
    """Run a test program in a guarded process; return what it printed, or fail with it."""
    return run(program, env=environment(), timeout=timeout_s)


# ---------------------------------------------------------------- inside a guarded process


def _guard() -> ctypes.CDLL:
    process = ctypes.CDLL(None)
    process.alloc_guard_calls.restype = ctypes.c_int64
    return process


def calls(tid: int = 0) -> int:
    """Return how often a thread of this process (0: the calling one) has called the allocator so far."""
    return int(_guard().alloc_guard_calls(tid))


def last(tid: int = 0) -> str:
    """Return the function or file that called the allocator last in that thread."""
    text = ctypes.create_string_buffer(256)
    _guard().alloc_guard_last(tid, text, ctypes.c_size_t(len(text)))
    return text.value.decode()


def threads() -> dict[int, str]:
    """Return the threads of this process: number -> name."""
    tasks = Path("/proc/self/task")
    return {int(task.name): (task / "comm").read_text().strip() for task in tasks.iterdir()}
