"""The layers of the Python package: the drawing in docs/design.md, and the imports."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

from toolchain import ROOT

PACKAGE = ROOT / "rtu_edge"
DESIGN = ROOT / "docs" / "design.md"
RULE = "    " + "-" * 116
NATIVE = ("_core", "_bridge", "_testing")  # extension modules, below every layer
TESTING_ONLY = ("bench", "hil")  # the rooms that may load _testing: no robot does
FACADE = "__init__"  # public names from every layer; no module of the package imports from it


def drawing(text: str) -> str:
    """The drawing in the document: the indented block that follows the heading "Inside rtu_edge"."""
    lines = text.partition("\n## Inside rtu_edge\n")[2].split("\n")
    start = lines.index(RULE)
    end = next(i for i in range(start, len(lines)) if not lines[i].startswith("    "))
    return "\n".join(lines[start:end])


def levels(text: str) -> list[list[str]]:
    """The rooms of each level of a drawing, from the top down; rooms of one level do not import each other."""
    found: list[list[str]] = []
    for line in text.split("\n"):
        if line == RULE:
            found.append([])
        elif line[4:5].strip():
            found[-1].append(line.split()[0])
    return [level for level in found if level]


def draw(order: list[list[str]], modules: Iterable[str]) -> str:
    """A drawing of these levels with the existing modules."""
    rooms: dict[str, list[str]] = {}
    for module in sorted(modules):
        room, _, rest = module.partition(".")
        rooms.setdefault(room, []).extend([rest] if rest else [])
    lines = [RULE]
    for level in order:
        for room in level:
            head = f"    {room:10}"
            lines += textwrap.wrap(
                head + ", ".join(_folded(rooms.get(room, []))), 120, subsequent_indent=" " * 14, break_long_words=False
            ) or [head.rstrip()]
        lines.append(RULE)
    return "\n".join(lines)


def _folded(names: list[str]) -> list[str]:
    """Modules with those of a package in one word: "checkpoint/(slots text)"."""
    packages = {name.partition(".")[0] for name in names if "." in name}
    return [
        f"{name}/({' '.join(one.partition('.')[2] for one in names if one.startswith(name + '.'))})"
        if name in packages
        else name
        for name in names
        if "." not in name
    ]


def modules() -> dict[str, str]:
    """Text of each module of the package, by its name behind "rtu_edge."; "__init__" is the package itself."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = list(path.relative_to(PACKAGE).with_suffix("").parts)
        if parts[-1] == "__init__" and len(parts) > 1:
            parts.pop()
        found[".".join(parts)] = path.read_text(encoding="utf-8")
    return found


def imports(name: str, text: str, known: Iterable[str]) -> Iterator[tuple[str, int]]:
    """A module's imports from the package, with lines: at the top, in functions, for types."""
    for node in ast.walk(ast.parse(text)):
        found: list[str] = []
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                found = [f"rtu_edge.(relative in {name})"]
            elif node.module:
                longer = [f"{node.module}.{alias.name}" for alias in node.names]
                short = "rtu_edge." + FACADE if node.module == "rtu_edge" else node.module
                found = [one if one.removeprefix("rtu_edge.") in (*known, *NATIVE) else short for one in longer]
        for one in found:
            if one == "rtu_edge":
                yield FACADE, node.lineno
            elif one.startswith("rtu_edge."):
                yield one.removeprefix("rtu_edge."), node.lineno


def upward(order: list[list[str]], texts: dict[str, str]) -> list[str]:
    """Imports that do not point down."""
    height = {room: len(order) - n for n, level in enumerate(order) for room in level}
    wrong = []
    for name, text in texts.items():
        room = name.partition(".")[0]
        if name == FACADE:
            continue
        if room not in height:
            wrong.append(f"{name}: in no layer of docs/design.md")
            continue
        for one, line in imports(name, text, texts):
            other = one.partition(".")[0]
            if other == "_testing" and room not in TESTING_ONLY:
                wrong.append(f"{name}:{line} imports {one}: only {' and '.join(TESTING_ONLY)} may")
            if other in NATIVE or other == room:
                continue
            if other not in height or height[other] >= height[room]:
                wrong.append(f"{name}:{line} imports {one}: {other} is not below {room}")
    return wrong


def circles(texts: dict[str, str]) -> list[list[str]]:
    """Modules that import each other, directly or through others."""
    edges = {
        name: {one for one, _ in imports(name, text, texts) if one in texts} - {name} for name, text in texts.items()
    }
    changed = True
    while changed:  # a module without imports, or that none imports, is in no cycle
        leads = {one for targets in edges.values() for one in targets}
        keep = {name for name, targets in edges.items() if targets and name in leads}
        changed = len(keep) != len(edges)
        edges = {name: edges[name] & keep for name in keep}
    return [sorted(edges)] if edges else []


def design() -> str:
    """The document."""
    return Path(DESIGN).read_text(encoding="utf-8")
