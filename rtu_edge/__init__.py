"""Robots that keep learning where they stand."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from rtu_edge._version import __version__

if TYPE_CHECKING:
    from rtu_edge.agents import OnlineRegressor, StreamAC, TDPredictor, load
    from rtu_edge.cells import LinearRTU, NonlinearRTU
    from rtu_edge.errors import CheckpointError, ConfigError
    from rtu_edge.export import export_onnx, verify_onnx
    from rtu_edge.planning import Plan, plan

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

# Where each name lives. Loaded when it is first asked for: the pytest plugin and an emergency stop need no numpy, and
# onnx and onnxruntime are loaded on demand only (docs/design.md, decision 11).
_HOMES = {
    "agents": ("OnlineRegressor", "StreamAC", "TDPredictor", "load"),
    "cells": ("LinearRTU", "NonlinearRTU"),
    "errors": ("CheckpointError", "ConfigError"),
    "export": ("export_onnx", "verify_onnx"),
    "planning": ("Plan", "plan"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
