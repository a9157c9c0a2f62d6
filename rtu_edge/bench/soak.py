"""Endurance test: hours of virtual time in lockstep over a line with faults and a device that restarts."""

from __future__ import annotations

import html
import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rtu_edge import _core, _testing
from rtu_edge._base.errors import CheckFailed
from rtu_edge.hil.targets import make_target
from rtu_edge.learn import StreamAC
from rtu_edge.loop import Link, Loop, LoopConfig, LoopResult
from rtu_edge.loop.permission import Permission
from rtu_edge.run.heap import Resident

__all__ = ["FaultyLink", "Soak", "save", "soak", "text"]

# Share of frames, in each direction, affected by each kind of fault.
_RATE = 2e-4
_RETRY_MS = 4.0
_EXPLAINED = frozenset({"device_restart", "link_lost", "device_safe"})  # by a restart of the device


class FaultyLink(Link):
    """A link whose line drops, damages, repeats and delays frames, by a random seed: for simulated devices in lockstep.

    Args:
        port: an open port, as of `Link`.
        rate: share of frames, in each direction, affected by each kind of fault.
        seed: of the faults.
    """

    def __init__(self, port: Any, rate: float, seed: int = 0) -> None:
        wires: list[_testing.FaultyWire] = []

        def through(fd: int) -> _core.Wire:
            wires.append(_testing.FaultyWire(fd, rate, seed))
            return wires[0].wire()

        super().__init__(port, through=through)
        self._wire = wires[0]

    @property
    def faults(self) -> dict[str, int]:
        """Faults so far: frames lost, damaged and repeated, and stalls of this end for 10 ms."""
        return self._wire.counts()


@dataclass
class Soak:
    """Result of a long run.

    Args:
        hours, steps: requested virtual time, and steps done.
        seconds: of real time.
        sessions: result of each: reason, steps, whether the device was restarted in it.
        faults: kind -> number of occurrences.
        counters: of the loops, added up.
        resident: (steps, bytes) about once a second.
        growth: bytes, heap.Resident.growth.
        returns: mean return of the episodes of each tenth.
        unexplained: sessions that ended without an injected reason.
        finite: the learner's state is finite at the end.
    """

    hours: float
    steps: int = 0
    seconds: float = 0.0
    sessions: list[dict[str, Any]] = field(default_factory=list)
    faults: dict[str, int] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    growth: int = 0
    resident: list[tuple[int, int]] = field(default_factory=list)
    returns: list[float] = field(default_factory=list)
    unexplained: int = 0
    finite: bool = True

    @property
    def passed(self) -> bool:
        """No unexplained stop, no memory growth, a finite state."""
        return self.unexplained == 0 and self.growth <= Resident.ALLOWED and self.finite


