"""What an exported policy consists of, and the steps of its agent that a file is tested with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rtu_edge.learn.c_policy.write import Array
from rtu_edge.learn.onnx.verify import SEED, Evaluation, observations_like
from rtu_edge.learn.onnx.write import CELL_WEIGHTS, GATED, VALUES

__all__ = ["Parts", "Recorded", "layers_of", "poles", "recorded"]


@dataclass(frozen=True)
class Parts:
    """Of an agent with a policy.

    Attributes:
        kind: of the cell.
        head, body: prefixes of parameters.
        discrete, width: choices or actions, and how many.
        states: the cell's vectors of state.
        cell: its parameters in double precision, by their last name.
    """

    kind: str
    head: str
    body: str
    discrete: bool
    width: int
    states: tuple[str, ...]
    cell: Mapping[str, Array]

    @classmethod
    def of(cls, agent: Any) -> Parts:
        """Those of this agent."""
        config, kind = agent.config, agent.config.get("cell", "linear")
        head = "q" if agent.kind in VALUES else "actor"
        body = "body" if config.get("body", "separate") == "shared" else head
        discrete = config.get("n_actions") is not None
        width = int(config["n_actions"] if discrete else config["action_size"])
        states = () if kind == "none" else ("h1",) if kind in GATED else ("h1", "h2")
        cell = {name.split(".cell.")[1]: np.asarray(value, np.float64) for name, value in agent.parameters.items()
                if name.startswith(f"{body}.cell.")}  # fmt: skip
        return cls(kind, head, body, discrete, width, states, cell)

    def head_of(self, agent: Any) -> tuple[Array, Array]:
        """Weight and bias of the actions or of the choices' preferences; without the standard deviations."""
        weight, bias = (np.asarray(agent.parameters[f"{self.head}.head.{part}"]) for part in ("weight", "bias"))
        return weight[: self.width], bias[: self.width]

    def gains(self) -> tuple[Array | None, Array | None, Any]:
        """Of a rotated cell: g, phi and the gain of the input of each unit; None, None, 1 for one with gates."""
        if self.kind in GATED:
            return None, None, 1.0
        return poles(self.kind, self.cell)


def poles(kind: str, cell: Mapping[str, Array]) -> tuple[Array, Array, Array]:
    """g, phi and the gain of the input of each unit (docs/math.md, 1)."""
    n = cell[CELL_WEIGHTS[kind][0]].shape[0]
    members = n // cell["nu_log"].shape[0]
    nu, theta = (np.repeat(np.exp(cell[name]), members) for name in ("nu_log", "theta_log"))
    gains = np.repeat(np.exp(cell["gamma_log"]), members) if kind == "lru" else np.sqrt(-np.expm1(-2 * nu)) + 1e-8
    return np.exp(-nu) * np.cos(theta), np.exp(-nu) * np.sin(theta), gains


def layers_of(name: str, parameters: Mapping[str, Array]) -> list[tuple[Array, Array]]:
    """Weight and bias of the layers with this prefix, in order."""
    found: list[tuple[Array, Array]] = []
    while f"{name}{len(found)}.weight" in parameters:
        weight, bias = (np.asarray(parameters[f"{name}{len(found)}.{part}"]) for part in ("weight", "bias"))
        found.append((weight, bias))
    return found


@dataclass(frozen=True)
class Recorded:
    """Steps of an agent without learning. Attributes: observations (steps, d); previous_actions (steps, k), one-hot for
    choices; previous_rewards (steps); actions (steps, k), or choices (steps, 1).
    """

    observations: Array
    previous_actions: Array
    previous_rewards: Array
    actions: Array


def recorded(agent: Any, steps: int) -> Recorded:
    """One episode."""
    config, parts = agent.config, Parts.of(agent)
    xs, native = observations_like(agent, steps), Evaluation(agent)
    rewards = np.random.default_rng(SEED).standard_normal(steps).astype(np.float32)
    native.begin()
    wanted: list[Any] = []
    rows = np.zeros((steps, parts.width), np.float32)
    for t, x in enumerate(xs):
        given: dict[str, Any] = {}
        if config.get("previous_reward"):
            given["reward"] = float(rewards[t])
        if config.get("previous_action"):
            given["applied"] = wanted[-1] if wanted else (0 if parts.discrete else np.zeros(parts.width, np.float32))
            if t:
                rows[t] = np.eye(parts.width)[int(wanted[-1])] if parts.discrete else wanted[-1]
        wanted.append(native.predict(x, **given))
    rewards[0] = 0.0
    return Recorded(xs, rows, rewards, np.asarray(wanted, dtype=np.float64).reshape(steps, -1))
