"""Cycles per second on an emulated servo bus: sync read of six servos, sync write of their goals, next to the vendors'
libraries.

    python -m benchmarks.servo_bus --seconds 5

The emulated servos (rtu_edge.device.emulated_bus) take 10 bits per byte at 1 Mbaud, with return delay 0, in a process
of their own behind a pseudo-terminal. A cycle begins when the bytes of the last write have left, by the baud rate: an
adapter would keep later bytes back. "wire" is what the bytes alone allow. The vendors' libraries are those of
tests/test_servo_sdks.py; they need a package index the first time.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import click
from rtu_edge._bridge import lib

from rtu_edge.device.emulated_bus import EmulatedBus
from rtu_edge.device.servo_bus import ServoBus
from rtu_edge.device.servo_group import ServoGroup

SERVOS = 6
IDS = list(range(1, SERVOS + 1))
# family, fast, registers from the first to the last, bytes of a goal, bytes on the wire of a cycle.
CASES = {
    "dynamixel": ("dynamixel", False, ("current", "position"), 4, 20 + 6 * 21 + 44),
    "dynamixel, fast sync read": ("dynamixel", True, ("current", "position"), 4, 20 + 8 + 6 * 14 + 44),
    "feetech": ("feetech", False, ("position", "temperature"), 6, 14 + 6 * 14 + 50),
}
BAUD = 1_000_000


def ours(case: str, seconds: float, dead: bool, latency_us: int) -> dict[str, float]:
    """Cycles per second on the whole and by the median cycle, which a busy host changes less; the share of cycles of
    more than twice the median; servos with a new value per cycle.
    """
    family, fast, names, goal_bytes, _ = CASES[case]
    with (
        EmulatedBus(family, servos=SERVOS, baud=BAUD) as emulated,
        ServoBus(emulated.port, family, BAUD, return_delay_us=0, latency_us=latency_us) as bus,
    ):
        emulated.servos[2].dead = dead
        group = ServoGroup(bus, IDS, *names, fast=fast)
        ids, goals, times = bytes(IDS), bytes(goal_bytes * SERVOS), []
        address = 116 if family == "dynamixel" else 42
        begin_s = last_s = time.monotonic()
        valid = 0
        while last_s - begin_s < seconds:
            group.poll()
            lib.tl_bus_sync_write(bus.handle, address, goal_bytes, ids, goals, SERVOS)
            while bus.handle.sent_us > time.monotonic_ns() // 1000:
                pass
            now_s = time.monotonic()
            times.append(now_s - last_s)
            last_s = now_s
            valid += sum(servo.fresh for servo in group._servos)
        times.sort()
        late = sum(one > 2 * times[len(times) // 2] for one in times) / len(times)
        rate, median = len(times) / (last_s - begin_s), 1 / times[len(times) // 2]
        return {"rate": rate, "median": median, "late": late, "valid": valid / len(times)}


def theirs(family: str, seconds: float, dead: bool) -> float:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    from test_servo_sdks import client

    with EmulatedBus(family, servos=SERVOS, baud=BAUD) as emulated:
        emulated.servos[2].dead = dead
        return float(client(family, emulated.port, str(seconds))["rate"])


@click.command()
@click.option("--seconds", type=click.FloatRange(0.1, 600), default=5.0, show_default=True, help="Time of each case")
@click.option("--latency-us", type=int, default=1000, show_default=True, help="Latency allowed for adapter and host")
@click.option("--vendors/--no-vendors", default=True, help="Measure the vendors' libraries too")
@click.option("--out", type=click.Path(path_type=Path), help="Write the results as JSON")
def main(seconds: float, latency_us: int, vendors: bool, out: Path | None) -> None:
    """Measure cycles per second with all servos and with one dead servo."""
    results: dict[str, Any] = {"seconds": seconds, "latency_us": latency_us, "cases": {}}
    titles = f"{'wire':>6}{'ours':>7}{'median':>8}{'late':>7}{'one dead':>10}{'median':>8}{'valid':>7}"
    click.echo(f"{'':28}{titles}{'vendor':>8}{'dead':>6}")
    for case, (family, _, _, _, wire_bytes) in CASES.items():
        wire = BAUD / (10 * wire_bytes)
        whole, one_dead = ours(case, seconds, False, latency_us), ours(case, seconds, True, latency_us)
        other = [theirs(family, seconds, dead) for dead in (False, True)] if vendors and "fast" not in case else []
        results["cases"][case] = {"wire": wire, "ours": whole, "one_dead": one_dead, "vendor": other}
        click.echo(
            f"{case:28}{wire:6.0f}{whole['rate']:7.0f}{whole['median']:8.0f}{whole['late']:7.1%}"
            f"{one_dead['rate']:10.0f}{one_dead['median']:8.0f}{one_dead['valid']:7.2f}"
            + "".join(f"{rate:7.0f} " for rate in other)
        )
    if out is not None:
        out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
