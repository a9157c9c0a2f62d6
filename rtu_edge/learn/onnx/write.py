"""An agent's policy as an ONNX graph.

    observation (1, d), h1 (1, n), h2 (1, n)  ->  action (1, k), h1_next (1, n), h2_next (1, n)

An agent with `previous_action` or `previous_reward` has the inputs previous_action (1, k), one-hot for discrete
actions, and previous_reward (1, 1), in the reward's own unit; zeros at the start of an episode.

A minGRU and an eLSTM have one number per unit, h1. The graph computes `agent.predict(observation, deterministic=True)`:
the normaliser, one step of the recurrent cell, the body and the head of the actor or of the action values. The state
is an explicit input and output: the caller feeds h1_next and h2_next back, and zeros at the start of an episode.

Single precision. Values derived from parameters (g, phi, gam of the unit, the normaliser's scale) are computed in
double and rounded once. The normaliser's mean is kept as the sum of two floats: x - mean is accurate even if the mean
is large compared with the deviation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rtu_edge._base.errors import ConfigError
from rtu_edge.learn.onnx.form import AXES_AS_INPUT, Form, int8_of

__all__ = ["CELL_WEIGHTS", "GATED", "VALUES", "Agent", "Graph", "Shape", "check_agent", "policy"]

LAYER_NORM_EPS = 1e-5
LEAK = 0.01
VALUES = ("stream_q", "stream_sarsa", "stream_qrc")  # kinds of learners of action values
READING = 2.0**46  # native/learners/normalizer.h: as far as a reading counts; infinities become numbers

Array = NDArray[np.floating[Any]]


def check_agent(agent: object) -> None:
    """Check that an agent has a policy.

    Raises:
        ConfigError: it has none, or is none.
    """
    kind = getattr(agent, "kind", None)
    if kind not in ("stream_ac", *VALUES):
        what = f"a {type(agent).__name__}" if kind is None else f"kind {kind!r}"
        raise ConfigError(f"agent: {what} has no policy to export; stream_ac and {', '.join(VALUES)} have")


class Agent(Protocol):
    """The agent's interface for the export."""

    @property
    def kind(self) -> str:
        """The class of agent, "stream_ac", "stream_q", "stream_sarsa" or "stream_qrc"."""

    @property
    def config(self) -> dict[str, Any]:
        """The arguments to recreate it."""

    @property
    def parameters(self) -> dict[str, Array]:
        """Copies, by name."""

    @property
    def normalizer(self) -> dict[str, Any]:
        """Mean, scale, count."""

    @property
    def reward_scale(self) -> float:
        """What a reward is multiplied by."""


