"""Command lines and TOML of the documents: commands, options and keys exist, also where running them needs a board."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click
import documents
import pytest
from documents import ROOT, Block

from rtu_edge import config
from rtu_edge._base.errors import ConfigError
from rtu_edge.cli import cli
from rtu_edge.hil.suite import parse_suite

SHELL = ("", "sh", "console")
INLINE = re.compile(r"(?<!`)`((?:sudo )?rtu-edge [^`]+|make [\w -]+|python -m [^`]+)`")


def problems(line: str, whole: bool = True) -> list[str]:
    """What is wrong with a command line; `whole`: with all its arguments, not only its name in a sentence."""
    words = shlex.split(line, comments=True)
    while words and (words[0] == "sudo" or re.fullmatch(r"\w+=.*", words[0])):
        words.pop(0)
    words = [word for word in words if word not in ("&", "...")]
    words = words[: next((at for at, word in enumerate(words) if word in (">", "|")), len(words))]
    if words[:1] == ["rtu-edge"]:
        return of_rtu_edge(words[1:], whole)
    if words[:1] == ["make"]:
        targets = re.findall(r"(?m)^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"))
        return [f"no target {word}" for word in words[1:] if "=" not in word and word not in targets]
    if words[:1] == ["pytest"]:
        plugin = (ROOT / "rtu_edge/hil/pytest_plugin.py").read_text(encoding="utf-8")
        options = [word.split("=")[0] for word in words if word.startswith("--rtu")]
        return [f"no option {option}" for option in options if f'"{option}"' not in plugin]
    if words[:2] == ["python", "-m"] and words[2].startswith("benchmarks."):
        return of_benchmark(words[2], words[3:])
    return []


def of_rtu_edge(words: list[str], whole: bool) -> list[str]:
    command: click.Command = cli
    context = click.Context(cli, info_name="rtu-edge")
    while isinstance(command, click.Group):
        if not words or words[0].startswith("-"):
            break
        name, *words = words
        found = command.get_command(context, name)
        if found is None:
            return [f"no command {name}"]
        command, context = found, click.Context(found, parent=context, info_name=name)
    if isinstance(command, click.Group) and whole and not words:
        return ["a group without a command"]
    try:
        options, left, _ = command.make_parser(context).parse_args(list(words))
    except click.UsageError as error:
        return [error.format_message()] if whole or "requires an argument" not in error.format_message() else []
    wrong = [f"unexpected {left}"] if left else []
    for parameter in command.params:
        values = options.get(parameter.name or "")
        if (
            isinstance(parameter.type, click.Choice)
            and isinstance(values, str)
            and values not in parameter.type.choices
        ):
            wrong.append(f"{parameter.name}: {values}")
        if whole and parameter.required and not isinstance(values, str | tuple) and "--help" not in words:
            wrong.append(f"without {parameter.name}")
    return wrong


def of_benchmark(module: str, words: list[str]) -> list[str]:
    path = ROOT / (module.replace(".", "/") + ".py")
    if path.with_suffix("").is_dir():
        path = path.with_suffix("") / "__main__.py"
    if not path.exists():
        return [f"no {path}"]
    text = path.read_text(encoding="utf-8")
    return [f"no option {word}" for word in words if word.startswith("--") and f'"{word}' not in text]


def lines(block: Block) -> Iterator[str]:
    for line in block.text.splitlines():
        if block.language == "console" and not line.startswith("$ "):
            continue
        yield line.removeprefix("$ ").strip()


def test_every_command_line_fits_its_command() -> None:
    found = [
        (str(block), line) for block in documents.every_block() if block.language in SHELL for line in lines(block)
    ]
    checked = [
        (at, line, problems(line))
        for at, line in found
        if re.match(r"(sudo )?(\w+=\S+ )?(rtu-edge|make|python|pytest) ", line)
    ]
    assert len(checked) > 80
    assert [f"{at}: {line}: {wrong}" for at, line, wrong in checked if wrong] == []


def test_every_command_in_a_sentence_exists() -> None:
    wrong = []
    for name, text in documents.documents().items():
        if name == "CHANGELOG.md":  # names what was, too
            continue
        for line in INLINE.findall(" ".join(documents.prose(text).split())):
            wrong += [f"{name}: {line}: {found}" for found in problems(line, whole=False)]
    assert wrong == []


def test_every_toml_block_is_read() -> None:
    found = [block for block in documents.every_block() if block.language == "toml"]
    assert len(found) >= 4
    for block in found:
        (parse_suite if "[[fault]]" in block.text else config.parse_config)(block.text)


@pytest.mark.parametrize(
    "line",
    [
        "rtu-edge rum robot.toml",
        "rtu-edge run robot.toml --simulate",
        "rtu-edge run a.toml b.toml",
        "rtu-edge promote runs/a --to nothing",
        "rtu-edge estop",
        "rtu-edge ckpt",
        "make coffee",
        "pytest --rtu-coffee",
        "python -m benchmarks.step --nothing",
        "python -m benchmarks.nothing",
    ],
)
def test_a_planted_command_is_found(line: str) -> None:
    assert problems(line)


def test_planted_toml_is_found() -> None:
    with pytest.raises(ConfigError):
        config.parse_config("[device]\nplant = 'cartpole'\n[loop]\nttl = 3\n")
