"""Sizes of a learner for an environment, and the scaling of its actions. Nothing here imports Gymnasium.

An environment is one of
    a Gymnasium environment   observation_space a Box of one dimension, action_space Discrete or a bounded Box;
    a Plant or a Robot        anything with a data sheet: sheet.observation_size, sheet.action_size, scale(action).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rtu_edge._base.errors import ConfigError
from rtu_edge.learn import parameters

__all__ = ["Fit", "fit"]

_TAKEN = "expected a Gymnasium environment, a Plant or a Robot"


@dataclass(frozen=True)
class Fit:
    """The match between a learner and an environment.

    Attributes:
        sizes: arguments of StreamAC: observation_size, and action_size or n_actions; dt_s where the period is known.
        to_env: converts a learner's action for the environment.
    """

    sizes: dict[str, Any]
    to_env: Callable[[Any], Any]


def fit(env: Any, n_actions: int | None = None, learner: str = "StreamAC") -> Fit:
    """The sizes of a learner for an environment, and the scaling of its actions.

    Args:
        env: a Gymnasium environment, a Plant or a Robot.
        n_actions: evenly spaced levels of the only actuator of a Plant or a Robot, for a learner with discrete actions.
        learner: its class, for messages.

    Raises:
        ConfigError: not an environment, or spaces that no learner supports; the message names the reason.
    """
    sheet = getattr(env, "sheet", None)
    if sheet is not None and hasattr(env, "scale"):
        return _fit_sheet(env, sheet, n_actions, learner)
    seen, acted = (getattr(env, f"{name}_space", None) for name in ("observation", "action"))
    if seen is None or acted is None:
        raise ConfigError(f"env = {env!r}: {_TAKEN}")
    if getattr(env, "num_envs", 1) != 1 or hasattr(env, "single_observation_space"):
        raise ConfigError(
            f"env = {env!r}: a vector of environments; {learner} learns from one stream: give one environment"
        )
    if n_actions is not None:
        raise ConfigError(f"n_actions = {n_actions!r}: follows from the action space, {acted}")
    sizes: dict[str, Any] = {"observation_size": _observation_size(seen, learner)}
    acting, to_env = _actions(acted, learner)
    sizes |= acting
    period_s = getattr(getattr(getattr(env, "unwrapped", None), "sheet", None), "period_s", 0.0)
    if period_s > 0:  # an environment of rtu_edge.envs
        sizes["dt_s"] = period_s
    return Fit(sizes, to_env)


def _fit_sheet(env: Any, sheet: Any, n_actions: int | None, learner: str) -> Fit:
    seen = _limited("observations of the data sheet", sheet.observation_size, "observation_size", learner)
    sizes: dict[str, Any] = {"observation_size": seen}
    if sheet.period_s > 0:
        sizes["dt_s"] = sheet.period_s
    if n_actions is None:
        sizes["action_size"] = _limited("actuators of the data sheet", sheet.action_size, "action_size", learner)
        return Fit(sizes, env.scale)
    if sheet.action_size != 1:
        raise ConfigError(f"n_actions = {n_actions!r}: {sheet.action_size} actuators; levels are for one actuator")
    sizes["n_actions"] = parameters.find(parameters.AC, "n_actions").kind.check("n_actions", n_actions)
    top = np.float32(sizes["n_actions"] - 1)
    return Fit(sizes, lambda index: env.scale([np.float32(2.0) * (np.float32(index) / top) - np.float32(1.0)]))


def _limited(what: str, size: int, name: str, learner: str) -> int:
    """The size, or ConfigError beyond a learner's limit, which is StreamAC's for each of them."""
    kind: Any = parameters.find(parameters.AC, name).kind
    if not kind.low <= size <= kind.high:
        raise ConfigError(f"{what}: {size}; {learner} takes {name} {kind.allowed}")
    return int(size)


def _is(space: Any, name: str) -> bool:
    """The space is Gymnasium's class of this name, or derived from it."""
    return any(base.__name__ == name for base in type(space).__mro__)


def _observation_size(space: Any, learner: str) -> int:
    named = f"observation space {_short(space)}"
    if not _is(space, "Box"):
        hint = "; gymnasium.wrappers.FlattenObservation makes one" if _is(space, "Dict") or _is(space, "Tuple") else ""
        raise ConfigError(f"{named}: expected a Box of one dimension{hint}")
    if len(space.shape) != 1:
        raise ConfigError(
            f"{named}: shape {space.shape}; expected one dimension; gymnasium.wrappers.FlattenObservation makes one"
        )
    return _limited(named, space.shape[0], "observation_size", learner)


def _actions(space: Any, learner: str) -> tuple[Mapping[str, int], Callable[[Any], Any]]:
    named = f"action space {_short(space)}"
    if _is(space, "Discrete"):
        first = int(space.start)
        return {"n_actions": _limited(named, int(space.n), "n_actions", learner)}, lambda index: first + int(index)
    if not _is(space, "Box"):
        reason = ""
        if _is(space, "MultiDiscrete") or _is(space, "MultiBinary"):
            reason = f"; {learner} chooses one of n actions, not several choices at once"
        raise ConfigError(f"{named}: expected Discrete or a Box{reason}")
    if len(space.shape) != 1:
        raise ConfigError(f"{named}: shape {space.shape}; expected one dimension")
    if not np.issubdtype(space.dtype, np.floating):
        raise ConfigError(f"{named}: dtype {space.dtype}; expected floating-point actions")
    if not (np.isfinite(space.low).all() and np.isfinite(space.high).all()):
        raise ConfigError(f"{named}: no bounds; expected finite ones, to which actions in [-1, 1] are scaled")
    size = _limited(named, space.shape[0], "action_size", learner)
    low, high = (np.asarray(end, dtype=np.float64) for end in (space.low, space.high))
    with np.errstate(over="ignore"):
        if not np.isfinite(high - low).all():
            raise ConfigError(f"{named}: wider than the largest float64; expected narrower bounds")
    if (low == -1).all() and (high == 1).all():
        return {"action_size": size}, lambda action: np.asarray(action, dtype=space.dtype)

    def scaled(action: Any) -> Any:
        share = (np.asarray(action, dtype=np.float64) + 1.0) * 0.5
        return np.clip((low + share * (high - low)).astype(space.dtype), space.low, space.high)

    return {"action_size": size}, scaled


def _short(space: Any) -> str:
    """The space in words, without the numbers of a long Box."""
    text = " ".join(str(space).split())
    return text if len(text) <= 80 else f"{type(space).__name__} of shape {getattr(space, 'shape', None)}"
