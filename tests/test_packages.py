"""The package with its dependencies alone: what needs an extra is one sentence with the command that installs it.

In one process whose finder refuses the modules of all extras. `make empty` installs the wheel without them.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from toolchain import ROOT

from rtu_edge._base import packages

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROBE = """
import contextlib, importlib, io, json, sys
from pathlib import Path
from types import SimpleNamespace

class Refusing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

BLOCKED = set(sys.argv[1].split(","))
sys.meta_path.insert(0, Refusing())

import rtu_edge as rtu
from rtu_edge.cli import main
from rtu_edge.learn.onnx import OnnxPolicy

found = {}

def call(name, function, *arguments):
    try:
        function(*arguments)
        found[name] = "no error"
    except ImportError as error:
        found[name] = str(error)

def command(*arguments):
    out, err = io.StringIO(), io.StringIO()
    code = None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(arguments)
        except SystemExit as leaving:
            code = leaving.code
    found[" ".join(arguments)] = [code, out.getvalue(), err.getvalue()]

plant = rtu.Plant("cartpole", max_steps=9)
agent = rtu.StreamAC.from_env(plant, seed=0)
agent.learn(plant, 20, progress=False)
call("export_onnx", rtu.export_onnx, agent, "policy.onnx")
call("verify_onnx", rtu.verify_onnx, "policy.onnx", agent)
call("OnnxPolicy", OnnxPolicy, "policy.onnx")
call("plot", rtu.evaluate(agent, plant, 1).plot)
call("TensorBoardWriter", rtu.TensorBoardWriter, "board")
call("envs", __import__, "rtu_edge.envs")

command("run", "--sim", "--steps", "300", "--set", "learner.units=4", "--set", "learner.hidden=8")
Path("runs/sim/policy.onnx").touch()
command("inspect", "runs/sim")
command("inspect", "runs/sim", "--report")
command("inspect", "runs/sim", "--plot", "plot.png")
command("blackbox", "runs/sim")
command("blackbox", "runs/sim", "--plot", "plot.png")
command("replay", "runs/sim")
command("replay", "runs/sim", "--set", "learner.critic.step_size=0.5", "-o", "other")
command("export", "runs/sim")
command("verify", "runs/sim")
command("demo")

from rtu_edge.record import RunFolder
from rtu_edge.report import write_picture
call("write_picture", write_picture, RunFolder("runs/sim"), Path("plot.png"))

sys.path.insert(0, sys.argv[2])  # pyarrow 17 installs a package `benchmarks` of its own
for name in ("vector_env", "stable_baselines3"):
    try:
        importlib.import_module(f"benchmarks.{name}")
    except SystemExit as leaving:
        found[name] = leaving.code

