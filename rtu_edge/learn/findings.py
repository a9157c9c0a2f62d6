"""What the learner monitor's windows show: names, and the warning that a learner gives once for each
(docs/learner_monitor.md). The thresholds are in native/learners/monitor_windows.h."""

from __future__ import annotations

import enum
import sys
import warnings
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from rtu_edge._base.errors import LearnerWarning

__all__ = ["Finding", "LearnerWarning", "firsts", "names", "report", "summary_of", "warner"]

_PACKAGE = "rtu_edge."
_DOCUMENT = "docs/learner_monitor.md"


class Finding(enum.IntFlag):
    """Bits of a learner's findings."""

    SATURATED = 1
    EXPLORATION_LOST = 2
    EXPLORATION_LARGE = 4
    TD_ERROR = 8
    NOT_FINITE = 16


# What was found, and the next step to take.
_TEXTS = {
    Finding.SATURATED: (
        "over 90 % of the actions of 2,000 steps were clipped to their range",
        "compare the reward with that of earlier steps; if it is lower, go back to an earlier checkpoint and train "
        "with a larger actor.kappa, or start again with another seed",
    ),
    Finding.EXPLORATION_LOST: (
        "the policy hardly varies its actions: sigma is below 0.01, or the entropy of the choices below 1 % of the "
        "largest, over 2,000 steps",
        "if the reward no longer rises, set sigma_floor (continuous actions) or raise entropy",
    ),
    Finding.EXPLORATION_LARGE: (
        "sigma is above 5 over 2,000 steps, so that the actions are mostly noise at the ends of the range",
        "check that the reward depends on the actions; lower entropy or raise actor.kappa",
    ),
    Finding.TD_ERROR: (
        "the mean |TD error| of each of two windows of 1,000 steps was over 5 times its mean before, and over twice "
        "that of the first steps",
        "look for outliers in the reward and for a change of the plant; without either, raise critic.kappa",
    ),
    Finding.NOT_FINITE: (
        "a value of the learner is NaN or infinite",
        "load a checkpoint or start again; with normalize_observation=True, scale_reward=True and optimizer='obgd' "
        "steps are bounded",
    ),
}

# The next step for learners where it is another: of action values, and without a policy.
_OTHERS: dict[str, dict[Finding, str]] = {
    "epsilon_end": {
        Finding.EXPLORATION_LOST: "if the reward no longer rises, raise epsilon_end",
        Finding.TD_ERROR: "look for outliers in the reward and for a change of the plant; without either, raise kappa",
    },
    "scale_cumulant": {
        Finding.NOT_FINITE: "load a checkpoint or start again; with normalize_observation=True and scale_cumulant=True "
        "steps are bounded",
    },
    "n_outputs": {
        Finding.NOT_FINITE: "load a checkpoint or start again; with inputs and targets of about 1 and optimizer='obgd' "
        "steps are bounded",
    },
}


def names(bits: int) -> tuple[str, ...]:
    """The names of findings.

    >>> names(9)
    ('saturated', 'td_error')
    """
    return tuple(str(one.name).lower() for one in Finding if one & bits)


def firsts(found: dict[str, Any]) -> dict[str, int]:
    """Of the native findings: the update in which each was found first."""
    return {str(one.name).lower(): int(found["first"][at]) for at, one in enumerate(Finding) if one & found["seen"]}


def summary_of(found: Mapping[str, int]) -> str:
    """Findings in one line, from `firsts`; "" without any. Unknown names are left out.

    >>> summary_of({"saturated": 12000})
    'learner monitor: saturated (first in update 12,000)'
    """
    known = [name for name in names(~0) if name in found]
    shown = [f"{name.replace('_', ' ')} (first in update {found[name]:,})" for name in known]
    return f"learner monitor: {', '.join(shown)}" if shown else ""


def warner(agent: Any) -> Callable[[int], None]:
    """The function that the core calls with the bits of new findings; holds no reference to the agent."""
    kind, which = type(agent).__name__, weakref.ref(agent)
    remedies = next((_OTHERS[argument] for argument in _OTHERS if argument in agent.config), {})

    def warn(bits: int) -> None:
        learner = which()
        step = "" if learner is None else f", update {max(firsts(learner.core.findings).values()):,}"
        for one in Finding:
            if one & bits:
                found, remedy = _TEXTS[one]
                remedy = remedies.get(one, remedy)
                text = f"{kind}{step}: {found}. Nothing was changed. Next: {remedy} ({_DOCUMENT})"
                warnings.warn(text, LearnerWarning, stacklevel=_outside())

    return warn


def report(agent: Any) -> None:
    """The warnings of what was found while native code drove the agent; none for another policy."""
    core: Any = getattr(agent, "core", None)
    if hasattr(core, "report_findings"):
        core.report_findings()


def _outside() -> int:
    """The stack level of the caller outside of the package, for warnings.warn() in the caller of this function."""
    level, frame = 2, sys._getframe(2)
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    return level
