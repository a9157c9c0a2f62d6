"""Bounds of size: lines of 120 characters, functions of 60 lines, files of 400, in Python, C++ and C alike.

Lines of prose are bounded too, except table rows and long links. A function is measured from its head to its end,
without decorators and docstring.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable

import pytest
from source_text import tracked, without_text
from toolchain import ROOT

LINE, FUNCTION, FILE = 120, 60, 400

# Longer files: how long at most, and why. Recorded files are data, not sources: tests/golden.
CASES = "the cases of one subject over shared fixtures; tests/hazards.toml claims them by file and name"
EXEMPT: dict[str, tuple[int, str]] = {
    "tests/test_api.py": (770, CASES),
    "tests/test_bound.py": (590, CASES),
    "tests/test_estop.py": (510, CASES),
    "tests/test_job.py": (490, CASES),
    "tests/test_learners.py": (530, CASES),
    "tests/test_log.py": (430, CASES),
    "tests/test_plants.py": (610, CASES),
    "tests/test_runtime.py": (470, CASES),
    "tests/test_service.py": (590, CASES),
    "tests/test_small_computers.py": (430, CASES),
    "tests/test_stop.py": (530, CASES),
    "tests/test_supervisor.py": (440, CASES),
    "tests/test_untrusted_shown.py": (470, CASES),
    "tests/test_wire.py": (420, CASES),
    "tests/test_wire_table.py": (650, CASES),
}

TABLES = ("tests/hazards.toml",)  # each value is a cell of docs/safety_case.md
NATIVE = (".c", ".h", ".cpp", ".cdef")
SOURCES = (*NATIVE, ".py", ".pyi", ".cmake", ".sh")
PROSE = (".md", ".toml")


# ---------------------------------------------------------------- lines


def long_lines(path: str, text: str) -> list[str]:
    """Name the lines over the bound: "docs/a.md:3: 140 characters"."""
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        table = path in TABLES or (path.endswith(".md") and line.lstrip().startswith("|"))
        unbreakable = " " not in line.strip().removeprefix("- ").removeprefix("# ").strip()
        if len(line) > LINE and not table and not unbreakable:
            found.append(f"{path}:{number}: {len(line)} characters")
    return found


# ---------------------------------------------------------------- functions of Python


def python_functions(text: str) -> list[tuple[str, int, int]]:
    """Return (name, first line, number of lines) of each function."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        head = node.body[0]
        if ast.get_docstring(node) is not None:
            length -= (head.end_lineno or head.lineno) - head.lineno + 1
        found.append((node.name, node.lineno, length))
    return found


# ---------------------------------------------------------------- functions of C and C++

# Braces that hold declarations: their contents are searched.
SCOPE = re.compile(
    r"\b(?:namespace|struct|class|union)\b[^()=]*(?:\([^()]*\)[^()=]*)?$|\bextern\s*$|\bextern\s*\"\"\s*$"
)
# A name, its parameters, and what may follow before the body.
HEAD = re.compile(r"(?P<name>~?\w+|operator\s*\S+)\s*\((?P<rest>.*)$", re.DOTALL)


def native_functions(source: str) -> list[tuple[str, int, int]]:
    """Return (name, first line, number of lines) of each function that is defined in a namespace or a class."""
    text = without_text(source)
    found: list[tuple[str, int, int]] = []
    at = start = 0
    while at < len(text):
        mark = text[at]
        if mark in ";}":
            start = at + 1
        elif mark == "{":
            head = text[start:at]
            if not SCOPE.search(head.split(";")[-1]):
                end = closing(text, at)
                begin = start + len(head) - len(head.lstrip())
                if match := HEAD.search(head):
                    lines = text.count("\n", begin, end) + 1
                    found.append((match["name"], text.count("\n", 0, begin) + 1, lines))
                # A constructor's list of initialisers: `: a{1}, b{2} {`.
                at = end
                following = text[at + 1 :].lstrip()[:1]
                if following not in (",", "{"):
                    start = at + 1
            else:
                start = at + 1
        at += 1
    return found


