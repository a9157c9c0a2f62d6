"""The folder of a run: configuration, events, log, checkpoint, export, report.

runs/NAME/config.toml      the configuration in canonical form, with its hash
runs/NAME/events.jsonl     events with their time, one JSON object per line
runs/NAME/log.mcap         every step and episode, for reports, viewers and replays; of a run with
                           several sessions, such as the demo, log-learning.mcap and so on
runs/NAME/blackbox.rtubox  the last minutes, also after a crash
runs/NAME/summary.json     results, checks, device, learner, plant
runs/NAME/checkpoint.rtu   the learner state; checkpoint.N.rtu: earlier ones
runs/NAME/policy.onnx      the exported policy
runs/NAME/report.html      everything on one page
"""

from __future__ import annotations

import contextlib
import datetime
import json
import math
import os
import platform
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from rtu_edge._base import files, old_names
from rtu_edge._base.closing import Closing
from rtu_edge._base.untrusted import TEXT_BYTES, open_regular, parse_json, read_file, to_json
from rtu_edge._base.version import __version__
from rtu_edge.device.schema import Channel
from rtu_edge.learn.checkpoint.slots import Slots

__all__ = ["Check", "RunFolder", "Stage", "Summary", "host_facts", "resident_bytes"]


_EVENT_BYTES = 4 << 20  # of events.jsonl; a run writes some 200 bytes an hour


class Check(msgspec.Struct, frozen=True):
    """A check of a run."""

    title: str
    passed: bool
    measured: str
    required: str


class Stage(msgspec.Struct, frozen=True):
    """One session with the device, or another part of a run."""

    steps: int = 0
    episodes: int = 0
    seconds: float = 0.0
    reason: str = ""
    message: str = ""
    mean_return: float | None = None
    counters: dict[str, int] = {}
    link: dict[str, float] = {}  # the known values of LinkQuality
    privileges: list[str] = []
    # Samples of the policy: step, sigma (None: discrete actions), entropy in nats.
    exploration: list[tuple[float, float | None, float | None]] = []
    findings: dict[str, int] = {}  # of StreamAC.findings, at the end

    @property
    def steps_per_s(self) -> float:
        """Rate over the stage; 0 when it took no time."""
        return self.steps / self.seconds if self.seconds > 0 else 0.0


class Summary(msgspec.Struct, kw_only=True):
    """Description and results of a run; filled in while it runs."""

    name: str
    title: str = ""
    headline: str = ""
    started: str = ""
    seconds: float = 0.0
    version: str = __version__
    seed: int = 0
    period_s: float = 0.0
    target_return: float | None = None
    target_episodes: int = 20
    reached_after_steps: int | None = None
    config_hash: str = ""
    state_hash: str = ""
    onnx_difference: float | None = None
    device: dict[str, str] = {}
    observations: list[Channel] = []
    actuators: list[Channel] = []
    learner: dict[str, Any] = {}
    learner_bytes: int = 0
    host: dict[str, str] = {}
    stages: dict[str, Stage] = {}
    checks: list[Check] = []

    @property
    def passed(self) -> bool:
        """Every check held."""
        return all(check.passed for check in self.checks)


