"""No command leaves a file in an empty home directory: here those that load packages with caches; `make empty` runs
every command.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import fake_run
import pytest
from toolchain import ROOT

import rtu_edge as rtu
from rtu_edge.cli import cli

sys.path.insert(0, str(ROOT / "tools"))
import empty as tool


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A folder with an empty home, and an empty folder for temporary files."""
    for name in ("home", "temporary"):
        (tmp_path / name).mkdir()
    return tmp_path


def command(empty: Path, *arguments: str | Path, **variables: str) -> None:
    """With nothing else in the environment than a path and these variables."""
    fixed = {"PATH": os.defpath, "HOME": str(empty / "home"), "TMPDIR": str(empty / "temporary")}
    done = subprocess.run(
        [sys.executable, "-m", "rtu_edge.cli", *arguments],
        cwd=empty,
        env={**fixed, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode in (0, 1) and "Traceback" not in done.stdout, done.stdout


def left(empty: Path) -> list[Path]:
    return [path for name in ("home", "temporary") for path in (empty / name).rglob("*")]


def test_a_picture_leaves_no_list_of_fonts(empty: Path) -> None:
    folder = fake_run.make(empty)
    command(empty, "inspect", folder.path, "--plot", "run.png")
    assert (empty / "run.png").exists() and left(empty) == []


def test_a_cache_of_the_user_is_used(empty: Path) -> None:
    """The list of fonts is then made once."""
    folder, cache = fake_run.make(empty), empty / "home" / ".cache" / "matplotlib"
    cache.mkdir(parents=True)
    command(empty, "inspect", folder.path, "--plot", "run.png")
    assert [path.name.partition("-")[0] for path in cache.iterdir()] == ["fontlist"]


def test_onnxruntime_leaves_nothing(empty: Path) -> None:
    rtu.StreamAC(1, 1, units=1, hidden=1).save(empty / "checkpoint.rtu")
    command(empty, "export", "checkpoint.rtu")
    command(empty, "verify", "policy.onnx", "--steps", "10")
    assert left(empty) == []


def test_doctor_leaves_nothing(empty: Path) -> None:
    """It imports every package of the extras."""
    command(empty, "doctor")
    assert left(empty) == []


def commands(group: click.Group, before: str = "") -> Iterator[str]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, f"{before}{name} ")
        else:
            yield before + name


def test_the_tool_runs_every_command() -> None:
    lines = [command.line for command in (*tool.BASE, *tool.ALL, *tool.SERVED)] + [tool.DEVICE, tool.SERVE]
    assert [name for name in commands(cli) if not any(f"{line} ".startswith(f"{name} ") for line in lines)] == []
