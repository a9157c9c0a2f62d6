"""The prose of tracked text files, and words that read as if translated: tests/test_prose.py.

python tests/prose_lint.py          # each finding with what to write
python tests/prose_lint.py --count  # findings by word and by file
"""

from __future__ import annotations

import io
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from source_text import tracked
from toolchain import ROOT

# Regular expression (case-insensitive) -> what to write. A word is listed if a reader who knows the field stumbles
# over it, and if a plain word exists for every use.
WORDS = {
    r"\banew\b": "again, from the start; or restart, reset, recreate",
    r"\bwho(m|so)?ever\b": "the process, user, host or caller that is meant",
    r"(?<![~:])\b(no|some)body\b": "no process, another process, a user, a client",
    r"(?<!\")\bbeside\b(?![\"(:])": "next to; in addition to; compared with",
    r"\b(says|said)\b(?!:)": "reports, states, contains; prints, sends",
    r"\blook(s|ed)? at\b": "check, read, examine, compare",
    r"\b(go|goes|went|going) on\b(?! (a|an|the|this|its|each|\w+'s)\b)": "continue, resume",
    r"\b(life|lives)\b": "run, lifetime, TTL; is, exists, runs",
    r"\bfell ill\b": "failed, became non-finite",
    r"\blistens\b(?! on\b)": "receives, reads, learns off-policy; a socket listens on an address",
    r"\bbeforehand\b": "before, in advance",
    r"\b(never|nowhere|nothing) (is|are|was|were) (a|an|any|anything)\b": "subject, verb, object",
    r"\bwhat is plugged in\b": "the connected board",
    r"\bstands? (at|there|here|before|behind|beside|next|between|above|below|as|in (a|an|the|its|this|front))\b": "is",
    r"\b(it|they) stands?\b|\bstood\b(?! still)": "is, was",
    r"\ball the same\b": "nevertheless, still",
    r"\bof (its|their|his|one's|our) own accord\b": "on its own, spontaneously",
    r"\bat all times\b": "always",
    r"\bfor ever\b": "permanently, indefinitely, forever",
    r"\bonce more\b": "again",
    r"\btwice is harmless\b": "idempotent",
    r"\bas good as any\b": "valid",
    r"\bmade-up\b": "synthetic, simulated",
    r"\bone's own\b": "a user's, your own",
    r"\banswers? nonsense\b": "sends an invalid reply",
    r"\bat the door\b": "on input: at creation, loading, parsing",
    r"(?<!-)\bbeliev(e|es|ed|ing)\b": "trust",
    r"(?<!-)\bunasked\b": "without a request, unrequested",
    r"\bhands? (it|them|that|this) on\b|\bhanded on\b": "outputs, passes",
    r"\bhowever (often|many|much)\b": "for any number of; regardless of",
    r"\bnow and then\b": "occasionally",
    r"\bput right\b|\bputs right\b": "fix, correct",
    r"\bthe end: ": "stopped: ",
    r"\bwrapp?(ed|s)? round\b": "wrap around",
}

ANY = re.compile("|".join(f"(?:{pattern})" for pattern in WORDS), re.IGNORECASE)

# Files whose text is not ours to change, or that list the words.
EXEMPT = {
    "LICENSE": "the text of the licence",
    "tests/prose_lint.py": "the list of words",
    "tests/test_prose.py": "plants the words",
    "tests/test_old_names.py": "plants names of earlier versions",
    "tests/old_names.txt": "names of earlier versions, as patterns",
}
FOLDERS = ("tests/golden/", "tests/fuzz/corpus/", "benchmarks/results/", "docs/images/", "findings/")  # recorded data

PYTHON, NATIVE, TEXT = (".py", ".pyi"), (".c", ".h", ".cpp", ".hpp", ".cdef"), (".md", ".toml", ".txt", ".yml")
SCRIPTS = (".sh", ".cmake", "Makefile", ".ld")

C_TEXT = re.compile(r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])+'", re.DOTALL)
F_STRING, FIELD = re.compile(r"[rR]?[fF]"), re.compile(r"\{[^{}\n]*\}")  # Python 3.11: one token, with its code
SCRIPT_TEXT = re.compile(r"(?:^|\s)#[^\n]*|\"(?:\\.|[^\"\\\n])*\"")


def prose(name: str, text: str) -> Iterator[tuple[int, str]]:
    """Line number and text of comments, docstrings and literals; of documents, of every line outside code blocks."""
    if name.endswith(PYTHON):
        kinds = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
        pieces = [
            (token.start[0], FIELD.sub("", token.string) if F_STRING.match(token.string) else token.string)
            for token in tokenize.generate_tokens(io.StringIO(text).readline)
            if token.type in kinds and (token.type == tokenize.COMMENT or " " in token.string)
        ]
    elif name.endswith(NATIVE):
        pieces = [(text.count("\n", 0, match.start()) + 1, match.group()) for match in C_TEXT.finditer(text)]
    elif name.endswith(SCRIPTS):
        pieces = [(text.count("\n", 0, match.start()) + 1, match.group()) for match in SCRIPT_TEXT.finditer(text)]
    else:
        pieces = [(1, text)]
    for number, piece in pieces:
        for offset, line in enumerate(piece.split("\n")):
            yield number + offset, line


def findings(name: str, text: str) -> Iterator[tuple[str, int, str]]:
    """Pattern, line number and line of each use of a listed word."""
    for number, line in prose(name, text):
        if not ANY.search(line):
            continue
        for pattern in WORDS:
            if re.search(pattern, line, re.IGNORECASE):
                yield pattern, number, line.strip()


def files() -> list[Path]:
    """Tracked text files, without those that are exempt."""
    every = tracked((*PYTHON, *NATIVE, *TEXT, *SCRIPTS))
    names = [(path, path.relative_to(ROOT).as_posix()) for path in every]
    return [path for path, name in names if name not in EXEMPT and not name.startswith(FOLDERS)]


def all_findings() -> list[tuple[str, str, int, str]]:
    """File, pattern, line number and line."""
    return [
        (path.relative_to(ROOT).as_posix(), *found)
        for path in files()
        for found in findings(path.name, path.read_text(encoding="utf-8"))
    ]


def main() -> int:
    found = all_findings()
    if "--count" in sys.argv[1:]:
        for title, column in (("word", 1), ("file", 0)):
            print(f"{len(found)} findings by {title}")
            for key, count in Counter(each[column] for each in found).most_common():
                print(f"{count:6} {key}")
    else:
        for name, pattern, number, line in found:
            print(f"{name}:{number}: {line[:100]}\n    {pattern}: write {WORDS[pattern]}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
