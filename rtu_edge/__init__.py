"""Robots that keep learning where they stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rtu_edge._version import __version__
from rtu_edge.agents import OnlineRegressor, StreamAC, TDPredictor, load
from rtu_edge.cells import LinearRTU, NonlinearRTU
from rtu_edge.errors import CheckpointError, ConfigError
from rtu_edge.plan import Plan, plan

if TYPE_CHECKING:
    from rtu_edge.export import export_onnx, verify_onnx

__all__ = [
    "CheckpointError",
    "ConfigError",
    "LinearRTU",
    "NonlinearRTU",
    "OnlineRegressor",
    "Plan",
    "StreamAC",
    "TDPredictor",
    "__version__",
    "export_onnx",
    "load",
    "plan",
    "verify_onnx",
]


def __getattr__(name: str) -> Any:
    # onnx and onnxruntime are loaded on demand only (docs/design.md, decision 11).
    if name in {"export_onnx", "verify_onnx"}:
        from rtu_edge import export

        return getattr(export, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
