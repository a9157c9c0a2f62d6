"""Checks at the door: a value is returned as its type, or the error names it and its range."""

from __future__ import annotations

import difflib
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rtu_edge.errors import ConfigError

__all__ = ["check_choice", "check_int", "check_keys", "check_number", "check_sections", "check_seed"]


def check_int(name: str, value: object, low: int, high: int) -> int:
    """An integer in low..high."""
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = low - 1
    if isinstance(value, bool) or not low <= number <= high:
        raise ConfigError(f"{name} = {value!r}: expected an integer from {low} to {high}")
    return number


def check_number(name: str, value: object, low: float, high: float, *, open_low: bool = False) -> float:
    """A finite number in low..high, or above low where the lower end is open."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if isinstance(value, (bool, str)) or not low <= number <= high or (open_low and number == low):
        raise ConfigError(
            f"{name} = {value!r}: expected a number {'above' if open_low else 'from'} {low:g} to {high:g}"
        )
    return number


def check_choice(name: str, value: object, choices: Sequence[str]) -> str:
    """One of the choices."""
    text = value.name if isinstance(value, np.dtype) else value
    if not isinstance(text, str) or text not in choices:
        near = difflib.get_close_matches(str(text), choices, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"{name} = {value!r}: expected one of {', '.join(choices)}{hint}")
    return text


def check_seed(seed: object) -> int:
    """A seed, 0 to 2^64 - 1."""
    return check_int("seed", seed, 0, 2**64 - 1)


def check_keys(name: str, value: object, allowed: Sequence[str]) -> dict[str, Any]:
    """A mapping with known keys only."""
    if not isinstance(value, Mapping):
        raise ConfigError(f"{name} = {value!r}: expected a mapping with keys among {', '.join(allowed)}")
    for key in value:
        if key not in allowed:
            near = difflib.get_close_matches(str(key), allowed, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(allowed)}"
            raise ConfigError(f"{name}.{key}: unknown key; {hint}")
    return dict(value)


def check_sections(
    given: Mapping[str, npt.ArrayLike], known: Mapping[str, npt.NDArray[Any]]
) -> dict[str, npt.NDArray[Any]]:
    """Arrays to be stored under names of `known`: every name, shape and value is looked at before anything is stored."""
    checked = {}
    for name, value in given.items():
        if name not in known:
            raise ConfigError(f"{name}: unknown parameter; expected one of {', '.join(known)}")
        array = np.asarray(value)
        like = known[name]
        if array.dtype.kind not in "fiub":
            raise ConfigError(f"{name}: expected real numbers, got dtype {array.dtype}")
        if array.shape != like.shape:
            raise ConfigError(f"{name}: expected shape {like.shape}, got {array.shape}")
        with np.errstate(over="ignore"):
            array = np.ascontiguousarray(array, dtype=like.dtype)
        if not np.isfinite(array).all():
            raise ConfigError(f"{name}: expected finite numbers")
        checked[name] = array
    return checked
