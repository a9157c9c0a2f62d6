"""StreamQ, StreamSARSA and StreamQRC, for control with discrete actions.

Source: Elsayed et al., Streaming Deep Reinforcement Learning Finally Works, 2024 (arXiv 2410.14606);
docs/math_action_values.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import numpy.typing as npt

from rtu_edge import _core
from rtu_edge._base.errors import ConfigError
from rtu_edge.learn import parameters
from rtu_edge.learn.acting import Actor

__all__ = ["StreamQ", "StreamQRC", "StreamSARSA"]

_OPTIMIZER = ("step_size", "kappa", "preconditioner")

Self = TypeVar("Self", bound="ActionValues")


class ActionValues(Actor):
    """A learner of action values that acts epsilon-greedily."""

    _normalizer_name = "observation"
    _values: ClassVar[str]

    def _build(self, given: Mapping[str, Any]) -> None:
        arguments = parameters.check(self.kind, given)
        native = {**arguments, "n_outputs": arguments["n_actions"], "values": self._values}
        native |= self._optimizers(arguments)
        self._start(_core.StreamAC, native, arguments)

    def _optimizers(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Settings of the optimizers for the native learner."""
        return {"optimizer": {"rule": arguments["optimizer"], **{key: arguments[key] for key in _OPTIMIZER}}}

    @classmethod
    def from_env(cls: type[Self], env: Any, **settings: Any) -> Self:
        """A learner whose sizes fit an environment.

        >>> import rtu_edge as rtu
        >>> agent = rtu.StreamQ.from_env(rtu.Plant("cartpole"), n_actions=3, seed=0)
        >>> agent.config["observation_size"], agent.config["n_actions"], agent.config["dt_s"]
        (2, 3, 0.02)

        Args:
            env: A Gymnasium environment with observations in a Box of one dimension, at most 1024, and actions in
                Discrete(2 to 64); or a Plant or a Robot with one actuator, whose data sheet also gives dt_s.
            settings: Arguments of the class except for the sizes. For a Plant or a Robot n_actions is required: evenly
                spaced levels of the actuator's range.

        Raises:
            ConfigError: a space that does not fit, or an argument out of its range; the message names it.
            TypeError: an argument that the class does not have.
        """
        from rtu_edge.learn.spaces import fit  # here, as in learn()

        if "observation_size" in settings:
            raise ConfigError(
                f"observation_size = {settings['observation_size']!r}: follows from the environment; leave it out"
            )
        sizes = fit(env, settings.pop("n_actions", None), cls.__name__).sizes
        if "n_actions" not in sizes:
            has = "an actuator; give n_actions" if hasattr(env, "sheet") else "continuous actions; StreamAC takes them"
            raise ConfigError(f"n_actions: missing; {cls.__name__} has discrete actions, the environment has {has}")
        return cls(**{**sizes, **settings})


