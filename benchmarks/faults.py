"""Faults in a learner and in its observations, under the supervisor: findings of the learner monitor, their delay, and
the cost.

    python -m benchmarks.faults
    python -m benchmarks.faults --seed 3

A cart-pole observed by position and angle only, learned in this process and then monitored for 10 s: for each fault the
same start and the same learner, with a PD controller as fallback. Cost is the share of these 10 s in which the pole is
not up; the baseline is the frozen policy without a fault.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import click
import numpy as np
import numpy.typing as npt

import rtu_edge as rtu
from rtu_edge import _core, _testing
from rtu_edge.config import Config, parse_config
from rtu_edge.device.plants import Plant, sheet
from rtu_edge.device.schema import Limits
from rtu_edge.hil.learner import SETTINGS
from rtu_edge.loop.flags import Cause, Driver, MonitorFlag, SensorFlag
from rtu_edge.loop.supervisor import Supervised, supervise

Array = npt.NDArray[Any]

PERIOD_S = 0.02
HORIZON = 500  # 10 s
WARM = 100  # steps of an episode before the fault: the recurrent state is in use
TRAIN = 100_000
LIMITS = [Limits(-10.0, 10.0, slew_per_s=math.inf, accel_per_s2=math.inf, rest=0.0)]
SHEET = sheet("cartpole")
HALF_RANGE = 10.0

CONFIG = """
[device]
plant = "cartpole"
[reward]
min = 0.0
max = 10.0
[fallback]
kind = "pd"
[fallback.pd.force]
p = { x = -1.0, theta = -60.0 }
d = { x = -2.0, theta = -10.0 }
[sensor.x]
spike = 0.2
stuck_steps = 10
[sensor.theta]
spike = 0.1
stuck_steps = 10
"""


@dataclass
class Seen:
    """Result of a fault."""

    steps_up: int = 0
    first_trip: int | None = None  # ticks after the fault; 0: in the tick that first computed with it
    first_input: int | None = None
    worst_u: float = 0.0
    finite: bool = True
    rolled_back: int = 0
    same_bits: bool = True  # after each rollback, as in the snapshot
    monitor: MonitorFlag = field(default_factory=lambda: MonitorFlag(0))
    inputs: SensorFlag = field(default_factory=lambda: SensorFlag(0))
    fallback_steps: int = 0
    causes: set[Cause] = field(default_factory=set)


@dataclass(frozen=True)
class Fault:
    """A fault.

    Args:
        name: what.
        state: changes the learner, once.
        sensor: changes an observation, in each step since.
        reward: changes a reward, in each step since.
        non_finite: of the learner's state: the learner monitor has to trip within a tick.
    """

    name: str
    state: Callable[[Any], None] | None = None
    sensor: Callable[[Array, int], Array] | None = None
    reward: Callable[[float], float] | None = None
    non_finite: bool = False


def supervised(agent: Any, *overrides: str, text: str = CONFIG) -> Supervised:
    """A supervisor with an agent's policy."""
    config: Config = parse_config(text, overrides)
    return supervise(config, agent.core.policy(), SHEET, LIMITS)


class Rig:
    """Plant, policy and command limiter, step by step as in the loop."""

    def __init__(self, policy: _core.Policy, seed: int, max_steps: int = 0) -> None:
        self.policy = policy
        self.plant = Plant("cartpole", max_steps=max_steps)
        self.limiter = _testing.CommandLimiter(LIMITS, PERIOD_S, policy.n_levels)
        self.seed = seed
        self.reset()

    def reset(self) -> None:
        self.x, _ = self.plant.reset(self.seed)
        self.seed += 1
        self.last = (0.0, False, False)
        self.policy.begin()
        self.limiter.start([0.0])

    def tick(
        self,
        sensor: Callable[[Array], Array] = lambda x: x,
        reward: Callable[[float], float] = lambda r: r,
        explore: bool = True,
    ) -> tuple[float, bool]:
        """One step: predict, act, learn; returns the command and whether the episode has ended."""
        status, action = self.policy.predict(sensor(self.x), explore)
        u, _ = self.limiter.apply(action if status >= 0 else [np.nan])
        r, terminated, truncated = self.last
        if explore:
            self.policy.update(reward(r), terminated, truncated)
        if terminated or truncated:
            return float(u[0]), True
        self.x, *last, _ = self.plant.step(u)
        self.last = (last[0], last[1], last[2])
        return float(u[0]), False


def train(seed: int = 1, steps: int = TRAIN) -> Any:
    """A learner that balances, trained on its own."""
    agent: Any = rtu.StreamAC(**{**SETTINGS, "units": 32, "hidden": 32}, seed=seed, dt_s=PERIOD_S)
    rig = Rig(agent.core.policy(), seed * 100_000, max_steps=500)
    for _ in range(steps):
        if rig.tick()[1]:
            rig.reset()
    return agent


