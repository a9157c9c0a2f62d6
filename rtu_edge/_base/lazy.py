"""Lazy import of a package's names on first access.

A module of a package can then be imported without its siblings' dependencies: the configuration, which an emergency
stop reads, without numpy and the native core.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["lazily"]


def lazily(package: str, names: Sequence[str], modules: Sequence[str]) -> Callable[[str], Any]:
    """The `__getattr__` of a package.

    Args:
        package: its `__name__`.
        names: its `__all__`.
        modules: its modules that have these names in their own `__all__`, in the order in which they are searched.
    """

    def getattribute(name: str) -> Any:
        if name in names:
            for module in modules:
                home = importlib.import_module(f"{package}.{module}")
                if name in home.__all__:
                    value = getattr(home, name)
                    setattr(sys.modules[package], name, value)
                    return value
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return getattribute
