"""Creates the learner, its supervisor and the loop's settings from a configuration and a device."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtu_edge._base.errors import ConfigError
from rtu_edge._base.packages import install_command
from rtu_edge._base.strict import quoted
from rtu_edge.config import Actions, Config, RewardSource
from rtu_edge.device.limits import in_force
from rtu_edge.device.schema import DataSheet
from rtu_edge.learn import StreamAC
from rtu_edge.loop import LoopConfig, Reward
from rtu_edge.loop.checks import ranges_of
from rtu_edge.loop.driving import check_deadline
from rtu_edge.run.connection import Connection, own_limits

if TYPE_CHECKING:
    from rtu_edge.loop.supervisor import Supervised

__all__ = ["check_deadline", "check_installed", "check_learner", "loop_config", "make_agent", "supervised"]


def make_agent(config: Config, sheet: DataSheet, *, cell: str | None = None) -> Any:
    """The learner that the configuration describes, for the connected device.

    Args:
        config: the configuration.
        sheet: has the numbers of observations and actuators and the period.
        cell: replaces the configured recurrent cell: "none" for the memoryless control.

    Raises:
        ConfigError: the learner does not fit the device.
    """
    arguments = config.learner.arguments(sheet.period_s)
    if cell is not None:
        arguments["cell"] = cell
    if config.learner.actions is Actions.DISCRETE:
        arguments["n_actions"] = config.learner.levels
    else:
        arguments["action_size"] = sheet.action_size
    try:
        return StreamAC(
            observation_size=sheet.observation_size,
            seed=config.run.seed,
            dt_s=sheet.period_s,
            **arguments,
        )
    except ConfigError:
        raise
    except (ValueError, TypeError) as error:
        raise ConfigError(f"learner: {error}") from error


def check_learner(config: Config, sheet: DataSheet, agent: Any, source: object) -> None:
    """Check that a loaded learner matches the configuration.

    Only keys in the configuration are compared; others take the checkpoint's value.

    Args:
        source: the checkpoint's path, for the error.

    Raises:
        ConfigError: it differs; the values can only be changed with a new learner.
    """
    wanted, found = make_agent(config, sheet).config, agent.config
    given = config.learner.arguments(sheet.period_s)
    for table in ("actor", "critic"):  # missing keys there take the checkpoint's value, too
        wanted[table] = {**found.get(table, {}), **{key: wanted[table][key] for key in given.get(table, {})}}
    names = {**dict.fromkeys(given), "n_actions": None}
    problems = [
        f"learner.{'levels' if name == 'n_actions' else name} = {_shown(wanted[name])}: the checkpoint {source} holds a"
        f" learner with {_shown(found.get(name))}, which it keeps; allowed: that value, or a new learner"
        " (without --resume; for a service, another run.name)"
        for name in names
        if wanted[name] != found.get(name)
    ]
    if problems:
        raise ConfigError(problems)


def _shown(value: Any) -> str:
    return (
        "none (continuous actions)" if value is None else quoted(value) if not isinstance(value, dict) else str(value)
    )


def loop_config(config: Config, connection: Connection, **changes: Any) -> LoopConfig:
    """The native loop's configuration; `changes` are fields of LoopConfig.

    Raises:
        ConfigError: loop.cpu is not a core of this host.
    """
    _check_cpu(config.loop.cpu)
    reward = config.reward
    base = LoopConfig(
        limits=[own_limits(config, actuator) for actuator in connection.sheet.actuators],
        clock=config.loop.clock,
        reward=Reward(
            kind="frame" if reward.source is RewardSource.DEVICE else "form",
            bias=reward.bias,
            target=reward.target,
            quadratic=reward.quadratic,
            cosine=reward.cosine,
            action=reward.action,
        ),
        seed=config.run.seed,
        steps=config.run.steps,
        seconds=config.run.seconds,
        target_return=config.run.stop_return,
        target_window=config.run.stop_episodes,
        ttl_ms=config.loop.ttl_ms,
        companions=connection.companions,
        reconnect_s=config.reconnect.within_s,
        max_reconnects=config.reconnect.most,
        reconnect_pose=[config.reconnect.pose.get(row.name, math.inf) for row in connection.sheet.observations],
        realtime=config.loop.realtime,
        cpu=config.loop.cpu,
        checks=config.checks,
        start=config.start,
        homing=config.homing,
        take_over=config.take_over.function or None,
        take_over_silence_ms=config.take_over.silence_ms,
        take_over_back_s=config.take_over.back_s,
        ranges=ranges_of(config.sensor, connection.sheet),
    )
    return dataclasses.replace(base, **changes)


def supervised(config: Config, connection: Connection, agent: Any, loop: LoopConfig, state: bytes = b"") -> Supervised:
    """The agent's policy with the configured supervisor.

    Args:
        state: of the supervisor when the agent was saved; b"" for a new one.

    Raises:
        CheckpointError: it does not belong to this agent.
        ConfigError: it does not fit the device.
    """
    from rtu_edge.loop.supervisor import supervise

    sheet = connection.sheet
    try:
        limits = in_force(loop.limits, sheet.actuators, sheet.period_s)
    except ValueError as error:
        raise ConfigError(f"limits: {error}") from error
    simulated = connection.hello.simulated
    return supervise(config, agent.core.policy(), sheet, limits, simulated=simulated, state=state)


def check_installed(config: Config) -> None:
    """Check, before anything moves, that the packages for the run's log are installed.

    Raises:
        ConfigError: they are not; the message has the command to install them.
    """
    if config.log.mcap and importlib.util.find_spec("mcap") is None:
        raise ConfigError(f"log.mcap = true: mcap is not installed: {install_command('mcap')}; or set log.mcap = false")


def _check_cpu(cpu: int) -> None:
    """An existing core that is not available to this process (cpuset) is refused by the system, which the
    loop reports.
    """
    # Isolated cores are online, but not in the affinity of an unpinned process.
    there = cores()
    if cpu >= 0 and cpu not in there:
        raise ConfigError(
            f"loop.cpu = {cpu}: must be a core of this host ({', '.join(map(str, sorted(there)))}), or -1 for any"
        )


def cores(online: str = "/sys/devices/system/cpu/online") -> set[int]:
    """The numbers of this host's cores."""
    found = set(os.sched_getaffinity(0))
    try:
        parts = Path(online).read_text(encoding="ascii").strip().split(",")
        for first, _, last in (part.partition("-") for part in parts):
            found |= set(range(int(first), int(last or first) + 1))
    except (OSError, ValueError):
        pass  # no such file in a container: those that this process may use
    return found
