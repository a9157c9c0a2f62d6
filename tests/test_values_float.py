"""Learners of action values in float32 on every instruction set, and their golden files.

Both are compared with the double code, which test_action_values.py and test_corrected_values.py compare with the
oracles.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rtu_edge as rtu
from rtu_edge import _core

LEARNERS: dict[str, dict[str, Any]] = {
    "StreamQ": {"optimizer": "sgd", "step_size": 1e-3},
    "StreamSARSA": {"optimizer": "sgd", "step_size": 1e-3},
    "StreamQRC": {"step_size": 1e-3, "h_step_size": 1e-2},
}
CASES = [
    (name, {"cell": cell, "recompute": recompute} | settings)
    for name, settings in LEARNERS.items()
    for cell, recompute in (
        ("linear", False), ("nonlinear", False), ("mingru", True), ("lru", False), ("elstm", False), ("none", True)
    )
]  # fmt: skip
CASES += [("StreamQRC", {"units_per_pole": 3} | LEARNERS["StreamQRC"]), ("StreamQ", {"step_size": 1e-2})]

RUN = """
import json, sys
import numpy as np
import rtu_edge as rtu
found = []
for name, settings, p, xs, rewards in json.load(sys.stdin):
    agent = getattr(rtu, name)(3, 3, units=9, hidden=7, epsilon_start=0.3, seed=4, **settings)
    agent.load_parameters({k: np.array(v) for k, v in p.items()})
    actions = agent.run(np.array(xs, "f4"), np.array(rewards)).tolist()
    found.append([actions, {k: v.tolist() for k, v in agent.parameters.items()}])
print(json.dumps(found))
"""


def single(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float32).astype(np.float64)


@pytest.mark.parametrize("isa", _core.available_isas())
def test_every_instruction_set_in_float32(isa: str) -> None:
    """9 units and a layer of 7: odd sizes around the lane width. In 40 small steps weights move as far as in double, to
    1e-3 of the largest move of a tensor, and 6e-8 of a weight for each time that it was rounded."""
    rng = np.random.default_rng(2)
    xs, rewards = single(rng.standard_normal((40, 3))), single(rng.standard_normal(40))
    given, wanted = [], []
    for name, settings in CASES:
        agent = getattr(rtu, name)(
            3, 3, units=9, hidden=7, epsilon_start=0.3, seed=4, dtype="float64", **settings
        )  # fmt: skip
        start = {k: single(v + 0.2 * rng.standard_normal(v.shape)) for k, v in agent.parameters.items()}
        agent.load_parameters(start)
        given.append([name, settings, {k: v.tolist() for k, v in start.items()}, xs.tolist(), rewards.tolist()])
        wanted.append((start, agent.run(xs, rewards).tolist(), agent.parameters))
    done = subprocess.run(
        [sys.executable, "-c", RUN], input=json.dumps(given), capture_output=True, text=True, check=True,
        env={**os.environ, "RTU_EDGE_ISA": isa},
    )  # fmt: skip
    for case, (start, actions, ends), (found, weights) in zip(CASES, wanted, json.loads(done.stdout), strict=True):
        assert found == actions, case
        for k, end in ends.items():
            error = np.abs(np.array(weights[k]) - end).max()
            assert error < 1e-3 * np.abs(end - start[k]).max() + 40 * 6e-8 * np.abs(end).max(), (case, k, error)


FOLDER = Path(__file__).parent / "golden" / "values"
FILES = sorted(path.stem for path in FOLDER.glob("*.rtu"))


@pytest.mark.arm
@pytest.mark.parametrize("name", FILES)
def test_a_golden_learner_goes_on_as_it_did(name: str) -> None:
    """tests/golden/values: 60 steps after the checkpoint: actions, values and errors. Other instruction sets than the
    writer's round sums otherwise; in float64 the code is the writer's."""
    agent = rtu.load(FOLDER / f"{name}.rtu")
    with np.load(FOLDER / "after.npz") as file:
        x, rewards, wanted = file["observations"][81:], file["rewards"][81:], file[name]
    rows = []
    for t, (observation, reward) in enumerate(zip(x, rewards, strict=True)):
        action = agent.step(observation, reward, truncated=t % 25 == 24)
        rows.append([action, agent.last_step["value"], agent.last_step["delta"]])
        if t % 25 == 24:
            agent.reset(observation)
    tolerance = {"float32": 1e-4, "float64": 1e-6}[name.rsplit("-", 1)[1]]  # the telemetry is single precision
    np.testing.assert_allclose(np.array(rows), wanted, atol=tolerance, rtol=tolerance)


def test_there_is_a_golden_learner_of_each_kind() -> None:
    assert len(FILES) == 3 * 3 * 2
