"""Latency of the real loop on this host: each part of each step, percentiles and worst steps."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rtu_edge.bench.system import system
from rtu_edge.loop import LoopConfig, LoopResult, RecordFlag
from rtu_edge.run import Connection, run_loop

__all__ = ["PARTS", "Latencies", "burden", "measure", "parts_of", "reaction_us"]

Array = npt.NDArray[Any]

# name -> description. All in us, for steps in which a command was sent.
PARTS = {
    "lateness": "wake-up: arrival of STATE above the least one-way delay seen; clock = host: start of the step after "
    "its slot",
    "receive": "arrival of STATE to the start of the step; clock = host: the wait for the slot",
    "predict": "observation to action",
    "limit": "limits before the wire",
    "send": "frame packed and passed to the kernel",
    "update": "learning, after the action is sent",
    "command age": "observation to the STATE with the resulting command, by the device's clock: at least a period",
}

_PERCENTILES = (50.0, 99.0, 99.9)
_WORST = 10
_REACTION = ("lateness", "receive", "predict", "limit", "send")
# Twenty bins per decade, 0.1 us to 1 s.
_EDGES_US = np.geomspace(0.1, 1e6, 141)


@dataclass(frozen=True)
class Latencies:
    """A measurement.

    Args:
        started: UTC.
        settings: configuration of the measurement.
        system: the host (rtu_edge.bench.system).
        privileges: refused privileges.
        steps, seconds, overruns, skipped, missed, dropped, reason: of the run; `dropped` are weight updates.
        parts: name -> {"p50", "p99", "p99.9", "max", "mean", "count"} in us.
        histograms: name -> counts between `edges_us`; outliers count in the first or last.
        worst: the steps with the largest time from STATE to command, largest first: step, seconds since the start, UTC,
            parts.
    """

    started: str
    settings: dict[str, Any]
    system: dict[str, str]
    privileges: list[str]
    steps: int
    seconds: float
    overruns: int
    skipped: int
    missed: int
    dropped: int
    reason: str
    parts: dict[str, dict[str, float]]
    edges_us: list[float]
    histograms: dict[str, list[int]]
    worst: list[dict[str, Any]]


def parts_of(records: Array) -> dict[str, Array]:
    """Times of each part in us, of the steps in which a command was sent; parts that were not measured are missing."""
    acted = _acted(records)
    parts = {name: acted[f"{name}_ns"].astype(np.float64) / 1e3 for name in PARTS if name != "command age"}
    age = acted["command_age_us"]
    parts["command age"] = age[age != np.uint32(0xFFFFFFFF)].astype(np.float64)
    return parts


@contextmanager
def burden(processes: int) -> Iterator[None]:
    """A number of processes that load processor and memory while the loop runs; they end with this one."""
    # The parent's process id is passed: the parent may end before numpy is imported.
    code = f"import os, numpy as np\na = np.ones(1 << 22)\nwhile os.getppid() == {os.getpid()}: a *= 1.0000001"
    started = [subprocess.Popen([sys.executable, "-c", code], start_new_session=True) for _ in range(processes)]
    try:
        if started:
            time.sleep(0.5)
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def measure(
    connection: Connection,
    agent: Any,
    config: LoopConfig,
    settings: dict[str, Any],
    load: int = 0,
    policy: Any = None,
) -> tuple[Latencies, Array, LoopResult]:
    """Run the loop once and evaluate each of its steps.

    Args:
        connection, agent, config, policy: as for job.run_loop.
        settings: stored with the result.
        load: number of load processes.

    Returns:
        The measurement, the step records, and the loop's result.
    """
    started = time.time()
    kept: list[Array] = []
    with burden(load):
        facts = system(connection.url)
        finished = run_loop(connection, agent, config, lambda _, records, __: kept.append(records), policy=policy)
    result, counters, records = finished.result, finished.result.counters, np.concatenate(kept)
    parts = parts_of(records)
    return (
        Latencies(
            started=_utc(started),
            settings=settings,
            system=facts,
            privileges=list(result.privileges),
            steps=result.steps,
            seconds=result.seconds,
            overruns=counters["overruns"],
            skipped=counters["skipped"],
            missed=counters["missed"],
            dropped=counters["updates_dropped"],
            reason=result.reason.value,
            parts={name: _numbers(values) for name, values in parts.items()},
            edges_us=[float(f"{edge:.6g}") for edge in _EDGES_US],
            histograms={name: _counts(values) for name, values in parts.items()},
            worst=_worst(records, started),
        ),
        records,
        result,
    )


def _numbers(values: Array) -> dict[str, float]:
    if not len(values):
        return {"count": 0}
    found = {f"p{share:g}": float(np.percentile(values, share)) for share in _PERCENTILES}
    found |= {"max": float(values.max()), "mean": float(values.mean())}
    return {name: round(value, 3) for name, value in found.items()} | {"count": len(values)}


def _counts(values: Array) -> list[int]:
    counts, _ = np.histogram(np.clip(values, _EDGES_US[0], _EDGES_US[-1]), _EDGES_US)
    return [int(count) for count in counts]


def _acted(records: Array) -> Array:
    acted: Array = records[(records["flags"] & np.uint32(RecordFlag.ACTED)) != 0]
    return acted


def reaction_us(records: Array) -> tuple[Array, Array]:
    """Time of each command, in s, and its delay after the due time of its STATE, in us: the latency that
    the plant sees.
    """
    acted = _acted(records)
    if not len(acted):
        return np.zeros(0), np.zeros(0)
    total = np.sum([acted[f"{name}_ns"].astype(np.float64) for name in _REACTION], axis=0) / 1e3
    return (acted["t_ns"] - records["t_ns"][0]).astype(np.float64) / 1e9, total


def _worst(records: Array, started: float) -> list[dict[str, Any]]:
    acted = _acted(records)
    times, total = reaction_us(records)
    out = []
    for place in np.argsort(total)[::-1][:_WORST]:
        record = acted[place]
        after_s = float(times[place])
        out.append(
            {
                "step": int(record["step"]),
                "after_s": round(after_s, 6),
                "at": _utc(started + after_s),
                "total_us": round(float(total[place]), 3),
                **{f"{name}_us": round(float(record[f"{name}_ns"]) / 1e3, 3) for name in (*_REACTION, "update")},
            }
        )
    return out


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1000):03d} UTC"
