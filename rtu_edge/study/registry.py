"""The studies by name: which learners train on which plants, for how long, and what a run is scored against."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rtu_edge._base.errors import ConfigError
from rtu_edge.study import families, references
from rtu_edge.study.tasks import Task

__all__ = ["STUDIES", "Study", "find"]

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Study:
    """A named set of tasks.

    Attributes:
        name, title: what it is called and what it shows.
        steps, seeds: defaults of --steps and --seeds.
        make: the tasks for a number of seeds, steps and settings, in a fixed order.
    """

    name: str
    title: str
    steps: int
    seeds: int
    make: Callable[[int, int, Settings], list[Task]]

    def tasks(self, seeds: int | None = None, steps: int | None = None, settings: Settings | None = None) -> list[Task]:
        """The tasks; None: the study's defaults."""
        return self.make(seeds or self.seeds, steps or self.steps, settings or {})


def _on_plant(plant: str, tail: float, fixed: Settings) -> Callable[[int, int, Settings], list[Task]]:
    def make(seeds: int, steps: int, settings: Settings) -> list[Task]:
        chosen = {**fixed, **settings}
        return [
            Task(plant, agent_seed=seed, episode_seed=_EPISODES * seed, steps=steps, tail=tail, settings=chosen)
            for seed in range(seeds)
        ]

    return make


def _on_kinds(half: families.Half | None) -> Callable[[int, int, Settings], list[Task]]:
    def make(seeds: int, steps: int, settings: Settings) -> list[Task]:
        return [
            Task(kind, True, seed, agent_seed=seed, episode_seed=_EPISODES * seed, steps=steps, settings=settings)
            for kind in families.kinds(half)
            for seed in range(seeds)
        ]

    return make


def _limited(half: families.Half) -> Callable[[int, int, Settings], list[Task]]:
    """Without limits, with the recommended ones as the loop reports them, and as a part of the machine; the first and
    the last also with the last command as an input.
    """

    def make(seeds: int, steps: int, settings: Settings) -> list[Task]:
        none = (None, None)
        with_command = {**settings, "previous_action": True}
        variants = (
            ("unlimited", none, True, settings),
            ("unlimited, last command", none, True, with_command),
            ("limited, told", _LIMITS, True, settings),
            ("limited, not told", _LIMITS, False, settings),
            ("not told, last command", _LIMITS, False, with_command),
        )
        return [
            replace(task, slew=slew, accel=accel, told=told, variant=variant)
            for variant, (slew, accel), told, given in variants
            for task in _on_kinds(half)(seeds, steps, given)
        ]

    return make


