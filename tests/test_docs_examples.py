"""Python and console blocks of the documents run; tests/test_docs_commands.py checks what needs a board."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import documents
import pytest
from documents import ROOT, Block

PYTHON: dict[str, list[Block]] = defaultdict(list)
CONSOLE: dict[str, list[Block]] = defaultdict(list)
for found in documents.every_block():
    if found.language == "python":
        PYTHON[found.document].append(found)
    elif found.language == "console":
        CONSOLE[found.document].append(found)

# Run elsewhere, where what they need is at hand: document -> the test that runs its blocks.
ELSEWHERE = {
    "docs/log.md": "tests/test_log.py",
    "docs/plants.md": "tests/test_export_agent.py",
    "docs/export.md": "tests/test_export_agent.py",
}
BIN = Path(sys.executable).parent
ENVIRONMENT = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "MPLBACKEND": "agg", "COLUMNS": "120"}


# ---------------------------------------------------------------- Python


@pytest.mark.parametrize("document", sorted(PYTHON.keys() - ELSEWHERE.keys()))
def test_python_blocks_run(document: str, tmp_path: Path) -> None:
    """In their order, in one process, each with names of its own; tests by pytest."""
    scripts = [block.text for block in PYTHON[document]]
    tests = [text for text in scripts if re.search(r"(?m)^def test_", text)]
    program = [f"exec(compile({text!r}, 'block', 'exec'), {{}})" for text in scripts if text not in tests]
    run([sys.executable, "-c", "\n".join(program)], tmp_path)
    for number, text in enumerate(tests):
        (tmp_path / f"test_block_{number}.py").write_text(text)
    if tests:
        run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rtu-target=sim", str(tmp_path)],
            tmp_path,
        )


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, env=ENVIRONMENT)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("document", sorted(ELSEWHERE))
def test_what_runs_elsewhere_is_named_there(document: str) -> None:
    assert Path(document).name in (ROOT / ELSEWHERE[document]).read_text(encoding="utf-8")


# ---------------------------------------------------------------- console


def commands(block: Block) -> Iterator[tuple[str, list[str]]]:
    """Yield (command, lines that it prints): "$ " begins a command, "..." stands for any lines, or any text in one."""
    for part in re.split(r"(?m)^\$ ", block.text)[1:]:
        command, _, expected = part.partition("\n")
        yield command, expected.splitlines()


def matches(expected: list[str], printed: str) -> bool:
    pattern = "".join(
        r"(?:.*\n)*" if line == "..." else ".*".join(re.escape(part) for part in line.split("...")) + r"\n"
        for line in expected
    )
    lines = [line.rstrip() for line in printed.splitlines() if line.strip()]
    return not expected or re.fullmatch(pattern, "".join(f"{line}\n" for line in lines)) is not None


@pytest.mark.parametrize("document", sorted(CONSOLE))
def test_console_blocks_run(document: str, tmp_path: Path) -> None:
    """In their order, in one shell; a command with "&" is waited for until it prints something."""
    listed = [pair for block in CONSOLE[document] for pair in commands(block)]
    script = ["set -e"]
    for number, (command, _) in enumerate(listed):
        if command.endswith("&"):
            script.append(f"{command[:-1]} > {number}.out 2>&1 &\nuntil [ -s {number}.out ]; do sleep 0.02; done")
        else:
            script.append(f"{command} > {number}.out 2>&1 || {{ cat {number}.out; exit 1; }}")
    shell = subprocess.Popen(
        ["bash", "-c", "\n".join(script)],
        cwd=tmp_path,
        env=ENVIRONMENT,
        text=True,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        shell.wait(120)
        assert shell.returncode == 0, shell.stdout.read() if shell.stdout else ""
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGTERM)
    for number, (command, expected) in enumerate(listed):
        printed = (tmp_path / f"{number}.out").read_text()
        assert matches(expected, printed), f"{document}: {command}\n{printed}"


@pytest.mark.parametrize(
    ("expected", "fits"),
    [("a\n...", True), ("...\nb 1, ... 3", True), ("a\nb 1, 2, 3", True), ("b ...", False), ("a", False)],
)
def test_what_a_command_prints_is_compared(expected: str, fits: bool) -> None:
    assert matches(expected.splitlines(), "a\n\nb 1, 2, 3  \n") is fits
