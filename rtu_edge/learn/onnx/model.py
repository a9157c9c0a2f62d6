"""An exported policy's file: the graph's inputs and outputs, sequences, metadata."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from rtu_edge._base import files
from rtu_edge._base.errors import ConfigError
from rtu_edge._base.packages import need
from rtu_edge._base.validation import check_bool, check_number, check_texts
from rtu_edge._base.version import __version__
from rtu_edge.learn.checkpoint import stored_config
from rtu_edge.learn.onnx.form import IR_VERSION, OPSET, Form, checked_form
from rtu_edge.learn.onnx.learner import KEY, checkpoint_text
from rtu_edge.learn.onnx.probe import load
from rtu_edge.learn.onnx.write import Agent, Graph, Shape, check_agent, policy

__all__ = ["config_hash", "export_onnx"]


def config_hash(config: Mapping[str, Any]) -> str:
    """The SHA-256 of a configuration's canonical JSON text, in hexadecimal.

    Arguments that later versions added count only where they differ from what was before, so that the hash of an older
    file remains valid.
    """
    text = json.dumps(stored_config(config), sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _metadata(
    agent: Agent,
    shape: Shape,
    form: Form,
    dt_s: float | None,
    observations: Sequence[str],
    actions: Sequence[str],
) -> dict[str, str]:
    unnamed = ["share of the actuator's range, -1 lowest, 1 highest"] * shape.width
    described = check_texts("actions", actions) or ([f"index of {shape.width} choices"] if shape.discrete else unnamed)
    seen = check_texts("observations", observations) or ["as the agent observed it"] * shape.observations
    if len(seen) != shape.observations:
        raise ValueError(f"observations: {len(seen)} descriptions for {shape.observations} observations")
    if len(described) != shape.width and not (shape.discrete and len(described) == 1):
        also = "; expected 1, or one for each of them" if shape.discrete else ""
        raise ValueError(f"actions: {len(described)} descriptions for {shape.width} actions{also}")
    period = agent.config.get("dt_s") if dt_s is None else dt_s
    return {
        "rtu_edge.version": __version__,
        "rtu_edge.agent": agent.kind,
        "rtu_edge.config_hash": config_hash(agent.config),
        "rtu_edge.dt_s": "" if period is None else repr(float(period)),
        "rtu_edge.observations": json.dumps(list(seen)),
        "rtu_edge.actions": json.dumps(list(described)),
        "rtu_edge.choices": str(shape.width if shape.discrete else 0),
        **({"rtu_edge.limits": json.dumps(form.limits)} if form.limits else {}),
    }


def _as_sequence(onnx: Any, graph: Any) -> Any:
    """A graph of one step as a graph of a sequence: a Scan over observation and what preceded it, with h1 and h2 as
    state.

    Names inside a Scan may not be those outside: the step's are preceded by "step.".
    """
    helper = onnx.helper
    states = [item.name for item in graph.input if item.name.startswith("h")]
    scanned = [item.name for item in graph.input if item.name not in states]
    given = [item.name for item in graph.output]
    outer = {item.name: item for item in (*graph.input, *graph.output)}

    def timed(name: str) -> Any:
        sizes = [d.dim_value or d.dim_param for d in outer[name].type.tensor_type.shape.dim]
        kind = outer[name].type.tensor_type.elem_type
        steps = [] if name in states or name.endswith("_next") else ["T"]
        return helper.make_tensor_value_info(name, kind, [*steps, *sizes])

    inputs = [timed(name) for name in (*scanned, *states)]
    outputs = [timed(name) for name in given]
    body = onnx.GraphProto()
    body.CopyFrom(graph)
    del body.input[:], body.output[:]
    body.input.extend(outer[name] for name in (*states, *scanned))
    following = [f"{name}_next" for name in states]
    body.output.extend(outer[name] for name in (*following, *(n for n in given if n not in following)))
    for node in body.node:
        node.name = f"step.{node.name}"
        for names in (node.input, node.output):
            names[:] = [f"step.{name}" if name else "" for name in names]
    for item in (*body.input, *body.output, *body.initializer):
        item.name = f"step.{item.name}"
    scan = helper.make_node(
        "Scan",
        [*states, *scanned],
        [*following, *(name for name in given if name not in following)],
        name="steps",
        body=body,
        num_scan_inputs=len(scanned),
    )
    return helper.make_graph([scan], "sequence", inputs, outputs)


def build(
    agent: Agent,
    dt_s: float | None = None,
    observations: Sequence[str] = (),
    actions: Sequence[str] = (),
    batch: int | None = 1,
    sequence: bool = False,
    opset: int = OPSET,
    weights: str = "float32",
    limits: Sequence[Sequence[float]] = (),
    learner: bool = False,
) -> Any:
    """The ONNX model of an agent's policy, checked; arguments and errors as `export_onnx`."""
    check_agent(agent)
    need("onnx", by="export_onnx()")
    onnx = load("onnx", "checker", "defs", "helper", "numpy_helper")
    helper = onnx.helper
    form = checked_form(batch, sequence, opset, weights, limits, onnx.defs.onnx_opset_version())
    graph = Graph(helper, onnx.numpy_helper, form)
    shape = policy(graph, agent, form)
    if form.limits and not shape.discrete and len(form.limits) != shape.width:
        raise ValueError(f"limits: {len(form.limits)} pairs for {shape.width} actions")
    period = None if dt_s is None else check_number("dt_s", dt_s, 0.0, 1e6, open_low=True)
    metadata = _metadata(agent, shape, form, period, observations, actions)
    if check_bool("learner", learner):
        if form.sequence or form.batch not in (1, None):
            raise ConfigError("learner = True: import_onnx() reads files of steps with batch = 1 or None only")
        metadata[KEY] = checkpoint_text(agent)
    inputs, outputs = _values(onnx, shape, form)
    step = helper.make_graph(graph.nodes, "policy", inputs, outputs, initializer=graph.constants)
    model = helper.make_model(
        _as_sequence(onnx, step) if form.sequence else step,
        producer_name="rtu_edge",
        producer_version=__version__,
        opset_imports=[helper.make_opsetid("", form.opset)],
        ir_version=max(IR_VERSION, helper.find_min_ir_version_for([helper.make_opsetid("", form.opset)])),
        doc_string="Feed h1_next and h2_next back as h1 and h2; zeros at the start of an episode.",
    )
    helper.set_model_props(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    return model


def _values(onnx: Any, shape: Shape, form: Form) -> tuple[list[Any], list[Any]]:
    """Inputs and outputs of one step."""
    tensor = onnx.TensorProto
    batch = "N" if form.batch is None else form.batch

    def floats(name: str, size: int) -> Any:
        return onnx.helper.make_tensor_value_info(name, tensor.FLOAT, [batch, size])

    inputs = [floats("observation", shape.observations), *(floats(name, size) for name, size in shape.previous)]
    index = onnx.helper.make_tensor_value_info("action", tensor.INT64, [batch])
    outputs = [index if shape.discrete else floats("action", shape.width)]
    inputs += [floats(name, shape.units) for name in shape.states]
    outputs += [floats(f"{name}_next", shape.units) for name in shape.states]
    if form.limits:
        outputs.append(floats("command", len(form.limits)))
    return inputs, outputs


def export_onnx(
    agent: Agent,
    path: str | os.PathLike[str],
    *,
    dt_s: float | None = None,
    observations: Sequence[str] = (),
    actions: Sequence[str] = (),
    batch: int | None = 1,
    sequence: bool = False,
    opset: int = OPSET,
    weights: str = "float32",
    limits: Sequence[Sequence[float]] = (),
    learner: bool = False,
) -> None:
    """Write an agent's policy as an ONNX file: the function predict(observation, deterministic=True).

    Args:
        agent: a StreamAC, StreamQ, StreamSARSA or StreamQRC.
        path: the file, written atomically.
        dt_s: the period the policy was learned at, s; None: the agent's own, if it has one.
        observations: a description of each, such as "theta [rad]"; empty: none.
        actions: a description of each action, or one for all choices of discrete actions; empty: none.
        batch: robots in one call, >= 1; None: any number.
        sequence: whole sequences in one call, with a further first dimension, time.
        opset: operator set, 17 to the newest that the onnx package knows.
        weights: "float32", or "int8": matrices as 8-bit integers with a scale per row, a fourth of the size; the graph
            multiplies in float32.
        limits: (lowest, highest) of each actuator in its unit; the file then has the output "command", (batch,
            actuators), in these units and within them. Discrete actions: evenly spaced levels.
        learner: the file also holds the agent's checkpoint, so that import_onnx() can learn on; some five times
            as many bytes. With sequence=False, and batch 1 or None.

    Raises:
        ValueError: the agent has no policy, the descriptions are too many or too few, or an argument is out of range.
        ExportError: onnx cannot be used on this host.
        OSError: the file cannot be written.

    Source:
        docs/export.md has the inputs, outputs and metadata.
    """
    form = {
        "batch": batch,
        "sequence": sequence,
        "opset": opset,
        "weights": weights,
        "limits": limits,
        "learner": learner,
    }
    data = build(agent, dt_s, observations, actions, **form).SerializeToString()  # type: ignore[arg-type]
    files.write(path, data)
