"""The policy as a C99 file: its own test, and 1000 steps next to the agent, on each compiler."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

import numpy as np
import pytest
from toolchain import run, tool

import rtu_edge as rtu
from rtu_edge.learn.c_policy import TEST_STEPS, export_c, rounded
from rtu_edge.learn.onnx.verify import Evaluation, observations_like

STRICT = ("-std=c99", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror")
CORTEX = ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")
D = 3

AGENTS = [
    {},
    {"body": "separate", "cell": "nonlinear", "activation": "tanh"},
    {"cell": "mingru", "hidden": (9, 5)},
    {"cell": "elstm", "previous_reward": True, "previous_action": True},
    {"cell": "lru", "units": 12, "units_per_pole": 3, "activation": "identity"},
    {"cell": "none"},
    {"n_actions": 4, "previous_action": True},
    {"normalize_observation": False, "hidden": (), "dtype": "float64"},
    {"units": 33, "hidden": (17,), "r_max": 0.9999, "observation_bound": 0.0},
]


def trained(learner=rtu.StreamAC, **given):
    """An agent that has seen some steps."""
    given = {"units": 7, "hidden": (9,), "seed": 3, **given}
    agent = learner(D, **({"action_size": 2, **given} if "n_actions" not in given else given))
    rng = np.random.default_rng(1)
    agent.reset(rng.standard_normal(D))
    for _ in range(300):
        agent.step(rng.standard_normal(D) * [1.0, 5.0, 0.1] + [0.0, 100.0, 0.0], float(rng.standard_normal()))
    return agent


def built(agent, folder: Path, compiler: str = "gcc", **form) -> ctypes.CDLL:
    """The file as a library, compiled with all warnings as errors."""
    export_c(agent, folder / "policy.h", **form)
    config = agent.config
    more = ("const float *previous_action, " if config.get("previous_action") else "") + (
        "float previous_reward, " if config.get("previous_reward") else ""
    )
    names = ", ".join(part.split()[-1].lstrip("*") for part in more.split(", ") if part)
    discrete = config["n_actions"] is not None
    call = f"policy_step(&state, observation{', ' if names else ''}{names}"
    body = f"*action = (float){call});" if discrete else f"{call}, action);"
    (folder / "policy.c").write_text(
        '#include "policy.h"\n'
        "static policy_state state;\n"
        "float compare(void);\nfloat compare(void) { return policy_test(); }\n"
        "void start(void);\nvoid start(void) { policy_reset(&state); }\n"
        f"void step(const float *observation, {more}float *action);\n"
        f"void step(const float *observation, {more}float *action) {{ {body} }}\n"
    )
    run(tool(compiler), *STRICT, "-shared", "-fPIC", folder / "policy.c", "-o", folder / "policy.so", "-lm")
    library = ctypes.CDLL(str(folder / "policy.so"))
    library.compare.restype = ctypes.c_float
    return library


def differences(library, agent, native, steps):
    """Of each step, from the native agent's action: in units of the range, or 1 for another choice."""
    native, config = Evaluation(native), agent.config
    native.begin()
    library.start()
    width = config["n_actions"] or config["action_size"]
    action, row, last = np.zeros(width, np.float32), np.zeros(width, np.float32), None
    rewards, found = np.random.default_rng(2).standard_normal(steps), []
    for t, x in enumerate(observations_like(agent, steps, seed=4)):
        preceded = {"reward": float(rewards[t])} if config["previous_reward"] else {}
        if config["previous_action"]:
            preceded["applied"] = last if last is not None else (0 if config["n_actions"] else row)
        held = np.ascontiguousarray(x, np.float32)
        arguments = [ctypes.c_void_p(held.ctypes.data)]
        arguments += [ctypes.c_void_p(row.ctypes.data)] if config["previous_action"] else []
        arguments += [ctypes.c_float(rewards[t] if t else 0.0)] if config["previous_reward"] else []
        library.step(*arguments, ctypes.c_void_p(action.ctypes.data))
        wanted = native.predict(x, **preceded)
        if config["n_actions"]:
            found.append(float(int(action[0]) != wanted))
            row = np.eye(width, dtype=np.float32)[wanted]
        else:
            found.append(np.abs(action - wanted).max() / 2)
            row = np.asarray(wanted, np.float32).copy()
        last = wanted
    return found


