"""The C interface compared with the Python class: the same defaults, the same bits, interchangeable checkpoints."""

from __future__ import annotations

import ctypes
import re
from ctypes import POINTER, byref, c_double, c_float, c_int32, c_size_t, c_uint32, c_uint64
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ranges import allowed, edges, numbers
from toolchain import ROOT, build

import rtu_edge as rtu
from rtu_edge import _core
from rtu_edge.learn import checkpoint, parameters
from rtu_edge.learn.ranges import Integer, Number

HEADER = ROOT / "native" / "bindings" / "c" / "rtu_edge.h"
C_TYPES = {
    "uint32_t": c_uint32,
    "int32_t": c_int32,
    "double": c_double,
    "uint64_t": c_uint64,
    "const char*": ctypes.c_char_p,
}


def fields() -> list[tuple[str, Any]]:
    """rtu_agent_config as the header declares it, so that this file holds no second copy."""
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(encoding="utf-8"), flags=re.DOTALL)
    (body,) = re.findall(r"typedef struct rtu_agent_config \{(.*?)\}", text, re.DOTALL)
    found: list[tuple[str, Any]] = []
    for kind, names in re.findall(r"(uint32_t|int32_t|double|uint64_t|const char\*)\s+([^;]+);", body):
        for name in re.split(r"\s*,\s*", names.strip()):
            array = re.fullmatch(r"(\w+)\[RTU_LAYERS_MAX\]", name)
            found.append((array[1], C_TYPES[kind] * 4) if array else (name, C_TYPES[kind]))
    return found


def enumeration(*names: str) -> dict[str, int]:
    text = HEADER.read_text(encoding="utf-8")
    return {
        name: int(re.findall(rf"RTU_(?:CELL_|CREDIT_|PRECONDITIONER_)?{name.upper()} = (\d+)", text)[0])
        for name in names
    }


class Config(ctypes.Structure):
    _fields_ = fields()


CELLS = enumeration("none", "linear", "nonlinear", "mingru", "lru", "elstm")
CREDITS = enumeration("rtrl", "tbptt1", "frozen")
ACTIVATIONS = enumeration("identity", "relu", "tanh")
RULES = enumeration("obgd", "sgd", "adam", "adaptive_obgd", "intentional")
PRECONDITIONERS = enumeration("gradient", "trace", "larger")


@pytest.fixture(scope="module")
def library() -> ctypes.CDLL:
    found = ctypes.CDLL(str(build("release", "rtu_edge") / "librtu_edge.so"))
    found.rtu_agent_bytes.restype = c_size_t
    found.rtu_agent_checkpoint_bytes.restype = c_size_t
    found.rtu_agent_isa.restype = ctypes.c_char_p
    found.rtu_agent_previous.argtypes = [ctypes.c_void_p, c_float, POINTER(c_float)]
    found.rtu_agent_update.argtypes = [ctypes.c_void_p, c_float, c_int32, c_int32, POINTER(c_float)]
    return found


def config_of(library: ctypes.CDLL, arguments: dict[str, Any]) -> Config:
    """The result of rtu_agent_config_init(), updated with a learner's `config`."""
    config = Config()
    library.rtu_agent_config_init(byref(config))
    config.observation_size = arguments["observation_size"]
    config.discrete = arguments["n_actions"] is not None
    config.actions = arguments["n_actions"] or arguments["action_size"]
    config.layers = len(arguments["hidden"])
    config.hidden[:] = (*arguments["hidden"], 0, 0, 0, 0)[:4]
    config.encoder_layers = len(arguments["encoder"])
    config.encoder[:] = (*arguments["encoder"], 0, 0, 0, 0)[:4]
    config.cell = CELLS[arguments["cell"]]
    config.credit = CREDITS[arguments["credit"]]
    config.activation = ACTIVATIONS[arguments["activation"]]
    config.optimizer = RULES[arguments["optimizer"]]
    config.preconditioner = PRECONDITIONERS[arguments["preconditioner"]]
    config.shared_body = arguments["body"] == "shared"
    for group, value in arguments["trace_decay"].items():
        setattr(config, f"decay_{group}", value)
    for group, value in arguments["critic"]["trace_decay"].items():
        setattr(config, f"critic_decay_{group}", value)
    for role in ("actor", "critic"):
        for key in ("step_size", "kappa"):
            setattr(config, f"{role}_{key}", arguments[role][key])
    same = {name for name, _ in Config._fields_} & set(arguments) - {
        "cell",
        "credit",
        "activation",
        "optimizer",
        "preconditioner",
        "hidden",
        "encoder",
        "actor",
        "critic",
    }
    assert {"units", "gamma", "entropy", "r_min", "r_max", "max_phase", "sparsity", "seed", "recompute"} <= same
    for name in same:
        setattr(config, name, arguments[name])
    return config


