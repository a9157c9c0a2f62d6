"""A policy in integers: its error on three plants in closed loop, and its cost on four processors next to float.

    python -m benchmarks.fixed_point                 # both; benchmarks/results/fixed_point.json
    python -m benchmarks.fixed_point --seeds 1       # one policy of each plant

Each policy (16 units, hidden 16) learns in simulation. Its C in integers then drives the plant for 10 000 steps while
the agent follows the same observations: the largest difference of an action, in units of its range. Scores are the
mean returns of 20 episodes that each drives alone. Costs: export_c in integers and in float, and the C that the program
emx-onnx-cgen makes of the ONNX file, if it is found. Exit code 1 if a policy or a goal of the costs fails.
"""

from __future__ import annotations

import ctypes
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import rtu_edge as rtu
from benchmarks.c_policy import GENERATOR
from benchmarks.chips import CHIPS, STEPS, cost
from benchmarks.measure import RESULTS
from rtu_edge.device.plants import Plant
from rtu_edge.learn.c_policy import export_c
from rtu_edge.learn.onnx.verify import Evaluation

PLANTS = {"cartpole": 60_000, "servo": 60_000, "pendulum": 150_000}  # steps of learning
LOOP_STEPS, EPISODES = 10_000, 20
ERROR, SCORE = 0.01, 0.01
SIZES = ((2, 16, 16), (8, 32, 32))  # observations, units, hidden
LEVELS = ("-Os", "-O2")
GOALS = {"Cortex-M0+": (8000, 3072), "RV32IMC": (5000, 3072)}  # instructions, flash of the first size, one level
FIXED, FLOAT = "export_c, integers", "export_c, float"

LIBRARY = """#define policy_FLOAT
#include "policy.h"
static policy_state state;
void begin(void);
void step(const float *x, float *action);
void begin(void) { policy_reset(&state); }
void step(const float *x, float *action) { policy_step_float(&state, x, action); }
"""


