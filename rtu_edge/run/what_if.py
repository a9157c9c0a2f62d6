"""Predictions of another learner on the observations, rewards and actions of a log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from rtu_edge._base.errors import ConfigError
from rtu_edge.config import Config, parse_config
from rtu_edge.learn.footprint import footprint
from rtu_edge.loop import RecordFlag
from rtu_edge.record.reader import Log
from rtu_edge.run import make_agent
from rtu_edge.run.replay import Progress, allowed_bytes, in_batches, run_steps, usable

__all__ = ["Predictions", "WhatIf", "comparison", "returns_of", "what_if"]

Array = npt.NDArray[Any]

_SIZES = ("learner.units", "learner.hidden", "learner.cell", "learner.body")


@dataclass(frozen=True)
class Predictions:
    """Quality of the value estimates of a stretch.

    Args:
        value, delta: of each record that learned from a transition, (k,).
        correlation: of the estimates with the actual discounted return, over finished episodes; NaN: undefined.
    """

    value: Array
    delta: Array
    correlation: float


@dataclass(frozen=True)
class WhatIf:
    """Predictions of the run and of another configuration, over the recorded actions."""

    changes: tuple[str, ...]
    was: Predictions
    would: Predictions
    returns: Array = field(repr=False)  # discounted, of each of the records; NaN where the episode does not end
    step: Array = field(repr=False)
    fresh: bool = False  # the start in the log has another layout: this learner was newly initialised
    ended: str = ""


@np.errstate(all="ignore")  # a log may hold any numbers
def what_if(log: Log, changes: Sequence[str], *, until: int | None = None, progress: Progress | None = None) -> WhatIf:
    """Run a learner of another configuration over the observations, rewards and actions of a log.

    The actions are the recorded ones, regardless of this learner's choice: its critic learns from each step, its actor
    only if it agrees. Only predictions can be compared; its effect on the plant is unknown.

    Args:
        log: from `read_log`.
        changes: `learner.a=b` each, as for `--set`.
        until: as for `verify`.
        progress: called with the number of records done.

    Raises:
        ConfigError: a change that is not allowed, or not of the learner.
    """
    for change in changes:
        if not change.startswith("learner.") or change.startswith(("learner.actions", "learner.levels")):
            raise ConfigError(f"--set {change}: a replay can change only the learner, not its actions")
    config = parse_config(log.head.configuration, changes, source=str(log.path), recorded=True)
    if not any(change.startswith(_SIZES) for change in changes):
        _check_size(log, config)
    agent = make_agent(config, log.head.sheet)
    fresh = False
    if log.start is not None:
        status, _ = agent.core.load(log.start)
        fresh = status != 0
    records, ended = usable(log, until)
    parts = [
        steps[["value", "delta"]]
        for _, steps in run_steps(agent.core.policy(), log, in_batches(records), False, True, progress)
    ]
    would = np.concatenate(parts) if parts else records[["value", "delta"]]
    recorded = log.head.learner.get("gamma")
    gamma = recorded if isinstance(recorded, float) and 0.0 <= recorded <= 1.0 else float(agent.config["gamma"])
    returns = returns_of(records, gamma)
    learned = (records["flags"] & RecordFlag.LEARNED) != 0
    return WhatIf(
        tuple(changes),
        _predictions(records["value"], records["delta"], returns, learned),
        _predictions(would["value"], would["delta"], returns_of(records, float(agent.config["gamma"])), learned),
        returns[learned],
        records["step"][learned],
        fresh,
        ended,
    )


def _check_size(log: Log, config: Config) -> None:
    """A learner whose sizes a log gives fits the log's. Raises ConfigError."""
    found = footprint(
        "stream_ac",
        observation_size=len(log.head.observations),
        action_size=len(log.head.actuators),
        **config.learner.arguments(),
    )
    if found.nbytes > allowed_bytes(log):
        raise ConfigError(
            f"{log.path}: a learner of {found.nbytes:,} bytes; at most {allowed_bytes(log):,} for a file of its size"
        )


def returns_of(records: Array, gamma: float) -> Array:
    """Discounted return after each record, (k,) float64; NaN if the episode does not end in the records."""
    found = np.full(len(records), np.nan)
    flags, rewards = records["flags"], records["reward"].astype(np.float64)
    later = np.nan
    for at in range(len(records) - 1, -1, -1):
        if flags[at] & RecordFlag.TERMINATED:
            later = 0.0
        elif flags[at] & RecordFlag.TRUNCATED:
            later = np.nan
        found[at] = later
        later = np.nan if flags[at] & RecordFlag.FIRST else rewards[at] + gamma * later
    return found


def _predictions(value: Array, delta: Array, returns: Array, learned: Array) -> Predictions:
    value, delta, returns = (array[learned].astype(np.float64) for array in (value, delta, returns))
    known = np.isfinite(returns) & np.isfinite(value)
    correlation = float("nan")
    if known.sum() > 2 and value[known].std() > 0 and returns[known].std() > 0:
        correlation = float(np.corrcoef(value[known], returns[known])[0, 1])
    return Predictions(value, delta, correlation)


@np.errstate(all="ignore")
def comparison(found: WhatIf) -> list[tuple[str, float, float]]:
    """Rows of a table: quantity, original, changed."""

    def both(name: str, of: Callable[[Predictions], float]) -> tuple[str, float, float]:
        return name, of(found.was), of(found.would)

    return [
        both("mean |delta|", lambda p: float(np.abs(p.delta).mean()) if len(p.delta) else float("nan")),
        both("rms delta", lambda p: float(np.sqrt(np.square(p.delta).mean())) if len(p.delta) else float("nan")),
        both("mean value", lambda p: float(p.value.mean()) if len(p.value) else float("nan")),
        both("deviation of value", lambda p: float(p.value.std()) if len(p.value) else float("nan")),
        both("correlation of value and return", lambda p: p.correlation),
    ]
