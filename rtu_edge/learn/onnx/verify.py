"""Verification of an exported policy against its agent."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtu_edge._base.packages import need
from rtu_edge._base.validation import check_int, check_number
from rtu_edge.learn.onnx.model import config_hash
from rtu_edge.learn.onnx.policy import OnnxPolicy
from rtu_edge.learn.onnx.write import check_agent

__all__ = ["Evaluation", "observations_like", "verify_onnx"]

SEED = 2026
# Random observations: a slow and a fast part, within three deviations.
LASTING = 0.95
WIDEST = 3.0


class Evaluation:
    """An agent's policy without learning, a follower for `drive`.

    Args:
        agent: has copy(), begin() and predict(observation, deterministic=True); it is copied and not changed.
    """

    def __init__(self, agent: Any) -> None:
        self._agent = agent.copy()

    def begin(self) -> None:
        """Start an episode."""
        self._agent.begin()

    def predict(self, observation: NDArray[np.float32], **preceded: Any) -> Any:
        """The mode for an observation; h advances, nothing is learned. preceded: reward and applied of
        StreamAC.predict(), where they are inputs.
        """
        return self._agent.predict(observation, deterministic=True, **preceded)


def observations_like(agent: Any, steps: int, seed: int = SEED) -> NDArray[np.float32]:
    """Observations in the range that the agent has seen.

    Args:
        agent: its normaliser has mean and variance.
        steps: how many.
        seed: equal seeds give equal observations.

    Returns:
        (steps, d), each within three deviations of its mean; correlated in time like sensor readings.
    """
    size = int(agent.config["observation_size"])
    mean, deviation = np.zeros(size), np.ones(size)
    if agent.config.get("normalize_observation", True):
        mean = np.asarray(agent.normalizer["mean"], dtype=np.float64)
        deviation = np.sqrt(np.asarray(agent.normalizer["variance"], dtype=np.float64))
    rng = np.random.default_rng(seed)
    lasting = rng.standard_normal(size)
    out = np.empty((steps, size), dtype=np.float32)
    for t in range(steps):
        lasting = LASTING * lasting + np.sqrt(1.0 - LASTING**2) * rng.standard_normal(size)
        mixed = (lasting + rng.standard_normal(size)) / np.sqrt(2.0)
        out[t] = mean + deviation * np.clip(mixed, -WIDEST, WIDEST)
    return out


def verify_onnx(
    path: str | os.PathLike[str], agent: Any, steps: int = 1000, *, share_above: float | None = None
) -> float:
    """Run an exported policy and its agent in parallel.

    Both start from a zero state and receive the same observations in one long episode, so that differences can
    accumulate. The agent is copied first.

    Args:
        path: a file written by export_onnx.
        agent: the exported agent, in the state of the export.
        steps: number of steps.
        share_above: count steps instead: those whose difference is larger. 0 for discrete actions: flipped choices.

    Returns:
        The largest difference of the actions, in units of the action's range: 1e-5 or less is rounding; NaN if either
        output is NaN. With share_above the share of the steps, 0 to 1.

    Raises:
        ValueError: the file is not an exported policy, belongs to another agent, or an argument is out of range.
        ExportError: onnxruntime cannot be used on this host.
        ModuleNotFoundError: it is not installed; the message has the command to install it.
    """
    check_agent(agent)
    check_int("steps", steps, 1, 2**31 - 1)
    if share_above is not None:
        check_number("share_above", share_above, 0.0, 1.0)
    need("onnxruntime", by="verify_onnx()")
    policy = OnnxPolicy(path)
    expected = config_hash(agent.config)
    if policy.metadata["rtu_edge.config_hash"] != expected:
        raise ValueError(
            f"{os.fspath(path)}: exported from another configuration "
            f"({policy.metadata['rtu_edge.config_hash'][:12]}, the agent's is {expected[:12]})"
        )
    native = Evaluation(agent)
    native.begin()
    policy.reset()
    rewards = np.random.default_rng(SEED).standard_normal(steps)
    if policy.previous_reward:
        rewards /= agent.reward_scale
    differences: list[float] = []
    ours: Any = None
    for x, reward in zip(observations_like(agent, steps), rewards.tolist(), strict=True):
        preceded = policy.preceded(reward, ours)
        ours = policy.predict(x, reward=reward)
        differences.append(policy.difference(ours, native.predict(x, **preceded)))
    if share_above is not None:
        return float(np.mean(~(np.array(differences) <= share_above)))
    return float(np.max(differences))  # the built-in max() would lose a NaN
