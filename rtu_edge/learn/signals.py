"""TDPredictor and OnlineRegressor, for signals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy.typing as npt

from rtu_edge import _core
from rtu_edge._base.errors import ConfigError
from rtu_edge.learn import parameters
from rtu_edge.learn.base import Array, Learner

__all__ = ["OnlineRegressor", "TDPredictor"]


class _SignalLearner(Learner):
    """One network, one optimizer, a stream of inputs."""

    _native: ClassVar[type]

    def _build(self, given: Mapping[str, Any]) -> None:
        arguments = parameters.check(self.kind, given)
        _check_head(arguments)
        names = ("step_size", "kappa", "beta2", "preconditioner")
        optimizer = {"rule": arguments["optimizer"], **{key: arguments[key] for key in names if key in arguments}}
        self._start(self._native, {**arguments, "optimizer": optimizer}, arguments)


def _check_head(given: Mapping[str, Any]) -> None:
    """Refuse a combination that diverges: docs/math_online.md, 3."""
    own_rule = given["optimizer"] == "intentional" and given.get("head", "td") != "td"
    moves = given["cell"] not in ("none", "elstm") and given["credit"] != "frozen"  # the eLSTM's output is bounded
    if own_rule and moves and not given["hidden"] and given["activation"] != "tanh":
        raise ConfigError(
            f"optimizer = 'intentional': diverges with head = {given['head']!r} on features without a bound: "
            "give activation = 'tanh', a layer in hidden, or another optimizer"
        )


class TDPredictor(_SignalLearner):
    """TD(lambda) prediction of the discounted sum of a signal, on a stream without episodes.

    >>> import rtu_edge as rtu
    >>> v = rtu.TDPredictor(observation_size=2, units=16, gamma=0.95, trace_decay=0.95, seed=0)
    >>> isinstance(v.step([1.0, 0.0], cumulant=0.0), float)
    True

    for_horizon() derives the settings from a prediction horizon.

    Args:
        observation_size: Width d of the input, 1 to 65536.
        units: Recurrent units n of each network, 1 to 65536.
        gamma: Discount factor per step, 0 to 1.
        trace_decay: Decay lambda of the eligibility traces per step, 0 to 1, or a mapping of "recurrent", "body",
            "head".
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
        optimizer: Optimizer, one of "obgd", "sgd", "adam", "adaptive_obgd", "intentional"; "obgd": overshooting-bounded
            gradient descent; "adaptive_obgd": the same on normalised eligibilities; "intentional": each step removes
            the share step_size of the error (docs/math_optimizers.md).
        preconditioner: What the second moment of "intentional" is taken of, one of "gradient", "trace", "larger";
            "gradient": as published; "trace": the eligibilities; "larger": the larger of both at one scale.
        step_size: Step size, 0 to 1e6; 0 freezes the weights; default 1 with "obgd" and "adaptive_obgd", 0.001 with
            "sgd" and "adam", 0.5 with "intentional".
        beta2: Decay of the optimizer's second moments per step, as with "adam", 0.9 to 0.99999; its memory 1 / (1 -
            beta2) should be many times the time between events (docs/prediction.md).
        head: Rule of the last layer's weights, one of "td", "true_online", "swift"; "td": that of the optimizer;
            "true_online": true-online TD(lambda); "swift": SwiftTD, a step size for each weight that is learned
            (docs/math_online.md).
        head_step_size: Step size of the last layer's weights under "true_online", and at first under "swift", 1e-10 to
            1.
        head_bound: Largest share of an error that one step of "true_online" or "swift" removes, above 0, at most 1;
            default 1 with "td" and "true_online", 0.1 with "swift".
        meta_step_size: Step size of the logarithms of the step sizes under "swift", 0 to 1; 0 keeps them.
        step_size_decay: Factor of a step size under "swift" at each step beyond head_bound, to the power of the squared
            feature, above 0, at most 1.
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

    kind = "td_predictor"
    _native = _core.TDPredictor

    def __init__(
        self,
        observation_size: int,
        units: int = 64,
        gamma: float = 0.95,
        trace_decay: float | Mapping[str, float] = 0.95,
        seed: int = 0,
        *,
        hidden: int | Sequence[int] = (),
        encoder: int | Sequence[int] = (),
        cell: str = "linear",
        credit: str = "rtrl",
        activation: str = "relu",
        units_per_pole: int = 1,
        optimizer: str = "obgd",
        preconditioner: str = "larger",
        step_size: float | None = None,
        beta2: float = 0.999,
        head: str = "td",
        head_step_size: float = 0.01,
        head_bound: float | None = None,
        meta_step_size: float = 0.001,
        step_size_decay: float = 0.999,
        kappa: float = 2.0,
        r_min: float = 0.9,
        r_max: float = 1.0,
        max_phase: float = 0.6,
        sparsity: float = 0.9,
        normalize_observation: bool = False,
        observation_bound: float = 10.0,
        scale_cumulant: bool = False,
        dtype: npt.DTypeLike = "float32",
    ) -> None:
        self._build(locals())

    @classmethod
    def for_horizon(
        cls, observation_size: int, horizon_s: float, period_s: float, seed: int = 0, **settings: Any
    ) -> TDPredictor:
        """A predictor with settings derived from its horizon, here half a second in a loop of 100 Hz.

        >>> import rtu_edge as rtu
        >>> v = rtu.TDPredictor.for_horizon(observation_size=2, horizon_s=0.5, period_s=0.01, seed=0)
        >>> v.config["gamma"], round(v.config["r_min"], 3), v.config["optimizer"]
        (0.98, 0.961, 'adam')

        With H = horizon_s / period_s: gamma is 1 - 1/H and every trace_decay exp(-1/H). The initial poles have time
        constants from half a horizon to ten horizons, r_min = exp(-2/H) and r_max = exp(-0.1/H), and rotate at most
        once per horizon, max_phase = 2 pi/H. The rest: 32 linear units with tanh, a hidden layer of 16, inputs
        normalised, cumulants scaled, and Adam with a step size of 3e-4, times sqrt(80/H) above H = 80, and second
        moments over 30 horizons, beta2 = 1 - 1/(30 H), at least 0.999. `config` names every setting.

        Args:
            observation_size: d, 1 or more.
            horizon_s: seconds over which the cumulant is summed with decreasing weight, 2 to 10^5 periods. For an event
                that a cue announces, the time between the two.
            period_s: seconds from one step() to the next, above 0.
            seed: 0 to 2^64 - 1.
            settings: arguments of the class that replace derived ones.

        Raises:
            ConfigError: an argument out of its range; the message names it.
            TypeError: a setting that the class does not have.

        Source: measured, docs/prediction.md.
        """
        from rtu_edge.learn import horizon  # here: the package's import stays quick

        suggested = horizon.predictor(horizon_s, period_s)
        if settings.get("optimizer", "adam") != "adam":
            del suggested["step_size"]  # Adam's: other optimizers have their own default
        return cls(observation_size, seed=seed, **{**suggested, **settings})

    def step(self, x: npt.ArrayLike, cumulant: float) -> float:
        """Learns from the transition into x and returns v(x).

        Args:
            x: (observation_size,) finite.
            cumulant: the signal that arrived with x.

        Raises:
            ValueError: shape, dtype or value; nothing has changed.
        """
        return float(self._core.step(x, cumulant))

    def run(self, x: npt.ArrayLike, cumulants: npt.ArrayLike) -> Array:
        """Many steps in one call, bit-identical to as many calls of step().

        Other threads of Python continue meanwhile, but may not use this learner.

        Args:
            x: (k, observation_size).
            cumulants: (k,) the signal that arrived with each row.

        Returns:
            v of each row (k,).

        Raises:
            ValueError: shape, dtype or value; nothing has changed.
        """
        values: Array = self._core.run(x, cumulants)
        return values

    def bind(self, x_buffer: Array) -> None:
        """Names the array that step_bound() reads in place; it is kept.

        Args:
            x_buffer: (observation_size,) of this learner's dtype, contiguous.

        Raises:
            ValueError: another dtype, shape or layout: nothing is ever converted here.
        """
        self.__dict__.update(self._core.bind(x_buffer))

    def step_bound(self, cumulant: float) -> float:
        """As step(), with the bound x.

        Raises:
            ValueError: x or the cumulant is not finite; nothing has changed.
            RuntimeError: bind() was not called before.
        """
        raise RuntimeError("step_bound() before bind(): call bind(x_buffer) first")

    def reset(self) -> None:
        """Starts a new stream: zeroes state, traces and eligibilities; weights are kept."""
        self._core.begin()

    @property
    def last_step(self) -> dict[str, float]:
        """ "value", "delta", "step_size_critic" of the last step."""
        return dict(self._core.info)


