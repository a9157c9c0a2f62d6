"""Wear found by a bank of predictions: planted, slowly growing faults against a stated rate of false alarms.

    $ python -m benchmarks.wear                          # 27 plants, a quarter of an hour; with the picture
    $ python -m benchmarks.wear --draw                   # the picture and the tables from that file
    $ python -m benchmarks.wear --seeds 1 --hours 0.2    # short

A servo follows a target that jumps; gain and speed of its controller change every one to five minutes, as work does.
A `TDBank` of 192 heads (16 signals of the sensors and the command, each over 12 horizons from 2 to 100 periods) learns
for the first hour. Then its weights are frozen, and an hour gives mean and spread of what its TD errors are on the
healthy plant, per window of 30 s. From then on each window has a score, and a score above the threshold is an alarm.
The threshold is the one number that is shared between plants: it is chosen on healthy plants of two kinds for one
alarm in ten hours, and reported on other seeds and on a third kind. docs/wear.md has the rule and the results.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rtu_edge._bridge import ffi, lib

import rtu_edge as rtu
from benchmarks.measure import RESULTS, ROOT
from rtu_edge.learn import stored
from rtu_edge.study import families

Array = NDArray[Any]
RESULT = RESULTS / "wear.json"
PICTURE = ROOT / "docs/images/wear.svg"
HORIZONS = np.geomspace(2.0, 100.0, 12)  # periods
SIGNALS = (
    "q",
    "dq",
    "|dq|",
    "dq^2",
    "ddq",
    "|ddq|",
    "ddq^2",
    "e",
    "|e|",
    "e^2",
    "u",
    "|u|",
    "u^2",
    "u dq",
    "e dq",
    "du^2",
)
GAINS = {"servo-backlash": (4.0, 0.0), "asymmetric": (4.0, 0.0), "servo-load": (3.0, 0.05)}  # per rad or m; per speed
CHOSEN = ("servo-backlash", "asymmetric")  # kinds that the threshold is chosen on
RATE_H = 10.0  # hours of healthy running for one false alarm


@dataclass(frozen=True)
class Fault:
    """A parameter of a kind that grows linearly to `factor` times its value while the plant works."""

    kind: str
    parameter: str
    factor: float


FAULTS = (
    Fault("servo-backlash", "gap_rad", 3.0),
    Fault("asymmetric", "dead_band", 3.0),
    Fault("servo-load", "coulomb_nm", 2.5),
    Fault("servo-load", "noise", 3.0),
)


@dataclass(frozen=True)
class Plan:
    """Hours of each part of a run, and how its windows are scored."""

    learn_h: float = 1.0
    healthy_h: float = 1.0
    watch_h: float = 4.0
    wear_h: float = 3.0  # of the watch, in which the fault grows; before it the plant is healthy
    window_s: float = 30.0
    memory: float = 20.0  # windows over which scores average
    ridge: float = 0.03  # of the whitened directions, in variances of a head


# ---- the plant at work ----------------------------------------------------------------------------------------------


def work(
    plant: families.Machine, steps: int, seed: int, grow: Callable[[float], dict[str, float]] | None = None
) -> Array:
    """(steps, 3) position, setpoint, command; `grow(s)` are the parameters after s seconds."""
    rng = np.random.default_rng([seed, 77])
    command = np.zeros(1, np.float32)
    seen = np.zeros(2, np.float32)
    to_command, to_seen = (ffi.from_buffer("float[]", row, require_writable=True) for row in (command, seen))
    rows, dt, (gain, damping) = np.empty((steps, 3), np.float32), plant.dt_s, GAINS[plant.kind]
    left, k_p, step = 0, gain, 0.0
    lib.tl_machine_observe(plant.pointer, to_seen)
    setpoint = last = to_seen[0]
    for k in range(steps):
        if left == 0:
            left = int(rng.uniform(60.0, 300.0) / dt)
            k_p, step = gain * rng.uniform(0.7, 1.4), rng.uniform(1.0, 6.0) * dt
        left -= 1
        if grow is not None and k % 500 == 0:
            plant.change(**grow(k * dt))
        lib.tl_machine_observe(plant.pointer, to_seen)
        q = to_seen[0]
        setpoint += min(max(to_seen[1] - setpoint, -step), step)
        u = min(max(k_p * (setpoint - q) - damping * (q - last) / dt, -1.0), 1.0)
        to_command[0], last = u, q
        rows[k] = q, setpoint, u
        lib.tl_machine_step(plant.pointer, to_command)
    return rows


def signals(rows: Array) -> tuple[Array, Array]:
    """x (steps, 5) the bank's inputs; c (steps, 16) the signals of SIGNALS; differences are per period."""
    q, r, u = rows.T.astype(np.float64)
    e, dq, du = r - q, np.diff(q, prepend=q[:1]), np.diff(u, prepend=u[:1])
    ddq = np.diff(dq, prepend=0.0)
    c = [q, dq, abs(dq), dq**2, ddq, abs(ddq), ddq**2, e, abs(e), e**2, u, abs(u), u**2, u * dq, e * dq, du**2]
    return np.stack([q, e, u, dq, ddq], 1).astype(np.float32), np.stack(c, 1).astype(np.float32)


