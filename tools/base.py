"""The wheel in an empty environment, without extras: sizes, import times, and whether a loop needs nothing more.

    make base
    .venv/bin/python tools/base.py [WHEEL]     # by default tools/wheel.sh makes one

Installs from the package index. Exit code 1 where a command fails, or the package with all that it installs takes more
than 55 MB beyond numpy.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT_MB = 55.0
PIP = ("-m", "pip", "--disable-pip-version-check", "--quiet")
IMPORTS = {
    "import numpy": ("", "import numpy"),
    "import rtu_edge, StreamAC, connect": ("import numpy", "import rtu_edge; rtu_edge.StreamAC, rtu_edge.connect"),
    "the command line": ("import numpy", "import rtu_edge.cli, rtu_edge.cli.run"),
}
TIMED = "import time; {before}; start = time.perf_counter(); {code}; print(1e3 * (time.perf_counter() - start))"
# Arguments, exit codes that are right, words in the output. A five-second run in real time; then its log.
CONFIG = '[device]\nplant = "cartpole"\n[run]\nseconds = 5.0\n'
NO_ONNX = 'onnx is not installed: pip install "rtu_edge[onnx]"'
NO_PICTURE = 'no picture: matplotlib is not installed: pip install "rtu_edge[report]"'
COMMANDS = (
    (("--version",), (0,), "rtu-edge "),
    (("run", "base.toml"), (0,), "report: runs/base/report.html"),
    (("inspect", "runs/base"), (0,), ""),
    (("replay", "runs/base"), (0,), ""),
    (("blackbox", "runs/base"), (0,), ""),
    (("bench", "loop", "--seconds", "1"), (0,), NO_PICTURE),
    (("doctor",), (0, 1), 'pip install "rtu_edge[onnx]"'),
    (("export", "runs/base"), (2,), NO_ONNX),
    (("demo",), (2,), NO_ONNX),
)


def run(*command: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **options,  # type: ignore[call-overload]
    )


def must(*command: str | Path, **options: object) -> str:
    done = run(*command, **options)
    if done.returncode != 0:
        sys.exit(f"base: {' '.join(map(str, command))}\n{done.stdout}")
    return str(done.stdout)


def megabytes(site: Path) -> float:
    """Size of all files, also of compiled ones, MB."""
    return sum(path.lstat().st_size for path in site.rglob("*") if not path.is_dir()) / 1e6


def sizes(site: Path) -> list[tuple[str, float]]:
    """Of each folder and file that was installed, the largest first."""
    each = [(path.name, megabytes(path) if path.is_dir() else path.stat().st_size / 1e6) for path in site.iterdir()]
    return sorted(each, key=lambda row: -row[1])


def main() -> int:
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        there = Path(folder)
        wheel = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(must(ROOT / "tools/wheel.sh", there).strip())
        must(sys.executable, "-m", "venv", "--without-pip", there / "env")
        python = there / "env/bin/python"
        site = Path(must(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
        before = megabytes(site)
        must(sys.executable, *PIP, "--python", python, "install", "numpy")
        numpy = megabytes(site)
        must(sys.executable, *PIP, "--python", python, "install", wheel)
        whole = megabytes(site)
        print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB")
        print(f"numpy {numpy - before:.1f} MB; beyond it {whole - numpy:.1f} MB, at most {LIMIT_MB:g}")
        print("   ".join(f"{name} {size:.1f}" for name, size in sizes(site)[:12]))
        failed += whole - numpy > LIMIT_MB
        environment = {"PATH": os.environ["PATH"], "HOME": str(there), "COLUMNS": "200"}
        for name, (first, code) in IMPORTS.items():
            timed = TIMED.format(before=first or "pass", code=code)
            best = min(float(must(python, "-c", timed, cwd=there, env=environment)) for _ in range(5))
            print(f"{name}: {best:.0f} ms" + (", beyond numpy" if first else ""))
        (there / "base.toml").write_text(CONFIG)
        for arguments, codes, words in COMMANDS:
            done = run(there / "env/bin/rtu-edge", *arguments, cwd=there, env=environment)
            right = done.returncode in codes and words in done.stdout and "Traceback" not in done.stdout
            print(f"{'ok  ' if right else 'FAIL'} rtu-edge {' '.join(arguments)}: exit code {done.returncode}")
            if not right:
                print(done.stdout)
                failed += 1
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
