"""The README's Python blocks run as they stand, and what it points to is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_a_python_block_runs(number: int, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BLOCKS[number]], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_the_control_loop_takes_ten_lines() -> None:
    assert len(BLOCKS[0].strip().splitlines()) <= 11


def test_what_the_readme_points_to_is_there() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


def test_every_command_of_the_readme_exists() -> None:
    from rtu_edge.cli import cli

    known = cli.list_commands(None)  # type: ignore[arg-type]
    for name in re.findall(r"rtu-edge ([a-z]+)", README):
        assert name in known


def test_the_safety_statement_stands() -> None:
    assert "not a certified safety function" in README
