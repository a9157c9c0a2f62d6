"""The checkers have the last word on form: ruff, mypy, clang-format, shellcheck."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from toolchain import ROOT, run, tool


def tracked(*patterns: str) -> list[Path]:
    """List files of the repository, with new ones that are not committed yet."""
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *patterns, cwd=ROOT)
    return [path for name in listed.split("\0") if name and (path := ROOT / name).exists()]


def test_ruff_check() -> None:
    run(tool("ruff"), "check", ".", cwd=ROOT)


def test_ruff_format() -> None:
    """`make format` fixes these findings."""
    run(tool("ruff"), "format", "--check", ".", cwd=ROOT)


def test_mypy_strict() -> None:
    run(tool("mypy"), cwd=ROOT)


def test_clang_format() -> None:
    """`make format` fixes these findings."""
    form = [tool("clang-format"), "--dry-run", "-Werror"]
    done = subprocess.run([*form, *tracked("*.c", "*.h", "*.cpp")], capture_output=True, text=True)
    assert done.returncode == 0, sorted(
        {line.split(":")[0] for line in done.stderr.splitlines() if ": error: " in line}
    )


def test_shellcheck() -> None:
    run(tool("shellcheck"), *tracked("*.sh", ".ci/run"), cwd=ROOT)


def test_no_conflict_markers_or_stray_whitespace() -> None:
    empty_tree = subprocess.run(
        ["git", "hash-object", "-t", "tree", "/dev/null"], capture_output=True, text=True, check=True
    ).stdout.strip()
    run("git", "diff", "--check", empty_tree, "HEAD", "--", ".", ":!*.npz", ":!LICENSE", cwd=ROOT)


@pytest.mark.parametrize(
    ("name", "text", "command"),
    [
        ("planted.py", "import os\n", ["ruff", "check", "--isolated"]),
        ("planted.py", "x = {  1:2 }\n", ["ruff", "format", "--check", "--isolated"]),
        ("planted.py", "def f(x):\n    return x\n", ["mypy", "--strict", "--config-file="]),
        ("planted.cpp", "int  f( );\n", ["clang-format", "--dry-run", "-Werror", "--style=Google"]),
        ("planted.sh", "#!/bin/sh\necho $1\n", ["shellcheck"]),
    ],
)
def test_each_checker_finds_a_planted_fault(name: str, text: str, command: list[str], tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(AssertionError, match="exit code 1"):
        run(tool(command[0]), *command[1:], tmp_path / name, cwd=tmp_path)
