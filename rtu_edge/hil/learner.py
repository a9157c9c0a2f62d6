"""The host's side of a learner on the board itself: docs/protocol_learner.md."""

from __future__ import annotations

import contextlib
import math
import struct
import time
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from rtu_edge._base.closing import Closing
from rtu_edge._base.errors import ConfigError, DeviceError
from rtu_edge._base.validation import check_int, check_number
from rtu_edge._bridge import lib
from rtu_edge.device import protocol
from rtu_edge.device.ports import DEFAULT_BAUD, open_port
from rtu_edge.loop import MonitorFlag

if TYPE_CHECKING:
    from rtu_edge.learn.stream_ac import StreamAC

_Answer = TypeVar("_Answer", protocol.Hello, protocol.Ack, protocol.Pong)

_WORD = 2**32 - 1

__all__ = ["SETTINGS", "SHARED_SETTINGS", "BoardLearner", "LearnerStatus", "Update", "replay"]

# Arguments of StreamAC for the learner that the board has (firmware_bridge/boards/stm32f405/learner_model.h).
SETTINGS: dict[str, Any] = {
    "observation_size": 2,
    "action_size": 1,
    "units": 16,
    "hidden": 16,
    "body": "separate",
    "gamma": 0.99,
    "trace_decay": 0.9,
    "actor": {"kappa": 2.0},
    "critic": {"kappa": 3.0},
    "actor_warmup": 0,
    "sigma_floor": 0.0,
    "exploration_correlation": 0.0,
}

# The same of the image with one body for actor and critic.
SHARED_SETTINGS: dict[str, Any] = {**SETTINGS, "body": "shared", "actor_warmup": 2000}


@dataclass(frozen=True)
class LearnerStatus:
    """Status of a board's learner.

    Args:
        running: it is learning; otherwise its memory may be read and written.
        driving: it drives the board's own plant in real time (BoardLearner.drive).
        steps, limit, episodes: control steps since INIT, their total limit, and completed episodes.
        last_return, mean_return: of the last episode, and of the last 20.
        value, delta: of the last step.
        arena_bytes: B; the learner's memory.
        observations, actions: of the learner.
        saved: number of the newest checkpoint in flash; 0: there is none.
        late: control steps since INIT that took longer than the plant's period.
        monitored: the firmware has the learner monitor; without it the following are 0 and False.
        frozen: too many rollbacks in a row; it learns again after init() or the upload of another memory.
        findings: all since INIT, the last start, or the last upload.
        rollbacks, validated: rollbacks, and validated snapshots, since then.
    """

    running: bool
    steps: int
    limit: int
    episodes: int
    last_return: float
    mean_return: float
    value: float
    delta: float
    arena_bytes: int
    observations: int
    actions: int
    saved: int
    late: int
    driving: bool
    monitored: bool
    frozen: bool
    findings: MonitorFlag
    rollbacks: int
    validated: int

    @classmethod
    def read(cls, body: bytes) -> LearnerStatus:
        """From a STATUS without its head."""
        running, *rest = struct.unpack_from("<4I4fI2B2xI", body)
        bits, found, rollbacks, validated, late = struct.unpack_from("<BBHII", body, 44)
        driving, monitored, frozen = (
            bool(bits & bit) for bit in (lib.TL_LEARNER_DRIVING, lib.TL_LEARNER_MONITORED, lib.TL_LEARNER_FROZEN)
        )
        values = (bool(running), *rest, late, driving, monitored, frozen, MonitorFlag(found), rollbacks, validated)
        return cls(*values)


