"""Listening on a port without an owner: frames, rates, and losses.

    with Listener("/dev/ttyACM0") as listener:
        for frame, message in listener.listen(1.0):
            print(frame.seq, text_of(message))
        print(listener.heard())

The only thing ever written is a HELLO request, until it is answered; with `silent=True` not even that.
"""

from __future__ import annotations

import enum
import itertools
import os
import select
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from rtu_edge._base.closing import Closing
from rtu_edge._base.errors import DeviceError
from rtu_edge._bridge import lib
from rtu_edge.device import protocol
from rtu_edge.device.ports import open_port
from rtu_edge.device.registry import lock_port
from rtu_edge.device.unanswered import explanation

__all__ = ["Heard", "Listener", "text_of"]

_WINDOW_S = 1.0  # rates and periods are of the last second
_ASK_AGAIN_S = 1.0
_AGE_NONE = int(lib.TL_AGE_NONE)
_QUESTION = protocol.pack(protocol.Hello())
_FIRST_BYTES = 256
_GAP_MAX = 4096  # a wider gap is another counter, such as after a restart


@dataclass(frozen=True)
class Heard:
    """The received data so far.

    Args:
        seconds: since the port was opened.
        frames: valid frames of each type, by name.
        last: the last frame of each type, with its message and its time (monotonic clock).
        frames_per_s, bytes_per_s: over the last second; frames by type.
        crc_errors, framing_errors: frames that arrived damaged.
        lost: gaps in the device's sequence.
        repeated: repeated or late frames.
        period_ms: least, median and largest time between STATEs of the last second by the device's clock; None if there
            are none. arrival_ms: the same by this host's clock.
    """

    seconds: float
    frames: dict[str, int]
    last: dict[str, tuple[protocol.Frame, protocol.Message | None, float]]
    frames_per_s: dict[str, float]
    bytes_per_s: float
    crc_errors: int
    framing_errors: int
    lost: int
    repeated: int
    period_ms: tuple[float, float, float] | None
    arrival_ms: tuple[float, float, float] | None

    @property
    def hello(self) -> protocol.Hello | None:
        """The device's description of itself."""
        said = self.last.get("HELLO", (None, None, 0.0))[1]
        return said if isinstance(said, protocol.Hello) else None

    @property
    def state(self) -> protocol.State | None:
        """The last STATE."""
        said = self.last.get("STATE", (None, None, 0.0))[1]
        return said if isinstance(said, protocol.State) else None

    def plain(self) -> dict[str, Any]:
        """The same in JSON types."""
        return {
            "event": "heard",
            "seconds": round(self.seconds, 3),
            "device_state": None if self.state is None else name_of(self.state.state),
            "frames": self.frames,
            "frames_per_s": {kind: round(rate, 1) for kind, rate in self.frames_per_s.items()},
            "bytes_per_s": round(self.bytes_per_s),
            "crc_errors": self.crc_errors,
            "framing_errors": self.framing_errors,
            "lost": self.lost,
            "repeated": self.repeated,
            "period_ms": self.period_ms,
            "arrival_ms": self.arrival_ms,
            "last": {kind: frame_as_json(frame, message) for kind, (frame, message, _) in self.last.items()},
        }


