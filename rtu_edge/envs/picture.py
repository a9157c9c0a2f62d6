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
Grid = NDArray[np.floating[Any]]
Distance = Callable[[Grid, Grid], Grid]  # of pixels at (columns, rows) to a shape

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

    def _blend(self, left: float, top: float, right: float, bottom: float, outside: Distance, colour: Colour) -> None:
        """Colour where the distance to the shape is negative; half of it on its edge. Only within these bounds."""
        rows = slice(max(int(top) - 2, 0), max(min(int(bottom) + 3, HEIGHT), 0))
        columns = slice(max(int(left) - 2, 0), max(min(int(right) + 3, WIDTH), 0))
        cover = np.clip(0.5 - outside(_COLUMNS[rows, columns], _ROWS[rows, columns]), 0.0, 1.0)[..., None]
        self.pixels[rows, columns] += cover * (np.array(colour, np.float32) - self.pixels[rows, columns])

    def line(self, a: Point, b: Point, width: float, colour: Colour) -> None:
        """From a to b, with round ends."""
        x, y = b[0] - a[0], b[1] - a[1]
        square = max(x * x + y * y, 1e-6)

        def outside(columns: Grid, rows: Grid) -> Grid:
            t = np.clip(((columns - a[0]) * x + (rows - a[1]) * y) / square, 0.0, 1.0)
            return np.hypot(columns - a[0] - t * x, rows - a[1] - t * y) - width / 2

        half = width / 2
        left, right, top, bottom = min(a[0], b[0]), max(a[0], b[0]), min(a[1], b[1]), max(a[1], b[1])
        self._blend(left - half, top - half, right + half, bottom + half, outside, colour)

    def disc(self, centre: Point, radius: float, colour: Colour) -> None:
        """Filled."""
        x, y = centre
        self._blend(
            x - radius,
            y - radius,
            x + radius,
            y + radius,
            lambda columns, rows: np.hypot(columns - x, rows - y) - radius,
            colour,
        )

    def box(self, centre: Point, width: float, height: float, colour: Colour) -> None:
        """Filled, with upright sides."""
        (x, y), half, tall = centre, width / 2, height / 2
        self._blend(
            x - half,
            y - tall,
            x + half,
            y + tall,
            lambda columns, rows: np.maximum(np.abs(columns - x) - half, np.abs(rows - y) - tall),
            colour,
        )


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
