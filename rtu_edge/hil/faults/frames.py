"""Valid frames with false contents: old frames, frames of another sender, another data sheet, failing sensors and
actuators.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import msgspec

from rtu_edge.device import protocol
from rtu_edge.hil.faults.base import Fault, Rate, Seconds
from rtu_edge.hil.trace import Direction, TapPoint

if TYPE_CHECKING:
    from rtu_edge.hil.bridge import Injection
    from rtu_edge.hil.ends import Unit
    from rtu_edge.hil.trace import FrameRecord


class Talk(str, enum.Enum):
    """Frames of a flood."""

    PING = "ping"
    NOISE = "noise"  # random bytes
    COMMAND = "command"  # of an inactive session


class Failure(str, enum.Enum):
    """How a sensor fails."""

    NAN = "nan"
    STUCK = "stuck"  # at the value it had
    SPIKE = "spike"  # `size` too much, in a share `rate` of the frames
    ZERO = "zero"
    BIAS = "bias"  # `size` too much
    NOISE = "noise"  # up to `size` too much or too little, uniform
    DROPOUT = "dropout"  # NaN for ten frames, well for ten, and so on


class Effect(str, enum.Enum):
    """How an actuator fails."""

    STUCK = "stuck"  # at `value`
    REDUCED = "reduced"  # to the share `share` of the command
    OFF = "off"  # 0


class Replay(Fault, frozen=True, kw_only=True):
    """Old commands are replayed, each of which was valid originally.

    Args:
        per_s: number per second.
        age_s: minimum age.
    """

    kind = "replay"
    per_s: Annotated[float, msgspec.Meta(gt=0.0, le=10_000.0)] = 100.0
    age_s: Seconds = 0.15

    def poll(self, now: Injection, at_s: float) -> list[Unit]:
        from rtu_edge.hil.ends import Unit

        if at_s < now.next_s:
            return []
        now.next_s = max(at_s - 0.02, now.next_s) + 1.0 / self.per_s
        old = now.memory.get("old")
        if old is None or now.count % 32 == 0:
            seen = now.bridge.trace.all(TapPoint.HOST_OUT, protocol.FrameType.CMD)
            now.memory["old"] = old = [passed.frame for passed in seen if self.is_old(now, passed, at_s)]
        if not old:
            return []
        now.count += 1
        return [Unit(Direction.TO_DEVICE, protocol.encode(now.random.choice(old)), at_s)]

    def is_old(self, now: Injection, passed: FrameRecord, at_s: float) -> bool:
        """True for a command that may be replayed."""
        return passed.at_s < at_s - self.age_s


class OldSession(Replay, frozen=True, kw_only=True):
    """The commands of an earlier session are replayed in a new one, each of which was valid originally."""

    kind = "old_session"
    twice = True

    def is_old(self, now: Injection, passed: FrameRecord, at_s: float) -> bool:
        sessions = now.bridge.trace.sessions()
        command = passed.message
        return isinstance(command, protocol.Cmd) and command.session in sessions[:-1]


class Flood(Fault, frozen=True, kw_only=True):
    """Another sender floods the line.

    Args:
        direction: the receiver.
        what: "ping", "noise" or "command".
        per_s: frames per second.
    """

    kind = "flood"
    direction: Direction = Direction.TO_DEVICE
    what: Talk = Talk.PING
    per_s: Annotated[float, msgspec.Meta(gt=0.0, le=10_000.0)] = 300.0

    def poll(self, now: Injection, at_s: float) -> list[Unit]:
        from rtu_edge.hil.ends import Unit

        found = []
        now.next_s = max(now.next_s, at_s - 0.02)
        while now.next_s < at_s:
            now.next_s += 1.0 / self.per_s
            now.count += 1
            found.append(Unit(self.direction, self._frame(now), at_s))
        return found

    def _frame(self, now: Injection) -> bytes:
        seq = now.count & 0xFFFF
        if self.what is Talk.NOISE:
            return now.random.randbytes(24)
        if self.what is Talk.COMMAND:
            return protocol.encode(protocol.pack(protocol.Cmd(0xFFFFFFFE, 0, 50, (1.0,)), seq))
        return protocol.encode(protocol.pack(protocol.Ping(now.count), seq))


class _Rewrite(Fault, frozen=True, kw_only=True):
    """Modifies frames of one kind, with a valid CRC.

    Args:
        rate: share of these frames.
    """

    message: ClassVar[type] = protocol.State
    rate: Rate = 1.0

    def wants(self, message: protocol.Message | None) -> bool:
        """True for a message that it modifies."""
        return isinstance(message, self.message)

    def transform(self, now: Injection, unit: Unit) -> list[Unit]:
        if unit.frame is None:
            return [unit]
        message = protocol.unpack(unit.frame)
        if not self.wants(message) or not now.hit(self.rate):
            return [unit]
        payload = protocol.pack(self.rewrite(now, message)).payload
        return [dataclasses.replace(unit, data=protocol.encode(dataclasses.replace(unit.frame, payload=payload)))]

    def rewrite(self, now: Injection, message: Any) -> protocol.Message:
        """The modified message."""
        raise NotImplementedError


class Misfit(_Rewrite, frozen=True, kw_only=True):
    """Another schema in the middle of a run: one value more than in the data sheet, with a valid CRC.

    Args:
        direction: "to_device" modifies commands, "to_host" observations.
    """

    kind = "misfit"
    direction: Direction = Direction.TO_DEVICE

    def wants(self, message: protocol.Message | None) -> bool:
        return isinstance(message, protocol.Cmd if self.direction is Direction.TO_DEVICE else protocol.State)

    def rewrite(self, now: Injection, message: Any) -> protocol.Message:
        if isinstance(message, protocol.Cmd):
            return dataclasses.replace(message, u=(*message.u, 0.0))
        more: protocol.State = dataclasses.replace(message, x=(*message.x, 0.0))
        return more


class Schema(_Rewrite, frozen=True, kw_only=True):
    """The device reports a wrong data sheet: the hash in HELLO does not match the rows."""

    kind = "schema"
    whole = True
    message = protocol.Hello

    def rewrite(self, now: Injection, message: protocol.Hello) -> protocol.Message:
        return dataclasses.replace(message, schema_hash=message.schema_hash ^ 1)


class Sensor(_Rewrite, frozen=True, kw_only=True):
    """A sensor fails: NaN, stuck, zero, spikes, a bias, noise, or drop-outs.

    Args:
        how: "nan", "stuck", "spike", "zero", "bias", "noise" or "dropout".
        index: the observation.
        size: of a spike, a bias and noise, in the observation's unit.
    """

    kind = "sensor"
    how: Failure = Failure.NAN
    index: Annotated[int, msgspec.Meta(ge=0, le=54)] = 0
    size: Annotated[float, msgspec.Meta(ge=-1e30, le=1e30)] = 100.0

    def rewrite(self, now: Injection, message: protocol.State) -> protocol.Message:
        x = list(message.x)
        at = min(self.index, len(x) - 1)
        stuck = now.memory.setdefault("stuck", x[at])
        away = (now.count - 1) // 10 % 2 == 0
        said = {
            Failure.NAN: math.nan,
            Failure.STUCK: stuck,
            Failure.SPIKE: x[at] + self.size,
            Failure.ZERO: 0.0,
            Failure.BIAS: x[at] + self.size,
            Failure.NOISE: x[at] + self.size * (2.0 * now.random.random() - 1.0),
            Failure.DROPOUT: math.nan if away else x[at],
        }
        x[at] = said[self.how]
        return dataclasses.replace(message, x=tuple(x))


class Actuator(_Rewrite, frozen=True, kw_only=True):
    """An actuator is stuck, has a reduced effect, or is off, regardless of commands; STATE reports the applied value.

    Args:
        how: "stuck", "reduced" or "off".
        index: the actuator.
        value: where it is stuck, in its unit.
        share: of the command that it applies with "reduced".
    """

    kind = "actuator"
    message = protocol.Cmd
    how: Effect = Effect.STUCK
    index: Annotated[int, msgspec.Meta(ge=0, le=54)] = 0
    value: Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)] = 0.5
    share: Rate = 0.5

    def rewrite(self, now: Injection, message: protocol.Cmd) -> protocol.Message:
        u = list(message.u)
        at = min(self.index, len(u) - 1)
        u[at] = {Effect.STUCK: self.value, Effect.REDUCED: self.share * u[at], Effect.OFF: 0.0}[self.how]
        return dataclasses.replace(message, u=tuple(u))


class Pose(_Rewrite, frozen=True, kw_only=True):
    """An observation has one value from before the host opens the port, so that it finds the plant there.

    Args:
        index: the observation.
        value: in its unit; default: NaN.
    """

    kind = "pose"
    whole = True
    index: Annotated[int, msgspec.Meta(ge=0, le=54)] = 0
    value: Annotated[float, msgspec.Meta(ge=-1e30, le=1e30)] | None = None

    def rewrite(self, now: Injection, message: protocol.State) -> protocol.Message:
        x = list(message.x)
        x[min(self.index, len(x) - 1)] = math.nan if self.value is None else self.value
        return dataclasses.replace(message, x=tuple(x))


class Unrewarded(_Rewrite, frozen=True, kw_only=True):
    """The reward in the device's frame is not a number."""

    kind = "reward"

    def rewrite(self, now: Injection, message: protocol.State) -> protocol.Message:
        return dataclasses.replace(message, reward=math.nan)


