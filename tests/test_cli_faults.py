"""What a user's files, names and missing packages do to a command: one sentence that names what to do, an exit code."""

from __future__ import annotations

import errno
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import fake_run
import pytest
from test_unanswered import far_end

import rtu_edge.cli
from rtu_edge._base import files
from rtu_edge.config import ConfigError, load_config, load_device, parse_config
from rtu_edge.device.simulated import SimulatedDevice, firmware_path
from rtu_edge.record import RunFolder

ROOT = Path(__file__).resolve().parent.parent
SMALL = ("--set", "learner.units=4", "--set", "learner.hidden=8", "--steps", "60")


def run(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as leaving:
        rtu_edge.cli.main([str(argument) for argument in arguments])
    out, err = capfd.readouterr()
    assert isinstance(leaving.value.code, int) and "Traceback" not in out + err
    return leaving.value.code, out, " ".join(err.split())


# ---------------------------------------------------------------- paths and files of a user


def test_a_tilde_is_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capfd, "run", "--sim", *SMALL, "--set", "run.folder=~/runs")
    assert code == 0, err
    assert (home / "runs" / "sim" / "config.toml").is_file() and not (tmp_path / "~").exists()
    text = (
        '[device]\nport = "~/robot"\nsim = "~/a.c"\nfirmware = "~"\n[fallback]\nkind = "checkpoint"\ncheckpoint = "~/b"'
    )
    found = parse_config(text)
    assert (found.device.port, found.device.sim, found.device.firmware) == (f"{home}/robot", f"{home}/a.c", str(home))
    assert found.fallback.checkpoint == f"{home}/b"
    (tmp_path / "x.toml").write_text('[device]\nplant = "servo"\n[run]\nfolder = "~/runs"\n')
    mine = pwd.getpwuid(os.getuid())
    assert load_config(tmp_path / "x.toml", user=mine.pw_name).run.folder == f"{mine.pw_dir.rstrip('/')}/runs"
    with pytest.raises(ConfigError, match=r'run.folder = "~nobody-here/x": no home folder is known'):
        parse_config('[device]\nplant = "servo"\n[run]\nfolder = "~nobody-here/x"')


def test_a_byte_order_mark_is_dropped_also_for_an_emergency_stop(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "robot.toml"
    with SimulatedDevice("cartpole") as device:
        path.write_bytes(b"\xef\xbb\xbf" + f'[device]\r\nport = "{device.port}"\r\n'.encode())
        assert load_config(path).device.port == load_device(path).port == device.port
        code, out, err = run(capfd, "estop", path)
    assert code == 0 and "confirmed by the device" in out, err


@pytest.mark.parametrize("text", ["def read():\n    pass\n", None], ids=["module", "package without pyserial"])
def test_another_serial_module_is_named(tmp_path: Path, text: str | None) -> None:
    if text is None:
        (tmp_path / "serial").mkdir()
        (tmp_path / "serial" / "__init__.py").touch()
    else:
        (tmp_path / "serial.py").write_text(text)
    code = (
        "import sys\n"
        "from rtu_edge.device.ports import open_port\n"
        "from rtu_edge._base.errors import DeviceError\n"
        "try: open_port('/dev/ttyNONE')\n"
        "except DeviceError as error: print(error)\n"
    )
    (tmp_path / "script.py").write_text(code)
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / "serial") in done.stdout and "called serial too: rename it" in done.stdout


def test_an_error_of_saving_names_one_file(tmp_path: Path) -> None:
    class Full(files.Disk):
        def write(self, handle: int, data: bytes) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError) as found:
        files.write(tmp_path / "a.rtu", b"data", Full())
    assert str(found.value).endswith(f"'{tmp_path / 'a.rtu'}'") and " -> " not in str(found.value)


# ---------------------------------------------------------------- device