class RunFolder(Closing):
    """A run's folder; a context manager. Closing is idempotent.

    Args:
        path: an existing folder; `create` makes a new one.
    """

    CONFIG = "config.toml"
    EVENTS = "events.jsonl"
    LOG = "log.mcap"
    BLACKBOX = "blackbox.rtubox"
    SUMMARY = "summary.json"
    CHECKPOINT = Slots.NEWEST
    ONNX = "policy.onnx"
    REPORT = "report.html"

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._events: Any = None
        self._start = time.monotonic()

    @classmethod
    def create(cls, root: str | os.PathLike[str], name: str) -> RunFolder:
        """Create root/name, or root/name-2, -3, ... if it exists: an earlier run is never overwritten."""
        for attempt in range(1, 100_000):
            path = Path(root, name if attempt == 1 else f"{name}-{attempt}")
            try:
                path.mkdir(parents=True)
            except FileExistsError:
                continue
            return cls(path)
        raise FileExistsError(f"{root}/{name}: too many runs of this name")

    def file(self, name: str) -> Path:
        """Path of one of the folder's files."""
        return self.path / name

    def event(self, kind: str, **fields: Any) -> None:
        """Append one event, with seconds since the folder was opened; flushed at once.

        Raises:
            OSError: it cannot be written; it names the file.
        """
        if self._events is None:
            handle = open_regular(self.file(self.EVENTS), os.O_WRONLY | os.O_APPEND | os.O_CREAT, follow=False)
            self._events = open(handle, "a", encoding="utf-8")  # noqa: SIM115 (closed by close())
        record = {"t_s": round(time.monotonic() - self._start, 6), "utc": _now(), "event": kind, **fields}
        try:
            self._events.write(json.dumps(record, default=str) + "\n")
            self._events.flush()
        except OSError as error:
            error.filename = os.fspath(self.file(self.EVENTS))
            raise

    def events(self) -> list[dict[str, Any]]:
        """All events so far, up to a truncated or damaged line.

        Raises:
            ValueError: it is too large, or not a regular file.
        """
        path = self.file(self.EVENTS)
        found = []
        for line in read_file(path, _EVENT_BYTES, follow=False).splitlines() if path.exists() else ():
            try:
                event = parse_json(line)
            except ValueError:
                break
            if not isinstance(event, dict):
                break
            found.append(event)
        return found

    def log(self, stage: str = "") -> Path:
        """Path of the log, or of that of one stage of a run with several."""
        return self.file(f"log-{stage}.mcap" if stage else self.LOG)

    def save_summary(self, summary: Summary) -> None:
        """Write summary.json."""
        files.write(self.file(self.SUMMARY), to_json(summary, indent=2) + b"\n")

    def load_summary(self) -> Summary:
        """Read summary.json.

        Raises:
            ValueError: it does not exist, or is invalid.
        """
        from rtu_edge.record.old_formats import with_bounds

        try:
            plain = parse_json(read_file(self.file(self.SUMMARY), TEXT_BYTES, follow=False))
            return _checked(msgspec.convert(with_bounds(old_names.summary(plain)), Summary, strict=False))
        except FileNotFoundError as error:
            raise ValueError(f"{self.path}: not the folder of a run: there is no {self.SUMMARY}") from error
        except OSError as error:
            raise ValueError(f"{self.path}: the run's {self.SUMMARY} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise ValueError(f"{self.path}: the run's {self.SUMMARY} cannot be read: {error}") from error

    def close(self) -> None:
        """Close the list of events."""
        if self._events is not None:
            with contextlib.suppress(OSError):  # event() has reported the error
                self._events.close()
            self._events = None


def _checked(summary: Summary) -> Summary:
    """A summary that is complete enough for a page. Raises ValueError."""
    numbers = [summary.seconds, summary.period_s, summary.target_return or 0.0, summary.onnx_difference or 0.0]
    numbers += [number for stage in summary.stages.values() for number in (stage.seconds, stage.mean_return or 0.0)]
    numbers += [value or 0.0 for stage in summary.stages.values() for row in stage.exploration for value in row]
    if not all(math.isfinite(number) for number in numbers) or summary.period_s < 0:
        raise ValueError("seconds, period_s, a return: must be finite")
    counts = [summary.target_episodes - 1, summary.learner_bytes, summary.reached_after_steps or 0, summary.seed]
    counts += [number for stage in summary.stages.values() for number in (stage.steps, stage.episodes)]
    counts += [number for stage in summary.stages.values() for number in stage.findings.values()]
    if not all(0 <= number < 2**64 for number in counts) or summary.target_episodes > 1_000_000:
        raise ValueError("target_episodes, steps, episodes, seed: out of range")
    if not all(0 <= row.index < 2**16 for row in (*summary.observations, *summary.actuators)):
        raise ValueError("observations, actuators: an index out of range")
    if any(math.isnan(row.min) or math.isnan(row.max) for row in (*summary.observations, *summary.actuators)):
        raise ValueError("observations, actuators: an invalid range")
    return summary


def host_facts() -> dict[str, str]:
    """Description of this host, for a report."""
    from rtu_edge import _core

    return {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "instruction_set": _core.isa,
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def resident_bytes() -> int:
    """Current memory of this process."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    for key in ("model name", "Model", "Hardware"):
        for line in lines:
            if line.startswith(key):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
