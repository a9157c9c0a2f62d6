"""Runs exported policies in one runtime, without rtu_edge: the part of benchmarks.onnx_matrix in its environment.

    python onnx_worker.py RUNTIME FOLDER INTO STEPS     # of each agent N in FOLDER: INTO/N.npz and N.json

A policy drives a small plant, a random linear system, by its own actions.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Arrays = dict[str, Any]
Call = Callable[[Arrays], Arrays]

SCANNED, ROBOTS, TOGETHER = 200, 16, 20


class Plant:
    """s <- .9 Q s + B action + noise; an observation is offset + scale s, the reward -mean(s^2)."""

    def __init__(self, observations: int, actions: int, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        matrix, _ = np.linalg.qr(self.rng.standard_normal((observations, observations)))
        self.turn, self.push = 0.9 * matrix, 0.3 * self.rng.standard_normal((observations, actions))
        self.offset = self.rng.uniform(-5, 5, observations)
        self.scale = np.exp(self.rng.uniform(-2, 2, observations))
        self.s = self.rng.standard_normal(observations)
        self.reward = 0.0

    def observation(self) -> Any:
        """(d,) float32."""
        return (self.offset + self.scale * self.s).astype(np.float32)

    def apply(self, row: Any) -> None:
        """One step; row: the action, (k,), one-hot for a choice."""
        noise = 0.3 * self.rng.standard_normal(len(self.s))
        self.s = self.turn @ self.s + self.push @ np.asarray(row, np.float64) + noise
        self.reward = float(-np.mean(self.s**2))


def as_row(action: Any, about: Arrays) -> Any:
    """The action as an input, (k,)."""
    if about["discrete"]:
        return np.eye(about["width"], dtype=np.float32)[int(np.reshape(action, -1)[0])]
    return np.asarray(action, np.float32).reshape(-1)


def zeros(about: Arrays, batch: int) -> Arrays:
    """The states at the start of an episode."""
    return {name: np.zeros((batch, about["units"]), np.float32) for name in about["states"]}


def closed_loop(call: Call, about: Arrays, steps: int = 1000) -> Arrays:
    """What the policy saw and did while it drove the plant."""
    plant, state = Plant(about["observations"], about["width"], about["seed"]), zeros(about, 1)
    row, reward = np.zeros(about["width"], np.float32), 0.0
    kept: Arrays = {"observation": [], "previous_action": [], "previous_reward": [], "action": []}
    for _ in range(steps):
        given = {
            "observation": plant.observation()[np.newaxis],
            "previous_action": row[np.newaxis],
            "previous_reward": np.array([[reward]], np.float32),
        }
        found = call({**{name: given[name] for name in about["inputs"]}, **state})
        state = {name: np.asarray(found[f"{name}_next"]) for name in state}
        for name, value in (*given.items(), ("action", found["action"])):
            kept[name].append(np.array(value[0] if name != "action" or not about["discrete"] else value))
        row = as_row(found["action"], about)
        plant.apply(row)
        reward = plant.reward
    return {name: np.array(values) for name, values in kept.items()}


def apart(a: Any, b: Any, about: Arrays) -> float:
    """The largest difference of actions, in units of their range; of choices: how many differ."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return float((a.reshape(-1) != b.reshape(-1)).sum()) if about["discrete"] else float(np.abs(a - b).max() / 2.0)


def sequence_is_steps(call: Call, driven: Arrays, about: Arrays) -> float:
    """One call of the Scan model against the steps of the closed loop."""
    n = min(SCANNED, len(driven["observation"]))
    given = {name: driven[name][:n, np.newaxis] for name in about["inputs"]}
    found = np.asarray(call({**given, **zeros(about, 1)})["action"]).reshape(n, -1)
    return apart(found, driven["action"][:n].reshape(n, -1), about)


def rows_are_singles(call: Call, single: Call, about: Arrays, steps: int = TOGETHER) -> float:
    """A batch of 16 against 16 calls of one row."""
    rng = np.random.default_rng(about["seed"])
    state, states = zeros(about, ROBOTS), [zeros(about, 1) for _ in range(ROBOTS)]
    worst = 0.0
    for _ in range(steps):
        given = {name: rng.standard_normal((ROBOTS, size)).astype(np.float32) for name, size in about["inputs"].items()}
        found = call({**given, **state})
        state = {name: np.asarray(found[f"{name}_next"]) for name in state}
        alone = []
        for k in range(ROBOTS):
            one = single({**{name: value[k : k + 1] for name, value in given.items()}, **states[k]})
            states[k] = {name: np.asarray(one[f"{name}_next"]) for name in state}
            alone.append(np.asarray(one["action"]).reshape(-1))
        worst = max(worst, apart(np.asarray(found["action"]).reshape(ROBOTS, -1), alone, about))
    return worst


# ---------------------------------------------------------------- the runtimes