class StreamQ(ActionValues):
    """Stream Q(lambda): action values of the greedy policy, learned from each step online.

    >>> import rtu_edge as rtu
    >>> agent = rtu.StreamQ(observation_size=2, n_actions=3, units=8, hidden=8, seed=0)
    >>> action = agent.reset([0.0, 0.1])
    >>> action = agent.step([0.01, 0.1], reward=1.0)
    >>> type(action)
    <class 'int'>

    Where something else than the learner chose the action, it learns nothing from the step.

    Args:
        observation_size: Width d of the observation, 1 to 1024; in the device's units, normalised inside; over a serial
            link, observations and actuators are at most 55 together.
        n_actions: Number of discrete actions, 2 to 64.
        units: Recurrent units n of each network, 1 to 65536.
        hidden: Layers after the recurrent cell, a width of 1 to 65536, or a sequence of at most 4.
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
        gamma: Discount factor per step, 0 to 1.
        trace_decay: Decay lambda of the eligibility traces per step, 0 to 1, or a mapping of "recurrent", "body",
            "head".
        optimizer: Optimizer, one of "obgd", "sgd", "adam", "adaptive_obgd", "intentional"; "obgd": overshooting-bounded
            gradient descent; "adaptive_obgd": the same on normalised eligibilities; "intentional": each step removes
            the share step_size of the error (docs/math_optimizers.md).
        preconditioner: What the second moment of "intentional" is taken of, one of "gradient", "trace", "larger";
            "gradient": as published; "trace": the eligibilities; "larger": the larger of both at one scale.
        step_size: Step size, 0 to 1e6; 0 freezes the weights; default 1 with "obgd" and "adaptive_obgd", 0.001 with
            "sgd" and "adam", 0.25 with "intentional".
        kappa: Factor kappa of the step bound of "obgd", above 0, at most 1e6; larger values take smaller steps.
        epsilon_start: Share epsilon of random actions at first, 0 to 1.
        epsilon_end: Share epsilon of random actions after epsilon_steps, 0 to 1.
        epsilon_steps: Updates in which epsilon goes linearly from epsilon_start to epsilon_end, 0 to 2147483647
            updates.
        cut: When an action that is not greedy cuts the eligibility traces, one of "watkins", "late"; "watkins": before
            its own gradient enters; "late": one step later, as in the published code.
        r_min: Smallest retention of a pole, or of a gate at input 0, at initialisation, 0 to 0.9999999; at most r_max.
        r_max: Largest retention of a pole, or of a gate at input 0, at initialisation, above 0, at most 1.
        max_phase: Largest phase of a pole at initialisation, above 0, at most 1000 rad per step.
        sparsity: Share of zero weights in dense layers at initialisation, 0 to 1; each row keeps one weight.
        normalize_observation: Normalise each channel by its running mean and variance; a channel that has not moved
            gives 0.
        observation_bound: Clip normalised observations and the readings in their statistics, 0, or 2 to 1e6 standard
            deviations; 0 disables clipping.
        scale_reward: Divide rewards by the running standard deviation of the return.
        recompute: Recompute value and gradient of the previous state with the new weights, as in the published code.
        previous_action: Add the previous action, as applied, to the inputs; discrete actions one-hot
            (docs/math_learners.md, 4).
        previous_reward: Add the previous reward, scaled as the learner scales it, to the inputs.
        dt_s: Nominal period, above 0, at most 1000 s; kept in checkpoints and exports; None if unknown.
        dtype: Number format, one of "float32", "float64"; "float32" for work; "float64" for verification (scalar code).

    Raises:
        ConfigError: an argument out of its range; the message names it.
    """

    kind = "stream_q"
    _values = "q"

    def __init__(
        self,
        observation_size: int,
        n_actions: int,
        units: int = 32,
        hidden: int | Sequence[int] = (32,),
        seed: int = 0,
        *,
        encoder: int | Sequence[int] = (),
        cell: str = "linear",
        credit: str = "rtrl",
        activation: str = "tanh",
        units_per_pole: int = 1,
        gamma: float = 0.99,
        trace_decay: float | Mapping[str, float] = 0.8,
        optimizer: str = "intentional",
        preconditioner: str = "larger",
        step_size: float | None = None,
        kappa: float = 2.0,
        epsilon_start: float = 1.0,
        epsilon_end: float = 0.01,
        epsilon_steps: int = 50000,
        cut: str = "watkins",
        r_min: float = 0.7,
        r_max: float = 1.0,
        max_phase: float = 6.28,
        sparsity: float = 0.9,
        normalize_observation: bool = True,
        observation_bound: float = 10.0,
        scale_reward: bool = True,
        recompute: bool = False,
        previous_action: bool = False,
        previous_reward: bool = False,
        dt_s: float | None = None,
        dtype: npt.DTypeLike = "float32",
    ) -> None:
        self._build(locals())


