"""Input validation: returns a value as its type, or raises an error with its name, value and range."""

from __future__ import annotations

import difflib
import operator
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rtu_edge._base.errors import ConfigError

# numpy is imported only where an array is created: an emergency stop reads a configuration without it.
if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = [
    "NUMBERS",
    "check_bool",
    "check_choice",
    "check_dtype",
    "check_int",
    "check_keys",
    "check_number",
    "check_sections",
    "check_seed",
    "check_texts",
    "check_values",
    "counted",
    "exact",
    "period_problem",
    "scalar",
]

NUMBERS = "biufO"  # numpy's kinds of real numbers; it makes floats of text, dates and complex ones too
_PERIOD_TOLERANCE = 0.2  # of the period that a learner was made for


def scalar(value: object) -> object:
    """The Python value of a numpy scalar or 0-d array; other values unchanged."""
    np = sys.modules.get("numpy")  # without it there are none
    if np is None or isinstance(value, np.ma.MaskedArray):
        return value  # under a mask there is no value
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        return value.item()
    return value


def _is_array(value: object) -> bool:
    np = sys.modules.get("numpy")
    return np is not None and isinstance(value, np.ndarray)


def exact(value: int | float) -> str:
    """A number in its shortest exact form: 0.9, 0.9999999, 1e+06."""
    short = str(value) if isinstance(value, int) else f"{value:g}"
    return short if float(short) == value else repr(value)


def check_int(name: str, value: object, low: int, high: int) -> int:
    """An integer in low..high, as a plain int; numpy integers and 0-d arrays are accepted."""
    plain = scalar(value)
    try:
        number = operator.index(plain)  # type: ignore[arg-type]
    except TypeError:
        number = low - 1
    if isinstance(plain, bool) or _is_array(plain) or not low <= number <= high:
        raise ConfigError(f"{name} = {value!r}: expected an integer from {low} to {high}")
    return number


def check_number(name: str, value: object, low: float, high: float, *, open_low: bool = False) -> float:
    """A finite number in low..high, or above low where the lower end is open, as a plain float.

    numpy real numbers and 0-d arrays are accepted.
    """
    plain = scalar(value)
    refused = isinstance(plain, (bool, str, bytes, bytearray, complex)) or _is_array(plain)
    try:
        number = float("nan") if refused else float(plain)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not low <= number <= high or (open_low and number == low):
        raise ConfigError(
            f"{name} = {value!r}: expected a number {'above' if open_low else 'from'} {exact(low)} to {exact(high)}"
        )
    return number


def check_bool(name: str, value: object) -> bool:
    """True or False, also as a numpy bool, 1 or 0."""
    plain = scalar(value)
    if not isinstance(plain, int) or plain not in (0, 1):
        raise ConfigError(f"{name} = {value!r}: expected True or False")
    return bool(plain)


def check_choice(name: str, value: object, choices: Sequence[str]) -> str:
    """One of the choices, as a plain str."""
    if not isinstance(value, str) or value not in choices:
        near = difflib.get_close_matches(str(value), choices, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"{name} = {value!r}: expected one of {', '.join(choices)}{hint}")
    return choices[list(choices).index(value)]


def check_dtype(name: str, value: object) -> str:
    """ "float32" or "float64", given by name, as numpy.float32, as numpy.dtype or as the type float."""
    import numpy as np

    given = value
    if isinstance(given, type) and issubclass(given, (float, np.floating)):
        given = np.dtype(given)
    return check_choice(name, given.name if isinstance(given, np.dtype) else given, ("float32", "float64"))


def check_texts(name: str, value: object) -> list[str]:
    """A sequence of texts, as a plain list."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise ConfigError(f"{name} = {value!r}: expected a sequence of texts")
    found = list(value)
    for k, text in enumerate(found):
        if not isinstance(text, str):
            raise ConfigError(f"{name}[{k}] = {text!r}: expected a text")
    return found


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


def check_values(name: str, value: object, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Finite float32 values of one shape; a masked array is refused, as under a mask there is no value."""
    import numpy as np

    try:
        if type(value) is np.ndarray and value.dtype == np.float32:
            values = value
        elif isinstance(value, np.ma.MaskedArray):
            raise ValueError("masked")
        else:
            given = np.asarray(value)
            if given.dtype.kind not in NUMBERS:
                raise TypeError("no numbers")
            with np.errstate(over="ignore"):
                values = given.astype(np.float32)
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(f"{name} = {value!r}: expected real numbers") from None
    if values.shape != shape:
        raise ConfigError(f"{name} has shape {values.shape}, expected {shape}")
    if not np.isfinite(values).all():
        raise ConfigError(f"{name} is not finite: {values}")
    return values


def check_sections(
    given: Mapping[str, npt.ArrayLike], known: Mapping[str, npt.NDArray[Any]]
) -> dict[str, npt.NDArray[Any]]:
    """Arrays to be stored under names of `known`: every name, shape and value is checked before anything is stored."""
    import numpy as np

    if not isinstance(given, Mapping):
        raise ConfigError(f"expected arrays by name, such as a dict, got {type(given).__name__}")
    checked = {}
    for name, value in given.items():
        if name not in known:
            raise ConfigError(f"{name}: unknown parameter; expected one of {', '.join(known)}")
        if isinstance(value, np.ma.MaskedArray):
            raise ConfigError(f"{name}: expected real numbers, got a masked array; give one without a mask")
        try:
            array = np.asarray(value)
        except (TypeError, ValueError, RuntimeError) as error:  # rows of different lengths, a tensor with a gradient
            raise ConfigError(f"{name}: {error}") from None
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


def counted(number: int, noun: str) -> str:
    """A number with its noun, in the singular for 1."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def period_problem(dt_s: float | None, device: str, period_s: float, override: str) -> str:
    """Why a learner made for a period of dt_s cannot run at period_s; "" where they differ by at most 20 %.

    Args:
        dt_s: s; None: unknown, which fits each period.
        device: what has period_s, for the text.
        period_s: s; 0 or less: unknown.
        override: how to accept it, for the text.
    """
    if not dt_s or period_s <= 0 or abs(dt_s - period_s) <= _PERIOD_TOLERANCE * dt_s:
        return ""
    return (
        f"dt_s = {dt_s:g}: made for a period of {dt_s:g} s, {device} {period_s:g} s;"
        f" allowed: within {_PERIOD_TOLERANCE:.0%}, or {override}"
    )