def _changing(seeds: int, steps: int, settings: Settings) -> list[Task]:
    """A sixth of the steps without a change, then ten changes, there and back in turn; and, in a third of the steps,
    one change at half time.
    """
    every = max(1000, steps // 12 // 1000 * 1000)
    first = 2 * every
    schedules = (
        ("once", (first,), 2 * first),
        ("ten", tuple(first + every * at for at in range(10)), first + 10 * every),
    )
    found = []
    for change, name in _CHANGES.items():
        for schedule, starts, end in schedules:
            for kind in families.kinds():
                for seed in range(seeds):
                    there, back = _change(kind, seed, name)
                    if not there:
                        continue
                    task = Task(kind, True, seed, agent_seed=seed, episode_seed=_EPISODES * seed, steps=end)
                    changes = tuple((step, back if at % 2 else there) for at, step in enumerate(starts))
                    tail = (end - starts[-1]) / 2 / end
                    variant = f"{change}, {schedule}"
                    found.append(replace(task, changes=changes, variant=variant, tail=tail, settings=settings))
    return found


def _change(kind: str, seed: int, name: str) -> tuple[dict[str, float], dict[str, float]]:
    """The parameters after a change, and before it; empty if the machine has none that shows: no friction, or no
    controller that is better than random commands with the flipped reward.
    """
    drawn = families.Machine(kind, seed).parameters
    if name == "bias":
        return {"bias": _DRIFT}, {"bias": drawn["bias"]}
    if name == "reward":
        known, turned = references.reference(kind, seed), references.flipped(kind, seed)
        shows = turned.reference - turned.random >= _LEAST_GAP * (known.reference - known.random)
        scale = drawn["reward_scale"]
        return ({"reward_scale": -scale}, {"reward_scale": scale}) if shows else ({}, {})
    before = {key: value for key, value in drawn.items() if value > 0.0 and any(word in key for word in _FRICTION)}
    return {key: 2.0 * value for key, value in before.items()}, before


def _hunt(seeds: int, steps: int, settings: Settings) -> list[Task]:
    """Each seed draws kind, machine, reward scale, noise, delay and range of the commands."""
    return [_drawn(seed, steps, settings) for seed in range(seeds)]


def _drawn(seed: int, steps: int, settings: Settings) -> Task:
    rng = np.random.Generator(np.random.PCG64(seed))
    kind = families.kind(str(rng.choice(families.kinds())))
    ranges = {row.name: row for row in kind.parameters}
    noise = ranges["noise"].max
    return Task(
        kind.name,
        family=True,
        machine_seed=int(rng.integers(references.KEPT_SEEDS)),
        parameters={
            "reward_scale": float(10.0 ** rng.uniform(-2.0, 2.0)),
            "noise": float(rng.uniform(0.0, 2.0 * noise)),
            "delay": float(rng.integers(0, 3) if ranges["delay"].max > 0 else 0),
        },
        agent_seed=seed,
        episode_seed=_EPISODES * seed,
        steps=steps,
        command_range=float(2.0 ** rng.uniform(0.0, 2.0)),
        settings=settings,
    )


# Shares of the range per period and per period squared. examples/robot.toml: 100 N/s and 2 000 N/s^2 of 8 N at 50 Hz.
_LIMITS = (0.25, 0.1)
_CHANGES = {"friction doubles": "friction", "sensor drifts": "bias", "reward flips": "reward"}
_DRIFT = 0.1  # of the span of each sensor
_LEAST_GAP = 0.1  # between random commands and the controller of the flipped reward, of that of the reward
_FRICTION = ("drag", "friction", "damping", "coulomb", "viscous")  # in the names of parameters
_EPISODES = 1_000_003  # between the seeds of the first episodes of two runs

STUDIES: dict[str, Study] = {
    study.name: study
    for study in (
        Study(
            "cartpole",
            "cart-pole without velocities, continuous force",
            100_000,
            10,
            _on_plant("cartpole", 1 / 3, {}),
        ),
        Study(
            "cartpole-two-forces",
            "cart-pole without velocities, two forces",
            100_000,
            10,
            _on_plant("cartpole", 1 / 3, {"n_actions": 2}),
        ),
        Study(
            "pendulum",
            "pendulum swing-up without velocities",
            200_000,
            10,
            _on_plant("pendulum", 0.2, {}),
        ),
        Study("families", "the kinds on which defaults are chosen", 60_000, 10, _on_kinds("chosen")),
        Study("families-reported", "the kinds on which results are reported", 60_000, 10, _on_kinds("reported")),
        Study(
            "limits", "slew and acceleration limits of examples/robot.toml, chosen kinds", 60_000, 5, _limited("chosen")
        ),
        Study(
            "limits-reported", "the same on the kinds on which results are reported", 60_000, 5, _limited("reported")
        ),
        Study(
            "change",
            "friction that doubles, sensors that drift, a reward that flips: once, and ten times there and back",
            360_000,
            5,
            _changing,
        ),
        Study(
            "collapse",
            "search for runs that lock: kind, machine, reward, noise, delay and range drawn by seed",
            30_000,
            1000,
            _hunt,
        ),
    )
}


def find(name: str) -> Study:
    """A study by its name.

    Raises:
        ConfigError: there is none.
    """
    if name not in STUDIES:
        raise ConfigError(f"study = {name!r}: expected one of {', '.join(STUDIES)}")
    return STUDIES[name]
