"""Descriptions of the tables and keys of a configuration, read from the structs, for documents and for the first file.

The help of a key is the description in its msgspec.Meta, or else its line in `Args:` of the struct's docstring.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import msgspec.inspect as mi

from rtu_edge._base.strict import quoted
from rtu_edge.config.tables import Config

__all__ = ["Key", "Table", "tables"]

_NAME = "NAME"
_ARGUMENT = re.compile(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)


@dataclass(frozen=True)
class Key:
    """One key of a table.

    Attributes:
        name: the key.
        allowed: type and range in words.
        default: as shown in documents; "" for none.
        value: the default as TOML; None where the key has no default.
        required: the key has to be given.
        help: a phrase.
    """

    name: str
    allowed: str
    default: str
    value: str | None
    required: bool
    help: str


@dataclass(frozen=True)
class Table:
    """One table: its path, such as "loop" or "limits.NAME", what it is for, its keys without the tables below it."""

    path: str
    help: str
    keys: tuple[Key, ...]


def tables() -> list[Table]:
    """All tables of Config in the order of the structs, each followed by those below it."""
    schema = mi.type_info(Config)
    assert isinstance(schema, mi.StructType)
    return [table for field in schema.fields for table in _below(field.encode_name, field.type)]


def _below(path: str, kind: mi.Type) -> Iterator[Table]:
    kind, _ = _bare(kind)
    if isinstance(kind, mi.DictType) and isinstance(_bare(kind.value_type)[0], mi.StructType):
        yield from _below(f"{path}.{_NAME}", kind.value_type)
    elif isinstance(kind, mi.StructType):
        doc = inspect.cleandoc(kind.cls.__doc__ or "")  # Python 3.13 removes the indentation, those before do not
        helps = {name: " ".join(text.split()) for name, text in _ARGUMENT.findall(doc)}
        below = [field for field in kind.fields if any(_below("", field.type))]
        keys = tuple(_key(field, helps.get(field.encode_name, "")) for field in kind.fields if field not in below)
        title = " ".join(doc.partition("\n\n")[0].split()).partition(": ")[2].rstrip(".")
        yield Table(path, title, keys)
        for field in below:
            yield from _below(f"{path}.{field.encode_name}", field.type)


def _key(field: mi.Field, help: str) -> Key:
    kind, meta = _bare(field.type)
    extra: dict[str, Any] = meta.get("extra", {})
    default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
    value = None if field.required or default is None else quoted(getattr(default, "value", default))
    if isinstance(kind, mi.DictType):
        value = "{}"
    return Key(
        field.encode_name,
        extra.get("allowed", _allowed(kind)),
        extra.get("default", "required" if field.required else _shown(default)),
        extra.get("value", value),
        field.required,
        meta.get("description", help),
    )


def _bare(kind: mi.Type) -> tuple[mi.Type, dict[str, Any]]:
    """A type without annotations and None, with its description and extra."""
    found: dict[str, Any] = {}
    while isinstance(kind, mi.Metadata):
        found |= {"description": (kind.extra_json_schema or {}).get("description", ""), "extra": kind.extra or {}}
        kind = kind.type
    if isinstance(kind, mi.UnionType):
        parts = [part for part in kind.types if not isinstance(part, mi.NoneType)]
        if len(parts) == 1:
            return _bare(parts[0])[0], found
    return kind, found


def _allowed(kind: mi.Type) -> str:
    if isinstance(kind, mi.BoolType):
        return "true, false"
    if isinstance(kind, mi.EnumType):
        return ", ".join(f"`{member.value}`" for member in kind.cls)
    if isinstance(kind, (mi.IntType, mi.FloatType)):
        low, high = kind.ge if kind.gt is None else kind.gt, kind.le
        if kind.gt is not None:
            return f"above {low:g}" + ("" if high is None else f", at most {_plain(high)}")
        if low is None or high is None or low == -high:
            return "number"
        return f"{_plain(low)} to {_plain(high)}"
    if isinstance(kind, (mi.VarTupleType, mi.ListType)):
        return "array of names" if isinstance(_bare(kind.item_type)[0], mi.StrType) else "array of numbers"
    if isinstance(kind, mi.DictType):
        return f"table by name, each {_allowed(_bare(kind.value_type)[0])}"
    return "text"


def _plain(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:.10g}"


def _shown(default: Any) -> str:
    value = getattr(default, "value", default)
    if value is None or value == "":
        return ""
    if isinstance(value, (bool, tuple, dict)):
        return quoted(value) if value or isinstance(value, bool) else ""
    return f"`{value}`" if isinstance(value, str) else _plain(value)
