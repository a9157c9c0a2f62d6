"""Generates source text from rtu_edge/learn/parameters.py: `make tables`.

Signatures and docstrings of the learners and cells, the fields, defaults and ranges of the C interface (also in Rust),
the tables of docs/configuration.md and docs/configuration_safety.md; docs/cli.md, docs/cli_bus.md and docs/cli_clone.md
from the commands; and tools/oldest.txt from pyproject.toml. With --check it writes nothing, prints differences and
fails if there are any; tests/test_parameters.py does the same.
"""

from __future__ import annotations

import difflib
import json
import re
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import c_interface
import cli_reference
import oldest
from c_interface import meaning, replaced

from rtu_edge.learn import parameters
from rtu_edge.learn.parameters import AC, BANK, CELL, QRC, REGRESSOR, SARSA, TD, Parameter, Q
from rtu_edge.learn.ranges import (
    REQUIRED,
    ByChoice,
    Choice,
    Dtype,
    Follows,
    Integer,
    Number,
    PerGroup,
    PerHead,
    Switch,
    Widths,
    number_text,
)

ROOT = Path(__file__).resolve().parent.parent
_WIDTH = 120
# learner -> file, class with the signature, class with the docstring
_CLASSES = {
    AC: ("rtu_edge/learn/stream_ac.py", "StreamAC", "StreamAC"),
    Q: ("rtu_edge/learn/stream_q.py", "StreamQ", "StreamQ"),
    SARSA: ("rtu_edge/learn/stream_q.py", "StreamSARSA", "StreamSARSA"),
    QRC: ("rtu_edge/learn/stream_q.py", "StreamQRC", "StreamQRC"),
    TD: ("rtu_edge/learn/signals.py", "TDPredictor", "TDPredictor"),
    BANK: ("rtu_edge/learn/bank.py", "TDBank", "TDBank"),
    REGRESSOR: ("rtu_edge/learn/signals.py", "OnlineRegressor", "OnlineRegressor"),
    CELL: ("rtu_edge/learn/cells.py", "_Cell", "LinearRTU"),
}
_HEADER, _DEFAULTS = "native/bindings/c/rtu_edge.h", "native/bindings/c/parameters.inl.h"
_RUST = "examples/c_library/rust/src/rtu_edge.rs"
_TYPES: dict[type, str] = {
    Integer: "int",
    Number: "float",
    Switch: "bool",
    Choice: "str",
    Dtype: "npt.DTypeLike",
    Widths: "int | Sequence[int]",
    PerGroup: "float | Mapping[str, float]",
    PerHead: "float | Sequence[float]",
}


# ---------------------------------------------------------------- Python


def _arguments(learner: str) -> list[tuple[str, list[Parameter]]]:
    """(argument, its rows) in the order of the table; "actor" has one row for each of its keys."""
    found: dict[str, list[Parameter]] = {}
    for row in parameters.of(learner):
        found.setdefault(row.name.partition(".")[0], []).append(row)
    return list(found.items())


def _literal(value: Any) -> str:
    return json.dumps(value) if isinstance(value, str) else repr(value)


def _argument(learner: str, name: str, rows: list[Parameter]) -> str:
    if rows[0].name != name:
        return f"{name}: Mapping[str, float] | None = None"
    kind, default = _TYPES[type(rows[0].kind)], rows[0].defaults[learner]
    if default is REQUIRED:
        return f"{name}: {kind}"
    if default is None or isinstance(default, ByChoice) or name in parameters.followed(learner):
        return f"{name}: {kind} | None = None"
    return f"{name}: {kind} = {_literal(default)}"


def signature(learner: str) -> str:
    """The lines between `self,` and the closing parenthesis."""
    arguments = dict(_arguments(learner))
    positional = parameters.POSITIONAL[learner]
    named = [name for name in arguments if name not in positional]
    lines = [_argument(learner, name, arguments[name]) for name in positional]
    lines += ["*", *(_argument(learner, name, arguments[name]) for name in named)]
    return "".join(f"        {line},\n" for line in lines)


def _default_text(default: Any) -> str:
    """The default of a parameter that the signature does not show."""
    if isinstance(default, Follows):
        return f"default {default.name} if that is given, otherwise {number_text(default.otherwise)}"
    if not isinstance(default, ByChoice):
        return f"default {number_text(default)}"
    values: dict[float, list[str]] = {}
    for choice, value in default.values.items():
        values.setdefault(value, []).append(f'"{choice}"')
    return "default " + ", ".join(f"{number_text(v)} with {' and '.join(c)}" for v, c in values.items())


def _allowed(row: Parameter) -> str:
    if isinstance(row.kind, Switch):
        return ""
    text = f"one of {row.kind.allowed}" if isinstance(row.kind, Choice) else row.kind.allowed
    return (
        (f"{text} {row.unit}" if row.unit else text).replace("an array", "a sequence").replace("a table", "a mapping")
    )


