"""A plain picture of a plant, drawn from its observation with numpy alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtu_edge.device.schema import DataSheet

__all__ = ["HEIGHT", "WIDTH", "picture"]

HEIGHT, WIDTH = 200, 300  # pixels

Colour = tuple[int, int, int]
Point = tuple[float, float]

_PAPER: Colour = (255, 255, 255)
_LINE: Colour = (160, 160, 160)
_BODY: Colour = (52, 73, 94)
_MOVING: Colour = (192, 112, 48)
_TARGET: Colour = (26, 127, 75)

_ROWS, _COLUMNS = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32) + np.float32(0.5)


class _Canvas:
    """Shapes with smooth edges; x to the right, y down, in pixels."""

    def __init__(self) -> None:
        self.pixels = np.empty((HEIGHT, WIDTH, 3), np.float32)
        self.pixels[:] = _PAPER

    def _blend(self, outside: NDArray[np.float32], colour: Colour) -> None:
        """Colour where the distance to the shape is negative; half of it on its edge."""
        cover = np.clip(0.5 - outside, 0.0, 1.0)[..., None]
        self.pixels += cover * (np.array(colour, np.float32) - self.pixels)

    def line(self, a: Point, b: Point, width: float, colour: Colour) -> None:
        """From a to b, with round ends."""
        along = np.array(b, np.float32) - np.array(a, np.float32)
        x, y = _COLUMNS - a[0], _ROWS - a[1]
        t = np.clip((x * along[0] + y * along[1]) / max(float(along @ along), 1e-6), 0.0, 1.0)
        self._blend(np.hypot(x - t * along[0], y - t * along[1]) - width / 2, colour)

    def disc(self, centre: Point, radius: float, colour: Colour) -> None:
        self._blend(np.hypot(_COLUMNS - centre[0], _ROWS - centre[1]) - radius, colour)

    def box(self, centre: Point, width: float, height: float, colour: Colour) -> None:
        x, y = np.abs(_COLUMNS - centre[0]) - width / 2, np.abs(_ROWS - centre[1]) - height / 2
        self._blend(np.maximum(x, y), colour)


def _cartpole(canvas: _Canvas, seen: dict[str, float]) -> None:
    """Track between its limits of 2.4 m, cart, pole of 1 m; theta is positive to the right."""
    metre, floor = WIDTH / 5.2, 160.0
    x = WIDTH / 2 + seen["x"] * metre
    canvas.line((0.0, floor), (float(WIDTH), floor), 2.0, _LINE)
    for limit in (-2.4, 2.4):
        at = WIDTH / 2 + limit * metre
        canvas.line((at, floor - 8.0), (at, floor + 8.0), 2.0, _LINE)
    canvas.box((x, floor), 40.0, 20.0, _BODY)
    tip = (x + metre * math.sin(seen["theta"]), floor - metre * math.cos(seen["theta"]))
    canvas.line((x, floor), tip, 7.0, _MOVING)
    canvas.disc((x, floor), 3.0, _PAPER)


def _pendulum(canvas: _Canvas, seen: dict[str, float]) -> None:
    """theta is 0 upright and positive to the left, as in Gymnasium's picture."""
    centre, length = (WIDTH / 2, HEIGHT / 2), 75.0
    canvas.line((centre[0], centre[1] - length - 18.0), (centre[0], centre[1] - length - 10.0), 2.0, _TARGET)
    tip = (centre[0] - length * seen["sin_theta"], centre[1] - length * seen["cos_theta"])
    canvas.line(centre, tip, 10.0, _MOVING)
    canvas.disc(centre, 7.0, _BODY)


def _servo(canvas: _Canvas, seen: dict[str, float]) -> None:
    """A disc with its mark, the target, and the end stops at 2.5 rad; 0 is up, positive to the left."""
    centre, radius = (WIDTH / 2, HEIGHT / 2), 70.0

    def at(angle: float, distance: float) -> Point:
        return centre[0] - distance * math.sin(angle), centre[1] - distance * math.cos(angle)

    for stop in (-2.5, 2.5):
        canvas.line(at(stop, radius + 6.0), at(stop, radius + 20.0), 3.0, _LINE)
    canvas.disc(centre, radius, _BODY)
    canvas.line(at(seen["target"], radius + 4.0), at(seen["target"], radius + 20.0), 4.0, _TARGET)
    canvas.line(centre, at(seen["theta"], radius - 4.0), 6.0, _MOVING)
    canvas.disc(centre, 6.0, _PAPER)


def _bars(canvas: _Canvas, seen: dict[str, float], sheet: DataSheet) -> None:
    """Any other device: each observation within its range, a bar from the top."""
    count = max(len(sheet.observations), 1)
    height = HEIGHT / count
    for index, row in enumerate(sheet.observations):
        y = (index + 0.5) * height
        canvas.line((10.0, y), (WIDTH - 10.0, y), 2.0, _LINE)
        span = row.max - row.min
        share = (seen[row.name] - row.min) / span if math.isfinite(span) and span > 0.0 else 0.5
        if math.isfinite(share):
            canvas.disc((10.0 + (WIDTH - 20.0) * min(max(share, 0.0), 1.0), y), min(8.0, height / 3), _MOVING)


# By the observations that a device has to have, so that a board is drawn as its plant is.
_DRAWINGS: tuple[tuple[frozenset[str], Callable[[_Canvas, dict[str, float]], None]], ...] = (
    (frozenset({"x", "theta"}), _cartpole),
    (frozenset({"cos_theta", "sin_theta"}), _pendulum),
    (frozenset({"theta", "target"}), _servo),
)


def picture(sheet: DataSheet, observation: Any) -> NDArray[np.uint8]:
    """Draw what was observed.

    Args:
        sheet: names and ranges of the observations.
        observation: (n,), in the units of the data sheet.

    Returns:
        uint8 (200, 300, 3), red, green, blue; a cart with its pole, a pendulum or a servo where the names of the
        observations are theirs, else one bar per observation.
    """
    seen = {row.name: float(value) for row, value in zip(sheet.observations, observation, strict=True)}
    canvas = _Canvas()
    for names, draw in _DRAWINGS:
        if names <= seen.keys() and all(math.isfinite(seen[name]) for name in names):
            draw(canvas, seen)
            break
    else:
        _bars(canvas, seen, sheet)
    return np.rint(canvas.pixels).astype(np.uint8)