@pytest.mark.timing
def test_a_latched_stop_names_the_command_that_clears_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    link = tmp_path / "my robot"
    with SimulatedDevice("cartpole", link=link):
        (tmp_path / "r.toml").write_text(f'[device]\nport = "{link}"\n')
        assert run(capfd, "estop", link)[0] == 0
        code, _, err = run(capfd, "run", "r.toml", *SMALL)
        assert code == 3 and f"`rtu-edge clear '{link}'`" in err
        assert run(capfd, "clear", link)[0] == 0
        assert run(capfd, "run", "r.toml", *SMALL)[0] == 0


def test_a_board_that_prints_text_or_has_another_baud_is_not_called_silent(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    said = {}
    for name, answer in (
        ("silence", b""),
        ("text", b"motor ready, position 0.0\r\n"),
        ("baud", bytes(range(0x80, 0xF0))),
    ):
        with far_end(lambda data, answer=answer: answer) as (port, _):  # type: ignore[misc]
            (tmp_path / "r.toml").write_text(f'[device]\nport = "{port}"\nhello_timeout_s = 0.4\n')
            code, _, said[name] = run(capfd, "run", tmp_path / "r.toml")
            assert code == 3
    assert "nothing arrived: check power" in said["silence"]
    assert 'it prints text, no TickLink frames: "motor ready, position 0.0"' in said["text"]
    assert "check the baud rate" in said["baud"] and "nothing arrived" not in said["text"] + said["baud"]


@pytest.mark.parametrize(
    "arguments",
    [("device", "cartpol"), ("size", "cartpol"), ("run", "--sim", "--plant", "cartpol"), ("init", "cartpol")],
)
def test_an_unknown_plant_lists_the_names(arguments: tuple[str, ...], capfd: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capfd, *arguments)
    assert code == 2
    assert 'plant "cartpol": unknown; must be one of cartpole, cartpole-full, pendulum,' in err
    assert 'did you mean "cartpole"?' in err


def test_another_firmware_is_in_configuration_and_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "own_firmware"
    shutil.copy(firmware_path(), own)
    assert run(capfd, "run", "--sim", *SMALL, "--name", "package")[0] == 0
    assert run(capfd, "run", "--sim", *SMALL, "--name", "key", "--set", f"device.firmware={own}")[0] == 0
    monkeypatch.setenv("RTU_EDGE_FIRMWARE", "own_firmware")
    assert run(capfd, "run", "--sim", *SMALL, "--name", "variable")[0] == 0
    for name, path in (("package", ""), ("key", str(own)), ("variable", str(own))):
        folder = RunFolder(tmp_path / "runs" / name)
        assert load_config(folder.file(folder.CONFIG)).device.firmware == path
        assert folder.load_summary().device.get("firmware_path", "") == path
    monkeypatch.delenv("RTU_EDGE_FIRMWARE")
    code, _, err = run(capfd, "run", "--sim", "--set", "device.firmware=/nowhere/fw")
    assert code == 3 and "/nowhere/fw: no firmware there" in err
    for device, words in (
        ('port = "/dev/ttyACM0"', "only with plant or sim"),
        ('plant = "tank.c"', "not with a C file"),
    ):
        with pytest.raises(ConfigError, match=words):
            parse_config(f'[device]\nfirmware = "fw"\n{device}\n')


def test_a_suite_runs_the_firmware_that_it_names(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    called = tmp_path / "called"
    own = tmp_path / "own_firmware"
    own.write_text(f'#!/bin/sh\ntouch "{called}"\nexec "{firmware_path()}" "$@"\n')
    own.chmod(0o755)
    chosen = ("hil", "run", "--only", "schema", "-o", tmp_path / "hil", "--set")
    code, _, err = run(capfd, *chosen, f"device.firmware={own}")
    assert code == 0 and called.exists(), err
    code, _, err = run(capfd, *chosen, "device.firmware=/nowhere/fw")
    assert code == 3 and "/nowhere/fw: no firmware there" in err


# ---------------------------------------------------------------- packages


@pytest.mark.parametrize(
    ("missing", "arguments", "words"),
    [
        ("mcap", ("run", "--sim", *SMALL), "log.mcap = true: mcap is not installed: pip install mcap; or set log.mcap"),
        ("mcap", ("replay", "RUN"), "mcap is not installed: pip install mcap"),
        (
            "matplotlib",
            ("inspect", "FAKE", "--plot", "x.png"),
            'matplotlib is not installed: pip install "rtu_edge[report]"',
        ),
        ("onnx", ("export", "RUN"), 'onnx is not installed: pip install "rtu_edge[onnx]"'),
        ("onnxruntime", ("verify", "RUN"), 'onnxruntime is not installed: pip install "rtu_edge[onnx]"'),
    ],
)
def test_a_missing_package_is_one_sentence(
    missing: str,
    arguments: tuple[str, ...],
    words: str,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {"RUN": str(whole), "FAKE": str(fake_run.make(tmp_path / "fake").path)}
    for name in [name for name in sys.modules if name.partition(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    code, _, err = run(capfd, *(places.get(argument, argument) for argument in arguments))
    assert code == 2 and words in err, err
    assert not (tmp_path / "runs").exists()


# ---------------------------------------------------------------- folders


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run."""
    root = tmp_path_factory.mktemp("whole")
    arguments = ["run", "--sim", *SMALL, "--set", f"run.folder={root}", "--set", "checkpoint.every_steps=20"]
    with pytest.raises(SystemExit) as leaving:
        rtu_edge.cli.main(arguments)
    assert leaving.value.code == 0
    with pytest.raises(SystemExit) as leaving:
        rtu_edge.cli.main(["export", str(root / "sim")])
    assert leaving.value.code == 0
    return root / "sim"


def copy(whole: Path, to: Path, *names: str) -> Path:
    to.mkdir(parents=True)
    for name in names:
        shutil.copy(whole / name, to / name)
    return to


def test_inspect_tells_what_an_interrupted_run_is(
    whole: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run_ = copy(whole, tmp_path / "cut", "config.toml", "checkpoint.rtu", "events.jsonl", "blackbox.rtubox")
    log = (whole / "log.mcap").read_bytes()
    (run_ / "log.mcap").write_bytes(log[: len(log) * 3 // 4])
    code, out, err = run(capfd, "inspect", run_)
    assert code == 0, err
    for words in (
        "a run without a summary: it was interrupted, or it is still running",
        f"rtu-edge run --resume {run_} continues it",
        f"rtu-edge log repair {run_} completes its log",
        "60 steps",
    ):
        assert words in " ".join(out.split()), words
    code, _, err = run(capfd, "inspect", run_, "--report")
    assert code == 2 and "it has no summary.json to make a report from" in err


def test_inspect_tells_what_a_service_s_folders_are(
    whole: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    service = copy(whole, tmp_path / "service", "checkpoint.rtu")
    for name in ("session", "session-2"):
        copy(whole, service / name, "config.toml", "log.mcap", "blackbox.rtubox")
    code, out, err = run(capfd, "inspect", service)
    assert code == 0 and "the folder of a service" in out, err
    assert f"rtu-edge inspect {service}/session-2 shows its last session" in " ".join(out.split())
    code, out, err = run(capfd, "inspect", service / "session")
    assert code == 0 and "a session of a service" in out and " records, " in out, err


def test_a_folder_that_is_none_of_these_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capfd, "inspect", tmp_path)
    assert code == 2 and "not the folder of a run: there is no summary.json" in err


def test_damage_in_an_interrupted_run_is_reported(
    whole: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    damaged: Any = copy(whole, tmp_path / "damaged", "config.toml", "checkpoint.rtu")
    data = (damaged / "checkpoint.rtu").read_bytes()
    (damaged / "checkpoint.rtu").write_bytes(data[:100])
    (damaged / "log.mcap").write_bytes(b"no log")
    code, out, err = run(capfd, "inspect", damaged)
    assert code == 0 and "interrupted" in out, err
