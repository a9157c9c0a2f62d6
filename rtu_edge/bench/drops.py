"""Drops of a USB plug in a row, in the middle of learning: the run must resume in a new session after each."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rtu_edge._base.errors import CheckFailed, DeviceError
from rtu_edge.config import Config, parse_config
from rtu_edge.device.protocol import DeviceState
from rtu_edge.hil.bridge import FaultBridge
from rtu_edge.hil.host import ProcessHost
from rtu_edge.hil.measure import accepted_since, old_accepted, safe_after
from rtu_edge.hil.targets import make_target
from rtu_edge.loop.flags import CallFlag, RecordFlag
from rtu_edge.record.reader import read_log
from rtu_edge.run.replay import verify

__all__ = ["Drops", "drops", "save", "text"]

_WAIT_S = 60.0  # for what takes milliseconds on an idle host
_DRIVE_S = 0.15  # between two drops

_CONFIG = """
[device]
plant = "servo"
[loop]
clock = "device"
ttl_ms = 95
[learner]
units = 8
hidden = 8
[log]
blackbox_minutes = 0.0
"""


@dataclass
class Drops:
    """Result of many drops.

    Args:
        target, away_s, count: as asked.
        done: drops after which the run resumed.
        seconds: of real time.
        safe_ms: of each drop, from the last observation answered to safe actuators, by the device's clock.
        resumed_ms: of each drop, from the plug's return to the first command that the device accepted.
        accepted_between: commands of a lost session that the device accepted after the drop; must be 0.
        sessions, reconnects: of the run; one session more than reconnects. More reconnects than drops: on a busy host a
            command was too late, the device went safe, and the run resumed.
        learned_in_gap: records of a new session's first observation with an update of weights; must be 0.
        steps: of the run.
        differences: in the replay of the run's log: the first, or "".
        hashes: state hashes that the replay compared.
        finite: each estimate and command of the run.
        ended: how the run ended.
    """

    target: str
    away_s: float
    count: int
    done: int = 0
    seconds: float = 0.0
    safe_ms: list[float] = field(default_factory=list)
    resumed_ms: list[float] = field(default_factory=list)
    accepted_between: int = 0
    sessions: int = 0
    reconnects: int = 0
    learned_in_gap: int = 0
    steps: int = 0
    differences: str = ""
    hashes: int = 0
    finite: bool = True
    ended: str = ""

    @property
    def passed(self) -> bool:
        """The run resumed after each drop, nothing was accepted or learned between, and its log replays to the bit."""
        whole = self.done == self.count <= self.reconnects == self.sessions - 1
        clean = self.accepted_between == 0 and self.learned_in_gap == 0 and self.finite
        return whole and clean and not self.differences and self.ended == "signal"


def drops(
    count: int = 100,
    away_s: float = 0.2,
    *,
    target: str = "process",
    seed: int = 0,
    watch: Callable[[int], Any] | None = None,
) -> Drops:
    """Drop the plug again and again while `rtu-edge run` learns on a simulated servo in real time.

    Args:
        count: drops. away_s: s, of each.
        target: "process" or "qemu", a simulated device behind a pty at a stable path.
        seed: of learner and plant.
        watch: called with the number of drops done.

    Raises:
        DeviceError: the run did not begin to drive.
    """
    out = Drops(target, away_s, count)
    begin_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="rtu-drops-") as folder:
        with make_target(target, "servo") as device, FaultBridge(device, seed=seed) as bridge:
            given = (f'device.port="{bridge.port}"', 'device.plant=""', f'run.folder="{folder}"', f"run.seed={seed}")
            settings = (*given, 'run.name="host"', "run.steps=1000000000", f"reconnect.within_s={away_s + _WAIT_S}")
            _drive(out, bridge, parse_config(_CONFIG, settings, source="drops"), watch)
        _check_log(out, Path(folder) / "host" / "log.mcap")
    out.seconds = time.monotonic() - begin_s
    return out


def _drive(out: Drops, bridge: FaultBridge, config: Config, watch: Callable[[int], Any] | None) -> None:
    with ProcessHost(config) as host:
        host.start()
        if not _wait(lambda: _driven(bridge, bridge.trace.begin_s), _WAIT_S):
            raise DeviceError(f"the run did not begin to drive: {host.stop().message}")
        for number in range(out.count):
            time.sleep(_DRIVE_S)
            if not _drop(out, bridge):
                break
            out.done += 1
            if watch is not None:
                watch(number + 1)
        out.ended = host.stop().reason
        out.sessions = len(bridge.trace.sessions())


def _drop(out: Drops, bridge: FaultBridge) -> bool:
    """One drop; False if the run did not resume."""
    lost_s = time.monotonic()
    bridge.unplug()
    time.sleep(out.away_s)
    before = bridge.counters()
    back_s = time.monotonic()
    bridge.plug()
    if not _wait(lambda: _driven(bridge, back_s), _WAIT_S):
        return False
    again_s = accepted_since(bridge.trace, back_s)
    safe = safe_after(bridge.trace, lost_s)
    out.resumed_ms.append(round(((again_s or back_s) - back_s) * 1e3, 2))
    if safe is not None and safe.after_us is not None:
        out.safe_ms.append(round(safe.after_us / 1e3, 2))
    out.accepted_between += old_accepted(bridge.trace, bridge.counters()["refused"] - before["refused"], back_s)
    return True


def _driven(bridge: FaultBridge, since_s: float) -> bool:
    """The device has accepted some commands since a time."""
    return len({s.last_cmd_seq for _, s in bridge.trace.states(since_s) if s.state == DeviceState.ARMED}) > 5


def _wait(done: Callable[[], bool], seconds: float) -> bool:
    give_up_s = time.monotonic() + seconds
    while not done():
        if time.monotonic() > give_up_s:
            return False
        time.sleep(0.01)
    return True


def _check_log(out: Drops, path: Path) -> None:
    """What the run's own records say, and their replay."""
    log = read_log(path)
    counters = log.end or {}
    out.steps = int(counters.get("steps", 0))
    out.reconnects = int(json.loads(counters.get("counters", "{}")).get("reconnects", 0))
    for batch in log.batches():
        flags, calls = batch.records["flags"], batch.records["calls"]
        back = flags & RecordFlag.RECONNECTED != 0
        out.learned_in_gap += int((back & (flags & RecordFlag.LEARNED != 0)).sum())
        out.learned_in_gap += int((back & (calls & CallFlag.BEGIN == 0)).sum())
        out.finite &= all(bool(np.isfinite(batch.records[name]).all()) for name in ("value", "delta", "u", "x"))
    replayed = verify(log)
    out.hashes = replayed.hashes
    out.differences = str(replayed.difference or replayed.ended)
    if not out.differences and not replayed.final_equal:
        out.differences = "the final state of the learner differs"


