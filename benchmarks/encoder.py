"""What an encoder before the cell is worth, and what one-step credit costs it: a product of two inputs, some steps ago.

    python -m benchmarks.encoder

Two fair bits x1, x2 of -1 or 1 at each step; the target is x1 x2 of `lag` steps ago. OnlineRegressor, 32 linear units,
a layer of 32 after the cell, Adam with a step of 0.001. The error is the mean of (target - y)^2 over the last fifth of
the steps: 1 for the constant 0, 0 at best. "random" is an encoder whose weights go back to those of the
start every 100 steps.
"""

from __future__ import annotations

from typing import Any

import click
import numpy as np

import rtu_edge as rtu

__all__ = ["ENCODERS", "error", "main"]

ENCODERS: dict[str, tuple[int, ...]] = {"none": (), "learned": (32,), "random": (32,)}


def error(encoder: str, lag: int, seed: int, steps: int) -> float:
    """The mean squared error of one run."""
    settings: dict[str, Any] = {"optimizer": "adam", "step_size": 1e-3, "activation": "tanh", "hidden": 32}
    model = rtu.OnlineRegressor(2, units=32, seed=seed, encoder=ENCODERS[encoder], **settings)
    start = {name: value for name, value in model.parameters.items() if ".encoder" in name}
    rng = np.random.default_rng(seed)
    x = rng.choice(np.array([-1.0, 1.0], np.float32), (steps, 2))
    target = np.concatenate([np.zeros(lag, np.float32), x[: steps - lag].prod(1)])[:, None]
    losses = []  # half of the squared error
    for begin in range(0, steps, 100):
        losses.append(model.run(x[begin : begin + 100], target[begin : begin + 100])[1])
        if encoder == "random":
            model.load_parameters(start)
    return float(2 * np.concatenate(losses)[4 * steps // 5 :].mean())


@click.command(context_settings={"show_default": True})
@click.option("--lag", "lags", type=click.IntRange(0), multiple=True, default=(0, 1, 2, 4, 8), help="Steps ago.")
@click.option("--seeds", type=click.IntRange(1), default=4, help="Number of seeds.")
@click.option("--steps", type=click.IntRange(100), default=100_000, help="Steps of a run.")
def main(lags: tuple[int, ...], seeds: int, steps: int) -> None:
    """Mean squared error without an encoder, with one, and with one that does not learn."""
    click.echo(f"{'lag':>3}  " + "  ".join(f"{name:>8}" for name in ENCODERS))
    for lag in lags:
        cells = [np.mean([error(name, lag, seed, steps) for seed in range(seeds)]) for name in ENCODERS]
        click.echo(f"{lag:3}  " + "  ".join(f"{value:8.3f}" for value in cells))


if __name__ == "__main__":
    main()
