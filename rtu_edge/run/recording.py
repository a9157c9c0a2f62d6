"""The records of a run: the log, on a separate thread, and the black box."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import errno
import platform
import queue
import threading
import time
from typing import TYPE_CHECKING, Any

import msgspec
import numpy.typing as npt

from rtu_edge import _core
from rtu_edge._base.closing import Closing
from rtu_edge._base.errors import cause_of
from rtu_edge._base.version import __version__
from rtu_edge.config import Config, canonical, config_hash
from rtu_edge.learn.checkpoint import encode_config, stored_config
from rtu_edge.loop import Loop, LoopConfig, LoopResult
from rtu_edge.record import RunFolder, leftovers
from rtu_edge.record.blackbox import BlackBox
from rtu_edge.record.file import LogFile, build_id
from rtu_edge.record.head import Head, fields_of, logged_limits

if TYPE_CHECKING:
    from rtu_edge.device.schema import Limits
    from rtu_edge.run.connection import Connection

__all__ = ["Recording", "Writer"]

Array = npt.NDArray[Any]

CHUNK_S = 1.0
# The growing log leaves this much space: checkpoints are worth more than the log.
_CHECKPOINTS = 8
# Records that may wait for the writer; at 1 kHz about four minutes.
WAITING = 1 << 18


class Writer:
    """Writes a log on a separate thread; records beyond the queue's limit are dropped, and recorded as lost in the log.

    Args:
        file: opened.
        chunk_s: s; between two chunks.
        waiting: queue limit in records.
        reserve: bytes of the disk left to others: with less free space the log ends.
    """

    def __init__(self, file: LogFile, chunk_s: float = CHUNK_S, waiting: int = WAITING, reserve: int = 0) -> None:
        self._file = file
        self._reserve = reserve
        self._chunk_s = chunk_s
        self._room = waiting
        self._handed = 0  # by the caller's thread
        self._taken = 0  # by ours
        self._queue: queue.SimpleQueue[tuple[Array, Array] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="rtu-log", daemon=True)
        self.dropped = 0
        self.problem = ""
        self.cpu_s = 0.0  # of the thread, for all that it has written
        self._thread.start()

    def add(self, records: Array, episodes: Array) -> None:
        """Hand records over; returns at once."""
        if self._handed - self._taken + len(records) > self._room or self.problem:
            self.dropped += len(records)
            return
        self._handed += len(records)
        self._queue.put((records, episodes))

    def close(self, end: dict[str, str] | None) -> None:
        """Write the queue, the run's result, and the index."""
        self._queue.put(None)
        self._thread.join()
        if not self.problem:
            self._guarded(lambda: self._file.close({**end, "dropped": str(self.dropped)} if end is not None else None))
        self._file.abandon()  # after a problem: a finished run holds no file open

    def _serve(self) -> None:
        flushed = time.monotonic()
        while True:
            with contextlib.suppress(queue.Empty):
                item = self._queue.get(timeout=self._chunk_s)
                if item is None:
                    break
                self._guarded(lambda given=item: self._write(*given))
                self._taken += len(item[0])
            if time.monotonic() - flushed >= self._chunk_s and not self.problem:
                self._guarded(self._flush)
                flushed = time.monotonic()
            self.cpu_s = time.thread_time()

    def _write(self, records: Array, episodes: Array) -> None:
        self._file.steps(records)
        self._file.episodes(episodes)

    def _flush(self) -> None:
        self._file.flush()
        if self._file.free_bytes() < self._reserve:
            raise OSError(errno.ENOSPC, f"the last {self._reserve >> 10:,} KiB of the disk are for checkpoints")

    def _guarded(self, work: Any) -> None:
        """A full disk ends the log, not the run."""
        try:
            work()
        except OSError as error:
            self.problem = cause_of(error)


