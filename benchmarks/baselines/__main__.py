"""Error, operations and bytes of each pair of cell and credit rule on trace conditioning, next to TDPredictor.

$ python -m benchmarks.baselines                              # a few minutes
$ python -m benchmarks.baselines --steps 1200 --seeds 2       # what the tests run
"""

from __future__ import annotations

import argparse

import numpy as np

import rtu_edge as rtu
from benchmarks.baselines.cells import CELLS, DenseRNN
from benchmarks.baselines.counts import count
from benchmarks.baselines.predictor import Body, Constructive, Predictor
from tests.reference import trace_conditioning as task

PAIRS = (
    ("rnn", "rtrl"),
    ("rnn", "snap1"),
    ("rnn", "uoro"),
    ("rnn", "rflo"),
    ("indrnn", "rtrl"),
    ("gru", "snap1"),
    ("gru", "tbptt1"),
    ("gru", "tbptt20"),
    ("lstm", "tbptt20"),
    ("columns", "rtrl"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=50_000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--units", type=int, default=8)
    parser.add_argument("--isi", type=int, default=20, help="steps from cue to event")
    parser.add_argument("--trace-decay", type=float, default=0.95)
    given = parser.parse_args()
    gamma, n, batch = 1 - 1 / given.isi, given.units, given.seeds
    x = np.stack([task.stream(np.random.default_rng(seed), given.steps, given.isi) for seed in range(batch)], 1)
    target = np.stack([task.returns(x[:, k, 0], gamma) for k in range(batch)], 1)
    judged = slice(int(0.8 * given.steps), given.steps - 10 * given.isi)
    best = np.stack([task.best_prediction(x[:, k], given.isi) for k in range(batch)], 1)
    floor = float(((best - target)[judged] ** 2).mean())

    def show(name: str, values: np.ndarray, operations: str, size: str) -> None:
        error = float(((values - target)[judged] ** 2).mean())
        print(f"{name:22} {error:8.4f} {error / floor:7.2f} {operations:>12} {size:>10}", flush=True)

    print(f"{'cell and rule':22} {'error':>8} {'/ floor':>7} {'operations':>12} {'bytes':>10}")
    show("best with memory", best, "", "")
    ours = [rtu.TDPredictor(2, gamma=gamma, seed=k).run(x[:, k], x[:, k, 0]) for k in range(batch)]
    show("rtu_edge.TDPredictor", np.stack(ours, 1), "", "")
    for name, rule in PAIRS:
        cell = DenseRNN(n, 2, a=0.1) if rule == "rflo" else CELLS[name](n, 2)
        predictor = Predictor(Body(cell, rule, batch, 0), n, batch, gamma, given.trace_decay)
        cost = count(cell, rule)
        values = np.array([predictor.step(row, row[:, 0]) for row in x])
        show(f"{name} {rule}", values, f"{cost.operations:,}", f"{cost.bytes:,}")
    stages = 4
    body = Constructive(2, n // stages, stages, max(1, given.steps // stages), batch, 0)
    predictor = Predictor(body, n // stages * stages, batch, gamma, given.trace_decay)
    values = np.array([predictor.step(row, row[:, 0]) for row in x])
    last = count(CELLS["columns"](n // stages, 2 + n // stages * (stages - 1)), "rtrl")
    show("constructive, the last", values, f"{last.operations:,}", f"{last.bytes:,}")


if __name__ == "__main__":
    main()
