"""Arguments of learners that follow from a horizon: the time over which rewards or cumulants count."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rtu_edge._base.errors import ConfigError
from rtu_edge._base.validation import check_int, check_number
from rtu_edge.learn import parameters
from rtu_edge.learn.parameters import AC, TD
from rtu_edge.learn.ranges import Number, PerHead

__all__ = ["DEFAULT", "MOST_LAG", "actor_critic", "bank", "low_phase", "predictor"]

DEFAULT = 50.0  # periods: 1 / (1 - gamma) of StreamAC's defaults
MOST_LAG = 100_000  # steps


def _periods(horizon_s: float, period_s: float, most: float, name: str = "horizon_s") -> float:
    period = check_number("period_s", period_s, 0.0, 1e3, open_low=True)
    return check_number(name, horizon_s, 2 * period, most * period) / period


def _highest(learner: str, name: str) -> float:
    kind = parameters.find(learner, name).kind
    assert isinstance(kind, Number)
    return kind.high


def _network(shortest: float, longest: float) -> dict[str, Any]:
    """Of a predictor whose horizons are from `shortest` to `longest` periods."""
    return {
        "units": 32,
        "hidden": (16,),
        "activation": "tanh",
        "optimizer": "adam",
        "step_size": 3e-4 * min(1.0, math.sqrt(80.0 / longest)),
        "beta2": min(max(0.999, 1 - 1 / (30 * longest)), _highest(TD, "beta2")),
        "r_min": math.exp(-2 / shortest),
        "r_max": math.exp(-0.1 / longest),
        "max_phase": 2 * math.pi / shortest,
        "normalize_observation": True,
        "scale_cumulant": True,
    }


def predictor(horizon_s: float, period_s: float) -> dict[str, Any]:
    """TDPredictor's arguments; see TDPredictor.for_horizon()."""
    steps = _periods(horizon_s, period_s, 1e5)
    return {**_network(steps, steps), "gamma": 1 - 1 / steps, "trace_decay": math.exp(-1 / steps)}


def bank(horizon_s: float | Sequence[float], period_s: float) -> dict[str, Any]:
    """TDBank's arguments; see TDBank.for_horizon()."""
    each = PerHead(Number(0.0, 1e9), 4096).check("horizon_s", horizon_s)
    one = len(each) == 1
    steps = [_periods(s, period_s, 1e5, "horizon_s" if one else f"horizon_s[{k}]") for k, s in enumerate(each)]
    decays = {"gammas": [1 - 1 / n for n in steps], "trace_decay": [math.exp(-1 / n) for n in steps]}
    longest = max(steps)
    slower = {"step_size": 1.5e-4 * min(1.0, math.sqrt(80.0 / longest)), "r_max": math.exp(-0.3 / longest)}
    return {**_network(min(steps), longest), **slower, **decays}


def low_phase(lag: int, least: float = 0.9) -> dict[str, Any]:
    """Arguments for a cell with poles whose credit over a lag is coherent from the start, whatever its decays are.

    >>> from rtu_edge.learn import low_phase
    >>> {name: round(value, 4) for name, value in low_phase(32).items()}
    {'r_min': 0.9394, 'max_phase': 0.0282}

    Args:
        lag: steps from an input to the reward that it explains, 1 to 100 000.
        least: coherence of each pole at every lag up to this one, above 0, below 1.

    Returns:
        r_min: exp(-2 / lag). max_phase: 2 acos(least) / lag, rad per step.

    Raises:
        ConfigError: an argument out of its range.

    Source:
        The sum's terms lie within lag max_phase / 2 of the phase of the middle one.
    """
    n = check_int("lag", lag, 1, MOST_LAG)
    share = check_number("least", least, 0.0, 1.0, open_low=True)
    if share == 1.0:
        raise ConfigError("least = 1.0: expected a number below 1; only phases of 0 have coherence 1")
    return {"r_min": math.exp(-2 / n), "max_phase": 2 * math.acos(share) / n}


def actor_critic(
    name: str, horizon_s: float, period_s: float, given: Mapping[str, Any], coherent: bool = False
) -> dict[str, Any]:
    """StreamAC's arguments: what the defaults name per period, for s periods; see StreamAC.for_horizon().

    Args:
        name: of the horizon, for an error.
        given: arguments that replace derived ones; one trace_decay is that of the critic, too.
        coherent: poles of low_phase().
    """
    steps = _periods(horizon_s, period_s, 1e4, name)
    s = steps / DEFAULT
    plain = parameters.check(AC, {"observation_size": 1, "action_size": 1})

    def each(table: Mapping[str, float]) -> dict[str, float]:
        return {key: value ** (1 / s) for key, value in table.items()}

    derived = {
        "gamma": plain["gamma"] ** (1 / s),
        "trace_decay": each(plain["trace_decay"]),
        "critic": {"trace_decay": each(plain["critic"]["trace_decay"])},
        "r_min": min(plain["r_min"] ** (1 / s), _highest(AC, "r_min")),
        "max_phase": min(plain["max_phase"], plain["max_phase"] / s),
        "actor_warmup": round(plain["actor_warmup"] * s),
        "exploration_correlation": min(
            plain["exploration_correlation"] ** (1 / s), _highest(AC, "exploration_correlation")
        ),
    }
    if coherent:
        derived |= low_phase(round(steps))
    if not isinstance(given.get("critic") or {}, Mapping):
        return {**derived, **given}  # which the class refuses
    critic = {} if given.get("trace_decay") is not None else derived["critic"]
    return {**derived, **given, "critic": {**critic, **(given.get("critic") or {})}}
