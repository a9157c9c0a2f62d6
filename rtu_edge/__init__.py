"""Robots that keep learning where they stand.

A learner that acts and learns at each step, in a loop of your own:

>>> import rtu_edge as rtu
>>> from rtu_edge.device.plants import Plant
>>> plant = Plant("cartpole")
>>> agent = rtu.StreamAC(observation_size=2, action_size=1, seed=0)
>>> action = agent.reset(plant.reset(seed=0))
>>> observation, reward, terminated, truncated = plant.step(10.0 * action)
>>> action = agent.step(observation, reward, terminated, truncated)

What is where:

    StreamAC, TDPredictor, OnlineRegressor    learners for control, prediction, regression; load() reads a checkpoint
    LinearRTU, NonlinearRTU                   the recurrent cells by themselves
    plan                                      bytes, operations and time of a learner before there is one
    export_onnx, verify_onnx                  the policy as a file for elsewhere, and the proof that it is the same
    rtu_edge.loop, .ports, .device         the native loop over a serial port; a simulated device behind one
    rtu_edge.device.plants, .envs                    simulated machines; the same as Gymnasium environments
    rtu_edge.config, .job, .supervise         what `rtu-edge run` makes of a TOML file
    rtu_edge.hil, .wire                       faults on the line, also as a pytest plugin; frames and messages

`rtu-edge --help` names the commands; `rtu-edge demo` shows the whole job without hardware.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from rtu_edge._base.version import __version__

if TYPE_CHECKING:
    from rtu_edge._base.errors import CheckpointError, ConfigError
    from rtu_edge.learn import OnlineRegressor, StreamAC, TDPredictor, load
    from rtu_edge.learn.cells import LinearRTU, NonlinearRTU
    from rtu_edge.learn.footprint import Plan, plan
    from rtu_edge.learn.onnx import export_onnx, verify_onnx

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
# onnx and onnxruntime are loaded on demand only (docs/design.md, "Small install, quick import").
_HOMES = {
    "learn": ("OnlineRegressor", "StreamAC", "TDPredictor", "load"),
    "learn.cells": ("LinearRTU", "NonlinearRTU"),
    "_base.errors": ("CheckpointError", "ConfigError"),
    "learn.onnx": ("export_onnx", "verify_onnx"),
    "learn.footprint": ("Plan", "plan"),
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
