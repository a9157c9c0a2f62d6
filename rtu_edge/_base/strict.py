"""Strict TOML for msgspec structs: readable errors, overrides, one canonical form."""

from __future__ import annotations

import difflib
import math
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeAlias

import msgspec
import msgspec.inspect as mi

from rtu_edge._base import old_names
from rtu_edge._base.errors import ConfigError
from rtu_edge._base.untrusted import TEXT_BYTES, read_file
from rtu_edge._base.validation import exact

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "Number",
    "Section",
    "emit",
    "near_table",
    "override",
    "parse_toml",
    "problems",
    "quoted",
    "quoted_key",
    "read_text",
]

Number: TypeAlias = Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)]

_KEY_PARTS = 100
_WORDS = re.compile(r"[^\n=,\[\]{}]+")
_DOTS = re.compile(r"\.{2,}")

_Sections: TypeAlias = Mapping[str, list[str]]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the file.

    Attributes:
        elsewhere: keys that this table does not take, and the reason.
    """

    elsewhere: ClassVar[Mapping[str, str]] = {}


def problems(schema: mi.Type, data: Any) -> Iterator[str]:
    """Yield one sentence per problem of parsed TOML against a schema (`msgspec.inspect.type_info`)."""
    sections: dict[str, list[str]] = {}
    if isinstance(schema, mi.StructType):
        sections = {
            field.encode_name: [inner.encode_name for inner in field.type.fields]
            for field in schema.fields
            if isinstance(field.type, mi.StructType)
        }
    yield from _check(schema, data, "", sections)


def read_text(path: str | os.PathLike[str], what: str) -> str:
    """The text of a file.

    Raises:
        ConfigError: it cannot be read or is not UTF-8; `what` names the expected file.
    """
    source = os.fspath(path)
    try:
        if Path(path).is_char_device():  # a port, for example: reading would block
            raise ConfigError(f"cannot read the {what}: a device, not a file", source)
        return read_file(path, TEXT_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ConfigError(f"cannot read the {what}: {reason}", source) from error
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f"cannot read the {what}: {str(error).removeprefix(f'{source}: ')}", source) from error


def parse_toml(text: str) -> dict[str, Any]:
    """Parsed TOML; a byte order mark in front of it is dropped.

    Raises:
        ValueError: it is invalid, longer than TEXT_BYTES, nested too deeply, or has a number longer than Python reads.
    """
    text = text.removeprefix("\ufeff")
    if len(text) > TEXT_BYTES:
        raise ValueError(f"a text of {len(text):,} characters; at most {TEXT_BYTES:,} are read")
    # The parser's time grows with the square of a key's parts.
    if any(_DOTS.sub("", part).count(".") >= _KEY_PARTS for part in _WORDS.findall(text)):
        raise ValueError(f"a key of more than {_KEY_PARTS} parts")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def override(data: dict[str, Any], text: str) -> None:
    """Set one value in parsed TOML from `a.b=c`; c is a TOML value, or else a string."""
    path, equals, value = text.partition("=")
    keys = [key.strip() for key in path.split(".")]
    if not equals or not all(keys):
        raise ConfigError(f"--set {text}: expected a.b=value, such as learner.units=64")
    value = value.strip()
    if any("\ud800" <= c <= "\udfff" for c in text):  # Python's representation of undecodable bytes
        raise ConfigError(f"--set {text!a}: not in this locale's encoding; UTF-8 is understood everywhere")
    try:
        found = parse_toml(f"value = {value}")
    except ValueError:
        found = {"value": value}
    if set(found) != {"value"}:
        raise ConfigError(f"--set {text}: expected one value")
    table = data
    for position, key in enumerate(keys[:-1]):
        below = table.setdefault(key, {})
        if not isinstance(below, dict):
            raise ConfigError(f"--set {text}: {'.'.join(keys[: position + 1])} is not a table")
        table = below
    table[keys[-1]] = found["value"]


def near_table(data: Mapping[str, Any], text: str) -> list[tuple[str, str]]:
    """The table that `a.b.c=d` would add as a.b, with the one next to it that has nearly this name; else []."""
    keys = [key.strip() for key in text.partition("=")[0].split(".")]
    table: Any = data
    for position, key in enumerate(keys[:-1]):
        if not isinstance(table, dict):
            break
        if position and key not in table:
            tables = [name for name, value in table.items() if isinstance(value, dict)]
            close = difflib.get_close_matches(key, tables, n=1, cutoff=0.6)
            above = ".".join(keys[:position])
            return [(f"{above}.{key}", f"{above}.{close[0]}")] if close else []
        table = table.get(key, {})
    return []


def emit(table: Mapping[str, Any]) -> str:
    """A table of plain values as TOML in one fixed form; None is left out."""
    lines: list[str] = []
    _emit(table, (), lines)
    return "\n".join(lines).lstrip("\n") + "\n"


def _check(kind: mi.Type, value: Any, path: str, sections: _Sections) -> Iterator[str]:
    """Yield one sentence per problem of `value` against `kind`."""
    if isinstance(kind, mi.Metadata):
        yield from _check(kind.type, value, path, sections)
    elif isinstance(kind, mi.StructType):
        yield from _check_table(kind, value, path, sections)
    elif isinstance(kind, mi.DictType):
        if not isinstance(value, dict):
            yield _wrong(path, value, "a table")
            return
        for key, item in value.items():
            yield from _check(kind.value_type, item, _join(path, key), sections)
    elif isinstance(kind, mi.UnionType):
        yield from _check_union(kind, value, path, sections)
    elif isinstance(kind, (mi.VarTupleType, mi.ListType)):
        if not isinstance(value, list):
            yield _wrong(path, value, _allowed(kind))
            return
        for index, item in enumerate(value):
            yield from _check(kind.item_type, item, f"{path}[{index}]", sections)
    elif not _fits(kind, value):
        yield _wrong(path, value, _allowed(kind), _near(value, _choices(kind)))


def _check_table(kind: mi.StructType, value: Any, path: str, sections: _Sections) -> Iterator[str]:
    if not isinstance(value, dict):
        yield _wrong(path, value, "a table")
        return
    fields = {field.encode_name: field for field in kind.fields}
    for key, item in value.items():
        if key in fields:
            yield from _check(fields[key].type, item, _join(path, key), sections)
        elif reason := getattr(kind.cls, "elsewhere", {}).get(key):
            yield f"{_join(path, key)} = {_shown(item)}: {reason}"
        else:
            yield _unknown(key, item, path, fields, sections)
    for name, field in fields.items():
        if field.required and name not in value:
            yield f"{_join(path, name)}: missing; must be {_allowed(field.type)}"


def _check_union(kind: mi.UnionType, value: Any, path: str, sections: _Sections) -> Iterator[str]:
    """Report the alternative that has the value's shape."""
    shapes: dict[type, tuple[type, ...]] = {
        dict: (mi.StructType, mi.DictType),
        list: (mi.VarTupleType, mi.ListType),
    }
    wanted = shapes.get(type(value))
    alternatives = [part for part in kind.types if not isinstance(part, mi.NoneType)]
    if wanted is None:
        if any(_fits(part, value) for part in alternatives):
            return
        choices = [choice for part in alternatives for choice in _choices(part)]
        allowed = " or ".join(_allowed(part) for part in alternatives)
        yield _wrong(path, value, allowed, _near(value, choices))
        return
    for part in alternatives:
        if isinstance(part, wanted):
            yield from _check(part, value, path, sections)
            return
    yield _wrong(path, value, " or ".join(_allowed(part) for part in alternatives))


