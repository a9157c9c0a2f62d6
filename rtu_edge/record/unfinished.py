"""Folders without summary.json: an interrupted run, a session of a service, or a service's folder."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rtu_edge._base.errors import CheckpointError
from rtu_edge.learn import checkpoint
from rtu_edge.record.folder import RunFolder
from rtu_edge.record.sessions import Sessions
from rtu_edge.record.stages import stages

__all__ = ["Known", "what_it_is"]


@dataclass
class Known:
    """A folder and its contents.

    Args:
        kind: "interrupted", "session" or "service".
        title: description of the folder.
        facts: name -> value; of the checkpoint, the events and the log.
        files: name -> bytes.
        holds: name of a file -> description of its contents.
        next: commands for the next step, in sentences.
    """

    kind: str
    title: str
    path: Path
    facts: dict[str, Any] = field(default_factory=dict)
    files: dict[str, int] = field(default_factory=dict)
    holds: dict[str, str] = field(default_factory=dict)
    next: list[str] = field(default_factory=list)


def what_it_is(folder: RunFolder) -> Known | None:
    """The folder of a run that has no summary.json; None if it is not one.

    A log or checkpoint that is damaged is reported in `holds`.
    """
    path, name = folder.path, shlex.quote(str(folder.path))
    has = {key: folder.file(key).is_file() for key in (folder.CONFIG, folder.CHECKPOINT, folder.LOG, folder.BLACKBOX)}
    sessions = Sessions(path, 0).all()
    if sessions or (has[folder.CHECKPOINT] and not has[folder.CONFIG]):
        known = Known("service", "the folder of a service: its learner and its sessions", path)
        known.facts["sessions"] = len(sessions)
        known.next += [f"rtu-edge inspect {shlex.quote(str(sessions[-1]))} shows its last session"] if sessions else []
    elif has[folder.CONFIG] and has[folder.CHECKPOINT]:
        known = Known("interrupted", "a run without a summary: it was interrupted, or it is still running", path)
        known.next.append(f"rtu-edge run --resume {name} continues it")
    elif has[folder.CONFIG] and (has[folder.LOG] or has[folder.BLACKBOX]):
        known = Known("session", "a session of a service, or a run that was interrupted as it started", path)
    else:
        return None
    known.files = {file.name: file.lstat().st_size for file in sorted(path.iterdir()) if file.is_file()}
    _events(folder, known)
    if has[folder.CHECKPOINT]:
        _checkpoint(folder, known)
        known.next.append(f"rtu-edge ckpt ls {name} lists its checkpoints")
    if _logs(folder, known):
        known.next.append(f"rtu-edge log repair {name} completes its log")
    if has[folder.BLACKBOX]:
        known.next.append(f"rtu-edge blackbox {name} shows its last seconds")
    return known


def _events(folder: RunFolder, known: Known) -> None:
    events = folder.events()
    if events:
        last = events[-1]
        known.facts["started"] = events[0].get("utc")
        known.facts["last_event"] = f"{last.get('event')}, {last.get('utc')}"


def _checkpoint(folder: RunFolder, known: Known) -> None:
    path = folder.file(folder.CHECKPOINT)
    try:
        _, run = checkpoint.read_text(checkpoint.read_bytes(path), path)
    except CheckpointError as error:
        known.holds[path.name] = str(error).removeprefix(f"{path}: ")
        return
    numbers = {key: run[key] for key in ("steps", "episodes") if isinstance(run.get(key), int)}
    known.facts |= numbers
    known.holds[path.name] = ", ".join(f"{value:,} {key}" for key, value in numbers.items())


def _logs(folder: RunFolder, known: Known) -> bool:
    """Whether a log is cut."""
    try:
        found = stages(folder).values()
    except (ValueError, OSError) as error:
        known.holds[folder.LOG] = str(error).removeprefix(f"{folder.log()}: ")
        return False
    for steps in found:
        cut = f"; cut: {steps.cut}" if steps.cut else ""
        known.holds[steps.path.name] = f"{steps.record_count:,} records, {steps.episode_count:,} episodes{cut}"
    return any(steps.cut for steps in found)
