"""Heap calls of each thread, counted by an allocator that is loaded before libc: on demand, in a process of its own.

    environment = heap.environment()  # of a process that is to be guarded
    heap.restart_guarded()            # or: this very program again, guarded

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
    """Where the interposed allocator is: part of the package.

    Raises:
        ConfigError: it is not there.
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
    """True in a process that was started with the allocator, and whose calls it sees."""
    return hasattr(ctypes.CDLL(None), "alloc_guard_calls") and calls() > 0


def restart_guarded() -> None:
    """Start this program again in this process's place, with the same arguments and the allocator. Nothing may be open.

    Raises:
        ConfigError: the allocator is missing, or the system did not load it.
    """
    if guarded():
        return
    if str(library()) in os.environ.get("LD_PRELOAD", ""):
        raise ConfigError(f"{library()}: the system did not load it, though LD_PRELOAD names it")
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment())


def calls(tid: int = 0) -> int:
    """How often a thread of this process (0: the calling one) has called the allocator so far."""
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

    What piles up while a busy host drains late goes again, so that the least of a stretch does not know it; what leaks
    stays, and lifts the least as well.
    """

    # For buffers that fill late (a chunk of the log holds 1 MiB) and for the fragmentation of the allocator, which
    # moves the least of a stretch by up to 2 MiB from run to run.
    ALLOWED = 4 * 2**20

    def __init__(self) -> None:
        self.samples: list[tuple[int, int]] = []
        self._trim = getattr(ctypes.CDLL(None), "malloc_trim", None)

    def take(self, steps: int) -> None:
        """Note how much it is now, after so many steps; what is free again goes back to the system first."""
        if self._trim is not None:
            self._trim(ctypes.c_size_t(0))
        self.samples.append((steps, resident_bytes()))

    @property
    def growth(self) -> int | None:
        """Bytes by which the least of the second half is above that of the first, whose first half is warm-up; None:
        too few samples to say."""
        last = self.samples[-1][0] if self.samples else 0
        early = [held for steps, held in self.samples if 0.25 * last <= steps < 0.5 * last]
        late = [held for steps, held in self.samples if steps >= 0.5 * last]
        return min(late) - min(early) if early and late else None


def check(result: LoopResult, resident: Resident) -> str:
    """One line on a run that was to use no heap and no further memory.

    Raises:
        CheckFailed: it did, or it was too short to say.
    """
    if result.heap_calls is None:
        raise CheckFailed(f"heap: {result.steps} steps are too few to say, or nobody counts; it takes more than 100")
    growth = resident.growth
    if growth is None:
        raise CheckFailed(f"resident memory: {result.steps} steps are too few to say; give more --steps")
    grown = f"resident memory {growth / 1024:+.0f} KiB"
    said = f"heap calls of the loop's thread from step 100 on: {result.heap_calls}; "
    said += f"page faults {result.page_faults}; {grown}"
    if result.heap_calls or growth > Resident.ALLOWED:
        raise CheckFailed(f"{said}; allowed: 0 calls, {Resident.ALLOWED // 1024} KiB")
    return said
