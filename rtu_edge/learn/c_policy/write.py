"""C under construction: constants, lines, products of matrices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtu_edge._base.errors import ConfigError
from rtu_edge.learn.onnx.form import int8_of

__all__ = ["Array", "Source", "Vector", "number"]

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Vector:
    """A vector of the C code: its name, its length, and what none of its elements can exceed; None: unknown."""

    name: str
    width: int
    most: float | None


class Source:
    """C under construction. `NAME` stands for the prefix."""

    def __init__(self, weights: str = "float32") -> None:
        self.weights = weights
        self.constants: list[str] = []
        self.lines: list[str] = []

    def array(self, name: str, values: Any) -> str:
        """A constant of floats; returns its name in C."""
        numbers = [number(value) for value in np.asarray(values, dtype=np.float32).reshape(-1)]
        return self._constant("float", name, numbers)

    def whole(self, name: str, values: Any) -> str:
        """A constant of integers; returns its name in C."""
        return self._constant("int32_t", name, [str(int(value)) for value in np.asarray(values).reshape(-1)])

    def _constant(self, kind: str, name: str, numbers: Sequence[str], place: str = "") -> str:
        rows = [", ".join(numbers[i : i + 8]) for i in range(0, len(numbers), 8)]
        self.constants.append(
            f"static const {kind} NAME_{name}[{len(numbers)}]{place} = {{\n    " + ",\n    ".join(rows) + "};\n"
        )
        return f"NAME_{name}"

    def add(self, *lines: str) -> None:
        """Append lines to the step."""
        self.lines += [f"    {line}" for line in lines]

    def loop(self, n: int, *lines: str) -> None:
        """Append a loop of i below n."""
        if len(lines) == 1:
            self.add(f"for (int i = 0; i < {n}; i++) {lines[0]}")
        else:
            self.add(f"for (int i = 0; i < {n}; i++) {{", *(f"    {line}" for line in lines), "}")

    def vector(self, name: str, width: int, most: float | None) -> Vector:
        """Declare a vector. With 8-bit weights its length is a multiple of 4 and the rest is 0."""
        padded = width if self.weights == "float32" else -(-width // 4) * 4
        self.add(f"float {name}[{padded}];", *(f"{name}[{i}] = 0.0f;" for i in range(width, padded)))
        return Vector(name, width, most)

    def pack(self, x: Vector) -> Vector:
        """With 8-bit weights: x as 16-bit integers, for `dense`."""
        if self.weights == "float32":
            return x
        words = -(-x.width // 4)
        most = min(32000, (1 << 31) // (384 * 4 * words) - 1)  # a row's sum is an int32
        step = f"{number(np.float32(most / x.most))}" if x.most else f"NAME_largest({x.width}, {x.name}, {most}.0f)"
        self.add(
            f"uint32_t packed_{x.name}[{2 * words}];",
            f"const float step_{x.name} = {step};",
            f"const int32_t sum_{x.name} = NAME_pack({words}, step_{x.name}, {x.name}, packed_{x.name});",
        )
        return x

    def dense(self, name: str, weight: Array, bias: str, x: Vector, y: str, gains: Any = 1.0) -> None:
        """y = gains (weight x) + bias; bias: the name of an array, or 0."""
        rows, gains = weight.shape[0], np.broadcast_to(gains, weight.shape[0])
        if self.weights == "float32":
            w = self.array(name, weight * gains[:, np.newaxis])
            self.add(f"NAME_dense({rows}, {x.width}, {w}, {bias}, {x.name}, {y});")
            return
        w, scale = self._int8(name, weight, gains)
        self.add(
            f"NAME_dense8({rows}, {-(-x.width // 4)}, {w}, {scale}, {bias}, packed_{x.name}, sum_{x.name}, "
            f"1.0f / step_{x.name}, {y});"
        )

    def _int8(self, name: str, weight: Array, gains: Array) -> tuple[str, str]:
        """Four weights of a row in a word, each 128 too large: 0, 1, 2, 3 in bytes 0, 2, 1, 3."""
        if not np.isfinite(weight).all():
            raise ConfigError(f"agent: {name} is not finite; a policy with such a number cannot be exported")
        integers, scale = int8_of(np.asarray(weight, np.float64).T)
        bytes_ = np.full((weight.shape[0], -(-weight.shape[1] // 4) * 4), 128, np.uint32)
        bytes_[:, : weight.shape[1]] = integers.T + 128
        w0, w1, w2, w3 = (bytes_[:, k::4] for k in range(4))
        words = w0 | w2 << 8 | w1 << 16 | w3 << 24
        numbers = [f"{int(word):#010x}u" for word in words.reshape(-1)]
        return self._constant("uint32_t", name, numbers), self.array(f"{name}_scale", scale * gains)


def number(value: Any) -> str:
    """A float of C that reads back as the same bits."""
    if not np.isfinite(value):
        raise ConfigError(f"agent: a parameter is {value}; a policy with such a number cannot be exported")
    text = np.format_float_scientific(value, unique=True, trim="0")
    return f"{text}f"
