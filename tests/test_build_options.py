"""Options of the build: a new compiler's warning ends the build of a developer, never that of a user."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from toolchain import ROOT, run, tool


def commands(folder: Path, *options: str) -> list[str]:
    """Configure without Python's modules; return the compile commands."""
    ninja = f"-DCMAKE_MAKE_PROGRAM={tool('ninja')}"
    run(tool("cmake"), "-G", "Ninja", ninja, "-S", ROOT, "-B", folder, "-DRTU_EDGE_PYTHON=OFF", *options)
    found = json.loads((folder / "compile_commands.json").read_text(encoding="utf-8"))
    return [entry["command"] for entry in found]


@pytest.mark.parametrize(("options", "strict"), [((), False), (("-DRTU_EDGE_WERROR=ON",), True)])
def test_warnings_are_errors_on_demand_only(tmp_path: Path, options: tuple[str, ...], strict: bool) -> None:
    found = [line for line in commands(tmp_path, *options) if "-Wconversion" in line]
    assert len(found) > 20
    assert {"-Werror" in line.split() for line in found} == {strict}


def test_pip_adds_no_option_and_the_set_up_for_tests_does() -> None:
    """pip builds with what pyproject.toml gives to CMake: nothing that changes the warnings."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert "WERROR" not in project.upper()
    assert not re.search(r"^(cmake\.(args|define)|env)\b", project, re.MULTILINE)
    set_up = (ROOT / "tools" / "setup.sh").read_text(encoding="utf-8")
    assert dict(re.findall(r"^(run|test)\).* warnings=(\w+) ;;", set_up, re.MULTILINE)) == {"run": "OFF", "test": "ON"}
    assert 'SKBUILD_CMAKE_DEFINE="RTU_EDGE_WERROR=$warnings" pip_log' in set_up