class StreamSARSA(ActionValues):
    """SARSA(lambda): action values of the policy that acts, exploration included, learned from each step online.

    >>> import rtu_edge as rtu
    >>> agent = rtu.StreamSARSA(observation_size=2, n_actions=3, units=8, hidden=8, seed=0)
    >>> action = agent.reset([0.0, 0.1])
    >>> action = agent.step([0.01, 0.1], reward=1.0)
    >>> type(action)
    <class 'int'>

    Where something else than the learner chose the action, it learns nothing from the step.

    Args:
        observation_size: Width d of the observation, 1 to 1024; in the device's units, normalised inside; over a serial
            link, observations and actuators are at most 55 together.
        n_actions: Number of discrete actions, 2 to 64.
        units: Recurrent units n of each network, 1 to 65536.
        hidden: Layers after the recurrent cell, a width of 1 to 65536, or a sequence of at most 4.
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
        gamma: Discount factor per step, 0 to 1.
        trace_decay: Decay lambda of the eligibility traces per step, 0 to 1, or a mapping of "recurrent", "body",
            "head".
        optimizer: Optimizer, one of "obgd", "sgd", "adam", "adaptive_obgd", "intentional"; "obgd": overshooting-bounded
            gradient descent; "adaptive_obgd": the same on normalised eligibilities; "intentional": each step removes
            the share step_size of the error (docs/math_optimizers.md).
        preconditioner: What the second moment of "intentional" is taken of, one of "gradient", "trace", "larger";
            "gradient": as published; "trace": the eligibilities; "larger": the larger of both at one scale.
        step_size: Step size, 0 to 1e6; 0 freezes the weights; default 1 with "obgd" and "adaptive_obgd", 0.001 with
            "sgd" and "adam", 0.25 with "intentional".
        kappa: Factor kappa of the step bound of "obgd", above 0, at most 1e6; larger values take smaller steps.
        epsilon_start: Share epsilon of random actions at first, 0 to 1.
        epsilon_end: Share epsilon of random actions after epsilon_steps, 0 to 1.
        epsilon_steps: Updates in which epsilon goes linearly from epsilon_start to epsilon_end, 0 to 2147483647
            updates.
        r_min: Smallest retention of a pole, or of a gate at input 0, at initialisation, 0 to 0.9999999; at most r_max.
        r_max: Largest retention of a pole, or of a gate at input 0, at initialisation, above 0, at most 1.
        max_phase: Largest phase of a pole at initialisation, above 0, at most 1000 rad per step.
        sparsity: Share of zero weights in dense layers at initialisation, 0 to 1; each row keeps one weight.
        normalize_observation: Normalise each channel by its running mean and variance; a channel that has not moved
            gives 0.
        observation_bound: Clip normalised observations and the readings in their statistics, 0, or 2 to 1e6 standard
            deviations; 0 disables clipping.
        scale_reward: Divide rewards by the running standard deviation of the return.
        recompute: Recompute value and gradient of the previous state with the new weights, as in the published code.
        previous_action: Add the previous action, as applied, to the inputs; discrete actions one-hot
            (docs/math_learners.md, 4).
        previous_reward: Add the previous reward, scaled as the learner scales it, to the inputs.
        dt_s: Nominal period, above 0, at most 1000 s; kept in checkpoints and exports; None if unknown.
        dtype: Number format, one of "float32", "float64"; "float32" for work; "float64" for verification (scalar code).

    Raises:
        ConfigError: an argument out of its range; the message names it.
    """

    kind = "stream_sarsa"
    _values = "sarsa"

    def __init__(
        self,
        observation_size: int,
        n_actions: int,
        units: int = 32,
        hidden: int | Sequence[int] = (32,),
        seed: int = 0,
        *,
        encoder: int | Sequence[int] = (),
        cell: str = "linear",
        credit: str = "rtrl",
        activation: str = "tanh",
        units_per_pole: int = 1,
        gamma: float = 0.99,
        trace_decay: float | Mapping[str, float] = 0.8,
        optimizer: str = "intentional",
        preconditioner: str = "larger",
        step_size: float | None = None,
        kappa: float = 2.0,
        epsilon_start: float = 1.0,
        epsilon_end: float = 0.01,
        epsilon_steps: int = 50000,
        r_min: float = 0.7,
        r_max: float = 1.0,
        max_phase: float = 6.28,
        sparsity: float = 0.9,
        normalize_observation: bool = True,
        observation_bound: float = 10.0,
        scale_reward: bool = True,
        recompute: bool = False,
        previous_action: bool = False,
        previous_reward: bool = False,
        dt_s: float | None = None,
        dtype: npt.DTypeLike = "float32",
    ) -> None:
        self._build(locals())


