"""`rtu-edge run` and `demo` end to end, on simulated devices behind ptys."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import logged
import numpy as np
import pytest
from host import not_simulated

import rtu_edge as rtu
import rtu_edge.cli
from rtu_edge._base.errors import ConfigError, DeadlineError
from rtu_edge.config import load_config, parse_config
from rtu_edge.demo import Options, demo_config
from rtu_edge.device import plants
from rtu_edge.device.ports import open_port
from rtu_edge.device.simulated import SimulatedDevice
from rtu_edge.loop import Hello, Link, Loop, LoopConfig, Signals, StopReason
from rtu_edge.record import RunFolder
from rtu_edge.record.reader import Log, read_log
from rtu_edge.record.stages import stages
from rtu_edge.run import check_deadline, connect, error_of, loop_config, make_agent, run_loop

# A device in real time goes safe when its host is starved.
pytestmark = pytest.mark.timing

# The device's maximum TTL, so that a busy test host does not end a run.
LEARNS = "[loop]\nttl_ms = 200\n[learner]\nunits = 8\nhidden = [8]\n"
SIMULATED = f'[device]\nplant = "cartpole"\n{LEARNS}'
LIMITS = "[limits.force]\nmin = -5.0\nmax = 5.0\nslew_per_s = 200.0\naccel_per_s2 = inf\n"


def run(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as leaving:
        rtu_edge.cli.main(arguments)
    out, err = capfd.readouterr()
    code = leaving.value.code
    assert isinstance(code, int)
    return code, out, err


def start(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "rtu_edge.cli", *arguments]
    return subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "it did not happen in time"
        time.sleep(0.02)


def test_a_signal_before_arm_leaves_nothing_to_confirm() -> None:
    """Nothing was armed: no safety stop, exit code 0."""
    with SimulatedDevice() as device, open_port(device.port) as opened, Link(opened) as link:
        link.handshake()
        policy = rtu.StreamAC(observation_size=2, action_size=1).core.policy()
        with Signals():
            os.kill(os.getpid(), signal.SIGTERM)
            result = Loop(link, policy, LoopConfig(handle_signals=True)).run()
        assert result.reason is StopReason.SIGNAL and result.steps == 0 and result.confirmed
        assert error_of(result) is None
        assert link.handshake().last_session == 0  # no ARM has come


@pytest.fixture
def robot(tmp_path: Path) -> Path:
    path = tmp_path / "robot.toml"
    path.write_text(SIMULATED + f'[run]\nfolder = "{tmp_path}/runs"\nsteps = 1500\n')
    return path


# ---------------------------------------------------------------- demo


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, str, RunFolder]:
    """A demo too short to learn: all other checks must hold."""
    place = tmp_path_factory.mktemp("demo")
    process = start("demo", "--steps", "3000", "--realtime-s", "1", "--seed", "5", cwd=place)
    out, err = process.communicate(timeout=120)
    return process.returncode, out + err, RunFolder(place / "runs" / "demo")


def test_a_short_demo_fails_its_learning_and_nothing_else(demo: tuple[int, str, RunFolder]) -> None:
    code, said, folder = demo
    assert code == 1, said
    assert "did not hold: learns" in said
    checks = {check.title: check.passed for check in folder.load_summary().checks}
    assert checks == {
        "learns": False,
        "runs in real time": True,
        "resumes to the bit": True,
        "exports": True,
        "needs its memory": True,
    }


def test_the_demo_tells_its_seven_steps(demo: tuple[int, str, RunFolder]) -> None:
    steps = re.findall(r"^(\d)  (\w+)", demo[1], re.MULTILINE)
    assert [int(number) for number, _ in steps] == [1, 2, 3, 4, 5, 6, 7]
    for word in ("[m]", "[rad]", "lateness", "round trip", "skipped", "bytes sent", "not reached"):
        assert word in demo[1]


def test_the_demo_leaves_a_complete_folder(demo: tuple[int, str, RunFolder]) -> None:
    folder = demo[2]
    for name in (
        "config.toml",
        "events.jsonl",
        "log-learning.mcap",
        "log-realtime.mcap",
        "log-control.mcap",
        "summary.json",
        "checkpoint.rtu",
        "policy.onnx",
        "report.html",
    ):
        assert folder.file(name).stat().st_size > 100, name
    assert load_config(folder.file("config.toml")).run.seed == 5
    logs = {name: steps.source for name, steps in stages(folder).items()}
    assert list(logs) == ["learning", "realtime", "control"] and all(isinstance(log, Log) for log in logs.values())
    assert all(not log.cut and not log.lost for log in logs.values())
    assert len(logs["learning"].records) >= 3000
    assert {"x", "applied", "lateness_ns", "round_trip_ns"} <= set(logs["realtime"].records.dtype.names or ())
    assert rtu.load(folder.file("checkpoint.rtu")).state_hash() == folder.load_summary().state_hash
    kinds = [event["event"] for event in folder.events()]
    assert kinds[0] == "start"
    assert kinds[-1] == "end"


def test_the_demo_s_checkpoint_is_verified_and_inspected(
    demo: tuple[int, str, RunFolder], capfd: pytest.CaptureFixture[str]
) -> None:
    folder = demo[2]
    assert run(capfd, "verify", str(folder.path))[0] == 0
    assert run(capfd, "verify", "--tolerance", "0", str(folder.path))[0] == 1
    code, out, _ = run(capfd, "inspect", str(folder.file("checkpoint.rtu")))
    assert code == 0
    assert "body.cell.W1" in out
    code, out, _ = run(capfd, "export", str(folder.path), "-o", str(folder.path / "again.onnx"))
    assert code == 0
    assert (folder.path / "again.onnx").stat().st_size == folder.file("policy.onnx").stat().st_size


def test_a_damaged_checkpoint_is_refused(
    demo: tuple[int, str, RunFolder], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = bytearray(demo[2].file("checkpoint.rtu").read_bytes())
    data[len(data) // 2] ^= 1
    damaged = tmp_path / "damaged.rtu"
    damaged.write_bytes(data)
    code, _, err = run(capfd, "inspect", str(damaged))
    assert code == 2
    assert "Traceback" not in err


@pytest.mark.parametrize("options", [Options(memoryless=True), Options(discrete=True)])
def test_the_variants_of_the_demo_learn_too(options: Options) -> None:
    config = demo_config(options)
    with connect(config) as device:
        agent = make_agent(config, device.sheet)
        keep = logged.Keep()
        finished = keep.of(run_loop(device, agent, loop_config(config, device, steps=500), keep))
    assert finished.result.steps == 500
    assert agent.config["cell"] == ("none" if options.memoryless else "linear")
    assert agent.config["n_actions"] == (2 if options.discrete else None)
    if options.discrete:
        assert set(np.unique(finished.records["applied"])) == {-10.0, 0.0, 10.0}  # 0 before the first action


def test_an_interrupted_demo_is_saved(tmp_path: Path) -> None:
    process = start("demo", "--steps", "200000", "--set", "run.stop_return=1e6", cwd=tmp_path)
    folder = RunFolder(tmp_path / "runs" / "demo")
    until(lambda: any(event["event"] == "loop" for event in folder.events()))
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 1, out + err
    assert "interrupted; the run is saved" in err
    assert rtu.load(folder.file("checkpoint.rtu")).state_hash() == folder.load_summary().state_hash
    assert folder.load_summary().stages["learning"].reason == "signal"
    assert folder.file("report.html").exists()


# ---------------------------------------------------------------- run


def test_a_simulated_run_from_a_file_and_its_resumption(robot: Path, capfd: pytest.CaptureFixture[str]) -> None:
    # No learner monitor: after a rollback a learner has seen fewer observations than steps.
    options = ("--set", "loop.clock=lockstep", "--set", "learner_monitor.enabled=false")
    code, out, err = run(capfd, "run", str(robot), *options, "--name", "first")
    assert code == 0, err
    first = RunFolder(robot.parent / "runs" / "first")
    assert first.load_summary().stages["learning"].steps == 1500
    assert "report.html" in out
    code, _, err = run(capfd, "run", str(robot), *options, "--resume", str(first.path))
    assert code == 0, err
    second = RunFolder(robot.parent / "runs" / "robot")
    updates = [rtu.load(f.file("checkpoint.rtu")).state["observation.count"][0] for f in (first, second)]
    assert updates[1] > updates[0] + 1400


def test_a_checkpoint_for_another_device_is_refused(robot: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = robot.parent / "other.rtu"
    rtu.StreamAC(observation_size=5, action_size=1, units=4, hidden=4).save(path)
    code, _, err = run(capfd, "run", str(robot), "--resume", str(path))
    assert code == 2
    assert "made for 5 observations, the device has 2" in err
    rtu.StreamAC(observation_size=2, action_size=1, units=4, hidden=4, dt_s=0.005).save(path)
    code, _, err = run(capfd, "run", str(robot), "--resume", str(path))
    assert code == 2
    assert "made for a period of 0.005 s, the device 0.02 s" in err


def test_a_dry_run_never_arms(robot: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capfd, "run", str(robot), "--dry-run", "--set", "run.steps=20", "--set", "device.plant=pendulum")
    assert code == 0, err
    records = read_log(robot.parent / "runs" / "robot" / "log.mcap").records
    assert len(records) >= 20
    assert not records["applied"].any()
    # The pole falls and stays down: the computed commands are still shown.
    code, out, err = run(capfd, "run", str(robot), "--dry-run", "--steps", "100", "--set", "device.plant=cartpole")
    assert code == 0 and "100 commands would be sent" in out, out + err
    code, _, err = run(capfd, "run", str(robot), "--dry-run", "--set", "loop.clock=lockstep")
    assert code == 2


def test_a_signal_during_the_report_ends_nothing(tmp_path: Path) -> None:
    """The report itself sends it, at the time an impatient user would."""
    path = tmp_path / "robot.toml"
    path.write_text(SIMULATED)
    code = (
        "import os, signal\nfrom rtu_edge import cli, report\nwrite = report.write_report\n"
        "def hurried(*given):\n    os.kill(os.getpid(), signal.SIGINT)\n    return write(*given)\n"
        f"report.write_report = hurried\ncli.main(['run', {str(path)!r}, '--set', 'run.steps=50'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "interrupted" not in done.stderr, done.stdout + done.stderr
    assert (tmp_path / "runs" / "robot" / "report.html").is_file()


def test_estop_reaches_a_running_loop(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "robot.toml"
    path.write_text(SIMULATED)
    process = start("run", str(path), cwd=tmp_path)
    folder = RunFolder(tmp_path / "runs" / "robot")
    until(lambda: any(event["event"] == "start" for event in folder.events()))
    time.sleep(0.5)
    port = folder.events()[0]["port"]
    code, out, err = run(capfd, "estop", port)
    assert code == 0, err
    assert "confirmed by the device" in out
    _, err = process.communicate(timeout=30)
    assert process.returncode == 4, err
    assert folder.load_summary().stages["realtime"].reason == "estop"
    assert folder.file("checkpoint.rtu").exists()


def test_ctrl_c_is_the_orderly_end_of_a_run(tmp_path: Path) -> None:
    path = tmp_path / "robot.toml"
    path.write_text(SIMULATED)
    process = start("run", str(path), cwd=tmp_path)
    folder = RunFolder(tmp_path / "runs" / "robot")
    until(lambda: any(event["event"] == "start" for event in folder.events()))
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert folder.load_summary().stages["realtime"].reason == "signal"


def on_terminal(*command: str, cwd: Path) -> tuple[subprocess.Popen[bytes], int]:
    """A command on a new terminal, which is returned too."""
    terminal, end = pty.openpty()
    process = subprocess.Popen(["setsid", "--ctty", *command], cwd=cwd, stdin=end, stdout=end, stderr=end)
    os.close(end)
    return process, terminal


def let_it_run(folder: RunFolder, terminal: int, steps: int = 20) -> None:
    """Waits until the log of a run has steps, and reads its output meanwhile."""
    os.set_blocking(terminal, False)

    def far() -> bool:
        with contextlib.suppress(OSError):
            os.read(terminal, 65536)
        with contextlib.suppress(OSError, ValueError):  # no file yet, or one without its head
            return len(read_log(folder.file(RunFolder.LOG)).records) >= steps
        return False

    until(far)


def test_a_terminal_that_is_closed_stops_a_run_safely(tmp_path: Path) -> None:
    """The device is disarmed, the learner saved, and the report written, although the output is closed."""
    path = tmp_path / "robot.toml"
    path.write_text(SIMULATED)
    process, terminal = on_terminal(sys.executable, "-m", "rtu_edge.cli", "run", str(path), cwd=tmp_path)
    folder = RunFolder(tmp_path / "runs" / "robot")
    let_it_run(folder, terminal)
    os.close(terminal)
    assert process.wait(30) == 0
    stage = folder.load_summary().stages["realtime"]
    assert stage.reason == "signal" and stage.steps >= 20
    assert rtu.load(folder.file("checkpoint.rtu")).state_hash() == folder.load_summary().state_hash
    assert folder.file("report.html").exists()


def test_a_run_under_nohup_outlives_its_terminal(tmp_path: Path) -> None:
    path = tmp_path / "robot.toml"
    path.write_text(SIMULATED + "[run]\nsteps = 200\n")
    process, terminal = on_terminal("nohup", sys.executable, "-m", "rtu_edge.cli", "run", str(path), cwd=tmp_path)
    folder = RunFolder(tmp_path / "runs" / "robot")
    let_it_run(folder, terminal)
    os.close(terminal)
    assert process.wait(30) == 0
    assert folder.load_summary().stages["realtime"].reason == "steps"


def test_a_device_that_goes_away_ends_with_3_and_a_checkpoint(tmp_path: Path) -> None:
    with SimulatedDevice("cartpole") as device:
        path = tmp_path / "robot.toml"
        path.write_text(f'[device]\nport = "{device.port}"\n{LEARNS}')
        process = start("run", str(path), cwd=tmp_path)
        folder = RunFolder(tmp_path / "runs" / "robot")
        until(lambda: any(event["event"] == "start" for event in folder.events()))
        time.sleep(0.5)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 3, err
    assert "link_lost" in err
    assert rtu.load(folder.file("checkpoint.rtu")).state_hash() == folder.load_summary().state_hash


def test_a_port_has_one_owner(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with SimulatedDevice("cartpole") as device, open_port(device.port):
        path = tmp_path / "robot.toml"
        path.write_text(f'[device]\nport = "{device.port}"\n')
        code, _, err = run(capfd, "run", str(path))
        assert code == 3
        assert "in use by another process" in err


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("loop.period_us=10000", "loop.period_us = 10000: must be within 20 % of the device's 20000"),
        (
            "limits.torque={min=-1, max=1, slew_per_s=1}",
            'limits.torque: plant "cartpole" has no such actuator; it has force',
        ),
        ("loop.cpu=1023", "loop.cpu = 1023: must be a core of this host (0"),
        ("limits.forc={min=-1, max=1, slew_per_s=1}", 'did you mean "limits.force"?'),
        ("reward={source='form', quadratic=[1.0]}", "the device has 2"),
        ("device.plant=carpole", "carpole"),
    ],
)
def test_a_configuration_for_another_device_is_refused(
    robot: Path, capfd: pytest.CaptureFixture[str], setting: str, words: str
) -> None:
    code, _, err = run(capfd, "run", str(robot), "--set", setting)
    assert code in (2, 3)
    assert words in err
    assert "Traceback" not in err


def test_a_learner_too_slow_for_the_device_is_not_armed() -> None:
    config = parse_config(SIMULATED)
    with connect(config) as device:
        agent = make_agent(config, device.sheet)
        before = agent.state_hash()
        assert 0 < check_deadline(agent, device.sheet.period_s).step_us < 1e6 * device.sheet.period_s
        with pytest.raises(DeadlineError, match="the device's period is"):
            check_deadline(agent, 1e-7)
        assert agent.state_hash() == before


# ---------------------------------------------------------------- real hardware


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device without SIMULATED."""
    answer = Link.handshake

    def handshake(self: Link, timeout_s: float = 3.0) -> Hello:
        hello = not_simulated(answer(self, timeout_s))
        self._hello = hello
        return hello

    monkeypatch.setattr(Link, "handshake", handshake)


