"""The learner as an untrusted component: monitors, fallback and modes for its policy, from a configuration.

    supervised = supervise(config, agent.core.policy(), link.sheet, limits)
    Loop(link, supervised.policy, loop_config)

Decisions are made in native code (native/runtime/safety/supervisor.h); this module configures and converts.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import numpy as np

from rtu_edge import _core
from rtu_edge._base.errors import CheckpointError, ConfigError
from rtu_edge.device.schema import DataSheet, Limits
from rtu_edge.loop.supervision import Fallback, FallbackKind, LearnerMonitor, Mode, Pd, Sensor, Supervisor

__all__ = ["Supervised", "function_policy", "imported", "options", "pd_policy", "supervise"]


class RewardRange(Protocol):
    """Valid range of a reward; None: any finite value."""

    @property
    def min(self) -> float | None: ...
    @property
    def max(self) -> float | None: ...


class Tables(Protocol):
    """The tables of a configuration that a supervisor is made from."""

    @property
    def supervisor(self) -> Supervisor: ...
    @property
    def fallback(self) -> Fallback: ...
    @property
    def learner_monitor(self) -> LearnerMonitor: ...
    @property
    def sensor(self) -> Mapping[str, Sensor]: ...
    @property
    def reward(self) -> RewardRange: ...


@dataclass(frozen=True)
class Supervised:
    """A supervised policy and its parts.

    Args:
        policy: the policy for the loop.
        supervisor: the native supervisor; `frozen` and `locked` mean that the fallback drives permanently.
        fallback: the native fallback, or None if the last action is held. mode: of the supervisor.
        described: the fallback in words.
    """

    policy: _core.Policy
    supervisor: _core.Supervisor
    fallback: Any
    mode: Mode
    described: str

    def fallback_error(self) -> BaseException | None:
        """The first exception of a Python fallback since the last call, or None."""
        error: BaseException | None = None
        if isinstance(self.fallback, _core.PyFunctionPolicy):
            error = self.fallback.take_error()
        return error


def supervise(
    config: Tables,
    learner: _core.Policy,
    sheet: DataSheet,
    limits: Sequence[Limits],
    *,
    simulated: bool = True,
    state: bytes = b"",
) -> Supervised:
    """Wrap a learner's policy in a supervisor.

    Args:
        config: its [supervisor], [fallback], [learner_monitor], [sensor] and [reward] tables.
        learner: the policy to supervise.
        sheet: names, ranges and period.
        limits: in force, one per actuator.
        simulated: a fallback written in Python is refused on real hardware.
        state: of the supervisor when this learner was saved (checkpoint.read_beside), or b"".

    Raises:
        CheckpointError: `state` does not belong to this learner.
        ConfigError: a table has a name that the device lacks, an actuator has no limits, or a fallback is not
            available.
    """
    names = [channel.name for channel in sheet.observations]
    driven = [channel.name for channel in sheet.actuators]
    problems = _unknown(config, names, driven)
    if len(limits) != len(driven):
        problems.append(f"limits: {len(limits)}, for {len(driven)} actuators")
    if problems:
        raise ConfigError(problems)
    fallback, described = _fallback(config.fallback, sheet, limits, simulated)
    try:
        policy = fallback.policy() if fallback is not None else None
        chosen = options(config, sheet, limits)
        supervisor = _core.Supervisor(learner, policy, chosen)
    except ValueError as error:
        raise ConfigError(f"supervisor: {error}") from error
    try:
        if state:
            supervisor.restore(state)
    except ValueError as error:
        raise CheckpointError(f"the supervisor's block of the checkpoint: {error}") from error
    return Supervised(supervisor.policy(), supervisor, fallback, config.supervisor.mode, described)


def options(config: Tables, sheet: DataSheet, limits: Sequence[Limits]) -> dict[str, Any]:
    """Options of the native supervisor."""
    supervisor, reward = config.supervisor, config.reward
    channels = []
    for observation in sheet.observations:
        sensor = config.sensor.get(observation.name, Sensor())
        channel: dict[str, Any] = msgspec.to_builtins(sensor)
        low, high = channel.pop("min"), channel.pop("max")
        low, high = observation.min if low is None else low, observation.max if high is None else high
        channels.append({**channel, "low": low, "high": high})
    monitor: dict[str, Any] = msgspec.to_builtins(config.learner_monitor)
    monitor["scan_bytes"] = monitor.pop("scan_kib") * 1024
    return {
        "mode": supervisor.mode.value,
        "channels": channels,
        "reward_low": -3.4e38 if reward.min is None else reward.min,
        "reward_high": 3.4e38 if reward.max is None else reward.max,
        "learner_monitor": monitor,
        "residual": [supervisor.residual.get(actuator.name, 0.0) for actuator in sheet.actuators],
        "rest": [_rest(own) for own in limits],
        "ab_block": supervisor.ab.block,
        "ab_episodes": supervisor.ab.unit.value == "episodes",
        "dwell_steps": supervisor.dwell_steps,
        "recovery_steps": supervisor.recovery_steps,
        "max_switches": supervisor.max_switches,
        "switch_window": supervisor.switch_window,
    }


def _rest(limits: Limits) -> float:
    """Rest value of an actuator, in the policy's range -1 to 1."""
    low, high, rest = limits.min, limits.max, limits.rest
    assert rest is not None  # in force: every number is known
    return 2.0 * (min(max(rest, low), high) - low) / (high - low) - 1.0


