"""Stepping an exported policy with ONNX Runtime."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rtu_edge._base.packages import need
from rtu_edge._base.untrusted import parse_json, read_file
from rtu_edge.learn.onnx.check import check_model
from rtu_edge.learn.onnx.probe import load

__all__ = ["Driven", "Native", "OnnxPolicy", "drive"]

_MODEL_BYTES = 1 << 30

Action = NDArray[np.float32] | int


class OnnxPolicy:
    """An exported policy with its state, on ONNX Runtime (CPU, one thread).

    Args:
        path: a file that export_onnx has written.

    Raises:
        ExportError: onnxruntime cannot be used on this host.
        ModuleNotFoundError: it is not installed; the message has the command to install it.
        ValueError: the file is no such policy.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        need("onnxruntime", by="OnnxPolicy")
        source = os.fspath(path)
        data = read_file(path, _MODEL_BYTES)
        try:
            check_model(data)
        except ValueError as error:
            raise ValueError(f"{source}: not a policy that rtu_edge has exported: {error}") from None
        ort = load("onnxruntime")
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 4  # of itself it prints names of the file as they are; what matters is raised
        try:
            self._session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own exceptions share no public base
            raise ValueError(f"{source}: not a model that onnxruntime can run: {_line(error)}") from error
        self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        shapes = {item.name: (1, item.shape[1]) for item in self._session.get_inputs()}  # one row, also of any number
        if "observation" not in shapes or "rtu_edge.version" not in self.metadata:
            raise ValueError(f"{source}: not a policy that rtu_edge has exported")
        self.observation_size = int(shapes["observation"][1])
        try:
            self._describe()
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{source}: not a policy that rtu_edge has exported: its metadata: {error}") from None
        zeros = {name: np.zeros(shape, np.float32) for name, shape in shapes.items() if name != "observation"}
        self._previous = {name: value for name, value in zeros.items() if name.startswith("previous_")}
        self._state = {name: value for name, value in zeros.items() if name not in self._previous}
        self._started = False  # an action of this episode has been returned
        self._outputs = ["action", *(f"{name}_next" for name in self._state)]
        try:
            self._try()
        except Exception as error:
            raise ValueError(f"{source}: not a policy that rtu_edge has exported: {_line(error)}") from error

    def _try(self) -> None:
        """One step from a state of zeros. Raises what onnxruntime does, or ValueError where it gives other shapes or
        types.
        """
        found = self._session.run(
            self._outputs,
            {"observation": np.zeros((1, self.observation_size), np.float32), **self._previous, **self._state},
        )
        action = found[0]
        wanted = (np.int64, 1) if self.choices else (np.float32, 2)
        if (action.dtype, action.ndim) != wanted or action.shape[0] != 1 or action.size == 0:
            raise ValueError(f"its action is of shape {action.shape} and type {action.dtype}")
        for (name, h), after in zip(self._state.items(), found[1:], strict=True):
            if (after.shape, after.dtype) != (h.shape, h.dtype):
                raise ValueError(f"its {name}_next is of shape {after.shape} and type {after.dtype}")

    def _describe(self) -> None:
        """Contents of the metadata. Raises KeyError, TypeError, ValueError."""
        self.choices = int(self.metadata["rtu_edge.choices"])  # 0: continuous actions
        self.dt_s = float(self.metadata["rtu_edge.dt_s"]) if self.metadata["rtu_edge.dt_s"] else None
        self.observations: tuple[str, ...] = tuple(map(str, parse_json(self.metadata["rtu_edge.observations"])))
        self.actions: tuple[str, ...] = tuple(map(str, parse_json(self.metadata["rtu_edge.actions"])))
        _ = self.metadata["rtu_edge.config_hash"]

    def reset(self) -> None:
        """Start an episode: the state is zero, and so are the previous action and reward."""
        for h in (*self._state.values(), *self._previous.values()):
            h[:] = 0.0
        self._started = False

    @property
    def previous_action(self) -> bool:
        """The previous action is an input."""
        return "previous_action" in self._previous

    @property
    def previous_reward(self) -> bool:
        """The previous reward is an input."""
        return "previous_reward" in self._previous

    def preceded(self, reward: float, applied: Any) -> dict[str, Any]:
        """The arguments of predict() that are inputs of this policy."""
        found = {"reward": reward} if self.previous_reward else {}
        return {**found, "applied": applied} if self.previous_action else found

    def predict(
        self,
        observation: NDArray[np.floating[Any]] | Sequence[float],
        *,
        reward: float | None = None,
        applied: NDArray[np.floating[Any]] | Sequence[float] | int | None = None,
    ) -> Action:
        """Advance the state by one step.

        Args:
            observation: (d,), raw, finite.
            reward: of the transition into this observation, where it is an input; None: lost, then 0.
            applied: the action applied before it, where it is an input; None: the last one returned. Both are not used
                at the first step of an episode.

        Returns:
            The mode of the policy: actions in [-1, 1], (k,) float32; or the index of the choice.

        Raises:
            ValueError: an argument has another shape or is not finite; the state is as it was.
        """
        x = np.asarray(observation, dtype=np.float32)
        if x.shape != (self.observation_size,):
            raise ValueError(f"observation has shape {x.shape}, expected ({self.observation_size},)")
        if not np.isfinite(x).all():
            raise ValueError(f"observation is not finite: {x}")
        previous = self._inputs(reward, applied) if self._started else self._previous
        action, *state = self._session.run(self._outputs, {"observation": x[np.newaxis], **previous, **self._state})
        for name, h in zip(self._state, state, strict=True):
            self._state[name] = h
        chosen = int(action[0]) if self.choices else np.asarray(action[0], dtype=np.float32)
        self._started = True
        if self.previous_action:
            self._previous["previous_action"] = self._as_input(chosen)
        return chosen

    def _inputs(self, reward: Any, applied: Any) -> dict[str, NDArray[np.float32]]:
        """Inputs for what preceded an observation."""
        given = [value for value in (reward, applied) if value is not None]
        if not all(np.isfinite(np.asarray(value, np.float64)).all() for value in given):
            raise ValueError(f"reward = {reward!r}, applied = {applied!r}: expected finite numbers")
        inputs = dict(self._previous)
        if self.previous_reward:
            inputs["previous_reward"] = np.array([[0.0 if reward is None else reward]], np.float32)
        if self.previous_action and applied is not None:
            inputs["previous_action"] = self._as_input(applied)
        return inputs

    def _as_input(self, action: Any) -> NDArray[np.float32]:
        """(1, k): an action clipped to [-1, 1], or one-hot."""
        wanted = self._previous["previous_action"].shape
        if self.choices:
            hot = np.zeros(wanted, np.float32)
            hot[0, min(max(round(float(action)), 0), self.choices - 1)] = 1.0
            return hot
        row = np.asarray(action, dtype=np.float32)
        if row.shape != wanted[1:]:
            raise ValueError(f"applied has shape {row.shape}, expected {wanted[1:]}")
        return np.clip(row, -1.0, 1.0)[np.newaxis]

    @property
    def state(self) -> tuple[NDArray[np.float32], ...]:
        """h1 and h2, (n,) each, copies; empty without recurrence."""
        return tuple(h[0].copy() for h in self._state.values())

    def difference(self, ours: Action, theirs: Any) -> float:
        """The largest difference of two actions, in units of the action's range."""
        if self.choices:
            return abs(int(np.asarray(theirs).reshape(-1)[0]) - int(np.asarray(ours))) / max(self.choices - 1, 1)
        return float(np.max(np.abs(np.asarray(ours, np.float64) - np.asarray(theirs, np.float64)))) / 2.0


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


