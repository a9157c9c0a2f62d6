"""Type information for users: mypy --strict on a program that uses the package, outside of this project."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import numpy as np
import rtu_edge as rtu


def learn(steps: int) -> float:
    plant = rtu.Plant("cartpole")
    agent = rtu.StreamAC(observation_size=2, action_size=1, seed=0)
    observation, info = plant.reset(seed=0)
    action = agent.reset(observation)
    total = 0.0
    for _ in range(steps):
        observation, reward, terminated, truncated, info = plant.step(plant.scale(action))
        total += reward
        action = agent.step(observation, reward, terminated, truncated)
        if terminated or truncated:
            observation, info = plant.reset(seed=1)
            action = agent.reset(observation)
    agent.save("checkpoint.rtu")
    return total


def drive(path: str, seconds: float) -> int:
    with rtu.open_port(path) as port, rtu.Link(port) as link:
        hello = link.handshake()
        agent = rtu.StreamAC(hello.observation_size, hello.action_size, seed=0)
        config = rtu.LoopConfig(limits=[rtu.Limits(-10.0, 10.0)], seconds=seconds)
        try:
            result = rtu.Loop(link, agent.core.policy(), config).run()
        except rtu.DeviceError as error:
            raise SystemExit(str(error)) from error
        return result.steps


def predict(signal: "np.typing.NDArray[np.float32]") -> list[float]:
    predictor = rtu.TDPredictor(1, units=8, gamma=0.9)
    return [predictor.step(signal[i : i + 1], float(signal[i])) for i in range(len(signal))]


size: rtu.Footprint = rtu.footprint("stream_ac", observation_size=2, action_size=1)
print(size.nbytes + 1, learn(100))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for both, so that the package and numpy are read once."""
    return tmp_path_factory.mktemp("user")


def checked(folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    (folder / "user.py").write_text(program)
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "user.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_a_user_s_program_passes_the_strict_checker(folder: Path) -> None:
    done = checked(folder, PROGRAM)
    assert done.returncode == 0, done.stdout + done.stderr


def test_wrong_calls_of_a_user_are_found(folder: Path) -> None:
    wrong = PROGRAM.replace("size.nbytes + 1", 'size.nbytes + "1"').replace("link.handshake()", "link.shake_hands()")
    done = checked(folder, wrong)
    assert done.returncode == 1 and "shake_hands" in done.stdout and "[operator]" in done.stdout, done.stdout