def _fits(kind: mi.Type, value: Any) -> bool:
    if isinstance(kind, mi.BoolType):
        return isinstance(value, bool)
    if isinstance(kind, mi.IntType):
        return isinstance(value, int) and not isinstance(value, bool) and _in_range(kind, value)
    if isinstance(kind, mi.FloatType):
        return _is_number(value) and _in_range(kind, value)
    if isinstance(kind, mi.StrType):
        return isinstance(value, str)
    if isinstance(kind, mi.EnumType):
        return value in _choices(kind)
    return False


def _is_number(value: Any) -> bool:
    """A float, or an integer that can become one."""
    if isinstance(value, int):
        return not isinstance(value, bool) and abs(value) <= sys.float_info.max
    return isinstance(value, float) and not math.isnan(value)


def _in_range(kind: mi.IntType | mi.FloatType, value: float) -> bool:
    return (
        (kind.ge is None or value >= kind.ge)
        and (kind.gt is None or value > kind.gt)
        and (kind.le is None or value <= kind.le)
        and (kind.lt is None or value < kind.lt)
    )


def _choices(kind: mi.Type) -> list[str]:
    return [str(member.value) for member in kind.cls] if isinstance(kind, mi.EnumType) else []


def _allowed(kind: mi.Type) -> str:
    """The allowed values, in words."""
    if isinstance(kind, mi.Metadata):
        return _allowed(kind.type)
    if isinstance(kind, mi.BoolType):
        return "true or false"
    if isinstance(kind, mi.StrType):
        return "a string"
    if isinstance(kind, mi.EnumType):
        return "one of " + ", ".join(f'"{choice}"' for choice in _choices(kind))
    if isinstance(kind, (mi.IntType, mi.FloatType)):
        noun = "an integer" if isinstance(kind, mi.IntType) else "a number"
        return noun + _range(kind)
    if isinstance(kind, (mi.VarTupleType, mi.ListType)):
        return f"an array, each item {_allowed(kind.item_type)}"
    if isinstance(kind, mi.StructType):
        return "a table of " + ", ".join(field.encode_name for field in kind.fields)
    if isinstance(kind, mi.UnionType):
        return " or ".join(_allowed(p) for p in kind.types if not isinstance(p, mi.NoneType))
    return "a table"


