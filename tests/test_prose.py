"""Tracked text files use plain technical English: no word listed in tests/prose_lint.py."""

from __future__ import annotations

import re

import pytest
from prose_lint import EXEMPT, FOLDERS, WORDS, all_findings, findings, prose
from toolchain import ROOT


def test_no_listed_word_is_used() -> None:
    found = [f"{name}:{number}: {line[:80]} -> {WORDS[pattern]}" for name, pattern, number, line in all_findings()]
    assert not found, f"{len(found)} lines, python tests/prose_lint.py lists them:\n" + "\n".join(found[:40])


def test_an_exemption_exists_and_has_a_reason() -> None:
    assert [name for name in EXEMPT if not (ROOT / name).is_file()] == []
    assert [name for name in FOLDERS if not (ROOT / name).is_dir()] == []
    assert [name for name, reason in EXEMPT.items() if len(reason.split()) < 3] == []


@pytest.mark.parametrize(
    "sentence",
    [
        "After a rollback credit begins anew",
        "whoever reads the port",
        "a port that nobody owns",
        "a file is written beside it",
        "STATE says ESTOP",
        "the message said why",
        "each value is looked at",
        "the run goes on",
        "the episode is over, and the loop went on",
        "the longest life of a command",
        "a learner that fell ill",
        "it listens while the fallback drives",
        "known beforehand",
        "Never is a frame lost",
        "what stands in the file",
        "the file is closed all the same",
        "Closing twice is harmless.",
        "a loop of one's own",
        "The checks happen at the door.",
        "a made-up stream",
    ],
)
def test_a_planted_word_is_found(sentence: str) -> None:
    for name, text in {
        "a.py": f'def f():\n    """{sentence}"""\n',
        "b.py": f"x = 1  # {sentence}\n",
        "c.py": f'x = f"{sentence} {{x}}"\n',
        "a.cpp": f"int x;  // {sentence}\n",
        "a.h": f"/* A comment\n * {sentence} */\n",
        "b.c": f'const char* x = "{sentence}";\n',
        "a.md": f"# Title\n\n{sentence}\n",
        "a.sh": f"true\n# {sentence}\n",
        "Makefile": f"# {sentence}\n",
    }.items():
        assert [*findings(name, text)], name


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.py", "said = nobody.life(beside)\n"),
        ("a.py", 'x = f"{said} and {nobody}"\n'),
        ("a.py", '"""The lifetime of a frame; a record goes on the wire; the server listens on a socket."""\n'),
        ("a.py", '"""A loop as it stood still."""\n'),
        ("a.cpp", "int life = 0;\nauto beside = nobody;\n"),
        ("a.md", "The glide path; alive; essays; anewly\n"),
    ],
)
def test_identifiers_and_other_words_are_not(name: str, text: str) -> None:
    assert [*findings(name, text)] == []


def test_lines_are_numbered_as_in_the_file() -> None:
    text = '"""One\n\ntwo says\n"""\n\nx = "three four"\n'
    assert [number for number, line in prose("a.py", text) if re.search("says|three", line)] == [3, 6]
