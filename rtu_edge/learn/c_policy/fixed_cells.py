"""Inputs and cells of a policy in integers: formats, C, and the same in Python (fixed_steps.py)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rtu_edge._base.errors import ConfigError
from rtu_edge.learn.c_policy.fixed_steps import (
    COLUMNS,
    POINT,
    Ints,
    Program,
    Short,
    Wide,
    bits_for,
    points_of,
    product,
    rounded,
    tanh,
)
from rtu_edge.learn.c_policy.fixed_text import ACTION_ONE
from rtu_edge.learn.c_policy.parts import Parts
from rtu_edge.learn.c_policy.write import Array
from rtu_edge.learn.onnx.write import CELL_WEIGHTS

__all__ = ["LARGEST_BOUND", "cell", "inputs"]

LARGEST_BOUND = 64.0  # of a normalised observation
FINEST = 24  # bits after the point of a state at most
COARSEST = 8
_REACH = 20  # bits of the distance from a channel's mean to its bound
_STATE = (1 << 30) - (1 << 16)  # no state reaches it
_MOST_KEPT = 1.0 - 2.0**-15  # a coefficient's high part is int16_t
_SHORT_KEPT = 1.0 - 2.0**-8  # below, coefficients of 15 bits are off by at most 0.6 % of 1 - r
_FEW = 4  # inputs of a cell that are multiplied without a loop
_TANH_LIMIT = 6.0  # beyond the table


def inputs(program: Program, agent: Any) -> tuple[Wide, list[int]]:
    """`x`: what the network sees, and the bits after the point of each channel, the reward's last."""
    config, parts = agent.config, Parts.of(agent)
    d, bound = int(config["observation_size"]), float(config["observation_bound"])
    mean = np.asarray(agent.normalizer["mean"], np.float64)
    scale = np.asarray(agent.normalizer["scale"], np.float64)
    if config.get("previous_reward"):
        mean, scale = np.append(mean, 0.0), np.append(scale, float(agent.reward_scale))
    if not (np.isfinite(mean).all() and np.isfinite(scale).all()):
        raise ConfigError("agent: the normaliser is not finite; a policy with such a number cannot be exported")
    channels = [_channel(*one, bound, i) for i, one in enumerate(zip(mean, scale, strict=True))]
    whole, reach, factor, place, bits = (np.array(column, np.int64) for column in zip(*channels, strict=True))
    names = [program.ints(f"int{size}_t", f"input_{name}", values) for size, name, values in (
        (32, "mean", whole), (32, "reach", reach), (16, "factor", factor), (8, "place", place))]  # fmt: skip
    program.constants.append(_INPUT.format(*names))
    width = d + (parts.width if config.get("previous_action") else 0) + bool(config.get("previous_reward"))
    program.vector("x", width)
    program.loop(d, "x[i] = NAME_input(observation[i], i);")
    at = d
    if config.get("previous_action"):
        program.loop(parts.width, f"x[{at} + i] = (int32_t)(previous_action[i] > {ACTION_ONE} ? {ACTION_ONE} :"
                     f" previous_action[i] < -{ACTION_ONE} ? -{ACTION_ONE} : previous_action[i]) * 64;")  # fmt: skip
        at += parts.width
    if config.get("previous_reward"):
        program.add(f"x[{at}] = NAME_input(previous_reward, {d});")

    def run(env: dict[str, Any]) -> None:
        given = np.append(env["observation"], env["previous_reward"])[: len(whole)]
        off = np.clip(given - whole, -reach, reach)
        found = rounded((off >> 8) * factor + (((off & 255) * factor + 128) >> 8), place)
        before = np.clip(env["previous_action"], -ACTION_ONE, ACTION_ONE) * 64
        env["x"] = np.concatenate([found[:d], before if config.get("previous_action") else [], found[d:]]).astype(int)

    program.runs.append(run)
    return Wide("x", width, POINT), bits.tolist()


