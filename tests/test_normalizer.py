"""The observations' normaliser (docs/math_normalizer.md): against its definition, in an exported policy, and the effect
on a learned policy of a channel that was at rest, or of one outlier.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reference.normalizers import Channels

import rtu_edge as rtu
from rtu_edge._base.errors import ConfigError
from rtu_edge.device.plants import Plant
from rtu_edge.hil.learner import SETTINGS
from rtu_edge.learn.onnx import OnnxPolicy

LARGEST = float(np.finfo(np.float32).max)


def stream(steps: int) -> np.ndarray:
    """(steps, 6): ordinary, around 1e4, one that never moves, one that moves from step 150 on, a drift, and wild
    readings.
    """
    rng = np.random.default_rng(4)
    x = rng.standard_normal((steps, 6))
    x[:, 1] = 1e4 + 0.5 * x[:, 1]
    x[:, 2] = 0.1
    x[:150, 3] = -7.0
    x[:, 4] += 0.05 * np.arange(steps)
    x[40::60, 5] = 65535.0
    x[70::60, 5] = -LARGEST
    return x.astype(np.float32)


@pytest.mark.parametrize("bound", [0.0, 3.0, 10.0])
@pytest.mark.parametrize(("dtype", "error"), [("float64", 1e-11), ("float32", 2e-5)])
def test_statistics_and_outputs_meet_the_definition(dtype: str, error: float, bound: float) -> None:
    """A regressor without an RTU and with unit weights outputs its normalised input.

    float32: 4e-6 of a deviation found, mostly from x - mean of a channel whose samples have 2^-24 of 1e4 as their last
    place.
    """
    model = rtu.OnlineRegressor(
        6,
        6,
        cell="none",
        dtype=dtype,
        optimizer="sgd",
        step_size=0.0,
        normalize_observation=True,
        observation_bound=bound,
    )
    model.load_parameters({"model.head.weight": np.eye(6), "model.head.bias": np.zeros(6)})
    slow = Channels(6, bound)
    for t, x in enumerate(stream(400)):
        expected = slow(x.astype(np.float64))
        np.testing.assert_allclose(
            model.predict(x.astype(model.dtype)), expected, rtol=error, atol=error, err_msg=f"step {t}"
        )
        model.update(None)
        assert bound == 0 or np.abs(expected).max() <= bound
    found = model.normalizer
    assert found["count"] == slow.count
    np.testing.assert_allclose(found["mean"], slow.mean, rtol=error)
    np.testing.assert_allclose(found["variance"], slow.variance, rtol=error)
    np.testing.assert_allclose(found["scale"], slow.scale, rtol=error)
    assert found["scale"][2] == 0.0 < found["scale"][3] < found["scale"][0]


@pytest.mark.parametrize("bound", [-1.0, 1.9, 2e6, float("nan"), True])
def test_a_bound_out_of_its_range_is_refused(bound: Any) -> None:
    with pytest.raises(ConfigError, match="observation_bound"):
        rtu.StreamAC(1, 1, observation_bound=bound)


# ---------------------------------------------------------------- a learned policy


class Balancing:
    """The cart-pole that shows position and angle, and a third channel: 0.5 and a hum."""

    def __init__(self, seed: int, channels: int) -> None:
        self.plant, self.rng, self.channels = Plant("cartpole"), np.random.default_rng(seed), channels
        self.hum, self.wild_in = 0.0, -1

    def observe(self, x: np.ndarray) -> np.ndarray:
        seen = np.append(x, 0.5 + self.hum * self.rng.uniform(-1, 1))[: self.channels]
        seen[0] = 65535.0 if self.wild_in == 0 else seen[0]
        self.wild_in -= 1
        return seen.astype(np.float32)

    def episode(self, agent: Any, learn: bool) -> float:
        x = self.observe(self.plant.reset(int(self.rng.integers(2**31)))[0])
        agent.begin()
        action = agent.reset(x) if learn else agent.predict(x, deterministic=True)
        total = 0.0
        while True:
            x, reward, terminated, truncated, _ = self.plant.step(10 * action)
            total += reward
            x = self.observe(x)
            action = agent.step(x, reward, terminated, truncated) if learn else agent.predict(x, deterministic=True)
            if terminated or truncated:
                return total

    def mean(self, agent: Any, episodes: int, learn: bool) -> float:
        return float(np.mean([self.episode(agent, learn) for _ in range(episodes)]))


Learned = Callable[[int], tuple[Any, Balancing]]


@pytest.fixture(scope="module")
def learned() -> Learned:
    """An agent on so many channels, after 20 episodes with a mean of 475 of 500, and its task."""
    kept: dict[int, tuple[Any, Balancing]] = {}

    def make(channels: int) -> tuple[Any, Balancing]:
        if channels not in kept:
            sizes = {"observation_size": channels, "units": 32, "hidden": 32}
            agent = rtu.StreamAC(**SETTINGS | sizes, seed=SEEDS[channels], dtype="float64")  # equal bits on every host
            task = Balancing(SEEDS[channels], channels)
            returns: list[float] = []
            while len(returns) < 20 or np.mean(returns[-20:]) < 475:
                returns.append(task.episode(agent, learn=True))
                assert sum(returns) < 80_000, "not learned"
            kept[channels] = agent, task
        return kept[channels][0].copy(), Balancing(1, channels)

    return make


SEEDS = {2: 2, 3: 2}


@pytest.mark.hazard("observation-at-rest")
def test_a_channel_that_hums_after_it_was_at_rest_changes_no_frozen_policy(learned: Learned) -> None:
    """1e-3 on a channel that did not move during learning reduced the return from 500 to 34 when a deviation of 0 was
    replaced by 1e-4.
    """
    agent, task = learned(3)
    assert task.mean(agent, 5, learn=False) == 500
    task.hum = 1e-3
    assert task.mean(agent, 10, learn=False) == 500


@pytest.mark.hazard("observation-at-rest")
def test_a_channel_that_hums_comes_in_slower_than_it_is_learned(learned: Learned) -> None:
    """20 episodes while learning: 31 to 50 before, over seeds."""
    agent, task = learned(3)
    task.hum = 1e-3
    assert task.mean(agent, 20, learn=True) >= 420
    assert 0.0 < agent.normalizer["scale"][2] * 1e-3 < 0.5


@pytest.mark.hazard("observation-outlier")
def test_one_wild_reading_does_not_blind_a_learner(learned: Learned) -> None:
    """A single 65535 in a user's loop: it shifted mean and deviation of the position, and reduced the return to 145 and
    less.
    """
    agent, task = learned(2)
    scale = agent.normalizer["scale"][0]
    task.wild_in = 100
    assert task.mean(agent, 20, learn=True) >= 420
    assert agent.normalizer["scale"][0] > 0.9 * scale
    assert task.mean(agent, 5, learn=False) == 500


@pytest.mark.hazard("observation-outlier")
def test_an_exported_policy_has_the_scale_and_the_bound(learned: Learned, tmp_path: Path) -> None:
    """Step by step against the agent: the channel at rest has noise, readings leave every range."""
    agent, _ = learned(3)
    rtu.export_onnx(agent, tmp_path / "policy.onnx")
    policy = OnnxPolicy(tmp_path / "policy.onnx")
    policy.reset()
    agent.begin()
    rng = np.random.default_rng(3)
    x = (0.1 * rng.standard_normal((300, 3))).astype(np.float32)
    x[::7, 0], x[3::11, 1], x[5::13, 2], x[8::17, 2] = 65535.0, -LARGEST, LARGEST, 0.5 + 1e-3
    for t, row in enumerate(x):
        assert policy.predict(row) == pytest.approx(agent.predict(row, deterministic=True), abs=2e-5), f"step {t}"
