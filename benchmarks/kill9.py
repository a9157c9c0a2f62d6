"""kill -9 at random moments of a run, repeatedly: it always resumes, and ends like the run without kills.

    python -m benchmarks.kill9 --times 1000

A real `rtu-edge run` of the cart-pole in lockstep, saving each 200 steps, is killed at a random moment and resumed from
its files until it completes; then the state hash and the returns of its last session's episodes are compared with those
of an undisturbed run, and the next one starts. The learner monitor is so strict that it trips and rolls back meanwhile,
before and after the kills.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from rtu_edge.learn import checkpoint, decode
from rtu_edge.learn.checkpoint.slots import Slots, Stored
from rtu_edge.record import RunFolder
from rtu_edge.record.reader import read_log

# Settings with which the learner monitor below trips often.
SETTINGS = """\
body = "separate"
gamma = 0.99
trace_decay = 0.9
actor.kappa = 2.0
critic.kappa = 3.0
actor_warmup = 0
sigma_floor = 0.0
exploration_correlation = 0.0
"""
JOB = """
[device]
plant = "cartpole"
[loop]
clock = "lockstep"
[learner]
units = 8
hidden = [8]
{settings}[learner_monitor]
snapshot_steps = 200
validation_steps = 100
{monitor}
[checkpoint]
every_s = 0.0
every_steps = 200
[run]
name = "run"
folder = "{folder}"
steps = {steps}
seed = {seed}
"""
STRICT = "td_error = 8.0\ntd_warmup = 200\nmax_rollbacks = 1000"
START_S = 1.0  # duration of a process start, which one kill in ten hits
SAVES_S = 0.05  # some saves: the other kills occur up to this long after one, uniformly over the remaining steps


class Different(AssertionError):
    """A killed run did not resume, or ended differently."""


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "rtu_edge.cli", "run", *map(str, arguments)]


def finish(arguments: list[str]) -> None:
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        raise Different(f"exit code {done.returncode}: {done.stderr.strip()}")


def episodes(folder: Path) -> Any:
    """Number, return, length and seed of each episode of the folder's session."""
    found = read_log(RunFolder(folder).log()).episodes
    return found[["episode", "total_return", "steps", "seed"]]


def last_folder(root: Path) -> Path | None:
    """The newest that can be resumed: it has a configuration."""
    there = sorted(root.glob("run*"), key=lambda path: int(path.name.partition("-")[2] or 1)) if root.exists() else []
    return next((path for path in reversed(there) if (path / RunFolder.CONFIG).exists()), None)


def saved_steps(folder: Path) -> int:
    """Of the newest checkpoint of a folder."""
    steps: int = checkpoint.read_text(Slots(folder).newest().data)[1]["steps"]
    return steps


def newest(folder: Path) -> tuple[Stored, int, str]:
    """The newest checkpoint of a folder, its steps, its state hash."""
    stored = Slots(folder).newest()
    return stored, saved_steps(folder), decode(stored.data).state_hash()


class Campaign:
    """Kills a number of times.

    Args:
        place: an empty folder.
        steps: of a run.
        seed: of the runs and of the moments.
        monitor: more keys of its table.
    """

    def __init__(self, place: Path, steps: int, seed: int, monitor: str = STRICT) -> None:
        self.place, self.steps = place, steps
        self.moments = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.job = place / "job.toml"
        self.job.write_text(
            JOB.format(settings=SETTINGS, folder=place / "alone", steps=steps, seed=seed, monitor=monitor)
        )
        finish(command(self.job))
        alone = RunFolder(place / "alone" / "run")
        self.alone = alone.load_summary().stages["learning"].counters
        self.whole = episodes(place / "alone" / "run")
        self.state = newest(place / "alone" / "run")[2]

    def run(self, times: int) -> None:
        """Kill, resume, compare.

        Raises:
            Different: and where.
        """
        number = 0
        while self.counts["kills"] < times:
            number += 1
            self.one(self.place / f"killed-{number}", times)

    def one(self, root: Path, times: int) -> None:
        """One run from start to end."""
        job = root.with_suffix(".toml")
        job.write_text(self.job.read_text().replace(str(self.place / "alone"), str(root)))
        while True:
            folder = last_folder(root)
            arguments = command("--resume", folder) if folder else command(job)
            if self.counts["kills"] >= times:
                finish(arguments)
            elif self.killed(arguments, root, folder):
                self.look(root, folder)
                if not self.complete(root):
                    continue
            break
        self.compare(root)

    def killed(self, arguments: list[str], root: Path, before: Path | None) -> bool:
        """Start a process and kill it, mostly while it runs; False when it ended before."""
        process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        with process.stderr:
            try:
                wait_s = self.moments.uniform(0.0, START_S)
                if self.moments.random() < 0.9:
                    done = saved_steps(before) if before else 0
                    moment = done + self.moments.random() * (self.steps - done)
                    while process.poll() is None and not self.reached(root, before, moment):
                        time.sleep(0.005)
                    wait_s = self.moments.uniform(0.0, SAVES_S)
                code = process.wait(wait_s)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                self.counts["kills"] += 1
                return True
            if code != 0:
                raise Different(f"exit code {code}: {process.stderr.read().strip()}")
        return False

    def reached(self, root: Path, before: Path | None, moment: float) -> bool:
        """The new session has saved a checkpoint at this step: it is running, independent of the host's speed."""
        folder = last_folder(root)
        return folder is not None and folder != before and saved_steps(folder) >= moment

    def look(self, root: Path, before: Path | None) -> None:
        """The state after the kill."""
        folder = last_folder(root)
        if folder is None or folder == before:
            self.counts["before it had begun"] += 1
            return
        stored, _, _ = newest(folder)
        if stored.notes:
            raise Different(f"{folder}: {stored.notes}")
        written = any(folder.glob(".checkpoint.rtu.*"))
        self.counts["while a checkpoint was being written" if written else "at another moment"] += 1
        self.counts["with nothing saved since its start"] += not list(folder.glob("checkpoint.*.rtu"))

    def complete(self, root: Path) -> bool:
        """It was killed after its last checkpoint."""
        folder = last_folder(root)
        if folder is None or newest(folder)[1] < self.steps:
            return False
        self.counts["after its last checkpoint"] += 1
        return True

    def compare(self, root: Path) -> None:
        """Compares with the undisturbed run."""
        folder = last_folder(root)
        assert folder is not None
        _, steps, state = newest(folder)
        if (steps, state) != (self.steps, self.state):
            raise Different(f"{folder}: {steps} steps, state {state}; left alone {self.steps} steps, {self.state}")
        self.counts["runs compared, equal"] += 1
        if (folder / RunFolder.SUMMARY).exists():
            ours = episodes(folder)
            if not np.array_equal(ours, self.whole[len(self.whole) - len(ours) :]):
                raise Different(f"{folder}: other episodes")
            self.counts["episodes compared, equal"] += len(ours)


@click.command()
@click.option("--times", default=1000, show_default=True)
@click.option("--steps", default=20_000, show_default=True, help="Of a run.")
@click.option("--seed", default=0, show_default=True)
def main(times: int, steps: int, seed: int) -> None:
    """Print the circumstances and the results of the kills."""
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        campaign = Campaign(Path(place), steps, seed)
        campaign.run(times)
    table = Table(f"{times} kills in {time.monotonic() - begin:.0f} s", "")
    for name, count in campaign.counts.items():
        table.add_row(name, f"{count:,}")
    Console().print(table)


if __name__ == "__main__":
    main()
