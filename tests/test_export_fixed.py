"""The policy in integers: the same bits in C and in Python on each compiler, next to the agent, at extreme inputs."""

from __future__ import annotations

import ctypes
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from test_export_c import STRICT, D, trained
from toolchain import ROOT, run, tool

import rtu_edge as rtu
from rtu_edge.learn.c_policy import export_c, fixed
from rtu_edge.learn.c_policy.parts import recorded

sys.path.insert(0, str(ROOT))
from benchmarks import chips

STEPS = 200
AGENTS = [
    {"body": "separate", "cell": "nonlinear", "activation": "tanh", "encoder": (6,)},
    {"cell": "nonlinear", "activation": "relu", "hidden": ()},
    {"cell": "mingru", "hidden": (9, 5)},
    {"cell": "elstm", "previous_reward": True, "previous_action": True, "activation": "identity"},
    {"cell": "lru", "units": 12, "units_per_pole": 3, "activation": "tanh"},
    {"cell": "none", "encoder": (5,)},
    {"n_actions": 4, "previous_action": True, "activation": "tanh", "r_max": 0.98},
    {"units": 33, "hidden": (17,), "r_max": 0.9999, "r_min": 0.9998, "activation": "tanh"},
]
EXTREME = np.array([-(2**31), -(2**31) + 1, -1, 0, 1, 2**31 - 1])

DRIVER = """#define policy_FLOAT
#include "policy.h"
static policy_state state;
int compare(void);
int compare(void) { return policy_test(); }
void drive(int steps, const int32_t *observation, const int16_t *previous_action, const int32_t *previous_reward,
           int32_t *out);
void drive(int steps, const int32_t *observation, const int16_t *previous_action, const int32_t *previous_reward,
           int32_t *out) {
    policy_reset(&state);
    for (int t = 0; t < steps; t++) {
        int16_t action[policy_ACTIONS] = {0};
        (void)previous_action;
        (void)previous_reward;
        CALL;
        for (int i = 0; i < policy_ACTIONS; i++) *out++ = action[i];
    }
}
"""


def driver(config) -> str:
    call = ["&state", "observation + t * policy_OBSERVATIONS"]
    call += ["previous_action + t * policy_ACTIONS"] if config["previous_action"] else []
    call += ["previous_reward[t]"] if config["previous_reward"] else []
    discrete = config["n_actions"] is not None
    return (
        f"action[0] = (int16_t)policy_step({', '.join(call)})"
        if discrete
        else (f"policy_step({', '.join([*call, 'action'])})")
    )


def built(agent, folder: Path, compiler: str, *flags: str) -> ctypes.CDLL:
    """The file as a library, compiled with all warnings as errors; undefined behaviour traps."""
    export_c(agent, folder / "policy.h", fixed=True)
    (folder / "policy.c").write_text(DRIVER.replace("CALL", driver(agent.config)))
    trap = ("-fsanitize=undefined", "-fsanitize-undefined-trap-on-error", "-fno-sanitize=float-cast-overflow", *flags)
    run(tool(compiler), *STRICT, *trap, "-shared", "-fPIC", folder / "policy.c", "-o", folder / "policy.so")
    return ctypes.CDLL(str(folder / "policy.so"))


def driven(library, xs, before, rewards, width):
    """The integers that the C gives."""
    arrays = [np.ascontiguousarray(a, t) for a, t in ((xs, np.int32), (before, np.int16), (rewards, np.int32))]
    out = np.zeros((len(xs), width), np.int32)
    pointers = [a.ctypes.data_as(ctypes.c_void_p) for a in (*arrays, out)]
    library.drive(len(xs), *pointers)
    return out


def expected(policy, xs, before, rewards):
    """And those of its model in Python."""
    policy.reset()
    return np.array([policy.step(xs[t], before[t], int(rewards[t])) for t in range(len(xs))])


@pytest.fixture(autouse=True)
def short_comparison(monkeypatch):
    """The file's own comparison with the agent takes 1000 steps."""
    monkeypatch.setattr(fixed, "ERROR_STEPS", 60)


