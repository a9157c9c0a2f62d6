"""The oldest packages that pyproject.toml allows, as constraints of pip: tools/oldest.txt, written by `make tables`.

Those with which the tests run: what the package depends on, its extras for users, what builds, tests and documents it.
Left out are the benchmarks' jax and torch, and the checkers: their findings change with each release.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_LEFT_OUT = ("bench", "mujoco", "lint")
_HEAD = (
    "# The lower bounds of pyproject.toml, written by `make tables`. `make test-oldest` runs the tests with them.\n"
    "#   PIP_CONSTRAINT=tools/oldest.txt pip install ...\n"
)


def requirements(project: Mapping[str, Any]) -> Iterator[Requirement]:
    """What pyproject.toml asks for: the package, its build, and its extras but three."""
    build = project["tool"]["scikit-build"]
    yield from map(Requirement, project["build-system"]["requires"])
    yield from (Requirement(name + build[name]["version"]) for name in ("cmake", "ninja"))
    yield from map(Requirement, project["project"]["dependencies"])
    for extra, lines in project["project"]["optional-dependencies"].items():
        if extra not in _LEFT_OUT:
            yield from (found for found in map(Requirement, lines) if found.name != project["project"]["name"])


def lower_bound(requirement: Requirement) -> str:
    """Return the oldest version that a requirement allows; ValueError without a bound."""
    bounds = [part.version for part in requirement.specifier if part.operator in (">=", "==")]
    if len(bounds) != 1 or "*" in bounds[0]:
        raise ValueError(f"pyproject.toml: {requirement}: needs one lower bound, for example {requirement.name}>=1.0")
    return bounds[0]


def text(pyproject: str) -> str:
    """Return the constraints that belong to this text of pyproject.toml."""
    lines: dict[str, str] = {}
    for found in requirements(tomllib.loads(pyproject)):
        marker = f"; {found.marker}" if found.marker else ""
        line = f"{found.name}=={lower_bound(found)}{marker}\n"
        if lines.setdefault(canonicalize_name(found.name), line) != line:
            raise ValueError(f"pyproject.toml: {found.name} has two lower bounds")
    return _HEAD + "".join(lines[name] for name in sorted(lines))
