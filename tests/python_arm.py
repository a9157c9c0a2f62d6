"""A device in Python around a fake SDK, for tests; patient, so that a busy host changes nothing."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any

import rtu_edge as rtu

LIMITS = {"torque": rtu.Limits(-1.0, 1.0, slew_per_s=math.inf, accel_per_s2=math.inf)}
SLEW = 0.25


class Arm(rtu.PythonDevice):
    """A fake SDK and what it was told, in order: a float, or "safe". Patient, so that a busy host changes nothing."""

    period_s = 0.02
    observations: Any = (rtu.Channel("angle", "rad", -3.2, 3.2), rtu.Channel("speed", "rad/s", -8.0, 8.0))
    actuators: Any = (rtu.Channel("torque", "Nm", -2.0, 2.0, safe=rtu.Safe.OFF, slew=SLEW),)
    ttl_max_ms = 10_000
    timeout_s = 20.0

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.fails: dict[str, BaseException] = {}
        self.reading: Any = [0.5, 0.0]
        self.hang = threading.Event()
        self.go_on = threading.Event()

    def _maybe(self, what: str) -> None:
        if what in self.fails:
            raise self.fails[what]

    def open(self) -> None:
        self._maybe("open")
        self.told.append("open")

    def read(self) -> Any:
        if self.hang.is_set():
            self.go_on.wait(30)
        self._maybe("read")
        return self.reading

    def write(self, u: Any) -> None:
        self._maybe("write")
        self.told.append(float(u[0]))

    def safe(self) -> None:
        self.told.append("safe")
        self._maybe("safe")

    def close(self) -> None:
        self.told.append("close")


def connect(arm: rtu.PythonDevice, **options: Any) -> rtu.Robot:
    return rtu.connect(arm, **{"arm": True, "limits": LIMITS, "ttl_ms": 5000, **options})


def until(condition: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < give_up_s
        time.sleep(0.005)


def drive(robot: rtu.Robot, arm: Arm, u: float = 1.0) -> None:
    """Until the command has arrived."""
    robot.read()
    robot.write(u)
    until(lambda: bool(arm.told) and isinstance(arm.told[-1], float))


class Announcing(Arm):
    """Prints what it is told, for another process."""

    def write(self, u: Any) -> None:
        print("wrote", flush=True)

    def safe(self) -> None:
        print("safe", flush=True)
