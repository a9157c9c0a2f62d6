"""The command line: exit codes, help, error messages."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import fake_run
import numpy as np
import pytest
from rich.console import Console

import rtu_edge.cli
from rtu_edge import footprint
from rtu_edge._base.errors import CheckFailed, CheckpointError, ConfigError, DeadlineError, DeviceError, SafetyStop
from rtu_edge.device.simulated import SimulatedDevice
from rtu_edge.record.old_formats import TELEMETRY
from rtu_edge.report.digest import Digest
from rtu_edge.report.progress import latency_table

ROOT = Path(__file__).resolve().parent.parent


def run(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as leaving:
        rtu_edge.cli.main(arguments)
    out, err = capfd.readouterr()
    code = leaving.value.code
    assert isinstance(code, int)
    return code, out, err


def test_help_names_every_command(capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capfd, "--help")
    assert code == 0
    for name in rtu_edge.cli._COMMANDS:
        assert f"\n  {name}" in out


@pytest.mark.parametrize("name", list(rtu_edge.cli._COMMANDS))
def test_each_command_has_help_that_starts_as_listed(capfd: pytest.CaptureFixture[str], name: str) -> None:
    code, out, _ = run(capfd, name, "--help")
    assert code == 0
    listed = rtu_edge.cli._COMMANDS[name]
    assert listed in " ".join(out.split())


def test_plan_prints_bytes_and_the_time_of_a_step(capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capfd, "size", "--set", "learner.units=8")
    assert code == 0
    *_, sizes, times, table, monitor = out.splitlines()
    count = len(footprint(observation_size=2, action_size=1, units=8).sections)
    assert table == f"not included: on a host, {80 * count:,} bytes for the table of the {count} sections"
    assert re.fullmatch(
        r"not included: the learner monitor, .* [\d,]+ bytes .*\(learner_monitor.scan_kib = 64\)", monitor
    )
    assert sizes.startswith("stream_ac: ")
    assert " us per step (" in times
    code, plain, _ = run(capfd, "size", "--set", "learner.units=8", "--no-calibrate")
    assert code == 0
    assert plain == out.replace(times + "\n", "")
    code, plain, _ = run(capfd, "size", "--no-calibrate", "--set", "learner_monitor.enabled=false")
    assert code == 0 and "learner monitor" not in plain


def test_size_on_a_microcontroller(capfd: pytest.CaptureFixture[str]) -> None:
    settings = (
        "learner.activation=tanh",
        "learner.hidden=[16]",
        "learner.units=16",
        "learner.exploration_correlation=0",
    )
    arguments = [word for setting in (*settings, "learner.body=shared") for word in ("--set", setting)]
    code, out, err = run(capfd, "size", "--board", "--no-calibrate", "--observations", "2", *arguments)
    assert code == 0, err
    assert re.search(r"^on a Cortex-M4F: 11\d{3} bytes of RAM and 24\d{3} of flash, .* 2\d{4} instructions", out, re.M)
    assert re.search(r"^  stm32f405 .* fits$", out, re.M)
    assert re.search(
        r"^  uno .* no: no firmware with a learner, no floating-point unit, flash \d+ of 32768, RAM \d+ of 2048$",
        out,
        re.M,
    )
    assert re.search(r"^  mps2-an500 .* no: no firmware with a learner$", out, re.M)
    # Its memory and the stack in use fit into 128 KB; with the stack that the linker reserves it is too large.
    large = [word.replace("units=16", "units=52").replace("[16]", "[64]") for word in arguments]
    code, out, err = run(capfd, "size", "--board", "--no-calibrate", "--observations", "16", "--json", *large)
    board = json.loads(out)["board"]
    assert code == 0 and board["image_ram"] < 128 * 1024 < board["linked_ram"], (board, err)
    code, _, err = run(capfd, "size", "--board", "--no-calibrate", "--set", "learner.activation=relu")
    assert code != 0 and "learner.activation = relu: the firmware's learner has tanh" in err
    code, _, err = run(capfd, "size", "--board", "--no-calibrate", "--set", "learner.actions=discrete")
    assert code != 0 and "learner.actions = discrete: the firmware's learner has continuous" in err


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, rtu_edge.cli\n"
        "try: rtu_edge.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'rich', 'msgspec', 'matplotlib', 'onnx', 'onnxruntime', 'serial', 'gymnasium'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.timing
@pytest.mark.alone
def test_help_answers_at_once() -> None:
    """Alternates with a process that only imports numpy and click, so that a slow host affects both."""
    commands = {"help": ["-m", "rtu_edge.cli", "--help"], "bare": ["-c", "import numpy, click"]}
    best = dict.fromkeys(commands, float("inf"))
    for _ in range(5):
        for name, arguments in commands.items():
            begin = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
            best[name] = min(best[name], time.perf_counter() - begin)
    assert best["help"] < 2.0 * best["bare"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CheckFailed("x"), 1),
        (ConfigError("x"), 2),
        (CheckpointError("x"), 2),
        (DeviceError("x"), 3),
        (SafetyStop("x"), 4),
        (DeadlineError("x"), 5),
        (KeyboardInterrupt(), 1),
    ],
)
def test_each_kind_of_error_has_its_exit_code(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr("rtu_edge.device.ports.list_ports", fail)
    found, _, err = run(capfd, "ports")
    assert found == code
    assert err.lstrip().startswith("rtu-edge: ")
    assert "Traceback" not in err


def test_a_link_error_is_a_device_error(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from rtu_edge.loop import LinkError

    def fail() -> None:
        raise LinkError("no answer")

    monkeypatch.setattr("rtu_edge.device.ports.list_ports", fail)
    assert run(capfd, "ports")[0] == 3


def test_a_fault_of_ours_shows_its_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("rtu_edge.device.ports.list_ports", fail)
    with pytest.raises(ZeroDivisionError):
        rtu_edge.cli.main(["ports"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["dmeo"], 'did you mean "demo"?'),
        (["xyzzy"], "there are demo, init, doctor, run"),
        (["demo", "--sede", "1"], "No such option"),
        (["demo", "--seed", "-1"], "-1 is not in the range"),
        (["run", "nothere.toml"], "nothere.toml: cannot read the configuration"),
        (["demo", "--set", "learner.unit=3"], 'did you mean "learner.units"?'),
        (["demo", "--set", "learner.units=0"], "learner.units = 0: must be an integer from 1 to 65536"),
        (["verify", str(ROOT / "README.md"), str(ROOT)], "no such file"),
        (["inspect", str(ROOT / "tests")], "not the folder of a run: there is no summary.json"),
        (["inspect", "--report", str(ROOT / "README.md")], "need the folder of a run"),
        (["estop", "nothere.toml"], "cannot read the configuration"),
        (["run", "/dev/null"], "/dev/null: cannot read the configuration: a device, not a file"),
        (["replay", str(ROOT / "tests")], "tests/log.mcap: cannot be read: No such file or directory"),
        (["blackbox", str(ROOT / "tests")], "tests/blackbox.rtubox: cannot be read: No such file or directory"),
        (["blackbox", str(ROOT / "tests"), "--plot", "x.bmp"], "--plot x.bmp: must end in .png or .svg"),
        (["inspect", str(ROOT / "tests"), "--plot", "x.bmp"], "--plot x.bmp: must end in .png or .svg"),
        (["export", str(ROOT / "tests")], "tests/checkpoint.rtu: No such file or directory"),
        (["run", "--sim", "--name", "a/b"], 'run.name = "a/b": must be a folder\'s name, without a slash'),
        (["run", "--sim", "--name", "\udcff"], "not in this locale's encoding"),
        (["run", "--sim", "--steps", "1", "--set", f"run.folder={__file__}"], f"{__file__}/sim: Not a directory"),
        (
            ["hil", "run", "--target", "proces"],
            "--target proces: must be one of sim, process, qemu,",
        ),
    ],
)
def test_wrong_use_ends_with_2(capfd: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    code, _, err = run(capfd, *arguments)
    assert code == 2
    assert words in " ".join(err.split())


def test_a_port_that_is_not_there_ends_with_3(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "robot.toml"
    path.write_text('[device]\nport = "/dev/ttyNONE7"\n')
    code, _, err = run(capfd, "run", str(path), "--arm")
    assert code == 3
    assert "/dev/ttyNONE7: no such port" in err
    assert run(capfd, "estop", "--timeout-s", "0.2", str(path))[0] == 3


def test_a_mistake_elsewhere_in_the_file_keeps_nobody_from_stopping(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "robot.toml"
    with SimulatedDevice(plant="cartpole") as device:
        path.write_text(f'[device]\nport = "{device.port}"\n[limits.force]\nmin = 1.0\nmax = -1.0\n')
        assert run(capfd, "run", str(path))[0] == 2
        code, out, err = run(capfd, "estop", str(path))
    assert code == 0, err
    assert "confirmed by the device" in out
    path.write_text('[device]\nprot = "/dev/ttyACM0"\n')
    code, _, err = run(capfd, "estop", str(path))
    assert code == 2
    assert 'did you mean "device.port"' in err


def test_ports_are_listed_or_not_there(capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capfd, "ports")
    assert code == 0
    assert "port" in out


def test_a_run_is_inspected_and_drawn(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = fake_run.make(tmp_path)
    code, out, _ = run(capfd, "inspect", str(folder.path), "--report", "--plot", str(tmp_path / "run.png"))
    assert code == 0
    for word in ("Position-only cart-pole", "learning", "46,000", "learns", "telemetry.npz", "report.html"):
        assert word in out
    assert (folder.path / "report.html").exists()
    assert (tmp_path / "run.png").exists()


def test_damaged_telemetry_is_said_in_one_line(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = fake_run.make(tmp_path)
    path = folder.file(TELEMETRY)
    whole = path.read_bytes()
    for damaged in (
        b"",
        b"junk",
        whole[: len(whole) // 2],
        b"\x93NUMPY" + whole,
        whole[:200] + b"\xff" * 8 + whole[208:],
    ):
        path.write_bytes(damaged)
        for command in ("inspect", "promote"):
            code, _, err = run(capfd, command, str(folder.path))
            assert code == 2 and "telemetry.npz: damaged: " in err, (damaged[:8], command, err)


def test_brackets_in_names_are_no_markup(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Names that a user may also choose for a folder."""
    root = tmp_path / "runs[old]" / "[/]"
    code, out, err = run(capfd, "run", "--sim", "--steps", "60", "--name", "[bold]", "--set", f'run.folder="{root}"')
    assert code == 0, err
    assert "runs[old]/[/]/[bold]/report.html" in "".join(out.split())
    code, out, err = run(capfd, "blackbox", str(root / "[bold]"), "--rows", "1")
    assert code == 0, err
    assert "runs[old]/[/]/[bold]/blackbox.rtubox" in out
    for name in ("x [m]", "theta [rad]", "force [N]"):
        assert name in out


