"""What the return of a run is compared with: random commands and a reference controller on the same plant."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rtu_edge.study import families, references

__all__ = ["Scale", "scale_of"]


@dataclass(frozen=True)
class Scale:
    """What a return is compared with.

    Attributes:
        random: return of uniformly random commands. random_error: its standard error.
        reference: return of the reference controller.
        per_step: both are rewards per step.
    """

    random: float
    random_error: float
    reference: float
    per_step: bool = False


# Random: commands uniform over the actuator's range, 2 000 episodes of cart-pole, 500 of the pendulum. Reference of the
# pendulum, over 1 000 episodes with the measured speed: a torque -E omega, E the energy above the upright position at
# rest per m l^2, and -(10 theta + 3 omega) where cos(theta) > .8. Of cart-pole: the longest episode.
_PLANTS = {
    "cartpole": Scale(28.6, 0.3, 500.0),
    "pendulum": Scale(-1201.0, 12.0, -147.4),
}


_BATCHES, _BATCH = 8, 6  # of episodes, for the standard error
_LEAST_ERRORS = 10.0  # standard errors between random commands and the controller of a flipped reward


def scale_of(plant: str, family: bool, machine_seed: int, parameters: Mapping[str, float]) -> Scale | None:
    """Of the plant of a task; None if it has none.

    A machine with changed parameters is measured again: random commands, and the controller that was tuned without the
    change. With a reward of the other sign, the controller is one that was tuned for it; None if that hardly differs
    from random commands.
    """
    if not family:
        return _PLANTS.get(plant)
    flips = parameters.get("reward_scale", 1.0) < 0.0
    known = (references.flipped if flips else references.reference)(plant, machine_seed)
    machine = families.Machine(plant, machine_seed, dict(parameters) or None)
    random = [
        references.mean_return(machine, None, references.SCORE_SEED + _BATCH * batch, _BATCH)
        for batch in range(_BATCHES)
    ]
    error = float(np.std(random, ddof=1)) / math.sqrt(_BATCHES)
    if not parameters:
        return Scale(known.random, error, known.reference, machine.continuing)
    gains = np.array(known.gains, np.float64)
    tuned = references.mean_return(machine, gains, references.SCORE_SEED, _BATCHES * _BATCH)
    if flips and tuned - float(np.mean(random)) < _LEAST_ERRORS * error:
        return None
    return Scale(float(np.mean(random)), error, tuned, machine.continuing)
