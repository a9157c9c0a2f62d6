"""Documents: links and anchors lead somewhere, none takes longer than ten minutes to read, the site builds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import documents
import pytest
from documents import ROOT, anchors, prose, words

# Ten minutes at 230 words a minute.
BOUND = 2300
# Read by entries, not from the beginning.
UNBOUND = {"CHANGELOG.md"}
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
NAMED = re.compile(r"`?\bdocs/(\w+\.md)`?(?:, \"([^\"]+)\")?")


def broken_links(document: str, text: str) -> list[str]:
    """Name the links of a document whose file or anchor is missing: "docs/a.md: b.md#c"."""
    wrong = []
    for pair in LINK.findall(prose(text)):
        target = pair[0] or pair[1]
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (ROOT / document).parent / name if name else ROOT / document
        if not path.exists() or (anchor and anchor not in anchors(path.read_text(encoding="utf-8"))):
            wrong.append(f"{document}: {target}")
    return wrong


def too_long(document: str, text: str) -> list[str]:
    """Name a document over the bound: "docs/a.md: 2400 words"."""
    return [f"{document}: {words(text)} words"] if document not in UNBOUND and words(text) > BOUND else []


def test_every_link_leads_somewhere() -> None:
    assert [found for name, text in documents.documents().items() for found in broken_links(name, text)] == []


def test_documents_that_sources_name_exist() -> None:
    """Comments, docstrings and messages name documents, some with a heading."""
    listed = subprocess.run(["git", "grep", "-Ihn", "docs/[a-z_]*\\.md"], cwd=ROOT, capture_output=True, text=True)
    wrong = set()
    for line in listed.stdout.splitlines():
        for name, heading in NAMED.findall(line):
            path = ROOT / "docs" / name
            if not path.exists():
                wrong.add(line)
            elif heading and f"{heading}" not in path.read_text(encoding="utf-8"):
                wrong.add(f"{name} has no {heading!r}")
    assert {line for line in wrong if "docs/a.md" not in line} == set()


def test_no_document_takes_longer_than_ten_minutes() -> None:
    assert [found for name, text in documents.documents().items() for found in too_long(name, text)] == []


def test_the_index_names_every_document() -> None:
    index = documents.documents()["docs/index.md"]
    named = set(re.findall(r"\]\((\w+\.md)\)", index))
    assert {Path(name).name for name in documents.documents() if name.startswith("docs/")} - {"index.md"} == named


def test_every_extra_that_documents_name_exists() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras = set(re.findall(r"(?m)^(\w+) = \[", project.split("[project.optional-dependencies]")[1].split("\n[")[0]))
    for name, text in documents.documents().items():
        for extra in re.findall(r"(?:rtu_edge|\"\.)\[(\w+)\]", text):
            assert extra in extras, f"{name}: {extra}"


def test_the_glossary_has_one_row_per_word() -> None:
    rows = documents.documents()["CONTRIBUTING.md"].split("## Glossary")[1]
    terms = re.findall(r"(?m)^\| ([a-zA-Z ,]+) \| \S.* \|$", rows)[1:]
    assert 35 <= len(terms) <= 60
    assert terms == sorted(set(terms), key=str.lower)


def site(source: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """Build documents as `make docs` does, but each time from nothing; a warning is an error."""
    command = [sys.executable, "-m", "sphinx", "-q", "-E", "-W", "--keep-going", "-b", "html", str(source), str(out)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, env={**os.environ, "MPLBACKEND": "agg"})


def test_the_site_builds(tmp_path: Path) -> None:
    built = site(ROOT / "docs", tmp_path / "site")
    assert built.returncode == 0, built.stderr
    api = (tmp_path / "site" / "api.html").read_text(encoding="utf-8")
    import rtu_edge

    assert [name for name in rtu_edge.__all__ if name != "__version__" and f'id="rtu_edge.{name}"' not in api] == []


@pytest.mark.parametrize(
    ("link", "broken"),
    [
        ("nothing.md", True),
        ("#nothing", True),
        ("hil.md#nothing", True),
        ("#tasks", False),
        ("../README.md#safety", False),
    ],
)
def test_a_planted_link_is_found(tmp_path: Path, link: str, broken: bool) -> None:
    assert broken_links("docs/index.md", f"See [there]({link}).\n") == ([f"docs/index.md: {link}"] if broken else [])


def test_the_site_fails_at_a_planted_link(tmp_path: Path) -> None:
    source = tmp_path / "docs"
    source.mkdir()
    (source / "conf.py").write_text('extensions = ["myst_parser"]\nmyst_heading_anchors = 4\n')
    (source / "index.md").write_text("# Title\n\n[there](#nothing)\n")
    assert "nothing" in site(source, tmp_path / "site").stderr


def test_a_planted_long_document_is_found() -> None:
    assert too_long("docs/a.md", "word " * (BOUND + 1)) == [f"docs/a.md: {BOUND + 1} words"]
    assert too_long("docs/a.md", "word | " * BOUND) == []
