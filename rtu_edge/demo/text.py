"""The demo's configuration, and its formatting of hashes and tables."""

from __future__ import annotations

from typing import Any

DEMO = """
[device]
plant = "cartpole"                # observes position and angle, applies a force

[loop]
clock = "lockstep"                # virtual time, as fast as the link allows
ttl_ms = 200                      # the device's maximum: a shared host may stall for longer than 60 ms

[limits.force]
min = -10.0
max = 10.0
slew_per_s = inf                  # a simulated motor

[learner]
units = 32
hidden = [32]
horizon_s = 2.0                   # a command matters for the reward for so long

[run]
name = "demo"
steps = 100_000
stop_return = 475.0               # mean of the last 20 episodes, of 500
stop_episodes = 20
"""


def digits(value: Any) -> str:
    """Return a hash in 16 hexadecimal digits, anything else as text."""
    return f"{value:016x}" if isinstance(value, int) else str(value)


def hanging(head: str, text: str) -> Any:
    """Return markup behind a head of 13 columns; lines that wrap stay behind it."""
    from rich.table import Table

    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(width=13)
    grid.add_column(overflow="fold")
    grid.add_row(head, text)
    return grid


def indented(table: Any) -> Any:
    """Return the table, moved right to the demo's text."""
    from rich.padding import Padding

    return Padding(table, (0, 0, 0, 14), expand=False)