class Recording(Closing):
    """The outputs configured in `[log]` for one loop; a context manager. Closing is idempotent.

    Args:
        settings: the run's configuration.
        connection: the device.
        agent: at the start of the loop.
        folder: folder of the files.
        supervisor: the initial state of the agent's supervisor; b"" for a new one.
        stage: of a run with several sessions: its log has this in its name, and there is no black box.
    """

    def __init__(
        self,
        settings: Config,
        connection: Connection,
        agent: Any,
        folder: RunFolder,
        supervisor: bytes = b"",
        stage: str = "",
    ) -> None:
        self._settings, self._connection, self._agent, self._folder = settings, connection, agent, folder
        self._supervisor, self._stage = supervisor, stage
        self._path = folder.log(stage)
        self._writer: Writer | None = None
        self._box: BlackBox | None = None
        self.notes: list[str] = []

    def prepare(self, config: LoopConfig) -> LoopConfig:
        """Open the loop's own outputs; everything is ready before it arms."""
        log = self._settings.log
        config = dataclasses.replace(config, hash_every=log.hash_every)
        if log.blackbox_minutes > 0 and not self._stage:
            leftovers.clear()
            slots = max(1, round(log.blackbox_minutes * 60 / self._connection.sheet.period_s))
            head = self._head(config, config.session or self._connection.link.next_session, [], False)
            self._box = BlackBox(self._folder.file(RunFolder.BLACKBOX), head, slots)
            if self._box.tail is None:
                self.notes.append("black box: no memory file system at /dev/shm; a crash loses the last 20 ms")
            config = dataclasses.replace(config, black_box=self._box)
        return config

    def start(self, loop: Loop, *, supervised: bool = False) -> None:
        """Start the log of this loop, before the loop starts."""
        if not self._settings.log.mcap:
            return
        head = self._head(loop.config, loop.session, loop.limits, supervised)
        start = self._agent.core.save(encode_config(self._agent.config), self._supervisor)
        file = LogFile(self._path, head, start, _core.episode_dtype())
        self._writer = Writer(file, reserve=_CHECKPOINTS * len(start))

    def add(self, records: Array, episodes: Array) -> None:
        """Add records and episodes of the loop."""
        if self._writer is not None:
            self._writer.add(records, episodes)

    def finish(self, result: LoopResult) -> None:
        """Close both with the loop's result."""
        end = {
            "reason": result.reason.value,
            "message": result.message,
            "steps": str(result.steps),
            "state_hash": str(self._agent.state_hash()),
            "counters": msgspec.json.encode(result.counters).decode(),
        }
        self.close(end)

    def close(self, end: dict[str, str] | None = None) -> None:
        """Close both."""
        if self._writer is not None:
            self._writer.close(end)
            path, dropped = self._path, f"{self._writer.dropped:,} records dropped"
            if self._writer.problem:
                self.notes.append(f"log: {path}: {self._writer.problem}; {dropped}")
            elif self._writer.dropped:
                self.notes.append(f"log: {dropped}, the writer could not keep up")
            self._writer = None
        if self._box is not None:
            self._box.close()
            if self._box.lost:
                self.notes.append(f"black box: {self._box.lost:,} records lost, the disk could not keep up")
            if self._box.problem:
                self.notes.append(f"black box: {self._box.path}: {self._box.problem}")
            self._box = None

    def _head(
        self,
        config: LoopConfig,
        session: int,
        limits: list[Limits],
        supervised: bool,
    ) -> Head:
        device = self._connection
        dtype = _core.record_dtype(device.sheet.observation_size, device.sheet.action_size)
        return Head(
            version=__version__,
            build=build_id(),
            isa=_core.isa,
            host=f"{platform.system()} {platform.release()}, {platform.machine()}",
            configuration=canonical(self._settings),
            configuration_hash=config_hash(self._settings),
            learner=stored_config(self._agent.config),
            checkpoint_format=_core.checkpoint_version,
            start_hash=self._agent.state_hash(),
            period_s=device.sheet.period_s,
            observations=list(device.sheet.observations),
            actuators=list(device.sheet.actuators),
            limits=logged_limits(limits),
            supervised=supervised,
            simulated=device.hello.simulated,
            command_limiter=config.command_limiter,
            dry_run=config.dry_run,
            session=session,
            clock=config.clock.value,
            hash_every=config.hash_every,
            record=fields_of(dtype),
            record_bytes=dtype.itemsize,
            epoch_ns=max(time.time_ns(), 0) - time.monotonic_ns(),  # below 0 where the wall clock is behind the uptime
            started=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds"),
        )
