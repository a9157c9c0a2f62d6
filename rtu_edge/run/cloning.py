"""The log of a run as a demonstration for a new learner (docs/start_good.md)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rtu_edge._base.errors import ConfigError
from rtu_edge._base.strict import quoted
from rtu_edge.config import Config
from rtu_edge.device import plants
from rtu_edge.device.limits import in_force
from rtu_edge.learn.demonstration import Demonstration, demonstration
from rtu_edge.loop.demonstrated import rows_of
from rtu_edge.record.reader import Log
from rtu_edge.run.connection import own_limits

__all__ = ["demonstration_of"]

_TOLERANCE = 1e-6  # of a range or period, between the log's and the configuration's


def demonstration_of(log: Log, config: Config, agent: Any) -> Demonstration:
    """The rows of a log that a learner of this configuration can imitate.

    Which ones: loop.demonstrated.rows_of().

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
    try:
        rows = rows_of(log.records, log.head.limits_in_force, agent.config["n_actions"], log.head.supervised)
        return demonstration(agent, **rows)
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
