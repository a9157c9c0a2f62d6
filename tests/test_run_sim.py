"""`rtu-edge run --sim`, and what `--assert-no-alloc` makes of a run."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rtu_edge import runtime
from rtu_edge.errors import CheckFailed
from rtu_edge.job import heap


def rtu_edge(*arguments: str, cwd: Path) -> tuple[int, str]:
    command = [sys.executable, "-m", "rtu_edge.cli", *arguments]
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
    return done.returncode, done.stdout


def test_a_simulated_run_uses_no_heap(tmp_path: Path) -> None:
    """Without a configuration; a million steps are `rtu-edge run --sim --steps 1000000 --assert-no-alloc`."""
    code, said = rtu_edge("run", "--sim", "--steps", "50000", "--assert-no-alloc", cwd=tmp_path)
    assert code == 0, said
    assert "heap calls of the loop's thread from step 100 on: 0" in said
    assert (tmp_path / "runs" / "sim" / "report.html").is_file()


LEAKY = """
from rtu_edge import cli
from rtu_edge.job import heap
take, kept = heap.Resident.take, [b""]
def leaky(self, steps):
    kept.append(b"x" * (1000 * steps - sum(map(len, kept))))
    take(self, steps)
heap.Resident.take = leaky
cli.main(["run", "--sim", "--steps", "50000", "--assert-no-alloc"])
"""


def test_a_kilobyte_kept_each_step_is_found(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LEAKY], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    grown = re.search(r"resident memory \+(\d+) KiB; allowed: 0 calls, 2048 KiB", done.stderr)
    # From a quarter of the run to its half, at least: 12.5 MB.
    assert done.returncode == 1 and grown is not None and int(grown[1]) > 10_000, done.stdout + done.stderr


def test_a_configured_port_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "robot.toml"
    path.write_text(
        '[device]\nport = "/dev/nowhere"\n[loop]\nclock = "host"\n[learner]\nunits = 8\n'
        '[limits.hip]\nmin = -1.0\nmax = 1.0\nslew_per_s = 5.0\n[reward]\nsource = "form"\nbias = 1.0\n'
    )
    code, said = rtu_edge("run", "robot.toml", "--sim", "--steps", "500", cwd=tmp_path)
    assert code == 0, said
    assert "500 steps" in said
    code, said = rtu_edge("run", "robot.toml", "--steps", "500", cwd=tmp_path)
    assert code == 3, said
    assert "/dev/nowhere" in said


def test_nothing_to_run_is_a_usage_error(tmp_path: Path) -> None:
    code, said = rtu_edge("run", cwd=tmp_path)
    assert code == 2
    assert "--sim" in said


def result(heap_calls: int | None) -> runtime.LoopResult:
    plain = {field.name: None for field in dataclasses.fields(runtime.LoopResult)}
    return runtime.LoopResult(**{**plain, "steps": 500, "heap_calls": heap_calls, "page_faults": 0})  # type: ignore[arg-type]


def test_what_is_no_pass() -> None:
    flat = heap.Resident()
    with pytest.raises(CheckFailed, match="too few to say"):
        heap.check(result(0), flat)
    for steps in range(100):
        flat.take(steps)
    assert "resident memory +" in heap.check(result(0), flat)
    with pytest.raises(CheckFailed, match="on: 1;"):
        heap.check(result(1), flat)
    with pytest.raises(CheckFailed, match="too few"):
        heap.check(result(None), flat)
    leaking = heap.Resident()
    kept = []
    for steps in range(100):
        kept.append(bytearray(1 << 20))
        kept[-1][::4096] = b"x" * 256
        leaking.take(steps)
    with pytest.raises(CheckFailed, match="resident memory"):
        heap.check(result(0), leaking)


def test_what_piles_up_and_goes_again_is_no_growth() -> None:
    resident = heap.Resident()
    resident.samples = [(steps, 100_000_000 + 50_000_000 * (steps % 3 > 0)) for steps in range(100)]
    assert resident.growth == 0
    resident.samples = [(steps, held + 100_000 * steps) for steps, held in resident.samples]
    assert resident.growth is not None and resident.growth > heap.Resident.ALLOWED
