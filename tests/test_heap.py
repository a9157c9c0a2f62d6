"""No step allocates: an interposed allocator counts, in test programs and in the threads of a running process."""

from __future__ import annotations

from pathlib import Path

import pytest
from alloc_guard import run_guarded, run_program_guarded
from toolchain import ROOT, build_program, sources

PROGRAMS = [path.relative_to(ROOT / "tests") for path in sources("tests/native") if path.stem.startswith("test_heap")]


@pytest.mark.parametrize("program", PROGRAMS, ids=str)
def test_program_under_the_guard(program: Path) -> None:
    assert "no guard" not in run_program_guarded(build_program("release", program))


def test_a_threads_calls_are_seen_from_python() -> None:
    """A thread that allocates on command in a guarded process: the guard counts it in this thread only."""
    run_guarded("""
import ctypes, threading, time
from alloc_guard import calls, last, threads

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
go, done, leave = threading.Event(), threading.Event(), threading.Event()

def worker():
    go.wait()
    for _ in range(100):
        libc.free(ctypes.c_void_p(libc.malloc(100000)))
    done.set()
    leave.wait()

thread = threading.Thread(target=worker)
thread.start()
assert thread.native_id in threads()
before = calls(thread.native_id)
go.set()
done.wait()
assert calls(thread.native_id) >= before + 200, (before, calls(thread.native_id))
assert last(thread.native_id)
time.sleep(0.5)  # it waits now
quiet = calls(thread.native_id)
grown = [bytearray(10000) for _ in range(100)]  # this thread's business
assert calls(thread.native_id) == quiet
leave.set()
""")
