"""Checks, before a runtime loads it, that this package could have written an ONNX file (docs/security.md).

A model is a program: loops, external files, tensors of any size. Only the output of export_onnx is accepted: its
operators, one constant batch, no subgraph, no function, no external data, and constants whose sizes are those of their
bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["check_model"]

OPERATORS = {
    *("Abs", "Add", "ArgMax", "Cast", "Clip", "Concat", "DequantizeLinear", "Div", "Equal", "Exp", "Gemm", "Greater"),
    *(
        "GreaterOrEqual",
        "Identity",
        "LeakyRelu",
        "Less",
        "LessOrEqual",
        "MatMul",
        "Max",
        "Min",
        "Mul",
        "Neg",
        "Pow",
        "Reciprocal",
        "ReduceMean",
    ),
    *("ReduceSum", "Relu", "Sigmoid", "Slice", "Softplus", "Sqrt", "Squeeze", "Sub", "Tanh", "Unsqueeze", "Where"),
}
_NODES, _CONCATS, _WIDTH = 400, 4, 1 << 17
_ITEM_BYTES = {1: 4, 3: 1, 6: 4, 7: 8, 9: 1, 11: 8}  # float, int8, int32, int64, bool, double

# Numbers of the fields that are read (onnx.proto3).
_GRAPH, _FUNCTIONS, _TRAINING = 7, 25, 20
_NODE, _INITIALIZER, _SPARSE, _INPUT = 1, 5, 15, 11
_NODE_INPUT, _OP_TYPE, _ATTRIBUTE, _DOMAIN = 1, 4, 5, 7
_ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS = 5, 6, 11
_DIMS, _DATA_TYPE, _NAME, _RAW, _EXTERNAL, _LOCATION = 1, 2, 8, 9, 13, 14
_PACKED = {4: 4, 5: 0, 7: 0, 10: 8}  # float_data, int32_data, int64_data, double_data: bytes of an item, 0: a varint


@dataclass
class _Graph:
    nodes: int = 0
    concats: int = 0
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    multiplied: set[str] = field(default_factory=set)  # second inputs of MatMul and Gemm, and what these are made of
    others: set[str] = field(default_factory=set)


def check_model(data: bytes) -> None:
    """Raises ValueError where a model is none that export_onnx could have written."""
    graphs = 0
    for number, value in _fields(memoryview(data)):
        if number in (_FUNCTIONS, _TRAINING):
            raise ValueError("it has functions of its own")
        if number == _GRAPH:
            graphs += 1
            _check_graph(_bytes(value))
    if graphs != 1:
        raise ValueError(f"{graphs} graphs; 1 is expected")


def _check_graph(data: memoryview) -> None:
    graph = _Graph()
    for number, value in _fields(data):
        if number == _SPARSE:
            raise ValueError("it has sparse constants")
        if number == _NODE:
            _check_node(_bytes(value), graph)
        elif number == _INITIALIZER:
            name, shape = _tensor(_bytes(value))
            graph.shapes[name] = shape
        elif number == _INPUT:
            _check_input(_bytes(value))
    for name, shape in graph.shapes.items():
        wide = shape[:-1] if name in graph.others or name not in graph.multiplied else shape[:-2]
        if any(size != 1 for size in wide) or len(shape) > 4 or any(size > _WIDTH for size in shape):
            raise ValueError(f"its constant {name[:40]!r} of shape {shape} is none of a policy's")


def _check_node(data: memoryview, graph: _Graph) -> None:
    inputs: list[str] = []
    kind = ""
    for number, value in _fields(data):
        if number == _OP_TYPE:
            kind = _text(value)
            if kind == "Scan":
                raise ValueError("a model of sequences; only one of steps (sequence=False) can be run step by step")
        elif number == _NODE_INPUT:
            inputs.append(_text(value))
        elif number == _DOMAIN and _text(value) not in ("", "ai.onnx"):
            raise ValueError(f"an operator of {_text(value)[:40]!r}")
        elif number == _ATTRIBUTE and not _plain(_bytes(value)):
            raise ValueError(f"a graph or a tensor inside {kind[:40]!r}")
    if kind not in OPERATORS:
        raise ValueError(f"an operator {kind[:40]!r}, which no exported policy has")
    graph.nodes += 1
    graph.concats += kind == "Concat"
    if graph.nodes > _NODES or graph.concats > _CONCATS or len(inputs) > 8:
        raise ValueError(f"more than {_NODES} operators, or more than {_CONCATS} of Concat")
    second = inputs[1:2] if kind in ("MatMul", "Gemm") else inputs[:2] if kind == "DequantizeLinear" else []
    graph.multiplied.update(second)
    graph.others.update(name for name in inputs if name not in second)


def _plain(attribute: memoryview) -> bool:
    """Numbers or words."""
    return not any(
        number in (_ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS) for number, _ in _fields(attribute)
    )


def _tensor(data: memoryview) -> tuple[str, tuple[int, ...]]:
    """Name and shape of a constant that has the bytes which its shape asks for."""
    shape: list[int] = []
    name, kind, stored = "", 0, -1
    for number, value in _fields(data):
        if number == _DIMS:
            shape += [value] if isinstance(value, int) else _varints(value)
        elif number == _DATA_TYPE:
            kind = value if isinstance(value, int) else 0
        elif number == _NAME:
            name = _text(value)
        elif number == _RAW:
            stored = len(_bytes(value)) // max(_ITEM_BYTES.get(kind, 1), 1)
        elif number in _PACKED:
            size = _PACKED[number]
            items = 1 if isinstance(value, int) else len(value) // size if size else len(_varints(value))
            stored = max(stored, 0) + items
        elif number == _EXTERNAL or (number == _LOCATION and value):
            raise ValueError("its constants are in another file")
    count = 1
    for length in shape:
        count *= length
    if kind not in _ITEM_BYTES or len(shape) > 4 or count != max(stored, 0):
        raise ValueError(f"its constant {name[:40]!r} has not the {count:,} numbers of its shape")
    return name, tuple(shape)


def _check_input(data: memoryview) -> None:
    """ValueInfo, type 2; Type, tensor_type 1; Tensor, shape 2; Shape, dim 1; Dimension, dim_value 1."""
    sizes: list[int] = []
    for _, kind in _nested(data, 2, 1, 2, 1):
        named = [_text(value) for number, value in _fields(kind) if number == 2]
        sizes += [value for number, value in _fields(kind) if number == 1 and isinstance(value, int)]
        sizes += [1 for name in named if name == "N"]  # any number of rows; the policy is given one
    if len(sizes) != 2 or sizes[0] != 1 or not 0 < sizes[1] <= _WIDTH:
        raise ValueError(f"an input of shape {tuple(sizes)}; 1 or N by at most {_WIDTH:,} is expected")


def _nested(data: memoryview, *numbers: int) -> Iterator[tuple[int, memoryview]]:
    for number, value in _fields(data):
        if number == numbers[0]:
            if len(numbers) == 1:
                yield number, _bytes(value)
            else:
                yield from _nested(_bytes(value), *numbers[1:])


# ---------------------------------------------------------------- protocol buffers


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field: an integer, or its bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == 2:
            size, at = _varint(data, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError("it is no ONNX model")
        if size > len(data) - at:
            raise ValueError("it is no ONNX model, or cut short")
        yield number, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("it is no ONNX model, or cut short")


def _varints(data: memoryview) -> list[int]:
    if len(data) > _WIDTH:
        raise ValueError("a constant in a form that no exported policy has")
    found, at = [], 0
    while at < len(data):
        value, at = _varint(data, at)
        found.append(value)
    return found


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("it is no ONNX model")
    return value


def _text(value: int | memoryview) -> str:
    return bytes(_bytes(value)[:1024]).decode(errors="replace")