@pytest.mark.usefixtures("real")
def test_real_hardware_needs_limits_arm_and_a_confirmation(robot: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capfd, "run", str(robot), "--arm", "--yes")
    assert code == 2
    assert "limits.force: missing; real hardware needs explicit min, max, slew_per_s and accel_per_s2" in err
    robot.write_text(robot.read_text() + LIMITS)
    code, _, err = run(capfd, "run", str(robot))
    assert code == 2
    assert "real hardware: give --arm to let it move" in err
    code, _, err = run(capfd, "run", str(robot), "--arm")
    assert code == 2
    assert "needs a confirmation" in err
    assert not (robot.parent / "runs").exists()
    code, out, err = run(capfd, "run", str(robot), "--arm", "--yes", "--set", "run.steps=50")
    assert code == 0, err
    assert "force: -5 to 5 N, at most 200 N/s" in out
    assert "Not a certified safety function" in out
    applied = read_log(robot.parent / "runs" / "robot" / "log.mcap").records["u"]
    assert np.abs(applied).max() <= 5.0


@pytest.mark.usefixtures("real")
def test_lockstep_is_refused_on_real_hardware(robot: Path, capfd: pytest.CaptureFixture[str]) -> None:
    robot.write_text(robot.read_text() + LIMITS)
    code, _, err = run(capfd, "run", str(robot), "--arm", "--yes", "--set", "loop.clock=lockstep")
    assert code == 2
    assert 'loop.clock = "lockstep": only for a simulated device' in err


