"""TDBank: many predictions on one recurrent body."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rtu_edge import _core
from rtu_edge._base.errors import ConfigError
from rtu_edge.learn import parameters
from rtu_edge.learn.base import Array, Learner

__all__ = ["TDBank"]


class TDBank(Learner):
    """TD(lambda) predictions of the discounted sums of many signals, on one recurrent body.

    >>> import rtu_edge as rtu
    >>> bank = rtu.TDBank(observation_size=2, gammas=(0.9, 0.95, 0.99), seed=0)
    >>> bank.step([1.0, 0.0], cumulants=[0.0, 1.0, 0.5]).shape
    (3,)

    Head k predicts the sum of cumulant k, discounted by gammas[k]. A head costs memory and time in proportion to the
    features, not to the recurrent weights. The body's gradient is that of the sum of all heads' errors at lambda 0;
    each head has its own lambda (docs/math_bank.md).

    Args:
        observation_size: Width d of the input, 1 to 65536.
        gammas: Discount factor per step of each head, a number of 0 to 1, or a sequence of at most 4096; as many heads
            as numbers.
        units: Recurrent units n of each network, 1 to 65536.
        trace_decay: Decay lambda of the eligibility traces of each head per step, a number of 0 to 1, or a sequence of
            at most 4096; one number is for all; that of the body is 0.
        seed: Random seed, 0 to 2^64 - 1.
        hidden: Layers after the recurrent cell, a width of 1 to 65536, or a sequence of at most 4.
        encoder: Layers before the recurrent cell, a width of 1 to 65536, or a sequence of at most 4; they learn by the
            gradient of one step through it (docs/math_credit.md).
        cell: Recurrent cell, one of "linear", "nonlinear", "mingru", "lru", "elstm", "none"; "linear", "nonlinear":
            recurrent trace units; "none": memoryless baseline (docs/math_cells.md).
        credit: How the recurrent cell learns, one of "rtrl", "tbptt1", "frozen"; "rtrl": by exact gradients; "tbptt1":
            by the gradient of one step; "frozen": not at all.
        activation: Activation function of the recurrent cell, one of "relu", "tanh", "identity".
        units_per_pole: Units that share one pole and its traces, 1 to 4096; a divisor of the number of units; 1 for
            "nonlinear", "mingru" and "elstm".
        optimizer: Optimizer, one of "obgd", "sgd", "adam"; "obgd": overshooting-bounded gradient descent.
        step_size: Step size, 0 to 1e6; 0 freezes the weights; default 1 with "obgd", 0.001 with "sgd" and "adam".
        beta2: Decay of the optimizer's second moments per step, as with "adam", 0.9 to 0.99999; its memory 1 / (1 -
            beta2) should be many times the time between events (docs/prediction.md).
        kappa: Factor kappa of the step bound of "obgd", above 0, at most 1e6; larger values take smaller steps.
        r_min: Smallest retention of a pole, or of a gate at input 0, at initialisation, 0 to 0.9999999; at most r_max.
        r_max: Largest retention of a pole, or of a gate at input 0, at initialisation, above 0, at most 1.
        max_phase: Largest phase of a pole at initialisation, above 0, at most 1000 rad per step.
        sparsity: Share of zero weights in dense layers at initialisation, 0 to 1; each row keeps one weight.
        normalize_observation: Normalise each channel by its running mean and variance; a channel that has not moved
            gives 0.
        observation_bound: Clip normalised observations and the readings in their statistics, 0, or 2 to 1e6 standard
            deviations; 0 disables clipping.
        scale_cumulant: Learn cumulants in units of the running root mean square of their discounted sum.
        dtype: Number format, one of "float32", "float64"; "float32" for work; "float64" for verification (scalar code).

    Raises:
        ConfigError: an argument out of its range; the message names it.
    """

    kind = "td_bank"

    def __init__(
        self,
        observation_size: int,
        gammas: float | Sequence[float],
        units: int = 32,
        trace_decay: float | Sequence[float] = 0.9,
        seed: int = 0,
        *,
        hidden: int | Sequence[int] = (),
        encoder: int | Sequence[int] = (),
        cell: str = "linear",
        credit: str = "rtrl",
        activation: str = "tanh",
        units_per_pole: int = 1,
        optimizer: str = "adam",
        step_size: float | None = None,
        beta2: float = 0.999,
        kappa: float = 2.0,
        r_min: float = 0.9,
        r_max: float = 1.0,
        max_phase: float = 0.6,
        sparsity: float = 0.9,
        normalize_observation: bool = True,
        observation_bound: float = 10.0,
        scale_cumulant: bool = True,
        dtype: npt.DTypeLike = "float32",
    ) -> None:
        self._build(locals())

    @classmethod
    def for_horizon(
        cls, observation_size: int, horizon_s: float | Sequence[float], period_s: float, seed: int = 0, **settings: Any
    ) -> TDBank:
        """A bank with settings derived from the horizons of its heads, here four in a loop of 100 Hz.

        >>> import rtu_edge as rtu
        >>> bank = rtu.TDBank.for_horizon(observation_size=2, horizon_s=(0.1, 0.2, 0.4, 0.8), period_s=0.01)
        >>> bank.config["gammas"], round(bank.config["r_max"], 4)
        ([0.9, 0.95, 0.975, 0.9875], 0.9963)

        With H = horizon_s / period_s of a head, its gamma is 1 - 1/H and its trace_decay exp(-1/H). The initial poles
        have time constants from half the shortest horizon to three times the longest, r_min = exp(-2/H) and r_max =
        exp(-0.3/H), and rotate at most once in the shortest, max_phase = 2 pi/H. The rest is that of
        TDPredictor.for_horizon() for the longest, with half the step size: the errors of all heads move one body.
        `config` of the bank names every setting.

        Args:
            observation_size: d, 1 or more.
            horizon_s: seconds over which each cumulant is summed with decreasing weight, 2 to 10^5 periods; a number,
                or a sequence of at most 4096 for as many heads.
            period_s: seconds from one step() to the next, above 0.
            seed: 0 to 2^64 - 1.
            settings: arguments of the class that replace derived ones.

        Raises:
            ConfigError: an argument out of its range; the message names it.
            TypeError: a setting that the class does not have.

        Source: measured, docs/prediction.md.
        """
        from rtu_edge.learn import horizon  # here: the package's import stays quick

        suggested = horizon.bank(horizon_s, period_s)
        if settings.get("optimizer", "adam") != "adam":
            del suggested["step_size"]  # Adam's
        return cls(observation_size, seed=seed, **{**suggested, **settings})

    def _build(self, given: Mapping[str, Any]) -> None:
        arguments = parameters.check(self.kind, given)
        gammas, decays = arguments["gammas"], arguments["trace_decay"]
        if len(decays) not in (1, len(gammas)):
            raise ConfigError(f"trace_decay: {len(decays)} numbers; expected 1, or {len(gammas)} as for gammas")
        each = decays * len(gammas) if len(decays) == 1 else decays
        optimizer = {"rule": arguments["optimizer"], **{key: arguments[key] for key in ("step_size", "kappa", "beta2")}}
        self._start(_core.TDBank, {**arguments, "trace_decay": each, "optimizer": optimizer}, arguments)

    def step(self, x: npt.ArrayLike, cumulants: npt.ArrayLike) -> Array:
        """Learns from the transition into x and returns the predictions at x, in the cumulants' units.

        Args:
            x: (observation_size,) finite.
            cumulants: (heads,) the signals that arrived with x, -1e30 to 1e30.

        Returns:
            (heads,) of the learner's dtype.

        Raises:
            ValueError: shape, dtype or value; nothing has changed.
        """
        values: Array = self._core.step(x, cumulants)
        return values

    def run(self, x: npt.ArrayLike, cumulants: npt.ArrayLike) -> Array:
        """Many steps in one call, bit-identical to as many calls of step().

        Other threads of Python continue meanwhile, but may not use this learner.

        Args:
            x: (k, observation_size).
            cumulants: (k, heads) the signals that arrived with each row.

        Returns:
            (k, heads) the predictions at each row.

        Raises:
            ValueError: shape, dtype or value; nothing has changed.
        """
        values: Array = self._core.run(x, cumulants)
        return values

    def bind(self, x_buffer: Array, cumulants_buffer: Array, values_buffer: Array) -> None:
        """Names the arrays that step_bound() reads and writes in place; they are kept.

        Args:
            x_buffer: (observation_size,) of this learner's dtype, contiguous.
            cumulants_buffer: (heads,) the same.
            values_buffer: (heads,) the same, writable.

        Raises:
            ValueError: another dtype, shape or layout: nothing is ever converted here.
        """
        self.__dict__.update(self._core.bind(x_buffer, cumulants_buffer, values_buffer))

    def step_bound(self) -> None:
        """As step(), with the bound arrays.

        Raises:
            ValueError: x is not finite, or a cumulant out of range; nothing has changed.
            RuntimeError: bind() was not called before.
        """
        raise RuntimeError("step_bound() before bind(): call bind(x_buffer, cumulants_buffer, values_buffer) first")

    def reset(self) -> None:
        """Starts a new stream: zeroes state, traces and eligibilities; weights and statistics are kept."""
        self._core.begin()

    @property
    def deltas(self) -> Array:
        """(heads,) float64: the TD error of each head in the last step, 0 in the first step of a stream. With
        scale_cumulant in units of the running root mean square of the head's discounted sum, otherwise in those of the
        cumulants."""
        found: Array = self._core.get("heads.delta")
        return found

    @property
    def scales(self) -> Array:
        """(heads,) float64: sigma, the running root mean square of each head's discounted sum, in the cumulants' units
        times steps: deltas times scales are errors in the cumulants' units. 1 before the first cumulant that is not 0,
        and without scale_cumulant."""
        if not self._config["scale_cumulant"]:
            return np.ones(len(self._config["gammas"]))
        square: Array = self._core.get("heads.square")
        return np.sqrt(np.where(square > 0, square, 1.0))

    @property
    def last_step(self) -> dict[str, float]:
        """ "value" of the first head, "delta", the largest of all heads without its sign, and "step_size_critic", the
        body's step size, of the last step."""
        return {key: value for key, value in self._core.info.items() if key != "step_size_actor"}
