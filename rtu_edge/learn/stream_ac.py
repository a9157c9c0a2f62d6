"""StreamAC, for control.

Source: Elsayed et al., Streaming Deep Reinforcement Learning Finally Works, 2024 (arXiv 2410.14606); docs/math.md, 4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from rtu_edge import _core
from rtu_edge._base.errors import ConfigError
from rtu_edge._base.validation import check_bool
from rtu_edge.learn import parameters
from rtu_edge.learn.acting import Actor

if TYPE_CHECKING:
    from rtu_edge.learn.cloning import CloneResult

__all__ = ["StreamAC"]


class StreamAC(Actor):
    """Stream AC(lambda): an actor-critic that learns from each step online, with recurrent trace units.

    >>> import rtu_edge as rtu
    >>> agent = rtu.StreamAC(observation_size=2, action_size=1, units=8, hidden=8, seed=0)
    >>> action = agent.reset([0.0, 0.1])
    >>> action = agent.step([0.01, 0.1], reward=1.0)
    >>> action.shape
    (1,)

    Args:
        observation_size: Width d of the observation, 1 to 1024; in the device's units, normalised inside; over a serial
            link, observations and actuators are at most 55 together.
        action_size: Number of continuous actions, 1 to 32; each in [-1, 1] of its actuator's range; or give n_actions.
        n_actions: Number of discrete actions, 2 to 64; or give action_size.
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
        body: Network of actor and critic, one of "separate", "shared"; "shared": one network for both with summed
            updates (docs/math.md, 4).
        gamma: Discount factor per step, 0 to 1.
        trace_decay: Decay lambda of the eligibility traces per step, 0 to 1, or a mapping of "recurrent", "body",
            "head"; default 0.95.
        optimizer: Optimizer, one of "obgd", "sgd", "adam", "adaptive_obgd", "intentional"; "obgd": overshooting-bounded
            gradient descent; "adaptive_obgd": the same on normalised eligibilities; "intentional": each step removes
            the share step_size of the error (docs/math_optimizers.md).
        preconditioner: What the second moment of "intentional" is taken of, one of "gradient", "trace", "larger";
            "gradient": as published; "trace": the eligibilities; "larger": the larger of both at one scale.
        actor: A mapping with any of
            "step_size": Step size of the actor, 0 to 1e6; 0 freezes its weights; default 1 with "obgd" and
                "adaptive_obgd", 0.001 with "sgd" and "adam", 0.01 with "intentional".
            "kappa": Factor kappa of the step bound of "obgd", above 0, at most 1e6; larger values take smaller steps;
                default 3.
        critic: A mapping with any of
            "step_size": Step size of the critic, 0 to 1e6; 0 freezes its weights; default 1 with "obgd" and
                "adaptive_obgd", 0.001 with "sgd" and "adam", 0.2 with "intentional".
            "kappa": Factor kappa of the step bound of "obgd", above 0, at most 1e6; larger values take smaller steps;
                default 2.
            "trace_decay": Decay lambda of the critic's eligibility traces per step, 0 to 1, or a mapping of
                "recurrent", "body", "head"; default trace_decay if that is given, otherwise 0.8.
        actor_warmup: Steps in which the actor's step size rises from 0 to its value, while the critic and the
            statistics settle, 0 to 2147483647 steps.
        entropy: Entropy coefficient tau, 0 to 1000.
        r_min: Smallest retention of a pole, or of a gate at input 0, at initialisation, 0 to 0.9999999; at most r_max.
        r_max: Largest retention of a pole, or of a gate at input 0, at initialisation, above 0, at most 1.
        max_phase: Largest phase of a pole at initialisation, above 0, at most 1000 rad per step.
        sparsity: Share of zero weights in dense layers at initialisation, 0 to 1; each row keeps one weight.
        sigma_floor: Offset added to the standard deviation of continuous actions, 0 to 1000.
        exploration_correlation: Correlation rho of the exploration noise of successive steps, 0 to 0.99; continuous
            actions (docs/math_learners.md, 4).
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

    kind = "stream_ac"
    _normalizer_name = "observation"

    def __init__(
        self,
        observation_size: int,
        action_size: int | None = None,
        n_actions: int | None = None,
        units: int = 32,
        hidden: int | Sequence[int] = (32,),
        seed: int = 0,
        *,
        encoder: int | Sequence[int] = (),
        cell: str = "linear",
        credit: str = "rtrl",
        activation: str = "tanh",
        units_per_pole: int = 1,
        body: str = "shared",
        gamma: float = 0.98,
        trace_decay: float | Mapping[str, float] | None = None,
        optimizer: str = "obgd",
        preconditioner: str = "larger",
        actor: Mapping[str, float] | None = None,
        critic: Mapping[str, float] | None = None,
        actor_warmup: int = 2000,
        entropy: float = 0.01,
        r_min: float = 0.7,
        r_max: float = 1.0,
        max_phase: float = 6.28,
        sparsity: float = 0.9,
        sigma_floor: float = 0.1,
        exploration_correlation: float = 0.6,
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

    def _build(self, given: Mapping[str, Any]) -> None:
        arguments = parameters.check(self.kind, given)
        discrete = arguments["n_actions"] is not None
        if discrete == (arguments["action_size"] is not None):
            raise ConfigError("action_size, n_actions: expected exactly one of them (continuous or discrete actions)")
        native = {
            **arguments,
            "discrete": discrete,
            "n_outputs": arguments["n_actions" if discrete else "action_size"],
            **{
                role: {
                    **arguments[role],
                    "rule": arguments["optimizer"],
                    "preconditioner": arguments["preconditioner"],
                }
                for role in ("actor", "critic")
            },
        }
        self._start(_core.StreamAC, native, arguments)

    @classmethod
    def for_horizon(
        cls,
        observation_size: int,
        action_size: int | None = None,
        horizon_s: float | None = None,
        period_s: float | None = None,
        seed: int = 0,
        *,
        n_actions: int | None = None,
        coherent: bool = False,
        **settings: Any,
    ) -> StreamAC:
        """A learner for a plant whose commands show their effect within a time, here 2 s in a loop of 100 Hz.

        >>> import rtu_edge as rtu
        >>> agent = rtu.StreamAC.for_horizon(observation_size=3, action_size=1, horizon_s=2.0, period_s=0.01, seed=0)
        >>> round(agent.config["gamma"], 3), round(agent.config["r_min"], 3), agent.config["actor_warmup"]
        (0.995, 0.915, 8000)

        The defaults of the class are those of a horizon of 50 periods. With s = H / 50 for a horizon of H periods, what
        they name per period is for s periods here: discount, decays of the traces, the correlation of the exploration
        noise and the smallest retention are raised to the power 1/s, the largest phase is divided by s, and the warm-up
        takes s times as many steps (docs/evidence.md, The horizon). `config` of the agent names them all.

        Args:
            observation_size: d, 1 to 1024.
            action_size: number of continuous actions, 1 to 32; or give n_actions.
            horizon_s: required; seconds after which a command no longer matters for the reward, 2 to 10^4 periods: a
                balancing pole falls in 0.5 to 1 s, an arm reaches its goal in 1 to 3 s, a tank follows in minutes.
            period_s: required; seconds from one step to the next, above 0, at most 1000.
            seed: 0 to 2^64 - 1.
            n_actions: number of discrete actions, 2 to 64.
            coherent: poles whose phases turn so little that credit over the horizon adds up (r_min and max_phase of
                rtu_edge.learn.low_phase()); for tasks that need memory of a cue more than of speeds.
            settings: arguments of the class that replace derived ones.

        Raises:
            ConfigError: an argument out of its range; the message names it.
            TypeError: a setting that the class does not have.
        """
        from rtu_edge.learn import horizon  # here, as in learn(): the package's import stays quick

        for name, value in (("horizon_s", horizon_s), ("period_s", period_s)):
            if value is None:
                raise ConfigError(f"{name}: missing; expected a number of seconds")
        assert horizon_s is not None and period_s is not None
        derived = horizon.actor_critic("horizon_s", horizon_s, period_s, settings, check_bool("coherent", coherent))
        return cls(observation_size, action_size, n_actions, seed=seed, **{"dt_s": float(period_s), **derived})

    def clone(
        self,
        observations: npt.ArrayLike,
        actions: npt.ArrayLike,
        rewards: npt.ArrayLike,
        terminated: npt.ArrayLike | None = None,
        truncated: npt.ArrayLike | None = None,
        demonstrated: npt.ArrayLike | None = None,
        *,
        sigma: npt.ArrayLike | None = None,
        passes: int = 60,
        step_size: float = 0.003,
    ) -> CloneResult:
        """Learns from a log what a controller does: policy, value and normaliser, before the first step of its own.

        Rows are those of run(): an observation, and the controller's answer to it. The weights learn from their present
        values, the statistics of observations and rewards continue with the log. The recurrent state, traces and
        eligibilities are then those of an episode's start; an optimizer's moments and the warm-up's count stay.
        docs/start_good.md: which log to record, and with which settings the agent learns on.

        Args:
            observations: (k, d), 2 rows or more.
            actions: (k, action_size) in [-1, 1] of the actuators' ranges, or (k,) indices: the answer to each row. That
                of a row with an end is not used.
            rewards: (k,) of the transition into each row; that of an episode's first row is not used.
            terminated: (k,) bool; None: nowhere.
            truncated: (k,) bool; None: nowhere. The last row counts as truncated if it is no end.
            demonstrated: (k,) bool: the answers to learn; the others were something else's. None: all.
            sigma: standard deviation of the actions that exploration starts with, a number or (action_size,), above
                1.01 sigma_floor, at most 1000. None: a quarter of that of the demonstrated actions, at least the
                floor's.
            passes: over the log, 1 to 100 000.
            step_size: of Adam in the first pass, above 0, at most 1; a hundredth of it in the last.

        Raises:
            ConfigError: an argument out of its range; the message names it; nothing has changed.
            RuntimeError: the passes have diverged; nothing has changed.
        """
        from rtu_edge.learn import cloning  # here, as in for_horizon()
        from rtu_edge.learn.demonstration import demonstration

        demo = demonstration(self, observations, actions, rewards, terminated, truncated, demonstrated)
        return cloning.clone(self, demo, sigma=sigma, passes=passes, step_size=step_size)

    @classmethod
    def from_env(cls, env: Any, **settings: Any) -> StreamAC:
        """A learner whose sizes fit an environment.

        >>> import rtu_edge as rtu
        >>> agent = rtu.StreamAC.from_env(rtu.Plant("cartpole"), units=16, seed=0)
        >>> agent.config["observation_size"], agent.config["action_size"], agent.config["dt_s"]
        (2, 1, 0.02)

        Args:
            env: A Gymnasium environment with observations in a Box of one dimension, at most 1024, and actions in
                Discrete(2 to 64) or in a Box with finite bounds, at most 32; or a Plant or a Robot, whose data sheet
                also gives dt_s.
            settings: Arguments of the class except for the sizes. For a Plant or a Robot with one actuator, n_actions
                makes a learner with discrete actions: evenly spaced levels of the actuator's range. horizon_s and
                coherent: see for_horizon(); the period is that of the environment, or dt_s.

        Raises:
            ConfigError: a space that does not fit, or an argument out of its range; the message names it.
            TypeError: an argument that the class does not have.
        """
        from rtu_edge.learn.spaces import fit  # here, as in for_horizon()

        for name in ("observation_size", "action_size"):
            if name in settings:
                raise ConfigError(f"{name} = {settings[name]!r}: follows from the environment; leave it out")
        sizes = fit(env, settings.pop("n_actions", None)).sizes
        coherent = check_bool("coherent", settings.pop("coherent", False))
        if (seconds := settings.pop("horizon_s", None)) is not None:
            from rtu_edge.learn import horizon

            period_s = settings.get("dt_s", sizes.get("dt_s"))
            if period_s is None:
                raise ConfigError("dt_s: missing; horizon_s needs the period, and the environment does not tell it")
            settings = horizon.actor_critic("horizon_s", seconds, period_s, settings, coherent)
        elif coherent:
            raise ConfigError("coherent = True: needs horizon_s, the time over which credit adds up")
        return cls(**{**sizes, **settings})
