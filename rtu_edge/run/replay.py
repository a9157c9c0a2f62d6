"""Replays a learner from its log, offline: the same calls in the same order, compared with the record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import IntFlag
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from rtu_edge import _core
from rtu_edge._base.errors import CheckpointError, ConfigError
from rtu_edge._base.untrusted import allowance
from rtu_edge.config import Fallback, FallbackKind, parse_config
from rtu_edge.learn import checkpoint, make, restore
from rtu_edge.loop.person import back_steps
from rtu_edge.record.file import build_id
from rtu_edge.record.head import Head
from rtu_edge.record.reader import Log

__all__ = ["Difference", "DifferenceFlag", "Replayed", "verify"]

Array = npt.NDArray[Any]
Progress = Callable[[int], None]

_BATCH = 8192
_FLOAT_SCALARS = 5  # first checkpoint format in which a float32 learner has no double
_NAMES_SOMETHING = (FallbackKind.CHECKPOINT, FallbackKind.C, FallbackKind.PYTHON)


class DifferenceFlag(IntFlag):
    """The differences between a step and its record, bit for bit."""

    COMMAND = 1
    HASH = 2
    ESTIMATE = 4  # value, delta or step sizes
    CALL = 8  # the policy refused a call that it accepted in the run, or the reverse
    DECISION = 16  # sensor monitor, learner monitor, cause of the fallback


@dataclass(frozen=True)
class Difference:
    """The first step that differs from the record."""

    sequence: int
    step: int
    episode: int
    episode_step: int
    what: DifferenceFlag
    recorded: dict[str, Any]
    replayed: dict[str, Any]

    def __str__(self) -> str:
        parts = [
            f"{name} {_shown(self.replayed[name])}, recorded {_shown(self.recorded[name])}"
            for name in self.recorded
            if _shown(self.replayed[name]) != _shown(self.recorded[name])
        ]
        names = ", ".join(str(flag.name).lower() for flag in DifferenceFlag if flag & self.what)
        where = f"step {self.step:,} (record {self.sequence:,}, episode {self.episode}, its step {self.episode_step})"
        return f"first difference at {where}: {names}: {'; '.join(parts)}"


@dataclass
class Replayed:
    """Result of a replay.

    Args:
        agent: in the state after the last record.
        records, steps: numbers of replayed records, and of control steps with a result among them.
        hashes: state hashes compared.
        largest: largest deviation of a command, as a share of the actuator's range; infinite for a NaN.
        largest_value: the same for the value estimates, absolute.
        difference: the first; None if there is none.
        ended: reason why it stopped before the log's end, or "".
        final_equal: the final state equals the run's; None if unknown.
    """

    agent: Any
    records: int = 0
    steps: int = 0
    hashes: int = 0
    largest: float = 0.0
    largest_value: float = 0.0
    difference: Difference | None = None
    ended: str = ""
    final_equal: bool | None = None


def to_the_bit(log: Log) -> bool:
    """Whether this version computes and hashes the state like the one that wrote the log.

    Before checkpoint format 4 the normalisers' statistics were doubles, before format 5 the scalars of a float32
    learner. The replay of a log from that time matches the record only approximately, and its state hashes cannot be
    compared (docs/log.md).
    """
    learner = log.head.learner
    wide = learner.get("dtype") == "float64"
    return "observation_bound" in learner and (wide or log.head.checkpoint_format >= _FLOAT_SCALARS)


def start_of(log: Log, most: int | None = None) -> Any:
    """The learner at the start of the run.

    Args:
        log: from `read_log`.
        most: memory limit in bytes; None: derived from the size of the log's file.

    Raises:
        ConfigError: its configuration is invalid, or its state does not match the log.
    """
    try:
        agent = make(checkpoint.complete(log.head.learner), allowed_bytes(log) if most is None else most)
        if log.start is not None:
            restore(agent, log.start, log.path)
    except (ValueError, CheckpointError) as error:
        raise ConfigError(f"{log.path}: {error}") from error
    if to_the_bit(log) and agent.state_hash() != log.head.start_hash:
        raise ConfigError(
            f"{log.path}: the learner's state at the start is not in the log (expected {log.head.start_hash})"
        )
    return agent


class Usable:
    """The records that can be replayed from the start: up to the first gap, and to step `until` with its result.

    Args:
        log: from `read_log`; read during iteration.
        until: None: to the end.
    """

    def __init__(self, log: Log, until: int | None = None) -> None:
        self._log, self._until = log, until
        self.ended = ""  # after the last record: reason why there are no more; "" at the end of the log

    def __iter__(self) -> Iterator[Array]:
        done = 0
        for records, _ in self._log.batches():
            gaps = np.flatnonzero(records["sequence"] != np.arange(done, done + len(records), dtype=np.uint64))
            if len(gaps):
                lost = int(records["sequence"][gaps[0]]) - (done + int(gaps[0]))
                records = records[: gaps[0]]
            done += len(records)
            if self._until is not None and len(reached := np.flatnonzero(records["step"] >= self._until)):
                yield records[: int(reached[0]) + 1]
                return
            if len(records):
                yield records
            if len(gaps):
                self.ended = f"{lost:,} records are lost after record {done:,}: a replay cannot continue after them"
                return
        self.ended = self._log.cut or (f"the run had no step {self._until:,}" if self._until is not None else "")


def usable(log: Log, until: int | None = None) -> tuple[Array, str]:
    """The records of Usable in one array, and the reason for their end."""
    found = Usable(log, until)
    return np.concatenate([np.zeros(0, log.head.dtype), *found]), found.ended


def allowed_bytes(log: Log) -> int:
    """Memory limit of a learner: the total limit minus the records."""
    return max(allowance(log.nbytes) - log.record_count * log.head.record_bytes, allowance(0))


def verify(
    log: Log,
    *,
    until: int | None = None,
    stop: bool = True,
    progress: Progress | None = None,
    fallback: Fallback | None = None,
    most: int | None = None,
) -> Replayed:
    """Replay the learner of a log and compare each command and each state hash.

    Args:
        log: from `read_log`.
        until: number of control steps to replay, including the result of the last; None: all.
        stop: at the first difference; otherwise continue and measure the deviation.
        progress: called with the number of records done.
        fallback: replaces the log's fallback, of the same kind: required if that names a file or code.
        most: memory limit of the learner and its snapshots in bytes; None: derived from the size of the log's file.

    Raises:
        ConfigError: the log's configuration is invalid, or names files or code that only the caller may name.
    """
    agent = start_of(log, most)
    records = Usable(log, until)
    found = Replayed(agent)
    for part, steps in run_steps(_policy_of(log, agent, fallback, most), log, records, stop, False, progress):
        done = part[: len(steps)]
        found.records += len(steps)
        found.hashes += int((done["state_hash"] != 0).sum())
        found.steps = int(done["step"][-1])
        found.largest = max(found.largest, float(steps["distance"].max(initial=0.0)))
        found.largest_value = max(found.largest_value, _farthest(steps["value"], done["value"]))
        wrong = np.flatnonzero(steps["differs"])
        if len(wrong) and found.difference is None:
            found.difference = _difference(done[wrong[0]], steps[wrong[0]])
            if stop:
                return found
    found.ended = records.ended
    if log.end is not None and not log.cut and found.records == log.record_count:
        found.final_equal = agent.state_hash() == log.end.get("state_hash")
    return found


def _policy_of(log: Log, agent: Any, fallback: Fallback | None, most: int | None) -> Any:
    """The policy of the loop: the learner, with its supervisor if there was one."""
    head = log.head
    if not head.supervised:
        return agent.core.policy()
    from rtu_edge.loop.supervisor import supervise

    try:
        config = parse_config(head.configuration, recorded=True)
    except ConfigError as error:
        raise ConfigError(f"its configuration: {'; '.join(error.problems)}", str(log.path)) from None
    config = msgspec.structs.replace(config, fallback=_named_by_the_caller(log, config.fallback, fallback))
    allowed = allowed_bytes(log) if most is None else most
    if agent.nbytes * (config.learner_monitor.snapshots + 2) > allowed:
        raise ConfigError(
            f"{log.path}: learner_monitor.snapshots = {config.learner_monitor.snapshots} of {agent.nbytes:,} bytes:"
            f" more than {allowed:,} bytes in all; --memory allows more, for trusted files"
        )
    learner = agent.core.policy()
    state = checkpoint.read_beside(log.start) if log.start is not None else b""
    try:
        made = supervise(config, learner, head.sheet, head.limits_in_force, simulated=head.simulated, state=state)
    except (ConfigError, CheckpointError) as error:
        raise ConfigError("; ".join(str(error).splitlines()), str(log.path)) from error
    return made.policy


def _named_by_the_caller(log: Log, recorded: Fallback, given: Fallback | None) -> Fallback:
    """The fallback of a replay: a log may describe it by numbers, but must not name code to run or files to open.

    Raises:
        ConfigError: the log does, and the caller has given none of its kind.
    """
    if recorded.kind not in _NAMES_SOMETHING:
        return recorded
    if given is None or given.kind is not recorded.kind:
        raise ConfigError(
            f'{log.path}: fallback.kind = "{recorded.kind.value}": a replay takes no code and no file that a log'
            " names; give the configuration of the run, or one with that [fallback], with --config"
        )
    return given


def run_steps(
    policy: Any, log: Log, records: Iterable[Array], stop: bool, as_applied: bool, progress: Progress | None
) -> Iterator[tuple[Array, Array]]:
    head = log.head
    back = _back_steps(head)
    n, m, limits = len(head.observations), len(head.actuators), head.limits_in_force
    try:
        replay = _core.Replay(policy, n, m, limits, head.period_s, head.command_limiter, as_applied, back)
    except ValueError as error:
        raise ConfigError(str(error), str(log.path)) from error
    done = 0
    for batch in records:
        part = _as_today(batch, head)
        steps = replay.run(part, stop)
        yield part, steps
        done += len(steps)
        if progress is not None:
            progress(done)
        if len(steps) < len(part):
            return


def _back_steps(head: Head) -> int:
    """Of the run's take-over by a person. A log without a configuration has none."""
    if not head.supervised:
        return 0
    try:
        back_s = parse_config(head.configuration, recorded=True).take_over.back_s
    except ConfigError:
        return 0
    return back_steps(back_s, head.period_s)


