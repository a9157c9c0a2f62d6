"""A policy in integers under construction: each part as lines of C and, to the bit, as Python.

A real number v is kept as the integer v 2^point, `point` bits after the binary point. Formats follow from the largest
values that the agent's bound of observations and its weights allow, so no sum can overflow. A vector of any size is
divided by a power of two of its largest element before it is multiplied (NAME_pack): its point varies by the step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtu_edge._base.errors import ConfigError
from rtu_edge.learn.c_policy.fixed_text import ACTION_ONE
from rtu_edge.learn.c_policy.write import Array, Source, Vector
from rtu_edge.learn.onnx.write import LAYER_NORM_EPS

__all__ = ["POINT", "Program", "Short", "Whole", "Wide", "bits_for", "points_of", "product", "rounded", "tanh"]

COLUMNS = 4  # that NAME_dense multiplies at once
POINT = 20  # of inputs, activations and the argument of tanh
STEPS = 88  # of the table of tanh, 1/16 each
_SUM = 1 << 30  # no sum reaches it
_NORMED = 22  # the finest point of LayerNorm's sums: eps stays below 2^28
_LEAK, _LEAK_BITS = 655, 16

Ints = NDArray[np.int64]
Run = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Wide:
    """A vector of int32_t, integers of 2^-point."""

    name: str
    width: int
    point: int


@dataclass(frozen=True)
class Short:
    """Integers below 2^15 in int32_t, of 2^-point 2^shift; shift: a variable, or none; most: none is larger."""

    name: str
    width: int
    point: int
    shift: str | None
    most: int


@dataclass(frozen=True)
class Whole:
    """Sums, int32_t, point as in Short."""

    name: str
    width: int
    point: int
    shift: str | None


def down(v: Any, n: Any) -> Any:
    """NAME_DOWN."""
    return v >> n


def rounded(v: Any, n: Any) -> Any:
    """NAME_rounded."""
    return (v + ((1 << n) >> 1)) >> n


def larger(v: Ints) -> int:
    """The largest magnitude."""
    return int(np.abs(v).max(initial=0))


_TABLE = np.rint(np.tanh(np.arange(STEPS + 1) / 16.0) * 32768).astype(np.int64)


def tanh(v: Ints) -> Ints:
    """NAME_tanh."""
    size = np.abs(v)
    near = np.minimum(rounded(size, 16), STEPS)
    off, t = size - near * 65536, _TABLE[near]
    slope = 32768 - (t * t >> 15)
    bent = off - (off * (t * off >> 15) >> 20)
    total = t * 32 + (slope * bent >> 15)
    return np.where(v < 0, -1, 1) * np.where(size >= STEPS << 16, 1048560, total)


def bits_for(weight: Array) -> int:
    """Bits of the vector that a matrix multiplies: its weights then have as many, and a row's sum fits."""
    size = np.abs(np.asarray(weight, np.float64))
    ratio = max(1.0, float(size.sum(axis=1).max(initial=0.0)) / max(float(size.max(initial=0.0)), 1e-30))
    return int(min(15, np.floor(np.log2((_SUM >> 1) / ratio) / 2)))


