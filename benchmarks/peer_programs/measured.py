"""What the programs of benchmarks/peer_programs share: task, clock, memory, versions. Needs gymnasium or gymnax.

    python benchmarks/peer_programs/with_rtu_edge.py CartPole-v1 100000 0

A program has one function, train(task, steps, seed), which returns length and return of each episode in order. It runs
in an environment that holds its library, and prints one line of JSON.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Iterable
from importlib import metadata
from typing import Any

SEEN = {"CartPole-v1": [0, 2], "Pendulum-v1": [0, 1]}  # the entries of the observation that are positions
PACKAGES = ("rtu_edge", "numpy", "gymnasium", "mujoco", "torch", "stable-baselines3", "sb3-contrib", "jax", "flax",
            "gymnax", "memorax", "streamlet")  # fmt: skip

Episodes = Iterable[tuple[int, float]]  # length, return


def positions_only(task: str) -> Any:
    """Gymnasium's task without velocities."""
    import gymnasium
    import numpy as np

    env, seen = gymnasium.make(task), SEEN[task]
    box = env.observation_space
    space = gymnasium.spaces.Box(box.low[seen], box.high[seen], dtype=np.float32)
    return gymnasium.wrappers.TransformObservation(env, lambda x: x[seen], space)


def compiled_positions_only(task: str) -> tuple[Any, Any]:
    """gymnax's port of the same task, which records returns; with its parameters."""
    import gymnax
    from gymnax.wrappers.purerl import GymnaxWrapper, LogWrapper

    class PositionsOnly(GymnaxWrapper):
        def reset(self, key: Any, params: Any = None) -> Any:
            x, state = self._env.reset(key, params)
            return x[..., seen], state

        def step(self, key: Any, state: Any, action: Any, params: Any = None) -> Any:
            x, *rest = self._env.step(key, state, action, params)
            return x[..., seen], *rest

    import jax.numpy as jnp

    seen = jnp.array(SEEN[task])
    env, params = gymnax.make(task)
    return LogWrapper(PositionsOnly(env)), params


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Of what is installed. It is here because a peer's environment has only its library and this folder."""
    found = {}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def main(train: Callable[[str, int, int], Episodes]) -> None:
    """Run a program: task, number of steps and seed from the command line."""
    task, steps, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    begun, clock = time.process_time(), time.perf_counter()
    episodes = [(int(length), float(value)) for length, value in train(task, steps, seed)]
    result = {
        "processor_s": round(time.process_time() - begun, 3),  # compilation included, imports not
        "wall_s": round(time.perf_counter() - clock, 3),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "versions": versions(),
        "episodes": episodes,
    }
    print(json.dumps(result))
