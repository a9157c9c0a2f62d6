"""Two joints of a servo bus that follow moving targets: the controllers that are compared, and how PD is tuned.

The joints are emulated servos with a load; their positions are the only sensors. A run is the whole way that a real
one takes: loop, TickLink, the server of the bus, packets, registers; time is virtual.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rtu_edge._base.errors import CheckFailed
from rtu_edge._base.strict import quoted
from rtu_edge.config import Config, parse_config
from rtu_edge.config.bus_file import BusFile, Family, JointSafe, JointTable, write_bus_file
from rtu_edge.loop import LoopResult, StopReason
from rtu_edge.run import Connection, connect, error_of, loop_config, make_agent, run_loop, supervised

__all__ = ["JOINTS", "PERIOD_S", "Gains", "Tried", "Tuned", "bus_file", "drive", "rms", "robot_text", "track", "tune"]

Errors = npt.NDArray[np.float32]

JOINTS = ("shoulder", "elbow")
PERIOD_S = 0.01
LOAD = 0.3  # torque that holds the load horizontally, as a share of the largest
RANGE_RAD = 1.2
SLEW_RAD_S = 6.0
RESIDUAL = 0.0125  # of the range of 2.4 rad: 0.03 rad
# Amplitude in rad, shortest and longest period in s, of the waves of a target.
WAVES = ((0.35, 4.0, 7.0), (0.15, 1.8, 3.0), (0.08, 1.0, 1.6))
# The search: each pair of gains whose double is in the grid too.
KP = (0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0)
KD_S = (0.0, 0.05, 0.1, 0.2)
KV_S = (0.0, 0.02, 0.04, 0.06, 0.08, 0.1)
TUNING_SEED = 1000
TUNING_STEPS = 2000


@dataclass(frozen=True)
class Gains:
    """Of each joint: goal = target + kp error + kd d(error)/dt + kv d(target)/dt; kd and kv in s."""

    kp: float
    kd: float
    kv: float = 0.0

    def __str__(self) -> str:
        speed = f", kv {self.kv:g} s" if self.kv else ""
        return f"kp {self.kp:g}, kd {self.kd:g} s{speed}"


@dataclass(frozen=True)
class Tried:
    """Gains of the search with the error that they leave, rad; doubled: with twice the gains."""

    gains: Gains
    rms: float
    doubled: float


@dataclass(frozen=True)
class Tuned:
    """What the search has chosen.

    Args:
        pd: the smallest error with a margin.
        forward: the same with the velocity feed-forward of the smallest error.
        tried: all pairs.
    """

    pd: Gains
    forward: Gains
    tried: tuple[Tried, ...]


def bus_file(family: str, seed: int) -> BusFile:
    """Two joints with targets drawn from a seed."""
    return BusFile(
        port="/dev/ttyUSB0",
        family=Family(family),
        period_s=PERIOD_S,
        emulated_load=LOAD,
        joint={
            name: JointTable(
                id=at + 1,
                min_rad=-RANGE_RAD,
                max_rad=RANGE_RAD,
                slew_rad_s=SLEW_RAD_S,
                safe=JointSafe.HOLD,
                target=_waves(seed, at),
            )
            for at, name in enumerate(JOINTS)
        },
    )


def _waves(seed: int, joint: int) -> tuple[float, ...]:
    rng = np.random.default_rng([seed, joint])
    found: list[float] = []
    for amplitude, low, high in WAVES:
        found += [
            amplitude,
            round(float(rng.uniform(low, high)), 3),
            round(float(rng.uniform(0.0, 2.0 * math.pi)), 3),
        ]
    return tuple(found)


def robot_text(bus: Path, gains: Gains, *, mode: str, steps: int, seed: int, learner: str = "") -> str:
    """The configuration of a run: PD as fallback, alone (mode "off") or with a learner's correction ("residual").

    Args:
        bus: file of the bus.
        gains: of the PD controller.
        mode: of the supervisor.
        steps, seed: of the run.
        learner: further lines of `[learner]`.
    """
    lines = ["[device]", f"bus = {quoted(str(bus))}", "emulated = true", "", "[loop]", 'clock = "lockstep"']
    lines += ["", "[supervisor]", f'mode = "{mode}"']
    if mode == "residual":
        lines.append(f"residual = {{ {', '.join(f'{name} = {RESIDUAL}' for name in JOINTS)} }}")
    lines += ["", "[fallback]", 'kind = "pd"']
    for name in JOINTS:
        lines += ["", f"[fallback.pd.{name}]", f"p = {{ {name}_target = -1.0, {name}_error = {-gains.kp} }}"]
        lines += [f"d = {{ {name}_target = {-gains.kv}, {name}_error = {-gains.kd} }}"]
    for name in JOINTS:
        lines += ["", f"[limits.{name}]", f"min = {-RANGE_RAD}", f"max = {RANGE_RAD}"]
        lines += [f"slew_per_s = {SLEW_RAD_S}", "accel_per_s2 = inf"]
    lines += ["", "[learner]", "horizon_s = 0.1", learner] if learner else ["", "[learner]", "horizon_s = 0.1"]
    lines += ["", "[run]", f"steps = {steps}", f"seed = {seed}", ""]
    return "\n".join(lines)


def drive(
    config: Config, device: Connection, agent: Any, watch: Callable[[Errors], object] | None = None, **changes: Any
) -> tuple[Errors, LoopResult]:
    """Run a configuration on a connected device.

    Args:
        config, device, agent: the run.
        watch: receives the errors so far, (n, 2) in rad, about ten times a second.
        changes: fields of LoopConfig.

    Returns:
        The errors of the joints at each step, rad, and how the loop ended.

    Raises:
        DeviceError: the device or its link failed. CheckFailed: interrupted.
    """
    names = [row.name for row in device.sheet.observations]
    columns = [names.index(f"{name}_error") for name in JOINTS]
    kept: list[Errors] = []

    def take(status: Any, records: Any, episodes: Any) -> None:
        if len(records):
            kept.append(np.array(records["x"][:, columns], np.float32))
            if watch is not None:
                watch(np.concatenate(kept))

    loop = loop_config(config, device, **changes)
    policy = supervised(config, device, agent, loop).policy
    result = run_loop(device, agent, loop, take, policy=policy).result
    trouble = error_of(result)
    if trouble is not None:
        raise trouble
    if result.reason is StopReason.SIGNAL:
        raise CheckFailed("interrupted")
    return np.concatenate(kept) if kept else np.empty((0, len(JOINTS)), np.float32), result


def track(text: str, watch: Callable[[Errors], object] | None = None) -> Errors:
    """Run a configuration with a new learner; the errors of the joints, (steps, 2) in rad."""
    config = parse_config(text, source="demo")
    with connect(config) as device:
        return drive(config, device, make_agent(config, device.sheet), watch)[0]


def rms(errors: Errors, steps: int) -> npt.NDArray[np.float64]:
    """Root mean square over both joints of each whole window of so many steps; of all steps if they are fewer."""
    steps = min(steps, len(errors))
    whole = errors[: len(errors) // steps * steps].astype(np.float64)
    return np.asarray(np.sqrt((whole.reshape(-1, steps * len(JOINTS)) ** 2).mean(axis=1)))


def tune(family: str, folder: Path, steps: int = TUNING_STEPS) -> Tuned:
    """Search the gains of PD on targets of a seed of its own, then its velocity feed-forward.

    A pair has a margin if twice its gains leave no larger error than the servo's own control, kp = kd = 0.

    Args:
        family: of the servos.
        folder: for the file of the bus.
        steps: of each run.
    """
    bus = folder / "tuning.toml"
    write_bus_file(bus_file(family, TUNING_SEED), bus)
    left = {gains: _left(bus, gains, steps) for gains in _grid()}
    tried = tuple(Tried(gains, left[gains], left[double]) for gains in left if (double := _doubled(gains)) in left)
    least = left[Gains(0.0, 0.0)]
    pd = min((one for one in tried if one.doubled <= least), key=lambda one: one.rms).gains
    forward = min((replace(pd, kv=kv) for kv in KV_S), key=lambda gains: _left(bus, gains, steps))
    return Tuned(pd, forward, tried)


def _grid() -> Iterator[Gains]:
    yield from (Gains(kp, kd) for kp, kd in itertools.product(KP, KD_S))


def _doubled(gains: Gains) -> Gains:
    return Gains(2 * gains.kp, 2 * gains.kd)


def _left(bus: Path, gains: Gains, steps: int) -> float:
    """The error after the target has reached its amplitude, rad."""
    errors = track(robot_text(bus, gains, mode="off", steps=steps, seed=0))
    return float(rms(errors[round(2.0 / PERIOD_S) :], steps)[0])
