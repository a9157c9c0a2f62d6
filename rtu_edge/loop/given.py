"""A user's limits, reward and clock for a device, checked against its data sheet."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from rtu_edge._base.errors import ConfigError
from rtu_edge._base.validation import counted
from rtu_edge.device.schema import Channel, Hello, Limits
from rtu_edge.loop.flags import Clock
from rtu_edge.loop.loop import clock_of
from rtu_edge.loop.options import Reward

__all__ = ["GivenLimits", "GivenReward", "arming_example", "clock_given", "own_limits", "reward_given", "reward_in_run"]

Array = npt.NDArray[np.float32]
GivenLimits = Mapping[str, Limits] | Sequence[Limits] | None
GivenReward = Reward | Callable[[Array, Array], float] | None


def own_limits(given: GivenLimits, actuators: Sequence[Channel], hello: Hello, *, arm: bool) -> list[Limits]:
    """One per actuator, or an empty list for the device's own.

    Args:
        given: by the actuators' names, in their order, or None.
        arm: real hardware will move: explicit limits are required for each actuator.

    Raises:
        ConfigError: unknown names, another number, or missing ones.
    """
    names = [actuator.name for actuator in actuators]
    if given is not None and not isinstance(given, Mapping):
        given = _by_name(given, names)
    found: dict[str, Any] = dict(given or {})
    problems: list[str] = []
    for name, limits in found.items():
        if name not in names:
            close = difflib.get_close_matches(str(name), names, n=1)
            hint = f'; did you mean "{close[0]}"?' if close else ""
            problems.append(f"limits[{name!r}]: the device has no such actuator; it has {', '.join(names)}{hint}")
        elif not isinstance(limits, Limits):
            problems.append(f"limits[{name!r}] = {limits!r}: expected rtu_edge.Limits")
    if arm and not hello.simulated:
        for name in names:
            limits = found.get(name)
            if limits is None:
                problems.append(f"limits[{name!r}]: missing; real hardware needs min, max, slew_per_s and accel_per_s2")
            elif isinstance(limits, Limits):
                problems += [
                    f"limits[{name!r}].{key}: missing; required on real hardware; math.inf means no limit"
                    for key in ("slew_per_s", "accel_per_s2")
                    if getattr(limits, key) is None
                ]
    if problems:
        raise ConfigError(problems)
    if not found:
        return []
    return [found.get(actuator.name, Limits(actuator.min, actuator.max)) for actuator in actuators]


def _by_name(given: Any, names: Sequence[str]) -> dict[str, Limits]:
    try:
        values = list(given)
    except TypeError:
        raise ConfigError(f"limits = {given!r}: expected a mapping from actuators to rtu_edge.Limits") from None
    if isinstance(given, (str, bytes)) or len(values) != len(names):
        raise ConfigError(
            f"limits: {len(values)} given, the device has {counted(len(names), 'actuator')}: {', '.join(names)}"
        )
    return dict(zip(names, values, strict=True))


def arming_example(target: str, actuators: Sequence[Channel]) -> str:
    """The arguments required to move real hardware; the target as an expression."""
    rows = ", ".join(
        f'"{each.name}": rtu.Limits({each.min:g}, {each.max:g}, slew_per_s=..., accel_per_s2=...)' for each in actuators
    )
    return f"arm=True and explicit limits for each actuator: rtu.connect({target}, arm=True, limits={{{rows}}})"


def clock_given(clock: Clock | str | None, hello: Hello) -> Clock:
    """A clock by name, or the default of the device. Raises ConfigError."""
    if clock is None:
        return clock_of(hello)
    try:
        found = Clock(clock)
    except ValueError:
        raise ConfigError(f"clock = {clock!r}: expected one of {', '.join(each.value for each in Clock)}") from None
    if found is Clock.LOCKSTEP and clock_of(hello) is not found:
        raise ConfigError("clock = 'lockstep': needs a simulated device that offers lockstep and RESET")
    return found


def reward_given(reward: GivenReward, hello: Hello) -> Reward:
    """A Reward, also from a function; default: the device's, or none. Raises ConfigError."""
    if reward is None:
        return Reward() if hello.reward else Reward("form")
    if isinstance(reward, Reward):
        return reward
    if not callable(reward):
        raise ConfigError(f"reward = {reward!r}: expected a Reward, or a function of observation and command")
    return Reward("callable", function=reward)


def reward_in_run(
    given: GivenReward, own: Reward, hello: Hello, inside: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> Reward:
    """The reward of a run: the given one, or the robot's own; `inside` wraps a function for the loop's thread."""
    reward = own if given is None else reward_given(given, hello)
    if reward.function is None or reward.kind != "callable":
        return reward
    return replace(reward, function=inside(reward.function))
