"""A device in Python: episodes, a ramp, a process of its own."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import python_arm
from python_arm import LIMITS, SLEW, Arm, connect, until

import rtu_edge as rtu
from rtu_edge.device.python_device import load_device
from rtu_edge.tools.estop import estop


class Cart(Arm):
    """A point that its force moves, with episodes and a reward."""

    simulated = True
    max_steps = 5

    def __init__(self) -> None:
        super().__init__()
        self.starts: list[int] = []
        self.blocked = threading.Event()
        self.blocks = False

    def reset(self, seed: int) -> None:
        self.starts.append(seed)
        self.reading = [0.25, 0.0]
        if self.blocks:
            self.blocked.set()
            self.stop_asked.wait(20)

    def reward(self, x: Any, u: Any) -> float:
        return float(x[0]) + 10 * float(u[0])

    def terminated(self, x: Any) -> bool:
        return bool(x[1] > 5)


def test_episodes_and_rewards() -> None:
    cart = Cart()
    with rtu.connect(cart, ttl_ms=5000) as robot:
        assert robot.hello.reset
        assert robot.hello.reward
        observation, info = robot.reset(seed=11)
        assert (observation[0], info["plant_seed"], cart.starts) == (0.25, 11, [11])
        steps = [robot.step([0.1]) for _ in range(5)]
        assert [step[3] for step in steps] == [False, False, False, False, True]
        assert steps[-1][1] == pytest.approx(0.25 + 10 * 0.1)
        with pytest.raises(rtu.ConfigError, match=r"reset\(\) first"):
            robot.step([0.1])
        robot.reset(seed=12)
        cart.reading = [0.25, 6.0]
        assert any(robot.step([0.1])[2] for _ in range(3))
        agent = rtu.StreamAC(observation_size=2, action_size=1, units=4, hidden=4, seed=0)
        cart.reading = [0.25, 0.0]
        result = robot.run(agent, episodes=2)
        assert (result.episodes, len(result.returns)) == (2, 2)
    assert len(cart.starts) >= 4


def test_an_emergency_stop_in_a_reset_reaches_the_machine_at_once() -> None:
    cart = Cart()
    cart.blocks = True
    with rtu.connect(cart, ttl_ms=5000) as robot:
        failed: list[Exception] = []

        def reset() -> None:
            try:
                robot.reset(seed=1)
            except Exception as error:
                failed.append(error)

        thread = threading.Thread(target=reset)
        thread.start()
        assert cart.blocked.wait(20)
        estop(robot.port, timeout_s=5.0)
        thread.join(20)
        assert "emergency stop" in str(failed[0])
        until(lambda: cart.told[-1] == "safe")


class Lift(Arm):
    """An actuator that ramps down."""

    actuators = (rtu.Channel("torque", "Nm", -2.0, 2.0, safe=rtu.Safe.RAMP, slew=SLEW, safe_value=-1.0),)


def test_a_ramp_is_written_to_its_end_and_then_safe_is_called() -> None:
    lift = Lift()
    with connect(lift) as robot:
        for _ in range(8):
            robot.read()
            robot.write(1.0)
        robot.estop(5.0)
        until(lambda: lift.told[-1] == "safe")
    down = lift.told[: lift.told.index("safe", 2)]
    assert down[-3:] == pytest.approx([-0.5, -0.75, -1.0])


SCRIPT = """
import math, sys, rtu_edge as rtu
from python_arm import Arm, connect, drive
arm = Arm()
class Printing(list):
    def append(self, each):
        print(each, flush=True)
        super().append(each)
arm.told = Printing()
robot = connect(arm)
drive(robot, arm)
raise SystemExit("left without close()")
"""


def test_a_script_that_ends_without_closing_leaves_it_safe() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, cwd=Path(__file__).parent, timeout=60
    )
    assert "left without close()" in done.stderr
    assert done.stdout.split()[-2:] == ["safe", "close"]


def test_a_process_of_its_own_and_sigterm(tmp_path: Path) -> None:
    link = tmp_path / "arm"
    name = f"{Path(python_arm.__file__)}:Announcing"
    command = [sys.executable, "-m", "rtu_edge.cli", "device", name, "--link", str(link)]
    lines: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            threading.Thread(target=lambda: lines.extend(iter(process.stdout or ())), daemon=True).start()
            until(lambda: any("Ctrl-C" in line for line in lines))
            with rtu.connect(str(link), arm=True, limits=LIMITS, ttl_ms=5000) as robot:
                assert not robot.simulated
                robot.write(1.0)
                until(lambda: "wrote\n" in lines)
                process.terminate()
                until(lambda: lines[-1] == "safe\n")
            assert process.wait(20) == 0
        finally:
            process.kill()
    assert not link.is_symlink()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nothing.py:Arm", "nothing.py:Arm: no such file: nothing.py"),
        ("rtu_edge:Nothing", "rtu_edge:Nothing: no class 'Nothing' in rtu_edge"),
        ("collections:Counter", "expected a subclass of rtu_edge.PythonDevice"),
    ],
)
def test_a_name_that_is_no_device_is_refused(name: str, words: str) -> None:
    with pytest.raises(rtu.ConfigError, match=words):
        load_device(name)
