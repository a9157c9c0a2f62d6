"""Untrusted input: bounded files, text without control characters, JSON with infinity (docs/security.md).

All code that reads untrusted files, or shows text from them, uses this module.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from typing import Any, TypeVar

import msgspec

from rtu_edge._base.errors import ConfigError

__all__ = ["TEXT_BYTES", "allowance", "clean", "from_json", "open_regular", "parse_json", "read_file", "to_json"]

T = TypeVar("T")

TEXT_BYTES = 1 << 20  # of one JSON or TOML text: in memory it may be 30 times as large
_FILE_BYTES = 1 << 40  # larger than any file of this package
_MARGIN = 40 << 20  # of the 64 MiB that docs/security.md allows; the rest is for the reader

# Control characters but tab and newline (escape sequences begin with one), bidirectional and invisible characters,
# separators of lines, halves of surrogate pairs.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)
_SHOWN = 1000  # characters of one text


def allowance(size: int) -> int:
    """Memory limit for the contents of a file of `size` bytes: 4 times the size plus 40 MiB."""
    return 4 * size + _MARGIN


def clean(text: str, lines: bool = False) -> str:
    """A text that is safe to show on a terminal, in HTML and in a picture: each control character becomes U+FFFD.

    Args:
        text: from a file or a device.
        lines: newlines and tabs stay, and the length; otherwise they are spaces, and long text is truncated.
    """
    found = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)
    if lines:
        return found
    found = found.replace("\n", " ").replace("\t", " ")
    return found if len(found) <= _SHOWN else f"{found[:_SHOWN]}…"


def open_regular(path: str | os.PathLike[str], flags: int = os.O_RDONLY, *, follow: bool = True) -> int:
    """Open a regular file and return its descriptor; never blocks on a pipe.

    Args:
        path: the file.
        flags: of open(2).
        follow: follow a symbolic link: only for paths given by the user, not for files found in a folder.

    Raises:
        OSError: it cannot be opened.
        ConfigError: not a regular file.
    """
    flags |= os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY | (0 if follow else os.O_NOFOLLOW)
    if not follow and os.path.islink(path):
        raise ConfigError("a symbolic link; a regular file is expected there", os.fspath(path))
    handle = os.open(path, flags, 0o644)
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise ConfigError(_not_regular(path, found.st_mode), os.fspath(path))
    except BaseException:
        os.close(handle)
        raise
    return handle


def _not_regular(path: str | os.PathLike[str], mode: int) -> str:
    inside = os.path.join(path, "checkpoint.rtu")
    if not stat.S_ISDIR(mode):
        return "not a regular file"
    return f"a folder, not a file; its checkpoint is {inside}" if os.path.isfile(inside) else "a folder, not a file"


def read_file(path: str | os.PathLike[str], most: int = _FILE_BYTES, *, follow: bool = True) -> bytes:
    """All bytes of a regular file.

    Args:
        path: the file.
        most: bytes; a larger file is refused before it is read.
        follow: as for open_regular().

    Raises:
        OSError: it cannot be read.
        ConfigError: not a regular file, or too large.
    """
    with open(open_regular(path, follow=follow), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise ConfigError(f"{size:,} bytes; at most {most:,} are read", os.fspath(path))
        return file.read(size)


def parse_json(text: str | bytes) -> Any:
    """Parsed JSON of at most TEXT_BYTES; Infinity and NaN are understood.

    Raises:
        ValueError: it is invalid, too long or nested too deeply.
    """
    if len(text) > TEXT_BYTES:
        raise ValueError(f"a text of {len(text):,} bytes; at most {TEXT_BYTES:,} are read")
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def to_json(value: Any, indent: int = 0) -> bytes:
    """A value as JSON that every reader accepts: infinity and NaN, which JSON lacks, as "inf", "-inf" and "nan"."""
    return msgspec.json.format(msgspec.json.encode(_named(msgspec.to_builtins(value))), indent=indent or -1)


def from_json(text: str | bytes, kind: type[T]) -> T:
    """A value of a type from the output of to_json(); see parse_json().

    Raises:
        ValueError: it is not of this type.
    """
    return msgspec.convert(parse_json(text), kind, strict=False)  # not strict: "inf" is a float


def _named(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else ("nan" if math.isnan(value) else "inf" if value > 0 else "-inf")
    if isinstance(value, dict):
        return {key: _named(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_named(item) for item in value]
    return value
