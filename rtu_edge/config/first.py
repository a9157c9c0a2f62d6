"""A first configuration file: every key with help, range and default; keys with a default are commented out."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from rtu_edge._base.strict import override, quoted, quoted_key
from rtu_edge.config.describe import Key, Table, tables
from rtu_edge.config.file import check_config

__all__ = ["first_file"]

_WIDTH = 120
_HEAD = """\
# Configuration for `rtu-edge run FILE`. A line that starts with "# " and a key shows the key's default:
# remove the "# " to change it. Check it with `rtu-edge run FILE --sim`, then with `rtu-edge run FILE --dry-run`.
"""


def first_file(overrides: Sequence[str] = ()) -> str:
    """A configuration file with every key as a comment, for the cart-pole plant unless the overrides name another.

    Args:
        overrides: `a.b=c` each, as given to `--set`; these keys are not commented out.

    Returns:
        TOML that load_config() accepts.

    Raises:
        ConfigError: an override that is not allowed.
    """
    given: dict[str, Any] = {}
    for assignment in overrides:
        override(given, assignment)
    if not given.get("device", {}).get("port"):
        given["device"] = {"plant": "cartpole", **given.get("device", {})}
    check_config(given)
    parts = [_HEAD]
    for table in tables():
        parts += _sections(table, given)
    return "\n".join(parts)


def _sections(table: Table, given: Mapping[str, Any]) -> list[str]:
    """The table once, or for a path with NAME once for each given name."""
    found: list[tuple[tuple[str, ...], Any]] = [((), given)]
    for part in table.path.split("."):
        found = [
            ((*path, name), value.get(name, {}) if isinstance(value, dict) else {})
            for path, value in found
            for name in (list(value) if part == "NAME" and value else [part])
        ]
    return [_section(table, path, values) for path, values in found]


def _section(table: Table, path: Sequence[str], values: Mapping[str, Any]) -> str:
    mark = "# " if "NAME" in path else ""
    lines = [f"# {line}" for line in textwrap.wrap(_sentence(table.help) + ".", _WIDTH - 2)]
    lines.append(f"{mark}[{'.'.join(quoted_key(part) for part in path)}]")
    for key in table.keys:
        lines += _lines(key, values)
    return "\n".join(lines) + "\n"


def _lines(key: Key, values: Mapping[str, Any]) -> list[str]:
    lines = textwrap.wrap(_comment(key), _WIDTH - 2, break_on_hyphens=False)
    lines = [f"# {line}" for line in lines]
    if key.name in values:
        return [*lines, f"{key.name} = {_value(values[key.name])}"]
    return [*lines, f"# {key.name} = {key.value or ''}".rstrip()]


def _comment(key: Key) -> str:
    """Help and range; the default if the line below does not show it."""
    parts = [key.help] if key.help else []
    if key.allowed not in ("text", "true, false"):
        parts.append(f"Allowed: {key.allowed}")
    if key.required:
        parts.append("Required")
    elif key.value is None:
        parts.append("No default")
    elif "(" in key.default:
        parts.append(f"Default: {key.default}")
    return "".join(f"{_sentence(part)}. " for part in parts).replace("`", '"').rstrip()


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{quoted_key(k)} = {_value(v)}" for k, v in value.items()) + " }"
    return quoted(value)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
