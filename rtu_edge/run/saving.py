"""Checkpoints during a run, and resuming from them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from rtu_edge import _core
from rtu_edge._base.errors import CheckpointError, cause_of
from rtu_edge._base.validation import period_problem
from rtu_edge.learn import checkpoint, decode
from rtu_edge.learn.checkpoint.slots import Slots
from rtu_edge.loop import Loop, Progress

if TYPE_CHECKING:
    from rtu_edge.config import Checkpoint, Run
    from rtu_edge.run.connection import Connection

__all__ = ["Position", "Saver", "Start", "anew", "device_facts", "going_on", "open_start"]

_LOOK_S = 0.02


@dataclass(frozen=True)
class Position:
    """Progress of a run, over all its sessions."""

    steps: int = 0
    episodes: int = 0
    next_episode: int = 1
    episode_steps: int = 0  # of the current episode; 0 at its end
    returns: tuple[float, ...] = ()  # of the last episodes, as many as the target averages
    seconds: float = 0.0  # total duration of its sessions, without the time in between

    def after(self, progress: Progress) -> Position:
        """Adds a session that started here."""
        return Position(
            self.steps + progress.steps,
            self.episodes + progress.episodes,
            progress.next_episode,
            progress.episode_steps,
            tuple(progress.returns),
            self.seconds + progress.seconds,
        )


@dataclass(frozen=True)
class Start:
    """Initial state of a run.

    Args:
        agent: new, or from a checkpoint.
        position: zero, or the progress of the resumed run.
        notes: notes about the checkpoint.
        supervisor: the state of its supervisor, or b"".
        source: the checkpoint's file; None for a new learner.
    """

    agent: Any
    position: Position = Position()
    notes: tuple[str, ...] = ()
    supervisor: bytes = b""
    source: Path | None = None


class Saver:
    """Saves a run: from a separate thread while a loop runs, and again at its end.

    The loop's thread only copies the arena when asked (runtime.Loop.ask_snapshot); a second instance of the learner
    converts it to a checkpoint. Neither a full or read-only disk nor a learner that is not finite ends the run; such a
    learner never replaces a valid checkpoint. The failure is kept in `complaint`.

    Args:
        slots: the destination.
        settings: the interval.
        agent: the learner; idle outside `during`.
        position: progress of the run at the start of the session.
        device: the device of the checkpoint; see device_facts().
        supervisor: of the learner; its state is saved with it.
    """

    def __init__(
        self,
        slots: Slots,
        settings: Checkpoint,
        agent: Any,
        position: Position,
        device: Mapping[str, Any],
        supervisor: _core.Supervisor | None = None,
    ) -> None:
        self.slots = slots
        self._settings = settings
        self.agent = agent
        self._twin = agent.copy()
        self._device = dict(device)
        self._supervisor = supervisor
        self.position = position
        self.counters = {"checkpoints": 0, "checkpoints_failed": 0, "checkpoint_copy_ns": 0}  # the longest copy
        self._complaint = ""

    @property
    def periodic(self) -> bool:
        """True if checkpoints are saved during the run."""
        return self._settings.every_s > 0 or self._settings.every_steps > 0

    def complaint(self) -> str:
        """The first failure, or a note about the disk, returned once; "" if there is nothing new."""
        text, self._complaint = self._complaint, ""
        return text or self.slots.note()

    @contextmanager
    def during(self, loop: Loop) -> Iterator[None]:
        """Save while the loop runs."""
        over = threading.Event()
        thread = threading.Thread(target=self._watch, args=(loop, over), name="rtu-saver", daemon=True)
        if self.periodic:
            thread.start()
        try:
            yield
        finally:
            over.set()
            if self.periodic:
                thread.join()

    def save(self, session: int = 0) -> None:
        """Save the current learner.

        Raises:
            CheckpointError: it could not be loaded again; earlier checkpoints are unchanged.
            OSError: it cannot be written.
        """
        beside = b"" if self._supervisor is None else self._supervisor.state()
        self._write(self.agent, beside, self.position, session)

    def finish(self, progress: Progress, session: int) -> None:
        """Save the learner after the loop's end; see save()."""
        self.position = self.position.after(progress)
        self.save(session)

    def _watch(self, loop: Loop, over: threading.Event) -> None:
        settings, begun_s, begun_steps, asked = self._settings, time.monotonic(), 0, False
        while not over.wait(_LOOK_S):
            late = settings.every_s > 0 and time.monotonic() - begun_s >= settings.every_s
            far = settings.every_steps > 0 and loop.steps - begun_steps >= settings.every_steps
            if not asked and (late or far):
                loop.ask_snapshot()
                asked = True
            taken = loop.take_snapshot() if asked else None
            if taken is None:
                continue
            asked, begun_s, begun_steps = False, time.monotonic(), taken.progress.steps
            self.counters["checkpoint_copy_ns"] = max(self.counters["checkpoint_copy_ns"], taken.copy_ns)
            self._twin.core.adopt(taken.arena)
            beside = b"" if self._supervisor is None else self._supervisor.encode(taken.beside)
            try:
                self._write(self._twin, beside, self.position.after(taken.progress), loop.session)
            except (OSError, CheckpointError) as error:
                if not self.counters["checkpoints_failed"]:
                    self._complaint = f"{self._reason(error)}; the run continues"
                self.counters["checkpoints_failed"] += 1

    def _reason(self, error: OSError | CheckpointError) -> str:
        return (
            str(error) if isinstance(error, CheckpointError) else f"{self.slots.current}: not saved: {cause_of(error)}"
        )

    def _write(self, agent: Any, beside: bytes, position: Position, session: int) -> None:
        problem = "" if self._supervisor is None else self._supervisor.check(beside)
        if problem:
            raise CheckpointError(
                f"{self.slots.current}: not saved: the supervisor's block is {problem}; earlier checkpoints are kept"
            )
        run = {**msgspec.to_builtins(position), "session": session, "device": self._device}
        self.slots.save(agent.core.save(checkpoint.encode_config(agent.config, run), beside))
        self.counters["checkpoints"] += 1


