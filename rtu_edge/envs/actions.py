"""The action spaces of an environment for a device's actuators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from rtu_edge._base.errors import ConfigError
from rtu_edge._base.validation import check_int, check_values
from rtu_edge.device.schema import scale_to

__all__ = ["Actions"]

Array = NDArray[np.float32]

_LARGEST_LEVELS = 1 << 20


def _levels_of(actions: object) -> int | None:
    """The number of levels; None if it is not a valid number."""
    try:
        return check_int("actions", actions, 2, _LARGEST_LEVELS)
    except ConfigError:
        return None


class Actions:
    """An action space, and the conversion of its actions to actuator units.

    Args:
        kind: "unit": each actuator in [-1, 1] of its range; "physical": in the actuator's unit; an int n from 2 to
            2^20: Discrete(n), evenly spaced levels from the lowest to the highest value.
        ranges: one per actuator, with min and max: the channels of a data sheet, or the limits of a robot.

    Raises:
        ValueError: another kind.
    """

    def __init__(self, kind: object, ranges: Sequence[Any]) -> None:
        low, high = (np.array([getattr(row, end) for row in ranges], np.float32) for end in ("min", "max"))
        self.low, self.high = low, high
        self.unit = False
        self.levels: Array | None = None  # (n, m)
        self.space: spaces.Space[Any]
        if kind == "unit":
            self.unit = True
            self.space = spaces.Box(-1.0, 1.0, low.shape, np.float32)
        elif kind == "physical":
            self.space = spaces.Box(low, high)
        elif (levels := _levels_of(kind)) is not None:
            self.space = spaces.Discrete(levels)
            self.levels = np.linspace(low, high, levels, dtype=np.float32)
        else:
            raise ValueError(
                f'actions: {kind!r} is neither "unit" nor "physical" nor a number of levels from 2 to {_LARGEST_LEVELS}'
            )

    def physical(self, action: Any) -> Array:
        """An action of the space in the units of the actuators (m,).

        Raises:
            ValueError: another shape, not finite, or no such level.
        """
        if self.levels is not None:
            if not self.space.contains(action):
                raise ValueError(f"action: {action!r} is not in {self.space}")
            level: Array = self.levels[int(action)]
            return level
        values = check_values("action", action, self.low.shape)
        return scale_to(self.low, self.high, values) if self.unit else values