class Graph:
    """Nodes and constants under construction; every method returns the name of its output."""

    def __init__(self, helper: Any, numpy_helper: Any, form: Form) -> None:
        self._helper = helper
        self._numpy_helper = numpy_helper
        self._form = form
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, value: Any, dtype: type[Any] = np.float32) -> str:
        """A constant of this type."""
        array = np.ascontiguousarray(np.asarray(value, dtype=np.float64).astype(dtype))
        if not np.isfinite(np.asarray(value, dtype=np.float64)).all() or not np.isfinite(array).all():
            raise ConfigError(f"agent: {name} is not finite in single precision; such a policy cannot be exported")
        self.constants.append(self._numpy_helper.from_array(array, name))
        return name

    def matrix(self, name: str, value: Any) -> str:
        """A constant (in, out) to multiply rows by."""
        if self._form.weights == "float32" or not np.isfinite(value).all():
            return self.constant(name, value)
        rounded, scale = int8_of(np.asarray(value, dtype=np.float64))
        parts = [self.constant(f"{name}.int8", rounded, np.int8), self.constant(f"{name}.scale", scale)]
        return self.op("DequantizeLinear", parts, name, axis=1)

    def mean(self, x: str, output: str) -> str:
        """Of each row, (batch, 1)."""
        if self._form.opset < AXES_AS_INPUT:
            return self.op("ReduceMean", [x], output, axes=[1], keepdims=1)
        return self.op("ReduceMean", [x, self.constant(f"{output}.axes", [1], np.int64)], output, keepdims=1)

    def op(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """A node named after its one output."""
        self.nodes.append(self._helper.make_node(kind, list(inputs), [output], name=output, **attributes))
        return output


def _normalised(graph: Graph, x: str, agent: Agent) -> str:
    if not agent.config.get("normalize_observation", True):
        return x
    mean = np.asarray(agent.normalizer["mean"], dtype=np.float64).reshape(1, -1)
    scale = np.asarray(agent.normalizer["scale"], dtype=np.float64).reshape(1, -1)
    x = graph.op(
        "Clip", [x, graph.constant("reading.lowest", -READING), graph.constant("reading.highest", READING)], "reading"
    )
    high = mean.astype(np.float32)  # the mean as the sum of two floats
    x = graph.op("Sub", [x, graph.constant("normalizer.mean_high", high)], "centred_high")
    x = graph.op("Sub", [x, graph.constant("normalizer.mean_low", mean - high.astype(np.float64))], "centred")
    x = graph.op("Mul", [x, graph.constant("normalizer.scale", scale)], "scaled")
    bound = float(agent.config.get("observation_bound", 0.0))
    if bound == 0.0:
        return x
    lowest, highest = (
        graph.constant(f"normalizer.{name}", at) for name, at in (("lowest", -bound), ("highest", bound))
    )
    return graph.op("Clip", [x, lowest, highest], "normalised")


def _with_previous(graph: Graph, x: str, agent: Agent) -> str:
    """Append the previous action and reward to the inputs (docs/math_learners.md, 4)."""
    config = agent.config
    parts = [x]
    if config.get("previous_action"):
        parts.append("previous_action")
    if config.get("previous_reward"):
        reward = "previous_reward"
        if config["scale_reward"]:
            reward = graph.op("Mul", [reward, graph.constant("reward.scale", [[agent.reward_scale]])], "reward.scaled")
            if bound := float(config["observation_bound"]):
                ends = [graph.constant(f"reward.{name}", at) for name, at in (("lowest", -bound), ("highest", bound))]
                reward = graph.op("Clip", [reward, *ends], "reward.bounded")
        parts.append(reward)
    return graph.op("Concat", parts, "inputs", axis=1) if len(parts) > 1 else x


def _activated(graph: Graph, x: str, activation: str, output: str) -> str:
    kinds = {"relu": "Relu", "tanh": "Tanh", "identity": "Identity"}
    if activation not in kinds:
        raise ValueError(f"activation: {activation!r} is not one of {', '.join(kinds)}")
    return graph.op(kinds[activation], [x], output)


# The two weight matrices of each cell, and its parameters per pole or unit.
CELL_WEIGHTS = {
    "linear": ("W1", "W2"),
    "nonlinear": ("W1", "W2"),
    "mingru": ("Wu", "Wh"),
    "lru": ("Br", "Bi"),
    "elstm": ("Z", "F"),
}
GATED = ("mingru", "elstm")
_UNITS = {
    "mingru": ("bu", "bh"),
    "lru": ("nu_log", "theta_log", "gamma_log"),
    "elstm": ("bz", "bf", "wz", "wf"),
}


def _current(graph: Graph, x: str, cell: Mapping[str, Array], weight: str, bias: str, own: str | None = None) -> str:
    """The argument of a gate: W x + b, and w h1 where the gate sees the unit's own state."""
    u = graph.op("MatMul", [x, graph.matrix(f"cell.{weight}", cell[weight].T)], f"cell.{weight}_x")
    row = graph.constant(f"cell.{bias}", np.asarray(cell[bias]).reshape(1, -1))
    v = graph.op("Add", [u, row], f"cell.{weight}_v")
    if own is None:
        return v
    seen = graph.op("Mul", ["h1", graph.constant(f"cell.{own}", np.asarray(cell[own]).reshape(1, -1))], f"cell.{own}_h")
    return graph.op("Add", [v, seen], f"cell.{weight}_vh")


def _shut(graph: Graph, v: str, name: str) -> str:
    """1 - sigmoid(v), to its own relative accuracy."""
    return graph.op("Sigmoid", [graph.op("Neg", [v], f"{name}_negative")], name)


def _gated(graph: Graph, x: str, cell: Mapping[str, Array], kind: str, activation: str) -> str:
    """One step of a minGRU or an eLSTM (math_cells.md, 1): h1_next = (1 - gate) h1 + gate drive."""
    if kind == "mingru":
        v = _current(graph, x, cell, "Wu", "bu")
        kept, gate = _shut(graph, v, "cell.kept"), graph.op("Sigmoid", [v], "cell.gate")
        v = _current(graph, x, cell, "Wh", "bh")
        # g(v) = sigmoid(min(v, 0)) + max(v, 0): sigmoid(0) is the 1/2
        below = graph.op(
            "Neg", [graph.op("Relu", [graph.op("Neg", [v], "cell.v_negative")], "cell.low_size")], "cell.below"
        )
        low = graph.op("Sigmoid", [below], "cell.low")
        drive = graph.op("Add", [low, graph.op("Relu", [v], "cell.above")], "cell.drive")
    else:
        drive = graph.op("Tanh", [_current(graph, x, cell, "Z", "bz", "wz")], "cell.drive")
        v = _current(graph, x, cell, "F", "bf", "wf")
        kept, gate = graph.op("Sigmoid", [v], "cell.kept"), _shut(graph, v, "cell.gate")
    parts = [graph.op("Mul", ["h1", kept], "cell.past"), graph.op("Mul", [gate, drive], "cell.new")]
    return _activated(graph, graph.op("Add", parts, "h1_next"), activation, "cell.y")


def _recurrent(graph: Graph, x: str, cell: Mapping[str, Array], kind: str, activation: str) -> str:
    """One step of the unit (math.md, 1): z1 = g h1 - phi h2 + gam W1 x, z2 = g h2 + phi h1 + gam W2 x; the LRU has its
    own gain, and its input follows its output (math_cells.md, 2)."""
    nonlinear, weights = kind == "nonlinear", CELL_WEIGHTS[kind]
    units = cell[weights[0]].shape[0]
    members, rest = divmod(units, cell["nu_log"].shape[0])
    if rest:
        raise ValueError(f"cell: {units} units do not divide over {cell['nu_log'].shape[0]} poles")
    # Units of one pole are adjacent.
    nu = np.repeat(np.exp(np.asarray(cell["nu_log"], dtype=np.float64)), members).reshape(1, -1)
    theta = np.repeat(np.exp(np.asarray(cell["theta_log"], dtype=np.float64)), members).reshape(1, -1)
    r = np.exp(-nu)
    g = graph.constant("cell.g", r * np.cos(theta))
    phi = graph.constant("cell.phi", r * np.sin(theta))
    if kind == "lru":
        gain = np.repeat(np.exp(np.asarray(cell["gamma_log"], dtype=np.float64)), members).reshape(1, -1)
    else:
        gain = np.sqrt(-np.expm1(-2.0 * nu)) + 1e-8
    gam = graph.constant("cell.gam", gain)

    # h1_next and h2_next follow all readers of h1 and h2, so that a runtime may write them over these.
    rotated = []
    for half, own, other, sign in (("1", "h1", "h2", "Sub"), ("2", "h2", "h1", "Add")):
        kept = graph.op("Mul", [own, g], f"cell.g_h{half}")
        crossed = graph.op("Mul", [other, phi], f"cell.phi_h{half}")
        rotated.append(graph.op(sign, [kept, crossed], f"cell.rotated{half}"))
    turned: list[str] = []
    for half, past, weight in zip("12", rotated, weights, strict=True):
        u = graph.op("MatMul", [x, graph.matrix(f"cell.{weight}", cell[weight].T)], f"cell.u{half}")
        driven = graph.op("Mul", [u, gam], f"cell.driven{half}")
        turned.append(graph.op("Add", [past, driven], f"cell.z{half}" if nonlinear else f"h{half}_next"))
    if nonlinear:
        turned = [_activated(graph, z, activation, f"h{half}_next") for half, z in zip("12", turned, strict=True)]
    y = graph.op("Concat", turned, "cell.concat", axis=1)
    if nonlinear:
        return y
    y = _activated(graph, y, activation, "cell.y")
    return graph.op("Concat", [y, x], "cell.y_x", axis=1) if kind == "lru" else y


def _dense(graph: Graph, x: str, name: str, parameters: Mapping[str, Array]) -> str:
    weight = graph.matrix(f"{name}.weight", np.asarray(parameters[f"{name}.weight"]).T)
    bias = graph.constant(f"{name}.bias", np.asarray(parameters[f"{name}.bias"]).reshape(1, -1))
    return graph.op("Add", [graph.op("MatMul", [x, weight], f"{name}.product"), bias], f"{name}.out")


def _layer(graph: Graph, x: str, name: str, parameters: Mapping[str, Array]) -> str:
    """Dense, LayerNorm without affine parameters (population variance), leaky relu.

    The norm is written out: runtimes compute LayerNormalization's variance as E[x^2] - E[x]^2, which cancels.
    """
    pre = _dense(graph, x, name, parameters)
    mean = graph.mean(pre, f"{name}.mean")
    centred = graph.op("Sub", [pre, mean], f"{name}.centred")
    square = graph.op("Mul", [centred, centred], f"{name}.square")
    variance = graph.mean(square, f"{name}.variance")
    eps = graph.constant(f"{name}.eps", [[LAYER_NORM_EPS]])
    deviation = graph.op("Sqrt", [graph.op("Add", [variance, eps], f"{name}.variance_eps")], f"{name}.deviation")
    normed = graph.op("Div", [centred, deviation], f"{name}.normed")
    return graph.op("LeakyRelu", [normed], f"{name}.y", alpha=LEAK)


def _layers(graph: Graph, x: str, name: str, parameters: Mapping[str, Array]) -> str:
    """The layers `name`0, `name`1 and so on."""
    layer = 0
    while f"{name}{layer}.weight" in parameters:
        x = _layer(graph, x, f"{name}{layer}", parameters)
        layer += 1
    return x


@dataclass(frozen=True)
class Shape:
    """Sizes of a policy's inputs and outputs."""

    observations: int
    units: int  # 0: no state
    states: tuple[str, ...]
    discrete: bool
    width: int  # actuators, or choices
    previous: tuple[tuple[str, int], ...]  # inputs for the previous action and reward, with their widths


def policy(graph: Graph, agent: Agent, form: Form) -> Shape:
    """Append the whole policy, from "observation", "h1", "h2" to "action", "h1_next", "h2_next", "command"."""
    config, parameters = agent.config, agent.parameters
    head = "q" if agent.kind in VALUES else "actor"
    body = "body" if config.get("body", "separate") == "shared" else head
    x = _with_previous(graph, _normalised(graph, "observation", agent), agent)
    x = _layers(graph, x, f"{body}.encoder", parameters)
    units = 0
    kind = config.get("cell", "linear")
    gated = kind in GATED
    if kind != "none":
        weights = CELL_WEIGHTS[kind]
        names = (*_UNITS.get(kind, ("nu_log", "theta_log")), *weights)
        cell = {name: parameters[f"{body}.cell.{name}"] for name in names}
        units = int(cell[weights[0]].shape[0])
        x = (_gated if gated else _recurrent)(graph, x, cell, kind, config.get("activation", "relu"))
    x = _layers(graph, x, f"{body}.layer", parameters)
    outputs = _dense(graph, x, f"{head}.head", parameters)
    rows = int(parameters[f"{head}.head.weight"].shape[0])
    d, discrete = int(config["observation_size"]), config.get("n_actions") is not None
    width = rows if discrete else rows // 2
    sizes = {"previous_action": width, "previous_reward": 1}
    states = ("h1",) if gated else ("h1", "h2") if units else ()
    shape = Shape(
        d, units, states, discrete, width, tuple((name, size) for name, size in sizes.items() if config.get(name))
    )
    if discrete:
        graph.op("ArgMax", [outputs], "action", axis=1, keepdims=0)
        if form.limits:
            column = graph.op("Unsqueeze", ["action", graph.constant("command.axis", [1], np.int64)], "command.column")
            _command(graph, form, graph.op("Cast", [column], "command.index", to=1), max(rows - 1, 1))
        return shape
    bounds = [
        graph.constant(f"mu.{name}", [at], np.int64) for name, at in (("start", 0), ("end", rows // 2), ("axis", 1))
    ]
    mu = graph.op("Slice", [outputs, *bounds], "mu")  # the other half are the standard deviations
    graph.op("Clip", [mu, graph.constant("lowest", -1.0), graph.constant("highest", 1.0)], "action")
    if form.limits:
        _command(graph, form, graph.op("Add", ["action", graph.constant("command.one", 1.0)], "command.above"), 2)
    return shape


def _command(graph: Graph, form: Form, above: str, most: int) -> None:
    """The action in the actuators' units, low + above / most (high - low), within both."""
    low, high = np.array(form.limits, dtype=np.float64).T[:, np.newaxis]
    rise = graph.op("Mul", [above, graph.constant("command.slope", (high - low) / most)], "command.rise")
    u = graph.op("Add", [rise, graph.constant("command.low", low)], "command.u")
    u = graph.op("Max", [u, "command.low"], "command.at_least")
    graph.op("Min", [u, graph.constant("command.high", high)], "command")
