"""The emulated board under control: 100 Hz in real time, then lockstep at full speed; the goals of each at the end.

    python -m benchmarks.board                      # 60 s and 100 000 steps, some three minutes
    python -m benchmarks.board --seconds 10 --steps 5000
    python -m benchmarks.board --port /dev/ttyACM0  # a real board with a simulated servo on it

The firmware for the STM32F405 runs in QEMU, a position servo with a period of 10 ms in front of it; an agent learns
while it controls. QEMU is pinned to one core and the loop to another: unpinned, latency has two modes. In real time the
TTL is 50 ms, and the device must never go stale: its own counters are read afterwards. One retry of the whole run is
allowed, and reported.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import serial
from rich.console import Console
from rich.table import Table
from rtu_edge._bridge import lib

import rtu_edge as rtu
from rtu_edge.device import protocol
from rtu_edge.device.ports import open_port
from rtu_edge.hil.qemu import QemuBoard, build_image
from rtu_edge.loop import Clock, Link, Loop, LoopConfig, LoopResult, LoopStatus, StopReason

PLANT, PERIOD_US, TTL_MS = "servo", 10_000, 50
SLOWEST = 1.05  # a starved emulator runs slow by its own clock: then the result is void
COUNTERS = ("ticks", "skipped", "accepted", "repeated", "refused", "silences", "crc_errors", "garbled", "overlong")


@dataclass(frozen=True)
class Run:
    """One session: the host's result, the device's counters, and the records of its steps."""

    result: LoopResult
    device: dict[str, int]
    records: npt.NDArray[Any]


def cores() -> tuple[int, int]:
    """The core of the loop and that of QEMU; -1 each where there is only one."""
    found = sorted(os.sched_getaffinity(0))
    return (found[0], found[-1]) if len(found) > 1 else (-1, -1)


@contextlib.contextmanager
def board(port: str) -> Iterator[str]:
    """The port of a freshly booted emulator, or the given port."""
    if port:
        yield port
        return
    cpu = cores()[1]
    with QemuBoard(build_image(PLANT), cpu=cpu if cpu >= 0 else None) as emulated:
        yield emulated.port


def device_counters(port: str) -> dict[str, int]:
    """The device's counters since its boot, read by PARAM.

    Raises:
        TimeoutError: it does not answer.
    """
    found: dict[str, int] = {}
    decoder = protocol.Decoder()
    with serial.Serial(port, 1_000_000, timeout=0.05) as line:
        line.write(b"\0")
        for name in COUNTERS:
            index = getattr(lib, f"TL_COUNTER_{name.upper()}")
            give_up = time.monotonic() + 5
            while name not in found:
                if time.monotonic() > give_up:
                    raise TimeoutError(f"{port}: the device does not answer PARAM")
                line.write(protocol.encode(protocol.pack(protocol.Param(index))))
                for frame in decoder.feed(line.read(512)):
                    message = protocol.unpack(frame)
                    if isinstance(message, protocol.Param) and message.index == index:
                        found[name] = message.bits
    return found


def control(port: str, config: LoopConfig, console: Console, total: float) -> Run:
    """One session with a fresh agent."""
    agent = rtu.StreamAC(observation_size=2, action_size=1, units=16, hidden=16, seed=1)
    said = time.monotonic()
    kept: list[npt.NDArray[Any]] = []

    def watch(status: LoopStatus, records: npt.NDArray[Any]) -> None:
        nonlocal said
        kept.append(records)
        if time.monotonic() - said >= 5:
            said = time.monotonic()
            console.print(f"  {status.steps:>8} of {total:.0f} steps, {status.episodes} episodes", style="dim")

    with open_port(port) as opened, Link(opened) as link:
        hello = link.handshake()
        if hello.period_us != PERIOD_US:
            raise click.ClickException(f"{port}: the board's period is {hello.period_us} us; it must be {PERIOD_US}")
        result = Loop(link, agent.core.policy(), config).run(watch)
    return Run(result, device_counters(port), np.concatenate(kept))


def real_time(port: str, seconds: float, console: Console) -> Run:
    """100 Hz by the device's own clock."""
    steps = round(seconds * 1e6 / PERIOD_US)
    clock = Clock.DEVICE
    config = LoopConfig(clock=clock, steps=steps, ttl_ms=TTL_MS, realtime=True, cpu=cores()[0], seed=1)
    with board(port) as at:
        return control(at, config, console, steps)


