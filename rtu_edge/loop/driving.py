"""An agent's supervised policy for a robot, and the check that its step fits the period."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rtu_edge._base.errors import ConfigError, DeadlineError
from rtu_edge._base.validation import check_bool, counted, period_problem
from rtu_edge.device.limits import too_many_values
from rtu_edge.device.schema import DataSheet, Limits
from rtu_edge.learn.footprint import StepTimes, footprint
from rtu_edge.loop.loop import policy_of
from rtu_edge.loop.supervision import Fallback, LearnerMonitor, Sensor, Supervisor
from rtu_edge.loop.supervisor import Supervised, Tables, supervise

__all__ = [
    "Defaults",
    "as_config_error",
    "check_deadline",
    "check_fit",
    "check_reward",
    "only_here",
    "supervised_agent",
]

_driving: dict[int, object] = {}  # of each agent, while a robot's run() uses it: whose


@dataclass(frozen=True)
class _AnyReward:
    min: float | None = None
    max: float | None = None


@dataclass(frozen=True)
class Defaults:
    """The tables of a supervisor with the defaults of `rtu-edge run`: the learner drives, watched by sensor monitor and
    learner monitor; the fallback rests.
    """

    supervisor: Supervisor = field(default_factory=Supervisor)
    fallback: Fallback = field(default_factory=Fallback)
    learner_monitor: LearnerMonitor = field(default_factory=LearnerMonitor)
    sensor: Mapping[str, Sensor] = field(default_factory=dict)
    reward: _AnyReward = field(default_factory=_AnyReward)


def check_fit(agent: Any, name: str, sheet: DataSheet, *, any_period: bool = False) -> None:
    """Compare sizes, and the periods where the agent has one.

    Args:
        any_period: accept another period.

    Raises:
        ConfigError: the agent has other sizes than the device, or a period that differs by more than 20 %; the message
            has both.
    """
    policy = policy_of(agent)
    n, m = policy.observation_size, 1 if policy.n_levels else policy.action_size
    if (n, m) == (sheet.observation_size, sheet.action_size):
        config = getattr(agent, "config", None)
        dt_s = config.get("dt_s") if isinstance(config, Mapping) else getattr(agent, "dt_s", None)
        problem = (
            ""
            if check_bool("any_period", any_period)
            else period_problem(dt_s, name, sheet.period_s, "any_period=True")
        )
        if problem:
            raise ConfigError(f"agent: {problem}")
        return
    if reason := too_many_values(n, m):
        raise ConfigError(
            f"agent: made for {counted(n, 'observation')} and {counted(m, 'actuator')}; over a serial link at most 55 "
            f"together{reason}. Learn in a loop of your own, or in an environment"
        )
    seen, moved = (", ".join(each.name for each in rows) for rows in (sheet.observations, sheet.actuators))
    raise ConfigError(
        f"agent: made for {counted(n, 'observation')} and {counted(m, 'actuator')}; {name} has "
        f"{counted(sheet.observation_size, 'observation')} ({seen}) and "
        f"{counted(sheet.action_size, 'actuator')} ({moved})"
    )


@contextmanager
def only_here(agent: Any) -> Iterator[None]:
    """Two loops on one learner would write to its memory at the same time.

    Raises:
        ConfigError: the agent drives another robot at the moment.
    """
    key, own = id(getattr(agent, "core", agent)), object()
    if _driving.setdefault(key, own) is not own:  # one operation: of two threads, one finds the other's
        raise ConfigError(
            "agent: it drives another robot at the moment; agent.copy() before that run makes one for this robot"
        )
    try:
        yield
    finally:
        del _driving[key]


def check_reward(kind: str, name: str, *, sent: bool, simulated: bool) -> None:
    """Whether run() has a reward.

    Args:
        kind: of the Reward.
        name: of the device.
        sent: the device or the caller gives one, or none is needed.
        simulated: nothing real moves.

    Raises:
        ConfigError: there is none, or it is a function on real hardware.
    """
    if not sent:
        raise ConfigError(f"{name} sends no reward: give reward=, a Reward or a function")
    if kind == "callable" and not simulated:
        raise ConfigError(
            "reward: a function is called by run() on simulated devices only, as each step then waits for the "
            "interpreter; give a Reward of kind form, or let the device send one"
        )


def supervised_agent(
    agent: Any, sheet: DataSheet, limits: Sequence[Limits], simulated: bool, tables: Tables | bool
) -> Supervised | None:
    """The agent's supervised policy; None if it is not a learner, and for tables=False.

    Args:
        limits: in force.
        simulated: a fallback written in Python is refused on real hardware.
        tables: a configuration's, such as load_config() returns; True: Defaults.

    Raises:
        ConfigError: tables and device do not fit.
    """
    if tables is False or not hasattr(getattr(agent, "core", None), "policy"):
        return None
    if tables is not True and not hasattr(tables, "sensor"):
        raise ConfigError(f"supervisor = {tables!r}: expected True, False, or a configuration as load_config() returns")
    chosen = Defaults() if tables is True else tables
    return supervise(chosen, agent.core.policy(), sheet, limits, simulated=simulated)


def check_deadline(agent: Any, period_s: float) -> StepTimes:
    """Measure a step of such a learner on this host, for a fifth of a second; the agent is not changed.

    Returns:
        Its parts. If only the update does not fit, the deadline rule will drop some updates.

    Raises:
        DeadlineError: predict and traces, which are never dropped, do not fit the period: arming would be useless.
    """
    times = footprint(agent.config).calibrate().times
    assert times is not None
    needed_us, period_us = times.predict_us + times.traces_us, period_s * 1e6
    if needed_us > period_us:
        raise DeadlineError(
            f"predict and traces take {needed_us:.3g} us on this host ({times.isa}), the device's period is"
            f" {period_us:.3g} us: choose a smaller learner (`rtu-edge size`), or a longer period"
        )
    return times


@contextmanager
def as_config_error() -> Iterator[None]:
    """Converts a ValueError about the device to a ConfigError."""
    try:
        yield
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(str(error)) from error