def soak(hours: float = 10.0, *, seed: int = 0, resets: int = 20, watch: Any = None) -> Soak:
    """Learn on a cart-pole for hours of virtual time at 50 Hz, while the line and the device fail occasionally.

    Args:
        hours: of virtual time; ten are 1.8 million steps.
        seed: of learner, plant and faults. resets: restarts of the device, evenly spaced.
        watch: called with the result so far about once a second.
    """
    out = Soak(hours)
    total = round(hours * 3600 * 50)
    agent = StreamAC(2, 1, seed=seed, units=32, hidden=32, dt_s=0.02)
    resident = Resident()
    episodes: list[Any] = []
    begin_s = time.monotonic()
    with make_target("process", "cartpole") as target:
        while out.steps < total:
            number = len(out.sessions)
            stop = (number + 1) * total // (resets + 1) if number < resets else total
            with FaultyLink(target, _RATE, seed + number) as link:
                Permission("the simulated cart-pole", link.handshake().simulated).require()
                config = LoopConfig(
                    steps=total - out.steps,
                    seed=seed,
                    first_episode=1 + sum(len(part) for part in episodes) % 60_000,
                    retry_ms=_RETRY_MS,
                    retries=200,
                    handle_signals=False,
                )
                restarted = False
                with Loop(link, agent.core.policy(), config) as loop:
                    loop.start()
                    while not loop.wait(1.0 if restarted or stop - out.steps > 50_000 else 0.02):
                        steps = out.steps + loop.status().steps
                        loop.drain()
                        episodes.append(loop.drain_episodes()["total_return"])
                        if not restarted and stop < total and steps >= stop:
                            target.reset()
                            restarted = True
                        resident.take(steps)
                        if watch is not None:
                            watch(steps, total)
                    result = loop.result()
                    episodes.append(loop.drain_episodes()["total_return"])
                _add(out, result, link, restarted)
            if out.unexplained > 5:
                break
    out.seconds = time.monotonic() - begin_s
    returns = np.concatenate(episodes)
    out.returns = [float(part.mean()) for part in np.array_split(returns, 10) if len(part)]
    out.growth, out.resident = resident.growth or 0, resident.samples[:: max(1, len(resident.samples) // 400)]
    out.finite = all(np.isfinite(value).all() for value in agent.parameters.values())
    return out


def _add(out: Soak, result: LoopResult, link: FaultyLink, restarted: bool) -> None:
    reason = result.reason.value
    explained = reason == "steps" or (restarted and reason in _EXPLAINED)
    out.steps += result.steps
    out.unexplained += not explained
    out.sessions.append({"reason": reason, "steps": result.steps, "restarted": restarted, "explained": explained})
    for kind, count in {**link.faults, "restarts": int(restarted)}.items():
        out.faults[kind] = out.faults.get(kind, 0) + count
    for name in (
        "retries",
        "timeouts",
        "duplicates",
        "crc_errors",
        "framing_errors",
        "episodes",
        "update_failures",
        "nacks",
    ):
        out.counters[name] = out.counters.get(name, 0) + result.counters[name]


def text(out: Soak) -> str:
    """The report as a page."""
    ends: dict[str, int] = {}
    for session in out.sessions:
        ends[session["reason"]] = ends.get(session["reason"], 0) + 1
    rows = [
        f"{out.hours:g} hours of virtual time at 50 Hz in lockstep: {out.steps:,} steps in {out.seconds:,.0f} s",
        f"sessions: {len(out.sessions)}, ended by {', '.join(f'{reason} {count}' for reason, count in ends.items())}",
        f"unexplained stops: {out.unexplained}",
        f"faults: {', '.join(f'{name} {count:,}' for name, count in out.faults.items())}",
        f"counters of the loop: {', '.join(f'{name} {count:,}' for name, count in out.counters.items())}",
        f"resident memory: {out.growth / 1024:+.0f} KiB from the first half to the second; allowed "
        f"{Resident.ALLOWED // 1024}",
        f"mean return of the episodes, by tenths: {' '.join(f'{value:.0f}' for value in out.returns)}",
        f"the learner's final state: {'finite' if out.finite else 'NOT FINITE'}",
        "passed" if out.passed else "FAILED",
    ]
    return "\n".join(rows)


def save(out: Soak, folder: Path) -> None:
    """Write soak.json, soak.txt and soak.html.

    Raises:
        CheckFailed: it did not pass; the files are there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "soak.json").write_text(json.dumps(asdict(out), indent=1) + "\n", encoding="utf-8")
    (folder / "soak.txt").write_text(text(out) + "\n", encoding="utf-8")
    lines = "".join(f"<li>{html.escape(line)}</li>" for line in text(out).splitlines())
    page = "<!doctype html><meta charset=utf-8><title>soak</title><body style='font:15px sans-serif;margin:3em'>"
    page += f"<h1>Soak</h1><ul>{lines}</ul>{_curve(out)}"
    (folder / "soak.html").write_text(page, encoding="utf-8")
    if not out.passed:
        raise CheckFailed(f"{folder / 'soak.txt'}: {out.unexplained} stops unexplained, memory {out.growth:+} bytes")


def _curve(out: Soak) -> str:
    """Resident memory against steps."""
    if len(out.resident) < 2:
        return ""
    last, most = out.resident[-1][0] or 1, max(held for _, held in out.resident)
    points = " ".join(f"{700 * steps / last:.1f},{150 - 140 * held / most:.1f}" for steps, held in out.resident)
    return (
        f"<p>Resident memory, 0 to {most / 2**20:.0f} MiB, over the run</p><svg width=700 height=150 style='border:1px "
        "solid"
        f" #dfe5ea'><polyline fill=none stroke=#0b7a75 stroke-width=1.5 points='{points}'/></svg>"
    )
