"""Writes what has to be text from rtu_edge/learn/parameters.py: `make tables`.

Signatures and docstrings of the learners and cells, the fields, defaults and ranges of the C interface, the table of
docs/configuration.md; and docs/cli.md from the commands. With --check it writes nothing, prints the difference and
fails where there is one; tests/test_parameters.py does the same.
"""

from __future__ import annotations

import difflib
import json
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cli_reference

from rtu_edge.learn import parameters
from rtu_edge.learn.parameters import (
    AC,
    CELL,
    REGRESSOR,
    REQUIRED,
    TD,
    ByChoice,
    Choice,
    Dtype,
    Integer,
    Number,
    Parameter,
    PerGroup,
    Switch,
    Widths,
)

ROOT = Path(__file__).resolve().parent.parent
_WIDTH = 120
# learner -> file, class with the signature, class with the docstring
_CLASSES = {
    AC: ("rtu_edge/learn/stream_ac.py", "StreamAC", "StreamAC"),
    TD: ("rtu_edge/learn/signals.py", "TDPredictor", "TDPredictor"),
    REGRESSOR: ("rtu_edge/learn/signals.py", "OnlineRegressor", "OnlineRegressor"),
    CELL: ("rtu_edge/learn/cells.py", "_Cell", "LinearRTU"),
}
_HEADER, _DEFAULTS = "native/bindings/c/rtu_edge.h", "native/bindings/c/parameters.inl.h"
_BEGIN, _END = "  /* From here written by `make tables`. */\n", "  /* To here. */\n"
# What C has as a number of actions and a switch, or as a switch.
_C_NAMES = {"action_size": "actions", "n_actions": "discrete", "body": "shared_body"}
_TYPES: dict[type, str] = {
    Integer: "int",
    Number: "float",
    Switch: "bool",
    Choice: "str",
    Dtype: "npt.DTypeLike",
    Widths: "int | Sequence[int]",
    PerGroup: "float | Mapping[str, float]",
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
    if default is None or isinstance(default, ByChoice):
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
    """Of one that the signature does not show."""
    if not isinstance(default, ByChoice):
        return f"default {parameters.number_text(default)}"
    values: dict[float, list[str]] = {}
    for choice, value in default.values.items():
        values.setdefault(value, []).append(f'"{choice}"')
    return "default " + ", ".join(f"{parameters.number_text(v)} with {' and '.join(c)}" for v, c in values.items())


def meaning(row: Parameter, allowed: str, default: str = "") -> str:
    """A row as one sentence: the phrase, what is allowed, the notes, a default."""
    phrase, *notes = row.help.split("; ")
    return "; ".join([f"{phrase}, {allowed}" if allowed else phrase, *notes, *([default] if default else [])])


def _allowed(row: Parameter) -> str:
    if isinstance(row.kind, Switch):
        return ""
    text = f"one of {row.kind.allowed}" if isinstance(row.kind, Choice) else row.kind.allowed
    return (
        (f"{text} {row.unit}" if row.unit else text).replace("an array", "a sequence").replace("a table", "a mapping")
    )


def _sentence(learner: str, row: Parameter, with_default: bool) -> str:
    value = row.defaults[learner]
    default = _default_text(value) if with_default or isinstance(value, ByChoice) else ""
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


def _replaced(text: str, pattern: str, new: str, where: str) -> str:
    """`text` with group 2 of the first match of `pattern` replaced."""
    found = re.search(pattern, text, re.DOTALL)
    if found is None:
        raise SystemExit(f"{where}: no place for it")
    return text[: found.start(2)] + new + text[found.end(2) :]


def _python(path: str, text: str) -> str:
    for learner, (home, with_signature, with_docstring) in _CLASSES.items():
        if home != path:
            continue
        start = rf"(\nclass {with_signature}\b.*?\n    def __init__\(\n        self,\n)(.*?)(?=    \) -> None:)"
        text = _replaced(text, start, signature(learner), f"{path}: {with_signature}.__init__")
        args = rf"(\nclass {with_docstring}\b.*?\n    Args:\n)(.*?)(?=\n    Raises:)"
        text = _replaced(text, args, docstring(learner), f"{path}: {with_docstring}'s Args")
    return text


# ---------------------------------------------------------------- C


def _fields() -> Iterator[tuple[Parameter, list[tuple[str, str]]]]:
    """Each row of the C interface with its fields: (declaration, name)."""
    for row in parameters.of(AC):
        if not row.c:
            continue
        name = row.name.replace(".", "_")
        if isinstance(row.kind, Widths):
            yield row, [("int32_t layers", "layers"), (f"int32_t {name}[RTU_LAYERS_MAX]", name)]
        elif isinstance(row.kind, PerGroup):
            names = [f"decay_{key}" for key in row.kind.keys]
            yield row, [("double " + ", ".join(names), names[0]), *(("", name) for name in names[1:])]
        elif row.name in _C_NAMES:
            yield row, [(f"int32_t {_C_NAMES[row.name]}", _C_NAMES[row.name])]
        else:
            kind = "double" if isinstance(row.kind, Number) else "int32_t"
            yield row, [(f"{kind} {name}", name)]


def _constant(row: Parameter, choice: str) -> str:
    return f"RTU_{'CELL_' if row.name == 'cell' else ''}{choice.upper()}"


def _c_default(row: Parameter) -> Any:
    default = row.defaults[AC]
    if row.name in _C_NAMES:
        return {"action_size": 1, "n_actions": 0, "body": int(default == "shared")}[row.name]
    if default is REQUIRED:
        return row.kind.low if isinstance(row.kind, Integer) else 0
    if isinstance(default, ByChoice):
        return default.values[parameters.find(AC, default.name).defaults[AC]]
    return default


def c_fields() -> str:
    """The fields of rtu_agent_config that come from the table, each under its comment."""
    lines: list[str] = []
    for row, fields in _fields():
        lines += _comment(_c_meaning(row))
        lines += [f"  {declared};" for declared, _ in fields if declared]
    return "\n".join(lines) + "\n"


def _c_meaning(row: Parameter) -> str:
    default = _c_default(row)
    if row.name in _C_NAMES:
        discrete = parameters.find(AC, "n_actions").kind.allowed
        return {
            "action_size": f"Number of actions, {row.kind.allowed}, or of discrete ones, {discrete}; default 1",
            "n_actions": "1: discrete, an action is an index; default 0",
            "body": f"1: one network for actor and critic with summed updates; default {default}",
        }[row.name]
    if isinstance(row.kind, Choice):
        names = ", ".join(_constant(row, choice) for choice in row.kind.choices)
        text = meaning(row, f"one of {names}", f"default {_constant(row, default)}")
    elif isinstance(row.kind, Switch):
        text = meaning(row, "", f"default {int(default)}")
    elif isinstance(row.kind, Widths):
        allowed = f"0 to RTU_LAYERS_MAX of them, each {row.kind.each.allowed}"
        text = meaning(row, allowed, f"default {', '.join(map(str, default))}")
    else:
        each = row.kind.each if isinstance(row.kind, PerGroup) else row.kind
        unit = f" {row.unit}" if row.unit else ""
        text = meaning(row, f"{each.allowed}{unit}", f"default {parameters.number_text(default)}")
    return text.replace("`", "")


def _comment(text: str) -> list[str]:
    lines = textwrap.wrap(text, _WIDTH - 8, break_on_hyphens=False)
    return ["  /* " + "\n   * ".join(lines) + " */"]


def _c_number(value: float) -> str:
    return repr(float(value))


def c_defaults() -> str:
    """What sets the defaults and what checks the ranges."""
    assign: list[str] = []
    check: list[str] = []
    for row, fields in _fields():
        default, names = _c_default(row), [name for _, name in fields]
        if isinstance(row.kind, Widths):
            assign += [f"c.layers = {len(default)};"] + [f"c.hidden[{i}] = {w};" for i, w in enumerate(default)]
            check += [
                "if (!within(c.layers, 0, RTU_LAYERS_MAX)) return false;",
                "for (int32_t i = 0; i < c.layers; ++i)",
            ]
            check += [f"  if (!within(c.hidden[i], {row.kind.each.low}, {row.kind.each.high})) return false;"]
        elif isinstance(row.kind, Switch):
            assign += [f"c.{names[0]} = {int(default)};"]
        elif row.name in _C_NAMES:
            assign += [f"c.{names[0]} = {default};"]
            if isinstance(row.kind, Integer):
                when = "!=" if row.name == "n_actions" else "=="
                limits = f"{row.kind.low}, {row.kind.high}"
                check += [f"if (c.discrete {when} 0 && !within(c.actions, {limits})) return false;"]
        elif isinstance(row.kind, Choice):
            assign += [f"c.{names[0]} = {_constant(row, default)};"]
            check += [f"if (!within(c.{names[0]}, 0, {len(row.kind.choices) - 1})) return false;"]
        elif isinstance(row.kind, Integer):
            assign += [f"c.{names[0]} = {default};"]
            check += [f"if (!within(c.{names[0]}, {row.kind.low}, {row.kind.high})) return false;"]
        else:
            assign += [f"c.{name} = {_c_number(default)};" for name in names]
            check += [f"if (!{_c_range(row, name)}) return false;" for name in names]
    body = "\n".join(f"  {line}" for line in assign), "\n".join(f"  {line}" for line in check)
    return _C.format(assign=body[0], check=body[1])


def _c_range(row: Parameter, name: str) -> str:
    kind = row.kind.each if isinstance(row.kind, PerGroup) else row.kind
    assert isinstance(kind, Number)
    low, high = _c_number(kind.low), _c_number(kind.high)
    if kind.open_low:
        return f"above(c.{name}, {low}, {high})"
    inside = f"number(c.{name}, {low}, {high})"
    return f"(c.{name} == 0.0 || {inside})" if kind.zero else inside


_C = """\
// Written by `make tables` from rtu_edge/learn/parameters.py: defaults and ranges of rtu_agent_config.
#pragma once

#include "native/bindings/c/rtu_edge.h"

namespace rtu::bindings {{

constexpr bool number(double value, double low, double high) {{ return value >= low && value <= high; }}
constexpr bool above(double value, double low, double high) {{ return value > low && value <= high; }}
constexpr bool within(int32_t value, int32_t low, int32_t high) {{ return value >= low && value <= high; }}

inline void set_defaults(rtu_agent_config& c) {{
{assign}
}}

inline bool in_range(const rtu_agent_config& c) {{
{check}
  return true;
}}

}}  // namespace rtu::bindings
"""


def _header(path: str, text: str) -> str:
    begin, end = re.escape(_BEGIN), re.escape(_END)
    return _replaced(text, f"({begin})(.*?)(?={end})", c_fields(), path)


# ---------------------------------------------------------------- documents


def documented() -> str:
    """The table of docs/configuration.md."""
    from rtu_edge.config import describe

    lines = ["| key | allowed | default | meaning |", "|---|---|---|---|"]
    for table in describe.tables():
        lines.append(f"| **[{table.path}]** | | | {_linked(table.help)} |")
        lines += [f"| `{key.name}` | {key.allowed} | {key.default} | {_linked(key.help)} |" for key in table.keys]
    return "\n".join(lines) + "\n"


def _linked(text: str) -> str:
    return re.sub(r"docs/(\w+\.md)", r"[\1](\1)", text)


def _document(path: str, text: str) -> str:
    return _replaced(text, r"(\n\n)(\| key \| allowed \|.*?\n)(?=\n|$)", documented(), path)


# ---------------------------------------------------------------- all of them


WRITERS: dict[str, Callable[[str, str], str]] = {
    **{home: _python for home, _, _ in _CLASSES.values()},
    _HEADER: _header,
    _DEFAULTS: lambda path, text: c_defaults(),
    "docs/configuration.md": _document,
    "docs/cli.md": lambda path, text: cli_reference.text(),
}


def differences(root: Path = ROOT) -> dict[str, tuple[str, str]]:
    """path -> (text there, text that the table gives), where they differ."""
    found = {}
    for path, write in WRITERS.items():
        file = root / path
        old = file.read_text(encoding="utf-8") if file.exists() else ""
        if (new := write(path, old)) != old:
            found[path] = (old, new)
    return found


def main(arguments: list[str]) -> int:
    """Write, or with --check print what would change."""
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
