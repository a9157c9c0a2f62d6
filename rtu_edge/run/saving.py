"""What a run saves while it goes on, and how it goes on from what was saved."""

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
from rtu_edge.learn import checkpoint, decode
from rtu_edge.learn.checkpoint.slots import Slots
from rtu_edge.loop import Loop, Progress

if TYPE_CHECKING:
    from rtu_edge.config import Checkpoint, Run
    from rtu_edge.run.connection import Connection

__all__ = ["Position", "Saver", "Start", "anew", "device_facts", "going_on", "open_start"]

_LOOK_S = 0.02
_DT_TOLERANCE = 0.2


@dataclass(frozen=True)
class Position:
    """Where a run stands, over all its sessions."""

    steps: int = 0
    episodes: int = 0
    next_episode: int = 1
    episode_steps: int = 0  # of the episode that was under way; 0 at its end
    returns: tuple[float, ...] = ()  # of the last episodes, as many as the target looks at
    seconds: float = 0.0  # that its sessions have taken; the time in between does not count

    def after(self, progress: Progress) -> Position:
        """With a session that began here."""
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
    """What a run begins with.

    Args:
        agent: new, or from a checkpoint.
        position: the beginning, or where the run that goes on stood.
        notes: what there is to say about the checkpoint.
        supervisor: the state of the one that watched it, or b"".
        source: the checkpoint's file; None for a new learner.
    """

    agent: Any
    position: Position = Position()
    notes: tuple[str, ...] = ()
    supervisor: bytes = b""
    source: Path | None = None


class Saver:
    """Saves a run: from a thread of its own while a loop runs, and once more at its end.

    The loop's thread only copies the arena when asked (runtime.Loop.ask_snapshot); a twin of the learner makes the
    checkpoint's bytes of it. A disk that is full or read-only ends nothing, nor does a learner that is not finite,
    which is never saved over a good one: the failure is kept in `complaint`.

    Args:
        slots: where to.
        settings: how often.
        agent: the learner; at rest outside `during`.
        position: where the run stands as the session begins.
        device: what the checkpoint is made for; see device_facts().
        supervisor: around the learner's policy; its state is saved with it.
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
        """Anything is saved before the end."""
        return self._settings.every_s > 0 or self._settings.every_steps > 0

    def complaint(self) -> str:
        """What the first failure was, once, or what is to be known of the disk; "" when there is nothing new."""
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
        """The learner as it is now.

        Raises:
            CheckpointError: it could not be loaded again; what was saved before is as it was.
            OSError: it cannot be written.
        """
        beside = b"" if self._supervisor is None else self._supervisor.state()
        self._write(self.agent, beside, self.position, session)

    def finish(self, progress: Progress, session: int) -> None:
        """The learner after the loop's end; see save()."""
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
                f"{self.slots.current}: not saved: the supervisor's block is {problem}; what was saved before stays"
            )
        run = {**msgspec.to_builtins(position), "session": session, "device": self._device}
        self.slots.save(agent.core.save(checkpoint.encode_config(agent.config, run), beside))
        self.counters["checkpoints"] += 1


def device_facts(device: Connection) -> dict[str, Any]:
    """What a checkpoint keeps of the device it was made for."""
    return {"schema_hash": f"{device.hello.schema_hash:08x}", "period_s": device.sheet.period_s}


def open_start(path: Path, device: Connection, force: bool = False) -> Start:
    """The start from a checkpoint.

    Args:
        path: a checkpoint, or the folder of a run: then its newest whole one; those that are damaged or not finite are
            set aside, and the notes tell why.
        device: the checkpoint has to be made for such a one.
        force: another period or data sheet is taken all the same.

    Raises:
        CheckpointError: none there, or made for another device.
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
    """The start of the run that was interrupted, and not of another one with its learner.

    Raises:
        CheckpointError: there is nothing left to do.
    """
    done = start.position
    if done.steps >= settings.steps:
        raise CheckpointError(
            f"{path}: run.steps = {settings.steps}: must be above the {done.steps} that this run has done; give it"
            " with --set, or name a configuration to begin another run with its learner"
        )
    if 0 < settings.seconds <= done.seconds:
        raise CheckpointError(
            f"{path}: run.seconds = {settings.seconds:g}: must be above the {done.seconds:.1f} that this run has taken;"
            " give it with --set, or name a configuration to begin another run with its learner"
        )
    return start


def anew(start: Start) -> Start:
    """The start of another run with this learner, watched by a new supervisor."""
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
    dt_s = config.get("dt_s")
    if dt_s and abs(dt_s - device.sheet.period_s) > _DT_TOLERANCE * dt_s:
        raise CheckpointError(
            f"{path}: dt_s = {dt_s:g}: made for a period of {dt_s:g} s, the device {device.sheet.period_s:g} s;"
            f" allowed: within {_DT_TOLERANCE:.0%}, or --force"
        )
    own, theirs = made_for.get("schema_hash"), device_facts(device)["schema_hash"]
    if own and own != theirs:
        raise CheckpointError(
            f"{path}: schema_hash = {own}: made for another data sheet; allowed: the device's {theirs}, or --force"
        )
