"""The tree of commands: groups, one spelling and one meaning for each option, examples, completion, versions."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import click
import pytest
import test_docs_commands

import rtu_edge.cli
from rtu_edge import __version__
from rtu_edge._base.errors import ConfigError
from rtu_edge.cli import options

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import cli_reference  # noqa: E402

LEAVES = dict(cli_reference.leaves())
OPTIONS = [
    (name, option) for name, command in LEAVES.items() for option in command.params if isinstance(option, click.Option)
]


def phrase(option: click.Option) -> str:
    """The help without what one command adds, and without the default."""
    return re.split(r"  \[default|[:;] ", option.help or "")[0]


def kind(option: click.Option) -> tuple[str, bool, bool, str | None]:
    described = option.type.to_info_dict()
    shape = {key: value for key, value in described.items() if key not in ("exists", "file_okay", "dir_okay")}
    return json.dumps(shape, sort_keys=True), option.is_flag, option.multiple, option.metavar


def test_an_option_has_one_meaning_one_help_and_one_type() -> None:
    found: dict[str, set[object]] = defaultdict(set)
    for name, option in OPTIONS:
        assert option.opts[-1].startswith("--"), name
        found[option.opts[-1]].add((phrase(option), kind(option), tuple(option.opts), tuple(option.secondary_opts)))
    # inspect: write the page again; hil run: the file to send. export: of the names in C; otherwise the run's folder.
    # size: the learner on a board; firmware: which one.
    differ = {"--report", "--name", "--board"}
    assert {name for name, meanings in found.items() if len(meanings) > 1} == differ


def test_nothing_has_two_spellings() -> None:
    spellings: dict[str, set[str]] = defaultdict(set)
    for _, option in OPTIONS:
        spellings[phrase(option).lower()].add(option.opts[-1])
    assert {text: names for text, names in spellings.items() if len(names) > 1} == {}
    short = {name: option.opts[-1] for _, option in OPTIONS for name in option.opts if not name.startswith("--")}
    assert short == {"-o": "--out"}


def test_a_help_is_a_phrase_to_search_for() -> None:
    for name, option in OPTIONS:
        text, where = option.help or "", f"{name} {option.opts[-1]}"
        assert text[:1].isupper() and not text.endswith("."), where
        assert len(phrase(option).split()) >= 2 and not re.match(r"(Of|If|Where|Also)\b", text), where
        given = isinstance(option.default, (int, float, str, tuple, Path)) and not option.is_flag
        assert not given or "[default: " in text, where


def test_a_number_is_finite() -> None:
    """Everywhere: with nan no limit of a range refuses, and a time of nan or inf never ends."""
    numbers = [(name, option) for name, option in OPTIONS if isinstance(option.type, click.types.FloatParamType)]
    assert len({name for name, _ in numbers}) > 10
    for name, option in numbers:
        for text in ("nan", "inf", "-inf", "1e999"):
            with pytest.raises(click.BadParameter, match=r"is not (a finite number|in the range)"):
                option.type.convert(text, option, None)
            assert isinstance(option.type, options.Number), f"{name} {option.opts[-1]}"


def test_each_command_stands_in_one_group() -> None:
    names = [name for group in rtu_edge.cli._GROUPS.values() for name in group]
    assert sorted(names) == sorted(set(names)) == sorted(rtu_edge.cli._COMMANDS)
    files = {path.stem for path in (ROOT / "rtu_edge" / "cli").glob("*.py") if "@click.command(" in path.read_text()}
    groups = {path.stem for path in (ROOT / "rtu_edge" / "cli").glob("*.py") if "@click.group(" in path.read_text()}
    assert sorted((files | groups) - {"__init__"}) == sorted(names)


def test_help_fits_80_columns() -> None:
    for name, command in {"": rtu_edge.cli.cli, **LEAVES}.items():
        text = command.get_help(click.Context(command, info_name=f"rtu-edge {name}", terminal_width=80))
        assert max(map(len, text.splitlines())) <= 80, name
    for heading in rtu_edge.cli._GROUPS:
        assert f"\n{heading}:\n" in rtu_edge.cli.cli.get_help(click.Context(rtu_edge.cli.cli, terminal_width=80))


@pytest.mark.parametrize("name", [*LEAVES, *(n for n in rtu_edge.cli._COMMANDS if n not in LEAVES)])
def test_each_command_has_an_example_that_can_be_typed(name: str) -> None:
    context = click.Context(rtu_edge.cli.cli)
    command = LEAVES.get(name) or rtu_edge.cli.cli.get_command(context, name)
    assert command is not None and command.epilog is not None
    lines = [line.strip() for line in command.epilog.splitlines()[2:]]
    assert lines and all(f"rtu-edge {name}" in line for line in lines), lines
    for line in lines:
        assert test_docs_commands.problems(line.partition(" > ")[0]) == [], line


def test_the_version_names_formats(capsys: pytest.CaptureFixture[str]) -> None:
    from rtu_edge import _core

    with pytest.raises(SystemExit) as leaving:
        rtu_edge.cli.main(["--version"])
    assert leaving.value.code == 0
    first, checkpoint, protocol = capsys.readouterr().out.splitlines()
    assert first == f"rtu-edge {__version__}"
    assert checkpoint.startswith(f"checkpoint format {_core.checkpoint_version},")
    assert protocol == "TickLink protocol 2"


# ---------------------------------------------------------------- completion


def completed(words: str, cwd: Path, heavy: str = "") -> list[str]:
    """What bash would be offered for the last word; asserts that no module of `heavy` was imported."""
    code = (
        "import sys, rtu_edge.cli\n"
        "try: rtu_edge.cli.main(['x'])\n"
        "except SystemExit: pass\n"
        f"found = set({heavy.split()!r}) & set(sys.modules)\n"
        "assert not found, found"
    )
    given = words.split(" ")
    environment = {**os.environ, "_RTU_EDGE_COMPLETE": "bash_complete", "COMP_WORDS": words}
    environment["COMP_CWORD"] = str(len(given) - 1)
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


def test_commands_plants_runs_and_configurations_are_completed(tmp_path: Path) -> None:
    heavy = "numpy matplotlib onnx onnxruntime mcap gymnasium serial"
    (tmp_path / "runs" / "one").mkdir(parents=True)
    (tmp_path / "runs" / "one" / "config.toml").touch()
    (tmp_path / "robot.toml").touch()
    assert completed("rtu-edge in", tmp_path, f"{heavy} rich msgspec") == ["init", "inspect"]
    assert completed("rtu-edge device pend", tmp_path, heavy)[:-1] == ["pendulum", "pendulum-full"]
    assert completed("rtu-edge inspect runs/", tmp_path, heavy)[0] == "runs/one"
    assert completed("rtu-edge run rob", tmp_path, heavy)[0] == "robot.toml"
    assert "--dry-run" in completed("rtu-edge run --d", tmp_path, heavy)
    assert "learner.units=" in completed("rtu-edge run --set learner.u", tmp_path)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_for_each_shell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        rtu_edge.cli.main(["completion", shell])
    assert leaving.value.code == 0
    assert "_RTU_EDGE_COMPLETE" in capsys.readouterr().out


@pytest.mark.parametrize("name", sorted(name for name, option in OPTIONS if option.name == "out"))
def test_a_file_for_a_folder_and_a_folder_for_a_file_are_refused_before_the_work(name: str, tmp_path: Path) -> None:
    (option,) = (option for owner, option in OPTIONS if owner == name and option.name == "out")
    file, made = tmp_path / "robot.json", tmp_path / "v1.2"
    file.touch()
    made.mkdir()
    elf = tmp_path / "x.elf"
    if name == "firmware":
        uno = ["--board", "uno"]
        cases = (
            (uno, file, "is a file"),
            (uno, elf, "leave the ending"),
            ([], made, "a folder"),
            ([], file / "in", "file"),
        )
        for given, path, words in cases:
            with pytest.raises(ConfigError, match=words):
                LEAVES[name].main(["tank.c", *given, "-o", str(path)], standalone_mode=False)
        return
    check, context = option.callback, click.Context(LEAVES[name])
    assert check is not None
    if ": a folder" in (option.help or ""):
        for path in (file, file / "in", elf):
            with pytest.raises(ConfigError, match=f"^-o {re.escape(str(path))}: .*(name a folder|leave the ending)"):
                check(context, option, path)
        for path in (made, tmp_path / "new" / "v1.3", tmp_path / "new"):
            assert check(context, option, path) == path
        return
    for path, words in ((made, "a folder; name a file"), (tmp_path / "none" / "file", "there is no folder"),
                        (file / "in", f"{re.escape(str(file))} is a file; name another folder")):  # fmt: skip
        with pytest.raises(ConfigError, match=f"^-o {re.escape(str(path))}: {words}"):
            check(context, option, path)
    assert check(context, option, elf) == elf


@pytest.mark.parametrize("name", ["firmware", "log repair"])
def test_what_a_command_reads_is_not_its_output(name: str, tmp_path: Path) -> None:
    read = tmp_path / "read"
    read.write_bytes(b"mine")
    with pytest.raises(ConfigError, match=f"^-o {re.escape(str(read))}: this command reads that file"):
        LEAVES[name].main([str(read), "-o", str(read)], standalone_mode=False)
    assert read.read_bytes() == b"mine"