def by_onnxruntime(path: Path) -> Call:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    names = [item.name for item in session.get_outputs()]
    return lambda given: dict(zip(names, session.run(names, given), strict=True))


def by_reference(path: Path) -> Call:
    import onnx
    import onnx.reference

    model = onnx.load(path)
    evaluator, names = onnx.reference.ReferenceEvaluator(model), [item.name for item in model.graph.output]
    return lambda given: dict(zip(names, evaluator.run(names, given), strict=True))


def by_tinygrad(path: Path) -> Call:
    """One compiled graph on the processor. Inputs and outputs are written and read in tinygrad's own memory: a new
    Tensor and `numpy()` each plan and compile a copy, 30 ms a step."""
    from tinygrad import Tensor, TinyJit
    from tinygrad.nn.onnx import OnnxRunner

    runner, held = OnnxRunner(path), {}

    @TinyJit  # type: ignore[untyped-decorator, unused-ignore]
    def compiled(**given: Any) -> Any:
        return {name: value.contiguous().realize() for name, value in runner(given).items()}

    def memory(tensor: Any) -> Any:
        view = tensor.uop.base.realized.as_memoryview(force_zero_copy=True)
        return np.frombuffer(view, np.dtype(tensor.dtype.fmt)).reshape(tensor.shape)

    def call(given: Arrays) -> Arrays:
        for name, value in given.items():
            if name not in held:
                held[name] = Tensor(np.ascontiguousarray(value)).realize()
            memory(held[name])[:] = value
        return {name: memory(value).copy() for name, value in compiled(**held).items()}

    return call


def by_onnxsim(path: Path) -> Call:
    """The simplified model, in onnxruntime."""
    import onnx
    import onnxsim

    shorter, same = onnxsim.simplify(onnx.load(path))
    assert same, "onnxsim reports another result"
    onnx.checker.check_model(shorter, full_check=True)
    simplified = path.with_suffix(".simplified.onnx")
    simplified.write_bytes(shorter.SerializeToString())
    return by_onnxruntime(simplified)


def by_emx(path: Path) -> Call:
    """C of the model, built with gcc -O2."""
    import ctypes

    import onnx

    model, source = onnx.load(path), path.with_suffix(".emx.c")
    whole = ("--large-weight-threshold", "0", "--large-temp-threshold", "0")
    _run(Path(sys.executable).parent / "emx-onnx-cgen", "compile", *whole, path, source)
    _run("gcc", "-std=c99", "-O2", "-shared", "-fPIC", source, "-o", source.with_suffix(".so"), "-lm")
    function = ctypes.CDLL(str(source.with_suffix(".so"))).model
    kinds = {1: np.float32, 7: np.int64}
    inputs = [item.name for item in model.graph.input]
    outputs = {}
    for item in model.graph.output:
        tensor = item.type.tensor_type
        outputs[item.name] = np.zeros([d.dim_value for d in tensor.shape.dim], kinds[tensor.elem_type])

    def call(given: Arrays) -> Arrays:
        held = [np.ascontiguousarray(given[name], np.float32) for name in inputs]
        function(*(ctypes.c_void_p(value.ctypes.data) for value in (*held, *outputs.values())))
        return {name: value.copy() for name, value in outputs.items()}

    return call


def _run(*command: Any) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {(done.stderr or done.stdout)[-600:]}")


RUNTIMES: dict[str, Callable[[Path], Call]] = {
    "onnxruntime": by_onnxruntime,
    "reference": by_reference,
    "tinygrad": by_tinygrad,
    "onnxsim": by_onnxsim,
    "emx": by_emx,
}
FORMS = ("step", "sequence", "batch")


def work(runtime: str, folder: Path, n: str, into: Path, steps: int) -> Arrays:
    """One agent: every form; an error of a form is kept in its place."""
    load, about = RUNTIMES[runtime], json.loads((folder / f"{n}.json").read_text())
    result: Arrays = {}
    begun = time.monotonic()
    try:
        step = load(folder / f"{n}.step.onnx")
        driven = closed_loop(step, about, steps)
        np.savez(into / f"{n}.npz", **driven)
    except Exception as error:
        return {"step": _line(error)}
    for form in ("sequence", "batch"):
        try:
            call = load(folder / f"{n}.{form}.onnx")
            result[form] = (
                sequence_is_steps(call, driven, about) if form == "sequence" else rows_are_singles(call, step, about)
            )
        except Exception as error:
            result[form] = _line(error)
    return {**result, "seconds": time.monotonic() - begun}


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[-160:]}"


def main() -> None:
    """Work through a folder of agents."""
    runtime, folder, into, steps = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    into.mkdir(parents=True, exist_ok=True)
    for about in sorted(folder.glob("*.json")):
        (into / about.name).write_text(json.dumps(work(runtime, folder, about.stem, into, steps)))


if __name__ == "__main__":
    main()
