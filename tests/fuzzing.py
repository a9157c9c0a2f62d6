"""The fuzz targets of tests/fuzz: how each is run, briefly by tests/test_fuzz.py and for long by `make fuzz`.

    python tests/fuzzing.py
    python tests/fuzzing.py --executions 1000000 --seconds 60 wire device

Each target runs with the sanitizers up to the given number of executions or seconds. Its corpus is kept in
.cache/fuzz/TARGET for the next run; an input that causes a failure is written next to it as crash-*, and the exit code
is 1.

One target does not use libFuzzer: `driver` connects a random host to the device (tests/firmware/test_driver.c), one
event per execution, and compares the register of the actuators' driver with STATE.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from toolchain import ROOT, build, build_program

CORPUS = ROOT / "tests/fuzz/corpus"

# Executions of the short run, a few seconds each; the longest input.
SHORT = {"wire": 100_000, "checkpoint": 20_000, "device": 50_000, "learner": 8_000, "link": 80_000, "bus": 100_000}
LONGEST = {"wire": 600, "checkpoint": 16_384, "device": 600, "learner": 600, "link": 600, "bus": 600}
TARGETS = tuple(SHORT)
DRIVER = "driver"

ENVIRONMENT = {
    **os.environ,
    "ASAN_OPTIONS": "abort_on_error=1:detect_stack_use_after_return=1:strict_string_checks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
}


@dataclass(frozen=True)
class Result:
    """libFuzzer's report of one run."""

    target: str
    passed: bool
    executions: int
    seconds: float
    edges: int
    inputs: int
    text: str


def program(target: str) -> Path:
    return build("fuzz", *(f"fuzz_{name}" for name in TARGETS)) / "fuzz" / f"fuzz_{target}"


def fuzz(target: str, executable: Path, kept: Path, *options: str) -> Result:
    """Run a target from its corpus; new inputs, and an input that causes a failure, go to the folder `kept`."""
    kept.mkdir(parents=True, exist_ok=True)
    command = [str(executable), f"-artifact_prefix={kept}/", f"-max_len={LONGEST[target]}", "-timeout=10"]
    command += ["-rss_limit_mb=1024", "-print_final_stats=1", *options, str(kept), str(CORPUS / target)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=ENVIRONMENT, check=False)
    text = done.stdout.decode(errors="replace")

    def last(pattern: str) -> int:
        return int((re.findall(pattern, text) or ["0"])[-1])

    return Result(
        target,
        done.returncode == 0,
        last(r"stat::number_of_executed_units: (\d+)"),
        last(r"runs in (\d+) second"),
        last(r"cov: (\d+)"),
        last(r"corp: (\d+)"),
        text,
    )


def random_host(events: int) -> Result:
    """The driver's register against STATE, for a number of events of a random host, with sanitizers and a new seed each
    time.
    """
    command = [str(build_program("sanitize", Path(f"firmware/test_{DRIVER}"))), str(events), str(time.time_ns())]
    begin_s = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=ENVIRONMENT, check=False)
    text = f"{' '.join(command)}\n{done.stdout.decode(errors='replace')}"
    return Result(DRIVER, done.returncode == 0, events, time.monotonic() - begin_s, 0, 0, text)


def table(results: list[Result]) -> str:
    lines = [f"{'target':<12}{'executions':>12}{'seconds':>9}{'edges':>8}{'corpus':>8}  result"]
    for one in results:
        result = "no crash" if one.passed else "CRASH"
        lines.append(f"{one.target:<12}{one.executions:>12,}{one.seconds:>9.0f}{one.edges:>8}{one.inputs:>8}  {result}")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """The long run: as many targets at once as there are cores."""
    import argparse

    parser = argparse.ArgumentParser(description="Fuzz the native decoders for long.")
    parser.add_argument("--executions", type=int, default=10_000_000, help="of each target (10 million)")
    parser.add_argument("--seconds", type=int, default=600, help="of each target (600); what is over first ends it")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join((*TARGETS, DRIVER))}; none: all")
    given = parser.parse_args(arguments)
    unknown = set(given.targets) - {*TARGETS, DRIVER}
    if unknown:
        parser.error(f"no target named {', '.join(sorted(unknown))}: they are {', '.join((*TARGETS, DRIVER))}")
    targets = given.targets or (*TARGETS, DRIVER)
    programs = {target: program(target) for target in targets if target != DRIVER}
    limits = (f"-runs={given.executions}", f"-max_total_time={given.seconds}")

    def one(target: str) -> Result:
        if target == DRIVER:
            result = random_host(given.executions)
        else:
            result = fuzz(target, programs[target], ROOT / ".cache/fuzz" / target, *limits)
        print(table([result]).splitlines()[1], flush=True)
        return result

    print(table([]))
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        results = list(pool.map(one, targets))
    for result in results:
        if not result.passed:
            print(f"\n{result.target}:", *result.text.splitlines()[-40:], sep="\n", file=sys.stderr)
    return 0 if all(result.passed for result in results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
