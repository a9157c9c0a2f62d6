"""Other forms of an exported policy: several robots in one call, sequences, operator sets, 8-bit weights, commands."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.reference
import onnxruntime
import pytest
from reference.policy_oracle import OraclePolicy

import rtu_edge as rtu
from rtu_edge.learn.onnx import OnnxPolicy, export_onnx, verify_onnx

NEWEST = onnx.defs.onnx_opset_version() - 2  # the newest may be ahead of ONNX Runtime's
CELLS = ("linear", "nonlinear", "mingru", "lru", "elstm", "none")
STEPS, ROBOTS = 40, 16


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def zeros(model, batch):
    """The states at the start of an episode."""
    return {i.name: np.zeros((batch, i.shape[1]), np.float32) for i in model.get_inputs() if i.name[0] == "h"}


def rows(agent, steps=STEPS, batch=ROBOTS):
    return np.random.default_rng(5).standard_normal((steps, batch, agent.config["observation_size"])).astype(np.float32)


def stepped(model, x):
    """Outputs of each step, and the last state."""
    names = [o.name for o in model.get_outputs()]
    state, found = zeros(model, x.shape[1]), []
    for row in x:
        found.append(dict(zip(names, model.run(names, {"observation": row, **state}), strict=True)))
        state = {name: found[-1][f"{name}_next"] for name in state}
    return {name: np.array([out[name] for out in found]) for name in names if not name.endswith("_next")}, state


@pytest.mark.parametrize("actions", [{"action_size": 2}, {"n_actions": 3}], ids=str)
@pytest.mark.parametrize("cell", CELLS)
def test_many_robots_in_one_call_are_many_calls(cell, actions, tmp_path):
    agent = OraclePolicy(cell=cell, hidden=(8,), seed=2, **actions)
    export_onnx(agent, tmp_path / "one.onnx")
    export_onnx(agent, tmp_path / "any.onnx", batch=None)
    x = rows(agent)
    together, _ = stepped(session(tmp_path / "any.onnx"), x)
    for robot in range(ROBOTS):
        alone, _ = stepped(session(tmp_path / "one.onnx"), x[:, robot : robot + 1])
        assert np.abs(together["action"][:, robot] - alone["action"][:, 0]).max() <= 1e-6


@pytest.mark.parametrize("opset", [17, 18, NEWEST])
@pytest.mark.parametrize("actions", [{"action_size": 2}, {"n_actions": 3}], ids=str)
@pytest.mark.parametrize("cell", CELLS)
def test_a_sequence_in_one_call_is_its_steps(cell, actions, opset, tmp_path):
    agent = OraclePolicy(cell=cell, hidden=(8,), seed=2, **actions)
    form = {"opset": opset, "batch": 3, "limits": [(-2.0, 3.0), (0.0, 5.0)]}
    export_onnx(agent, tmp_path / "step.onnx", **form)
    export_onnx(agent, tmp_path / "sequence.onnx", sequence=True, **form)
    x = rows(agent, batch=3)
    wanted, state = stepped(session(tmp_path / "step.onnx"), x)
    model = session(tmp_path / "sequence.onnx")
    names = [o.name for o in model.get_outputs()]
    found = dict(zip(names, model.run(names, {"observation": x, **zeros(model, 3)}), strict=True))
    for name, value in {**wanted, **{f"{name}_next": value for name, value in state.items()}}.items():
        assert np.array_equal(found[name], value), name
    text = onnx.load(tmp_path / "sequence.onnx")
    [reference] = onnx.reference.ReferenceEvaluator(text).run(["action"], {"observation": x, **zeros(model, 3)})
    assert np.abs(reference - found["action"]).max() <= 1e-5


def test_previous_action_and_reward_are_sequences_too(tmp_path):
    agent = rtu.StreamAC(2, 1, units=8, hidden=8, previous_action=True, previous_reward=True, seed=3)
    for name, sequence in (("step", False), ("sequence", True)):
        export_onnx(agent, tmp_path / f"{name}.onnx", sequence=sequence)
    step, model = session(tmp_path / "step.onnx"), session(tmp_path / "sequence.onnx")
    rng = np.random.default_rng(0)
    sizes = {"observation": 2, "previous_action": 1, "previous_reward": 1}
    given = {name: rng.standard_normal((STEPS, 1, size)).astype(np.float32) for name, size in sizes.items()}
    state = zeros(step, 1)
    [found] = model.run(["action"], {**given, **state})
    for t in range(STEPS):
        outputs = ["action", *(f"{name}_next" for name in state)]
        action, *after = step.run(outputs, {**{name: value[t] for name, value in given.items()}, **state})
        state = dict(zip(state, after, strict=True))
        assert np.array_equal(found[t], action)


@pytest.mark.parametrize("actions", [{"action_size": 2}, {"n_actions": 3}, {"n_actions": 1}], ids=str)
def test_commands_are_in_the_actuators_units(actions, tmp_path):
    agent = OraclePolicy(hidden=(8,), seed=4, **actions)
    limits = np.array([(-0.1, 0.7), (3.0, 1e6)])
    export_onnx(agent, tmp_path / "policy.onnx", limits=limits)
    found, _ = stepped(session(tmp_path / "policy.onnx"), 10 * rows(agent, batch=1))
    low, high = limits.T
    if "n_actions" in actions:
        share = found["action"][..., np.newaxis] / max(actions["n_actions"] - 1, 1)
    else:
        share = (found["action"] + 1.0) / 2.0
    assert found["command"] == pytest.approx(low + share * (high - low), rel=1e-6)
    assert (found["command"] >= low.astype(np.float32)).all() and (found["command"] <= high.astype(np.float32)).all()


@pytest.mark.parametrize("cell", CELLS)
def test_states_are_written_after_all_their_readers(cell, tmp_path):
    """So that a runtime may write h1_next over h1."""
    export_onnx(OraclePolicy(cell=cell, hidden=(8,)), tmp_path / "policy.onnx")
    nodes = onnx.load(tmp_path / "policy.onnx").graph.node
    states = [name for name in ("h1", "h2") if any(name in node.input for node in nodes)]
    assert len(states) == {"none": 0, "mingru": 1, "elstm": 1}.get(cell, 2)
    readers = [i for i, node in enumerate(nodes) if set(states) & set(node.input)]
    writers = [i for i, node in enumerate(nodes) if {f"{name}_next" for name in states} & set(node.output)]
    assert not states or max(readers) < min(writers)


@pytest.mark.parametrize("cell", CELLS)
def test_weights_of_8_bits_cost_little(cell, tmp_path):
    agent = OraclePolicy(cell=cell, units=64, hidden=(64, 64), seed=6)
    for weights in ("float32", "int8"):
        export_onnx(agent, tmp_path / f"{weights}.onnx", weights=weights)
    sizes = [(tmp_path / f"{weights}.onnx").stat().st_size for weights in ("float32", "int8")]
    assert sizes[1] < 0.5 * sizes[0]  # a fourth of the matrices; names and vectors stay
    # Half a step of 1 / 127 of each row's largest weight, over 64 independent inputs and four layers.
    assert 1e-5 < verify_onnx(tmp_path / "int8.onnx", agent, steps=200) < 0.03
    assert verify_onnx(tmp_path / "int8.onnx", agent, steps=200, share_above=0.03) == 0.0
    assert verify_onnx(tmp_path / "int8.onnx", agent, steps=200, share_above=0.0) > 0.9


def test_flipped_choices_are_counted(tmp_path):
    agent = OraclePolicy(units=32, hidden=(32,), n_actions=4, seed=8)
    export_onnx(agent, tmp_path / "policy.onnx", weights="int8")
    assert 0.0 <= verify_onnx(tmp_path / "policy.onnx", agent, steps=500, share_above=0.0) <= 0.1
    agent.parameters["actor.head.weight"][0] += np.float32(10)
    assert verify_onnx(tmp_path / "policy.onnx", agent, steps=500, share_above=0.0) > 0.2


def test_a_policy_of_any_number_of_robots_runs_step_by_step(tmp_path):
    agent = OraclePolicy(seed=1)
    export_onnx(agent, tmp_path / "policy.onnx", batch=None)
    assert verify_onnx(tmp_path / "policy.onnx", agent, steps=100) <= 1e-6
    export_onnx(agent, tmp_path / "policy.onnx", sequence=True)
    with pytest.raises(ValueError, match="a model of sequences"):
        OnnxPolicy(tmp_path / "policy.onnx")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"batch": 0}, "batch"),
        ({"batch": 1.5}, "batch"),
        ({"opset": 16}, r"opset.*17"),
        ({"opset": 1000}, "opset"),
        ({"weights": "int4"}, "weights: 'int4' is not one of float32, int8"),
        ({"limits": [(0.0, 1.0)]}, "limits: 1 pairs for 2 actions"),
        ({"limits": (0.0, 1.0)}, r"limits = \(0.0, 1.0\): expected a pair of lowest and highest for each actuator"),
        ({"limits": [(0.0, 1.0), (1.0, 1.0)]}, r"limits: entry 1 is \(1.0, 1.0\)"),
        ({"limits": [(0.0, 1.0), (0.0, np.inf)]}, "limits: entry 1"),
        ({"limits": [(0.0, 1.0), (-1e300, 1e300)]}, "limits: entry 1"),
        ({"limits": [(0.0, 1.0), (16777216.0, 16777216.5)]}, "limits: entry 1"),
        ({"sequence": "no"}, "sequence"),
        ({"dt_s": 0.0}, "dt_s = 0.0"),
        ({"dt_s": np.nan}, "dt_s"),
    ],
    ids=str,
)
def test_wrong_forms_are_refused_and_nothing_is_written(given, message, tmp_path):
    with pytest.raises((ValueError, TypeError), match=message):
        export_onnx(OraclePolicy(action_size=2), tmp_path / "policy.onnx", **given)
    assert list(tmp_path.iterdir()) == []


def test_a_policy_with_numbers_that_are_none_is_refused(tmp_path):
    agent = OraclePolicy(hidden=(8,), seed=2)
    agent.parameters["actor.layer0.weight"][0, 0] = np.nan
    for weights in ("float32", "int8"):
        with pytest.raises(ValueError, match=r"actor\.layer0\.weight.* is not finite"):
            export_onnx(agent, tmp_path / "policy.onnx", weights=weights)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cell", ["linear", "nonlinear", "mingru"])
def test_two_buffers_that_change_places_are_the_steps(cell, tmp_path):
    """As docs/export.md, Running it, demands of a loop with IO binding."""
    agent = OraclePolicy(cell=cell, hidden=(8,), seed=2)
    export_onnx(agent, tmp_path / "policy.onnx")
    model, x = session(tmp_path / "policy.onnx"), rows(agent, batch=1)
    wanted, last = stepped(model, x)
    value = onnxruntime.OrtValue.ortvalue_from_numpy
    now = {name: value(state) for name, state in zeros(model, 1).items()}
    after = {name: value(state) for name, state in zeros(model, 1).items()}
    for row, action in zip(x, wanted["action"], strict=True):
        binding = model.io_binding()
        binding.bind_cpu_input("observation", row)
        binding.bind_output("action")
        for name in now:
            binding.bind_ortvalue_input(name, now[name])
            binding.bind_ortvalue_output(f"{name}_next", after[name])
        model.run_with_iobinding(binding)
        assert np.array_equal(binding.get_outputs()[0].numpy(), action)
        now, after = after, now
    for name, state in last.items():
        assert np.array_equal(now[name].numpy(), state)