@dataclass(frozen=True)
class Update:
    """What one update of a board's learner was made of.

    Args:
        first: an episode begins with this observation; there is no reward.
        terminated, truncated: the episode ends with it.
        steps: control steps since INIT, before this one.
        reward: of the transition into the observation.
        action: in [-1, 1], after the observation.
        observation: (observation_size,)
        applied: what limits left of the action before, in [-1, 1]; None: all of it.
    """

    first: bool
    terminated: bool
    truncated: bool
    steps: int
    reward: float
    action: float
    observation: npt.NDArray[np.float32]
    applied: float | None = None

    @classmethod
    def read(cls, payload: bytes) -> Update:
        """From a RECORD."""
        flags, steps, reward, action = struct.unpack_from("<xB2xIff", payload)
        first, terminated, truncated = (
            bool(flags & bit) for bit in (lib.TL_LEARNER_FIRST, lib.TL_LEARNER_TERMINATED, lib.TL_LEARNER_TRUNCATED)
        )
        values = np.frombuffer(payload, np.float32, -1, 16)
        limited = bool(flags & lib.TL_LEARNER_LIMITED)
        observation, applied = (values[:-1], float(values[-1])) if limited else (values, None)
        return cls(first, terminated, truncated, steps, reward, action, observation, applied)


def replay(agent: StreamAC, updates: Iterable[Update]) -> int:
    """Make the same updates with an agent of this host; return how many of its actions had other bits.

    With the board's configuration and seed, or its state at the beginning, and RTU_EDGE_ISA=scalar it is 0, and the
    agent's state has the board's bits at the end. There is no plant: the host needs no model of it.

    Args:
        agent: of the board's configuration.
        updates: in sequence; the first one begins an episode.
    """
    other = 0
    for update in updates:
        if update.first:
            action = agent.reset(update.observation)
        else:
            action = agent.predict(update.observation)
            applied = None if update.applied is None else np.array([update.applied], np.float32)
            agent.update(update.reward, terminated=update.terminated, truncated=update.truncated, applied=applied)
        other += np.float32(action[0]).tobytes() != np.float32(update.action).tobytes()
    return other


