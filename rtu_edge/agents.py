"""Learners: StreamAC for control, TDPredictor and OnlineRegressor for signals.

Each is a thin face over one arena of the core: these classes check and name, the core computes.
Source: Elsayed et al., Streaming Deep Reinforcement Learning Finally Works, 2024 (arXiv 2410.14606); docs/math.md, 4.
"""

from __future__ import annotations

import copy as _copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from rtu_edge import _core, checkpoint, storage
from rtu_edge._check import check_choice, check_int, check_keys, check_number, check_sections, check_seed
from rtu_edge.cells import cell_config
from rtu_edge.errors import ConfigError

__all__ = ["OnlineRegressor", "StreamAC", "TDPredictor"]

Array = npt.NDArray[Any]
Self = TypeVar("Self", bound="_Learner")

_GROUPS = ("recurrent", "body", "head")
_RULES = ("obgd", "sgd", "adam")


def _layers(hidden: int | Sequence[int]) -> list[int]:
    widths = [hidden] if isinstance(hidden, (int, np.integer)) else list(hidden)
    if len(widths) > _core.max_layers:
        raise ConfigError(f"hidden = {tuple(widths)}: expected at most {_core.max_layers} layers")
    return [check_int("hidden", width, 1, 65536) for width in widths]


def _decays(value: float | Mapping[str, float]) -> dict[str, float]:
    if isinstance(value, Mapping):
        given = check_keys("trace_decay", value, _GROUPS)
        missing = [group for group in _GROUPS if group not in given]
        if missing:
            raise ConfigError(f"trace_decay.{missing[0]}: missing; expected a number for each of {', '.join(_GROUPS)}")
    else:
        given = dict.fromkeys(_GROUPS, value)
    return {group: check_number(f"trace_decay.{group}", given[group], 0.0, 1.0) for group in _GROUPS}


def _optimizer(
    name: str, rule: str, settings: Mapping[str, float] | None, *, step_size: float, kappa: float
) -> dict[str, Any]:
    given = check_keys(name, settings or {}, ("step_size", "kappa"))
    default = step_size if rule == "obgd" else 1e-3
    return {
        "rule": check_choice("optimizer", rule, _RULES),
        "step_size": check_number(f"{name}.step_size", given.get("step_size", default), 0.0, 1e6),
        "kappa": check_number(f"{name}.kappa", given.get("kappa", kappa), 0.0, 1e6, open_low=True),
    }