# ---- the bank -------------------------------------------------------------------------------------------------------


def make_bank(dt_s: float, seed: int) -> rtu.TDBank:
    """One head for each signal and horizon, signal by signal."""
    horizons = np.tile(HORIZONS * dt_s, len(SIGNALS)).tolist()
    settings: dict[str, Any] = {
        "units": 16,
        "hidden": (),
        "step_size": 3e-4 * math.sqrt(0.8),
        "r_max": math.exp(-0.001),
    }
    return rtu.TDBank.for_horizon(5, horizons, dt_s, seed, **settings)


def frozen(bank: rtu.TDBank) -> rtu.TDBank:
    """A copy whose weights stand still."""
    settings = {**bank.config, "step_size": 0.0}
    made = stored.make(settings)
    stored.restore(made, bank.core.save("{}", b""))
    return made  # type: ignore[no-any-return]


def windows(bank: rtu.TDBank, x: Array, c: Array, size: int) -> Array:
    """(windows, 2 heads): mean of each head's TD error and of its square, in the cumulants' units, with weights that
    stand still."""
    gammas, each = np.array(bank.config["gammas"]), len(HORIZONS)
    found, last = [], None
    for begin in range(0, len(x) - size + 1, size):
        cumulants = np.repeat(c[begin : begin + size], each, 1)
        v = bank.run(x[begin : begin + size], cumulants)
        before = v[:-1] if last is None else np.vstack([last, v[:-1]])
        delta = cumulants[-len(before) :] + gammas * v[-len(before) :] - before
        found.append(np.concatenate([delta.mean(0), (delta**2).mean(0)]))
        last = v[-1:]
    return np.array(found)


def plain_windows(c: Array, size: int) -> Array:
    """The same without predictions, for comparison: mean of each signal and of its square."""
    n = len(c) // size
    blocks = c[: n * size].reshape(n, size, -1).astype(np.float64)
    return np.concatenate([blocks.mean(1), (blocks**2).mean(1)], 1)


# ---- scores ---------------------------------------------------------------------------------------------------------


@dataclass
class Scale:
    """What a healthy plant's windows are like: centre, spread, and the directions in which they vary together."""

    mean: Array
    spread: Array
    directions: Array  # (heads, directions), each divided by its deviation

    @classmethod
    def of(cls, rows: Array, ridge: float) -> Scale:
        rows = _logs(rows)
        mean, spread = rows.mean(0), rows.std(0)
        spread = np.where(spread > 1e-9, spread, np.inf)  # a number that never moves counts for nothing
        variances, vectors = np.linalg.eigh(np.cov(((rows - mean) / spread).T))
        return cls(mean, spread, vectors / np.sqrt(np.maximum(variances, 0.0) + ridge))

    def whitened(self, rows: Array) -> Array:
        return np.asarray(np.clip((_logs(rows) - self.mean) / self.spread, -8.0, 8.0) @ self.directions)


def _logs(rows: Array) -> Array:
    half = rows.shape[1] // 2
    return np.concatenate([rows[:, :half], np.log(np.maximum(rows[:, half:], 1e-12))], 1)


