"""The learner as a C99 file: its recorded run, overridden actions, errors, memory."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from test_export_c import CORTEX, STRICT, D, trained
from toolchain import run, tool

import rtu_edge as rtu
from rtu_edge.learn.c_policy import export_c

AGENTS = [
    {},
    {"body": "separate", "cell": "nonlinear", "activation": "relu", "n_actions": 4},
    {"cell": "none", "hidden": (8, 5), "exploration_correlation": 0.0, "actor_warmup": 0},
    {"hidden": (), "normalize_observation": False, "scale_reward": False, "activation": "identity"},
    {"body": "separate", "units": 17, "hidden": (12,), "observation_bound": 0.0},
]
CALLS = """#include "policy.h"
static policy_learner learner;
float test(void);
float test(void) { return policy_learn_test(&learner); }
void init(void);
void init(void) { policy_learn_init(&learner); }
int start(const float *x, policy_action *action);
int start(const float *x, policy_action *action) { return policy_learn_reset(&learner, x, action); }
int step(const float *x, double reward, int terminated, int truncated, const policy_action *applied,
         policy_action *action);
int step(const float *x, double reward, int terminated, int truncated, const policy_action *applied,
         policy_action *action) {
    return policy_learn_step(&learner, x, reward, terminated, truncated, applied, action);
}
int whole(void);
int whole(void) { /* the memory ends with the last vector */
    const policy_network *net = &learner.net[policy_NETS - 1];
    const policy_layer *last = &net->part[policy_LAYERS + net->heads - 1];
    return last->cot[2] + last->rows == learner.memory + policy_FLOATS &&
           net->part[policy_LAYERS + net->heads - 1].b + last->rows == learner.memory + policy_WEIGHTS;
}
uint32_t digest(void);
uint32_t digest(void) {
    const unsigned char *at = (const unsigned char *)&learner;
    uint32_t sum = 0;
    for (unsigned long i = 0; i < sizeof learner; i++) sum = sum * 31u + at[i];
    return sum;
}
"""


def built(agent, folder, compiler="gcc"):
    export_c(agent, folder / "policy.h", learn=True)
    (folder / "policy.c").write_text(CALLS)
    run(tool(compiler), *STRICT, "-shared", "-fPIC", folder / "policy.c", "-o", folder / "policy.so", "-lm")
    library = ctypes.CDLL(str(folder / "policy.so"))
    library.test.restype = ctypes.c_float
    library.digest.restype = ctypes.c_uint32
    return library


@pytest.mark.parametrize("given", AGENTS, ids=str)
def test_1000_steps_are_the_agents_to_the_bit(given, tmp_path):
    """With one lane: every action and, at the end, every weight."""
    agent = trained(**given)
    before = agent.state_hash()
    library = built(agent, tmp_path, "clang" if "n_actions" in given else "gcc")
    assert library.test() == 0.0
    assert library.whole() == 1
    assert agent.state_hash() == before


def test_its_own_test_finds_another_number(tmp_path):
    agent = trained()
    built(agent, tmp_path)
    text = (tmp_path / "policy.h").read_text()
    for k, (right, wrong) in enumerate((("ENTROPY 0.01", "ENTROPY 0.02"), ("- c->theta[i] * turned2", "- turned2"))):
        assert right in text
        (tmp_path / "policy.h").write_text(text.replace(right, wrong))
        run(tool("gcc"), "-O1", "-shared", "-fPIC", tmp_path / "policy.c", "-o", tmp_path / f"{k}.so", "-lm")
        library = ctypes.CDLL(str(tmp_path / f"{k}.so"))
        library.test.restype = ctypes.c_float
        assert library.test() > 1e-3


def test_overridden_actions_teach_the_critic_only(tmp_path):
    agent = trained(body="separate")
    library = built(agent, tmp_path)
    library.init()
    rng = np.random.default_rng(5)
    action = np.zeros(2, np.float32)
    pointer = ctypes.c_void_p(action.ctypes.data)
    for t in range(60):
        x = (rng.standard_normal(D) * [1.0, 5.0, 0.1] + [0.0, 100.0, 0.0]).astype(np.float32)
        held, reward = ctypes.c_void_p(x.ctypes.data), float(rng.standard_normal())
        if t % 20 == 0:
            assert library.start(held, pointer) == 0
            wanted = agent.reset(x)
            continue
        applied = np.clip(action + (0.5 if t % 3 == 0 else 0.0), -1.0, 1.0).astype(np.float32)
        end = ctypes.c_int(t % 20 == 19)
        given = ctypes.c_void_p(applied.ctypes.data)
        assert library.step(held, ctypes.c_double(reward), end, ctypes.c_int(0), given, pointer) == 0
        wanted = agent.predict(x)
        agent.update(reward, terminated=t % 20 == 19, applied=applied)
        assert np.abs(action - wanted).max() <= 1e-5


def test_errors_change_nothing(tmp_path):
    library = built(trained(), tmp_path)
    library.init()
    good, bad = np.ones(D, np.float32), np.array([1.0, np.nan, 0.0], np.float32)
    action = np.full(2, 7.0, np.float32)
    x, y, out = (ctypes.c_void_p(array.ctypes.data) for array in (good, bad, action))
    none, reward = ctypes.c_void_p(None), ctypes.c_double(0.5)
    before = library.digest()
    assert library.step(x, reward, 0, 0, none, out) == -2
    assert library.start(y, out) == -1
    assert library.digest() == before
    assert (action == 7.0).all()
    assert library.start(x, out) == 0
    before, kept = library.digest(), action.copy()
    assert library.step(y, reward, 0, 0, none, out) == -1
    assert library.step(x, ctypes.c_double(np.inf), 0, 0, none, out) == -1
    assert library.step(x, reward, 0, 0, ctypes.c_void_p(np.full(2, np.nan, np.float32).ctypes.data), out) == -1
    assert library.digest() == before
    assert np.array_equal(action, kept)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cell": "mingru"}, "learn: cell = 'mingru'"),
        ({"optimizer": "adam"}, "learn: optimizer = 'adam' cannot be exported with its learning step; expected 'obgd'"),
        ({"encoder": (4,)}, "learn: encoder"),
        ({"dtype": "float64"}, "learn: dtype"),
        ({"previous_reward": True}, "learn: previous_reward"),
        ({"units": 8, "units_per_pole": 2}, "learn: units_per_pole = 2"),
    ],
    ids=str,
)
def test_a_learner_that_c_has_not_is_refused(given, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        export_c(trained(**given), tmp_path / "policy.h", learn=True)
    with pytest.raises(ValueError, match="a stream_q cannot be exported with its learning step"):
        export_c(rtu.StreamQ(2, n_actions=3, units=4), tmp_path / "policy.h", learn=True)
    assert list(tmp_path.iterdir()) == []


def test_a_microcontroller_learns_without_heap_and_files(tmp_path):
    export_c(trained(), tmp_path / "policy.h", learn=True)
    (tmp_path / "policy.c").write_text(CALLS)
    run(tool("arm-none-eabi-gcc"), *STRICT, *CORTEX, "-c", tmp_path / "policy.c", "-o", tmp_path / "arm.o")
    run(tool("g++"), "-Wall", "-Wextra", "-Werror", "-x", "c++", "-c", tmp_path / "policy.c", "-o", tmp_path / "p.o")
    text = run(tool("arm-none-eabi-nm"), "--undefined-only", "--format=just-symbols", tmp_path / "arm.o")
    assert {name for name in text.split() if not name.startswith("__aeabi_")} <= {"sqrtf", "sqrt", "memcpy", "memset"}