class Program(Source):
    """C under construction, and the same steps in Python. `NAME` stands for the prefix."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[Run] = []

    def ints(self, kind: str, name: str, values: Any) -> str:
        """A constant in flash; returns its name in C."""
        limits = np.iinfo(kind.removesuffix("_t"))
        numbers = np.asarray(values, dtype=np.int64).reshape(-1)
        if numbers.size and not (limits.min <= numbers.min() and numbers.max() <= limits.max):
            worst = int(numbers[np.abs(numbers.astype(np.float64)).argmax()])
            raise ConfigError(f"agent: {name} has {worst}; with fixed, expected {limits.min} to {limits.max} ({kind})")
        return self._constant(kind, name, [_literal(int(value)) for value in numbers], " NAME_ROM")

    def then(self, run: Run, *lines: str) -> None:
        """A part: its Python and its C."""
        self.runs.append(run)
        self.add(*lines)

    def table(self) -> None:
        """The table of tanh."""
        if not any("NAME_tanh_table" in text for text in self.constants):
            self.constants.append(f"#define NAME_STEPS {STEPS}\n")
            self.ints("int16_t", "tanh_table", _TABLE)

    def packed(self, x: Wide | Short, bits: int, shift: int = 0) -> Short:
        """x in at most `bits` bits; shift: by at least so many."""
        if isinstance(x, Short):
            return x
        most, by = (1 << bits) - 1, f"{x.name}_shift"

        def run(env: dict[str, Any]) -> None:
            least, top = shift, larger(env[x.name]) >> shift
            while top >= most:
                top, least = top >> 1, least + 1
            env[by], env[x.name] = least, rounded(env[x.name], least)

        self.then(run, f"const int {by} = NAME_pack({x.width}, {shift}, {most}, {x.name});")
        return Short(x.name, x.width, x.point, by, most)

    def vector(self, name: str, width: int, most: float | None = None) -> Vector:
        """Declare one; its length is a multiple of COLUMNS, and what is beyond its width 0."""
        self.add(f"int32_t {name}[{width + -width % COLUMNS}];",
                 *(f"{name}[{width + k}] = 0;" for k in range(-width % COLUMNS)))  # fmt: skip
        return Vector(name, width, most)

    def matrix(self, name: str, weight: Array, points: Ints, columns: int = COLUMNS) -> tuple[str, Ints]:
        """Weights of rows as integers of 2^-points, two rows in a pair, a multiple of `columns` in each; its name in C,
        and the integers.
        """
        integers = np.rint(weight * 2.0 ** points[:, np.newaxis]).astype(np.int64)
        padded = np.pad(integers, [(0, integers.shape[0] % 2), (0, -integers.shape[1] % columns)])
        pairs = zip(padded[0::2].reshape(-1).tolist(), padded[1::2].reshape(-1).tolist(), strict=True)
        texts = [f"NAME_PAIR({first}, {second})" for first, second in pairs]
        return self._constant("NAME_pair", name, texts, " NAME_ROM"), integers

    def sums(self, name: str, weight: Array, bias: Array, x: Wide | Short) -> Whole:
        """weight x + bias."""
        rows = weight.shape[0]
        bits = bits_for(weight)
        largest = float(np.abs(bias).max(initial=0.0))
        held = int(min(28, np.floor(np.log2((_SUM >> 1) / largest)))) if largest else 28  # the bias' point
        most = x.most if isinstance(x, Short) else (1 << bits) - 1
        point = points_of(weight, (_SUM >> 1) // most).min()
        if isinstance(x, Short):  # a fixed point of the sums
            point = min(point, held - x.point)
        held = min(held, int(point) + x.point)
        least = int(point) + x.point - held
        packed = self.packed(x, bits, least)
        w, integers = self.matrix(f"{name}_weight", weight, np.full(rows, point))
        whole = np.rint(np.asarray(bias, np.float64) * 2.0**held).astype(np.int64)
        b = self.ints("int32_t", f"{name}_bias", np.pad(whole, (0, rows % 2)))
        out, more = Whole(name, rows, int(point) + packed.point, packed.shift), int(held - point - packed.point)

        def run(env: dict[str, Any]) -> None:
            by = more + (env[packed.shift] if packed.shift else 0)
            env[name] = down(whole, by) + integers @ env[packed.name]

        self.vector(name, rows)
        by = f"{packed.shift} - {-more}" if packed.shift else "0"
        self.then(run, product(w, rows, packed, name, b, by))
        return out

    def norm(self, v: Whole, following: Array) -> Short:
        """LayerNorm and leaky relu, in the bits of the matrix that follows."""
        n, name = v.width, v.name
        log = int(np.ceil(np.log2(n)))
        most = np.sqrt(max(n - 1, 1)) * 1.002
        out = int(np.floor(np.log2(((1 << bits_for(following)) - 1) / most)))
        inverse, root = round(2**log / n * 32768), round(float(np.sqrt(n / 2**log)) * 32768)
        eps = round(LAYER_NORM_EPS * n / 2**log * 2.0 ** (2 * _NORMED))

        def run(env: dict[str, Any]) -> None:
            point = v.point - (env[v.shift] if v.shift else 0)
            env[name] = _normed(env[v.name], (log, inverse, root, eps), point, out)

        point = f"{v.point} - {v.shift}" if v.shift else f"{v.point}"
        self.then(
            run,
            f"NAME_norm({n}, {log}, {inverse}, {root}, {eps}u, {point}, {out}, {name});",
        )
        return Short(name, n, out, None, int(most * 2**out) + 1)

    def action(self, v: Whole) -> None:
        """Return actions within +-1."""
        point = f"{v.point} - {v.shift}" if v.shift else f"{v.point}"

        def run(env: dict[str, Any]) -> None:
            by = v.point - (env[v.shift] if v.shift else 0) - 14
            whole = rounded(env[v.name], by) if by >= 0 else env[v.name] << -by
            env["action"] = np.clip(whole, -ACTION_ONE, ACTION_ONE)

        self.runs.append(run)
        self.loop(v.width, f"action[i] = NAME_action({v.name}[i], {point});")

    def choice(self, v: Whole) -> None:
        """Return the index of the largest."""
        self.runs.append(lambda env: env.update(action=np.argmax(env[v.name])))
        self.add("int best = 0;")
        self.loop(v.width, f"if ({v.name}[i] > {v.name}[best]) best = i;")
        self.add("return best;")


def product(w: str, rows: int, x: Short, y: str, bias: str = "0", by: str = "0") -> str:
    """A call of NAME_dense."""
    return f"NAME_dense({(rows + 1) // 2}, {x.width + -x.width % COLUMNS}, {w}, {bias}, {by}, {x.name}, {y});"


def points_of(weight: Array, most: float) -> Ints:
    """Of each row the largest point for which its weights are int16_t and their sum of magnitudes is at most this."""
    size = np.abs(np.asarray(weight, np.float64))
    if not np.isfinite(size).all():
        raise ConfigError("agent: a weight is not finite; a policy with such a number cannot be exported")
    top, total = size.max(axis=1, initial=1e-9), size.sum(axis=1, initial=1e-9) + 1e-9
    half = size.shape[1] / 2.0  # each weight's rounding
    points = np.minimum(np.log2(32767.0 / top), np.log2(max(most - half, 1.0) / total))
    found: Ints = np.minimum(np.floor(points), 24).astype(np.int64)
    return found


def _normed(v: Ints, of: Sequence[int], point: int, out: int) -> Ints:
    """NAME_norm."""
    log, inverse, root, eps = of
    mean = int((v >> log).sum())
    mean = (mean >> 15) * inverse + ((mean & 32767) * inverse >> 15)
    v = v - mean
    shift = max(point - _NORMED, 0)
    top = larger(v) >> shift
    while top >= 32767:
        top, shift = top >> 1, shift + 1
    v = rounded(v, shift)
    down_by = 2 * (_NORMED - point + shift)
    m = 1 + int((v * v >> log).sum()) + (eps >> down_by if down_by < 31 else 0)
    up = 0
    while m < 1 << 30:
        m, up = m << 2, up + 1
    m >>= 16
    r = 34816 - (m * 19661 >> 16)
    for _ in range(3):
        r = r * (49152 - (m * (r * r >> 14) >> 16)) >> 15
    r = (r * root + 16384) >> 15
    normed = rounded(v * r, 30 - out - up)
    found: Ints = np.where(normed > 0, normed, rounded(normed * _LEAK, _LEAK_BITS))
    return found


def _literal(value: int) -> str:
    return str(value) if value != -(2**31) else "-2147483647 - 1"