_INPUT = """/* An observation in 2^-20 deviations from its mean, within the bound. */
static inline int32_t NAME_input(int32_t v, int i) {{
    const int32_t mean = NAME_AT32({0} + i), reach = NAME_AT32({1} + i), factor = NAME_AT16({2} + i);
    v = v > mean + reach ? reach : v < mean - reach ? -reach : v - mean;
    return NAME_rounded(NAME_DOWN(v, 8) * factor + (((v & 255) * factor + 128) >> 8), NAME_AT8({3} + i));
}}
"""


def _channel(mean: float, scale: float, bound: float, i: int) -> tuple[int, int, int, int, int]:
    """Mean, reach, factor, place and bits after the point of one channel."""
    if scale == 0.0:
        return 0, 0, 0, 0, 0
    reach = bound / scale
    bits = int(min(np.floor(np.log2(2.0**_REACH / reach)), np.floor(np.log2((2.0**31 - 2) / (abs(mean) + reach)))))
    factor = scale * 2.0 ** (POINT - bits)
    place = int(np.floor(np.log2(32767.0 / factor)))
    if place < 8:
        raise ConfigError(f"observation {i}: mean {mean:g} is {abs(mean) * scale:.3g} deviations from 0; fixed takes"
                          f" at most {2.0**31 / 256:.3g}")  # fmt: skip
    return round(mean * 2.0**bits), int(reach * 2.0**bits), round(factor * 2.0**place), place - 8, bits


@dataclass(frozen=True)
class _Driven:
    """The inputs of the units, u1 and u2, in integers of 2^-point; lines of C that make them for unit i."""

    point: int
    large: Array  # the largest u1, u2 of each unit, real, (n, 2)
    lines: tuple[str, ...]
    x: Short


def cell(
    program: Program, x: Wide | Short, parts: Parts, config: Mapping[str, Any], following: Array | None
) -> Wide | Short:
    """One step of the cell (docs/math.md, 1; math_cells.md, 1). following: the matrix that multiplies its output."""
    if parts.kind == "none":
        return x
    activation = config.get("activation", "relu")
    first, second = (parts.cell[name] for name in CELL_WEIGHTS[parts.kind])
    g, phi, gains = parts.gains()
    weight = np.stack([first, second], axis=1) * np.broadcast_to(gains, first.shape[0])[:, np.newaxis, np.newaxis]
    if activation == "tanh" or g is None:
        program.table()
    if g is None or phi is None:
        driven = _drive(program, x, weight, config, lambda point, large: point <= POINT, POINT)
        _check_gates(parts, driven, float(np.abs(weight).max()))
        return _gated(program, parts, _Activation.named(activation, POINT, following), driven)
    turned = _poles(g, phi)
    inside = parts.kind == "nonlinear" and activation == "tanh"

    def holds(point: int, large: Array) -> bool:
        """No state reaches its end: |h'| <= r |h| + |u|, or with tanh inside |h| <= 1."""
        u = np.hypot(large[:, 0], large[:, 1]) * 2.0**point + 8.0
        return bool((2.0**point * 1.5 + u if inside else u / (1.0 - turned.kept)).max() < _STATE)

    if turned.kept.max() > _MOST_KEPT:
        _refuse(turned.kept, int(turned.kept.argmax()), _MOST_KEPT, "its coefficients have 30 bits")
    finest = POINT if inside or (turned.short and activation == "tanh") else FINEST
    driven = _drive(program, x, weight, config, holds, finest)
    _check_kept(turned.kept, np.abs(weight).max(axis=(1, 2)), driven.point)
    if parts.kind == "lru":  # its output has the inputs too, which may be large
        following = None
    return _rotated(program, parts, _Activation.named(activation, driven.point, following), driven, turned)


@dataclass(frozen=True)
class _Poles:
    """g and phi in 2^-30, cut into high 2^15 + low, and the retentions that these are."""

    parts: Ints  # (n, 4): g, its low part, phi, its low part
    kept: Array
    short: bool  # no low parts