def test_the_configured_limits_reach_the_wire() -> None:
    config = parse_config(SIMULATED + LIMITS.replace("200.0", "50.0"), ["loop.clock=lockstep"])
    with connect(config) as device:
        agent = make_agent(config, device.sheet)
        keep = logged.Keep()
        records = keep.of(run_loop(device, agent, loop_config(config, device, steps=300), keep)).records
    same = records[1:][np.diff(records["episode"].astype(int)) == 0]
    assert np.abs(records["applied"]).max() <= 5.0
    assert len(same) > 100
    steps = np.diff(records["applied"][:, 0])[np.diff(records["episode"].astype(int)) == 0]
    assert np.abs(steps).max() <= 50.0 * 0.02 + 1e-4


@pytest.mark.parametrize("plant", plants.names())
def test_every_plant_is_a_device_that_one_can_learn_on(plant: str) -> None:
    config = parse_config(SIMULATED, [f"device.plant={plant}", "loop.clock=lockstep"])
    with connect(config) as device:
        sheet = plants.sheet(plant)
        assert [row.name for row in device.sheet.observations] == [row.name for row in sheet.observations]
        assert [row.unit for row in device.sheet.actuators] == [row.unit for row in sheet.actuators]
        agent = make_agent(config, device.sheet)
        keep = logged.Keep()
        finished = keep.of(run_loop(device, agent, loop_config(config, device, steps=100), keep))
    assert finished.result.steps == 100
    assert np.isfinite(finished.records["reward"]).all()


def test_a_learner_that_does_not_fit_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="units_per_pole"):
        parse_config(SIMULATED, ["learner.units=3", "learner.units_per_pole=2"])


def test_summaries_are_json(demo: tuple[int, str, RunFolder]) -> None:
    data = json.loads(demo[2].file("summary.json").read_text())
    assert data["stages"]["learning"]["reason"] == "steps"
    assert os.fspath(demo[2].path).endswith("demo")