def overwrite(value: float, *endings: str) -> Callable[[Any], None]:
    """Sets every section with this suffix to one value."""

    def act(agent: Any) -> None:
        for name, section in sections(agent, *endings):
            agent.core.set(name, np.full_like(section, value))

    return act


def one(value: float, ending: str) -> Callable[[Any], None]:
    """Sets one element of the first section with this suffix."""

    def act(agent: Any) -> None:
        name, section = next(iter(sections(agent, ending)))
        section = section.copy()
        section.flat[0] = value
        agent.core.set(name, section)

    return act


def scale(factor: float, *endings: str) -> Callable[[Any], None]:
    """Multiplies sections."""

    def act(agent: Any) -> None:
        for name, section in sections(agent, *endings):
            agent.core.set(name, (section * factor).astype(section.dtype))

    return act


def noise(size: float, *endings: str) -> Callable[[Any], None]:
    """Adds Gaussian noise."""

    def act(agent: Any) -> None:
        rng = np.random.default_rng(0)
        for name, section in sections(agent, *endings):
            agent.core.set(name, (section + size * rng.standard_normal(section.shape)).astype(section.dtype))

    return act


def sections(agent: Any, *endings: str) -> list[tuple[str, Array]]:
    """Sections of the learner with this suffix; a leading ~ excludes the eligibilities."""
    names = [row[0] for row in agent.core.sections() if row[5]]
    found = [
        name
        for name in names
        for ending in endings
        if name.endswith(ending.lstrip("~")) and not (ending.startswith("~") and (".z0." in name or ".z1." in name))
    ]
    if not found:
        raise KeyError(f"no section ends with {endings}")
    return [(name, agent.core.get(name)) for name in found]


WEIGHTS = ("~.weight", "~.bias", "~.W1", "~.W2")
NAN = float("nan")


def stuck(x: Array, k: int, memory: list[Array]) -> Array:
    if not memory:
        memory.append(x.copy())
    return memory[0]


def faults() -> list[Fault]:
    """The matrix."""
    held: list[Array] = []

    def counters(agent: Any, index: int, value: int) -> None:
        found = agent.core.get("counters")
        found[index] = value
        agent.core.set("counters", found)

    return [
        Fault("nothing"),
        Fault("reward NaN", reward=lambda r: NAN),
        Fault("reward times 1e6", reward=lambda r: r * 1e6),
        Fault("reward of the wrong sign", reward=lambda r: -r),
        Fault("position NaN (drop-out)", sensor=lambda x, k: np.array([NAN, x[1]], np.float32)),
        Fault("position infinite", sensor=lambda x, k: np.array([np.inf, x[1]], np.float32)),
        Fault(
            "angle NaN, 80 ms in each second",
            sensor=lambda x, k: np.array([x[0], NAN if k % 50 < 4 else x[1]], np.float32),
        ),
        Fault("drop-outs, one step in five", sensor=lambda x, k: x if k % 5 else np.full(2, NAN, np.float32)),
        Fault("spikes of 1e9, one step in ten", sensor=lambda x, k: x if k % 10 else np.array([1e9, x[1]], np.float32)),
        Fault("position stuck", sensor=lambda x, k: np.array([stuck(x, k, held)[0], x[1]], np.float32)),
        Fault("position drifts 1 cm/s", sensor=lambda x, k: x + np.array([0.0002 * k, 0], np.float32)),
        Fault("retention driven to 1", state=overwrite(-30.0, "~.nu_log")),
        Fault("weights NaN", state=overwrite(NAN, *WEIGHTS), non_finite=True),
        Fault("one weight of the cell NaN", state=one(NAN, "~cell.W1"), non_finite=True),
        Fault("one weight of a head infinite", state=one(np.inf, "actor.head.weight"), non_finite=True),
        Fault("weights 1e6", state=overwrite(1e6, *WEIGHTS)),
        Fault("weights 0", state=overwrite(0.0, *WEIGHTS)),
        Fault("weights plus noise", state=noise(3.0, *WEIGHTS)),
        Fault("traces NaN", state=overwrite(NAN, "trace.A1", "trace.N1"), non_finite=True),
        Fault("traces 1e6", state=overwrite(1e6, "trace.A1", "trace.A2", "trace.N1", "trace.N2")),
        Fault("one eligibility NaN", state=one(NAN, "z0.weight"), non_finite=True),
        Fault("eligibilities 1e6", state=overwrite(1e6, "z0.weight", "z0.W1")),
        Fault("recurrent state NaN", state=one(NAN, ".h1"), non_finite=True),
        Fault("pending steps times 1e4 (step size)", state=scale(1e4, ".pending")),
        Fault("pending step NaN", state=one(NAN, ".pending"), non_finite=True),
        Fault("normaliser NaN", state=one(NAN, "observation.mean"), non_finite=True),
        Fault("normaliser infinite", state=one(np.inf, "observation.m2"), non_finite=True),
        Fault("normaliser off by 1e3", state=overwrite(1e3, "observation.mean")),
        Fault("normaliser's count of rest 7", state=overwrite(7, "observation.still")),
        Fault("reward's normaliser NaN", state=one(NAN, "reward.m2"), non_finite=True),
        Fault("random state 0", state=lambda agent: agent.core.set("rng", np.zeros(2, np.uint64))),
        Fault("learner refuses to predict", state=lambda agent: counters(agent, 0, 0)),
        Fault("learner's phase is nonsense", state=lambda agent: counters(agent, 0, 7)),
    ]