def _poles(g: Array, phi: Array) -> _Poles:
    short = bool(np.hypot(g, phi).max() < _SHORT_KEPT)
    finest = 15 if short else 30
    whole = np.rint(np.stack([g, phi], axis=1) * 2.0**finest).astype(np.int64) << (30 - finest)
    high = rounded(whole, 15)
    both = np.stack([high, whole - (high << 15)], axis=2).reshape(-1, 4)
    return _Poles(both, np.hypot(whole[:, 0], whole[:, 1]) / 2.0**30, short)


def _check_kept(kept: Array, gain: Array, point: int) -> None:
    """A state that rounds by e = 2^-point in each step is off by up to e / (1 - r): by what an error of e / gain of the
    largest input would do. Refused if both are large: 2^-7, and 2^-9 deviations of an input.
    """
    least = 2.0 ** (9 - point)
    short = np.flatnonzero((2.0**-point / (1.0 - kept) > 2.0**-7) & (gain < least))
    if len(short):
        unit = int(short[kept[short].argmax()])
        limit = np.sqrt(max(1.0 - (1.0 - kept[unit] ** 2) * (least / max(gain[unit], 1e-9)) ** 2, 0.0))
        _refuse(kept, unit, float(limit), f"for the largest inputs its state has {point} bits after the point")


def _refuse(kept: Array, unit: int, limit: float, why: str) -> None:
    raise ConfigError(f"cell: unit {unit} keeps {kept[unit]:.7f} of its state in a step; fixed takes at most"
                      f" {limit:.7f} ({why})")  # fmt: skip


