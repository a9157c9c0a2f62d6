"""The log of a run as a demonstration for a new learner (docs/start_good.md)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from rtu_edge._base.errors import ConfigError
from rtu_edge._base.strict import quoted
from rtu_edge.config import Config
from rtu_edge.device import plants
from rtu_edge.device.limits import in_force
from rtu_edge.learn.demonstration import Demonstration, demonstration
from rtu_edge.loop.flags import Driver, RecordFlag
from rtu_edge.record.reader import Log
from rtu_edge.run.connection import own_limits

__all__ = ["demonstration_of"]

_TOLERANCE = 1e-6  # of a range or period, between the log's and the configuration's

Array = npt.NDArray[Any]


def demonstration_of(log: Log, config: Config, agent: Any) -> Demonstration:
    """The rows of a log that a learner of this configuration can imitate.

    Where the fallback drove in any step, alone or with a correction, the steps in which the learner drove alone are not
    imitated; otherwise all are. Commands are actions within the log's limits in force. A gap in the log, and a reading
    or a reward that is not finite, cut the episode.

    Args:
        log: from read_log().
        config: of the new learner.
        agent: made from it for the log's data sheet.

    Raises:
        ConfigError: another device or other limits than the log's, a log without commands, or one that the agent cannot
            imitate.
    """
    if found := list(_device_problems(log, config)):
        raise ConfigError(found)
    _check_limits(log, config)
    records = log.records
    flags = records["flags"]
    kept = (flags & RecordFlag.HOMING) == 0
    finite = np.isfinite(records["x"]).all(axis=1) & np.isfinite(records["reward"])
    whole = np.concatenate([[True], np.diff(records["sequence"].astype(np.int64)) == 1])
    first = (flags & RecordFlag.FIRST) != 0
    starts = first | ~whole | np.concatenate([[True], ~(kept & finite)[:-1]])
    kept &= finite
    if not kept.any():
        raise ConfigError(f"{log.path}: no step with observation and reward")
    records, starts, flags = records[kept], starts[kept], flags[kept]
    ended = {name: (flags & flag) != 0 for name, flag in (("t", RecordFlag.TERMINATED), ("u", RecordFlag.TRUNCATED))}
    cut = np.concatenate([starts[1:], [True]])
    low, high = (np.array([row[k] for row in log.head.limits], np.float64) for k in (0, 1))
    shares = np.clip((records["u"].astype(np.float64) - low) / (high - low), 0.0, 1.0)
    acted = ((flags & RecordFlag.ACTED) != 0) & np.isfinite(shares).all(axis=1)
    driver = records["mode"] >> 4 & 15
    by_fallback = (driver == Driver.FALLBACK) | (driver == Driver.BOTH)
    if log.head.supervised and (acted & by_fallback).any():
        acted &= by_fallback
    shares[~acted] = 0.5
    levels = agent.config["n_actions"]
    actions = 2.0 * shares - 1.0 if levels is None else np.round(shares[:, 0] * (levels - 1))
    try:
        return demonstration(
            agent,
            records["x"],
            actions,
            records["reward"],
            ended["t"],
            ended["u"] | (cut & ~ended["t"]),
            acted,
        )
    except ConfigError as error:
        raise ConfigError(f"{log.path}: {error}") from None


def _device_problems(log: Log, config: Config) -> Iterator[str]:
    """Where the configuration names channels or a period that are not the log's. A port tells its own when it is open:
    of it, only the actuators of `[limits]` and `loop.period_us` are known here."""
    sheet = log.head.sheet
    key = "device.plant" if config.device.plant else "device.sim"
    name = config.device.plant or config.device.sim
    if name in plants.names():
        own, whole = plants.sheet(name), not config.companion
        for kind in ("observations", "actuators"):
            ours, logged = (
                [f"{row.name} ({row.unit})" if row.unit else row.name for row in getattr(each, kind)]
                for each in (own, sheet)
            )
            if ours != (logged if whole else logged[: len(ours)]):
                yield (
                    f"{key} = {quoted(name)}: its {kind} are {', '.join(ours)}; those of the log {log.path} are"
                    f" {', '.join(logged)}; allowed: a device with the same"
                )
        if abs(own.period_s - sheet.period_s) > _TOLERANCE * sheet.period_s:
            yield (
                f"{key} = {quoted(name)}: its period is {own.period_s:g} s, that of the log {log.path}"
                f" {sheet.period_s:g} s; allowed: that period"
            )
    period_us = config.loop.period_us
    if period_us and abs(period_us / 1e6 - sheet.period_s) > 0.2 * period_us / 1e6:
        yield f"loop.period_us = {period_us}: must be within 20 % of the log's {sheet.period_s * 1e6:.0f}"
    actuators = [row.name for row in sheet.actuators]
    for name in config.limits:
        if name not in actuators:
            yield f"limits.{name}: the log {log.path} has no such actuator; it has {', '.join(actuators)}"


def _check_limits(log: Log, config: Config) -> None:
    """Actions are shares of the range: with other limits the same action is another command. Raises ConfigError."""
    sheet = log.head.sheet
    try:
        ours = in_force([own_limits(config, row) for row in sheet.actuators], sheet.actuators, sheet.period_s)
    except ValueError as error:
        raise ConfigError(f"limits: {error}") from None
    for row, own, logged in zip(sheet.actuators, ours, log.head.limits_in_force, strict=True):
        most = _TOLERANCE * (logged.max - logged.min)
        for end in ("min", "max"):
            if abs(getattr(own, end) - getattr(logged, end)) > most:
                raise ConfigError(
                    f"limits.{row.name}.{end} = {getattr(own, end):g}: the log was recorded with"
                    f" {getattr(logged, end):g}; allowed: that value"
                )
