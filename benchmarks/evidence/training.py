"""A run of many episodes that saves its learner and continues there; the score of a window is its mean return."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.evidence import store

Episode = Callable[[Any, int], tuple[int, float]]  # learner, number of the episode -> steps and return


def train(
    path: Path,
    about: Mapping[str, Any],
    steps: int,
    window: int,
    make: Callable[[], Any],
    load: Callable[[Path], Any],
    episode: Episode,
) -> dict[str, Any]:
    """Continue a run to its number of steps; return its progress, which is in the file at `path`.

    Args:
        about: what the run is, kept in the progress; its "settings" are those of the learner. window: steps of a score;
            after each the learner is saved, at the end of an episode. make, load: a new learner, and the one of a
            checkpoint. episode: learns for one.

    Raises:
        ClickException: the run at `path` has other settings.
    """
    known = store.read(path)
    settings = json.loads(json.dumps(about["settings"]))
    if known is not None and known["settings"] != settings:
        raise click.ClickException(
            f"{path}: its learner has {known['settings']}, not {settings}; give another --folder"
        )
    state = known or {**about, "settings": settings, "done": 0, "episodes": 0, "seconds": 0.0, "curve": []}
    if state["done"] >= steps:
        return state
    agent = load(path.parent / state["checkpoint"]) if "checkpoint" in state else make()
    begun = time.process_time()
    while state["done"] < steps:
        goal, returns = min(steps, (state["done"] // window + 1) * window), []
        while state["done"] < goal:
            taken, total = episode(agent, state["episodes"])
            state["done"] += taken
            state["episodes"] += 1
            returns.append(total)
        state["curve"].append([state["done"], float(np.mean(returns)), len(returns)])
        old, state["checkpoint"] = state.get("checkpoint"), f"{path.stem}-{state['done']}.rtu"
        now = time.process_time()
        state["seconds"], begun = state["seconds"] + now - begun, now
        path.parent.mkdir(parents=True, exist_ok=True)
        agent.save(path.parent / state["checkpoint"])
        store.write(path, state)
        if old is not None:
            os.unlink(path.parent / old)
    return state
