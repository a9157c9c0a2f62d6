"""Changes of a machine while a learner trains on it: the score of each phase, and the steps until it has recovered.

Phase 0 ends with the first change. The score of a phase is that of its second half. A learner has recovered when the
mean score of 5 000 steps reaches 90 % of the score of phase 0. With a flipped reward, 1 is a controller that was tuned
for that reward.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rtu_edge.learn import native
from rtu_edge.study.scales import Scale, scale_of

__all__ = ["COLUMNS", "RECOVERIES", "frozen_score", "measure", "rows_of"]

_SHARE = 0.9  # of the score of phase 0
_MEAN = 5  # windows
RECOVERIES = (1, 2, 9, 10)  # changes: 1 and 9 go there, 2 and 10 back
COLUMNS = {
    "before": "float64",
    "frozen": "float64",
    "after_first": "float64",
    "after_last": "float64",
    **{f"recovery_{number}": "int64" for number in RECOVERIES},
}


def _scale(task: Any, phase: int) -> Scale | None:
    values = task.changes[phase - 1][1] if phase else {}
    return scale_of(task.plant, task.family, task.machine_seed, {**task.parameters, **values})


def measure(task: Any, returns: Any, ended_at: Any, windows: Any) -> list[dict[str, Any]]:
    """The phases of a run: "score"; from phase 1 on "recovery" in steps; None for not known and not recovered; "scores"
    of each 1 000 steps, None where no episode ended."""
    bounds = [0, *(step for step, _ in task.changes), task.steps]
    phases: list[dict[str, Any]] = []
    scales: dict[str, Scale | None] = {}
    for phase, (begin, end) in enumerate(itertools.pairwise(bounds)):
        values = repr(task.changes[phase - 1][1]) if phase else ""
        if values not in scales:
            scales[values] = _scale(task, phase)
        scores = _scores(scales[values], returns, ended_at, windows, begin, end)
        half = scores[len(scores) // 2 :]
        known = half[~np.isnan(half)]
        score = float(np.mean(known)) if len(known) else None
        before = phases[0]["score"] if phases else None
        recovery = None if before is None else _recovery(scores, before)
        course = [None if np.isnan(value) else round(float(value), 4) for value in scores]
        phases.append({"score": score, "recovery": recovery, "scores": course})
    return phases


def _scores(
    scale: Scale | None, returns: Any, ended_at: Any, windows: Any, begin: int, end: int
) -> npt.NDArray[np.float64]:
    """The score of each window from begin to end; NaN where no episode ended."""
    first, last = begin // native.WINDOW, end // native.WINDOW
    if scale is None:
        return np.full(last - first, np.nan)
    if scale.per_step:
        values = np.asarray(windows[first:last, 0], np.float64)
    else:
        which = (ended_at - 1) // native.WINDOW
        means = (returns[which == number] for number in range(first, last))
        values = np.array([np.mean(ended) if len(ended) else np.nan for ended in means], np.float64)
    return np.asarray((values - scale.random) / (scale.reference - scale.random))


def _recovery(scores: npt.NDArray[np.float64], before: float) -> int | None:
    for at in range(_MEAN, len(scores) + 1):
        known = scores[at - _MEAN : at][~np.isnan(scores[at - _MEAN : at])]
        if len(known) and float(np.mean(known)) >= _SHARE * before:
            return at * native.WINDOW
    return None


def frozen_score(task: Any, agent: Any, env: Any) -> float | None:
    """The score of the policy of phase 0, which no longer learns, on the machine after the first change.

    Args:
        agent: a copy of the learner at the first change.
        env: a new machine of the task; changed here.
    """
    env.change(**task.changes[0][1])
    bounds = [step for step, _ in task.changes] + [task.steps]
    found = list(native.chunks(agent, env, bounds[1] - bounds[0], seed=task.episode_seed + 500_000, mode="sample"))
    scale = _scale(task, 1)
    returns = np.concatenate([chunk.returns for chunk in found])
    if scale is None or not (scale.per_step or len(returns)):
        return None
    value = found[-1].reward_sum / found[-1].steps if scale.per_step else float(np.mean(returns))
    return (value - scale.random) / (scale.reference - scale.random)


def rows_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """The COLUMNS of a result; None without changes."""
    phases: Sequence[Mapping[str, Any]] = result.get("phases") or []
    if len(phases) < 2:
        return dict.fromkeys(COLUMNS)
    return {
        "before": phases[0]["score"],
        "frozen": result["frozen"],
        "after_first": phases[1]["score"],
        "after_last": phases[-1]["score"],
        **{f"recovery_{n}": phases[n]["recovery"] if n < len(phases) else None for n in RECOVERIES},
    }
