"""A learner inside an exported policy: its checkpoint in the file's metadata, and the weights that the graph has now.

The graph alone has no critic, and poles and normaliser only in a derived form.
"""

from __future__ import annotations

import base64
import binascii
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtu_edge._base.errors import ConfigError
from rtu_edge._base.packages import need
from rtu_edge._base.untrusted import read_file
from rtu_edge.learn import checkpoint
from rtu_edge.learn.onnx.check import check_model
from rtu_edge.learn.onnx.probe import load
from rtu_edge.learn.stored import decode

__all__ = ["KEY", "checkpoint_text", "import_onnx", "unpacked_checkpoint"]

KEY = "rtu_edge.learner"
_MODEL_BYTES = 1 << 30

Array = NDArray[Any]


def checkpoint_text(agent: Any) -> str:
    """The agent's checkpoint for the metadata.

    Raises:
        ValueError: an agent without one.
        CheckpointError: a value of the learner is not finite.
    """
    if not hasattr(agent, "core"):
        raise ValueError("learner = True: this agent has no checkpoint")
    data = agent.core.save(checkpoint.encode_config(agent.config))
    checkpoint.check_saved(data, "learner=True")
    return base64.b64encode(data).decode("ascii")


def unpacked_checkpoint(path: str | os.PathLike[str]) -> tuple[bytes, dict[str, Array]]:
    """The checkpoint in an exported policy, and the constants of its graph.

    Raises:
        ValueError: no policy that export_onnx has written, or exported without learner=True.
        ExportError: onnx cannot be used on this host.
    """
    need("onnx", by="import_onnx()")
    source, data = os.fspath(path), read_file(path, _MODEL_BYTES)
    try:
        check_model(data)
    except ValueError as error:
        raise ValueError(f"{source}: not a policy that rtu_edge has exported: {error}") from None
    onnx = load("onnx", "numpy_helper")
    try:
        model = onnx.load_from_string(data)
        constants = {item.name: onnx.numpy_helper.to_array(item) for item in model.graph.initializer}
    except Exception as error:  # of protobuf, which has no public base
        raise ValueError(f"{source}: not a policy that rtu_edge has exported: {type(error).__name__}") from error
    found = [item.value for item in model.metadata_props if item.key == KEY]
    if not found:
        raise ConfigError(
            f"{source}: a policy alone, without critic and statistics; export it with learner=True, or give its"
            " weights to load_parameters()"
        )
    try:
        return base64.b64decode(found[0], validate=True), constants
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"{source}: its {KEY} is damaged: {error}") from None


def import_onnx(path: str | os.PathLike[str]) -> Any:
    """The learner of a file that export_onnx(..., learner=True) has written, to learn on.

    Exported at an episode's start, it continues bit for bit. Weights are those of the graph, as another tool may have
    changed them, where it has them as they are; poles, critic, statistics, an optimizer's moments and the random
    generator are those of the checkpoint inside (docs/import.md).

    Raises:
        ValueError: no such file; a policy alone; constants of another shape, or not finite.
        CheckpointError: the learner inside is damaged.
        ExportError, ModuleNotFoundError: onnx cannot be used here.
        OSError: it cannot be read.
    """
    data, constants = unpacked_checkpoint(path)
    agent = decode(data, os.fspath(path))
    head = "q" if agent.kind != "stream_ac" else "actor"
    body = "body" if agent.config.get("body", "separate") == "shared" else head
    changed: dict[str, Array] = {}
    for name, own in agent.parameters.items():
        part, _, rest = name.partition(".")
        if part not in (body, head):
            continue
        constant = constants.get(rest if rest.startswith("cell.") else name)
        if constant is None or constant.dtype != np.float32:
            continue
        given = constant.T if own.ndim == 2 else constant.reshape(-1)
        if given.shape != own.shape or not np.array_equal(given, own.astype(np.float32)):
            changed[name] = given
    try:
        agent.load_parameters(changed)
    except ConfigError as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from None
    return agent
