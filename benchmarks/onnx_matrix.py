"""Exported policies of random agents in every runtime that is claimed to load them, next to the agents themselves.

    python -m benchmarks.onnx_matrix                          # every runtime, 30 agents; minutes
    python -m benchmarks.onnx_matrix --runtime reference --agents 3

Each runtime has an environment of pinned packages below build/onnx_matrix, made on first use. In it the policy drives
a plant for 1000 steps; the agent follows the same observations. Sequences are compared with steps, 16
rows in one call with 16 calls. Results: build/onnx_matrix/results.json.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

import rtu_edge as rtu
from benchmarks import onnx_worker
from rtu_edge.learn.onnx.verify import Evaluation

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build/onnx_matrix"
BOUND = 1e-5

STEPS = 1000  # of the closed loop

# name: (function of onnx_worker, packages)
ENVIRONMENTS = {
    "onnxruntime-1.17.0": ("onnxruntime", "onnxruntime==1.17.0 numpy==1.26.4"),
    "onnxruntime-1.19.0": ("onnxruntime", "onnxruntime==1.19.0 numpy==1.26.4"),
    "onnxruntime-1.32.0": ("onnxruntime", "onnxruntime==1.32.0 numpy==2.4.6"),
    "reference": ("reference", "onnx==1.23.2 numpy==2.4.6"),
    "onnxsim": ("onnxsim", "onnxsim==0.8.1 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6"),
    "emx-onnx-cgen": ("emx", "emx-onnx-cgen==1.4.0 onnx==1.23.2 numpy==2.4.6"),
    "tinygrad": ("tinygrad", "tinygrad==0.14.0 numpy==2.4.6"),
}
CELLS = ("linear", "nonlinear", "mingru", "lru", "elstm", "none")


def configurations(count: int) -> list[tuple[str, dict[str, Any]]]:
    """Class and arguments of random agents: each cell in turn, continuous and discrete by turns, then action values."""
    rng, found = np.random.default_rng(21), []
    kinds = ("StreamQ", "StreamSARSA", "StreamQRC")
    for n in range(count):
        cell, last = CELLS[n % len(CELLS)], n >= count - count // 5
        kind = kinds[n % 3] if last else "StreamAC"
        size = int(rng.choice([1, 3, 8, 32, 65]))
        given: dict[str, Any] = {
            "observation_size": int(rng.integers(1, 9)),
            "cell": cell,
            "units": size,
            "hidden": [(), (8,), (32,), (17, 9)][rng.integers(4)],
            "activation": str(rng.choice(["tanh", "relu", "identity"])),
            "previous_action": bool(rng.integers(2)),
            "previous_reward": bool(rng.integers(2)),
            "seed": n,
        }
        if n // len(CELLS) % 2 or last:
            given["n_actions"] = int(rng.integers(2, 6))
        else:
            given["action_size"] = int(rng.integers(1, 4))
        if kind != "StreamQRC":
            given["encoder"] = [(), (6,), (12, 5)][rng.integers(3)]
        if kind == "StreamAC":
            given["body"] = ["shared", "separate"][rng.integers(2)]
            given["normalize_observation"] = bool(rng.integers(4))
            given["dtype"] = ["float32", "float64"][rng.integers(2)]
        if cell in ("linear", "nonlinear", "lru") and size % 4 == 0:
            given["units_per_pole"] = [1, 4][rng.integers(2)]
        found.append((kind, given))
    return found


def agent_of(kind: str, given: dict[str, Any]) -> Any:
    """After 300 steps, with weights that are all in use; a discrete one that makes more than one choice."""
    agent = getattr(rtu, kind)(**given)
    rng = np.random.default_rng(given["seed"])
    width = given.get("n_actions") or given["action_size"]
    plant = onnx_worker.Plant(given["observation_size"], width, given["seed"])
    agent.reset(plant.observation())
    for _ in range(300):
        plant.apply(rng.uniform(-1, 1, width))
        agent.step(plant.observation(), plant.reward)
    start = agent.parameters
    for _ in range(50):
        agent.load_parameters({name: _moved(name, value, rng) for name, value in start.items()})
        if "n_actions" not in given or _commonest(agent, plant, width) < 0.9:
            return agent
    raise RuntimeError(f"{kind} {given} makes one choice only")


def _moved(name: str, value: Any, rng: np.random.Generator) -> Any:
    if name.endswith("_log"):
        return value
    scale = value.shape[1] ** -0.5 if value.ndim == 2 else 0.1
    return (value + scale * rng.standard_normal(value.shape)).astype(value.dtype)


def _commonest(agent: Any, plant: onnx_worker.Plant, width: int) -> float:
    """The share of the commonest choice, while each choice drives the plant."""
    native = Evaluation(agent)
    native.begin()
    choices = []
    for _ in range(100):
        choices.append(int(native.predict(plant.observation())))
        plant.apply(np.eye(width)[choices[-1]])
    return float(np.bincount(choices).max() / len(choices))


def about(agent: Any, seed: int) -> dict[str, Any]:
    """What the worker has to know of an agent's files."""
    config = agent.config
    discrete, cell = config["n_actions"] is not None, config["cell"]
    width = config["n_actions"] if discrete else config["action_size"]
    inputs = {"observation": config["observation_size"], "previous_action": width, "previous_reward": 1}
    return {
        "observations": config["observation_size"],
        "width": width,
        "discrete": discrete,
        "units": config["units"],
        "states": [] if cell == "none" else ["h1"] if cell in ("mingru", "elstm") else ["h1", "h2"],
        "inputs": {name: size for name, size in inputs.items() if name == "observation" or config[name]},
        "seed": seed,
    }


