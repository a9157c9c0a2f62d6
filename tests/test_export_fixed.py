"""The policy in integers: the same bits in C and in Python on each compiler, next to the agent, at extreme inputs."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

import numpy as np
import pytest
from test_export_c import D, STRICT, trained
from toolchain import run, tool

import rtu_edge as rtu
from rtu_edge.learn.c_policy import export_c
from rtu_edge.learn.c_policy.fixed import ERROR, FixedPolicy
from rtu_edge.learn.c_policy.fixed_steps import tanh
from rtu_edge.learn.c_policy.parts import recorded

STEPS = 300
AGENTS = [
    {},
    {"body": "separate", "cell": "nonlinear", "activation": "tanh", "encoder": (6,)},
    {"cell": "nonlinear", "activation": "relu", "hidden": ()},
    {"cell": "mingru", "hidden": (9, 5)},
    {"cell": "elstm", "previous_reward": True, "previous_action": True},
    {"cell": "lru", "units": 12, "units_per_pole": 3, "activation": "tanh"},
    {"cell": "none", "encoder": (5,)},
    {"n_actions": 4, "previous_action": True, "activation": "tanh"},
    {"units": 33, "hidden": (17,), "r_max": 0.9999, "r_min": 0.9998, "activation": "identity"},
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
    return f"action[0] = (int16_t)policy_step({', '.join(call)})" if discrete else (
        f"policy_step({', '.join([*call, 'action'])})"
    )


def built(agent, folder: Path, compiler: str = "gcc", *flags: str) -> ctypes.CDLL:
    """The file as a library, compiled with all warnings as errors, undefined behaviour traps."""
    export_c(agent, folder / "policy.h", fixed=True)
    (folder / "policy.c").write_text(DRIVER.replace("CALL", driver(agent.config)))
    trap = ("-fsanitize=undefined", "-fsanitize-undefined-trap-on-error", "-Wdouble-promotion")
    run(tool(compiler), *STRICT, *trap, *flags, "-shared", "-fPIC", folder / "policy.c", "-o", folder / "policy.so")
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


@pytest.mark.parametrize("given", AGENTS, ids=str)
def test_c_and_python_are_equal_and_close_to_the_agent(given, tmp_path):
    agent = trained(**given)
    policy, steps = FixedPolicy(agent), recorded(agent, STEPS)
    width, discrete = policy.parts.width, policy.parts.discrete
    library = built(agent, tmp_path)
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
    # Any integers: no undefined behaviour, and still the same bits; each third step at an end of the type.
    rng = np.random.default_rng(5)
    xs = np.where(rng.random((STEPS, D)) < 0.3, rng.choice(EXTREME, (STEPS, D)), xs)
    rewards = np.where(rng.random(STEPS) < 0.3, rng.choice(EXTREME, STEPS), rewards)
    before = rng.choice([-32768, -16384, 0, 16384, 32767], before.shape)
    xs[STEPS // 2 :] = rng.choice([-1, 1], D) * (2**31 - 1)  # and for long at one end
    np.testing.assert_array_equal(
        driven(library, xs, before, rewards, width)[:, :kept], expected(policy, xs, before, rewards)
    )