SHELL = f"{sys.executable} -m rtu_edge.cli run --sim --steps 3000 --set log.mcap=false"


@pytest.mark.parametrize(
    ("command", "environment"),
    [
        (f"{SHELL} | head -n 1", {}),  # 3000 steps take longer than that
        (f"{SHELL} >&-", {}),
        (f"{SHELL} <&- >&- 2>&-", {}),
        (f"{SHELL} --set loop.clock=device --steps 20", {"PYTHONIOENCODING": "ascii"}),  # prints a table in µs
    ],
    ids=["head", "no output", "no streams", "ascii"],
)
def test_a_run_is_whole_whatever_becomes_of_its_output(
    tmp_path: Path, command: str, environment: dict[str, str]
) -> None:
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=tmp_path,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert (tmp_path / "runs" / "sim" / "report.html").is_file()


TOO_LARGE = "File too large: raise this user's limit for the size of a file (ulimit -f)"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (
            "run --sim --steps 20000 --set log.blackbox_minutes=0",
            (
                f"log: runs/sim/log.mcap: {TOO_LARGE}; ",
                f"runs/sim/checkpoint.rtu: {TOO_LARGE}: not everything was written",
            ),
        ),
        (
            "demo --steps 3000 --realtime-s 0.1",
            (f"log: runs/demo/log-learning.mcap: {TOO_LARGE}; ",),
        ),
        ("run --sim --steps 100", ("runs/sim/blackbox.rtubox: File too large",)),
    ],
)
def test_a_disk_that_fills_up_is_said_with_the_path(tmp_path: Path, command: str, words: tuple[str, ...]) -> None:
    """No file may grow beyond 100 KiB: space for a first checkpoint."""
    script = f"ulimit -f 100; exec {sys.executable} -m rtu_edge.cli {command}"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode in (1, 2) and "Traceback" not in done.stderr, done.stderr
    for word in words:
        assert word in done.stdout + done.stderr
    assert "could not keep up" not in done.stdout


