"""Interleaved timing: contenders alternate in many short blocks, so that a disturbance affects all of them equally."""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rtu_edge import _core, _testing
from rtu_edge._base.packages import missing_package

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks/results"

QUIET = 0.2  # of the other cores

Run = Callable[[int], int]  # number of steps -> nanoseconds


@contextmanager
def required() -> Iterator[None]:
    """Around the imports of an optional package: where it is not installed, the program ends with the command."""
    try:
        yield
    except ModuleNotFoundError as error:
        if not (sentence := missing_package(error)):
            raise
        sys.exit(sentence)


def timed(step: Callable[[], Any]) -> Run:
    """Make a contender from a function that Python calls once per step."""

    def run(steps: int) -> int:
        start = time.perf_counter_ns()
        for _ in range(steps):
            step()
        return time.perf_counter_ns() - start

    return run


def hold_one_core() -> str:
    """Pin this process to its last core, with real-time priority if permitted; return a description."""
    if not hasattr(os, "sched_setaffinity"):
        return "not pinned"
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        return "pinned to one core"
    return "pinned to one core, SCHED_FIFO"


def busy_elsewhere() -> Callable[[], float]:
    """Return a function: the load of the other cores since its last call, 0 to 1; 0 if unknown."""
    ours = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()

    def ticks() -> tuple[int, int]:
        try:
            lines = Path("/proc/stat").read_text().splitlines()
        except OSError:
            return 0, 0
        busy = total = 0
        for line in lines:
            found = re.match(r"cpu(\d+) (.*)", line)
            if found and int(found[1]) not in ours:
                user, nice, system, idle, wait, *rest = map(int, found[2].split())
                busy += user + nice + system + sum(rest[:2])
                total += user + nice + system + idle + wait + sum(rest[:2])
        return busy, total

    last = ticks()

    def since() -> float:
        nonlocal last
        before, last = last, ticks()
        total = last[1] - before[1]
        return (last[0] - before[0]) / total if total else 0.0

    return since


def interleave(
    contenders: Mapping[str, Run],
    rounds: int,
    block_ns: float = 3e5,
    quanta: Mapping[str, int] | None = None,
    each_round: Callable[[], None] = lambda: None,
) -> tuple[dict[str, list[float]], float]:
    """Time contenders in turn; return for each the nanoseconds a step of every block, and how busy other cores were.

    Other processes share caches and memory, on many hosts even the core. So measuring continues, up to three times as
    long, until `rounds` rounds were quiet, and the quietest are kept.

    Args:
        contenders: what runs.
        rounds: blocks of each.
        block_ns: target length; at least one step. A quarter of it runs before, untimed.
        quanta: a contender with unequal steps runs multiples of this number.
        each_round: called after each round that counts, for progress.
    """
    quanta = quanta or {}
    steps = {}
    for name, run in contenders.items():
        quantum = quanta.get(name, 1)
        run(quantum)
        once = min(run(quantum), run(quantum)) / quantum
        steps[name] = max(1, round(block_ns / once / quantum)) * quantum
    busy = busy_elsewhere()
    found: list[tuple[float, dict[str, float]]] = []
    quiet = 0
    while quiet < rounds and len(found) < 3 * rounds:
        block = {}
        for name, run in contenders.items():
            run(max(quanta.get(name, 1), steps[name] // 4))
            block[name] = run(steps[name]) / steps[name]
        found.append((busy(), block))
        quiet += found[-1][0] < QUIET
        if quiet + (3 * rounds - len(found)) <= rounds or found[-1][0] < QUIET:
            each_round()
    kept = sorted(found, key=lambda one: one[0])[:rounds]
    samples = {name: [block[name] for _, block in kept] for name in contenders}
    return samples, sum(b for b, _ in kept) / rounds


def summary(samples: Mapping[str, list[float]]) -> dict[str, list[float]]:
    """Return lower quartile, median and upper quartile of each, in ns rounded to 0.1."""
    return {
        name: [round(q, 1) for q in statistics.quantiles(values, n=4, method="inclusive")]
        for name, values in samples.items()
    }


def isas() -> list[str]:
    """Return the instruction sets of this processor, narrowest first."""
    return list(_core.available_isas())


def _read(path: str, pattern: str, otherwise: str) -> str:
    try:
        found = re.search(pattern, Path(path).read_text(), re.MULTILINE)
    except OSError:
        return otherwise
    return found[1].strip() if found else otherwise


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


def host_facts(held: str) -> dict[str, Any]:
    """Describe host and software of a measurement."""
    dirty = _git("status", "--porcelain", "--untracked-files=no", "--", "native", "cmake", "CMakeLists.txt")
    caches = [
        f"L{index} {_read(f'/sys/devices/system/cpu/cpu0/cache/index{index}/size', '(.*)', '?')}" for index in (2, 3)
    ]
    return {
        "processor": _read("/proc/cpuinfo", r"^model name\s*: (.*)$", platform.processor() or platform.machine()),
        "architecture": platform.machine(),
        "virtual": "hypervisor" in _read("/proc/cpuinfo", r"^flags\s*: (.*)$", ""),
        "cores": os.cpu_count(),
        "caches": caches,
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "compiler": _testing.compiler,
        "isas": isas(),
        "commit": (_git("rev-parse", "--short=12", "HEAD") or "unknown") + ("+changes" if dirty else ""),
        "held": held,
    }


def result_path(what: str, isa: str) -> Path:
    """Return the path of the results for this kind of host."""
    return RESULTS / f"{what}-{platform.machine()}-{isa}.json"


def write_result(what: str, isa: str, result: Any) -> Path:
    """Keep a result in the place of this kind of host, which is returned."""
    path = result_path(what, isa)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    return path