from rtu_edge.bench import latency, picture
none = latency.Latencies(**{field: {} for field in latency.Latencies.__dataclass_fields__})
found["latency"] = [str(value) for value in picture.save(none, None, Path("bench"))]
print(json.dumps({"found": found, "files": sorted(str(path) for path in Path().rglob("*")),
                  "blocked": sorted(BLOCKED & {name.partition(".")[0] for name in sys.modules})}))
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    folder = tmp_path_factory.mktemp("base")
    blocked = ",".join(packages._EXTRAS)
    command = [sys.executable, "-c", PROBE, blocked, str(ROOT)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["blocked"] == []
    return {**answer["found"], "files": answer["files"]}


@pytest.mark.parametrize(
    ("entry", "by", "module", "extra"),
    [
        ("export_onnx", "export_onnx()", "onnx", "onnx"),
        ("verify_onnx", "verify_onnx()", "onnxruntime", "onnx"),
        ("OnnxPolicy", "OnnxPolicy", "onnxruntime", "onnx"),
        ("plot", "plot()", "matplotlib", "report"),
        ("write_picture", "a picture", "matplotlib", "report"),
        ("TensorBoardWriter", "TensorBoardWriter", "tensorboardX", "tensorboard"),
        ("envs", "rtu_edge.envs", "gymnasium", "gym"),
    ],
)
def test_python_names_the_command(base: dict[str, object], entry: str, by: str, module: str, extra: str) -> None:
    sentence = f'{by} needs {module}, which is not installed: pip install "rtu_edge[{extra}]"'
    assert str(base[entry]).removesuffix(", with Python 3.14 or older: there are no wheels for this one") == sentence


@pytest.mark.parametrize(
    ("command", "module", "extra"),
    [
        ("export runs/sim", "onnx", "onnx"),
        ("verify runs/sim", "onnxruntime", "onnx"),
        ("demo", "onnx", "onnx"),
        ("inspect runs/sim --plot plot.png", "matplotlib", "report"),
        ("blackbox runs/sim --plot plot.png", "matplotlib", "report"),
    ],
)
def test_a_command_ends_with_exit_code_2(base: dict[str, object], command: str, module: str, extra: str) -> None:
    sentence = f'rtu-edge: {module} is not installed: pip install "rtu_edge[{extra}]"\n'
    assert base[command] == [2, "", sentence]


def test_the_loop_its_log_and_its_report_need_no_extra(base: dict[str, list[object]]) -> None:
    for command in ("inspect runs/sim", "inspect runs/sim --report", "blackbox runs/sim", "replay runs/sim"):
        code, _, err = base[command]
        assert (code, err) == (0, ""), command
    [run] = [name for name in base if name.startswith("run ")]
    assert base[run][0] == 0 and "report: runs/sim/report.html" in str(base[run][1])
    assert "runs/sim/report.html" in base["files"] and "plot.png" not in base["files"]
    assert not any(str(name).startswith("runs/demo") for name in base["files"])


def test_numbers_are_kept_where_only_the_picture_fails(base: dict[str, list[object]]) -> None:
    note = 'no picture: matplotlib is not installed: pip install "rtu_edge[report]"'
    [what_if] = [name for name in base if name.startswith("replay runs/sim --set")]
    code, out, err = base[what_if]
    assert (code, err) == (0, "") and note in str(out)
    assert base["latency"] == ["bench/latency.json", "None", note]
    assert {"other/what-if.npz", "bench/latency.json"} <= set(base["files"])


def test_a_benchmark_names_the_command(base: dict[str, object]) -> None:
    for name in ("vector_env", "stable_baselines3"):
        assert base[name] == 'gymnasium is not installed: pip install "rtu_edge[gym]"'


def test_what_is_no_package_of_ours_stays_an_error() -> None:
    with pytest.raises(ModuleNotFoundError, match="No module named 'kiwisolver'"), packages.needed_by("plot()"):
        raise ModuleNotFoundError("No module named 'kiwisolver'", name="kiwisolver")
    with pytest.raises(ModuleNotFoundError, match="surprising"):
        packages.note_of(ModuleNotFoundError("surprising", name="surprising"))
    assert packages.missing_package(ImportError("half a module")) == ""


def test_each_module_has_the_extra_that_installs_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]

    def names(lines: list[str]) -> set[str]:
        return {re.match(r"[\w-]+", line)[0] for line in lines}  # type: ignore[index]

    for module, extra in packages._EXTRAS.items():
        assert {module, f"{module}-sdk"} & names(extras[extra]), module
    always = names(project["dependencies"])
    assert always == {"numpy", "cffi", "pyserial", "msgspec", "tomli", "click", "rich", "mcap"}
    assert {packages.install_command(name).removeprefix("pip install ") for name in packages._PACKAGES} >= (
        always - {"tomli"}
    )
    [whole] = extras["all"]
    assert set(re.findall(r"\w+", whole)) - {"rtu_edge"} == set(packages._EXTRAS.values()) - {
        "bench",
        "foxglove",
        "mujoco",
        "study",
    }


def test_a_package_without_wheels_for_this_python_names_the_python(monkeypatch: pytest.MonkeyPatch) -> None:
    def sentence() -> str:
        with pytest.raises(ModuleNotFoundError) as caught, packages.needed_by("verify_onnx()"):
            raise ModuleNotFoundError(name="onnxruntime")
        return str(caught.value)

    monkeypatch.setattr(sys, "version_info", (3, 14, 10))
    command = 'verify_onnx() needs onnxruntime, which is not installed: pip install "rtu_edge[onnx]"'
    assert sentence() == command
    monkeypatch.setattr(sys, "version_info", (3, 15, 2))
    assert sentence() == f"{command}, with Python 3.14 or older: there are no wheels for this one"
    assert packages.missing_package(ModuleNotFoundError(name="onnxruntime")) in sentence().replace(", which", "")
    optional = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert "onnxruntime>=1.19; python_version < '3.15'" in optional["onnx"]