class Episodes(_Rewrite, frozen=True, kw_only=True):
    """Each STATE starts a new episode and reports other actuator values; commands must not jump.

    Args:
        value: reported value of the first actuator, with alternating sign.
    """

    kind = "episodes"
    value: Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)] = 10.0

    def rewrite(self, now: Injection, message: protocol.State) -> protocol.Message:
        claimed = self.value if now.count % 2 else -self.value
        return dataclasses.replace(
            message,
            episode=now.count & 0xFFFF,
            epflags=message.epflags | protocol.Episode.FIRST,
            u=(claimed, *message.u[1:]),
        )


class ClockWrap(Fault, frozen=True, kw_only=True):
    """The device's 32-bit clock wraps in the middle of a run, as it does every 71.6 minutes.

    The device's time stamps are shifted on the way to the host, and back in the host's answers.

    Args:
        after_s: time from the start to the wrap.
    """

    kind = "clock_wrap"
    whole = True
    after_s: Seconds = 1.5

    def transform(self, now: Injection, unit: Unit) -> list[Unit]:
        if unit.frame is None:
            return [unit]
        frame = unit.frame
        if unit.direction is Direction.TO_HOST:
            shift = now.memory.setdefault("shift", (-frame.t_us - round(self.after_s * 1e6)) & 0xFFFFFFFF)
            shifted = (frame.t_us + shift) & 0xFFFFFFFF
            now.count += shifted < now.memory.get("last", 0)
            now.memory["last"] = shifted
            return [dataclasses.replace(unit, data=protocol.encode(dataclasses.replace(frame, t_us=shifted)))]
        message = protocol.unpack(frame)
        if not isinstance(message, protocol.Cmd) or "shift" not in now.memory:
            return [unit]
        message = dataclasses.replace(message, obs_t_us=(message.obs_t_us - now.memory["shift"]) & 0xFFFFFFFF)
        payload = protocol.pack(message).payload
        return [dataclasses.replace(unit, data=protocol.encode(dataclasses.replace(frame, payload=payload)))]
