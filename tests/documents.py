"""The documents of the repository and what tests take from them: words, blocks, links, headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from toolchain import run

ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^( *)(```+|~~~+)\s*(.*)$")


@cache
def documents() -> dict[str, str]:
    """Markdown files of the repository, new ones that are not committed yet included: path -> text."""
    names = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "*.md", cwd=ROOT).split("\0")
    return {
        name: (ROOT / name).read_text(encoding="utf-8") for name in sorted(names) if name and (ROOT / name).exists()
    }


@dataclass(frozen=True)
class Block:
    """A block of code: its document, first line (1-based), language ("" where indented) and text."""

    document: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def blocks(document: str, text: str) -> Iterator[Block]:
    """Yield fenced and indented blocks in order."""
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        fence = FENCE.match(lines[at])
        begin = at + 1
        if fence:
            at += 1
            while at < len(lines) and not lines[at].strip().startswith(fence[2]):
                at += 1
            yield Block(document, begin + 1, fence[3].strip(), "\n".join(lines[begin:at]) + "\n")
        elif lines[at].startswith("    ") and (at == 0 or not lines[at - 1].strip()):
            while at < len(lines) and (lines[at].startswith("    ") or not lines[at].strip()):
                at += 1
            yield Block(document, begin, "", "\n".join(line[4:] for line in lines[begin - 1 : at]).rstrip() + "\n")
            continue
        at += 1


def every_block() -> list[Block]:
    """The blocks of all documents, in order."""
    return [block for name, text in documents().items() for block in blocks(name, text)]


def prose(text: str) -> str:
    """The text without blocks of code and comments."""
    fenced = re.sub(r"(?ms)^( *)```.*?^\1```\s*$", "", text)
    return re.sub(r"(?m)^    .*$", "", re.sub(r"(?s)<!--.*?-->", "", fenced))


def words(text: str) -> int:
    """Number of words, those of tables and blocks included."""
    return sum(bool(re.search(r"\w", word)) for word in text.split())


def anchors(text: str) -> set[str]:
    """The anchors of a document's headings, as GitHub and MyST make them."""
    found: set[str] = set()
    for heading in re.findall(r"(?m)^#+ +(.*?)\s*$", re.sub(r"(?ms)^```.*?^```\s*$", "", text)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        count = sum(1 for anchor in found if anchor == slug or re.fullmatch(re.escape(slug) + r"-\d+", anchor))
        found.add(f"{slug}-{count}" if count else slug)
    return found
