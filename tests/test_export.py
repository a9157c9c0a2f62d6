"""The exported policy: against a double-precision oracle, against onnx's reference implementation; the file's
structure; crashes.
"""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx.reference
import onnxruntime
import pytest
from reference.policy_oracle import OraclePolicy

import rtu_edge
from rtu_edge.device.plants import Plant
from rtu_edge.learn.c_policy import export_c
from rtu_edge.learn.onnx import ExportError, OnnxPolicy, drive, export_onnx, probe, verify_onnx
from rtu_edge.learn.onnx.model import config_hash
from rtu_edge.learn.onnx.probe import load


@pytest.mark.parametrize(
    "actions", [{"action_size": 1}, {"action_size": 3}, {"n_actions": 2}, {"n_actions": 5}], ids=str
)
@pytest.mark.parametrize("hidden", [(), (8,), (16, 7)], ids=str)
@pytest.mark.parametrize("body", ["separate", "shared"])
@pytest.mark.parametrize(
    ("cell", "activation"),
    [(c, a) for c in ("linear", "nonlinear") for a in ("relu", "tanh", "identity")] + [("none", "relu")],
)
def test_every_shape_matches_the_oracle(cell, activation, body, hidden, actions, tmp_path):
    agent = OraclePolicy(cell=cell, activation=activation, body=body, hidden=hidden, **actions)
    export_onnx(agent, tmp_path / "policy.onnx")
    # Single against double precision; an index must be the same one.
    bound = 0.0 if agent.config["n_actions"] else 1e-6
    assert verify_onnx(tmp_path / "policy.onnx", agent, steps=200) <= bound


@pytest.mark.parametrize("body", ["separate", "shared"])
@pytest.mark.parametrize(("actions", "hidden"), [({"action_size": 3}, (8,)), ({"n_actions": 5}, ())], ids=str)
@pytest.mark.parametrize("activation", ["relu", "tanh", "identity"])
@pytest.mark.parametrize("cell", ["mingru", "lru", "elstm"])
def test_every_cell_matches_the_oracle(cell, activation, actions, hidden, body, tmp_path):
    agent = OraclePolicy(cell=cell, activation=activation, body=body, hidden=hidden, seed=1, **actions)
    export_onnx(agent, tmp_path / "policy.onnx")
    assert verify_onnx(tmp_path / "policy.onnx", agent, steps=200) <= (0.0 if "n_actions" in actions else 1e-6)
    states = [i.name for i in onnx.load(tmp_path / "policy.onnx").graph.input if i.name != "observation"]
    assert states == (["h1", "h2"] if cell == "lru" else ["h1"])


@pytest.mark.parametrize("seed", range(3))
def test_units_may_share_a_pole(seed, tmp_path):
    agent = OraclePolicy(units=12, members=4, seed=seed)
    export_onnx(agent, tmp_path / "policy.onnx")
    assert verify_onnx(tmp_path / "policy.onnx", agent, steps=200) <= 1e-6


@pytest.mark.parametrize("cell", ["linear", "nonlinear"])
def test_slow_units_stay_close_over_1000_steps(cell, tmp_path):
    agent = OraclePolicy(units=32, hidden=(32,), cell=cell, r_max=0.9999, seed=4)
    export_onnx(agent, tmp_path / "policy.onnx")
    assert verify_onnx(tmp_path / "policy.onnx", agent, steps=1000) <= 1e-5


def test_large_mean_beside_a_small_deviation_loses_nothing(tmp_path):
    agent = OraclePolicy(seed=5)
    agent.set_statistics(np.array([1000.1, -20.3, 3.3]), np.array([1e-2, 1e-6, 1.0]))
    export_onnx(agent, tmp_path / "policy.onnx")
    # One float for the mean would be off by 3e-5 / 0.1 = 3e-4 of a deviation.
    assert verify_onnx(tmp_path / "policy.onnx", agent, steps=300) <= 2e-6


def test_raw_observations_stay_raw(tmp_path):
    agent = OraclePolicy(normalize_observation=False)
    export_onnx(agent, tmp_path / "policy.onnx")
    assert verify_onnx(tmp_path / "policy.onnx", agent, steps=100) <= 1e-6
    model = onnx.load(tmp_path / "policy.onnx")
    assert not any(c.name.startswith("normalizer") for c in model.graph.initializer)