def test_the_example_configuration_is_accepted() -> None:
    from rtu_edge.config import load_config

    assert load_config(ROOT / "examples" / "robot.toml").device.port.startswith("/dev/serial/by-id/")


def test_the_demo_configuration_is_accepted() -> None:
    from rtu_edge.demo import Options, demo_config

    config = demo_config(
        Options(name="x y", seed=3, steps=10, memoryless=True, discrete=True, overrides=("learner.units=8",))
    )
    assert (config.run.name, config.run.seed, config.run.steps) == ("x y", 3, 10)
    assert config.learner.arguments() == {"units": 8, "hidden": (32,), "cell": "none"}
    assert config.learner.actions.value == "discrete"


def test_the_clock_of_a_file_is_the_loop_s() -> None:
    from rtu_edge import config
    from rtu_edge.loop import Clock

    assert config.Clock is Clock


def test_verify_refuses_a_policy_of_another_learner(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    import rtu_edge as rtu

    rtu.export_onnx(rtu.StreamAC(observation_size=2, action_size=1, units=4, hidden=4), tmp_path / "policy.onnx")
    rtu.StreamAC(observation_size=2, action_size=1, units=5, hidden=4).save(tmp_path / "other.rtu")
    code, out, err = run(capfd, "verify", str(tmp_path / "policy.onnx"), str(tmp_path / "other.rtu"))
    assert code == 2
    assert "another configuration" in err
    assert "Traceback" not in out + err


def test_the_table_of_latencies_fits_a_terminal() -> None:
    """80 columns less the demo's indentation of 14; labels and counts are not truncated."""
    names = ("episode", "lateness_ns", "predict_ns", "update_ns", "round_trip_ns")
    records = np.zeros(200_000, dtype=[(name, "i8") for name in names])
    records["lateness_ns"][0] = 400_000_000
    records["predict_ns"] = records["round_trip_ns"] = 15_000
    console = Console(width=66, record=True, file=io.StringIO())
    digest = Digest()
    digest.take(records, np.zeros(0))
    console.print(latency_table(digest.times))
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    assert lines[0].split() == ["µs", "lateness", "step", "time", "round", "trip"]
    labels = [line[:9].strip() for line in lines[1:]]
    assert labels[0] == "< 1" and "< 500,000" in labels and labels[-3:] == ["p50", "p99", "max"], lines
    assert "199999" in lines[1] and max(map(len, lines)) <= 66, lines
