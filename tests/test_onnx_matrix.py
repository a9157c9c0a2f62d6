"""A part of benchmarks.onnx_matrix: the installed ONNX Runtime and onnx.reference, a few agents."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from toolchain import ROOT


@pytest.fixture
def matrix(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import onnx_matrix

    return onnx_matrix


def test_the_agents_have_everything_that_ships(matrix: Any) -> None:
    found = matrix.configurations(30)
    for cell in matrix.CELLS:
        for arguments in ("n_actions", "action_size"):
            assert any(given["cell"] == cell and arguments in given for _, given in found), (cell, arguments)
    assert {kind for kind, _ in found} == {"StreamAC", "StreamQ", "StreamSARSA", "StreamQRC"}
    assert {given.get("body") for _, given in found} >= {"shared", "separate"}
    assert {len(given.get("encoder", ())) for _, given in found} == {0, 1, 2}
    assert {given.get("units_per_pole", 1) for _, given in found} == {1, 4}


@pytest.mark.parametrize("n", [1, 10, 24])
@pytest.mark.parametrize(("runtime", "steps"), [("onnxruntime", 300), ("reference", 60)])
def test_a_policy_in_a_runtime_is_the_agent(n: int, runtime: str, steps: int, matrix: Any, tmp_path: Any) -> None:
    agent = matrix.agent_of(*matrix.configurations(30)[n])
    matrix.write(agent, tmp_path, n)
    found = matrix.onnx_worker.work(runtime, tmp_path, f"{n:02}", tmp_path, steps)
    driven = np.load(tmp_path / f"{n:02}.npz")
    assert matrix.followed(agent, driven) <= 1e-5
    assert found["sequence"] <= 1e-6, found
    assert found["batch"] <= 1e-6, found
    assert json.loads((tmp_path / f"{n:02}.json").read_text())["seed"] == n
    driven = {name: np.array(value) for name, value in driven.items()}
    driven["action"][-1] = (driven["action"][-1] + 1) % 2 if agent.config["n_actions"] else -driven["action"][-1] - 0.01
    assert matrix.followed(agent, driven) > 1e-5
