"""The LeRobot distribution in integrations/, against LeRobot's own sources; torch and its other dependencies, which are
gigabytes, are not installed: what its base class imports is replaced.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import math
import sys
import types
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from toolchain import ROOT, locked, run

import rtu_edge as rtu

FOLDER = ROOT / "integrations/lerobot_robot_rtu_edge"
PINNED = "lerobot==0.6.1"


@pytest.fixture(scope="module")
def sources() -> Path:
    """The folder of LeRobot's wheel."""
    with locked(ROOT / ".cache/lerobot") as folder:
        if not (folder / "lerobot").is_dir():
            options = ["--no-deps", "--python-version", "3.12", "--only-binary", ":all:"]
            run(sys.executable, "-m", "pip", "download", "-q", *options, "-d", folder, PINNED)
            [wheel] = folder.glob("*.whl")
            zipfile.ZipFile(wheel).extractall(folder)
    return folder


def module(name: str, **members: Any) -> types.ModuleType:
    made = types.ModuleType(name)
    for key, value in members.items():
        setattr(made, key, value)
    return made


class ChoiceRegistry:
    """What RobotConfig takes from draccus."""

    choices: ClassVar[dict[str, type]] = {}

    @classmethod
    def register_subclass(cls, name: str) -> Any:
        def registered(made: type) -> type:
            cls.choices[name] = made
            return made

        return registered


