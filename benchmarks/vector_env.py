"""Vector cart-pole next to Gymnasium's own, observations written, on one core.

    python -m benchmarks.vector_env
    python -m benchmarks.vector_env --check        # exit code 1 below 10 times at 64, 1.2 times at 4096
    python -m benchmarks.vector_env --seconds 20

All contenders take turns in blocks of a few milliseconds in one process, pinned to one core; processor time of the
thread, so that other processes cost what they take of the caches alone. The ratio is the median over the rounds of the
ratio within a round. Gymnasium's vector cart-pole has two actions and NEXT_STEP; ours is measured with the same two
actions ("levels"), and with the continuous command that an agent gives; the slower of the two counts. SAME_STEP, which
Gymnasium's has not, makes an array of each last observation. Actions are random and drawn before: episodes
of cart-pole then last about 20 steps, and the resets are part of the time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from benchmarks.measure import hold_one_core, host_facts, required

with required():
    import gymnasium

    from rtu_edge import envs

SIZES = (1, 8, 64, 512, 4096)
GOALS = {64: 10.0, 4096: 1.2}
BLOCK_NS = 4e6
ID = "rtu_edge/CartPole-v0"
THEIRS = "Gymnasium CartPole-v1"


def contenders(n: int) -> dict[str, gymnasium.vector.VectorEnv]:
    assert ID in envs.IDS
    mode = "vector_entry_point"
    return {
        THEIRS: gymnasium.make_vec("CartPole-v1", num_envs=n, vectorization_mode=mode),
        "continuous": gymnasium.make_vec(ID, num_envs=n, vectorization_mode=mode),
        "2 levels": gymnasium.make_vec(ID, num_envs=n, vectorization_mode=mode, actions=2),
        "2 levels, SAME_STEP": gymnasium.make_vec(
            ID, num_envs=n, vectorization_mode=mode, actions=2, autoreset_mode="SameStep"
        ),
        "2 levels, copy=False": gymnasium.make_vec(ID, num_envs=n, vectorization_mode=mode, actions=2, copy=False),
    }


def stepper(env: gymnasium.vector.VectorEnv) -> Callable[[int], float]:
    """A function that takes so many steps and returns the nanoseconds of one."""
    env.reset(seed=0)
    env.action_space.seed(0)
    drawn = [env.action_space.sample() for _ in range(64)]
    step = env.step
    at = 0

    def run(steps: int) -> float:
        nonlocal at
        chosen = [drawn[(at + i) % len(drawn)] for i in range(steps)]
        at += steps
        begun = time.thread_time_ns()
        for actions in chosen:
            step(actions)
        return (time.thread_time_ns() - begun) / steps

    return run


def measure(n: int, seconds: float) -> tuple[dict[str, float], dict[str, float]]:
    """Median ns of a vector step, and median ratio of theirs to each within a round."""
    runs = {name: stepper(env) for name, env in contenders(n).items()}
    steps = {name: max(3, int(BLOCK_NS / max(run(20), 1.0))) for name, run in runs.items()}
    samples: dict[str, list[float]] = {name: [] for name in runs}
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(samples[THEIRS]) < 7:
        for name, run in runs.items():
            samples[name].append(run(steps[name]))
    ratios = {
        name: median(theirs / own for theirs, own in zip(samples[THEIRS], values, strict=True))
        for name, values in samples.items()
    }
    return {name: median(values) for name, values in samples.items()}, ratios


def rows(n: int, ns: dict[str, float], ratios: dict[str, float]) -> list[tuple[str, ...]]:
    return [
        (
            str(n) if name == THEIRS else "",
            name,
            f"{took / 1e3:.2f}",
            f"{took / n:.1f}",
            f"{n / took * 1e3:.2f}",
            "" if name == THEIRS else f"{ratios[name]:.2f}",
        )
        for name, took in ns.items()
    ]


@click.command()
@click.option("--seconds", default=4.0, show_default=True, help="Of measuring, for each number of environments.")
@click.option("--check", is_flag=True, help="Exit code 1 where a goal is missed.")
def main(seconds: float, check: bool) -> None:
    """Print the table."""
    held = hold_one_core()
    facts: dict[str, Any] = host_facts(held)
    table = Table("environments", "", "us a step", "ns an environment", "million steps/s", "times Gymnasium's")
    missed = []
    for n in SIZES:
        ns, ratios = measure(n, seconds)
        for row in rows(n, ns, ratios):
            table.add_row(*row)
        table.add_section()
        least = min(ratios["continuous"], ratios["2 levels"])
        if least < GOALS.get(n, 0.0):
            missed.append(f"{n} environments: {least:.2f} times, goal {GOALS[n]:g} times")
    goals = ", ".join(f"{times:g} times at {n}" for n, times in GOALS.items())
    console = Console(width=110)
    console.print(f"{facts['processor']}, {held}, {facts['compiler']}, gymnasium {gymnasium.__version__}", table)
    console.print("missed: " + "; ".join(missed) if missed else "goals reached: " + goals)
    if check and missed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
