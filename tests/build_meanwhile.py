"""Builds what later tests run, with idle processor time of one core, until SIGTERM: pytest --build-meanwhile.

What is not done by then is built by the test that needs it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress

from toolchain import BUILD, LIBRARIES, ROOT, configure, locked, sources, tool


def programs(begin: str) -> list[str]:
    """Name the targets of test programs in C and C++ whose sources begin so."""
    found = sources("tests/native", "tests/firmware")
    return [f"{path.parent.name}_{path.stem}" for path in found if path.stem.startswith(begin)]


TARGETS: dict[str, list[str]] = {
    "aarch64": [*LIBRARIES, *programs("test_"), "native_count_step"],
    "sanitize": [*LIBRARIES, *programs("test_")],
    "release": [*LIBRARIES, *programs("test_"), *programs("count_")],
    "fuzz": [path.stem for path in (ROOT / "tests" / "fuzz").glob("fuzz_*.cpp")],
    "cortex-m4": ["all"],
}


class Stopped(Exception):
    """SIGTERM came."""


def stop(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Stopped


def main() -> None:
    signal.signal(signal.SIGTERM, stop)
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    with suppress(Stopped):
        for kind, targets in TARGETS.items():
            with locked(BUILD / f"tests-{kind}") as folder, suppress(AssertionError):  # a test will tell
                configure(kind, folder)
                command = [tool("ninja"), "-C", folder, "-j", "1", "-k", "0", *targets]
                with subprocess.Popen(command, stdout=sys.stderr) as ninja:
                    try:
                        ninja.wait()
                    finally:  # it ends its compilers and removes what they have begun
                        ninja.terminate()


if __name__ == "__main__":
    main()
