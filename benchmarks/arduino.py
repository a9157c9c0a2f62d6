"""A motor on an emulated Arduino Uno, learned by the host with `rtu-edge run`.

    python -m benchmarks.arduino                # some minutes; 1 if the score is not reached
    python -m benchmarks.arduino --steps 500

The sketch MotorEncoder of the Arduino library, built with Debian's arduino-core-avr, runs in simavr with a motor on its
PWM pin and an encoder on its interrupts (tools/simavr/motor.c). The host has examples/arduino_motor.toml and arms it as
real hardware. Chip time stands until the host has answered, so a busy host changes nothing. Score: the mean return of
the last 20 episodes of 500 steps; with no voltage it is about -750.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
import arduino  # noqa: E402

SCORE = -400.0


def build_bench(out: Path) -> tuple[Path, Path]:
    """The sketch and the emulator with the motor."""
    return arduino.build("uno", "MotorEncoder", arduino.pack(out), out), arduino.build_bench("motor", out)


@contextmanager
def running(sketch: Path, bench: Path) -> Iterator[str]:
    """The emulated board; yields the port. It ends with this process."""
    with subprocess.Popen([bench, sketch, "0"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as chip:
        assert chip.stdout is not None
        try:
            yield next(line.strip() for line in chip.stdout if line.startswith("/dev/"))
        finally:
            chip.kill()


def verdict(stage: dict[str, Any] | None, exit_code: int, steps: int, score: float) -> tuple[bool, str]:
    """Whether a run has made all its steps and reached the score, and the line that reports it."""
    made, reached = (0, None) if stage is None else (stage["steps"], stage["mean_return"])
    good = exit_code == 0 and made >= steps and reached is not None and reached >= score
    short = "" if made >= steps else f": ended early, of {steps}"
    return good, f"{'pass' if good else 'FAIL'}  return {reached} after {made} steps{short}; goal {score:g}"


@click.command()
@click.option("--steps", default=20_000, show_default=True)
@click.option("--seed", default=3, show_default=True)
@click.option("--score", default=SCORE, show_default=True, help="Mean return of the last episodes to reach")
def main(steps: int, seed: int, score: float) -> None:
    """Learn, and compare with the score."""
    with tempfile.TemporaryDirectory() as folder:
        sketch, bench = build_bench(arduino.OUT)
        with running(sketch, bench) as port:
            # The host measures its own times in real time: as long as the device allows.
            settings = [f"device.port={port}", f"run.seed={seed}", "loop.ttl_ms=200"]
            command = [sys.executable, "-m", "rtu_edge.cli", "run", str(ROOT / "examples" / "arduino_motor.toml")]
            command += ["--arm", "--yes", "--name", "motor", "--steps", str(steps)]
            command += [word for setting in settings for word in ("--set", setting)]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        print(done.stderr[-1500:])
        summary = json.loads((Path(folder) / "runs" / "motor" / "summary.json").read_text())
    good, text = verdict(summary["stages"].get("realtime"), done.returncode, steps, score)
    print(text)
    sys.exit(not good)


if __name__ == "__main__":
    main()
