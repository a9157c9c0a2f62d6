"""A run of many episodes that saves its learner and continues there; the score of a window is its mean return."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.evidence import store
from rtu_edge._base.errors import CheckpointError

Episode = Callable[[Any, int], tuple[int, float]]  # learner, number of the episode -> steps and return

_START: dict[str, Any] = {"done": 0, "episodes": 0, "seconds": 0.0}
ENTRIES = (*_START, "settings", "curve")  # of the progress, next to those of the run


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
        ClickException: the run at `path` has other settings, or is another process's.
    """
    with store.held(path):
        settings = json.loads(json.dumps(about["settings"]))
        state = store.read(path, *ENTRIES) or _START | about | {"settings": settings, "curve": []}
        if state["settings"] != settings:
            text = f"{path}: its learner has {state['settings']}, not {settings}; give another --folder"
            raise click.ClickException(text)
        if state["done"] < steps:
            agent = _load(path, state, load) if "checkpoint" in state else make()
            _continue(path, state, steps, window, agent, episode)
        return state


def _load(path: Path, state: dict[str, Any], load: Callable[[Path], Any]) -> Any:
    try:
        return load(path.parent / state["checkpoint"])
    except (OSError, CheckpointError) as error:
        text = f"{error}; the run cannot continue without it: remove {path} to begin again, or give another --folder"
        raise click.ClickException(text) from error


def _continue(path: Path, state: dict[str, Any], steps: int, window: int, agent: Any, episode: Episode) -> None:
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
        agent.save(path.parent / state["checkpoint"])
        store.write(path, state)
        if old is not None:
            (path.parent / old).unlink(missing_ok=True)


def is_current(state: dict[str, Any], kind: type, settings: Callable[[Any], Mapping[str, Any]]) -> bool:
    """Whether a run has the settings that its study has now."""
    try:
        now = settings(kind(**{field.name: state[field.name] for field in fields(kind)}))
    except KeyError:  # the study no longer has this learner
        return False
    return bool(state["settings"] == json.loads(json.dumps(now)))
