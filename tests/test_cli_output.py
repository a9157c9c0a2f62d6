"""What programs and pipes get from every command: no escape sequences, and with --json one document."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import rtu_edge.cli
from rtu_edge.device.emulated_bus import EmulatedBus
from rtu_edge.device.simulated import SimulatedDevice

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import cli_reference  # noqa: E402

ESCAPE = re.compile("[\x1b\x9b]")
SMALL = ("--set", "learner.units=4", "--set", "learner.hidden=8")
# Each command as it is called here: RUN, CONFIG, PORT and TMP are replaced. "device" and "serve" run until a signal.
CALLS: dict[str, str] = {
    "demo": "--steps 300 --realtime-s 0.1 --folder TMP",
    "init": "cartpole -o TMP/new.toml",
    "doctor": "",
    "run": "CONFIG --sim --steps 60",
    "size": "cartpole --no-calibrate",
    "promote": "RUN --to learn",
    "clone": "CONFIG RUN -o TMP/start.rtu --passes 2",
    "export": "RUN -o TMP/policy.onnx",
    "verify": "RUN --steps 20",
    "ports": "",
    "monitor": "PORT --once",
    "watch": "RUN --prometheus 0 --seconds 0.1",
    "firmware": "TMP/nothing.c",
    "estop": "PORT",
    "clear": "PORT",
    "service": "CONFIG --user robot --root TMP",
    "arm": "PORT --token 1000",
    "inspect": "RUN",
    "log repair": "RUN",
    "replay": "RUN --verify",
    "blackbox": "RUN --rows 3",
    "ckpt ls": "RUN",
    "ckpt diff": "RUN RUN",
    "ckpt rollback": "RUN --slot 999",
    "study": "cartpole --seeds 1 --steps 500 -o TMP/study",
    "tune": "cartpole --search learner.units=2:4 --trials 1 --seeds 1 --steps 500 -o TMP/tune",
    "hil list": "",
    "hil kinds": "",
    "hil run": "--target sim --only schema -o TMP/hil --report TMP/hil.json",
    "hil show": "TMP/hil.json",
    "bus scan": "BUS --last-id 2 --latency-ms 200",
    "bus monitor": "BUS 1 --seconds 0.1 --latency-ms 200",
    "bus set-id": "BUS 2 3 --latency-ms 200",
    "bus calibrate": "BUS pan=1 --seconds 0.1 --yes -o TMP/arm.toml",
    "bus from-lerobot": "BUS TMP/nothing.json --joint-unit degrees -o TMP/a.toml",
    "bus to-lerobot": "TMP/bus.toml -o TMP/nothing.json",
    "bus serve": "TMP/bus.toml --emulated --seconds 0.1",
    "bench loop": "--seconds 0.2 --no-realtime -o TMP/loop",
    "bench drops": "--count 1 --away 0.1 -o TMP/drops",
    "bench soak": "--hours 0.001 -o TMP/soak",
    "completion": "bash",
}
UNTIL_SIGNAL = {"device", "serve"}
EITHER = {"doctor"}  # 0 or 1, as this computer is
FAILS = {
    "bus calibrate",
    "bus from-lerobot",
    "bus to-lerobot",
    "firmware",
    "arm",
    "ckpt rollback",
    "demo",
    "promote",
}  # exit code 1, 2 or 3


BUS_FILE = """
port = "/dev/null"
family = "feetech"
latency_us = 100000
[joint.pan]
id = 1
min_rad = -1.0
max_rad = 1.0
slew_rad_s = 1.0
safe = "hold"
"""


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    root = tmp_path_factory.mktemp("output")
    config = root / "robot.toml"
    (root / "bus.toml").write_text(BUS_FILE)
    with (
        SimulatedDevice("cartpole", link=root / "port") as device,
        EmulatedBus("feetech", servos=2, link=root / "bus") as emulated,
    ):
        assert emulated.pid
        config.write_text(
            f'[device]\nport = "{root / "port"}"\nsim = "cartpole"\n[learner]\nunits = 4\nhidden = [8]\n'
            f'[limits.force]\nmin = -5.0\nmax = 5.0\nslew_per_s = 100.0\n[run]\nfolder = "{root}/runs"\n'
        )
        for arguments in (
            ["run", str(config), "--sim", "--steps", "60", "--name", "run"],
            ["export", f"{root}/runs/run"],
        ):
            with pytest.raises(SystemExit) as leaving:
                rtu_edge.cli.main(arguments)
            assert leaving.value.code == 0
        assert device.running
        yield {
            "RUN": f"{root}/runs/run",
            "CONFIG": str(config),
            "PORT": f"{root}/port",
            "BUS": f"{root}/bus",
            "TMP": str(root),
        }


def arguments(name: str, places: dict[str, str]) -> list[str]:
    text = f"{name} {CALLS[name]}"
    for word, place in places.items():
        text = re.sub(rf"\b{word}\b", place, text)
    return text.split()


def test_every_command_is_called() -> None:
    assert {name for name, _ in cli_reference.leaves()} == {*CALLS, *UNTIL_SIGNAL}


@pytest.mark.parametrize("name", CALLS)
def test_a_pipe_gets_no_escape_sequences(
    name: str, places: dict[str, str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    with pytest.raises(SystemExit) as leaving:
        rtu_edge.cli.main(arguments(name, places))
    out, err = capfd.readouterr()
    assert not ESCAPE.search(out + err)
    assert "Traceback" not in err
    assert leaving.value.code in ((1, 2, 3) if name in FAILS else (0, 1) if name in EITHER else (0,)), err


def documented(name: str) -> list[set[str]]:
    """Of docs/cli.md: the sets of fields of a command, those with and those after "with `--set`"."""
    text = re.sub(r"\([^)]*\)", "", cli_reference.JSON[name])
    parts = [part.partition(":")[0] if ":" in part else part for part in text.split(";")]
    return [set(re.findall(r"`(\w+)`", part)) for part in parts]


@pytest.mark.parametrize("name", [name for name in cli_reference.JSON if name not in UNTIL_SIGNAL])
def test_json_is_one_document_with_the_documented_fields(
    name: str, places: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as leaving:
        rtu_edge.cli.main([*arguments(name, places), "--json"])
    out, err = capfd.readouterr()
    found = json.loads(out)
    assert "Traceback" not in err
    assert name in EITHER or leaving.value.code == (1 if name in FAILS else 0), err
    wanted = documented(name)[0]
    if name == "inspect":
        assert (
            set(found) == {"kind", "path", "summary", "counters", "cut"}
            and found["summary"]["stages"]["learning"]["steps"] == 60
        )
    elif name == "monitor":
        assert found["event"] == "heard" and found["device_state"] in ("DISARMED", "ESTOP")
    elif "and more" in cli_reference.JSON[name]:
        assert wanted <= set(found)
    else:
        assert set(found) == wanted


def test_every_option_json_is_documented() -> None:
    with_json = {name for name, command in cli_reference.leaves() if any("--json" in p.opts for p in command.params)}
    assert with_json == set(cli_reference.JSON)


def test_json_of_checkpoints_folders_and_what_ifs(places: dict[str, str], capfd: pytest.CaptureFixture[str]) -> None:
    def called(*words: str) -> Any:
        with pytest.raises(SystemExit) as leaving:
            rtu_edge.cli.main([*words, "--json"])
        out, err = capfd.readouterr()
        assert leaving.value.code == 0, err
        return json.loads(out)

    checkpoint = called("inspect", f"{places['RUN']}/checkpoint.rtu")
    assert set(checkpoint) == {"kind", "path", "bytes", "state_hash", "learner", "sections"}
    whatif = called("replay", places["RUN"], "--set", "learner.gamma=0.5", "-o", f"{places['TMP']}/what-if")
    assert set(whatif) == {"log", "session", "cut", *documented("replay")[1]}
    assert called("run", places["CONFIG"], "--sim", "--steps", "5")["steps"] == 5


@pytest.mark.parametrize("name", sorted(UNTIL_SIGNAL))
def test_what_runs_until_a_signal_is_plain_in_a_pipe(name: str, places: dict[str, str], tmp_path: Path) -> None:
    words = {
        "device": ["device", "servo", "--json"],
        "serve": ["serve", places["CONFIG"], "--set", 'device.port=""', "--set", "device.plant=cartpole"],
    }[name]
    process = subprocess.Popen(
        [sys.executable, "-m", "rtu_edge.cli", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
        env={**os.environ, "TERM": "xterm-256color"},
    )  # fmt: skip
    assert process.stdout is not None
    lines = []
    if name == "device":
        for line in process.stdout:
            lines.append(line)
            if line == "}\n":
                break
    else:
        select.select([process.stderr], [], [], 1.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert not ESCAPE.search("".join(lines) + out + err) and "Traceback" not in err
    if name == "device":
        found = json.loads("".join(lines) + out)
        assert set(found) == documented("device")[0] and found["plant"] == "servo"


def terminal(words: list[str], environment: dict[str, str]) -> str:
    """What a command prints on a terminal."""
    plain = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "rtu_edge.cli", *words], stdout=theirs, stderr=theirs, env={**plain, **environment}
    )
    os.close(theirs)
    found = b""
    try:
        while data := os.read(ours, 65536):
            found += data
    except OSError:  # EIO: the other end is closed
        pass
    os.close(ours)
    process.wait(timeout=60)
    return found.decode()


COLOUR = re.compile(r"\x1b\[(?:[\d;]*;)?(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])(?:;[\d;]*)?m")


@pytest.mark.parametrize("words", ["inspect RUN", "run CONFIG --sim --steps 60", "monitor PORT --seconds 0.2"])
def test_a_dumb_terminal_gets_no_escape_sequences(words: str, places: dict[str, str]) -> None:
    for word, place in places.items():
        words = words.replace(word, place)
    assert not ESCAPE.search(terminal(words.split(), {"TERM": "dumb"}))


def test_no_color_removes_colours(places: dict[str, str]) -> None:
    words = ["promote", places["RUN"]]
    assert not COLOUR.search(terminal(words, {"TERM": "xterm-256color", "NO_COLOR": "1"}))
    assert COLOUR.search(terminal(words, {"TERM": "xterm-256color"}))
