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

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rtu_edge._base import files
from rtu_edge._base.packages import need
from rtu_edge._base.version import __version__
from rtu_edge.learn.checkpoint import stored_config
from rtu_edge.learn.onnx.probe import load

__all__ = ["IR_VERSION", "OPSET", "Agent", "config_hash", "export_onnx"]

# An old version that all current runtimes support; onnx would use its newest.
OPSET = 17
IR_VERSION = 8

LAYER_NORM_EPS = 1e-5
LEAK = 0.01
_VALUES = ("stream_q", "stream_sarsa")  # kinds of learners of action values
READING = 2.0**46  # native/learners/normalizer.h: as far as a reading counts; infinities become numbers

Array = NDArray[np.floating[Any]]


class Agent(Protocol):
    """The agent's interface for the export."""

    @property
    def kind(self) -> str:
        """The class of agent, "stream_ac", "stream_q" or "stream_sarsa"."""

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


def config_hash(config: Mapping[str, Any]) -> str:
    """The SHA-256 of a configuration's canonical JSON text, in hexadecimal.

    Arguments that later versions added count only where they differ from what was before, so that the hash of an older
    file remains valid.
    """
    text = json.dumps(stored_config(config), sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


class _Graph:
    """Nodes and constants under construction; every method returns the name of its output."""

    def __init__(self, helper: Any, numpy_helper: Any) -> None:
        self._helper = helper
        self._numpy_helper = numpy_helper
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, value: Any, dtype: type[Any] = np.float32) -> str:
        array = np.ascontiguousarray(np.asarray(value, dtype=np.float64).astype(dtype))
        self.constants.append(self._numpy_helper.from_array(array, name))
        return name

    def op(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.nodes.append(self._helper.make_node(kind, list(inputs), [output], name=output, **attributes))
        return output


def _two_floats(values: Array) -> tuple[Array, Array]:
    high = values.astype(np.float32)
    return high, (values - high.astype(np.float64)).astype(np.float32)


def _normalised(graph: _Graph, x: str, agent: Agent) -> str:
    if not agent.config.get("normalize_observation", True):
        return x
    mean = np.asarray(agent.normalizer["mean"], dtype=np.float64).reshape(1, -1)
    scale = np.asarray(agent.normalizer["scale"], dtype=np.float64).reshape(1, -1)
    x = graph.op(
        "Clip", [x, graph.constant("reading.lowest", -READING), graph.constant("reading.highest", READING)], "reading"
    )
    high, low = _two_floats(mean)
    x = graph.op("Sub", [x, graph.constant("normalizer.mean_high", high)], "centred_high")
    x = graph.op("Sub", [x, graph.constant("normalizer.mean_low", low)], "centred")
    x = graph.op("Mul", [x, graph.constant("normalizer.scale", scale)], "scaled")
    bound = float(agent.config.get("observation_bound", 0.0))
    if bound == 0.0:
        return x
    lowest, highest = (
        graph.constant(f"normalizer.{name}", at) for name, at in (("lowest", -bound), ("highest", bound))
    )
    return graph.op("Clip", [x, lowest, highest], "normalised")


def _with_previous(graph: _Graph, x: str, agent: Agent) -> str:
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


def _activated(graph: _Graph, x: str, activation: str, output: str) -> str:
    kinds = {"relu": "Relu", "tanh": "Tanh", "identity": "Identity"}
    if activation not in kinds:
        raise ValueError(f"activation: {activation!r} is not one of {', '.join(kinds)}")
    return graph.op(kinds[activation], [x], output)


# The two weight matrices of each cell, and its parameters per pole or unit.
_WEIGHTS = {"mingru": ("Wu", "Wh"), "lru": ("Br", "Bi"), "elstm": ("Z", "F")}
_UNITS = {
    "mingru": ("bu", "bh"),
    "lru": ("nu_log", "theta_log", "gamma_log"),
    "elstm": ("bz", "bf", "wz", "wf"),
}


def _current(graph: _Graph, x: str, cell: Mapping[str, Array], weight: str, bias: str, own: str | None = None) -> str:
    """The argument of a gate: W x + b, and w h1 where the gate sees the unit's own state."""
    u = graph.op("MatMul", [x, graph.constant(f"cell.{weight}", cell[weight].T)], f"cell.{weight}_x")
    row = graph.constant(f"cell.{bias}", np.asarray(cell[bias]).reshape(1, -1))
    v = graph.op("Add", [u, row], f"cell.{weight}_v")
    if own is None:
        return v
    seen = graph.op("Mul", ["h1", graph.constant(f"cell.{own}", np.asarray(cell[own]).reshape(1, -1))], f"cell.{own}_h")
    return graph.op("Add", [v, seen], f"cell.{weight}_vh")


def _shut(graph: _Graph, v: str, name: str) -> str:
    """1 - sigmoid(v), to its own relative accuracy."""
    return graph.op("Sigmoid", [graph.op("Neg", [v], f"{name}_negative")], name)


def _gated(graph: _Graph, x: str, cell: Mapping[str, Array], kind: str, activation: str) -> str:
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


def _recurrent(graph: _Graph, x: str, cell: Mapping[str, Array], kind: str, activation: str) -> str:
    """One step of the unit (math.md, 1): z1 = g h1 - phi h2 + gam W1 x, z2 = g h2 + phi h1 + gam W2 x; the LRU has its
    own gain, and its input follows its output (math_cells.md, 2)."""
    nonlinear, weights = kind == "nonlinear", _WEIGHTS.get(kind, ("W1", "W2"))
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

    turned: list[str] = []
    halves = (("1", "h1", "h2", "Sub"), ("2", "h2", "h1", "Add"))
    for (half, own, other, sign), weight in zip(halves, weights, strict=True):
        kept = graph.op("Mul", [own, g], f"cell.g_h{half}")
        crossed = graph.op("Mul", [other, phi], f"cell.phi_h{half}")
        rotated = graph.op(sign, [kept, crossed], f"cell.rotated{half}")
        u = graph.op("MatMul", [x, graph.constant(f"cell.{weight}", cell[weight].T)], f"cell.u{half}")
        driven = graph.op("Mul", [u, gam], f"cell.driven{half}")
        turned.append(graph.op("Add", [rotated, driven], f"cell.z{half}" if nonlinear else f"h{half}_next"))
    if nonlinear:
        turned = [_activated(graph, z, activation, f"h{half}_next") for half, z in zip("12", turned, strict=True)]
    y = graph.op("Concat", turned, "cell.concat", axis=1)
    if nonlinear:
        return y
    y = _activated(graph, y, activation, "cell.y")
    return graph.op("Concat", [y, x], "cell.y_x", axis=1) if kind == "lru" else y


def _dense(graph: _Graph, x: str, name: str, parameters: Mapping[str, Array]) -> str:
    weight = graph.constant(f"{name}.weight", np.asarray(parameters[f"{name}.weight"]).T)
    bias = graph.constant(f"{name}.bias", np.asarray(parameters[f"{name}.bias"]).reshape(1, -1))
    return graph.op("Add", [graph.op("MatMul", [x, weight], f"{name}.product"), bias], f"{name}.out")


def _layer(graph: _Graph, x: str, name: str, parameters: Mapping[str, Array]) -> str:
    """Dense, LayerNorm without affine parameters (population variance), leaky relu.

    The norm is written out: runtimes compute LayerNormalization's variance as E[x^2] - E[x]^2, which cancels.
    """
    pre = _dense(graph, x, name, parameters)
    mean = graph.op("ReduceMean", [pre], f"{name}.mean", axes=[1], keepdims=1)
    centred = graph.op("Sub", [pre, mean], f"{name}.centred")
    square = graph.op("Mul", [centred, centred], f"{name}.square")
    variance = graph.op("ReduceMean", [square], f"{name}.variance", axes=[1], keepdims=1)
    eps = graph.constant(f"{name}.eps", [[LAYER_NORM_EPS]])
    deviation = graph.op("Sqrt", [graph.op("Add", [variance, eps], f"{name}.variance_eps")], f"{name}.deviation")
    normed = graph.op("Div", [centred, deviation], f"{name}.normed")
    return graph.op("LeakyRelu", [normed], f"{name}.y", alpha=LEAK)


@dataclass(frozen=True)
class _Shape:
    observations: int
    units: int  # 0: no state
    states: tuple[str, ...]
    discrete: bool
    width: int  # actuators, or choices
    previous: tuple[tuple[str, int], ...]  # inputs for the previous action and reward, with their widths


def _policy(graph: _Graph, agent: Agent) -> _Shape:
    """Append the whole policy, from "observation", "h1", "h2" to "action", "h1_next", "h2_next"."""
    config, parameters = agent.config, agent.parameters
    head = "q" if agent.kind in _VALUES else "actor"
    body = "body" if config.get("body", "separate") == "shared" else head
    x = _with_previous(graph, _normalised(graph, "observation", agent), agent)
    units = 0
    kind = config.get("cell", "linear")
    gated = kind in ("mingru", "elstm")
    if kind != "none":
        weights = _WEIGHTS.get(kind, ("W1", "W2"))
        names = (*_UNITS.get(kind, ("nu_log", "theta_log")), *weights)
        cell = {name: parameters[f"{body}.cell.{name}"] for name in names}
        units = int(cell[weights[0]].shape[0])
        x = (_gated if gated else _recurrent)(graph, x, cell, kind, config.get("activation", "relu"))
    layer = 0
    while f"{body}.layer{layer}.weight" in parameters:
        x = _layer(graph, x, f"{body}.layer{layer}", parameters)
        layer += 1
    outputs = _dense(graph, x, f"{head}.head", parameters)
    rows = int(parameters[f"{head}.head.weight"].shape[0])
    d, discrete = int(config["observation_size"]), config.get("n_actions") is not None
    width = rows if discrete else rows // 2
    sizes = {"previous_action": width, "previous_reward": 1}
    states = ("h1",) if gated else ("h1", "h2") if units else ()
    shape = _Shape(
        d, units, states, discrete, width, tuple((name, size) for name, size in sizes.items() if config.get(name))
    )
    if discrete:
        graph.op("ArgMax", [outputs], "action", axis=1, keepdims=0)
        return shape
    bounds = [
        graph.constant(f"mu.{name}", [at], np.int64) for name, at in (("start", 0), ("end", rows // 2), ("axis", 1))
    ]
    mu = graph.op("Slice", [outputs, *bounds], "mu")  # the other half are the standard deviations
    graph.op("Clip", [mu, graph.constant("lowest", -1.0), graph.constant("highest", 1.0)], "action")
    return shape


def _metadata(
    agent: Agent, shape: _Shape, dt_s: float | None, observations: Sequence[str], actions: Sequence[str]
) -> dict[str, str]:
    if shape.discrete:
        described = actions or [f"index of {shape.width} choices"]
    else:
        described = actions or ["share of the actuator's range, -1 lowest, 1 highest"] * shape.width
    seen = observations or ["as the agent observed it"] * shape.observations
    if len(seen) != shape.observations:
        raise ValueError(f"observations: {len(seen)} descriptions for {shape.observations} observations")
    if not shape.discrete and len(described) != shape.width:
        raise ValueError(f"actions: {len(described)} descriptions for {shape.width} actions")
    period = agent.config.get("dt_s") if dt_s is None else dt_s
    return {
        "rtu_edge.version": __version__,
        "rtu_edge.agent": agent.kind,
        "rtu_edge.config_hash": config_hash(agent.config),
        "rtu_edge.dt_s": "" if period is None else repr(float(period)),
        "rtu_edge.observations": json.dumps(list(seen)),
        "rtu_edge.actions": json.dumps(list(described)),
        "rtu_edge.choices": str(shape.width if shape.discrete else 0),
    }


def build(
    agent: Agent, dt_s: float | None = None, observations: Sequence[str] = (), actions: Sequence[str] = ()
) -> Any:
    """The ONNX model of an agent's policy, checked; arguments and errors as `export_onnx`."""
    if agent.kind not in ("stream_ac", *_VALUES):
        raise ValueError(f"agent: kind {agent.kind!r} has no policy to export; stream_ac and {', '.join(_VALUES)} have")
    need("onnx", by="export_onnx()")
    onnx = load("onnx", "checker", "helper", "numpy_helper")
    helper, tensor = onnx.helper, onnx.TensorProto
    graph = _Graph(helper, onnx.numpy_helper)
    shape = _policy(graph, agent)

    def floats(name: str, size: int) -> Any:
        return helper.make_tensor_value_info(name, tensor.FLOAT, [1, size])

    action = (
        helper.make_tensor_value_info("action", tensor.INT64, [1]) if shape.discrete else floats("action", shape.width)
    )
    state = [(name, f"{name}_next") for name in shape.states]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "policy",
            [
                floats("observation", shape.observations),
                *(floats(name, size) for name, size in shape.previous),
                *(floats(name, shape.units) for name, _ in state),
            ],
            [action, *(floats(name, shape.units) for _, name in state)],
            initializer=graph.constants,
        ),
        producer_name="rtu_edge",
        producer_version=__version__,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        doc_string="Feed h1_next and h2_next back as h1 and h2; zeros at the start of an episode.",
    )
    helper.set_model_props(model, _metadata(agent, shape, dt_s, observations, actions))
    onnx.checker.check_model(model, full_check=True)
    return model


def export_onnx(
    agent: Agent,
    path: str | os.PathLike[str],
    *,
    dt_s: float | None = None,
    observations: Sequence[str] = (),
    actions: Sequence[str] = (),
) -> None:
    """Write an agent's policy as an ONNX file: the function predict(observation, deterministic=True).

    Args:
        agent: a StreamAC, StreamQ or StreamSARSA.
        path: the file, written atomically.
        dt_s: the period the policy was learned at, s; None: the agent's own, if it has one.
        observations: a description of each, such as "theta [rad]"; empty: none.
        actions: a description of each action; empty: none.

    Raises:
        ValueError: the agent has no policy, or the descriptions are too many or too few.
        ExportError: onnx cannot be used on this host.
        OSError: the file cannot be written.

    Source:
        docs/export.md has the inputs, outputs and metadata.
    """
    data = build(agent, dt_s, observations, actions).SerializeToString()
    files.write(path, data)
