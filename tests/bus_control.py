"""A control process for tests of the server: bus_control.py PORT FAMILY own|given. Drives three joints until it is
killed; prints "driving" once they move. own: it starts the server on the bus at PORT; given: PORT is a server's.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack

import rtu_edge as rtu
from rtu_edge.device.bus_server import BusServer, Joint
from rtu_edge.device.emulated_bus import EmulatedBus
from rtu_edge.device.schema import Safe

TTL_MS = int(os.environ.get("BUS_CONTROL_TTL_MS", "400"))
PERIOD_S = 0.02
ZERO = {"dynamixel": 3.1415927, "feetech": 3.1415927, "scs": 2.617994}
# One joint of each safe behaviour; where they are driven to, rad, and where the ramp ends.
TARGETS = (0.5, 0.3, -0.4)
RAMP_END = 0.2


def joints(family: str) -> list[Joint]:
    zero = ZERO[family]
    return [
        Joint("hold", 1, -1.5, 1.5, 3.0, Safe.HOLD, zero_rad=zero),
        Joint("off", 2, -1.5, 1.5, 3.0, Safe.OFF, zero_rad=zero),
        Joint("ramp", 3, -1.5, 1.5, 3.0, Safe.RAMP, RAMP_END, zero_rad=zero),
    ]


def served(bus: EmulatedBus) -> BusServer:
    return BusServer(bus, joints=joints(bus.family), period_s=PERIOD_S, ttl_max_ms=TTL_MS, latency_us=20_000)


def main(port: str, family: str, owner: str) -> None:
    with ExitStack() as stack:
        if owner == "own":
            bus = EmulatedBus.__new__(EmulatedBus)  # of the parent: only its port and family are used
            bus.port, bus.family = port, family
            port = stack.enter_context(served(bus)).port
        robot = stack.enter_context(rtu.connect(port, reward=lambda x, u: 0.0, ttl_ms=TTL_MS))
        robot.read()
        step = 0
        while True:
            x = robot.step(TARGETS)[0]
            step += 1
            if step == 40 or (step > 40 and step % 10 == 0 and abs(x[0] - TARGETS[0]) < 0.1):
                print("driving", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
