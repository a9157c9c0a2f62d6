"""`rtu-edge doctor`: table, JSON, script and exit code; imports that crash; its document."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import documents
import pytest
from rich.console import Console
from stranger import cli

import rtu_edge.cli.doctor as command
from rtu_edge.learn.onnx.probe import _NO_TELEMETRY
from rtu_edge.tools import doctor
from rtu_edge.tools.doctor import CHECKS, Finding, Imports, State, examine, script
from rtu_edge.tools.doctor.imports import environment

BAD = (
    Finding(State.OK, "performance", check="governor"),
    Finding(
        State.WARN,
        "/dev/ttyACM0: process 812 (\N{REPLACEMENT CHARACTER}[bold]screen[/bold]) of user pi",
        "the port cannot be opened, or another program takes part of the device's bytes",
        ("# end it, or use another port: kill 812",),
        "port in use",
    ),
    Finding(
        State.WARN, "running", "it opens new ports", ("sudo systemctl disable --now ModemManager",), "ModemManager"
    ),
    Finding(
        State.NOTE,
        "none of 0-3",
        "other processes share the loop's core",
        ("sudo sed -E -i '1 s/$/ isolcpus=3 nohz_full=3 rcu_nocbs=3/' /boot/firmware/cmdline.txt",),
        "isolated cores",
    ),
)
FAILED = (*BAD, Finding(State.FAIL, "32 bits, arm", "no wheels", ("# install the 64-bit image",), "userland"))


@pytest.fixture
def findings(monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    """What the command finds."""
    given = list(BAD)
    monkeypatch.setattr(doctor, "examine", lambda host: given)
    monkeypatch.setattr(doctor, "Imports", lambda: Imports({}))
    return given


def test_exit_code_is_one_only_where_a_finding_fails(
    findings: list[Finding], capfd: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = cli(capfd, "doctor")
    assert (code, out.splitlines()[-1]) == (0, "1 ok, 1 note, 2 warn, 0 fail")
    findings[:] = FAILED
    code, out, _ = cli(capfd, "doctor")
    assert (code, out.splitlines()[-1]) == (1, "1 ok, 1 note, 2 warn, 1 fail")
    assert cli(capfd, "doctor", "--json")[0] == 1
    assert cli(capfd, "doctor", "--fix")[0] == 0


def test_json_is_the_documented_list(findings: list[Finding], capfd: pytest.CaptureFixture[str]) -> None:
    _, out, _ = cli(capfd, "doctor", "--json")
    (key, found), *_ = json.loads(out).items()
    assert key == "findings"
    text = (documents.ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")
    assert [list(one) for one in found] == [re.findall(r"(?m)^\| `(\w+)` \|", text)] * len(BAD)
    assert found[1]["state"] == "warn" and found[1]["commands"] == list(BAD[1].commands)
    assert {state.value for state in State} == set(re.findall(r"(?m)^\| (\w+) \| [^|]* \|$", text)) - {"state", "key"}


def test_json_and_fix_exclude_each_other(findings: list[Finding], capfd: pytest.CaptureFixture[str]) -> None:
    code, _, err = cli(capfd, "doctor", "--json", "--fix")
    assert code == 2 and "--json and --fix: give one of them" in err


def test_the_script_is_one_for_a_posix_shell_and_runs_nothing_by_itself(tmp_path: Path) -> None:
    text = script(FAILED)
    file = tmp_path / "fix.sh"
    file.write_text(text)
    assert subprocess.run(["sh", "-n", file], capture_output=True).stderr == b""
    assert text.startswith("#!/bin/sh\n")
    commands = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert commands == ["sudo systemctl disable --now ModemManager"]
    optional = f"#? {BAD[3].commands[0]}\n"
    assert f"# isolated cores (note): none of 0-3\n# effect: other processes share the loop's core\n{optional}" in text
    assert script(BAD[:1]).endswith("# Nothing to fix.\n")


@pytest.mark.parametrize("width", [40, 80, 120])
def test_the_table_fits_the_terminal_and_commands_can_be_copied(
    findings: list[Finding], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    out = Console(width=width, file=io.StringIO(), color_system=None, highlight=False)
    monkeypatch.setattr(command, "console", lambda: out)
    command._show(findings)
    assert isinstance(out.file, io.StringIO)
    lines = out.file.getvalue().splitlines()
    copied = [line.strip() for line in lines if "sudo" in line or "kill" in line]
    assert copied == [line for finding in findings for line in finding.commands]
    assert all(len(line.rstrip()) <= width for line in lines if "sudo" not in line and "kill" not in line)
    table = "\n".join(lines[: next(k for k, line in enumerate(lines) if line.startswith("Commands that"))])
    for finding in findings:
        assert re.search(rf"(?m)^{finding.check} +{finding.state.value}\b", table)
    assert "[bold]screen[/bold]" in re.sub(r"\s+", "", table)


def test_every_check_runs_on_this_host() -> None:
    found = examine(doctor.Host())
    assert [finding.check for finding in found] == [check.name for check in CHECKS]


# A numpy that takes the interpreter down, and an onnxruntime that raises.
BROKEN = {
    "numpy/__init__.py": "import os, signal\nos.kill(os.getpid(), signal.SIGILL)\n",
    "onnxruntime/__init__.py": "raise ImportError('libonnxruntime.so: \\x1b[2Jbad')\n",
    "serial.py": "",
}


def test_it_works_on_a_broken_installation_and_leaves_no_file(tmp_path: Path) -> None:
    home, modules = tmp_path / "home", tmp_path / "modules"
    home.mkdir()
    for name, text in BROKEN.items():
        (modules / name).parent.mkdir(parents=True, exist_ok=True)
        (modules / name).write_text(text)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("XDG_", "PYTHON"))}
    done = subprocess.run(
        [sys.executable, "-c", "from rtu_edge.cli import main; main()", "doctor", "--json"],
        env={**kept, "HOME": str(home), "PYTHONPATH": str(modules), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=home,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (1, "")
    found = {one["check"]: one for one in json.loads(done.stdout)["findings"]}
    assert (found["core"]["state"], found["core"]["found"]) == ("fail", "the import crashes (signal SIGILL)")
    assert found["onnxruntime"]["state"] == "warn" and "\ufffd[2Jbad" in found["onnxruntime"]["found"]
    assert found["serial package"]["found"] == f"{modules}/serial.py hides pyserial"
    assert found["instruction set"]["state"] == "note"
    assert sorted(path.name for path in (*home.rglob("*"), *modules.rglob("*.pyc"))) == []


def test_an_import_that_hangs_is_ended() -> None:
    codes = {"hangs": "import time; print('x', flush=True); time.sleep(60)", "fails": "import nothing_of_that_name"}
    with Imports(codes, limit_s=0.3) as imports:
        assert imports.of("hangs").reason == "the import took more than 0.3 s"
        process = imports._running["hangs"]
        assert process.poll() is None
    assert process.poll() is not None


def test_an_import_that_fails_has_its_reason() -> None:
    codes = {
        "nothing_here": "import nothing_here",
        "other": "import nothing_here",
        "late": "print('1.0', flush=True); import os; os.abort()",
    }
    with Imports(codes) as imports:
        assert imports.of("nothing_here").missing and not imports.of("other").missing
        assert imports.of("other").reason == "ModuleNotFoundError: No module named 'nothing_here'"
        late = imports.of("late")
        assert (late.text, late.reason) == ("1.0", "its process dies at the end (signal SIGABRT)")


def test_onnxruntime_is_imported_without_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(_NO_TELEMETRY)
    assert environment()[_NO_TELEMETRY] == "1"


def test_the_document_has_the_table_of_the_code() -> None:
    text = (documents.ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")
    commands = [check.command.replace("|", "\\|") for check in CHECKS]  # a bar would begin a new cell
    rows = [f"| {check.name} | {check.effect} | `{row}` |" for check, row in zip(CHECKS, commands, strict=True)]
    shown = [line for line in text.splitlines() if line.startswith("|") and line.split("|")[1].strip() in NAMES]
    assert shown == rows, "docs/doctor.md has to show\n" + "\n".join(rows)


NAMES = {check.name for check in CHECKS}
