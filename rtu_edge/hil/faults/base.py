"""Base class of the faults: timing, expected outcome, and the bridge's interface."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeAlias

import msgspec

from rtu_edge._base.errors import DeviceError
from rtu_edge.loop.flags import Clock

if TYPE_CHECKING:
    from rtu_edge.hil.bridge import Injection
    from rtu_edge.hil.ends import Unit
    from rtu_edge.hil.targets import Target

Rate: TypeAlias = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Seconds: TypeAlias = Annotated[float, msgspec.Meta(ge=0.0, le=3600.0)]
Millis: TypeAlias = Annotated[float, msgspec.Meta(ge=0.0, le=60_000.0)]


class Response(str, enum.Enum):
    """Response to a fault."""

    RIDES_THROUGH = "rides_through"  # armed throughout, commands continue afterwards
    FALLS_BACK = "falls_back"  # the same, but another controller took over from the learner
    GOES_SAFE = "goes_safe"  # the actuators went to their safe behaviour and the session is closed
    RESUMES = "resumes"  # the same as goes_safe, and the host then drove on in a new session by itself
    REFUSES = "refuses"  # the host did not arm


class By(str, enum.Enum):
    """Who ended a session."""

    ANY = "any"
    DEVICE = "device"  # its own rules: SAFE, or a restart
    HOST = "host"  # DISARM or ESTOP


class Second(str, enum.Enum):
    """A second device in the host's loop, behind a bridge of its own: the firmware as a process, at the same rate."""

    NONE = "none"
    WELL = "well"  # the fault acts on the first
    FAILS = "fails"  # the fault acts on it


class Controller(str, enum.Enum):
    """Who drives."""

    LINEAR = "linear"  # a fixed controller
    LEARNER = "learner"  # a recurrent learner that learns throughout


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A fault and, for a suite, its expected outcome.

    Args:
        name: in the report; default: the kind.
        start_s: time from the first command to its start.
        for_s: its duration.
        watch_s: time for which the session is monitored after its end.
        expect: the expected outcome; any other fails, a false trip as well as a missed one.
        by: who must end the session, if it ends.
        reasons: allowed stop reasons of the host; default: any.
        error: words that the host's error must contain; default: any.
        safe_within_ms: from the observation that the last accepted command answers to the actuators' safe behaviour,
            by the device's clock; 0 takes what the protocol promises, TTL and one period.
        detect_within_ms: from the fault's beginning until host or device notices it; 0: need not be noticed.
        recover_within_s: from the fault's end until commands are accepted again (after goes_safe: from a new session).
        settings: of the host's configuration, replacing the suite's: `a.b=c` each.
        clock, controller: replace the suite's; the clock is not "host".
        second: whether the host drives a second device too, and whether the fault acts on that one. When the session
            ends, neither may be armed.
        only: targets that it applies to; default: all.
        plant: simulated plant that it needs, in place of the suite's; a real port is then left out. The suite's fixed
            controller has no gain for observations that only this plant has.
    """

    kind: ClassVar[str] = ""
    acts_on: ClassVar[str] = "line"
    needs: ClassVar[frozenset[str]] = frozenset()  # required abilities of the target; "host process"
    whole: ClassVar[bool] = False  # acts from before the host opens the port until it is gone
    twice: ClassVar[bool] = False  # a session has driven and ended before the one that is watched

    name: str = ""
    start_s: Seconds = 0.3
    for_s: Seconds = 0.5
    watch_s: Seconds = 0.2
    expect: Response = Response.RIDES_THROUGH
    by: By = By.ANY
    reasons: tuple[str, ...] = ()
    error: str = ""
    settings: tuple[str, ...] = ()
    safe_within_ms: Millis = 0.0
    detect_within_ms: Millis = 0.0
    recover_within_s: Annotated[float, msgspec.Meta(gt=0.0, le=600.0)] = 5.0
    clock: Clock | None = None
    controller: Controller | None = None
    second: Second = Second.NONE
    only: tuple[str, ...] = ()
    plant: str = ""

    @property
    def title(self) -> str:
        """Its name, or its kind."""
        return self.name or self.kind

    def lacks(self, abilities: frozenset[str]) -> str:
        """Required abilities that a target lacks; "" if none."""
        return ", ".join(sorted(need for need in self.needs - abilities if not need.startswith("host")))

    def left_out(self, target: Target) -> str:
        """Why a suite does not run it on this target; "" if it does."""
        if self.only and target.name not in self.only:
            return f"only for {', '.join(self.only)}"
        if self.plant and target.plant != self.plant:
            return f"only for the simulated plant {self.plant}"
        missing = self.lacks(target.abilities)
        return f"the target cannot {missing}" if missing else ""

    def check(self, target: Target, host: Any) -> None:
        """Raises DeviceError if it cannot act on this target or host."""
        missing = self.lacks(target.abilities)
        if missing:
            raise DeviceError(f"{self.title}: the target {target.name} cannot {missing}")
        if "host process" in self.needs and getattr(host, "pid", None) is None:
            raise DeviceError(f"{self.title}: needs a host in a separate process")

    def begin(self, now: Injection) -> None:
        """It begins."""

    def transform(self, now: Injection, unit: Unit) -> list[Unit]:
        """The result for a unit that passes."""
        return [unit]

    def poll(self, now: Injection, at_s: float) -> list[Unit]:
        """Units that it sends on its own."""
        return []

    def end(self, now: Injection) -> list[Unit]:
        """Ends the fault; delayed units are forwarded."""
        return []
