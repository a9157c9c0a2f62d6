"""The learning step of an agent in C: the part of `export_c(learn=True)` that depends on the agent."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtu_edge import _core
from rtu_edge._base.errors import ConfigError
from rtu_edge.learn.c_policy.learner_text import ACTOR, LEARN_TEST, LEARNER, NORMALIZER, STEP
from rtu_edge.learn.c_policy.network_text import CELL, FUNCTIONS, NETWORK
from rtu_edge.learn.c_policy.write import Source

__all__ = ["LEARN_STEPS", "check_learns", "learner_source", "record"]

LEARN_STEPS = 1000
ENDS = (300, 149, 299)  # learner_text.LEARN_TEST: of each 300 steps one ends the episode, one cuts it

# Arguments that a learner in C has to have; the reason is in docs/export.md.
_NEEDED: dict[str, tuple[Any, ...]] = {
    "cell": ("linear", "nonlinear", "none"),
    "credit": ("rtrl",),
    "optimizer": ("obgd",),
    "units_per_pole": (1,),
    "encoder": ([],),
    "recompute": (False,),
    "previous_action": (False,),
    "previous_reward": (False,),
    "dtype": ("float32",),
}


def check_learns(agent: Any) -> None:
    """Raises ConfigError where there is no learner in C for an agent's configuration."""
    if agent.kind != "stream_ac":
        raise ConfigError(f"learn: a {agent.kind} cannot be exported with its learning step; a stream_ac can")
    for name, values in _NEEDED.items():
        if (found := agent.config[name]) not in values:
            raise ConfigError(
                f"learn: {name} = {found!r} cannot be exported with its learning step; "
                f"expected {' or '.join(map(repr, values))}"
            )


def _weights(agent: Any) -> dict[str, NDArray[np.float32]]:
    """In the order of the learner's memory."""
    found: dict[str, NDArray[np.float32]] = agent.parameters
    leaves = ("nu_log", "theta_log", "W1", "W2")
    ordered: dict[str, NDArray[np.float32]] = {}
    shared = agent.config["body"] == "shared"
    for body in ("body",) if shared else ("critic", "actor"):
        names = [f"{body}.cell.{leaf}" for leaf in leaves if f"{body}.cell.{leaf}" in found]
        layers = [f"{body}.layer{i}" for i in range(len(agent.config["hidden"]))]
        heads = ["critic.head", "actor.head"] if shared else [f"{body}.head"]
        names += [f"{part}.{leaf}" for part in (*layers, *heads) for leaf in ("weight", "bias")]
        ordered.update({name: found[name] for name in names})
    if len(ordered) != len(found):
        raise ConfigError(f"learn: {', '.join(sorted(set(found) - set(ordered)))}: no place in the learner in C")
    return ordered


def _floats(config: Mapping[str, Any], weights: int) -> int:
    """The learner's memory: what NAME_lay_out takes."""
    n = config["units"] if config["cell"] != "none" else 0
    d, hidden = config["observation_size"], config["hidden"]
    outputs = (1, config["n_actions"] or 2 * config["action_size"])
    traces = 2 if config["cell"] == "linear" else 4
    total = weights
    for role in (0, 1) if config["body"] == "separate" else (None,):
        sets, kinds = (2, 3) if role is None else (1, 1 + role)
        total += sets * (2 * n + 2 * n * d) + traces * n * d + 20 * n + 2 * kinds * n
        cols = 2 * n if n else d
        for rows in hidden:
            total += sets * (rows * cols + rows) + cols + 5 * rows
            cols = rows
        for rows in outputs if role is None else (outputs[role],):
            total += rows * cols + rows + cols + 5 * rows
    return total


def record(agent: Any) -> dict[str, NDArray[np.float32]]:
    """A run of the agent, which is changed, on what the test in C will see.

    Returns:
        "like", (d, 2): offset and scale of the observations; "actions"; "weights" at the end.
    """
    learner, config = agent, agent.config
    d = config["observation_size"]
    like = np.tile(np.array([0.0, 1.0], np.float32), (d, 1))
    if config["normalize_observation"]:
        statistics = agent.normalizer
        like = np.stack([statistics["mean"], np.sqrt(statistics["variance"])], axis=1).astype(np.float32)
    noise, s, actions, running = 12345, np.zeros(d, np.float32), [], False
    action = np.zeros(1, np.float32)
    for t in range(LEARN_STEPS + 1):
        reward = s[0] * np.float32(action[0])
        for i in range(d):
            noise = (noise * 1664525 + 1013904223) % 2**32
            s[i] = np.float32(0.75) * s[i] + np.float32(noise >> 8) * np.float32(2.0**-24) - np.float32(0.5)
        x = like[:, 0] + s * like[:, 1]
        terminated, truncated = (t % ENDS[0] == end for end in ENDS[1:])
        found = learner.step(x, float(reward), terminated, truncated) if running else learner.reset(x)
        running = not (running and (terminated or truncated))
        action = np.atleast_1d(np.asarray(found, np.float32)).copy()
        actions.append(action)
    learner.begin()
    return {"like": like, "actions": np.array(actions, np.float32), "weights": _flat(_weights(learner))}


