"""Arguments of learners that follow from a horizon: the time over which rewards or cumulants count."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rtu_edge._base.validation import check_number
from rtu_edge.learn import parameters
from rtu_edge.learn.parameters import AC
from rtu_edge.learn.ranges import Number

__all__ = ["DEFAULT", "actor_critic", "predictor"]

DEFAULT = 50.0  # periods: 1 / (1 - gamma) of StreamAC's defaults


def _periods(horizon_s: float, period_s: float, most: float, name: str = "horizon_s") -> float:
    period = check_number("period_s", period_s, 0.0, 1e3, open_low=True)
    return check_number(name, horizon_s, 2 * period, most * period) / period


def predictor(horizon_s: float, period_s: float) -> dict[str, Any]:
    """TDPredictor's arguments; see TDPredictor.for_horizon()."""
    steps = _periods(horizon_s, period_s, 1e5)
    return {
        "units": 32,
        "hidden": (16,),
        "activation": "tanh",
        "gamma": 1 - 1 / steps,
        "trace_decay": math.exp(-1 / steps),
        "optimizer": "adam",
        "step_size": 3e-4,
        "r_min": math.exp(-2 / steps),
        "r_max": math.exp(-0.1 / steps),
        "max_phase": 2 * math.pi / steps,
        "normalize_observation": True,
        "scale_cumulant": True,
    }


def actor_critic(name: str, horizon_s: float, period_s: float, given: Mapping[str, Any]) -> dict[str, Any]:
    """StreamAC's arguments: what the defaults name per period, for s periods; see StreamAC.for_horizon().

    Args:
        name: of the horizon, for an error.
        given: arguments that replace derived ones; one trace_decay is that of the critic, too.
    """
    s = _periods(horizon_s, period_s, 1e4, name) / DEFAULT
    plain = parameters.check(AC, {"observation_size": 1, "action_size": 1})

    def highest(name: str) -> float:
        kind = parameters.find(AC, name).kind
        assert isinstance(kind, Number)
        return kind.high

    def each(table: Mapping[str, float]) -> dict[str, float]:
        return {key: value ** (1 / s) for key, value in table.items()}

    derived = {
        "gamma": plain["gamma"] ** (1 / s),
        "trace_decay": each(plain["trace_decay"]),
        "critic": {"trace_decay": each(plain["critic"]["trace_decay"])},
        "r_min": min(plain["r_min"] ** (1 / s), highest("r_min")),
        "max_phase": min(plain["max_phase"], plain["max_phase"] / s),
        "actor_warmup": round(plain["actor_warmup"] * s),
        "exploration_correlation": min(plain["exploration_correlation"] ** (1 / s), highest("exploration_correlation")),
    }
    if not isinstance(given.get("critic") or {}, Mapping):
        return {**derived, **given}  # which the class refuses
    critic = {} if given.get("trace_decay") is not None else derived["critic"]
    return {**derived, **given, "critic": {**critic, **(given.get("critic") or {})}}