class Listener(Closing):
    """A port opened for listening; a context manager. Closing is idempotent.

    It owns the port meanwhile: `rtu-edge estop` finds this process and takes the port from it.

    Args:
        url: a device's path, or a pyserial URL.
        baud: bits per second.
        silent: write nothing; a device that has been running for a while then does not identify itself.

    Raises:
        DeviceError: the port cannot be opened, or has an owner.
    """

    def __init__(self, url: str, baud: int = 1_000_000, *, silent: bool = False) -> None:
        self.url = url
        self._lock = lock_port(url)
        try:
            self._port = open_port(url, baud)
        except DeviceError:
            self._lock.release()
            raise
        self.notes = list(self._port.notes)
        self._silent = silent
        self._decoder = protocol.Decoder()
        self._begin_s = time.monotonic()
        self._asked_s = -_ASK_AGAIN_S
        self._known = False
        self._arrived: dict[str, Any] = {"bytes": 0, "damaged": 0, "echoes": 0, "others": 0, "first": b""}
        self._frames: Counter[str] = Counter()
        self._last: dict[str, tuple[protocol.Frame, protocol.Message | None, float]] = {}
        self._recent: deque[tuple[float, str, int, int]] = deque()  # at, type, bytes (nearly), device's time
        self._bytes: deque[tuple[float, int]] = deque()
        self._seq: int | None = None
        self._lost = self._repeated = 0

    def listen(self, seconds: float) -> Iterator[tuple[protocol.Frame, protocol.Message | None]]:
        """Frames as they arrive, for a given time.

        Raises:
            DeviceError: the port is gone.
        """
        end_s = time.monotonic() + seconds
        while True:
            self._ask()
            left_s = end_s - time.monotonic()
            if left_s <= 0:
                return
            if not select.select([self._port.fileno()], [], [], min(left_s, 0.1))[0]:
                continue
            try:
                data = os.read(self._port.fileno(), 65536)
            except BlockingIOError:
                continue
            except OSError as error:
                raise DeviceError(f"{self.url}: the port is gone: {error.strerror}") from error
            if not data:
                raise DeviceError(f"{self.url}: the port is gone")
            yield from self._take(data, time.monotonic())

    def _ask(self) -> None:
        now_s = time.monotonic()
        if self._silent or self._known or now_s - self._asked_s < _ASK_AGAIN_S:
            return
        self._asked_s = now_s
        try:
            os.write(self._port.fileno(), b"\0" + protocol.encode(_QUESTION))
        except OSError as error:
            raise DeviceError(f"{self.url}: the port is gone: {error.strerror}") from error

    def _take(self, data: bytes, now_s: float) -> Iterator[tuple[protocol.Frame, protocol.Message | None]]:
        self._bytes.append((now_s, len(data)))
        self._arrived["bytes"] += len(data)
        self._arrived["first"] = (self._arrived["first"] + data)[:_FIRST_BYTES]
        for frame in self._decoder.feed(data):
            if frame == _QUESTION and not self._silent:
                self._arrived["echoes"] += 1
                continue
            message = protocol.unpack(frame)
            kind = name_of(frame.type)
            self._frames[kind] += 1
            self._last[kind] = (frame, message, now_s)
            self._recent.append((now_s, kind, frame.seq, frame.t_us))
            self._known |= isinstance(message, protocol.Hello)
            self._count_seq(frame, message)
            yield frame, message

    def _count_seq(self, frame: protocol.Frame, message: protocol.Message | None) -> None:
        armed = (
            isinstance(message, protocol.Ack)
            and message.type == protocol.FrameType.ARM
            and message.status == protocol.Status.OK
        )
        if self._seq is not None and not armed:
            ahead = (frame.seq - self._seq) & 0xFFFF
            if ahead == 0 or ahead > 0xFF00:
                self._repeated += 1
                return
            self._lost += ahead - 1 if ahead <= _GAP_MAX else 0
        self._seq = frame.seq

    def heard(self) -> Heard:
        """The received data so far."""
        now_s = time.monotonic()
        for kept in (self._recent, self._bytes):
            while kept and kept[0][0] < now_s - _WINDOW_S:
                kept.popleft()
        window_s = max(1e-3, min(_WINDOW_S, now_s - self._begin_s))
        rates = Counter(kind for _, kind, _, _ in self._recent)
        states = [(at_s, t_us) for at_s, kind, _, t_us in self._recent if kind == "STATE"]
        pairs = list(itertools.pairwise(states))
        return Heard(
            seconds=now_s - self._begin_s,
            frames=dict(self._frames),
            last=dict(self._last),
            frames_per_s={kind: rates[kind] / window_s for kind in self._frames},
            bytes_per_s=sum(size for _, size in self._bytes) / window_s,
            crc_errors=self._decoder.crc_errors,
            framing_errors=self._decoder.garbled + self._decoder.overlong,
            lost=self._lost,
            repeated=self._repeated,
            period_ms=_spread([((b - a) & 0xFFFFFFFF) / 1e3 for (_, a), (_, b) in pairs]),
            arrival_ms=_spread([(b - a) * 1e3 for (a, _), (b, _) in pairs]),
        )

    @property
    def unanswered(self) -> str:
        """If no frame has arrived: the received input, and what to check."""
        return explanation(self._arrived)

    def close(self) -> None:
        """Release the port."""
        self._port.close()
        self._lock.release()


def _spread(values: list[float]) -> tuple[float, float, float] | None:
    if not values:
        return None
    values.sort()
    low, middle, high = (round(value, 3) for value in (values[0], values[len(values) // 2], values[-1]))
    return low, middle, high


def name_of(value: Any) -> str:
    """A member's name, or the number if it has none."""
    if isinstance(value, enum.Flag):
        return "+".join(str(member.name) for member in type(value) if member in value) or "-"
    return str(value.name) if isinstance(value, enum.Enum) else f"{int(value):02x}"


def text_of(message: protocol.Message | None) -> str:
    """A message in one line: names and values, without unset ones."""
    if message is None:
        return "unknown, or of another size than its type"
    if isinstance(message, protocol.Log):
        return message.text
    if isinstance(message, protocol.State):
        return _state(message)
    return "  ".join(f"{field.name} {_field(field.name, getattr(message, field.name))}" for field in fields(message))


def _field(name: str, value: Any) -> str:
    """A value; hashes and boot numbers as everywhere else, in hexadecimal."""
    return f"{value:08x}" if name in ("schema_hash", "boot_id") else _value(value)


def _state(state: protocol.State) -> str:
    """What moves first."""
    answers = (
        "no command" if state.cmd_age_ms == _AGE_NONE else f"command {state.last_cmd_seq}, {state.cmd_age_ms} ms old"
    )
    said = [name_of(state.state), f"x {_value(state.x)}", f"u {_value(state.u)}", f"episode {state.episode}"]
    said += [name_of(state.epflags & ~protocol.Episode.REWARD)] if state.epflags & ~protocol.Episode.REWARD else []
    said += [f"reward {state.reward:.5g}"] if state.epflags & protocol.Episode.REWARD else []
    said += [answers] + ([f"fault {name_of(state.fault)}"] if state.fault else [])
    return "  ".join(said)


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return "[" + " ".join(f"{number:.5g}" for number in value) + "]"
    if isinstance(value, enum.Enum):
        return name_of(value)
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def frame_as_json(frame: protocol.Frame, message: protocol.Message | None) -> dict[str, Any]:
    """A frame and its message in JSON types."""
    said: dict[str, Any] = {"type": name_of(frame.type), "seq": frame.seq, "t_us": frame.t_us}
    if message is None:
        return said | {"payload": frame.payload.hex()}
    for field in fields(message):
        value = getattr(message, field.name)
        said[field.name if field.name != "type" else "answers"] = (
            name_of(value) if isinstance(value, enum.Enum) else value
        )
    return said