def scores(rows: Array, scale: Scale, memory: float) -> Array:
    """(windows,): mean square of the running mean of whitened windows, times the memory: of the order of 1."""
    mean, found = np.zeros(rows.shape[1]), []
    for row in scale.whitened(rows):
        mean = mean + (row - mean) / memory
        found.append(memory * float((mean**2).mean()))
    return np.array(found)


def alarms(score: Array, threshold: float, memory: float) -> list[int]:
    """Windows with an alarm: the score is above the threshold; the next alarm is at least 3 memories later."""
    found: list[int] = []
    for k in np.flatnonzero(score > threshold):
        if not found or k - found[-1] >= 3 * memory:
            found.append(int(k))
    return found


def threshold_for(healthy: list[Array], hours: float, memory: float) -> float:
    """The lowest threshold with at most one alarm in RATE_H hours."""
    allowed = int(hours / RATE_H)
    for candidate in np.unique(np.concatenate(healthy)):
        if sum(len(alarms(row, candidate, memory)) for row in healthy) <= allowed:
            return float(candidate)
    return float("inf")


# ---- runs -----------------------------------------------------------------------------------------------------------


@dataclass
class Watched:
    """One plant, watched: scores by predictions and without them.

    Args:
        kind, seed: of the plant; parameter: of the fault, "" if healthy.
        td, plain: (windows,) scores with and without predictions.
    """

    kind: str
    seed: int
    parameter: str
    td: list[float] = field(default_factory=list)
    plain: list[float] = field(default_factory=list)


def watch(kind: str, seed: int, plan: Plan, fault: Fault | None = None) -> Watched:
    """Learn, freeze, scale and watch one plant."""
    plant = families.Machine(kind, seed)
    plant.reset(seed)
    dt = plant.dt_s
    learn, healthy, rest = (round(h * 3600 / dt) for h in (plan.learn_h, plan.healthy_h, plan.watch_h))
    begin_s = (plan.learn_h + plan.healthy_h + plan.watch_h - plan.wear_h) * 3600
    grow = None
    if fault is not None:
        start, span = plant.parameters[fault.parameter], (fault.factor - 1.0) / (plan.wear_h * 3600)

        def grow(s: float) -> dict[str, float]:
            return {fault.parameter: start * (1.0 + span * max(s - begin_s, 0.0))}

    x, c = signals(work(plant, learn + healthy + rest, seed, grow))
    bank = make_bank(dt, seed)
    for at in range(0, learn, 10_000):
        bank.run(x[at : min(at + 10_000, learn)], np.repeat(c[at : min(at + 10_000, learn)], len(HORIZONS), 1))
    size = round(plan.window_s / dt)
    first = healthy // size
    found = Watched(kind, seed, fault.parameter if fault else "")
    for name, rows in (
        ("td", windows(frozen(bank), x[learn:], c[learn:], size)),
        ("plain", plain_windows(c[learn:], size)),
    ):
        scored = scores(rows[first:], Scale.of(rows[:first], plan.ridge), plan.memory)
        setattr(found, name, [round(float(score), 4) for score in scored])
    return found


def chosen_runs(plan: Plan, seeds: int) -> Iterator[Watched]:
    """Healthy plants that the threshold is chosen on."""
    for kind in CHOSEN:
        for seed in range(seeds):
            yield watch(kind, seed, plan)


def reported_runs(plan: Plan, seeds: int) -> Iterator[Watched]:
    """Other seeds of these kinds, and a third kind; healthy and with each fault."""
    for kind in GAINS:
        for seed in range(100, 100 + seeds):
            yield watch(kind, seed, plan)
    for fault in FAULTS:
        for seed in range(100, 100 + seeds):
            yield watch(fault.kind, seed, plan, fault)


# ---- results --------------------------------------------------------------------------------------------------------