def _flat(weights: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.concatenate([value.reshape(-1) for value in weights.values()])


_CHILD = (
    "import sys, numpy, rtu_edge.learn as learn; from rtu_edge.learn.c_policy.learner import record;"
    "numpy.savez(sys.argv[2], **record(learn.load(sys.argv[1])))"
)


def _recorded(agent: Any) -> dict[str, NDArray[np.float32]]:
    """`record` with one lane, as the C computes: other instruction sets sum in another order, and a learner amplifies
    that. In a process of its own, since a process has one instruction set."""
    if _core.isa == "scalar":
        return record(agent)
    with tempfile.TemporaryDirectory() as name:
        start, end = Path(name, "start.rtu"), Path(name, "end.npz")
        agent.save(start)
        environment = {**os.environ, "RTU_EDGE_ISA": "scalar", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command = [sys.executable, "-c", _CHILD, str(start), str(end)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(
                f"learn: the recording of the learner ended with {done.returncode}: {done.stderr[-500:]}"
            )
        with np.load(end) as found:
            return {key: found[key] for key in found}


def _settings(agent: Any, weights: int) -> list[str]:
    """Sizes and settings as enum and macros."""
    config, state = agent.config, agent.state
    discrete = config["n_actions"] is not None
    n = config["units"] if config["cell"] != "none" else 0
    hidden, width = config["hidden"], 1 if discrete else config["action_size"]
    widest = max(2 * n if n else config["observation_size"], *hidden, 1)
    correlation = 0.0 if discrete else float(config["exploration_correlation"])
    gamma, critic = float(config["gamma"]), config["critic"]
    decays = [
        ", ".join(f"{gamma * decay[group]!r}f" for group in ("recurrent", "body", "head"))
        for decay in (critic["trace_decay"], config["trace_decay"])
    ]
    sizes = {
        "UNITS": n,
        "CELL": int(n > 0),
        "LINEAR": int(config["cell"] == "linear"),
        "TANH": int(config["activation"] == "tanh"),
        "RELU": int(config["activation"] == "relu"),
        "LAYERS": len(hidden),
        "NETS": 2 if config["body"] == "separate" else 1,
        "DISCRETE": int(discrete),
        "WIDTH": width,
        "OUTPUTS": config["n_actions"] or 2 * width,
        "WIDEST": widest,
        "WEIGHTS": weights,
        "FLOATS": _floats(config, weights),
        "NORMALIZE": int(config["normalize_observation"]),
        "SCALE_REWARD": int(config["scale_reward"]),
        "LEARN_STEPS": LEARN_STEPS,
        "START_COUNT": int(state["observation.count"][0]),
        "START_REWARDS": int(state["reward.count"][0]),
    }
    bound = float(np.float32(config["observation_bound"]))
    values = {
        "GAMMA": repr(gamma),
        "ENTROPY": repr(float(config["entropy"])),
        "SIGMA_FLOOR": repr(float(config["sigma_floor"])),
        "CORRELATION": repr(correlation),
        "FRESH": repr(float(np.sqrt(1.0 - correlation * correlation))),
        "BOUND": f"{bound!r}f" if bound else "0x1p100f",
        **{f"{role.upper()}_{name}": f"{float(config[role][key])!r}f"
           for role in ("actor", "critic") for name, key in (("STEP", "step_size"), ("KAPPA", "kappa"))},
        "WARMUP": f"{int(config['actor_warmup'])}.0",
        "START_STEPS": f"{agent.steps_learned}u",
        "START_RNG0": f"{int(state['rng'][0])}u",
        "START_RNG1": f"{int(state['rng'][1])}u",
        "HIDDEN": "{" + ", ".join(map(str, hidden or [0])) + "}",
        "DECAYS": "{{" + "}, {".join(decays) + "}}",
    }  # fmt: skip
    lines = [f"enum {{ {', '.join(f'NAME_{name} = {value}' for name, value in sizes.items())} }};"]
    return [*lines, *(f"#define NAME_{name} {value}" for name, value in values.items()),
            f"typedef {'int' if discrete else 'float'} NAME_action;\n"]  # fmt: skip


def learner_source(agent: Any, source: Source) -> list[str]:
    """The parts of the file after the policy's."""
    check_learns(agent)
    agent = agent.copy()
    agent.begin()  # the pending step is in the weights, the eligibilities are 0
    weights, state = _weights(agent), agent.state
    settings = _settings(agent, sum(value.size for value in weights.values()))
    statistics = np.stack([state[f"observation.{name}"] for name in ("mean", "mean_low", "m2", "m2_low")], axis=1)
    source.array("start", _flat(weights))
    source.array("start_statistics", statistics)
    source.array("start_reward", [state[f"reward.{name}"][0] for name in ("mean", "mean_low", "m2", "m2_low")])
    source.whole("start_still", state["observation.still"])
    run = _recorded(agent)
    source.array("like", run["like"])
    source.array("learn_action", run["actions"])
    source.array("learn_weights", run["weights"])
    source.whole("learn_sizes", [value.size for value in weights.values()])
    return [*settings, *source.constants, LEARNER, NORMALIZER, FUNCTIONS, CELL, NETWORK, ACTOR, STEP, LEARN_TEST]
