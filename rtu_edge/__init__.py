"""On-device reinforcement learning for robots: a recurrent actor-critic inside a hard real-time control loop.

A learner that acts and learns at each step, in a loop of your own:

>>> import rtu_edge as rtu
>>> plant = rtu.Plant("cartpole")
>>> agent = rtu.StreamAC(observation_size=2, action_size=1, seed=0)
>>> observation, info = plant.reset(seed=0)
>>> action = agent.reset(observation)
>>> observation, reward, terminated, truncated, info = plant.step(plant.scale(action))
>>> action = agent.step(observation, reward, terminated, truncated)

What is where::

    StreamAC, StreamQ, StreamSARSA, StreamQRC learners for control; load() reads a checkpoint
    TDPredictor, OnlineRegressor              learners for prediction and regression
    TDBank                                    many predictions on one recurrent body
    LinearRTU, NonlinearRTU                   the recurrent cells by themselves
    evaluate                                  episodes without learning, as a table and a plot
    CSVWriter, TensorBoardWriter              learning curves, as callbacks of agent.learn()
    footprint                                 bytes, operations and time of a learner before there is one
    export_onnx, verify_onnx                  the policy as a file for elsewhere, and the proof that it is the same
    connect, Robot                            a plant, port or device as one object: read, write, step, run, describe
    PythonDevice                              a device in Python, around any SDK
    Plant, SimulatedDevice                    a simulated plant in this process; one behind a serial port
    open_port, Link, Loop, LoopConfig         the native control loop over a serial port
    load_config                               a run's TOML file, as `rtu-edge run` reads it
    rtu_edge.envs                             the plants as Gymnasium environments
    rtu_edge.hil                              fault injection, also as a pytest plugin

`rtu-edge --help` names the commands; `rtu-edge demo` shows the whole job without hardware.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from rtu_edge._base.version import __version__

if TYPE_CHECKING:
    from rtu_edge._base.errors import CheckpointError, ConfigError, DeviceError
    from rtu_edge.config import load_config
    from rtu_edge.device.plants import Plant
    from rtu_edge.device.ports import open_port
    from rtu_edge.device.python_device import PythonDevice
    from rtu_edge.device.schema import Channel, Safe
    from rtu_edge.device.simulated import SimulatedDevice
    from rtu_edge.learn import (
        CSVWriter,
        OnlineRegressor,
        StreamAC,
        StreamQ,
        StreamQRC,
        StreamSARSA,
        TDBank,
        TDPredictor,
        TensorBoardWriter,
        evaluate,
        load,
    )
    from rtu_edge.learn.cells import LinearRTU, NonlinearRTU
    from rtu_edge.learn.footprint import Footprint, footprint
    from rtu_edge.learn.onnx import export_onnx, verify_onnx
    from rtu_edge.loop import Limits, Link, Loop, LoopConfig, Reward
    from rtu_edge.loop.checks import Checks, Homing, Start
    from rtu_edge.loop.connecting import connect
    from rtu_edge.loop.robot import Robot

__all__ = [
    "CSVWriter",
    "Channel",
    "CheckpointError",
    "Checks",
    "ConfigError",
    "DeviceError",
    "Footprint",
    "Homing",
    "Limits",
    "LinearRTU",
    "Link",
    "Loop",
    "LoopConfig",
    "NonlinearRTU",
    "OnlineRegressor",
    "Plant",
    "PythonDevice",
    "Reward",
    "Robot",
    "Safe",
    "SimulatedDevice",
    "Start",
    "StreamAC",
    "StreamQ",
    "StreamQRC",
    "StreamSARSA",
    "TDBank",
    "TDPredictor",
    "TensorBoardWriter",
    "__version__",
    "connect",
    "evaluate",
    "export_onnx",
    "footprint",
    "load",
    "load_config",
    "open_port",
    "verify_onnx",
]

# The module of each name. Loaded on first access: the pytest plugin and an emergency stop need no numpy, and
# onnx and onnxruntime are loaded on demand only (docs/design_decisions.md, "Small install, quick import").
_HOMES = {
    "_base.errors": ("CheckpointError", "ConfigError", "DeviceError"),
    "config": ("load_config",),
    "device.plants": ("Plant",),
    "device.ports": ("open_port",),
    "device.python_device": ("PythonDevice",),
    "device.schema": ("Channel", "Safe"),
    "device.simulated": ("SimulatedDevice",),
    "learn": ("OnlineRegressor", "StreamAC", "StreamQ", "StreamQRC", "StreamSARSA", "TDBank", "TDPredictor", "load"),
    "learn.cells": ("LinearRTU", "NonlinearRTU"),
    "learn.evaluation": ("evaluate",),
    "learn.footprint": ("Footprint", "footprint"),
    "learn.onnx": ("export_onnx", "verify_onnx"),
    "learn.writers": ("CSVWriter", "TensorBoardWriter"),
    "loop": ("Limits", "Link", "Loop", "LoopConfig", "Reward"),
    "loop.checks": ("Checks", "Homing", "Start"),
    "loop.connecting": ("connect",),
    "loop.robot": ("Robot",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*(name for name in globals() if name.startswith("__")), *__all__})
