"""ONNX: export of the policy, and verification against the agent.

onnx and onnxruntime are imported on demand only, and first in a separate process: on some boards their import crashes.
"""

from rtu_edge.learn.onnx.learner import import_onnx
from rtu_edge.learn.onnx.model import export_onnx
from rtu_edge.learn.onnx.policy import Driven, OnnxPolicy, drive
from rtu_edge.learn.onnx.probe import ExportError, probe
from rtu_edge.learn.onnx.verify import verify_onnx

__all__ = ["Driven", "ExportError", "OnnxPolicy", "drive", "export_onnx", "import_onnx", "probe", "verify_onnx"]
