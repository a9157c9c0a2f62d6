"""A loop from ARM to DISARM, and its results."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rtu_edge._base.errors import ConfigError
from rtu_edge.loop import Loop, LoopConfig, LoopResult, LoopStatus, Progress
from rtu_edge.loop.checks import Findings
from rtu_edge.loop.flags import RecordFlag
from rtu_edge.loop.stops import error_of, with_port
from rtu_edge.record import Stage, Summary
from rtu_edge.run.connection import Connection
from rtu_edge.run.recording import Recording

if TYPE_CHECKING:
    from rtu_edge.run.saving import Saver

__all__ = ["POLL_S", "RunResult", "Watch", "describe", "error_of", "run_loop", "stage_of"]

Array = npt.NDArray[Any]

# Called while a loop runs, with a status, the new step records and the new episode records.
Watch = Callable[[LoopStatus, Array, Array], object]

# Polling interval of a running loop.
POLL_S = 0.1


@dataclass(frozen=True)
class RunResult:
    """A loop that has ended. Its steps are in its log.

    Args:
        notes: notes about its log and black box.
    """

    session: int
    result: LoopResult
    progress: Progress
    notes: tuple[str, ...] = ()


def run_loop(
    connection: Connection,
    agent: Any,
    config: LoopConfig,
    watch: Watch | None = None,
    poll_s: float = POLL_S,
    saver: Saver | None = None,
    *,
    policy: Any = None,
    recording: Recording | None = None,
    say: Callable[[str], Any] | None = None,
) -> RunResult:
    """Run one session from ARM to DISARM; `saver` saves it meanwhile, `recording` writes its log; steps are not kept in
    memory.

    Args:
        watch: called each `poll_s` seconds, and once at the end; all records pass through it, in order.
        policy: the controller, such as `supervised(...).policy`; default: the agent alone.
        say: receives the refused privileges when the loop starts, and each reconnect.

    Raises:
        ConfigError: loop, policy and device do not match, or the device may not move.
    """
    if not config.dry_run:
        connection.permission.require()
    config = dataclasses.replace(config, snapshots=saver is not None and saver.periodic)
    if recording is not None:
        config = recording.prepare(config)
    try:
        loop = Loop(connection.link, policy if policy is not None else agent.core.policy(), config)
    except ValueError as error:
        raise ConfigError(f"loop: {error}") from error
    if recording is not None:
        recording.start(loop, supervised=policy is not None)
    refused: list[str] | None = None
    gaps = _Gaps()
    findings = None if say is None or config.dry_run else Findings(config.checks, loop.sheet, say)

    def take(status: LoopStatus, new: Array) -> None:
        nonlocal refused
        if findings is not None:
            findings.take(status.check)
        if refused is None and (refused := loop.privileges()) is not None and say is not None:
            for line in refused:
                say(f"not granted: {line}")
        if say is not None:
            for line in gaps.lines(new, status, config.reconnect_s):
                say(line)
        finished = loop.drain_episodes()
        if recording is not None:
            recording.add(new, finished)
        if watch is not None:
            watch(status, new, finished)

    with loop, nullcontext() if saver is None else saver.during(loop):
        result = with_port(loop.run(take, poll_s), connection.url)
    notes: tuple[str, ...] = ()
    if recording is not None:
        recording.finish(result)
        notes = tuple(recording.notes)
    return RunResult(loop.session, result, loop.progress(), notes)


class _Gaps:
    """Finds losses of the link and reconnects among the records of a loop."""

    def __init__(self) -> None:
        self._last_ns = 0
        self._away = False

    def lines(self, records: Array, status: LoopStatus, within_s: float) -> list[str]:
        """One line for each reconnect among new records, and for a device that is away now."""
        away = within_s > 0 and status.running and status.steps > 0 and status.device_state < 0
        found = [f"link lost at step {status.steps:,}: waits up to {within_s:g} s for the device"] if away else []
        found = [] if self._away else found
        self._away = away
        for place in np.flatnonzero(records["flags"] & RecordFlag.RECONNECTED):
            before_ns = int(records["t_ns"][place - 1]) if place else self._last_ns
            gap_s = (int(records["t_ns"][place]) - before_ns) * 1e-9
            found.append(
                f"reconnected {gap_s:.2f} s after the last step, at step {int(records['step'][place]):,}:"
                " a new session, and a new episode"
            )
        if len(records):
            self._last_ns = int(records["t_ns"][-1])
        return found


def stage_of(
    result: LoopResult,
    counters: Mapping[str, int] | None = None,
    exploration: Sequence[tuple[float, float | None, float | None]] = (),
    agent: Any = None,
) -> Stage:
    """A loop's result in the form of the summary, with counters of others, samples of step, sigma and entropy, and the
    findings of an agent.
    """
    return Stage(
        steps=result.steps,
        episodes=result.episodes,
        seconds=result.seconds,
        reason=result.reason.value,
        message=result.message,
        mean_return=result.mean_return if math.isfinite(result.mean_return) else None,
        counters={**result.counters, **(counters or {})},
        link=result.link.known(),
        privileges=list(result.privileges),
        exploration=list(exploration),
        findings=dict(getattr(agent, "findings", {})),
    )


def describe(summary: Summary, connection: Connection, agent: Any) -> None:
    """Write device and learner into a summary."""
    hello = connection.hello
    summary.period_s = connection.sheet.period_s
    summary.observations = list(connection.sheet.observations)
    summary.actuators = list(connection.sheet.actuators)
    summary.device = {
        "port": connection.url,
        "plant": connection.plant,
        "firmware": hello.firmware,
        **({"firmware_path": connection.firmware} if connection.firmware else {}),
        **{f"companion {each.name}": f"firmware {each.link.hello.firmware}" for each in connection.companions},
        "boot_id": f"{hello.boot_id:08x}",
        "schema_hash": f"{hello.schema_hash:08x}",
        "ttl_max_ms": str(hello.ttl_max_ms),
    }
    summary.learner = {str(key): value for key, value in _plain(agent.config).items()}
    summary.learner_bytes = int(agent.nbytes)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value
