"""Before a real plant moves: the dry run, the persistent simulated device, and refused privileges."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from rtu_edge import _testing, cli
from rtu_edge._base.errors import ConfigError
from rtu_edge.config import parse_config
from rtu_edge.device import protocol
from rtu_edge.device.ports import open_port
from rtu_edge.device.schema import Channel, DataSheet
from rtu_edge.hil import FaultBridge, ProcessTarget, TapPoint
from rtu_edge.loop import Clock, Link, Loop, LoopConfig, RecordFlag
from rtu_edge.record import RunFolder
from rtu_edge.record.reader import read_log
from rtu_edge.run import connect, loop_config, make_agent, run_loop
from rtu_edge.run.build import cores
from rtu_edge.run.dry_run import DryRun
from rtu_edge.tools.monitor import Listener

pytestmark = pytest.mark.timing

ROOT = Path(__file__).resolve().parent.parent
TANK = ROOT / "examples" / "hil_project" / "tank.c"
SMALL = "[loop]\nttl_ms = 200\n[learner]\nunits = 4\nhidden = [4]\n"  # so that a busy test host does not end a run
LIMITS = "[limits.force]\nmin = -5.0\nmax = 5.0\nslew_per_s = 200.0\naccel_per_s2 = inf\n"


def rtu_edge(*arguments: str, cwd: Path) -> tuple[int, str]:
    command = [sys.executable, "-m", "rtu_edge.cli", *arguments]
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    return done.returncode, done.stdout


def run(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The same in this process."""
    with pytest.raises(SystemExit) as leaving:
        cli.main(arguments)
    out, err = capfd.readouterr()
    assert isinstance(leaving.value.code, int)
    return leaving.value.code, out + err


def wait_for_the_end_of_an_episode(port: str) -> None:
    with Listener(port) as listener:
        for _, message in listener.listen(20.0):
            if isinstance(message, protocol.State) and message.epflags & protocol.Episode.TERMINATED:
                return
    raise AssertionError("the pole stands")


# ---------------------------------------------------------------- dry run


@pytest.mark.hazard("dry-run-sends")
def test_a_dry_run_shows_a_board_that_has_been_on(tmp_path: Path) -> None:
    """Its STATE lacks FIRST, and reports the end of the episode."""
    with ProcessTarget("cartpole") as target, FaultBridge(target) as device:
        wait_for_the_end_of_an_episode(device.port)
        (tmp_path / "robot.toml").write_text(f'[device]\nport = "{device.port}"\n{SMALL}{LIMITS}')
        code, said = rtu_edge("run", "robot.toml", "--dry-run", "--steps", "60", cwd=tmp_path)
        assert code == 0, said
        sent = {passed.frame.type for passed in device.trace.all(TapPoint.HOST_OUT)}
        assert device.state.state is protocol.DeviceState.DISARMED
    assert sent == {protocol.FrameType.HELLO, protocol.FrameType.DESCRIBE}
    live = next((line for line in said.splitlines() if line.strip().startswith("DISARMED")), "")
    assert re.fullmatch(r" *DISARMED  x \S+ m  theta \S+ rad  would send force \S+ N", live), said
    assert "60 commands would be sent" in said and "least" in said
    folder = RunFolder(tmp_path / "runs" / "robot")
    (event,) = (event for event in folder.events() if event["event"] == "dry_run")
    assert event["commands"] == 60
    assert [(c["name"], c["unit"]) for c in event["observed"]] == [("x", "m"), ("theta", "rad")]
    (force,) = event["would_send"]
    assert -5.0 <= force["least"] <= force["last"] <= force["largest"] <= 5.0
    assert folder.load_summary().title.endswith("dry run")
    log = read_log(folder.file(RunFolder.LOG))
    assert log.head.dry_run and len(log.records) >= 60


def test_what_is_not_a_number_is_shown_as_such() -> None:
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115 (until the end)
    dtype = np.dtype([("flags", "u4"), ("x", "f4", (1,)), ("u", "f4", (1,)), ("applied", "f4", (1,))])
    records = np.zeros(3, dtype)
    records["flags"] = RecordFlag.ACTED
    records["x"][:, 0], records["u"][:, 0] = (1.0, 2.0, np.nan), (-3.0, 4.0, 0.5)
    pump = Channel("pump", "V", 0.0, 12.0, actuator=True)
    sheet = DataSheet(0.1, (Channel("[red]level", "m", 0.0, 1.0),), (pump,))
    shown = DryRun(console, sheet)
    shown._take(records)
    plain = shown.plain()
    assert plain["commands"] == 3
    assert plain["observed"] == [{"name": "[red]level", "unit": "m", "last": None, "least": 1.0, "largest": 2.0}]
    assert plain["would_send"] == [{"name": "pump", "unit": "V", "last": 0.5, "least": -3.0, "largest": 4.0}]
    console.print(shown.table())
    text = console.export_text()
    assert "observed [red]level" in text and "nan" in text and "would send pump" in text


# ---------------------------------------------------------------- a standing simulated device


@contextmanager
def standing(*arguments: str, cwd: Path) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """The running command, and its output so far."""
    command = [sys.executable, "-m", "rtu_edge.cli", "device", *arguments]
    with subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        lines: list[str] = []
        try:
            for line in process.stdout:
                lines.append(line.rstrip())
                if "Ctrl-C" in line:
                    break
            yield process, lines
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(20)


