"""Learning of the microcontroller's learner on many seeds: its bit-equal build for this host, position-only cart-pole.

    python -m benchmarks.board_study            # 20 seeds of each image, 60 000 steps; a minute or two
    python -m benchmarks.board_study --seeds 5

Printed: control steps until the mean of 20 episodes is 475 of 500. Exit code 1 if fewer than 17 of 20 seeds reach it
with one shared body, the configuration for new work.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
import toolchain  # noqa: E402  tools of the tests

TARGET, SHARE = 475.0, 17 / 20
HOSTS = {"separate bodies": "cortex_learner_host", "shared body": "cortex_learner_host_shared"}


def steps_to_target(host: Path, seed: int, steps: int) -> int | None:
    """Of one run; None: not reached."""
    with tempfile.TemporaryDirectory() as folder:
        lines = toolchain.run(host, "run", str(seed), str(steps), str(Path(folder) / "memory")).splitlines()
    reached = (int(at) for at, _, mean in map(str.split, lines) if float(mean) >= TARGET)
    return next(reached, None)


@click.command()
@click.option("--seeds", default=20, show_default=True, help="Number of seeds, from 0.")
@click.option("--steps", default=60_000, show_default=True, help="Maximum number of control steps.")
def main(seeds: int, steps: int) -> None:
    """Run every seed of each image."""
    folder = toolchain.build("release", *HOSTS.values())
    good = True
    for title, name in HOSTS.items():
        found = [steps_to_target(folder / name, seed, steps) for seed in range(seeds)]
        reached = [n for n in found if n is not None]
        median = f"{statistics.median(reached):.0f}" if reached else "-"
        print(f"{title}: {len(reached)} of {seeds} seeds, median {median} steps: {found}", flush=True)
        if title == "shared body":
            good = len(reached) >= SHARE * seeds
    sys.exit(not good)


if __name__ == "__main__":
    main()
