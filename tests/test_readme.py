"""README: the first loop is short and takes one import; the safety statement is there."""

from __future__ import annotations

import re
from pathlib import Path

README = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_first_motion_takes_one_import_and_ten_lines() -> None:
    assert re.findall(r"(?m)^ *(?:import|from) .*", BLOCKS[0]) == ["import rtu_edge as rtu"]
    assert len(BLOCKS[0].strip().splitlines()) <= 10


def test_the_first_screen_has_picture_installation_and_loop() -> None:
    screen = README[: README.index("\n## ")]
    for part in ("![", 'pip install "rtu_edge[all]"', "pip install rtu_edge ", "```python", "not yet"):
        assert part in screen


def test_the_standard_suite_has_as_many_faults_as_promised() -> None:
    from rtu_edge.hil.suite import load_suite

    promised = re.search(r"(\d+) injected faults", README)
    assert promised and int(promised[1]) == len(load_suite().faults)


def test_the_safety_statement_stands() -> None:
    assert "not a certified safety function" in README
