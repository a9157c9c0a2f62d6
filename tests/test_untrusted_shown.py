"""Untrusted text from files and devices: its display, accessed files, and infinity (docs/security.md)."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stranger import (
    BOX,
    GOLDEN,
    LOG,
    NPZ,
    SUMMARY,
    box_with,
    cli,
    data_file,
    head_of,
    refused,
    resealed,
    with_head,
    with_records,
)

from rtu_edge._base import untrusted
from rtu_edge.learn import checkpoint
from rtu_edge.record import RunFolder, Summary, blackbox
from rtu_edge.record.reader import read_log
from rtu_edge.report import write_picture, write_report


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run's folder that may be changed."""
    shutil.copytree(GOLDEN, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replay starts no other process for the instruction set of the files."""
    monkeypatch.setenv("RTU_EDGE_ISA", "scalar")


# ---------------------------------------------------------------- what is shown

EVIL = "a\x1b]0;owned\x07\x1b[2Jb\r\x9bc\u202ed[/red][link=http://x]$x_{$"


@pytest.mark.hazard("escape-sequences")
def test_no_control_character_of_a_file_reaches_terminal_page_or_picture(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    summary = json.loads((folder / SUMMARY).read_bytes())
    for key in ("name", "title", "headline", "started", "config_hash"):
        summary[key] = EVIL
    for row in (*summary["observations"], *summary["actuators"]):
        row.update(name=EVIL, unit=EVIL)
    summary["stages"][EVIL] = {**summary["stages"]["learning"], "reason": EVIL, "message": EVIL}
    summary["device"][EVIL] = EVIL
    (folder / SUMMARY).write_text(json.dumps(summary))
    (folder / "config.toml").write_text(EVIL)
    head = {"started": EVIL, "isa": EVIL, "machine": EVIL, "version": EVIL, "build": EVIL, "configuration_hash": EVIL}
    log = (folder / LOG).read_bytes()
    (folder / LOG).write_bytes(with_head(log, lambda plain: plain.update(head)))
    rows = [{**row, "name": EVIL, "unit": EVIL} for row in head_of(log)["observations"]]
    (folder / BOX).write_bytes(box_with((folder / BOX).read_bytes(), **head, observations=rows))
    picture = folder / "p.png"
    for command in (
        ("inspect", folder, "--report", "--plot", picture),
        ("blackbox", folder, "--plot", picture),
        ("replay", folder),
        ("ckpt", "ls", folder),
    ):
        code, out, err = cli(capfd, *command)
        assert code == 0, err
        shown = out + err
        assert not any(letter in shown for letter in "\x1b\x07\r\x9b\u202e"), command
    page = (folder / "report.html").read_text()
    assert "owned" in page and not any(letter in page for letter in "\x1b\x07\r\x9b\u202e") and "<link" not in page


def test_clean_leaves_text_as_it_is() -> None:
    for text in ("pole_angle", "Größe, µm", "角度", "a b", "°/s²"):
        assert untrusted.clean(text) == text
    assert untrusted.clean("a\nb\tc") == "a b c" and untrusted.clean("a\nb\tc", lines=True) == "a\nb\tc"
    assert untrusted.clean("\x1b[31m\u202e\u2028\x85") == "�[31m���"
    assert len(untrusted.clean("x" * 5000)) == 1001


def test_names_with_dollars_are_drawn(tmp_path: Path) -> None:
    import fake_run

    folder = fake_run.make(tmp_path)
    summary = folder.load_summary()
    summary.observations = [dataclasses.replace(row, name="a$b$_{", unit="$\\frac$") for row in summary.observations]
    folder.save_summary(summary)
    assert write_report(folder).stat().st_size > 10_000
    write_picture(folder, tmp_path / "p.svg")
    assert (tmp_path / "p.svg").stat().st_size > 10_000


# ---------------------------------------------------------------- what is touched


@pytest.mark.hazard("replay-runs-named-code")
@pytest.mark.parametrize(
    "fallback",
    [
        'kind = "python"\nfunction = "mischief:run"',
        'kind = "c"\nlibrary = "{folder}/mischief.so"\nsymbol = "run"',
        'kind = "checkpoint"\ncheckpoint = "{folder}/pipe"',
    ],
    ids=["python", "c", "checkpoint"],
)
def test_a_replay_runs_nothing_and_opens_nothing_that_a_log_names(
    fallback: str, folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "mischief.py").write_text("raise RuntimeError('this ran')\n")
    (folder / "mischief.so").write_bytes(b"not a library")
    os.mkfifo(folder / "pipe")
    monkeypatch.syspath_prepend(str(folder))
    text = f"[fallback]\n{fallback.format(folder=folder)}\n"

    def other(head: dict[str, Any]) -> None:
        config = head["configuration"]
        start, end = config.index("[fallback]"), config.index("[learner]")
        head["configuration"] = config[:start] + text + "\n" + config[end:]

    (folder / LOG).write_bytes(with_head((folder / LOG).read_bytes(), other))
    err = refused(capfd, "replay", folder, "--verify")
    assert "takes no code and no file that a log names" in err and "--config" in err
    own = folder / "own.toml"
    own.write_text('[device]\nplant = "cartpole"\n[fallback]\nkind = "rest"\n')
    assert "takes no code" in refused(capfd, "replay", folder, "--verify", "--config", own)


def test_a_replay_takes_the_code_that_the_user_names(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """And raises other errors: the named file is missing."""
    text = '[fallback]\nkind = "python"\nfunction = "no_such_module:run"\n'

    def other(head: dict[str, Any]) -> None:
        config = head["configuration"]
        head["configuration"] = config[: config.index("[fallback]")] + text + config[config.index("[learner]") :]

    (folder / LOG).write_bytes(with_head((folder / LOG).read_bytes(), other))
    own = folder / "own.toml"
    own.write_text('[device]\nplant = "cartpole"\n' + text.replace("no_such_module", "another_module"))
    assert "cannot import another_module:run" in refused(capfd, "replay", folder, "--verify", "--config", own)


@pytest.mark.hazard("foreign-file-touched")
@pytest.mark.parametrize(
    "file", [LOG, BOX, SUMMARY, NPZ, "checkpoint.rtu", "config.toml", "events.jsonl", "policy.onnx"]
)
@pytest.mark.parametrize("what", ["pipe", "link", "folder"])
def test_only_regular_files_of_a_folder_are_touched(
    file: str, what: str, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A pipe hangs nothing; a link leads nowhere; what it names is neither read nor written."""
    precious = tmp_path / "precious"
    precious.write_bytes(b"mine")
    (folder / file).unlink(missing_ok=True)
    if file == NPZ:
        (folder / LOG).unlink()  # where there is a log, the arrays of an earlier version are not read
    if what == "pipe":
        os.mkfifo(folder / file)
    elif what == "link":
        (folder / file).symlink_to(precious)
    else:
        (folder / file).mkdir()
    commands: dict[str, tuple[Any, ...]] = {
        LOG: ("replay", folder, "--verify"),
        BOX: ("blackbox", folder),
        SUMMARY: ("inspect", folder),
        NPZ: ("promote", folder),
        "checkpoint.rtu": ("export", folder),
        "config.toml": ("inspect", folder, "--report"),
        "events.jsonl": ("promote", folder, "--to", "off", "--apply", "--out", tmp_path / "new.toml"),
        "policy.onnx": ("verify", folder),
    }
    code, _, err = cli(capfd, *commands[file])
    assert code == 2 and len(err.splitlines()) == 1, err
    assert precious.read_bytes() == b"mine"


def test_a_report_replaces_a_link_and_not_what_it_names(folder: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"mine")
    for name in ("report.html", SUMMARY):
        data = (folder / name).read_bytes() if (folder / name).exists() else b""
        (folder / name).unlink(missing_ok=True)
        if name == SUMMARY:
            (folder / name).write_bytes(data)
        else:
            (folder / name).symlink_to(precious)
    write_report(RunFolder(folder))
    assert precious.read_bytes() == b"mine" and not (folder / "report.html").is_symlink()


@pytest.mark.hazard("foreign-file-touched")
def test_a_box_finds_its_tail_by_its_id_alone(folder: Path, tmp_path: Path) -> None:
    """What a box names is not opened and not removed; its own tail has to be a regular file of the same user."""
    box, shared = folder / BOX, tmp_path / "shared"
    shared.mkdir()
    data = box.read_bytes()
    named = tmp_path / "named"
    named.write_bytes(data)
    box.write_bytes(box_with(data, tail=str(named)))
    assert blackbox.settle(box, shared) == 0 and named.read_bytes() == data
    (identity,) = struct.unpack_from("<Q", data, 32)
    tail = shared / f"rtu-edge-{identity:016x}.tail"
    os.mkfifo(tail)
    assert blackbox.read(box, shared).from_tail == 0 and blackbox.settle(box, shared) == 0 and tail.is_fifo()
    tail.unlink()
    tail.symlink_to(named)
    assert blackbox.settle(box, shared) == 0 and tail.is_symlink() and named.exists()
    tail.unlink()
    whole = blackbox.read(box, shared)
    first, slot = struct.unpack_from("<II", data, 12)
    tail.write_bytes(data)
    box.write_bytes(data[: first + 50 * slot])
    assert blackbox.read(box, shared).from_tail == len(whole.records) - 50
    assert blackbox.settle(box, shared) == len(whole.records) - 50 and not tail.exists()
    assert blackbox.read(box, shared).records.tobytes() == whole.records.tobytes()


# ---------------------------------------------------------------- infinity


def test_infinity_survives_every_format(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """An observation without a bound: log, black box, summary, replay, inspect, report."""
    import logged

    from rtu_edge.device.schema import Channel
    from rtu_edge.run import connect, describe, loop_config, make_agent, run_loop, supervised
    from rtu_edge.run.recording import Recording

    config = logged.config_of("run.steps=60", "log.blackbox_minutes=0.1")
    rows = (Channel("x", "m", -np.inf, np.inf), Channel("theta", "rad", 0.0, np.inf, 1))
    with RunFolder.create(tmp_path, "wide") as folder:
        with connect(config) as device:
            device = dataclasses.replace(device, sheet=dataclasses.replace(device.sheet, observations=rows))
            agent = make_agent(config, device.sheet)
            with Recording(config, device, agent, folder) as recording:
                loop = loop_config(config, device)
                policy = supervised(config, device, agent, loop).policy
                run_loop(device, agent, loop, policy=policy, recording=recording)
            summary = Summary(name="wide")
            describe(summary, device, agent)
        folder.save_summary(summary)
        assert folder.load_summary().observations == list(rows)
        log = read_log(folder.file(LOG))
        assert log.head.observations == list(rows)
        assert blackbox.read(folder.file(BOX)).head.observations == list(rows)
        for text in (folder.file(SUMMARY).read_text(),):
            json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    for command in (
        ("replay", folder.path, "--verify"),
        ("inspect", folder.path, "--report"),
        ("blackbox", folder.path),
    ):
        code, _, err = cli(capfd, *command)
        assert (code, err) == (0, ""), command
    assert "-inf..inf m" in folder.file("report.html").read_text()


def test_a_log_and_a_summary_without_bounds_of_an_earlier_version_are_read(folder: Path) -> None:
    """Which wrote minimum and maximum, and null."""
    plain = json.loads((folder / SUMMARY).read_bytes())
    assert set(plain["observations"][0]) == {"name", "unit", "minimum", "maximum"}
    plain["observations"][0].update(minimum=None, maximum=None)
    (folder / SUMMARY).write_text(json.dumps(plain))
    row = RunFolder(folder).load_summary().observations[0]
    assert (row.min, row.max) == (-np.inf, np.inf)

    def as_earlier(head: dict[str, Any]) -> None:
        low = head["observations"][1]
        head["observations"][1] = {"name": low["name"], "unit": low["unit"], "minimum": None, "maximum": low["max"]}

    data = with_head((folder / LOG).read_bytes(), as_earlier)
    assert read_log(data_file(data)).head.observations[1].min == -np.inf


def test_json_keeps_what_is_not_finite() -> None:
    value = {"a": [1.5, float("inf")], "b": (float("-inf"), float("nan")), "c": 3}
    text = untrusted.to_json(value)
    assert json.loads(text) == {"a": [1.5, "inf"], "b": ["-inf", "nan"], "c": 3}
    found = untrusted.from_json(text, dict[str, Any])
    assert found["a"][1] == "inf"  # of no type: as it was written
    assert untrusted.from_json(b'["inf", "-inf", 1]', list[float]) == [np.inf, -np.inf, 1.0]


# ---------------------------------------------------------------- devices and owners


def test_text_of_a_device_is_cleaned(capfd: pytest.CaptureFixture[str]) -> None:
    """A LOG, and the rows of a data sheet, on a port that is only listened to."""
    import pty
    import threading
    import tty

    from rtu_edge.device import protocol

    near, far = pty.openpty()
    tty.setraw(far)
    stop = threading.Event()

    def talk() -> None:
        messages = (
            protocol.Log(1, "a\x1b[2Jb\x07"),
            protocol.State(0, 0, protocol.Fault(0), 1, 1, protocol.Episode(0), 0.0, (1.0,), (0.0,)),
        )
        while not stop.wait(0.05):
            for number, message in enumerate(messages):
                os.write(near, protocol.encode(protocol.pack(message, number, 0)))

    thread = threading.Thread(target=talk)
    thread.start()
    try:
        for more in (("--frames",), ("--once",), ("--frames", "--json")):
            code, out, err = cli(capfd, "monitor", os.ttyname(far), "--seconds", "0.4", *more)
            assert code == 0 and "LOG" in out and "\x1b" not in out + err and "\x07" not in out + err, (more, err)
    finally:
        stop.set()
        thread.join()
        os.close(near)
        os.close(far)


ANSWERS = {
    "no status": {"event": "status"},
    "words for numbers": {"event": "status", "steps": "many", "link": [], "counters": 3},
    "a link of nothing": {"event": "status", "steps": 1, "device_state": 2, "link": {}, "counters": {}},
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_owner_that_answers_anything_is_told_in_one_line(
    name: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from rtu_edge.device import lock

    monkeypatch.setattr(lock, "owner", lambda port: 1)
    monkeypatch.setattr(lock, "status", lambda port: ANSWERS[name])
    monkeypatch.setattr(lock, "monitor", lambda port: iter([ANSWERS[name]]))
    for more in ((), ("--once",)):
        code, _, err = cli(capfd, "monitor", "/dev/null", *more)
        assert code == 3 and len(err.splitlines()) == 1 and "invalid reply" in err, err


def test_a_line_of_an_owner_has_an_end() -> None:
    import socket
    import threading

    from rtu_edge.device import lock

    near, far = socket.socketpair()
    with near, far:
        threading.Thread(target=lambda: far.sendall(b"x" * 100_000), daemon=True).start()
        with pytest.raises(ValueError, match="a line of more than"):
            list(lock._lines(near))


COMMANDS: tuple[tuple[str, ...], ...] = (
    ("replay",), ("blackbox",), ("inspect",), ("ckpt", "ls"), ("export",), ("verify",), ("promote",), ("run",),
    ("run", "--resume"),
)  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_what_is_no_file_is_refused_at_once(
    command: tuple[str, ...], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    paths = [tmp_path / "pipe", tmp_path / "empty", tmp_path / "folder", Path("/dev/zero")]
    for path in paths:
        if command == ("run",) and path.name == "empty":
            continue  # a configuration without a device: several lines
        code, _, err = cli(capfd, *command, path)
        assert code == 2 and "Traceback" not in err and err, (path, err)


@pytest.mark.parametrize("seed", range(4))
def test_any_value_in_any_text_is_answered(seed: int, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Texts of each kind with values of any type in any place: shown, or refused in one line."""
    rng = np.random.default_rng(seed)
    log, box, checkpoints = ((folder / name).read_bytes() for name in (LOG, BOX, "checkpoint.rtu"))
    config, run = checkpoint.read_text(checkpoints)
    summary, head = json.loads((folder / SUMMARY).read_bytes()), head_of(log)
    for _ in range(8):
        changed = anyhow(head, rng)
        (folder / LOG).write_bytes(with_head(log, lambda plain: (plain.clear(), plain.update(changed))))  # noqa: B023
        (folder / SUMMARY).write_text(json.dumps(anyhow(summary, rng)))
        text = json.dumps({**anyhow(config, rng), "run": anyhow(run, rng)})
        (folder / "checkpoint.rtu").write_bytes(resealed(checkpoints, text.encode()))
        (folder / BOX).write_bytes(box_with(box, **anyhow(head, rng)))
        commands: tuple[tuple[Any, ...], ...] = (
            ("replay", folder), ("blackbox", folder), ("inspect", folder), ("ckpt", "ls", folder),
            ("inspect", folder / "checkpoint.rtu"), ("export", folder),
        )  # fmt: skip
        for command in commands:
            code, out, err = cli(capfd, *command)
            assert code in (0, 2) and len(err.splitlines()) == (code == 2), (command, err)
            assert "\x1b" not in out + err


VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 2**31, 2**64, 10**30, -0.5, 1e308, float("inf"), float("nan"), "", "x", "[/]", "\x1b[31m",
    "/dev/zero",
    [], {}, [[]], {"a": {}}, ["a"], "x" * 1000, 65536,
)  # fmt: skip


def anyhow(plain: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """A copy in which a value or two are something else, or gone."""
    found: dict[str, Any] = json.loads(json.dumps(plain))
    for _ in range(rng.integers(1, 3)):
        place: Any = found
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = keys[rng.integers(len(keys))]
            inner = place[key]
            if not isinstance(inner, (dict, list)) or not inner or rng.random() < 0.3:
                break
            place = inner
        if rng.random() < 0.2:
            del place[key]
        else:
            place[key] = VALUES[rng.integers(len(VALUES))]
        if not found:
            break
    return found


def test_a_log_without_a_record_proves_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "empty.mcap"
    empty.write_bytes(with_records((GOLDEN / LOG).read_bytes()))
    for option in (["--verify"], ["--save", str(tmp_path / "a.rtu")]):
        code, _, err = cli(capfd, "replay", str(empty), *option)
        assert (code, err) == (1, "rtu-edge: nothing to compare: the log holds no record\n")
    assert not (tmp_path / "a.rtu").exists()