def summary(chosen: list[Watched], reported: list[Watched], plan: Plan) -> dict[str, Any]:
    """Thresholds, false alarms and found faults, by predictions ("td") and without them ("plain")."""
    found: dict[str, Any] = {}
    window_h = plan.window_s / 3600
    worn = (plan.watch_h - plan.wear_h) / window_h  # the first window with the fault
    for name in ("td", "plain"):
        rows = [np.array(getattr(run, name)) for run in chosen]
        hours = sum(len(row) for row in rows) * window_h
        threshold = threshold_for(rows, hours, plan.memory)

        def alarmed(run: Watched) -> list[int]:
            return alarms(np.array(getattr(run, name)), threshold, plan.memory)  # noqa: B023 (used in this turn)

        table: dict[str, Any] = {"threshold": threshold, "chosen_h": hours}
        table["chosen_alarms"] = sum(len(alarmed(run)) for run in chosen)
        for kind in GAINS:
            healthy = [run for run in reported if run.kind == kind and not run.parameter]
            table[f"{kind}, healthy"] = {
                "hours": sum(len(run.td) for run in healthy) * window_h,
                "alarms": sum(len(alarmed(run)) for run in healthy),
            }
        for fault in FAULTS:
            runs = [run for run in reported if (run.kind, run.parameter) == (fault.kind, fault.parameter)]
            first = [next((k for k in alarmed(run) if k >= worn), None) for run in runs]
            delays = [(k + 1 - worn) * window_h for k in first if k is not None]
            half = float(np.median(delays)) if delays else None
            table[f"{fault.kind}, {fault.parameter}"] = {
                "runs": len(runs),
                "found": len(delays),
                "delay_h": half,
                "factor": None if half is None else 1 + (fault.factor - 1) * half / plan.wear_h,
            }
        found[name] = table
    return found


def tables(found: dict[str, Any], plan: Plan) -> str:
    """In Markdown."""
    lines = ["| healthy plants | hours | alarms, predictions | alarms, plain signals |", "|---|---|---|---|"]
    td, plain = found["td"], found["plain"]
    lines.append(f"| chosen on | {td['chosen_h']:.0f} | {td['chosen_alarms']} | {plain['chosen_alarms']} |")
    for key in (f"{kind}, healthy" for kind in GAINS):
        lines.append(
            f"| {key.partition(',')[0]} | {td[key]['hours']:.0f} | {td[key]['alarms']} | {plain[key]['alarms']} |"
        )
    lines += ["", "| fault | grows to | found, predictions | delay | at | found, plain signals | delay | at |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for fault in FAULTS:
        cells = [f"{fault.kind}, `{fault.parameter}`", f"{fault.factor:g}x"]
        for table in (td, plain):
            row = table[f"{fault.kind}, {fault.parameter}"]
            cells.append(f"{row['found']} of {row['runs']}")
            cells += [f"{row['delay_h']:.1f} h", f"{row['factor']:.1f}x"] if row["found"] else ["", ""]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="plants of each kind and fault")
    parser.add_argument("--hours", type=float, default=1.0, help="factor of every duration")
    parser.add_argument("--draw", action="store_true", help="from the kept result")
    parser.add_argument("--out", type=Path, help="where the result goes; default: benchmarks/results for whole hours")
    given = parser.parse_args()
    if given.draw:
        kept = json.loads(RESULT.read_text())
        plan, chosen, reported = (
            Plan(**kept["plan"]),
            *([Watched(**row) for row in kept[k]] for k in ("chosen", "reported")),
        )
    else:
        plain = Plan()
        plan = Plan(*(given.hours * h for h in (plain.learn_h, plain.healthy_h, plain.watch_h, plain.wear_h)))
        begin_s, runs = time.monotonic(), {}
        for part, made in (("chosen", chosen_runs), ("reported", reported_runs)):
            runs[part] = []
            for run in made(plan, given.seeds):
                runs[part].append(run)
                last = max(run.td[-3:])
                print(
                    f"{time.monotonic() - begin_s:6.0f} s  {run.kind} {run.seed} {run.parameter} {last:.1f}", flush=True
                )
        chosen, reported = runs["chosen"], runs["reported"]
        out = given.out or (RESULT if given.hours >= 1 else None)
        if out is not None:
            rows = {part: [asdict(run) for run in group] for part, group in runs.items()}
            out.write_text(json.dumps({"plan": asdict(plan), **rows}) + "\n")
    found = summary(chosen, reported, plan)
    print(tables(found, plan))
    if given.draw or given.hours >= 1:
        from benchmarks.wear_picture import draw

        draw(PICTURE, reported, found, plan)
    return 0


if __name__ == "__main__":
    sys.exit(main())
