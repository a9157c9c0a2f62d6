"""The faults: what each does to the line, to the device or to the host. Only a suite, or a test, can inject one.

A fault is described by a table of TOML (`kind` and its parameters) or made in Python; the same class is both:

    [[fault]]
    name = "one command in five is lost"
    kind = "drop"
    way = "to_device"
    rate = 0.2
    for_s = 1.0
    expect = "rides_through"

`rate` is the share of frames that are hit. What happens when is drawn from the bridge's seed.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeAlias

import msgspec

from rtu_edge import wire
from rtu_edge.errors import DeviceError
from rtu_edge.hil.trace import Place, Way

if TYPE_CHECKING:
    from rtu_edge.hil.bridge import Injection, Unit
    from rtu_edge.hil.targets import Target

__all__ = ["KINDS", "By", "Clock", "Controller", "Failure", "Fault", "Outcome", "Talk", "Way"]

Rate: TypeAlias = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Seconds: TypeAlias = Annotated[float, msgspec.Meta(ge=0.0, le=3600.0)]
Millis: TypeAlias = Annotated[float, msgspec.Meta(ge=0.0, le=60_000.0)]


class Outcome(str, enum.Enum):
    """What a fault comes to."""

    RIDES_THROUGH = "rides_through"  # armed all the while, commands flow again afterwards
    FALLS_BACK = "falls_back"  # the same, but another controller took over from the learner
    GOES_SAFE = "goes_safe"  # the actuators went to their safe behaviour and the session is closed
    REFUSES = "refuses"  # the host did not arm at all


class By(str, enum.Enum):
    """Who ended a session."""

    ANY = "any"
    DEVICE = "device"  # its own rules: SAFE, or a restart
    HOST = "host"  # DISARM or ESTOP


class Clock(str, enum.Enum):
    """What makes the loop's tick in a case; the words of rtu_edge.runtime.Clock."""

    DEVICE = "device"
    LOCKSTEP = "lockstep"


class Controller(str, enum.Enum):
    """Who drives."""

    LINEAR = "linear"  # a fixed controller
    LEARNER = "learner"  # a recurrent learner that learns all the while


class Talk(str, enum.Enum):
    """What a flood is made of."""

    PING = "ping"
    NOISE = "noise"  # random bytes
    COMMAND = "command"  # of a session that does not hold


class Failure(str, enum.Enum):
    """How a sensor fails."""

    NAN = "nan"
    STUCK = "stuck"  # at the value it had
    SPIKE = "spike"  # `size` too much
    ZERO = "zero"


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A fault and, for a suite, what it has to come to.

    Args:
        name: in the report; the kind unless given.
        start_s: after the first command, how long until it begins.
        for_s: how long it acts.
        watch_s: how long after its end the session is watched.
        expect: what it has to come to; anything else fails, a false trip as well as a missed one.
        by: who has to end the session, where one ends.
        reasons: the host's stop reason has to be one of these, where it stops; any unless given.
        safe_within_ms: from the observation that the last accepted command answers to the actuators' safe behaviour,
            by the device's clock; 0 takes what the protocol promises, TTL and one period.
        detect_within_ms: from the fault's beginning until host or device notices it; 0: need not be noticed.
        recover_within_s: from the fault's end until commands are accepted again (after goes_safe: from a new session).
        clock, controller: in place of the suite's.
        only: targets that it is for; all unless given.
    """

    kind: ClassVar[str] = ""
    acts_on: ClassVar[str] = "line"
    needs: ClassVar[frozenset[str]] = frozenset()  # abilities of the target; "host process"
    whole: ClassVar[bool] = False  # acts from before the host opens the port until it is gone

    name: str = ""
    start_s: Seconds = 0.3
    for_s: Seconds = 0.5
    watch_s: Seconds = 0.2
    expect: Outcome = Outcome.RIDES_THROUGH
    by: By = By.ANY
    reasons: tuple[str, ...] = ()
    safe_within_ms: Millis = 0.0
    detect_within_ms: Millis = 0.0
    recover_within_s: Annotated[float, msgspec.Meta(gt=0.0, le=600.0)] = 5.0
    clock: Clock | None = None
    controller: Controller | None = None
    only: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Its name, or its kind."""
        return self.name or self.kind

    def lacks(self, abilities: frozenset[str]) -> str:
        """What it needs and a target has not; "" when nothing is missing."""
        return ", ".join(sorted(need for need in self.needs - abilities if not need.startswith("host")))

    def check(self, target: Target, host: Any) -> None:
        """Raises DeviceError when the target, or the host, is not one on which it can act."""
        missing = self.lacks(target.abilities)
        if missing:
            raise DeviceError(f"{self.title}: the target {target.name} cannot {missing}")
        if "host process" in self.needs and getattr(host, "pid", None) is None:
            raise DeviceError(f"{self.title}: needs a host that is a process of its own")

    def begin(self, now: Injection) -> None:
        """It begins."""

    def carry(self, now: Injection, unit: Unit) -> list[Unit]:
        """What becomes of something that passes."""
        return [unit]

    def poll(self, now: Injection, at_s: float) -> list[Unit]:
        """What it puts on the line of its own accord."""
        return []

    def end(self, now: Injection) -> list[Unit]:
        """It ends; what it held back goes on."""
        return []