def test_a_wrong_policy_is_found(tmp_path):
    agent = OraclePolicy(seed=6)
    export_onnx(agent, tmp_path / "policy.onnx")
    agent.parameters["actor.cell.theta_log"] += np.float32(1e-3)
    assert verify_onnx(tmp_path / "policy.onnx", agent, steps=200) > 1e-4
    agent.config["units"] = 7
    with pytest.raises(ValueError, match="exported from another configuration"):
        verify_onnx(tmp_path / "policy.onnx", agent)


def test_a_policy_that_gives_what_is_not_a_number_is_found(tmp_path, monkeypatch):
    """Once, in the middle: the actions before and after it are fine."""
    agent = OraclePolicy(observation_size=2, action_size=1, seed=6)
    export_onnx(agent, tmp_path / "policy.onnx")
    well, calls = OnnxPolicy.difference, itertools.count()

    def difference(self, ours, theirs):
        return well(self, ours * np.float32(np.nan) if next(calls) % 100 == 50 else ours, theirs)

    monkeypatch.setattr(OnnxPolicy, "difference", difference)
    assert np.isnan(verify_onnx(tmp_path / "policy.onnx", agent, steps=100))
    driven = drive(OnnxPolicy(tmp_path / "policy.onnx"), Plant("cartpole"), steps=100, follower=agent)
    assert np.isnan(driven.largest_difference)


def test_state_goes_in_and_comes_out(tmp_path):
    agent = OraclePolicy(units=5, seed=7)
    export_onnx(agent, tmp_path / "policy.onnx")
    policy = OnnxPolicy(tmp_path / "policy.onnx")
    rng = np.random.default_rng(0)
    xs = rng.standard_normal((20, 3)).astype(np.float32)
    first = [policy.predict(x) for x in xs]
    for x in xs:
        agent.predict(x)
    assert np.array(policy.state) == pytest.approx(agent.h, abs=1e-5)
    assert not np.array_equal(policy.predict(xs[0]), first[0])
    policy.reset()
    assert np.array_equal(np.array(policy.state), np.zeros((2, 5)))
    assert np.array_equal([policy.predict(x) for x in xs], first)


def test_onnx_reference_agrees(tmp_path):
    agent = OraclePolicy(units=4, hidden=(6, 5), seed=8)
    export_onnx(agent, tmp_path / "policy.onnx")
    model = onnx.load(tmp_path / "policy.onnx")
    reference = onnx.reference.ReferenceEvaluator(model)
    h1 = h2 = np.zeros((1, 4), np.float32)
    for x in np.random.default_rng(1).standard_normal((30, 3)).astype(np.float32):
        action, h1, h2 = reference.run(["action", "h1_next", "h2_next"], {"observation": x[None], "h1": h1, "h2": h2})
        assert action[0] == pytest.approx(agent.predict(x), abs=2e-6)


def test_file_is_old_enough_and_says_what_it_is(tmp_path):
    agent = OraclePolicy(action_size=1, units=4)
    agent.config["dt_s"] = 0.02
    path = tmp_path / "policy.onnx"
    export_onnx(agent, path, observations=["x [m]", "theta [rad]", "y [m]"], actions=["force [share of 10 N]"])
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 17)]
    assert model.ir_version == 8
    assert [i.name for i in model.graph.input] == ["observation", "h1", "h2"]
    assert [o.name for o in model.graph.output] == ["action", "h1_next", "h2_next"]
    assert all(c.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.INT64) for c in model.graph.initializer)
    policy = OnnxPolicy(path)
    import rtu_edge

    assert policy.metadata["rtu_edge.version"] == rtu_edge.__version__
    assert policy.metadata["rtu_edge.config_hash"] == config_hash(agent.config)
    assert policy.dt_s == 0.02
    assert policy.observations == ("x [m]", "theta [rad]", "y [m]")
    assert policy.actions == ("force [share of 10 N]",)
    assert path.stat().st_mode & 0o777 == 0o644


