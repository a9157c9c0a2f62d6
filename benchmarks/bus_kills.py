"""Kill or stop the control process of a servo bus, and measure when the servos are in their safe behaviour.

    python -m benchmarks.bus_kills --kills 1000

One server and one emulated bus for all kills; each control process arms, drives three joints and is ended by SIGKILL or
SIGSTOP in turn at a random moment. Measured from the signal until the joint whose safe behaviour is off has no torque,
by the emulated servo's register; the TTL and one period of the bus are the bound that the server keeps on a host
that gives it a processor. Then all joints have to arrive: hold, off, end of the ramp.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import click


def ended(port: str, family: str, number: signal.Signals, wait_s: float) -> tuple[int, float] | None:
    """Forks a control process, ends it while it drives; its pid and the time of the signal. None: it has ended before
    that, for example because a busy host has let its commands expire.
    """
    from bus_control import main as drive

    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(writing, 1)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        with contextlib.suppress(Exception):
            drive(port, family, "given")
        os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as told:
        driving = bool(told.readline())
    time.sleep(wait_s)
    if not driving or os.waitpid(pid, os.WNOHANG)[0] == pid:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
        return None
    at_s = time.monotonic()
    os.kill(pid, number)
    return pid, at_s


@click.command()
@click.option("--kills", type=click.IntRange(1), default=1000, show_default=True)
@click.option("--family", type=click.Choice(["feetech", "dynamixel", "scs"]), default="feetech", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Write the result as JSON")
def main(kills: int, family: str, out: Path | None) -> None:
    """Measure the time from the end of a control process to the safe behaviour of the servos."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    from bus_control import PERIOD_S, TTL_MS, served
    from test_bus_server import OFF, is_safe, until

    import rtu_edge
    from rtu_edge.device.emulated_bus import EmulatedBus

    assert rtu_edge.connect
    rng, times, unsafe, again = random.Random(0), [], 0, 0
    with EmulatedBus(family, servos=3) as bus, served(bus) as server, contextlib.suppress(KeyboardInterrupt):
        for kill in range(kills):
            number = signal.SIGKILL if kill % 2 == 0 else signal.SIGSTOP
            while (found := ended(server.port, family, number, rng.random() * 0.1)) is None:
                again += 1
            pid, at_s = found
            while bus.register(OFF, "TORQUE") != 0 and time.monotonic() - at_s < 10:
                time.sleep(0.0005)
            times.append(time.monotonic() - at_s)
            unsafe += not until(lambda: is_safe(bus))
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            if sys.stderr.isatty() or (kill + 1) % 50 == 0:
                click.echo(f"{kill + 1} of {kills}, not safe: {unsafe}", err=True)
    if not times:
        raise click.ClickException("interrupted before the first kill")
    kills = len(times)
    times.sort()
    bound_s = TTL_MS * 1e-3 + PERIOD_S
    late = sum(one > bound_s for one in times)
    median_ms, largest_ms = times[len(times) // 2] * 1e3, times[-1] * 1e3
    click.echo(f"{family}: {kills} control processes ended, {again} more ended by themselves; not safe: {unsafe}")
    click.echo(f"torque off after {median_ms:.0f} ms (median), {largest_ms:.0f} ms (largest)")
    click.echo(f"TTL and a period: {bound_s * 1e3:.0f} ms; later than that: {late}")
    if out is not None:
        found_ms = {"median": median_ms, "largest": largest_ms, "bound": bound_s * 1e3}
        result = {"kills": kills, "ended_by_themselves": again, "unsafe": unsafe, "late": late, "ms": found_ms}
        out.write_text(json.dumps({family: result}, indent=1) + "\n")
    sys.exit(unsafe != 0)


if __name__ == "__main__":
    main()