class Agent:
    """An agent in memory owned by this object."""

    def __init__(self, library: ctypes.CDLL, config: Config) -> None:
        size = library.rtu_agent_bytes(byref(config))
        assert size > 0
        self.memory = np.zeros(size + 64, np.uint8)
        self.library = library
        self.handle = ctypes.c_void_p()
        start = self.memory.ctypes.data + -self.memory.ctypes.data % 64
        assert library.rtu_agent_init(byref(config), ctypes.c_void_p(start), c_size_t(size), byref(self.handle)) == 0

    def step(self, x: Any, reward: float, terminated: bool, truncated: bool, starts: bool) -> Any:
        action = np.zeros(self.library.rtu_agent_width(self.handle), np.float32)
        if starts:
            assert self.library.rtu_agent_begin(self.handle) == 0
        assert self.library.rtu_agent_previous(self.handle, reward, None) == 0
        pointer = ctypes.c_void_p(action.ctypes.data)
        assert self.library.rtu_agent_predict(self.handle, ctypes.c_void_p(x.ctypes.data), 1, pointer) == 0
        assert self.library.rtu_agent_update(self.handle, reward, terminated, truncated, None) == 0
        return action

    def hash(self) -> str:
        found = c_uint64()
        assert self.library.rtu_agent_hash(self.handle, byref(found)) == 0
        return f"{found.value:016x}"


CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "defaults": {"observation_size": 1, "action_size": 1},
    "discrete": {"observation_size": 3, "n_actions": 4, "body": "shared", "hidden": (6, 4), "units": 5,
        "seed": 2**63 + 1},
    "nonlinear": {"observation_size": 3, "action_size": 2, "cell": "nonlinear", "hidden": (), "units": 7,
        "optimizer": "adam"},
    "mingru": {"observation_size": 3, "action_size": 2, "cell": "mingru", "units": 9},
    "lru": {"observation_size": 3, "n_actions": 2, "cell": "lru", "units": 6, "units_per_pole": 2, "recompute": True},
    "elstm": {"observation_size": 2, "action_size": 1, "cell": "elstm", "optimizer": "adam", "body": "separate"},
    "memoryless": {"observation_size": 3, "action_size": 2, "cell": "none", "hidden": 9, "optimizer": "sgd"},
    "intentional": {"observation_size": 3, "action_size": 2, "optimizer": "intentional", "preconditioner": "trace"},
    "previous inputs": {"observation_size": 2, "action_size": 2, "previous_action": True, "previous_reward": True},
    "previous choice": {"observation_size": 2, "n_actions": 3, "previous_action": True, "body": "shared"},
    "one step": {"observation_size": 2, "action_size": 1, "cell": "nonlinear", "credit": "tbptt1"},
    "encoder": {"observation_size": 5, "action_size": 1, "encoder": (6, 4), "cell": "mingru", "units": 7},
    "frozen": {"observation_size": 1024, "action_size": 1, "units": 3, "credit": "frozen", "body": "shared"},
    "shared poles": {"observation_size": 5, "action_size": 1, "units": 12, "units_per_pole": 3, "recompute": True},
    "all else": {
        "observation_size": 3, "action_size": 1, "units": 6, "activation": "relu", "gamma": 0.9, "entropy": 0.1,
        "trace_decay": {"recurrent": 0.5, "body": 0.6, "head": 0.7}, "actor": {"step_size": 0.5, "kappa": 4.0},
        "critic": {"step_size": 0.25, "kappa": 5.0, "trace_decay": 0.4},
        "r_min": 0.1, "r_max": 0.9, "max_phase": 1.0, "sparsity": 0.5,
        "sigma_floor": 0.05, "exploration_correlation": 0.25, "actor_warmup": 30, "normalize_observation": False,
        "scale_reward": False, "seed": 9,
    },
}  # fmt: skip