class Steps(Protocol):
    """The plant interface of `drive`; implemented by rtu_edge.device.plants.Plant."""

    @property
    def sheet(self) -> Any:
        """The data sheet, with actuators."""

    def reset(self, seed: int) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start an episode."""

    def step(self, u: NDArray[np.float32]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Hold the actuators for one period."""


class Native(Protocol):
    """A policy to compare with: begin() at an episode's start, predict(observation) after that."""

    def begin(self) -> None:
        """Start an episode."""

    def predict(self, observation: NDArray[np.float32], **preceded: Any) -> Any:
        """The mode for an observation; the state advances. preceded: what OnnxPolicy.preceded() gives."""


@dataclass
class Driven:
    """Result of `drive`."""

    steps: int = 0
    reward: float = 0.0
    episodes: list[float] = field(default_factory=list)  # the sum of rewards of each finished one
    largest_difference: float = 0.0  # of the actions, in units of their range; 0 without a follower


def drive(policy: OnnxPolicy, plant: Steps, steps: int = 1000, seed: int = 0, follower: Native | None = None) -> Driven:
    """Drive a plant with an exported policy; another policy may follow the same observations.

    Args:
        policy: the exported policy; it drives.
        plant: a rtu_edge.device.plants.Plant or the like; actuators in the order of the actions.
        steps: control steps in all; the last episode may be cut.
        seed: of the first episode; the following ones count up.
        follower: receives the same observations without driving, such as `verify.Evaluation(agent)`.

    Returns:
        Steps, rewards, and the largest difference of the two policies' actions.
    """
    low = np.array([row.min for row in plant.sheet.actuators], dtype=np.float32)
    high = np.array([row.max for row in plant.sheet.actuators], dtype=np.float32)
    driven = Driven()
    total, started, reward = 0.0, True, 0.0
    action: Action | None = None
    observation, _ = plant.reset(seed)
    while driven.steps < steps:
        if started:
            policy.reset()
            if follower is not None:
                follower.begin()
            started = False
        preceded = policy.preceded(reward, action)
        action = policy.predict(observation, reward=reward)
        if follower is not None:
            difference = policy.difference(action, follower.predict(observation, **preceded))
            driven.largest_difference = float(np.maximum(driven.largest_difference, difference))  # a NaN stays
        if isinstance(action, int):
            share = np.full_like(low, action / max(policy.choices - 1, 1))
        else:
            share = (action + np.float32(1.0)) * np.float32(0.5)
        observation, reward, terminated, truncated, _ = plant.step(low + share * (high - low))
        driven.steps += 1
        driven.reward += reward
        total += reward
        if terminated or truncated:
            driven.episodes.append(total)
            total, started = 0.0, True
            observation, _ = plant.reset((seed + len(driven.episodes)) % 2**32)
    return driven
