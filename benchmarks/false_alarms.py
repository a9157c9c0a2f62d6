"""Virtual hours of healthy plants with every plant check on: each warning, stop or refusal is a false alarm.

    $ python -m benchmarks.false_alarms                    # ten hours: benchmarks/results/false_alarms.json
    $ python -m benchmarks.false_alarms --hours 0.02       # what continuous integration runs

A third of the time is that of the package's plants in the whole loop, in lockstep, with a start region, and of a servo
that a controller brings back to its start before each episode; the rest that of every family, with parameters drawn by
seed. A learner that learns drives the plants and one half of the families, a
policy without learning, random or of a slow sine, the other half.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import rtu_edge as rtu
from rtu_edge import _core
from rtu_edge.device import plants
from rtu_edge.device.schema import Channel, DataSheet
from rtu_edge.loop.checks import Checks, check_options, finding_text
from rtu_edge.study import families

RESULT = Path(__file__).with_name("results") / "false_alarms.json"
_BLOCK = 2000  # steps of a family between two calls of the checks


@dataclass
class Part:
    """What was run with one plant.

    Args:
        plant: plant or kind of a family.
        driver: learner, random or sine.
        drawn: plants of a family.
        hours: virtual.
        steps: control steps.
        alarms: findings, stops and refusals, in words.
    """

    plant: str
    driver: str
    drawn: int
    hours: float
    steps: int
    alarms: list[str]


def to_zero(x: Any, first: bool) -> list[float]:
    """The servo's voltage for an angle of 0."""
    return [-6.0 * x[0]]


def of_plant(name: str, seconds: float, seed: int, homed: bool = False) -> Part:
    """A plant of the package in the whole loop, with a learner; homed: from a small start region, with a controller."""
    alarms: list[str] = []
    bring: dict[str, Any] = {"start": {"theta": rtu.Start(-0.1, 0.1)}, "homing": to_zero} if homed else {}
    with rtu.connect(name, **bring) as robot:
        agent = rtu.StreamAC.from_env(robot, seed=seed)
        steps = max(1, round(seconds / robot.sheet.period_s))
        finite = [row for row in robot.sheet.observations if math.isfinite(row.max - row.min)]
        start = {row.name: rtu.Start(row.min, row.max) for row in finite}
        try:
            result = robot.run(agent, steps=steps, progress=False, seed=seed, **(bring or {"start": start}))
            counters, done = result.counters, result.steps
        except (rtu.SafetyStop, rtu.DeviceError) as error:
            alarms.append(str(error))
            counters, done = error.result.counters, error.result.steps  # type: ignore[union-attr]
        alarms += [f"{key}: {counters[key]}" for key in counters if key.startswith("check_") and counters[key]]
        alarms += ["was never brought to its start"] if homed and not counters["homings"] else []
        return Part(f"{name}, homed" if homed else name, "learner", 1, done * robot.sheet.period_s / 3600, done, alarms)


def of_family(kind: str, driver: str, seconds: float, seed: int) -> Part:
    """Plants of a family, a new one for each tenth of the time."""
    part = Part(kind, driver, 0, 0.0, 0, [])
    steps = max(1, round(seconds / 10 / families.kind(kind).period_s))
    for number in range(10):
        plant = families.Machine(kind, seed + number)
        sheet = _sheet(plant)
        checks = _core.PlantChecks(check_options(Checks(), sheet), plant.observation_size, plant.action_size)
        last = 0
        for rows in _blocks(plant, driver, steps, seed + number):
            for word in checks.run(*rows).tolist():
                if word != last and word:
                    ends = ", stopped" if word >> 31 else ""
                    part.alarms.append(f"seed {seed + number}: {finding_text(word & 0x7FFFFFFF, sheet)}{ends}")
                last = word
        part.drawn += 1
        part.steps += steps
    part.hours = part.steps * families.kind(kind).period_s / 3600
    return part


def _sheet(plant: families.Machine) -> DataSheet:
    """Of its names; observations without bounds."""
    seen = tuple(Channel(name, "1", -math.inf, math.inf) for name in plant.description.observations)
    driven = tuple(Channel(f"u{k}", "1", -1.0, 1.0, actuator=True) for k in range(plant.action_size))
    return DataSheet(plant.dt_s, seen, driven)


def _blocks(plant: families.Machine, driver: str, steps: int, seed: int) -> Iterator[tuple[Any, ...]]:
    """Arguments of PlantChecks.run(), block by block."""
    rng = np.random.default_rng(seed)
    agent = rtu.StreamAC.from_env(plant, seed=seed) if driver == "learner" else None
    x, _ = plant.reset(seed)
    action = None if agent is None else agent.reset(x)
    first, m = True, plant.action_size
    for begin in range(0, steps, _BLOCK):
        rows: list[tuple[Any, Any, bool]] = []
        for k in range(begin, min(begin + _BLOCK, steps)):
            if action is not None:
                u = np.clip(action, -1.0, 1.0)
            elif driver == "random":
                u = rng.uniform(-1.0, 1.0, m).astype(np.float32)
            else:
                u = np.full(m, math.sin(k * plant.dt_s / 2.0), np.float32)
            rows.append((x, u, first))
            x, reward, terminated, truncated, _ = plant.step(u)
            first = bool(terminated or truncated)
            if agent is not None:
                action = agent.step(x, reward, terminated, truncated)
            if first:
                x, _ = plant.reset()
                action = None if agent is None else agent.reset(x)
        xs, us = (np.array([row[i] for row in rows], np.float32) for i in (0, 1))
        yield xs, us, us, np.array([row[2] for row in rows]), np.ones(len(rows), bool)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=10.0, help="virtual hours in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="where the result goes; default: benchmarks/results for ten hours")
    given = parser.parse_args()
    begin_s = time.monotonic()
    names, kinds = plants.names(), families.kinds()
    parts = []
    for name, homed in [*((name, False) for name in names), ("servo", True)]:
        parts.append(of_plant(name, given.hours * 3600 / 3 / (len(names) + 1), given.seed, homed))
        print(*_line(parts[-1]), sep="  ", flush=True)
    for kind in kinds:
        for driver, share in (("learner", 0.5), ("random", 0.25), ("sine", 0.25)):
            seconds = given.hours * 3600 * 2 / 3 / len(kinds) * share
            parts.append(of_family(kind, driver, seconds, given.seed))
            print(*_line(parts[-1]), sep="  ", flush=True)
    alarms = sum(len(part.alarms) for part in parts)
    hours, steps = sum(part.hours for part in parts), sum(part.steps for part in parts)
    print(f"{hours:.2f} hours, {steps:,} steps, {time.monotonic() - begin_s:.0f} s: {alarms} false alarms")
    out = given.out or (RESULT if given.hours >= 10 else None)
    if out is not None:
        plain = {"hours": round(hours, 3), "steps": steps, "alarms": alarms, "parts": [asdict(part) for part in parts]}
        out.write_text(json.dumps(plain, indent=1) + "\n")
    return 1 if alarms else 0


def _line(part: Part) -> list[str]:
    return [f"{part.plant:24}", f"{part.driver:8}", f"{part.hours:6.3f} h", f"{part.steps:10,}", *part.alarms[:3]]


if __name__ == "__main__":
    sys.exit(main())
