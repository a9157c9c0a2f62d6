"""Writes golden checkpoints of the optimizers with second moments and of encoders, and what the learners did next:
python tests/golden/make_rules.py x86_64, or aarch64 PROGRAM

rules/MACHINE-NAME-DTYPE.rtu: a learner after 80 steps; rules/MACHINE.npz: its outputs in 60 more, and the inputs.
MACHINE is x86_64, written with the scalar instruction set (RTU_EDGE_ISA=scalar), or aarch64, by make_rules.cpp,
compiled to PROGRAM for that processor and run by qemu-aarch64. The files stay as they are.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import rtu_edge as rtu
from rtu_edge import _core
from rtu_edge.learn.checkpoint import encode_config

FOLDER = Path(__file__).resolve().parent / "rules"
INTENTIONAL: dict[str, Any] = {"optimizer": "intentional", "actor": {"step_size": 0.002}, "critic": {"step_size": 0.02}}
LEARNERS: dict[str, Any] = {
    "adaptive": {"optimizer": "adaptive_obgd"},
    "adaptive-mingru": {"optimizer": "adaptive_obgd", "cell": "mingru", "body": "separate"},
    "gradient": {**INTENTIONAL, "preconditioner": "gradient"},
    "trace-lru": {**INTENTIONAL, "preconditioner": "trace", "cell": "lru"},
    "larger-mingru": {**INTENTIONAL, "cell": "mingru"},
    "larger-elstm": {**INTENTIONAL, "cell": "elstm", "body": "separate"},
    "encoder": {"encoder": (4, 3), "recompute": True, "actor": {"kappa": 50.0}, "critic": {"kappa": 50.0}},
    "encoder-lru": {**INTENTIONAL, "encoder": 3, "cell": "lru"},
    "encoder-mingru": {"encoder": 3, "cell": "mingru", "optimizer": "adam", "credit": "tbptt1"},
}


def stream() -> tuple[Any, Any]:
    """(140, 2) observations, (140,) rewards."""
    rng = np.random.default_rng(19)
    return rng.standard_normal((140, 2)).astype(np.float32), rng.standard_normal(140)


def emulated(program: str, name: str, agent: Any) -> tuple[bytes, Any]:
    """Checkpoint and (60, 1) actions of the learner on aarch64."""
    with tempfile.TemporaryDirectory() as folder:
        inputs, text, output = (Path(folder, part) for part in ("inputs", "text", "output"))
        observations, rewards = stream()
        inputs.write_bytes(np.column_stack([observations.astype(np.float64), rewards]).tobytes())
        text.write_bytes(encode_config(agent.config).encode())
        subprocess.run(["qemu-aarch64", program, name, agent.config["dtype"], inputs, text, output], check=True)
        data = output.read_bytes()
    return data[:-480], np.frombuffer(data[-480:]).reshape(60, 1).astype(agent.dtype)


def main(machine: str, program: str = "") -> None:
    assert machine == "aarch64" or _core.isa == "scalar"
    FOLDER.mkdir(exist_ok=True)
    observations, rewards = stream()
    found: dict[str, Any] = {"observations": observations, "rewards": rewards}
    for name, settings in LEARNERS.items():
        for dtype in ("float32", "float64"):
            agent = rtu.StreamAC(2, 1, **{"units": 5, "hidden": 3, "dtype": dtype, "seed": 7, **settings})
            path = FOLDER / f"{machine}-{name}-{dtype}.rtu"
            if machine == "aarch64":
                data, found[f"{name}-{dtype}"] = emulated(program, name, agent)
                path.write_bytes(data)
                continue
            agent.run(observations[:80].astype(dtype), rewards[:80])
            agent.save(path)
            found[f"{name}-{dtype}"] = agent.run(observations[80:].astype(dtype), rewards[80:])
    np.savez_compressed(FOLDER / f"{machine}.npz", **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