class _Line(Fault, frozen=True, kw_only=True):
    """On the line, one way unless it says both.

    Args:
        way: "to_device" or "to_host".
        both: both ways.
        rate: share of frames that are hit.
    """

    way: Way = Way.TO_DEVICE
    both: bool = False
    rate: Rate = 0.1

    def hits(self, now: Injection, unit: Unit) -> bool:
        """True when this frame is one of those."""
        return (self.both or unit.way == self.way) and now.hit(self.rate)


class Flip(_Line, frozen=True, kw_only=True):
    """Bit flips: one bit of a frame, delimiter included."""

    kind = "flip"

    def carry(self, now: Injection, unit: Unit) -> list[Unit]:
        if self.hits(now, unit):
            data = bytearray(unit.data)
            data[now.random.randrange(len(data))] ^= 1 << now.random.randrange(8)
            unit = dataclasses.replace(unit, data=bytes(data))
        return [unit]


class Drop(_Line, frozen=True, kw_only=True):
    """Frames are lost; with rate 1, everything: a broken wire one way, or both."""

    kind = "drop"

    def carry(self, now: Injection, unit: Unit) -> list[Unit]:
        return [] if self.hits(now, unit) else [unit]


class Duplicate(_Line, frozen=True, kw_only=True):
    """Frames arrive twice."""

    kind = "duplicate"

    def carry(self, now: Injection, unit: Unit) -> list[Unit]:
        return [unit, dataclasses.replace(unit)] if self.hits(now, unit) else [unit]


class Insert(_Line, frozen=True, kw_only=True):
    """Noise before a frame: random bytes.

    Args:
        most_bytes: at most so many.
    """

    kind = "insert"
    most_bytes: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 8

    def carry(self, now: Injection, unit: Unit) -> list[Unit]:
        if self.hits(now, unit):
            noise = now.random.randbytes(now.random.randint(1, self.most_bytes))
            unit = dataclasses.replace(unit, data=noise + unit.data)
        return [unit]


class Reorder(_Line, frozen=True, kw_only=True):
    """A frame is overtaken by the next one."""

    kind = "reorder"

    def carry(self, now: Injection, unit: Unit) -> list[Unit]:
        if now.kept and now.kept[0].way is unit.way:
            return [unit, now.kept.pop()]
        if not now.kept and self.hits(now, unit):
            now.kept.append(unit)
            return []
        return [unit]

    def end(self, now: Injection) -> list[Unit]:
        return now.kept


class Delay(_Line, frozen=True, kw_only=True):
    """Everything takes longer; the order stays.

    Args:
        delay_ms: each frame.
        jitter_ms: and up to so much more, drawn anew.
    """

    kind = "delay"
    rate: Rate = 1.0
    delay_ms: Millis = 5.0
    jitter_ms: Millis = 0.0

    def carry(self, now: Injection, unit: Unit) -> list[Unit]:
        if self.hits(now, unit):
            late_s = (self.delay_ms + now.random.random() * self.jitter_ms) * 1e-3
            unit = dataclasses.replace(unit, due_s=unit.due_s + late_s)
        return [unit]