def closing(text: str, opening: int) -> int:
    depth = 0
    for at in range(opening, len(text)):
        depth += (text[at] == "{") - (text[at] == "}")
        if depth == 0:
            return at
    return len(text) - 1


def long_functions(path: str, text: str) -> list[str]:
    """Name the functions over the bound: "native/a.cpp:7: f() has 61 lines"."""
    functions = python_functions(text) if path.endswith(".py") else native_functions(text)
    return [f"{path}:{line}: {name}() has {n} lines" for name, line, n in functions if n > FUNCTION]


def too_long(path: str, text: str) -> list[str]:
    """Name a file over the bound: "native/a.cpp: 401 lines"."""
    lines = len(text.splitlines())
    bound, _ = EXEMPT.get(path, (FILE, ""))
    return [f"{path}: {lines} lines"] if lines > bound else []


# ---------------------------------------------------------------- tests


def findings(check: Callable[[str, str], list[str]], suffixes: tuple[str, ...]) -> list[str]:
    return [
        finding
        for path in tracked(suffixes)
        for finding in check(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
    ]


def test_lines_fit() -> None:
    assert findings(long_lines, (*SOURCES, *PROSE)) == []


def test_functions_fit() -> None:
    assert findings(long_functions, (*NATIVE, ".py")) == []


def test_files_fit() -> None:
    assert findings(too_long, SOURCES) == []


def test_an_exemption_is_of_a_longer_file_and_has_a_reason() -> None:
    for name, (bound, reason) in EXEMPT.items():
        lines = len((ROOT / name).read_text(encoding="utf-8").splitlines())
        assert FILE < lines <= bound <= 2 * FILE, name
        assert len(reason.split()) > 3, name


BODY = "  a();\n" * 60


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.py", "def f():\n" + "    a()\n" * 60),
        ("a.py", "class C:\n    @property\n    def f(self):\n" + "        a()\n" * 60),
        ("a.c", f"static int f(int a) {{\n{BODY}}}\n"),
        ("a.cpp", f'namespace x {{\nextern "C" {{\nvoid f() noexcept {{\n{BODY}}}\n}}\n}}\n'),
        ("a.h", f"class C final : public B {{\n  C(int a) : B(a), a_{{a}} {{\n{BODY}}}\n}};\n"),
        (
            "a.h",
            f"struct C {{\n  template <class T>\n  auto f(T a) const -> int {{\n    if (a) {{\n{BODY}}}\n  }}\n}};\n",
        ),
        ("a.cpp", f"bool operator==(const A& a, const A& b) {{\n{BODY}}}\n"),
        ("a.cpp", f"int f(const char* a = \"}}\", char b = '}}') /* }} */ {{\n{BODY}}}\n"),
    ],
)
def test_a_long_function_is_found(path: str, text: str) -> None:
    assert len(long_functions(path, text)) == 1
    assert long_functions(path, text.replace("a()", "b()", 1)) != []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.py", "def f():\n" + "    a()\n" * 59),
        ("a.py", 'def f():\n    """A\n' + "\n" * 50 + '    """\n' + "    a()\n" * 50),
        ("a.cpp", "void f() {\n" + "  a();\n" * 30 + "}\nvoid g() {\n" + "  a();\n" * 58 + "}\n"),
        ("a.cpp", "const int table[] = {\n" + "  1,\n" * 70 + "};\n"),
        ("a.h", "class C {\n" + "  void f();\n" * 70 + "};\n"),
    ],
)
def test_a_short_function_is_not(path: str, text: str) -> None:
    assert long_functions(path, text) == []


def test_a_long_line_is_found() -> None:
    words = "word " * 24
    assert long_lines("a.py", f"x = 1\n# {words}\n") == ["a.py:2: 122 characters"]
    assert long_lines("a.md", f"{words}b\n") == ["a.md:1: 121 characters"]
    assert long_lines("a.md", f"| {words} |\n- [a](https://{'a' * 120})\n") == []
    assert long_lines("a.py", f"# | {words}\n") != []


def test_a_long_file_is_found() -> None:
    assert too_long("a.py", "\n" * 401) == ["a.py: 401 lines"]
    assert too_long("a.py", "\n" * 400) == []