@pytest.mark.parametrize("given", AGENTS, ids=str)
def test_c_and_python_are_equal_and_close_to_the_agent(given, tmp_path):
    agent = trained(**given)
    policy, steps = fixed.FixedPolicy(agent), recorded(agent, STEPS)
    width, discrete = policy.parts.width, policy.parts.discrete
    library = built(agent, tmp_path, "clang" if given.get("cell") == "elstm" else "gcc")
    assert library.compare() == 0
    xs, rewards = policy.integers(steps.observations, steps.previous_rewards)
    before = np.rint(steps.previous_actions * 16384.0).astype(np.int64)
    found = expected(policy, xs, before, rewards)
    kept = 1 if discrete else width
    np.testing.assert_array_equal(driven(library, xs, before, rewards, width)[:, :kept], found)
    if discrete:
        assert np.mean(found != steps.actions) <= 0.01
    else:
        assert np.abs(found / 16384 - steps.actions).max() / 2 <= 2e-3  # measured: 1e-5 to 6e-4
    # Any integers: no undefined behaviour, and still the same bits; then for long at one end of the type.
    rng = np.random.default_rng(5)
    xs = np.where(rng.random((STEPS, D)) < 0.3, rng.choice(EXTREME, (STEPS, D)), xs)
    rewards = np.where(rng.random(STEPS) < 0.3, rng.choice(EXTREME, STEPS), rewards)
    before = rng.choice([-32768, -16384, 0, 16384, 32767], before.shape)
    xs[STEPS // 2 :] = rng.choice([-1, 1], D) * (2**31 - 1)
    np.testing.assert_array_equal(
        driven(library, xs, before, rewards, width)[:, :kept], expected(policy, xs, before, rewards)
    )


def small() -> rtu.StreamAC:
    """2 observations, 16 units, 16 hidden."""
    agent, rng = rtu.StreamAC(2, 1, units=16, hidden=(16,), r_max=0.99, seed=4), np.random.default_rng(1)
    agent.reset(rng.standard_normal(2))
    for _ in range(100):
        agent.step(rng.standard_normal(2), 0.1)
    return agent


@pytest.mark.parametrize(("chip", "most"), [*zip(chips.CHIPS, (8000, 5000, 90_000, 5000), strict=True)], ids=str)
def test_its_own_test_and_its_cost_on_a_microcontroller(chip, most, tmp_path):
    """Measured: 7000, 4990, 77 000, 4400 instructions; its flash with code and vectors of the test 3.5 KB at most."""
    export_c(small(), tmp_path / "policy.h", fixed=True)
    code = {
        "include": '#include "policy.h"', "state": "static policy_state state;", "reset": "policy_reset(&state);",
        "call": "int16_t action[1]; if (t == 0 && policy_test() != 0) break; policy_step(&state, x, action);",
        "result": "action[0]", "type": "int32_t",
    }  # fmt: skip
    found = chips.cost(chip, tmp_path, code, np.arange(40).reshape(20, 2) * 3000 - 60_000, "-O2")
    assert found.instructions <= most
    assert found.flash <= (7000 if chip.prefix == "avr-" else 3584)
    assert found.data == 4 * 32


@pytest.mark.parametrize(
    "compiler",
    ["arm-none-eabi-gcc -mcpu=cortex-m0plus -mthumb", "avr-gcc -mmcu=atmega328p", "g++ -x c++", "clang"],
)
def test_no_float_and_no_warning(compiler, tmp_path):
    """Calls of a floating-point library have names of their own; on other processors its registers are forbidden."""
    export_c(trained(cell="mingru", activation="relu"), tmp_path / "policy.h", fixed=True)
    (tmp_path / "policy.c").write_text(
        '#include "policy.h"\nint main(void) { return policy_test(); }\n', encoding="ascii"
    )
    name, *flags = compiler.split()
    strict = [flag for flag in STRICT if "c++" not in compiler or flag != "-std=c99"]
    strict += ["-mgeneral-regs-only"] if name in ("g++", "clang") else []
    run(tool(name), *strict, *flags, "-c", tmp_path / "policy.c", "-o", tmp_path / "policy.o")
    wanted = run(tool("nm"), "--undefined-only", "--format=just-symbols", tmp_path / "policy.o").split()
    assert not [symbol for symbol in wanted if re.search(r"_f|_d|_i2|sf|df|memcpy$", symbol.replace("__do_", ""))]


def test_its_own_test_finds_another_number(tmp_path):
    library = built(trained(), tmp_path, "gcc")
    assert library.compare() == 0
    path = tmp_path / "policy.h"
    text = path.read_text()
    number = re.search(r"policy_head_bias\[4?2?\] policy_ROM = \{\n    (-?\d+)", text)
    path.write_text(text[: number.start(1)] + "123456789" + text[number.end(1) :])
    run(tool("gcc"), "-shared", "-fPIC", tmp_path / "policy.c", "-o", tmp_path / "other.so")
    assert ctypes.CDLL(str(tmp_path / "other.so")).compare() > 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"normalize_observation": False}, "normalize_observation = False: fixed needs the range of the inputs"),
        ({"observation_bound": 0.0}, "observation_bound = 0: fixed needs the range of the inputs"),
        ({"previous_reward": True, "scale_reward": False}, "scale_reward = False: with previous_reward"),
        ({"r_min": 0.99999, "r_max": 0.999999}, r"cell: unit \d keeps 0.99999\d\d of its state in a step; fixed takes"
         r" at most 0.9999695 \(its coefficients have 30 bits\)"),
    ],
    ids=str,
)  # fmt: skip
def test_what_integers_do_not_hold_is_refused(given, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        export_c(trained(**given), tmp_path / "policy.h", fixed=True)
    assert list(tmp_path.iterdir()) == []


def test_an_agent_that_has_observed_nothing_is_refused_until_ranges_are_known(tmp_path):
    """Its inputs are all scaled by 0: the file would answer the same to everything, and state an error of 0 %."""
    agent = rtu.StreamAC(2, 1, units=4, hidden=4, previous_reward=True)
    with pytest.raises(ValueError, match="agent: no observation has moved in 0 steps; fixed needs the range"):
        export_c(agent, tmp_path / "policy.h", fixed=True)
    agent.run(np.full((5, 2), 3.0, np.float32), np.zeros(5, np.float32))
    with pytest.raises(ValueError, match="agent: no observation has moved in 5 steps"):
        export_c(agent, tmp_path / "policy.h", fixed=True)
    agent.load_normalizer({"mean": [3.0, 0.0], "variance": [1.0, 0.0], "count": 5})
    with pytest.raises(ValueError, match="agent: no reward has moved in 5 steps; fixed needs the range"):
        export_c(agent, tmp_path / "policy.h", fixed=True)
    assert list(tmp_path.iterdir()) == []
    agent.run(np.full((5, 2), 3.0, np.float32), np.arange(5, dtype=np.float32))
    export_c(agent, tmp_path / "policy.h", fixed=True)


@pytest.mark.parametrize(
    ("cell", "names", "message"),
    [
        ("mingru", ("Wu", "Wh"), r"cell = 'mingru': an input of its gates can be [\d.e+]+; fixed takes less than 256"),
        ("elstm", ("wz", "wf"), r"cell = 'elstm': a weight of its own state is 1000; fixed takes less than 512"),
    ],
)
def test_large_weights_of_gates_are_named_with_the_limit(cell, names, message):
    agent = trained(cell=cell)
    large = {name: np.full_like(value, 1000.0) for name, value in agent.parameters.items() if name.endswith(names)}
    assert large
    agent.load_parameters({**agent.parameters, **large})
    with pytest.raises(ValueError, match=message):
        fixed.FixedPolicy(agent)


def test_a_larger_error_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(fixed, "ERROR", 1e-7)
    with pytest.raises(ValueError, match=r"with fixed, actions differ by .* % of their range; at most 1e-05 %"):
        export_c(trained(), tmp_path / "policy.h", fixed=True)
    for wrong in ({"weights": "int8"}, {"learn": True}):
        with pytest.raises(ValueError, match="with fixed, expected"):
            export_c(trained(), tmp_path / "policy.h", fixed=True, **wrong)