class InC:
    """The policy in integers, compiled for this host, with float at its boundary; a follower as `Evaluation`."""

    def __init__(self, agent: rtu.StreamAC, folder: Path) -> None:
        export_c(agent, folder / "policy.h", fixed=True)
        (folder / "library.c").write_text(LIBRARY)
        flags = ("-std=c99", "-O2", "-shared", "-fPIC")
        subprocess.run(["cc", *flags, folder / "library.c", "-o", folder / "library.so"], check=True)
        self._library = ctypes.CDLL(str(folder / "library.so"))
        self._action = np.zeros(int(agent.config["action_size"]), np.float32)

    def begin(self) -> None:
        """Start an episode."""
        self._library.begin()

    def predict(self, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        """The action."""
        x = np.ascontiguousarray(observation, np.float32)
        self._library.step(ctypes.c_void_p(x.ctypes.data), ctypes.c_void_p(self._action.ctypes.data))
        return self._action.copy()


def episode(plant: Plant, seed: int, policies: list[Any], found: Callable[[list[Any], Any], None]) -> float:
    """The return of an episode that the first of these policies drives."""
    observation, _ = plant.reset(seed)
    total, over = 0.0, False
    for policy in policies:
        policy.begin()
    while not over:
        actions = [policy.predict(observation) for policy in policies]
        found(actions, observation)
        observation, reward, terminated, truncated, _ = plant.step(plant.scale(actions[0]))
        total, over = total + reward, terminated or truncated
    return total


def in_loop(name: str, seed: int, folder: Path) -> tuple[dict[str, Any], rtu.StreamAC, NDArray[np.float32]]:
    """Learn, and compare; the agent and observations of the loop."""
    plant = Plant(name)
    agent = rtu.StreamAC.from_env(plant, seed=seed, units=16, hidden=(16,), horizon_s=2.0)
    agent.learn(plant, steps=PLANTS[name], seed=seed)
    in_c, native = InC(agent, folder), Evaluation(agent)
    off: list[float] = []
    seen: list[Any] = []

    def compare(actions: list[Any], observation: Any) -> None:
        if len(off) < LOOP_STEPS:
            off.append(float(np.abs(actions[0] - actions[1]).max()) / 2.0)
            seen.append(observation)

    start = 1_000_000 + 1000 * seed
    while len(off) < LOOP_STEPS:
        episode(plant, start + len(off), [in_c, native], compare)
    scores = [float(np.mean([episode(plant, start + k, [policy], lambda a, x: None) for k in range(EPISODES)]))
              for policy in (native, in_c)]  # fmt: skip
    row = {"plant": name, "seed": seed, "worst": max(off), "rms": float(np.sqrt(np.mean(np.square(off)))),
           "float_score": scores[0], "fixed_score": scores[1]}  # fmt: skip
    row["score_off"] = abs(scores[1] - scores[0]) / max(abs(scores[0]), 1e-9)
    return row, agent, np.array(seen[: LOOP_STEPS : LOOP_STEPS // STEPS], np.float32)


def agent_of(d: int, units: int, hidden: int) -> tuple[rtu.StreamAC, NDArray[np.float32]]:
    """One of this size that has seen observations, and some of them."""
    agent, rng = rtu.StreamAC(d, 1, units=units, hidden=hidden, seed=1), np.random.default_rng(0)
    xs = rng.standard_normal((220, d)).astype(np.float32)
    agent.reset(xs[0])
    for x in xs[:200]:
        agent.step(x, float(rng.standard_normal()))
    return agent, xs[200:]


def costs(agent: rtu.StreamAC, observations: NDArray[np.float32], folder: Path) -> list[dict[str, Any]]:
    """A row for each generator, processor and level."""
    own = {"include": '#include "policy.h"', "state": "static policy_state state;", "reset": "policy_reset(&state);"}
    units, d = int(agent.config["units"]), observations.shape[1]
    rows: list[dict[str, Any]] = []

    def measured(who: str, code: dict[str, str], xs: NDArray[Any]) -> None:
        for chip in CHIPS:
            for level in LEVELS:
                found = cost(chip, folder, {**own, **code}, xs, level)
                size = {"observations": d, "units": units, "hidden": int(agent.config["hidden"][0])}
                rows.append({**size, "chip": chip.name, "of": who, "level": level, **(found.row() if found else {})})

    export_c(agent, folder / "policy.h", fixed=True)
    bits = [int(part) for part in _bits((folder / "policy.h").read_text(), d)]
    whole = np.rint(observations.astype(np.float64) * 2.0 ** np.array(bits)).astype(np.int64)
    step = "action[1]; policy_step(&state, x, action);"
    measured(FIXED, {"type": "int32_t", "call": f"int16_t {step}", "result": "action[0]"}, whole)
    export_c(agent, folder / "policy.h")
    measured(FLOAT, {"type": "float", "call": f"float {step}", "result": "action[0]"}, observations)
    if generator := shutil.which(GENERATOR):
        rtu.export_onnx(agent, folder / "policy.onnx")
        options = ("--large-weight-threshold", "0", "--large-temp-threshold", "0")
        command = (generator, "compile", *options, folder / "policy.onnx", folder / "theirs.c")
        subprocess.run(command, check=True, capture_output=True)
        code = {
            "include": '#include "theirs.c"', "type": "float", "result": "action[0][0]",
            "state": f"static float h1[2][1][{units}], h2[2][1][{units}];",
            "reset": "int k = 0;",
            "call": f"float action[1][1]; model((const float(*)[{d}])x, (const float(*)[{units}])h1[k], "
                    f"(const float(*)[{units}])h2[k], action, h1[!k], h2[!k]); k = !k;",
        }  # fmt: skip
        measured(GENERATOR, code, observations)
    return rows


def _bits(text: str, d: int) -> list[str]:
    return [text.split(f"policy_BITS_{i} = ")[1].split(",")[0].split(" ")[0] for i in range(d)]


@click.command()
@click.option("--seeds", default=3, show_default=True, help="Policies of each plant: seeds 0 to SEEDS - 1.")
def main(seeds: int) -> None:
    """Compare and count."""
    console, good = Console(width=120), True
    with tempfile.TemporaryDirectory() as name:
        loops, first = [], None
        for plant in PLANTS:
            for seed in range(seeds):
                folder = Path(name) / f"{plant}{seed}"
                folder.mkdir()
                row, agent, seen = in_loop(plant, seed, folder)
                loops.append(row)
                first = first or (agent, seen)
        table = Table("plant", "seed", "worst error", "rms", "score, float", "score, integers", title="10 000 steps")
        for row in loops:
            good &= row["worst"] <= ERROR and row["score_off"] <= SCORE
            table.add_row(row["plant"], str(row["seed"]), f"{row['worst']:.1e}", f"{row['rms']:.1e}",
                          f"{row['float_score']:.2f}", f"{row['fixed_score']:.2f}")  # fmt: skip
        console.print(table)
        counted = costs(*(first or agent_of(*SIZES[0])), folder) + costs(*agent_of(*SIZES[1]), folder)
    table = Table("size", "processor", "C of", "level", "instructions", "flash", "data", "stack")
    for row in counted:
        numbers = [f"{row[key]:,}" if key in row else "-" for key in ("instructions", "flash", "data", "stack")]
        table.add_row(f"{row['observations']}-{row['units']}-{row['hidden']}", row["chip"], row["of"], row["level"],
                      *numbers)  # fmt: skip
    console.print(table)
    small = [row for row in counted if row["of"] == FIXED and row["units"] == SIZES[0][1]]
    for chip, most in GOALS.items():
        met = any((row["instructions"], row["flash"]) <= most and row["flash"] <= most[1] for row in small
                  if row["chip"] == chip)  # fmt: skip
        good &= met
        console.print(f"{'pass' if met else 'FAIL'}  {chip}: at most {most[0]} instructions, {most[1]} bytes of flash")
    result = {"loops": loops, "costs": counted}
    (RESULTS / "fixed_point.json").write_text(json.dumps(result, indent=1) + "\n", encoding="ascii")
    sys.exit(not good)


if __name__ == "__main__":
    main()