def watch(agent: Any, fault: Fault, seed: int = 10**6, *overrides: str) -> Seen:
    """The learner with the supervisor for WARM steps, then the fault, then HORIZON steps."""
    made = supervised(agent, *overrides)
    rig = Rig(made.policy, seed)
    for _ in range(WARM):
        rig.tick()
    seen = Seen()
    if fault.state is not None:
        fault.state(agent)
    up = True
    for k in range(HORIZON):
        sensor = (lambda x, k=k: fault.sensor(x, k)) if fault.sensor is not None else (lambda x: x)
        u, over = rig.tick(sensor, fault.reward or (lambda r: r))
        note(seen, made, u, k)
        up = up and not over
        seen.steps_up += up
        if over:
            rig.reset()
    return seen


def note(seen: Seen, made: Supervised, u: float, k: int) -> None:
    """Adds the findings of one tick."""
    info = made.policy.info()
    monitor, inputs = MonitorFlag(info["learner_monitor"]), SensorFlag(info["sensor_monitor"])
    seen.monitor |= monitor
    seen.inputs |= inputs
    if monitor & 0xFFFF and seen.first_trip is None:
        seen.first_trip = k
    if inputs and seen.first_input is None:
        seen.first_input = k
    if monitor & MonitorFlag.ROLLED_BACK:
        seen.rolled_back += 1
        seen.same_bits = seen.same_bits and made.policy.state() == made.supervisor.snapshot()
    if Driver.of(info["mode"]) is Driver.FALLBACK:
        seen.fallback_steps += 1
        seen.causes.add(Cause.of(info["mode"]))
    seen.finite = seen.finite and bool(np.isfinite(u))
    seen.worst_u = max(seen.worst_u, abs(u))


def frozen_steps(agent: Any, seed: int = 10**6) -> int:
    """Number of the HORIZON steps after the warm-up for which the frozen policy keeps the pole up from
    the same start.
    """
    rig = Rig(agent.core.policy(), seed)
    steps = 0
    while steps < WARM + HORIZON and not rig.tick(explore=False)[1]:
        steps += 1
    return steps - WARM


def matrix(agent: Any, seed: int = 10**6) -> tuple[int, list[tuple[Fault, Seen]]]:
    """Every fault, each on a copy of the learner."""
    return frozen_steps(agent.copy(), seed), [(fault, watch(agent.copy(), fault, seed)) for fault in faults()]


def words(flags: MonitorFlag | SensorFlag) -> str:
    """Names of the bits that are set."""
    return ", ".join(str(bit.name).lower() for bit in type(flags) if bit & flags)


@click.command()
@click.option("--seed", default=1, show_default=True, help="Of the learner.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def main(seed: int, as_json: bool) -> None:
    """Run the fault matrix."""
    from rich.console import Console
    from rich.table import Table

    frozen, results = matrix(train(seed))
    if as_json:
        print(json.dumps([{"fault": f.name, **{k: str(v) for k, v in vars(s).items()}} for f, s in results], indent=1))
        return
    table = Table(title=f"frozen policy: pole up for {frozen} of {HORIZON} steps")
    for heading in ("fault", "up", "tripped", "found", "input", "rolled back", "fallback", "|u| max"):
        table.add_column(heading)
    for fault, seen in results:
        found = MonitorFlag(seen.monitor & 0xFFFF)
        table.add_row(
            fault.name,
            str(seen.steps_up),
            "" if seen.first_trip is None else str(seen.first_trip),
            words(found),
            words(seen.inputs),
            f"{seen.rolled_back}{'' if seen.same_bits else ' (other bits)'}",
            str(seen.fallback_steps),
            f"{seen.worst_u:g}",
        )
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