@pytest.fixture
def plugin(sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Our package, with the base classes of LeRobot's files."""
    robots = module("lerobot.robots")
    robots.__path__ = [str(sources / "lerobot/robots")]
    fakes = [
        module("draccus", ChoiceRegistry=ChoiceRegistry),
        module("lerobot", __path__=[]),
        module("lerobot.lerobot_types", RobotAction=dict, RobotObservation=dict),
        module("lerobot.types", RobotAction=dict, RobotObservation=dict),
        module("lerobot.processor", RobotAction=dict, RobotObservation=dict),
        module("lerobot.motors", MotorCalibration=dict),
        module("lerobot.utils", __path__=[]),
        module("lerobot.utils.constants", HF_LEROBOT_CALIBRATION=tmp_path, ROBOTS="robots"),
        robots,
    ]
    for fake in fakes:
        monkeypatch.setitem(sys.modules, fake.__name__, fake)
    for name in ("config", "robot"):
        monkeypatch.setitem(sys.modules, f"lerobot.robots.{name}", None)
        monkeypatch.delitem(sys.modules, f"lerobot.robots.{name}")
        importlib.import_module(f"lerobot.robots.{name}")
    robots.Robot = sys.modules["lerobot.robots.robot"].Robot  # type: ignore[attr-defined]
    robots.RobotConfig = sys.modules["lerobot.robots.config"].RobotConfig  # type: ignore[attr-defined]
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in [name for name in sys.modules if name.startswith("lerobot_robot_rtu_edge")]:
        monkeypatch.delitem(sys.modules, name)
    yield importlib.import_module("lerobot_robot_rtu_edge")
    for name in [name for name in sys.modules if name.startswith(("lerobot_robot_rtu_edge", "lerobot.robots."))]:
        del sys.modules[name]


def test_lerobot_finds_it_by_its_name(sources: Path, tmp_path: Path) -> None:
    """By the name in the wheel's metadata, which has to begin with a prefix of LeRobot's source."""
    code = "import sys; from scikit_build_core.build import build_wheel; print(build_wheel(sys.argv[1]))"
    run(sys.executable, "-c", code, tmp_path, cwd=FOLDER)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        [metadata] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        text = archive.read(metadata).decode()
    assert "\nName: lerobot_robot_rtu_edge\n" in text
    tree = ast.parse((sources / "lerobot/utils/import_utils.py").read_text())
    [function] = [
        n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == "register_third_party_plugins"
    ]
    assert "lerobot_robot_" in {n.value for n in ast.walk(function) if isinstance(n, ast.Constant)}


def test_every_abstract_member_is_there_with_its_signature(plugin: Any) -> None:
    base, ours = sys.modules["lerobot.robots.robot"].Robot, plugin.RtuEdgeRobot
    assert not ours.__abstractmethods__ and base.__abstractmethods__
    for name in base.__abstractmethods__:
        theirs, own = inspect.getattr_static(base, name), inspect.getattr_static(ours, name)
        assert isinstance(own, property) == isinstance(theirs, property), name
        if not isinstance(theirs, property):
            assert list(inspect.signature(own).parameters) == list(inspect.signature(theirs).parameters), name
    assert ChoiceRegistry.choices["rtu_edge"] is plugin.RtuEdgeRobotConfig is ours.config_class


def test_a_plant_is_a_robot_of_lerobot(plugin: Any) -> None:
    robot = plugin.RtuEdgeRobot(
        plugin.RtuEdgeRobotConfig(target="servo", limits={"voltage": {"min": -2.0, "max": 2.0}})
    )
    assert robot.action_features == {"voltage": float} and robot.is_calibrated and not robot.is_connected
    with pytest.raises(RuntimeError, match="not connected"):
        robot.get_observation()
    with robot:
        assert robot.is_connected
        with pytest.raises(RuntimeError, match="already connected"):
            robot.connect()
        seen = robot.get_observation()
        assert set(seen) == set(robot.observation_features) and all(isinstance(v, float) for v in seen.values())
        assert robot.send_action({"voltage": 1.0}) == {"voltage": 1.0}
        assert robot.send_action({"voltage": 9.0}) == {"voltage": 2.0}  # what was sent
        for wrong in ({}, {"torque": 1.0}, {"voltage": 1.0, "b": 1.0}, {"voltage": math.nan}):
            with pytest.raises(ValueError):
                robot.send_action(wrong)
    assert not robot.is_connected
    robot.disconnect()


class Recorded:
    """A LeRobot robot that clips its action."""

    def __init__(self) -> None:
        self.sent: list[dict[str, float]] = []
        self.fails = False

    def get_observation(self) -> dict[str, Any]:
        return {"a.pos": 0.25, "b.pos": 0.0, "camera": None}

    def send_action(self, action: dict[str, float]) -> dict[str, float]:
        if self.fails:
            raise OSError("unplugged")
        self.sent.append(action)
        return {key: min(value, 1.05) for key, value in action.items()}


def test_a_learner_as_a_residual_on_a_robot_of_lerobot(plugin: Any) -> None:
    robot, agent = Recorded(), rtu.StreamAC(observation_size=2, action_size=1, seed=1, units=4, hidden=8)
    updates: list[Any] = []
    real = agent.update

    def recorded(*given: Any, **more: Any) -> Any:
        updates.append((given, more))
        return real(*given, **more)

    agent.update = recorded  # type: ignore[method-assign]
    residual = plugin.Residual(robot, agent, {"a.pos": 0.1}, {"a.pos": (-2.0, 1.08)}, lambda seen, sent: 1.0)
    for _ in range(50):
        sent = residual.step({"a.pos": 1.0, "b.pos": 5.0})
        assert 0.9 <= sent["a.pos"] <= 1.05 and robot.sent[-1]["a.pos"] <= 1.08 and robot.sent[-1]["b.pos"] == 5.0
    assert len(updates) == 49 and all(-1.0 <= more["applied"][0] <= 0.5 + 1e-6 for _, more in updates)
    residual.begin()
    residual.step({"a.pos": 1.0, "b.pos": 5.0})
    assert len(updates) == 49
    robot.fails = True
    with pytest.raises(OSError):
        residual.step({"a.pos": 1.0, "b.pos": 5.0})
    robot.fails = False
    residual.step({"a.pos": 1.0, "b.pos": 5.0})  # a new episode
    count = len(robot.sent)
    for wrong in ({"b.pos": 1.0}, {"a.pos": math.inf, "b.pos": 0.0}):
        with pytest.raises(ValueError):
            residual.step(wrong)
    assert len(robot.sent) == count
    for bound, limits in (
        ({"a.pos": 0.0}, {"a.pos": (0.0, 1.0)}),
        ({"a.pos": 1.0}, {}),
        ({"a.pos": 1.0}, {"a.pos": (1.0, 0.0)}),
    ):
        with pytest.raises(ValueError, match="must be"):
            plugin.Residual(robot, agent, bound, limits, lambda seen, sent: 0.0)
