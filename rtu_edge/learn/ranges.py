"""What a learner's parameter may be: types with their ranges, and defaults that follow from other parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rtu_edge._base.errors import ConfigError
from rtu_edge._base.validation import check_bool, check_choice, check_dtype, check_int, check_keys, check_number, exact

__all__ = [
    "REQUIRED",
    "ByChoice",
    "Choice",
    "Dtype",
    "Follows",
    "Integer",
    "Kind",
    "Number",
    "PerGroup",
    "PerHead",
    "Switch",
    "Widths",
    "number_text",
]


def number_text(value: int | float) -> str:
    """A number for documents: 0.9, 32, 1e6, 2^64 - 1."""
    if isinstance(value, int) and value >= 2**53:
        return f"2^{value.bit_length()} - 1" if value == 2 ** value.bit_length() - 1 else str(value)
    return exact(value).replace("e+0", "e").replace("e-0", "e-")


@dataclass(frozen=True)
class Integer:
    """An integer from low to high."""

    low: int
    high: int

    def check(self, name: str, value: object) -> int:
        """The plain int, or ConfigError."""
        return check_int(name, value, self.low, self.high)

    @property
    def allowed(self) -> str:
        """The range in words."""
        return f"{number_text(self.low)} to {number_text(self.high)}"


@dataclass(frozen=True)
class Number:
    """A finite number from low to high; above low where open_low; or 0 as well where zero."""

    low: float
    high: float
    open_low: bool = False
    zero: bool = False

    def check(self, name: str, value: object) -> float:
        """The plain float, or ConfigError."""
        if not self.zero:
            return check_number(name, value, self.low, self.high, open_low=self.open_low)
        number = check_number(name, value, 0.0, self.high)
        if 0.0 < number < self.low:
            low, high = number_text(self.low), number_text(self.high)
            raise ConfigError(f"{name} = {value!r}: expected 0, or a number from {low} to {high}")
        return number

    @property
    def allowed(self) -> str:
        """The range in words."""
        low, high = number_text(self.low), number_text(self.high)
        if self.open_low:
            return f"above {low}, at most {high}"
        return f"0, or {low} to {high}" if self.zero else f"{low} to {high}"


@dataclass(frozen=True)
class Switch:
    """True or False."""

    def check(self, name: str, value: object) -> bool:
        """The plain bool, or ConfigError."""
        return check_bool(name, value)

    allowed = "true, false"


@dataclass(frozen=True)
class Choice:
    """One of a few names."""

    choices: tuple[str, ...]

    def check(self, name: str, value: object) -> str:
        """The plain str, or ConfigError."""
        return check_choice(name, value, self.choices)

    @property
    def allowed(self) -> str:
        """The names, quoted for a document."""
        return ", ".join(f"`{choice}`" for choice in self.choices)


@dataclass(frozen=True)
class Dtype(Choice):
    """The name of a number format; numpy types of these names are accepted too."""

    choices: tuple[str, ...] = ("float32", "float64")

    def check(self, name: str, value: object) -> str:
        """The plain str, or ConfigError."""
        return check_dtype(name, value)


@dataclass(frozen=True)
class Widths:
    """Widths of 0 to `most` layers: one integer, or a sequence of them."""

    each: Integer
    most: int

    def check(self, name: str, value: Any) -> list[int]:
        """The plain list of ints, or ConfigError."""
        row = isinstance(value, Iterable) and not isinstance(value, (str, bytes))
        scalar = not row or getattr(value, "ndim", None) == 0  # a 0-d array
        widths: list[Any] = [value] if scalar else list(value)
        if len(widths) > self.most:
            raise ConfigError(f"{name} = {tuple(widths)}: expected at most {self.most} layers")
        return [self.each.check(name, width) for width in widths]

    @property
    def allowed(self) -> str:
        """The range in words."""
        return f"a width of {self.each.allowed}, or an array of at most {self.most}"


@dataclass(frozen=True)
class PerGroup:
    """One number for all keys, or a table with a number for each key."""

    each: Number
    keys: tuple[str, ...]

    def check(self, name: str, value: Any) -> dict[str, float]:
        """The plain dict with every key, or ConfigError."""
        if isinstance(value, Mapping):
            given = check_keys(name, value, self.keys)
            missing = [key for key in self.keys if key not in given]
            if missing:
                raise ConfigError(f"{name}.{missing[0]}: missing; expected a number for each of {', '.join(self.keys)}")
        else:
            given = dict.fromkeys(self.keys, value)
        return {key: self.each.check(f"{name}.{key}", given[key]) for key in self.keys}

    @property
    def allowed(self) -> str:
        """The range in words."""
        return f"{self.each.allowed}, or a table of {', '.join(f'`{key}`' for key in self.keys)}"


@dataclass(frozen=True)
class PerHead:
    """A number for each of 1 to `most` heads; one number is a sequence of one."""

    each: Number
    most: int

    def check(self, name: str, value: Any) -> list[float]:
        """The plain list of floats, or ConfigError."""
        row = isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping))
        if not row or getattr(value, "ndim", None) == 0:
            return [self.each.check(name, value)]
        numbers = list(value)
        if not 1 <= len(numbers) <= self.most:
            raise ConfigError(f"{name}: {len(numbers)} numbers; expected 1 to {self.most}")
        return [self.each.check(f"{name}[{k}]", number) for k, number in enumerate(numbers)]

    @property
    def allowed(self) -> str:
        """The range in words."""
        return f"a number of {self.each.allowed}, or a sequence of at most {self.most}"


Kind = Integer | Number | Switch | Choice | Widths | PerGroup | PerHead


@dataclass(frozen=True)
class ByChoice:
    """A default that follows from the value of another parameter, a Choice."""

    name: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Follows:
    """A default that is the value of another parameter where that one is given, and a constant otherwise."""

    name: str
    otherwise: Any


REQUIRED: Any = type("Required", (), {"__repr__": lambda self: "REQUIRED"})()
