"""The overhead of a step beyond the learner's own work: bound buffers, arrays, chunks.

    python -m benchmarks.overhead
    python -m benchmarks.overhead --seconds 5

All in one run, alternating; processor time of the thread, medians over the rounds. The native step is
the time of run() per row in one long chunk: a C++ loop over predict and update. "beyond" is a way's time less that,
in units of a Python call that does nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import repeat
from statistics import median
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

import rtu_edge as rtu
from rtu_edge import _core

CHUNK = 256
REWARD = 0.25
LONG = 16 * CHUNK


def no_op() -> None:
    pass


def per_call(function: Callable[..., Any], n: int, *arguments: Any) -> float:
    """Nanoseconds of one call in a plain for loop."""
    turns = repeat(None, n)
    begun = time.thread_time_ns()
    if arguments:
        (argument,) = arguments
        for _ in turns:
            function(argument)
    else:
        for _ in turns:
            function()
    return (time.thread_time_ns() - begun) / n


def stream_ac(d: int, units: int, hidden: int) -> dict[str, Callable[[int], float]]:
    """Each way to step, as a function of the number of steps; one learner each, on the same stream."""
    rng = np.random.default_rng(0)
    x = np.tile(rng.uniform(-1, 1, d).astype(np.float32), (LONG, 1))  # the learner's time may depend on its data
    rewards = np.full(LONG, REWARD)
    bound, plain, short, long = (rtu.StreamAC(d, 1, units=units, hidden=hidden) for _ in range(4))
    bound.bind(x[0], np.zeros(1, np.float32))
    bound.reset_bound()
    plain.reset(x[0])
    chunks = [(x[i : i + CHUNK], rewards[i : i + CHUNK]) for i in range(0, LONG, CHUNK)]
    step_bound, step, row = bound.step_bound, plain.step, x[0]

    def in_chunks(learner: rtu.StreamAC, pieces: list[tuple[Any, Any]], n: int) -> float:
        begun = time.thread_time_ns()
        done = 0
        while done < n:
            for rows, signal in pieces:
                learner.run(rows, signal)
                done += len(rows)
        return (time.thread_time_ns() - begun) / done

    return {
        "native": lambda n: in_chunks(long, [(x, rewards)], n),
        "step_bound()": lambda n: per_call(step_bound, n, REWARD),
        f"run(), {CHUNK} rows": lambda n: in_chunks(short, chunks, n),
        "step()": lambda n: per_call(lambda reward: step(row, reward), n, REWARD),
    }


def measure(ways: dict[str, Callable[[int], float]], seconds: float) -> dict[str, float]:
    """Median time of a step each way, ns."""
    samples: dict[str, list[float]] = {name: [] for name in ("no-op", *ways)}
    n = max(200, int(5e6 / ways["native"](LONG)))  # rounds of about 5 ms
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(samples["no-op"]) < 5:
        samples["no-op"].append(per_call(no_op, 100_000))
        for name, way in ways.items():
            samples[name].append(way(n))
    return {name: median(values) for name, values in samples.items()}


@click.command()
@click.option("--seconds", default=3.0, show_default=True, help="For each size.")
def main(seconds: float) -> None:
    """Print the table."""
    table = Table("StreamAC (d, n, hidden)", "", "ns per step", "beyond native, ns", "in no-ops", "over native")
    for size in ((2, 8, 8), (2, 32, 32), (16, 64, 64)):
        times = measure(stream_ac(*size), seconds)
        native = times["native"]
        for name, took in times.items():
            beyond = took - native
            cells = (
                ["", "", ""]
                if name in ("no-op", "native")
                else [f"{beyond:.0f}", f"{beyond / times['no-op']:.2f}", f"{beyond / native:+.1%}"]
            )
            table.add_row(str(size) if name == "no-op" else "", name, f"{took:.0f}", *cells)
        table.add_section()
    Console(width=100).print(f"instruction set {_core.isa}", table)


if __name__ == "__main__":
    main()