def test_a_standing_device_is_one_command(tmp_path: Path) -> None:
    board = tmp_path / "board"
    with standing("cartpole", "--link", str(board), cwd=tmp_path) as (process, lines):
        said = "\n".join(lines)
        assert f"{board}: cartpole, 50 Hz" in lines[0], said
        assert "observation theta" in said and "actuator force: -10 to 10 N" in said
        assert f"rtu-edge init {board} -o robot.toml" in said
        for session in (1, 2):  # it stays
            with open_port(str(board)) as port, Link(port) as link:
                assert link.handshake().last_session == session - 1
                policy = _testing.LinearPolicy(2, [0.0]).policy()
                assert Loop(link, policy, LoopConfig(steps=20)).run().steps == 20
        assert process.poll() is None
    assert process.returncode == 0
    give_up = time.monotonic() + 5
    while board.is_symlink() and time.monotonic() < give_up:
        time.sleep(0.01)
    assert not board.is_symlink()


def test_a_standing_device_takes_no_file_away(tmp_path: Path) -> None:
    kept = tmp_path / "notes"
    kept.write_text("mine")
    code, said = rtu_edge("device", "--link", str(kept), cwd=tmp_path)
    assert code == 2 and "is no symbolic link" in said
    assert kept.read_text() == "mine"
    code, said = rtu_edge("device", "cartpol", cwd=tmp_path)
    assert code == 2 and "must be one of cartpole, cartpole-full" in said


# ---------------------------------------------------------------- a user's plant that is not a simulation


@pytest.mark.hazard("real-hardware-unasked")
def test_a_plant_that_does_not_say_simulated_is_no_rehearsal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its step() may talk to a bus: silence counts as real."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tank.c").write_text(TANK.read_text().replace(".simulated = true,", ""))
    limits = "[limits.pump]\nmin = 0.0\nmax = 6.0\nslew_per_s = 100.0\naccel_per_s2 = inf\n"
    (tmp_path / "robot.toml").write_text(f'[device]\nplant = "tank.c"\n{SMALL}{limits}')
    code, said = run(capfd, "run", "robot.toml", "--sim", "--steps", "20")
    assert code == 2 and "tank.c does not declare that it is simulated (tl_plant_sheet.simulated)" in said, said
    with standing("tank.c", cwd=tmp_path) as (_, lines):
        assert any("needs --arm, limits and a confirmation" in line for line in lines)


def test_the_example_rehearses(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, said = run(capfd, "run", str(ROOT / "examples" / "robot.toml"), "--sim", "--steps", "50")
    assert code == 0, said


# ---------------------------------------------------------------- refused privileges


def test_a_run_prints_what_was_refused_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    line = "locked memory: Cannot allocate memory"
    monkeypatch.setattr(Loop, "privileges", lambda self: [line])
    (tmp_path / "robot.toml").write_text(f'[device]\nplant = "cartpole"\n{SMALL}')
    code, said = run(capfd, "run", "robot.toml", "--steps", "20")
    assert code == 0 and said.count(f"not granted: {line}") == 1, said


def test_what_the_system_refuses_is_said_as_the_loop_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, while it runs: the report is read too late."""
    config = parse_config(f'[device]\nplant = "cartpole"\n{SMALL}', ["run.steps=40"])
    lines = ["real-time priority (SCHED_FIFO): Operation not permitted"]
    monkeypatch.setattr(Loop, "privileges", lambda self: lines)
    said: list[tuple[str, bool]] = []
    with connect(config) as device:
        agent = make_agent(config, device.sheet)
        run_loop(
            device,
            agent,
            loop_config(config, device),
            poll_s=0.05,
            say=lambda text: said.append((text, device.link.running)),
        )
    assert said == [(f"not granted: {lines[0]}", True)]


def test_the_loop_tells_what_was_refused_while_it_runs() -> None:
    """A core that exists and one that does not, past the check of the configuration."""
    config = parse_config(f'[device]\nplant = "cartpole"\n{SMALL}')
    for cpu, words in ((min(cores()), []), (1023, ["pinning to one core: Invalid argument"])):
        with connect(config) as device:
            agent = make_agent(config, device.sheet)
            settings = loop_config(config, device, steps=0, cpu=cpu, clock=Clock.DEVICE)
            with Loop(device.link, agent.core.policy(), settings) as loop:
                assert loop.privileges() is None
                loop.start()
                while loop.privileges() is None:
                    loop.wait(0.01)
                assert loop.privileges() == words
                loop.request_stop()
                assert loop.result().privileges == words


def test_a_core_that_is_not_there_is_refused() -> None:
    config = parse_config(f'[device]\nplant = "cartpole"\n{SMALL}', ["loop.cpu=1023"])
    with connect(config) as device, pytest.raises(ConfigError, match=r"loop.cpu = 1023: must be a core.*\(0"):
        loop_config(config, device)


def test_cores_of_this_computer(tmp_path: Path) -> None:
    """An isolated core is online but not in the default affinity."""
    online = tmp_path / "online"
    online.write_text("0-1,900,902-903\n")
    assert cores(str(online)) >= {0, 1, 900, 902, 903}
    assert cores(str(tmp_path / "none")) == os.sched_getaffinity(0)