class OnlineRegressor(_SignalLearner):
    """Online supervised regression, squared error, one step at a time.

    >>> import rtu_edge as rtu
    >>> model = rtu.OnlineRegressor(observation_size=1, units=8, seed=0)
    >>> y = model.predict([0.5])
    >>> model.update([0.2]) >= 0.0
    True

    Args:
        observation_size: Width d of the input, 1 to 65536.
        n_outputs: Width of the target, 1 to 4096.
        units: Recurrent units n of each network, 1 to 65536.
        hidden: Layers after the recurrent cell, a width of 1 to 65536, or a sequence of at most 4.
        optimizer: Optimizer, one of "obgd", "sgd", "adam"; "obgd": overshooting-bounded gradient descent.
        step_size: Step size, 0 to 1e6; 0 freezes the weights; default 1 with "obgd", 0.001 with "sgd" and "adam".
        seed: Random seed, 0 to 2^64 - 1.
        encoder: Layers before the recurrent cell, a width of 1 to 65536, or a sequence of at most 4; they learn by the
            gradient of one step through it (docs/math_credit.md).
        cell: Recurrent cell, one of "linear", "nonlinear", "mingru", "lru", "elstm", "none"; "linear", "nonlinear":
            recurrent trace units; "none": memoryless baseline (docs/math_cells.md).
        credit: How the recurrent cell learns, one of "rtrl", "tbptt1", "frozen"; "rtrl": by exact gradients; "tbptt1":
            by the gradient of one step; "frozen": not at all.
        activation: Activation function of the recurrent cell, one of "relu", "tanh", "identity".
        units_per_pole: Units that share one pole and its traces, 1 to 4096; a divisor of the number of units; 1 for
            "nonlinear", "mingru" and "elstm".
        kappa: Factor kappa of the step bound of "obgd", above 0, at most 1e6; larger values take smaller steps.
        r_min: Smallest retention of a pole, or of a gate at input 0, at initialisation, 0 to 0.9999999; at most r_max.
        r_max: Largest retention of a pole, or of a gate at input 0, at initialisation, above 0, at most 1.
        max_phase: Largest phase of a pole at initialisation, above 0, at most 1000 rad per step.
        sparsity: Share of zero weights in dense layers at initialisation, 0 to 1; each row keeps one weight.
        normalize_observation: Normalise each channel by its running mean and variance; a channel that has not moved
            gives 0.
        observation_bound: Clip normalised observations and the readings in their statistics, 0, or 2 to 1e6 standard
            deviations; 0 disables clipping.
        dtype: Number format, one of "float32", "float64"; "float32" for work; "float64" for verification (scalar code).

    Raises:
        ConfigError: an argument out of its range; the message names it.
    """

    kind = "online_regressor"
    _native = _core.OnlineRegressor

    def __init__(
        self,
        observation_size: int,
        n_outputs: int = 1,
        units: int = 32,
        hidden: int | Sequence[int] = (),
        optimizer: str = "adam",
        step_size: float | None = None,
        seed: int = 0,
        *,
        encoder: int | Sequence[int] = (),
        cell: str = "linear",
        credit: str = "rtrl",
        activation: str = "relu",
        units_per_pole: int = 1,
        kappa: float = 2.0,
        r_min: float = 0.5,
        r_max: float = 1.0,
        max_phase: float = 0.6,
        sparsity: float = 0.9,
        normalize_observation: bool = False,
        observation_bound: float = 10.0,
        dtype: npt.DTypeLike = "float32",
    ) -> None:
        self._build(locals())

    def predict(self, x: npt.ArrayLike) -> Array:
        """Advances the state by x (observation_size,) and returns the prediction (n_outputs,). update() follows.

        Raises:
            ValueError: shape, dtype or value; nothing has changed.
            RuntimeError: update() is due.
        """
        return self._core.predict(x)  # type: ignore[no-any-return]

    def update(self, target: npt.ArrayLike | None) -> float:
        """Learns from the target (n_outputs,); None if it is unknown: then only the traces advance.

        Returns:
            The loss, 1/2 |target - y|^2.

        Raises:
            ValueError: shape, dtype or value; nothing has changed, update() is still due.
            RuntimeError: predict() was not called before.
        """
        return float(self._core.update(target))

    def run(self, x: npt.ArrayLike, targets: npt.ArrayLike) -> tuple[Array, Array]:
        """Many steps in one call, bit-identical to as many pairs of predict() and update().

        Other threads of Python continue meanwhile, but may not use this learner.

        Args:
            x: (k, observation_size).
            targets: (k, n_outputs).

        Returns:
            Predictions (k, n_outputs), each before its target was learned from, and losses (k,).

        Raises:
            ValueError: shape, dtype or value; nothing has changed.
            RuntimeError: update() is due.
        """
        predictions, losses = self._core.run(x, targets)
        return predictions, losses

    def bind(self, x_buffer: Array, prediction_buffer: Array, target_buffer: Array) -> None:
        """Names the arrays that step_bound() reads and writes in place; they are kept.

        Args:
            x_buffer: (observation_size,) of this learner's dtype, contiguous.
            prediction_buffer: (n_outputs,) the same, writable.
            target_buffer: (n_outputs,) the same.

        Raises:
            ValueError: another dtype, shape or layout: nothing is ever converted here.
        """
        self.__dict__.update(self._core.bind(x_buffer, prediction_buffer, target_buffer))

    def step_bound(self) -> float:
        """As predict(), then update(), with the bound arrays; returns the loss.

        Raises:
            ValueError: x or the target is not finite; nothing has changed.
            RuntimeError: bind() was not called before, or update() is due.
        """
        raise RuntimeError("step_bound() before bind(): call bind(x_buffer, prediction_buffer, target_buffer) first")

    def reset(self) -> None:
        """Starts a new sequence: zeroes state and traces; weights are kept."""
        self._core.begin()
