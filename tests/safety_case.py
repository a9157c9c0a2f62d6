"""The safety case: each hazard, its requirement, where it is implemented, and the tests that verify it.

The rows are in hazards.toml. A test claims a row with `@pytest.mark.hazard("id")` (several ids are allowed;
`pytestmark` claims them for a whole file), a C or C++ test program with a line `// hazard: id` or `/* hazard: id */`.

    python tests/safety_case.py             # list inconsistencies; exit code 1 if there are any
    python tests/safety_case.py --write     # docs/safety_case.md
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"
PAGE = ROOT / "docs" / "safety_case.md"

_CLAIM = re.compile(r"^\s*(?://|/?\*)\s*hazard:\s*([a-z0-9 -]+?)\s*(?:\*/)?\s*$", re.MULTILINE)
_HEAD = """\
# Safety case

For safety engineers and reviewers: each hazard, the promise that covers it, the code that keeps the promise, and the
tests that show it. Generated from `tests/hazards.toml` and the marks of the tests by
`python tests/safety_case.py --write`; a hazard without a test fails the build.
[safety.md](safety.md) explains the mechanisms and what is not promised.

| hazard | promise | kept in | tests |
|---|---|---|---|
"""


@dataclass(frozen=True)
class Hazard:
    """A row of hazards.toml."""

    id: str
    hazard: str  # what could hurt
    promise: str  # what holds instead
    kept_in: tuple[str, ...]  # files of this repository


def hazards(file: Path = TESTS / "hazards.toml") -> list[Hazard]:
    """The rows, in the order of the file.

    Raises:
        msgspec.ValidationError: a key is missing, unknown or of the wrong type.
    """
    tables = msgspec.toml.decode(file.read_bytes(), type=dict[str, list[dict[str, str | list[str]]]])
    return [msgspec.convert(row, Hazard) for row in tables["hazard"]]


def claims(folder: Path = TESTS) -> dict[str, list[str]]:
    """Hazard -> the tests that claim it, by pytest id or file name."""
    found: dict[str, list[str]] = {}
    for file in sorted(folder.glob("test_*.py")):
        for name, test in _marks(ast.parse(file.read_text(encoding="utf-8"))):
            found.setdefault(name, []).append(f"{file.relative_to(folder)}{test}")
    for file in sorted([*folder.glob("native/test_*.cpp"), *folder.glob("firmware/test_*.c")]):
        for line in _CLAIM.findall(file.read_text(encoding="utf-8")):
            for name in line.split():
                found.setdefault(name, []).append(str(file.relative_to(folder)))
    return found


def _marks(module: ast.Module) -> Iterator[tuple[str, str]]:
    """(hazard, "::test") for each mark; "" stands for the whole file."""
    for node in module.body:
        if isinstance(node, ast.Assign) and any(getattr(to, "id", "") == "pytestmark" for to in node.targets):
            yield from ((name, "") for name in _ids(node.value))
        for test in [node, *getattr(node, "body", [])] if isinstance(node, ast.ClassDef) else [node]:
            if isinstance(test, (ast.FunctionDef, ast.ClassDef)):
                for decorator in test.decorator_list:
                    yield from ((name, f"::{test.name}") for name in _ids(decorator))


def _ids(expression: ast.expr) -> Iterator[str]:
    """The arguments of every `pytest.mark.hazard(...)` in an expression, those of pytest.param included."""
    for call in ast.walk(expression):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.hazard":
            yield from (str(ast.literal_eval(argument)) for argument in call.args)


def complaints(rows: list[Hazard], claimed: dict[str, list[str]], root: Path = ROOT) -> list[str]:
    """Inconsistencies, one sentence each."""
    names = [row.id for row in rows]
    found = [f"hazards.toml: {name}: stands twice" for name in sorted({n for n in names if names.count(n) > 1})]
    found += ["hazards.toml: the rows must be sorted by id"] if names != sorted(names) else []
    found += [f"hazards.toml: {name}: no test claims it" for name in names if name not in claimed]
    found += [
        f"{tests[0]}: claims {name}, which hazards.toml does not have"
        for name, tests in claimed.items()
        if name not in names
    ]
    found += [
        f"hazards.toml: {row.id}: kept_in: no such file: {place}"
        for row in rows
        for place in row.kept_in
        if not (root / place).exists()
    ]
    return found


def page() -> str:
    """docs/safety_case.md."""
    claimed = claims()

    def tick(items: list[str] | tuple[str, ...]) -> str:
        return "<br>".join(f"`{item}`" for item in items)

    rows = (
        f'| <a id="{row.id}"></a>{row.hazard} | {row.promise} | {tick(row.kept_in)} | {tick(claimed.get(row.id, []))} |'
        for row in hazards()
    )
    return _HEAD + "\n".join(rows) + "\n"


def main() -> None:
    """See the module."""
    found = complaints(hazards(), claims())
    for complaint in found:
        print(complaint, file=sys.stderr)
    if found:
        sys.exit(1)
    if "--write" in sys.argv[1:]:
        PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