def _drive(
    program: Program,
    x: Wide | Short,
    weight: Array,
    config: Mapping[str, Any],
    holds: Callable[[int, Array], bool],
    finest: int,
) -> _Driven:
    """u[2 i], u[2 i + 1]: W x of unit i, at the finest point at which the states hold. weight: (n, 2, d)."""
    n, _, d = weight.shape
    rows = weight.reshape(2 * n, d)
    bits = bits_for(rows)
    bound = max(float(config["observation_bound"]), 1.0) if isinstance(x, Wide) else x.most / 2.0**x.point
    packed = program.packed(x, bits)
    most_shift = max(0, int(np.ceil(np.log2(bound * 2.0**POINT))) - bits + 1) if packed.shift else 0
    points = points_of(rows, ((1 << 30) - 1) // packed.most).reshape(n, 2).min(axis=1)
    large = np.abs(weight).sum(axis=2) * bound * 1.001
    base = points + packed.point - most_shift
    point = next((p for p in range(min(finest, int(base.min())), COARSEST - 1, -1) if holds(p, large)), COARSEST - 1)
    if point < COARSEST:
        raise ConfigError(f"cell: its largest state, {large.max():.3g} from the inputs, is too large for fixed")
    w, integers = program.matrix("cell_weight", rows, np.repeat(points, 2), 1 if d <= _FEW else COLUMNS)
    shifts = points + packed.point - point
    program.ints("int8_t", "cell_shift", shifts)

    def run(env: dict[str, Any]) -> None:
        by = np.repeat(shifts, 2) - (env[packed.shift] if packed.shift else 0)
        env["u"] = rounded(integers @ env[packed.name], by)

    lines = [f"const int by = NAME_AT8(NAME_cell_shift + i){f' - {packed.shift}' if packed.shift else ''};"]
    if d <= _FEW:  # in the loop of the units
        lines.append(f"const NAME_pair *w = {w} + {d} * i;")
        sums = [" + ".join(f"NAME_TIMES(NAME_{row}(w[{j}]), {x.name}[{j}])" for j in range(d))
                for row in ("FIRST", "SECOND")]  # fmt: skip
    else:
        program.vector("u", 2 * n)
        program.add(product(w, 2 * n, packed, "u"))
        sums = ["u[2 * i]", "u[2 * i + 1]"]
    lines += [f"const int32_t u{k} = NAME_rounded({total}, by);" for k, total in zip("12", sums, strict=True)]
    program.runs.append(run)
    return _Driven(point, large, tuple(lines), packed)


@dataclass(frozen=True)
class _Activation:
    """From integers of 2^-point to those of 2^-POINT for tanh, of 2^-point for relu and identity; and what is left of
    them in the output: `bits` after the point where they are bounded, None: all.
    """

    text: str
    of: Callable[[Ints], Ints]
    point: int
    bits: int | None

    @classmethod
    def named(cls, kind: str, point: int, following: Array | None) -> _Activation:
        """following: the matrix that multiplies the output, if it is of that alone."""
        if kind == "relu":
            return cls("({0} > 0 ? {0} : 0)", lambda v: np.maximum(v, 0), point, None)
        if kind == "identity":
            return cls("{0}", lambda v: v, point, None)
        bits = None if following is None else min(14, bits_for(following))
        if point >= POINT:
            by = point - POINT
            return cls(f"NAME_tanh(NAME_rounded({{0}}, {by}))", lambda v: tanh(rounded(v, by)), POINT, bits)
        most, by = int(_TANH_LIMIT * 2**point), POINT - point
        held = f"({{0}} > {most} ? {most} : {{0}} < -{most} ? -{most} : {{0}})"
        return cls(f"NAME_tanh({held} * ((int32_t)1 << {by}))", lambda v: tanh(np.clip(v, -most, most) << by), POINT,
                   bits)  # fmt: skip

    def out(self, value: str) -> str:
        """An element of the output."""
        return value if self.bits is None else f"NAME_rounded({value}, {self.point - self.bits})"

    def integers(self, values: Ints) -> Any:
        """Those of the output."""
        return values if self.bits is None else rounded(values, self.point - self.bits)

    def output(self, width: int) -> Wide | Short:
        """The output's format."""
        return Wide("y", width, self.point) if self.bits is None else Short("y", width, self.bits, None, 1 << self.bits)


def _rotated(program: Program, parts: Parts, active: _Activation, driven: _Driven, turned: _Poles) -> Wide | Short:
    n, x, text = len(turned.kept), driven.x, active.text
    inside = parts.kind == "nonlinear"
    table = program.ints("int16_t", "cell_poles", turned.parts[:, ::2] if turned.short else turned.parts)
    turn, of = ("NAME_turn", 2) if turned.short else ("NAME_turn_wide", 4)
    skipped = x.width if parts.kind == "lru" else 0
    program.vector("y", 2 * n + skipped)
    program.loop(
        n,
        "int32_t z1, z2;",
        *driven.lines,
        f"{turn}({table} + {of} * i, state->h[i], state->h[{n} + i], &z1, &z2);",
        "state->h[i] = z1 + u1;",
        f"state->h[{n} + i] = z2 + u2;",
    )
    if inside:
        program.loop(2 * n, f"state->h[i] = {text.format('state->h[i]')};", f"y[i] = {active.out('state->h[i]')};")
    else:
        program.loop(2 * n, f"y[i] = {active.out(text.format('state->h[i]'))};")
    by = x.point - active.point
    if skipped:
        program.loop(skipped, f"y[{2 * n} + i] = {_moved_to(x, by)};")
    g, g_low, phi, phi_low = turned.parts.T

    def run(env: dict[str, Any]) -> None:
        k1, k2 = rounded(env["h1"], 15), rounded(env["h2"], 15)
        l1, l2 = env["h1"] - (k1 << 15), env["h2"] - (k2 << 15)
        z1 = g * k1 - phi * k2 + rounded(g * l1 + g_low * k1 - phi * l2 - phi_low * k2, 15) + env["u"][0::2]
        z2 = g * k2 + phi * k1 + rounded(g * l2 + g_low * k2 + phi * l1 + phi_low * k1, 15) + env["u"][1::2]
        y1, y2 = active.of(z1), active.of(z2)
        env["h1"], env["h2"] = (y1, y2) if inside else (z1, z2)
        whole = env[x.name] << env[x.shift] if x.shift else env[x.name]
        more = (rounded(whole, by) if by >= 0 else whole << -by)[:skipped]
        env["y"] = active.integers(np.concatenate([y1, y2, more]))

    program.runs.append(run)
    return active.output(2 * n + skipped)


def _moved_to(x: Short, by: int) -> str:
    """Element i of x times 2^-by."""
    v = f"{x.name}[i]" + (f" * ((int32_t)1 << {x.shift})" if x.shift else "")
    return f"NAME_rounded({v}, {by})" if by >= 0 else f"{v} * ((int32_t)1 << {-by})"


def _biases(parts: Parts) -> list[Array]:
    return [parts.cell[name] for name in (("bu", "bh") if parts.kind == "mingru" else ("bz", "bf"))]


def _check_gates(parts: Parts, driven: _Driven, largest: float) -> None:
    worst = max(float((driven.large[:, k] + np.abs(bias)).max()) for k, bias in enumerate(_biases(parts)))
    if worst >= 2.0**8:
        raise ConfigError(f"cell = {parts.kind!r}: an input of its gates can be {worst:.4g}; fixed takes less than 256")
    if driven.point < POINT:
        raise ConfigError(f"cell = {parts.kind!r}: its weights, {largest:.4g} at most, are too large for fixed")


def _gated(program: Program, parts: Parts, active: _Activation, driven: _Driven) -> Wide | Short:
    mingru = parts.kind == "mingru"
    biases = _biases(parts)
    n, one = len(biases[0]), 1 << POINT
    whole = np.rint(np.stack(biases, axis=1) * one).astype(np.int64)
    names = [program.ints("int32_t", "cell_bias", whole)]
    held = np.zeros((n, 2), np.int64)
    held_point = 0
    if not mingru:
        held_real = np.stack([parts.cell["wz"], parts.cell["wf"]], axis=1)
        held_point = int(points_of(held_real, 32767.0).min())
        if held_point < 6:
            worst = np.abs(held_real).max()
            raise ConfigError(f"cell = 'elstm': a weight of its own state is {worst:.4g}; fixed takes less than 512")
        held = np.rint(held_real * 2.0**held_point).astype(np.int64)
        names.append(program.ints("int16_t", "cell_held", held))
    by = held_point + 14 - POINT

    def run(env: dict[str, Any]) -> None:
        h, a, b = env["h1"], env["u"][0::2] + whole[:, 0], env["u"][1::2] + whole[:, 1]
        if mingru:
            drive, share = np.where(b < 0, _sigmoid(b) << 5, one // 2 + b), _sigmoid(a)
        else:
            kept = rounded(h, 6)
            drive = tanh(a + rounded(held[:, 0] * kept, by))
            share = _sigmoid(-(b + rounded(held[:, 1] * kept, by)))
        way = drive - h
        high = rounded(way, 15)
        env["h1"] = h + high * share + rounded((way - (high << 15)) * share, 15)
        env["y"] = active.integers(active.of(env["h1"]))

    sums = [f"{u} + NAME_AT32({names[0]} + 2 * i{' + 1' * k})" for k, u in enumerate(("u1", "u2"))]
    lines = list(driven.lines)
    if mingru:
        lines += [f"const int32_t a = {sums[0]}, b = {sums[1]};", "const int32_t share = NAME_sigmoid(a);",
                 f"const int32_t drive = b < 0 ? NAME_sigmoid(b) * 32 : {one // 2} + b;"]  # fmt: skip
    else:
        again = [f"NAME_rounded(NAME_AT16({names[1]} + 2 * i{' + 1' * k}) * kept, {by})" for k in range(2)]
        lines += ["const int32_t kept = NAME_rounded(state->h[i], 6);",
                 f"const int32_t drive = NAME_tanh({sums[0]} + {again[0]});",
                 f"const int32_t share = NAME_sigmoid(-({sums[1]} + {again[1]}));"]  # fmt: skip
    program.vector("y", n)
    lines += ["state->h[i] = NAME_moved(state->h[i], drive, share);"]
    program.loop(n, *lines, f"y[i] = {active.out(active.text.format('state->h[i]'))};")
    program.runs.append(run)
    return active.output(n)


def _sigmoid(v: Ints) -> Ints:
    """NAME_sigmoid."""
    return (1048608 + tanh(v >> 1)) >> 6