def _sentence(learner: str, row: Parameter, with_default: bool) -> str:
    value = row.defaults[learner]
    shown = not with_default and not isinstance(value, ByChoice) and row.name not in parameters.followed(learner)
    default = "" if shown else _default_text(value)
    return meaning(row, _allowed(row), default).replace("`", '"') + "."


def docstring(learner: str) -> str:
    """The lines below `Args:`, in the order of the signature."""
    arguments = dict(_arguments(learner))
    positional = parameters.POSITIONAL[learner]
    lines: list[str] = []
    for name in [*positional, *(name for name in arguments if name not in positional)]:
        rows = arguments[name]
        if rows[0].name == name:
            lines += _wrapped(f"{name}: {_sentence(learner, rows[0], False)}", 8)
            continue
        lines.append(f"        {name}: A mapping with any of")
        for row in rows:
            lines += _wrapped(f'"{row.name.partition(".")[2]}": {_sentence(learner, row, True)}', 12)
    return "\n".join(lines) + "\n"


def _wrapped(text: str, indent: int) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent=" " * indent, subsequent_indent=" " * (indent + 4), break_on_hyphens=False
    )


def _python(path: str, text: str) -> str:
    for learner, (home, with_signature, with_docstring) in _CLASSES.items():
        if home != path:
            continue
        start = rf"(\nclass {with_signature}\b.*?\n    def __init__\(\n        self,\n)(.*?)(?=    \) -> None:)"
        text = replaced(text, start, signature(learner), f"{path}: {with_signature}.__init__")
        args = rf"(\nclass {with_docstring}\b.*?\n    Args:\n)(.*?)(?=\n    Raises:)"
        text = replaced(text, args, docstring(learner), f"{path}: {with_docstring}'s Args")
    return text


# ---------------------------------------------------------------- documents


# The tables of docs/configuration_safety.md; those of docs/configuration.md are the others.
_SAFETY = ("supervisor", "fallback", "take_over", "learner_monitor", "sensor", "checks", "start", "homing")


def documented(path: str) -> str:
    """The table of a document."""
    from rtu_edge.config import describe

    lines = ["| key | allowed | default | meaning |", "|---|---|---|---|"]
    for table in describe.tables():
        if (table.path.partition(".")[0] in _SAFETY) is not path.endswith("_safety.md"):
            continue
        lines.append(f"| **[{table.path}]** | | | {_linked(table.help)} |")
        lines += [f"| `{key.name}` | {key.allowed} | {key.default} | {_linked(key.help)} |" for key in table.keys]
    return "\n".join(lines) + "\n"


def _linked(text: str) -> str:
    return re.sub(r"docs/(\w+\.md)", r"[\1](\1)", text)


def _document(path: str, text: str) -> str:
    return replaced(text, r"(\n\n)(\| key \| allowed \|.*?\n)(?=\n|$)", documented(path), path)


# ---------------------------------------------------------------- all of them


WRITERS: dict[str, Callable[[str, str], str]] = {
    **{home: _python for home, _, _ in _CLASSES.values()},
    _HEADER: c_interface.header,
    _RUST: c_interface.rust,
    _DEFAULTS: lambda path, text: c_interface.c_defaults(),
    "docs/configuration.md": _document,
    "docs/configuration_safety.md": _document,
    "docs/cli.md": lambda path, text: cli_reference.text(),
    "docs/watch.md": lambda path, text: replaced(
        text, r"(\n## Options\n\n)(.*?)(?=\n## )", cli_reference.options_of("watch"), path
    ),
    "docs/export.md": lambda path, text: replaced(
        text, r"(\n## Options\n\n)(.*?)(?=\n## )", cli_reference.options_of("export"), path
    ),
    **{f"docs/cli_{name}.md": lambda path, text: cli_reference.own_text(path) for name in ("bus", "clone")},
    "tools/oldest.txt": lambda path, text: oldest.text((ROOT / "pyproject.toml").read_text(encoding="utf-8")),
}


def differences(root: Path = ROOT) -> dict[str, tuple[str, str]]:
    """path -> (current text, generated text), where they differ."""
    found = {}
    for path, write in WRITERS.items():
        file = root / path
        old = file.read_text(encoding="utf-8") if file.exists() else ""
        if (new := write(path, old)) != old:
            found[path] = (old, new)
    return found


def main(arguments: list[str]) -> int:
    """Write, or with --check print the differences."""
    found = differences()
    for path, (old, new) in found.items():
        if "--check" in arguments:
            sys.stdout.writelines(difflib.unified_diff(old.splitlines(True), new.splitlines(True), path, path))
        else:
            (ROOT / path).write_text(new, encoding="utf-8")
            print(f"written: {path}")
    return 1 if found and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