def test_export_is_whole_or_not_at_all(tmp_path):
    path = tmp_path / "policy.onnx"
    agent = OraclePolicy()
    export_onnx(agent, path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="observations: 1 descriptions for 3 observations"):
        export_onnx(agent, path, observations=["x"])
    with pytest.raises(ValueError, match="actions: 3 descriptions for 2 actions"):
        export_onnx(agent, path, actions=["a", "b", "c"])
    for name, value in (("dt_s", 0.0), ("dt_s", float("nan")), ("dt_s", "0.02"), ("actions", "ab"), ("actions", 2)):
        with pytest.raises(ValueError, match=f"{name} = {value!r}: expected"):
            export_onnx(agent, path, **{name: value})
    with pytest.raises(ValueError, match=r"observations\[1\] = 3: expected a text"):
        export_onnx(agent, path, observations=["x", 3, "y"])
    agent.config["activation"] = "gelu"
    with pytest.raises(ValueError, match="activation: 'gelu' is not one of relu, tanh, identity"):
        export_onnx(agent, path)
    agent.kind = "td_predictor"
    with pytest.raises(ValueError, match="'td_predictor' has no policy"):
        export_onnx(agent, path)
    with pytest.raises(FileNotFoundError):
        export_onnx(OraclePolicy(), tmp_path / "missing" / "policy.onnx")
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["policy.onnx"]


def test_policy_refuses_what_it_cannot_run(tmp_path):
    agent = OraclePolicy(seed=9)
    export_onnx(agent, tmp_path / "policy.onnx")
    policy = OnnxPolicy(tmp_path / "policy.onnx")
    policy.predict(np.ones(3))
    state = policy.state
    with pytest.raises(ValueError, match=r"shape \(2,\), expected \(3,\)"):
        policy.predict(np.ones(2))
    with pytest.raises(ValueError, match="not finite"):
        policy.predict([0.0, np.nan, 0.0])
    assert np.array_equal(policy.state, state)
    (tmp_path / "cut.onnx").write_bytes((tmp_path / "policy.onnx").read_bytes()[:200])
    with pytest.raises(ValueError, match=r"cut\.onnx: not a policy that rtu_edge has exported: .* cut short"):
        OnnxPolicy(tmp_path / "cut.onnx")
    helper = onnx.helper
    floats = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    out = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [floats], [out])
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(ValueError, match="not a policy that rtu_edge has exported"):
        OnnxPolicy(tmp_path / "other.onnx")
    with pytest.raises(ValueError, match="steps = 0"):
        verify_onnx(tmp_path / "policy.onnx", agent, steps=0)


@pytest.mark.parametrize("actions", [{"action_size": 1}, {"n_actions": 3}], ids=str)
def test_drive_runs_a_plant_and_compares(actions, tmp_path):
    agent = OraclePolicy(observation_size=2, seed=10, **actions)
    export_onnx(agent, tmp_path / "policy.onnx")
    policy = OnnxPolicy(tmp_path / "policy.onnx")
    driven = drive(policy, Plant("cartpole"), steps=300, seed=3, follower=agent)
    assert driven.steps == 300
    assert driven.reward == 300.0
    assert sum(driven.episodes) <= 300.0
    assert len(driven.episodes) >= 2
    assert driven.largest_difference <= 1e-6
    alone = drive(policy, Plant("cartpole"), steps=300, seed=3)
    assert alone.episodes == driven.episodes

    plant = Plant("cartpole")
    (x, _), length = plant.reset(3), 0
    policy.reset()
    while True:
        action = policy.predict(x)
        u = action * 10.0 if isinstance(action, np.ndarray) else np.array([-10.0, 0.0, 10.0])[[action]]
        x, _, terminated, *_ = plant.step(u)
        length += 1
        if terminated:
            break
    assert driven.episodes[0] == length


# ---------------------------------------------------------------- imports that misbehave


def test_nothing_heavy_is_imported_before_it_is_needed():
    code = "import sys, rtu_edge.learn.onnx; sys.exit(bool({'onnx', 'onnxruntime'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", r"crashes on this host \(signal SIGILL"),
        ("raise RuntimeError('no such wheel')", "cannot be imported: RuntimeError: no such wheel"),
        ("import time; time.sleep(60)", "took more than 1 s"),
    ],
    ids=["crash", "error", "hang"],
)
def test_an_import_that_misbehaves_is_an_error_not_a_crash(body, message, tmp_path, monkeypatch):
    (tmp_path / "misbehaving.py").write_text(body)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    probe.cache_clear()
    with pytest.raises(ExportError, match=message):
        probe("misbehaving", 1.0)


