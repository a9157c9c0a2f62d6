"""Scores of a task's result: score = (return - random) / (reference - random).

The return is the mean of the episodes that ended in the tail of training, as the behaviour policy gives it; of a
continuing kind, the mean reward per step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rtu_edge.study import changes
from rtu_edge.study.scales import Scale
from rtu_edge.study.tasks import Task

__all__ = ["LEARNED", "row_of"]

LEARNED = 0.7  # a run with this score or more has learned
_LOCKED_SCORE, _LOCKED_CLIPPED = 0.1, 0.9
_ERRORS = 3.0  # standard errors below random


def row_of(task: Task, result: Mapping[str, Any]) -> dict[str, Any]:
    """One row of the results: task, return, score and verdicts; None for what is not known."""
    scale = None if result["scale"] is None else Scale(**result["scale"])
    per_step = scale is not None and scale.per_step
    value, error = (result["reward" if per_step else "return"], result["reward_error" if per_step else "return_error"])
    clipped, score, below = result["clipped"], None, None
    if result["problem"]:
        score, below = 0.0, True
    elif scale is not None and value is not None:
        score = (value - scale.random) / (scale.reference - scale.random)
        below = value < scale.random - _ERRORS * math.hypot(scale.random_error, error or 0.0)
    locked = None if score is None else score < _LOCKED_SCORE and clipped is not None and clipped > _LOCKED_CLIPPED
    return {
        "plant": task.plant,
        "variant": task.variant,
        "machine_seed": task.machine_seed if task.family else None,
        "agent_seed": task.agent_seed,
        "steps": result["steps"],
        "return": value,
        "return_error": error,
        "random": scale.random if scale else None,
        "reference": scale.reference if scale else None,
        "score": score,
        "learned": None if score is None else score >= LEARNED,
        "locked": locked,
        "below_random": below,
        "clipped": clipped,
        "episodes": result["episodes"],
        "problem": result["problem"],
        "hash": result["hash"],
        "findings": ", ".join(f"{name} {step}" for name, step in result.get("findings", {}).items()),
        **changes.rows_of(result),
    }