class Stall(_Line, frozen=True, kw_only=True):
    """Everything is held back, and comes in one burst at the end: a stalled adapter."""

    kind = "stall"
    rate: Rate = 1.0

    def carry(self, now: Injection, unit: Unit) -> list[Unit]:
        if not self.hits(now, unit):
            return [unit]
        now.kept.append(unit)
        return []

    def end(self, now: Injection) -> list[Unit]:
        return now.kept


class Half(_Line, frozen=True, kw_only=True):
    """The next frame stops in its middle, and then there is silence."""

    kind = "half"
    rate: Rate = 1.0

    def carry(self, now: Injection, unit: Unit) -> list[Unit]:
        first = now.count == 0
        if not self.hits(now, unit):
            return [unit]
        return [dataclasses.replace(unit, data=unit.data[: len(unit.data) // 2])] if first else []


class Pace(_Line, frozen=True, kw_only=True):
    """A slow line: bytes take as long as they would at a baud rate, 10 bits each.

    Args:
        baud: bits per second.
    """

    kind = "pace"
    rate: Rate = 1.0
    baud: Annotated[int, msgspec.Meta(ge=1200, le=12_000_000)] = 115_200

    def carry(self, now: Injection, unit: Unit) -> list[Unit]:
        if self.hits(now, unit):
            free_s = max(unit.due_s, now.memory.get(unit.way, 0.0))
            now.memory[unit.way] = free_s + len(unit.data) * 10 / self.baud
            unit = dataclasses.replace(unit, due_s=now.memory[unit.way])
        return [unit]


class Echo(_Line, frozen=True, kw_only=True):
    """What one end says comes back to it as well, as on a half-duplex adapter."""

    kind = "echo"
    rate: Rate = 1.0

    def carry(self, now: Injection, unit: Unit) -> list[Unit]:
        if not self.hits(now, unit):
            return [unit]
        back = Way.TO_HOST if unit.way is Way.TO_DEVICE else Way.TO_DEVICE
        return [unit, dataclasses.replace(unit, way=back)]


class Unplug(Fault, frozen=True, kw_only=True):
    """The plug is pulled on the host's side; at the end it is back, under the same name."""

    kind = "unplug"

    def begin(self, now: Injection) -> None:
        now.count += 1
        now.bridge.unplug()

    def end(self, now: Injection) -> list[Unit]:
        now.bridge.plug()
        return []


class Replay(Fault, frozen=True, kw_only=True):
    """Old commands come again: frames of before, each a valid one in its time.

    Args:
        per_s: how many a second.
        age_s: from at least so long ago.
    """

    kind = "replay"
    per_s: Annotated[float, msgspec.Meta(gt=0.0, le=10_000.0)] = 100.0
    age_s: Seconds = 0.15

    def poll(self, now: Injection, at_s: float) -> list[Unit]:
        from rtu_edge.hil.bridge import Unit

        if at_s < now.next_s:
            return []
        now.next_s = max(at_s - 0.02, now.next_s) + 1.0 / self.per_s
        old = now.memory.get("old")
        if old is None or now.count % 32 == 0:
            seen = now.bridge.trace.all(Place.HOST_OUT, wire.FrameType.CMD)
            now.memory["old"] = old = [passed.frame for passed in seen if passed.at_s < at_s - self.age_s]
        if not old:
            return []
        now.count += 1
        return [Unit(Way.TO_DEVICE, wire.encode(now.random.choice(old)), at_s)]


class Flood(Fault, frozen=True, kw_only=True):
    """Somebody else talks without end.

    Args:
        way: to whom.
        what: "ping", "noise" or "command".
        per_s: frames a second.
    """

    kind = "flood"
    way: Way = Way.TO_DEVICE
    what: Talk = Talk.PING
    per_s: Annotated[float, msgspec.Meta(gt=0.0, le=10_000.0)] = 300.0

    def poll(self, now: Injection, at_s: float) -> list[Unit]:
        from rtu_edge.hil.bridge import Unit

        found = []
        now.next_s = max(now.next_s, at_s - 0.02)
        while now.next_s < at_s:
            now.next_s += 1.0 / self.per_s
            now.count += 1
            found.append(Unit(self.way, self._frame(now), at_s))
        return found

    def _frame(self, now: Injection) -> bytes:
        seq = now.count & 0xFFFF
        if self.what is Talk.NOISE:
            return now.random.randbytes(24)
        if self.what is Talk.COMMAND:
            return wire.encode(wire.pack(wire.Cmd(0xFFFFFFFE, 0, 50, (1.0,)), seq))
        return wire.encode(wire.pack(wire.Ping(now.count), seq))


class _Rewrite(Fault, frozen=True, kw_only=True):
    """Says something else in a frame of one kind, with a CRC that is right.

    Args:
        rate: share of these frames.
    """

    message: ClassVar[type] = wire.State
    rate: Rate = 1.0

    def wants(self, message: wire.Message | None) -> bool:
        """True for a message that it spoils."""
        return isinstance(message, self.message)

    def carry(self, now: Injection, unit: Unit) -> list[Unit]:
        if unit.frame is None:
            return [unit]
        message = wire.unpack(unit.frame)
        if not self.wants(message) or not now.hit(self.rate):
            return [unit]
        payload = wire.pack(self.rewrite(now, message)).payload
        return [dataclasses.replace(unit, data=wire.encode(dataclasses.replace(unit.frame, payload=payload)))]

    def rewrite(self, now: Injection, message: Any) -> wire.Message:
        """What it says instead."""
        raise NotImplementedError


class Misfit(_Rewrite, frozen=True, kw_only=True):
    """Another schema in the middle of a run: one value more than the data sheet has, CRC right.

    Args:
        way: "to_device" spoils commands, "to_host" observations.
    """

    kind = "misfit"
    way: Way = Way.TO_DEVICE

    def wants(self, message: wire.Message | None) -> bool:
        return isinstance(message, wire.Cmd if self.way is Way.TO_DEVICE else wire.State)

    def rewrite(self, now: Injection, message: Any) -> wire.Message:
        if isinstance(message, wire.Cmd):
            return dataclasses.replace(message, u=(*message.u, 0.0))
        more: wire.State = dataclasses.replace(message, x=(*message.x, 0.0))
        return more


class Schema(_Rewrite, frozen=True, kw_only=True):
    """The device claims another data sheet than it has: the hash in HELLO does not fit the rows."""

    kind = "schema"
    whole = True
    message = wire.Hello

    def rewrite(self, now: Injection, message: wire.Hello) -> wire.Message:
        return dataclasses.replace(message, schema_hash=message.schema_hash ^ 1)


class Sensor(_Rewrite, frozen=True, kw_only=True):
    """A sensor fails: it says nothing that is a number, is stuck, jumps, or says zero.

    Args:
        how: "nan", "stuck", "spike" or "zero".
        index: which observation.
        size: of a spike, in the observation's unit.
    """

    kind = "sensor"
    how: Failure = Failure.NAN
    index: Annotated[int, msgspec.Meta(ge=0, le=54)] = 0
    size: Annotated[float, msgspec.Meta(ge=-1e30, le=1e30)] = 100.0

    def rewrite(self, now: Injection, message: wire.State) -> wire.Message:
        x = list(message.x)
        at = min(self.index, len(x) - 1)
        stuck = now.memory.setdefault("stuck", x[at])
        said = {Failure.NAN: math.nan, Failure.STUCK: stuck, Failure.SPIKE: x[at] + self.size, Failure.ZERO: 0.0}
        x[at] = said[self.how]
        return dataclasses.replace(message, x=tuple(x))


class Actuator(_Rewrite, frozen=True, kw_only=True):
    """An actuator is stuck: whatever is commanded, it does the same; STATE tells what was applied.

    Args:
        index: which actuator.
        value: what it does, in its unit.
    """

    kind = "actuator"
    message = wire.Cmd
    index: Annotated[int, msgspec.Meta(ge=0, le=54)] = 0
    value: Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)] = 0.5

    def rewrite(self, now: Injection, message: wire.Cmd) -> wire.Message:
        u = list(message.u)
        u[min(self.index, len(u) - 1)] = self.value
        return dataclasses.replace(message, u=tuple(u))


class Reset(Fault, frozen=True, kw_only=True):
    """The device restarts in the middle of a run, with a new boot_id."""

    kind = "reset"
    acts_on = "device"
    needs = frozenset({"reset"})

    def begin(self, now: Injection) -> None:
        now.count += 1
        now.bridge.target.reset()


class Freeze(Fault, frozen=True, kw_only=True):
    """The device does nothing for a while, then goes on as if nothing had been."""

    kind = "freeze"
    acts_on = "device"
    needs = frozenset({"stop"})

    def begin(self, now: Injection) -> None:
        now.count += 1
        now.bridge.target.stop()

    def end(self, now: Injection) -> list[Unit]:
        now.bridge.target.go_on()
        return []


class HostStop(Fault, frozen=True, kw_only=True):
    """The host's process is stopped (SIGSTOP), and goes on at the end."""

    kind = "host_stop"
    acts_on = "host"
    needs = frozenset({"host process"})

    def begin(self, now: Injection) -> None:
        now.count += 1
        now.host.freeze()

    def end(self, now: Injection) -> list[Unit]:
        now.host.go_on()
        return []


class HostKill(Fault, frozen=True, kw_only=True):
    """The host's process is killed (SIGKILL)."""

    kind = "host_kill"
    acts_on = "host"
    needs = frozenset({"host process"})

    def begin(self, now: Injection) -> None:
        now.count += 1
        now.host.kill()


class HostStarve(Fault, frozen=True, kw_only=True):
    """The host gets little of the processor: it is stopped for a while, runs for a while, and so on.

    Args:
        stopped_ms: how long it stands.
        runs_ms: how long it runs.
    """

    kind = "host_starve"
    acts_on = "host"
    needs = frozenset({"host process"})
    stopped_ms: Millis = 30.0
    runs_ms: Annotated[float, msgspec.Meta(gt=0.0, le=60_000.0)] = 10.0

    def poll(self, now: Injection, at_s: float) -> list[Unit]:
        if at_s >= now.next_s:
            now.count += 1
            stands = now.count % 2 == 1
            (now.host.freeze if stands else now.host.go_on)()
            now.next_s = at_s + (self.stopped_ms if stands else self.runs_ms) * 1e-3
        return []

    def end(self, now: Injection) -> list[Unit]:
        now.host.go_on()
        return []


class DiskFull(Fault, frozen=True, kw_only=True):
    """No file of the host's can grow any more, to its end (RLIMIT_FSIZE: what a full disk or a quota looks like)."""

    kind = "disk_full"
    acts_on = "host"
    needs = frozenset({"host process"})

    def begin(self, now: Injection) -> None:
        import resource

        now.count += 1
        resource.prlimit(now.host.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))