def write(agent: Any, folder: Path, n: int) -> None:
    """The files of an agent: step, sequence, 16 rows."""
    folder.mkdir(parents=True, exist_ok=True)
    rtu.export_onnx(agent, folder / f"{n:02}.step.onnx")
    rtu.export_onnx(agent, folder / f"{n:02}.sequence.onnx", sequence=True)
    rtu.export_onnx(agent, folder / f"{n:02}.batch.onnx", batch=onnx_worker.ROBOTS)
    (folder / f"{n:02}.json").write_text(json.dumps(about(agent, n)))


def followed(agent: Any, driven: Any) -> float:
    """The largest difference between the agent and a policy that drove, as `onnx_worker.apart`."""
    native, config = Evaluation(agent), agent.config
    native.begin()
    wanted: list[Any] = []
    for t, x in enumerate(driven["observation"]):
        given: dict[str, Any] = {}
        if config["previous_reward"]:
            given["reward"] = float(driven["previous_reward"][t, 0])
        if config["previous_action"]:
            row = driven["previous_action"][t]
            given["applied"] = int(np.argmax(row)) if config["n_actions"] else row
        wanted.append(np.reshape(native.predict(x, **given), -1))
    actions = driven["action"].reshape(len(wanted), -1)
    return onnx_worker.apart(actions, wanted, {"discrete": config["n_actions"] is not None})


def environment(name: str) -> Path:
    """The Python of a runtime's environment, made if it is not there."""
    packages = ENVIRONMENTS[name][1]
    folder = FOLDER / f"{name}-{hashlib.sha256(packages.encode()).hexdigest()[:8]}"
    python = folder / "bin/python"
    if not (folder / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        pip = (python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages.split())
        subprocess.run(pip, check=True)
        (folder / "ready").touch()
    return python


def run(name: str, agents: list[Any], folder: Path) -> dict[str, Any]:
    """One runtime: of each form the worst difference, or the first error and how many agents had one."""
    into = FOLDER / "driven" / name
    plain = {**os.environ, "ORT_DISABLE_TELEMETRY": "1", "DEV": "CPU", "HOME": str(FOLDER), "PYTHONPATH": ""}
    command = (environment(name), Path(onnx_worker.__file__), ENVIRONMENTS[name][0], folder, into, str(STEPS))
    subprocess.run(command, check=True, env=plain)
    rows: dict[str, list[Any]] = {form: [] for form in onnx_worker.FORMS}
    for n, agent in enumerate(agents):
        found = json.loads((into / f"{n:02}.json").read_text())
        if "step" not in found:
            found["step"] = followed(agent, np.load(into / f"{n:02}.npz"))
        for form, values in rows.items():
            values.append(found.get(form, "no step"))
    return rows


def shown(values: list[Any]) -> str:
    """Continuous and discrete results of one form."""
    numbers = [value for value in values if not isinstance(value, str)]
    wrong = [value for value in values if isinstance(value, str)]
    good = sum(value <= BOUND for value in numbers)
    text = f"{good} of {len(values)}, worst {max(numbers):.1e}" if numbers else f"0 of {len(values)}"
    return f"{text}; {wrong[0][:90]}" if wrong else text


@click.command()
@click.option("--runtime", "names", multiple=True, type=click.Choice(list(ENVIRONMENTS)), help="Only these runtimes.")
@click.option("--agents", "count", default=30, show_default=True, help="Number of agents.")
def main(names: tuple[str, ...], count: int) -> None:
    """Compare."""
    folder = FOLDER / f"agents-{count}"
    agents = []
    for n, (kind, given) in enumerate(configurations(count)):
        agents.append(agent_of(kind, given))
        write(agents[-1], folder, n)
    title = f"{count} agents: difference in units of the action's range, or other choices"
    table, results = Table("runtime", "step against the agent", "Scan against step", "16 rows", title=title), {}
    for name in names or ENVIRONMENTS:
        results[name] = run(name, agents, folder)
        table.add_row(name, *(shown(results[name][form]) for form in onnx_worker.FORMS))
    kept = FOLDER / "results.json"
    kept.write_text(json.dumps({**(json.loads(kept.read_text()) if kept.exists() else {}), **results}, indent=1))
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    good = all(not isinstance(v, str) and v <= BOUND for rows in results.values() for v in rows["step"])
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