class BoardLearner(Closing):
    """Access to the learner on a board; a context manager.

    Args:
        port: a device's path.
        baud: for a real line.
        answer_s: s; timeout of an answer, including a step of the learner.

    `updates` has what the board has reported since record(True).

    Raises:
        ConfigError: an argument is out of range; nothing has been sent.
        DeviceError: the port cannot be opened, or there is no answer. Each call raises it without an answer, or if the
            port is lost.
    """

    def __init__(self, port: str, *, baud: int = DEFAULT_BAUD, answer_s: float = 5.0) -> None:
        self._answer_s = check_number("answer_s", answer_s, 0.0, 3600.0, open_low=True)
        self._decoder = protocol.Decoder()
        self._waiting: list[protocol.Frame] = []
        self.updates: list[Update] = []
        self._port = open_port(port, baud)
        try:
            self._write(b"\0")
            self._boot()
        except BaseException:
            self.close()
            raise

    def init(self, seed: int) -> LearnerStatus:
        """Initialise a new learner from seed (0 to 2^32 - 1), replacing the current one."""
        return self._ask(lib.TL_LEARNER_INIT, check_int("seed", seed, 0, _WORD))

    def status(self) -> LearnerStatus:
        """How it goes."""
        return self._ask(lib.TL_LEARNER_STATUS)

    def stop(self) -> LearnerStatus:
        """Stop learning; the memory may then be read and written."""
        return self._ask(lib.TL_LEARNER_STOP)

    def run(self, steps: int, silence_s: float = 60.0) -> Iterator[LearnerStatus]:
        """Learn until a number of control steps since init(); yields the board's status meanwhile.

        In the last status `running` is False. Consecutive ones are at most 20 episodes apart.
        """
        limit = check_int("steps", steps, 0, _WORD)
        return self._running(limit, check_number("silence_s", silence_s, 0.0, math.inf, open_low=True))

    def _running(self, limit: int, silence_s: float) -> Iterator[LearnerStatus]:
        status = self._ask(lib.TL_LEARNER_RUN, limit)
        yield status
        while status.running:
            status = self._status(silence_s)
            yield status

    def drive(
        self, *, silence_s: float = 1.0, ttl_s: float = 0.0, real: bool = False
    ) -> Generator[LearnerStatus, None, None]:
        """Arm the board; its learner drives the board's own plant in real time and learns; yields its status.

        Its commands pass the checks, limits and timeouts of the board's bridge as those of a host do, and it learns
        from what was applied. It ends when the session does (ESTOP, a fault, a limit), when a command comes too late,
        when it is frozen, after stop(), or when the iterator is closed, which disarms.

        Args:
            silence_s: s, 0.001 to 10; without this host for so long the learner stops. The host calls four times as
                often.
            ttl_s: s, up to 65.535; a command that is not there so long after its observation is refused, and the
                board goes to SAFE; 0: two periods.
            real: confirms that the plant may move, for one that is not simulated.

        Raises:
            DeviceError: the board does not arm, the plant is not simulated, or the learner does not drive it: it is
                running or frozen, or the plant has other numbers of observations or actuators.
        """
        silence = round(check_number("silence_s", silence_s, 0.001, lib.TL_LEARNER_SILENCE_MAX_MS / 1000) * 1000)
        ttl = math.ceil(check_number("ttl_s", ttl_s, 0.0, 65.535) * 1000)
        return self._driving(silence, ttl, real)

    def _driving(self, silence_ms: int, ttl_ms: int, real: bool) -> Generator[LearnerStatus, None, None]:
        status = self._idle()
        hello = self._tell(protocol.Hello(), protocol.Hello)
        if not real and not hello.caps & protocol.Cap.SIMULATED:
            raise DeviceError(f"{self._port.url}: the plant is not simulated; real=True confirms that it may move")
        session = hello.last_session % 0xFFFFFFFF + 1
        ask = struct.pack("<IHH", session, silence_ms, ttl_ms)
        try:
            ack = self._tell(protocol.Arm(session), protocol.Ack)
            if ack.status != protocol.Status.OK:
                raise DeviceError(f"{self._port.url}: the board does not arm: {protocol.Status(ack.status).name}")
            self._send(lib.TL_LEARNER_DRIVE, ask)
            status = self._status(self._answer_s)
            if not status.driving:
                reason = "it is frozen; call init() or upload() first"
                if not status.frozen:
                    reason = (
                        f"the session has ended, or the plant has other than the learner's {status.observations} "
                        f"observations and {status.actions} actuators"
                    )
                raise DeviceError(f"{self._port.url}: the learner does not drive: {reason}")
            while status.driving:
                yield status
                with contextlib.suppress(DeviceError):
                    status = self._status(silence_ms / 4000)
                    if not status.driving:
                        break
                self._send(lib.TL_LEARNER_DRIVE, ask)
                status = self._status(self._answer_s)
            yield status
        finally:
            self._write(protocol.encode(protocol.pack(protocol.Disarm())))
            self.stop()

    def record(self, on: bool) -> LearnerStatus:
        """Let the board report each update, for replay(); it waits for the line, so that none is lost.

        Ask before init(), whose first observation is reported as well.
        """
        return self._ask(lib.TL_LEARNER_RECORD, int(on))

    def download(self) -> bytes:
        """The learner's memory, one lane wide, in the layout of the arena (native/core/arena.h)."""
        size, arena = self._idle().arena_bytes, b""
        while len(arena) < size:
            self._send(
                lib.TL_LEARNER_READ, struct.pack("<II", len(arena), min(lib.TL_LEARNER_CHUNK, size - len(arena)))
            )
            body = self._next(lib.TL_LEARNER_BYTES, self._answer_s)
            if struct.unpack_from("<I", body) != (len(arena),):
                raise DeviceError(f"{self._port.url}: bytes of another offset in the learner's memory")
            arena += body[4:]
        return arena

    def upload(self, arena: bytes) -> None:
        """Write the whole memory; the next run() starts with a new episode."""
        size = self._idle().arena_bytes
        if len(arena) != size:
            raise ConfigError(f"arena: {len(arena)} bytes: the board's learner has {size}")
        for at in range(0, len(arena), lib.TL_LEARNER_CHUNK):
            self._send(lib.TL_LEARNER_BYTES, struct.pack("<I", at) + arena[at : at + lib.TL_LEARNER_CHUNK])
            self._status(self._answer_s)

    def save(self, every: int = 0) -> LearnerStatus:
        """Write a checkpoint to the board's flash; after a restart the learner continues from the newest one.

        Args:
            every: 0: now. Otherwise at the end of the first episode after each so many control steps, until init().

        The status has a higher `saved` if a checkpoint was written. It is not while the actuators may move, because
        the processor stops meanwhile, nor if the flash is worn out.
        """
        return self._ask(lib.TL_LEARNER_SAVE, check_int("every", every, 0, _WORD))

    def close(self) -> None:
        """Close the port; idempotent."""
        self._port.close()

    def _idle(self) -> LearnerStatus:
        status = self.status()
        if status.running:
            raise DeviceError(f"{self._port.url}: the learner is running; call stop() first")
        return status

    def _boot(self) -> None:
        """Repeat until there is an answer: the board may still be booting."""
        for asked in range(20):
            self._send(lib.TL_LEARNER_STATUS)
            try:
                self._status(0.5)
            except DeviceError:
                continue
            with contextlib.suppress(DeviceError):  # skips late answers to earlier requests
                for _ in range(asked):
                    self._status(0.2)
            return
        raise DeviceError(
            f"{self._port.url}: no learner answers; the image is tl_stm32f405_learner or tl_stm32f405_learner_shared"
        )

    def _tell(self, message: protocol.Message, answer: type[_Answer]) -> _Answer:
        """Send a message to the bridge; return its first answer of this type."""
        self._write(protocol.encode(protocol.pack(message)))
        give_up = time.monotonic() + self._answer_s
        while time.monotonic() < give_up:
            frames = self._decoder.feed(self._read())
            for at, frame in enumerate(frames):
                found = protocol.unpack(frame)
                if isinstance(found, answer):
                    self._waiting += frames[at + 1 :]
                    return found
        raise DeviceError(f"{self._port.url}: no {answer.__name__} within {self._answer_s:g} s")

    def _send(self, op: int, body: bytes = b"") -> None:
        frame = protocol.Frame(protocol.FrameType.LEARNER, payload=bytes([op, 0, 0, 0]) + body)
        self._write(protocol.encode(frame))

    def _ask(self, op: int, *words: int) -> LearnerStatus:
        self._send(op, struct.pack(f"<{len(words)}I", *words))
        return self._status(self._answer_s)

    def _status(self, seconds: float) -> LearnerStatus:
        return LearnerStatus.read(self._next(lib.TL_LEARNER_STATUS, seconds))

    def _next(self, op: int, seconds: float) -> bytes:
        """The payload of the next frame with this op, without its head."""
        give_up = time.monotonic() + seconds
        while time.monotonic() < give_up:
            while self._waiting:
                frame = self._waiting.pop(0)
                if frame.type != protocol.FrameType.LEARNER:
                    continue
                if frame.payload[:1] == bytes([lib.TL_LEARNER_RECORD]):
                    self.updates.append(Update.read(frame.payload))
                elif frame.payload[:1] == bytes([op]):
                    return frame.payload[lib.TL_LEARNER_HEAD :]
            self._waiting += self._decoder.feed(self._read())
        raise DeviceError(f"{self._port.url}: the learner has not answered within {seconds:g} s")

    def _write(self, data: bytes) -> None:
        with self._there():
            self._port.serial.write(data)

    def _read(self) -> bytes:
        with self._there():
            data: bytes = self._port.serial.read(max(1, self._port.serial.in_waiting))
            return data

    @contextlib.contextmanager
    def _there(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DeviceError(f"{self._port.url}: the port is gone: {error}") from error
