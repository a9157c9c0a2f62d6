"""Each hazard has a test, each mark a hazard, and docs/safety_case.md matches both."""

from __future__ import annotations

import ast
from pathlib import Path

import safety_case
from safety_case import Hazard, claims, complaints, hazards, page

ROW = Hazard("fire", "it burns", "it does not", ("README.md",))


def test_every_hazard_has_a_test() -> None:
    assert complaints(hazards(), claims()) == []


def test_the_page_is_the_table() -> None:
    assert page() == safety_case.PAGE.read_text(encoding="utf-8"), "python tests/safety_case.py --write"


def test_what_does_not_fit_is_found() -> None:
    assert complaints([ROW], {"fire": ["test_a.py::test"]}) == []
    assert complaints([ROW], {}) == ["hazards.toml: fire: no test claims it"]
    assert "stands twice" in complaints([ROW, ROW], {"fire": ["a"]})[0]
    assert "must be sorted" in complaints([ROW, Hazard("air", "", "", ())], {"fire": ["a"], "air": ["a"]})[0]
    assert "does not have" in complaints([], {"fire": ["test_a.py::test"]})[0]
    assert "no such file: gone.c" in complaints([Hazard("fire", "", "", ("gone.c",))], {"fire": ["a"]})[0]


def test_marks_are_found_wherever_they_stand(tmp_path: Path) -> None:
    source = (
        "import pytest\n"
        'pytestmark = [pytest.mark.slow, pytest.mark.hazard("whole")]\n'
        '@pytest.mark.hazard("one", "two")\n'
        "def test_a(): ...\n"
        '@pytest.mark.parametrize("x", [pytest.param(1, marks=pytest.mark.hazard("three"))])\n'
        "def test_b(x): ...\n"
        "class TestC:\n"
        '    @pytest.mark.hazard("four")\n'
        "    def test_d(self): ...\n"
    )
    assert ast.parse(source)
    (tmp_path / "test_it.py").write_text(source)
    (tmp_path / "native").mkdir()
    (tmp_path / "native" / "test_x.cpp").write_text("// hazard: five six\nint main() {}\n")
    (tmp_path / "firmware").mkdir()
    (tmp_path / "firmware" / "test_y.c").write_text("/* hazard: seven */\nint main(void) {}\n")
    assert claims(tmp_path) == {
        "whole": ["test_it.py"],
        "one": ["test_it.py::test_a"],
        "two": ["test_it.py::test_a"],
        "three": ["test_it.py::test_b"],
        "four": ["test_it.py::test_d"],
        "five": ["native/test_x.cpp"],
        "six": ["native/test_x.cpp"],
        "seven": ["firmware/test_y.c"],
    }