class StreamQRC(ActionValues):
    """QRC(lambda): action values of the greedy policy, by the gradient of the projected Bellman error, which a second
    network h corrects.

    >>> import rtu_edge as rtu
    >>> agent = rtu.StreamQRC(observation_size=2, n_actions=3, units=8, hidden=8, seed=0)
    >>> action = agent.reset([0.0, 0.1])
    >>> action = agent.step([0.01, 0.1], reward=1.0)
    >>> type(action)
    <class 'int'>

    Where something else than the learner chose the action, it learns nothing from the step.

    Args:
        observation_size: Width d of the observation, 1 to 1024; in the device's units, normalised inside; over a serial
            link, observations and actuators are at most 55 together.
        n_actions: Number of discrete actions, 2 to 64.
        units: Recurrent units n of each network, 1 to 65536.
        hidden: Layers after the recurrent cell, a width of 1 to 65536, or a sequence of at most 4.
        seed: Random seed, 0 to 2^64 - 1.
        cell: Recurrent cell, one of "linear", "nonlinear", "mingru", "lru", "elstm", "none"; "linear", "nonlinear":
            recurrent trace units; "none": memoryless baseline (docs/math_cells.md).
        credit: How the recurrent cell learns, one of "rtrl", "tbptt1", "frozen"; "rtrl": by exact gradients; "tbptt1":
            by the gradient of one step; "frozen": not at all.
        activation: Activation function of the recurrent cell, one of "relu", "tanh", "identity".
        units_per_pole: Units that share one pole and its traces, 1 to 4096; a divisor of the number of units; 1 for
            "nonlinear", "mingru" and "elstm".
        gamma: Discount factor per step, 0 to 1.
        trace_decay: Decay lambda of the eligibility traces per step, 0 to 1, or a mapping of "recurrent", "body",
            "head".
        optimizer: Optimizer, one of "sgd"; the corrected gradient takes plain steps (docs/math_action_values.md).
        step_size: Step size of the action values, 0 to 1e6; 0 freezes their weights.
        h_step_size: Step size of the network h, which predicts the error, 0 to 1e6; 0: no correction.
        beta: Decay of h's weights towards 0, in units of h_step_size, 0 to 1000.
        epsilon_start: Share epsilon of random actions at first, 0 to 1.
        epsilon_end: Share epsilon of random actions after epsilon_steps, 0 to 1.
        epsilon_steps: Updates in which epsilon goes linearly from epsilon_start to epsilon_end, 0 to 2147483647
            updates.
        cut: When an action that is not greedy cuts the eligibility traces, one of "watkins", "late"; "watkins": before
            its own gradient enters; "late": one step later, as in the published code.
        r_min: Smallest retention of a pole, or of a gate at input 0, at initialisation, 0 to 0.9999999; at most r_max.
        r_max: Largest retention of a pole, or of a gate at input 0, at initialisation, above 0, at most 1.
        max_phase: Largest phase of a pole at initialisation, above 0, at most 1000 rad per step.
        sparsity: Share of zero weights in dense layers at initialisation, 0 to 1; each row keeps one weight.
        normalize_observation: Normalise each channel by its running mean and variance; a channel that has not moved
            gives 0.
        observation_bound: Clip normalised observations and the readings in their statistics, 0, or 2 to 1e6 standard
            deviations; 0 disables clipping.
        scale_reward: Divide rewards by the running standard deviation of the return.
        recompute: Recompute value and gradient of the previous state with the new weights, as in the published code.
        previous_action: Add the previous action, as applied, to the inputs; discrete actions one-hot
            (docs/math_learners.md, 4).
        previous_reward: Add the previous reward, scaled as the learner scales it, to the inputs.
        dt_s: Nominal period, above 0, at most 1000 s; kept in checkpoints and exports; None if unknown.
        dtype: Number format, one of "float32", "float64"; "float32" for work; "float64" for verification (scalar code).

    Raises:
        ConfigError: an argument out of its range; the message names it.
    """

    kind = "stream_qrc"
    _values = "qrc"

    def __init__(
        self,
        observation_size: int,
        n_actions: int,
        units: int = 32,
        hidden: int | Sequence[int] = (32,),
        seed: int = 0,
        *,
        cell: str = "linear",
        credit: str = "rtrl",
        activation: str = "tanh",
        units_per_pole: int = 1,
        gamma: float = 0.99,
        trace_decay: float | Mapping[str, float] = 0.8,
        optimizer: str = "sgd",
        step_size: float = 0.0001,
        h_step_size: float = 1e-05,
        beta: float = 1.0,
        epsilon_start: float = 1.0,
        epsilon_end: float = 0.01,
        epsilon_steps: int = 50000,
        cut: str = "watkins",
        r_min: float = 0.7,
        r_max: float = 1.0,
        max_phase: float = 6.28,
        sparsity: float = 0.9,
        normalize_observation: bool = True,
        observation_bound: float = 10.0,
        scale_reward: bool = True,
        recompute: bool = False,
        previous_action: bool = False,
        previous_reward: bool = False,
        dt_s: float | None = None,
        dtype: npt.DTypeLike = "float32",
    ) -> None:
        self._build(locals())

    def _optimizers(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        sgd = {"rule": arguments["optimizer"], "kappa": 1.0}
        return {
            "optimizer": sgd | {"step_size": arguments["step_size"]},
            "correction": sgd | {"step_size": arguments["h_step_size"]},
        }