class _Learner:
    """Arena, sections, checkpoints: what all learners share."""

    kind: ClassVar[str]
    _parameter_roots: ClassVar[tuple[str, ...]]
    _normalizer_name: ClassVar[str] = "input"
    _core: Any
    _config: dict[str, Any]

    def _start(
        self, native: type, native_config: dict[str, Any], arguments: dict[str, Any], dtype: str, seed: int
    ) -> None:
        check_choice("dtype", dtype, ("float32", "float64"))
        self._config = {"kind": self.kind, **arguments, "dtype": dtype, "seed": check_seed(seed)}
        self._native_config = native_config
        self._core = native(native_config, dtype, seed)

    @property
    def core(self) -> Any:
        """The native object; `core.policy()` is what the native loop drives."""
        return self._core

    @property
    def config(self) -> dict[str, Any]:
        """What it takes to make this learner again, as plain values: "kind" and the constructor's arguments."""
        return _copy.deepcopy(self._config)

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64."""
        name: str = self._config["dtype"]
        return np.dtype(name)

    @property
    def nbytes(self) -> int:
        """Bytes of the arena, all that this learner will ever use per step."""
        return int(self._core.nbytes)

    @property
    def sections(self) -> list[tuple[str, str, tuple[int, ...], int]]:
        """(name, dtype, shape, bytes) of each named part of the arena."""
        return [(name, dtype.name, shape, nbytes) for name, dtype, shape, nbytes, _, _ in self._core.sections()]

    def _is_parameter(self, name: str) -> bool:
        leaf = name.rsplit(".", 1)[-1]
        inside = not any(part in {"z0", "z1", "step", "trace", "m", "v"} for part in name.split("."))
        return inside and leaf in {"nu_log", "theta_log", "W1", "W2", "weight", "bias"}

    @property
    def parameters(self) -> dict[str, Array]:
        """Copies of all weights by name, such as "actor.cell.W1" (n, d) or "actor.layer0.weight" (out, in)."""
        return {row[0]: self._core.get(row[0]) for row in self.sections if self._is_parameter(row[0])}

    def load_parameters(self, parameters: Mapping[str, npt.ArrayLike]) -> None:
        """Replaces some or all weights by copies; eligibilities, traces and state stay.

        Raises:
            ValueError: an unknown name, a wrong shape, a value that is not finite; nothing has changed.
        """
        for name, value in check_sections(parameters, self.parameters).items():
            self._core.set(name, value)

    @property
    def state(self) -> dict[str, Array]:
        """Copies of every section that a checkpoint holds, in canonical order."""
        return {name: self._core.get(name) for name, *_, saved in self._core.sections() if saved}

    @property
    def normalizer(self) -> dict[str, Any]:
        """Running "mean" (d,), "variance" (d,) and "count" of the observations, float64 (Welford 1962)."""
        name = self._normalizer_name
        count = float(self._core.get(f"{name}.count")[0])
        m2 = self._core.get(f"{name}.m2")
        variance = m2 / (count - 1) if count > 1 else np.ones_like(m2)
        return {"mean": self._core.get(f"{name}.mean"), "variance": variance, "count": int(count)}

    def state_hash(self) -> str:
        """64 bits over the canonical bytes of everything that a checkpoint holds, as 16 hexadecimal digits."""
        return f"{self._core.hash():016x}"

    def save(self, path: str | Path) -> None:
        """Writes a checkpoint: all of the state, so that learning goes on to the bit. The file is replaced atomically."""
        storage.write(path, self._core.save(checkpoint.encode_config(self._config)))

    def copy(self: Self) -> Self:
        """A second learner in the same state, memory of its own."""
        twin = type(self)._from_config(self._config)
        status, _ = twin._core.load(self._core.save(""))
        if status != 0:
            raise RuntimeError(f"a copy refused its own state ({status})")
        return twin

    @classmethod
    def _from_config(cls: type[Self], config: Mapping[str, Any]) -> Self:
        return cls(**{key: value for key, value in config.items() if key != "kind"})


class StreamAC(_Learner):
    """Stream AC(lambda): an actor-critic that learns from each step as it comes, over recurrent trace units.

    >>> import rtu_edge as rtu
    >>> agent = rtu.StreamAC(observation_size=2, action_size=1, units=8, hidden=8, seed=0)
    >>> action = agent.reset([0.0, 0.1])
    >>> action = agent.step([0.01, 0.1], reward=1.0)
    >>> action.shape
    (1,)

    Args:
        observation_size: observations d, raw units of the device; normalising is done inside.
        action_size: continuous actions, each in [-1, 1] of its actuator's range (or n_actions).
        n_actions: choices of a discrete action (or action_size).
        units: recurrent units n of each body.
        hidden: width of the layer after the cell, or a tuple of widths (0 to 4 layers; () for none).
        seed: 0 to 2^64 - 1.
        cell: "linear", "nonlinear", or "none" for a memoryless control.
        activation: of the cell: "relu", "tanh", "identity".
        units_per_pole: units that share a pole (linear cell).
        body: "separate": actor and critic have a cell and layers each; "shared": one body, two eligibility sets on it,
            their updates summed (docs/math.md, 4, form b).
        gamma: discount per step, 0 to 1.
        trace_decay: lambda, or one for each of "recurrent", "body", "head".
        optimizer: "obgd" (bounded steps), "sgd", "adam".
        actor: {"step_size": 1.0, "kappa": 2.0} and defaults for what is missing (step_size 1e-3 for sgd and adam).
        critic: the same; kappa 3.0 (docs/math.md says why the paper's 3 and 2 are turned round).
        entropy: tau, weight of the entropy's gradient.
        r_min: smallest retention at the start.
        r_max: largest retention at the start.
        max_phase: largest phase at the start, rad per step.
        sparsity: share of zero weights in dense layers at the start; one weight of each row always lives.
        sigma_floor: added to the standard deviation of continuous actions.
        normalize_observation: running mean and variance (Welford).
        scale_reward: rewards divided by the running deviation of the return.
        recompute: value and gradient of the last state again with the new weights, as the published code does.
        dt_s: nominal step in seconds, kept in checkpoints and exports; None if unknown.
        dtype: "float32" for work, "float64" for verification.

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
        hidden: int | Sequence[int] = 32,
        seed: int = 0,
        *,
        cell: str = "linear",
        activation: str = "tanh",
        units_per_pole: int = 1,
        body: str = "separate",
        gamma: float = 0.99,
        trace_decay: float | Mapping[str, float] = 0.9,
        optimizer: str = "obgd",
        actor: Mapping[str, float] | None = None,
        critic: Mapping[str, float] | None = None,
        entropy: float = 0.01,
        r_min: float = 0.7,
        r_max: float = 1.0,
        max_phase: float = 6.28,
        sparsity: float = 0.9,
        sigma_floor: float = 0.0,
        normalize_observation: bool = True,
        scale_reward: bool = True,
        recompute: bool = False,
        dt_s: float | None = None,
        dtype: str = "float32",
    ) -> None:
        if (action_size is None) == (n_actions is None):
            raise ConfigError("action_size, n_actions: expected exactly one of them (continuous or discrete actions)")
        discrete = n_actions is not None
        layers = _layers(hidden)
        arguments: dict[str, Any] = {
            "observation_size": check_int("observation_size", observation_size, 1, 64),
            "action_size": None if action_size is None else check_int("action_size", action_size, 1, 32),
            "n_actions": None if n_actions is None else check_int("n_actions", n_actions, 2, 64),
            "units": units,
            "hidden": layers,
            "cell": cell,
            "activation": activation,
            "units_per_pole": units_per_pole,
            "body": check_choice("body", body, ("separate", "shared")),
            "gamma": check_number("gamma", gamma, 0.0, 1.0),
            "trace_decay": _decays(trace_decay),
            "optimizer": optimizer,
            "actor": None,
            "critic": None,
            "entropy": check_number("entropy", entropy, 0.0, 1e3),
            "r_min": r_min,
            "r_max": r_max,
            "max_phase": max_phase,
            "sparsity": check_number("sparsity", sparsity, 0.0, 1.0),
            "sigma_floor": check_number("sigma_floor", sigma_floor, 0.0, 1e3),
            "normalize_observation": bool(normalize_observation),
            "scale_reward": bool(scale_reward),
            "recompute": bool(recompute),
            "dt_s": None if dt_s is None else check_number("dt_s", dt_s, 0.0, 1e3, open_low=True),
        }
        native = {
            **arguments,
            **cell_config(
                cell, observation_size, units, units_per_pole, activation, r_min=r_min, r_max=r_max, max_phase=max_phase
            ),
            "discrete": discrete,
            "n_outputs": n_actions if discrete else action_size,
            "actor": _optimizer("actor", optimizer, actor, step_size=1.0, kappa=2.0),
            "critic": _optimizer("critic", optimizer, critic, step_size=1.0, kappa=3.0),
        }
        for role in ("actor", "critic"):
            arguments[role] = {key: native[role][key] for key in ("step_size", "kappa")}
        self._start(_core.StreamAC, native, arguments, dtype, seed)

    @property
    def observation_size(self) -> int:
        """Observations d."""
        return int(self._config["observation_size"])

    @property
    def discrete(self) -> bool:
        """True: actions are indices."""
        return self._config["n_actions"] is not None

    def begin(self) -> None:
        """Starts an episode without an observation yet: state, traces and eligibilities to zero."""
        self._core.begin()

    def reset(self, observation: npt.ArrayLike) -> Any:
        """Starts an episode.

        Args:
            observation: (d,) the first observation.

        Returns:
            The first action: float array (action_size,) in [-1, 1], or an int.

        Raises:
            ValueError: shape, dtype or value of the observation; nothing has changed.
        """
        return self._core.reset(observation)

    def step(self, observation: npt.ArrayLike, reward: float, terminated: bool = False, truncated: bool = False) -> Any:
        """Learns from the transition into this observation; returns the next action.

        Args:
            observation: (d,) what followed the last action.
            reward: of the transition.
            terminated: the task ended here: nothing follows, no bootstrap. The action returned is then not to be used.
            truncated: the episode was cut here: its value is still that of the observation.

        Raises:
            ValueError: shape, dtype or value; nothing has changed.
            RuntimeError: no episode is under way; call reset().
        """
        return self._core.step(observation, reward, terminated, truncated)

    def run(
        self,
        observations: npt.ArrayLike,
        rewards: npt.ArrayLike,
        terminated: npt.ArrayLike | None = None,
        truncated: npt.ArrayLike | None = None,
        executed: npt.ArrayLike | None = None,
    ) -> Array:
        """Many steps in one call, to the bit what as many calls of step() do: for logs, replay and work off the robot.

        A row after an end, and the first row where no episode is under way, starts an episode as reset() does; its
        reward is not used. Given the observations and rewards of a run that began in this state, the actions are those
        of that run. Other threads of Python go on meanwhile, but may not use this learner.

        Args:
            observations: (k, d).
            rewards: (k,) of the transition into each row.
            terminated: (k,) bool; None: nowhere.
            truncated: (k,) bool; None: nowhere.
            executed: (k, action_size), or (k,) for discrete actions: what was really done before each row, where that
                was not this learner's choice; as for learn().

        Returns:
            Actions (k, action_size), or (k,) int64.

        Raises:
            ValueError: shape, dtype or value of an argument; nothing has changed.
            RuntimeError: learn() is due.
        """
        actions: Array = self._core.run(observations, rewards, terminated, truncated, executed)
        return actions

    def bind(self, observation_buffer: Array, action_buffer: Array) -> None:
        """Names the arrays that reset_bound() and step_bound() read and write in place; both are kept.

        Args:
            observation_buffer: (d,) of this learner's dtype, contiguous.
            action_buffer: (action_size,) of this learner's dtype, contiguous, writable; (1,) for a discrete action,
                whose index it then holds.

        Raises:
            ValueError: another dtype, shape or layout: nothing is ever converted here.
        """
        self.__dict__.update(self._core.bind(observation_buffer, action_buffer))

    # bind() puts functions of the core in the place of these two, on the instance: no Python code runs in a bound step.
    def reset_bound(self) -> None:
        """As reset(): reads the bound observation, writes the first action into the bound buffer.

        Raises:
            ValueError: the observation is not finite; nothing has changed.
            RuntimeError: bind() was not called before.
        """
        raise RuntimeError("reset_bound() before bind(): call bind(observation_buffer, action_buffer) first")

    def step_bound(self, reward: float, terminated: bool = False, truncated: bool = False) -> None:
        """As step(): learns from the transition into the bound observation, writes the next action.

        Args:
            reward: of the transition.
            terminated: as for step().
            truncated: as for step().

        Raises:
            ValueError: the observation or the reward is not finite; nothing has changed.
            RuntimeError: bind() was not called before, or no episode is under way.
        """
        raise RuntimeError("step_bound() before bind(): call bind(observation_buffer, action_buffer) first")

    def predict(self, observation: npt.ArrayLike, explore: bool = True, *, periods: float = 1.0) -> Any:
        """First half of a step: advances the state and chooses the action, which may leave at once.

        Args:
            observation: (d,).
            explore: False evaluates: the most likely action, nothing is learned, the normaliser stands still, only the
                recurrent state advances; learn() is then not called. When learning goes on without a reset, traces and
                eligibilities start anew.
            periods: time since the last observation in nominal periods (docs/math.md, 1).

        Raises:
            ValueError: shape, dtype or value; nothing has changed.
            RuntimeError: learn() is due, or no episode is under way.
        """
        return self._core.predict(observation, explore, check_number("periods", periods, 0.0, 1e3, open_low=True))

    def learn(
        self,
        reward: float | None,
        terminated: bool = False,
        truncated: bool = False,
        executed: npt.ArrayLike | int | None = None,
        *,
        update: bool = True,
    ) -> None:
        """Second half of a step: learns from the transition that ended in the observation just predicted.

        Args:
            reward: of the transition; after begin() and the first predict() there is none yet, and it is not looked at.
                None, with update=False, where it was lost.
            terminated: no bootstrap.
            truncated: bootstrap from the observation just predicted.
            executed: what the actuators really did in place of the last action, in its units. Where it differs by more
                than 1e-4 (a fallback, a stale command, a slew limit), only the critic learns from this transition.
            update: False is the deadline rule: everything is as ever but that no weight moves (docs/math.md, 4).

        Raises:
            ValueError: a value that is not finite; nothing has changed, learn() is still due.
            RuntimeError: predict() was not called before.
        """
        if executed is not None and self.discrete:
            executed = check_int("executed", executed, 0, self._config["n_actions"] - 1)
        self._core.learn(reward, terminated, truncated, executed, bool(update))

    @property
    def last_action_sample(self) -> Array:
        """The newest sampled action, unclipped: what the policy's gradient is taken of. (action_size,) or (1,)."""
        return np.asarray(self._core.last_sample)

    @property
    def last_step(self) -> dict[str, float]:
        """ "value", "delta", "step_size_actor", "step_size_critic" of the last learn()."""
        return _info(self._core.info)