def device_facts(device: Connection) -> dict[str, Any]:
    """The description of its device in a checkpoint."""
    hellos = [device.hello, *(each.link.hello for each in device.companions)]
    return {"schema_hash": "+".join(f"{each.schema_hash:08x}" for each in hellos), "period_s": device.sheet.period_s}


def open_start(path: Path, device: Connection, force: bool = False) -> Start:
    """The start from a checkpoint.

    Args:
        path: a checkpoint, or the folder of a run: then its newest valid one; damaged or non-finite ones are skipped,
        with the reason in the notes. device: the checkpoint must be for such a device.
        force: accept another period or data sheet.

    Raises:
        CheckpointError: there is none, or it is for another device.
        OSError: a file cannot be read.
    """
    notes: list[str] = []
    if path.is_dir():
        notes = Slots(path).set_aside()
        stored = Slots(path).newest()
        path, data = stored.path, stored.data
    else:
        data = checkpoint.read_bytes(path)
    agent = decode(data, path)
    run = checkpoint.read_text(data, path)[1]
    made_for = run.get("device", {})
    _check_device(path, agent.config, made_for if isinstance(made_for, dict) else {}, device, force)
    try:
        position = msgspec.convert({key: run[key] for key in run if key in Position.__dataclass_fields__}, Position)
    except msgspec.ValidationError as error:
        raise CheckpointError(f"{path}: run: {error}") from error
    return Start(agent, position, tuple(notes), checkpoint.read_beside(data), path)


def going_on(start: Start, settings: Run, path: Path) -> Start:
    """The start to resume the interrupted run itself, not a new run with its learner.

    Raises:
        CheckpointError: the run is already complete.
    """
    done = start.position
    if done.steps >= settings.steps:
        raise CheckpointError(
            f"{path}: run.steps = {settings.steps}: must be above the {done.steps} that this run has done, which count;"
            f" give --steps of {done.steps + 1} or more, or name a configuration to begin another run with its learner"
        )
    if 0 < settings.seconds <= done.seconds:
        raise CheckpointError(
            f"{path}: run.seconds = {settings.seconds:g}: must be above the {done.seconds:.1f} that this run has taken;"
            " give more with --set, or name a configuration to begin another run with its learner"
        )
    return start


def anew(start: Start) -> Start:
    """The start of a new run with this learner and a new supervisor."""
    return replace(start, position=Position(), supervisor=b"")


def _check_device(
    path: Path, config: Mapping[str, Any], made_for: Mapping[str, Any], device: Connection, force: bool
) -> None:
    observations, actuators = device.sheet.observation_size, device.sheet.action_size
    found = [
        ("observations", config.get("observation_size"), observations),
        ("actuators", config.get("action_size") or 1, actuators),
    ]
    for name, own, theirs in found:
        if own != theirs:
            raise CheckpointError(f"{path}: made for {own} {name}, the device has {theirs}")
    if force:
        return
    if problem := period_problem(config.get("dt_s"), "the device", device.sheet.period_s, "--force"):
        raise CheckpointError(f"{path}: {problem}")
    own, theirs = made_for.get("schema_hash"), device_facts(device)["schema_hash"]
    if own and own != theirs:
        raise CheckpointError(
            f"{path}: schema_hash = {own}: made for another data sheet; allowed: the device's {theirs}, or --force"
        )
