"""Diagnoses why no device answered HELLO, from the received input: silence, an echo, text, or bytes that are not
frames.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["explanation"]

_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_TEXT_BYTES = frozenset((*range(0x20, 0x7F), *b"\t\n\r\x1b"))
_TEXT_SHARE = 0.9  # for random bytes the share is 0.39
_TEXT_LEAST = 6  # bytes
_LINE_MAX = 60


def explanation(arrived: Mapping[str, Any]) -> str:
    """Describe the input and what to check.

    Args:
        arrived: counts `bytes`, `damaged`, `echoes` and `others` (other good frames), and the `first` bytes, since the
            first HELLO request.
    """
    if arrived["others"]:
        return (
            f"{arrived['others']} TickLink frames of other types arrived: it sends but does not receive; "
            "check the wire from the host's TX to its RX"
        )
    if arrived["echoes"]:
        return "the port echoes what is sent: RX connected to TX, or a half-duplex adapter without a device"
    if not arrived["bytes"]:
        return "nothing arrived: check power, the port, TX and RX, and that the firmware runs"
    if line := first_line(arrived["first"]):
        return f'it prints text, no TickLink frames: "{line}"; check the firmware, and the baud rate'
    return f"{arrived['bytes']} bytes arrived that are not TickLink frames: check the baud rate, and the firmware"


def first_line(data: bytes) -> str:
    """The first line of readable text, without control characters and escape sequences; "" if it is not text."""
    readable = sum(byte in _TEXT_BYTES for byte in data)
    if len(data) < _TEXT_LEAST or readable < _TEXT_SHARE * len(data):
        return ""
    text = _ESCAPE.sub("", data.decode("ascii", errors="ignore"))
    lines = ("".join(letter for letter in line if letter.isprintable()).strip() for line in text.splitlines())
    return next((line[:_LINE_MAX] for line in lines if line), "")
