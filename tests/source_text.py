"""Text files of the repository, and C and C++ sources without comments and literals."""

from __future__ import annotations

import re
from pathlib import Path

from toolchain import ROOT, run

TOKENS = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)|(?P<raw>R"(?P<tag>[^(]*)\(.*?\)(?P=tag)")|(?P<text>"(?:[^"\\\n]|\\.)*")"""
    r"""|(?P<character>(?<![0-9a-fA-F])'(?:[^'\\\n]|\\.)+')|(?P<directive>^[ \t]*\#(?:[^\n\\]|\\.)*)""",
    re.DOTALL | re.MULTILINE | re.VERBOSE,
)


def tracked(suffixes: tuple[str, ...]) -> list[Path]:
    """List the repository's files with these suffixes, including untracked ones, without recorded data
    (tests/golden).
    """
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", cwd=ROOT)
    names = [name for name in listed.split("\0") if name.endswith(suffixes) and not name.startswith("tests/golden/")]
    return [path for name in names if (path := ROOT / name).exists()]


def without_text(source: str) -> str:
    """Blank comments, directives and literals; line numbers do not change."""

    def blank(match: re.Match[str]) -> str:
        kept = '""' if match["text"] or match["raw"] else " "
        return kept + "\n" * match[0].count("\n")

    return TOKENS.sub(blank, source)


def without_comments(source: str) -> str:
    """Blank comments and literals, but not directives."""
    return TOKENS.sub(lambda m: m[0] if m["directive"] else " " + "\n" * m[0].count("\n"), source)