class TDPredictor(_Learner):
    """TD(lambda) prediction of the discounted sum of a signal, on a stream without episodes.

    >>> import rtu_edge as rtu
    >>> v = rtu.TDPredictor(n_inputs=2, units=16, gamma=0.95, trace_decay=0.95, seed=0)
    >>> isinstance(v.step([1.0, 0.0], cumulant=0.0), float)
    True

    Args: as StreamAC where the names are the same; `step_size` and `kappa` of the one optimiser.
    """

    kind = "td_predictor"

    def __init__(
        self,
        n_inputs: int,
        units: int = 64,
        gamma: float = 0.95,
        trace_decay: float | Mapping[str, float] = 0.95,
        seed: int = 0,
        *,
        hidden: int | Sequence[int] = (),
        cell: str = "linear",
        activation: str = "relu",
        units_per_pole: int = 1,
        optimizer: str = "obgd",
        step_size: float | None = None,
        kappa: float = 2.0,
        r_min: float = 0.9,
        r_max: float = 1.0,
        max_phase: float = 0.6,
        sparsity: float = 0.9,
        normalize_observation: bool = False,
        dtype: str = "float32",
    ) -> None:
        arguments = {
            **_signal_arguments(
                n_inputs, units, hidden, cell, activation, units_per_pole, optimizer, r_min, r_max, max_phase, sparsity
            ),
            "gamma": check_number("gamma", gamma, 0.0, 1.0),
            "trace_decay": _decays(trace_decay),
            "normalize_observation": bool(normalize_observation),
        }
        settings = {"kappa": kappa} if step_size is None else {"step_size": step_size, "kappa": kappa}
        native = {**arguments, "optimizer": _optimizer("td", optimizer, settings, step_size=1.0, kappa=2.0)}
        arguments.update(step_size=native["optimizer"]["step_size"], kappa=native["optimizer"]["kappa"])
        self._start(_core.TDPredictor, native, arguments, dtype, seed)

    def step(self, x: npt.ArrayLike, cumulant: float) -> float:
        """Learns from the transition into x and returns v(x).

        Args:
            x: (n_inputs,) finite.
            cumulant: the signal that arrived with x.

        Raises:
            ValueError: shape, dtype or value; nothing has changed.
        """
        return float(self._core.step(x, cumulant))

    def run(self, x: npt.ArrayLike, cumulants: npt.ArrayLike) -> Array:
        """Many steps in one call, to the bit what as many calls of step() do.

        Other threads of Python go on meanwhile, but may not use this learner.

        Args:
            x: (k, n_inputs).
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
            x_buffer: (n_inputs,) of this learner's dtype, contiguous.

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
        """A new stream: state, traces and eligibilities to zero; weights stay."""
        self._core.begin()

    @property
    def last_step(self) -> dict[str, float]:
        """ "value", "delta", "step_size_critic" of the last step."""
        return _info(self._core.info)


class OnlineRegressor(_Learner):
    """Online supervised regression, squared error, one step at a time.

    >>> import rtu_edge as rtu
    >>> model = rtu.OnlineRegressor(n_inputs=1, units=8, seed=0)
    >>> y = model.predict([0.5])
    >>> model.learn([0.2]) >= 0.0
    True

    Args: as StreamAC where the names are the same; `step_size` and `kappa` of the one optimiser.
    """

    kind = "online_regressor"

    def __init__(
        self,
        n_inputs: int,
        n_outputs: int = 1,
        units: int = 32,
        hidden: int | Sequence[int] = (),
        optimizer: str = "adam",
        step_size: float | None = None,
        seed: int = 0,
        *,
        kappa: float = 2.0,
        cell: str = "linear",
        activation: str = "relu",
        units_per_pole: int = 1,
        r_min: float = 0.5,
        r_max: float = 1.0,
        max_phase: float = 0.6,
        sparsity: float = 0.9,
        normalize_observation: bool = False,
        dtype: str = "float32",
    ) -> None:
        arguments = {
            **_signal_arguments(
                n_inputs, units, hidden, cell, activation, units_per_pole, optimizer, r_min, r_max, max_phase, sparsity
            ),
            "n_outputs": check_int("n_outputs", n_outputs, 1, 4096),
            "normalize_observation": bool(normalize_observation),
        }
        settings = {"kappa": kappa} if step_size is None else {"step_size": step_size, "kappa": kappa}
        native = {**arguments, "optimizer": _optimizer("regressor", optimizer, settings, step_size=1.0, kappa=2.0)}
        arguments.update(step_size=native["optimizer"]["step_size"], kappa=native["optimizer"]["kappa"])
        self._start(_core.OnlineRegressor, native, arguments, dtype, seed)

    def predict(self, x: npt.ArrayLike) -> Array:
        """Advances the state by x (n_inputs,) and returns the prediction (n_outputs,). learn() follows.

        Raises:
            ValueError: shape, dtype or value; nothing has changed.
            RuntimeError: learn() is due.
        """
        return self._core.predict(x)  # type: ignore[no-any-return]

    def learn(self, target: npt.ArrayLike | None) -> float:
        """Moves the weights towards target (n_outputs,); None where it is not known: then only the traces advance.

        Returns:
            The loss, 1/2 |target - y|^2.

        Raises:
            ValueError: shape, dtype or value; nothing has changed, learn() is still due.
            RuntimeError: predict() was not called before.
        """
        return float(self._core.learn(target))

    def run(self, x: npt.ArrayLike, targets: npt.ArrayLike) -> tuple[Array, Array]:
        """Many steps in one call, to the bit what as many pairs of predict() and learn() do.

        Other threads of Python go on meanwhile, but may not use this learner.

        Args:
            x: (k, n_inputs).
            targets: (k, n_outputs).

        Returns:
            Predictions (k, n_outputs), each before its target was learned from, and losses (k,).

        Raises:
            ValueError: shape, dtype or value; nothing has changed.
            RuntimeError: learn() is due.
        """
        predictions, losses = self._core.run(x, targets)
        return predictions, losses

    def bind(self, x_buffer: Array, prediction_buffer: Array, target_buffer: Array) -> None:
        """Names the arrays that step_bound() reads and writes in place; they are kept.

        Args:
            x_buffer: (n_inputs,) of this learner's dtype, contiguous.
            prediction_buffer: (n_outputs,) the same, writable.
            target_buffer: (n_outputs,) the same.

        Raises:
            ValueError: another dtype, shape or layout: nothing is ever converted here.
        """
        self.__dict__.update(self._core.bind(x_buffer, prediction_buffer, target_buffer))

    def step_bound(self) -> float:
        """As predict(), then learn(), with the bound arrays; returns the loss.

        Raises:
            ValueError: x or the target is not finite; nothing has changed.
            RuntimeError: bind() was not called before, or learn() is due.
        """
        raise RuntimeError("step_bound() before bind(): call bind(x_buffer, prediction_buffer, target_buffer) first")

    def reset(self) -> None:
        """A new sequence: state and traces to zero; weights stay."""
        self._core.begin()


def _signal_arguments(
    n_inputs: int,
    units: int,
    hidden: int | Sequence[int],
    cell: str,
    activation: str,
    units_per_pole: int,
    optimizer: str,
    r_min: float,
    r_max: float,
    max_phase: float,
    sparsity: float,
) -> dict[str, Any]:
    return {
        **cell_config(cell, n_inputs, units, units_per_pole, activation, r_min=r_min, r_max=r_max, max_phase=max_phase),
        "hidden": _layers(hidden),
        "optimizer": check_choice("optimizer", optimizer, _RULES),
        "sparsity": check_number("sparsity", sparsity, 0.0, 1.0),
    }


def _info(info: Any) -> dict[str, float]:
    return {name: getattr(info, name) for name in ("value", "delta", "step_size_actor", "step_size_critic")}


_KINDS: dict[str, type[_Learner]] = {cls.kind: cls for cls in (StreamAC, TDPredictor, OnlineRegressor)}


def make(config: Mapping[str, Any]) -> Any:
    """A learner from its `config`.

    Raises:
        ConfigError: an unknown kind, or an argument that the class refuses.
    """
    settings = dict(config)
    kind = check_choice("kind", settings.pop("kind", None), tuple(_KINDS))
    try:
        return _KINDS[kind](**settings)
    except TypeError as error:
        raise ConfigError(f"{kind}: {error}") from None


def load(path: str | Path) -> Any:
    """The learner that a checkpoint holds, ready to go on from where it was saved.

    Raises:
        CheckpointError: cut short, damaged, of another version or layout; the message says which.
        OSError: the file cannot be read.
    """
    return decode(Path(path).read_bytes(), path)


def decode(data: bytes, path: str | Path = "checkpoint") -> Any:
    """The learner that a checkpoint's bytes hold; see load()."""
    config = checkpoint.read_config(data, path)
    try:
        learner = make(config)
    except ValueError as error:
        raise checkpoint.CheckpointError(f"{path}: its configuration is refused: {error}") from None
    restore(learner, data, path)
    return learner


def restore(learner: Any, data: bytes, path: str | Path = "checkpoint") -> None:
    """Puts the state of a checkpoint's bytes into a learner of the same layout.

    Raises:
        CheckpointError: as load(); the learner is as it was.
    """
    status, where = learner.core.load(data)
    checkpoint.raise_for(status, where, path)
