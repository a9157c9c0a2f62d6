"""Position-only cart-pole and pendulum by this package and by peers, each in an environment of its own.

    python -m benchmarks.evidence peers --steps 100000 --seeds 3      # makes the environments, runs what is missing
    python -m benchmarks.evidence peers --write                       # the table from the runs that exist

A peer is a program of benchmarks/peer_programs. It runs with one thread. A peer that is in no package index needs an
interpreter that has it: --python streamlet=/path/to/python.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import venv
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.evidence import store
from benchmarks.measure import ROOT
from benchmarks.peer_programs.measured import SEEN

PROGRAMS = ROOT / "benchmarks/peer_programs"
TASKS = tuple(SEEN)
# Requirements of each environment; none: an interpreter is given. gymnax 1 has another step() than memorax calls.
PEERS: dict[str, tuple[str, ...]] = {
    "rtu_edge": (),
    "sb3_contrib": ("sb3-contrib==2.9.2", "stable-baselines3==2.9.2", "gymnasium==1.4.0", "torch>=2.14,<2.16"),
    "memorax": ("memorax==1.0.1", "gymnax==0.0.9", "jax>=0.10,<0.13"),
    "streamlet": (),
}
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}
ENTRIES = ("episodes", "versions", "processor_s", "wall_s", "peak_mb")  # of a result, next to those of the run
CONFIGURATION = {"late": 0.1}  # the score is the mean return of the episodes that ended in this share of the steps


@dataclass(frozen=True)
class Run:
    """One run: task of TASKS, peer of PEERS, interpreter that has it."""

    task: str
    peer: str
    seed: int
    steps: int
    folder: str
    python: str = sys.executable

    @property
    def path(self) -> Path:
        """Of the result."""
        return Path(self.folder) / f"{self.peer}-{self.task}-{self.seed}-{self.steps}.json"


def interpreter(peer: str, folder: Path) -> str:
    """Of the peer's environment, which is made if there is none."""
    wanted = PEERS[peer]
    if not wanted:
        return sys.executable
    place = folder / "environments" / peer
    python, done = place / "bin/python", place / "requirements.txt"
    if not done.exists() or done.read_text().split("\n") != list(wanted):
        venv.create(place, clear=True, with_pip=True)
        if subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted]).returncode:
            raise click.ClickException(f"{place}: pip cannot install {', '.join(wanted)}; --peer leaves {peer} out")
        done.write_text("\n".join(wanted))
    return str(python)


def train(run: Run) -> dict[str, Any]:
    """The result of a run, which is in the file if it has ended before."""
    if (found := store.read(run.path, *ENTRIES)) is not None:
        return found
    command = [run.python, str(PROGRAMS / f"with_{run.peer}.py"), run.task, str(run.steps), str(run.seed)]
    done = subprocess.run(command, env=os.environ | ONE_THREAD, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise click.ClickException(f"{run.peer}: ended with {done.returncode}: {shlex.join(command)}")
    result = asdict(run) | json.loads(done.stdout.splitlines()[-1])
    store.write(run.path, result)
    return result


def lines_of_code(peer: str) -> int:
    """Of the peer's program: without blank lines, comments, its docstring and the two lines that start it."""
    source = (PROGRAMS / f"with_{peer}.py").read_text(encoding="utf-8")
    code = source.split('"""', 2)[2].partition('\nif __name__ == "__main__":')[0]
    lines = (line.strip() for line in code.splitlines())
    return sum(bool(line) and not line.startswith(("#", "from __future__")) for line in lines)


def score(result: dict[str, Any]) -> float:
    """Mean return of the late episodes."""
    length, value = np.array(result["episodes"]).T
    ended = np.cumsum(length)
    late = ended > (1 - CONFIGURATION["late"]) * result["steps"]
    return float(value[late].mean()) if late.any() else float("nan")


def rows(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a task, number of steps and peer."""
    table: dict[tuple[str, int, str], dict[str, Any]] = {}
    for result in sorted(found, key=lambda r: (TASKS.index(r["task"]), r["steps"], r["peer"] != "rtu_edge", r["peer"])):
        key = (result["task"], result["steps"], result["peer"])
        named = dict(zip(("task", "steps", "peer"), key, strict=True))
        row = table.setdefault(key, named | {"versions": result["versions"], "runs": []})
        numbers = {name: result[name] for name in ("seed", "processor_s", "wall_s", "peak_mb")}
        row["runs"].append(numbers | {"score": round(score(result), 1)})
    return [row | {"lines": lines_of_code(row["peer"])} for row in table.values()]


def text(table: list[dict[str, Any]]) -> str:
    """In Markdown, with the versions below."""
    lines = ["| task, positions only | steps | peer | seeds | return at the end | each | steps per second | peak MB | "
             "lines of code |", "|---" * 9 + "|"]  # fmt: skip
    for row in table:
        runs = row["runs"]
        each = [run["score"] for run in runs]
        cells = (
            row["task"], f"{row['steps']:,}", row["peer"], len(runs), f"{np.mean(each):.0f}",
            ", ".join(f"{value:.0f}" for value in each),
            f"{np.median([row['steps'] / run['processor_s'] for run in runs]):,.0f}",
            f"{np.median([run['peak_mb'] for run in runs]):.0f}", row["lines"],
        )  # fmt: skip
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    lines.append("")
    for peer, versions in {row["peer"]: row["versions"] for row in table}.items():
        lines.append(f"- {peer}: {', '.join(f'{name} {version}' for name, version in versions.items())}")
    return "\n".join(lines)