@pytest.mark.parametrize("given", AGENTS, ids=str)
def test_1000_steps_are_the_agents(given, tmp_path):
    agent = trained(**given)
    library = built(agent, tmp_path)
    assert library.compare() <= (0.0 if "n_actions" in given else 1e-6)
    assert max(differences(library, agent, agent, 1000)) <= (0.0 if "n_actions" in given else 1e-6)


@pytest.mark.parametrize("given", AGENTS, ids=str)
def test_weights_of_8_bits(given, tmp_path):
    """The agent with rounded weights, to the rounding of a vector to 16 bits; the file states what the weights cost."""
    agent = trained(**given)
    library = built(agent, tmp_path, weights="int8")
    found = differences(library, agent, rounded(agent), 300)
    assert np.mean(found) <= 0.01 if "n_actions" in given else max(found) <= 2e-4
    head = (tmp_path / "policy.h").read_text()[:900]
    if "n_actions" in given:
        assert re.search(r"Weights of 8 bits:\n \* in 1000 steps [0-9.e-]+ % of the choices differ", head)
        return
    stated = float(re.search(r"actions differ by ([0-9.e-]+) % of their range at most", head)[1]) / 100
    assert 0.0 < library.compare() <= 1.5 * stated <= 0.02


@pytest.mark.parametrize("learner", [rtu.StreamQ, rtu.StreamSARSA, rtu.StreamQRC])
def test_action_values_choose_the_same(learner, tmp_path):
    assert built(trained(learner, n_actions=4), tmp_path).compare() == 0.0


@pytest.mark.parametrize("compiler", ["clang", "g++"])
def test_other_compilers(compiler, tmp_path):
    agent = trained(cell="elstm", activation="tanh")
    library = built(agent, tmp_path, "clang" if compiler == "clang" else "gcc")
    assert library.compare() <= 1e-6
    if compiler == "g++":
        run(
            tool("g++"), "-Wall", "-Wextra", "-Werror", "-x", "c++", "-c", tmp_path / "policy.c", "-o", tmp_path / "p.o"
        )


@pytest.mark.parametrize("weights", ["float32", "int8"])
def test_a_microcontroller_gets_it_without_heap_and_files(weights, tmp_path):
    export_c(trained(cell="mingru", activation="tanh"), tmp_path / "policy.h", name="arm", weights=weights)
    (tmp_path / "arm.c").write_text(
        '#include "policy.h"\nint main(void) { return arm_test() <= 1e-6f ? 0 : 1; }\n', encoding="ascii"
    )
    run(tool("arm-none-eabi-gcc"), *STRICT, *CORTEX, "-c", tmp_path / "arm.c", "-o", tmp_path / "arm.o")
    wanted = set(run(tool("arm-none-eabi-nm"), "--undefined-only", "--format=just-symbols", tmp_path / "arm.o").split())
    assert wanted <= {"sqrtf", "__aeabi_unwind_cpp_pr0", "memcpy", "memset"}


def test_its_own_test_finds_another_number(tmp_path):
    agent = trained()
    assert built(agent, tmp_path).compare() <= 1e-6
    text = (tmp_path / "policy.h").read_text()
    at = text.index("policy_g[7] = {") + len("policy_g[7] = {")
    (tmp_path / "policy.h").write_text(f"{text[:at]}0.5f + {text[at:].lstrip()}")
    run(tool("gcc"), "-shared", "-fPIC", tmp_path / "policy.c", "-o", tmp_path / "other.so", "-lm")
    library = ctypes.CDLL(str(tmp_path / "other.so"))
    library.compare.restype = ctypes.c_float
    assert library.compare() > 1e-4
    assert TEST_STEPS >= 8


def test_what_cannot_be_written_is_refused(tmp_path):
    agent = trained()
    for name in ("", "1st", "a b", "_", "x" * 41, "naïve", 5, None):
        with pytest.raises(ValueError, match=r"name = .* expected a letter"):
            export_c(agent, tmp_path / "policy.h", name=name)
    with pytest.raises(ValueError, match="'td_predictor' has no policy"):
        export_c(rtu.TDPredictor(observation_size=2, units=4), tmp_path / "policy.h")
    assert list(tmp_path.iterdir()) == []
