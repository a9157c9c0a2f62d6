"""Run a command and its children in slow motion: their monotonic clock and all their waits, tools/slow/slow.c.

    python tools/slow.py 5 rtu-edge hil run --target process

A test in real time, such as the fault suite, then holds on a busier host, and takes as much longer. With 1 nothing
changes.
Linux with glibc 2.34 or newer.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "tools" / "slow" / "slow.c"

__all__ = ["environment"]


def environment(factor: int, out: Path = ROOT / "build") -> dict[str, str]:
    """Environment of a process whose time passes `factor` times slower; builds the library that does it."""
    library = out / "slow.so"
    if not library.is_file() or library.stat().st_mtime < SOURCE.stat().st_mtime:
        out.mkdir(parents=True, exist_ok=True)
        made = out / f"slow.{os.getpid()}.so"
        flags = ("-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror")
        subprocess.run(["cc", *flags, SOURCE, "-o", made, "-ldl"], check=True)
        made.replace(library)
    before = os.environ.get("LD_PRELOAD", "")
    return {**os.environ, "LD_PRELOAD": f"{library} {before}".strip(), "RTU_SLOW": str(factor)}


def main() -> None:
    if len(sys.argv) < 3 or not sys.argv[1].isdigit() or int(sys.argv[1]) < 1:
        sys.exit("usage: slow.py FACTOR COMMAND...")
    factor = int(sys.argv[1])
    os.execvpe(sys.argv[2], sys.argv[2:], environment(factor) if factor > 1 else dict(os.environ))


if __name__ == "__main__":
    main()
