"""A reference implementation of the monitors, of arbitration and of the learner monitor's triggers in plain Python,
written from docs/safety.md.

Numbers are float64 here and float32 there; the tests feed values that both hold exactly, or keep clear of thresholds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

__all__ = ["Channel", "CommandLimiter", "Drivers", "FallbackOutput", "SensorMonitor", "TdWatch"]

# Of docs/configuration.md and native/runtime/safety/sensor_monitor.h.
NON_FINITE, DROPOUT, RANGE, SPIKE, STUCK, HELD, CLAMPED, FALLBACK, STOP = (1 << k for k in range(9))


def clamp(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


@dataclass
class Channel:
    """One observation's limits."""

    low: float
    high: float
    spike: float = 0.0
    stuck_steps: int = 0
    hold_steps: int = 5
    on_dropout: str = "hold"
    on_range: str = "clamp"
    on_spike: str = "hold"
    on_stuck: str = "fallback"
    good: float | None = None
    readings: list[float] = field(default_factory=list)  # finite ones, of the episode
    moves: list[float] = field(default_factory=list)  # of the commands, before each of them
    held: int = 0

    def begin(self) -> None:
        self.good, self.readings, self.moves, self.held = None, [], [], 0

    def _same(self) -> tuple[int, float]:
        """Number of consecutive readings equal to the last one, and the total change of the commands meanwhile."""
        count, moved = 0, 0.0
        while count + 1 < len(self.readings) and self.readings[-2 - count] == self.readings[-1]:
            moved += self.moves[-1 - count]
            count += 1
        return count, moved

    def _agree(self) -> int:
        """Number of consecutive recent changes of the readings that are no larger than a spike."""
        count = 0
        while (
            count + 1 < len(self.readings) and abs(self.readings[-1 - count] - self.readings[-2 - count]) <= self.spike
        ):
            count += 1
        return count

    def _fault(self, x: float, moved: float) -> tuple[int, str]:
        if math.isnan(x):
            return DROPOUT, self.on_dropout
        if math.isinf(x):
            return NON_FINITE, self.on_dropout
        self.readings.append(x)
        self.moves.append(moved)
        if self.spike > 0 and self.good is not None and abs(x - self.good) > self.spike and self._agree() < 3:
            return SPIKE, self.on_spike
        if not self.low <= x <= self.high:
            return RANGE, self.on_range
        same, command = self._same()
        if self.stuck_steps > 0 and same >= self.stuck_steps and command >= 0.5:
            return STUCK, self.on_stuck
        return 0, ""

    def step(self, x: float, moved: float) -> tuple[float, int]:
        """The replacement value of x, and flags."""
        fault, action = self._fault(x, moved)
        if not fault:
            self.good, self.held = x, 0
            return x, 0
        if action == "clamp" and fault in (RANGE, SPIKE):
            value = clamp(x, self.low, self.high)
            if fault == SPIKE:
                assert self.good is not None
                value = clamp(value, self.good - self.spike, self.good + self.spike)
            self.good, self.held = value, 0
            return value, fault | CLAMPED
        blind = self.good is None
        self.held += 1
        flags = fault | HELD
        if blind or action in ("fallback", "stop") or self.held > self.hold_steps:
            flags |= FALLBACK
        if action == "stop":
            flags |= STOP
        return (clamp(0.0, self.low, self.high) if self.good is None else self.good), flags


@dataclass
class SensorMonitor:
    """All channels."""

    channels: list[Channel]

    def begin(self) -> None:
        for channel in self.channels:
            channel.begin()

    def step(self, x: list[float], moved: float) -> tuple[list[float], int, int]:
        """Values, flags of all, and the first channel with any."""
        out = [channel.step(value, moved) for channel, value in zip(self.channels, x, strict=True)]
        flags = 0
        for _, found in out:
            flags |= found
        first = next((k for k, (_, found) in enumerate(out) if found), 0)
        return [value for value, _ in out], flags, first


@dataclass
class Drivers:
    """Arbitration, given the fault in each step: "" (none), "sensor", "monitor"."""

    dwell_steps: int
    recovery_steps: int
    max_switches: int
    switch_window: int
    fallback: bool = False
    locked: bool = False
    dwelt: int = 0
    good: int = 0
    now: int = 0
    switches: list[int] = field(default_factory=list)

    def force(self) -> None:
        if self.fallback:
            return
        self.fallback, self.dwelt, self.good = True, 0, 0
        recent = [at for at in self.switches if self.now - at < self.switch_window]
        if len(recent) >= self.max_switches:
            self.locked = True
        self.switches.append(self.now)

    def step(self, wrong: str) -> str:
        """Why the fallback drives; "" when the learner does."""
        self.now += 1
        if wrong:
            self.force()
            self.good = 0
        else:
            self.good += 1
        if self.locked:
            return "locked"
        if not self.fallback or wrong:
            return wrong
        self.dwelt += 1
        if self.dwelt < self.dwell_steps or self.good < self.recovery_steps:
            return "dwell"
        self.fallback = False
        return ""


@dataclass
class FallbackOutput:
    """The fallback's contribution to one actuator, in -1..1: its output; on failure its last output of the episode;
    from the fifth consecutive failure on, rest, which ends the run if it has to drive."""

    rest: float
    tries: int = 5
    last: float | None = None
    failed: int = 0

    def begin(self) -> None:
        self.last = None

    def step(self, given: float | None) -> tuple[float, bool]:
        """The contribution, and whether the fallback has given up; `given` is None or not finite on failure."""
        if given is not None and math.isfinite(given):
            self.last, self.failed = given, 0
        else:
            self.failed += 1
            if self.last is None or self.failed >= self.tries:
                self.last = self.rest
        return self.last, self.failed >= self.tries


@dataclass
class CommandLimiter:
    """Range, slew and acceleration of one actuator (inf: no limit); the braking distance by simulation."""

    low: float
    high: float
    slew: float
    accel: float
    last: float = 0.0
    change: float = 0.0

    def _stops(self, position: float, change: float) -> bool:
        """Whether changes that shrink by `accel` each end inside the range."""
        while change != 0:
            position += change
            if not self.low - 1e-6 <= position <= self.high + 1e-6:
                return False
            change = math.copysign(max(abs(change) - self.accel, 0.0), change)
        return True

    def step(self, u: float) -> float:
        if not math.isfinite(u):
            u = self.last
        change = clamp(u, self.low, self.high) - self.last
        change = clamp(change, -self.slew, self.slew)
        if math.isfinite(self.accel):
            change = clamp(change, self.change - self.accel, self.change + self.accel)
            if not self._stops(self.last, change):
                # The largest change that still stops in time: by bisection.
                safe = self.change - math.copysign(min(self.accel, abs(self.change)), self.change)
                bad = change
                for _ in range(60):
                    middle = (safe + bad) / 2
                    if self._stops(self.last, middle):
                        safe = middle
                    else:
                        bad = middle
                change = safe
        self.last, self.change = self.last + change, change
        return self.last


@dataclass
class TdWatch:
    """Running mean of |delta|, outliers cut at ten times it, and detection of outliers."""

    limit: float
    warmup: int
    mean: float = 0.0
    count: int = 0

    def step(self, delta: float) -> bool:
        if self.limit > 0 and self.count >= self.warmup and abs(delta) > self.limit * self.mean:
            return True
        self.count += 1
        size = abs(delta) if self.count <= 100 else min(abs(delta), 10 * self.mean)
        self.mean += max(1 / self.count, 1 / 1000) * (size - self.mean)
        return False