class ClockWrap(Fault, frozen=True, kw_only=True):
    """The device's 32-bit clock wraps in the middle of a run, as it does each 71.6 minutes.

    The device's stamps are shifted on their way to the host, and back in what the host answers.

    Args:
        after_s: the wrap comes so long after the beginning.
    """

    kind = "clock_wrap"
    whole = True
    after_s: Seconds = 1.5

    def carry(self, now: Injection, unit: Unit) -> list[Unit]:
        if unit.frame is None:
            return [unit]
        frame = unit.frame
        if unit.way is Way.TO_HOST:
            shift = now.memory.setdefault("shift", (-frame.t_us - round(self.after_s * 1e6)) & 0xFFFFFFFF)
            shifted = (frame.t_us + shift) & 0xFFFFFFFF
            now.count += shifted < now.memory.get("last", 0)
            now.memory["last"] = shifted
            return [dataclasses.replace(unit, data=wire.encode(dataclasses.replace(frame, t_us=shifted)))]
        message = wire.unpack(frame)
        if not isinstance(message, wire.Cmd) or "shift" not in now.memory:
            return [unit]
        message = dataclasses.replace(message, obs_t_us=(message.obs_t_us - now.memory["shift"]) & 0xFFFFFFFF)
        payload = wire.pack(message).payload
        return [dataclasses.replace(unit, data=wire.encode(dataclasses.replace(frame, payload=payload)))]


def _kinds(base: type[Fault]) -> dict[str, type[Fault]]:
    found: dict[str, type[Fault]] = {}
    for cls in base.__subclasses__():
        found |= {cls.kind: cls} if cls.kind else _kinds(cls)
    return found


KINDS: dict[str, type[Fault]] = _kinds(Fault)
