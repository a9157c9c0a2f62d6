"""What a person sees: every table at 80 columns, progress, the last line of a run, charts at any width."""

from __future__ import annotations

import io
import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
from rich.console import Console
from test_timeline import LIMITS, made

import rtu_edge.cli
from rtu_edge import _core
from rtu_edge.cli import common
from rtu_edge.cli.monitor import _owned, _owned_line
from rtu_edge.device.schema import Channel, DataSheet
from rtu_edge.hil.case import Result
from rtu_edge.loop import Loop, LoopStatus, StopReason
from rtu_edge.record import Check, Summary
from rtu_edge.report.charts import Axis, Series, chart, ticks
from rtu_edge.report.digest import Digest
from rtu_edge.report.page import page
from rtu_edge.report.progress import Display
from rtu_edge.report.terminal import advice, checks_table
from rtu_edge.run.dry_run import DryRun

RUNS = Path(__file__).parent / "golden" / "formats" / "runs"


def tokens(text: str) -> set[str]:
    """Words and numbers that no column folds in the middle."""
    return {token for token in re.findall(r"\S+", text) if len(token) <= 16}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    shutil.copytree(RUNS, tmp_path / "runs")
    return tmp_path / "runs"


COMMANDS = ["ckpt ls", "ckpt diff {} {}/checkpoint.1.rtu", "blackbox --rows 4", "inspect", "promote"]
COMMANDS += ["inspect {}/checkpoint.rtu", "hil list", "hil kinds"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_label_and_number_is_there_at_80_columns(
    command: str, runs: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(runs)
    words = command.replace("{}", "sim").split()
    arguments = words if words[0] == "hil" or "{}" in command else [*words, "sim"]
    shown = {}
    for width in (80, 4096):
        monkeypatch.setattr(common, "_PIPE_WIDTH", width)
        with pytest.raises(SystemExit):
            rtu_edge.cli.main(arguments)
        shown[width] = capfd.readouterr().out
    wide, narrow = shown[4096], shown[80]
    assert len(wide.splitlines()) > 2 and "\x1b" not in wide
    assert tokens(wide) <= tokens(narrow)
    labels = [re.split(r"\s{2,}", line)[0] for line in wide.splitlines() if re.search(r"\S\s{2,}\S", line)]
    assert all(re.search(rf"^{re.escape(label)[:60]}", narrow, re.M) for label in labels if len(label) < 60), labels
    tables = [line for line in narrow.splitlines() if re.search(r"\S\s{2,}\S", line)]
    assert max(map(len, tables)) <= 80


def render(what: object, width: int) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(what)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def status(**values: object) -> LoopStatus:
    quality = SimpleNamespace()
    known = {"running": True, "reason": StopReason.NONE, "steps": 30_000, "episodes": 0, "episode_steps": 1}
    known |= {"mean_return": np.nan, "device_state": 2, "counters": {}, "link": quality, **values}
    return LoopStatus(**known)  # type: ignore[arg-type]


@pytest.mark.parametrize("episodic", [False, True])
def test_progress_shows_reward_or_return_at_80_columns(episodic: bool) -> None:
    console = Console(width=80, height=24, file=io.StringIO(), force_terminal=True, color_system=None)
    digest = Digest(20, LIMITS)
    display = Display(console, 100_000, 0.02, 50_000, digest=digest)
    episodes = np.zeros(30 if episodic else 0, _core.episode_dtype())
    episodes["total_return"] = 487.0
    display.watch(status(sigma=0.31, entropy=0.25, episodes=len(episodes)), made(30_000), episodes)
    shown = render(display._picture(status(sigma=0.31, entropy=0.25)), 80)
    assert max(map(len, shown.splitlines())) <= 80 and len(shown.splitlines()) <= 12
    for name in ("reward per step (last", "fallback", "learner", "limited", "sensor monitor", "|TD error|", "clipped"):
        assert name in shown, name
    assert "sigma 0.31" in shown and "entropy 0.25" in shown and "balanced" not in shown
    assert ("return (last 20) 487" in shown) == episodic
    assert ("reward per s" in shown.replace("reward per step", "")) != episodic
    assert "saturated" in display._line(status(findings=("saturated",))) and "saturated" not in shown
    line = display._line(status(sigma=0.31))
    assert "\n" not in line and "sigma 0.31" in line and "rate" in line


def test_the_monitor_shows_return_reward_and_exploration() -> None:
    link = dict.fromkeys(
        [
            "round_trip_us",
            "round_trip_min_us",
            "round_trip_max_us",
            "jitter_us",
            "drift_ppm",
            "state_delay_us",
            "command_age_us",
            "command_age_max_us",
            "frames_in_per_s",
            "bytes_in_per_s",
            "frames_out_per_s",
            "bytes_out_per_s",
        ],
        1234.5,
    )
    counts = dict.fromkeys(("lost_in", "lost_out", "pings", "pongs"), 7)
    told = {
        "pid": 1, "running": True, "reason": "none", "steps": 1000, "episodes": 3, "episode_steps": 9,
        "mean_return": None, "mean_reward": -0.013, "sigma": 0.31, "entropy": 0.25, "device_state": 2, "mode": 4,
        "counters": {"crc_errors": 1, "framing_errors": 2, "limiter_slew": 12},
        "link": {**link, **counts, "device": dict.fromkeys(("crc_errors", "garbled", "overlong"), 0)},
    }  # fmt: skip
    shown = render(_owned("/dev/ttyACM0", told, {"steps": 50.0}, []), 80)
    assert max(map(len, shown.splitlines())) <= 80
    for text in ("reward per step", "-0.013", "sigma", "0.31", "entropy", "limiter slew", "learner drives"):
        assert text in shown, text
    noticed = render(_owned("/dev/ttyACM0", {**told, "findings": 9}, {}, []), 80)
    assert "saturated, td error" in noticed and "saturated" not in shown
    assert tokens(render(_owned("/dev/ttyACM0", told, {"steps": 50.0}, []), 4096)) <= tokens(shown)
    assert "reward per step -0.013" in _owned_line(told, {})
    assert "mean return 487" in _owned_line({**told, "mean_return": 487.0}, {})


def test_checks_and_a_dry_run_fit() -> None:
    checks = [Check("runs in real time", True, "200 steps; disarmed, confirmed by the device", "4 s without a stop")]
    shown = render(checks_table(Summary(name="x", checks=checks)), 80)
    assert shown.splitlines()[1].startswith("✓ runs in real time") and max(map(len, shown.splitlines())) <= 80
    sheet = DataSheet(
        0.02,
        (Channel("joint_angle", "rad", -1, 1), Channel("y", "m", -1, 1)),
        (Channel("u", "N", -1, 1, actuator=True),),
    )
    dry = DryRun(Console(file=io.StringIO()), sheet)
    dry.watch(status(), made(10), np.zeros(0, _core.episode_dtype()))
    assert all(name in render(dry.table(), 40) for name in ("observed joint_angle", "would send u", "least", "applied"))


def test_a_result_of_a_suite_keeps_its_numbers_at_80_columns() -> None:
    from rtu_edge.cli.hil import _say

    result = Result(
        name="one observation in five is lost", kind="drop", target="process", expected="rides_through",
        response="rides_through", passed=True, detected_ms=714.8, safe_ms=100.0, accepted_after=0, recovery_ms=1.6,
    )  # fmt: skip
    for width in (80, 40, 4096):
        console = Console(width=width, file=io.StringIO(), color_system=None)
        _say(console, result)
        shown = console.file.getvalue()  # type: ignore[attr-defined]
        for text in ("process", "714.8 ms", "100.0 ms", "1.6 ms", "rides through"):
            assert text in shown, (width, text)
        assert max(map(len, shown.splitlines())) <= width


def test_a_refused_privilege_names_its_meaning_and_a_command() -> None:
    for refused, words in (
        ("locked memory: Operation not permitted", ("page fault", "memlock unlimited", "/etc/security/limits.d")),
        ("real-time priority (SCHED_FIFO): Operation not permitted", ("delay a step", "rtprio 60", "log in again")),
        ("pinning to one core: Invalid argument", ("loop.cpu", "-1")),
    ):
        text = advice(refused)
        assert "\n" not in text and all(word in text for word in words), text
    assert advice("something else") == ""


def test_a_run_on_a_terminal_ends_with_what_was_learned(tmp_path: Path) -> None:
    """80 columns, 24 lines; and the same run through a pipe has no control character and no cut line."""
    command = [sys.executable, "-m", "rtu_edge.cli", "run", "--sim", "--steps", "400", "--set", "learner.units=4"]
    pid, main = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.execve("/bin/sh", ["sh", "-c", 'stty cols 80 rows 24; exec "$@"', "sh", *command], os.environ)
    seen = b""
    while True:
        try:
            part = os.read(main, 65536)
        except OSError:
            break
        if not part:
            break
        seen += part
    os.close(main)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, seen
    last = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", seen).decode().strip().splitlines()[-1]
    assert re.fullmatch(r"return [\d.]+ \(last \d+ episodes\); report: runs/sim/report.html", last), last
    piped = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True).stdout
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", piped)
    assert piped.splitlines()[-1].startswith("return ") and piped.splitlines()[-1].endswith("runs/sim-2/report.html")
    text = (tmp_path / "runs" / "sim" / "report.html").read_text()
    for words in (
        "Who drove",
        "command limiter",
        "fallback forced",
        "|TD error|",
        "Sigma",
        "Entropy",
        "Clipped",
        "mean return",
    ):
        assert words in text, words


# ---------------------------------------------------------------- charts


def test_a_report_of_a_continuing_plant_shows_reward_per_step_and_per_second() -> None:
    digest = Digest(20, LIMITS)
    digest.take(made(5000), np.zeros(0, _core.episode_dtype()))
    digest.timeline.resume([(step * 100.0, 0.5, -0.1) for step in range(50)])
    text = page(Summary(name="x", period_s=0.02), {"realtime": digest}, "")
    for words in (
        "reward per second",
        "Reward per step",
        "Steps in which a part stepped in",
        "learner monitor: rollbacks",
    ):
        assert words in text, words
    assert "Return of each episode" not in text and "nan" not in text.lower().replace("nanos", "")


@pytest.mark.parametrize(
    "values",
    [[], [1.0], [0.0, 0.0], [np.nan, np.nan], [np.inf, -np.inf, 1.0], [1e300, -1e300], [-1e-300, 1e-300], [5.0] * 3000],
)
def test_any_values_give_a_chart(values: list[float]) -> None:
    y = np.array(values)
    for log in (False, True):
        text = chart("a < b", [Series(np.arange(len(y)), y, filled=True, label="x")], y=Axis(log=log))
        assert "nan" not in text and "inf" not in text and "a &lt; b" in text
        numbers = [float(found) for found in re.findall(r"(?<=[ML ,])-?\d+\.\d+", text)]
        assert all(-300 <= number <= 1300 for number in numbers)


def test_a_long_line_keeps_its_peaks() -> None:
    y = np.zeros(200_000)
    y[123_456] = 1.0
    text = chart("peak", [Series(np.arange(len(y)), y)], y=Axis(0.0, 1.0))
    assert len(text) < 60_000 and re.search(r"L617\.\d 0\.0", text)


def test_labels_are_round_numbers_and_do_not_crowd() -> None:
    for low, high in ((0, 500), (-2.4, 2.4), (0, 60_000), (-1e-3, 5e-3), (0, 1)):
        found = ticks(low, high)
        assert 3 <= len(found) <= 6 and all(low <= at <= high for at in found)
    assert ticks(1.0, 1.0) == [] and ticks(0.0, float("inf")) == []
    text = chart("t", [Series(np.array([0.0, 10.0]), np.array([0.0, 1.0]))], x=Axis(0.0, 10.0, label=" s"))
    assert 'class="x first"' in text and 'class="x last"' in text  # neither reaches beyond the chart


# ---------------------------------------------------------------- pictures of the documents


def test_the_pictures_of_the_screens_are_kept_and_small() -> None:
    root = Path(__file__).resolve().parent.parent
    named = re.findall(r"\(images/([\w.-]+)\)", (root / "docs" / "screens.md").read_text())
    made = re.findall(r'\.save\("([\w-]+)"\)', (root / "tools" / "screens.py").read_text())
    shot = re.findall(r'shoot\([^,]+, "([\w-]+)"', (root / "tools" / "screens.py").read_text())
    assert sorted(named) == sorted([*(f"screen-{name}.svg" for name in made), *(f"{name}.png" for name in shot)])
    for name in named:
        data = (root / "docs" / "images" / name).read_bytes()
        assert len(data) < 150_000
        if name.endswith(".svg"):
            assert ElementTree.fromstring(data).tag.endswith("svg") and b"balanced" not in data


# ---------------------------------------------------------------- what a run tells


def ended(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as leaving:
        rtu_edge.cli.main(["run", "--sim", "--set", "learner.units=4", *arguments])
    out, err = capfd.readouterr()
    return int(leaving.value.code or 0), out, err


def test_a_run_that_stops_ends_with_reason_result_and_report(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tight = ["sensor.x.min=-0.3", "sensor.x.max=0.3", 'sensor.x.on_range="stop"']
    code, _, err = ended(capfd, "--steps", "5000", *(word for each in tight for word in ("--set", each)))
    assert code == 4
    last = err.splitlines()[-1]
    assert re.search(r"sensor: .*; return [\d.]+ \(last .*episodes?\); report: runs/sim/report.html$", last), last
    assert (tmp_path / "runs" / "sim" / "report.html").exists()


def test_a_refused_privilege_is_explained_on_one_line_of_a_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Loop, "privileges", lambda self: ["locked memory: Cannot allocate memory"])
    code, out, _ = ended(capfd, "--steps", "50")
    (line,) = [line for line in out.splitlines() if line.startswith("not granted: locked memory")]
    assert code == 0 and "a page fault may delay a step" in line and "memlock unlimited" in line
    assert out.splitlines()[-1].endswith("report: runs/sim/report.html")