def test_defaults_are_those_of_the_class(library: ctypes.CDLL) -> None:
    plain = Config()
    library.rtu_agent_config_init(byref(plain))
    filled = config_of(library, rtu.StreamAC(1, 1).config)
    assert plain.size == ctypes.sizeof(Config)
    assert plain.checkpoints == 1
    for name, kind in Config._fields_:
        values = [getattr(config, name) for config in (plain, filled)]
        if not isinstance(kind, type(c_int32 * 4)):
            assert values[0] == values[1], name
        else:
            assert list(values[0]) == list(values[1]), name


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_same_bits_as_in_python(library: ctypes.CDLL, name: str, tmp_path: Path) -> None:
    python = rtu.StreamAC(**CONFIGURATIONS[name])
    mine = Agent(library, config_of(library, python.config))
    assert library.rtu_agent_isa(mine.handle).decode() == _core.isa
    assert mine.hash() == python.state_hash(), "before the first step"
    rng = np.random.default_rng(0)
    k = 150
    x = rng.standard_normal((k, python.observation_size)).astype(np.float32)
    r = rng.standard_normal(k).astype(np.float32)
    ends = np.arange(k) % 40 == 39
    actions = python.run(x, r, ends & (np.arange(k) % 80 == 39), ends & (np.arange(k) % 80 == 79))
    for i in range(k):
        starts = i % 40 == 0
        action = mine.step(x[i], float(r[i]), bool(ends[i] and i % 80 == 39), bool(ends[i] and i % 80 == 79), starts)
        np.testing.assert_array_equal(action, np.atleast_1d(actions[i]))
    # Python's learner flushes denormals, this thread does not: affects decayed eligibilities only, and none remain
    # here.
    assert mine.hash() == python.state_hash()

    text = checkpoint.encode_config(python.config).encode()
    size = library.rtu_agent_checkpoint_bytes(mine.handle, len(text))
    data = ctypes.create_string_buffer(size)
    assert library.rtu_agent_checkpoint_write(mine.handle, text, len(text), data, c_size_t(size)) == 0
    python.save(tmp_path / "python.rtu")
    assert (tmp_path / "python.rtu").read_bytes() == data.raw, "one format, byte for byte"
    (tmp_path / "c.rtu").write_bytes(data.raw)
    assert rtu.load(tmp_path / "c.rtu").state_hash() == mine.hash()
    other = Agent(library, config_of(library, python.config))
    assert library.rtu_agent_checkpoint_read(other.handle, data, c_size_t(size)) == 0
    assert other.hash() == mine.hash()


@pytest.mark.parametrize(("row", "kind"), [p for p in numbers(parameters.AC) if p.values[0].c])
def test_ranges_are_those_of_the_table(library: ctypes.CDLL, row: parameters.Parameter, kind: Integer | Number) -> None:
    groups = ["decay_recurrent", "decay_body", "decay_head"]
    names = {"trace_decay": groups, "critic.trace_decay": [f"critic_{group}" for group in groups]}
    names |= {"action_size": ["actions"], "n_actions": ["actions"]}
    for name in names.get(row.name, [row.name.replace(".", "_")]):
        for value in edges(kind):
            config = Config()
            library.rtu_agent_config_init(byref(config))
            if isinstance(value, int) and not -(2**31) <= value < 2**31:
                continue
            if name == "units_per_pole" and value >= 1:
                config.units = value
            config.discrete = row.name == "n_actions"
            config.actions = 2
            if name == "r_max":
                config.r_min = 0.0
            if name in ("hidden", "encoder"):
                getattr(config, name)[0] = value
                config.encoder_layers = int(name == "encoder")
            else:
                setattr(config, name, value)
            assert (library.rtu_agent_bytes(byref(config)) > 0) == allowed(kind, value), (name, value)
