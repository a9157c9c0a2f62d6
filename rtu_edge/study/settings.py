"""Settings of the learners of a study from `--set learner.KEY=VALUE`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import msgspec.inspect

from rtu_edge._base.errors import ConfigError
from rtu_edge._base.strict import override, problems
from rtu_edge.config.learner import Actions, Learner

_SCHEMA = msgspec.inspect.type_info(Learner)

__all__ = ["learner_settings"]


def learner_settings(overrides: Sequence[str]) -> dict[str, Any]:
    """Arguments of StreamAC.from_env() from overrides of `[learner]`.

    >>> learner_settings(["learner.units=64", "learner.actor.kappa=3", "learner.actions=discrete"])
    {'units': 64, 'actor': {'kappa': 3}, 'n_actions': 2}

    Raises:
        ConfigError: not a key of [learner], or a value out of its range.
    """
    data: dict[str, Any] = {}
    for text in overrides:
        override(data, text)
    if other := [table for table in data if table != "learner"]:
        raise ConfigError(f"--set {other[0]}: a study has keys of [learner] only, such as learner.units=64")
    given = data.get("learner", {})
    if not isinstance(given, dict):
        raise ConfigError("--set learner: expected one of its keys, such as learner.units=64")
    if found := list(problems(_SCHEMA, given)):
        raise ConfigError([f"learner.{text}" for text in found])
    learner = msgspec.convert(given, Learner)
    settings = learner.arguments()
    if learner.horizon_s is not None:
        settings["horizon_s"] = learner.horizon_s
    if learner.actions is Actions.DISCRETE:
        settings["n_actions"] = learner.levels
    return {**settings, **{key: list(value) for key, value in settings.items() if isinstance(value, tuple)}}
