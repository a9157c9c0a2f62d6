"""The commented first configuration file: every key, its help and its default; valid with and without the comments."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import rtu_edge as rtu
from rtu_edge import config
from rtu_edge.cli import main
from rtu_edge.config import describe
from rtu_edge.config.first import first_file

MINIMAL = '[device]\nplant = "cartpole"\n'
KEY = re.compile(r"^# (\w+ = \S.*)$", re.MULTILINE)


def test_every_table_and_key_has_a_help() -> None:
    for table in describe.tables():
        assert table.help, table.path
        for key in table.keys:
            assert key.help and key.help[-1] != ".", f"{table.path}.{key.name}"
            assert "|" not in key.help + key.allowed + key.default, "a column of docs/configuration.md"


def test_it_has_every_key_and_means_the_defaults() -> None:
    text = first_file()
    assert config.parse_config(text) == config.parse_config(MINIMAL + "[learner.actor]\n[learner.critic]\n")
    for table in describe.tables():
        assert f"[{table.path}]" in text
        for key in table.keys:
            assert re.search(rf"^(# )?{key.name} =", text, re.MULTILINE), key.name
    assert max(map(len, text.splitlines())) <= 120


def test_with_every_comment_mark_removed_it_means_the_same() -> None:
    """Also the class's defaults: a file that names them makes the learner that an empty file makes."""
    sections = first_file().split("\n\n")
    text = "\n\n".join(KEY.sub(r"\1", part) for part in sections if not re.search(r"^# \[", part, re.MULTILINE))
    given = config.parse_config(text)
    plain = config.parse_config(MINIMAL)
    made, like = (rtu.StreamAC(2, 1, **c.learner.arguments()).config for c in (given, plain))
    assert len(given.learner.arguments()) > 15
    assert made == like
    for name in plain.__struct_fields__:
        if name != "learner":
            assert getattr(given, name) == getattr(plain, name), name


def test_values_that_are_given_are_no_comments() -> None:
    text = first_file(["limits.force={min=-1, max=1, slew_per_s=inf}", "learner.units=8", "run.seed=3"])
    found = config.parse_config(text)
    assert (found.limits["force"].max, found.learner.units, found.run.seed) == (1.0, 8, 3)
    assert "[limits.force]" in text and "[limits.NAME]" not in text
    assert config.parse_config(first_file(["device.port=/dev/ttyACM0"])).device.port == "/dev/ttyACM0"
    with pytest.raises(config.ConfigError, match=r"learner\.units = 0"):
        first_file(["learner.units=0"])


def test_the_command_writes_it_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "robot.toml"
    arguments = ["init", "--all", "-o", str(path), "--set", "run.seed=3"]
    with pytest.raises(SystemExit) as done:
        main(arguments)
    assert done.value.code == 0
    assert path.read_text() == first_file(["run.seed=3"])
    assert str(path) in capfd.readouterr().out
    path.write_text("mine")
    with pytest.raises(SystemExit) as done:
        main(arguments)
    assert done.value.code == 2
    assert f"{path}: exists" in capfd.readouterr().err
    assert path.read_text() == "mine"
    with pytest.raises(SystemExit) as done:
        main([*arguments, "--force"])
    assert done.value.code == 0 and path.read_text() == first_file(["run.seed=3"])
    with pytest.raises(SystemExit) as done:
        main([*arguments, "cartpole"])
    assert done.value.code == 2
    assert "or --all without one" in capfd.readouterr().err
