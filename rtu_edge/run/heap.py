"""Heap calls of each thread, counted by an allocator that is loaded before libc: on demand, in a separate process.

    environment = heap.environment()  # of a process to be guarded
    heap.restart_guarded()            # or: this program again, guarded

Inside, a count only grows: read it twice and compare. The loop reads its own (LoopResult.heap_calls).
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rtu_edge._base.errors import CheckFailed, ConfigError
from rtu_edge._base.files import PACKAGE
from rtu_edge.record import resident_bytes

if TYPE_CHECKING:
    from rtu_edge.loop import LoopResult

__all__ = ["Resident", "calls", "check", "environment", "guarded", "last", "library", "restart_guarded", "threads"]


def library() -> Path:
    """Path of the interposed allocator, part of the package.

    Raises:
        ConfigError: it is missing.
    """
    path = PACKAGE / "bin" / "librtu_alloc_guard.so"
    if not path.is_file():
        raise ConfigError(f"{path}: no allocator to count with; install the package again")
    return path


def environment() -> dict[str, str]:
    """This environment, with the allocator loaded first."""
    before = [name for name in os.environ.get("LD_PRELOAD", "").split(":") if name]
    return {**os.environ, "LD_PRELOAD": ":".join([str(library()), *before])}


def guarded() -> bool:
    """True in a process that was started with the allocator."""
    return hasattr(ctypes.CDLL(None), "alloc_guard_calls") and calls() > 0


def restart_guarded() -> None:
    """Restart this program in this process, with the same arguments and the allocator. No resources may be open.

    Raises:
        ConfigError: the allocator is missing, or the system did not load it.
    """
    if guarded():
        return
    if str(library()) in os.environ.get("LD_PRELOAD", ""):
        raise ConfigError(f"{library()}: the system did not load it, though LD_PRELOAD names it")
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment())


def calls(tid: int = 0) -> int:
    """Number of allocator calls so far by a thread of this process (0: the calling one)."""
    function = ctypes.CDLL(None).alloc_guard_calls
    function.restype = ctypes.c_int64
    return int(function(tid))


def last(tid: int = 0) -> str:
    """The function or file that called the allocator last in that thread."""
    text = ctypes.create_string_buffer(256)
    ctypes.CDLL(None).alloc_guard_last(tid, text, ctypes.c_size_t(len(text)))
    return text.value.decode()


def threads() -> dict[int, str]:
    """The threads of this process: number -> name."""
    tasks = Path("/proc/self/task")
    return {int(task.name): (task / "comm").read_text().strip() for task in tasks.iterdir()}


class Resident:
    """Memory that this process holds while a loop runs.

    Memory that accumulates on a busy host is released again and does not affect the minimum over a stretch; a leak
    raises the minimum.
    """

    # For buffers that fill late (a chunk of the log holds 1 MiB) and for fragmentation of the allocator, which changes
    # the minimum by up to 2 MiB from run to run.
    ALLOWED = 4 * 2**20

    def __init__(self) -> None:
        self.samples: list[tuple[int, int]] = []
        self._trim = getattr(ctypes.CDLL(None), "malloc_trim", None)

    def take(self, steps: int) -> None:
        """Record the current size after a number of steps; first returns free memory to the system."""
        if self._trim is not None:
            self._trim(ctypes.c_size_t(0))
        self.samples.append((steps, resident_bytes()))

    @property
    def growth(self) -> int | None:
        """Growth in bytes of the minimum from the first half to the second; the first half of the first is warm-up.
        None: too few samples."""
        last = self.samples[-1][0] if self.samples else 0
        early = [held for steps, held in self.samples if 0.25 * last <= steps < 0.5 * last]
        late = [held for steps, held in self.samples if steps >= 0.5 * last]
        return min(late) - min(early) if early and late else None


def check(result: LoopResult, resident: Resident) -> str:
    """One line about a run that must not use the heap or more memory.

    Raises:
        CheckFailed: it did, or it was too short to judge.
    """
    if result.heap_calls is None:
        raise CheckFailed(f"heap: {result.steps} steps are too few, or nothing counts; more than 100 are required")
    growth = resident.growth
    if growth is None:
        raise CheckFailed(f"resident memory: {result.steps} steps are too few; give more --steps")
    grown = f"resident memory {growth / 1024:+.0f} KiB"
    said = f"heap calls of the loop's thread from step 100 on: {result.heap_calls}; "
    said += f"page faults {result.page_faults}; {grown}"
    if result.heap_calls or growth > Resident.ALLOWED:
        raise CheckFailed(f"{said}; allowed: 0 calls, {Resident.ALLOWED // 1024} KiB")
    return said