def lockstep(port: str, steps: int, console: Console) -> Run:
    """Virtual time, at the speed of the link."""
    with board(port) as at:
        return control(at, LoopConfig(steps=steps, cpu=cores()[0], seed=1), console, steps)


def stale(run: Run) -> bool:
    """The device went safe, refused a command, or the run ended early."""
    device = run.device
    return run.result.reason is not StopReason.STEPS or device["silences"] > 0 or device["refused"] > 0


def damaged(run: Run) -> int:
    """Frames that arrived damaged, on either side."""
    here, there = run.result.counters, run.device
    return here["crc_errors"] + here["framing_errors"] + sum(there[n] for n in ("crc_errors", "garbled", "overlong"))


def show(console: Console, title: str, run: Run) -> None:
    result, counters, device = run.result, run.result.counters, run.device
    console.print(f"{title}: {result.steps} steps in {result.seconds:.1f} s, {result.steps / result.seconds:.0f} Hz")
    if result.privileges:
        console.print(f"  not granted: {', '.join(result.privileges)}", style="dim")
    times = Table("us", "median", "99 %", "longest")
    for name in ("lateness_ns", "round_trip_ns", "predict_ns", "update_ns"):
        column = run.records[name].astype(float)
        column = column[column > 0] / 1e3
        if len(column):
            times.add_row(
                name.removesuffix("_ns").replace("_", " "), *(f"{v:.0f}" for v in np.percentile(column, [50, 99, 100]))
            )
    console.print(times)
    host = ("retries", "timeouts", "crc_errors", "framing_errors", "skipped", "missed", "overruns")
    console.print("  host:   " + ", ".join(f"{name.replace('_', ' ')} {counters[name]}" for name in host))
    console.print("  device: " + ", ".join(f"{name.replace('_', ' ')} {device[name]}" for name in COUNTERS))


@click.command()
@click.option("--seconds", default=60.0, show_default=True, help="In real time; 0: not at all.")
@click.option("--steps", default=100_000, show_default=True, help="In lockstep; 0: none.")
@click.option("--port", default="", help="A board of your own instead of QEMU.")
def main(seconds: float, steps: int, port: str) -> None:
    """Control the emulated board; exit code 1 unless every goal is met."""
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    goals: list[tuple[str, bool]] = []
    if -1 in cores():
        console.print("one core only: nothing is pinned, and real time is not to be expected")
    if seconds > 0:
        run = real_time(port, seconds, console)
        attempts = 1
        if stale(run) or run.result.seconds > SLOWEST * seconds:
            show(console, "real time, first try", run)
            run = real_time(port, seconds, console)
            attempts = 2
        show(console, "real time", run)
        goals.append((f"{seconds:g} s at 100 Hz, TTL {TTL_MS} ms: never stale (try {attempts} of 2)", not stale(run)))
        goals.append(
            (f"and it was 100 Hz: {seconds:g} s took {run.result.seconds:.1f}", run.result.seconds <= SLOWEST * seconds)
        )
    if steps > 0:
        run = lockstep(port, steps, console)
        show(console, "lockstep", run)
        done = run.result.reason is StopReason.STEPS
        goals.append((f"{steps} lockstep steps, {damaged(run)} damaged frames", done and damaged(run) == 0))
    for goal, met in goals:
        console.print(f"{'pass' if met else 'FAIL'}  {goal}")
    sys.exit(0 if all(met for _, met in goals) else 1)


if __name__ == "__main__":
    main()
