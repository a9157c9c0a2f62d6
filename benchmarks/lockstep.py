"""Steps per second of the native loop in lockstep over a pty: the link alone, and with the learner.

    python -m benchmarks.lockstep
    python -m benchmarks.lockstep --steps 20000

A step is a complete cycle: receive STATE, decode, predict, limit, send, update, record, and the plant's step in the
firmware process. Learner: stream AC(lambda), 2 inputs, 32 units, 32 hidden, actor and critic. predict, learn:
median and 99th percentile of the time on the loop's thread.
"""

from __future__ import annotations

from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

import rtu_edge as rtu
from rtu_edge import _core, _testing
from rtu_edge.device.ports import open_port
from rtu_edge.device.simulated import SimulatedDevice
from rtu_edge.loop import Link, Loop, LoopConfig, StopReason


def measure(policy: Any, steps: int) -> tuple[float, np.ndarray[Any, Any]]:
    """Runs a number of steps; returns steps per second and the records."""
    with SimulatedDevice() as device, open_port(device.port) as port, Link(port) as link:
        link.handshake()
        loop = Loop(link, policy, LoopConfig(steps=steps, ring_records=2 * steps))
        result = loop.run()
        assert result.reason is StopReason.STEPS, result
        return result.steps / result.seconds, loop.drain()


@click.command()
@click.option("--steps", default=100_000, show_default=True)
def main(steps: int) -> None:
    """Print the table."""
    linear = _testing.LinearPolicy(2, [0.0], [[0.5, 6.0]])
    agent = rtu.StreamAC(observation_size=2, action_size=1)
    table = Table("policy", "steps/s", "round trip us", "predict us", "learn us")
    for name, policy in (("linear feedback", linear.policy()), ("stream AC, 32 units", agent.core.policy())):
        rate, records = measure(policy, steps)
        columns = [np.percentile(records[c], [50, 99]) / 1e3 for c in ("round_trip_ns", "predict_ns", "update_ns")]
        table.add_row(name, f"{rate:.0f}", *(f"{half:.1f} / {worst:.1f}" for half, worst in columns))
    Console().print(f"instruction set {_core.isa}, {steps} steps; times: median / 99th percentile")
    Console().print(table)


if __name__ == "__main__":
    main()