def in_batches(records: Array) -> Iterator[Array]:
    return (records[at : at + _BATCH] for at in range(0, len(records), _BATCH))


def _as_today(records: Array, head: Head) -> Array:
    """Records in this build's layout; fields missing in earlier ones are zero."""
    dtype = _core.record_dtype(len(head.observations), len(head.actuators))
    if records.dtype == dtype:
        return records
    found = np.zeros(len(records), dtype)
    for name in dtype.names or ():
        if name in (records.dtype.names or ()) and records.dtype[name] == dtype[name]:
            found[name] = records[name]
    return found


@np.errstate(all="ignore")
def _farthest(now: Array, then: Array) -> float:
    """The largest deviation; 0 for two NaN, infinite for a NaN and a number."""
    equal = (now == then) | (np.isnan(now) & np.isnan(then))
    distance = np.where(equal, 0.0, np.abs(now - then))
    return float(np.where(np.isnan(distance), np.inf, distance).max(initial=0.0))


def _difference(record: Any, step: Any) -> Difference:
    what = DifferenceFlag(int(step["differs"]))
    recorded: dict[str, Any] = {"state hash": int(record["state_hash"]), "u": record["u"].tolist()}
    replayed: dict[str, Any] = {"state hash": int(step["state_hash"]), "u": "another"}
    if not what & DifferenceFlag.COMMAND:
        replayed["u"] = recorded["u"]
    for name in ("value", "delta", "step_size_actor", "step_size_critic"):
        recorded[name], replayed[name] = float(record[name]), float(step[name])
    for name in ("sensor_monitor", "learner_monitor", "mode"):
        recorded[name], replayed[name] = f"{int(record[name]):#x}", f"{int(step[name]):#x}"
    replayed["distance of u"], recorded["distance of u"] = float(step["distance"]), 0.0
    sequence, number, episode, episode_step = (
        int(record[name]) for name in ("sequence", "step", "episode", "episode_step")
    )
    return Difference(sequence, number, episode, episode_step, what, recorded, replayed)


def _shown(value: Any) -> str:
    if isinstance(value, int):
        return f"{value:016x}"
    if isinstance(value, list):
        return "[" + ", ".join(f"{item:.9g}" for item in value) + "]"
    return value if isinstance(value, str) else f"{value:.9g}"


def same_build(log: Log) -> bool:
    """This build and instruction set wrote the log: equal bits are promised."""
    return log.head.build == build_id() and log.head.isa == _core.isa
