"""Position-only cart-pole: a learner that starts from two minutes of a PD controller's log, and learns on.

    python -m benchmarks.cloning                      # seeds 110 to 119: benchmarks/results/cloning.json
    python -m benchmarks.cloning --seeds 2 --steps 20000
    python -m benchmarks.cloning --set actor='{"kappa": 30}'       # other settings of StreamAC

The controllers see position and angle, and take speeds from differences, low-pass filtered. White noise of --dither of
the actuator's range disturbs their commands while the log is recorded; the log holds the controller's own command. The
controller's return is that of its log. Goals: first learning episode at least 80 % of it, none of the next 20 below
60 %, the mean of the 10 episodes after --steps at least the controller's.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

import rtu_edge as rtu
from benchmarks.measure import RESULTS
from rtu_edge.device.plants import Plant

LOG_STEPS = 6000  # two minutes at 50 Hz
PERIOD_S = 0.02
FILTER = 0.5  # of the speeds' low-pass
AFTER = 5500  # steps after --steps, for 10 whole episodes of 500
GAINS = {
    # of x, its speed, the angle, its speed; shares of the actuator's range per m, m/s, rad, rad/s
    "all four": (0.1, 0.25, 3.5, 0.6),
    "angle only": (0.0, 0.0, 1.2, 0.2),
}
SETTINGS: dict[str, Any] = {
    "horizon_s": 2.0,
    "body": "separate",
    "sigma_floor": 0.01,
    "actor": {"kappa": 100.0},
}


class PD:
    """A PD controller on positions."""

    def __init__(self, gains: tuple[float, ...]) -> None:
        self._gains = np.array(gains)
        self.reset()

    def reset(self) -> None:
        """Start of an episode."""
        self._last: Any = None
        self._speed = np.zeros(2)

    def __call__(self, observation: Any) -> Any:
        """The action (1,) in [-1, 1]."""
        x = np.asarray(observation, np.float64)
        if self._last is not None:
            self._speed = FILTER * self._speed + (1.0 - FILTER) * (x - self._last) / PERIOD_S
        self._last = x
        seen = np.array([x[0], self._speed[0], x[1], self._speed[1]])
        return np.clip([self._gains @ seen], -1.0, 1.0)


@dataclass(frozen=True)
class Logged:
    """Arguments of StreamAC.clone(), and the returns of the finished episodes."""

    observations: Any
    actions: Any
    rewards: Any
    terminated: Any
    truncated: Any
    returns: tuple[float, ...]


def record(controller: PD, steps: int, seed: int, dither: float) -> Logged:
    """A log of the controller on the cart-pole; its episodes start from seed on."""
    plant, random = Plant("cartpole"), np.random.default_rng(seed)
    rows: list[tuple[Any, ...]] = []
    returns: list[float] = []
    while len(rows) < steps:
        observation, _ = plant.reset(seed + len(returns))
        controller.reset()
        total, reward, terminated, truncated = 0.0, 0.0, False, False
        while True:
            action = controller(observation)
            rows.append((observation, action, reward, terminated, truncated))
            if terminated or truncated:
                returns.append(total)
                break
            sent = np.clip(action + dither * random.standard_normal(1), -1.0, 1.0)
            observation, reward, terminated, truncated, _ = plant.step(plant.scale(sent))
            total += reward
    x, u, rewards, ended, cut = (np.array(column) for column in zip(*rows[:steps], strict=True))
    return Logged(x, u, rewards, ended, cut, tuple(returns))


@dataclass(frozen=True)
class Result:
    """One seed. `next`: the lowest of the 20 episodes after the first; `after`: mean of 10 after the steps."""

    controller: float
    unexplained: float
    sigma: float
    first: float
    next: float
    after: float
    episodes: int

    @property
    def passed(self) -> bool:
        """All goals."""
        wanted = self.controller
        return self.first >= 0.8 * wanted and self.next >= 0.6 * wanted and self.after >= wanted


def start(seed: int, logged: Logged, **settings: Any) -> tuple[rtu.StreamAC, Any]:
    """An agent that has cloned the log, and the result of clone()."""
    agent = rtu.StreamAC.from_env(Plant("cartpole"), seed=seed, **{**SETTINGS, **settings})
    cloned = agent.clone(logged.observations, logged.actions, logged.rewards, logged.terminated, logged.truncated)
    return agent, cloned


def learn(seed: int, gains: tuple[float, ...], steps: int, dither: float, **settings: Any) -> Result:
    """Clone, then learn."""
    logged = record(PD(gains), LOG_STEPS, 500_000 + 1000 * seed, dither)
    agent, cloned = start(seed, logged, **settings)
    learned = agent.learn(Plant("cartpole"), steps + AFTER, progress=False, seed=700_000 + 1000 * seed)
    returns, ends = np.array(learned.returns), np.cumsum(learned.lengths)
    after = returns[ends - learned.lengths >= steps][:10]
    return Result(
        controller=float(np.mean(logged.returns)),
        unexplained=cloned.action_error[0],
        sigma=cloned.sigma[0],
        first=float(returns[0]),
        next=float(returns[1:21].min()),
        after=float(after.mean()),
        episodes=len(returns),
    )


@click.command()
@click.option("--seeds", default=10, show_default=True, help="Number of seeds.")
@click.option("--first-seed", default=110, show_default=True, help="The first one.")
@click.option("--steps", default=20_000, show_default=True, help="Steps of learning before the last measurement.")
@click.option("--dither", default=0.1, show_default=True, help="Noise on the logged controller's command.")
@click.option("--gains", type=click.Choice(list(GAINS)), help="Only this controller.")
@click.option("--set", "changes", multiple=True, metavar="KEY=JSON", help="A setting of StreamAC; may be repeated.")
@click.option("--save/--no-save", default=True, show_default=True, help="Keep the results as JSON.")
def main(
    seeds: int, first_seed: int, steps: int, dither: float, gains: str | None, changes: tuple[str, ...], save: bool
) -> None:
    """Prints a table for each controller."""
    settings = {key: json.loads(value) for key, value in (change.split("=", 1) for change in changes)}
    kept: dict[str, Any] = {"steps": steps, "dither": dither, "settings": {**SETTINGS, **settings}}
    for name in [gains] if gains else GAINS:
        table = Table(title=f"PD on {name}; {steps} steps, dither {dither:g}")
        for heading in ("seed", "controller", "first", "lowest of next 20", "10 after", "sigma", "unexplained", ""):
            table.add_column(heading)
        results = []
        for seed in range(first_seed, first_seed + seeds):
            found = learn(seed, GAINS[name], steps, dither, **settings)
            results.append(found)
            shown = (found.controller, found.first, found.next, found.after)
            numbers = [f"{value:.0f}" for value in shown] + [f"{found.sigma:.3f}", f"{found.unexplained:.1%}"]
            table.add_row(str(seed), *numbers, "passed" if found.passed else "missed")
        Console().print(table, f"{sum(each.passed for each in results)} of {seeds} seeds passed", sep="\n")
        kept[name] = [{"seed": first_seed + at, **asdict(each)} for at, each in enumerate(results)]
    if save:
        (RESULTS / "cloning.json").write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