def _range(kind: mi.IntType | mi.FloatType) -> str:
    low = f"{exact(kind.ge)}" if kind.ge is not None else ""
    low = f"above {exact(kind.gt)}" if kind.gt is not None else low
    high = f"{exact(kind.le)}" if kind.le is not None else ""
    if low and high:
        return f" from {low} to {high}" if kind.gt is None else f" {low}, at most {high}"
    if low:
        return f" {low}" if kind.gt is not None else f" of at least {low}"
    return f" of at most {high}" if high else ""


def _join(path: str, key: str) -> str:
    return f"{path}.{quoted_key(key)}" if path else quoted_key(key)


def _shown(value: Any) -> str:
    text = f"{{{len(value)} keys}}" if isinstance(value, dict) else quoted(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _wrong(path: str, value: Any, allowed: str, hint: str = "") -> str:
    return f"{path or 'the file'} = {_shown(value)}: must be {allowed}{hint}"


def _near(value: Any, known: Iterable[str]) -> str:
    if not isinstance(value, str):
        return ""
    close = difflib.get_close_matches(value, list(known), n=1, cutoff=0.5)
    return f'; did you mean "{close[0]}"?' if close else ""


def _unknown(key: str, value: Any, path: str, fields: Mapping[str, mi.Field], sections: _Sections) -> str:
    """An unknown key: the nearest one here, else the same name in another section, else the list."""
    start = f"{_join(path, key)} = {_shown(value)}: unknown key"
    renamed = old_names.renamed_key(key)
    if renamed in fields:
        return f"{start}; it is called {_join(path, renamed)} now"
    close = difflib.get_close_matches(key, list(fields), n=1, cutoff=0.6)
    if close:
        return f'{start}; did you mean "{_join(path, close[0])}"?'
    places = {name: section for section, names in sections.items() for name in names}
    close = difflib.get_close_matches(key, list(places), n=1, cutoff=0.75)
    if close:
        return f'{start}; did you mean "{places[close[0]]}.{close[0]}"?'
    return f"{start}; known here: {', '.join(fields)}"


def _emit(table: Mapping[str, Any], path: tuple[str, ...], lines: list[str]) -> None:
    plain = {k: v for k, v in table.items() if v is not None and not isinstance(v, dict)}
    nested = {k: v for k, v in table.items() if isinstance(v, dict)}
    if path and (plain or not nested):
        lines += ["", f"[{'.'.join(quoted_key(part) for part in path)}]"]
    lines += [f"{quoted_key(key)} = {quoted(value)}" for key, value in plain.items()]
    for key in sorted(nested) if path else nested:
        if nested[key] or path:
            _emit(nested[key], (*path, key), lines)


def quoted_key(text: str) -> str:
    """A key or the name of a table as TOML."""
    bare = text and all(c.isascii() and (c.isalnum() or c in "_-") for c in text)
    return text if bare else quoted(text)


def quoted(value: Any) -> str:
    """A plain value as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + "".join(c if c >= " " and c != "\x7f" else f"\\u{ord(c):04x}" for c in escaped) + '"'
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(quoted(item) for item in value) + "]"
    if isinstance(value, int) and value.bit_length() > 1000:  # Python refuses to write very long ones in decimal
        return hex(value)
    return str(value)
