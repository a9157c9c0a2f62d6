"""What a newcomer types: a message names the next command; tables have what the documents refer to."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from test_cli_faults import SMALL, run
from test_screens import ended, status
from test_timeline import made

import rtu_edge as rtu
from rtu_edge import _core
from rtu_edge.cli.inspect import phrases
from rtu_edge.config import ConfigError, parse_config
from rtu_edge.device import lock, protocol
from rtu_edge.device.ports import open_port
from rtu_edge.device.simulated import SimulatedDevice
from rtu_edge.report.digest import Digest
from rtu_edge.report.progress import Display
from rtu_edge.tools.monitor import text_of

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run whose limits cut the actions."""
    root = tmp_path_factory.mktemp("first")
    (root / "robot.toml").write_text(
        f'[device]\nplant = "cartpole"\n[limits.force]\nmin = -5.0\nmax = 5.0\nslew_per_s = 20.0\n'
        f'[run]\nfolder = "{root}/runs"\n'
    )
    with pytest.raises(SystemExit) as leaving:
        rtu.cli.main(["run", str(root / "robot.toml"), "--sim", *SMALL])
    assert leaving.value.code == 0
    return root / "runs" / "robot"


@pytest.fixture
def live(tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    """A configuration of a simulated plant, and a process that runs it."""
    path = tmp_path / "robot.toml"
    path.write_text(f'[device]\nplant = "cartpole"\n[learner]\nunits = 4\n[run]\nfolder = "{tmp_path}/runs"\n')
    process = subprocess.Popen([sys.executable, "-m", "rtu_edge.cli", "run", str(path)], stdout=subprocess.DEVNULL)
    try:
        until(lambda: bool(port := lock.port_of_run(str(path))) and lock.status(port)["running"])
        yield path, process
    finally:
        process.kill()
        process.wait()


def until(ready: Callable[[], bool], limit_s: float = 60.0) -> None:
    end_s = time.monotonic() + limit_s
    while not ready():
        assert time.monotonic() < end_s
        time.sleep(0.05)


def test_a_run_of_a_simulated_plant_is_found_by_its_file(
    live: tuple[Path, subprocess.Popen[bytes]], capfd: Capture
) -> None:
    path, process = live
    code, out, err = run(capfd, "monitor", path, "--once")
    assert code == 0 and f"process {process.pid} drives" in out, err
    code, _, err = run(capfd, "clear", path)
    assert code == 3 and f"process {process.pid} runs the plant cartpole" in err
    code, out, err = run(capfd, "estop", path)
    assert code == 0 and "ends with its run: nothing is to be cleared" in out and "rtu-edge clear" not in out, err
    process.wait(30)
    code, out, err = run(capfd, "clear", path)
    assert code == 0 and "nothing to clear: the simulated device ends with its run" in out, err
    code, _, err = run(capfd, "monitor", path)
    assert code == 2 and f"no run with this file is active; start `rtu-edge run {path}`" in err


def test_inspect_shows_the_counters_that_are_not_0(first: Path, capfd: Capture) -> None:
    code, out, _ = run(capfd, "inspect", first)
    assert code == 0 and "counters of learning" in out
    kept = json.loads((first / "summary.json").read_text())["stages"]["learning"]["counters"]
    known = {name: value for name, value in kept.items() if value or name in ("steps", "learned")}
    assert {"limiter_slew", "learned", "steps"} <= known.keys() and "overridden" not in known
    for name, value in known.items():
        assert re.search(rf"\b{name} +{value:,}(\s|$)", out), name
    zero = next(name for name, value in kept.items() if name not in known)
    assert not re.search(rf"\b{zero}\b", out)
    assert json.loads(run(capfd, "inspect", first, "--json")[1])["counters"] == {"learning": known}


def test_a_wrong_file_names_the_right_one(first: Path, tmp_path: Path, capfd: Capture) -> None:
    with pytest.raises(rtu.CheckpointError, match=f"a folder, not a file; its checkpoint is {first}/checkpoint.rtu"):
        rtu.load(first)
    steps = json.loads((first / "summary.json").read_text())["stages"]["learning"]["steps"]
    config = first.parent.parent / "robot.toml"
    for arguments, words in (
        (("verify", first), f"`rtu-edge export {first}` writes it"),
        (("run", first, "--sim"), f"a folder, not a configuration; `rtu-edge run --resume {first}`"),
        (("inspect", first / "log.mcap"), f"`rtu-edge inspect {first}` shows the run of this file"),
        (("inspect", config), "give a checkpoint, or the folder that `rtu-edge run` printed"),
        (("run", "--resume", first, "--steps", "10"), f"give --steps of {steps + 1} or more"),
        (("ckpt", "ls", config), "not a checkpoint"),
        (("ckpt", "ls", tmp_path), "no checkpoint in this folder"),
        (("init", "cart", "-o", config), 'plant "cart": unknown'),
        (("run", config, "--set", "limits.froce.min=-2"), 'limits.froce: not in this configuration; did you mean "lim'),
    ):
        code, out, err = run(capfd, *arguments)
        assert (code, out) == (2, "") and words in err, (arguments, err)


def test_a_policy_is_compared_with_a_folder(first: Path, capfd: Capture) -> None:
    assert run(capfd, "export", first)[0] == 0
    code, out, err = run(capfd, "verify", first, first)
    assert code == 0 and "largest difference" in out, err
    (first / "policy.onnx").unlink()


def test_a_complete_table_of_set_is_accepted_whatever_its_name() -> None:
    table = ["limits.joint2.min=-1", "limits.joint2.max=1", "limits.joint2.slew_per_s=1"]
    text = '[device]\nplant = "servo"\n[limits.joint1]\nmin = 0.0\nmax = 1.0\nslew_per_s = 1.0\n'
    assert set(parse_config(text, table).limits) == {"joint1", "joint2"}
    with pytest.raises(ConfigError, match=r'limits.joint2: not in this configuration; did you mean "limits.joint1"'):
        parse_config(text, table[:1])


def test_the_holder_of_a_port_is_named(tmp_path: Path, capfd: Capture) -> None:
    path = tmp_path / "arm.toml"
    with SimulatedDevice("cartpole") as device:
        path.write_text(f'[device]\nport = "{device.port}"\n')
        code, _, err = run(capfd, "arm", path)
        assert code == 3 and f"no process owns this port; start `rtu-edge serve {path}` first" in err
        with open_port(device.port):
            command = [sys.executable, "-m", "rtu_edge.cli", "run", str(path), "--dry-run"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 3
    assert re.search(rf"in use by process {os.getpid()} \(.+\) of user .+; end that process first", done.stderr)


def test_the_reason_of_a_stop_is_printed_once(tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tight = ["sensor.x.min=-0.3", "sensor.x.max=0.3", 'sensor.x.on_range="stop"']
    code, out, err = ended(capfd, "--steps", "5000", *(word for each in tight for word in ("--set", each)))
    assert code == 4 and re.search(r"\d+ steps, \d+ episodes?$", out.strip())
    assert (out + err).count("report.html") == (out + err).count("sensor: ") == 1


def test_a_dry_run_claims_no_return(tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "robot.toml").write_text('[device]\nplant = "cartpole"\n')
    code, out, err = run(capfd, "run", "robot.toml", "--dry-run", *SMALL)
    assert code == 0, err
    assert "dry run: no command was sent, so no return or reward is the learner's; report:" in out


def test_progress_labels_its_curve(tmp_path: Path) -> None:
    digest = Digest()
    with open(os.devnull, "w") as nowhere:
        display = Display(Console(file=nowhere, width=80), 100, 0.02, 1000, digest=digest)
    assert not display._curve(70)
    display.watch(status(), made(10), np.zeros(0, _core.episode_dtype()))
    assert display._curve(70).plain.startswith("reward over the run ")
    episodes = np.zeros(100, _core.episode_dtype())
    episodes["total_return"], episodes["episode"] = np.arange(100), np.arange(100)
    display.watch(status(), made(10), episodes)
    assert display._curve(70).plain.startswith("return over the run ▁") and len(display._curve(70)) <= 70


def test_differences_and_sizes_are_short(first: Path, capfd: Capture) -> None:
    code, out, _ = run(capfd, "ckpt", "diff", first, first / "checkpoint.rtu")
    assert code == 0 and re.search(r"^(\d+) of \1 sections equal", out, re.MULTILINE)
    assert len(out.splitlines()) < 10
    code, out, _ = run(capfd, "size", "cartpole", "--no-calibrate")
    total = int(re.search(r"^stream_ac: (\d+) bytes", out, re.MULTILINE)[1])  # type: ignore[index]
    assert code == 0 and len(out.splitlines()) < 25
    assert sum(int(size) for size in re.findall(r"(\d+) bytes$", out, re.MULTILINE)) == total


def test_phrases_break_after_a_semicolon() -> None:
    assert phrases("600 steps; stopped: limit; return 2 (last 20 episodes)", 30) == (
        "600 steps; stopped: limit;\nreturn 2 (last 20 episodes)"
    )
    assert phrases("one; two", 80) == "one; two"


def test_a_schema_hash_is_hexadecimal_everywhere() -> None:
    assert "boot_id 00000001  schema_hash 0000beef" in text_of(protocol.Hello(schema_hash=0xBEEF, boot_id=1))
