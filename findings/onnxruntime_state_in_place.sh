#!/bin/sh
# onnxruntime: a recurrent step computes wrong values, without an error, when its state is bound in place.
#
# Packages: onnxruntime 1.32.0, onnx 1.23.2 (PyPI).
#
# IO binding accepts one OrtValue as an input (h1) and as an output (h1_next) of the same model. A control loop would
# save a copy per step that way. onnxruntime neither rejects the binding nor keeps the old value: it writes the output
# while other nodes still have to read the input. The model below rotates a two-component state,
#     h1_next = c h1 - s h2 + x,    h2_next = s h1 + c h2,
# so h2_next reads an h1 that is already overwritten. All outputs are finite and each call reports success.
# Two OrtValues per state that change places after each step give the same bits as run().
#
# Seen (Python 3.11, x86-64, 20 steps with x = 0.1):
#     run()                          h = [0.14217 0.22099]
#     two values that change places  h = [0.14217 0.22099]
#     one value, bound in place      h = [0.11769 0.22587]
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
export HOME="$folder" ORT_DISABLE_TELEMETRY=1
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

STEPS = 20
ROTATION = {"c": 0.9 * np.cos(0.4), "s": 0.9 * np.sin(0.4)}


def rotation() -> bytes:
    nodes = [
        helper.make_node("Mul", ["h1", "c"], ["ch1"]),
        helper.make_node("Mul", ["h2", "s"], ["sh2"]),
        helper.make_node("Sub", ["ch1", "sh2"], ["turned"]),
        helper.make_node("Add", ["turned", "x"], ["h1_next"]),
        helper.make_node("Mul", ["h1", "s"], ["sh1"]),
        helper.make_node("Mul", ["h2", "c"], ["ch2"]),
        helper.make_node("Add", ["sh1", "ch2"], ["h2_next"]),
    ]
    inputs, outputs = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in names]
        for names in (("x", "h1", "h2"), ("h1_next", "h2_next"))
    )
    constants = [helper.make_tensor(name, TensorProto.FLOAT, [1], [value]) for name, value in ROTATION.items()]
    graph = helper.make_graph(nodes, "rotation", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


session = onnxruntime.InferenceSession(rotation(), providers=["CPUExecutionProvider"])
x = np.full(1, 0.1, np.float32)


def zero():
    return onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(1, np.float32))


def by_run():
    h1 = h2 = np.zeros(1, np.float32)
    for _ in range(STEPS):
        h1, h2 = session.run(["h1_next", "h2_next"], {"x": x, "h1": h1, "h2": h2})
    return np.concatenate([h1, h2])


def by_binding(h1, h2, h1_next, h2_next):
    for _ in range(STEPS):
        binding = session.io_binding()
        binding.bind_cpu_input("x", x)
        binding.bind_ortvalue_input("h1", h1)
        binding.bind_ortvalue_input("h2", h2)
        binding.bind_ortvalue_output("h1_next", h1_next)
        binding.bind_ortvalue_output("h2_next", h2_next)
        session.run_with_iobinding(binding)
        h1, h2, h1_next, h2_next = h1_next, h2_next, h1, h2
    return np.concatenate([h1.numpy(), h2.numpy()])


expected = by_run()
swapped = by_binding(zero(), zero(), zero(), zero())
h1, h2 = zero(), zero()
in_place = by_binding(h1, h2, h1, h2)
print("run()                          h =", expected.round(5))
print("two values that change places  h =", swapped.round(5))
print("one value, bound in place      h =", in_place.round(5))
assert np.array_equal(swapped, expected), "changed: two values that change places no longer equal run()"
assert np.isfinite(in_place).all(), "changed: the state bound in place is not finite"
assert abs(in_place - expected).max() > 0.01, "changed: the state bound in place is right"
PYTHON