def _unknown(config: Tables, observations: Sequence[str], actuators: Sequence[str]) -> list[str]:
    """Names in the configuration that the device does not have."""
    import difflib

    used: list[tuple[str, str, Sequence[str], str]] = []
    used += [(f"sensor.{name}", name, observations, "observation") for name in config.sensor]
    used += [(f"supervisor.residual.{name}", name, actuators, "actuator") for name in config.supervisor.residual]
    for actuator, pd in config.fallback.pd.items():
        used.append((f"fallback.pd.{actuator}", actuator, actuators, "actuator"))
        for key in ("p", "d", "target"):
            used += [
                (f"fallback.pd.{actuator}.{key}.{name}", name, observations, "observation") for name in getattr(pd, key)
            ]
    found = []
    for path, name, known, kind in used:
        if name in known:
            continue
        close = difflib.get_close_matches(name, known, n=1)
        hint = f'; did you mean "{close[0]}"?' if close else ""
        found.append(f"{path}: the device has no such {kind}; it has {', '.join(known)}{hint}")
    return found


def _fallback(fallback: Fallback, sheet: DataSheet, limits: Sequence[Limits], simulated: bool) -> tuple[Any, str]:
    """The native fallback, or None to hold, and its description."""
    observations, actuators = sheet.observations, sheet.actuators
    if fallback.kind is FallbackKind.HOLD:
        return None, "holds the last action"
    if fallback.kind is FallbackKind.CHECKPOINT:
        frozen = _frozen(fallback.checkpoint, len(observations), len(actuators))
        return frozen, f"frozen policy of {fallback.checkpoint}"
    if fallback.kind is FallbackKind.C:
        try:
            made = _core.FunctionPolicy(fallback.library, fallback.symbol, len(observations), list(limits))
        except ValueError as error:
            raise ConfigError(f"fallback.library: {error}") from error
        return made, f"{fallback.symbol} of {fallback.library}"
    if fallback.kind is FallbackKind.PYTHON:
        if not simulated:
            raise ConfigError('fallback.kind = "python": only for simulated devices; it takes the interpreter lock')
        made_function = function_policy("fallback.function", fallback.function, sheet, limits)
        return made_function, f"{fallback.function}, in Python"
    pds = fallback.pd if fallback.kind is FallbackKind.PD else {}
    return pd_policy(pds, sheet, limits), "PD controller" if pds else "rests"


def pd_policy(pds: Mapping[str, Pd], sheet: DataSheet, limits: Sequence[Limits]) -> _core.PdPolicy:
    """A PD controller by actuator; one without a table rests. Limits in force."""
    observations = [row.name for row in sheet.observations]
    rows = [
        _pd_row(pds[row.name], observations, limits[k], sheet.period_s)
        if row.name in pds
        else (_rest(limits[k]), [0.0] * len(observations), [0.0] * len(observations))
        for k, row in enumerate(sheet.actuators)
    ]
    return _core.PdPolicy(len(observations), [r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows])


def function_policy(key: str, given: Any, sheet: DataSheet, limits: Sequence[Limits]) -> _core.PyFunctionPolicy:
    """A controller of a Python function or its name, MODULE:NAME; `key` names it in errors. Raises ConfigError."""
    name, function = (given, imported(key, given)) if isinstance(given, str) else (key, given)
    return _core.PyFunctionPolicy(_unmasked(name, function), sheet.observation_size, list(limits))


def _pd_row(
    pd: Pd, observations: Sequence[str], limits: Limits, period_s: float
) -> tuple[float, list[float], list[float]]:
    """Bias, gains and difference gains of one actuator in the policy's units: u = bias + p (target - x) - d dx/dt."""
    low, high = limits.min, limits.max
    scale = 2.0 / (high - low)
    u = pd.bias + sum(pd.p.get(name, 0.0) * pd.target.get(name, 0.0) for name in observations)
    p = [-scale * pd.p.get(name, 0.0) for name in observations]
    d = [-scale * pd.d.get(name, 0.0) / period_s for name in observations]
    return scale * (u - low) - 1.0, p, d


@dataclass(frozen=True)
class _FrozenAgent:
    """A learner from a checkpoint that does not learn."""

    agent: Any

    def policy(self) -> _core.Policy:
        policy: _core.Policy = self.agent.core.policy()
        return policy


def _frozen(path: str, observation_size: int, action_size: int) -> _FrozenAgent:
    from rtu_edge.learn import load

    agent: Any = load(path)
    if not hasattr(agent.core, "policy"):
        raise ConfigError(f"fallback.checkpoint: {path} holds no agent that acts")
    if agent.config["previous_action"] or agent.config["previous_reward"]:
        raise ConfigError(
            f"fallback.checkpoint: {path} was made with previous_action or previous_reward; a fallback gets only "
            "observations"
        )
    sizes = (
        ("observations", agent.config.get("observation_size"), observation_size),
        ("actuators", agent.config.get("action_size") or 1, action_size),
    )
    for what, own, theirs in sizes:
        if own != theirs:
            raise ConfigError(f"fallback.checkpoint: {path} was made for {own} {what}, the device has {theirs}")
    return _FrozenAgent(agent)


def _unmasked(name: str, function: Any) -> Any:
    """The same, but a masked array that it returns is an error: under a mask there is no value."""

    def checked(observation: Any, first: bool) -> Any:
        command = function(observation, first)
        if isinstance(command, np.ma.MaskedArray):
            raise ValueError(f"{name} returned a masked array")
        return command

    return checked


def imported(key: str, name: str) -> Any:
    """What a name, MODULE:NAME, names; `key` names it in errors. Raises ConfigError."""
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except (Exception, SystemExit) as error:  # a user's module may raise anything on import
        reason = str(error) if isinstance(error, (ImportError, AttributeError)) else f"{type(error).__name__}: {error}"
        raise ConfigError(f"{key}: cannot import {name}: {reason}") from error
    if not callable(found):
        raise ConfigError(f"{key}: {name} is not callable")
    return found