def text(out: Drops) -> str:
    """The report as a page."""
    rows = [
        f"{out.count} drops of {out.away_s:g} s on {out.target}: the run resumed after {out.done}; {out.steps:,} steps"
        f" in {out.seconds:,.0f} s, {out.sessions} sessions, {out.reconnects} reconnects",
        f"from the last observation answered to safe actuators: {_range(out.safe_ms)}",
        f"from the plug's return to the first command accepted: {_range(out.resumed_ms)}",
        f"commands of a lost session accepted: {out.accepted_between}; updates across a gap: {out.learned_in_gap}",
        f"replay of the log: {out.differences or f'equal to the bit, {out.hashes} hashes'}",
        f"all values {'finite' if out.finite else 'NOT FINITE'}; the run ended by: {out.ended}",
        "passed" if out.passed else "FAILED",
    ]
    return "\n".join(rows)


def _range(values_ms: list[float]) -> str:
    if not values_ms:
        return "not measured"
    return f"median {np.median(values_ms):.0f} ms, {min(values_ms):.0f} to {max(values_ms):.0f} ms"


def save(out: Drops, folder: Path) -> None:
    """Write drops.json and drops.txt.

    Raises:
        CheckFailed: it did not pass; the files are there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "drops.json").write_text(json.dumps(asdict(out), indent=1) + "\n", encoding="utf-8")
    (folder / "drops.txt").write_text(text(out) + "\n", encoding="utf-8")
    if not out.passed:
        raise CheckFailed(f"{folder / 'drops.txt'}: {out.done} of {out.count} drops passed, or a check failed")