def test_a_crash_at_exit_is_a_warning(tmp_path, monkeypatch):
    (tmp_path / "late.py").write_text(
        "import atexit, os, signal\natexit.register(os.kill, os.getpid(), signal.SIGSEGV)"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.warns(RuntimeWarning, match=r"dies at its exit \(signal SIGSEGV\)"):
        probe("late")


def test_a_module_that_is_not_there_is_named():
    with pytest.raises(ExportError, match="No module named 'onnx_of_nowhere'"):
        probe("onnx_of_nowhere")


def test_runtime_is_one_thread_on_the_processor(tmp_path, monkeypatch):
    seen = {}
    session = onnxruntime.InferenceSession

    def spy(path, options, providers):
        seen.update(threads=(options.intra_op_num_threads, options.inter_op_num_threads), providers=providers)
        return session(path, options, providers=providers)

    monkeypatch.setattr(onnxruntime, "InferenceSession", spy)
    export_onnx(OraclePolicy(), tmp_path / "policy.onnx")
    OnnxPolicy(tmp_path / "policy.onnx")
    assert seen == {"threads": (1, 1), "providers": ["CPUExecutionProvider"]}


# ---------------------------------------------------------------- telemetry

EXPORT_AND_VERIFY = """
import sys, rtu_edge as rtu
agent = rtu.StreamAC(observation_size=2, action_size=1, units=4, hidden=4, dt_s=0.02)
rtu.export_onnx(agent, sys.argv[1])
assert rtu.verify_onnx(sys.argv[1], agent, steps=20) < 1e-5
"""


def files_left(home, code, *arguments, **environment):
    """Files in an empty HOME after a process with this code has ended."""
    home.mkdir()
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("XDG_", "ORT_"))}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**kept, "HOME": str(home), "MPLCONFIGDIR": str(home / "mpl"), **environment},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())


def test_export_and_verify_leave_no_telemetry(tmp_path, record_property):
    """From 1.29 on, importing onnxruntime writes a host identifier and a database into the user's cache."""
    assert files_left(tmp_path / "ours", EXPORT_AND_VERIFY, str(tmp_path / "policy.onnx")) == []
    assert files_left(tmp_path / "off", EXPORT_AND_VERIFY, str(tmp_path / "b.onnx"), ORT_DISABLE_TELEMETRY="0") == []
    bare = files_left(tmp_path / "bare", "import onnxruntime")
    record_property("table", f"onnxruntime {onnxruntime.__version__}: an import of its own leaves {bare or 'nothing'}")


def test_both_processes_that_import_are_told(tmp_path, monkeypatch):
    """The one that tries the import, and this process's."""
    (tmp_path / "told.py").write_text("import os\nassert os.environ['ORT_DISABLE_TELEMETRY'] == '1'\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY")
    probe.cache_clear()
    load("told")
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY")
    del sys.modules["told"]
    load("told")  # the probe is not run again


def test_onnxruntime_is_imported_in_one_place():
    """Otherwise an earlier import would send."""
    package = Path(rtu_edge.__file__).parent
    root = package.parent
    folders = [package, *(root / name for name in ("benchmarks", "examples", "tools") if (root / name).is_dir())]
    wanted = re.compile(r"^\s*(import|from) +(onnx|onnxruntime)\b|import_module\(.onnx", re.MULTILINE)
    found = [path for folder in folders for path in folder.rglob("*.py") if wanted.search(path.read_text("utf-8"))]
    # Runs in environments of other packages, where sending is turned off from outside.
    assert [path.relative_to(root) for path in found] == [Path("benchmarks/onnx_worker.py")]
    assert '"ORT_DISABLE_TELEMETRY": "1"' in (root / "benchmarks/onnx_matrix.py").read_text("utf-8")


@pytest.mark.parametrize("agent", [None, 3, "agent.rtu", rtu_edge.LinearRTU(2, 4), rtu_edge.TDPredictor(2, units=4)])
def test_what_has_no_policy_is_named(agent, tmp_path):
    what = getattr(agent, "kind", type(agent).__name__)
    for call in (
        lambda: export_onnx(agent, tmp_path / "a.onnx"),
        lambda: verify_onnx(tmp_path / "a.onnx", agent),
        lambda: export_c(agent, tmp_path / "a.c"),
    ):
        with pytest.raises(
            rtu_edge.ConfigError, match=f"^agent: (a|kind) '?{what}'? has no policy to export; stream_ac"
        ):
            call()
    assert not list(tmp_path.iterdir())
